"""Measures of how an instrument trades, of whole arrays at once: spread, impact, imbalance, realised variation, sign.

Each follows one paper, named at the function. Where a measure is not defined `Undefined` is raised with the reason as a
code; no number of another method takes its place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import LARGEST, SMALLEST, whole_numbers
from nautilus.maths.errors import Undefined, check_times, finite

Floats = npt.NDArray[np.float64]
Signs = npt.NDArray[np.int8]


_FARTHEST_NS = 1 << 61


def checked(values: npt.ArrayLike, what: str, least: int = 1, *, positive: bool = False) -> Floats:
    """A row of finite float64, at least `least` of them, and above zero where they must be.

    Raises
    ------
    Undefined
        ``empty``, ``too_few``, ``mismatch`` (not one row), ``not_finite``, ``negative_price``.
    """
    row = finite(values, what, least)
    if positive and not (row > 0.0).all():
        raise Undefined("negative_price", f"{what}: a value of 0 or less", expected="above 0")
    return row


def _paired(first: Floats, second: Floats, what: str) -> None:
    if first.size != second.size:
        raise Undefined("mismatch", f"{what}: {first.size} and {second.size} values", expected="as many of each")


def log_returns(prices: npt.ArrayLike) -> Floats:
    """Differences of the logarithms of prices, shape (n - 1,). Prices are finite and above zero, two at least."""
    return np.diff(np.log(checked(prices, "prices", 2, positive=True)))


def roll_spread(prices: npt.ArrayLike) -> float:
    """Effective spread that bid-ask bounce implies: 2 sqrt(-cov(dp[t], dp[t-1])), in units of the prices.

    The covariance is the sample's, divisor n - 1, of the pairs of successive changes. Roll (1984), equation 4.

    Raises
    ------
    Undefined
        ``too_few`` (four prices make the two pairs it takes), ``constant``, ``out_of_range``: changes do not reverse
        (covariance of zero or more), and the model says nothing.
    """
    changes = np.diff(checked(prices, "prices", 4))
    if not changes.any():
        raise Undefined("constant", "prices: all the same", expected="prices that change")
    now, before = changes[1:], changes[:-1]
    covariance = float(np.dot(now - now.mean(), before - before.mean())) / (now.size - 1)
    if covariance >= 0.0:
        raise Undefined("out_of_range", f"serial covariance {covariance:g}", expected="below 0")
    return 2.0 * math.sqrt(-covariance)


def amihud_illiquidity(returns: npt.ArrayLike, dollar_volumes: npt.ArrayLike) -> float:
    """Mean of |return| / money traded: price response per unit of money. Amihud (2002), equation 1.

    Parameters
    ----------
    returns, dollar_volumes
        Of the same n periods; money traded is above zero in each.

    Raises
    ------
    Undefined
        ``zero_volume`` where nothing was traded in a period (the caller leaves such periods out, knowingly).
    """
    row = np.abs(checked(returns, "returns"))
    money = checked(dollar_volumes, "money traded")
    _paired(row, money, "returns and money traded")
    if not (money > 0.0).all():
        raise Undefined("zero_volume", "money traded: 0 or less in a period", expected="above 0 in each")
    with np.errstate(over="ignore"):
        found = float(np.mean(row / money))
    if not math.isfinite(found):
        raise Undefined("out_of_range", "returns by next to no money traded", expected="money that divides them")
    return found


def kyle_lambda(price_changes: npt.ArrayLike, signed_volumes: npt.ArrayLike, *, intercept: bool = True) -> float:
    """Price impact per unit of signed volume: least-squares slope of price changes on it.

    Kyle (1985); Hasbrouck (2009).

    Parameters
    ----------
    price_changes, signed_volumes
        Of the same n periods; volume bought less volume sold.
    intercept
        The regression has a constant.

    Raises
    ------
    Undefined
        ``too_few``, ``constant``: the volume does not vary.
    """
    flow = checked(signed_volumes, "signed volumes", 3 if intercept else 2)
    change = checked(price_changes, "price changes", flow.size)
    _paired(change, flow, "price changes and signed volumes")
    if intercept:
        flow = flow - flow.mean()
        change = change - change.mean()
    power = float(np.dot(flow, flow))
    if power < SMALLEST:
        raise Undefined("constant", "signed volumes: all the same", expected="volumes that vary")
    return float(np.dot(flow, change)) / power


def order_flow_imbalance(
    bid_prices: npt.ArrayLike, bid_sizes: npt.ArrayLike, ask_prices: npt.ArrayLike, ask_sizes: npt.ArrayLike
) -> Floats:
    """Contribution of each change of the touch to order-flow imbalance, shape (n - 1,), in units of the sizes.

    e[t] = 1{Pb[t] >= Pb[t-1]} qb[t] - 1{Pb[t] <= Pb[t-1]} qb[t-1]
         - 1{Pa[t] <= Pa[t-1]} qa[t] + 1{Pa[t] >= Pa[t-1]} qa[t-1].
    Sums over an interval are its order-flow imbalance. Cont, Kukanov, Stoikov (2014), equation 4.
    """
    bids = checked(bid_prices, "bid prices", 2)
    bid = checked(bid_sizes, "bid sizes", 2)
    asks = checked(ask_prices, "ask prices", 2)
    ask = checked(ask_sizes, "ask sizes", 2)
    for other in (bid, asks, ask):
        _paired(bids, other, "sides of the quotes")
    bought = np.where(bids[1:] >= bids[:-1], bid[1:], 0.0) - np.where(bids[1:] <= bids[:-1], bid[:-1], 0.0)
    sold = np.where(asks[1:] <= asks[:-1], ask[1:], 0.0) - np.where(asks[1:] >= asks[:-1], ask[:-1], 0.0)
    contributions: Floats = bought - sold
    return contributions


def _sizes(bid_sizes: npt.ArrayLike, ask_sizes: npt.ArrayLike) -> tuple[Floats, Floats]:
    bid, ask = checked(bid_sizes, "bid sizes"), checked(ask_sizes, "ask sizes")
    _paired(bid, ask, "sides of the quotes")
    if (bid < 0.0).any() or (ask < 0.0).any():
        raise Undefined("out_of_range", "sizes: below 0", expected="0 or more")
    if not (bid + ask > 0.0).all():
        raise Undefined("zero_volume", "sizes: 0 on both sides", expected="a size on a side")
    return bid, ask


def queue_imbalance(bid_sizes: npt.ArrayLike, ask_sizes: npt.ArrayLike) -> Floats:
    """(qb - qa) / (qb + qa) of each quote, from -1 to 1, shape (n,). Gould, Bonart (2016)."""
    bid, ask = _sizes(bid_sizes, ask_sizes)
    imbalance: Floats = (bid - ask) / (bid + ask)
    return imbalance


def weighted_mid(
    bid_prices: npt.ArrayLike, bid_sizes: npt.ArrayLike, ask_prices: npt.ArrayLike, ask_sizes: npt.ArrayLike
) -> Floats:
    """Middle of each quote, weighted by the opposite size: (pa qb + pb qa) / (qb + qa). Stoikov (2018), equation 1."""
    bid, ask = _sizes(bid_sizes, ask_sizes)
    bids, asks = checked(bid_prices, "bid prices"), checked(ask_prices, "ask prices")
    _paired(bids, bid, "bid prices and sizes")
    _paired(asks, ask, "ask prices and sizes")
    middle: Floats = (asks * bid + bids * ask) / (bid + ask)
    return middle


def realised_variance(returns: npt.ArrayLike) -> float:
    """Sum of squared returns. Andersen, Bollerslev, Diebold, Labys (2003)."""
    row = checked(returns, "returns")
    return float(np.dot(row, row))


def realised_volatility(returns: npt.ArrayLike, periods: float = 1.0) -> float:
    """Square root of the realised variance times `periods` (252 makes a day's a year's)."""
    if not 0.0 < periods <= LARGEST:
        raise Undefined("out_of_range", f"periods {periods}", expected="above 0")
    return math.sqrt(realised_variance(returns) * periods)


def bipower_variation(returns: npt.ArrayLike) -> float:
    """pi/2 sum |r[t]| |r[t-1]|: variation without jumps, no small-sample factor. Barndorff-Nielsen, Shephard (2004)."""
    row = np.abs(checked(returns, "returns", 2))
    return 0.5 * math.pi * float(np.dot(row[1:], row[:-1]))


def realised_quarticity(returns: npt.ArrayLike) -> float:
    """n/3 sum r^4: scales the error of the realised variance. Barndorff-Nielsen, Shephard (2002)."""
    square = checked(returns, "returns") ** 2
    return square.size / 3.0 * float(np.dot(square, square))


def jump_variation(returns: npt.ArrayLike) -> float:
    """Realised variance beyond the bipower variation, never below zero. Barndorff-Nielsen, Shephard (2004)."""
    return max(realised_variance(returns) - bipower_variation(returns), 0.0)


def tick_rule(prices: npt.ArrayLike) -> Signs:
    """Sign of each trade by the last change of price: 1 bought, -1 sold, 0 before any. Lee, Ready (1991)."""
    row = checked(prices, "prices")
    moves = np.zeros(row.size, np.int8)
    moves[1:] = np.sign(np.diff(row))
    last = np.maximum.accumulate(np.where(moves != 0, np.arange(row.size), 0))
    signs: Signs = moves[last]
    return signs


def quote_rule(prices: npt.ArrayLike, bid_prices: npt.ArrayLike, ask_prices: npt.ArrayLike) -> Signs:
    """Sign of each trade by the middle of the quote before it: 1 above, -1 below, 0 at it. Lee, Ready (1991).

    Parameters
    ----------
    prices, bid_prices, ask_prices
        Shape (n,): of each trade, and of the quote that stood before it.
    """
    row, bids, asks = (
        checked(prices, "prices"),
        checked(bid_prices, "bid prices"),
        checked(ask_prices, "ask prices"),
    )
    _paired(row, bids, "trades and quotes")
    _paired(row, asks, "trades and quotes")
    # Twice the price against the sum: halving never rounds, but the sum of the sides is the same for both.
    return np.sign(2.0 * row - (bids + asks)).astype(np.int8)


def lee_ready(prices: npt.ArrayLike, bid_prices: npt.ArrayLike, ask_prices: npt.ArrayLike) -> Signs:
    """The quote rule, and at the middle the tick rule. Lee, Ready (1991), section IV."""
    signs = quote_rule(prices, bid_prices, ask_prices)
    return np.where(signs != 0, signs, tick_rule(prices)).astype(np.int8)


def standing_quotes(
    trade_ns: npt.NDArray[np.int64], quote_ns: npt.NDArray[np.int64], *, lag_ns: int = 0
) -> npt.NDArray[Any]:
    """Index of the quote that stood before each trade, -1: none; shape of `trade_ns`.

    A quote counts from `lag_ns` after its stamp (Lee and Ready: five seconds, of reports of 1988; today 0), and one of
    the same stamp as the trade does not: it may be what the trade left.

    Raises
    ------
    Undefined
        ``unsorted``; ``mismatch``, ``not_finite``, ``out_of_range``: stamps that are no whole numbers within 2^61.
    """
    trades = whole_numbers(trade_ns, "stamps of trades", least=-_FARTHEST_NS, most=_FARTHEST_NS)
    quotes = whole_numbers(quote_ns, "stamps of quotes", least=-_FARTHEST_NS, most=_FARTHEST_NS)
    if not -_FARTHEST_NS <= lag_ns <= _FARTHEST_NS:
        raise Undefined("out_of_range", f"a lag of {lag_ns} ns", f"at most {_FARTHEST_NS}")
    check_times(trades, "stamps of trades", equal=True)
    check_times(quotes, "stamps of quotes", equal=True)
    return np.searchsorted(quotes, trades - lag_ns, side="left") - 1


__all__ = [
    "amihud_illiquidity",
    "bipower_variation",
    "checked",
    "jump_variation",
    "kyle_lambda",
    "lee_ready",
    "log_returns",
    "order_flow_imbalance",
    "queue_imbalance",
    "quote_rule",
    "realised_quarticity",
    "realised_variance",
    "realised_volatility",
    "roll_spread",
    "standing_quotes",
    "tick_rule",
    "weighted_mid",
]
