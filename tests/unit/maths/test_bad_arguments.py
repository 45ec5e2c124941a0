"""Arguments that once gave a number that was none, another method's, or an error of the libraries beneath."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest

from nautilus.maths import (
    bulk,
    cross_section,
    crypto_margin,
    factor_risk,
    futures_margin,
    hrp,
    leading,
    margin_call,
    microstructure,
    normal,
    normal_paths,
    optimise,
    regime,
    risk_parity,
    sharpe,
    strategies,
    stress,
    tridiagonal,
    var_backtest,
    var_parts,
    volatility,
    vpin,
)
from nautilus.maths.bounds import whole_numbers
from nautilus.maths.errors import Undefined, check_times
from nautilus.maths.monte_carlo import Paths

LONG = np.arange(3)
NOT_SYMMETRIC = np.array([[1.0, 0.9], [0.1, 1.0]])
NO_COVARIANCE = 3.0 * np.eye(4) - 2.0

REFUSED: dict[str, tuple[str, Callable[[], object]]] = {
    "a NaN is no exceedance": ("not_finite", lambda: var_backtest.transitions([0.0, math.nan, 1.0])),
    "exceedances are a row": ("mismatch", lambda: var_backtest.conditional_coverage([[True], [False]])),
    "half a lot": ("out_of_range", lambda: vpin.vpin_of_trades(LONG, LONG, [5.0, 0.5, 5.0], bucket_lots=1, window=1)),
    "a stamp that is NaN": ("not_finite", lambda: vpin.vpin_of_trades([0, math.nan], [1, 1], [1, 1], bucket_lots=1)),
    "lots whose sum wraps": (
        "out_of_range",
        lambda: vpin.vpin_of_trades(LONG, LONG, np.full(3, 1 << 62), bucket_lots=1 << 61, window=1),
    ),
    "more buckets than there is time for": (
        "out_of_range",
        lambda: vpin.vpin_of_trades(LONG, LONG, np.full(3, 1 << 40), bucket_lots=1, window=1),
    ),
    "a bar of no lots": ("out_of_range", lambda: bulk.volume_bars(LONG, LONG, LONG + 1, 0)),
    "a score that is NaN": ("not_finite", lambda: bulk.normal(math.nan)),
    "a score without end": ("not_finite", lambda: bulk.student(math.inf, 4.0)),
    "profits that are NaN": ("not_finite", lambda: var_parts.historical_var_parts(np.array([[0.1, math.nan]]))),
    "profits of one row": ("mismatch", lambda: var_parts.incremental_var(np.array([0.1, 0.2]))),
    "profits of no day": ("empty", lambda: var_parts.historical_cvar_parts(np.zeros((0, 2)))),
    "a position next to nothing": ("out_of_range", lambda: var_parts.marginal([1.0], [5e-324])),
    "residuals beyond squares": ("out_of_range", lambda: factor_risk.specific_risk(np.full((9, 2), 1e200), fewest=1)),
    "distances that are NaN": ("not_finite", lambda: hrp.linkage(np.full((3, 3), math.nan))),
    "distances that differ by side": ("mismatch", lambda: hrp.linkage(NOT_SYMMETRIC)),
    "no covariance for hierarchical parity": ("mismatch", lambda: hrp.hierarchical_risk_parity(NOT_SYMMETRIC)),
    "variances below nought": ("singular", lambda: hrp.hierarchical_risk_parity(NO_COVARIANCE)),
    "no covariance for risk parity": ("mismatch", lambda: risk_parity.risk_parity(NOT_SYMMETRIC)),
    "a cap that is NaN": ("unsorted", lambda: crypto_margin.brackets([0.0], [0.01], [0.02], cap=math.nan)),
    "a fill that is infinite": ("not_finite", lambda: cross_section.tails([1.0, 2.0], fill=math.inf)),
    "a day that is none": ("out_of_range", lambda: stress.return_between(LONG, [1.0, 2.0, 3.0], "x", "1970-01-03")),
    "days that descend": ("unsorted", lambda: stress.return_between(LONG[::-1], [1.0] * 3, "1970-01-01", "1970-01-03")),
    "an infinite value to be rescaled": ("not_finite", lambda: cross_section.rescaled([1.0, math.inf])),
    "a scale beyond squares": ("out_of_range", lambda: volatility.ewma([0.01, 0.02], scale=1e300)),
    "a scale that is NaN": ("not_finite", lambda: volatility.ewma([0.01, 0.02], scale=math.nan)),
    "an excess that is NaN": ("not_finite", lambda: margin_call.move_to_call(lambda move: math.nan if move else 1.0)),
    "a product that is not there": ("out_of_range", lambda: futures_margin.outright_and_spreads(LONG, LONG, LONG, 2)),
    "bounds that are NaN": ("not_finite", lambda: optimise.Constraints(np.array([math.nan]), np.ones(1))),
    "constraints of other assets": (
        "mismatch",
        lambda: optimise.minimum_variance(np.eye(2), optimise.Constraints.long_only(3)),
    ),
    "a matrix of another size": ("mismatch", lambda: tridiagonal.Tridiagonal(np.eye(2), np.ones(3))),
    "a path below nought": ("out_of_range", lambda: normal_paths.normal_numbers(1, np.array([-1]), 2)),
    "a measure that is NaN": ("not_finite", lambda: leading.block_bootstrap(9, 2, 3, lambda places: math.nan)),
    "quotes as floats": ("out_of_range", lambda: microstructure.standing_quotes(LONG, np.array([0.5]))),
    "an option of no underlying": (
        "mismatch",
        lambda: strategies.requirement(
            strategies.Options(*(np.ones(1, np.int64) for _ in strategies.Options._fields)),
            strategies.Underlyings(*(np.ones(1, np.int64) for _ in strategies.Underlyings._fields)),
            strategies.OptionRules(),
        ),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_with_its_code(what: str) -> None:
    code, call = REFUSED[what]
    with pytest.raises(Undefined) as found:
        call()
    assert found.value.code == code


def test_times_far_apart_are_still_in_order() -> None:
    """The difference of these two wraps to a number below 0."""
    check_times(np.array([-(1 << 62) * 2, (1 << 62)]))


def test_whole_numbers_are_taken_from_floats_only_where_exact() -> None:
    assert whole_numbers([1.0, 2.0], "a").dtype == np.int64
    assert whole_numbers(np.array([1, 2], np.uint8), "a").tolist() == [1, 2]
    for bad in ([1.5], [2.0**60], [math.inf], np.array([1 << 63], np.uint64), ["x"]):
        with pytest.raises(ValueError, match=r".+"):
            whole_numbers(bad, "a")


def test_a_regime_is_read_from_what_may_not_be_written() -> None:
    returns = np.random.default_rng(1).normal(size=80) * np.repeat([1.0, 4.0], 40)
    model = regime.fit_regimes(returns)
    wanted = regime.read_regimes(model, returns)
    returns.flags.writeable = False
    found = regime.read_regimes(model, returns)
    assert np.array_equal(found.smoothed, wanted.smoothed)
    assert regime.log_likelihood(model, returns) == pytest.approx(model.log_likelihood, abs=1.0)


def test_single_precision_is_worked_with_in_double() -> None:
    """A covariance kept as float32 is not also inverted as one."""
    narrow = np.array([[4e-4, 1e-4], [1e-4, 1e-4]], np.float32)
    wide = narrow.astype(np.float64)
    limits = optimise.Constraints.long_only(2)
    found, wanted = optimise.minimum_variance(narrow, limits), optimise.minimum_variance(wide, limits)
    assert np.array_equal(found.weights, wanted.weights)
    assert np.array_equal(hrp.hierarchical_risk_parity(narrow).weights, hrp.hierarchical_risk_parity(wide).weights)


@pytest.mark.parametrize("unit", [1e-30, 1e-22, 1.0, 1e18])
def test_simulated_profits_scale_with_the_unit_of_money(unit: float) -> None:
    """Curvature of 1e-44 was nought in single precision, one of 1e40 infinite."""
    exposures, gammas, covariance = np.array([3.0, -2.0]), np.array([40.0, 90.0]), np.diag([4e-4, 9e-4])
    wanted = Paths(exposures, covariance, gammas, paths=500, seed=3).profits
    found = Paths(unit * exposures, covariance, unit * gammas, paths=500, seed=3).profits
    assert found / unit == pytest.approx(wanted, rel=1e-5, abs=1e-6)


def test_the_best_of_a_trillion_trials_has_an_expectation() -> None:
    """1 - 1 / n is 1 from 1e16 on, and has few digits long before."""
    quantiles = [NormalDist().inv_cdf(1.0 - 1.0 / n) for n in (1000.0, 1000.0 * math.e)]
    wanted = (1.0 - sharpe.EULER) * quantiles[0] + sharpe.EULER * quantiles[1]
    assert sharpe.expected_best_sharpe(1000, 1.0) == pytest.approx(wanted, rel=1e-12)
    assert 8.0 < sharpe.expected_best_sharpe(10**18, 1.0) < 10.0


def test_the_normal_functions_have_their_limits_far_out() -> None:
    far = np.array([-1e300, -1e160, 1e160, 1e300])
    assert normal.pdf(far).tolist() == [0.0] * 4
    assert normal.cdf(far).tolist() == [0.0, 0.0, 1.0, 1.0]
    assert normal.erfcx(far)[2:].tolist() == pytest.approx([1e-160 / math.sqrt(math.pi), 1e-300 / math.sqrt(math.pi)])
    assert np.isposinf(normal.erfcx(np.array([-np.inf, -1e300]))).all()
    assert np.isnan(normal.cdf(np.array([np.nan]))).all()


def test_a_far_score_of_few_degrees_keeps_its_tail() -> None:
    """For large z the tail is c z^-v: ten times as far, 10^-v as probable."""
    near, far = bulk.student(-1e20, 0.25), bulk.student(-1e21, 0.25)
    assert far / near == pytest.approx(10.0**-0.25, rel=1e-9)
