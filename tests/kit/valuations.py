"""Valuations of a portfolio, one a day, for the engines that follow it."""

from __future__ import annotations

from collections.abc import Iterable

from nautilus.model.portfolio import PortfolioValued

DAY = 86_400_000_000_000
START_NS = 19_358 * DAY
"""The first of January 2023."""


def valued(now_ns: int, nav: float, profit: float, portfolio_id: int = 7, **fields: object) -> PortfolioValued:
    """A portfolio that is worth so much, of which `profit` was made since it began."""
    plain: dict[str, object] = {
        "currency": "USDT",
        "cash": nav,
        "gross_exposure": 0.0,
        "net_exposure": 0.0,
        "realised": profit,
        "unrealised": 0.0,
        "fees": 0.0,
        "booked": nav - profit,
    }
    return PortfolioValued(now_ns=now_ns, portfolio_id=portfolio_id, nav=nav, **(plain | fields))  # type: ignore[arg-type]


def daily(returns: Iterable[float], portfolio_id: int = 7, capital: float = 1000.0) -> list[PortfolioValued]:
    """Valuations at the end of each day that have these returns; the first is of the day before."""
    found = [valued(START_NS + DAY // 2, capital, 0.0, portfolio_id)]
    nav = capital
    for day, change in enumerate(returns, 1):
        nav *= 1.0 + change
        found.append(valued(START_NS + day * DAY + DAY // 2, nav, nav - capital, portfolio_id))
    return found
