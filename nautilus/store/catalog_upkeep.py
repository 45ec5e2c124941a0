"""Compaction, checking, and the list made anew from the files.

A compaction writes the new file beside the old ones, then one transaction of the list puts the one in the place of the
others. Readers that have the old list keep the old files: these are deleted when nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nautilus.core.clock import now_ns
from nautilus.store.catalog_errors import CatalogDamagedError
from nautilus.store.catalog_facts import time_of
from nautilus.store.catalog_instruments import StoredInstrument
from nautilus.store.catalog_kinds import RECORD_KINDS, SEQUENCE, TABLE, record_kind
from nautilus.store.catalog_lock import unread
from nautilus.store.catalog_log import Damage
from nautilus.store.catalog_manifest import Manifest, Part
from nautilus.store.catalog_part_reader import opened, read_meta
from nautilus.store.catalog_part_writer import PartWriter
from nautilus.store.catalog_parts import PartMeta, arrow, part_path
from nautilus.store.catalog_periods import BAR, DAY, UNITS, bar_units, end_of, unit_of, wider
from nautilus.store.catalog_publish import SEGMENT
from nautilus.store.catalog_reader import Source, read_tables
from nautilus.store.catalog_settings import CatalogConfig
from nautilus.store.catalog_steps import factor

if TYPE_CHECKING:
    import pyarrow as pa

MERGE_ROWS: Final = 1 << 17
MANY: Final = 16
"""Files of a month or a year that are made one though it is not over."""
SPARSE_ROWS: Final = 4096
"""A file of a day with more rows is right as it is."""


def compact(
    root: Path,
    manifest: Manifest,
    config: CatalogConfig,
    kinds: Sequence[str] = (),
    instruments: Sequence[str] | None = None,
    before_day: str = "",
    steps: Callable[[str], object] = lambda step: None,
) -> int:
    """Make one file of each period's many; how many files were replaced. Only the writer may.

    Files of days, of a kind that has longer periods, become files of those.

    Parameters
    ----------
    before_day
        Leave what is not over by then, but for longer periods that have become many files; "": nothing.
    """
    with manifest.snapshot():
        known = {each.instrument_id: each for each in manifest.instruments()}
        listed = manifest.parts(kinds)
    periods: dict[tuple[str, int, str], list[Part]] = {}
    for part in listed:
        if instruments is None or known[part.instrument].key in instruments:
            period = wider(part.kind, part.day, _bar_unit(root / part.path, part.rows) if _may_grow(part) else DAY)
            periods.setdefault((part.kind, part.instrument, period), []).append(part)
    replaced, damaged = 0, None
    for (_, _, period), parts in periods.items():
        many = unit_of(period) != DAY and len(parts) >= MANY
        if len(parts) < 2 or (before_day and end_of(period) > before_day and not many):
            continue
        try:
            if _compact_period(root, manifest, config, period, parts, known[parts[0].instrument], steps):
                replaced += len(parts)
        except CatalogDamagedError as error:
            damaged = damaged or error  # once the other periods are done
    steps("purge")
    purge(root, manifest)
    if damaged is not None:
        raise damaged
    return replaced


def _may_grow(part: Part) -> bool:
    """Whether it is a file of a day, of bars, which may be of a kind that has longer periods."""
    return part.kind == BAR and unit_of(part.day) == DAY


@lru_cache(1 << 16)
def _bar_unit(place: Path, rows: int) -> str:
    """Unit of the shortest bars of a file, which never changes; a day where it has many rows, or cannot be read."""
    if rows > SPARSE_ROWS:
        return DAY
    try:
        with opened(place) as file:
            table = file.read(["begin_ns", "end_ns", "kind"])
    except (OSError, ValueError):
        return DAY
    units = bar_units(*(table.column(name).to_numpy() for name in table.column_names))
    return UNITS[int(units.min())]


def _compact_period(
    root: Path,
    manifest: Manifest,
    config: CatalogConfig,
    period: str,
    parts: Sequence[Part],
    owner: StoredInstrument,
    steps: Callable[[str], object],
) -> bool:
    """False: the period is left, as its tables do not go together."""
    first = parts[0]
    sequences = min(part.first_sequence for part in parts), max(part.last_sequence for part in parts)
    name = f"c{max(part.id for part in parts):012}"
    while (root / part_path(first.kind, owner.key, period, name)).exists():
        name += "c"  # of a list that was made anew, where numbers begin again
    path = part_path(first.kind, owner.key, period, name)
    days = ("", "")
    if unit_of(period) != DAY:
        days = min(part.first_day or part.day for part in parts), max(part.last_day or part.day for part in parts)
    damages: list[Damage] = []
    time = _time(root, parts)
    tables = _tables(root, parts, owner, time, damages)
    head = next(tables, None)
    if head is None and not damages:
        return False
    if damages or head is None:
        raise CatalogDamagedError(
            f"{damages[0].what if damages else 'nothing in it'}; the period is left as it is",
            where=damages[0].where if damages else path,
            expected="whole files; `verify` names the damaged ones",
        )
    steps("part")
    with PartWriter(root, path, head.schema, config.compression, config.level) as writer:
        writer.write(head)
        for table in tables:
            writer.write(table)
        if damages or writer.rows != sum(part.rows for part in parts):
            raise CatalogDamagedError(
                damages[0].what if damages else f"{writer.rows} rows of {sum(part.rows for part in parts)}",
                where=damages[0].where if damages else path,
                expected="whole files; `verify` names the damaged ones",
            )
        meta = PartMeta(
            first.kind,
            owner,
            period,
            min(part.first_ns for part in parts),
            max(part.last_ns for part in parts),
            *sequences,
            replaces=tuple(part.path for part in parts),
            segment=manifest.number(SEGMENT),
            time=time,
            first_day=days[0],
            last_day=days[1],
        )
        size = writer.finish(meta)
        rows = writer.rows
    new = first._replace(
        day=period,
        path=path,
        rows=rows,
        bytes=size,
        first_ns=meta.first_ns,
        last_ns=meta.last_ns,
        first_sequence=sequences[0],
        last_sequence=sequences[1],
        price_increment=owner.price_increment,
        lot_size=owner.lot_size,
        first_day=days[0],
        last_day=days[1],
    )
    steps("list")
    with manifest.transaction():
        manifest.retire([part.id for part in parts], now_ns())
        manifest.add([new])
    return True


def _time(root: Path, parts: Sequence[Part]) -> str:
    """The column by which rows are in order; of users' tables that of all files, "" where they differ."""
    if parts[0].kind != TABLE:
        return time_of(parts[0].kind)
    times = set()
    for part in parts:
        with suppress(OSError, ValueError), opened(root / part.path) as file:
            meta = read_meta(file)
            times.add(meta.time if meta is not None else "")
    return times.pop() if len(times) == 1 else ""


def _tables(
    root: Path, parts: Sequence[Part], owner: StoredInstrument, time: str, damages: list[Damage]
) -> Iterator[pa.Table]:
    """All rows of a period in order, in the owner's steps."""
    kind = parts[0].kind
    if kind in RECORD_KINDS:
        described = record_kind(kind)
        sources = [
            Source(
                part,
                described,
                0,
                factor(part.price_increment, owner.price_increment),
                factor(part.lot_size, owner.lot_size),
            )
            for part in parts
        ]
        yield from read_tables(sources, root, MERGE_ROWS, damages.append)
        return
    tables = []
    for part in parts:
        try:
            with opened(root / part.path) as file:
                tables.append(file.read())
        except (OSError, ValueError) as error:
            damages.append(Damage(str(root / part.path), str(error).splitlines()[0]))
            return
    try:
        table = arrow().concat_tables(tables, promote_options="permissive")
    except (ValueError, TypeError):
        return
    yield table.sort_by([(name, "ascending") for name in (time, SEQUENCE) if name])


def purge(root: Path, manifest: Manifest) -> int:
    """Delete replaced files that nobody can be reading; how many."""
    retired = manifest.retired()
    if not retired:
        return 0
    with unread(root) as free:
        gone = retired if free else []
        if not gone:
            return 0
        for _, path, _ in gone:
            with suppress(FileNotFoundError):
                (root / path).unlink()
        with manifest.transaction():
            manifest.forget([number for number, _, _ in gone])
    return len(gone)
