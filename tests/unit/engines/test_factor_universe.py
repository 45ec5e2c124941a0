"""The universe of the factor model: filled in any order, checked, saved in blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.engines.factor.universe import DAY_NS, Universe, day_of
from nautilus.maths.errors import Undefined
from nautilus.model.factor import CollectUniverse, GetUniverse, PutSectors, PutUniverse, UniverseField
from nautilus.model.history import PutHistory, SeriesKind
from tests.kit.factor_host import FIRST_DAY, FactorHost, close_ns
from tests.kit.stock_universe import stock_universe

RETURN, PRICE, CAP = UniverseField.RETURN, UniverseField.PRICE, UniverseField.MARKET_CAP


def _universe() -> Universe:
    return Universe(most_days=200, most_stocks=10)


def _times(*days: int) -> tuple[int, ...]:
    return tuple(close_ns(day) for day in days)


def test_days_and_stocks_may_come_in_any_order() -> None:
    universe = _universe()
    universe.put(RETURN, ("B",), _times(5, 9), ((0.05,), (0.09,)))
    universe.put(RETURN, ("A", "B"), _times(2, 7), ((0.2, 0.02), (0.7, None)))
    assert universe.symbols == ["B", "A"]
    np.testing.assert_array_equal(universe.days - FIRST_DAY, [2, 5, 7, 9])
    np.testing.assert_array_equal(universe.values(RETURN), [[0.02, 0.2], [0.05, np.nan], [np.nan, 0.7], [0.09, np.nan]])
    assert np.isnan(universe.values(CAP)).all()
    assert universe.coverage() == {RETURN: 5}
    assert universe.row(FIRST_DAY + 7) == 2
    assert universe.row(FIRST_DAY + 6) is None
    assert day_of(close_ns(7)) == FIRST_DAY + 7


def test_it_says_from_which_day_on_something_is_new() -> None:
    universe = _universe()
    assert universe.put(RETURN, ("A",), _times(1, 2, 3), ((0.1,), (0.2,), (0.3,))) == FIRST_DAY + 1
    assert universe.put(RETURN, ("A",), _times(1, 2, 3), ((0.1,), (0.2,), (0.3,))) is None
    assert universe.put(RETURN, ("A",), _times(1, 2, 3), ((0.1,), (None,), (0.4,))) == FIRST_DAY + 3
    assert universe.values(RETURN)[1, 0] == 0.2  # None leaves what was there


def test_returns_come_of_prices_where_none_are_given() -> None:
    universe = _universe()
    universe.put(RETURN, ("A",), _times(2), ((0.5,),))
    universe.put(PRICE, ("A", "B"), _times(0, 1, 2, 4), ((10.0, 5.0), (11.0, None), (12.0, 6.0), (6.0, 9.0)))
    returns = universe.values(RETURN)
    np.testing.assert_allclose(returns[:, 0], [np.nan, 0.1, 0.5, -0.5])
    np.testing.assert_allclose(returns[:, 1], [np.nan, np.nan, 0.2, 0.5])  # over the day that is missing
    # Prices that fill a gap later make the returns around it; those that were told stay.
    later = _universe()
    later.put(RETURN, ("A", "B"), _times(3), ((None, 0.7),))
    later.put(PRICE, ("A", "B"), _times(0, 3), ((10.0, 10.0), (12.0, 12.0)))
    assert later.put(PRICE, ("A", "B"), _times(1), ((11.0, 11.0),)) == FIRST_DAY + 1
    np.testing.assert_allclose(later.values(RETURN)[:, 0], [np.nan, 0.1, 12.0 / 11.0 - 1.0])
    np.testing.assert_allclose(later.values(RETURN)[:, 1], [np.nan, 0.1, 0.7])
    assert later.coverage()[RETURN] == 4
    # A price that is put anew, as after a split, changes no return that was made.
    assert later.put(PRICE, ("A",), _times(1), ((5.5,),)) is None
    np.testing.assert_allclose(later.values(RETURN)[:, 0], [np.nan, 0.1, 12.0 / 11.0 - 1.0])
    follows = _universe()
    follows.put(PRICE, ("A",), _times(0), ((10.0,),))
    follows.put(PRICE, ("A",), _times(1), ((12.0,),))
    np.testing.assert_allclose(follows.values(RETURN)[:, 0], [np.nan, 0.2])


@pytest.mark.parametrize(
    ("field", "symbols", "times", "rows", "code"),
    [
        (RETURN, (), _times(1), ((),), "empty"),
        (RETURN, ("A",), (), (), "empty"),
        (RETURN, ("A", "A"), _times(1), ((0.1, 0.2),), "mismatch"),
        (RETURN, ("A",), _times(1, 2), ((0.1,),), "mismatch"),
        (RETURN, ("A",), _times(1), ((0.1, 0.2),), "mismatch"),
        (RETURN, ("A",), _times(2, 1), ((0.1,), (0.2,)), "unsorted"),
        (RETURN, ("A",), (close_ns(1), close_ns(1) + 1), ((0.1,), (0.2,)), "duplicate_time"),
        (RETURN, ("A",), _times(1), ((float("nan"),),), "not_finite"),
        (RETURN, ("A", "B"), _times(1), ((None, float("inf")),), "not_finite"),
        (RETURN, ("A",), _times(1), ((-1.0,),), "out_of_range"),
        (PRICE, ("A",), _times(1), ((0.0,),), "negative_price"),
        (CAP, ("A",), _times(1), ((-5.0,),), "negative_price"),
        (UniverseField.DOLLAR_VOLUME, ("A",), _times(1), ((-1.0,),), "out_of_range"),
        (RETURN, tuple(f"S{n}" for n in range(11)), _times(1), ((0.0,) * 11,), "out_of_range"),
        (RETURN, ("A",), _times(*range(201)), ((0.0,),) * 201, "out_of_range"),
    ],
)
def test_bad_values_are_refused_by_code_and_change_nothing(field, symbols, times, rows, code) -> None:
    universe = _universe()
    universe.put(RETURN, ("A",), _times(0), ((0.5,),))
    before = universe.version
    with pytest.raises(Undefined) as error:
        universe.put(field, symbols, times, rows)
    assert error.value.code == code
    assert universe.version == before
    assert universe.symbols == ["A"]
    assert len(universe.days) == 1


def test_sectors_change_from_a_day_on() -> None:
    universe = _universe()
    universe.put(RETURN, ("A", "B"), _times(1, 2, 3), ((0.1, 0.1),) * 3)
    assert universe.put_sectors({"A": "energy", "B": "banks"}) is not None
    assert universe.put_sectors({"A": "energy"}) is None
    found = universe.sectors()
    assert found.names == ("banks", "energy")
    np.testing.assert_array_equal(found.codes, [1, 0])
    assert universe.put_sectors({"A": "banks"}, close_ns(3)) == FIRST_DAY + 3
    np.testing.assert_array_equal(universe.sectors().codes, [[1, 0], [1, 0], [0, 0]])
    np.testing.assert_array_equal(universe.sectors(slice(2, 3)).codes, [[0, 0]])
    assert universe.sector("A") == "banks"
    assert universe.sector("C") == ""
    universe.put_sectors({"C": "energy"}, close_ns(2))
    np.testing.assert_array_equal(universe.sectors().codes[:, 2], [-1, 1, 1])


def test_sectors_of_a_stock_without_returns_change_no_day() -> None:
    universe = _universe()
    universe.put(RETURN, ("A", "B"), _times(1, 2, 3), ((0.1, None), (0.1, None), (0.1, 0.2)))
    assert universe.put_sectors({"C": "banks"}) is None
    assert universe.put_sectors({"B": "banks", "C": "energy"}) == FIRST_DAY + 3
    assert universe.put_sectors({"A": "banks"}) == FIRST_DAY + 1
    assert universe.put_sectors({"A": "energy"}, close_ns(5)) == FIRST_DAY + 5
    assert [universe.sectors_on(FIRST_DAY + day)[0] for day in (1, 5)] == ["banks", "energy"]


@settings(max_examples=60, deadline=None)
@given(prices=st.lists(st.integers(50, 200), min_size=2, max_size=8), draw=st.randoms(use_true_random=False))
def test_returns_of_prices_do_not_depend_on_the_order_they_come_in(prices, draw) -> None:
    together, apart = _universe(), _universe()
    days = list(range(len(prices)))
    together.put(PRICE, ("A",), _times(*days), tuple((float(price),) for price in prices))
    draw.shuffle(days)
    while days:
        some = sorted(days[: draw.randint(1, len(days))])
        days = days[len(some) :]
        apart.put(PRICE, ("A",), _times(*some), tuple((float(prices[day]),) for day in some))
    np.testing.assert_array_equal(apart.values(RETURN), together.values(RETURN))
    assert apart.coverage() == together.coverage()


def test_a_day_is_added_behind_the_others_alone() -> None:
    universe = _universe()
    universe.put(RETURN, ("A", "B"), _times(1), ((0.1, 0.1),))
    universe.add_day(FIRST_DAY + 2, {RETURN: np.array([0.3, np.nan]), CAP: np.array([1e9, np.nan])})
    np.testing.assert_array_equal(universe.values(CAP), [[np.nan, np.nan], [1e9, np.nan]])
    with pytest.raises(Undefined) as error:
        universe.add_day(FIRST_DAY + 2, {})
    assert error.value.code == "unsorted"


def test_only_blocks_that_changed_are_saved_again_and_all_come_back() -> None:
    made = stock_universe(150, 6, 2, holes=0.1)
    universe = _universe()
    rows = tuple(tuple(None if np.isnan(value) else value for value in row) for row in made.returns)
    universe.put(RETURN, made.symbols, _times(*range(150)), rows)
    universe.put_sectors({"S0000": "a", "S0001": "b"}, close_ns(3))
    first = universe.bulk()
    assert set(first) == {"universe return 0", "universe return 64", "universe return 128"}
    universe.put(RETURN, ("S0001",), _times(140, 150), ((0.5,), (0.25,)))
    second = universe.bulk()
    assert [name for name in second if second[name][0] != first[name][0]] == ["universe return 128"]
    other = _universe()
    for name in ("universe return 128", "universe return 0", "universe return 64"):
        assert other.restore_bulk(name, second[name][1]())
    assert not other.restore_bulk("series x", {})
    other.restore(universe.state())
    assert other.symbols == universe.symbols
    np.testing.assert_array_equal(other.days, universe.days)
    np.testing.assert_array_equal(other.values(RETURN), universe.values(RETURN))
    np.testing.assert_array_equal(other.sectors().codes, universe.sectors().codes)


def test_histories_become_the_universe() -> None:
    host = FactorHost()
    times = _times(0, 1, 2)
    host.ask(PutHistory("A", times, (10.0, 11.0, 12.0)))
    host.ask(PutHistory("B", times[1:], (20.0, 30.0), source="yahoo"))
    host.ask(PutHistory("B.market_cap", times[1:], (2e9, 3e9), SeriesKind.SIZE))
    host.ask(PutHistory("other", times, (1.0, 2.0, 3.0), SeriesKind.LEVEL))
    state = host.ask(CollectUniverse())
    assert (state.stocks, state.days) == (2, 3)
    assert {field.field: field.values for field in state.fields} == {"price": 5, "return": 3, "market_cap": 2}
    host.ask(PutHistory("C", (close_ns(1), close_ns(1) + DAY_NS // 100), (1.0, 2.0)))
    with pytest.raises(Undefined) as error:
        host.ask(CollectUniverse(("C",)))
    assert error.value.code == "duplicate_time"
    with pytest.raises(Undefined) as error:
        FactorHost().ask(CollectUniverse())
    assert error.value.code == "empty"


def test_what_is_made_up_is_said() -> None:
    host = FactorHost()
    host.ask(PutSectors({"A": "x"}))
    state = host.ask(PutUniverse("return", ("A",), _times(1), ((0.1,),), source="invented", synthetic=True))
    assert state.synthetic
    assert host.again().ask(GetUniverse()).synthetic


cells = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3), st.floats(-0.5, 0.5)), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(st.lists(cells, min_size=1, max_size=5))
def test_whatever_the_order_the_last_value_of_a_cell_stands(uploads: list[list[tuple[int, int, float]]]) -> None:
    universe, plain = _universe(), {}
    for upload in uploads:
        days = sorted({day for day, _, _ in upload})
        symbols = tuple(sorted({f"S{stock}" for _, stock, _ in upload}))
        rows = [[None] * len(symbols) for _ in days]
        for day, stock, value in upload:
            rows[days.index(day)][symbols.index(f"S{stock}")] = value
            plain[day, f"S{stock}"] = value
        universe.put(RETURN, symbols, _times(*days), rows)
    values = universe.values(RETURN)
    for (day, symbol), value in plain.items():
        assert values[universe.row(FIRST_DAY + day), universe.column(symbol)] == value
    assert universe.coverage() == {RETURN: len(plain)} == {RETURN: int(np.isfinite(values).sum())}
