"""Risk arrays one position and one scenario at a time."""

from __future__ import annotations

import math


def value(sign: float, spot: float, strike: float, years: float, rate: float, carry: float, sigma: float) -> float:
    """Black, Scholes and Merton by the C library's error function."""
    forward, present = spot * math.exp(-carry * years), strike * math.exp(-rate * years)
    spread = sigma * math.sqrt(years)
    if spot <= 0 or spread <= 1e-12:
        return max(sign * (forward - present), 0.0)
    d1 = math.log(forward / present) / spread + spread / 2
    first, second = (0.5 * math.erfc(-sign * d / math.sqrt(2)) for d in (d1, d1 - spread))
    return max(sign * (forward * first - present * second), 0.0)


def scan_row(
    kind: int, spot: float, terms: tuple[float, ...], early: bool, ranges: tuple[float, float, float],
    moves: list[tuple[float, float]],
) -> list[float]:  # fmt: skip
    """Changes of value of one unit; `terms` strike, years, rate, yield, volatility; `ranges` up, down, volatility."""
    up, down, vol = ranges
    changes = []
    for price_move, vol_move in moves:
        change = price_move * (up if price_move > 0 else down)
        if kind == 0:
            changes.append(change)
            continue
        sign = 1.0 if kind == 1 else -1.0
        strike, *rest, sigma = terms

        def held(price: float, spread: float, sign: float = sign, strike: float = strike, rest: list = rest) -> float:
            found = value(sign, price, strike, *rest, spread)
            return max(found, sign * (price - strike)) if early else found

        after = held(max(spot + change, 0.0), max(sigma + vol_move * vol, 0.0))
        changes.append(after - held(spot, sigma))
    return changes
