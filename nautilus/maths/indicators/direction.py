"""Whether there is a trend, and which way: Wilder's directional movement, Aroon, vortex."""

from __future__ import annotations

from collections.abc import Mapping

from nautilus.maths.indicators.bands import true_range
from nautilus.maths.indicators.definition import Build, Definition
from nautilus.maths.indicators.graph import Graph, Ref


def _moves(g: Graph, n: int) -> tuple[Ref, Ref, Ref]:
    """Wilder's sums of +DM, -DM and the true range: each holds n - 1 values from row n - 1 on."""
    high, low = g.input("high"), g.input("low")
    plus, minus = g.node("direction", high, high.ago(1), low, low.ago(1), outputs=2)
    up, down, wide = (g.node("wilder", each, n=n, warm=n - 2)[0] for each in (plus, minus, true_range(g)))
    return up, down, wide


def _indexes(g: Graph, n: int) -> tuple[Ref, Ref]:
    """+DI and -DI, from the row on which the sums are averaged once."""
    up, down, wide = _moves(g, n)
    plus = g.node("ratio", up, wide, a=100.0, skip=1)[0]
    minus = g.node("ratio", down, wide, a=100.0, skip=1)[0]
    return plus, minus


def _index(g: Graph, n: int) -> Ref:
    plus, minus = _indexes(g, n)
    return g.ratio(g.absolute(plus, minus), g.plus(plus, minus), 100.0)


def _strength(g: Graph, n: int) -> Ref:
    return g.rma(_index(g, n), n)


def aroon(g: Graph, n: int) -> tuple[Ref, Ref]:
    """Percent of the window since the lowest low and the highest high: down, up."""
    down = g.lowest(g.input("low"), n + 1)[1]
    up = g.highest(g.input("high"), n + 1)[1]
    return g.linear(down, -100.0 / n, c=100.0), g.linear(up, -100.0 / n, c=100.0)


def vortex(g: Graph, n: int) -> tuple[Ref, ...]:
    """Sums of |high - low before| and |low - high before| over that of the true range."""
    high, low = g.input("high"), g.input("low")
    wide = g.exact(true_range(g), n)
    plus, minus = g.exact(g.absolute(high, low.ago(1)), n), g.exact(g.absolute(low, high.ago(1)), n)
    return g.ratio(plus, wide), g.ratio(minus, wide)


def accumulation(g: Graph) -> tuple[Ref, ...]:
    """Williams': sum of the way from the true low of rising bars, from the true high of falling ones."""
    close = g.input("close")
    before = close.ago(1)
    low = g.node("least", g.input("low"), before)[0]
    high = g.node("most", g.input("high"), before)[0]
    up, down = g.node("split", close, before, g.minus(close, low), outputs=2)[0], g.minus(close, high)
    fell = g.node("split", close, before, down, outputs=2)[1]
    return (g.total(g.plus(up, fell)),)


def _one(name: str, parameters: Mapping[str, float], build: Build, summary: str, follows: str) -> Definition:
    return Definition(name, "direction", "bar", (name,), parameters, build, summary, f"TA-Lib {follows}")


DEFINITIONS = (
    _one("plus_dm_14", {"n": 14}, lambda g: (_moves(g, 14)[0],), "Wilder's sum of rises of the high", "PLUS_DM"),
    _one("minus_dm_14", {"n": 14}, lambda g: (_moves(g, 14)[1],), "Wilder's sum of falls of the low", "MINUS_DM"),
    _one("plus_di_14", {"n": 14}, lambda g: (_indexes(g, 14)[0],), "the rises in percent of the range", "PLUS_DI"),
    _one("minus_di_14", {"n": 14}, lambda g: (_indexes(g, 14)[1],), "the falls in percent of the range", "MINUS_DI"),
    _one("dx_14", {"n": 14}, lambda g: (_index(g, 14),), "directional index", "DX"),
    _one("adx_14", {"n": 14}, lambda g: (_strength(g, 14),), "average directional index", "ADX"),
    _one(
        "adxr_14",
        {"n": 14},
        lambda g: (g.linear(_strength(g, 14), 0.5, _strength(g, 14).ago(13), 0.5),),
        "mean of the average directional index and that of 13 bars ago",
        "ADXR",
    ),
    Definition(
        "aroon_14",
        "direction",
        "bar",
        ("aroon_14_down", "aroon_14_up"),
        {"n": 14},
        lambda g: aroon(g, 14),
        "time since the extremes",
        "TA-Lib AROON",
    ),
    _one(
        "aroonosc_14",
        {"n": 14},
        lambda g: (g.minus(aroon(g, 14)[1], aroon(g, 14)[0]),),
        "Aroon up less down",
        "AROONOSC",
    ),
    Definition(
        "vortex_14",
        "direction",
        "bar",
        ("vortex_14_plus", "vortex_14_minus"),
        {"n": 14},
        lambda g: vortex(g, 14),
        "vortex indicator",
        "TA-Lib VORTEX",
    ),
    _one("wad", {}, accumulation, "Williams' accumulation and distribution", "WAD"),
)

__all__ = ["DEFINITIONS"]
