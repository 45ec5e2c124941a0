"""The recorder of market data: everything once, in order, also where it is killed and the ring has gone on."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nautilus.core.counters import Counters
from nautilus.runtime.clock import pause
from nautilus.store.catalog import Catalog
from tests.kit.recorded_star import DEADLINE_SECONDS, SYMBOLS, Star, Start, recorders, until


@pytest.fixture(params=["ring", "zmq"])
def star(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Star]:
    made = Star(tmp_path, ring=request.param == "ring")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def start(star: Star, tmp_path: Path) -> Iterator[Start]:
    with recorders(star, tmp_path) as begin:
        yield begin


def test_a_recorder_that_is_killed_stores_everything_once(star: Star, start: Start, tmp_path: Path) -> None:
    child = start()
    star.publish(300)
    until(tmp_path, "durable", star.count() // 2)
    acknowledged = star.count() // 2
    star.publish(50)
    child.send_signal(signal.SIGKILL)
    child.wait()
    with Catalog(tmp_path / "catalog").writer() as recovered:  # what is in its log is published
        assert not recovered.counts.refused
    with Catalog(tmp_path / "catalog") as catalog:
        assert sum(each.rows for each in catalog.ranges()) >= acknowledged
    star.publish(1_500)  # far more than the ring holds
    child = start()
    before = Counters.read(tmp_path / "counters").get("recorder.records", 0)
    star.publish(100)
    end = time.monotonic() + DEADLINE_SECONDS
    while missing(star, tmp_path) and time.monotonic() < end:
        until(tmp_path, "records", before + 1)
        pause(0.1)
    child.send_signal(signal.SIGTERM)
    assert child.wait(DEADLINE_SECONDS) == 0
    with Catalog(tmp_path / "catalog") as catalog:
        for (kind, number), parts in star.published.items():
            stored = np.concatenate(list(catalog.read(kind, f"{SYMBOLS[number - 1]}@VENUE", ids={
                f"{SYMBOLS[number - 1]}@VENUE": number})))  # fmt: skip
            assert stored.tobytes() == np.concatenate(parts).tobytes()
    facts = Counters.read(tmp_path / "counters")
    assert facts.get("recorder.lost", 0) == 0
    assert facts["recorder.recovered"] > 0


def missing(star: Star, path: Path) -> int:
    """Records that the catalog does not show yet."""
    with Catalog(path / "catalog") as catalog:
        return star.count() - sum(each.rows for each in catalog.ranges())
