"""Tables, partitions and views of a catalog on PostgreSQL."""

from __future__ import annotations

import re
from typing import Any, Final

from nautilus.model.datasets import FACTS
from nautilus.store.catalog_errors import QueryError
from nautilus.store.catalog_facts import fact_schema, time_of
from nautilus.store.catalog_kinds import DAY_NS, FACT_KINDS, RECORD_KINDS, SEQUENCE, record_kind
from nautilus.store.catalog_periods import MONTH, bounds_ns, server_unit
from nautilus.store.catalog_views import PRICE_NAMES, identifier, said
from nautilus.store.postgres_rows import SCHEMA, layout

CHUNK_DAYS: Final = 30
"""Of a chunk of a hypertable, for what has partitions of months."""
LONGEST_NAME: Final = 63
"""Bytes of a name; PostgreSQL would cut a longer one."""
_ROWS: Final = re.compile(r"_rows(_\d{6}|_\d{8})?$|_when$")


_FACT_TYPES: Final = {"int64": "int8", "double": "float8", "string": "text", "bool": "bool"}


TABLES: Final = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.meta (key text PRIMARY KEY, value int8 NOT NULL);
CREATE TABLE IF NOT EXISTS {SCHEMA}.instruments (
    instrument_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, instrument text NOT NULL UNIQUE, symbol text NOT NULL,
    venue text NOT NULL, price_increment numeric, lot_size numeric, base_currency text NOT NULL,
    quote_currency text NOT NULL, product text NOT NULL, description text NOT NULL);
CREATE TABLE IF NOT EXISTS {SCHEMA}.ranges (
    kind text NOT NULL, instrument_id int4 NOT NULL, day date NOT NULL, rows int8 NOT NULL, first_ns int8 NOT NULL,
    last_ns int8 NOT NULL, PRIMARY KEY (kind, instrument_id, day));
CREATE TABLE IF NOT EXISTS {SCHEMA}.origins (
    origin text NOT NULL, kind text NOT NULL, instrument text NOT NULL, position int8 NOT NULL,
    PRIMARY KEY (origin, kind, instrument));
CREATE TABLE IF NOT EXISTS {SCHEMA}.meta_writers (
    writer int8 PRIMARY KEY, batches int8 NOT NULL, seen_ns int8 NOT NULL);
"""


def create_rows(kind: str, timescale: str) -> list[str]:
    """Statements that make a kind's table, its index and its view, where they are not there.

    A hypertable where `timescale` is the schema, as SQL, in which TimescaleDB has its functions.
    """
    if kind in RECORD_KINDS:
        of = layout(kind)
        time = of.kind.time
        columns = [f"{name} {type_} NOT NULL" for name, type_ in zip(of.columns, of.types, strict=True)]
    else:
        time = "fetched_ns"
        columns = ["instrument_id int4 NOT NULL"] + [
            f"{name} {_fact_type(str(fact_schema(kind).field(name).type))}" for name in fact_schema(kind).names
        ]
    table = f"{SCHEMA}.{kind}_rows"
    partitions = "" if timescale else f" PARTITION BY RANGE ({time})"
    statements = [f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(columns)}){partitions}"]
    if timescale:
        # Chunks about as long as partitions; without its index on time alone, which partitions do not have either.
        length = DAY_NS * (CHUNK_DAYS if server_unit(kind) == MONTH else 1)
        statements.append(
            f"SELECT {timescale}.create_hypertable('{table}', '{time}', chunk_time_interval => {length},"
            " create_default_indexes => false, if_not_exists => true)"
        )
    statements.append(f"CREATE INDEX IF NOT EXISTS {kind}_when ON {table} (instrument_id, {time})")
    statements.append(f"CREATE OR REPLACE VIEW {SCHEMA}.{kind} AS {_view(kind)}")
    return statements


def create_partition(kind: str, period: str) -> str:
    """Statement that makes the partition of a day or a month."""
    begin_ns, end_ns = bounds_ns(period)
    return (
        f"CREATE TABLE IF NOT EXISTS {SCHEMA}.{partition_name(kind, period)} PARTITION OF {SCHEMA}.{kind}_rows"
        f" FOR VALUES FROM ({begin_ns}) TO ({end_ns})"
    )


def partition_name(kind: str, period: str) -> str:
    """Name of the partition of a period."""
    return f"{kind}_rows_{period.replace('-', '')}"


def _view(kind: str) -> str:
    words = ["i.instrument", f"TIMESTAMP 'epoch' + (r.{time_of(kind)} / 1000) * INTERVAL '1 microsecond' AS time"]
    if kind in RECORD_KINDS:
        described = record_kind(kind)
        lots = set(described.quantities)
        words += [f"r.{name} * i.price_increment AS {PRICE_NAMES[name]}" for name in described.prices]
        words += [f"r.{name} * i.lot_size AS {name}" for name in described.quantities]
        words += [f"r.{each.name} AS {each.name}{'_lots' * (each.name in lots)}" for each in described.columns]
        words.append(f"r.{SEQUENCE}")
    else:
        words += [f"r.{name}" for name in fact_schema(kind).names]
    rows = f"{SCHEMA}.{kind}_rows r JOIN {SCHEMA}.instruments i USING (instrument_id)"
    # Behind all others: a view that is there already is replaced by one that has more columns at its end.
    return f"SELECT {', '.join([*words, 'instrument_id', *said(kind, 'r.')])} FROM {rows}"


def _fact_type(kind: str) -> str:
    return "text[]" if kind.startswith("list") else _FACT_TYPES[kind]


def table_type(kind: Any) -> str:
    """PostgreSQL's type for a column of a user's table."""
    text = str(kind)
    if text.startswith(("int", "uint")) and text != "uint64":
        return "int8"
    if text in ("double", "float"):
        return "float8"
    if text in ("string", "large_string"):
        return "text"
    if text == "bool":
        return "bool"
    raise QueryError(f"a column of type {text}", expected="integers, floats, text or booleans on PostgreSQL")


def check_name(name: str) -> str:
    """A table's name as SQL; QueryError for one that the server cannot have, or that is taken."""
    taken = {"meta", "meta_writers", "instruments", "ranges", "origins", *RECORD_KINDS, *FACT_KINDS}
    if not 0 < len(name.encode()) <= LONGEST_NAME or "\0" in name or name in taken or _ROWS.search(name):
        raise QueryError(f"table {name!r}", expected=f"1 to {LONGEST_NAME} bytes, and no kind's name")
    return identifier(name)


def fact_names(kind: str) -> list[str]:
    """Fields of a kind of facts."""
    return [name for name in FACTS[FACT_KINDS[kind]].__struct_fields__ if name != "provenance"]
