"""The write-ahead log of a catalog: segments of batches, each batch with its checksum, written before it is sorted.

::

    <root>/log/0000000000000042.log      batches: 64 bytes of head, then the payload

A segment stands by itself: the first batch of a stream (kind, instrument, origin) in it is preceded by the stream's
definition. What was cut off in the middle of a write ends a segment; a batch whose bits were changed is passed over
where a whole one follows it, and both are told.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from struct import Struct
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from nautilus.core.crc32c import crc32c
from nautilus.store.catalog_errors import CatalogError, CatalogFullError
from nautilus.store.catalog_instruments import StoredInstrument

DIRECTORY, SUFFIX = "log", ".log"
DEFINE, RECORDS, FACTS, TABLE, MARK = 1, 2, 3, 4, 5
MAGIC: Final = 0x3157434E
HEAD: Final = Struct("<IIHHIQQQQ16x")
HEAD_BYTES: Final = HEAD.size
ROOM_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MOST_PARTS: Final = 512
"""Buffers of one write."""


class Stream(msgspec.Struct, frozen=True):
    """What a batch is of. `layout` is the dtype of its records, as numpy describes it."""

    kind: str
    instrument: StoredInstrument
    origin: str = ""
    layout: str = ""
    time: str = ""


class Batch(NamedTuple):
    """One batch.

    Attributes
    ----------
    sequence : number of its first row over the life of the catalog.
    position : how far its origin is stored with it; 0: not said.
    """

    type: int
    stream: Stream
    payload: bytes | memoryview
    rows: int
    sequence: int
    position: int


class Damage(NamedTuple):
    """What is wrong in a file. `torn`: it ends in the middle of a batch."""

    where: str
    what: str
    torn: bool = False


def no_room(error: OSError, where: object) -> CatalogError:
    """The error of a failed write."""
    if error.errno in ROOM_ERRORS:
        return CatalogFullError(
            f"cannot be written: {error.strerror}", where=str(where), expected="room on the disk; it is tried again"
        )
    return CatalogError(f"cannot be written: {error.strerror}", where=str(where))


def segment_path(root: Path, number: int) -> Path:
    """Where a segment lies."""
    return root / DIRECTORY / f"{number:016}{SUFFIX}"


def segments(root: Path) -> list[int]:
    """Numbers of the segments that there are."""
    return sorted(
        int(place.stem) for place in (root / DIRECTORY).glob(f"*{SUFFIX}") if place.stem.isdigit() and place.is_file()
    )


def sync_directory(place: Path) -> None:
    """Names made in a directory survive the machine."""
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Segment:
    """The segment that is being written. One thread at a time."""

    def __init__(self, root: Path, number: int) -> None:
        self.number = number
        self.path = segment_path(root, number)
        self.bytes = 0
        self.batches = 0
        self.cut = False
        """A write failed and could not be taken back: nothing more is written here."""
        self._streams: dict[Stream, int] = {}
        self._synced = 0
        try:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise no_room(error, self.path) from None
        try:
            sync_directory(self.path.parent)
        except OSError as error:
            os.close(self._descriptor)
            self.path.unlink()
            raise no_room(error, self.path) from None

    @property
    def dirty(self) -> bool:
        """Something was written since it was last made durable."""
        return self.bytes != self._synced

    def write(self, batches: Sequence[Batch]) -> None:
        """Append all of them in few writes, or none.

        Raises
        ------
        CatalogError
            They are not in the log.
        """
        buffers: list[bytes | memoryview] = []
        fresh: dict[Stream, int] = {}
        for batch in batches:
            number = self._streams.get(batch.stream) or fresh.get(batch.stream)
            if number is None:
                number = len(self._streams) + len(fresh) + 1
                fresh[batch.stream] = number
                definition = msgspec.json.encode(batch.stream)
                buffers += [_head(DEFINE, number, definition, 0, 0, 0), definition]
            buffers += [
                _head(batch.type, number, batch.payload, batch.sequence, batch.rows, batch.position),
                batch.payload,
            ]
        written = 0
        try:
            for at in range(0, len(buffers), MOST_PARTS):
                written += self._write(buffers[at : at + MOST_PARTS])
        except OSError as error:
            try:
                os.ftruncate(self._descriptor, self.bytes)
                os.lseek(self._descriptor, self.bytes, os.SEEK_SET)
            except OSError:
                self.cut = True
            raise no_room(error, self.path) from None
        self._streams.update(fresh)
        self.bytes += written
        self.batches += len(batches)

    def _write(self, buffers: list[bytes | memoryview]) -> int:
        size = sum(len(each) for each in buffers)
        left = size
        while True:
            done = os.writev(self._descriptor, buffers)
            left -= done
            if not left:
                return size
            # A short write: what is left goes into the next one.
            while done >= len(buffers[0]):
                done -= len(buffers.pop(0))
            buffers[0] = memoryview(buffers[0])[done:]

    def sync(self) -> None:
        """What was written survives the machine.

        Raises
        ------
        CatalogError
            It may not; a failed sync is never taken for a good one by asking again.
        """
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self.cut = True
            raise CatalogError(f"cannot be made durable: {error.strerror}", where=str(self.path)) from None
        self._synced = self.bytes

    def close(self) -> None:
        """Give the file back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def layout_of(dtype: np.dtype[Any]) -> str:
    """A dtype as text."""
    return repr(np.lib.format.dtype_to_descr(dtype))


def _head(kind: int, stream: int, payload: bytes | memoryview, sequence: int, count: int, position: int) -> bytes:
    head = bytearray(HEAD.pack(MAGIC, 0, kind, 0, stream, len(payload), sequence, count, position))
    crc = crc32c(payload, crc32c(memoryview(head)[8:]))
    head[4:8] = crc.to_bytes(4, "little")
    return bytes(head)
