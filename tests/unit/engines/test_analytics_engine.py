"""The analytics engine: what it follows, what it answers in each depth, and what it says of bad input."""

import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.types import TRADE
from nautilus.engines.analytics import AnalyticsConfig, AnalyticsEngine, fits
from nautilus.engines.analytics.depths import DEPTHS, KINDS, UnknownDepthError, UnknownKindError
from nautilus.engines.base import Work
from nautilus.maths import performance
from nautilus.maths.drawdowns import max_drawdown
from nautilus.maths.errors import Undefined
from nautilus.maths.var import historical_cvar, historical_var
from nautilus.model.analytics import (
    AnalysePerformance,
    AskAnalytics,
    ForecastReturns,
    GetAnalytics,
    GetAnalyticsBatch,
    GetTearSheet,
    PortfolioAnalytics,
)
from nautilus.model.attribution import AttributeBrinson, AttributeFactors, GetTransactionCosts
from nautilus.model.enums import Side
from nautilus.model.errors import ConfigError, ModelError, UnknownPortfolioError, UnknownSeriesError
from nautilus.model.events import OrderAccepted, OrderCancelled, OrderFilled
from nautilus.model.history import DropHistory, PutHistory, SeriesKind
from nautilus.model.position import Position, PositionChanged
from nautilus.model.queries import GetRisk
from nautilus.model.signals import FactorsUpdated, PerformanceUpdated, Prediction
from nautilus.runtime.worker import pack, unpack
from tests.kit.context import RecordingContext, btcusdt, quote_array
from tests.kit.valuations import DAY, START_NS, daily, valued

RNG = np.random.default_rng(11)
RETURNS = (RNG.standard_t(5, 300) * 0.01 + 0.0005).tolist()
MARKET = (0.7 * np.array(RETURNS) + RNG.normal(0.0, 0.004, 300)).tolist()
TIMES = tuple(START_NS + day * DAY + DAY // 2 for day in range(1, 301))


def engine(**settings):
    return AnalyticsEngine(AnalyticsConfig(**settings), [btcusdt(), btcusdt(instrument_id=2, symbol="ETHUSDT")])


def followed(returns=RETURNS, **settings):
    """An engine that has seen a portfolio's days, the last of them not ended; its context."""
    made, ctx = engine(**settings), RecordingContext()
    for value in daily(returns):
        ctx.now_ns = value.now_ns
        made.on_balance(value, ctx)
    return made, ctx


def ask(made, ctx, message):
    """The reply, as a host would make it: what comes of work crosses to another process and back."""
    reply = made.on_request(message, ctx)
    if isinstance(reply, Work):
        assert pack(reply.arguments)
        result = unpack(pack(reply.job(*reply.arguments)))
        reply = result if reply.finish is None else reply.finish(result)
    return reply


def fitted(made, ctx):
    """Run the jobs that the engine gave away."""
    while ctx.jobs:
        number, job, arguments = ctx.jobs.pop(0)
        made.on_result(number, unpack(pack(job(*arguments))), ctx)


def put(made, ctx, name, values, kind=SeriesKind.RETURN, times=None):
    made.on_request(PutHistory(name, tuple(times or TIMES[: len(values)]), tuple(values), kind), ctx)


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


# Benchmarks, models, positions, factors.


def test_a_benchmark_is_compared_on_the_days_that_both_have():
    made, ctx = followed()
    put(made, ctx, "INDEX", MARKET[100:200], times=TIMES[100:200])
    relative = ask(made, ctx, GetAnalytics(7, "standard", "INDEX")).relative
    ours = np.array([0.0, *RETURNS[:-1]])[101:201]
    assert relative.periods == 100
    assert relative.beta == pytest.approx(performance.beta(ours, MARKET[100:200]), rel=1e-9)
    assert relative.alpha == pytest.approx(performance.alpha(ours, MARKET[100:200]), rel=1e-9)
    assert relative.annual_information_ratio == pytest.approx(relative.information_ratio * math.sqrt(252.0))


def test_a_benchmark_goes_on_with_each_day_and_begins_anew_with_another_version():
    made, ctx = followed(RETURNS[:100], benchmark="INDEX")
    put(made, ctx, "INDEX", MARKET)
    assert ask(made, ctx, GetAnalytics(7, "standard")).relative.periods == 99  # it has no first day
    for value in daily(RETURNS)[101:]:
        made.on_balance(value, ctx)
    one_by_one = ask(made, ctx, GetAnalytics(7, "standard")).relative
    put(made, ctx, "INDEX", MARKET)
    at_once = ask(made, ctx, GetAnalytics(7, "standard")).relative
    assert one_by_one.periods == at_once.periods == 299
    for name in ("alpha", "beta", "correlation", "tracking_error", "information_ratio", "batting_average"):
        assert getattr(one_by_one, name) == pytest.approx(getattr(at_once, name), rel=1e-10)


def test_a_configured_benchmark_that_is_not_there_yet_is_stated():
    made, ctx = followed(benchmark="INDEX")
    answer = ask(made, ctx, GetAnalytics(7, "standard"))
    assert (answer.relative, answer.undefined["relative"]) == (None, "empty")


def test_a_benchmark_of_negative_levels_is_stated():
    made, ctx = followed()
    put(made, ctx, "SPREAD", [-1.0, 2.0, 3.0], SeriesKind.LEVEL)
    assert ask(made, ctx, GetAnalytics(7, "standard", "SPREAD")).undefined["relative"] == "negative_price"


def test_models_are_fitted_in_the_background_and_the_last_fit_is_served():
    made, ctx = followed()
    first = ask(made, ctx, GetAnalytics(7, "comprehensive"))
    assert {each.state for each in first.volatility} == {first.regime.state} == {"fitting"}
    assert len(ctx.jobs) == 1
    ask(made, ctx, GetAnalytics(7, "comprehensive"))
    assert len(ctx.jobs) == 1
    fitted(made, ctx)
    second = ask(made, ctx, GetAnalytics(7, "comprehensive"))
    by_model = {each.model: each for each in second.volatility}
    assert len(by_model["garch"].volatility) == 5
    assert by_model["gjr-garch-t"].basis.window == by_model["ewma"].basis.window == 300
    assert by_model["har"].state == "ready" or by_model["har"].reason
    assert second.regime.regime in fits.REGIMES[2]
    assert sum(second.regime.probabilities) == pytest.approx(1.0)
    assert second.regime.volatilities[0] <= second.regime.volatilities[1]
    last = daily(RETURNS)[-1]
    made.on_balance(valued(last.now_ns + DAY, last.nav, last.realised), ctx)
    third = ask(made, ctx, GetAnalytics(7, "comprehensive"))
    assert third.regime == second.regime  # of before, as its basis says, until the new fit is there
    assert len(ctx.jobs) == 1


def test_a_job_that_fails_leaves_the_last_fit():
    made, ctx = followed()
    ask(made, ctx, GetAnalytics(7, "comprehensive"))
    [(number, _, _)] = ctx.jobs
    made.on_result(number, ModelError("the worker died"), ctx)
    assert ask(made, ctx, GetAnalytics(7, "comprehensive")).regime.state == "fitting"


def test_models_of_too_few_returns_say_so():
    made, ctx = followed(RETURNS[:5])
    ask(made, ctx, GetAnalytics(7, "comprehensive"))
    fitted(made, ctx)
    answer = ask(made, ctx, GetAnalytics(7, "comprehensive"))
    reasons = {each.model: each.reason for each in answer.volatility}
    assert reasons["garch"] == reasons["gjr-garch-t"] == answer.regime.reason == "too_few"


def test_forecasts_of_returns_that_come_with_the_request():
    made, ctx = engine(), RecordingContext()
    answer = ask(made, ctx, ForecastReturns(tuple(RETURNS), TIMES, horizon=3))
    assert all(len(each.volatility) == 3 for each in answer.volatility if each.state == "ready")
    assert answer.regime.basis.end_ns == TIMES[-1]
    for bad, code in (((), "empty"), ((0.1, math.nan), "not_finite"), ((0.1, -2.0), "out_of_range")):
        with pytest.raises(Undefined) as error:
            ask(made, ctx, ForecastReturns(bad))
        assert error.value.code == code


def held(**prices):
    """An engine with two positions and the histories of those named."""
    made, ctx = followed(benchmark="INDEX")
    put(made, ctx, "INDEX", MARKET)
    for name, values in prices.items():
        put(made, ctx, name, values, SeriesKind.PRICE)
    for instrument_id, lots in ((1, 500), (2, -200)):
        made.on_position(PositionChanged(1, START_NS, 0, Position(7, instrument_id, lots), 6_000), ctx)
    return made, ctx


def test_the_risk_of_positions_adds_up():
    steps = np.cumprod(1.0 + np.column_stack([RETURNS, MARKET]), axis=0) * 100.0
    made, ctx = held(BTCUSDT=steps[:, 0].tolist(), ETHUSDT=steps[:, 1].tolist())
    answer = ask(made, ctx, GetAnalytics(7, "institutional"))
    positions = answer.positions
    assert [each.symbol for each in positions.positions] == ["BTCUSDT", "ETHUSDT"]
    assert sum(each.risk_share for each in positions.positions) == pytest.approx(1.0)
    returns = np.column_stack([RETURNS, MARKET])[1:]
    weights = [each.weight for each in positions.positions]
    assert positions.volatility == pytest.approx(performance.annual_volatility(returns @ weights), rel=1e-9)
    assert positions.positions[0].beta == pytest.approx(performance.beta(returns[:, 0], MARKET[1:]), rel=1e-9)
    assert positions.basis.window == 299
    assert answer.stress[0].loss == pytest.approx(-answer.relative.beta * answer.stress[0].market)
    assert not isinstance(made.on_request(GetAnalytics(7, "institutional"), ctx), Work)  # prepared once


def test_positions_without_history_are_named():
    made, ctx = held(BTCUSDT=(np.cumprod(1.0 + np.array(RETURNS)) * 100.0).tolist())
    positions = ask(made, ctx, GetAnalytics(7, "institutional")).positions
    assert positions.without_history == ("ETHUSDT",)
    assert positions.volatility is not None
    made, ctx = held()
    answer = ask(made, ctx, GetAnalytics(7, "institutional"))
    assert answer.undefined["positions.volatility"] == "empty"
    assert answer.positions.concentration == pytest.approx((25 + 4) / 49)


def test_histories_without_a_day_in_common_are_stated():
    later = [time + 400 * DAY for time in TIMES]
    made, ctx = held(BTCUSDT=[100.0 + step for step in range(300)])
    put(made, ctx, "ETHUSDT", [100.0 + step for step in range(300)], SeriesKind.PRICE, later)
    answer = ask(made, ctx, GetAnalytics(7, "institutional"))
    assert answer.positions.volatility is None
    assert "positions.volatility" in answer.undefined


def test_returns_are_attributed_to_factors_of_the_same_days():
    made, ctx = followed()
    ours = [0.0, *RETURNS[:-1]]
    for day in range(300):
        update = FactorsUpdated(ctx.now_ns, START_NS // DAY + day, ("market", "size"), (MARKET[day], ours[day] / 2.0))
        made.on_factors(update, ctx)
    factors = ask(made, ctx, GetAnalytics(7, "institutional")).factors
    assert [each.name for each in factors.factors] == ["market", "size"]
    assert factors.factors[1].exposure == pytest.approx(2.0)
    parts = sum(each.contribution for each in factors.factors) + factors.specific
    assert parts == pytest.approx(factors.total, abs=1e-12)
    assert factors.r_squared == pytest.approx(1.0)
    result = ask(made, ctx, AskAnalytics("attribution", 7))
    assert result.analytics.factors == factors


def test_factors_that_cannot_be_used_are_stated():
    made, ctx = followed()
    assert ask(made, ctx, GetAnalytics(7, "institutional")).undefined["factors"] == "empty"
    made.on_factors(FactorsUpdated(1, 1, ("market",), (0.1,)), ctx)
    assert ask(made, ctx, GetAnalytics(7, "institutional")).undefined["factors"] == "missing_days"
    for day in range(100):
        made.on_factors(FactorsUpdated(1, START_NS // DAY + day, ("a", "b"), (0.01 * day, 0.02 * day)), ctx)
    assert ask(made, ctx, GetAnalytics(7, "institutional")).undefined["factors"] == "singular"


# Histories of portfolios.


def test_an_uploaded_history_is_measured_with_its_provenance():
    made, ctx = engine(), RecordingContext()
    put(made, ctx, "portfolio-9", RETURNS)
    answer = ask(made, ctx, GetAnalytics(9, "comprehensive"))
    assert answer.summary.sharpe_ratio == pytest.approx(performance.sharpe_ratio(RETURNS), rel=1e-10)
    assert (answer.value, answer.basis.source, answer.basis.window) == (None, "uploaded", 300)
    assert answer.basis.end_ns == answer.now_ns == TIMES[-1]
    assert answer.calendar[0].year == 2023
    values = (np.cumprod(1.0 + np.array(RETURNS)) * 50.0).tolist()
    put(made, ctx, "portfolio-9", values, SeriesKind.PRICE)
    assert ask(made, ctx, GetAnalytics(9)).summary.periods == 299
    made.on_request(DropHistory("portfolio-9"), ctx)
    assert ask(made, ctx, GetAnalytics(9)).summary.periods == 0


def test_an_uploaded_history_comes_before_what_was_followed():
    made, ctx = followed(RETURNS[:50])
    times = [START_NS - (200 - day) * DAY for day in range(250)]
    put(made, ctx, "portfolio-7", RETURNS[:250], times=times)
    answer = ask(made, ctx, GetAnalytics(7))
    assert answer.summary.periods == 200 + 50
    expected = [*RETURNS[:200], 0.0, *RETURNS[:49]]
    assert answer.summary.sharpe_ratio == pytest.approx(performance.sharpe_ratio(expected), rel=1e-9)
    assert answer.basis.source == "uploaded, star"


def test_a_history_of_volumes_is_no_history_of_a_portfolio():
    made, ctx = engine(), RecordingContext()
    with pytest.raises(Undefined) as error:
        put(made, ctx, "portfolio-9", [1.0, 2.0], SeriesKind.VOLUME)
    assert error.value.code == "mismatch"
    put(made, ctx, "portfolio-x", [0.1, 0.2])
    with pytest.raises(UnknownPortfolioError):
        ask(made, ctx, GetAnalytics(9))


@pytest.mark.parametrize(
    ("values", "times", "code"),
    [
        ((0.1, 0.2), (2, 1), "unsorted"),
        ((0.1, 0.2), (1, 1), "duplicate_time"),
        ((0.1,), (1, 2), "mismatch"),
        ((), (), "empty"),
        ((0.1, math.nan), (1, 2), "not_finite"),
        ((0.1, -1.5), (1, 2), "out_of_range"),
    ],
)
def test_a_history_that_is_none_is_refused(values, times, code):
    made, ctx = engine(), RecordingContext()
    with pytest.raises(Undefined) as error:
        made.on_request(PutHistory("portfolio-9", times, values, SeriesKind.RETURN), ctx)
    assert error.value.code == code


# Returns that come with the request.


def test_returns_that_come_with_the_request_are_measured_in_every_depth():
    made, ctx = engine(), RecordingContext()
    for name in DEPTHS:
        answer = ask(made, ctx, AnalysePerformance(tuple(RETURNS), TIMES, tuple(MARKET), name))
        assert answer.summary.sharpe_ratio == performance.sharpe_ratio(RETURNS)
        assert answer.basis.source == "request"
    assert answer.relative.beta == performance.beta(RETURNS, MARKET)
    assert answer.confidence.deflated_sharpe == answer.confidence.probabilistic_sharpe
    assert [line.window for line in answer.rolling] == [21, 63, 126, 252]
    assert answer.drawdowns[0].depth == answer.summary.max_drawdown
    assert msgspec.json.decode(msgspec.json.encode(answer), type=PortfolioAnalytics) == answer


def test_a_deflated_sharpe_ratio_needs_the_variance_of_its_trials():
    made, ctx = engine(), RecordingContext()
    answer = ask(made, ctx, AnalysePerformance(tuple(RETURNS), trials=10))
    assert answer.undefined["confidence.deflated_sharpe"] == "empty"
    answer = ask(made, ctx, AnalysePerformance(tuple(RETURNS), trials=10, trial_variance=0.01))
    assert answer.confidence.deflated_sharpe < answer.confidence.probabilistic_sharpe


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"returns": ()}, "empty"),
        ({"returns": (0.1, math.nan)}, "not_finite"),
        ({"returns": (0.1, math.inf)}, "not_finite"),
        ({"returns": (0.1, -1.5)}, "out_of_range"),
        ({"returns": (0.1, 0.2), "times_ns": (2, 1)}, "unsorted"),
        ({"returns": (0.1, 0.2), "times_ns": (1, 1)}, "duplicate_time"),
        ({"returns": (0.1, 0.2), "times_ns": (1,)}, "mismatch"),
        ({"returns": (0.1, 0.2), "benchmark": (0.1,)}, "mismatch"),
        ({"returns": (0.1, 0.2), "benchmark": (0.1, math.nan)}, "not_finite"),
        ({"returns": (0.1, 0.2), "periods_per_year": 0.0}, "out_of_range"),
        ({"returns": (0.1, 0.2), "risk_free": math.nan}, "not_finite"),
    ],
)
def test_returns_that_are_none_are_refused_with_a_code(fields, code):
    made, ctx = engine(), RecordingContext()
    with pytest.raises(Undefined) as error:
        ask(made, ctx, AnalysePerformance(**fields))
    assert error.value.code == code


@pytest.mark.parametrize("returns", [(0.01,), (0.01,) * 30, (0.0,) * 30, (-1.0, 0.1), (0.02, 0.01, 0.03)])
def test_what_single_measures_lack_is_stated_and_never_nan(returns):
    made, ctx = engine(), RecordingContext()
    answer = ask(made, ctx, AnalysePerformance(returns, benchmark=returns, depth="institutional"))
    text = json.dumps(msgspec.to_builtins(answer))
    assert "NaN" not in text
    assert "Infinity" not in text
    for name in ("sharpe_ratio", "sortino_ratio", "calmar_ratio"):
        assert (getattr(answer.summary, name) is None) == (f"summary.{name}" in answer.undefined)


# Attribution.


def brinson(**changes):
    fields = {
        "groups": ("a", "b"),
        "portfolio_weights": ((0.6, 0.4), (0.5, 0.5)),
        "portfolio_returns": ((0.05, 0.01), (-0.02, 0.03)),
        "benchmark_weights": ((0.5, 0.5), (0.5, 0.5)),
        "benchmark_returns": ((0.03, 0.02), (-0.01, 0.01)),
    }
    return AttributeBrinson(**(fields | changes))


def test_brinson_effects_add_up_to_the_active_return():
    made, ctx = engine(), RecordingContext()
    for method in ("brinson-fachler", "brinson-hood-beebower"):
        for linking in ("carino", "menchero", "frongello", "grap"):
            report = ask(made, ctx, brinson(method=method, linking=linking))
            assert report.allocation + report.selection + report.interaction == pytest.approx(
                report.active_return, abs=1e-12
            )
            assert sum(group.total for group in report.groups) == pytest.approx(report.active_return, abs=1e-12)
    report = ask(made, ctx, brinson(method="geometric"))
    product = (1.0 + report.allocation) * (1.0 + report.selection) - 1.0
    assert product == pytest.approx(report.active_return, abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"portfolio_weights": ()}, "empty"),
        ({"portfolio_weights": ((0.6,), (0.5,))}, "mismatch"),
        ({"method": "other"}, "out_of_range"),
        ({"linking": "other"}, "out_of_range"),
        ({"portfolio_returns": ((math.nan, 0.0), (0.0, 0.0))}, "not_finite"),
    ],
)
def test_an_attribution_that_cannot_be_is_stated(changes, code):
    made, ctx = engine(), RecordingContext()
    with pytest.raises(Undefined) as error:
        ask(made, ctx, brinson(**changes))
    assert error.value.code == code


def test_returns_are_attributed_to_factors_that_come_with_the_request():
    made, ctx = engine(), RecordingContext()
    table = tuple((market, value) for market, value in zip(MARKET, RETURNS[::-1], strict=True))
    report = ask(made, ctx, AttributeFactors(("m", "v"), tuple(RETURNS), table))
    whole = sum(each.contribution for each in report.factors) + report.specific
    assert whole == pytest.approx(report.total, abs=1e-12)
    given = ask(made, ctx, AttributeFactors(("m", "v"), tuple(RETURNS), table, tuple((1.0, 0.0) for _ in table)))
    assert given.factors[0].exposure == 1.0
    flat = AttributeFactors(("m",), (0.1,) * 5, ((0.1,), (0.2,), (0.1,), (0.3,), (0.1,)), ((0.0,),) * 5)
    assert ask(made, ctx, flat).undefined["r_squared"] == "constant"


# Tear sheets.


def test_a_tear_sheet_has_the_series_of_its_plots():
    made, ctx = followed()
    sheet = ask(made, ctx, GetTearSheet(7))
    assert len(sheet.times_ns) == len(sheet.wealth) == len(sheet.drawdowns) == 300
    assert sheet.wealth[-1] == pytest.approx(1.0 + sheet.analytics.summary.cumulative_return)
    assert len(sheet.rolling_sharpe) == 300 - sheet.rolling_window + 1
    assert sheet.html == ""


def test_a_tear_sheet_may_be_a_page():
    made, ctx = followed(RETURNS[:200])
    put(made, ctx, "INDEX", [0.0, *MARKET[:199]], times=[START_NS + day * DAY for day in range(200)])
    sheet = ask(made, ctx, GetTearSheet(7, "html", "INDEX"))
    assert sheet.html.startswith("<!doctype html>")
    assert "<svg" in sheet.html
    assert "INDEX" in sheet.html
    assert "<script" not in sheet.html


def test_a_tear_sheet_of_nothing_is_stated():
    made, ctx = engine(), RecordingContext()
    made.on_balance(valued(START_NS, 1000.0, 0.0), ctx)
    with pytest.raises(Undefined) as error:
        ask(made, ctx, GetTearSheet(7))
    assert error.value.code == "empty"


# Cost of trading.


def order(made, ctx, *, side=Side.BUY, quantity=10, order_id=1):
    made.on_report(OrderAccepted(order_id, ctx.now_ns, 7, 0, 1, order_id, side, 600_020, quantity, quantity), ctx)


def trades(rows):
    array = np.zeros(len(rows), TRADE)
    for place, (price, quantity) in enumerate(rows):
        array[place]["price_ticks"], array[place]["quantity"], array[place]["instrument_id"] = price, quantity, 1
    return array


def test_an_order_costs_what_it_paid_beyond_its_arrival():
    made, ctx = engine(), RecordingContext()
    made.on_quote(quote_array(1, 600_000, 600_020), ctx)
    made.on_trade(trades([(1, 1)]), ctx)  # before the order: no part of it
    order(made, ctx)
    made.on_trade(trades([(600_010, 30), (600_040, 10)]), ctx)
    fill = OrderFilled(2, 5, 7, 0, 1, 1, Side.BUY, 600_020, 6, 4, fee=100)
    for report in (fill, fill):  # the second time it is not newer
        made.on_report(report, ctx)
    made.on_quote(quote_array(2, 600_050, 600_070), ctx)
    made.on_report(OrderCancelled(3, 9, 7, 0, 1, 1, Side.BUY, 600_020, 4, 0), ctx)
    costs = ask(made, ctx, GetTransactionCosts(7))
    [line] = costs.orders
    assert (line.state, line.side, line.quantity, line.filled) == ("cancelled", "buy", 0.01, 0.006)
    assert (line.arrival_price, line.average_price) == (pytest.approx(60_001.0), pytest.approx(60_002.0))
    assert line.vwap == pytest.approx((60_001.0 * 30 + 60_004.0 * 10) / 40)
    assert line.arrival_bps == pytest.approx(1.0 / 60_001.0 * 1e4)
    assert line.opportunity_cost == pytest.approx((60_006.0 - 60_001.0) * 0.004)
    assert line.shortfall == pytest.approx(1.0 * 0.006 + 5.0 * 0.004 + line.fees)
    assert costs.shortfall_bps == pytest.approx(line.shortfall_bps)
    assert ask(made, ctx, GetTransactionCosts(7, 1)).orders == costs.orders
    with pytest.raises(Undefined):
        ask(made, ctx, GetTransactionCosts(7, 99))


def test_an_order_without_a_quote_before_it_has_no_arrival_price():
    made, ctx = engine(), RecordingContext()
    order(made, ctx, side=Side.SELL)
    made.on_report(OrderFilled(2, 5, 7, 0, 1, 1, Side.SELL, 600_020, 10, 0), ctx)
    costs = ask(made, ctx, GetTransactionCosts(7))
    [line] = costs.orders
    assert (line.arrival_price, line.undefined["arrival_price"]) == (None, "empty")
    assert (costs.shortfall_bps, costs.undefined["shortfall_bps"]) == (None, "empty")
    assert line.average_price == pytest.approx(60_002.0)


def test_only_the_newest_orders_are_kept():
    made, ctx = engine(orders=3), RecordingContext()
    for order_id in range(1, 6):
        order(made, ctx, order_id=order_id)
    assert [line.order_id for line in ask(made, ctx, GetTransactionCosts(7)).orders] == [5, 4, 3]


def test_turnover_is_what_was_traded_over_net_assets():
    made, ctx = engine(), RecordingContext()
    for day in range(3):
        made.on_balance(valued(START_NS + day * DAY, 120_000.0, 0.0), ctx)
        made.on_report(OrderFilled(day + 1, 5, 7, 0, 1, 1, Side.BUY, 600_000, 1000, 0), ctx)
    answer = ask(made, ctx, GetAnalytics(7, "standard"))
    assert answer.distribution.turnover == pytest.approx(60_000.0 / 120_000.0 / 2.0 * 252.0)


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
