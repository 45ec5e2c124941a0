"""Recorded trades and minute bars below NAUTILUS_DATA, as rows for the study of VPIN."""

from __future__ import annotations

import csv
import gzip
import json
import os
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from perf.harness import ROOT

DATA = Path(os.environ.get("NAUTILUS_DATA") or ROOT.parent / "shared" / "data")
SECOND, MINUTE = 1_000_000_000, 60_000_000_000
_DAY_NS = 86_400_000_000_000
# Of the tapes in New York's time; the study's windows lie within the regular session.
_OPEN_MS, _CLOSE_MS = 34_200_000, 57_600_000


class Recording(NamedTuple):
    """Trades of one instrument in order of time; a bar counts as one trade at its close.

    Attributes
    ----------
    name, bars
        Whose, and whether they are minute bars.
    now_ns, ticks, lots, sides
        By trade; sides of the aggressor, 0 where it is not recorded.
    session
        By trade, the number of the trading day that no window leaves.
    step_ns, horizons
        Time between two samples, and samples in a window of volatility, each a study of its own.
    buckets, window
        Volume buckets in the recording, and those of a VPIN.
    """

    name: str
    bars: bool
    now_ns: NDArray[np.int64]
    ticks: NDArray[np.int64]
    lots: NDArray[np.int64]
    sides: NDArray[np.int64]
    session: NDArray[np.int64]
    step_ns: int
    horizons: tuple[int, ...]
    buckets: int
    window: int


def recordings() -> Iterator[Recording]:
    """Those that are there."""
    for name, log in (
        ("BTCUSDT perpetual, Binance, trades", "l2_binance/btcusdt_20240808.gz"),
        ("BTCUSDT spot, Binance, trades", "l2_binance/spot_btcusdt_20240808.gz"),
    ):
        if (DATA / log).exists():
            yield _binance(name, DATA / log)
    days = sorted((DATA / "taq_lean").glob("bac_*_trade.zip"))
    if days:
        yield _tape("BAC, US tape, trades", days)
    for path in sorted((DATA / "ohlcv_minute").glob("*.csv")):
        yield _perpetual("BTC-PERP, minute bars", path)
    for path in sorted((DATA / "vpin_minute").glob("*.csv")):
        yield _stock(f"{path.name.partition('_')[0]}, minute bars", path)


def _arrays(rows: list[tuple[int, int, int, int]]) -> tuple[NDArray[np.int64], ...]:
    columns = np.array(rows, np.int64)
    columns = columns[np.argsort(columns[:, 0], kind="stable")]
    return tuple(np.ascontiguousarray(columns[:, place]) for place in range(4))


def _binance(name: str, path: Path) -> Recording:
    rows = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if '"trade"' not in line:
                continue
            fields = json.loads(line.partition(" ")[2])
            fields = fields.get("data", fields)
            ticks, lots = round(float(fields["p"]) * 100), round(float(fields["q"]) * 100_000)
            rows.append((int(fields["T"]) * 1_000_000, ticks, lots, 2 if fields["m"] else 1))
    now, prices, amounts, sides = _arrays(rows)
    return Recording(name, False, now, prices, amounts, sides, np.zeros_like(now), SECOND, (10, 30), 400, 20)


def _tape(name: str, paths: list[Path]) -> Recording:
    rows = []
    for day, path in enumerate(paths):
        with zipfile.ZipFile(path) as archive:
            text = archive.read(archive.namelist()[0]).decode()
        for line in text.splitlines():
            fields = line.split(",")
            if _OPEN_MS <= int(fields[0]) < _CLOSE_MS and fields[5] == "0":
                rows.append((day * _DAY_NS + int(fields[0]) * 1_000_000, int(fields[1]), int(fields[2]), 0))
    now, ticks, lots, sides = _arrays(rows)
    return Recording(name, False, now, ticks, lots, sides, now // _DAY_NS, 10 * SECOND, (30, 60), 400, 50)


def _perpetual(name: str, path: Path) -> Recording:
    rows = []
    with path.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            at = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)
            rows.append((_ns(at), round(float(row["close"]) * 100), round(float(row["volume"])), 0))
    now, ticks, lots, sides = _arrays(rows)
    days = int((now[-1] - now[0]) // _DAY_NS) + 1
    return Recording(name, True, now, ticks, lots, sides, np.zeros_like(now), MINUTE, (30, 60), 50 * days, 50)


def _stock(name: str, path: Path) -> Recording:
    rows = []
    with path.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            at = datetime.fromisoformat(row["date"]).replace(tzinfo=UTC)
            rows.append((_ns(at), round(float(row["4. close"]) * 10_000), round(float(row["5. volume"])), 0))
    now, ticks, lots, sides = _arrays(rows)
    sessions = now // _DAY_NS
    count = 50 * len(np.unique(sessions))
    return Recording(name, True, now, ticks, lots, sides, sessions, MINUTE, (15, 30), count, 50)


def _ns(at: datetime) -> int:
    return round(at.timestamp()) * SECOND


__all__ = ["MINUTE", "SECOND", "Recording", "recordings"]
