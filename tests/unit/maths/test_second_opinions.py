"""Numbers beside independent packages, on columns, windows, frequencies and parameters that no other test uses."""

from __future__ import annotations

import csv
import gzip
import warnings

import empyrical
import numpy as np
import pytest
import quantstats.stats as quantstats

from nautilus.maths import american, drawdown_risk, drawdowns, implied_volatility, options, var
from nautilus.maths import performance as p
from nautilus.maths.optimise import Constraints, maximum_sharpe, minimum_cvar, minimum_variance
from nautilus.maths.running import RunningPerformance
from tests.kit.data import recording
from tests.kit.reference_returns import daily_returns

pytestmark = pytest.mark.filterwarnings("ignore")
# Where the packages are still of NumPy 1.
np.NINF = -np.inf  # type: ignore[attr-defined]

WINDOWS = {
    "GE": ("2007-06-01", "2009-12-31"),
    "AMD": ("1993-02-03", "2017-04-05"),
    "SHLD": ("2014-03-01", "2016-09-17"),
    "MA": ("2018-01-02", "2018-04-11"),
}


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-10, abs=1e-13)


def of_periods(returns: np.ndarray, length: int) -> np.ndarray:
    """Compounded over so many days each."""
    whole = len(returns) // length * length
    return np.prod(1.0 + returns[:whole].reshape(-1, length), axis=1) - 1.0


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize(("days", "year"), [(1, 252), (5, 52)])
@pytest.mark.parametrize("rate", [0.0, 0.0004])
def test_performance_at_any_rate_and_frequency_is_that_of_empyrical(
    name: str, days: int, year: int, rate: float
) -> None:
    r = of_periods(daily_returns(name, *WINDOWS[name]), days)
    b = of_periods(daily_returns("JPM", *WINDOWS[name]), days)
    assert p.sharpe_ratio(r, rate, year) == near(empyrical.sharpe_ratio(r, rate, annualization=year))
    assert p.sortino_ratio(r, rate, year) == near(empyrical.sortino_ratio(r, rate, annualization=year))
    assert p.downside_risk(r, rate, year) == near(empyrical.downside_risk(r, rate, annualization=year))
    assert p.omega_ratio(r, rate) == near(empyrical.omega_ratio(r, rate))
    assert p.alpha(r, b, rate, year) == near(empyrical.alpha(r, b, rate, annualization=year))
    assert p.beta(r, b) == near(empyrical.beta(r, b, rate))
    assert p.annual_return(r, year) == near(empyrical.annual_return(r, annualization=year))
    assert p.calmar_ratio(r, year) == near(empyrical.calmar_ratio(r, annualization=year))
    assert p.tail_ratio(r) == near(empyrical.tail_ratio(r))
    assert p.stability(r) == near(empyrical.stability_of_timeseries(r))
    assert p.information_ratio(r, b) == near(empyrical.excess_sharpe(r, b))
    running = RunningPerformance.of(r, rate, year)
    assert running.sortino_ratio() == pytest.approx(p.sortino_ratio(r, rate, year), rel=1e-9)
    assert running.omega_ratio() == pytest.approx(p.omega_ratio(r, rate), rel=1e-9)


def test_a_rate_a_year_of_quantstats_is_the_compounded_rate_a_period() -> None:
    import pandas as pd

    r = daily_returns("SBUX", "1999-01-04", "2003-12-31")
    series = pd.Series(r, index=pd.bdate_range("1999-01-04", periods=r.size))
    assert p.sharpe_ratio(r, 1.05 ** (1 / 252) - 1) == near(quantstats.sharpe(series, rf=0.05))
    assert drawdowns.ulcer_index(r) == near(quantstats.ulcer_index(series))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.975, 0.999])
@pytest.mark.parametrize(("name", "rows"), [("RRC", slice(900, 1_777)), ("PFE", slice(40, 77)), ("T", slice(3, 8))])
def test_tails_of_other_series_and_levels_are_those_of_the_packages(name: str, rows: slice, level: float) -> None:
    measures = pytest.importorskip("skfolio.measures")
    riskfolio = pytest.importorskip("riskfolio.src.RiskFunctions")
    x, tail = daily_returns(name, "2005-01-01", "2017-12-31")[rows], round(1.0 - level, 12)
    column = x.reshape(-1, 1)
    assert var.historical_var(x, level) == near(-empyrical.value_at_risk(x, tail))
    assert var.historical_cvar(x, level) == near(-empyrical.conditional_value_at_risk(x, tail))
    assert var.historical_var(x, level, "riskfolio") == near(float(riskfolio.VaR_Hist(column, tail)))
    assert var.historical_cvar(x, level, "riskfolio") == near(float(riskfolio.CVaR_Hist(column, tail)))
    assert var.historical_cvar(x, level, "skfolio") == near(measures.cvar(x, beta=level))
    assert drawdown_risk.conditional_drawdown(x, level) == near(float(riskfolio.CDaR_Rel(column, tail)))
    assert drawdown_risk.drawdown_at_risk(x, level, False) == near(float(riskfolio.DaR_Abs(column, tail)))
    assert var.entropic_var(x, level) == pytest.approx(measures.evar(x, beta=level), rel=1e-6)
    # Where the tail is less than one outcome riskfolio's solver stops above the least bound.
    bound = float(riskfolio.EVaR_Hist(column, tail)[0])
    assert var.entropic_var(x, level) <= bound * (1 + 1e-6)
    if tail * len(x) > 2:
        assert var.entropic_var(x, level) == pytest.approx(bound, rel=1e-6)


def etf_returns() -> np.ndarray:
    with gzip.open(recording("panel_close/factors_dataset.csv.gz"), "rt", encoding="utf-8") as lines:
        rows = list(csv.reader(lines))[1:]
    closes = np.array([[float(each) for each in row[1:]] for row in rows])
    return closes[1:] / closes[:-1] - 1.0


@pytest.mark.parametrize(("measure", "level"), [("VARIANCE", 0.0), ("RATIO", 0.0), ("CVAR", 0.9), ("CVAR", 0.99)])
def test_weights_of_the_recorded_factor_funds_are_those_of_skfolio(measure: str, level: float) -> None:
    pytest.importorskip("skfolio")
    from skfolio import RiskMeasure
    from skfolio.optimization import MeanRisk, ObjectiveFunction

    x = etf_returns()
    n = x.shape[1]
    mean, covariance, limits = x.mean(axis=0), np.cov(x.T), Constraints(np.full(n, 0.05), np.full(n, 0.45))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = (
            MeanRisk(
                risk_measure=RiskMeasure.CVAR if measure == "CVAR" else RiskMeasure.VARIANCE,
                objective_function=ObjectiveFunction.MAXIMIZE_RATIO
                if measure == "RATIO"
                else ObjectiveFunction.MINIMIZE_RISK,
                min_weights=0.05,
                max_weights=0.45,
                risk_free_rate=0.0001 if measure == "RATIO" else 0.0,
                cvar_beta=level or 0.95,
                solver="CLARABEL",
                solver_params={"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12},
            )
            .fit(x)
            .weights_
        )
    if measure == "VARIANCE":
        found = minimum_variance(covariance, limits)
        objective = theirs @ covariance @ theirs
    elif measure == "RATIO":
        found = maximum_sharpe(mean, covariance, 0.0001, limits)
        objective = (theirs @ mean - 0.0001) / np.sqrt(theirs @ covariance @ theirs)
    else:
        found = minimum_cvar(x, level, limits)
        objective = var.historical_cvar(x @ theirs, level, "skfolio")
    assert np.abs(found.weights - theirs).max() < 1e-3
    assert found.objective == pytest.approx(objective, rel=1e-6, abs=1e-6)


def test_greeks_far_from_the_money_short_and_long_with_dividends_are_those_of_vollib() -> None:
    bsm = pytest.importorskip("vollib.black_scholes_merton").black_scholes_merton
    from vollib.black_scholes_merton.greeks import analytical

    draw = np.random.default_rng(77)
    count = 400
    spot = draw.choice([0.02, 1.0, 100.0, 4_500.0], count)
    strike = spot * np.exp(draw.normal(0.0, 0.5, count))
    tau = draw.choice([1 / 8_760, 1 / 365, 7 / 365, 1.0, 20.0], count)
    rate, carry = draw.choice([-0.02, 0.0, 0.15], count), draw.choice([0.0, 0.04, 0.1], count)
    sigma, call = draw.choice([0.05, 0.3, 2.5], count), draw.random(count) < 0.5
    found = options.greeks(call, spot, strike, tau, rate, sigma, carry).in_market_units()
    for place in range(count):
        terms = "c" if call[place] else "p", *(float(e[place]) for e in (spot, strike, tau, rate, sigma, carry))
        assert found.price[place] == pytest.approx(bsm(*terms), rel=1e-10, abs=1e-10 * spot[place])
        for name in ("delta", "gamma", "theta", "vega", "rho"):
            wanted = getattr(analytical, name)(*terms)
            assert getattr(found, name)[place] == pytest.approx(wanted, rel=1e-10, abs=1e-10 * spot[place])
    back, codes = implied_volatility.solve(call, found.price, spot, strike, tau, rate, carry)
    # A volatility is told as far as the last bit of the price tells it.
    told = (codes == 0) & (found.vega * 100.0 > 1e-4 * spot)
    assert told.sum() > 100
    assert np.abs(back[told] / sigma[told] - 1.0).max() < 1e-9


@pytest.mark.parametrize("call", [True, False])
@pytest.mark.parametrize("days", [1, 60, 1_800])
def test_american_prices_at_rates_of_nought_and_below_are_those_of_quantlib(call: bool, days: int) -> None:
    ql = pytest.importorskip("QuantLib")
    today = ql.Date(15, 3, 2024)
    ql.Settings.instance().evaluationDate = today
    count = ql.Actual365Fixed()
    for strike in (40.0, 90.0, 140.0):
        for rate, carry in ((0.0, 0.0), (-0.01, 0.0), (0.0, -0.01), (0.0, 0.05), (0.05, 0.0), (0.03, -0.02)):
            for sigma in (0.05, 0.3):
                rates, yields = (
                    ql.YieldTermStructureHandle(ql.FlatForward(today, value, count)) for value in (rate, carry)
                )
                spread = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), sigma, count))
                process = ql.BlackScholesMertonProcess(ql.QuoteHandle(ql.SimpleQuote(100.0)), yields, rates, spread)
                payoff = ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, strike)
                option = ql.VanillaOption(payoff, ql.AmericanExercise(today, today + days))
                option.setPricingEngine(ql.QdFpAmericanEngine(process, ql.QdFpAmericanEngine.highPrecisionScheme()))
                found = float(american.price(call, 100.0, strike, days / 365, rate, sigma, carry))
                terms = (strike, rate, carry, sigma)
                assert found >= max(0.0, (100.0 - strike) * (1 if call else -1)) - 1e-12, terms
                assert found == pytest.approx(option.NPV(), abs=1e-4), terms
