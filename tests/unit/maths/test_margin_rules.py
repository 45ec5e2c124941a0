"""The rules of single products: stocks, futures, brackets, haircuts, offsets, concentration, and their dates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths import (
    concentration,
    crypto_margin,
    dated,
    futures_margin,
    haircuts,
    offsets,
    reg_t,
    span,
    strategies,
)
from nautilus.maths.errors import Undefined

STOCKS = reg_t.StockRules()


@pytest.mark.parametrize(
    ("shares", "price", "initial", "kept"),
    [
        (100, 50.0, 2_500, 1_250),
        (-100, 50.0, 2_500, 1_500),
        (-100, 10.0, 500, 500),  # 5 dollars a share
        (-100, 5.0, 500, 500),
        (-100, 4.0, 400, 400),  # below 5 dollars all of it
        (-100, 2.0, 250, 250),  # at least 2.50 dollars a share
        (100, 2.0, 100, 50),
        (0, 10.0, 0, 0),
    ],
)
def test_stocks_take_what_the_rules_say(shares, price, initial, kept):
    first, second = reg_t.requirement([shares], [price], STOCKS)
    assert (first[0], second[0]) == (initial, kept)


def test_a_house_rate_counts_where_it_is_more():
    assert reg_t.requirement([10, 10], [10, 10], STOCKS, [0.4, 0.1])[1].tolist() == [40.0, 25.0]
    with pytest.raises(Undefined, match="below 0"):
        reg_t.requirement([1], [-1.0], STOCKS)
    with pytest.raises(Undefined, match="finite"):
        reg_t.requirement([np.inf], [1.0], STOCKS)


def test_rules_hold_from_their_day_on():
    table = ((20200101, "old"), (20210601, "new"))
    assert [dated.in_force(table, day) for day in (20200101, 20210531, 20210601)] == ["old", "old", "new"]
    with pytest.raises(Undefined):
        dated.in_force(table, 20191231)
    assert dated.in_force(reg_t.STOCK_RULES, 20250101).maintenance_long == 0.25
    for days, code in (([2, 2], "duplicate_time"), ([2, 1], "unsorted")):
        with pytest.raises(Undefined) as raised:
            dated.check_dated(days)
        assert raised.value.code == code


def test_a_naked_option_takes_the_greater_of_two_and_an_index_less():
    def naked(call, price, spot, strike, broad=False):
        flags = (np.array([call]), *(np.array([float(value)]) for value in (price, spot, strike)), np.array([broad]))
        return float(strategies.naked_requirement(*flags, strategies.OptionRules())[0])

    assert naked(True, 2, 100, 105) == 2 + 15
    assert naked(True, 0.5, 100, 130) == 0.5 + 10
    assert naked(False, 2, 100, 95) == 2 + 15
    assert naked(False, 0.5, 100, 70) == 0.5 + 7
    assert naked(True, 2, 100, 105, broad=True) == 2 + 10


def test_long_options_are_paid_for_and_long_terms_by_three_quarters():
    def paid(years):
        one = np.array([1.0])
        held = strategies.Options(
            np.array([0]), 2 * one, 100 * one, 3 * one, 100 * one, years * one, np.array([1]), np.array([True])
        )
        other = strategies.Underlyings(100 * one, 0 * one, 0.25 * one, 0.3 * one, np.array([False]))
        return float(strategies.requirement(held, other, strategies.OptionRules()).options[0])

    assert (paid(0.5), paid(1.0)) == (600.0, 450.0)


@given(st.lists(st.floats(1e3, 1e6), min_size=1, max_size=5, unique=True), st.floats(0, 1e7))
def test_brackets_are_continuous_and_ascend(bounds, notional):
    floors = [0.0, *sorted(bounds)]
    rates = [0.01 * (place + 1) for place in range(len(floors))]
    table = crypto_margin.brackets(floors, rates, [0.5] * len(floors))
    at = crypto_margin.requirement([notional, notional * 1.0001], table)[1]
    assert at[1] >= at[0]
    for edge in floors[1:]:
        below, above = crypto_margin.requirement([edge * (1 - 1e-12), edge * (1 + 1e-12)], table)[1]
        assert below == pytest.approx(above, rel=1e-9)


@pytest.mark.parametrize(
    ("given_rows", "code"),
    [
        (([], [], []), "empty"),
        (([0], [0.1], [0.2, 0.3]), "mismatch"),
        (([0, 5], [0.1, 0.2], [0.5, 0.5], [0.0, 1.0]), "mismatch"),
        (([1], [0.1], [0.2]), "unsorted"),
        (([0, 5, 5], [0.1, 0.2, 0.3], [0.5] * 3), "unsorted"),
        (([0, 5], [0.2, 0.1], [0.5, 0.5]), "out_of_range"),
        (([0], [0.2], [0.1]), "out_of_range"),
        (([0], [np.nan], [0.1]), "not_finite"),
    ],
)
def test_brackets_that_are_none_are_refused(given_rows, code):
    with pytest.raises(Undefined) as raised:
        crypto_margin.brackets(*given_rows)
    assert raised.value.code == code


def test_a_notional_beyond_the_brackets_has_no_margin():
    table = crypto_margin.brackets([0, 5], [0.1, 0.2], [0.5, 0.5], [0.0, 0.5], 100.0)
    with pytest.raises(Undefined, match="at most"):
        crypto_margin.requirement([101.0], table)


def test_haircuts_cut_assets_and_raise_debts():
    assert haircuts.counted([100, 100, -100], [0.1, 0.1, 0.1], [0.0, 0.05, 0.05]) == pytest.approx([90, 85, -105])
    assert haircuts.counted([100], [0.99], [0.5])[0] == 0.0
    with pytest.raises(Undefined):
        haircuts.counted([1], [1.5], [0])


def test_offsets_free_the_paired_part_of_both_in_the_order_of_the_table():
    table = [offsets.Offset(0, 1, 1.0, 2.0, 0.5), offsets.Offset(0, 2, 1.0, 1.0, 0.8)]
    freed = offsets.credits([1_000.0, 600.0, 300.0], [10.0, -8.0, -20.0], table)
    # four spreads of 1:2 use all of the second and 4 of 10; six of 1:1 the rest of the first and 6 of 20
    assert freed == pytest.approx([0.5 * 400 + 0.8 * 600, 0.5 * 600, 0.8 * 90])
    assert offsets.credits([10.0, 10.0], [1.0, 1.0], table[:1]).tolist() == [0.0, 0.0]
    with pytest.raises(Undefined):
        offsets.credits([1.0, 1.0], [1.0, -1.0], [offsets.Offset(0, 5, 1.0, 1.0, 0.5)])


def test_spreads_between_months_are_the_lesser_side():
    product, month = np.array([0, 0, 0, 1]), np.array([1, 2, 2, 1])
    assert futures_margin.outright_and_spreads(product, month, np.array([5.0, -3.0, 1.0, -2.0]), 2)[0].tolist() == [
        3,
        2,
    ]
    assert futures_margin.outright_and_spreads(product, month, np.array([5.0, -3.0, 1.0, -2.0]), 2)[1].tolist() == [
        2,
        0,
    ]
    assert span.month_spreads(product, month, np.array([5.0, -3.0, 1.0, -2.0]), 2).tolist() == [2, 0]


def test_the_parts_of_a_span_like_requirement_add_up():
    gains = np.zeros((1, 16))
    gains[0, 3], gains[0, 15] = -100.0, -400.0
    one = np.array([1.0])
    found = span.requirement(gains, 2 * one, 10 * one, 3 * one, 5 * one, 50 * one, 20.0)
    assert found.scan[0] == pytest.approx(132.0)  # a third of the extreme loss is more than the ordinary one
    assert found.total[0] == pytest.approx(132 + 20 - 20)
    assert found.against_cash[0] == pytest.approx(82.0)
    assert span.requirement(0 * gains, one, one, 3 * one, 5 * one, one, 9.0).total[0] == 15.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(0.05, 1.0))
def test_what_is_concentrated_is_found_without_looking_at_all(exposures, share):
    sizes = concentration.Sizes()
    for place, value in enumerate(exposures):
        sizes[place] = 1.0
        sizes[place] = abs(value)
    assert sizes.total == pytest.approx(sum(map(abs, exposures)))
    bound = share * sizes.total
    found = sum(sizes[place] - bound for place in sizes.above(bound))
    assert 0.1 * found == pytest.approx(float(concentration.add_on(exposures, share, 0.1).sum()), abs=1e-6)


def test_a_rate_history_that_is_none_is_refused():
    for rows, code in (
        ([], "empty"),
        ([(20200102, 1.0, 2.0)], "out_of_range"),
        ([(20200102, 2.0, 1.0), (20200101, 2.0, 1.0)], "unsorted"),
        ([(20201301, 2.0, 1.0)], "out_of_range"),
        ([(20200102, np.nan, 1.0)], "not_finite"),
    ):
        with pytest.raises(Undefined) as raised:
            futures_margin.RateHistory(rows)
        assert raised.value.code == code
