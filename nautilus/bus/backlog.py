"""The last frames of a publisher, for its replayer and for readers of the same process: bounded, by frames and bytes.

One thread appends; any thread of the process may read. A reader has a cursor of its own, and knows how many frames it
missed where the writer has gone round it.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from nautilus.bus.base import HEADER_BYTES, HEARTBEAT_STREAM

PARTS: Final = struct.Struct("<20xIQQQ")
"""Of a header: count, epoch, stream, first sequence."""
SCAN: Final = 256
"""Frames between two looks at what else there is to do."""


class Frames(Protocol):
    """Frames of one writer in the order of writing, the last so many of them."""

    oldest: int
    """Number of the first frame that is still there."""
    next: int
    """Number that the next frame will have."""

    def get(self, number: int) -> bytes | None:
        """The frame of that number; None where it is not there."""
        ...


class FrameBuffer:
    """The last frames, in memory of this process.

    Parameters
    ----------
    frames
        How many at most, a power of two.
    most_bytes
        How large together at most.
    """

    def __init__(self, frames: int = 65_536, most_bytes: int = 64 << 20) -> None:
        if frames < 1 or frames & (frames - 1):
            raise ValueError(f"{frames} frames; expected a power of two")
        self.oldest = 0
        self.next = 0
        self.bytes = 0
        self._slots: list[bytes] = [b""] * frames
        self._mask = frames - 1
        self._most = most_bytes

    def append(self, frame: bytes) -> None:
        """Add a frame; the oldest make room."""
        number, slots, mask = self.next, self._slots, self._mask
        place = number & mask
        self.bytes += len(frame) - len(slots[place])
        if number - self.oldest > mask:
            self.oldest = number - mask
        slots[place] = frame
        self.next = number + 1
        while self.bytes > self._most and self.oldest < number:
            place = self.oldest & mask
            self.oldest += 1
            self.bytes -= len(slots[place])
            slots[place] = b""

    def get(self, number: int) -> bytes | None:
        """The frame of that number; None where it is not there."""
        if not self.oldest <= number < self.next:
            return None
        # Read first, looked at again afterwards: the writer may be another thread.
        frame = self._slots[number & self._mask]
        return frame if number >= self.oldest and frame else None


class BufferReader:
    """Reads a buffer from its own place in it, in any thread of the process.

    Attributes
    ----------
    missed_frames : frames that it went past unread, because the writer had gone round it.
    """

    def __init__(self, buffer: FrameBuffer, *, oldest: bool = False) -> None:
        self.missed_frames = 0
        self._buffer = buffer
        self._next = buffer.oldest if oldest else buffer.next

    def drain(self, limit: int = 64) -> list[bytes]:
        """The next frames, at most `limit`."""
        buffer, number = self._buffer, self._next
        frames: list[bytes] = []
        end = min(buffer.next, number + limit)
        while number < end:
            frame = buffer.get(number)
            if frame is None:
                oldest = max(buffer.oldest, number + 1)
                self.missed_frames += oldest - number
                number = oldest
            else:
                frames.append(frame)
                number += 1
        self._next = number
        return frames


class Backlog:
    """Finds the frames of a stream among the last ones of a publisher.

    It reads what the publisher wrote in its own time, and a bounded number of frames at a time.

    Parameters
    ----------
    frames
        Of one epoch.
    epoch
        That one.
    fold
        Called with each frame of records, once and in order.
    on_missed
        Called with a number of frames that were gone before they were read.

    Attributes
    ----------
    at_once : frames that one look takes in about a quarter of a millisecond.
    """

    at_once: Final = 128

    def __init__(
        self,
        frames: Frames,
        epoch: int,
        fold: Callable[[int, int, int, bytes], None] | None = None,
        on_missed: Callable[[int], None] | None = None,
    ) -> None:
        self.frames = frames
        self.epoch = epoch
        self.missed = 0
        self.read = frames.oldest
        """Number of the next frame that it will look at."""
        self._fold = fold
        self._on_missed = on_missed
        self._streams: dict[int, tuple[array[int], array[int]]] = {}

        self.complete = frames.oldest == 0

    @property
    def lag(self) -> int:
        """Frames that it has not looked at."""
        return self.frames.next - self.read

    def mark(self) -> int:
        """What has been written up to now."""
        return self.frames.next

    def reached(self, mark: int) -> bool:
        """Whether it has taken in all up to there."""
        return self.read >= mark

    def look(self, limit: int) -> int:
        """Take in at most so many frames; how many it did."""
        frames, fold, streams = self.frames, self._fold, self._streams
        get, unpack = frames.get, PARTS.unpack_from
        number = self.read
        if number < frames.oldest:
            lost, number = frames.oldest - number, frames.oldest
            self.missed += lost
            if self._on_missed is not None:
                self._on_missed(lost)
        end = min(frames.next, number + limit)
        begin = number
        while number < end:
            frame = get(number)
            if frame is None:
                break
            if len(frame) >= HEADER_BYTES:
                count, _, stream, first = unpack(frame)
                if stream != HEARTBEAT_STREAM:
                    known = streams.get(stream)
                    if known is None:
                        known = streams[stream] = (array("Q"), array("Q"))
                    elif len(known[0]) & 1023 == 0:
                        self._trim(known)
                    known[0].append(first)
                    known[1].append(number)
                    if fold is not None:
                        fold(stream, first, count, frame)
            number += 1
        self.read = number
        return number - begin

    def find(self, stream: int, first: int, last: int) -> Iterator[bytes | None]:
        """Frames of a stream that hold something of these records; now and then None, where other work may be done."""
        known = self._streams.get(stream)
        if known is None:
            return
        firsts, numbers = known
        sequence = first
        place = max(0, bisect_right(firsts, sequence) - 1)
        looked = 0
        while place < len(firsts) and firsts[place] <= last:
            frame = self.frames.get(numbers[place])
            sequence = firsts[place]
            if frame is not None and sequence + PARTS.unpack_from(frame)[0] > first:
                yield frame
                # What is known may have been trimmed meanwhile.
                place = bisect_right(firsts, sequence)
            else:
                place += 1
                looked += 1
                if looked % SCAN == 0:
                    yield None
                    place = bisect_right(firsts, sequence)

    def close(self) -> None:
        """There is nothing to give back."""

    def _trim(self, known: tuple[array[int], array[int]]) -> None:
        gone = bisect_left(known[1], self.frames.oldest)
        if gone > len(known[0]) // 2:
            del known[0][:gone]
            del known[1][:gone]
