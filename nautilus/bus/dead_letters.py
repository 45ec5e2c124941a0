"""The log of dead letters: what was given up or came late, on disk, bounded, to be read and sent again.

A directory for each process, segments named by the number of their first letter::

    <directory>/00000000000000000001.letters
        magic     8 bytes "NUTSDEAD"; version u32; four zero bytes
        letter    length u32, CRC-32C of what follows u32; then a msgpack array: the fields of `StoredLetter`
        ...

Numbers count over all lives of the process. The last segment may end within a letter, where the process or its machine
died: the next life cuts that off and says so. Nothing is synced: these are letters that were lost already.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from nautilus.bus.envelope import UNREADABLE, DeadLetter, MessageKind
from nautilus.core.counters import Counters
from nautilus.core.crc32c import crc32c

SUFFIX: Final = ".letters"
MAGIC: Final = struct.Struct("<8sI4x")
FIRST: Final = MAGIC.pack(b"NUTSDEAD", 1)
HEAD: Final = struct.Struct("<II")
SEGMENT_BYTES: Final = 4 << 20
SEGMENTS: Final = 8
"""Kept; the oldest one goes when there are more."""
MOST_PAYLOAD: Final = 1 << 20
"""Of a letter; a larger payload is left out, and the letter cannot be sent again."""
_MOST = MOST_PAYLOAD + (64 << 10)
_CHUNK = 1 << 20
_NUMBERS = 1 << 62
_encode = msgspec.msgpack.Encoder().encode


class StoredLetter(msgspec.Struct, array_like=True, frozen=True):
    """A dead letter as it is kept.

    Attributes
    ----------
    number : of the letter in its process, from 1.
    at_ns : when it was given up or came late, by the machine's clock.
    reason, peer, kind, id, priority, sender, to, deadline_ns, payload : see `DeadLetter`.
    trace_id : 32 hexadecimal digits; "": none.
    left_out : bytes of the payload that were too many to keep.
    """

    number: int
    at_ns: int
    reason: str
    peer: str
    kind: int
    id: int
    priority: int
    sender: str
    to: str
    deadline_ns: int
    trace_id: str
    payload: bytes
    left_out: int = 0


_decode = msgspec.msgpack.Decoder(StoredLetter).decode


class DeadLetterLog:
    """Writes the letters of one process.

    Parameters
    ----------
    directory
        Made where it is missing. Only one log at a time may be open on it.
    clock
        The machine's time in nanoseconds.
    counters
        Table to keep ``letters.written`` and so on in.

    Attributes
    ----------
    written, unwritten, left_out : letters that are on disk; for which there was no room; without their payload.
    torn_bytes : that were cut off the last segment as they were no whole letter.
    dropped_segments : that went as there were too many.
    """

    def __init__(
        self,
        directory: Path,
        clock: Callable[[], int],
        counters: Counters | None = None,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        segments: int = SEGMENTS,
    ) -> None:
        self.directory = directory
        self.written = self.unwritten = self.left_out = self.torn_bytes = self.dropped_segments = 0
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._segments = segments
        self._counters = counters
        self._counts = {
            name: counters.counter(f"letters.{name}") if counters is not None else -1
            for name in ("written", "unwritten", "torn_bytes")
        }
        self._descriptor = -1
        self._size = 0
        self.next_number = 1
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # then the next letter tries again
            self._resume()

    def add(self, letters: Sequence[DeadLetter]) -> int:
        """Keep letters; how many of them could not be, as the disk is full."""
        at_ns = self._clock()
        lost = 0
        buffer: list[bytes] = []
        size = 0
        first = self.next_number
        for letter in letters:
            record = self._record(letter, at_ns)
            if size and self._size + size + len(record) > self._segment_bytes:
                lost += self._write(first, buffer)
                first, buffer, size = first + len(buffer), [], 0
            buffer.append(record)
            size += len(record)
        lost += self._write(first, buffer)
        return lost

    def close(self) -> None:
        """Write no more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _record(self, letter: DeadLetter, at_ns: int) -> bytes:
        whole = len(letter.payload) <= MOST_PAYLOAD
        if not whole:
            self.left_out += 1
        stored = StoredLetter(
            self.next_number,
            at_ns,
            letter.reason,
            letter.peer,
            int(letter.kind),
            letter.id,
            letter.priority,
            letter.sender,
            letter.to,
            letter.deadline_ns,
            f"{letter.trace_id:032x}" if letter.trace_id else "",
            letter.payload if whole else b"",
            0 if whole else len(letter.payload),
        )
        self.next_number += 1
        body = _encode(stored)
        return HEAD.pack(len(body), crc32c(body)) + body

    def _write(self, first: int, records: list[bytes]) -> int:
        """Write records from this number on; how many there was no room for. Those have their numbers all the same."""
        if not records:
            return 0
        try:
            if self._descriptor < 0 or self._size + len(records[0]) > self._segment_bytes:
                self._begin(first)
            data = b"".join(records)
            written = os.write(self._descriptor, data)
        except OSError:
            self._count("unwritten", len(records))
            return len(records)
        kept = len(records)
        if written < len(data):
            # The disk became full within a letter: half of it would spoil the next one.
            kept, written = _whole(records, written)
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size + written)
        self._size += written
        self._count("written", kept)
        self._count("unwritten", len(records) - kept)
        return len(records) - kept

    def _count(self, name: str, amount: int) -> None:
        if amount:
            setattr(self, name, getattr(self, name) + amount)
            if self._counters is not None:
                self._counters.add(self._counts[name], amount)

    def _begin(self, number: int) -> None:
        """Begin a segment with this letter."""
        path = self.directory / f"{number:020d}{SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if os.write(descriptor, FIRST) < len(FIRST):
                raise OSError("no room for the head of a segment")
        except OSError:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        self.close()
        self._descriptor, self._size = descriptor, len(FIRST)
        for old in segments(self.directory)[: -self._segments]:
            with contextlib.suppress(OSError):
                old.unlink()
                self.dropped_segments += 1

    def _resume(self) -> None:
        """Go on behind what an earlier life wrote, without what it did not finish."""
        found = segments(self.directory)
        if not found:
            return
        path = found[-1]
        scan = _Scan()
        for letter in scan.read(path):
            # Readers go by the greatest number that they saw.
            self.next_number = max(self.next_number, letter.number + 1)
        if self.next_number == 1:
            self.next_number = int(path.name.removesuffix(SUFFIX))
        size = path.stat().st_size
        if scan.end < len(FIRST):
            path.unlink()
            self._count("torn_bytes", size)
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        if scan.end < size:
            os.ftruncate(descriptor, scan.end)
            self._count("torn_bytes", size - scan.end)
        self._descriptor, self._size = descriptor, scan.end


class LetterReader:
    """Reads the letters of one process while it may write more.

    Attributes
    ----------
    damaged : segments in whose middle something is no letter; what follows there is not read.
    """

    def __init__(self, directory: Path) -> None:
        self.damaged = 0
        self._directory = directory
        self._number = 0
        self._bad: set[str] = set()

    def read(self) -> Iterator[StoredLetter]:
        """The letters that were not read yet, in order; again for those that come later."""
        paths = segments(self._directory)
        for place, path in enumerate(paths):
            following = paths[place + 1] if place + 1 < len(paths) else None
            if following is not None and int(following.name.removesuffix(SUFFIX)) <= self._number + 1:
                continue
            scan = _Scan()
            for letter in scan.read(path):
                if letter.number > self._number:
                    self._number = letter.number
                    yield letter
            if scan.bad and path.name not in self._bad and following is not None:
                self._bad.add(path.name)
                self.damaged += 1


def segments(directory: Path) -> list[Path]:
    """The segments of a process, oldest first."""
    return sorted(path for path in directory.glob(f"*{SUFFIX}") if path.name.removesuffix(SUFFIX).isdecimal())


class _Scan:
    """One reading of a segment: where its letters end, and whether something is behind them that is none."""

    def __init__(self) -> None:
        self.end = 0
        self.bad = False

    def read(self, path: Path) -> Iterator[StoredLetter]:
        try:
            with open(path, "rb") as file:
                if file.read(len(FIRST)) != FIRST:
                    self.bad = True
                    return
                self.end = len(FIRST)
                while head := file.read(HEAD.size):
                    letter = self._next(head, file.read)
                    if letter is None:
                        self.bad = True
                        return
                    self.end = file.tell()
                    yield letter
        except FileNotFoundError:
            return  # it was the oldest one, and has gone

    @staticmethod
    def _next(head: bytes, read: Callable[[int], bytes]) -> StoredLetter | None:
        if len(head) < HEAD.size:
            return None
        length, checksum = HEAD.unpack(head)
        if not 0 < length <= _MOST:
            return None
        body = read(length)
        if len(body) < length or crc32c(body) != checksum:
            return None
        try:
            letter = _decode(body)
        except (*UNREADABLE, msgspec.ValidationError):
            return None
        return letter if 0 < letter.number < _NUMBERS else None


def _whole(records: Sequence[bytes], size: int) -> tuple[int, int]:
    """How many records lie wholly in the first `size` bytes, and how long those are."""
    end = 0
    for count, record in enumerate(records):
        if end + len(record) > size:
            return count, end
        end += len(record)
    return len(records), end


def kind_name(kind: int) -> str:
    """Of a stored letter's message."""
    try:
        return MessageKind(kind).name
    except ValueError:
        return str(kind)


__all__ = ["DeadLetterLog", "LetterReader", "StoredLetter", "kind_name", "segments"]
