"""Recorded flow for differential runs: all others are a recording, own orders are drawn in between.

A recording becomes steps of order-by-order kind. Executions are orders of somebody else that are dropped when they have
met what they meet, so that an own order which stands in front of the recorded ones is filled. What own orders took is
gone until the recording says something new about that order (order by order) or that level (level by level).
"""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path

from tests.kit.differential import peer, steps
from tests.kit.differential.kernel_side import KernelSide, opposite
from tests.kit.differential.random_flow import RandomFlow
from tests.kit.differential.steps import BUY, SELL, Step

NEAR_TICKS = 3_000  # levels farther from the middle of a level recording's snapshot are left out
DECODE = Path(__file__).with_name("decode_mbo.py")


class RecordedFlow(RandomFlow):
    """A recording with own orders in between; `reach` (ticks) and `size` (lots) scale them."""

    far_ask = 20_000_000  # above all recorded prices, near enough for what the peer's money can hold

    def __init__(
        self, recording: Recording, seed: int, style: str = "limits", *, reach: int = 6, size: int = 30
    ) -> None:
        super().__init__(seed, style, reach=reach, size=size)
        self._recorded = recording.steps(self.side)

    def run(self, count: int, start: int = 0) -> None:
        """`start` recorded steps alone (the book as it was found), then at most `count` with own orders in between."""
        self.do(steps.add(self._now, self._next_other(), BUY, self.far_bid, self.wall))
        self.do(steps.add(self._now, self._next_other(), SELL, self.far_ask, self.wall))
        for step in islice(self._recorded, start):
            self.do({**step, "now": self._now})
        while len(self.steps) < start + count:
            self.draw()
        self.trace.append(self.side.final())

    def _make(self) -> None:
        self._next_recorded()

    def _take(self) -> None:
        self._next_recorded()

    def _change_other(self) -> None:
        self._next_recorded()

    def _next_recorded(self) -> None:
        step = next(self._recorded, None)
        if step is not None:
            self.do({**step, "now": self._now})


class Recording:
    """What a recording says, as steps without a time; ids above those of random flows."""

    def __init__(self) -> None:
        self._ids = 10_000_000
        self._names: dict[object, int] = {}

    def steps(self, side: KernelSide) -> Iterator[Step]:
        """The steps one by one; `side` shows what is left of the recorded orders."""
        raise NotImplementedError

    def _fresh(self) -> int:
        self._ids += 1
        return self._ids

    def _named(self, name: object) -> int:
        if name not in self._names:
            self._names[name] = self._fresh()
        return self._names[name]


class Lobster(Recording):
    """LOBSTER messages over the first row of the book; a tick is a cent."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        (self._messages,) = directory.glob("*message*.csv")
        (self._book,) = directory.glob("*orderbook*.csv")

    def steps(self, side: KernelSide) -> Iterator[Step]:
        levels: dict[tuple[int, int], int] = {}
        with self._book.open() as rows:
            first = [int(cell) for cell in next(csv.reader(rows))]
        for row in range(0, len(first), 4):
            for direction, price, quantity in ((SELL, *first[row : row + 2]), (BUY, *first[row + 2 : row + 4])):
                levels[direction, price // 100] = order = self._fresh()
                yield steps.add(0, order, direction, price // 100, quantity)
        with self._messages.open() as rows:
            for _, kind, name, size, price, direction in list(csv.reader(rows))[1:]:
                what, quantity, ticks = int(kind), int(size), int(price) // 100
                buy_or_sell = BUY if int(direction) == 1 else SELL
                if what == 1:
                    yield steps.add(0, self._named(name), buy_or_sell, ticks, quantity)
                elif what in (2, 3):
                    order = self._names.get(name) or levels.get((buy_or_sell, ticks), 0)
                    left = side.others[order][2] if order in side.others else 0
                    yield steps.put(0, order, 0 if what == 3 and name in self._names else max(0, left - quantity))
                elif what == 4:
                    yield steps.add(0, self._fresh(), opposite(buy_or_sell), ticks, quantity, rest=False)


class MarketByOrder(Recording):
    """A DBN file of market-by-order records; a tick is `tick` units of 1e-9."""

    def __init__(self, path: Path, tick: int = 250_000_000) -> None:
        super().__init__()
        command = [peer.interpreter(), "-I", str(DECODE), str(path)]
        lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
        self.records = [json.loads(line) for line in lines.splitlines()]
        self._tick = tick
        changes = [row for row, record in enumerate(self.records) if record[0] not in "AR"]
        self.start = changes[0] if changes else len(self.records)

    def steps(self, side: KernelSide) -> Iterator[Step]:
        told: dict[int, int] = {}  # what the recording says is left of each order
        for action, direction, price, size, name in self.records:
            buy_or_sell, ticks = (BUY if direction == "B" else SELL), price // self._tick
            order = self._named(name)
            if action == "A":
                yield steps.add(0, order, buy_or_sell, ticks, size)
                told[order] = size
            elif action == "C":  # also said of what a trade before it took: then nothing more is left to take
                told[order] = max(0, told.get(order, 0) - size)
                yield steps.put(0, order, told[order])
            elif action == "M":
                told[order] = size
                yield steps.move(0, order, ticks, size)
            elif action == "T":
                yield steps.add(0, self._fresh(), buy_or_sell, ticks, size, rest=False)


class Binance(Recording):
    """A raw log of depth diffs and trades; whole updates, levels as orders: more of a level joins at its back."""

    def __init__(self, path: Path, tick: str, lot: str, records: int) -> None:
        super().__init__()
        self._path, self._records = path, records
        self._tick, self._lot = Decimal(tick), Decimal(lot)
        self._level: dict[tuple[int, int], list[int]] = {}

    def steps(self, side: KernelSide) -> Iterator[Step]:
        known = False
        with gzip.open(self._path, "rt") as lines:
            for line in islice((line for line in lines if line.strip()), self._records):
                message = json.loads(line.split(" ", 1)[1])
                data = message.get("data", message)
                if "lastUpdateId" in data:
                    known = True
                    yield from self._levels(side, data["bids"], data["asks"], first=True)
                elif known and data.get("e") == "depthUpdate":
                    yield from self._levels(side, data["b"], data["a"])
                elif known and data.get("e") == "trade":
                    seller = SELL if data["m"] else BUY
                    quantity = int(Decimal(data["q"]) / self._lot)
                    price = int(Decimal(data["p"]) / self._tick)
                    if quantity:
                        yield steps.add(0, self._fresh(), seller, price, quantity, rest=False)

    def _levels(
        self, side: KernelSide, bids: list[list[str]], asks: list[list[str]], *, first: bool = False
    ) -> Iterator[Step]:
        if first:
            self._middle = (int(Decimal(bids[0][0]) / self._tick) + int(Decimal(asks[0][0]) / self._tick)) // 2
        told = [
            (direction, int(Decimal(price) / self._tick), int(Decimal(quantity) / self._lot))
            for direction, rows in ((BUY, bids), (SELL, asks))
            for price, quantity in rows
        ]
        told = [level for level in told if abs(level[1] - self._middle) <= NEAR_TICKS]
        for direction, price, quantity in sorted(told, key=lambda level: level[2]):  # what shrinks to nothing first
            yield from self._to(side, direction, price, quantity)

    def _to(self, side: KernelSide, direction: int, price: int, quantity: int) -> Iterator[Step]:
        orders = self._level.setdefault((direction, price), [])
        orders[:] = [order for order in orders if order in side.others]
        excess = sum(side.others[order][2] for order in orders) - quantity
        if excess < 0:
            orders.append(self._fresh())
            yield steps.add(0, orders[-1], direction, price, -excess)
        for order in reversed(orders):
            if excess <= 0:
                return
            left = side.others[order][2] if order in side.others else 0  # own orders act between two steps
            yield steps.put(0, order, max(0, left - excess))
            excess -= left
