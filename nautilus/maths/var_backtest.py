"""Whether a value at risk held what it says: tests of its exceedances.

A day is an exceedance where the loss was larger than the value at risk that was said for it beforehand.

N. Kupiec, "Techniques for verifying the accuracy of risk measurement models" (1995), J. Derivatives: proportion of
failures. P. F. Christoffersen, "Evaluating interval forecasts" (1998), International Economic Review: independence and
conditional coverage. Basel Committee, "Supervisory framework for the use of backtesting" (1996): traffic light.
Statistics are likelihood ratios, chi-square with 1, 1 and 2 degrees of freedom if the model is right.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus.maths import var
from nautilus.maths.bounds import whole_numbers
from nautilus.maths.errors import Undefined, finite

GREEN, YELLOW, RED = ZONES = ("green", "yellow", "red")
_YELLOW_FROM, _RED_FROM = 0.95, 0.9999
# Of the Basel framework, for 250 days at 99 %: what is added to the multiplier of 3, by exceedances.
_ADDED: Final = {5: 0.40, 6: 0.50, 7: 0.65, 8: 0.75, 9: 0.85}


class Ratio(NamedTuple):
    """A likelihood ratio, and how probable one as large is if the model is right."""

    statistic: float
    p_value: float


class Transitions(NamedTuple):
    """Pairs of days one after the other: from a day without (0) or with (1) an exceedance to the next."""

    quiet_quiet: int
    quiet_exceeded: int
    exceeded_quiet: int
    exceeded_exceeded: int


class TrafficLight(NamedTuple):
    """Zone, the probability of so many exceedances or fewer, and what Basel adds to the multiplier.

    Parameters
    ----------
    added
        To the multiplier of 3, for 250 days at 99 %; None: the framework says nothing of other windows and levels.
    """

    zone: str
    cumulative: float
    added: float | None


def exceedances(returns: ArrayLike, values_at_risk: ArrayLike) -> NDArray[np.bool_]:
    """Of each day, whether its loss was larger than its value at risk (a loss above zero).

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``, ``mismatch``.
    """
    found = finite(returns, "returns")
    limits = finite(values_at_risk, "values at risk")
    if limits.size != found.size:
        raise Undefined("mismatch", f"{limits.size} values at risk of {found.size} returns", "one of each day")
    return np.asarray(found < -limits, dtype=np.bool_)


def kupiec(count: int, days: int, level: float = 0.95) -> Ratio:
    """Proportion of failures: ``-2 log(p^x (1-p)^(n-x) / (x/n)^x (1-x/n)^(n-x))``, chi-square with 1 degree.

    Parameters
    ----------
    count, days
        x exceedances in n days.

    Raises
    ------
    Undefined
        ``empty``: no days; ``out_of_range``.
    """
    _check_count(count, days)
    tail = var.tail_of(level)
    share = count / days
    statistic = -2.0 * (_log(tail, count) + _log(1 - tail, days - count))
    statistic += 2.0 * (_log(share, count) + _log(1 - share, days - count))
    return _ratio(statistic, 1)


def transitions(hits: ArrayLike) -> Transitions:
    """How often each of the two kinds of days followed each.

    Raises
    ------
    Undefined
        ``empty``, ``too_few``: less than two days; ``mismatch``, ``not_finite``, ``out_of_range``: not a row of True
        and False (or 1 and 0).
    """
    found = _hits(hits)
    if not found.size:
        raise Undefined("empty", "no days", "two or more")
    if found.size < 2:
        raise Undefined("too_few", "one day", "two or more")
    pairs = np.bincount(2 * found[:-1] + found[1:], minlength=4)
    return Transitions(*(int(pair) for pair in pairs))


def independence(hits: ArrayLike) -> Ratio:
    """Whether an exceedance makes another one the next day more or less probable (Christoffersen), 1 degree.

    Without an exceedance, or with nothing else, both hypotheses are equally likely: the statistic is 0.

    Raises
    ------
    Undefined
        See `transitions`.
    """
    a, b, c, d = transitions(hits)
    either = (b + d) / (a + b + c + d)
    after_quiet = b / (a + b) if a + b else 0.0
    after_hit = d / (c + d) if c + d else 0.0
    plain = _log(1 - either, a + c) + _log(either, b + d)
    split = _log(1 - after_quiet, a) + _log(after_quiet, b) + _log(1 - after_hit, c) + _log(after_hit, d)
    return _ratio(2.0 * (split - plain), 1)


def conditional_coverage(hits: ArrayLike, level: float = 0.95) -> Ratio:
    """Both at once: the sum of the two statistics (Christoffersen), chi-square with 2 degrees.

    Raises
    ------
    Undefined
        See `transitions`; ``out_of_range``: the level.
    """
    found = _hits(hits)
    second = independence(found)
    first = kupiec(int(found.sum()), found.size, level)
    return _ratio(first.statistic + second.statistic, 2)


def traffic_light(count: int, days: int, level: float = 0.99) -> TrafficLight:
    """The zone of Basel: by the probability of so many exceedances or fewer, if the model is right.

    Green below 95 %, yellow from there, red from 99.99 %: for 250 days at 99 % that is 0 to 4, 5 to 9 and 10 or more.

    Raises
    ------
    Undefined
        ``empty``, ``out_of_range``.
    """
    _check_count(count, days)
    tail = var.tail_of(level)
    cumulative = min(1.0, math.fsum(_binomial(k, days, tail) for k in range(count + 1)))
    zone = GREEN if cumulative < _YELLOW_FROM else YELLOW if cumulative < _RED_FROM else RED
    added = None
    if days == 250 and tail == 0.01:
        added = 0.0 if count < 5 else _ADDED.get(count, 1.0)
    return TrafficLight(zone, cumulative, added)


def _hits(values: ArrayLike) -> NDArray[np.bool_]:
    return whole_numbers(values, "exceedances", least=0, most=1).astype(np.bool_)


def _check_count(count: int, days: int) -> None:
    if days < 1:
        raise Undefined("empty", "no days", "one or more")
    if not 0 <= count <= days:
        raise Undefined("out_of_range", f"{count} exceedances in {days} days", "0 to as many as there are days")


def _log(share: float, times: int) -> float:
    """Logarithm of a probability's power; 0 to the 0 is 1."""
    return times * math.log(share) if times else 0.0


def _ratio(statistic: float, degrees: int) -> Ratio:
    found = max(0.0, statistic)  # below it by rounding alone
    return Ratio(found, math.erfc(math.sqrt(found / 2.0)) if degrees == 1 else math.exp(-found / 2.0))


def _binomial(count: int, days: int, share: float) -> float:
    logarithm = math.lgamma(days + 1) - math.lgamma(count + 1) - math.lgamma(days - count + 1)
    return math.exp(logarithm + count * math.log(share) + (days - count) * math.log1p(-share))


__all__ = [
    "GREEN",
    "RED",
    "YELLOW",
    "ZONES",
    "Ratio",
    "TrafficLight",
    "Transitions",
    "conditional_coverage",
    "exceedances",
    "independence",
    "kupiec",
    "traffic_light",
    "transitions",
]
