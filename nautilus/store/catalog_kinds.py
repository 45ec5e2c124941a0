"""What a catalog keeps: the kinds of records, and the columns that each becomes.

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
from nautilus.model.marketdata import AUCTION
from nautilus.store.catalog_columns import SEQUENCE as SEQUENCE
from nautilus.store.catalog_columns import Column, columns_of
from nautilus.store.catalog_errors import QueryError as QueryError

Records = npt.NDArray[np.void]
DAY_NS: Final = 86_400_000_000_000
SCHEMA_VERSION: Final = 2
READABLE_VERSIONS: Final = (1, 2)
"""Layouts of a catalog that are read. The first had files of days alone; a writer makes it the second."""
TABLE: Final = "table"
"""Kind of tables of the user's own; their name stands where others have the instrument."""


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
    return Kind(name, dtype, time, columns_of(dtype, time), prices, quantities)


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
