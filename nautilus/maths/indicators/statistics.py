"""Statistics of a window."""

from __future__ import annotations

from collections.abc import Mapping

from nautilus.maths.indicators.definition import Build, Definition
from nautilus.maths.indicators.graph import Graph, Ref


def beta(g: Graph, n: int) -> tuple[Ref, ...]:
    """Slope of the changes of the low on those of the high; 0 where these do not vary."""
    high, low = g.input("high"), g.input("low")
    x, y = g.ratio(high, high.ago(1), 1.0, -1.0), g.ratio(low, low.ago(1), 1.0, -1.0)
    xy, xx, _ = g.covariance(x, y, n)
    return (g.ratio(xy, xx),)


def correlation(g: Graph, n: int) -> tuple[Ref, ...]:
    """Pearson's, of high and low; 0 where one does not vary."""
    xy, xx, yy = g.covariance(g.input("high"), g.input("low"), n)
    return (g.ratio(xy, g.root(g.times(xx, yy))),)


def _line(g: Graph, n: int, at: float) -> tuple[Ref, ...]:
    slope, intercept = g.regression(g.input("close"), n)
    return (g.linear(intercept, 1.0, slope, at),)


def _one(name: str, parameters: Mapping[str, float], build: Build, summary: str, follows: str) -> Definition:
    return Definition(name, "statistic", "bar", (name,), parameters, build, summary, f"TA-Lib {follows}")


DEFINITIONS = (
    _one("linearreg_14", {"n": 14}, lambda g: _line(g, 14, 13.0), "end of the line through closes", "LINEARREG"),
    _one(
        "linearreg_slope_14",
        {"n": 14},
        lambda g: (g.regression(g.input("close"), 14)[0],),
        "its slope",
        "LINEARREG_SLOPE",
    ),
    _one(
        "linearreg_intercept_14",
        {"n": 14},
        lambda g: (g.regression(g.input("close"), 14)[1],),
        "its begin",
        "LINEARREG_INTERCEPT",
    ),
    _one(
        "linearreg_angle_14",
        {"n": 14},
        lambda g: g.node("angle", g.regression(g.input("close"), 14)[0]),
        "angle of its slope, degrees",
        "LINEARREG_ANGLE",
    ),
    _one("tsf_14", {"n": 14}, lambda g: _line(g, 14, 14.0), "the line, one bar on", "TSF"),
    _one(
        "stddev_20",
        {"n": 20},
        lambda g: (g.deviation(g.input("close"), 20),),
        "standard deviation of closes, divisor n",
        "STDDEV",
    ),
    _one("var_20", {"n": 20}, lambda g: (g.variance(g.input("close"), 20),), "variance, divisor n", "VAR"),
    _one("beta_5", {"n": 5}, lambda g: beta(g, 5), "beta of lows to highs", "BETA"),
    _one("correl_30", {"n": 30}, lambda g: correlation(g, 30), "correlation of highs and lows", "CORREL"),
    _one("max_30", {"n": 30}, lambda g: (g.highest(g.input("close"), 30)[0],), "highest close", "MAX"),
    _one("min_30", {"n": 30}, lambda g: (g.lowest(g.input("close"), 30)[0],), "lowest close", "MIN"),
    _one("sum_30", {"n": 30}, lambda g: (g.sum(g.input("close"), 30),), "sum of closes", "SUM"),
    _one(
        "avgdev_14",
        {"n": 14},
        lambda g: g.node("deviation", g.input("close"), n=14, warm=13, reach=13),
        "mean deviation of closes",
        "AVGDEV",
    ),
    _one(
        "percentrank_100",
        {"n": 100},
        lambda g: g.node("rank", g.input("close"), n=100, a=1.0, warm=100, reach=100),
        "closes of the 100 before that are below, in percent",
        "PERCENTRANK",
    ),
    _one(
        "percentile_30",
        {"n": 30, "percent": 50.0},
        lambda g: g.node("percentile", g.input("close"), n=30, m=15, warm=29, reach=30),
        "nearest-rank median of closes",
        "PERCENTILE",
    ),
)

__all__ = ["DEFINITIONS"]
