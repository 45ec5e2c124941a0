"""Volatility: against the values stated, the package `arch`, and a plain second implementation."""

from __future__ import annotations

import arch.univariate as peer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths.errors import Undefined
from nautilus.maths.har import har
from nautilus.maths.volatility import ewma, garch, gjr_garch
from tests.kit import naive_volatility as naive
from tests.kit.reference_returns import daily_returns


def noise(seed: int, length: int = 600) -> np.ndarray:
    return 0.01 * np.random.default_rng(seed).standard_normal(length)


def test_garch_of_the_reference_is_as_stated() -> None:
    found = garch(daily_returns())
    assert found.log_likelihood == pytest.approx(-3748.60666, abs=1e-3)
    stated = {"mu": 0.168022, "omega": 0.182110, "alpha": 0.084896, "beta": 0.847159}
    assert found.parameters == pytest.approx(stated, rel=1e-3)
    np.testing.assert_allclose(found.forecast_variances, [1.875019, 1.929732, 1.980728, 2.028258, 2.072560], rtol=1e-3)
    assert found.converged
    assert found.observations == 2013


def test_gjr_garch_of_the_reference_is_as_stated() -> None:
    found = gjr_garch(daily_returns())
    assert found.log_likelihood == pytest.approx(-3614.82379, abs=1e-3)
    stated = {"omega": 0.157729, "alpha": 0.019918, "gamma": 0.167001, "beta": 0.846358, "nu": 4.580736}
    assert {name: found.parameters[name] for name in stated} == pytest.approx(stated, rel=1e-2)


def test_forecasts_of_garch_follow_its_recursion() -> None:
    returns = daily_returns("XOM")
    found = garch(returns, horizon=10)
    values, squares = found.parameters, (100 * returns - found.parameters["mu"]) ** 2
    next_ = values["omega"] + values["alpha"] * squares[-1] + values["beta"] * found.variances[-1]
    expected = [next_]
    for _ in range(9):
        expected.append(values["omega"] + found.persistence * expected[-1])
    np.testing.assert_allclose(found.forecast_variances, expected, rtol=1e-9)
    assert found.long_run_variance == pytest.approx(values["omega"] / (1 - values["alpha"] - values["beta"]))
    assert found.forecast_volatilities[0] == pytest.approx(np.sqrt(next_) / 100)
    assert found.horizon_volatility == pytest.approx(np.sqrt(sum(expected)) / 100)


def test_forecasts_of_gjr_garch_take_half_of_the_asymmetry() -> None:
    returns = daily_returns("XOM")
    found = gjr_garch(returns, horizon=3)
    values, error = found.parameters, 100 * returns[-1] - found.parameters["mu"]
    shock = (values["alpha"] + values["gamma"] * (error < 0)) * error**2
    expected = [values["omega"] + shock + values["beta"] * found.variances[-1]]
    for _ in range(2):
        expected.append(values["omega"] + found.persistence * expected[-1])
    np.testing.assert_allclose(found.forecast_variances, expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["AAPL", "XOM", "BBY"])
def test_likelihoods_and_paths_are_those_of_plain_recursions(name: str) -> None:
    returns = daily_returns(name)
    for found in (garch(returns), gjr_garch(returns)):
        p = found.parameters
        errors = 100 * returns - p["mu"]
        shape = p["omega"], p["alpha"], p.get("gamma", 0.0), p["beta"]
        # arch takes the errors before the first from the mean at which it begins, which is the sample's.
        before = naive.backcast(100 * (returns - returns.mean()))
        *spread, after = naive.variances(errors, before, *shape)
        np.testing.assert_allclose(found.variances, spread, rtol=1e-9)
        np.testing.assert_allclose(found.forecast_variances, naive.forecasts(after, *shape, horizon=5), rtol=1e-9)
        likelihood = (
            naive.student_log_likelihood(errors, spread, p["nu"])
            if "nu" in p
            else naive.normal_log_likelihood(errors, spread)
        )
        assert found.log_likelihood == pytest.approx(likelihood, abs=1e-6)


@pytest.mark.parametrize("unit", [1e-6, 1e4])
def test_garch_does_not_depend_on_the_unit(unit: float) -> None:
    returns = daily_returns("XOM")
    plain, scaled = garch(returns), garch(returns * unit)
    assert scaled.parameters["alpha"] == pytest.approx(plain.parameters["alpha"], rel=1e-2)
    assert scaled.parameters["omega"] == pytest.approx(plain.parameters["omega"] * unit**2, rel=1e-2)
    assert scaled.log_likelihood == pytest.approx(plain.log_likelihood - len(returns) * np.log(unit), abs=1e-2)
    np.testing.assert_allclose(scaled.forecast_volatilities, plain.forecast_volatilities * unit, rtol=1e-3)


def test_ewma_is_that_of_arch() -> None:
    returns = daily_returns("XOM")
    model = peer.ZeroMean(100 * returns, volatility=peer.EWMAVariance(0.94), rescale=False)
    fit = model.fit(disp="off")
    found = ewma(returns)
    np.testing.assert_allclose(found.variances, fit.conditional_volatility**2, rtol=1e-10)
    ahead = fit.forecast(horizon=5).variance.to_numpy()[-1]
    np.testing.assert_allclose(found.forecast_variances, ahead, rtol=1e-10)
    assert found.persistence == 1.0
    assert found.long_run_variance is None


@given(st.integers(0, 10_000), st.floats(0.5, 0.99))
def test_ewma_lies_between_the_squares(seed: int, decay: float) -> None:
    returns = noise(seed, 50)
    squares = (100 * returns) ** 2
    variances = ewma(returns, decay).variances
    assert variances.min() >= squares.min() * (1 - 1e-12)
    assert variances.max() <= squares.max() * (1 + 1e-12)


def measures(seed: int, length: int = 400) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return 2.0 + np.exp(np.convolve(chance.standard_normal(length + 30), np.ones(30) / 10, "valid")[:length])


def test_har_is_that_of_arch() -> None:
    values = measures(1)
    fit = peer.HARX(values, lags=[1, 5, 22], rescale=False).fit(disp="off")
    found = har(values)
    np.testing.assert_allclose([found.constant, *found.coefficients], fit.params.to_numpy()[:4], rtol=1e-8)
    np.testing.assert_allclose(found.forecasts, fit.forecast(horizon=5).mean.to_numpy()[-1], rtol=1e-8)
    assert found.r_squared == pytest.approx(fit.rsquared, rel=1e-8)
    assert found.observations == len(values) - 22


@pytest.mark.parametrize("spans", [(1, 5, 22), (1,), (2, 10)])
def test_har_solves_the_normal_equations(spans: tuple[int, ...]) -> None:
    values = measures(5)
    found = har(values, spans=spans)
    expected = naive.har_coefficients(values, spans)
    np.testing.assert_allclose([found.constant, *found.coefficients], expected, rtol=1e-7)


def test_errors_of_har_are_those_of_newey_and_west() -> None:
    statsmodels = pytest.importorskip("statsmodels.api")
    values = measures(2)
    found = har(values)
    design = np.array(
        [[1.0, values[t - 1], values[t - 5 : t].mean(), values[t - 22 : t].mean()] for t in range(22, 400)]
    )
    fit = statsmodels.OLS(values[22:], design).fit(cov_type="HAC", cov_kwds={"maxlags": 5, "use_correction": False})
    np.testing.assert_allclose(found.standard_errors, fit.bse, rtol=1e-6)
    np.testing.assert_allclose(found.fitted, fit.fittedvalues, rtol=1e-8)


@given(st.integers(0, 10_000))
def test_residuals_of_har_are_at_right_angles_to_its_means(seed: int) -> None:
    values = measures(seed, 120)
    found = har(values, horizon=1)
    np.testing.assert_allclose(found.fitted + found.residuals, values[22:], rtol=1e-12)
    assert abs(found.residuals.sum()) <= 1e-8 * values.sum()
    assert abs(found.residuals @ values[21:-1]) <= 1e-8 * (values @ values)


BAD = [
    ([], "empty"),
    ([[0.1, 0.2]], "mismatch"),
    ([0.01] * 500, "constant"),
    ([0.0] * 500, "constant"),
    ([0.01, np.nan] * 300, "not_finite"),
    ([0.01, -np.inf] * 300, "not_finite"),
    ([0.01], "too_few"),
]


@pytest.mark.parametrize("model", [garch, gjr_garch, har])
@pytest.mark.parametrize(("values", "code"), BAD)
def test_what_has_no_forecast_says_why(model: object, values: list[float], code: str) -> None:
    with pytest.raises(Undefined) as caught:
        model(values)  # type: ignore[operator]
    assert caught.value.code == code


@pytest.mark.parametrize(("values", "code"), [([], "empty"), ([0.0, 0.0], "constant"), ([np.nan], "not_finite")])
def test_ewma_of_nothing_says_why(values: list[float], code: str) -> None:
    with pytest.raises(Undefined) as caught:
        ewma(values)
    assert caught.value.code == code


def test_ewma_of_one_return_is_its_square() -> None:
    assert ewma([0.02], horizon=2).forecast_variances == pytest.approx([4.0, 4.0])


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, 2.0, np.nan])
def test_a_decay_outside_its_range_is_refused(decay: float) -> None:
    with pytest.raises(Undefined, match="decay"):
        ewma([0.01], decay)


@pytest.mark.parametrize("horizon", [0, -1, 1001])
def test_a_horizon_outside_its_range_is_refused(horizon: int) -> None:
    for model in (ewma, garch, har):
        with pytest.raises(Undefined, match="horizon"):
            model(np.abs(noise(1)), horizon=horizon)  # type: ignore[operator]


def test_a_measure_below_nought_is_refused() -> None:
    with pytest.raises(Undefined) as caught:
        har(noise(1))
    assert caught.value.code == "out_of_range"


def test_a_forecast_below_nought_is_refused() -> None:
    falling = np.linspace(100.0, 0.5, 100) + 0.2 * np.random.default_rng(1).random(100)
    with pytest.raises(Undefined) as caught:
        har(falling, horizon=20)
    assert caught.value.code == "out_of_range"


def test_means_that_depend_on_each_other_are_refused() -> None:
    # Of a series with a period of two steps the means of two and of four steps are one and the same number.
    values = np.tile([1.0, 2.0], 100)
    with pytest.raises(Undefined) as caught:
        har(values, spans=(1, 2, 4))
    assert caught.value.code == "singular"


def test_garch_of_returns_with_one_jump_is_finite() -> None:
    returns = np.zeros(300)
    returns[150] = 0.1
    found = garch(returns)
    assert np.isfinite([*found.forecast_variances, *found.parameters.values()]).all()
