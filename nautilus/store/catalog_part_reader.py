"""Parquet files of a catalog read back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nautilus.store.catalog_errors import QueryError
from nautilus.store.catalog_manifest import Part
from nautilus.store.catalog_parts import META, SUFFIX, UNFINISHED, PartMeta, arrow

if TYPE_CHECKING:
    import pyarrow.parquet as pq


def read_meta(file: pq.ParquetFile) -> PartMeta | None:
    """What a file says of itself; None: it is no file of a catalog."""
    text = (file.metadata.metadata or {}).get(META)
    return None if text is None else msgspec.json.decode(text, type=PartMeta)


@contextmanager
def opened(place: Path) -> Iterator[pq.ParquetFile]:
    """A file to read; pages are checked against their checksums."""
    with arrow().parquet.ParquetFile(place, page_checksum_verification=True, memory_map=True) as file:
        yield file


def readable(place: Path) -> bool:
    """Whether its end, which says what is in it, can be read."""
    try:
        with opened(place):
            return True
    except (OSError, ValueError):
        return False


def table_time(root: Path, parts: Iterable[Part]) -> str:
    """The time column of users' tables, by which they can be asked for a range; "": there are none.

    Raises
    ------
    QueryError
        One has none, or they differ.
    """
    times = set()
    for part in parts:
        with opened(root / part.path) as file:
            meta = read_meta(file)
            times.add(meta.time if meta is not None else "")
    if len(times) > 1 or "" in times:
        said = ", ".join(sorted(time or "none" for time in times))
        raise QueryError(
            f"a range of tables with the time column {said}", expected="one that was appended with `time`, or no range"
        )
    return times.pop() if times else ""


def row_groups(file: pq.ParquetFile, time: str, begin_ns: int | None, end_ns: int | None) -> list[int]:
    """Row groups that may have rows of a range, by their statistics."""
    metadata = file.metadata
    column = file.schema_arrow.get_field_index(time)
    wanted = []
    for number in range(metadata.num_row_groups):
        statistics = metadata.row_group(number).column(column).statistics if column >= 0 else None
        if statistics is not None and statistics.has_min_max:
            if begin_ns is not None and statistics.max < begin_ns:
                continue
            if end_ns is not None and statistics.min >= end_ns:
                continue
        wanted.append(number)
    return wanted


def unlisted(root: Path, kinds: Iterable[str], listed: Sequence[str] | set[str]) -> Iterator[tuple[Path, bool]]:
    """Files below the kinds' directories that are not on the list, and whether they were never finished."""
    known = set(listed)
    for kind in kinds:
        for directory, _, names in os.walk(root / kind):
            for name in names:
                place = Path(directory, name)
                if name.endswith(UNFINISHED):
                    yield place, True
                elif name.endswith(SUFFIX) and place.relative_to(root).as_posix() not in known:
                    yield place, False
