"""SQL over a catalog's files: for each kind a view with prices and quantities as decimals, ticks and lots beside them.

Files in different steps are read by branches of their own, so that a scan multiplies by constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from nautilus.store.catalog_facts import fact_schema, fact_time
from nautilus.store.catalog_instruments import StoredInstrument
from nautilus.store.catalog_kinds import RECORD_KINDS, SEQUENCE, TABLE, record_kind
from nautilus.store.catalog_manifest import Part, Range
from nautilus.store.catalog_parts import arrow
from nautilus.store.catalog_periods import DAY, unit_of
from nautilus.store.catalog_steps import decimals, factor

PRICE_NAMES: Final = {
    "bid_ticks": "bid",
    "ask_ticks": "ask",
    "price_ticks": "price",
    "open_ticks": "open",
    "high_ticks": "high",
    "low_ticks": "low",
    "close_ticks": "close",
}
_FACT_TYPES: Final = {
    "int64": "BIGINT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "bool": "BOOLEAN",
    "list<item: string>": "VARCHAR[]",
    "list<element: string>": "VARCHAR[]",
}


def quoted(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(text: str) -> str:
    """A name of SQL."""
    return '"' + text.replace('"', '""') + '"'


def view_text(kind: str, root: Path, parts: Sequence[Part], instruments: dict[int, StoredInstrument]) -> str:
    """SELECT that is a kind's view."""
    if kind in RECORD_KINDS:
        if not parts:
            return _empty(kind)
        groups: dict[tuple[str, ...], list[Part]] = {}
        for part in parts:
            owner = instruments[part.instrument]
            steps = (part.price_increment, part.lot_size, owner.price_increment, owner.lot_size)
            groups.setdefault((unit_of(part.day), *steps), []).append(part)
        owners = {part.instrument for part in parts}
        places = max(decimals(instruments[each].price_increment) for each in owners)
        lot_places = max(decimals(instruments[each].lot_size) for each in owners)
        return " UNION ALL ".join(
            _branch(kind, root, some, steps, places, lot_places) for (_, *steps), some in sorted(groups.items())
        )
    if not parts:
        names = fact_schema(kind) if kind != TABLE else ()
        columns = [f"NULL::{_FACT_TYPES[str(field.type)]} AS {field.name}" for field in names]
        words = ["NULL::VARCHAR AS instrument", "NULL::TIMESTAMP_NS AS time", *columns, "NULL::DATE AS day"]
        return f"SELECT {', '.join(words)} WHERE false"
    if kind == TABLE:
        # Columns may have any name: none comes from the path.
        paths = ", ".join(quoted(str(root / part.path)) for part in parts)
        return f"SELECT * FROM read_parquet([{paths}], hive_partitioning = false, union_by_name = true)"
    units: dict[str, list[Part]] = {}
    for part in parts:
        units.setdefault(unit_of(part.day), []).append(part)
    time = f"make_timestamp_ns({fact_time(kind)}) AS time"
    return " UNION ALL BY NAME ".join(
        f"SELECT instrument, {time}, * EXCLUDE (instrument, {unit}), {_day(unit, 'fetched_ns')}"
        f" FROM {_files(root, some, True)}"
        for unit, some in sorted(units.items())
    )


def _files(root: Path, parts: Sequence[Part], by_name: bool = False) -> str:
    """Files of periods of one unit."""
    paths = ", ".join(quoted(str(root / part.path)) for part in parts)
    more = ", union_by_name = true" if by_name else ""
    unit = unit_of(parts[0].day)
    types = f"{{'instrument': VARCHAR, '{unit}': {'DATE' if unit == DAY else 'VARCHAR'}}}"
    return f"read_parquet([{paths}], hive_partitioning = true, hive_types = {types}{more})"


def _day(unit: str, time: str) -> str:
    """The column of the day: that of the directory, or of each row where that is a longer period."""
    return "day" if unit == DAY else f"CAST(make_timestamp_ns({time}) AS DATE) AS day"


def _branch(kind: str, root: Path, parts: Sequence[Part], steps: Sequence[str], places: int, lot_places: int) -> str:
    increment, lot, whole_increment, whole_lot = steps
    described = record_kind(kind)
    prices, lots = set(described.prices), set(described.quantities)
    price_factor, lot_factor = factor(increment, whole_increment), factor(lot, whole_lot)

    def raw(name: str) -> str:
        times = price_factor if name in prices else lot_factor if name in lots else 1
        return f"{name} * {times}" if times != 1 else name

    def exact(name: str, step: str, scale: int) -> str:
        mantissa = f"{Decimal(step):.{scale}f}"
        width = max(len(mantissa.replace(".", "").lstrip("0")), scale, 1)
        return f"CAST({name} AS DECIMAL(18, 0)) * CAST({quoted(mantissa)} AS DECIMAL({width}, {scale}))"

    columns = ["instrument", f"make_timestamp_ns({described.time}) AS time"]
    columns += [f"{exact(name, increment, places)} AS {PRICE_NAMES[name]}" for name in described.prices]
    columns += [f"{exact(name, lot, lot_places)} AS {name}" for name in described.quantities]
    columns += [
        f"{raw(column.name)} AS {column.name}_lots" if column.name in lots else f"{raw(column.name)} AS {column.name}"
        for column in described.columns
    ]
    columns += said(kind)
    day = _day(unit_of(parts[0].day), described.time)
    return f"SELECT {', '.join([*columns, SEQUENCE, day])} FROM {_files(root, parts)}"


def said(kind: str, of: str = "") -> list[str]:
    """Columns of a kind's view that say in words what numbers stand for: of refused ticks what they were, and why."""
    if kind != "quarantine":
        return []
    from nautilus.core.ticks import TickKind, TickReason

    found = []
    for name, words, label in (("kind", TickKind, "record"), ("reason", TickReason, "refused_for")):
        cases = " ".join(f"WHEN {int(each)} THEN {quoted(each.name)}" for each in words)
        found.append(f"CASE {of}{name} {cases} END AS {label}")
    return found


def _empty(kind: str) -> str:
    """A view of nothing, with the columns that it would have."""
    described = record_kind(kind)
    lots = set(described.quantities)
    words = ["NULL::VARCHAR AS instrument", "NULL::TIMESTAMP_NS AS time"]
    words += [f"NULL::DECIMAL(36, 8) AS {PRICE_NAMES[name]}" for name in described.prices]
    words += [f"NULL::DECIMAL(36, 8) AS {name}" for name in described.quantities]
    sizes = {1: "UTINYINT", 2: "USMALLINT", 4: "UINTEGER", 8: "BIGINT"}
    for column in described.columns:
        of = "DOUBLE" if column.dtype.kind == "f" else "UBIGINT" if column.dtype.str == "<u8" else ""
        name = f"{column.name}_lots" if column.name in lots else column.name
        words.append(f"NULL::{of or sizes[column.dtype.itemsize]} AS {name}")
    words += [f"NULL::VARCHAR AS {each.rpartition(' ')[2]}" for each in said(kind)]
    return f"SELECT {', '.join([*words, f'NULL::BIGINT AS {SEQUENCE}', 'NULL::DATE AS day'])} WHERE false"


def instruments_table(instruments: Sequence[StoredInstrument]) -> object:
    """Arrow table of the instruments."""
    pa = arrow()
    return pa.table(
        {
            "instrument": pa.array([each.key for each in instruments], pa.string()),
            "instrument_id": pa.array([each.instrument_id for each in instruments], pa.int64()),
            "symbol": pa.array([each.symbol for each in instruments], pa.string()),
            "venue": pa.array([each.venue for each in instruments], pa.string()),
            "price_increment": pa.array([each.price_increment for each in instruments], pa.string()),
            "lot_size": pa.array([each.lot_size for each in instruments], pa.string()),
            "base_currency": pa.array([each.base_currency for each in instruments], pa.string()),
            "quote_currency": pa.array([each.quote_currency for each in instruments], pa.string()),
            "product": pa.array([each.product for each in instruments], pa.string()),
        }
    )


def ranges_table(ranges: Sequence[Range]) -> object:
    """Arrow table of what a catalog has."""
    names = ("kind", "instrument", "rows", "bytes", "parts", "first_ns", "last_ns", "first_day", "last_day")
    pa = arrow()
    kinds = [pa.string() if name in ("kind", "instrument", "first_day", "last_day") else pa.int64() for name in names]
    columns: list[Any] = [
        pa.array([each[at] for each in ranges], kind) for at, kind in zip(range(len(names)), kinds, strict=True)
    ]
    return pa.table(columns, names=list(names))
