"""The tree of limits: beside a plain twin, and breaches told once, at once, with an end."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.engines.risk import RiskConfig, RiskEngine
from nautilus.engines.risk.limits import CONTROLS, make_rule, parse_rule, text_of
from nautilus.engines.risk.nodes import Largest
from nautilus.model.alerts import RiskAlert
from nautilus.model.commands import KillSwitch
from nautilus.model.enums import Side
from nautilus.model.errors import ConfigError, ModelError, UnknownInstrumentError, UnknownPortfolioError
from nautilus.model.events import InstrumentSplit, OrderAccepted, OrderFilled, PositionAdjusted
from nautilus.model.history import PutHistory, SeriesKind
from nautilus.model.marketdata import Quote
from nautilus.model.portfolio import PortfolioValued
from nautilus.model.risk import DropLimit, GetLimits, LimitBreached, SetLimit, SetRiskRates
from nautilus.model.signals import BalanceChanged, MarginStatus, MarketStructureChanged, ToxicityWarning
from tests.kit.context import SECOND, RecordingContext, btcusdt
from tests.kit.naive_limits import NaiveLimits

INSTRUMENTS = [
    btcusdt(),
    btcusdt(instrument_id=2, symbol="ETHUSDT", currency_decimals=9, lot_size="0.0001"),
    btcusdt(instrument_id=3, symbol="BTCEUR", quote_currency="EUR"),
]
DESKS = {"one": (1, 2), "two": (3,)}
DAY = 86_400 * SECOND


def engine_with(*limits: str, **settings: Any) -> tuple[RiskEngine, RecordingContext]:
    none = {"max_position": 0, "max_loss": "", "max_orders": 0, "rates": {"EUR": "1.25"}, "desks": DESKS}
    return RiskEngine(RiskConfig(**none | {"limits": limits} | settings), INSTRUMENTS), RecordingContext()


def fill(sequence: int, side: Side, lots: int, ticks: int, account: int = 1, strategy: int = 1, instrument: int = 1):
    return OrderFilled(sequence, 5, account, strategy, instrument, sequence, side, ticks, lots, 0)


def accepted(sequence: int, now_ns: int, strategy: int = 1, account: int = 1):
    return OrderAccepted(sequence, now_ns, account, strategy, 1, sequence, Side.BUY, 100, 1, 1)


def quote(instrument: int, bid: int, ask: int) -> Quote:
    return Quote(5, 5, 1, bid, 10, ask, 10, instrument)


def histories(engine: RiskEngine, ctx: RecordingContext, seed: int = 4, steps: int = 50) -> dict[int, Any]:
    found = {}
    times = tuple((day + 1) * DAY for day in range(steps))
    for key, instrument in enumerate(INSTRUMENTS, 1):
        found[key] = np.random.default_rng(seed + key).normal(size=steps) * 0.03
        engine.on_request(PutHistory(instrument.symbol, times, tuple(found[key]), SeriesKind.RETURN), ctx)
    return found


def told(ctx: RecordingContext, kind: type = LimitBreached) -> list[Any]:
    found = [event for event in ctx.published if isinstance(event, kind)]
    ctx.published.clear()
    return found


EVENTS = st.one_of(
    st.tuples(
        st.just("fill"),
        st.integers(1, 4),
        st.integers(0, 2),
        st.integers(1, 3),
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(1, 50),
        st.integers(9_000, 11_000),
    ),
    st.tuples(st.just("quote"), st.integers(1, 3), st.integers(9_000, 11_000), st.integers(0, 30)),
    st.tuples(st.just("order"), st.integers(1, 4), st.integers(0, 2), st.integers(0, SECOND // 3)),
)


@given(st.lists(EVENTS, max_size=25))
def test_every_value_is_that_of_the_plain_twin_after_each_event(events: list[Any]) -> None:
    scopes = ("firm", "desk/*", "portfolio/*", "strategy/*/*", "instrument/*/*/*")
    limits = [
        f"{scope} {control} hard 1e30"
        for control, levels in CONTROLS.items()
        for scope in scopes
        if scope.partition("/")[0] in levels and control not in ("leverage", "margin")
    ]
    engine, ctx = engine_with(*limits, var_window=50)
    returns = histories(engine, ctx)
    desks = {account: name for name, accounts in DESKS.items() for account in accounts}
    rates = {"USDT": Fraction(1), "EUR": Fraction(5, 4)}
    twin = NaiveLimits({each.instrument_id: each for each in INSTRUMENTS}, rates, desks, returns, 0.99)
    for sequence, (kind, *event) in enumerate(events, 1):
        if kind == "fill":
            account, strategy, instrument, side, lots, ticks = event
            engine.on_report(fill(sequence, side, lots, ticks, account, strategy, instrument), ctx)
            twin.fill((account, strategy, instrument), side, lots, ticks, 0)
        elif kind == "quote":
            instrument, bid, spread = event
            engine.on_quote(quote(instrument, bid, bid + spread), ctx)
            twin.quote(instrument, bid, bid + spread)
        else:
            account, strategy, later_ns = event
            ctx.now_ns += later_ns
            engine.on_report(accepted(sequence, ctx.now_ns, strategy, account), ctx)
            twin.order(account, strategy, ctx.now_ns)
        found = {(each.scope, each.control): each.value for each in engine.on_request(GetLimits(), ctx).limits}
        for scope in twin.scopes():
            for control, levels in CONTROLS.items():
                if scope[0] in levels and control not in ("leverage", "margin"):
                    expected = twin.value(scope, control, ctx.now_ns, SECOND)
                    value = found[text_of(scope), control]
                    assert value == pytest.approx(expected, rel=1e-9, abs=1e-6), (scope, control)
    assert told(ctx) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=300))
def test_the_largest_of_changing_values_is_the_largest(changes: list[tuple[int, int]]) -> None:
    largest, plain = Largest([(9, 3.0)]), {9: 3.0}
    for key, value in changes:
        largest.set(key, float(value))
        plain[key] = float(value)
        assert largest.top == max(plain.values())
        assert largest.get(key) == value


def test_a_hard_breach_stops_strategies_within_the_event_and_is_told_once_with_an_end() -> None:
    engine, ctx = engine_with("portfolio/* gross soft 800 hard 1000", release=0.9)
    engine.on_report(fill(1, Side.BUY, 80, 100_000), ctx)  # 0.08 at 10,000
    assert ctx.published == []
    engine.on_report(fill(2, Side.BUY, 10, 100_000), ctx)
    [soft] = ctx.published
    assert soft == LimitBreached(SECOND, "portfolio/1", "gross", False, True, 900.0, 800.0, 1, sequence=2)
    ctx.published.clear()
    engine.on_report(fill(3, Side.BUY, 20, 100_000), ctx)
    alert, hard = ctx.published
    assert alert == RiskAlert(SECOND, 0, 1, 0, "gross", 1100, 1000, sequence=3, scope="portfolio/1")
    assert (hard.hard, hard.active, hard.value, hard.limit) == (True, True, 1100.0, 1000.0)
    ctx.published.clear()
    engine.on_quote(quote(1, 87_000, 87_100), ctx)  # 957: under the limit, above nine tenths of it
    engine.on_quote(quote(1, 100_000, 100_100), ctx)
    assert ctx.published == []
    engine.on_quote(quote(1, 81_000, 81_100), ctx)  # 891
    [over] = ctx.published
    assert (over.hard, over.active, over.value, over.sequence) == (True, False, 891.0, 0)
    ctx.published.clear()
    engine.on_quote(quote(1, 60_000, 60_100), ctx)
    assert [(each.hard, each.active) for each in told(ctx)] == [(False, False)]
    engine.on_quote(quote(1, 100_000, 100_100), ctx)
    assert [(each.hard, each.active) for each in told(ctx)] == [(True, True), (False, True)]


@pytest.mark.parametrize(
    ("scope", "alerts"),
    [
        ("firm", [(0, 0)]),
        ("desk/one", [(0, 1), (0, 2)]),
        ("portfolio/2", [(0, 2)]),
        ("strategy/2/7", [(7, 2)]),
        ("instrument/2/7/BTCUSDT", [(7, 2)]),
    ],
)
def test_an_alert_reaches_who_trades_under_the_scope(scope: str, alerts: list[tuple[int, int]]) -> None:
    engine, ctx = engine_with(f"{scope} notional hard 100")
    engine.on_report(fill(1, Side.SELL, 80, 100_000, account=2, strategy=7), ctx)
    published = list(ctx.published)
    found = [(each.strategy_id, each.account_id) for each in published if isinstance(each, RiskAlert)]
    assert found == alerts
    assert [each.scope for each in told(ctx)] == [scope]


def test_the_kill_switch_follows_a_hard_breach_where_it_is_wanted() -> None:
    engine, ctx = engine_with("portfolio/* position hard 0.01", kill_switch=True)
    engine.on_report(fill(1, Side.BUY, 11, 100_000), ctx)
    assert ctx.sent == [("trading", KillSwitch(account_id=1, source_id=2, source_sequence=1))]


def test_a_loss_and_a_drawdown_are_of_realised_and_unrealised_profit_and_fees() -> None:
    engine, ctx = engine_with("portfolio/* loss hard 10", "strategy/*/* drawdown hard 15")
    engine.on_report(fill(1, Side.BUY, 100, 100_000), ctx)
    engine.on_quote(quote(1, 100_600, 100_700), ctx)  # 6 up
    engine.on_quote(quote(1, 99_100, 99_200), ctx)  # 9 down: 15 below the peak
    assert ctx.published == []
    engine.on_quote(quote(1, 99_050, 99_200), ctx)
    assert [each.control for each in told(ctx)] == ["drawdown"]
    engine.on_report(
        OrderFilled(2, 5, 1, 1, 1, 2, Side.SELL, 99_050, 100, 0, fee=60_000_000), ctx
    )  # a fee of 0.6: 10.1 in all
    assert [each.control for each in told(ctx)] == ["loss"]


def test_a_breach_of_value_at_risk_is_seen_at_the_fill_that_makes_it() -> None:
    engine, ctx = engine_with("desk/one var hard 30", var_window=50, var_level=0.95)
    returns = histories(engine, ctx)
    engine.on_report(fill(1, Side.BUY, 50, 100_000), ctx)  # 500
    risk = -np.percentile(returns[1] * 500, 5)
    [state] = [each for each in engine.on_request(GetLimits(), ctx).limits if each.scope == "desk/one"]
    assert state.value == pytest.approx(risk, rel=1e-12)
    assert ctx.published == []
    engine.on_report(fill(2, Side.BUY, 50, 100_000, account=2), ctx)
    [breach] = told(ctx)
    assert breach.value == pytest.approx(2 * risk, rel=1e-12)
    engine.on_report(fill(3, Side.SELL, 90, 100_000, account=2), ctx)  # the desk is long 100 alone
    [over] = told(ctx)
    assert over.value == pytest.approx(risk / 5, rel=1e-9)


def test_a_position_without_a_history_leaves_value_at_risk_unknown() -> None:
    engine, ctx = engine_with("firm var hard 30")
    engine.on_report(fill(1, Side.BUY, 50, 100_000), ctx)
    [state] = engine.on_request(GetLimits(), ctx).limits
    assert (state.state, state.value, state.utilisation) == ("unknown", None, None)
    histories(engine, ctx)
    [state] = engine.on_request(GetLimits(), ctx).limits
    assert state.value is not None


def test_a_currency_without_a_rate_leaves_its_worth_unknown() -> None:
    engine, ctx = engine_with("firm gross hard 1e9", "firm position hard 1e9", rates={})
    engine.on_report(fill(1, Side.BUY, 50, 100_000, instrument=3), ctx)
    states = engine.on_request(GetLimits(), ctx)
    assert states.unvalued == ("BTCEUR",)
    assert {each.control: each.value for each in states.limits} == {"gross": None, "position": 0.05}
    states = engine.on_request(SetRiskRates({"EUR": 1.5}), ctx)
    assert {each.control: each.value for each in states.limits} == {"gross": 750.0, "position": 0.05}
    assert states.unvalued == ()


def test_leverage_and_margin_are_of_what_others_say() -> None:
    engine, ctx = engine_with("portfolio/* leverage hard 2", "portfolio/* margin soft 0.5 hard 0.9", margin_call="soft")
    engine.on_report(fill(1, Side.BUY, 100, 100_000), ctx)
    engine.on_balance(BalanceChanged(SECOND, 1, "USDT", 1, 1), ctx)
    engine.on_balance(PortfolioValued(SECOND, 1, "USDT", 600.0, 0, 0, 0, 0, 0, 0), ctx)
    assert ctx.published == []
    engine.on_balance(PortfolioValued(SECOND, 1, "EUR", 320.0, 0, 0, 0, 0, 0, 0), ctx)  # 400
    assert [(each.control, each.value) for each in told(ctx)] == [("leverage", 2.5)]
    engine.on_margin(MarginStatus(SECOND, 1, 100, 60, 60), ctx)
    assert [(each.control, each.hard, each.value) for each in told(ctx)] == [("margin", False, 0.6)]
    engine.on_margin(MarginStatus(SECOND, 1, 50, 60, 60, call=True), ctx)
    engine.on_margin(MarginStatus(SECOND, 1, 0, 60, 60, call=True), ctx)
    assert [(each.control, each.hard, each.active) for each in told(ctx)] == [
        ("margin", True, True),
        ("margin_call", False, True),
    ]
    engine.on_margin(MarginStatus(SECOND, 1, 1000, 60, 60), ctx)
    assert {(each.control, each.active) for each in told(ctx)} == {("margin", False), ("margin_call", False)}


def test_a_margin_status_that_lacks_positions_leaves_margin_unknown() -> None:
    engine, ctx = engine_with("portfolio/* margin hard 0.9")
    engine.on_margin(MarginStatus(SECOND, 1, 100, 60, 60, complete=False), ctx)
    [state] = engine.on_request(GetLimits(), ctx).limits
    assert (state.state, state.value) == ("unknown", None)


@pytest.mark.parametrize(("action", "alerts"), [("ignore", 0), ("soft", 0), ("hard", 1)])
def test_a_margin_call_does_what_the_settings_say(action: str, alerts: int) -> None:
    engine, ctx = engine_with(margin_call=action)
    engine.on_margin(MarginStatus(SECOND, 4, 50, 60, 70, call=True), ctx)
    engine.on_margin(MarginStatus(SECOND, 4, 50, 60, 70, call=True), ctx)
    assert sum(isinstance(event, RiskAlert) for event in ctx.published) == alerts
    assert len(told(ctx)) == (action != "ignore")


def test_toxic_flow_concerns_who_holds_the_instrument_now() -> None:
    engine, ctx = engine_with(toxicity="hard")
    engine.on_report(fill(1, Side.BUY, 5, 100_000, account=1), ctx)
    engine.on_toxicity(ToxicityWarning(SECOND, 1, 0.8, 0.99, True), ctx)
    engine.on_toxicity(ToxicityWarning(SECOND, 1, 0.9, 0.99, True), ctx)
    engine.on_toxicity(ToxicityWarning(SECOND, 2, 0.9, 0.99, True), ctx)
    alert, breach = ctx.published
    assert (alert.control, alert.account_id, alert.strategy_id, alert.instrument_id) == ("toxicity", 1, 0, 1)
    assert (breach.control, breach.hard, breach.active, breach.value) == ("toxicity", True, True, 0.8)
    told(ctx)
    engine.on_report(fill(2, Side.BUY, 5, 100_000, account=3), ctx)
    assert [(each.account_id, each.active) for each in told(ctx)] == [(3, True)]
    engine.on_report(fill(3, Side.SELL, 5, 100_000, account=1), ctx)
    assert [(each.account_id, each.active) for each in told(ctx)] == [(1, False)]
    engine.on_toxicity(ToxicityWarning(SECOND, 1, 0.1, 0.2, False), ctx)
    assert [(each.account_id, each.active) for each in told(ctx)] == [(3, False)]


def test_a_dangerous_regime_is_a_warning_until_it_is_over() -> None:
    engine, ctx = engine_with(regimes=("stressed",))
    engine.on_report(fill(1, Side.SELL, 5, 100_000), ctx)
    for regime, score in (("calm", 0.9), ("stressed", 0.7), ("stressed", 0.8), ("calm", 0.6)):
        engine.on_structure(MarketStructureChanged(SECOND, 1, regime, score), ctx)
    assert [(each.control, each.active, each.hard) for each in told(ctx)] == [
        ("market_structure", True, False),
        ("market_structure", False, False),
    ]


def test_too_many_orders_are_over_when_the_window_has_moved_on() -> None:
    engine, ctx = engine_with("strategy/*/* order_rate hard 2 window_ns 100")
    for sequence in (1, 2, 3):
        engine.on_report(accepted(sequence, ctx.now_ns + sequence), ctx)
    assert [each.active for each in told(ctx)] == [True]
    at_ns, key = ctx.timers[-1]
    assert at_ns == ctx.now_ns + 1 + 100
    ctx.now_ns += 102
    engine.on_timer(key, ctx)
    assert [(each.active, each.value) for each in told(ctx)] == [(False, 1.0)]


def test_limits_are_set_and_dropped_at_run_time() -> None:
    engine, ctx = engine_with("portfolio/* gross hard 5000")
    engine.on_report(fill(1, Side.BUY, 80, 100_000), ctx)
    engine.on_request(SetLimit("portfolio/1", "gross", None, 700.0), ctx)  # closer than the one for all
    assert [(each.active, each.limit) for each in told(ctx)] == [(True, 700.0)]
    engine.on_request(SetLimit("portfolio/1", "gross", None, 750.0), ctx)
    assert told(ctx) == []
    states = engine.on_request(DropLimit("portfolio/1", "gross"), ctx)
    assert [each.active for each in told(ctx)] == [False]
    [state] = states.limits
    assert (state.scope, state.hard, state.utilisation) == ("portfolio/1", 5000.0, 0.16)
    engine.on_request(DropLimit("portfolio/*", "gross"), ctx)
    assert engine.on_request(GetLimits(), ctx).limits == ()
    with pytest.raises(ModelError, match="no limit"):
        engine.on_request(DropLimit("portfolio/*", "gross"), ctx)
    with pytest.raises(UnknownPortfolioError):
        engine.on_request(GetLimits(99), ctx)
    with pytest.raises(UnknownInstrumentError):
        engine.on_request(SetLimit("instrument/1/1/NOWHERE", "gross", 1.0), ctx)


def test_a_split_changes_lots_and_prices_and_no_profit() -> None:
    engine, ctx = engine_with("firm gross hard 1e9", "firm loss hard 1", "firm position hard 1e9")
    engine.on_report(fill(1, Side.BUY, 80, 100_000), ctx)
    engine.on_quote(quote(1, 100_000, 100_100), ctx)
    split = InstrumentSplit(2, 5, 0, 0, 1, 0, None, 0, 4, 0, old=1)
    for _ in range(2):
        engine.on_report(split, ctx)
    values = {each.control: each.value for each in engine.on_request(GetLimits(), ctx).limits}
    assert values == {"gross": 800.0, "loss": 0.0, "position": 0.32}
    engine.on_quote(quote(1, 25_000, 25_100), ctx)
    assert told(ctx) == []
    assert engine.state()["positions"][0][2] == 320


def test_a_position_booked_by_hand_counts() -> None:
    engine, ctx = engine_with("portfolio/1 net hard 100")
    engine.on_report(PositionAdjusted(1, 5, 1, 0, 1, 0, None, 100_000, -50, 0), ctx)
    assert [each.value for each in told(ctx)] == [500.0]


def test_a_restart_forgets_nothing_and_tells_nothing_again() -> None:
    limits = (
        "portfolio/* gross soft 400 hard 700",
        "firm drawdown hard 1e6",
        "firm var hard 1e6",
        "desk/one net hard 5",
    )
    engine, ctx = engine_with(*limits)
    histories(engine, ctx)
    engine.on_report(fill(1, Side.BUY, 80, 100_000), ctx)
    engine.on_quote(quote(1, 101_000, 101_100), ctx)
    engine.on_report(fill(2, Side.BUY, 8, 100_000, account=3, instrument=3), ctx)
    engine.on_quote(quote(1, 100_500, 100_600), ctx)
    engine.on_toxicity(ToxicityWarning(SECOND, 1, 0.8, 0.99, True), ctx)
    engine.on_request(SetLimit("portfolio/3", "gross", None, 50.0), ctx)
    engine.on_request(SetRiskRates({"EUR": 2.0}), ctx)
    engine.on_request(DropLimit("desk/one", "net"), ctx)
    before = engine.on_request(GetLimits(), ctx)
    engine.on_stop(ctx)
    later, quiet = engine_with(*limits)
    for name, (_, give) in engine.bulk().items():
        later.restore_bulk(name, give())
    later.restore(json.loads(json.dumps(engine.state())))
    later.on_start(quiet)
    assert quiet.published == []
    assert set(later.on_request(GetLimits(), quiet).limits) == set(before.limits)
    later.on_quote(quote(1, 100_500, 100_600), quiet)
    later.on_toxicity(ToxicityWarning(SECOND, 1, 0.8, 0.99, True), quiet)
    assert quiet.published == []
    assert later.state() == engine.state()


def test_what_was_said_right_before_a_crash_is_said_again_as_it_was() -> None:
    limits = ("portfolio/* gross hard 700", "portfolio/* net hard 700")
    engine, ctx = engine_with(*limits, kill_switch=True)
    engine.on_report(fill(1, Side.BUY, 60, 100_000), ctx)
    engine.on_request(SetLimit("portfolio/1", "gross", None, 500.0), ctx)
    ctx.now_ns += 60 * SECOND
    ctx.published.clear()
    ctx.sent.clear()
    engine.on_report(fill(2, Side.BUY, 20, 100_000), ctx)
    assert [type(each) for each in ctx.published] == [RiskAlert, LimitBreached]
    for orderly in (False, True):
        if orderly:
            engine.on_stop(ctx)
        later, again = engine_with(*limits, kill_switch=True)
        later.restore(json.loads(json.dumps(engine.state())))
        later.resume(9, again)
        later.on_start(again)
        later.on_start(again)
        assert again.published == ([] if orderly else ctx.published), "of the last seconds alone"
        assert again.sent == ([] if orderly else ctx.sent), "with the number that the core knows it by"


def test_a_value_in_a_currency_without_a_rate_is_none() -> None:
    engine, ctx = engine_with("portfolio/* leverage hard 2", rates={})
    engine.on_balance(PortfolioValued(SECOND, 1, "USDT", 600.0, 0, 0, 0, 0, 0, 0, synthetic=True), ctx)
    states = engine.on_request(GetLimits(1), ctx)
    assert (states.limits[0].value, states.basis.synthetic) == (0.0, True)
    engine.on_balance(PortfolioValued(SECOND, 1, "EUR", 600.0, 0, 0, 0, 0, 0, 0), ctx)
    states = engine.on_request(GetLimits(1), ctx)
    assert (states.limits[0].value, states.limits[0].state, states.basis.synthetic) == (None, "unknown", False)


@pytest.mark.parametrize(
    "text",
    [
        "portfolio/* gross",
        "portfolio/x gross hard 1",
        "portfolio/01 gross hard 1",
        "portfolio gross hard 1",
        "strategy/1 gross hard 1",
        "planet gross hard 1",
        "firm/x gross hard 1",
        "firm gross hard many",
        "firm gross hard nan",
        "firm gross hard -1",
        "firm gross soft 2 hard 1",
        "firm colour hard 1",
        "firm leverage hard 1",
        "instrument/*/*/* concentration hard 1",
        "firm gross hard 1 hard 2",
        "firm gross firm 2",
        "firm order_rate hard 1 window_ns 0",
        "firm order_rate window_ns 5",
    ],
)
def test_a_limit_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="limit"):
        parse_rule(text)


def test_a_limit_is_read_as_it_is_written() -> None:
    rule = parse_rule("instrument/*/7/BTC/USDT order_rate soft 3 window_ns 50".replace("order_rate", "net"))
    assert rule == make_rule("instrument/*/7/BTC/USDT", "net", 3.0, None, 50)
    assert rule.scope == ("instrument", "*", "7", "BTC/USDT")


@pytest.mark.parametrize(
    "settings",
    [
        {"release": 0.0},
        {"var_level": 0.2},
        {"var_window": 3},
        {"toxicity": "perhaps"},
        {"rates": {"EUR": "0"}},
        {"rates": {"EUR": "x"}},
        {"desks": {"a": (1,), "b": (1,)}},
        {"desks": {"*": (1,)}},
        {"limits": ("nothing",)},
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        RiskConfig(**settings)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    engine, ctx = engine_with()
    with pytest.raises(ModelError, match="rate"):
        engine.on_request(SetRiskRates({"EUR": rate}), ctx)
