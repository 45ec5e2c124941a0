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
from pathlib import Path
from struct import Struct
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from nautilus.store.catalog_errors import CatalogError, CatalogFullError, CatalogUnwritableError
from nautilus.store.catalog_instruments import StoredInstrument

DIRECTORY, SUFFIX = "log", ".log"
DEFINE, RECORDS, FACTS, TABLE, MARK = 1, 2, 3, 4, 5
MAGIC: Final = 0x3157434E
HEAD: Final = Struct("<IIHHIQQQQ16x")
HEAD_BYTES: Final = HEAD.size
ROOM_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    return CatalogUnwritableError(f"cannot be written: {error.strerror}", where=str(where))


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


def layout_of(dtype: np.dtype[Any]) -> str:
    """A dtype as text."""
    return repr(np.lib.format.dtype_to_descr(dtype))
