"""From the log to Parquet: every segment becomes one file for each kind, instrument and day in it, all at once.

The order that makes a kill harmless: files are written under other names, synced, renamed, and count by one transaction
of the list, which takes the segment's number too; only then is the segment deleted. Killed before: the segment is done
again, over files of the same names. Killed after: it is deleted when the next writer opens.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from nautilus.core.clock import now_ns
from nautilus.model.records import joined
from nautilus.store.catalog_errors import CatalogError
from nautilus.store.catalog_facts import decode_facts, decode_table, fact_table, fact_time
from nautilus.store.catalog_instruments import StoredInstrument
from nautilus.store.catalog_intake import MARKED as MARKED
from nautilus.store.catalog_kinds import DAY_NS, SEQUENCE, Records, record_kind
from nautilus.store.catalog_log import FACTS, MARK, RECORDS, TABLE, Batch, Damage, segment_path
from nautilus.store.catalog_log_reader import read_segment, records_of
from nautilus.store.catalog_manifest import Manifest, OriginKey, Part
from nautilus.store.catalog_parts import PartMeta, PartWriter, arrow, day_of, in_order, part_path, record_table
from nautilus.store.catalog_settings import CatalogConfig

if TYPE_CHECKING:
    import pyarrow as pa

SEGMENT, LAST_SEQUENCE = "segment", "sequence"
DAMAGED: Final = ".damaged"

GroupKey = tuple[str, str, str, str, str, str]  # kind, key, day, price increment, lot size, form of a table


class _Group:
    """What becomes one file."""

    def __init__(self, instrument: StoredInstrument, time: str) -> None:
        self.instrument = instrument
        self.time = time
        self.records: list[Records] = []
        self.sequences: list[int] = []
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
    groups: dict[GroupKey, _Group] = {}
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
            _sort_in(groups, batch)
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
        place.rename(place.with_name(place.name + DAMAGED))
    else:
        place.unlink(missing_ok=True)
    return rows


def _sort_in(groups: dict[GroupKey, _Group], batch: Batch) -> None:
    stream = batch.stream
    instrument = stream.instrument

    def group_of(day: str, time: str, form: str = "") -> _Group:
        key = (stream.kind, instrument.key, day, instrument.price_increment, instrument.lot_size, form)
        if key not in groups:
            groups[key] = _Group(instrument, time)
        return groups[key]

    if batch.type == RECORDS:
        kind = record_kind(stream.kind)
        records = records_of(batch, kind.dtype)
        for first, some in _days(records, records[kind.time]):
            group = group_of(day_of(int(some[kind.time][0])), kind.time)
            group.records.append(some)
            group.sequences.append(batch.sequence + first)
    elif batch.type == FACTS:
        for at, fact in enumerate(decode_facts(stream.kind, batch.payload)):
            group = group_of(day_of(fact.provenance.fetched_ns), fact_time(stream.kind))
            group.facts.append(fact)
            group.fact_sequences.append(batch.sequence + at)
    elif batch.type == TABLE:
        pa = arrow()
        table = decode_table(batch.payload)
        sequence = pa.array(np.arange(batch.sequence, batch.sequence + len(table)))
        # Of the day on which it came. One file for each form: forms need not go together.
        group = group_of(day_of(now_ns()), stream.time, f"{stream.time} {table.schema}")
        group.tables.append(table.append_column(SEQUENCE, sequence))
    else:
        raise CatalogError(f"a batch of type {batch.type} in the log", expected="1 to 5")


def _days(records: Records, times: npt.NDArray[np.int64]) -> list[tuple[int, Records]]:
    """Runs of one day each, with the place of their first record."""
    days = times // DAY_NS
    if days[0] == days[-1] and (days == days[0]).all():
        return [(0, records)]
    starts = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(records)]
    return [(first, records[first:end]) for first, end in pairwise(starts)]


def _write(root: Path, number: int, at: int, key: GroupKey, group: _Group, config: CatalogConfig) -> Part:
    """One file of a group; its row on the list, without the instrument's number."""
    kind, instrument, day, increment, lot, _ = key
    table = _sorted_table(kind, group)
    times = table.column(group.time).to_numpy() if group.time else None
    sequence = table.column(SEQUENCE).to_numpy()
    meta = PartMeta(
        kind,
        group.instrument,
        day,
        int(times[0]) if times is not None else 0,
        int(times[-1]) if times is not None else 0,
        int(sequence.min()),
        int(sequence.max()),
        segment=number,
        time=group.time,
    )
    path = part_path(kind, instrument, day, f"{number:012}-{at}")
    with PartWriter(root, path, table.schema, config.compression, config.level) as part:
        part.write(table)
        size = part.finish(meta)
    return Part(
        0,
        kind,
        0,
        day,
        path,
        len(table),
        size,
        meta.first_ns,
        meta.last_ns,
        meta.first_sequence,
        meta.last_sequence,
        increment,
        lot,
    )


def _sorted_table(kind: str, group: _Group) -> pa.Table:
    if group.facts:
        return fact_table(kind, group.facts, group.fact_sequences)
    if group.tables:
        table = arrow().concat_tables(group.tables)
        return table.sort_by([(group.time, "ascending"), (SEQUENCE, "ascending")]) if group.time else table
    described = record_kind(kind)
    records = joined([np.ascontiguousarray(some) for some in group.records], described.dtype)
    sizes = np.array([len(some) for some in group.records])
    starts = np.array(group.sequences) - (np.cumsum(sizes) - sizes)
    sequence = np.arange(len(records)) + np.repeat(starts, sizes)
    order = in_order(records[described.time], sequence)
    if order is not None:
        records, sequence = records[order], sequence[order]
    return record_table(described, records, sequence)
