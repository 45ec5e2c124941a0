"""Find recordings for tests: `NAUTILUS_DATA`, by default `../shared/data` beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BTCUSDT_PERPETUAL = "l2_binance/btcusdt_20240808.gz"
BTCUSDT_SPOT = "l2_binance/spot_btcusdt_20240808.gz"
LOBSTER = "lobster"


def data_directory() -> Path:
    """Where recordings are looked for; it need not exist. A relative `NAUTILUS_DATA` counts from the repository."""
    return ROOT / os.environ.get("NAUTILUS_DATA", "../shared/data")


def recording(name: str) -> Path:
    """Path of a recording below the data directory; skips the test, with the reason, where it is absent."""
    path = data_directory() / name
    if not path.exists():
        pytest.skip(f"recording {name} is not below {data_directory()} (set NAUTILUS_DATA)")
    return path
