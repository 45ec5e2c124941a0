"""Last prices of the market, and what was traded, since the last day ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus.core.ticks import BarKind
from nautilus.model.instrument import Instrument
from nautilus.model.records import Records

Array = NDArray[np.float64]


class LastPrices:
    """By instrument, in its quote currency.

    Parameters
    ----------
    instruments
        Others are left out.

    Attributes
    ----------
    version : higher with each array that changed a price.
    """

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        known = sorted(instruments, key=lambda instrument: instrument.instrument_id)
        self._ids = np.array([instrument.instrument_id for instrument in known], dtype=np.int64)
        self._steps = np.array([float(instrument.price_increment) for instrument in known])
        # Money for a tick and a lot.
        self._units = np.array([float(instrument.money(instrument.multiplier)) for instrument in known])
        self._prices = np.full(len(known), np.nan)
        self._traded = np.zeros(len(known))
        self._sizes = np.zeros(len(known), dtype=np.int64)
        self._moved = np.zeros(len(known), dtype=bool)
        self.version = 0

    def take_quotes(self, quotes: Records) -> None:
        """The middle of bid and ask, where both are there."""
        both = (quotes["bid_quantity"] > 0) & (quotes["ask_quantity"] > 0)
        middle = 0.5 * (quotes["bid_ticks"] + quotes["ask_ticks"])
        self._take(quotes["instrument_id"][both], middle[both])

    def take_bars(self, bars: Records) -> None:
        """Closes; and the value that was traded, of the bars of time that an instrument had first: others overlap."""
        places = self._take(bars["instrument_id"], bars["close_ticks"].astype(np.float64))
        timed = (places >= 0) & (bars["kind"] == BarKind.TIME)
        at, sizes = places[timed], bars["size"][timed]
        unset = self._sizes[at] == 0
        self._sizes[at[unset]] = sizes[unset]
        counted = self._sizes[at] == sizes
        notional = np.maximum(bars["notional"][timed], 0.0) * self._units[at]
        np.add.at(self._traded, at[counted], notional[counted])

    def price(self, instrument_id: int) -> float | None:
        """The last one since the day began; None: there was none."""
        place = self._place(instrument_id)
        if place is None or not self._moved[place]:
            return None
        return float(self._prices[place])

    def last(self, instrument_id: int) -> float | None:
        """The last one ever; None: there was none."""
        place = self._place(instrument_id)
        return None if place is None or np.isnan(self._prices[place]) else float(self._prices[place])

    def of(self, columns: Mapping[int, int], stocks: int) -> tuple[Array, Array]:
        """Prices since the day began (NaN: none) and values traded, of stocks by their column, shape (N,)."""
        prices, traded = np.full(stocks, np.nan), np.full(stocks, np.nan)
        for instrument_id, column in columns.items():
            place = self._place(instrument_id)
            if place is not None and self._moved[place]:
                prices[column], traded[column] = self._prices[place], self._traded[place]
        return prices, traded

    def begin_day(self) -> None:
        """What comes from now on is of another day."""
        self._moved[:] = False
        self._traded[:] = 0.0
        self.version += 1

    def state(self) -> dict[str, Any]:
        """Prices and values, in plain values."""
        known = np.flatnonzero(~np.isnan(self._prices))
        return {
            "rows": [
                [
                    int(self._ids[place]),
                    float(self._prices[place]),
                    float(self._traded[place]),
                    bool(self._moved[place]),
                ]
                for place in known
            ]
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        for instrument_id, price, traded, moved in state["rows"]:
            place = self._place(int(instrument_id))
            if place is not None:
                self._prices[place], self._traded[place], self._moved[place] = price, traded, moved

    def _place(self, instrument_id: int) -> int | None:
        place = int(np.searchsorted(self._ids, instrument_id))
        return place if place < len(self._ids) and self._ids[place] == instrument_id else None

    def _take(self, ids: NDArray[Any], ticks: Array) -> NDArray[np.int64]:
        """Note prices of 0 or more ticks; places of the instruments, -1: not one of them."""
        if not len(self._ids) or not len(ids):
            return np.full(len(ids), -1, dtype=np.int64)
        found = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        places: NDArray[np.int64] = np.where(self._ids[found] == ids, found, -1)
        # A return from or to a price of 0 or less is not defined.
        good = (places >= 0) & (ticks > 0.0)
        if good.any():
            at = places[good]
            self._prices[at] = ticks[good] * self._steps[at]  # of several of one instrument the last one stays
            self._moved[at] = True
            self.version += 1
        return places


__all__ = ["LastPrices"]
