"""How quick and how far the price goes, from closes and from ranges."""

from __future__ import annotations

from collections.abc import Mapping

from nautilus.maths.indicators.averages import chain, median, typical
from nautilus.maths.indicators.bands import true_range
from nautilus.maths.indicators.definition import Build, Definition
from nautilus.maths.indicators.graph import Graph, Ref


def _gains(g: Graph, x: Ref) -> tuple[Ref, Ref]:
    return g.gain(x, x.ago(1)), g.gain(x.ago(1), x)


def relative_strength(g: Graph, x: Ref, n: int) -> Ref:
    """Wilder's: averaged gains in percent of gains and losses; 0 where nothing moved."""
    up, down = (g.rma(side, n) for side in _gains(g, x))
    return g.ratio(up, g.plus(up, down), 100.0)


def chande(g: Graph, n: int) -> tuple[Ref, ...]:
    """Gains less losses in percent of both, averaged as Wilder does."""
    up, down = (g.rma(side, n) for side in _gains(g, g.input("close")))
    return (g.ratio(g.minus(up, down), g.plus(up, down), 100.0),)


def chande_plain(g: Graph, n: int) -> tuple[Ref, ...]:
    """The same of sums."""
    up, down = (g.exact(side, n) for side in _gains(g, g.input("close")))
    return (g.ratio(g.minus(up, down), g.plus(up, down), 100.0),)


def place(g: Graph, n: int) -> Ref:
    """Percent of the way from the lowest low to the highest high at which the close is; 0 where these are equal."""
    top, bottom = g.highest(g.input("high"), n)[0], g.lowest(g.input("low"), n)[0]
    return g.position(g.input("close"), top, bottom)


def stochastic(g: Graph, n: int, k: int, d: int) -> tuple[Ref, ...]:
    """Place of the close, smoothed, and smoothed again."""
    slow = g.sma(place(g, n), k)
    signal = g.sma(slow, d)
    return _together(slow, signal)


def stochastic_strength(g: Graph, n: int, k: int, d: int) -> tuple[Ref, ...]:
    """Place of the relative strength in its own range, and smoothed."""
    strength = relative_strength(g, g.input("close"), n)
    at = g.position(strength, g.highest(strength, k)[0], g.lowest(strength, k)[0])
    return _together(at, g.sma(at, d))


def kdj(g: Graph, n: int) -> tuple[Ref, ...]:
    """Stochastic of Wilder averages, and 3 k - 2 d."""
    k = g.rma(place(g, n), 3)
    d = g.rma(k, 3)
    return _together(k, d, g.linear(k, 3.0, d, -2.0))


def _together(*refs: Ref) -> tuple[Ref, ...]:
    """All from the row on which the last of them begins: TA-Lib gives the outputs of a function together."""
    start = max(ref.start for ref in refs)
    return tuple(ref._replace(start=start) for ref in refs)


def willr(g: Graph, n: int) -> tuple[Ref, ...]:
    """Williams' %R: -100 at the lowest low, 0 at the highest high."""
    top, bottom = g.highest(g.input("high"), n)[0], g.lowest(g.input("low"), n)[0]
    return (g.position(g.input("close"), bottom, top, a=-100.0),)


def cci(g: Graph, n: int) -> tuple[Ref, ...]:
    """Distance of the typical price from its mean in 0.015 mean deviations."""
    price = typical(g)
    away = g.minus(price, g.exact(price, n, 1.0 / n))
    return (g.ratio(away, g.node("deviation", price, n=n, warm=n - 1, reach=n - 1)[0], 1.0 / 0.015),)


def ultimate(g: Graph) -> tuple[Ref, ...]:
    """Williams': buying pressure over true range of 7, 14, 28 bars, weights 4, 2, 1."""
    low = g.node("least", g.input("low"), g.input("close").ago(1))[0]
    bought, wide = g.minus(g.input("close"), low), true_range(g)
    parts = [g.ratio(g.exact(bought, n), g.exact(wide, n)) for n in (7, 14, 28)]
    first = g.linear(parts[0], 400.0 / 7.0, parts[1], 200.0 / 7.0)
    return (g.linear(first, 1.0, parts[2], 100.0 / 7.0),)


def macd(g: Graph, fast: int, slow: int, n: int) -> tuple[Ref, ...]:
    """Difference of two averages that begin together, its own average, and the rest."""
    close = g.input("close")
    line = g.minus(g.ema(close, fast, slow - fast), g.ema(close, slow))
    signal = g.ema(line, n)
    return _together(line, signal, g.minus(line, signal))


def trix(g: Graph, n: int) -> tuple[Ref, ...]:
    """Percent change of the triple average."""
    third = chain(g, g.input("close"), n, 3)[2]
    return (g.ratio(third, third.ago(1), 100.0, -1.0),)


def true_strength(g: Graph, first: int, second: int) -> tuple[Ref, ...]:
    """Twice averaged changes in percent of their twice averaged amounts."""
    close = g.input("close")
    change = g.ema(g.ema(g.minus(close, close.ago(1)), first), second)
    amount = g.ema(g.ema(g.absolute(close, close.ago(1)), first), second)
    return (g.ratio(change, amount, 100.0),)


def stochastic_momentum(g: Graph, n: int, first: int, second: int, d: int) -> tuple[Ref, ...]:
    """Blau's: twice averaged distance from the middle of the range in percent of half the twice averaged range."""
    top, bottom = g.highest(g.input("high"), n)[0], g.lowest(g.input("low"), n)[0]
    away = g.minus(g.input("close"), g.linear(top, 0.5, bottom, 0.5))
    away = g.ema(g.ema(away, first), second)
    wide = g.ema(g.ema(g.minus(top, bottom), first), second)
    line = g.ratio(away, wide, 200.0)
    return _together(line, g.ema(line, d))


def awesome(g: Graph) -> Ref:
    """Mean of 5 less mean of 34 of the middles of the bars."""
    return g.minus(g.sma(median(g), 5), g.sma(median(g), 34))


def accelerator(g: Graph) -> tuple[Ref, ...]:
    """The same less its own mean of 5."""
    line = awesome(g)
    return (g.minus(line, g.sma(line, 5)),)


def coppock(g: Graph, n: int, short: int, long: int) -> tuple[Ref, ...]:
    """Weighted mean of two percent changes."""
    close = g.input("close")
    both = g.plus(g.ratio(close, close.ago(short), 100.0, -1.0), g.ratio(close, close.ago(long), 100.0, -1.0))
    return (g.wma(both, n),)


def efficiency(g: Graph, n: int) -> tuple[Ref, ...]:
    """Way from end to end over the way gone; 1 where nothing moved."""
    close = g.input("close")
    return (g.ratio(g.absolute(close, close.ago(n)), g.exact(g.absolute(close, close.ago(1)), n), c=1.0),)


def vertical(g: Graph, n: int) -> tuple[Ref, ...]:
    """Range of the closes over the way gone."""
    close = g.input("close")
    wide = g.minus(g.highest(close, n)[0], g.lowest(close, n)[0])
    return (g.ratio(wide, g.exact(g.absolute(close, close.ago(1)), n)),)


def intraday(g: Graph, n: int) -> tuple[Ref, ...]:
    """Rising bodies in percent of all bodies."""
    up = g.exact(g.gain(g.input("close"), g.input("open")), n)
    down = g.exact(g.gain(g.input("open"), g.input("close")), n)
    return (g.ratio(up, g.plus(up, down), 100.0, c=50.0),)


def forecast(g: Graph, n: int) -> tuple[Ref, ...]:
    """Close less the line's forecast of it, in percent of the close."""
    slope, intercept = g.regression(g.input("close"), n)
    told = g.linear(intercept, 1.0, slope, float(n)).ago(1)
    return (g.ratio(g.minus(g.input("close"), told), g.input("close"), 100.0),)


def _change(g: Graph, n: int, a: float, b: float) -> tuple[Ref, ...]:
    close = g.input("close")
    return (g.ratio(close, close.ago(n), a, b),)


def _difference(g: Graph, x: Ref, fast: int, slow: int, *, percent: bool) -> tuple[Ref, ...]:
    short, long = g.ema(x, fast), g.ema(x, slow)
    return (g.ratio(short, long, 100.0, -1.0) if percent else g.minus(short, long),)


def _one(name: str, parameters: Mapping[str, float], build: Build, summary: str, follows: str) -> Definition:
    return Definition(name, "momentum", "bar", (name,), parameters, build, summary, f"TA-Lib {follows}")


def _many(
    name: str, outputs: tuple[str, ...], parameters: Mapping[str, float], build: Build, summary: str, follows: str
) -> Definition:
    return Definition(name, "momentum", "bar", outputs, parameters, build, summary, f"TA-Lib {follows}")


DEFINITIONS = (
    _one(
        "rsi_14",
        {"n": 14},
        lambda g: (relative_strength(g, g.input("close"), 14),),
        "relative strength index; 0 where nothing moved",
        "RSI",
    ),
    _one("cmo_14", {"n": 14}, lambda g: chande(g, 14), "Chande's oscillator; 0 where nothing moved", "CMO"),
    _one("cmou_14", {"n": 14}, lambda g: chande_plain(g, 14), "Chande's oscillator of sums", "CMOU"),
    _many(
        "stoch",
        ("stoch_k", "stoch_d"),
        {"n": 5, "k": 3, "d": 3},
        lambda g: stochastic(g, 5, 3, 3),
        "slow stochastic; 0 where the range is",
        "STOCH",
    ),
    _many(
        "stochf",
        ("stochf_k", "stochf_d"),
        {"n": 5, "k": 1, "d": 3},
        lambda g: stochastic(g, 5, 1, 3),
        "quick stochastic",
        "STOCHF",
    ),
    _many(
        "stochrsi_14",
        ("stochrsi_14_k", "stochrsi_14_d"),
        {"n": 14, "k": 5, "d": 3},
        lambda g: stochastic_strength(g, 14, 5, 3),
        "stochastic of the relative strength",
        "STOCHRSI",
    ),
    _many(
        "kdj_9",
        ("kdj_9_k", "kdj_9_d", "kdj_9_j"),
        {"n": 9, "k": 3, "d": 3},
        lambda g: kdj(g, 9),
        "stochastic of Wilder averages",
        "KDJ",
    ),
    _many(
        "smi_13",
        ("smi_13", "smi_13_signal"),
        {"n": 13, "first": 25, "second": 2, "d": 9},
        lambda g: stochastic_momentum(g, 13, 25, 2, 9),
        "stochastic momentum index",
        "SMI",
    ),
    _one("willr_14", {"n": 14}, lambda g: willr(g, 14), "Williams' %R", "WILLR"),
    _one("cci_14", {"n": 14}, lambda g: cci(g, 14), "commodity channel index", "CCI"),
    _one("ultosc", {"short": 7, "middle": 14, "long": 28}, ultimate, "ultimate oscillator", "ULTOSC"),
    _one(
        "mom_10",
        {"n": 10},
        lambda g: (g.minus(g.input("close"), g.input("close").ago(10)),),
        "change of the close",
        "MOM",
    ),
    _one("roc_10", {"n": 10}, lambda g: _change(g, 10, 100.0, -1.0), "percent change", "ROC"),
    _one("rocp_10", {"n": 10}, lambda g: _change(g, 10, 1.0, -1.0), "change as a part of one", "ROCP"),
    _one("rocr_10", {"n": 10}, lambda g: _change(g, 10, 1.0, 0.0), "ratio", "ROCR"),
    _one("rocr100_10", {"n": 10}, lambda g: _change(g, 10, 100.0, 0.0), "ratio in percent", "ROCR100"),
    _one("trix_30", {"n": 30}, lambda g: trix(g, 30), "percent change of the triple average", "TRIX"),
    _many(
        "macd",
        ("macd", "macd_signal", "macd_histogram"),
        {"fast": 12, "slow": 26, "signal": 9},
        lambda g: macd(g, 12, 26, 9),
        "convergence of averages",
        "MACD",
    ),
    _one(
        "apo",
        {"fast": 12, "slow": 26},
        lambda g: _difference(g, g.input("close"), 12, 26, percent=False),
        "difference of two exponential averages",
        "APO",
    ),
    _one(
        "ppo",
        {"fast": 12, "slow": 26},
        lambda g: _difference(g, g.input("close"), 12, 26, percent=True),
        "the same in percent",
        "PPO",
    ),
    _one(
        "bop",
        {},
        lambda g: (g.ratio(g.minus(g.input("close"), g.input("open")), g.minus(g.input("high"), g.input("low"))),),
        "balance of power; 0 where the range is",
        "BOP",
    ),
    _one("ao", {"fast": 5, "slow": 34}, lambda g: (awesome(g),), "awesome oscillator", "AO"),
    _one("ac", {"fast": 5, "slow": 34, "signal": 5}, accelerator, "accelerator", "AC"),
    _one("coppock", {"n": 10, "short": 11, "long": 14}, lambda g: coppock(g, 10, 11, 14), "Coppock's curve", "COPPOCK"),
    _one(
        "dpo_20",
        {"n": 20},
        lambda g: (g.minus(g.input("close").ago(11), g.sma(g.input("close"), 20)),),
        "price 11 bars ago less the mean",
        "DPO",
    ),
    _one("er_10", {"n": 10}, lambda g: efficiency(g, 10), "Kaufman's efficiency ratio; 1 where nothing moved", "ER"),
    _many(
        "eri_13",
        ("eri_13_bull", "eri_13_bear"),
        {"n": 13},
        lambda g: (
            g.minus(g.input("high"), g.ema(g.input("close"), 13)),
            g.minus(g.input("low"), g.ema(g.input("close"), 13)),
        ),
        "Elder's ray",
        "ERI",
    ),
    _one("fosc_5", {"n": 5}, lambda g: forecast(g, 5), "forecast oscillator", "FOSC"),
    _one("imi_14", {"n": 14}, lambda g: intraday(g, 14), "intraday momentum index; 50 where no bar has a body", "IMI"),
    _one(
        "qstick_10",
        {"n": 10},
        lambda g: (g.sma(g.minus(g.input("close"), g.input("open")), 10),),
        "mean body",
        "QSTICK",
    ),
    _one("tsi_25", {"first": 25, "second": 13}, lambda g: true_strength(g, 25, 13), "true strength index", "TSI"),
    _one("vhf_28", {"n": 28}, lambda g: vertical(g, 28), "vertical horizontal filter", "VHF"),
)

__all__ = ["DEFINITIONS"]
