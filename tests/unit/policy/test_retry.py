"""What may be sent twice, and how much of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.policy.retry import RetryBudget, is_order, may_hedge, may_repeat


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/orders", "/orders/7", "/orders/7/legs", "/kill-switch"])
def test_an_order_is_sent_once_whatever_it_says_of_itself(method: str, path: str) -> None:
    assert is_order(method, path)
    assert not may_repeat(method, path, idempotent=True)
    assert not may_hedge(method, path)


def test_reads_may_be_hedged_and_what_is_idempotent_repeated() -> None:
    assert may_hedge("GET", "/orders")
    assert may_repeat("GET", "/orders")
    assert may_repeat("PUT", "/limits", idempotent=True)
    assert not may_repeat("PUT", "/limits")
    assert not may_hedge("PUT", "/limits")
    assert not is_order("POST", "/orderschedule")


@given(
    st.floats(0, 0.2),
    st.floats(1, 100),
    st.lists(st.integers(0, 5), min_size=1, max_size=400),
)
def test_with_everything_failing_no_more_is_sent_than_the_budget_has(
    share: float, most: float, wanted: list[int]
) -> None:
    budget = RetryBudget(share, most)
    sent = 0
    for number, repeats in enumerate(wanted, 1):
        budget.deposit()
        sent += 1 + sum(budget.withdraw() for _ in range(repeats))
        assert sent <= number * (1 + share) + 1e-6
    assert budget.granted == sent - len(wanted)
    assert budget.granted + budget.refused == sum(wanted)


def test_a_dead_upstream_sees_at_most_a_fifth_more_than_was_asked_for() -> None:
    budget = RetryBudget()
    sent = 0
    for _ in range(10_000):
        budget.deposit()
        sent += 1
        while budget.withdraw():
            sent += 1
    assert sent <= 12_000
    assert sent > 11_900


def test_a_budget_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="share 2"):
        RetryBudget(2)
    with pytest.raises(ValueError, match="reserve 9"):
        RetryBudget(0.1, 5, 9)
