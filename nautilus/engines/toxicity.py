"""What engines of toxicity share: instruments by name, bars that the clock closes, pages, state, what answers rest on.

Each keeps tables of volume buckets (`VpinTable`) of the same instruments; what follows from them is its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from nautilus.core.buckets import BucketFlag
from nautilus.core.vpin import VpinTable
from nautilus.engines.base import Context, Engine
from nautilus.maths.vpin_state import load_part, table_parts
from nautilus.model.basis import Basis
from nautilus.model.enums import RecordFlag
from nautilus.model.errors import ModelError, UnknownInstrumentError
from nautilus.model.instrument import Instrument
from nautilus.model.records import Records
from nautilus.model.vpin import GetEnhancedVpins, GetVpins

FULL: Final = int(BucketFlag.FULL)
READ: Final[dict[str, Any]] = {"budget_ms": 50.0, "fallback": "last"}
"""Of operations that read one instrument."""
LIST: Final[dict[str, Any]] = {"priority": "normal", "fallback": "last"}
"""Of those that list."""
_BARS = "bars"
# Trades of a bar may be that long on their way when the clock says that it has ended.
_GRACE_NS = 1_000_000_000
_SYNTHETIC = int(RecordFlag.SYNTHETIC)


class ToxicityEngine(Engine):
    """Base of engines over tables of volume buckets.

    Parameters
    ----------
    instruments
        That the tables have.
    tables
        By the names of their parts in the saved state.
    bar_ns
        How long a bar of time is; 0: there are none.
    """

    takes_arrays = True

    def __init__(self, instruments: Iterable[Instrument], tables: Mapping[str, VpinTable], bar_ns: int) -> None:
        self._instruments = {found.instrument_id: found for found in instruments}
        self._by_symbol: dict[str, list[Instrument]] = {}
        for found in self._instruments.values():
            self._by_symbol.setdefault(found.symbol, []).append(found)
        self._tables = dict(tables)
        self._bar_ns = bar_ns
        self._armed = False
        self._traded_ns = 0

    def on_trade(self, trades: Records, ctx: Context) -> None:
        """Pour a TRADE array into the buckets of every table, and warn."""
        self._judge([table.process(trades) for table in self._tables.values()], ctx)
        self._traded_ns = ctx.now_ns
        if self._bar_ns and not self._armed:
            self._arm(ctx)

    def _arm(self, ctx: Context) -> None:
        """Wake when the bar of the last trades has ended, if that is still to come."""
        due_ns = self._traded_ns - self._traded_ns % self._bar_ns + self._bar_ns + _GRACE_NS
        self._armed = due_ns > ctx.now_ns
        if self._armed:
            ctx.at(due_ns, _BARS)

    def on_timer(self, key: str, ctx: Context) -> None:
        """Close bars of time that no trade has closed."""
        ended_ns = max(0, ctx.now_ns - _GRACE_NS)
        self._judge([table.advance(ended_ns) for table in self._tables.values()], ctx)
        self._arm(ctx)

    @abstractmethod
    def _judge(self, done: list[Records], ctx: Context) -> None:
        """Take the buckets that are complete, by table, and warn."""

    def _known(self, symbol: str) -> Instrument:
        """The instrument of a symbol, or of an id as text. A symbol goes before an id that reads the same.

        Raises
        ------
        UnknownInstrumentError
            There is none.
        ModelError
            Several venues have the symbol.
        """
        found = self._by_symbol.get(symbol, ())
        if len(found) == 1:
            return found[0]
        if found:
            places = ", ".join(f"{each.instrument_id} ({each.venue})" for each in found)
            raise ModelError(f"{symbol!r} at several venues", where=self.name, expected=f"an id of {places}")
        number = int(symbol) if symbol.isascii() and symbol.isdigit() else -1
        if number not in self._instruments:
            raise UnknownInstrumentError(
                f"instrument {symbol!r}", where=self.name, expected="a symbol or an id of the platform's instruments"
            )
        return self._instruments[number]

    def _page(self, tables: Sequence[VpinTable], message: GetVpins | GetEnhancedVpins) -> tuple[list[int], int]:
        """(ids of a page, the `after` of the next one or 0) of the instruments that have completed a bucket."""
        listed = (key for key in self._instruments if key > message.after)
        keys = sorted(key for key in listed if any(len(table.last(key)) for table in tables))
        page = keys[: message.limit]
        return page, page[-1] if len(keys) > message.limit else 0

    def bulk(self) -> Mapping[str, tuple[int, Callable[[], Any]]]:
        """The tables, in parts of many instruments each."""
        return {part: found for name, table in self._tables.items() for part, found in table_parts(name, table).items()}

    def restore_bulk(self, name: str, part: Any) -> None:
        """See `Engine.restore_bulk`. Instruments that were saved with other settings begin anew."""
        table = self._tables.get(name.partition("-")[0])
        if table is not None:
            load_part(table, part)


def has_value(table: VpinTable, instrument_id: int) -> bool:
    """Whether the window of an instrument is full, so that its last bucket has a VPIN."""
    last = table.last(instrument_id)
    return len(last) > 0 and bool(last["flags"][0] & FULL)


def why_none(counts: Mapping[str, int]) -> str:
    """The code of why an instrument has no value yet."""
    return "too_few" if counts["taken"] else "zero_volume" if counts["without_volume"] else "empty"


def basis_of(method: str, windows: Sequence[Records], counts: Mapping[str, int]) -> Basis:
    """What windows of buckets rest on together. `missing`: trades of the instrument that were left out."""
    buckets = np.concatenate(windows)
    fields: dict[str, Any] = {}
    if len(buckets):
        fields = {
            "begin_ns": int(buckets["begin_ns"].min()),
            "end_ns": int(buckets["now_ns"].max()),
            "synthetic": bool((buckets["flags"] & _SYNTHETIC).any()),
        }
    left_out = counts["late"] + counts["duplicates"] + counts["without_volume"] + counts["refused"]
    return Basis(method, window=len(buckets), source="star", missing=left_out, version="1", **fields)


__all__ = ["FULL", "LIST", "READ", "ToxicityEngine", "basis_of", "has_value", "why_none"]
