"""The analytics engine: what it follows, what it answers in each depth, restarts."""

import contextlib
import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.engines.analytics import AnalyticsConfig
from nautilus.engines.analytics.depths import DEPTHS, KINDS, UnknownDepthError, UnknownKindError
from nautilus.maths import performance
from nautilus.maths.drawdowns import max_drawdown
from nautilus.maths.errors import Undefined
from nautilus.maths.var import historical_cvar, historical_var
from nautilus.model.analytics import (
    AnalysePerformance,
    AskAnalytics,
    GetAnalytics,
    GetAnalyticsBatch,
    GetTearSheet,
)
from nautilus.model.attribution import GetTransactionCosts
from nautilus.model.errors import ConfigError, ModelError, UnknownPortfolioError, UnknownSeriesError
from nautilus.model.position import Position, PositionChanged
from nautilus.model.queries import GetRisk
from nautilus.model.signals import FactorsUpdated, PerformanceUpdated, Prediction
from nautilus.runtime.worker import pack, unpack
from tests.kit.analytics import MARKET, RETURNS, ask, engine, followed, held, order, put
from tests.kit.context import RecordingContext, quote_array
from tests.kit.valuations import DAY, START_NS, daily, valued

# Following a portfolio.


def test_a_followed_portfolio_has_the_measures_of_its_daily_returns():
    made, ctx = followed()
    answer = ask(made, ctx, GetAnalytics(7, "standard"))
    ended = RETURNS[:-1]  # and the first day, without a change before its end
    summary = answer.summary
    assert summary.periods == 300
    returns = [0.0, *ended]
    assert summary.cumulative_return == pytest.approx(performance.cumulative_return(returns), rel=1e-10)
    assert summary.sharpe_ratio == pytest.approx(performance.sharpe_ratio(returns), rel=1e-10)
    assert summary.sortino_ratio == pytest.approx(performance.sortino_ratio(returns), rel=1e-10)
    assert summary.annual_volatility == pytest.approx(performance.annual_volatility(returns), rel=1e-10)
    assert summary.calmar_ratio == pytest.approx(performance.calmar_ratio(returns), rel=1e-10)
    deepest = max_drawdown(returns)
    assert answer.drawdown.deepest.depth == pytest.approx(deepest.depth, rel=1e-10)
    assert (answer.drawdown.deepest.peak, answer.drawdown.deepest.trough) == (deepest.peak, deepest.trough)
    assert answer.drawdown.deepest.trough_ns == START_NS + (deepest.trough + 1) * DAY - 1
    for tail in answer.tails:
        assert tail.var == pytest.approx(historical_var(returns, tail.level), rel=1e-9)
        assert tail.cvar == pytest.approx(historical_cvar(returns, tail.level), rel=1e-9)
    assert answer.value.period_return == pytest.approx(RETURNS[-1], rel=1e-9)
    assert answer.value.total_return == pytest.approx(performance.cumulative_return(RETURNS), rel=1e-9)
    assert (answer.basis.window, answer.basis.source, answer.basis.missing) == (300, "star", 0)
    assert answer.undefined == {}


def test_answers_are_synthetic_while_a_valuation_in_their_range_is():
    made, ctx = engine(max_periods=3), RecordingContext()
    found = []
    for day in range(8):
        value = valued(START_NS + day * DAY, 1000.0 + day, float(day), synthetic=day == 1)
        made.on_balance(value, ctx)
        found.append(ask(made, ctx, GetAnalytics(7)).basis.synthetic)
    # The return of day 1 and that of day 2, which begins at its mark; they end a day later, and fall out three later.
    assert found == [False, False, True, True, True, True, False, False]


def test_a_gain_that_no_float_can_be_compounded_with_ends_returns_and_not_the_engine():
    made, ctx = engine(), RecordingContext()
    put(made, ctx, "portfolio-7", [1e59] * 5, times=[START_NS - day * DAY for day in (5, 4, 3, 2, 1)])
    for day in range(5):
        nav = 1000.0 * 9e5**day
        made.on_balance(valued(START_NS + day * DAY, nav, nav - 1000.0), ctx)
    with pytest.raises(Undefined) as caught:
        ask(made, ctx, GetAnalytics(7))
    assert caught.value.code == "out_of_range"


def test_money_that_is_paid_in_is_no_return():
    made, ctx = engine(), RecordingContext()
    for value in (
        valued(START_NS, 1000.0, 0.0),
        valued(START_NS + 1, 1100.0, 100.0),
        valued(START_NS + 2, 5100.0, 100.0),
        valued(START_NS + 3, 5610.0, 610.0),
    ):
        made.on_balance(value, ctx)
    answer = ask(made, ctx, GetAnalytics(7))
    assert answer.value.total_return == pytest.approx(1.1 * 1.1 - 1.0, rel=1e-12)


def test_a_valuation_that_is_not_newer_changes_nothing():
    made, ctx = engine(), RecordingContext()
    first = valued(START_NS + 5, 1000.0, 0.0)
    made.on_balance(first, ctx)
    for stale in (first, valued(START_NS + 4, 1.0, -999.0)):
        made.on_balance(stale, ctx)
    assert ask(made, ctx, GetAnalytics(7)).value.nav == 1000.0


def test_a_valuation_with_something_missing_is_no_return():
    made, ctx = engine(), RecordingContext()
    made.on_balance(valued(START_NS, 1000.0, 0.0), ctx)
    made.on_balance(valued(START_NS + 1, 400.0, -600.0, complete=False), ctx)
    made.on_balance(valued(START_NS + 2, 1010.0, 10.0), ctx)
    answer = ask(made, ctx, GetAnalytics(7))
    assert answer.value.total_return == pytest.approx(0.01)
    made.on_balance(valued(START_NS + 3, 400.0, -600.0, complete=False), ctx)
    assert ask(made, ctx, GetAnalytics(7)).value.complete is False


def test_what_is_no_number_is_not_taken():
    made, ctx = followed()
    before = ask(made, ctx, GetAnalytics(7))
    last = daily(RETURNS)[-1]
    made.on_balance(valued(last.now_ns + 1, math.nan, 0.0), ctx)
    assert ask(made, ctx, GetAnalytics(7)) is before
    for bad in (FactorsUpdated(1, 1, ("a", "b"), (0.1,)), FactorsUpdated(1, 1, ("a",), (math.nan,))):
        with pytest.raises(ModelError):
            made.on_factors(bad, ctx)
    with pytest.raises(ModelError):
        made.on_prediction(Prediction(START_NS, 1, "m", "return", math.inf, 0.6, DAY), ctx)


def test_days_without_a_valuation_are_missing_and_not_filled_in():
    made, ctx = engine(), RecordingContext()
    for day, profit in ((0, 0.0), (1, 10.0), (5, 20.0), (6, 30.0)):
        made.on_balance(valued(START_NS + day * DAY, 1000.0 + profit, profit), ctx)
    basis = ask(made, ctx, GetAnalytics(7)).basis
    assert (basis.window, basis.missing) == (3, 3)


def test_a_portfolio_without_net_assets_has_no_returns_unless_capital_is_lent_to_it():
    for capital, expected in ((0.0, 0.0), (100.0, 0.1)):
        made, ctx = engine(capital=capital), RecordingContext()
        made.on_balance(valued(START_NS, 0.0, 0.0), ctx)
        made.on_balance(valued(START_NS + 1, 10.0, 10.0), ctx)
        assert ask(made, ctx, GetAnalytics(7)).value.total_return == pytest.approx(expected)


def test_a_portfolio_that_lost_more_than_it_had_has_a_stated_end():
    made, ctx = followed()
    last = daily(RETURNS)[-1]
    made.on_balance(valued(last.now_ns + 1, -500.0, -1500.0), ctx)
    made.on_balance(valued(last.now_ns + DAY, -600.0, -1600.0), ctx)
    with pytest.raises(Undefined) as error:
        ask(made, ctx, GetAnalytics(7))
    assert error.value.code == "out_of_range"
    assert ask(made, ctx, GetAnalyticsBatch((7,))).undefined == {"7": "out_of_range"}


def test_performance_is_published_at_most_once_a_second():
    made, ctx = engine(), RecordingContext()
    for step in range(30):
        ctx.now_ns = START_NS + step * 100_000_000
        made.on_balance(valued(ctx.now_ns, 1000.0 + step, float(step)), ctx)
    assert len(ctx.published) == 3
    assert all(isinstance(update, PerformanceUpdated) for update in ctx.published)
    assert ctx.published[-1].total_return == pytest.approx(0.02)
    assert (ctx.published[-1].sharpe, ctx.published[-1].periods) == (None, 0)
    made, ctx = followed()
    update = ctx.published[-1]
    assert update.sharpe == pytest.approx(performance.sharpe_ratio([0.0, *RETURNS[:-1]]))
    assert update.max_drawdown == pytest.approx(max_drawdown([0.0, *RETURNS]).depth)


def test_no_more_periods_are_kept_than_configured():
    made, ctx = followed(max_periods=50)
    answer = ask(made, ctx, GetAnalytics(7))
    assert answer.summary.periods == 50
    assert answer.summary.sharpe_ratio == pytest.approx(performance.sharpe_ratio(RETURNS[-51:-1]), rel=1e-9)
    assert answer.basis.begin_ns == START_NS + 250 * DAY - 1


@given(st.lists(st.integers(-80_000, 90_000), min_size=1, max_size=60))
def test_what_is_kept_while_days_end_equals_what_is_computed_of_all(steps):
    returns = [step / 1e6 for step in steps]
    made, ctx = followed(returns)
    live = ask(made, ctx, GetAnalytics(7, "standard"))
    batch = ask(made, ctx, AnalysePerformance((0.0, *returns[:-1]), depth="standard"))
    for section in ("summary", "drawdown", "distribution"):
        for name in getattr(batch, section).__struct_fields__:
            ours, theirs = getattr(getattr(live, section), name), getattr(getattr(batch, section), name)
            if isinstance(theirs, float) and name != "turnover":
                assert ours == pytest.approx(theirs, rel=1e-8, abs=1e-9), name
    undefined = {name: code for name, code in live.undefined.items() if "turnover" not in name}
    assert undefined == batch.undefined


VALUES = st.sampled_from([-1e12, -1.0, 0.0, 1e-300, 1e-9, 1.0, 999.0, 1000.0, 1001.0, 1e12, 1e308, math.nan, math.inf])


@given(st.lists(st.tuples(st.integers(0, DAY), VALUES, VALUES, st.booleans()), max_size=40))
def test_whatever_is_valued_no_answer_has_what_is_no_number(steps):
    made, ctx = engine(), RecordingContext()
    made.on_balance(valued(START_NS, 1000.0, 0.0), ctx)
    now_ns = START_NS
    for step, nav, booked, complete in steps:
        now_ns += step
        made.on_balance(valued(now_ns, nav, 0.0, booked=booked, complete=complete), ctx)
    for message in (*(GetAnalytics(7, depth) for depth in DEPTHS), GetTearSheet(7)):
        with contextlib.suppress(Undefined):  # lost all, or nothing has ended yet
            json.dumps(msgspec.to_builtins(ask(made, ctx, message)), allow_nan=False)
    for update in ctx.published:
        json.dumps(msgspec.to_builtins(update), allow_nan=False)


# Depths and kinds.


def sections_of(answer):
    return {name for name in answer.__struct_fields__ if getattr(answer, name) is not None}


def test_each_depth_has_all_of_the_one_before():
    made, ctx = followed(benchmark="INDEX")
    put(made, ctx, "INDEX", MARKET)
    before, figures = set(), {}
    for name, depth in DEPTHS.items():
        answer = ask(made, ctx, GetAnalytics(7, name))
        now = sections_of(answer)
        assert before < now
        for section in before - {"depth", "undefined"}:
            assert getattr(answer, section) == figures[section]
        before, figures = now, {section: getattr(answer, section) for section in now}
        assert set(depth.sections) - {"factors"} <= now
    assert [depth.budget_ms for depth in DEPTHS.values()] == [50.0, 150.0, 300.0, 800.0]


def test_an_answer_is_kept_until_the_next_valuation():
    made, ctx = followed()
    first = ask(made, ctx, GetAnalytics(7, "comprehensive"))
    assert ask(made, ctx, GetAnalytics(7, "comprehensive")) is first
    last = daily(RETURNS)[-1]
    made.on_balance(valued(last.now_ns + 1, last.nav + 5.0, last.realised + 5.0), ctx)
    second = ask(made, ctx, GetAnalytics(7, "comprehensive"))
    assert second.value.nav == last.nav + 5.0
    assert second.summary is first.summary  # nothing has ended


def test_a_depth_or_kind_that_there_is_not_is_an_error_with_a_code():
    made, ctx = followed()
    for message, kind, code in (
        (GetAnalytics(7, "deep"), UnknownDepthError, "model.depth"),
        (GetAnalyticsBatch((7,), "institutional"), UnknownDepthError, "model.depth"),
        (AskAnalytics("poetry", 7), UnknownKindError, "model.request_kind"),
        (GetTearSheet(7, "pdf"), ModelError, "model.form"),
        (GetAnalytics(8), UnknownPortfolioError, "model.unknown_portfolio"),
        (GetTearSheet(8), UnknownPortfolioError, "model.unknown_portfolio"),
        (GetTransactionCosts(8), UnknownPortfolioError, "model.unknown_portfolio"),
        (GetAnalytics(7, "standard", "NONE"), UnknownSeriesError, "model.unknown_series"),
        (GetRisk(), ModelError, "model"),
    ):
        with pytest.raises(kind) as error:
            ask(made, ctx, message)
        assert error.value.code == code


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_of_a_kind_has_the_sections_of_that_kind(kind):
    made, ctx = followed(benchmark="INDEX")
    put(made, ctx, "INDEX", MARKET)
    answer = ask(made, ctx, AskAnalytics(kind, 7, "institutional"))
    found = sections_of(answer.analytics) - {"portfolio_id", "now_ns", "depth", "basis", "undefined"}
    assert found == set(KINDS[kind]) - {"factors"}
    assert all(name.partition(".")[0] in KINDS[kind] for name in answer.analytics.undefined)


def test_ml_inference_tells_the_predictions_for_what_is_held():
    made, ctx = followed()
    for instrument_id in (1, 2):
        made.on_prediction(Prediction(START_NS, instrument_id, "m", "return", 0.01, 0.6, DAY), ctx)
    made.on_position(PositionChanged(1, START_NS, 0, Position(7, 1, 5), 600_000), ctx)
    answer = ask(made, ctx, AskAnalytics("ml_inference", 7))
    assert [each.instrument_id for each in answer.predictions] == [1]
    assert answer.analytics.regime.state == "fitting"


def test_many_portfolios_are_answered_at_once_and_unknown_ones_named():
    made, ctx = engine(), RecordingContext()
    for portfolio_id in (3, 4):
        for value in daily(RETURNS[:20], portfolio_id):
            made.on_balance(value, ctx)
    answer = ask(made, ctx, GetAnalyticsBatch((4, 9, 3)))
    assert [each.portfolio_id for each in answer.answers] == [4, 3]
    assert answer.unknown == (9,)
    assert answer.answers[0] is ask(made, ctx, GetAnalytics(4))


# Restarts and settings.


def alike(ours, theirs):
    """Equal, and numbers to the last few digits: sums are made anew in another order."""
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(alike(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(alike, ours, theirs))
    return ours == pytest.approx(theirs, rel=1e-10) if isinstance(ours, float) else ours == theirs


def test_a_restart_loses_nothing():
    steps = np.cumprod(1.0 + np.column_stack([RETURNS, MARKET]), axis=0) * 100.0
    made, ctx = held(BTCUSDT=steps[:, 0].tolist(), ETHUSDT=steps[:, 1].tolist())
    put(made, ctx, "portfolio-9", RETURNS)
    made.on_quote(quote_array(1, 600_000, 600_020), ctx)
    order(made, ctx)
    for day in range(100):
        made.on_factors(FactorsUpdated(1, START_NS // DAY + day, ("m",), (MARKET[day],)), ctx)
    again = engine(benchmark="INDEX")
    for name, (_, give) in made.bulk().items():
        again.restore_bulk(*unpack(pack((name, give()))))
    again.restore(json.loads(json.dumps(made.state())))
    again.on_quote(quote_array(1, 600_000, 600_020), ctx)
    messages = [GetAnalytics(7, "institutional"), GetAnalytics(9, "standard"), GetTransactionCosts(7)]
    for message in messages:
        first, second = (ask(each, ctx, message) for each in (made, again))
        assert alike(msgspec.to_builtins(second), msgspec.to_builtins(first)), message
    last = daily(RETURNS)[-1]
    later = valued(last.now_ns + DAY, last.nav * 1.01, last.realised + last.nav * 0.01)
    for each in (made, again):
        each.on_balance(later, ctx)
    first, second = (msgspec.to_builtins(ask(each, ctx, GetAnalytics(7))) for each in (made, again))
    assert alike(second, first)


def test_periods_that_a_restart_did_not_find_are_missing():
    made, ctx = followed(RETURNS[:10])
    older = {name: pack((name, give())) for name, (_, give) in made.bulk().items()}
    for value in daily(RETURNS[:13])[-3:]:
        made.on_balance(value, ctx)
    again = engine()
    for part in older.values():
        again.restore_bulk(*unpack(part))
    again.restore(json.loads(json.dumps(made.state())))
    basis = ask(again, ctx, GetAnalytics(7)).basis
    assert (basis.window, basis.missing) == (10, 3)


def test_a_new_engine_takes_an_empty_state():
    made = engine()
    made.restore(json.loads(json.dumps(engine().state())))
    assert made.bulk() == {}


@pytest.mark.parametrize(
    "settings",
    [
        {"period_seconds": 0},
        {"periods_per_year": 0.0},
        {"risk_free": -1.0},
        {"threshold": math.nan},
        {"max_periods": 1},
        {"capital": -1.0},
        {"publish_seconds": math.inf},
        {"regimes": 4},
        {"horizon": 0},
        {"orders": 0},
        {"trials": 0},
        {"trial_variance": -0.1},
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings):
    with pytest.raises(ConfigError):
        AnalyticsConfig(**settings)


def test_a_kept_portfolio_without_a_number_is_refused():
    made, _ = followed()
    state = made.state()
    [[_, track]] = state["portfolios"]
    for key in (False, "7", None, 7.0):
        with pytest.raises(ModelError, match="a whole number"):
            engine().restore({**state, "portfolios": [[key, track]]})
