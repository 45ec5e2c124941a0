"""Order ids: the set of closed ones and the map of open ones, against a Python set and dict."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.order_ids import IdSet, OrderMap

# Ids that count, ids 64, 192 and 2^26 apart (they want the same bits or slots), and any.
IDS = st.one_of(
    st.integers(1, 300),
    st.integers(0, 200).map(lambda n: 1 + n * 64),
    st.integers(0, 200).map(lambda n: 5 + n * 192),
    st.integers(0, 200).map(lambda n: 7 + (n << 26)),
    st.integers(1, 2**64 - 1),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", "add", "forget"]), IDS), max_size=400))
def test_the_set_holds_what_a_set_holds(steps: list[tuple[str, int]]) -> None:
    ids, twin = IdSet(1 << 12), set[int]()
    for action, order_id in steps:
        if action == "add" and order_id not in twin:
            ids.add(order_id)
            twin.add(order_id)
        elif action == "forget":
            ids.forget(order_id)
            twin.discard(order_id)
        assert (order_id in ids) == (order_id in twin)
    assert all(order_id in ids for order_id in twin)
    assert ids.groups == len({order_id // 192 for order_id in twin})


@pytest.mark.parametrize("stride", [1, 64, 1_000_003])
def test_the_set_keeps_the_last_ids_while_it_grows_and_turns_over(stride: int) -> None:
    kept = 5_000
    ids = IdSet(kept)
    for number in range(4 * kept):
        if number >= kept:
            ids.forget(1 + (number - kept) * stride)
        ids.add(1 + number * stride)
        if number % 37 == 0:
            first = max(0, number + 1 - kept)
            assert all(1 + n * stride in ids for n in range(first, number + 1, 11))
            assert first == 0 or all(1 + n * stride not in ids for n in range(max(0, first - 200), first, 7))
    assert ids.groups == len({(1 + n * stride) // 192 for n in range(3 * kept, 4 * kept)})


def test_the_set_shrinks_to_nothing() -> None:
    ids = IdSet(20_000)
    far = [1 + n * 1_000_003 for n in range(20_000)]
    for order_id in far:
        ids.add(order_id)
    assert ids.groups == len(far)
    assert all(order_id in ids and order_id + 1 not in ids for order_id in far)
    for order_id in far:
        ids.forget(order_id)
    assert ids.groups == 0
    assert not any(order_id in ids for order_id in far)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3), IDS), max_size=300))
def test_the_map_finds_what_a_dict_finds(steps: list[tuple[bool, int, int]]) -> None:
    capacity = 64
    orders, twin, free = OrderMap(capacity), dict[tuple[int, int], int](), list(range(1, capacity + 1))
    for put, account, order_id in steps:
        key = (account, order_id)
        if put and key not in twin and free:
            twin[key] = free.pop()
            orders.put(account, order_id, twin[key])
        elif not put and key in twin:
            free.append(twin[key])
            orders.delete(twin.pop(key))
        assert orders.get(account, order_id) == twin.get(key, 0)
    assert all(orders.get(account, order_id) == index for (account, order_id), index in twin.items())
