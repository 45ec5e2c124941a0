"""Benchmarks, models, positions and factors in the answers of the analytics engine."""

import math
import sys

import numpy as np
import pytest
from msgspec.structs import replace

from nautilus.engines.analytics import fits
from nautilus.engines.base import Work
from nautilus.maths import performance
from nautilus.maths.errors import Undefined
from nautilus.model.analytics import (
    AskAnalytics,
    ForecastReturns,
    GetAnalytics,
)
from nautilus.model.errors import ModelError
from nautilus.model.factor import PortfolioAttributed
from nautilus.model.history import SeriesKind
from nautilus.model.position import Position, PositionChanged
from nautilus.model.signals import FactorsUpdated
from nautilus.runtime.worker import pack, unpack
from tests.kit.analytics import MARKET, RETURNS, TIMES, ask, engine, fitted, followed, held, put
from tests.kit.context import RecordingContext
from tests.kit.valuations import DAY, START_NS, daily, valued


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


def test_a_job_that_fails_is_told_until_a_fit_is_there_and_leaves_the_last_one():
    made, ctx = followed()
    ask(made, ctx, GetAnalytics(7, "comprehensive"))
    number, job, arguments = ctx.jobs.pop()
    made.on_result(number, ModelError("the worker died"), ctx)
    answer = ask(made, ctx, GetAnalytics(7, "comprehensive"))
    assert {each.reason for each in answer.volatility} == {answer.regime.reason} == {"internal"}
    last = daily(RETURNS)[-1]
    for step, result in ((1, job(*arguments)), (2, ModelError("the worker died"))):
        made.on_balance(valued(last.now_ns + step * DAY, last.nav, last.realised), ctx)
        ask(made, ctx, GetAnalytics(7, "comprehensive"))
        made.on_result(ctx.jobs.pop()[0], result, ctx)
        assert ask(made, ctx, GetAnalytics(7, "comprehensive")).regime.state == "ready"


def test_models_of_a_package_that_is_not_installed_say_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "arch", None)
    made, ctx = engine(), RecordingContext()
    answer = ask(made, ctx, ForecastReturns(tuple(RETURNS)))
    reasons = {each.model: each.reason for each in answer.volatility}
    assert (reasons["garch"], reasons["gjr-garch-t"], reasons["ewma"]) == ("config.package", "config.package", "")
    assert answer.regime.state == "ready"


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
    assert len(ctx.jobs) == 1  # the models, behind what somebody waited for


def test_positions_without_history_are_named():
    made, ctx = held(BTCUSDT=(np.cumprod(1.0 + np.array(RETURNS)) * 100.0).tolist())
    positions = ask(made, ctx, GetAnalytics(7, "institutional")).positions
    assert positions.without_history == ("ETHUSDT",)
    assert positions.volatility is not None
    made, ctx = held()
    answer = ask(made, ctx, GetAnalytics(7, "institutional"))
    assert answer.undefined["positions.volatility"] == "empty"
    assert answer.positions.concentration == pytest.approx((25 + 4) / 49)


def test_positions_that_cannot_be_weighed_are_stated():
    made, ctx = engine(), RecordingContext()
    put(made, ctx, "portfolio-7", RETURNS)
    made.on_position(PositionChanged(1, START_NS, 0, Position(7, 1, 500), 6_000), ctx)
    assert ask(made, ctx, GetAnalytics(7, "institutional")).undefined["positions"] == "empty"  # not valued yet
    made.on_balance(valued(START_NS + 400 * DAY, 0.0, 0.0), ctx)
    assert ask(made, ctx, GetAnalytics(7, "institutional")).undefined["positions"] == "out_of_range"
    made.on_balance(valued(START_NS + 401 * DAY, 1000.0, 0.0, currency="EUR"), ctx)
    made.on_position(PositionChanged(1, START_NS, 0, Position(7, 99, 500), 6_000), ctx)
    answer = ask(made, ctx, GetAnalytics(7, "institutional"))
    assert answer.positions.without_history == ("99", "BTCUSDT")
    assert answer.undefined["positions.concentration"] == "empty"
    for instrument_id in (1, 99):
        made.on_position(PositionChanged(1, START_NS, 0, Position(7, instrument_id, 0), 6_000), ctx)
    assert ask(made, ctx, GetAnalytics(7, "institutional")).positions.positions == ()


def test_positions_whose_prices_never_moved_have_no_risk():
    made, ctx = held(BTCUSDT=[100.0] * 300, ETHUSDT=[50.0] * 300)
    answer = ask(made, ctx, GetAnalytics(7, "institutional"))
    assert answer.undefined["positions.volatility"] == "constant"
    assert [each.weight > 0.0 for each in answer.positions.positions] == [True, False]


def test_prices_through_a_split_are_named():
    prices = np.cumprod(1.0 + np.array(RETURNS)) * 100.0
    prices[150:] /= 2.0
    made, ctx = held(BTCUSDT=prices.tolist(), ETHUSDT=(np.cumprod(1.0 + np.array(MARKET)) * 100.0).tolist())
    assert ask(made, ctx, GetAnalytics(7, "institutional")).positions.jumps == ("BTCUSDT",)


def test_one_position_has_no_correlation():
    made, ctx = held(BTCUSDT=(np.cumprod(1.0 + np.array(RETURNS)) * 100.0).tolist())
    answer = ask(made, ctx, GetAnalytics(7, "institutional"))
    assert answer.undefined["positions.average_correlation"] == "too_few"


def test_histories_without_a_day_in_common_are_stated():
    later = [time + 400 * DAY for time in TIMES]
    made, ctx = held(BTCUSDT=[100.0 + step for step in range(300)])
    put(made, ctx, "ETHUSDT", [100.0 + step for step in range(300)], SeriesKind.PRICE, later)
    answer = ask(made, ctx, GetAnalytics(7, "institutional"))
    assert answer.positions.volatility is None
    assert answer.undefined["positions.volatility"] == "missing_days"
    made, ctx = held(BTCUSDT=[100.0 + step for step in range(300)])
    put(made, ctx, "ETHUSDT", [1.0, *[0.0] * 298, 1.0], SeriesKind.LEVEL)
    answer = ask(made, ctx, GetAnalytics(7, "institutional"))
    assert answer.undefined["positions.volatility"] == "negative_price"


def test_a_position_without_a_price_is_named_and_not_weighed_as_nothing():
    made, ctx = held(BTCUSDT=(np.cumprod(1.0 + np.array(RETURNS)) * 100.0).tolist())
    made.on_position(PositionChanged(1, START_NS, 0, Position(7, 2, 5), 0), ctx)
    positions = ask(made, ctx, GetAnalytics(7, "institutional")).positions
    assert positions.without_history == ("ETHUSDT",)
    assert [each.symbol for each in positions.positions] == ["BTCUSDT"]


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


def test_what_the_factor_engine_attributed_goes_before_what_is_estimated():
    made, ctx = followed()
    exposures = 1.2, -0.4
    for day in range(20):
        returns = MARKET[day], RETURNS[day] / 2.0
        parts = tuple(exposure * value for exposure, value in zip(exposures, returns, strict=True))
        number = START_NS // DAY + day
        made.on_factors(FactorsUpdated(ctx.now_ns, number, ("market", "size"), returns), ctx)
        update = PortfolioAttributed(ctx.now_ns, 7, number, ("market", "size"), parts, 0.001, sum(parts) + 0.001)
        made.on_factors(update, ctx)
    factors = ask(made, ctx, GetAnalytics(7, "institutional")).factors
    assert [each.exposure for each in factors.factors] == pytest.approx(exposures)
    whole = sum(each.contribution for each in factors.factors) + factors.specific
    assert whole == pytest.approx(factors.total, abs=1e-12)
    assert (factors.basis.source, factors.basis.window, factors.basis.missing) == ("factor", 20, 0)
    again = engine()
    for name, (_, give) in made.bulk().items():
        again.restore_bulk(*unpack(pack((name, give()))))
    assert ask(again, ctx, GetAnalytics(7, "institutional")).factors == factors
    made.on_factors(PortfolioAttributed(1, 7, number, ("momentum",), (0.1,), 0.0, 0.1), ctx)
    [line] = ask(made, ctx, GetAnalytics(7, "institutional")).factors.factors
    assert (line.name, line.exposure, line.contribution) == ("momentum", None, pytest.approx(0.1))
    with pytest.raises(ModelError):
        made.on_factors(PortfolioAttributed(1, 7, number, ("momentum",), (0.1, 0.2), 0.0, 0.1), ctx)


def test_a_portfolio_that_only_the_factor_engine_knows_has_its_attribution():
    made, ctx = engine(), RecordingContext()
    for day in range(20):
        update = PortfolioAttributed(ctx.now_ns, 33, START_NS // DAY + day, ("market",), (MARKET[day],), 0.001, 0.0)
        update = replace(update, total=MARKET[day] + 0.001)
        made.on_factors(update, ctx)
    again = engine()
    for name, (_, give) in made.bulk().items():
        again.restore_bulk(*unpack(pack((name, give()))))
    for each in (made, again):
        answer = ask(each, ctx, AskAnalytics("attribution", 33)).analytics
        expected = performance.cumulative_return(np.array(MARKET[:20]) + 0.001)
        assert answer.factors.total == pytest.approx(expected, rel=1e-12)
        assert (answer.factors.basis.source, answer.factors.basis.window) == ("factor", 20)
        # Of what nobody told it there is a code, and no number.
        assert (answer.summary.periods, answer.summary.sharpe_ratio, answer.value) == (0, None, None)
        assert set(answer.undefined.values()) == {"empty"}
        assert ask(each, ctx, GetAnalytics(33)).undefined["summary.cumulative_return"] == "empty"


def test_factors_that_cannot_be_used_are_stated():
    made, ctx = followed()
    assert ask(made, ctx, GetAnalytics(7, "institutional")).undefined["factors"] == "empty"
    made.on_factors(FactorsUpdated(1, 1, ("market",), (0.1,)), ctx)
    assert ask(made, ctx, GetAnalytics(7, "institutional")).undefined["factors"] == "missing_days"
    for day in range(100):
        made.on_factors(FactorsUpdated(1, START_NS // DAY + day, ("a", "b"), (0.01 * day, 0.02 * day)), ctx)
    assert ask(made, ctx, GetAnalytics(7, "institutional")).undefined["factors"] == "singular"
