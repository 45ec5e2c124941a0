"""Implied volatilities of the options that are held, from their quotes, all at once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from nautilus.engines.collateral.accounts import YEAR_NS, Account
from nautilus.maths import implied_volatility
from nautilus.maths.margin_book import CALL, PUT


def solve_volatilities(held: Iterable[tuple[Account, int]], now_ns: int) -> list[Account]:
    """Solve for each option (account and slot); what has no volatility keeps the one before.

    Returns
    -------
    list
        Accounts in which something changed, each once; the groups concerned are marked.
    """
    wanted = list(held)
    if not wanted:
        return []
    rows = np.array([account.rows[slot] for account, slot in wanted])
    years = (rows["month"] - now_ns) / YEAR_NS
    option = (rows["kind"] == CALL) | (rows["kind"] == PUT)
    values, codes = implied_volatility.solve(
        rows["kind"] == CALL, rows["price"], rows["spot"], rows["strike"], years, rows["rate"], rows["yield_rate"]
    )
    changed: dict[int, Account] = {}
    for place in np.flatnonzero(option & (codes == 0)).tolist():
        account, slot = wanted[place]
        account.rows["sigma"][slot] = values[place]
        account.dirty.add(int(account.rows["group"][slot]))
        changed[account.portfolio_id] = account
    return list(changed.values())


__all__ = ["solve_volatilities"]
