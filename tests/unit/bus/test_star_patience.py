"""A reader that lets frames gather in the ring: it is not told of each, and loses none."""

from __future__ import annotations

import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from nautilus.bus.recovery import NEVER
from nautilus.bus.ring import RingReader
from nautilus.core.clock import now_ns
from nautilus.model.topics import QUOTES
from tests.kit.star import Hub, Reader, Stars, settled, turn_until

MS = 1_000_000
PATIENCE_NS = 5 * MS
HOUR_NS = 3_600_000 * MS
"""Between heartbeats: none are missed while a test's time stands still."""


@pytest.fixture
def stars(tmp_path: Path) -> Iterator[Stars]:
    made = Stars(tmp_path)
    yield made
    made.close()


class Times:
    """A clock that goes when it is told."""

    def __init__(self) -> None:
        self.ns = now_ns()

    def __call__(self) -> int:
        return self.ns


def patient(stars: Stars, path: Path, capacity: int = 1 << 20) -> tuple[Hub, Reader, Times]:
    """A hub, and a reader of its ring that has joined."""
    ring, times = path / "star.ring", Times()
    hub = stars.hub(ring=ring, capacity=capacity)
    reader = stars.reader(QUOTES, ring=ring, heartbeat_ns=HOUR_NS, patience_ns=PATIENCE_NS, timer=times)
    hub.quotes(7)
    turn_until([hub], [reader], settled(hub, reader))
    while reader.subscriber.drain():
        pass
    times.ns += PATIENCE_NS
    return hub, reader, times


def rung(reader: Reader) -> bool:
    return bool(select.select([reader.subscriber.fileno()], [], [], 0)[0])


def test_frames_gather_while_it_is_patient_and_the_next_one_after_that_is_told_of_at_once(
    stars: Stars, tmp_path: Path
) -> None:
    hub, reader, times = patient(stars, tmp_path)
    subscriber = reader.subscriber
    assert subscriber.arm()
    hub.quotes(7)
    assert rung(reader)
    reader.turn()
    assert subscriber.gathers_until_ns == times.ns + PATIENCE_NS
    for _ in range(3):
        hub.quotes(7)
    assert subscriber.arm(), "there is nothing to drain yet"
    assert not rung(reader)
    times.ns += PATIENCE_NS // 2 - 1
    assert not subscriber.ripe(times.ns)
    times.ns += 1
    assert subscriber.ripe(times.ns), "half of it is enough for who is awake"
    times.ns += PATIENCE_NS // 2
    assert not subscriber.arm()
    before = len(reader.batches)
    reader.turn()
    assert len(reader.batches) - before == 3
    times.ns += PATIENCE_NS
    assert not subscriber.ripe(times.ns)
    assert subscriber.arm()
    assert subscriber.gathers_until_ns == NEVER
    hub.quotes(7)
    assert rung(reader)
    reader.turn()
    assert reader.numbers(7) == list(range(1, 7))


def test_a_clock_that_is_set_back_ends_its_patience(stars: Stars, tmp_path: Path) -> None:
    hub, reader, times = patient(stars, tmp_path)
    assert reader.subscriber.arm()
    hub.quotes(7)
    reader.turn()
    times.ns -= 10 * PATIENCE_NS
    assert reader.subscriber.arm()
    hub.quotes(7)
    assert rung(reader)


def test_a_ring_that_fills_to_a_quarter_calls_who_is_patient(stars: Stars, tmp_path: Path) -> None:
    capacity = 1 << 16
    hub, reader, _ = patient(stars, tmp_path, capacity)
    ring = reader.subscriber._ring
    assert isinstance(ring, RingReader)
    assert reader.subscriber.arm()
    furthest = calls = 0
    # Its time stands still: it is told by the doorbell alone.
    for _ in range(4_000):
        hub.quotes(7)
        furthest = max(furthest, ring.lag)
        if rung(reader):
            calls += 1
            while ring.lag:
                reader.turn()
            assert reader.subscriber.arm()
    while ring.lag:
        reader.turn()
    assert furthest <= capacity // 4 + capacity // 64
    assert 10 < calls < 100
    assert reader.numbers(7) == list(range(1, 4_002))
    subscriber = reader.subscriber
    assert (ring.lapped, ring.missed_frames, subscriber.recovered, subscriber.lost) == (0, 0, 0, 0)


def test_one_that_is_not_patient_is_told_of_each(stars: Stars, tmp_path: Path) -> None:
    ring = tmp_path / "star.ring"
    hub = stars.hub(ring=ring)
    reader = stars.reader(QUOTES, ring=ring, heartbeat_ns=HOUR_NS)
    turn_until([hub], [reader], settled(hub, reader))
    for _ in range(5):
        while not reader.subscriber.arm():
            reader.turn()
        hub.quotes(7)
        assert rung(reader)
        reader.turn()
        assert reader.subscriber.gathers_until_ns == NEVER
        assert not reader.subscriber.ripe(now_ns())
