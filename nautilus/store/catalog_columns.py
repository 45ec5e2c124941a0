"""Records as columns and back: one column for each field, but for instrument and reserved ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from nautilus.store.catalog_kinds import Kind, Records

SEQUENCE: Final = "sequence"

BLOCK: Final = 4096
"""Records that fit into a core's cache, with their columns."""


class Column(NamedTuple):
    """One field of a kind's records as a column.

    Attributes
    ----------
    name : of the column.
    path : of the field in the dtype, as nested dtypes have it.
    dtype : of the column.
    """

    name: str
    path: tuple[str, ...]
    dtype: np.dtype[Any]


def gathered(parts: Sequence[Records], dtype: np.dtype[Any]) -> Records:
    """Contiguous arrays of one dtype in a row, copied as bytes."""
    if len(parts) == 1:
        return parts[0]
    buffer = np.empty(sum(part.nbytes for part in parts), np.uint8)
    at = 0
    for part in parts:
        buffer[at : at + part.nbytes] = part.view(np.uint8)
        at += part.nbytes
    return buffer.view(dtype)


def to_columns(kind: Kind, records: Records) -> dict[str, npt.NDArray[Any]]:
    """Columns of records, each contiguous."""
    columns = {name: np.empty(len(records), dtype) for name, _, dtype in kind.columns}
    # Block by block: a record's cache line is read once for all of its fields.
    for at in range(0, len(records), BLOCK):
        block = records[at : at + BLOCK]
        for name, path, _ in kind.columns:
            columns[name][at : at + BLOCK] = _field(block, path)
    return columns


def to_records(kind: Kind, columns: dict[str, npt.NDArray[Any]], count: int, instrument_id: int) -> Records:
    """Records of columns; fields without a column are zero."""
    records = np.empty(count, kind.dtype)
    present = [(path, columns[name]) for name, path, _ in kind.columns if name in columns]
    for at in range(0, count, BLOCK):
        block = records[at : at + BLOCK]
        block.view(np.uint8)[...] = 0
        for path, values in present:
            _field(block, path)[...] = values[at : at + BLOCK]
        for path in _holders(kind.dtype):
            _field(block, path)[...] = instrument_id
    return records


def _field(records: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        records = records[name]
    return records


def columns_of(dtype: np.dtype[Any], time: str) -> tuple[Column, ...]:
    """Columns of a dtype, its time first."""
    found: list[Column] = []

    def walk(each: np.dtype[Any], path: tuple[str, ...]) -> None:
        for name in each.names or ():
            field = each[name]
            if field.names:
                walk(field, (*path, name))
            elif not name.startswith(("reserved", "padding")) and name != "instrument_id":
                taken = {column.name for column in found}
                label = "_".join((*path, name)) if name in taken else name
                # The venue's own number of a tick, beside the order in which rows were appended.
                found.append(Column("venue_sequence" if label == SEQUENCE else label, (*path, name), field))

    walk(dtype, ())
    # The time first, as it is what a row is found by.
    return tuple(sorted(found, key=lambda column: column.name != time))


@cache
def _holders(dtype: np.dtype[Any]) -> tuple[tuple[str, ...], ...]:
    """Paths of the fields called `instrument_id`."""
    found: list[tuple[str, ...]] = []
    for name in dtype.names or ():
        if dtype[name].names:
            found += [(name, *rest) for rest in _holders(dtype[name])]
        elif name == "instrument_id":
            found.append((name,))
    return tuple(found)
