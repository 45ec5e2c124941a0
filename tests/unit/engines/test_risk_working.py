"""Open orders as risk follows them: by the reports alone it has after every command what the kernel has."""

from __future__ import annotations

import json
import os
from collections import Counter

import numpy as np
import pytest

from nautilus.core import AccountFlag, Kernel
from nautilus.engines.risk.working import WorkingOrder, WorkingOrders
from nautilus.engines.trading import ReportExpander
from tests.kit import flow_full, flow_setting, flow_venues
from tests.kit.builders import batch
from tests.kit.twin import TwinKernel

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "2"))
COMMANDS = 300
EVERY_ACCOUNT = (1 << 31) - 1
ORDINARY = [int(row["account_id"]) for row in flow_setting.accounts() if not row["flags"] & AccountFlag.EXEMPT]
"""The kernel sums up nothing of the others."""
Sums = Counter[tuple[int, int]]


class Follower:
    """Open orders by the reports, and what they come to."""

    def __init__(self) -> None:
        self.buys: Sums = Counter()
        self.sells: Sums = Counter()
        self.orders: Counter[int] = Counter()
        self.working = WorkingOrders(self.moved)

    def moved(self, key: tuple[int, int, int], orders: int, buys: int, sells: int, ticks: int) -> None:
        account_id, _, instrument_id = key
        self.orders[account_id] += orders
        self.buys[account_id, instrument_id] += buys
        self.sells[account_id, instrument_id] += sells

    def asked(self) -> set[tuple[int, int]]:
        """Pairs of which a venue is asked for more."""
        rows = [(row[0], WorkingOrder(*row[2:])) for row in self.working.state()]
        return {(account, order.instrument_id) for account, order in rows if order.asked > order.leaves}


def of_kernel(kernel: Kernel, accounts: list[int]) -> tuple[Sums, Sums]:
    buys, sells = Sums(), Sums()
    for account in accounts:
        for row in kernel.positions(account):
            key = (account, int(row["instrument_id"]))
            buys[key], sells[key] = int(row["open_buy"]), int(row["open_sell"])
    return buys, sells


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("setting", [flow_setting, flow_venues])
def test_open_quantities_are_the_kernels_after_every_command(setting: object, seed: int) -> None:
    first = batch(setting.instruments(), flow_setting.accounts(), setting.first_commands())
    twin = TwinKernel(accounts=(), capacity=64, closed_capacity=16)  # which the flow looks at
    kernel = Kernel(accounts=(), capacity=64, closed_capacity=16, huge_pages=False)
    expander, follower = ReportExpander(EVERY_ACCOUNT), Follower()
    flow = (flow_venues.VenueFlow if setting is flow_venues else flow_full.FullFlow)(908 + seed)
    most = 0
    for number in range(len(first) + COMMANDS):
        command = first[number : number + 1] if number < len(first) else flow.draw(twin)
        twin.process(command)
        events = kernel.process(command)
        for report in expander.expand(events, np.full(len(events), command["kind"][0])):
            follower.working.on_report(report)
        buys, sells = of_kernel(kernel, ORDINARY if number >= len(first) else [])
        for ours, theirs in ((follower.buys, buys), (follower.sells, sells)):
            ours = Counter({key: lots for key, lots in ours.items() if key[0] in ORDINARY and lots})
            if number >= len(first) and ours != +theirs:
                # A venue has said again that it has the order: no report tells.
                assert setting is flow_venues
                assert {key for key in ours if ours[key] != theirs[key]} <= follower.asked()
                assert ours > +theirs
        assert min([0, *follower.buys.values(), *follower.sells.values()]) == 0
        assert +follower.orders == Counter(account for account, _ in expander.orders)
        most = max(most, sum(follower.orders.values()))
        if number % 97 == 96:
            later = Follower()
            later.working.restore(json.loads(json.dumps(follower.working.state())))
            assert later.working.state() == follower.working.state()
            follower = later
    assert most > 3
