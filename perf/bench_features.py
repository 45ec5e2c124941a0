"""Features: a tick through all indicators, batches beside TA-Lib and pandas-ta-classic, cost as instruments grow.

All get the same arrays in memory. TA-Lib is called function by function, as its users do, for every feature that
follows it; ours is one program of the same features. pandas-ta-classic (where it is installed, without its own calls of
TA-Lib) has fewer of them: ours of those beside it. In the last part a bar of a random instrument comes each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from nautilus.core.feature_feed import BARS, FeatureFeed
from nautilus.core.indicators import Bank, batch
from nautilus.core.ticks import BAR, BarKind
from nautilus.core.types import QUOTE, TRADE
from nautilus.engines.features import FeaturesConfig, FeaturesEngine
from nautilus.maths.indicators import BAR_FEATURES, Compiled, compiled, every
from nautilus.model.features import GetCrossSection, GetFeatures
from nautilus.store.no_feature_sets import NoFeatureSets
from perf.harness import REPEATS, OtherLoad, Report, check, cores, pinned
from tests.kit.context import RecordingContext, btcusdt

SUMMARY = (
    "features: a tick through all indicators, batches beside TA-Lib and pandas-ta-classic, 10 to 10,000 instruments"
)
ROWS = 20_000
SMALL = 2_000
CROWDS = (10, 100, 1_000, 10_000)
ASKED = 2_000
MINUTE = 60_000_000_000
CLOSE, HLC, HL = ("close",), ("high", "low", "close"), ("high", "low")
HLCV, OC, CV, OHLC = (*HLC, "volume"), ("open", "close"), ("close", "volume"), ("open", *HLC)
PANDAS_TA: tuple[tuple[str, tuple[str, ...], dict[str, Any], str], ...] = (
    ("sma", CLOSE, {"length": 20}, "sma_20"),
    ("ema", CLOSE, {"length": 20}, "ema_20"),
    ("wma", CLOSE, {"length": 20}, "wma_20"),
    ("rma", CLOSE, {"length": 14}, "rma_14"),
    ("dema", CLOSE, {"length": 20}, "dema_20"),
    ("tema", CLOSE, {"length": 20}, "tema_20"),
    ("trima", CLOSE, {"length": 20}, "trima_20"),
    ("kama", CLOSE, {"length": 30}, "kama_30"),
    ("hma", CLOSE, {"length": 20}, "hma_20"),
    ("zlma", CLOSE, {"length": 30}, "zlema_30"),
    ("vwma", CV, {"length": 30}, "vwma_30"),
    ("t3", CLOSE, {"length": 5}, "t3_5"),
    ("midpoint", CLOSE, {"length": 14}, "midpoint_14"),
    ("midprice", HL, {"length": 14}, "midprice_14"),
    ("ohlc4", OHLC, {}, "avgprice"),
    ("hl2", HL, {}, "medprice"),
    ("hlc3", HLC, {}, "typprice"),
    ("wcp", HLC, {}, "wclprice"),
    ("ha", OHLC, {}, "heikin_ashi"),
    ("bbands", CLOSE, {"length": 20}, "bbands_20"),
    ("accbands", HLC, {"length": 20}, "accbands_20"),
    ("donchian", HL, {"lower_length": 20, "upper_length": 20}, "donchian_20"),
    ("kc", HLC, {"length": 20}, "keltner_20"),
    ("supertrend", HLC, {"length": 10, "multiplier": 3.0}, "supertrend_10"),
    ("psar", HLC, {}, "sar"),
    ("true_range", HLC, {}, "trange"),
    ("atr", HLC, {"length": 14}, "atr_14"),
    ("natr", HLC, {"length": 14}, "natr_14"),
    ("massi", HL, {}, "massi_25"),
    ("rvi", CLOSE, {"length": 14}, "rvi_14"),
    ("rsi", CLOSE, {"length": 14}, "rsi_14"),
    ("cmo", CLOSE, {"length": 14}, "cmo_14"),
    ("stoch", HLC, {}, "stoch"),
    ("stochrsi", CLOSE, {}, "stochrsi_14"),
    ("kdj", HLC, {}, "kdj_9"),
    ("willr", HLC, {"length": 14}, "willr_14"),
    ("cci", HLC, {"length": 14}, "cci_14"),
    ("uo", HLC, {}, "ultosc"),
    ("mom", CLOSE, {"length": 10}, "mom_10"),
    ("roc", CLOSE, {"length": 10}, "roc_10"),
    ("trix", CLOSE, {"length": 30}, "trix_30"),
    ("macd", CLOSE, {}, "macd"),
    ("apo", CLOSE, {}, "apo"),
    ("ppo", CLOSE, {}, "ppo"),
    ("bop", OHLC, {}, "bop"),
    ("ao", HL, {}, "ao"),
    ("coppock", CLOSE, {}, "coppock"),
    ("dpo", CLOSE, {"length": 20}, "dpo_20"),
    ("er", CLOSE, {"length": 10}, "er_10"),
    ("eri", HLC, {"length": 13}, "eri_13"),
    ("qstick", OC, {"length": 10}, "qstick_10"),
    ("tsi", CLOSE, {}, "tsi_25"),
    ("vhf", CLOSE, {"length": 28}, "vhf_28"),
    ("adx", HLC, {"length": 14}, "adx_14"),
    ("aroon", HL, {"length": 14}, "aroon_14"),
    ("vortex", HLC, {"length": 14}, "vortex_14"),
    ("obv", CV, {}, "obv"),
    ("ad", HLCV, {}, "ad"),
    ("adosc", HLCV, {}, "adosc"),
    ("cmf", HLCV, {"length": 20}, "cmf_20"),
    ("mfi", HLCV, {"length": 14}, "mfi_14"),
    ("efi", CV, {"length": 13}, "efi_13"),
    ("nvi", CV, {}, "nvi"),
    ("pvi", CV, {}, "pvi"),
    ("pvo", ("volume",), {}, "pvo"),
    ("pvt", CV, {}, "pvt"),
    ("linreg", CLOSE, {"length": 14}, "linearreg_14"),
    ("slope", CLOSE, {"length": 14}, "linearreg_slope_14"),
    ("stdev", CLOSE, {"length": 20}, "stddev_20"),
    ("variance", CLOSE, {"length": 20}, "var_20"),
    ("mad", CLOSE, {"length": 14}, "avgdev_14"),
)
"""Function, columns and parameters of pandas-ta-classic, and our feature of that name."""


def run(report: Report) -> None:
    """Streams, batches, crowds, answers."""
    core = cores()[-1]
    report.conditions["pinning"] = f"core {core}"
    with pinned(core):
        _stream(report)
        _batches(report)
        _crowds(report)
        _answers(report)


def bars(count: int) -> dict[str, np.ndarray]:
    """A walk."""
    chance = np.random.default_rng(3)
    close = 100.0 * np.exp(np.cumsum(chance.normal(0.0, 0.002, count)))
    opened = close * np.exp(chance.normal(0.0, 0.001, count))
    high = np.maximum(opened, close) * np.exp(np.abs(chance.normal(0.0, 0.001, count)))
    low = np.minimum(opened, close) * np.exp(-np.abs(chance.normal(0.0, 0.001, count)))
    volume = chance.integers(1, 10_000, count).astype(float)
    return {"open": opened, "high": high, "low": low, "close": close, "volume": volume}


def _stream(report: Report) -> None:
    columns = bars(ROWS)
    rows = np.ascontiguousarray(np.column_stack(list(columns.values())))
    technical = [each for each in BAR_FEATURES if each.family != "microstructure"]
    ninety = compiled("bar", technical[:90])
    for made, name in ((ninety, "90 indicators"), (every("bar"), f"all {len(BAR_FEATURES)} features of bars")):
        goal = 5.0 if made is ninety else None
        what = f"{name}, {len(made.outputs)} outputs"
        report.measure(f"a tick through {what}", "us", partial(_tick, made, rows), goal=goal, lower_is_better=True)
    report.measure(
        "the same 90, a call from Python each", "us", partial(_call, ninety, rows[:SMALL]), lower_is_better=True
    )
    bank, (values, valid) = Bank(every("bar").program), batch(every("bar").program, *columns.values())
    bank.feed(np.zeros(ROWS, np.int32), rows)
    now, marks = bank.values(0)
    check(now.tobytes() == values[:, -1].tobytes() and bool((marks == valid[:, -1]).all()), "stream and batch differ")
    report.checks.append("the last row of the stream is that of the batch, bit for bit")
    report.notes.append(f"{every('bar').program.columns} columns; {bank.slot_bytes:,} bytes an instrument in this bank")


def _tick(made: Compiled, rows: np.ndarray) -> float:
    bank, slots = Bank(made.program), np.zeros(len(rows), np.int32)
    begun = time.perf_counter()
    bank.feed(slots, rows)
    return (time.perf_counter() - begun) / len(rows) * 1e6


def _call(made: Compiled, rows: np.ndarray) -> float:
    bank, listed = Bank(made.program), rows.tolist()
    begun = time.perf_counter()
    for row in listed:
        bank.update(0, *row)
    return (time.perf_counter() - begun) / len(rows) * 1e6


def _batches(report: Report) -> None:
    columns = bars(ROWS)
    try:
        from tests.kit.talib_reference import reference
    except ImportError:
        report.notes.append("TA-Lib is not installed: nothing beside")
    else:
        known = reference(*columns.values())
        made = compiled("bar", [each for each in BAR_FEATURES if each.name in known])
        what = f"{len(made.definitions)} features that follow it, {ROWS:,} bars"
        theirs = report.measure(
            f"TA-Lib: {what}", "ns/bar", partial(_timed, partial(reference, *columns.values())), lower_is_better=True
        )
        _ours(report, made, columns, theirs.median, "TA-Lib")
        values, valid = batch(made.program, *columns.values())
        begin, _ = made.spans["rsi_14"]
        there = valid[begin]
        check(np.allclose(values[begin][there], known["rsi_14"][0][there], rtol=1e-9), "RSI differs from TA-Lib's")
    _pandas(report)


def _timed(once: Callable[[], object], rows: int = ROWS) -> float:
    begun = time.perf_counter()
    once()
    return (time.perf_counter() - begun) / rows * 1e9


def _ours(
    report: Report, made: Compiled, columns: dict[str, np.ndarray], theirs: float, peer: str, goal: float | None = None
) -> None:
    rows = len(columns["close"])
    once = partial(batch, made.program, *columns.values())
    mine = report.measure(
        f"ours: those {len(made.definitions)} beside {peer}",
        "ns/bar",
        partial(_timed, once, rows),
        lower_is_better=True,
    )
    report.add(f"times {peer}", "x", [theirs / each for each in mine.repeats], mine.other_load, goal=goal)


def _pandas(report: Report) -> None:
    try:
        import pandas as pd
        import pandas_ta_classic as pta
    except ImportError:
        report.notes.append("pandas-ta-classic is not installed: nothing beside")
        return
    columns = bars(SMALL)
    table = {name: pd.Series(row, index=pd.date_range("2020-01-01", periods=SMALL)) for name, row in columns.items()}
    calls = [(getattr(pta, name), [table[each] for each in needs], more) for name, needs, more, _ in PANDAS_TA]
    made = compiled("bar", [each for each in BAR_FEATURES if each.name in {name for *_, name in PANDAS_TA}])
    theirs = report.measure(
        f"pandas-ta-classic: {len(calls)} functions, {SMALL:,} bars",
        "ns/bar",
        partial(_timed, partial(_all, calls), SMALL),
        lower_is_better=True,
    )
    _ours(report, made, columns, theirs.median, "pandas-ta-classic", 5.0)


def _all(calls: Iterable[tuple[Callable[..., object], list[object], dict[str, object]]]) -> None:
    for function, arguments, more in calls:
        function(*arguments, **more, talib=False)


def _crowds(report: Report) -> None:
    made, curve = every("bar"), []
    for crowd in CROWDS:
        chance = np.random.default_rng(crowd)
        count = max(2 * crowd, 10_000)
        # Each instrument is there before the clock runs; then each bar is of a random one.
        order = np.concatenate([np.arange(crowd), chance.integers(0, crowd, count)]).astype(np.uint32)
        records = np.zeros(len(order), BAR)
        records["instrument_id"], records["kind"], records["size"] = order + 1, BarKind.TIME, MINUTE
        records["end_ns"] = records["now_ns"] = MINUTE * np.arange(1, len(order) + 1)
        prices = 100_000 + chance.integers(-50, 51, len(order))
        for name, away in (("open_ticks", 0), ("high_ticks", 9), ("low_ticks", -9), ("close_ticks", 3)):
            records[name] = prices + away
        records["volume"] = chance.integers(1, 999, len(order))
        with OtherLoad() as load:
            taken = [_crowd(made, crowd, records) for _ in range(REPEATS)]
        figure = report.add(f"a bar of one of {crowd:,} instruments", "us", taken, load.cores, lower_is_better=True)
        curve.append((float(crowd), figure.median))
    report.curves["us a bar, by instruments"] = curve
    report.notes.append(
        "beyond the processor's caches a bar costs what fetching its instrument's state takes; the steps are the same"
    )


def _crowd(made: Compiled, crowd: int, records: np.ndarray) -> float:
    feed = FeatureFeed(Bank(made.program, crowd, 8), BARS, bar_kind=int(BarKind.TIME), bar_size=MINUTE)
    for number in range(crowd):
        feed.add(number + 1, 1.0, 100.0, 1.0, 1.0)
    feed.bars(records[:crowd])
    begun = time.perf_counter()
    taken = feed.bars(records[crowd:])
    elapsed = time.perf_counter() - begun
    check(taken == len(records) - crowd, f"{taken} bars were taken")
    return elapsed / taken * 1e6


def _answers(report: Report) -> None:
    instruments = [btcusdt(instrument_id=1 + each, symbol=f"S{each}") for each in range(1_000)]
    engine, ctx = FeaturesEngine(FeaturesConfig(bars="tick:5"), instruments, NoFeatureSets()), RecordingContext()
    chance = np.random.default_rng(5)
    trades = np.zeros(200_000, TRADE)
    trades["now_ns"] = 1 + np.arange(len(trades))
    trades["instrument_id"] = chance.integers(1, 1_001, len(trades))
    trades["price_ticks"], trades["quantity"] = chance.integers(90_000, 90_100, len(trades)), 5
    quotes = np.zeros(len(trades), QUOTE)
    quotes["now_ns"], quotes["instrument_id"] = trades["now_ns"], trades["instrument_id"]
    quotes["bid_ticks"], quotes["ask_ticks"] = trades["price_ticks"] - 1, trades["price_ticks"] + 1
    quotes["bid_quantity"] = quotes["ask_quantity"] = chance.integers(1, 50, len(trades))
    for name, handle, records in (("quote", engine.on_quote, quotes), ("trade", engine.on_trade, trades)):
        begun = time.perf_counter()
        for begin in range(0, len(records), 100):
            handle(records[begin : begin + 100], ctx)
        took = (time.perf_counter() - begun) / len(records) * 1e6
        report.add(f"a {name} through the engine, 1,000 instruments", "us", [took], 0.0, lower_is_better=True)
    for name, question in (
        ("vector of all features", [GetFeatures(f"S{each}") for each in range(1_000)]),
        ("cross-section of 1,000", [GetCrossSection("rsi_14")]),
    ):
        nanos = np.empty(ASKED, np.int64)
        for at in range(ASKED):
            begun_ns = time.perf_counter_ns()
            engine.on_request(question[at % len(question)], ctx)
            nanos[at] = time.perf_counter_ns() - begun_ns
        report.latency(name, nanos)
        # A tenth of its budget of 200 ms.
        worst = float(np.percentile(nanos, 99)) / 1e6
        report.add(f"{name}, p99 in the engine", "ms", [worst], 0.0, goal=20.0, lower_is_better=True)
