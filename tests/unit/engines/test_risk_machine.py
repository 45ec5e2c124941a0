"""Breaches of the tree beside a plain twin that works out every scope anew after each event, restarts in between."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.engines.risk import RiskConfig, RiskEngine
from nautilus.engines.risk.limits import CONTROLS, text_of
from nautilus.model.alerts import RiskAlert
from nautilus.model.enums import Side
from nautilus.model.events import OrderAccepted, OrderFilled
from nautilus.model.history import PutHistory, SeriesKind
from nautilus.model.marketdata import Quote
from nautilus.model.risk import LimitBreached
from tests.kit.context import SECOND, RecordingContext, btcusdt
from tests.kit.naive_limits import NaiveLimits

INSTRUMENTS = [btcusdt(), btcusdt(instrument_id=2, symbol="BTCEUR", quote_currency="EUR")]
DESKS = {"one": (1, 2)}
RELEASE, STEPS, DAY = 0.9, 50, 86_400 * SECOND
# Soft and hard; no value that whole lots and ticks give is one of them.
LIMITS = {
    "position": (0.0401, 0.0701),
    "notional": (400.1237, 700.1237),
    "gross": (450.1237, 800.1237),
    "net": (300.1237, 600.1237),
    "loss": (5.1237, 20.1237),
    "drawdown": (7.1237, 25.1237),
    "var": (20.1237, 45.1237),
    "concentration": (0.61237, 0.93237),
    "order_rate": (1.5, 2.5),
}
LEVELS = ("firm", "desk/*", "portfolio/*", "strategy/*/*", "instrument/*/*/*")
RULES = tuple(
    f"{scope} {control} soft {soft} hard {hard}"
    for control, (soft, hard) in LIMITS.items()
    for scope in LEVELS
    if scope.partition("/")[0] in CONTROLS[control]
)
RETURNS = {key: np.random.default_rng(20 + key).normal(size=STEPS) * 0.03 for key in (1, 2)}
Told = list[tuple[str, str, bool, bool]]


class Twin:
    """The breaches that there are, by the values of all scopes."""

    def __init__(self) -> None:
        desks = {account: name for name, accounts in DESKS.items() for account in accounts}
        instruments = {each.instrument_id: each for each in INSTRUMENTS}
        self.tree = NaiveLimits(instruments, {"USDT": Fraction(1), "EUR": Fraction(5, 4)}, desks, RETURNS, 0.99)
        self.active: set[tuple[tuple[str, ...], str, bool]] = set()

    def scopes(self) -> set[tuple[str, ...]]:
        found = self.tree.scopes()
        for _, account, strategy in self.tree.orders:
            found |= {("portfolio", str(account)), ("strategy", str(account), str(strategy))}
            found |= {("desk", self.tree.desks[account])} if account in self.tree.desks else set()
        return found

    def look(self, now_ns: int) -> Told:
        """What begins and ends now."""
        told: Told = []
        for scope in self.scopes():
            for control, limits in LIMITS.items():
                if scope[0] not in CONTROLS[control]:
                    continue
                value = self.tree.value(scope, control, now_ns, SECOND)
                for hard, limit in zip((False, True), limits, strict=True):
                    key = (scope, control, hard)
                    before = key in self.active
                    after = value > (limit * RELEASE if before else limit)
                    if before != after:
                        told.append((text_of(scope), control, hard, after))
                        self.active ^= {key}
        return told

    def restart(self) -> None:
        """Prices since forgotten: what each position is marked at now is its last one."""
        for key, position in self.tree.positions.items():
            quote = self.tree.quotes.get(key[2])
            if quote is not None and position.quantity:
                self.tree.last[key] = quote[position.quantity < 0]
        self.tree.quotes.clear()


def made() -> RiskEngine:
    none = {"max_position": 0, "max_loss": "", "max_orders": 0, "rates": {"EUR": "1.25"}, "desks": DESKS}
    return RiskEngine(RiskConfig(**none, limits=RULES, release=RELEASE, var_window=STEPS), INSTRUMENTS)


def restarted(engine: RiskEngine, ctx: RecordingContext) -> RiskEngine:
    engine.on_stop(ctx)
    later = made()
    for name, (_, give) in engine.bulk().items():
        later.restore_bulk(name, give())
    later.restore(json.loads(json.dumps(engine.state())))
    later.on_start(ctx)
    return later


def told(ctx: RecordingContext) -> Told:
    found = [each for each in ctx.published if isinstance(each, LimitBreached)]
    alerts = [each for each in ctx.published if isinstance(each, RiskAlert)]
    ctx.published.clear()
    begun = [each for each in found if each.hard and each.active]
    desks = sum(len(DESKS[each.scope.partition("/")[2]]) - 1 for each in begun if each.scope.startswith("desk"))
    assert len(alerts) == len(begun) + desks, "one for each hard breach, of a desk one for each of its portfolios"
    assert {(each.scope, each.control) for each in alerts} == {(each.scope, each.control) for each in begun}
    return [(each.scope, each.control, each.hard, each.active) for each in found]


EVENTS = st.one_of(
    st.tuples(
        st.just("fill"),
        st.integers(1, 3),
        st.integers(0, 1),
        st.integers(1, 2),
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(1, 50),
        st.integers(90_000, 110_000),
    ),
    st.tuples(st.just("quote"), st.integers(1, 2), st.integers(80_000, 120_000), st.integers(0, 300)),
    st.tuples(st.just("order"), st.integers(1, 3), st.integers(0, 1)),
    st.tuples(st.just("wait"), st.integers(1, SECOND)),
    st.tuples(st.just("restart")),
)


@settings(max_examples=30)
@given(st.lists(EVENTS, max_size=25))
def test_each_event_tells_just_the_breaches_that_begin_and_end_with_it(events: list[Any]) -> None:
    engine, ctx, twin = made(), RecordingContext(), Twin()
    times = tuple((day + 1) * DAY for day in range(STEPS))
    for key, instrument in enumerate(INSTRUMENTS, 1):
        put = PutHistory(instrument.symbol, times, tuple(RETURNS[key]), SeriesKind.RETURN)
        engine.on_request(put, ctx)
    engine.on_timer("histories", ctx)
    for sequence, (kind, *event) in enumerate(events, 1):
        if kind == "restart":
            engine = restarted(engine, ctx)
            twin.restart()
        elif kind == "fill":
            account, strategy, instrument, side, lots, ticks = event
            fill = OrderFilled(sequence, 5, account, strategy, instrument, sequence, side, ticks, lots, 0)
            engine.on_report(fill, ctx)
            twin.tree.fill((account, strategy, instrument), side, lots, ticks, 0)
        elif kind == "quote":
            instrument, bid, spread = event
            engine.on_quote(Quote(5, 5, 1, bid, 10, bid + spread, 10, instrument), ctx)
            twin.tree.quote(instrument, bid, bid + spread)
        elif kind == "order":
            account, strategy = event
            order = OrderAccepted(sequence, ctx.now_ns, account, strategy, 1, sequence, Side.BUY, 100, 1, 1)
            engine.on_report(order, ctx)
            twin.tree.order(account, strategy, ctx.now_ns)
        else:
            ctx.now_ns += event[0]
            while any(ns <= ctx.now_ns for ns, _ in ctx.timers):
                ctx.timers = [(ns, key) for ns, key in ctx.timers if ns > ctx.now_ns]
                engine.on_timer("orders", ctx)
        assert sorted(told(ctx)) == sorted(twin.look(ctx.now_ns)), (sequence, kind)
