"""Microstructure, one row at a time: of the touch, of trades, of bars.

The same measures as `nautilus.maths.microstructure`, over a window that moves along; each is computed anew from its
window, so that both agree to 1e-10.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from nautilus.maths.indicators.definition import Build, Definition
from nautilus.maths.indicators.graph import Graph, Ref

_WINDOW = 50
_BARS = 20


def _middle(g: Graph) -> Ref:
    return g.linear(g.input("bid"), 0.5, g.input("ask"), 0.5)


def _spread(g: Graph) -> Ref:
    return g.minus(g.input("ask"), g.input("bid"))


def _sizes(g: Graph) -> Ref:
    return g.plus(g.input("bid_size"), g.input("ask_size"))


def weighted_middle(g: Graph) -> Ref:
    """(ask x bid size + bid x ask size) / (bid size + ask size)."""
    first = g.times(g.input("ask"), g.input("bid_size"))
    second = g.times(g.input("bid"), g.input("ask_size"))
    return g.quotient(g.plus(first, second), _sizes(g))


def pressure(g: Graph) -> Ref:
    """Contribution of a change of the touch to order-flow imbalance."""
    quote = (g.input("bid"), g.input("bid_size"), g.input("ask"), g.input("ask_size"))
    # The row before is read too: it is defined from the second row on.
    return g.node("pressure", *quote, skip=1, reach=1)[0]


def _normalised_pressure(g: Graph, n: int) -> tuple[Ref, ...]:
    # Mean depth of the touch: half of both sides, of the same rows.
    return (g.quotient(g.exact(pressure(g), n), g.exact(_sizes(g), n, 0.5 / n)),)


def variation(g: Graph, r: Ref, n: int) -> Ref:
    """Sum of squares of n returns."""
    return g.exact(g.times(r, r), n)


def bipower(g: Graph, r: Ref, n: int) -> Ref:
    """pi/2 times the sum of the n - 1 products of amounts of neighbours."""
    amount = g.amount(r)
    return g.exact(g.times(amount, amount.ago(1)), n - 1, 0.5 * math.pi)


def quarticity(g: Graph, r: Ref, n: int) -> Ref:
    """n/3 times the sum of fourth powers of n returns."""
    square = g.times(r, r)
    return g.exact(g.times(square, square), n, n / 3.0)


def jumps(g: Graph, r: Ref, n: int) -> Ref:
    """Variation beyond the bipower variation, 0 at least."""
    return g.gain(variation(g, r, n), bipower(g, r, n))


def bounce(g: Graph, price: Ref, n: int) -> Ref:
    """Roll's spread of n prices; not defined where changes do not reverse."""
    change = g.minus(price, price.ago(1))
    pairs = n - 2
    covariance = g.covariance(change, change.ago(1), pairs)[0]
    return g.root(covariance, -4.0 / (pairs - 1), math.nan)


def aggressor(g: Graph) -> Ref:
    """The venue's word, else Lee and Ready's."""
    said = g.input("sign")
    return g.node("chosen", said, lee_ready(g))[0]


def quote_sign(g: Graph) -> Ref:
    """1 above the middle of the quote before, -1 below, 0 at it."""
    both = g.plus(g.input("bid"), g.input("ask"))
    return g.node("sign", g.linear(g.input("price"), 2.0), both)[0]


def tick_sign(g: Graph) -> Ref:
    """Sign of the last change of price."""
    return g.node("tick", g.input("price"), reach=1)[0]


def lee_ready(g: Graph) -> Ref:
    """The quote's sign, at the middle the tick's."""
    return g.node("chosen", quote_sign(g), tick_sign(g))[0]


def _signed(g: Graph) -> Ref:
    return g.times(aggressor(g), g.input("size"))


def impact(g: Graph, n: int) -> tuple[Ref, ...]:
    """Kyle's lambda of n changes of price on signed sizes."""
    price = g.input("price")
    xy, xx, _ = g.covariance(_signed(g), g.minus(price, price.ago(1)), n)
    return (g.quotient(xy, xx),)


def _returns(g: Graph, name: str) -> Ref:
    price = g.input(name)
    return g.log(price, price.ago(1))


def _amihud(g: Graph, price: str, size: str, n: int) -> tuple[Ref, ...]:
    money = g.times(g.input(price), g.input(size))
    return (g.exact(g.quotient(g.amount(_returns(g, price)), money), n, 1.0 / n),)


def _quote(name: str, parameters: Mapping[str, float], build: Build, summary: str, follows: str) -> Definition:
    return Definition(name, "microstructure", "quote", (name,), parameters, build, summary, follows)


def _trade(name: str, parameters: Mapping[str, float], build: Build, summary: str, follows: str) -> Definition:
    return Definition(name, "microstructure", "trade", (name,), parameters, build, summary, follows)


def _bar(name: str, parameters: Mapping[str, float], build: Build, summary: str, follows: str) -> Definition:
    return Definition(name, "microstructure", "bar", (name,), parameters, build, summary, follows)


_CKS = "Cont, Kukanov, Stoikov (2014)"
_BNS = "Barndorff-Nielsen, Shephard (2004)"
_ABDL = "Andersen, Bollerslev, Diebold, Labys (2003)"
_N = {"n": _WINDOW}

QUOTE_FEATURES = (
    _quote("mid", {}, lambda g: (_middle(g),), "middle of the touch", "definition"),
    _quote("spread", {}, lambda g: (_spread(g),), "ask less bid", "definition"),
    _quote(
        "spread_bps",
        {},
        lambda g: (g.quotient(_spread(g), _middle(g), 1e4),),
        "spread in basis points of the middle",
        "definition",
    ),
    _quote(
        "micro_price",
        {},
        lambda g: (weighted_middle(g),),
        "middle weighted by opposite sizes; undefined where both sizes are 0",
        "Stoikov (2018), equation 1",
    ),
    _quote(
        "queue_imbalance",
        {},
        lambda g: (g.quotient(g.minus(g.input("bid_size"), g.input("ask_size")), _sizes(g)),),
        "bid size less ask size over both, -1 to 1",
        "Gould, Bonart (2016)",
    ),
    _quote("ofi", {}, lambda g: (pressure(g),), "order-flow imbalance of the last change of the touch", _CKS),
    _quote("ofi_50", _N, lambda g: (g.exact(pressure(g), _WINDOW),), "sum of the last 50", _CKS),
    _quote("ofi_50_depth", _N, lambda g: _normalised_pressure(g, _WINDOW), "the sum over the mean depth", _CKS),
    _quote(
        "mid_rv_50",
        _N,
        lambda g: (variation(g, g.log(_middle(g), _middle(g).ago(1)), _WINDOW),),
        "realised variance of 50 log returns of the middle",
        _ABDL,
    ),
)
"""Of every change of the touch: prices and sizes in units of the instrument."""

TRADE_FEATURES = (
    _trade("tick_sign", {}, lambda g: (tick_sign(g),), "tick rule; 0 before the first change", "Lee, Ready (1991)"),
    _trade(
        "quote_sign",
        {},
        lambda g: (quote_sign(g),),
        "quote rule; 0 at the middle, or with no quote before",
        "Lee, Ready (1991)",
    ),
    _trade("lee_ready", {}, lambda g: (lee_ready(g),), "quote rule, at the middle tick rule", "Lee, Ready (1991)"),
    _trade("aggressor", {}, lambda g: (aggressor(g),), "side that the venue says, else lee_ready", "definition"),
    _trade("flow_50", _N, lambda g: (g.exact(_signed(g), _WINDOW),), "signed size of 50 trades", "definition"),
    _trade(
        "flow_imbalance_50",
        _N,
        lambda g: (g.quotient(g.exact(_signed(g), _WINDOW), g.exact(g.input("size"), _WINDOW)),),
        "signed size over size of 50 trades",
        "definition",
    ),
    _trade(
        "kyle_lambda_50",
        _N,
        lambda g: impact(g, _WINDOW),
        "slope of price changes on signed sizes; undefined where these do not vary",
        "Kyle (1985)",
    ),
    _trade(
        "amihud_50",
        _N,
        lambda g: _amihud(g, "price", "size", _WINDOW),
        "mean amount of log returns over money, of 50 trades",
        "Amihud (2002)",
    ),
    _trade(
        "roll_50",
        _N,
        lambda g: (bounce(g, g.input("price"), _WINDOW),),
        "Roll's spread of 50 prices; undefined where changes do not reverse",
        "Roll (1984)",
    ),
    _trade(
        "rv_50",
        _N,
        lambda g: (variation(g, _returns(g, "price"), _WINDOW),),
        "realised variance of 50 log returns",
        _ABDL,
    ),
    _trade("rvol_50", _N, lambda g: (g.root(variation(g, _returns(g, "price"), _WINDOW)),), "its root", _ABDL),
    _trade("bpv_50", _N, lambda g: (bipower(g, _returns(g, "price"), _WINDOW),), "bipower variation", _BNS),
    _trade("rq_50", _N, lambda g: (quarticity(g, _returns(g, "price"), _WINDOW),), "realised quarticity", _BNS),
    _trade(
        "jump_50",
        _N,
        lambda g: (jumps(g, _returns(g, "price"), _WINDOW),),
        "realised variance beyond the bipower variation",
        _BNS,
    ),
)
"""Of every trade."""

BAR_MEASURES = (
    _bar("log_return", {}, lambda g: (_returns(g, "close"),), "log return of the close", "definition"),
    _bar(
        "bar_rv_20",
        {"n": _BARS},
        lambda g: (variation(g, _returns(g, "close"), _BARS),),
        "realised variance of 20 log returns",
        _ABDL,
    ),
    _bar(
        "bar_rvol_20", {"n": _BARS}, lambda g: (g.root(variation(g, _returns(g, "close"), _BARS)),), "its root", _ABDL
    ),
    _bar("bar_bpv_20", {"n": _BARS}, lambda g: (bipower(g, _returns(g, "close"), _BARS),), "bipower variation", _BNS),
    _bar(
        "bar_rq_20", {"n": _BARS}, lambda g: (quarticity(g, _returns(g, "close"), _BARS),), "realised quarticity", _BNS
    ),
    _bar(
        "bar_amihud_20",
        {"n": _BARS},
        lambda g: _amihud(g, "close", "volume", _BARS),
        "mean amount of log returns over money, of 20 bars; undefined where one had no volume",
        "Amihud (2002)",
    ),
    _bar(
        "bar_roll_20",
        {"n": _BARS},
        lambda g: (bounce(g, g.input("close"), _BARS),),
        "Roll's spread of 20 closes; undefined where changes do not reverse",
        "Roll (1984)",
    ),
)
"""Of every bar."""

__all__ = ["BAR_MEASURES", "QUOTE_FEATURES", "TRADE_FEATURES"]
