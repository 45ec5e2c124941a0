"""The pairing with the least requirement, beside one that tries them all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.option_pairing import MAX_LOSS, PROTECTED, pair_options
from tests.kit.naive_option_pairing import Leg, Market, least, least_two_legged

MARKET = Market(spot=100.0, multiplier=100.0, long_rate=0.25, short_rate=0.30)


def leg(strike, expiry, is_call, value):
    out = max(strike - MARKET.spot, 0.0) if is_call else max(MARKET.spot - strike, 0.0)
    floor = MARKET.spot if is_call else strike
    naked = value + max(0.2 * MARKET.spot - out, 0.1 * floor) * MARKET.multiplier
    return Leg(float(strike), expiry, value, naked, is_call)


def pair(rows, lots=0.0):
    """`rows` of (leg, contracts)."""
    legs = [row[0] for row in rows]
    columns = [np.array([getattr(one, name) for one in legs], float) for name in ("strike", "value", "naked")]
    one = lambda value: np.array([float(value)])  # noqa: E731
    return pair_options(
        np.array([float(row[1]) for row in rows]),
        columns[0],
        np.array([one.expiry for one in legs], np.int64),
        columns[1],
        columns[2],
        np.array([one.is_call for one in legs], np.int8),
        np.array([0, len(rows)], np.int64),
        one(MARKET.spot),
        one(lots),
        one(MARKET.multiplier),
        one(MARKET.long_rate),
        one(MARKET.short_rate),
    )


def check_rows(rows, lots, found):
    """Strategies use no contract twice, every short once, and add up to what was told."""
    requirement, relief, table = found
    used = np.zeros(len(rows))
    stock = 0.0
    told = saved = 0.0
    whole = set()
    for _, kind, *legs, quantity, cost in table:
        if kind == PROTECTED:
            saved -= quantity * cost
            used[int(legs[0])] += quantity
            continue
        told += quantity * cost
        if kind == MAX_LOSS:
            whole.add(rows[int(legs[0])][0].expiry)
            continue
        for place in legs:
            if place >= 0:
                used[int(place)] += quantity
            elif place == -2:
                stock += quantity
    assert told == pytest.approx(requirement[0])
    assert saved == pytest.approx(relief[0])
    assert stock <= abs(lots) + 1e-9
    for (one, contracts), share in zip(rows, used, strict=True):
        if one.expiry in whole:
            assert share == 0
        elif contracts < 0:
            assert share == pytest.approx(-contracts)
        else:
            assert share <= contracts + 1e-9


LEGS = st.builds(
    leg,
    st.sampled_from([80, 90, 95, 100, 105, 110, 120]),
    st.integers(1, 2),
    st.booleans(),
    st.sampled_from([50.0, 300.0, 900.0]),
)
BOOKS = st.lists(st.tuples(LEGS, st.sampled_from([-2, -1, 1, 2])), min_size=1, max_size=5).filter(
    lambda rows: sum(abs(row[1]) for row in rows) <= 7
)


def split(rows):
    shorts = [one for one, contracts in rows if contracts < 0 for _ in range(-contracts)]
    longs = [one for one, contracts in rows if contracts > 0 for _ in range(contracts)]
    return shorts, longs


@settings(deadline=None)
@given(BOOKS, st.integers(-2, 2))
def test_the_requirement_lies_between_the_best_of_two_legs_and_the_best_of_all(rows, lots):
    found = pair(rows, lots)
    check_rows(rows, lots, found)
    total = found[0][0] - found[1][0]
    shorts, longs = split(rows)
    assert total <= least_two_legged(shorts, longs, lots, MARKET) + 1e-6
    assert total >= least(shorts, longs, lots, MARKET) - 1e-6


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.sampled_from([-2, -1, 1, 2])), min_size=1, max_size=6))
def test_pairings_of_two_legs_are_the_best_that_there_are(given_rows):
    # Each option has an expiry of its own: no joined spreads, no largest loss of an expiry.
    rows = [(leg(80 + 8 * k, day, call, 100.0 * (day + 1)), n) for day, (k, call, n) in enumerate(given_rows)]
    found = pair(rows)
    check_rows(rows, 0, found)
    assert found[0][0] == pytest.approx(least_two_legged(*split(rows), 0, MARKET))


def test_strategies_of_the_manuals_have_their_requirements():
    call, put = (lambda k, v=200.0: leg(k, 5, True, v)), (lambda k, v=200.0: leg(k, 5, False, v))
    naked = leg(105, 5, True, 200.0).naked
    for rows, lots, wanted in (
        ([(call(105), -1)], 0, naked),
        ([(call(105), -1)], 1, 0.0),
        ([(call(95), -1)], 1, 500 * 0.75),
        ([(call(105), -1), (call(110), 1)], 0, 500.0),
        ([(call(105), -1), (call(100), 1)], 0, 0.0),
        ([(put(95), -1), (put(90), 1)], 0, 500.0),
        ([(put(95), -1)], -1, 0.0),
        ([(put(95), -2), (put(90), 1)], 0, 500.0 + put(95).naked),
        ([(call(105), -1), (call(110), 1), (put(95), -1), (put(85), 1)], 0, 1000.0),  # iron condor: the greater wing
        ([(call(90), 1), (call(110), -1), (put(110), 1), (put(90), -1)], 0, 0.0),  # long box
        ([(call(90), -1), (call(110), 1), (put(110), -1), (put(90), 1)], 0, 2000.0),  # short box
        ([(call(90), 1), (call(100), -2), (call(110), 1)], 0, 0.0),  # long butterfly
        ([(call(90), -1), (call(100), 2), (call(110), -1)], 0, 1000.0),  # short butterfly
        ([(call(100, 400.0), -1), (put(100, 300.0), -1)], 0, 400 + 2000 + 300.0),  # straddle
    ):
        found = pair(rows, lots)
        assert found[0][0] == pytest.approx(wanted), (rows, lots)


def test_a_long_option_that_expires_first_covers_nothing():
    short = leg(105, 9, True, 200.0)
    found = pair([(short, -1), (leg(110, 8, True, 100.0), 1)])
    assert found[0][0] == pytest.approx(short.naked)


def test_long_options_protect_stock_that_is_held():
    for k, wanted in ((90, 2500 - 1900), (80, 0.0), (110, 2500 - 1100)):
        assert pair([(leg(k, 5, False, 100.0), 1)], 1)[1][0] == pytest.approx(wanted)
    collar = pair([(leg(90, 5, False, 100.0), 1), (leg(110, 5, True, 100.0), -1)], 1)
    assert (collar[0][0], collar[1][0]) == (0.0, pytest.approx(2500 - 1900))
    conversion = pair([(leg(100, 5, False, 100.0), 1), (leg(100, 5, True, 100.0), -1)], 1)
    assert conversion[1][0] == pytest.approx(2500 - 1000)
    reversal = pair([(leg(100, 5, True, 100.0), 1), (leg(100, 5, False, 100.0), -1)], -1)
    assert reversal[1][0] == pytest.approx(3000 - 1000)


def test_many_equal_covers_end_without_cycles():
    rows = [(leg(100 + n % 3, 5 + n % 2, True, 100.0), -1 - n % 3) for n in range(40)]
    rows += [(leg(90 + n % 5, 9, True, 100.0), 1 + n % 2) for n in range(60)]
    found = pair(rows)
    check_rows(rows, 0, found)
    assert found[0][0] == 0.0


def test_an_empty_account_and_one_without_shorts_require_nothing():
    assert pair([(leg(100, 5, True, 100.0), 3)])[0].tolist() == [0.0]
    none = np.zeros(0)
    found = pair_options(
        none, none, none.astype(np.int64), none, none, none.astype(np.int8), np.zeros(1, np.int64), *[none] * 5
    )
    assert [len(part) for part in found] == [0, 0, 0]


def columns(count=2, groups=1):
    """Sound arguments, by name."""
    made = {name: np.full(count, 100.0) for name in ("quantity", "strike", "expiry", "value", "naked", "is_call")}
    made["quantity"] *= np.where(np.arange(count) % 2, -1, 1)
    made["expiry"], made["is_call"] = made["expiry"].astype(np.int64), np.ones(count, np.int8)
    made["starts"] = np.linspace(0, count, groups + 1).astype(np.int64)
    made |= {name: np.full(groups, 0.5) for name in ("spot", "lots", "multiplier", "long_rate", "short_rate")}
    return made


@pytest.mark.parametrize("name", [name for name in columns() if name != "starts"])
def test_columns_of_other_lengths_are_refused(name):
    given_ = columns()
    for other in (np.zeros(0), np.zeros(1), np.zeros(3)):
        short = other.astype(given_[name].dtype)
        if len(short) != len(given_[name]):
            with pytest.raises(ValueError, match=r"as many|at the end"):
                pair_options(**given_ | {name: short})


@pytest.mark.parametrize("starts", [[], [0], [1, 2], [-1, 2], [0, 3], [0, 3, 2], [0, -1, 2]])
def test_starts_that_do_not_fit_are_refused(starts):
    with pytest.raises(ValueError, match=r"expected|descend"):
        pair_options(**columns(2, max(len(starts) - 1, 0)) | {"starts": np.array(starts, np.int64)})


@pytest.mark.parametrize("name", ["quantity", "strike", "value", "naked", "spot", "lots", "multiplier", "long_rate"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_refused(name, bad):
    given_ = columns()
    given_[name][0] = bad
    with pytest.raises(ValueError, match="finite"):
        pair_options(**given_)


def test_as_many_options_of_one_underlying_as_there_is_room_for():
    long = columns(2048, 1)
    assert pair_options(**long | {"quantity": np.ones(2048)})[0].tolist() == [0.0]
    with pytest.raises(ValueError, match="2048"):
        pair_options(**columns(2049, 1))


@pytest.mark.parametrize(
    ("quantity", "naked", "strike"), [(-100.0, 1e307, 1.0), (-1.0, 1e308, 1.0), (-1.0, 1.0, 1e308)]
)
def test_amounts_whose_differences_are_lost_are_told(quantity, naked, strike):
    given_ = columns()
    given_["quantity"][:], given_["naked"][:], given_["strike"][:] = quantity, naked, strike
    with pytest.raises(ArithmeticError, match="far apart"):
        pair_options(**given_)
