"""The hash map against a dict, above all after deletions, and its edges."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.hashmap import HashMap
from tests.kit.naive import NaiveMap

STRIDES = (1, 2, 63, 255, 256, 257, 512, 4096, 1 << 20, 1 << 40, 1 << 58)


@given(
    st.one_of(st.integers(1, 70), st.just(150)),
    st.sampled_from(STRIDES),
    st.lists(st.tuples(st.sampled_from("ppdg"), st.integers(1, 60)), max_size=200),
)
def test_map_does_what_its_naive_twin_does(max_entries, stride, steps):
    real, twin = HashMap(max_entries), NaiveMap(max_entries)
    for number, (step, base) in enumerate(steps):
        key = max(1, base * stride % (1 << 64))
        if step == "p":
            assert real.put(key, number) == twin.put(key, number)
        elif step == "d":
            assert real.delete(key) == twin.delete(key)
        else:
            assert real.get(key) == twin.get(key)
        assert len(real) == len(twin)
    assert all(real.get(key) == value for key, value in twin.entries.items())


@pytest.mark.parametrize("entries", [128, 500, 4096])
@pytest.mark.parametrize("stride", STRIDES)
def test_full_map_stays_right_through_many_deletions(stride, entries):
    chance = random.Random(stride)
    real, twin = HashMap(entries), NaiveMap(entries)
    for number in range(12_000):
        key = max(1, chance.randrange(1, entries * 2) * stride % (1 << 64))
        if chance.random() < 0.6:
            assert real.put(key, number) == twin.put(key, number)
        else:
            assert real.delete(key) == twin.delete(key)
    assert len(real) == len(twin) > 0
    assert all(real.get(key) == value for key, value in twin.entries.items())


def test_extreme_keys_and_values_are_kept():
    real = HashMap(4)
    for key in (1, (1 << 64) - 1, 1 << 63, (1 << 63) - 1):
        assert real.put(key, (1 << 32) - 2)
        assert real.get(key) == (1 << 32) - 2


def test_full_map_refuses_new_keys_and_still_overwrites():
    real = HashMap(2)
    assert real.put(1, 10)
    assert real.put(2, 20)
    assert not real.put(3, 30)
    assert real.put(2, 21)
    assert (real.get(2), real.get(3), len(real)) == (21, None, 2)
    assert real.delete(1) == 10
    assert real.put(3, 30)


def test_reserved_key_and_value_are_refused():
    real = HashMap(2)
    assert real.get(0) is None
    assert real.delete(0) is None
    for key, value in ((0, 1), (1, (1 << 32) - 1)):
        with pytest.raises(ValueError, match="are reserved"):
            real.put(key, value)


@pytest.mark.parametrize("max_entries", [0, (1 << 32) + 1])
def test_impossible_size_is_refused(max_entries):
    with pytest.raises(ValueError, match=f"max_entries {max_entries}, expected 1 to 2\\^32"):
        HashMap(max_entries)


@pytest.mark.parametrize(("entries", "slots"), [(1, 256), (128, 256), (129, 512), (1 << 20, 1 << 21)])
def test_slots_are_a_power_of_two_and_at_least_twice_the_entries(entries, slots):
    assert HashMap(entries).slots() == slots
