"""Rank correlation, Newey-West errors and the block bootstrap, against other packages and on made-up series."""

import numpy as np
import pytest

from nautilus.maths.errors import Undefined
from nautilus.maths.leading import block_bootstrap, newey_west, ranks, spearman
from perf.study_vpin import Panel, buckets_of, found_in, sampled
from perf.vpin_recordings import Recording


def autoregression(count, seed, share=0.7):
    rng = np.random.default_rng(seed)
    out = np.zeros(count)
    for place, shock in enumerate(rng.normal(size=count - 1), 1):
        out[place] = share * out[place - 1] + shock
    return out


def test_ranks_of_equal_values_are_their_mean():
    assert ranks([3.0, 1.0, 3.0, 2.0]).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_rank_correlation_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    for ties in (False, True):
        x, y = rng.normal(size=200), rng.normal(size=200)
        if ties:
            x, y = np.round(x), np.round(y)
        assert spearman(x, y + 0.3 * x) == pytest.approx(stats.spearmanr(x, y + 0.3 * x).statistic, rel=1e-12)


@pytest.mark.parametrize("lags", [0, 1, 12])
def test_errors_are_those_of_statsmodels(lags):
    models = pytest.importorskip("statsmodels.api")
    x = np.column_stack([autoregression(400, 1), autoregression(400, 2)])
    y = 0.5 + x @ [0.3, -0.2] + autoregression(400, 3)
    found = newey_west(y, x, lags)
    theirs = models.OLS(y, models.add_constant(x)).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": False}
    )
    assert found.coefficients == pytest.approx(theirs.params, rel=1e-10)
    assert found.errors == pytest.approx(theirs.bse, rel=1e-10)
    assert found.p_values == pytest.approx(theirs.pvalues, rel=1e-8)
    assert found.r_squared == pytest.approx(theirs.rsquared, rel=1e-10)


def test_series_that_depend_on_themselves_have_wider_errors():
    x, y = autoregression(3000, 4, 0.95), autoregression(3000, 5, 0.95)
    plain, wide = newey_west(y, x, 0), newey_west(y, x, 60)
    assert wide.errors[1] > 2 * plain.errors[1]


def test_the_interval_of_a_mean_holds_what_it_should():
    held = 0
    for seed in range(40):
        values = autoregression(600, seed, 0.5)
        low, high = block_bootstrap(600, 20, 200, lambda rows, of=values: float(of[rows].mean()), seed)
        held += low <= 0.0 <= high
    assert held >= 33
    values = autoregression(600, 1)
    again = [block_bootstrap(600, 20, 50, lambda rows: float(values[rows].mean()), 7) for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize(("share", "verdict"), [(0.4, "leads"), (-0.4, "leads the other way"), (0.0, "does not lead")])
def test_the_study_finds_a_lead_that_is_there_and_none_that_is_not(share, verdict):
    vpin, before, volume = (autoregression(1500, seed, 0.6) for seed in (11, 12, 13))
    after = share * vpin + 0.5 * before + 0.2 * volume + autoregression(1500, 14, 0.3)
    found = found_in("made up", Panel(vpin, after, before, volume, np.full(1500, np.nan), 0), 5)
    assert found.verdict == verdict
    assert found.strict is None
    assert found.controlled.coefficients[1] == pytest.approx(share * vpin.std(), abs=0.12)


def test_a_window_of_the_study_knows_nothing_of_what_is_behind_it():
    rng = np.random.default_rng(2)
    count = 4000
    now = np.cumsum(rng.integers(1, 3, count)) * 1_000_000_000
    ticks = 10_000 + np.cumsum(rng.integers(-2, 3, count))
    lots, sides, session = rng.integers(1, 9, count), rng.integers(1, 3, count), np.zeros(count, np.int64)
    whole = Recording("made up", False, now, ticks, lots, sides, session, 10_000_000_000, (6,), 200, 5)
    buckets = buckets_of(whole, "side")
    panel = sampled(whole, buckets, 6)
    later = ticks.copy()
    later[3000:] += rng.integers(-50, 51, 1000)
    other = sampled(whole._replace(ticks=later), buckets, 6)
    rows = 3000 * 15 // 100 - 40
    for name in ("vpin", "after", "before", "volume"):
        assert getattr(panel, name)[:rows].tolist() == getattr(other, name)[:rows].tolist(), name
    assert panel.after.tolist() != other.after.tolist()


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: spearman([1.0], [1.0]), "too_few"),
        (lambda: spearman([1.0, 2.0], [1.0, 2.0, 3.0]), "mismatch"),
        (lambda: spearman([1.0, 1.0], [1.0, 2.0]), "constant"),
        (lambda: spearman([1.0, float("nan")], [1.0, 2.0]), "not_finite"),
        (lambda: newey_west(np.arange(9.0), np.ones((8, 1)), 0), "mismatch"),
        (lambda: newey_west(np.arange(9.0), np.ones((9, 1)), 0), "singular"),
        (lambda: newey_west(np.arange(4.0), np.arange(4.0), 0), "too_few"),
        (lambda: newey_west(np.arange(9.0), np.arange(9.0) ** 2, 9), "too_few"),
        (lambda: newey_west(np.zeros(9), np.arange(9.0), 0), "constant"),
        (lambda: newey_west(np.arange(9.0), np.full(9, np.inf), 0), "not_finite"),
        (lambda: block_bootstrap(9, 5, 10, lambda rows: 0.0), "too_few"),
        (lambda: block_bootstrap(9, 0, 10, lambda rows: 0.0), "out_of_range"),
    ],
)
def test_what_is_not_defined_is_stated(call, code):
    with pytest.raises(Undefined) as found:
        call()
    assert found.value.code == code
