"""The counter table against its naive twin, and its edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.counters import Counters
from tests.kit.naive import NaiveCounters


@given(st.lists(st.tuples(st.sampled_from("cgs"), st.integers(0, 7), st.integers(0, 1 << 40)), max_size=80))
def test_counters_do_what_their_naive_twin_does(steps):
    real, twin = Counters(16), NaiveCounters()
    for step, number, amount in steps:
        if step == "c":
            name = f"orders_{number}_total"
            index = real.counter(name)
            assert index == twin.open(name)
            real.add(index, amount)
            twin.add(index, amount)
            real.increment(index)
            twin.add(index, 1)
        else:
            name = f"queue_{number}"
            index = real.gauge(name)
            assert index == twin.open(name)
            if step == "g":
                real.add(index, -amount)
                twin.add(index, -amount)
            else:
                real.set(index, amount)
                twin.set(index, amount)
        assert real.get(index) == twin.snapshot()[name]
    assert real.snapshot() == twin.snapshot()
    assert len(real) == len(twin.names)


def test_same_name_is_the_same_counter():
    table = Counters(2)
    assert table.counter("fills_total") == table.counter("fills_total") == 0
    with pytest.raises(ValueError, match="'fills_total' exists as the other kind"):
        table.gauge("fills_total")


def test_counter_only_grows():
    table = Counters()
    index = table.counter("fills_total")
    with pytest.raises(ValueError, match="-1 to counter 'fills_total', expected 0 or more"):
        table.add(index, -1)
    with pytest.raises(ValueError, match="'fills_total' is a counter, expected a gauge"):
        table.set(index, 5)
    assert table.get(index) == 0


def test_full_table_and_bad_names_are_refused():
    table = Counters(1)
    for name in ("", "x" * 119, "a\0b"):
        with pytest.raises(ValueError, match="expected 1 to 118 bytes without NUL"):
            table.counter(name)
    table.counter("x" * 118)
    with pytest.raises(ValueError, match="no room for 'y', all 1 are in use"):
        table.gauge("y")
    assert table.snapshot() == {"x" * 118: 0}


def test_unknown_index_is_refused():
    with pytest.raises(ValueError, match="index 0, expected less than 0"):
        Counters().get(0)


def test_table_without_room_is_refused():
    with pytest.raises(ValueError, match="capacity 0, expected 1 or more"):
        Counters(0)
