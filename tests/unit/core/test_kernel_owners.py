"""The owner of an order survives a snapshot: what must not trade with each other does not do so afterwards either."""

from __future__ import annotations

from nautilus.core import Kernel
from nautilus.core.types import SelfMatch
from tests.kit import builders
from tests.kit.builders import BUY, IOC, SELL, batch, new
from tests.kit.pair import reasons


def test_restored_orders_belong_to_the_self_match_group_of_their_account() -> None:
    kernel = Kernel(accounts=(), capacity=8, closed_capacity=8, huge_pages=False)
    pair = [builders.account(key, order_type=SelfMatch.CANCEL_OLDEST, group_id=7) for key in (2, 3)]
    kernel.process(batch(builders.instrument(1), *pair, new(1, BUY, 101, 2, account_id=3)))
    restored = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
    restored.restore(kernel.snapshot())
    aggressor = new(2, SELL, 101, 1, account_id=2, time_in_force=IOC)
    expected = ["ACCEPTED", "CANCELLED SELF_MATCH", "CANCELLED UNFILLED"]
    assert [reasons(each.process(aggressor)) for each in (kernel, restored)] == [expected, expected]
