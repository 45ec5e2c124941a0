"""What a catalog keeps: the kinds of records, the columns that each becomes, and the errors of all its parts.

A kind of records is a numpy dtype of `core.types`, `core.ticks` or `model.marketdata`. In files and tables its fields
are columns of the same names; `instrument_id` (the partition says it) and reserved fields are none, and `sequence`, the
order in which rows were appended, is one more.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.model.datasets import FACTS, DataKind
from nautilus.model.errors import ConfigError, ModelError
from nautilus.model.marketdata import AUCTION

Records = npt.NDArray[np.void]
DAY_NS: Final = 86_400_000_000_000
SCHEMA_VERSION: Final = 1
SEQUENCE: Final = "sequence"
BLOCK: Final = 4096
"""Records that fit into a core's cache, with their columns."""
TABLE: Final = "table"
"""Kind of tables of the user's own; their name stands where others have the instrument."""


class CatalogError(ConfigError):
    """A catalog cannot be opened, written or read."""

    code = "config.catalog"


class CatalogBusyError(CatalogError):
    """Another process writes it."""

    code = "config.catalog_busy"


class CatalogFullError(CatalogError):
    """There is no room for it; what was handed in waits until there is."""

    code = "config.catalog_full"


class CatalogVersionError(CatalogError):
    """It was written by a version that this one does not read."""

    code = "config.catalog_version"


class CatalogDamagedError(CatalogError):
    """A file of it is not as it was written."""

    code = "config.catalog_damaged"


class QueryError(ModelError):
    """A query that the catalog does not answer: wrong SQL, an unknown kind or column, too large, too long."""

    code = "model.query"


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


class Kind(NamedTuple):
    """A kind of records.

    Attributes
    ----------
    time : the field by which they are ordered.
    prices, quantities : fields in the instrument's increments and lots: a file in coarser steps is scaled when read.
    """

    name: str
    dtype: np.dtype[Any]
    time: str
    columns: tuple[Column, ...]
    prices: tuple[str, ...]
    quantities: tuple[str, ...]


# name -> (module, dtype's name, time, prices, quantities); loaded when first asked for
_RECORDS: Final[dict[str, tuple[str, str, str, tuple[str, ...], tuple[str, ...]]]] = {
    "quote": ("", "QUOTE", "now_ns", ("bid_ticks", "ask_ticks"), ("bid_quantity", "ask_quantity")),
    "trade": ("", "TRADE", "now_ns", ("price_ticks",), ("quantity",)),
    "book": ("", "BOOK_DELTA", "now_ns", ("price_ticks",), ("quantity",)),
    "auction": ("", "AUCTION", "now_ns", ("price_ticks",), ("quantity", "surplus")),
    "bar": (
        "nautilus.core.ticks",
        "BAR",
        "now_ns",
        ("open_ticks", "high_ticks", "low_ticks", "close_ticks"),
        ("volume", "buy_volume"),
    ),
    "flow": ("nautilus.core.ticks", "FLOW", "now_ns", (), ("imbalance", "bid_depth", "ask_depth")),
    # Their prices are mantissas with decimals of their own.
    "tick": ("nautilus.core.ticks", "TICK", "receive_ns", (), ()),
    "quarantine": ("nautilus.core.ticks", "QUARANTINE", "receive_ns", (), ()),
}
RECORD_KINDS: Final = tuple(_RECORDS)
FACT_KINDS: Final[dict[str, DataKind]] = {
    "quote_fact": DataKind.QUOTE,
    "bar_fact": DataKind.BAR,
    "fundamental": DataKind.FUNDAMENTAL,
    "economic": DataKind.ECONOMIC,
    "listing": DataKind.LISTING,
    "event": DataKind.EVENT,
}
KINDS: Final = (*RECORD_KINDS, *FACT_KINDS, TABLE)
FACT_TIME: Final = {"quote_fact": "time_ns", "event": "time_ns"}
"""Field of a fact's own time; `begin_ns` of all others."""
_LOCAL: Final = {"QUOTE": QUOTE, "TRADE": TRADE, "BOOK_DELTA": BOOK_DELTA, "AUCTION": AUCTION}
_KIND_OF_FACT: Final = {FACTS[kind]: name for name, kind in FACT_KINDS.items()}


@cache
def record_kind(name: str) -> Kind:
    """Description of a kind of records.

    Raises
    ------
    QueryError
        There is no such kind.
    """
    found = _RECORDS.get(name)
    if found is None:
        raise QueryError(f"kind {name!r} of records", expected=", ".join(RECORD_KINDS))
    module, dtype_name, time, prices, quantities = found
    if module:
        import importlib

        dtype = getattr(importlib.import_module(module), dtype_name)
    else:
        dtype = _LOCAL[dtype_name]
    return Kind(name, dtype, time, _columns(dtype, time), prices, quantities)


def fact_kind(fact: object) -> str:
    """Kind of a fact of `model.datasets`."""
    found = _KIND_OF_FACT.get(type(fact))  # type: ignore[arg-type]
    if found is None:
        raise QueryError(f"a {type(fact).__name__}", expected="a fact of nautilus.model.datasets")
    return found


def check_kind(name: str) -> str:
    """Refuse a kind that there is not."""
    if name not in KINDS:
        raise QueryError(f"kind {name!r}", expected=", ".join(KINDS))
    return name


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


def _columns(dtype: np.dtype[Any], time: str) -> tuple[Column, ...]:
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
