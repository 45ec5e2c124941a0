"""The naive twin of the portfolio engine: every figure anew from the whole history, in fractions and by definition."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

Event = tuple[Any, ...]


class NaivePortfolio:
    """Keeps what happened, and works out everything when it is asked.

    Events are ``("fill", account, instrument, lots signed, price of a lot, fee)``, ``("split", instrument, new, old,
    price of a lot after it)``, ``("dividend", instrument, amount per lot)`` or ``("cash", account, currency, amount)``;
    prices, amounts and fees are fractions of the currency.
    """

    def __init__(self, currencies: dict[int, str], step: Fraction) -> None:
        self.currencies = currencies
        self.step = step  # money unit of the core
        self.events: list[Event] = []

    def figures(self) -> tuple[dict[tuple[int, int], list[Fraction]], dict[tuple[int, str], Fraction]]:
        """(quantity, cost, realised, fees) by account and instrument, and cash by account and currency."""
        held: dict[tuple[int, int], list[Fraction]] = {}
        cash: dict[tuple[int, str], Fraction] = {}

        def pay(account: int, currency: str, amount: Fraction) -> None:
            cash[account, currency] = cash.get((account, currency), Fraction(0)) + amount

        for kind, *rest in self.events:
            if kind == "fill":
                account, instrument, lots, price, fee = rest
                row = held.setdefault((account, instrument), [Fraction(0)] * 4)
                pay(account, self.currencies[instrument], -lots * price - fee)
                closed = min(abs(lots), abs(row[0])) if row[0] * lots < 0 else Fraction(0)
                if closed:
                    # Python rounds a fraction half to even.
                    released = round(row[1] * closed / abs(row[0]) / self.step) * self.step
                    row[1] -= released
                    row[2] += released + (closed if lots < 0 else -closed) * price
                row[1] -= (abs(lots) - closed) * (1 if lots > 0 else -1) * price
                row[0] += lots
                row[3] += fee
            elif kind == "split":
                instrument, new, old, price = rest
                for (account, each), row in held.items():
                    if each != instrument or not row[0]:
                        continue
                    exact = row[0] * new / old
                    whole = Fraction(floor(abs(exact))) * (1 if exact > 0 else -1)
                    pay(account, self.currencies[instrument], floored((exact - whole) * price))
                    row[0] = whole
                    if not whole:
                        row[2] += row[1]
                        row[1] = Fraction(0)
            elif kind == "dividend":
                instrument, amount = rest
                for (account, each), row in held.items():
                    if each == instrument and row[0]:
                        pay(account, self.currencies[instrument], floored(row[0] * amount))
            else:
                pay(*rest)
        return held, cash


def floored(amount: Fraction) -> Fraction:
    """Down to a whole number of 10^-18."""
    return Fraction(floor(amount * 10**18), 10**18)
