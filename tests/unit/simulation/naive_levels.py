"""The recorded book's bookkeeping in plain Python: dicts, lists, fractions. Slow, and written to be obviously right."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from nautilus.core.types import BookAction, EventKind, Side
from nautilus.simulation.recording import BOOK_ACCOUNT, TAPE_ACCOUNT
from tests.kit import builders


class NaiveLevels:
    """Makes the commands that `nautilus.core.recorded.RecordedLevels` should make."""

    def __init__(self, *, proportional: bool = False) -> None:
        self.proportional = proportional
        self.recorded: dict[tuple[int, int], int] = {}
        self.taken: dict[tuple[int, int], int] = {}
        self.queue: dict[tuple[int, int], list[list[int]]] = {}  # [order id, leaves, filled], first in queue first
        self.next_id = 1

    def update(self, deltas: np.ndarray, now_ns: int) -> np.ndarray:
        """Decreases of all levels that were named, then their increases."""
        wanted: dict[tuple[int, int], int] = {}
        for delta in deltas:
            side, price = int(delta["side"]), int(delta["price_ticks"])
            if delta["action"] == BookAction.CLEAR:
                wanted.update((key, 0) for key in self.recorded if side in (0, key[0]))
            elif delta["quantity"] or self.recorded.get((side, price)) or (side, price) in wanted:
                wanted[side, price] = int(delta["quantity"])
        decreases: list[np.ndarray] = []
        increases: list[np.ndarray] = []
        for key, quantity in wanted.items():
            if quantity != self.recorded.get(key, 0):
                self.taken[key] = 0
            self.recorded[key] = quantity
            orders = self.queue.get(key, [])
            missing = max(0, quantity - self.taken.get(key, 0)) - sum(leaves for _, leaves, _ in orders)
            if missing < 0:
                decreases += self._cuts(key, orders, -missing, now_ns)
            elif missing > 0:
                increases.append(self._new(key, missing, now_ns))
        # Ids ascend in the order of the commands.
        for command in increases:
            command["order_id"] = self.next_id
            self.next_id += 1
        return builders.batch(*decreases, *increases)

    def on_events(self, events: Iterable[dict[str, Any]]) -> None:
        """What happened to the book's orders."""
        for event in events:
            if event["account_id"] == TAPE_ACCOUNT and event["kind"] == EventKind.ACCEPTED:
                self.next_id = event["order_id"] + 1
            if event["kind"] == EventKind.FILLED:
                for account, order_id in (("account_id", "order_id"), ("counter_account_id", "counter_order_id")):
                    if event[account] == BOOK_ACCOUNT:
                        key, order = self._find(event[order_id])
                        order[1] -= event["quantity"]
                        order[2] += event["quantity"]
                        if TAPE_ACCOUNT not in (event["account_id"], event["counter_account_id"]):
                            self.taken[key] = self.taken.get(key, 0) + event["quantity"]
                        if not order[1]:
                            self.queue[key].remove(order)
            elif event["account_id"] == BOOK_ACCOUNT:
                if event["kind"] == EventKind.ACCEPTED:
                    key = (event["side"], event["price_ticks"])
                    self.queue.setdefault(key, []).append([event["order_id"], event["quantity"], 0])
                elif event["kind"] == EventKind.REPLACED:
                    self._find(event["order_id"])[1][1] = event["leaves_quantity"]
                elif event["kind"] == EventKind.CANCELLED:
                    key, order = self._find(event["order_id"])
                    self.queue[key].remove(order)

    def _cuts(self, key: tuple[int, int], orders: list[list[int]], quantity: int, now_ns: int) -> list[np.ndarray]:
        resting = sum(leaves for _, leaves, _ in orders)
        cuts: dict[int, int] = {}
        if self.proportional and quantity < resting:
            shares = [Fraction(leaves * quantity, resting) for _, leaves, _ in orders]
            left = quantity - sum(int(share) for share in shares)
            by_remainder = sorted(range(len(orders)), key=lambda i: (shares[i] - int(shares[i]), i), reverse=True)
            places = by_remainder if left else list(range(len(orders)))
            cuts = {i: int(shares[i]) + (place < left) for place, i in enumerate(places)}
        else:
            for i in reversed(range(len(orders))):
                cuts[i] = min(quantity, orders[i][1])
                quantity -= cuts[i]
        commands = []
        for i, cut in cuts.items():
            order_id, leaves, filled = orders[i]
            scope = {"account_id": BOOK_ACCOUNT, "instrument_id": 1, "now_ns": now_ns}
            if cut == leaves:
                commands.append(builders.cancel(order_id, **scope))
            elif cut:
                commands.append(builders.replace(order_id, key[1], filled + leaves - cut, **scope))
        return commands

    def _new(self, key: tuple[int, int], quantity: int, now_ns: int) -> np.ndarray:
        return builders.new(0, Side(key[0]), key[1], quantity, account_id=BOOK_ACCOUNT, now_ns=now_ns)

    def _find(self, order_id: int) -> tuple[tuple[int, int], list[int]]:
        return next((key, order) for key, orders in self.queue.items() for order in orders if order[0] == order_id)
