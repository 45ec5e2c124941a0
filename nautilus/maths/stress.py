"""Stress tests: what a portfolio would lose in a market that was, or that somebody imagines.

A scenario shocks factors; a position answers with its sensitivities (betas), or, where its own prices of those days are
known, with what it did then. A position's profit is ``exposure r + gamma r^2 / 2`` of its return r.

The shocks of the four historical scenarios are returns of the S&P 500 from close to close, and for the flash crash to
the lowest print of the day; each names its source. The closes of 2008, 2010 and 2020 are those of
``panel_close/sp500_index.csv.gz`` of the recordings (tests/unit/maths/test_stress.py compares them).
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus.maths import var
from nautilus.maths.bounds import SMALLEST, whole_numbers
from nautilus.maths.errors import Undefined, check_finite, check_times, finite

EQUITY: Final = "equity"
"""The factor of the historical scenarios: a broad index of shares."""
DAY_NS: Final = 86_400_000_000_000
_LONGEST_GAP: Final = 5
"""Days between the close that counts for a day and the day: a weekend with a holiday to each side."""
_SATURDAY, _MONDAY = 5, 0
_EPOCH: Final = datetime.date(1970, 1, 1).toordinal()


class Scenario(NamedTuple):
    """A market that was.

    Parameters
    ----------
    name, title
    begin, end
        Days whose closes the shocks are between, ISO.
    shocks
        Returns of factors.
    own_prices
        A position's own closes of these days may stand for it; not where the shock was within a day.
    source
        Of the figures.
    """

    name: str
    title: str
    begin: str
    end: str
    shocks: Mapping[str, float]
    own_prices: bool
    source: str


HISTORICAL: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "1987",
            "Black Monday",
            "1987-10-16",
            "1987-10-19",
            {EQUITY: 224.84 / 282.70 - 1.0},
            True,
            "S&P 500 closes 282.70 and 224.84; M. Carlson, A Brief History of the 1987 Stock Market Crash, "
            "Federal Reserve FEDS 2007-13",
        ),
        Scenario(
            "2008",
            "From the eve of Lehman's failure to the low of that autumn",
            "2008-09-12",
            "2008-11-20",
            {EQUITY: 752.44 / 1251.70 - 1.0},
            True,
            "S&P 500 closes 1251.70 and 752.44 (skfolio, sp500_index)",
        ),
        Scenario(
            "2010",
            "Flash crash, to the low of the day",
            "2010-05-05",
            "2010-05-06",
            {EQUITY: 1065.79 / 1165.87 - 1.0},
            False,
            "S&P 500 close 1165.87 (skfolio, sp500_index) and low 1065.79; SEC and CFTC, Findings Regarding the Market "
            "Events of May 6, 2010",
        ),
        Scenario(
            "2020",
            "From the high before the pandemic to the low",
            "2020-02-19",
            "2020-03-23",
            {EQUITY: 2237.40 / 3386.15 - 1.0},
            True,
            "S&P 500 closes 3386.15 and 2237.40 (skfolio, sp500_index)",
        ),
    )
}


def days_of(times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The day, since 1970, that each close is of.

    Times at midnight stand for the day that begins with them; but where they are ends of days (Saturdays are among
    them, as the end of Friday, and no Mondays), for the one that ends.
    """
    times_ns = whole_numbers(times_ns, "times")
    days = times_ns // DAY_NS
    if (times_ns % DAY_NS == 0).all():
        weekdays = (days + 3) % 7
        if (weekdays == _SATURDAY).any() and not (weekdays == _MONDAY).any():
            days = days - 1
    return np.asarray(days, dtype=np.int64)


def return_between(days: NDArray[np.int64], closes: ArrayLike, begin: str, end: str) -> float:
    """Return from the close of one day to that of another; where a day has none, the last one before it counts.

    Parameters
    ----------
    days
        T, since 1970, never descending; of closes of one day the last counts.
    closes
        T.
    begin, end
        ISO.

    Raises
    ------
    Undefined
        ``missing_days``: no close of that day or of the five before it; ``negative_price``; ``empty``, ``not_finite``,
        ``mismatch``, ``unsorted``; ``out_of_range``: no such day.
    """
    found = finite(closes, "closes")
    days = whole_numbers(days, "days", found.shape)
    check_times(days, "days", equal=True)
    prices = []
    for day in (begin, end):
        wanted = _day(day)
        place = int(np.searchsorted(days, wanted, side="right")) - 1
        if place < 0 or wanted - int(days[place]) > _LONGEST_GAP:
            raise Undefined("missing_days", f"no close of {day}", "prices from before the scenario to its end")
        prices.append(float(found[place]))
    if min(prices) <= 0.0:
        raise Undefined("negative_price", f"a price of {min(prices)}", "prices above 0")
    return prices[1] / prices[0] - 1.0


def _day(iso: str) -> int:
    """Days since 1970."""
    try:
        return datetime.date.fromisoformat(iso).toordinal() - _EPOCH
    except ValueError:
        raise Undefined("out_of_range", f"a day {iso!r}", "YYYY-MM-DD") from None


def beta(returns: ArrayLike, factor: ArrayLike) -> float:
    """Slope of returns on those of a factor, by least squares.

    Raises
    ------
    Undefined
        ``constant``: the factor does not move; ``mismatch``, ``empty``, ``too_few`` (under 3), ``not_finite``.
    """
    y, x = finite(returns, "returns", 3), finite(factor, "returns of the factor", 3)
    if x.size != y.size:
        raise Undefined("mismatch", f"{y.size} returns and {x.size} of the factor", "one of each")
    if np.ptp(x) == 0.0:
        raise Undefined("constant", "a factor that does not move", "some variation")
    centred = x - x.mean()
    power = float(centred @ centred)
    if power < SMALLEST:
        raise Undefined("constant", "a factor that hardly moves", "some variation")
    return float(centred @ y) / power


def shocked_profits(exposures: ArrayLike, returns: ArrayLike, gammas: ArrayLike | None = None) -> var.Floats:
    """Profit of each position at its return.

    Parameters
    ----------
    exposures, gammas
        N: change of profit for a return of one, and second derivative (None: 0).
    returns
        N.

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``, ``mismatch``; ``out_of_range``: a return under -1.
    """
    worth, moved = finite(exposures, "exposures"), finite(returns, "returns")
    curve = np.zeros(worth.size) if gammas is None else finite(gammas, "gammas")
    if not worth.size == moved.size == curve.size:
        raise Undefined("mismatch", f"{moved.size} returns of {worth.size} positions", "one of each")
    if moved.min() < -1.0:
        raise Undefined("out_of_range", f"a return of {moved.min():g}", "-1 or more: nothing loses more than itself")
    return np.asarray(worth * moved + 0.5 * curve * moved * moved, dtype=np.float64)


def factor_returns(sensitivities: ArrayLike, shocks: ArrayLike) -> var.Floats:
    """Returns of N positions with sensitivities N x F to F factors; none falls by more than all of it.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``.
    """
    matrix = np.asarray(sensitivities, dtype=np.float64, order="C")
    vector = np.asarray(shocks, dtype=np.float64)
    if matrix.ndim != 2 or vector.ndim != 1 or matrix.shape[1] != vector.size:
        raise Undefined("mismatch", f"sensitivities of shape {matrix.shape} to {vector.size} shocks", "N x F to F")
    check_finite(matrix, "sensitivities")
    check_finite(vector, "shocks")
    return np.asarray(np.maximum(matrix @ vector, -1.0), dtype=np.float64)


__all__ = [
    "DAY_NS",
    "EQUITY",
    "HISTORICAL",
    "Scenario",
    "beta",
    "days_of",
    "factor_returns",
    "return_between",
    "shocked_profits",
]
