"""What portfolios may lose, as the engine answers: against the maths, with codes for what has no number."""

from __future__ import annotations

import csv
import gzip
import math
from typing import Any

import numpy as np
import pytest

from nautilus.engines.base import Work
from nautilus.engines.risk import RiskConfig, RiskEngine
from nautilus.engines.risk.jobs import METHODS
from nautilus.maths import drawdown_risk, var, var_backtest
from nautilus.maths.errors import Undefined
from nautilus.model.enums import Side
from nautilus.model.errors import ModelError, UnknownPortfolioError, UnknownSeriesError
from nautilus.model.events import OrderFilled
from nautilus.model.history import PutHistory, SeriesKind
from nautilus.model.message import Message
from nautilus.model.queries import GetPositions
from nautilus.model.risk import BacktestVar, EstimateRisk, MeasureDrawdowns, RiskPosition, StressPortfolio
from nautilus.runtime.worker import pack, unpack
from tests.kit.context import SECOND, RecordingContext, btcusdt
from tests.kit.data import recording

DAY = 86_400 * SECOND
NAMES = ("ONE", "TWO", "THREE")
STEPS = 400
RETURNS = np.random.default_rng(12).standard_t(5, (STEPS, 3)) * 0.01 + 0.0003
POSITIONS = tuple(RiskPosition(name, worth) for name, worth in zip(NAMES, (1000.0, -400.0, 250.0), strict=True))
TOTAL = RETURNS @ np.array([1000.0, -400.0, 250.0])


def put(engine: RiskEngine, name: str, values: Any, kind: SeriesKind = SeriesKind.RETURN, first: int = 10_000) -> None:
    times = tuple((first + day) * DAY + DAY // 2 for day in range(len(values)))
    engine.on_request(PutHistory(name, times, tuple(float(value) for value in values), kind), RecordingContext())


@pytest.fixture
def engine() -> RiskEngine:
    made = RiskEngine(RiskConfig(factors={"equity": "INDEX"}), [btcusdt(), btcusdt(instrument_id=2, symbol="ONE")])
    for name, column in zip(NAMES, RETURNS.T, strict=True):
        put(made, name, column)
    return made


def answer(engine: RiskEngine, message: Message) -> Any:
    work = engine.on_request(message, RecordingContext())
    assert isinstance(work, Work)
    assert work.finish is None
    return unpack(pack(work.job(*unpack(pack(work.arguments)))))  # as through the worker


def estimate(engine: RiskEngine, **changes: Any) -> Any:
    return answer(engine, EstimateRisk(**{"portfolio_id": 1, "positions": POSITIONS} | changes))


@pytest.mark.parametrize("definition", var.DEFINITIONS)
def test_the_historical_answer_is_that_of_the_maths_with_parts_that_sum_to_it(
    engine: RiskEngine, definition: str
) -> None:
    found = estimate(engine, definition=definition, components=True, level=0.99)
    assert found.var == pytest.approx(var.historical_var(TOTAL, 0.99, definition), rel=1e-12)
    assert found.cvar == pytest.approx(var.historical_cvar(TOTAL, 0.99, definition), rel=1e-12)
    assert found.evar == pytest.approx(var.entropic_var(TOTAL, 0.99), rel=1e-12)
    assert math.fsum(each.var for each in found.components) == found.var
    assert math.fsum(each.cvar for each in found.components) == found.cvar
    assert (found.gross_exposure, found.net_exposure) == (1650.0, 850.0)
    basis = found.basis
    assert (basis.window, basis.source, basis.missing, basis.synthetic) == (STEPS, "uploaded", 0, False)
    assert (basis.begin_ns, basis.end_ns) == (10_000 * DAY + DAY // 2, 10_399 * DAY + DAY // 2)
    assert definition in basis.method


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("historical", "filtered_ewma")])
def test_every_method_names_itself_and_is_near_the_others(engine: RiskEngine, method: str) -> None:
    if method in ("filtered_garch", "filtered_gjr"):
        pytest.importorskip("arch")
    found = estimate(engine, method=method, paths=20_000, seed=7)
    assert found.var == pytest.approx(var.historical_var(TOTAL), rel=0.3)
    assert found.cvar > found.var
    assert found.undefined == {}
    words = {"normal": "normal", "cornish_fisher": "Cornish", "monte_carlo": "seed 7", "filtered_gjr": "GJR"}
    assert words.get(method, "GARCH") in found.basis.method


def test_parametric_answers_are_those_of_the_maths(engine: RiskEngine) -> None:
    found = estimate(engine, method="normal", components=True)
    assert found.var == pytest.approx(var.normal_var(TOTAL), rel=1e-9)
    assert found.cvar == pytest.approx(var.normal_cvar(TOTAL), rel=1e-9)
    assert math.fsum(each.var for each in found.components) == found.var
    found = estimate(engine, method="cornish_fisher", components=True)
    assert found.var == pytest.approx(var.cornish_fisher_var(TOTAL), rel=1e-9)
    assert found.undefined == {"components": "undefined"}
    assert found.components == ()


def test_filtered_profits_are_at_the_volatility_to_come(engine: RiskEngine) -> None:
    found = estimate(engine, method="filtered_ewma", decay=0.9)
    unit = TOTAL.std() * 100
    from nautilus.maths.filtered_var import filtered_returns
    from nautilus.maths.volatility import ewma

    model = ewma(TOTAL / unit, 0.9, horizon=1)
    expected = filtered_returns(TOTAL, model.variances, float(model.forecast_variances[0]))
    assert found.var == pytest.approx(var.historical_var(expected), rel=1e-9)


def test_simulation_says_how_it_was_made(engine: RiskEngine) -> None:
    curved = tuple(RiskPosition(each.series, each.exposure, -5000.0) for each in POSITIONS)
    found = estimate(
        engine, method="monte_carlo", positions=curved, paths=50_000, seed=3, degrees=6.0, components=True, level=0.99
    )
    assert (found.paths, found.seed, found.dimensions) == (50_000, 3, 3)
    assert 0 < found.var_error < 0.05 * found.var
    assert 0 < found.cvar_error < 0.05 * found.cvar
    assert math.fsum(each.var for each in found.components) == found.var
    assert math.fsum(each.cvar for each in found.components) == found.cvar
    for word in ("delta-gamma", "Student's t, 6", "50000 paths", "seed 3", "single precision"):
        assert word in found.basis.method
    again = estimate(engine, method="monte_carlo", positions=curved, paths=50_000, seed=3, degrees=6.0, level=0.99)
    assert again.cvar == pytest.approx(found.cvar, rel=1e-4)


def test_what_the_portfolio_holds_is_taken_where_no_positions_are_given(engine: RiskEngine) -> None:
    ctx = RecordingContext()
    engine.on_report(OrderFilled(1, 5, 4, 0, 2, 1, Side.SELL, 100_000, 80, 0), ctx)
    engine.on_report(OrderFilled(2, 5, 4, 7, 2, 2, Side.SELL, 100_000, 20, 0), ctx)
    found = answer(engine, EstimateRisk(4))
    assert (found.net_exposure, found.currency) == (-1000.0, "USDT")
    assert found.var == pytest.approx(var.historical_var(-1000.0 * RETURNS[:, 0]), rel=1e-12)
    engine.on_report(OrderFilled(3, 5, 4, 0, 2, 3, Side.BUY, 100_000, 100, 0), ctx)
    with pytest.raises(Undefined) as error:
        engine.on_request(EstimateRisk(4), ctx)
    assert error.value.code == "mismatch" or error.value.code == "empty"


def test_drawdowns_are_of_the_portfolio_as_it_is_or_of_a_series(engine: RiskEngine) -> None:
    found = answer(engine, MeasureDrawdowns(1, positions=POSITIONS))
    plain = drawdown_risk.drawdown_risk(TOTAL, 0.95, compounded=False)
    assert not found.compounded
    assert (found.maximum, found.average, found.at_risk) == pytest.approx(plain[:3], rel=1e-12)
    assert (found.conditional, found.entropic, found.ulcer) == pytest.approx(plain[3:], rel=1e-12)
    found = answer(engine, MeasureDrawdowns(1, series="ONE", level=0.9))
    plain = drawdown_risk.drawdown_risk(RETURNS[:, 0], 0.9)
    assert found.compounded
    assert (found.conditional, found.ulcer) == pytest.approx((plain.conditional, plain.ulcer), rel=1e-12)


@pytest.mark.parametrize("method", ["historical", "normal", "cornish_fisher", "filtered_ewma"])
def test_a_value_at_risk_is_tested_day_after_day(engine: RiskEngine, method: str) -> None:
    found = answer(engine, BacktestVar(1, 0.95, method, window=100, positions=POSITIONS))
    assert (found.days, found.expected) == (300, pytest.approx(15.0))
    assert 3 <= found.exceedances <= 40
    assert found.exceedances == len(found.exceedances_ns)
    ratio = var_backtest.kupiec(found.exceedances, 300, 0.95)
    assert (found.kupiec, found.kupiec_p) == (ratio.statistic, ratio.p_value)
    assert found.conditional_coverage == pytest.approx(found.kupiec + found.independence, rel=1e-12)
    assert sum(found.transitions) == 299
    if method == "historical":
        said = [var.historical_var(TOTAL[day - 100 : day]) for day in range(100, 400)]
        assert found.exceedances == int(np.sum(TOTAL[100:] < -np.array(said)))


def test_a_recorded_index_is_tested_over_the_crisis(engine: RiskEngine) -> None:
    with gzip.open(recording("panel_close/sp500_index.csv.gz"), "rt", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if "2006" <= row["Date"] < "2010"]
    days = np.array([row["Date"] for row in rows], dtype="datetime64[D]").astype(np.int64)
    prices = tuple(float(row["SP500"]) for row in rows)
    engine.on_request(PutHistory("INDEX", tuple(int(day) * DAY for day in days), prices), RecordingContext())
    found = {
        method: answer(engine, BacktestVar(1, 0.99, method, window=250, series="INDEX"))
        for method in ("normal", "filtered_ewma")
    }
    assert found["normal"].zone == "red"  # the normal law failed in 2008
    assert found["normal"].kupiec_p < 1e-4
    assert found["filtered_ewma"].exceedances < found["normal"].exceedances / 2


def test_stress_takes_own_prices_then_betas_and_says_which(engine: RiskEngine) -> None:
    days = [int(np.datetime64(day, "D").astype(np.int64)) for day in ("2008-09-12", "2008-11-20", "2009-01-05")]
    times = tuple(day * DAY + DAY // 2 for day in days)
    engine.on_request(PutHistory("OLD", times, (100.0, 40.0, 50.0)), RecordingContext())
    positions = (RiskPosition("OLD", 1000.0), RiskPosition("NEW", 500.0, 100.0, 1.5), RiskPosition("ONE", 10.0))
    found = answer(engine, StressPortfolio(1, positions=positions, betas={"ONE": 2.0, "OLD": 1.0}))
    assert [scenario.name for scenario in found.scenarios] == ["1987", "2008", "2010", "2020"]
    crash, crisis, flash, _ = found.scenarios
    assert crisis.lines[0].how == "own prices"
    assert crisis.lines[0].shock == pytest.approx(-0.6)
    shock = crisis.shocks["equity"] * 1.5
    assert crisis.lines[1].profit == pytest.approx(500 * shock + 50 * shock * shock)
    assert [line.how for line in crash.lines] == ["beta"] * 3
    assert flash.lines[0].how == "beta"  # it was over within the day
    assert crash.profit == pytest.approx(math.fsum(line.profit for line in crash.lines))
    assert "FEDS" in crash.source


def test_a_position_without_a_sensitivity_has_no_number_nor_has_the_portfolio(engine: RiskEngine) -> None:
    found = answer(engine, StressPortfolio(1, ("2020",), positions=POSITIONS))
    [scenario] = found.scenarios
    assert scenario.profit is None
    assert scenario.undefined == dict.fromkeys(NAMES, "missing_days")
    put(engine, "INDEX", 0.5 * RETURNS[:, 0])
    [scenario] = answer(engine, StressPortfolio(1, ("2020",), positions=POSITIONS[:1])).scenarios
    assert scenario.lines[0].shock == pytest.approx(2 * scenario.shocks["equity"], rel=1e-9)
    found = answer(engine, StressPortfolio(1, ("2010",), default_beta=1.0, positions=(RiskPosition("NEW", 100.0),)))
    assert found.scenarios[0].profit == pytest.approx(100 * found.scenarios[0].shocks["equity"])


def test_factors_and_positions_are_shocked_as_asked(engine: RiskEngine) -> None:
    put(engine, "INDEX", RETURNS[:, 1])
    put(engine, "OIL", RETURNS[:, 2])
    asked = StressPortfolio(
        1, shocks={"equity": -0.1, "OIL": 0.2}, returns={"TWO": -0.05}, betas={"ONE": 1.2}, positions=POSITIONS
    )
    [scenario] = answer(engine, asked).scenarios
    slope = np.polyfit(RETURNS[1:, 2], RETURNS[1:, 0], 1)[0]
    assert scenario.lines[0].shock == pytest.approx(-0.12 + 0.2 * slope, rel=1e-9)
    assert (scenario.lines[1].how, scenario.lines[1].profit) == ("given", pytest.approx(20.0))
    asked = StressPortfolio(1, returns={"TWO": -0.05}, positions=POSITIONS)
    [scenario] = answer(engine, asked).scenarios
    assert scenario.profit == pytest.approx(20.0)


def test_prices_through_a_split_count_as_they_were_given(engine: RiskEngine) -> None:
    put(engine, "SPLIT", [100.0, 101.0, 50.5, 51.0], SeriesKind.PRICE)
    found = answer(engine, EstimateRisk(1, positions=(RiskPosition("SPLIT", 100.0),), level=0.9))
    assert found.var == pytest.approx(-np.percentile([1.0, -50.0, 0.990099], 10), rel=1e-6)  # unadjusted: no magic


@pytest.mark.parametrize(
    ("question", "code"),
    [
        (EstimateRisk(1, positions=(RiskPosition("ONE", math.nan),)), "not_finite"),
        (EstimateRisk(1, method="normal", positions=(RiskPosition("ONE", 1e200),)), "out_of_range"),
        (EstimateRisk(1, method="normal", positions=(RiskPosition("ONE", 1e-200),)), "out_of_range"),
        (EstimateRisk(1, positions=(RiskPosition("ONE", 1.0), RiskPosition("LATE", 1.0))), "missing_days"),
        (EstimateRisk(1, positions=(RiskPosition("POINT", 1.0),)), "too_few"),
        (EstimateRisk(1, positions=(RiskPosition("ONE", 1.0, 5.0),)), "mismatch"),
        (EstimateRisk(1, method="monte_carlo", paths=3, positions=POSITIONS), "out_of_range"),
        (EstimateRisk(1, method="monte_carlo", degrees=1.0, positions=POSITIONS), "out_of_range"),
        (EstimateRisk(1, method="filtered_ewma", decay=2.0, positions=POSITIONS), "out_of_range"),
        (EstimateRisk(1, method="filtered_ewma", positions=(RiskPosition("FLAT", 1.0),)), "constant"),
        (BacktestVar(1, series="POINT"), "too_few"),
        (BacktestVar(1, window=400, series="ONE"), "too_few"),
        (BacktestVar(1, window=5_000, series="LONG"), "out_of_range"),
        (BacktestVar(1, positions=(RiskPosition("ONE", 1.0, 5.0),)), "mismatch"),
        (StressPortfolio(1, returns={"ONE": -1.5}, positions=POSITIONS), "out_of_range"),
        (StressPortfolio(1, shocks={"equity": math.inf}, positions=POSITIONS), "not_finite"),
    ],
)
def test_bad_input_has_a_code(engine: RiskEngine, question: Message, code: str) -> None:
    put(engine, "LATE", RETURNS[:, 0], first=20_000)
    put(engine, "POINT", [100.0], SeriesKind.PRICE)
    put(engine, "FLAT", [100.0] * 50, SeriesKind.PRICE)
    put(engine, "LONG", np.resize(RETURNS[:, 0], 7_001))
    with pytest.raises(Undefined) as error:
        answer(engine, question)
    assert error.value.code == code


def test_constant_prices_have_no_risk_and_no_moments(engine: RiskEngine) -> None:
    put(engine, "FLAT", [100.0] * 50, SeriesKind.PRICE)
    flat = (RiskPosition("FLAT", 100.0),)
    found = estimate(engine, positions=flat)
    assert (found.var, found.cvar, found.evar) == (0.0, 0.0, 0.0)
    found = estimate(engine, positions=flat, method="cornish_fisher")
    assert (found.var, found.cvar) == (None, None)
    assert found.undefined == {"var": "constant", "cvar": "constant"}


def test_histories_that_coincide_are_taken_though_their_covariance_is_singular(engine: RiskEngine) -> None:
    put(engine, "SAME", RETURNS[:, 0])
    twice = (RiskPosition("ONE", 100.0), RiskPosition("SAME", 100.0))
    found = estimate(engine, positions=twice, method="monte_carlo", paths=50_000)
    normal = estimate(engine, positions=(RiskPosition("ONE", 200.0),), method="normal")
    assert found.var == pytest.approx(normal.var, abs=4 * found.var_error)


@pytest.mark.parametrize("times", [(2 * DAY, DAY), (DAY, DAY)], ids=["unsorted", "duplicate"])
def test_a_bad_history_is_refused_as_it_comes(engine: RiskEngine, times: tuple[int, ...]) -> None:
    with pytest.raises(Undefined) as error:
        engine.on_request(PutHistory("BAD", times, (1.0, 2.0)), RecordingContext())
    assert error.value.code in ("unsorted", "duplicate_time")
    for values in ((1.0, -2.0), (1.0, 0.0), (1.0, math.nan)):
        with pytest.raises(Undefined):
            engine.on_request(PutHistory("BAD", (DAY, 2 * DAY), values), RecordingContext())


def test_what_nobody_knows_is_said_so(engine: RiskEngine) -> None:
    ctx = RecordingContext()
    for question in (EstimateRisk(99), MeasureDrawdowns(99), BacktestVar(99), StressPortfolio(99)):
        with pytest.raises(UnknownPortfolioError):
            engine.on_request(question, ctx)
    with pytest.raises(UnknownSeriesError):
        engine.on_request(EstimateRisk(1, positions=(RiskPosition("NOWHERE", 1.0),)), ctx)
    with pytest.raises(UnknownSeriesError):
        engine.on_request(StressPortfolio(1, shocks={"NOWHERE": 0.1}, positions=POSITIONS), ctx)
    for question in (
        EstimateRisk(1, method="guess", positions=POSITIONS),
        EstimateRisk(1, definition="guess", positions=POSITIONS),
        BacktestVar(1, method="monte_carlo", positions=POSITIONS),
        StressPortfolio(1, ("1929",), positions=POSITIONS),
        GetPositions(),
    ):
        with pytest.raises(ModelError):
            engine.on_request(question, ctx)
