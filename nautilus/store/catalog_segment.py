"""The segment of the log that is being written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from nautilus.core.crc32c import crc32c
from nautilus.store.catalog_errors import CatalogError
from nautilus.store.catalog_log import DEFINE, HEAD, MAGIC, Batch, Stream, no_room, segment_path, sync_directory

MOST_PARTS: Final = 512
"""Buffers of one write."""


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


def _head(kind: int, stream: int, payload: bytes | memoryview, sequence: int, count: int, position: int) -> bytes:
    head = bytearray(HEAD.pack(MAGIC, 0, kind, 0, stream, len(payload), sequence, count, position))
    crc = crc32c(payload, crc32c(memoryview(head)[8:]))
    head[4:8] = crc.to_bytes(4, "little")
    return bytes(head)
