"""Margin of whole books: regimes, invariants of the scans, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.maths import crypto_margin, margin, options, portfolio_margin, span
from nautilus.maths.errors import Undefined
from nautilus.maths.margin_book import CALL, EQUITY, FUTURE, PERPETUAL, POSITION, PUT

RULES = margin.Rules(brackets=(crypto_margin.brackets([0, 1e5], [0.01, 0.02], [0.05, 0.1]),))


def row(kind, quantity, spot=100.0, strike=100.0, underlying=1, group=None, years=0.25, **fields):
    one = np.zeros(1, POSITION)
    one["kind"], one["quantity"], one["spot"], one["underlying"] = kind, quantity, spot, underlying
    one["group"] = underlying if group is None else group
    one["multiplier"] = 1 if kind in (EQUITY, PERPETUAL) else 100
    one["price"], one["sigma"], one["table"], one["delta"] = spot, 0.3, -1, 1.0
    if kind in (CALL, PUT):
        one["strike"], one["years"], one["month"], one["rate"] = strike, years, int(years * 1000), 0.03
        one["price"] = options.price(kind == CALL, spot, max(strike, 1.0), max(years, 0.0), 0.03, 0.3)
    if kind == FUTURE:
        one["initial_each"], one["maintenance_each"], one["spread_each"], one["price_range"] = 1_100, 1_000, 50, 10.0
        one["vol_range"] = 0.05
    for name, value in fields.items():
        one[name] = value
    return one


def maintenance(rows, regime):
    return float(margin.requirement(np.concatenate(rows), regime, RULES).maintenance.sum())


ROWS = st.lists(
    st.tuples(
        st.sampled_from([EQUITY, CALL, PUT]),
        st.integers(-5, 5).filter(bool),
        st.sampled_from([80.0, 95.0, 100.0, 110.0]),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=8,
).map(
    lambda rows: [
        row(kind, n * (100 if kind == EQUITY else 1), strike=strike, underlying=u) for kind, n, strike, u in rows
    ]
)


@pytest.mark.parametrize("regime", margin.REGIMES)
@settings(deadline=None)
@given(rows=ROWS)
def test_margin_does_not_depend_on_the_order_of_positions(regime, rows):
    assert maintenance(rows, regime) == pytest.approx(maintenance(rows[::-1], regime))


@pytest.mark.parametrize("regime", margin.REGIMES)
@settings(deadline=None)
@given(rows=ROWS)
def test_margin_of_independent_groups_adds_up(regime, rows):
    found = margin.requirement(np.concatenate(rows), regime, RULES)
    for place, key in enumerate(found.groups.keys):
        own = [one for one in rows if one["group"][0] == key]
        assert found.maintenance[place] == pytest.approx(maintenance(own, regime))
    assert (found.initial >= found.maintenance - 1e-9).all()


@settings(deadline=None)
@given(rows=ROWS, factor=st.integers(2, 5))
def test_a_scan_scales_with_the_position_and_nets_its_opposite(rows, factor):
    book = np.concatenate(rows)
    once = maintenance([book], "portfolio")
    more = book.copy()
    more["quantity"] *= factor
    assert maintenance([more], "portfolio") == pytest.approx(factor * once)
    opposite = book.copy()
    opposite["quantity"] *= -1
    both = np.concatenate([book, opposite])
    contracts = np.abs(both["quantity"]) * (both["kind"] != EQUITY)
    least = float((contracts * both["multiplier"] * RULES.scan.least).sum())
    assert maintenance([both], "portfolio") == pytest.approx(least)  # no risk is left, the least for each contract is


@settings(deadline=None)
@given(rows=ROWS)
def test_a_product_group_never_takes_more_than_its_classes(rows):
    together = [one.copy() for one in rows]
    for one in together:
        one["group"] = 9
    assert maintenance(together, "portfolio") <= maintenance(rows, "portfolio") + 1e-6


def test_a_scan_is_the_largest_loss_at_the_ten_points():
    rows = [row(EQUITY, 100), row(PUT, 1, strike=95.0)]
    losses = []
    for part in portfolio_margin.ScanRules().points:
        price = 100.0 * (1 + 0.15 * part)
        before, after = (float(options.price(False, s, 95.0, 0.25, 0.03, 0.3)) for s in (100.0, price))
        losses.append(-(100 * (price - 100) + 100 * (after - before)))
    assert maintenance(rows, "portfolio") == pytest.approx(max(losses))


def test_a_broad_index_moves_less_and_more_down_than_up():
    assert maintenance([row(EQUITY, 100, broad=1)], "portfolio") == pytest.approx(800)
    assert maintenance([row(EQUITY, -100, broad=1)], "portfolio") == pytest.approx(600)


def test_a_span_like_scan_is_the_largest_of_sixteen():
    future, option = (
        row(FUTURE, -1, month=250),
        row(CALL, 2, strike=105.0, of_future=1, price_range=10.0, vol_range=0.05),
    )
    losses = []
    for move, vol, weight in zip(span.PRICE_MOVES, span.VOL_MOVES, span.WEIGHTS, strict=True):
        price = 100.0 + 10 * move
        before = float(options.price(True, 100.0, 105.0, 0.25, 0.03, 0.3))
        after = float(options.price(True, price, 105.0, 0.25, 0.03, 0.3 + 0.05 * vol))
        losses.append(-weight * (-100 * 10 * move + 200 * (after - before)))
    assert len(losses) == 16
    assert maintenance([future, option], "span") == pytest.approx(max(0.0, *losses))
    assert maintenance([future, option], "reg_t") == pytest.approx(
        max(0.0, *losses)
    )  # options make it a scan there too


def test_futures_alone_take_the_exchanges_rates_and_their_scan_is_the_same():
    rows = [row(FUTURE, 3, month=1), row(FUTURE, -1, month=2)]
    found = margin.requirement(np.concatenate(rows), "reg_t", RULES)
    assert (found.initial[0], found.maintenance[0]) == (2 * 1_100 + 50, 2 * 1_000 + 50)
    assert maintenance(rows, "span") == pytest.approx(2 * 1_000 + 50)
    assert maintenance([row(FUTURE, 3, month=1), row(FUTURE, -3, month=1)], "span") == 0.0


def test_short_options_on_futures_take_at_least_the_least():
    far = row(CALL, -3, strike=500.0, of_future=1, price_range=1.0, short_least=20.0)
    assert maintenance([far], "span") == pytest.approx(60.0)


def test_perpetuals_net_by_underlying():
    assert maintenance([row(PERPETUAL, 500, table=0), row(PERPETUAL, -200, table=0)], "reg_t") == pytest.approx(300.0)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([row(EQUITY, 1, price=np.nan)], "not_finite"),
        ([row(EQUITY, 1, price=-1.0)], "negative_price"),
        ([row(CALL, 1, strike=0.0)], "negative_price"),
        ([row(CALL, 1, years=-0.1)], "expired"),
        ([row(PERPETUAL, 1)], "out_of_range"),
        ([row(7, 1)], "out_of_range"),
        ([row(CALL, 1), row(CALL, 1, multiplier=10.0)], "mismatch"),
    ],
)
def test_bad_positions_have_no_margin_and_say_why(rows, code):
    with pytest.raises(Undefined) as raised:
        margin.requirement(np.concatenate(rows), "reg_t", RULES)
    assert raised.value.code == code


def test_a_future_may_cost_less_than_nothing():
    assert maintenance([row(FUTURE, 1, spot=-5.0)], "reg_t") == 1_000


def test_an_empty_book_takes_nothing_and_another_regime_is_refused():
    assert len(margin.requirement(np.zeros(0, POSITION), "span", RULES).maintenance) == 0
    with pytest.raises(Undefined, match="regime"):
        margin.requirement(np.zeros(0, POSITION), "reg_q", RULES)
