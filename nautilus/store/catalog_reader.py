"""Records of many files in exact order of time, in batches, in little memory.

Every file is in order by itself. Of all that are open, what is earlier than the least end of a batch is complete:
nothing that is read later can come before it. Among records of one time the order is that in which they were appended.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.store.catalog_columns import to_records
from nautilus.store.catalog_kinds import SEQUENCE, Kind, Records
from nautilus.store.catalog_log import Damage
from nautilus.store.catalog_manifest import Part
from nautilus.store.catalog_part_reader import opened, row_groups
from nautilus.store.catalog_parts import in_order, record_table

if TYPE_CHECKING:
    import pyarrow as pa

BATCH: Final = 1 << 16
LEAST_BATCH: Final = 1 << 10
OPEN_ROWS: Final = 1 << 22
"""Rows that are held of all open files together."""
_LAST: Final = np.iinfo(np.int64).max


class Run(NamedTuple):
    """Consecutive records of one kind."""

    kind: str
    records: Records


class Source(NamedTuple):
    """A file to read, and what its records become.

    Attributes
    ----------
    price_factor, lot_factor : ticks and lots of the instrument in one of the file's.
    """

    part: Part
    kind: Kind
    instrument_id: int
    price_factor: int
    lot_factor: int


class Chunk(NamedTuple):
    """Records of one file, with what orders them."""

    source: int
    times: npt.NDArray[np.int64]
    sequence: npt.NDArray[np.int64]
    records: Records

    def upto(self, end: int) -> Chunk:
        """The first `end`."""
        return Chunk(self.source, self.times[:end], self.sequence[:end], self.records[:end])

    def beyond(self, end: int) -> Chunk:
        """All but the first `end`."""
        return Chunk(self.source, self.times[end:], self.sequence[end:], self.records[end:])


class _Open:
    """A file that is being read."""

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self.chunks = chunks
        self.held: list[Chunk] = []
        self.ended = False
        self.more()

    def more(self) -> None:
        chunk = next(self.chunks, None)
        if chunk is None:
            self.ended = True
        else:
            self.held.append(chunk)

    @property
    def limit(self) -> int:
        """Records of this file before that time are all here."""
        return _LAST if self.ended else int(self.held[-1].times[-1])

    def take(self, end_ns: int) -> list[Chunk]:
        """What is before `end_ns`."""
        taken, kept = [], []
        for chunk in self.held:
            end = len(chunk.times) if end_ns == _LAST else int(np.searchsorted(chunk.times, end_ns, "left"))
            if end:
                taken.append(chunk.upto(end))
            if end < len(chunk.times):
                kept.append(chunk.beyond(end))
        self.held = kept
        return taken


Opener = tuple[int, Callable[[], Generator[Chunk, None, None]]]
"""Time before which a source has nothing, and what opens it."""


def read_runs(
    sources: Sequence[Source],
    root: Path,
    begin_ns: int | None,
    end_ns: int | None,
    batch: int,
    on_damage: Callable[[Damage], object],
) -> Iterator[Run]:
    """Records of all files, in order of (time, append)."""
    ordered = in_time(sources)
    kinds = [source.kind.name for source in ordered]
    for chunks in complete(_openers(ordered, root, begin_ns, end_ns, batch, on_damage)):
        yield from merged(chunks, kinds, batch)


def read_tables(
    sources: Sequence[Source], root: Path, batch: int, on_damage: Callable[[Damage], object]
) -> Iterator[pa.Table]:
    """Rows of files of one kind as Arrow tables, in order of (time, append)."""
    ordered = in_time(sources)
    for chunks in complete(_openers(ordered, root, None, None, batch, on_damage)):
        records = np.concatenate([chunk.records for chunk in chunks])
        sequence = np.concatenate([chunk.sequence for chunk in chunks])
        order = in_order(records[ordered[0].kind.time], sequence) if len(chunks) > 1 else None
        if order is not None:
            records, sequence = records[order], sequence[order]
        yield record_table(ordered[0].kind, records, sequence)


def in_time(sources: Sequence[Source]) -> list[Source]:
    """By their first record."""
    return sorted(sources, key=lambda source: (source.part.first_ns, source.part.first_sequence))


def _openers(
    ordered: Sequence[Source],
    root: Path,
    begin_ns: int | None,
    end_ns: int | None,
    batch: int,
    on_damage: Callable[[Damage], object],
) -> list[Opener]:
    rows = max(LEAST_BATCH, min(batch, OPEN_ROWS // max(1, _most_at_once(ordered))))
    return [
        (source.part.first_ns, partial(_chunks, source, number, root, begin_ns, end_ns, rows, on_damage))
        for number, source in enumerate(ordered)
    ]


def complete(openers: Sequence[Opener]) -> Iterator[list[Chunk]]:
    """Chunks that hold all records up to some time, and none of what was given before; never an empty list.

    Parameters
    ----------
    openers
        By their times. Each source is in order by itself, and opened when it is needed.
    """
    with ExitStack() as stack:

        def open_next(number: int) -> _Open:
            chunks = openers[number][1]()
            stack.callback(chunks.close)
            return _Open(chunks)

        active: list[_Open] = []
        following = 0
        while active or following < len(openers):
            limit = min((each.limit for each in active), default=_LAST)
            while following < len(openers) and (not active or openers[following][0] <= limit):
                active.append(open_next(following))
                following += 1
                limit = min(each.limit for each in active)
            start = openers[following][0] if following < len(openers) else _LAST
            # What the only one has next comes behind what is here, also at the same time.
            limit = min(limit + 1, start) if len(active) == 1 and limit != _LAST else min(limit, start)
            chunks = [chunk for each in active for chunk in each.take(limit)]
            if chunks:
                yield chunks
            for each in active:
                if not each.ended and (not each.held or each.limit <= limit):
                    each.more()
            active = [each for each in active if each.held or not each.ended]


def _most_at_once(ordered: Sequence[Source]) -> int:
    """Files whose times overlap, at most."""
    starts = np.array([source.part.first_ns for source in ordered], np.int64)
    ends = np.sort(np.array([source.part.last_ns for source in ordered], np.int64))
    if not len(starts):
        return 1
    return int((np.arange(1, len(starts) + 1) - np.searchsorted(ends, starts, "left")).max())


def merged(chunks: list[Chunk], names: Sequence[str], batch: int) -> Iterator[Run]:
    """Records of chunks in order, as runs; `names` are the kinds of their sources."""
    if len(chunks) == 1:
        yield from _cut(Run(names[chunks[0].source], chunks[0].records), batch)
        return
    chunks.sort(key=lambda chunk: (chunk.times[0], chunk.sequence[0]))
    if all(
        (first.times[-1], first.sequence[-1]) < (second.times[0], second.sequence[0])
        for first, second in pairwise(chunks)
    ):
        for chunk in chunks:
            yield from _cut(Run(names[chunk.source], chunk.records), batch)
        return
    times = np.concatenate([chunk.times for chunk in chunks])
    sequence = np.concatenate([chunk.sequence for chunk in chunks])
    order = np.lexsort((sequence, times))
    kinds = list(dict.fromkeys(names[chunk.source] for chunk in chunks))
    if len(kinds) == 1:
        records = np.concatenate([chunk.records for chunk in chunks])[order]
        yield from _cut(Run(kinds[0], records), batch)
        return
    # Of several kinds: every kind in order by itself, then cut where the kind changes.
    which = np.concatenate([np.full(len(chunk.times), kinds.index(names[chunk.source]), np.int16) for chunk in chunks])
    place = np.empty(len(which), np.int64)
    joined = []
    for number in range(len(kinds)):
        some = [chunk.records for chunk in chunks if kinds.index(names[chunk.source]) == number]
        mine = np.concatenate(some)
        at = np.flatnonzero(which == number)
        place[at] = np.arange(len(at))
        rank = order[which[order] == number]
        joined.append(mine[place[rank]])
    sorted_kinds = which[order]
    cuts = [0, *(np.flatnonzero(np.diff(sorted_kinds)) + 1).tolist(), len(sorted_kinds)]
    taken = [0] * len(kinds)
    for first, end in pairwise(cuts):
        number = int(sorted_kinds[first])
        start = taken[number]
        taken[number] = start + end - first
        yield from _cut(Run(kinds[number], joined[number][start : taken[number]]), batch)


def _cut(run: Run, batch: int) -> Iterator[Run]:
    if len(run.records) <= batch:
        yield run
        return
    for at in range(0, len(run.records), batch):
        yield Run(run.kind, run.records[at : at + batch])


def _chunks(
    source: Source,
    number: int,
    root: Path,
    begin_ns: int | None,
    end_ns: int | None,
    rows: int,
    on_damage: Callable[[Damage], object],
) -> Generator[Chunk, None, None]:
    place = root / source.part.path
    kind = source.kind
    try:
        with opened(place) as file:
            present = set(file.schema_arrow.names)
            wanted = [name for name in (*(column.name for column in kind.columns), SEQUENCE) if name in present]
            groups = row_groups(file, kind.time, begin_ns, end_ns)
            for batch in file.iter_batches(rows, row_groups=groups, columns=wanted):
                chunk = _chunk(source, number, batch, begin_ns, end_ns)
                if len(chunk.times):
                    yield chunk
    except (OSError, ValueError, KeyError) as error:
        on_damage(Damage(str(place), f"cannot be read, and is passed over: {str(error).splitlines()[0]}"))


def _chunk(source: Source, number: int, batch: pa.RecordBatch, begin_ns: int | None, end_ns: int | None) -> Chunk:
    kind = source.kind
    columns: dict[str, npt.NDArray[Any]] = {
        name: batch.column(at).to_numpy(zero_copy_only=False) for at, name in enumerate(batch.schema.names)
    }
    times, sequence = columns[kind.time], columns[SEQUENCE]
    first = 0 if begin_ns is None else int(np.searchsorted(times, begin_ns, "left"))
    end = len(times) if end_ns is None else int(np.searchsorted(times, end_ns, "left"))
    if first or end < len(times):
        columns = {name: values[first:end] for name, values in columns.items()}
        times, sequence = times[first:end], sequence[first:end]
    for names, factor in ((kind.prices, source.price_factor), (kind.quantities, source.lot_factor)):
        if factor != 1:
            columns |= {name: columns[name] * factor for name in names if name in columns}
    return Chunk(number, times, sequence, to_records(kind, columns, len(times), source.instrument_id))
