"""The tree of limits the plain way: everything anew from all fills, prices and orders, whenever it is asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from nautilus.model.enums import Side
from nautilus.model.instrument import Instrument
from nautilus.model.position import Position


class NaiveLimits:
    """Remembers what happened; `value` works out one control of one scope.

    Parameters
    ----------
    returns
        Instrument to past returns.
    """

    def __init__(
        self,
        instruments: Mapping[int, Instrument],
        rates: Mapping[str, Fraction],
        desks: Mapping[int, str],
        returns: Mapping[int, Any],
        level: float,
    ) -> None:
        self.instruments, self.rates, self.desks = instruments, rates, desks
        self.returns, self.level = returns, level
        self.positions: dict[tuple[int, int, int], Position] = {}
        self.last: dict[tuple[int, int, int], int] = {}
        self.quotes: dict[int, tuple[int, int]] = {}
        self.orders: list[tuple[int, int, int]] = []
        self.profits: dict[tuple[str, ...], Fraction] = defaultdict(Fraction)
        self.peaks: dict[tuple[str, ...], Fraction] = defaultdict(Fraction)

    def fill(self, key: tuple[int, int, int], side: Side, lots: int, ticks: int, fee: int) -> None:
        before = self.positions.get(key) or Position(key[0], key[2])
        self.positions[key] = before.after_fill(side, lots, ticks, self.instruments[key[2]].multiplier, fee)
        self.last[key] = ticks
        self._note()

    def quote(self, instrument_id: int, bid: int, ask: int) -> None:
        self.quotes[instrument_id] = (bid, ask)
        self._note()

    def order(self, account_id: int, strategy_id: int, now_ns: int) -> None:
        self.orders.append((now_ns, account_id, strategy_id))

    def covers(self, scope: tuple[str, ...], account: int, strategy: int, instrument: int = 0) -> bool:
        match scope:
            case ("firm",):
                return True
            case ("desk", name):
                return self.desks.get(account) == name
            case ("portfolio", own):
                return own == str(account)
            case ("strategy", own, mine):
                return (own, mine) == (str(account), str(strategy))
        symbol = self.instruments[instrument].symbol if instrument else ""
        return scope[1:] == (str(account), str(strategy), symbol)

    def worth(self, key: tuple[int, int, int]) -> tuple[Fraction, Fraction]:
        """Worth and profit of a position, in the reporting currency."""
        position, instrument = self.positions[key], self.instruments[key[2]]
        quote = self.quotes.get(key[2])
        mark = self.last[key]
        if quote is not None and position.quantity:
            mark = quote[0] if position.quantity > 0 else quote[1]
        money = position.quantity * mark * instrument.multiplier
        unit = self.rates[instrument.quote_currency] / 10**instrument.currency_decimals
        return money * unit, (money + position.cost + position.realised - position.fees) * unit

    def under(self, scope: tuple[str, ...]) -> Iterable[tuple[int, int, int]]:
        return [key for key in self.positions if self.covers(scope, *key)]

    def scopes(self) -> set[tuple[str, ...]]:
        found: set[tuple[str, ...]] = {("firm",)}
        for account, strategy, instrument in self.positions:
            found.add(("portfolio", str(account)))
            found.add(("strategy", str(account), str(strategy)))
            found.add(("instrument", str(account), str(strategy), self.instruments[instrument].symbol))
            if account in self.desks:
                found.add(("desk", self.desks[account]))
        return found

    def _note(self) -> None:
        for scope in self.scopes():
            profit = sum((self.worth(key)[1] for key in self.under(scope)), Fraction())
            self.peaks[scope] = max(self.peaks[scope], profit)

    def value(self, scope: tuple[str, ...], control: str, now_ns: int, window_ns: int) -> float:
        if control == "order_rate":
            return sum(
                time > now_ns - window_ns and self.covers(scope, account, strategy)
                for time, account, strategy in self.orders
            )
        keys = self.under(scope)
        lots: dict[int, int] = defaultdict(int)
        nets: dict[int, Fraction] = defaultdict(Fraction)
        for key in keys:
            lots[key[2]] += self.positions[key].quantity
            nets[key[2]] += self.worth(key)[0]
        gross = sum((abs(self.worth(key)[0]) for key in keys), Fraction())
        profit = sum((self.worth(key)[1] for key in keys), Fraction())
        largest = max(map(abs, nets.values()), default=Fraction())
        match control:
            case "position":
                return float(max((abs(self.instruments[key].quantity(held)) for key, held in lots.items()), default=0))
            case "notional":
                return float(largest)
            case "gross":
                return float(gross)
            case "net":
                return float(abs(sum(nets.values(), Fraction())))
            case "loss":
                return float(max(Fraction(), -profit))
            case "drawdown":
                return float(self.peaks[scope] - profit)
            case "concentration":
                return float(largest / gross) if gross else 0.0
        assert control == "var"
        outcomes = sum((self.returns[key] * float(net) for key, net in nets.items()), np.zeros(50))
        return float(-np.percentile(outcomes, 100 * round(1 - self.level, 12)))
