"""The kernel under a differential run: takes steps, gives the own events of each in the common words.

Somebody else's orders are exempt accounts, so many that two of them which meet never have the same one: the flow would
else show the kernel's self-match rule, which the peer's market data cannot have. Where it happens still, it stops.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nautilus.core import Kernel
from nautilus.core.types import AccountFlag, EventKind, OrderFlag, OrderType, Reason, TimeInForce
from tests.kit import builders
from tests.kit.differential.steps import BUY, Event, Step

OWN = 1
OTHERS, FIRST_OTHER = 4096, 100
TYPES = {
    "limit": OrderType.LIMIT,
    "market": OrderType.MARKET,
    "stop": OrderType.STOP,
    "stop_limit": OrderType.STOP_LIMIT,
}


class KernelSide:
    """One instrument, one own account, a crowd of others."""

    def __init__(self) -> None:
        self.kernel = Kernel(capacity=1 << 16, closed_capacity=1 << 12)
        others = [builders.account(FIRST_OTHER + n, AccountFlag.EXEMPT) for n in range(OTHERS)]
        self._process(builders.batch(builders.instrument(1), builders.account(OWN), *others))
        self.open: dict[int, dict[str, int]] = {}  # own open orders: side, price, leaves, filled, waiting
        self.others: dict[int, list[int]] = {}  # somebody else's open orders: side, price, leaves, filled
        self.entered: dict[int, Step] = {}
        self.results: dict[int, dict[str, Any]] = {}

    def step(self, step: Step) -> dict[str, Any]:
        """Carry one step out; the line of the trace for it."""
        command = None if step["do"] in ("time", "book") else getattr(self, "_" + step["do"])(step)
        command = builders.time(step["now"]) if command is None else command
        command["now_ns"] = step["now"]
        events = self._process(command)
        own: list[Event] = []
        for event in events:
            self._take(event, own, entering=step["do"] == "new")
        line = {"events": own, "position": self.position, "open": self._leaves()}
        return {**line, "book": self._book(step["levels"])} if step["do"] == "book" else line

    def best(self) -> tuple[int, int]:
        """Best bid and offer, own orders included (0: none)."""
        bid, bid_quantity, ask, ask_quantity = (int(value) for value in self.kernel.best(1))
        return bid if bid_quantity else 0, ask if ask_quantity else 0

    @property
    def position(self) -> int:
        """Own position in lots."""
        return sum(int(row["quantity"]) for row in self.kernel.positions(OWN))

    def final(self) -> dict[str, Any]:
        """Every own order's end: state and filled quantity; position and what it cost."""
        cost = sum(int(row["cost"]) for row in self.kernel.positions(OWN))
        return {"orders": self.results, "position": self.position, "cost": cost}

    def _process(self, commands: np.ndarray) -> np.ndarray:
        return self.kernel.process(commands)

    def _leaves(self) -> dict[str, list[int]]:
        return {str(order): [state["price"], state["leaves"]] for order, state in sorted(self.open.items())}

    def _book(self, levels: int) -> list[list[list[int]]]:
        bids, asks = self.kernel.depth(1, levels + len(self.open))
        sides = []
        for side, rows in ((1, bids), (2, asks)):
            own: dict[int, int] = {}
            for state in self.open.values():
                if state["side"] == side and not state["waiting"]:
                    own[state["price"]] = own.get(state["price"], 0) + state["leaves"]
            rest = [
                [int(row["price_ticks"]), int(row["quantity"]) - own.get(int(row["price_ticks"]), 0)] for row in rows
            ]
            sides.append([level for level in rest if level[1]][:levels])
        return sides

    # Steps.

    def _add(self, step: Step) -> np.ndarray:
        tif = TimeInForce.GTC if step["rest"] else TimeInForce.IOC
        self.others[step["id"]] = [step["side"], step["price"], step["quantity"], 0]
        return builders.new(
            step["id"], step["side"], step["price"], step["quantity"], account_id=_other(step["id"]), time_in_force=tif
        )

    def _set(self, step: Step) -> np.ndarray | None:
        state = self.others.get(step["id"])
        if state is None or step["quantity"] >= state[2]:
            return None
        names = {"order_id": step["id"], "account_id": _other(step["id"])}
        if step["quantity"] == 0:
            return builders.command(builders.CommandKind.CANCEL, **names)
        total = state[3] + step["quantity"]
        return builders.command(builders.CommandKind.REPLACE, **names, price_ticks=state[1], quantity=total)

    def _move(self, step: Step) -> np.ndarray | None:
        state = self.others.get(step["id"])
        if state is None:
            return None
        return builders.command(
            builders.CommandKind.REPLACE,
            order_id=step["id"],
            account_id=_other(step["id"]),
            price_ticks=step["price"],
            quantity=state[3] + step["quantity"],
        )

    def _new(self, step: Step) -> np.ndarray:
        flags = OrderFlag.POST_ONLY * step["post_only"] | OrderFlag.REDUCE_ONLY * step["reduce_only"]
        if step["type"] in ("stop", "stop_limit"):
            flags |= OrderFlag.TRIGGER_QUOTE
        self.entered[step["id"]] = step
        return builders.new(
            step["id"],
            step["side"],
            step["price"],
            step["quantity"],
            account_id=OWN,
            order_type=TYPES[step["type"]],
            time_in_force=TimeInForce[step["tif"]],
            expire_ns=step["expire"],
            trigger_ticks=step["trigger"],
            flags=int(flags),
        )

    def _cancel(self, step: Step) -> np.ndarray:
        return builders.command(builders.CommandKind.CANCEL, order_id=step["id"], account_id=OWN)

    def _replace(self, step: Step) -> np.ndarray:
        return builders.command(
            builders.CommandKind.REPLACE,
            order_id=step["id"],
            account_id=OWN,
            price_ticks=step["price"],
            trigger_ticks=step["trigger"],
            quantity=step["quantity"],
        )

    # Events.

    def _take(self, event: np.void, own: list[Event], *, entering: bool) -> None:
        kind, order, account = int(event["kind"]), int(event["order_id"]), int(event["account_id"])
        if kind == EventKind.FILLED:
            price, quantity = int(event["price_ticks"]), int(event["quantity"])
            counter, counter_account = int(event["counter_order_id"]), int(event["counter_account_id"])
            self._fill(order, account, price, quantity, own)
            self._fill(counter, counter_account, price, quantity, own)
        elif account == OWN:
            self._take_own(event, kind, order, own, entering=entering)
        elif account >= FIRST_OTHER:
            self._take_other(event, kind, order)

    def _take_own(self, event: np.void, kind: int, order: int, own: list[Event], *, entering: bool) -> None:
        quantity, leaves = int(event["quantity"]), int(event["leaves_quantity"])
        if kind == EventKind.ACCEPTED:
            step = self.entered[order]
            waiting = int(step["type"] in ("stop", "stop_limit"))
            self.open[order] = {
                "side": step["side"],
                "price": step["price"],
                "leaves": quantity,
                "filled": 0,
                "waiting": waiting,
            }
            self.results[order] = {"state": "open", "filled": 0}
            own.append(["accepted", order])
        elif kind == EventKind.REJECTED:
            reason = Reason(int(event["reason"])).name
            own.append(["rejected" if entering else "refused", order, reason])
            if entering:
                self.results[order] = {"state": "rejected", "filled": 0}
        elif kind == EventKind.TRIGGERED:
            self.open[order]["waiting"] = 0
            own.append(["triggered", order])
        elif kind in (EventKind.CANCELLED, EventKind.EXPIRED):
            word = "cancelled" if kind == EventKind.CANCELLED else "expired"
            own.append([word, order, quantity])
            if leaves:
                self.open[order]["leaves"] = leaves
            else:
                self.open.pop(order)
                self.results[order]["state"] = word
        elif kind == EventKind.REPLACED:
            price = int(event["price_ticks"])
            self.open[order].update(price=price, leaves=leaves)
            own.append(["replaced", order, price, quantity])
        else:
            raise AssertionError(f"an own event of a kind that no step causes: {event}")

    def _take_other(self, event: np.void, kind: int, order: int) -> None:
        reason = int(event["reason"])
        if kind == EventKind.REJECTED or (kind == EventKind.CANCELLED and reason == Reason.SELF_MATCH):
            raise AssertionError(f"an order of somebody else was refused: {event}")
        if kind == EventKind.CANCELLED:
            self.others.pop(order)
        elif kind == EventKind.REPLACED:
            self.others[order][1:3] = int(event["price_ticks"]), int(event["leaves_quantity"])

    def _fill(self, order: int, account: int, price: int, quantity: int, own: list[Event]) -> None:
        if account != OWN:
            state = self.others[order]
            state[2] -= quantity
            state[3] += quantity
            if state[2] == 0:
                del self.others[order]
            return
        own.append(["filled", order, price, quantity])
        mine = self.open[order]
        mine["leaves"] -= quantity
        mine["filled"] += quantity
        self.results[order]["filled"] += quantity
        if mine["leaves"] == 0:
            del self.open[order]
            self.results[order]["state"] = "filled"


def _other(order: int) -> int:
    return FIRST_OTHER + order % OTHERS


def opposite(side: int) -> int:
    """The other side."""
    return 3 - side


def crosses(side: int, price: int, other: int) -> bool:
    """Whether an order of this side at `price` (0: any price) meets an opposite one at `other`."""
    return price == 0 or (price >= other if side == BUY else price <= other)
