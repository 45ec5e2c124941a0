"""Segments of the log read back: whole batches, and what is wrong with the others."""

from __future__ import annotations

import ast
import mmap
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from nautilus.core.crc32c import crc32c
from nautilus.store.catalog_errors import CatalogDamagedError
from nautilus.store.catalog_kinds import Records
from nautilus.store.catalog_log import DEFINE, HEAD, HEAD_BYTES, MAGIC, Batch, Damage, Stream


def read_segment(path: Path, damages: list[Damage]) -> Iterator[Batch]:
    """Batches of a segment, in the order written; what is wrong is added to `damages`.

    The payloads are views of the mapped file, good until they are let go.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return
        view = memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
    streams: dict[int, Stream] = {}
    at = 0
    while at < size:
        head = _valid(view, at, size)
        if head is None:
            follows = _next(view, at, size)
            what = "a batch is not as it was written" if follows else "bytes behind the last whole batch"
            damages.append(Damage(f"{path}:{at}", what, torn=not follows))
            if not follows:
                return
            at = follows
            continue
        kind, number, length, sequence, count, position = head
        payload = view[at + HEAD_BYTES : at + HEAD_BYTES + length]
        at += HEAD_BYTES + length
        if kind == DEFINE:
            streams[number] = msgspec.json.decode(payload, type=Stream)
        elif number in streams:
            yield Batch(kind, streams[number], payload, count, sequence, position)
        else:
            damages.append(Damage(f"{path}:{at}", f"stream {number} has lost its definition"))


def records_of(batch: Batch, dtype: np.dtype[Any]) -> Records:
    """Records of a batch, as fields of `dtype`: a log of a version before may lack some."""
    layout = _dtype_of(batch.stream.layout)
    if layout.itemsize == dtype.itemsize and layout.names == dtype.names:
        return np.frombuffer(batch.payload, dtype)
    stored = np.frombuffer(batch.payload, layout)
    records = np.zeros(len(stored), dtype)
    for name in set(layout.names or ()) & set(dtype.names or ()):
        records[name] = stored[name]
    return records


@cache
def _dtype_of(text: str) -> np.dtype[Any]:
    """Inverse of `layout_of`; literals only."""
    try:
        return np.lib.format.descr_to_dtype(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        raise CatalogDamagedError(
            f"layout {text[:80]!r} of a batch", expected="a description of a numpy dtype"
        ) from None


def _valid(view: memoryview, at: int, size: int) -> tuple[int, int, int, int, int, int] | None:
    """Head of the batch that begins there and is whole."""
    if at + HEAD_BYTES > size:
        return None
    magic, crc, kind, _, stream, length, sequence, count, position = HEAD.unpack_from(view, at)
    if magic != MAGIC or length > size - at - HEAD_BYTES:
        return None
    if crc32c(view[at + HEAD_BYTES : at + HEAD_BYTES + length], crc32c(view[at + 8 : at + HEAD_BYTES])) != crc:
        return None
    return kind, stream, length, sequence, count, position


def _next(view: memoryview, at: int, size: int) -> int:
    """Where the next whole batch begins; 0: nowhere."""
    mark = MAGIC.to_bytes(4, "little")
    rest = bytes(view[at:])
    found = rest.find(mark, 1)
    while found >= 0:
        if _valid(view, at + found, size) is not None:
            return at + found
        found = rest.find(mark, found + 1)
    return 0
