"""Facts of providers and tables of users as Arrow tables: one column a field, the provenance's fields among them."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from nautilus.model.datasets import FACTS, Fact, Provenance
from nautilus.store.catalog_errors import CatalogError
from nautilus.store.catalog_instruments import StoredInstrument, named
from nautilus.store.catalog_kinds import FACT_KINDS, FACT_TIME, RECORD_KINDS, SEQUENCE, TABLE, record_kind
from nautilus.store.catalog_parts import arrow

if TYPE_CHECKING:
    import pyarrow as pa

PROVENANCE = {"source": "source", "source_url": "url", "fetched_ns": "fetched_ns", "synthetic": "synthetic"}
"""Column of every fact to field of its provenance; a fact may have an `url` of its own."""
_PLAIN = {"int": "int64", "float": "float64", "str": "string", "bool": "bool_"}


def fact_time(kind: str) -> str:
    """Field of a fact's own time."""
    return FACT_TIME.get(kind, "begin_ns")


def time_of(kind: str) -> str:
    """The column by which rows of any kind are asked for; "" of users' tables, which say it themselves."""
    return "" if kind == TABLE else record_kind(kind).time if kind in RECORD_KINDS else fact_time(kind)


def fact_key(fact: Fact) -> StoredInstrument:
    """Whose fact it is: symbol, series or key, at its provider."""
    name = getattr(fact, "symbol", None) or getattr(fact, "series", None) or getattr(fact, "key", "")
    return named(str(name), fact.provenance.source)


@cache
def fact_schema(kind: str) -> pa.Schema:
    """Arrow schema of a kind of facts."""
    pa = arrow()
    struct = FACTS[FACT_KINDS[kind]]
    hints = typing.get_type_hints(struct)
    fields = [pa.field(name, _arrow_type(hints[name])) for name in struct.__struct_fields__ if name != "provenance"]
    hints = typing.get_type_hints(Provenance)
    fields += [pa.field(name, _arrow_type(hints[field])) for name, field in PROVENANCE.items()]
    return pa.schema([*fields, pa.field(SEQUENCE, pa.int64())])


def encode_facts(facts: Sequence[Fact]) -> bytes:
    """Facts of one kind for the log."""
    return msgspec.msgpack.encode(facts)


def checked_facts(kind: str, facts: Sequence[Fact]) -> bytes:
    """As `encode_facts`, once they are known to come back and to fit the kind's columns.

    Raises
    ------
    CatalogError
        They do not: nothing of them goes into the log, which has to become files.
    """
    try:
        payload = encode_facts(facts)
        fact_table(kind, decode_facts(kind, payload), range(len(facts)))
    except (ValueError, TypeError, OverflowError, msgspec.MsgspecError, arrow().ArrowException) as error:
        said = str(error).strip().partition("\n")[0]
        raise CatalogError(
            f"a {kind} of {fact_key(facts[0]).key} cannot be stored: {said}",
            expected="the types of its fields, whole numbers of 64 bits",
        ) from None
    return payload


def decode_facts(kind: str, payload: bytes | memoryview) -> list[Any]:
    """Inverse of `encode_facts`."""
    struct: Any = FACTS[FACT_KINDS[kind]]
    return msgspec.msgpack.decode(payload, type=list[struct])


def fact_table(kind: str, facts: Sequence[Any], sequence: Sequence[int]) -> pa.Table:
    """Arrow table of facts in order of time."""
    pa = arrow()
    schema, time = fact_schema(kind), fact_time(kind)
    order = sorted(range(len(facts)), key=lambda at: (getattr(facts[at], time), sequence[at]))
    columns: dict[str, list[Any]] = {}
    for name in schema.names:
        if name == SEQUENCE:
            columns[name] = [sequence[at] for at in order]
        elif name in PROVENANCE:
            columns[name] = [getattr(facts[at].provenance, PROVENANCE[name]) for at in order]
        else:
            columns[name] = [getattr(facts[at], name) for at in order]
    return pa.table(columns, schema=schema)


def facts_of(kind: str, table: pa.Table) -> list[Any]:
    """Facts of a table with the columns of `fact_schema`."""
    struct: Any = FACTS[FACT_KINDS[kind]]
    names = [name for name in struct.__struct_fields__ if name != "provenance"]
    found = []
    for row in table.select([*names, *PROVENANCE]).to_pylist():
        provenance = Provenance(*(row[name] for name in PROVENANCE))
        values = [tuple(row[name]) if isinstance(row[name], list) else row[name] for name in names]
        found.append(struct(*values, provenance))
    return found


def encode_table(table: pa.Table) -> bytes:
    """A table for the log."""
    pa = arrow()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def decode_table(payload: bytes | memoryview) -> pa.Table:
    """Inverse of `encode_table`."""
    pa = arrow()
    with pa.ipc.open_stream(pa.py_buffer(payload)) as stream:
        return stream.read_all()


def check_table(name: str, table: pa.Table, time: str) -> None:
    """Refuse a table that cannot be kept."""
    if SEQUENCE in table.column_names:
        raise CatalogError(f"column {SEQUENCE!r} of table {name!r}", expected="another name: rows are numbered by it")
    if len(set(table.column_names)) != table.num_columns:
        raise CatalogError(f"two columns of one name in table {name!r}", expected="names that differ")
    pa = arrow()
    try:
        pa.parquet.write_table(table.schema.empty_table(), pa.BufferOutputStream())
    except pa.ArrowException as error:
        raise CatalogError(f"table {name!r}: {error}", expected="types that Parquet has") from None
    if time and (time not in table.column_names or not arrow().types.is_int64(table.schema.field(time).type)):
        raise CatalogError(f"time column {time!r} of table {name!r}", expected="a column of int64, nanoseconds UTC")
    if time and table.column(time).null_count:
        raise CatalogError(f"nulls in time column {time!r} of table {name!r}", expected="a time in each row")


def _arrow_type(hint: Any) -> pa.DataType:
    pa = arrow()
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(each for each in typing.get_args(hint) if each is not type(None))
    if typing.get_origin(hint) is tuple:
        return pa.list_(_arrow_type(typing.get_args(hint)[0]))
    return getattr(pa, _PLAIN[hint.__name__])()
