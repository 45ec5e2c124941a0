"""Rows of a catalog on PostgreSQL: its tables, and records as the binary form of COPY, made and read by numpy.

Every field has a fixed width there, so that a row is one packed record of big-endian numbers and nothing is done row by
row. Unsigned numbers take the next wider type; of 64 bits, the same bits signed.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.store.catalog_kinds import SEQUENCE, Kind, record_kind

SCHEMA: Final = "market_data"
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
_TYPES: Final = {
    "<i8": ("int8", ">i8"),
    "<u8": ("int8", ">i8"),
    "<u4": ("int8", ">i8"),
    "<i4": ("int4", ">i4"),
    "<u2": ("int4", ">i4"),
    "|u1": ("int2", ">i2"),
    "<f8": ("float8", ">f8"),
}


class Layout(NamedTuple):
    """A kind's rows on the wire.

    Attributes
    ----------
    columns : names, in the order of the table.
    types : of PostgreSQL.
    row : packed dtype of a row: count of fields, then length and value of each.
    """

    kind: Kind
    columns: tuple[str, ...]
    types: tuple[str, ...]
    row: np.dtype[Any]


@cache
def layout(kind: str) -> Layout:
    """Layout of a kind of records."""
    described = record_kind(kind)
    named = [("instrument_id", ("int4", ">i4"))]
    named += [(column.name, _TYPES[column.dtype.str]) for column in described.columns]
    named.append((SEQUENCE, ("int8", ">i8")))
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, (_, code) in named:
        fields += [(f"{name} length", ">i4"), (name, code)]
    return Layout(described, tuple(name for name, _ in named), tuple(kind for _, (kind, _) in named), np.dtype(fields))


def encode_rows(of: Layout, columns: dict[str, npt.NDArray[Any]], instrument_id: int, count: int) -> bytes:
    """Columns as what COPY takes."""
    rows = np.empty(count, of.row)
    rows["fields"] = len(of.columns)
    for name in of.columns:
        rows[f"{name} length"] = of.row[name].itemsize
        values: Any = instrument_id if name == "instrument_id" else columns[name]
        if name != "instrument_id" and values.dtype == np.uint64:
            values = values.view(np.int64)
        rows[name] = values
    return b"".join((HEADER, rows.tobytes(), TRAILER))


def decode_rows(of: Layout, content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Whole rows of what COPY gives, without its header and trailer, as columns."""
    rows = np.frombuffer(content, of.row)
    columns: dict[str, npt.NDArray[Any]] = {}
    wanted = {column.name: column.dtype for column in of.kind.columns}
    for name in of.columns:
        values = rows[name].astype(rows[name].dtype.newbyteorder("<"))
        dtype = wanted.get(name)
        if dtype is not None and dtype != values.dtype:
            values = values.view(dtype) if dtype.itemsize == values.itemsize else values.astype(dtype)
        columns[name] = values
    return columns
