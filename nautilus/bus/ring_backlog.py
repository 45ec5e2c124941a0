"""Finds frames in the ring: those of the publisher's present life, and those that an earlier life left."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from nautilus.bus.backlog import PARTS
from nautilus.bus.base import HEADER_BYTES, HEARTBEAT_STREAM, MOST
from nautilus.bus.ring import RingWriter, image_of
from nautilus.core.broadcast_reader import Reader
from nautilus.core.star_pack import FramePacker

PORTION: Final = 64
"""Frames looked for at a time."""
STEP_BYTES: Final = 1 << 18
"""Looked through for a frame of a stream, where its place in an earlier ring is sought."""
TAIL_BYTES: Final = 1 << 20
"""Of an earlier ring: the last heartbeat is mostly among these."""


class RingBacklog:
    """What the publisher wrote in its present life, as far as the ring still has it; see `Backlog`.

    What a stream has said since the last look is one frame to `fold`.
    """

    at_once: Final = 512

    def __init__(
        self,
        ring: RingWriter,
        fold: Callable[[int, int, int, bytes], None] | None = None,
        on_missed: Callable[[int], None] | None = None,
    ) -> None:
        self._ring = ring
        self._fold = fold
        self._on_missed = on_missed
        reader = image_of(ring.path)
        assert reader is not None
        self._reader = reader
        self._packer = FramePacker(self.at_once)
        self._missed = 0
        # Of each stream: first sequences, and from where on in the ring each is to be found; one for each `look`.
        self._places: dict[int, tuple[array[int], array[int]]] = {}
        self.complete = reader.position == 0

    def mark(self) -> int:
        """What has been written up to now."""
        return self._ring.position

    def reached(self, mark: int) -> bool:
        """Whether it has taken in all up to there."""
        return self._reader.position >= mark or not self._reader.waiting

    def look(self, limit: int) -> int:
        """Take in at most so many frames; how many it did."""
        position = self._reader.position
        taken, frames = self._packer.streams(self._reader, limit)
        fold, places = self._fold, self._places
        if self._reader.missed_frames != self._missed:
            if self._on_missed is not None:
                self._on_missed(self._reader.missed_frames - self._missed)
            self._missed = self._reader.missed_frames
        for stream, first, count, frame in frames:
            known = places.get(stream)
            if known is None:
                known = places[stream] = (array("Q"), array("Q"))
            if not known[1] or known[1][-1] != position:
                if len(known[1]) & 1023 == 1023:
                    self._trim(known)
                known[0].append(first)
                known[1].append(position)
            if fold is not None:
                fold(stream, first, count, frame)
        return taken

    def _trim(self, known: tuple[array[int], array[int]]) -> None:
        gone = bisect_left(known[1], self._ring.position - self._ring.writer.capacity) - 1
        if gone > len(known[0]) // 2:
            del known[0][:gone]
            del known[1][:gone]

    def find(self, stream: int, first: int, last: int) -> Iterator[bytes | None]:
        """Frames of a stream that hold something of these records; now and then None, where other work may be done."""
        firsts, positions = self._places.get(stream, ((), ()))
        place = bisect_right(firsts, first) - 1
        # Frames of a stream stand in the ring in order, so what begins later stands later.
        start = positions[place] if place >= 0 else 0
        return _found(self._ring.find, self._ring.epoch, stream, first, last, start)

    def close(self) -> None:
        """Let go of the ring."""
        self._reader.close()


class EarlierRing:
    """What an earlier life of the publisher left in its ring, for a replayer's archives."""

    def __init__(self, reader: Reader) -> None:
        self.epoch = reader.epoch
        self._reader = reader
        self._ends: dict[int, int] | None = None

    def find(self, epoch: int, stream: int, first: int, last: int) -> Iterator[bytes | None]:
        """Frames of a stream that hold something of these records; now and then None, where other work may be done."""
        if epoch != self.epoch:
            return iter(())
        return _found(self._reader.find, epoch, stream, first, last, self._start(stream, first))

    def _start(self, stream: int, first: int) -> int:
        """A position that is not behind the frame with this record: found by halves, where the stream has frames."""
        reader = self._reader
        reader.seek(0)
        low = reader.position
        high = low + reader.lag
        while high - low > STEP_BYTES:
            middle = (low + high) // 2
            reader.seek(middle)
            at = reader.position
            found: list[bytes] = []
            if at < high:
                found, _ = reader.find(self.epoch, stream, 1, MOST, start=at, limit=1, most_bytes=STEP_BYTES)
            if found and PARTS.unpack_from(found[0])[3] <= first:
                low = at
            else:
                high = middle
        return low

    def ends(self) -> dict[int, dict[int, int]]:
        """{epoch: {stream: last sequence}}: exact, for a frame is in the ring before anybody has it."""
        if self._ends is None:
            reader = self._reader
            reader.seek(0)
            whole = reader.position
            reader.seek(max(0, whole + reader.lag - TAIL_BYTES))
            beaten, self._ends = self._read()
            if not beaten and reader.position > whole:
                reader.seek(0)
                _, self._ends = self._read()
        return {self.epoch: self._ends}

    def _read(self) -> tuple[bool, dict[int, int]]:
        """Last sequences from here to the end; whether there is a heartbeat, which tells of all streams."""
        lasts: dict[int, int] = {}
        beaten = False
        while frames := self._reader.drain(1_024):
            for frame in frames:
                if len(frame) >= HEADER_BYTES:
                    beaten |= note_lasts(frame, self.epoch, lasts)
        return beaten, lasts


def note_lasts(frame: bytes, epoch: int, lasts: dict[int, int]) -> bool:
    """Take the last sequences that a frame of an epoch tells of; whether it is a heartbeat."""
    count, its_epoch, stream, first = PARTS.unpack_from(frame)
    if its_epoch != epoch:
        return False
    if stream != HEARTBEAT_STREAM:
        lasts[stream] = max(lasts.get(stream, 0), first + count - 1)
        return False
    if (len(frame) - HEADER_BYTES) % 16:
        return False
    for each, last in np.frombuffer(frame, np.uint64, offset=HEADER_BYTES).reshape(-1, 2).tolist():
        lasts[each] = max(lasts.get(each, 0), last)
    return True


def _found(
    find: Callable[..., Any], epoch: int, stream: int, first: int, last: int, start: int = 0
) -> Iterator[bytes | None]:
    while True:
        frames, start = find(epoch, stream, first, last, start=start, limit=PORTION)
        yield from frames
        if not start:
            return
        yield None
