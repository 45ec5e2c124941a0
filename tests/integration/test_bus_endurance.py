"""The bus over records by the hundred thousand while connections are broken; `make bus-endurance` takes 10^8."""

from __future__ import annotations

import os

import pytest

from tests import bus_endurance
from tests.bus_endurance import Outcome, Sample

RECORDS = 20_000_000 if "NAUTILUS_SEEDS" in os.environ else 200_000


@pytest.mark.long
def test_descriptors_and_threads_stay_flat_while_connections_break() -> None:
    outcome = bus_endurance.endure(RECORDS, breaks=8, rests=8)
    assert bus_endurance.complaints(outcome) == []
    assert outcome.reconnects >= 7
    assert outcome.records > RECORDS - bus_endurance.PACKED
    assert outcome.delivered > 0
    assert outcome.messages > 0


def test_what_grows_is_told() -> None:
    second = bus_endurance.SECOND
    steady = [Sample(at * second, 1 << 20, 9, 3) for at in range(8)]
    growing = [Sample(at * second, (1 << 20) + at * 4096, 9 + at // 6, 3) for at in range(8)]
    outcome = Outcome({"steady": steady, "growing": growing}, 1, 1, 0, 0, 2, 1, 1, 8.0)
    assert bus_endurance.complaints(outcome) == [
        "2 frames were not what they should be",
        "growing has 10 descriptors, 9 after the warm-up",
    ]
    assert abs(bus_endurance.slope(steady)) < 1
    assert round(bus_endurance.slope(growing)) == 3600 * 4096
