"""Bands around a price, stops, and the spread of a bar: what volatility leaves on a chart."""

from __future__ import annotations

import math
from collections.abc import Mapping

from nautilus.maths.indicators.averages import typical
from nautilus.maths.indicators.definition import Build, Definition
from nautilus.maths.indicators.graph import Graph, Ref


def true_range(g: Graph) -> Ref:
    """Greatest of high - low, |high - close before|, |low - close before|."""
    return g.node("range", g.input("high"), g.input("low"), g.input("close").ago(1))[0]


def average_range(g: Graph, n: int, skip: int = 0) -> Ref:
    """Wilder's average of the true range."""
    return g.rma(true_range(g), n, skip)


def spread(g: Graph) -> Ref:
    """High - low."""
    return g.minus(g.input("high"), g.input("low"))


def bollinger(g: Graph, n: int, width: float) -> tuple[Ref, ...]:
    """Mean of closes and `width` standard deviations either side."""
    middle = g.sma(g.input("close"), n)
    deviation = g.deviation(g.input("close"), n)
    return g.linear(middle, 1.0, deviation, width), middle, g.linear(middle, 1.0, deviation, -width)


def _place(g: Graph, n: int, width: float) -> tuple[Ref, ...]:
    upper, _, lower = bollinger(g, n, width)
    return (g.position(g.input("close"), upper, lower, 1.0, math.nan),)


def acceleration(g: Graph, n: int) -> tuple[Ref, ...]:
    """Means of high (1 + 4 w) and low (1 - 4 w), w = (high - low) / (high + low)."""
    high, low = g.input("high"), g.input("low")
    up = g.ratio(spread(g), g.plus(high, low), 4.0, 0.25, 1.0)
    down = g.ratio(spread(g), g.plus(high, low), -4.0, -0.25, 1.0)
    return g.sma(g.times(high, up), n), g.sma(g.input("close"), n), g.sma(g.times(low, down), n)


def donchian(g: Graph, n: int) -> tuple[Ref, ...]:
    """Highest high, lowest low, and their middle."""
    top, bottom = g.highest(g.input("high"), n)[0], g.lowest(g.input("low"), n)[0]
    return top, g.linear(top, 0.5, bottom, 0.5), bottom


def keltner(g: Graph, n: int, atr: int, width: float) -> tuple[Ref, ...]:
    """Exponential average of the typical price and `width` average true ranges either side, which begin together."""
    middle, wide = g.ema(typical(g), n), average_range(g, atr, max(n - 1 - atr, 0))
    return g.linear(middle, 1.0, wide, width), middle, g.linear(middle, 1.0, wide, -width)


def supertrend(g: Graph, n: int, width: float) -> tuple[Ref, ...]:
    """Level that trails the price, and the direction: 1 below it, -1 above."""
    high, low, close = g.input("high"), g.input("low"), g.input("close")
    return g.node("supertrend", high, low, close, average_range(g, n), a=width, outputs=2, reach=1)


def parabolic(g: Graph) -> tuple[Ref, ...]:
    """Wilder's stop and reverse."""
    return g.node("parabolic", g.input("high"), g.input("low"), a=0.02, b=0.2, skip=1, reach=1)


def chaikin(g: Graph, n: int, back: int) -> tuple[Ref, ...]:
    """Percent change of the averaged high - low."""
    average = g.ema(spread(g), n)
    return (g.ratio(average, average.ago(back), 100.0, -1.0),)


def mass(g: Graph, n: int, total: int) -> tuple[Ref, ...]:
    """Sum of the averaged high - low over its own average."""
    once = g.ema(spread(g), n)
    return (g.sum(g.ratio(once, g.ema(once, n), c=1.0), total),)


def relative_volatility(g: Graph, n: int, window: int) -> tuple[Ref, ...]:
    """Share of the standard deviation that belongs to rising closes."""
    close = g.input("close")
    up, down = g.node("split", close, close.ago(1), g.deviation(close, window), outputs=2)
    up, down = g.rma(up, n), g.rma(down, n)
    return (g.ratio(up, g.plus(up, down), 100.0, c=50.0),)


def natr(g: Graph, n: int) -> tuple[Ref, ...]:
    """Average true range in percent of the close."""
    return (g.ratio(average_range(g, n), g.input("close"), 100.0),)


def _bands(name: str, parameters: Mapping[str, float], build: Build, summary: str, follows: str) -> Definition:
    outputs = (f"{name}_upper", f"{name}_middle", f"{name}_lower")
    return Definition(name, "band", "bar", outputs, parameters, build, summary, f"TA-Lib {follows}")


def _spread(name: str, parameters: Mapping[str, float], build: Build, summary: str, follows: str) -> Definition:
    return Definition(name, "volatility", "bar", (name,), parameters, build, summary, f"TA-Lib {follows}")


DEFINITIONS = (
    _bands("bbands_20", {"n": 20, "width": 2.0}, lambda g: bollinger(g, 20, 2.0), "Bollinger's bands", "BBANDS"),
    _bands("accbands_20", {"n": 20}, lambda g: acceleration(g, 20), "Headley's acceleration bands", "ACCBANDS"),
    _bands("donchian_20", {"n": 20}, lambda g: donchian(g, 20), "Donchian's channel", "DONCHIAN"),
    _bands(
        "keltner_20", {"n": 20, "atr": 10, "width": 2.0}, lambda g: keltner(g, 20, 10, 2.0), "Keltner's channel", "KC"
    ),
    Definition(
        "supertrend_10",
        "band",
        "bar",
        ("supertrend_10", "supertrend_10_direction"),
        {"n": 10, "width": 3.0},
        lambda g: supertrend(g, 10, 3.0),
        "trailing level and its direction",
        "TA-Lib SUPERTREND",
    ),
    Definition(
        "sar",
        "band",
        "bar",
        ("sar",),
        {"acceleration": 0.02, "most": 0.2},
        parabolic,
        "parabolic stop and reverse",
        "TA-Lib SAR",
    ),
    _spread("trange", {}, lambda g: (true_range(g),), "true range", "TRANGE"),
    _spread("atr_14", {"n": 14}, lambda g: (average_range(g, 14),), "average true range", "ATR"),
    _spread("natr_14", {"n": 14}, lambda g: natr(g, 14), "average true range in percent of the close", "NATR"),
    _spread("adr_14", {"n": 14}, lambda g: (g.sma(spread(g), 14),), "mean of high - low", "ADR"),
    _spread("cvi_10", {"n": 10, "back": 10}, lambda g: chaikin(g, 10, 10), "Chaikin's volatility", "CVI"),
    _spread("massi_25", {"n": 9, "total": 25}, lambda g: mass(g, 9, 25), "mass index", "MASSI"),
    _spread(
        "rvi_14",
        {"n": 14, "window": 10},
        lambda g: relative_volatility(g, 14, 10),
        "relative volatility index; 50 where nothing moved",
        "RVI",
    ),
    _spread(
        "bbands_20_width",
        {"n": 20, "width": 2.0},
        lambda g: (g.ratio(g.deviation(g.input("close"), 20), g.sma(g.input("close"), 20), 4.0, c=math.nan),),
        "width of Bollinger's bands over their middle",
        "BBANDS",
    ),
    _spread(
        "bbands_20_percent",
        {"n": 20, "width": 2.0},
        lambda g: _place(g, 20, 2.0),
        "place of the close in Bollinger's bands; undefined where they have no width",
        "BBANDS",
    ),
)

__all__ = ["DEFINITIONS", "average_range", "spread", "true_range"]
