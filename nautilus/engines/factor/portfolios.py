"""What portfolios are made of: accounts as the portfolio engine values them, and those of which weights are told.

Weights are parts of the portfolio's value, by symbol. Those of a day are what was held when the day before ended; an
account's are noted at each end of a day, so that what is bought and sold within a day counts from the next one on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nautilus.engines.factor.universe import DAY_NS
from nautilus.maths.errors import Undefined
from nautilus.model.errors import UnknownPortfolioError
from nautilus.model.instrument import Instrument
from nautilus.model.portfolio import PortfolioValued
from nautilus.model.position import Position, PositionChanged

Weights = dict[str, float]


class Held(NamedTuple):
    """What a portfolio was made of: symbols in order, and the weight of each, shape (n,).

    While the symbols stay the same, records share the tuple of them.
    """

    symbols: tuple[str, ...]
    weights: NDArray[np.float64]


ALWAYS: Final = -(1 << 40)
MOST_PORTFOLIOS: Final = 10_000
MOST_STOCKS: Final = 10_000


class Portfolios:
    """Weights by portfolio, now and on past days.

    Parameters
    ----------
    most_days
        Of which a portfolio's weights are kept.
    """

    def __init__(self, instruments: Iterable[Instrument], most_days: int) -> None:
        self._instruments = {instrument.instrument_id: instrument for instrument in instruments}
        self._most_days = most_days
        self._positions: dict[int, dict[int, Position]] = {}
        self._marks: dict[tuple[int, int], int] = {}
        self._values: dict[int, tuple[float, str]] = {}
        self._told: set[int] = set()
        self._days: dict[int, dict[int, Held]] = {}
        self._versions: dict[int, int] = {}

    def ids(self) -> list[int]:
        """Portfolios that anything is known of, in order."""
        return sorted({*self._positions, *self._days})

    def on_position(self, changed: PositionChanged) -> None:
        """An account's position after a fill."""
        position = changed.position
        self._positions.setdefault(position.account_id, {})[position.instrument_id] = position
        if changed.mark_ticks:
            self._marks[(position.account_id, position.instrument_id)] = changed.mark_ticks

    def on_value(self, valued: PortfolioValued) -> None:
        """What an account is worth."""
        self._values[valued.portfolio_id] = (valued.nav, valued.currency)

    def tell(self, portfolio_id: int, weights: Mapping[str, float], from_ns: int) -> None:
        """Weights from the end of a day on (0: always).

        Raises
        ------
        Undefined
            ``empty``, ``not_finite``, ``out_of_range``: no weights, one that is not finite, or too many.
        """
        if not weights:
            raise Undefined("empty", "no weights", "at least one")
        if not np.isfinite(list(weights.values())).all():
            raise Undefined("not_finite", "a weight that is not finite", "parts of the portfolio's value")
        if len(weights) > MOST_STOCKS or (portfolio_id not in self._days and len(self._days) >= MOST_PORTFOLIOS):
            raise Undefined(
                "out_of_range",
                f"{len(weights)} stocks, {len(self._days)} portfolios",
                f"at most {MOST_STOCKS} and {MOST_PORTFOLIOS}",
            )
        self._told.add(portfolio_id)
        self._note(portfolio_id, from_ns // DAY_NS if from_ns else ALWAYS, weights)

    def note_day(self, day: int, price: Callable[[int], float | None]) -> None:
        """Keep what accounts hold at the end of a day; an account without a value holds nothing that is known."""
        for portfolio_id in sorted(self._positions):
            if portfolio_id in self._told:
                continue
            try:
                weights, _ = self._valued(portfolio_id, price)
            except Undefined:
                continue
            self._note(portfolio_id, day, weights)

    def weights(self, portfolio_id: int, price: Callable[[int], float | None]) -> tuple[Weights, Weights]:
        """Those of now, and the same of what cannot be weighed for want of a price or rate (0 each).

        Raises
        ------
        UnknownPortfolioError
        Undefined
            ``empty``: the account has no value yet; ``out_of_range``: its value is not above 0.
        """
        self.check(portfolio_id)
        if portfolio_id in self._told:
            days = self._days[portfolio_id]
            latest = days[max(days)]
            return dict(zip(latest.symbols, latest.weights.tolist(), strict=True)), {}
        return self._valued(portfolio_id, price)

    def noted(self, portfolio_id: int) -> dict[int, Held]:
        """Weights by the day at the end of which they were held. UnknownPortfolioError."""
        self.check(portfolio_id)
        return self._days.get(portfolio_id, {})

    def check(self, portfolio_id: int) -> None:
        """UnknownPortfolioError where nothing is known of it."""
        if portfolio_id not in self._positions and portfolio_id not in self._days:
            raise UnknownPortfolioError(
                f"portfolio {portfolio_id}", where="factor", expected="an account that traded, or one that was told"
            )

    def state(self) -> dict[str, Any]:
        """Everything, in plain values."""
        return {
            "positions": [
                [p.account_id, p.instrument_id, p.quantity] for held in self._positions.values() for p in held.values()
            ],
            "marks": [[*key, mark] for key, mark in self._marks.items()],
            "values": [[portfolio_id, *value] for portfolio_id, value in self._values.items()],
            "told": sorted(self._told),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        for account_id, instrument_id, quantity in state["positions"]:
            self._positions.setdefault(account_id, {})[instrument_id] = Position(account_id, instrument_id, quantity)
        self._marks = {(account_id, instrument_id): mark for account_id, instrument_id, mark in state["marks"]}
        self._values = {portfolio_id: (nav, currency) for portfolio_id, nav, currency in state["values"]}
        self._told = set(state["told"]) & set(self._days)

    def bulk(self) -> dict[str, tuple[int, Callable[[], Any]]]:
        """For `Engine.bulk`: each portfolio's weights are a part."""
        return {f"weights {key}": (version, partial(self._part, key)) for key, version in self._versions.items()}

    def restore_bulk(self, name: str, part: Any) -> bool:
        """For `Engine.restore_bulk`: whether the part was a portfolio's weights."""
        kind, _, portfolio_id = name.partition(" ")
        if kind != "weights":
            return False
        for day, symbols, weights in part:
            self._note(int(portfolio_id), int(day), dict(zip(symbols, weights.tolist(), strict=True)))
        return True

    def _part(self, portfolio_id: int) -> list[Any]:
        return [[day, list(held.symbols), held.weights] for day, held in self._days[portfolio_id].items()]

    def _note(self, portfolio_id: int, day: int, weights: Mapping[str, float]) -> None:
        self._versions[portfolio_id] = self._versions.get(portfolio_id, 0) + 1
        days = self._days.setdefault(portfolio_id, {})
        symbols = tuple(sorted(weights))
        before = next(reversed(days.values()), None)
        if before is not None and before.symbols == symbols:
            symbols = before.symbols
        days[day] = Held(symbols, np.array([weights[symbol] for symbol in symbols], dtype=np.float64))
        while len(days) > self._most_days:
            del days[min(days)]

    def _valued(self, portfolio_id: int, price: Callable[[int], float | None]) -> tuple[Weights, Weights]:
        valued = self._values.get(portfolio_id)
        if valued is None:
            raise Undefined("empty", f"no value of portfolio {portfolio_id} yet", "one from the portfolio engine")
        nav, currency = valued
        if not nav > 0.0:
            raise Undefined("out_of_range", f"portfolio {portfolio_id} is worth {nav:g}", "more than 0, for weights")
        weights: Weights = {}
        unpriced: Weights = {}
        for instrument_id, position in sorted(self._positions[portfolio_id].items()):
            instrument = self._instruments.get(instrument_id)
            if instrument is None or not position.quantity:
                continue
            found = price(instrument_id)
            if found is None:
                mark = self._marks.get((portfolio_id, instrument_id))
                found = mark * float(instrument.price_increment) if mark else None
            if found is None or instrument.quote_currency != currency:
                unpriced[instrument.symbol] = 0.0
                continue
            size = float(instrument.quantity(position.quantity)) * float(instrument.contract_multiplier)
            weights[instrument.symbol] = weights.get(instrument.symbol, 0.0) + size * found / nav
        return dict(sorted(weights.items())), unpriced


__all__ = ["ALWAYS", "Held", "Portfolios"]
