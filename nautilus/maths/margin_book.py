"""Columns of positions as margin is worked out from them, and the sums over groups of them."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.errors import Undefined, check_finite

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
EQUITY, CALL, PUT, FUTURE, PERPETUAL = range(5)
KINDS: Final = ("equity", "call", "put", "future", "perpetual")
COLUMNS: Final = (
    "quantity", "price", "multiplier", "spot", "strike", "years", "rate", "yield_rate", "sigma", "price_range",
    "vol_range", "long_rate", "initial_each", "maintenance_each", "spread_each", "short_least", "delta",
)  # fmt: skip
WHOLE: Final = ("kind", "group", "underlying", "month", "broad", "early", "of_future", "table")
POSITION: Final = np.dtype([(name, np.float64) for name in COLUMNS] + [(name, np.int64) for name in WHOLE])
"""One position.

quantity, price, multiplier
    Units or contracts (negative: short), price of a unit, units of a contract; value is their product.
spot, strike, years, rate, yield_rate, sigma
    Of an option: price of the underlying, terms, and the implied volatility. `spot` of all else is its price.
price_range, vol_range
    Of a future or an option on one: full move of the underlying's price, and of the volatility, in a SPAN-like scan.
long_rate
    Maintenance of a long stock where the house asks for more than the rule; 0: as the rule.
initial_each, maintenance_each, spread_each, short_least
    Of one future: the exchange's rates, the charge of a spread between months; of one short option on a future: the
    least.
delta
    Of one contract in contracts of the underlying; 1 for what is no option.
kind, group, underlying
    See `KINDS`; margin group and underlying, both whole numbers: an underlying is in one group.
month
    Expiry as a whole number that sorts as the expiries do.
broad, early, of_future
    1 for a broad index, for what may be exercised early, for an option on a future.
table
    Brackets of a perpetual; -1: none.
"""


class Groups(NamedTuple):
    """Positions by margin group and underlying: what sums run over.

    Parameters
    ----------
    order
        Places of the positions, sorted by group and underlying, (N,).
    underlying
        Which distinct underlying each sorted position has, from 0 in sorted order, (N,).
    starts
        First sorted position of each distinct underlying, (U,).
    of_underlying
        Which distinct group each distinct underlying has, (U,).
    keys, names
        The `group` of each distinct group, (G,), and the `underlying` of each distinct underlying, (U,).
    """

    order: Places
    underlying: Places
    starts: Places
    of_underlying: Places
    keys: Places
    names: Places

    @property
    def counts(self) -> tuple[int, int]:
        """Distinct underlyings and groups."""
        return len(self.names), len(self.keys)


def group(book: npt.NDArray[np.void]) -> Groups:
    """Sort a POSITION array by group and underlying."""
    groups, underlyings, months = (np.ascontiguousarray(book[name]) for name in ("group", "underlying", "month"))
    order = np.lexsort((months, underlyings, groups))
    g, u = groups[order], underlyings[order]
    if not len(order):
        none = np.zeros(0, np.int64)
        return Groups(none, none, none, none, none, none)
    fresh_group = np.concatenate(([True], g[1:] != g[:-1]))
    fresh = fresh_group | np.concatenate(([True], u[1:] != u[:-1]))
    starts = np.flatnonzero(fresh)
    return Groups(order, np.cumsum(fresh) - 1, starts, np.cumsum(fresh_group)[starts] - 1, g[fresh_group], u[starts])


class Columns:
    """Some of the rows of a POSITION array, column by column: each is gathered once, when it is first asked for."""

    def __init__(self, book: npt.NDArray[np.void], places: Places) -> None:
        self._book = book
        self._places = places
        self._found: dict[str, npt.NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._book[name].take(self._places)
        return found

    def part(self, wanted: npt.NDArray[np.bool_]) -> Columns:
        """Those rows for which `wanted` is true."""
        return Columns(self._book, self._places[wanted])


def total(values: Array, starts: Places) -> Array:
    """Sums of sorted values (N,) or (N, M) from each start to the next. Undefined: ``mismatch``, ``not_finite``."""
    if not len(starts):
        return np.zeros((0, *values.shape[1:]))
    if not np.ndim(values) or not len(values) or starts[-1] >= len(values):
        raise Undefined(
            "mismatch", f"values of shape {np.shape(values)}, a start at {starts[-1]}", "starts within the values"
        )
    values = np.asarray(values, np.float64)
    check_finite(values, "values")
    result: Array = np.add.reduceat(values, starts, axis=0)
    return result


__all__ = [
    "CALL",
    "COLUMNS",
    "EQUITY",
    "FUTURE",
    "KINDS",
    "PERPETUAL",
    "POSITION",
    "PUT",
    "WHOLE",
    "Columns",
    "Groups",
    "group",
    "total",
]
