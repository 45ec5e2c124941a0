"""What the volume says about the price."""

from __future__ import annotations

import math
from collections.abc import Mapping

from nautilus.maths.indicators.averages import typical
from nautilus.maths.indicators.definition import Build, Definition
from nautilus.maths.indicators.graph import Graph, Ref


def flow(g: Graph) -> Ref:
    """Volume times the place of the close in the bar, from -1 to 1; 0 where the range is."""
    return g.node("flow", g.input("high"), g.input("low"), g.input("close"), g.input("volume"))[0]


def chaikin(g: Graph, fast: int, slow: int) -> tuple[Ref, ...]:
    """Difference of two averages of the accumulated flow."""
    line = g.total(flow(g))
    out = g.minus(g.seeded(line, 2.0 / (fast + 1)), g.seeded(line, 2.0 / (slow + 1)))
    return (out._replace(start=slow - 1),)


def balance(g: Graph) -> tuple[Ref, ...]:
    """Granville's: volume of rising closes less that of falling ones, begun with the first volume."""
    close, volume = g.input("close"), g.input("volume")
    return (g.node("balance", close, volume, reach=1)[0],)


def money_flow(g: Graph, n: int) -> tuple[Ref, ...]:
    """Money of rising typical prices in percent of all."""
    price = typical(g)
    before = price.ago(1)
    # Two prices are equal, as in TA-Lib, within 1e-14 of them: the last bits of a mean of three are rounding.
    moved = g.linear(g.absolute(price, before), 1.0, g.amount(price), -1e-14)
    now = g.node("where", price, before, moved)[0]
    up, down = g.node("split", now, before, g.times(price, g.input("volume")), outputs=2)
    up, down = g.exact(up, n), g.exact(down, n)
    return (g.ratio(up, g.plus(up, down), 100.0),)


def force(g: Graph, n: int) -> tuple[Ref, ...]:
    """Elder's: average of change times volume."""
    close = g.input("close")
    return (g.ema(g.times(g.minus(close, close.ago(1)), g.input("volume")), n),)


def relative(g: Graph, n: int) -> tuple[Ref, ...]:
    """Volume over the mean of the n before; undefined where that is 0."""
    volume = g.input("volume")
    return (g.ratio(volume, g.sma(volume, n).ago(1), c=math.nan),)


def trend(g: Graph) -> tuple[Ref, ...]:
    """Sum of percentage change times volume."""
    return (g.node("trend", g.input("close"), g.input("volume"), reach=1)[0],)


def _one(name: str, parameters: Mapping[str, float], build: Build, summary: str, follows: str) -> Definition:
    return Definition(name, "volume", "bar", (name,), parameters, build, summary, f"TA-Lib {follows}")


DEFINITIONS = (
    _one("obv", {}, balance, "on-balance volume", "OBV"),
    _one("ad", {}, lambda g: (g.total(flow(g)),), "accumulation and distribution", "AD"),
    _one("adosc", {"fast": 3, "slow": 10}, lambda g: chaikin(g, 3, 10), "Chaikin's oscillator", "ADOSC"),
    _one(
        "cmf_20",
        {"n": 20},
        lambda g: (g.ratio(g.exact(flow(g), 20), g.exact(g.input("volume"), 20)),),
        "Chaikin's money flow; 0 without volume",
        "CMF",
    ),
    _one("mfi_14", {"n": 14}, lambda g: money_flow(g, 14), "money flow index; 0 where no money flowed", "MFI")._replace(
        version=2
    ),
    _one("efi_13", {"n": 13}, lambda g: force(g, 13), "Elder's force index", "EFI"),
    _one(
        "nvi",
        {},
        lambda g: g.node("index", g.input("close"), g.input("volume"), m=-1, a=1000.0, reach=1),
        "negative volume index",
        "NVI",
    ),
    _one(
        "pvi",
        {},
        lambda g: g.node("index", g.input("close"), g.input("volume"), m=1, a=1000.0, reach=1),
        "positive volume index",
        "PVI",
    ),
    _one(
        "pvo",
        {"fast": 12, "slow": 26},
        lambda g: (g.ratio(g.ema(g.input("volume"), 12), g.ema(g.input("volume"), 26), 100.0, -1.0),),
        "percentage volume oscillator",
        "PVO",
    ),
    _one("pvt", {}, trend, "price volume trend", "PVT"),
    _one("rvol_20", {"n": 20}, lambda g: relative(g, 20), "volume over its mean; undefined where that is 0", "RVOL"),
    _one(
        "marketfi",
        {},
        lambda g: (g.ratio(g.minus(g.input("high"), g.input("low")), g.input("volume")),),
        "range per volume; 0 without volume",
        "MARKETFI",
    ),
)

__all__ = ["DEFINITIONS"]
