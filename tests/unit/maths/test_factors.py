"""Factor returns against toraniko, by what a regression promises, a day at a time, and with bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.maths import factors, styles
from nautilus.maths.errors import Undefined
from tests.kit.stock_universe import StockUniverse, stock_universe


def _scores(made: StockUniverse) -> dict[str, np.ndarray]:
    return {
        "mom_score": styles.momentum(made.returns, 20, 8, 3),
        "sze_score": styles.size(made.market_caps),
        "val_score": styles.value(made.book_price, made.sales_price, made.cash_flow_price),
    }


def _estimate(made: StockUniverse, scores: dict[str, np.ndarray], **options: object) -> factors.FactorReturns:
    sectors = factors.Sectors(made.sector_names, made.sector_codes)
    return factors.estimate(made.returns, made.market_caps, sectors, scores, **options)  # type: ignore[arg-type]


def _toranikos(
    made: StockUniverse, scores: dict[str, np.ndarray], winsor: float | None, residualize: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    model = pytest.importorskip("toraniko.model")
    from tests.kit.toraniko_frames import days_of, table

    whole = made.present & np.isfinite(np.stack(list(scores.values()))).all(axis=0)
    dummies = {name: (made.sector_codes == place).astype(np.float64) for place, name in enumerate(made.sector_names)}
    returns, residuals = model.estimate_factor_returns(
        table(made.present, made.symbols, asset_returns=made.returns),
        table(made.present, made.symbols, market_cap=made.market_caps),
        table(made.present, made.symbols, **dummies),
        table(whole, made.symbols, **scores),
        winsor,
        residualize,
    )
    returns, residuals = returns.sort("date"), residuals.sort("date")
    columns = ["market", *made.sector_names, *sorted(scores)]
    assert returns.columns == [*columns, "date"]
    left = np.full((len(returns), len(made.symbols)), np.nan)
    for place, symbol in enumerate(made.symbols):
        if symbol in residuals.columns:
            left[:, place] = residuals[symbol].to_numpy()
    return days_of(returns), returns.select(columns).to_numpy(), left


@pytest.mark.parametrize("residualize", [True, False])
@pytest.mark.parametrize("winsor", [0.05, 0.01, None])
@pytest.mark.parametrize(
    ("days", "stocks", "sectors", "holes"),
    [(45, 60, 4, 0.0), (60, 150, 11, 0.1), (40, 30, 3, 0.4), (35, 200, 6, 0.0), (30, 45, 1, 0.05)],
)
def test_factor_and_residual_returns_are_toranikos(
    days: int, stocks: int, sectors: int, holes: float, winsor: float | None, residualize: bool
) -> None:
    made = stock_universe(days, stocks, sectors, seed=stocks, holes=holes)
    scores = _scores(made)
    found = _estimate(made, scores, winsor=winsor, residualize=residualize)
    at, returns, residuals = _toranikos(made, scores, winsor, residualize)
    np.testing.assert_array_equal(found.days, at)
    np.testing.assert_allclose(found.returns, returns, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.residuals, residuals, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(found.stocks, np.isfinite(residuals).sum(axis=1))


def test_days_that_do_not_tell_factors_apart_are_toranikos_and_are_counted() -> None:
    made = stock_universe(30, 40, 5, seed=3)
    empty = made._replace(sector_codes=np.where(made.sector_codes == 2, 0, made.sector_codes))  # a sector without stock
    scores = _scores(empty)
    scores["same"] = scores["sze_score"].copy()  # two styles that are one
    found = _estimate(empty, scores)
    assert found.deficient == len(found.days)
    _, returns, residuals = _toranikos(empty, scores, 0.05, True)
    np.testing.assert_allclose(found.returns, returns, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.residuals, residuals, rtol=1e-9, atol=1e-9)
    assert _estimate(made, _scores(made)).deficient == 0


def test_scores_of_sectors_that_are_not_zero_or_one_are_toranikos() -> None:
    model = pytest.importorskip("toraniko.model")
    draw = np.random.default_rng(1)
    stocks = 30
    returns, caps = 0.02 * draw.standard_normal(stocks), np.exp(draw.standard_normal(stocks) + 20)
    sectors, scores = draw.random((stocks, 4)), draw.standard_normal((stocks, 2))
    found = factors.estimate(
        returns[None],
        caps[None],
        {f"s{place}": sectors[:, place] for place in range(4)},
        {f"x{place}": scores[None, :, place] for place in range(2)},
        winsor=None,
    )
    expected, left = model._factor_returns(returns, caps, sectors, scores, True)
    np.testing.assert_allclose(found.returns[0], expected, rtol=1e-9)
    np.testing.assert_allclose(found.residuals[0], left, rtol=1e-9, atol=1e-15)


cases = st.tuples(st.integers(8, 60), st.integers(1, 5), st.integers(0, 10_000), st.sampled_from([0.0, 0.2]))


@settings(max_examples=40, deadline=None)
@given(cases, st.sampled_from(factors.CONSTRAINTS), st.booleans())
def test_returns_are_exposures_times_factors_and_what_is_left(
    case: tuple[int, int, int, float], constraint: str, residualize: bool
) -> None:
    stocks, sectors, seed, holes = case
    made = stock_universe(4, stocks, min(sectors, stocks), seed, holes)
    draw = np.random.default_rng(seed)
    scores = {"a": draw.standard_normal((4, stocks)), "b": draw.standard_normal((4, stocks))}
    found = _estimate(made, scores, winsor=None, residualize=residualize, constraint=constraint)
    coded = factors.Sectors(made.sector_names, made.sector_codes)
    for row, day in enumerate(found.days):
        here = made.present[day]
        loadings = factors.exposures(coded, {name: score[day] for name, score in scores.items()})
        whole = loadings @ found.returns[row] + found.residuals[row]
        np.testing.assert_allclose(whole[here], made.returns[day][here], rtol=1e-9, atol=1e-12)
        assert np.isnan(found.residuals[row][~here]).all()
        # Sectors balance.
        count = len(made.sector_names)
        balance = np.ones(count)
        if constraint == "cap":
            caps = np.where(here, made.market_caps[day], 0.0)
            balance = np.array([caps[made.sector_codes == code].sum() for code in range(count)])
            balance /= balance.max()
        assert abs(balance @ found.returns[row, 1 : 1 + count]) < 1e-12
        # What is left is orthogonal to the styles under the weights, where they explain what market and sectors leave.
        if residualize:
            weights = np.sqrt(made.market_caps[day][here])
            for score in scores.values():
                product = weights @ (score[day][here] * found.residuals[row][here])
                assert abs(product) < 1e-9 * weights.sum()


@settings(max_examples=40, deadline=None)
@given(cases, st.sampled_from(factors.CONSTRAINTS))
def test_without_styles_what_is_left_is_orthogonal_to_every_sector(
    case: tuple[int, int, int, float], constraint: str
) -> None:
    stocks, sectors, seed, holes = case
    made = stock_universe(3, stocks, min(sectors, stocks), seed, holes)
    found = _estimate(made, {}, winsor=None, constraint=constraint)
    for row, day in enumerate(found.days):
        here = made.present[day]
        weighted = np.where(here, np.sqrt(np.where(here, made.market_caps[day], 0.0)), 0.0) * np.nan_to_num(
            found.residuals[row]
        )
        for code in range(len(made.sector_names)):
            assert abs(weighted[made.sector_codes == code].sum()) < 1e-9 * np.sqrt(np.nanmax(made.market_caps[day]))


def test_both_constraints_leave_the_same_and_move_a_constant_between_market_and_sectors() -> None:
    made = stock_universe(20, 80, 6, seed=9, holes=0.1)
    summed, capped = _estimate(made, {}), _estimate(made, {}, constraint="cap")
    np.testing.assert_allclose(summed.residuals, capped.residuals, atol=1e-14)
    shift = summed.returns[:, :1] - capped.returns[:, :1]
    np.testing.assert_allclose(summed.returns[:, 1:] + shift, capped.returns[:, 1:], atol=1e-14)


def test_the_last_sector_without_a_stock_unbalances_nothing_when_weighted_by_capitalisation() -> None:
    made = stock_universe(5, 40, 4, seed=2)
    empty = made._replace(sector_codes=np.where(made.sector_codes == 3, 1, made.sector_codes))
    found = _estimate(empty, {}, constraint="cap")
    np.testing.assert_array_equal(found.returns[:, 4], 0.0)
    three = made._replace(sector_codes=empty.sector_codes, sector_names=made.sector_names[:3])
    np.testing.assert_allclose(found.returns[:, :4], _estimate(three, {}, constraint="cap").returns, atol=1e-14)


def test_a_day_at_a_time_gives_the_bits_of_all_days_together() -> None:
    made = stock_universe(70, 90, 7, seed=11, holes=0.1)
    scores = _scores(made)
    whole = _estimate(made, scores)
    sectors = factors.Sectors(made.sector_names, made.sector_codes)
    for row, day in enumerate(whole.days):
        one = slice(int(day), int(day) + 1)
        found = factors.estimate(
            made.returns[one], made.market_caps[one], sectors, {name: score[one] for name, score in scores.items()}
        )
        np.testing.assert_array_equal(found.returns[0], whole.returns[row])
        np.testing.assert_array_equal(found.residuals[0], whole.residuals[row])


def test_sectors_that_change_over_time_are_those_of_the_day() -> None:
    made = stock_universe(6, 30, 3, seed=1)
    codes = np.tile(made.sector_codes, (6, 1))
    codes[3:, :5] = 1
    found = factors.estimate(made.returns, made.market_caps, factors.Sectors(made.sector_names, codes), {})
    for day in range(6):
        alone = factors.estimate(
            made.returns[day : day + 1],
            made.market_caps[day : day + 1],
            factors.Sectors(made.sector_names, codes[day]),
            {},
        )
        np.testing.assert_array_equal(found.returns[day], alone.returns[0])


def test_a_sector_of_one_stock_takes_all_of_its_return() -> None:
    made = stock_universe(10, 25, 3, seed=6)
    codes = np.where(made.sector_codes == 1, 0, made.sector_codes)
    codes[4] = 1
    found = _estimate(made._replace(sector_codes=codes), {}, winsor=None)
    np.testing.assert_allclose(found.residuals[:, 4], 0.0, atol=1e-14)
    np.testing.assert_allclose(found.returns[:, 0] + found.returns[:, 2], made.returns[:, 4], atol=1e-14)


def test_a_stock_without_one_input_takes_no_part_in_the_day() -> None:
    made = stock_universe(4, 30, 3, seed=7)
    scores = {"a": np.random.default_rng(0).standard_normal((4, 30))}
    without = np.delete(np.arange(30), 5)
    part = made._replace(
        returns=made.returns[:, without],
        market_caps=made.market_caps[:, without],
        sector_codes=made.sector_codes[without],
    )
    expected = _estimate(part, {"a": scores["a"][:, without]})
    for field, bad in (("returns", np.inf), ("market_caps", 0.0), ("market_caps", -1.0), ("market_caps", np.nan)):
        changed = getattr(made, field).copy()
        changed[:, 5] = bad
        found = _estimate(made._replace(**{field: changed}), scores)
        np.testing.assert_allclose(found.returns, expected.returns, atol=1e-14)
        assert np.isnan(found.residuals[:, 5]).all()
        np.testing.assert_array_equal(found.stocks, 29)
    codes = made.sector_codes.copy()
    codes[5] = -1
    np.testing.assert_allclose(
        _estimate(made._replace(sector_codes=codes), scores).returns, expected.returns, atol=1e-14
    )


def test_days_without_a_stock_are_left_out() -> None:
    made = stock_universe(8, 20, 2, seed=2)
    returns = made.returns.copy()
    returns[[0, 5]] = np.nan
    found = _estimate(made._replace(returns=returns), {})
    np.testing.assert_array_equal(found.days, [1, 2, 3, 4, 6, 7])
    with pytest.raises(Undefined) as error:
        _estimate(made._replace(returns=np.full((8, 20), np.nan)), {})
    assert error.value.code == "empty"


def test_what_does_not_fit_is_refused() -> None:
    made = stock_universe(5, 20, 2)
    flat = np.zeros((5, 20))
    for call, code in (
        (lambda: _estimate(made, {}, constraint="guess"), "out_of_range"),
        (lambda: _estimate(made, {}, winsor=0.7), "out_of_range"),
        (lambda: _estimate(made._replace(market_caps=flat[:, :4]), {}), "mismatch"),
        (lambda: _estimate(made._replace(returns=np.zeros(5)), {}), "mismatch"),
        (lambda: _estimate(made._replace(returns=np.empty((0, 20))), {}), "empty"),
        (lambda: _estimate(made, {"a": flat[0]}), "mismatch"),
        (lambda: _estimate(made, {"market": flat}), "mismatch"),
        (lambda: _estimate(made, {"sector00": flat}), "mismatch"),
        (lambda: _estimate(made._replace(sector_names=()), {}), "out_of_range"),
        (lambda: factors.estimate(made.returns, made.market_caps, {}, {}), "empty"),
        (lambda: factors.estimate(made.returns, made.market_caps, {"s": flat[:, :3]}, {}), "mismatch"),
        (lambda: _estimate(made._replace(sector_codes=made.sector_codes[:3]), {}), "mismatch"),
        (lambda: _estimate(made._replace(sector_codes=made.sector_codes + 1), {}), "out_of_range"),
        (lambda: factors.exposures(factors.Sectors(("a",), np.zeros((2, 3), np.int64)), {}), "mismatch"),
        (lambda: factors.exposures(factors.Sectors(("a",), np.zeros(3, np.int64)), {"x": np.zeros(2)}), "mismatch"),
    ):
        with pytest.raises(Undefined) as error:
            call()
        assert error.value.code == code


def test_a_style_that_is_nothing_for_everybody_returns_nothing_and_is_counted() -> None:
    made = stock_universe(6, 30, 3, seed=4)
    scores = {"real": np.random.default_rng(1).standard_normal((6, 30)), "nothing": np.zeros((6, 30))}
    found = _estimate(made, scores)
    np.testing.assert_array_equal(found.returns[:, found.names.index("nothing")], 0.0)
    assert found.deficient == 6
    alone = _estimate(made, {"real": scores["real"]})
    np.testing.assert_allclose(found.residuals, alone.residuals, atol=1e-14)
    assert alone.deficient == 0


def test_a_day_of_equal_capitalisations_has_no_size_and_is_left_out() -> None:
    made = stock_universe(6, 30, 3, seed=4)
    made.market_caps[2] = 1e9
    found = _estimate(made, {"size": styles.size(made.market_caps)})
    np.testing.assert_array_equal(found.days, [0, 1, 3, 4, 5])


def test_fewer_stocks_than_factors_leave_nothing_and_are_counted() -> None:
    made = stock_universe(4, 6, 4, seed=1)
    made.returns[:, 3:] = np.nan
    found = _estimate(made, {"a": np.random.default_rng(1).standard_normal((4, 6))})
    np.testing.assert_array_equal(found.stocks, 3)
    assert found.deficient == 4
    np.testing.assert_allclose(found.residuals[:, :3], 0.0, atol=1e-14)
