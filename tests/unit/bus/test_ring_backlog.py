"""Frames are found in a ring from where their stream stands in it, and none is missed that a look at all would find."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from nautilus.bus.base import BY_KIND, stream_id
from nautilus.bus.ring import RingWriter
from nautilus.bus.ring_backlog import EarlierRing, RingBacklog
from nautilus.core.star_writer import FrameWriter
from tests.kit.star import quotes

EPOCH = 5
STREAMS = 40


class Written:
    """A ring that is written, with streams of which some are rare."""

    def __init__(self, path: Path, capacity: int) -> None:
        self.ring = RingWriter(path, capacity=capacity, epoch=EPOCH)
        self.last = dict.fromkeys(range(1, STREAMS + 1), 0)
        self._frames = FrameWriter(EPOCH)
        layout = BY_KIND[1]
        self._frames.layout(layout.kind, layout.version, layout.dtype)

    def write(self, instrument: int, count: int) -> None:
        records = quotes(instrument, self.last[instrument] + 1, count)
        self.last[instrument] += count
        for frame in self._frames.pack(records, 1, 0, 1_000):
            self.ring.write(frame)

    def write_much(self, random: Random, frames: int) -> None:
        for _ in range(frames):
            instrument = min(random.randint(1, STREAMS), random.randint(1, STREAMS), random.randint(1, STREAMS))
            self.write(instrument, random.choice((1, 1, 3, 20)))

    def all_of(self, instrument: int, first: int, last: int) -> list[bytes]:
        """Found by a look at all that there is."""
        frames, start = self.ring.find(EPOCH, stream_id(1, instrument), first, last, limit=65_536)
        while start:
            more, start = self.ring.find(EPOCH, stream_id(1, instrument), first, last, start=start, limit=65_536)
            frames += more
        return frames


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    made = Written(tmp_path / "ring", 1 << 21)
    yield made
    made.ring.close()


def asked(random: Random, written: Written) -> list[tuple[int, int, int]]:
    """Records of streams: old ones, new ones, all, none."""
    found = []
    for instrument, last in written.last.items():
        firsts = {1, max(1, last), random.randint(1, max(1, last)), random.randint(max(1, last - 50), last + 1)}
        found += [(instrument, first, first + random.choice((0, 5, 500))) for first in firsts]
    return found


def taken(frames: Any) -> list[bytes]:
    return [frame for frame in frames if frame is not None]


def test_the_present_ring(written: Written) -> None:
    random = Random(3)
    backlog = RingBacklog(written.ring)
    checked = 0
    for _ in range(12):  # it is written round several times, and not always followed
        written.write_much(random, random.choice((10, 500, 2_000, 9_000)))
        for _ in range(random.choice((0, 3, 100, 100))):
            backlog.look(128)
        for instrument, first, last in asked(random, written):
            wanted = written.all_of(instrument, first, last)
            assert taken(backlog.find(stream_id(1, instrument), first, last)) == wanted
            checked += len(wanted)
    assert checked > 1_000
    backlog.close()


def test_what_is_known_of_places_is_bounded(written: Written) -> None:
    random = Random(4)
    backlog = RingBacklog(written.ring)
    for _ in range(80):
        written.write_much(random, 1_000)
        while backlog.look(16):
            pass
    known = backlog._places[stream_id(1, 1)]
    assert len(known[0]) == len(known[1]) < 4_096
    assert taken(backlog.find(stream_id(1, 1), 1, 1 << 40)) == written.all_of(1, 1, 1 << 40)
    backlog.close()


def test_the_ring_of_an_earlier_life(written: Written, tmp_path: Path) -> None:
    random = Random(5)
    written.write_much(random, 30_000)
    written.write(STREAMS, 1)
    wanted = {each: written.all_of(*each) for each in asked(random, written)}
    later = RingWriter(tmp_path / "ring", capacity=1 << 20, epoch=EPOCH + 1)
    try:
        assert later.earlier is not None
        earlier = EarlierRing(later.earlier)
        for (instrument, first, last), frames in wanted.items():
            assert taken(earlier.find(EPOCH, stream_id(1, instrument), first, last)) == frames
        assert earlier.ends()[EPOCH][stream_id(1, STREAMS)] == written.last[STREAMS]
        assert taken(earlier.find(EPOCH + 1, stream_id(1, 1), 1, 5)) == []
    finally:
        later.close()
