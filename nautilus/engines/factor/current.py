"""Exposures for the day to come, at the last prices: what the model would take if the day ended now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nautilus.engines.factor.estimation import LATELY_DAYS, VALUE_FIELDS, current_scores
from nautilus.engines.factor.model import Model, wider
from nautilus.engines.factor.prices import LastPrices
from nautilus.engines.factor.universe import Universe
from nautilus.maths.factors import Sectors, exposures
from nautilus.model.factor import UniverseField
from nautilus.model.instrument import Instrument

Array = NDArray[np.float64]


class Current(NamedTuple):
    """Of all stocks.

    Parameters
    ----------
    exposures
        Shape (N, F); a row of NaN where the stock has no sector or misses a score.
    scores
        By style, shape (N,).
    codes
        Of the model's sectors, -1: none.
    caps, prices
        Shape (N,); NaN: none. Prices are those of the market since the last day.
    """

    exposures: Array
    scores: dict[str, Array]
    codes: NDArray[np.int64]
    caps: Array
    prices: Array


class Market:
    """What the market says of the universe's stocks since the last day.

    Parameters
    ----------
    largest_return
        A price that is further from the last close is not taken.

    Attributes
    ----------
    today : day of the time that was told last; sectors are those of it, or of the day after the universe's last.
    """

    def __init__(self, instruments: Iterable[Instrument], prices: LastPrices, largest_return: float) -> None:
        self._symbols = sorted((instrument.symbol, instrument.instrument_id) for instrument in instruments)
        self._prices = prices
        self._largest = largest_return
        self._columns: dict[int, int] = {}
        self._columns_of = -1
        self._codes = np.empty(0, dtype=np.int64)
        self._codes_key = (-1, -1, -1)
        self._now: Current | None = None
        self._now_of: tuple[int, int, int, int] = (-1, -1, -1, -1)
        self.today = -1

    def day(self, universe: Universe) -> dict[UniverseField, Array] | None:
        """A day of the universe from the last prices; None: no stock has one since the last day.

        A stock takes part whose last close is known and not too far; capitalisation and value inputs move with its
        price. A price that is too far is only noted as the close that the next day is measured from.
        """
        prices, traded = self._of(universe)
        known = np.isfinite(prices)
        if not known.any():
            return None
        growth = self._growth(universe, prices)
        row = {
            UniverseField.PRICE: prices,
            UniverseField.RETURN: growth - 1.0,
            UniverseField.MARKET_CAP: _last(universe, UniverseField.MARKET_CAP) * growth,
            UniverseField.DOLLAR_VOLUME: np.where(np.isfinite(growth), traded, np.nan),
        }
        for field in VALUE_FIELDS:
            if universe.has(field):
                row[field] = _last(universe, field) / growth
        return row

    def current(self, universe: Universe, model: Model) -> Current:
        """Exposures at the last prices; a stock without one is at its last close."""
        key = (self._prices.version, universe.version, model.version, self._coming(universe))
        if self._now is None or key != self._now_of:
            self._now, self._now_of = self._computed(universe, model), key
        return self._now

    def _computed(self, universe: Universe, model: Model) -> Current:
        prices, _ = self._of(universe)
        growth = self._growth(universe, prices)
        growth = np.where(np.isfinite(growth), growth, 1.0)
        caps = _last(universe, UniverseField.MARKET_CAP) * growth
        values = None
        if "value" in model.settings.styles:
            book, sales, cash_flow = (_last(universe, field) / growth for field in VALUE_FIELDS)
            values = (book, sales, cash_flow)
        ahead = {name: wider(found, len(universe)) for name, found in model.ahead.items()}
        scores = current_scores(model.settings, ahead, caps, values)
        codes = self._codes_of(universe, model)
        return Current(exposures(Sectors(model.sector_names, codes), scores), scores, codes, caps, prices)

    def _codes_of(self, universe: Universe, model: Model) -> NDArray[np.int64]:
        day = self._coming(universe)
        key = (universe.version, model.version, day)
        if key != self._codes_key:
            self._codes, self._codes_key = codes_of(universe.sectors_on(day), model.sector_names), key
        return self._codes

    def _coming(self, universe: Universe) -> int:
        """The day that exposures are for."""
        return max(self.today, int(universe.days[-1]) + 1 if len(universe.days) else 0)

    def _of(self, universe: Universe) -> tuple[Array, Array]:
        if self._columns_of != len(universe):
            found = ((instrument_id, universe.column(symbol)) for symbol, instrument_id in self._symbols)
            self._columns = {instrument_id: column for instrument_id, column in found if column is not None}
            self._columns_of = len(universe)
        return self._prices.of(self._columns, len(universe))

    def _growth(self, universe: Universe, prices: Array) -> Array:
        """Price over last close; NaN where one is missing, or they are too far apart."""
        growth = prices / _last(universe, UniverseField.PRICE)
        near = np.abs(growth - 1.0) <= self._largest
        return np.where(near, growth, np.nan)


def codes_of(sectors: Mapping[int, str], names: tuple[str, ...]) -> NDArray[np.int64]:
    """Sectors by column as codes of these names; -1: none of them."""
    places = {name: place for place, name in enumerate(names)}
    return np.array([places.get(sectors[column], -1) for column in range(len(sectors))], dtype=np.int64)


def _last(universe: Universe, field: UniverseField) -> Array:
    """Each stock's last value of the latest days, shape (N,); NaN: none."""
    values = universe.values(field, slice(-LATELY_DAYS, None))
    if not len(values):
        return np.full(len(universe), np.nan)
    present = np.isfinite(values)
    place = len(values) - 1 - np.argmax(present[::-1], axis=0)
    return np.where(present.any(axis=0), values[place, np.arange(values.shape[1])], np.nan)


__all__ = ["Current", "Market", "codes_of"]
