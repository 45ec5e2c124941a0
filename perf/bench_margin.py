"""Margin: 1,000 positions under each regime, and what an event costs as positions grow from 10 to 10,000.

The portfolio is 250 stocks with three options each; that of futures 250 products with three options on each. Nothing is
kept from one run to the next: options are valued anew in every scenario and paired anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from nautilus.core.types import QUOTE
from nautilus.engines.collateral import CollateralConfig, CollateralEngine
from nautilus.maths import american, implied_volatility, margin, options
from nautilus.maths.margin_book import CALL, EQUITY, FUTURE, POSITION
from nautilus.model.instrument import Instrument
from nautilus.model.portfolio import PortfolioValued
from nautilus.model.position import Position, PositionChanged
from perf.harness import Report, check, cores, pinned
from tests.kit.context import RecordingContext

SUMMARY = "margin of 1,000 positions under each regime, cost of an event from 10 to 10,000 positions, options priced"
POSITIONS = 1_000
CALLS = 50
SIZES = (10, 100, 1_000, 10_000)
EVENTS = 400
NOW_NS = 20_089 * 86_400 * 10**9


def book(count: int = POSITIONS, of_futures: bool = False) -> np.ndarray:
    """Each fourth position an underlying, the others options on it."""
    draw = np.random.default_rng(1)
    rows = np.zeros(count, POSITION)
    place = np.arange(count)
    head = place % 4 == 0
    spot = draw.uniform(20, 300, count // 4 + 1)[place // 4]
    rows["underlying"] = rows["group"] = place // 4
    rows["kind"] = np.where(head, FUTURE if of_futures else EQUITY, draw.integers(1, 3, count))
    rows["multiplier"] = np.where(head & (not of_futures), 1, 100)
    rows["quantity"] = np.where(
        head & (not of_futures), draw.integers(-500, 500, count), draw.choice([-3, -2, -1, 1, 2, 3], count)
    )
    rows["spot"], rows["sigma"], rows["rate"], rows["table"], rows["delta"] = spot, 0.3, 0.03, -1, 1.0
    rows["years"] = np.where(head, 0.0, draw.choice([0.1, 0.2, 0.5], count))
    rows["month"] = (rows["years"] * 1_000).astype(np.int64)
    rows["strike"] = np.where(head, 0.0, np.round(spot * np.exp(draw.normal(0, 0.1, count))) + 1)
    rows["of_future"] = of_futures & ~head
    rows["price_range"], rows["vol_range"] = 0.1 * spot, 0.05
    rows["initial_each"], rows["maintenance_each"] = 11.0 * spot, 10.0 * spot
    rows["price"] = spot
    held = rows[~head]
    rows["price"][~head] = options.price(
        held["kind"] == CALL, held["spot"], held["strike"], held["years"], held["rate"], held["sigma"]
    )
    return rows


def run(report: Report) -> None:
    """Whole portfolios, single events, options."""
    core = cores()[-1]
    report.conditions["pinning"] = f"core {core}"
    with pinned(core):
        _portfolios(report)
        _events(report)
        _options(report)
    report.checks.append("the incremental margin is that of the whole portfolio, and the sum over its groups")


def _timed(call: Callable[[], object], calls: int) -> Callable[[], float]:
    def once() -> float:
        begun = time.perf_counter_ns()
        for _ in range(calls):
            call()
        return (time.perf_counter_ns() - begun) / calls

    return once


def _portfolios(report: Report) -> None:
    rules = margin.Rules()
    cases = (("reg_t", False), ("portfolio", False), ("span", True))
    for regime, of_futures in cases:
        rows = book(of_futures=of_futures)
        whole = margin.requirement(rows, regime, rules).maintenance
        parts = [
            float(margin.requirement(rows[rows["group"] == key], regime, rules).maintenance.sum())
            for key in range(0, len(whole), 25)
        ]
        check(np.allclose(parts, whole[::25]), f"{regime}: a group alone has another margin")

        def once(rows: np.ndarray = rows, regime: str = regime) -> object:
            return margin.requirement(rows, regime, rules)

        once()
        name = f"margin of {POSITIONS:,} positions, {regime}"
        values = _timed(once, CALLS)
        report.measure(name, "ms", lambda values=values: values() / 1e6, goal=1.0, lower_is_better=True)  # type: ignore[misc]


def _engine(count: int) -> tuple[CollateralEngine, RecordingContext]:
    instruments = [
        Instrument(
            instrument_id=number, symbol=f"S{number}", venue="X", base_currency="USD", quote_currency="USD",
            tick_table=(("0", "0.01"),), lot_size="1", product="equity", currency_decimals=4,
        )
        for number in range(1, count + 1)
    ]  # fmt: skip
    engine, ctx = CollateralEngine(CollateralConfig(), instruments), RecordingContext(NOW_NS)
    quotes = np.zeros(count, QUOTE)
    quotes["instrument_id"] = np.arange(1, count + 1)
    quotes["bid_ticks"] = quotes["ask_ticks"] = 10_000
    quotes["bid_quantity"] = quotes["ask_quantity"] = 1
    engine.on_quote(quotes, ctx)
    for number in range(1, count + 1):
        engine.on_position(PositionChanged(number, NOW_NS, 0, Position(1, number, 10)), ctx)
    engine.on_balance(PortfolioValued(NOW_NS, 1, "USD", count * 600.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), ctx)
    return engine, ctx


def _events(report: Report) -> None:
    curve = []
    for count in SIZES:
        engine, ctx = _engine(count)
        draw = np.random.default_rng(2)
        quotes = np.zeros((EVENTS, 1), QUOTE)
        quotes["bid_quantity"] = quotes["ask_quantity"] = 1

        def once(quotes: np.ndarray = quotes, engine: CollateralEngine = engine, ctx: RecordingContext = ctx) -> float:
            quotes["instrument_id"] = draw.integers(1, count + 1, (EVENTS, 1))  # noqa: B023
            quotes["bid_ticks"] = quotes["ask_ticks"] = draw.integers(9_000, 11_000, (EVENTS, 1))  # noqa: B023
            begun = time.perf_counter_ns()
            for event in quotes:
                engine.on_quote(event, ctx)
            return (time.perf_counter_ns() - begun) / EVENTS / 1e3

        once()
        figure = report.measure(f"a quote, {count:,} positions", "us", once, lower_is_better=True)
        curve.append((float(count), figure.median))
        account = engine._accounts[1]
        summary = account.summary(engine._registry)
        good = account.usable(range(len(account)), NOW_NS, engine._marks)
        whole = margin.requirement(account.book(good, NOW_NS), "reg_t", engine._registry.rules(20250101))
        check(abs(summary.maintenance / float(whole.maintenance.sum()) - 1) < 1e-9, "the incremental margin drifted")
    report.curves["a quote, by positions (us)"] = curve
    ratio = curve[-1][1] / curve[0][1]
    report.notes.append(f"a quote at {SIZES[-1]:,} positions costs {ratio:.2f} times what it does at {SIZES[0]}")


def _options(report: Report) -> None:
    rows = book()
    rows = rows[rows["kind"] != EQUITY]
    terms = (rows["kind"] == CALL, rows["spot"], rows["strike"], rows["years"], rows["rate"], rows["sigma"], 0.01)
    count = len(rows)
    greeks = _timed(lambda: options.greeks(*terms), CALLS)
    report.measure(f"greeks of {count} options, each", "ns", lambda: greeks() / count, lower_is_better=True)
    prices = options.price(*terms)
    call, spot, strike, years, rate, sigma, _ = terms
    values, codes = implied_volatility.solve(call, prices, spot, strike, years, rate, 0.01)
    told = (codes == 0) & (options.greeks(*terms).vega > 0.05)
    check(np.max(np.abs(values - sigma)[told]) < 1e-11, "an implied volatility is not the one that made the price")
    solve = _timed(lambda: implied_volatility.solve(call, prices, spot, strike, years, rate, 0.01), 3)
    report.measure(
        f"implied volatilities of {count} options, each", "ns", lambda: solve() / count, lower_is_better=True
    )
    some = tuple(column[:100] if isinstance(column, np.ndarray) else column for column in terms)
    early = _timed(lambda: american.price(*some), 1)
    report.measure("American prices of 100 options, each", "us", lambda: early() / 100 / 1e3, lower_is_better=True)
