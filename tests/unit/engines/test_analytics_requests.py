"""Histories that are put, and returns and attributions that come with requests, good and bad."""

import contextlib
import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.engines.analytics.batch import analyse
from nautilus.engines.analytics.depths import DEPTHS, budget_of
from nautilus.gateway.endpoints import specs_of
from nautilus.maths import performance
from nautilus.maths.errors import Undefined
from nautilus.model.analytics import (
    AnalysePerformance,
    AskAnalytics,
    GetAnalytics,
    GetAnalyticsBatch,
    PortfolioAnalytics,
)
from nautilus.model.attribution import AttributeBrinson, AttributeFactors
from nautilus.model.datasets import BarFact, DataAnswer, DataKind, Provenance
from nautilus.model.errors import UnknownPortfolioError
from nautilus.model.history import DropHistory, GetHistory, LoadHistory, PutHistory, SeriesKind
from tests.kit.analytics import MARKET, RETURNS, TIMES, ask, engine, followed, put
from tests.kit.context import RecordingContext
from tests.kit.valuations import DAY, START_NS

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


def test_a_history_that_can_be_no_portfolios_is_not_kept_and_disturbs_nothing():
    made, ctx = engine(), RecordingContext()
    put(made, ctx, "portfolio-9", RETURNS)
    before = ask(made, ctx, GetAnalytics(9))
    for values, kind, code in (
        ((1.0, 2.0, 3.0), SeriesKind.VOLUME, "mismatch"),
        ((1.0, 0.0, 3.0), SeriesKind.LEVEL, "negative_price"),
        ((1e55,) * 6, SeriesKind.RETURN, "out_of_range"),
    ):
        with pytest.raises(Undefined) as caught:
            put(made, ctx, "portfolio-9", values, kind)
        assert caught.value.code == code
    assert ask(made, ctx, GetHistory("portfolio-9")).count == len(RETURNS)
    assert ask(made, ctx, GetAnalytics(9)) is before
    # Loading a history is not disturbed by it either; one that can be no portfolio's fails with its code.
    provenance = Provenance("yahoo", "", 1)
    for close, state in ((100.0, "ready"), (1e-320, "failed")):
        ask(made, ctx, LoadHistory("portfolio-5", "FUND"))
        number = ctx.requests[-1][0]
        bars = tuple(
            BarFact("FUND", "1d", day * DAY, (day + 1) * DAY, price, price, price, price, 1.0, price, "USD", provenance)
            for day, price in ((1, close), (2, 100.0))
        )
        made.on_reply(number, DataAnswer(DataKind.BAR, "FUND", "yahoo", bars, provenance), ctx)
        assert ask(made, ctx, GetHistory("portfolio-5")).state == state


def test_several_returns_of_an_uploaded_history_within_a_period_are_compounded():
    made, ctx = engine(), RecordingContext()
    times = [START_NS + place * DAY // 4 for place in range(len(RETURNS))]
    put(made, ctx, "portfolio-9", RETURNS, times=times)
    daily_returns = (np.add.reduceat(np.log1p(RETURNS), range(0, 300, 4))).tolist()
    answer = ask(made, ctx, GetAnalytics(9))
    assert answer.summary.periods == 75
    assert answer.summary.sharpe_ratio == pytest.approx(performance.sharpe_ratio(np.expm1(daily_returns)), rel=1e-9)


def test_what_is_made_up_is_said_so():
    made, ctx = engine(), RecordingContext()
    made.on_request(PutHistory("portfolio-9", TIMES, tuple(RETURNS), SeriesKind.RETURN, synthetic=True), ctx)
    assert ask(made, ctx, GetAnalytics(9)).basis.synthetic is True
    assert ask(made, ctx, GetHistory("portfolio-9")).synthetic is True
    made.on_request(DropHistory("portfolio-9"), ctx)
    assert ask(made, ctx, GetAnalytics(9)).basis.synthetic is False
    for synthetic in (True, False):
        assert analyse(AnalysePerformance(tuple(RETURNS), synthetic=synthetic)).basis.synthetic is synthetic


def test_an_uploaded_history_comes_before_what_was_followed():
    made, ctx = followed(RETURNS[:50])
    times = [START_NS - (200 - day) * DAY for day in range(250)]
    put(made, ctx, "portfolio-7", RETURNS[:250], times=times)
    answer = ask(made, ctx, GetAnalytics(7))
    assert answer.summary.periods == 200 + 50
    expected = [*RETURNS[:200], 0.0, *RETURNS[:49]]
    assert answer.summary.sharpe_ratio == pytest.approx(performance.sharpe_ratio(expected), rel=1e-9)
    assert answer.basis.source == "uploaded, star"


def test_a_history_of_a_portfolio_is_loaded_through_the_hub():
    made, ctx = engine(), RecordingContext()
    assert ask(made, ctx, LoadHistory("portfolio-9", "FUND")).state == "loading"
    [(number, peer, question, _)] = ctx.requests
    assert (peer, question.symbol) == ("marketdata", "FUND")
    provenance = Provenance("yahoo", "", 1)
    levels = np.cumprod(1.0 + np.array(RETURNS)) * 10.0
    bars = tuple(
        BarFact("FUND", "1d", time - DAY, time, level, level, level, level, 1.0, level, "USD", provenance)
        for time, level in zip(TIMES, levels.tolist(), strict=True)
    )
    made.on_reply(number, DataAnswer(DataKind.BAR, "FUND", "yahoo", bars, provenance), ctx)
    answer = ask(made, ctx, GetAnalytics(9))
    assert (answer.summary.periods, answer.basis.source) == (299, "yahoo")
    ask(made, ctx, LoadHistory("OTHER"))
    made.on_unknown(ctx.requests[-1][0], ctx.requests[-1][2], ctx)
    assert ask(made, ctx, GetHistory("OTHER")).state == "failed"
    made.on_reply(10**9, answer, ctx)  # of nobody


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


def test_more_questions_than_are_kept_are_answered_all_the_same():
    made, ctx = followed()
    for number in range(40):
        put(made, ctx, f"INDEX{number}", MARKET)
        relative = ask(made, ctx, GetAnalytics(7, "standard", f"INDEX{number}")).relative
        assert relative.benchmark == f"INDEX{number}"


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


ODD = st.one_of(
    st.sampled_from([0.0, -0.0, -1.0, 1e-320, -1e-320, 1e-200, -1e-16, 0.01, -0.01, 1e6, 1e150, 1e300, math.nan, -2.0]),
    st.floats(-1.0, 2.0),
)


@given(st.lists(ODD, max_size=30), st.sampled_from([252.0, 1e9, 1e-9]), st.sampled_from([None, 0.0, 1e300]))
def test_whatever_the_returns_are_no_answer_has_what_is_no_number(returns, per_year, variance):
    asked = AnalysePerformance(
        tuple(returns),
        (),
        tuple(returns[::-1]),
        "institutional",
        periods_per_year=per_year,
        trials=9,
        trial_variance=variance,
    )
    with contextlib.suppress(Undefined):
        json.dumps(msgspec.to_builtins(analyse(asked)), allow_nan=False)


def test_turnover_of_what_was_traded_comes_with_the_request():
    made, ctx = engine(), RecordingContext()
    answer = ask(made, ctx, AnalysePerformance((0.1, 0.2), traded=(50.0, 0.0), nav=(100.0, 200.0)))
    assert answer.distribution.turnover == pytest.approx(0.125 * 252.0)
    answer = ask(made, ctx, AnalysePerformance((0.1, 0.2), traded=(50.0,), nav=(0.0,)))
    assert answer.undefined["distribution.turnover"] == "out_of_range"


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


def test_the_budget_of_a_question_is_that_of_its_depth_and_kind():
    budgets = [depth.budget_ms for depth in DEPTHS.values()]
    assert budgets == [50.0, 150.0, 300.0, 800.0]
    assert [budget_of(GetAnalytics(1, name)) for name in DEPTHS] == budgets
    assert [budget_of(AskAnalytics("performance", 1, name)) for name in DEPTHS] == budgets
    assert [budget_of(AskAnalytics("attribution", 1, name)) for name in DEPTHS] == [800.0] * 4
    assert [budget_of(AskAnalytics("ml_inference", 1, name)) for name in DEPTHS] == [300.0, 300.0, 300.0, 800.0]
    assert [budget_of(GetAnalyticsBatch((1,), name)) for name in DEPTHS] == [200.0, 200.0, 300.0, 800.0]
    assert budget_of(GetAnalytics(1, "deep")) == budget_of(AskAnalytics("risk", 1, "deep")) == 800.0
    (way,) = specs_of({"analytics": 1})
    assert way.timeout_seconds * 1000.0 > max(budgets), "the gateway cuts none of them short"
