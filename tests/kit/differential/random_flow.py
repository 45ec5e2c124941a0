"""Random flows for differential runs, drawn while the kernel runs them: what comes next depends on what is there.

Styles: `limits` (limit, market, IOC, FOK, GTD, DAY, post-only, replaces; own orders on both sides), `stops`, `reduce`
(own orders of one side at a time, by turns, so that an order which enters by itself never meets an own one).

What the two engines are known to treat differently is kept out where it would decide everything after it, and has cases
of its own (`cases`): own orders never meet each other (those in the way are cancelled first), an own order is only
moved to a price without own orders, and raised where it is alone at its price; at most one stop waits; while a
reduce-only order is open, all that may fill stays below the position.
"""

from __future__ import annotations

import numpy as np

from tests.kit.differential import steps
from tests.kit.differential.kernel_side import KernelSide, crosses, opposite
from tests.kit.differential.steps import BUY, SELL, Step, Trace

STYLES = ("limits", "stops", "reduce")
WALL = 10**9  # lots behind everything, so that neither side of the book is ever empty
FAR_BID, FAR_ASK, MIDDLE = 1, 1_000_000, 10_000
FIRST_OTHER_ID = 1_000


class RandomFlow:
    """An endless flow; the same seed and style give the same steps on the same kernel."""

    far_bid, far_ask, wall = FAR_BID, FAR_ASK, WALL

    def __init__(self, seed: int, style: str, *, reach: int = 6, size: int = 30) -> None:
        self.side = KernelSide()
        self._reach, self._size = reach, size  # own orders: ticks around the middle, lots
        self.steps: list[Step] = []
        self.trace: Trace = []
        self._rng = np.random.default_rng((seed, STYLES.index(style)))
        self._style = style
        self._now = 1
        self._own_id = 0
        self._other_id = FIRST_OTHER_ID
        self._regime = BUY

    def run(self, count: int) -> None:
        """Draw and carry out about `count` steps, and the question for every order's end."""
        self.do(steps.add(self._now, self._next_other(), BUY, self.far_bid, self.wall))
        self.do(steps.add(self._now, self._next_other(), SELL, self.far_ask, self.wall))
        for _ in range(20):
            self._make()
        while len(self.steps) < count:
            self.draw()
        self.trace.append(self.side.final())

    def do(self, step: Step) -> None:
        """Carry one step out."""
        self.steps.append(step)
        self.trace.append(self.side.step(step))

    def draw(self) -> None:
        """One thing that somebody does."""
        rng = self._rng
        self._now += int(rng.integers(0, 4))
        if self._style != "limits" and rng.random() < 0.02:
            self._turn()
        chance = rng.random()
        if chance < 0.30:
            self._make()
        elif chance < 0.38:
            self._take()
        elif chance < 0.50:
            self._change_other()
        elif chance < 0.80:
            self._new()
        elif chance < 0.88:
            self._change_own()
        elif chance < 0.95:
            self._cancel_own()
        elif chance < 0.97:
            self.do(steps.tick(self._now))
        else:
            self.do(steps.book(self._now, 5))

    # Others.

    def _next_other(self) -> int:
        self._other_id += 1
        return self._other_id

    def _middle(self) -> int:
        bid, ask = self.side.best()
        if bid > self.far_bid and self.far_ask > ask > 0:
            return (bid + ask) // 2
        return bid if bid > self.far_bid else ask if self.far_ask > ask > 0 else MIDDLE

    def _make(self) -> None:
        rng = self._rng
        side = int(rng.integers(1, 3))
        away = int(rng.integers(-1, 9)) if rng.random() < 0.9 else int(rng.integers(-6, 40))
        price = self._middle() + (-away if side == BUY else away)
        self.do(steps.add(self._now, self._next_other(), side, price, int(rng.integers(1, 21))))

    def _take(self) -> None:
        rng = self._rng
        side = int(rng.integers(1, 3))
        reach = int(rng.integers(0, 12))
        price = self._middle() + (reach if side == BUY else -reach)
        self.do(steps.add(self._now, self._next_other(), side, price, int(rng.integers(1, 60)), rest=False))

    def _change_other(self) -> None:
        rng, others = self._rng, self.side.others
        known = [order for order in list(others)[-60:] if others[order][2] < WALL // 2]
        if not known:
            return
        order = int(rng.choice(known))
        _, price, leaves, _ = others[order]
        chance = rng.random()
        if chance < 0.5:
            self.do(steps.put(self._now, order, 0))
        elif chance < 0.7:
            self.do(steps.put(self._now, order, int(rng.integers(0, leaves + 2))))
        else:
            moved = price + int(rng.integers(-3, 4))
            self.do(steps.move(self._now, order, max(2, moved), int(rng.integers(1, 21))))

    # Own orders.

    def _turn(self) -> None:
        for order in list(self.side.open):
            self.do(steps.cancel(self._now, order))
        self._regime = opposite(self._regime)

    def _near(self) -> int:
        return self._middle() + int(self._rng.integers(-self._reach, self._reach + 1))

    def _clear_the_way(self, side: int, price: int) -> None:
        for order, state in list(self.side.open.items()):
            if state["side"] != side and not state["waiting"] and crosses(side, price, state["price"]):
                self.do(steps.cancel(self._now, order))

    def _clear_stop_limits(self, side: int, price: int, trigger: int = 0) -> None:
        """No own order of the side stands between the limit and the trigger of a stop-limit that enters (`trigger`), or
        waits: the peer would fill them in another order (`triggered-stop-limit-goes-first`)."""
        for order, state in list(self.side.open.items()):
            entered = self.side.entered[order]
            if state["side"] != side:
                continue
            waits = state["waiting"] and entered["type"] == "stop_limit"
            first, last = sorted((entered["price"], entered["trigger"]) if waits else (price, trigger or price))
            if (waits and first <= price <= last) or (
                trigger and not state["waiting"] and first <= state["price"] <= last
            ):
                self.do(steps.cancel(self._now, order))

    def _new(self) -> None:
        rng = self._rng
        limits = self._style == "limits"
        side = int(rng.integers(1, 3)) if limits else self._regime
        quantity = int(rng.integers(1, self._size))
        price = self._near()
        chance = rng.random()
        if (self._style == "stops" and chance < 0.35) or (self._style == "reduce" and chance < 0.08):
            self._new_stop(side, quantity)
            return
        likely = 0.6 if self._held(side) > 0 else 0.1
        life: dict[str, object] = {"reduce_only": self._style == "reduce" and rng.random() < likely}
        if chance < 0.45:
            life["order_type"], life["tif"], price = "market", str(rng.choice(["IOC", "FOK"])), 0
        elif chance < 0.65:
            life["tif"] = str(rng.choice(["IOC", "FOK"]))
        elif chance < 0.75:
            life["tif"], life["expire"] = "GTD", self._now + int(rng.integers(1, 120))
        elif chance < 0.80:
            life["tif"] = "DAY"
        elif chance < 0.90:
            life["post_only"] = True
        if self._style == "reduce":
            quantity = self._fit(side, quantity, bool(life["reduce_only"]))
        self._clear_the_way(side, price)
        self._clear_stop_limits(side, price)
        self._own_id += 1
        self.do(steps.new(self._now, self._own_id, side, quantity, price, **life))  # type: ignore[arg-type]

    def _new_stop(self, side: int, quantity: int) -> None:
        rng = self._rng
        if any(state["waiting"] for state in self.side.open.values()):
            return
        ahead = int(rng.integers(-1, 2 * self._reach))
        trigger = self._middle() + (ahead if side == BUY else -ahead)
        life: dict[str, object] = {"trigger": trigger, "order_type": "stop"}
        price = 0
        if self._style == "reduce":
            if self._held(side) <= 0:
                return
            life["reduce_only"], quantity = True, self._fit(side, quantity, True)
        if rng.random() < 0.5:
            reach = int(rng.integers(-2, self._reach))
            life["order_type"], price = "stop_limit", trigger + (reach if side == BUY else -reach)
            self._clear_stop_limits(side, price, trigger)
        if rng.random() < 0.3:
            life["tif"], life["expire"] = "GTD", self._now + int(rng.integers(1, 120))
        self._own_id += 1
        self.do(steps.new(self._now, self._own_id, side, quantity, price, **life))  # type: ignore[arg-type]

    def _held(self, side: int) -> int:
        """What an order of this side may reduce."""
        return -self.side.position if side == BUY else self.side.position

    def _fit(self, side: int, quantity: int, reduce_only: bool) -> int:
        """The quantity to send; where too much might then fill beside a reduce-only order, what is open goes first."""
        held = self._held(side)
        guarded = [order for order in self.side.open if self.side.entered[order]["reduce_only"]]
        if not guarded and not (reduce_only and self.side.open):
            return min(quantity, held) if reduce_only and held > 0 else quantity
        if sum(state["leaves"] for state in self.side.open.values()) + quantity >= held:
            for order in list(self.side.open):
                self.do(steps.cancel(self._now, order))
            return min(quantity, held) if reduce_only and held > 0 else quantity
        return quantity

    def _own(self, *, waiting: bool) -> int | None:
        known = [order for order, state in self.side.open.items() if waiting or not state["waiting"]]
        return int(self._rng.choice(known)) if known else None

    def _cancel_own(self) -> None:
        if self._rng.random() < 0.05 and self._own_id:
            self.do(steps.cancel(self._now, int(self._rng.integers(1, self._own_id + 1))))
            return
        order = self._own(waiting=True)
        if order is not None:
            self.do(steps.cancel(self._now, order))

    def _change_own(self) -> None:
        order = self._own(waiting=False)
        if order is None:
            return
        rng, state = self._rng, self.side.open[order]
        prices = [other["price"] for other in self.side.open.values()]
        total = state["filled"] + int(rng.integers(1, state["leaves"] + 1))
        price = state["price"]
        if rng.random() < 0.6:
            price = self._near()
            if price in prices:
                price = state["price"]
        if self._style != "reduce" and prices.count(state["price"]) == 1 and rng.random() < 0.5:
            total = state["filled"] + int(rng.integers(1, self._size))
        if price != state["price"]:
            self._clear_the_way(state["side"], price)
            self._clear_stop_limits(state["side"], price)
        self.do(steps.replace(self._now, order, total, price))
