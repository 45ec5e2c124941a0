"""The tree that limits are on: firm, desk, portfolio, strategy, instrument, and the positions that hang on it.

Everything is kept as sums of whole units of 10^-8 of the reporting currency, so that what is added and taken away again
leaves nothing behind, and an event costs the same however many instruments there are.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nautilus.engines.risk.limits import (
    CONCENTRATION,
    DRAWDOWN,
    GROSS,
    LEVERAGE,
    LOSS,
    MARGIN,
    NET,
    NOTIONAL,
    ORDER_RATE,
    POSITION,
    VAR,
    Scope,
    Watch,
)
from nautilus.model.position import Position

UNIT: Final = 1e-8
"""Of the reporting currency, is one unit."""
Outcomes = NDArray[np.float64]


class Largest:
    """The largest of values that change, each in the time of a logarithm: a heap that leaves old entries behind."""

    __slots__ = ("_heap", "_values")

    def __init__(self, values: Iterable[tuple[int, float]] = ()) -> None:
        self._values = dict(values)
        self._heap = [(-value, key) for key, value in self._values.items()]
        heapq.heapify(self._heap)

    def set(self, key: int, value: float) -> None:
        """Change a value, or add one."""
        if self._values.get(key) == value:
            return
        self._values[key] = value
        if len(self._heap) > 2 * len(self._values) + 64:
            self._heap = [(-each, name) for name, each in self._values.items()]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (-value, key))

    def get(self, key: int) -> float | None:
        """The value of a key; None: it has none."""
        return self._values.get(key)

    @property
    def top(self) -> float:
        """The largest; 0 where there is none."""
        heap, values = self._heap, self._values
        while heap:
            value, key = heap[0]
            if values.get(key) == -value:
                return -value
            heapq.heappop(heap)
        return 0.0


class Open:
    """Open orders in one instrument: lots that they buy and sell, and what worth changes by if they do, in units."""

    __slots__ = ("buys", "down", "sells", "up")

    def __init__(self) -> None:
        self.buys = self.sells = self.up = self.down = 0

    def __bool__(self) -> bool:
        return bool(self.buys or self.sells or self.up or self.down)


def worst(value: int, up: int, down: int) -> int:
    """The largest size: as it is, with all that makes it more, or with all that makes it less."""
    return max(abs(value), abs(value + up), abs(value + down))


class Node:
    """One scope: sums over the positions under it, and the limits on them.

    Attributes
    ----------
    orders : times of new orders, where their rate is limited.
    open_orders : how many there are.
    opens : of each instrument that open orders are in.
    up, down, extra : units: what `net` changes by if all open orders to buy, or all to sell, are filled; what `gross`
        grows by at most.
    unseen : positions whose open orders cannot be valued for want of a price or a rate.
    net, gross, profit, peak : units; `gross` is of all positions under it, where nothing offsets anything.
    lots, nets : of each instrument, signed: lots, and worth in units.
    unvalued : positions that cannot be valued for want of a rate.
    scenario : profit of the net positions at each past return; None: nobody looks at it.
    unmeasured : positions without a history.
    nav : of a portfolio, as the portfolio engine has it; None: not known; `synthetic`: of marks that no venue sent.
    margin : of a portfolio, needed by what there is; None: not known.
    """

    __slots__ = (
        "account_id",
        "down",
        "extra",
        "gross",
        "instrument_id",
        "lots",
        "margin",
        "nav",
        "net",
        "nets",
        "notionals",
        "open_orders",
        "opens",
        "orders",
        "peak",
        "positions",
        "profit",
        "scenario",
        "scope",
        "strategy_id",
        "synthetic",
        "unmeasured",
        "unseen",
        "unvalued",
        "up",
        "watches",
        "worst_notionals",
        "worst_positions",
    )

    def __init__(self, scope: Scope, account_id: int = 0, strategy_id: int = 0, instrument_id: int = 0) -> None:
        self.scope = scope
        self.account_id, self.strategy_id, self.instrument_id = account_id, strategy_id, instrument_id
        self.net = self.gross = self.profit = self.peak = 0
        self.lots: dict[int, int] = {}
        self.nets: dict[int, int] = {}
        self.unvalued = self.unmeasured = self.unseen = 0
        self.open_orders = self.up = self.down = self.extra = 0
        self.opens: dict[int, Open] = {}
        self.nav: float | None = None
        self.synthetic = False
        self.margin: float | None = None
        self.orders: deque[int] = deque()
        self.watches: dict[str, Watch] = {}
        self.scenario: Outcomes | None = None
        self.positions: Largest | None = None
        self.notionals: Largest | None = None
        # The same with open orders, of the instruments that some are in: where there are none, it is the same.
        self.worst_positions: Largest | None = None
        self.worst_notionals: Largest | None = None

    def move(self, instrument_id: int, lots: int, net: int, gross: int, profit: int) -> None:
        """Add differences of one instrument."""
        self.net += net
        self.gross += gross
        self.profit += profit
        if lots:
            self.lots[instrument_id] = self.lots.get(instrument_id, 0) + lots
        if net:
            self.nets[instrument_id] = self.nets.get(instrument_id, 0) + net

    def move_open(self, instrument_id: int, buys: int, sells: int, up: int, down: int, extra: int) -> None:
        """Add differences of the open orders in one instrument."""
        self.up += up
        self.down += down
        self.extra += extra
        found = self.opens.get(instrument_id)
        if found is None:
            found = self.opens[instrument_id] = Open()
        found.buys += buys
        found.sells += sells
        found.up += up
        found.down += down
        if not found:
            del self.opens[instrument_id]

    def worst_lots(self, instrument_id: int, more: int = 0) -> int:
        """The largest position in an instrument that open orders may lead to; `more`: lots that are held besides."""
        held, found = self.lots.get(instrument_id, 0) + more, self.opens.get(instrument_id)
        return abs(held) if found is None else worst(held, found.buys, -found.sells)

    def worst_worth(self, instrument_id: int, net: int = 0, up: int = 0, down: int = 0) -> int:
        """The same of what it is worth; `net`, `up`, `down`: changes of what there is."""
        worth, found = self.nets.get(instrument_id, 0) + net, self.opens.get(instrument_id)
        return worst(worth, up + (found.up if found else 0), down + (found.down if found else 0))

    def value_of(self, control: str, level: float) -> float | None:
        """What a limit of this control is compared with; None: it cannot be known."""
        if control == ORDER_RATE:
            return float(len(self.orders))
        if control == MARGIN:
            return self.margin
        if control == POSITION:
            return self.positions.top if self.positions is not None else 0.0
        if self.unvalued:
            return None
        if control == GROSS:
            return self.gross * UNIT
        if control == NET:
            return abs(self.net) * UNIT
        if control == LOSS:
            return max(0, -self.profit) * UNIT
        if control == DRAWDOWN:
            return (self.peak - self.profit) * UNIT
        if control == LEVERAGE:
            return None if self.nav is None or self.nav <= 0.0 else self.gross * UNIT / self.nav
        if control == VAR:
            return None if self.scenario is None or self.unmeasured else value_at_risk(self.scenario, level)
        largest = self.notionals.top if self.notionals is not None else 0.0
        if control == NOTIONAL:
            return largest * UNIT
        assert control == CONCENTRATION, control
        return largest / self.gross if self.gross else 0.0


class Leaf:
    """A strategy's position in an instrument of a portfolio, as valued last, and its open orders.

    Attributes
    ----------
    buys, sells : lots that open orders may still fill.
    order_ticks : price of the last order; 0: none had one.
    up, down, extra : see `Node`.
    seen : open orders can be valued, or there are none.
    """

    __slots__ = (
        "buys",
        "down",
        "extra",
        "gross",
        "instrument_id",
        "last_ticks",
        "measured",
        "net",
        "order_ticks",
        "path",
        "position",
        "profit",
        "seen",
        "sells",
        "up",
        "valued",
    )

    def __init__(self, position: Position, path: tuple[Node, ...]) -> None:
        self.position = position
        self.instrument_id = position.instrument_id
        self.path = path
        self.last_ticks = 0
        self.net = self.gross = self.profit = 0
        self.buys = self.sells = self.order_ticks = 0
        self.up = self.down = self.extra = 0
        self.valued = self.measured = self.seen = True


def value_at_risk(outcomes: Outcomes, level: float) -> float:
    """`nautilus.maths.var.historical_var` of outcomes that are known to be finite, without a copy more."""
    place = round(1.0 - level, 12) * (outcomes.size - 1)
    index = int(place)
    after = min(index + 1, outcomes.size - 1)
    found = np.partition(outcomes, (index, after))
    low, high = float(found[index]), float(found[after])
    return 0.0 - (low + (high - low) * (place - index))


def node_rows(nodes: Iterable[Node]) -> list[list[Any]]:
    """What of nodes is not made of positions: peaks, times of orders, and limits that are breached."""
    rows = []
    for node in nodes:
        flags = [
            [name, each.soft_on, each.hard_on] for name, each in node.watches.items() if each.soft_on or each.hard_on
        ]
        if node.peak or flags or node.orders or node.nav is not None or node.margin is not None:
            rows.append([list(node.scope), node.peak, list(node.orders), flags, node.nav, node.margin])
    return rows


__all__ = ["UNIT", "Largest", "Leaf", "Node", "Open", "Outcomes", "node_rows", "value_at_risk", "worst"]
