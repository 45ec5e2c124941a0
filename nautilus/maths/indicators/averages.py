"""Moving averages and prices of a bar."""

from __future__ import annotations

import math

from nautilus.maths.indicators.definition import Build, Definition
from nautilus.maths.indicators.graph import Graph, Ref

_TALIB = "TA-Lib "


def typical(g: Graph) -> Ref:
    """(high + low + close) / 3."""
    both = g.plus(g.input("high"), g.input("low"))
    return g.linear(both, 1.0 / 3.0, g.input("close"), 1.0 / 3.0)


def median(g: Graph) -> Ref:
    """(high + low) / 2."""
    return g.linear(g.input("high"), 0.5, g.input("low"), 0.5)


def mean_price(g: Graph) -> Ref:
    """(open + high + low + close) / 4."""
    both = g.plus(g.input("high"), g.input("low"))
    return g.linear(both, 0.25, g.plus(g.input("open"), g.input("close")), 0.25)


def chain(g: Graph, x: Ref, n: int, times: int) -> list[Ref]:
    """Exponential averages of exponential averages."""
    out = [g.ema(x, n)]
    while len(out) < times:
        out.append(g.ema(out[-1], n))
    return out


def dema(g: Graph, n: int) -> tuple[Ref, ...]:
    """2 e1 - e2."""
    first, second = chain(g, g.input("close"), n, 2)
    return (g.linear(first, 2.0, second, -1.0),)


def tema(g: Graph, n: int) -> tuple[Ref, ...]:
    """3 e1 - 3 e2 + e3."""
    first, second, third = chain(g, g.input("close"), n, 3)
    return (g.linear(g.minus(first, second), 3.0, third, 1.0),)


def t3(g: Graph, n: int, v: float) -> tuple[Ref, ...]:
    """Six averages, weighted by the volume factor v (Tillson)."""
    e = chain(g, g.input("close"), n, 6)
    late = g.linear(e[5], -(v**3), e[4], 3.0 * (v**2 + v**3))
    early = g.linear(e[3], -6.0 * v**2 - 3.0 * (v + v**3), e[2], 1.0 + 3.0 * v + v**3 + 3.0 * v**2)
    return (g.plus(late, early),)


def trima(g: Graph, n: int) -> tuple[Ref, ...]:
    """Mean of means: weights that rise to the middle and fall."""
    inner, outer = (n // 2 + 1, (n + 1) // 2) if n % 2 else (n // 2, n // 2 + 1)
    return (g.sma(g.sma(g.input("close"), inner), outer),)


def kama(g: Graph, n: int) -> tuple[Ref, ...]:
    """Kaufman's: as quick as the price is straight."""
    close = g.input("close")
    path = g.sum(g.absolute(close, close.ago(1)), n)
    return g.node("adaptive", close, close.ago(n), path, reach=1)


def hma(g: Graph, n: int) -> tuple[Ref, ...]:
    """Hull's: weighted mean of 2 w(n/2) - w(n)."""
    close = g.input("close")
    raw = g.linear(g.wma(close, n // 2), 2.0, g.wma(close, n), -1.0)
    return (g.wma(raw, math.isqrt(n)),)


def zlema(g: Graph, n: int) -> tuple[Ref, ...]:
    """Exponential average of the price and what it gained over half the window."""
    close = g.input("close")
    return (g.ema(g.linear(close, 2.0, close.ago((n - 1) // 2), -1.0), n),)


def vwma(g: Graph, n: int) -> tuple[Ref, ...]:
    """Mean of the closes, weighted by volume; not defined where there is none."""
    close, volume = g.input("close"), g.input("volume")
    return (g.ratio(g.exact(g.times(close, volume), n), g.exact(volume, n), c=math.nan),)


def vwap(g: Graph) -> tuple[Ref, ...]:
    """Typical price, weighted by volume, since the first bar."""
    volume = g.input("volume")
    return (g.ratio(g.total(g.times(typical(g), volume)), g.total(volume), c=math.nan),)


def heikin_ashi(g: Graph) -> tuple[Ref, ...]:
    """Open, high, low, close of the averaged candle."""
    opened = g.node("candle", g.input("open"), g.input("close"), mean_price(g))[0]
    closed = mean_price(g)
    high = g.node("most", g.node("most", g.input("high"), opened)[0], closed)[0]
    low = g.node("least", g.node("least", g.input("low"), opened)[0], closed)[0]
    return opened, high, low, closed


def _of_close(name: str, n: int, text: str, follows: str, build: Build) -> Definition:
    return Definition(
        f"{name}_{n}",
        "average",
        "bar",
        (f"{name}_{n}",),
        {"n": n},
        build,
        text,
        _TALIB + follows,
    )


DEFINITIONS = (
    _of_close("sma", 20, "mean of closes", "SMA", lambda g: (g.sma(g.input("close"), 20),)),
    _of_close("ema", 20, "exponential average of closes", "EMA", lambda g: (g.ema(g.input("close"), 20),)),
    _of_close("wma", 20, "linearly weighted mean of closes", "WMA", lambda g: (g.wma(g.input("close"), 20),)),
    _of_close("rma", 14, "Wilder's average of closes", "RMA", lambda g: (g.rma(g.input("close"), 14),)),
    _of_close("dema", 20, "double exponential average", "DEMA", lambda g: dema(g, 20)),
    _of_close("tema", 20, "triple exponential average", "TEMA", lambda g: tema(g, 20)),
    _of_close("trima", 20, "triangular mean", "TRIMA", lambda g: trima(g, 20)),
    _of_close("kama", 30, "Kaufman's adaptive average", "KAMA", lambda g: kama(g, 30)),
    _of_close("hma", 20, "Hull's average", "HMA", lambda g: hma(g, 20)),
    _of_close("zlema", 30, "zero-lag exponential average", "ZLEMA", lambda g: zlema(g, 30)),
    _of_close("vwma", 30, "volume-weighted mean; undefined without volume", "VWMA", lambda g: vwma(g, 30)),
    Definition(
        "t3_5", "average", "bar", ("t3_5",), {"n": 5, "v": 0.7}, lambda g: t3(g, 5, 0.7), "Tillson's T3", _TALIB + "T3"
    ),
    Definition(
        "vwap",
        "average",
        "bar",
        ("vwap",),
        {},
        vwap,
        "volume-weighted average price since the first bar; undefined without volume",
        _TALIB + "VWAP",
    ),
    Definition(
        "midpoint_14",
        "average",
        "bar",
        ("midpoint_14",),
        {"n": 14},
        lambda g: (g.linear(g.highest(g.input("close"), 14)[0], 0.5, g.lowest(g.input("close"), 14)[0], 0.5),),
        "middle of the highest and lowest close",
        _TALIB + "MIDPOINT",
    ),
    Definition(
        "midprice_14",
        "average",
        "bar",
        ("midprice_14",),
        {"n": 14},
        lambda g: (g.linear(g.highest(g.input("high"), 14)[0], 0.5, g.lowest(g.input("low"), 14)[0], 0.5),),
        "middle of the highest high and lowest low",
        _TALIB + "MIDPRICE",
    ),
    Definition(
        "avgprice",
        "price",
        "bar",
        ("avgprice",),
        {},
        lambda g: (mean_price(g),),
        "mean of open, high, low, close",
        _TALIB + "AVGPRICE",
    ),
    Definition(
        "medprice",
        "price",
        "bar",
        ("medprice",),
        {},
        lambda g: (median(g),),
        "middle of high and low",
        _TALIB + "MEDPRICE",
    ),
    Definition(
        "typprice",
        "price",
        "bar",
        ("typprice",),
        {},
        lambda g: (typical(g),),
        "mean of high, low, close",
        _TALIB + "TYPPRICE",
    ),
    Definition(
        "wclprice",
        "price",
        "bar",
        ("wclprice",),
        {},
        lambda g: (g.linear(g.plus(g.input("high"), g.input("low")), 0.25, g.input("close"), 0.5),),
        "mean of high, low, close, close",
        _TALIB + "WCLPRICE",
    ),
    Definition(
        "heikin_ashi",
        "price",
        "bar",
        ("ha_open", "ha_high", "ha_low", "ha_close"),
        {},
        heikin_ashi,
        "Heikin-Ashi candle",
        _TALIB + "HA",
    ),
)

__all__ = ["DEFINITIONS", "chain", "mean_price", "median", "typical"]
