"""Memory stays flat over commands of every kind: 3 x 10^5 here, 10^7 with `make soak`, more with `make endurance`."""

from __future__ import annotations

import os

import pytest

from tests import endurance
from tests.endurance import Sample
from tests.fuzz.drive import sanitized

COMMANDS = 10_000_000 if int(os.environ.get("NAUTILUS_SEEDS", "0")) else 300_000


def test_memory_stays_flat() -> None:
    if sanitized():
        pytest.skip("the sanitizer keeps what was freed")
    samples = endurance.endure(COMMANDS, samples=10)
    assert samples[-1].commands >= COMMANDS
    assert endurance.growth(samples) <= endurance.ALLOWED_BYTES
    rest = samples[1:]
    assert max(sample.open_orders for sample in rest) < 4 * min(sample.open_orders for sample in rest) + 400
    assert max(sample.snapshot_bytes for sample in rest) < 2 * min(sample.snapshot_bytes for sample in rest)


def test_a_leak_of_a_byte_a_command_is_seen() -> None:
    samples = [Sample(n * 1_000_000, n, (64 << 20) + n * 1_000_000, 1, 1, 1, 1.0) for n in range(1, 11)]
    assert endurance.growth(samples) > endurance.ALLOWED_BYTES
