"""Winsorised, standardised and cut cross-sections, against toraniko and by what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.maths import cross_section
from nautilus.maths.errors import Undefined

shapes = st.tuples(st.integers(1, 6), st.integers(2, 50), st.integers(0, 10_000))


def _values(shape: tuple[int, int, int], holes: float = 0.2) -> np.ndarray:
    draw = np.random.default_rng(shape[2])
    values = draw.standard_normal(shape[:2])
    values[draw.random(shape[:2]) < holes] = np.nan
    values[:, 0] = 0.5
    return values


@settings(max_examples=40, deadline=None)
@given(shapes, st.sampled_from([0.0, 0.01, 0.05, 0.25, 0.5]))
def test_winsorised_values_are_toranikos(shape: tuple[int, int, int], percentile: float) -> None:
    theirs = pytest.importorskip("toraniko.math")
    values = _values(shape)
    np.testing.assert_allclose(
        cross_section.winsorized(values, percentile), theirs.winsorize(values, percentile, axis=1), rtol=1e-12
    )


def test_infinite_values_are_clipped_to_the_bounds_of_the_others() -> None:
    values = np.array([1.0, 2.0, 3.0, np.inf, -np.inf, np.nan])
    np.testing.assert_allclose(cross_section.winsorized(values, 0.0), [1.0, 2.0, 3.0, 3.0, 1.0, np.nan])


@settings(max_examples=40, deadline=None)
@given(shapes)
def test_standard_scores_have_mean_zero_and_deviation_one(shape: tuple[int, int, int]) -> None:
    values = _values(shape)
    scores = cross_section.standardized(values)
    for row, score in zip(values, scores, strict=True):
        known = row[~np.isnan(row)]
        if len(set(known)) < 2:
            assert np.isnan(score).all()
            continue
        np.testing.assert_allclose(score[~np.isnan(row)], (known - known.mean()) / known.std(ddof=1), atol=1e-12)
        assert np.isnan(score[np.isnan(row)]).all()


def test_a_weighted_centre_is_zero_by_the_weights() -> None:
    values, caps = _values((5, 30, 1)), np.random.default_rng(2).uniform(1.0, 100.0, (5, 30))
    scores = cross_section.standardized(values, caps)
    sums = np.where(np.isnan(scores), 0.0, scores * caps).sum(axis=1)
    np.testing.assert_allclose(sums, 0.0, atol=1e-10)
    np.testing.assert_allclose(np.nanstd(scores, axis=1, ddof=1), 1.0, rtol=1e-12)
    plain = cross_section.centred(values)
    np.testing.assert_allclose(np.nanmean(plain, axis=1), 0.0, atol=1e-14)
    one_row = cross_section.centred(values, caps[0])
    np.testing.assert_allclose(np.nansum(one_row * np.where(np.isnan(values), 0, caps[0]), axis=1), 0.0, atol=1e-9)


def test_rows_that_never_differ_have_no_standard_score() -> None:
    values = np.array([[0.1] * 7, [np.nan] * 7, [0.3] + [np.nan] * 6])
    assert np.isnan(cross_section.standardized(values)).all()


@settings(max_examples=40, deadline=None)
@given(shapes, st.sampled_from([(0.2, 0.8), (0.0, 1.0), (0.5, 0.5), (0.1, 0.7)]))
def test_tails_keep_what_is_outside_of_the_nearest_ranks(
    shape: tuple[int, int, int], bounds: tuple[float, float]
) -> None:
    values = _values(shape, 0.0)
    found = cross_section.tails(values, *bounds)
    for row, kept in zip(values, found, strict=True):
        ordered = np.sort(row)
        low = ordered[int((len(row) - 1) * bounds[0] + 0.5)]
        high = ordered[int((len(row) - 1) * bounds[1] + 0.5)]
        np.testing.assert_array_equal(kept, np.where((row <= low) | (row >= high), row, 0.0))


def test_tails_are_toranikos() -> None:
    pl = pytest.importorskip("polars")
    theirs = pytest.importorskip("toraniko.math")
    for stocks in range(2, 40):
        values = np.random.default_rng(stocks).standard_normal(stocks)
        frame = pl.DataFrame({"date": [1] * stocks, "x": values})
        for lower, upper in ((0.2, 0.8), (0.25, 0.5), (0.1, 0.9)):
            expected = frame.select(theirs.percentiles_xsection("x", "date", lower, upper))["x"].to_numpy()
            np.testing.assert_array_equal(cross_section.tails(values, lower, upper), expected)


def test_rescaled_values_are_toranikos() -> None:
    pl = pytest.importorskip("polars")
    theirs = pytest.importorskip("toraniko.math")
    for values in (np.array([3.0, 1.0, 2.0, np.nan, 9.0]), np.array([2.0, 2.0, 2.0])):
        frame = pl.DataFrame({"date": [1] * len(values), "x": values})
        for lower, upper in ((0, 1), (-2, 5)):
            expected = frame.select(theirs.norm_xsection("x", "date", lower, upper))["x"].to_numpy()
            np.testing.assert_allclose(cross_section.rescaled(values, lower, upper), expected, rtol=1e-15)


def test_what_is_out_of_range_or_does_not_fit_is_refused() -> None:
    values = np.zeros((2, 3))
    for call, code in (
        (lambda: cross_section.winsorized(values, 0.6), "out_of_range"),
        (lambda: cross_section.winsorized(values, -0.1), "out_of_range"),
        (lambda: cross_section.tails(values, 0.8, 0.2), "out_of_range"),
        (lambda: cross_section.centred(values, np.ones(2)), "mismatch"),
        (lambda: cross_section.centred(np.empty((2, 0))), "empty"),
    ):
        with pytest.raises(Undefined) as error:
            call()
        assert error.value.code == code
