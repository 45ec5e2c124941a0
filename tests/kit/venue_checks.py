"""Traders at a venue, and what must be true of what came of it: shared by the tests of venue sessions."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from nautilus.core import Kernel
from nautilus.core.types import CommandKind, EventKind, OrderType, Side, TimeInForce
from nautilus.model.venue import OrderKey
from nautilus.trading.venue_orders import VenueOrders
from tests.kit import builders

ACCOUNTS = (1, 2, 3)
VENUE = 9


class Traders:
    """Random orders of a few accounts at two instruments of one venue."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed * 7 + 1)
        self._next = 0
        self._open: dict[tuple[int, int], int] = {}

    def opening(self) -> np.ndarray:
        """The venue's instruments, one of the internal venue, accounts."""
        return builders.batch(
            builders.instrument(1, venue_reference=VENUE),
            builders.instrument(2, venue_reference=VENUE),
            builders.instrument(3),
            *(builders.account(account) for account in ACCOUNTS),
        )

    def draw(self) -> np.ndarray:
        """At most a few commands."""
        return builders.batch(*(self._one() for _ in range(self._random.choice((0, 0, 0, 1, 1, 2)))))

    def _one(self) -> np.ndarray:
        roll = self._random.random()
        if self._open and roll < 0.25:
            account, order = self._random.choice(list(self._open))
            return builders.command(CommandKind.CANCEL, account_id=account, order_id=order)
        if self._open and roll < 0.45:
            account, order = self._random.choice(list(self._open))
            return builders.command(
                CommandKind.REPLACE,
                account_id=account,
                order_id=order,
                price_ticks=self._random.randint(90, 110),
                quantity=self._random.randint(1, 30),
            )
        if roll < 0.46:
            return builders.command(CommandKind.MASS_CANCEL, account_id=self._random.choice(ACCOUNTS))
        self._next += 1
        return builders.command(
            CommandKind.NEW,
            order_id=self._next,
            account_id=self._random.choice(ACCOUNTS),
            instrument_id=self._random.choice((1, 1, 2, 3)),
            side=self._random.choice((Side.BUY, Side.SELL)),
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GTC,
            price_ticks=self._random.randint(90, 110),
            quantity=self._random.randint(1, 20),
        )

    def read(self, events: np.ndarray) -> None:
        """What was routed can be cancelled and replaced."""
        for event in events[events["kind"] == EventKind.ROUTED]:
            self._open[int(event["account_id"]), int(event["order_id"])] = 1
        while len(self._open) > 12:
            del self._open[next(iter(self._open))]


def check_history(events: np.ndarray, kinds: np.ndarray) -> set[OrderKey]:
    """No order is routed where its account is not reconciled, none twice; which ones are unknown in the end."""
    reconciled: set[int] = set()
    routed: set[tuple[int, int]] = set()
    unknown: set[OrderKey] = set()
    for event, cause in zip(events, kinds, strict=True):
        account, order = int(event["account_id"]), int(event["order_id"])
        kind = event["kind"]
        key = OrderKey(account, order, int(event["instrument_id"]))
        if cause == CommandKind.VENUE_UNKNOWN and order == 0 and kind == EventKind.APPLIED:
            reconciled = reconciled - {account} if account else set()
        elif cause == CommandKind.VENUE_ACCEPTED and order == 0 and kind == EventKind.APPLIED:
            reconciled.add(account)
            assert not {each for each in unknown if each.account_id == account}, "reconciled, and not all is known"
        elif kind == EventKind.ROUTED and event["match_id"] == CommandKind.NEW:
            assert account in reconciled, f"order {order}: its account is not reconciled"
            assert (account, order) not in routed
            routed.add((account, order))
        elif kind == EventKind.UNKNOWN:
            unknown.add(key)
        elif key in unknown and (kind not in (EventKind.ROUTED, EventKind.FILLED) or event["leaves_quantity"] == 0):
            if kind == EventKind.REJECTED and cause not in (CommandKind.VENUE_REJECTED,):
                continue
            unknown.discard(key)
    return unknown


def check_end(kernel: Kernel, orders: VenueOrders, venue: Any) -> None:
    """Positions and open orders are those of the venue; it got no order twice."""
    assert not [client_id for client_id, count in venue.submits.items() if count > 1], "sent twice"
    held = {
        (account, int(row["instrument_id"])): int(row["quantity"])
        for account in ACCOUNTS
        for row in kernel.positions(account)
        if row["instrument_id"] != 3 and row["quantity"]
    }
    assert held == venue.positions()
    ours = {key.client_id: (order.price_ticks, order.quantity, order.filled) for key, order in orders.orders.items()}
    assert ours == venue.working()
