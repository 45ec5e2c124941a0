"""Style exposures against toraniko, with and without holes, and against loops."""

from __future__ import annotations

import numpy as np
import pytest

from nautilus.maths import cross_section, styles
from nautilus.maths.errors import Undefined
from tests.kit.stock_universe import stock_universe

SHAPES = [(120, 7, 2, 0.0), (150, 40, 5, 0.0), (160, 25, 4, 0.15), (90, 12, 3, 0.4)]


@pytest.mark.filterwarnings("ignore:All-NaN slice")
@pytest.mark.parametrize(("days", "stocks", "sectors", "holes"), SHAPES)
def test_momentum_is_toranikos(days: int, stocks: int, sectors: int, holes: float) -> None:
    theirs = pytest.importorskip("toraniko.styles")
    from tests.kit.toraniko_frames import matrix, table

    made = stock_universe(days, stocks, sectors, seed=days, holes=holes)
    frame = table(made.present, made.symbols, asset_returns=made.returns)
    expected = theirs.factor_mom(frame, trailing_days=40, half_life=12, lag=5).collect()
    found = styles.momentum(made.returns, window=40, half_life=12, lag=5)
    np.testing.assert_allclose(found, matrix(expected, "mom_score", found.shape, made.symbols), rtol=1e-9, atol=1e-9)
    assert np.isfinite(found).any()


@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_momentum_of_the_default_windows_is_toranikos() -> None:
    theirs = pytest.importorskip("toraniko.styles")
    from tests.kit.toraniko_frames import matrix, table

    made = stock_universe(600, 9, 3, seed=4, holes=0.03)
    frame = table(made.present, made.symbols, asset_returns=made.returns)
    found = styles.momentum(made.returns)
    expected = matrix(theirs.factor_mom(frame).collect(), "mom_score", found.shape, made.symbols)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("days", "stocks", "sectors", "holes"), SHAPES)
def test_size_is_toranikos(days: int, stocks: int, sectors: int, holes: float) -> None:
    theirs = pytest.importorskip("toraniko.styles")
    from tests.kit.toraniko_frames import matrix, table

    made = stock_universe(days, stocks, sectors, seed=days, holes=holes)
    expected = theirs.factor_sze(table(made.present, made.symbols, market_cap=made.market_caps)).collect()
    found = styles.size(made.market_caps)
    np.testing.assert_allclose(found, matrix(expected, "sze_score", found.shape, made.symbols), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("winsor", [None, 0.05])
@pytest.mark.parametrize(("days", "stocks", "sectors", "holes"), SHAPES)
def test_value_is_toranikos(days: int, stocks: int, sectors: int, holes: float, winsor: float | None) -> None:
    theirs = pytest.importorskip("toraniko.styles")
    from tests.kit.toraniko_frames import matrix, table

    made = stock_universe(days, stocks, sectors, seed=days, holes=holes)
    inputs = (made.book_price, made.sales_price, made.cash_flow_price)
    frame = table(
        made.present, made.symbols, **dict(zip(("book_price", "sales_price", "cf_price"), inputs, strict=True))
    )
    expected = theirs.factor_val(frame, winsor).collect()
    found = styles.value(*inputs, winsor=winsor)
    np.testing.assert_allclose(found, matrix(expected, "val_score", found.shape, made.symbols), rtol=1e-9, atol=1e-9)


def test_value_of_what_misses_one_input_is_missing_or_the_mean_of_the_others() -> None:
    made = stock_universe(3, 20, 2)
    book = made.book_price.copy()
    book[1, 4] = np.nan
    sales = made.sales_price.copy()
    sales[2, 5] = -1.0
    whole = styles.value(book, sales, made.cash_flow_price)
    assert np.isnan(whole[1, 4])
    assert np.isnan(whole[2, 5])
    assert np.isfinite(whole).sum() == whole.size - 2
    partly = styles.value(book, sales, made.cash_flow_price, partial=True)
    assert np.isfinite(partly).all()


def test_value_of_partial_inputs_is_toranikos_of_nulls() -> None:
    theirs = pytest.importorskip("toraniko.styles")
    pl = pytest.importorskip("polars")
    from tests.kit.toraniko_frames import matrix, table

    made = stock_universe(4, 15, 2)
    book = made.book_price.copy()
    book[::2, 3] = np.nan
    frame = table(
        made.present,
        made.symbols,
        book_price=book,
        sales_price=made.sales_price,
        cf_price=made.cash_flow_price,
    ).with_columns(pl.col("book_price").fill_nan(None))
    found = styles.value(book, made.sales_price, made.cash_flow_price, partial=True)
    expected = matrix(theirs.factor_val(frame).collect(), "val_score", found.shape, made.symbols)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def _observed(column: np.ndarray) -> list[tuple[int, float]]:
    return [(day, value) for day, value in enumerate(column) if np.isfinite(value)]


@pytest.mark.parametrize("holes", [0.0, 0.2])
def test_volatility_and_liquidity_are_their_sums(holes: float) -> None:
    made = stock_universe(80, 6, 2, seed=8, holes=holes)
    window, half_life, lag = 20, 7, 2
    volatility = np.full(made.returns.shape, np.nan)
    liquidity = volatility.copy()
    weights = 0.5 ** (np.arange(window)[::-1] / half_life)
    turnover = made.dollar_volumes / made.market_caps
    for stock in range(6):
        for source, target in ((made.returns, volatility), (turnover, liquidity)):
            known = _observed(source[:, stock])
            for place in range(window - 1 + lag, len(known)):
                values = np.array([value for _, value in known[place - lag - window + 1 : place - lag + 1]])
                mean = np.average(values, weights=weights)
                target[known[place][0], stock] = (
                    np.sqrt(np.average((values - mean) ** 2, weights=weights))
                    if target is volatility
                    else np.log(values.mean())
                )
    found = styles.raw_volatility(made.returns, window, half_life, lag)
    np.testing.assert_allclose(found, volatility, rtol=1e-10)
    found = styles.raw_liquidity(made.dollar_volumes, made.market_caps, window, lag)
    np.testing.assert_allclose(found, liquidity, rtol=1e-10)
    np.testing.assert_array_equal(
        styles.volatility(made.returns, window, half_life, lag),
        cross_section.standardized(
            cross_section.winsorized(styles.raw_volatility(made.returns, window, half_life, lag), 0.01)
        ),
    )


def test_what_comes_later_changes_no_score() -> None:
    made = stock_universe(100, 10, 2, seed=5, holes=0.1)
    for cut in (40, 70, 99):
        for whole, part in (
            (styles.momentum(made.returns, 20, 8, 3), styles.momentum(made.returns[:cut], 20, 8, 3)),
            (styles.volatility(made.returns, 20, 8), styles.volatility(made.returns[:cut], 20, 8)),
            (
                styles.liquidity(made.dollar_volumes, made.market_caps, 20),
                styles.liquidity(made.dollar_volumes[:cut], made.market_caps[:cut], 20),
            ),
            (styles.size(made.market_caps), styles.size(made.market_caps[:cut])),
        ):
            np.testing.assert_array_equal(whole[:cut], part)


def test_a_window_without_trade_has_no_liquidity_and_too_short_a_history_no_momentum() -> None:
    made = stock_universe(40, 5, 2)
    volumes = made.dollar_volumes.copy()
    volumes[:, 2] = 0.0
    scores = styles.liquidity(volumes, made.market_caps, window=10)
    assert np.isnan(scores[:, 2]).all()
    assert np.isfinite(scores[11:, [0, 1, 3, 4]]).all()
    assert np.isnan(styles.momentum(made.returns, window=40, lag=1)).all()
    assert np.isnan(styles.momentum(made.returns, window=400)).all()


def test_constant_prices_have_no_volatility_and_no_score() -> None:
    still = np.zeros((30, 4))
    assert not np.nan_to_num(styles.raw_volatility(still, window=10)).any()
    assert np.isnan(styles.volatility(still, window=10)).all()
    assert np.isnan(styles.size(np.full((30, 4), 1e9))).all()


def test_capitalisations_that_are_not_above_zero_are_missing() -> None:
    caps = np.array([[1e9, -1.0, 0.0, 2e9, 5e9]])
    found = styles.size(caps)
    np.testing.assert_array_equal(np.isnan(found), [[False, True, True, False, False]])


def test_what_does_not_fit_is_refused() -> None:
    values = np.zeros((30, 4))
    for call, code in (
        (lambda: styles.momentum(values, window=0), "out_of_range"),
        (lambda: styles.momentum(values, half_life=0), "out_of_range"),
        (lambda: styles.momentum(values, lag=-1), "out_of_range"),
        (lambda: styles.volatility(np.zeros(5)), "mismatch"),
        (lambda: styles.momentum(np.empty((0, 4))), "empty"),
        (lambda: styles.liquidity(values, values[:, :3]), "mismatch"),
        (lambda: styles.liquidity(values, values, window=0), "out_of_range"),
        (lambda: styles.value(values, values, values[:, :3]), "mismatch"),
    ):
        with pytest.raises(Undefined) as error:
            call()
        assert error.value.code == code


def test_weighted_scores_sum_to_nothing_by_their_weights() -> None:
    made = stock_universe(60, 25, 3, seed=6, holes=0.1)
    caps = made.market_caps
    for found in (
        styles.momentum(made.returns, 20, 8, 3, weights=caps),
        styles.volatility(made.returns, 20, 8, weights=caps),
        styles.liquidity(made.dollar_volumes, caps, 20, weights=caps),
        styles.value(made.book_price, made.sales_price, made.cash_flow_price, weights=caps),
        styles.size(caps, 0.5, 0.5, weights=caps),
    ):
        known = np.isfinite(found)
        assert known.any()
        shares = np.where(known, caps, 0.0) / np.nansum(caps, axis=1, keepdims=True)
        np.testing.assert_allclose((shares * np.nan_to_num(found)).sum(axis=1), 0.0, atol=1e-12)
