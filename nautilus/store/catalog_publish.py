"""From the log to Parquet: every segment becomes one file for each kind, instrument and period in it, all at once.

The order that makes a kill harmless: files are written under other names, synced, renamed, and count by one transaction
of the list, which takes the segment's number too; only then is the segment deleted. Killed before: the segment is done
again, over files of the same names. Killed after: it is deleted when the next writer opens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from nautilus.core.clock import now_ns
from nautilus.store.catalog_columns import gathered
from nautilus.store.catalog_errors import CatalogError
from nautilus.store.catalog_facts import decode_facts, decode_table, fact_table
from nautilus.store.catalog_instruments import StoredInstrument
from nautilus.store.catalog_intake import MARKED as MARKED
from nautilus.store.catalog_kinds import SEQUENCE, Records, record_kind
from nautilus.store.catalog_log import FACTS, MARK, RECORDS, TABLE, Batch, Damage, Stream, segment_path
from nautilus.store.catalog_log_reader import read_segment, records_of
from nautilus.store.catalog_manifest import Manifest, OriginKey, Part
from nautilus.store.catalog_part_writer import PartWriter
from nautilus.store.catalog_parts import PartMeta, arrow, day_of, in_order, part_path, record_table
from nautilus.store.catalog_periods import DAY, fact_period, split, unit_of
from nautilus.store.catalog_recovery import DAMAGED, put_aside
from nautilus.store.catalog_recovery import SEGMENT as SEGMENT
from nautilus.store.catalog_settings import CatalogConfig

if TYPE_CHECKING:
    import pyarrow as pa

LAST_SEQUENCE: Final = "sequence"

GroupKey = tuple[str, str, str, str, str, str]  # kind, key, period, price increment, lot size, form of a table


class _Group:
    """What becomes one file."""

    def __init__(self, instrument: StoredInstrument, time: str) -> None:
        self.instrument = instrument
        self.time = time
        self.records: list[Records] = []
        self.sequences: list[npt.NDArray[np.int64]] = []
        self.facts: list[Any] = []
        self.fact_sequences: list[int] = []
        self.tables: list[pa.Table] = []


def publish_segment(
    root: Path,
    manifest: Manifest,
    number: int,
    config: CatalogConfig,
    damages: list[Damage],
    steps: Callable[[str], object] = lambda step: None,
) -> int:
    """Turn a finished segment into files, and delete it; the rows in it.

    Parameters
    ----------
    steps
        Called between the steps, with the name of what comes next.

    Raises
    ------
    CatalogFullError
        There is no room; nothing has changed.
    """
    place = segment_path(root, number)
    if manifest.number(SEGMENT) >= number:
        place.unlink(missing_ok=True)
        return 0
    streams: dict[Stream, list[Batch]] = {}
    positions: dict[OriginKey, int] = {}
    last, rows = manifest.number(LAST_SEQUENCE), 0
    known = len(damages)
    for batch in read_segment(place, damages):
        stream = batch.stream
        if batch.position:
            where = MARKED if batch.type == MARK else (stream.kind, stream.instrument.key)
            source = (stream.origin, *where)
            positions[source] = max(positions.get(source, 0), batch.position)
        last = max(last, batch.sequence + batch.rows - 1)
        rows += batch.rows
        if batch.rows:
            streams.setdefault(stream, []).append(batch)
    groups = _grouped(streams)
    parts = []
    for at, (key, group) in enumerate(groups.items()):
        steps("part")
        parts.append(_write(root, number, at, key, group, config))
    steps("list")
    with manifest.transaction():
        manifest.add(
            part._replace(instrument=manifest.know(group.instrument).instrument_id)
            for part, (_, group) in zip(parts, groups.items(), strict=True)
        )
        manifest.reach(positions)
        manifest.set_number(SEGMENT, number)
        manifest.set_number(LAST_SEQUENCE, last)
    steps("delete")
    if any(not damage.torn for damage in damages[known:]):
        # Somebody may want to look at it; it is never read again.
        put_aside(place, DAMAGED)
    else:
        place.unlink(missing_ok=True)
    return rows


def _grouped(streams: dict[Stream, list[Batch]]) -> dict[GroupKey, _Group]:
    """What becomes of the streams of a segment."""
    groups: dict[GroupKey, _Group] = {}

    def group_of(stream: Stream, period: str, form: str = "") -> _Group:
        owner = stream.instrument
        key = (stream.kind, owner.key, period, owner.price_increment, owner.lot_size, form)
        if key not in groups:
            groups[key] = _Group(owner, stream.time)
        return groups[key]

    for stream, batches in streams.items():
        kind = batches[0].type
        if kind == RECORDS:
            for period, records, sequence in _by_period(stream, batches):
                group = group_of(stream, period)
                group.records.append(records)
                group.sequences.append(sequence)
        elif kind == FACTS:
            for batch in batches:
                for at, fact in enumerate(decode_facts(stream.kind, batch.payload)):
                    group = group_of(stream, fact_period(fact.provenance.fetched_ns))
                    group.facts.append(fact)
                    group.fact_sequences.append(batch.sequence + at)
        elif kind == TABLE:
            for batch in batches:
                table = decode_table(batch.payload)
                # Of the day on which it came. One file for each form: forms need not go together.
                group = group_of(stream, day_of(now_ns()), f"{stream.time} {table.schema}")
                sequence = np.arange(batch.sequence, batch.sequence + len(table))
                group.tables.append(table.append_column(SEQUENCE, arrow().array(sequence)))
        else:
            raise CatalogError(f"a batch of type {kind} in the log", expected="1 to 5")
    return groups


def _by_period(stream: Stream, batches: Sequence[Batch]) -> Iterator[tuple[str, Records, npt.NDArray[np.int64]]]:
    """Records of a stream and their numbers, period by period. Few steps a batch: a feed may share the interpreter."""
    kind = record_kind(stream.kind)
    parts = [records_of(batch, kind.dtype) for batch in batches]
    sizes = np.array([batch.rows for batch in batches])
    starts = np.array([batch.sequence for batch in batches]) - (np.cumsum(sizes) - sizes)
    records = gathered(parts, kind.dtype)
    sequence = np.arange(len(records)) + np.repeat(starts, sizes)
    for period, here in split(stream.kind, kind.time, records):
        yield (period, records, sequence) if here is None else (period, records[here], sequence[here])


def _write(root: Path, number: int, at: int, key: GroupKey, group: _Group, config: CatalogConfig) -> Part:
    """One file of a group; its row on the list, without the instrument's number."""
    kind, instrument, period, increment, lot, _ = key
    table = _sorted_table(kind, group)
    times = table.column(group.time).to_numpy() if group.time else None
    sequence = table.column(SEQUENCE).to_numpy()
    days = ("", "") if unit_of(period) == DAY else _days(group, times)
    meta = PartMeta(
        kind,
        group.instrument,
        period,
        int(times[0]) if times is not None else 0,
        int(times[-1]) if times is not None else 0,
        int(sequence.min()),
        int(sequence.max()),
        segment=number,
        time=group.time,
        first_day=days[0],
        last_day=days[1],
    )
    path = part_path(kind, instrument, period, f"{number:012}-{at}")
    with PartWriter(root, path, table.schema, config.compression, config.level) as part:
        part.write(table)
        size = part.finish(meta)
    return Part(
        0,
        kind,
        0,
        period,
        path,
        len(table),
        size,
        meta.first_ns,
        meta.last_ns,
        meta.first_sequence,
        meta.last_sequence,
        increment,
        lot,
        *days,
    )


def _days(group: _Group, times: npt.NDArray[np.int64] | None) -> tuple[str, str]:
    """First and last day of a group's rows: of facts, those on which they were fetched."""
    fetched = [fact.provenance.fetched_ns for fact in group.facts]
    ends = (min(fetched), max(fetched)) if fetched else (0, 0) if times is None else (int(times[0]), int(times[-1]))
    return day_of(ends[0]), day_of(ends[1])


def _sorted_table(kind: str, group: _Group) -> pa.Table:
    if group.facts:
        return fact_table(kind, group.facts, group.fact_sequences)
    if group.tables:
        table = arrow().concat_tables(group.tables)
        return table.sort_by([(group.time, "ascending"), (SEQUENCE, "ascending")]) if group.time else table
    described = record_kind(kind)
    records = gathered(group.records, described.dtype)
    sequence = group.sequences[0] if len(group.sequences) == 1 else np.concatenate(group.sequences)
    order = in_order(records[described.time], sequence)
    if order is not None:
        records, sequence = records[order], sequence[order]
    return record_table(described, records, sequence)
