"""Naive twins of `nautilus.core.bars.BarBuilder` and `nautilus.core.flow.FlowBuilder`: lists of everything seen."""

from __future__ import annotations

from typing import Any

from nautilus.core.ticks import GAP_FLAG, BarKind
from nautilus.model.enums import BookAction, RecordFlag

LAST, SNAPSHOT, STALE = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT), int(RecordFlag.STALE)
INHERITED = int(RecordFlag.SYNTHETIC) | STALE | GAP_FLAG
Trade = dict[str, int]
Row = tuple[Any, ...]


class NaiveBars:
    """Bars of one instrument, as tuples in the order of the fields of BAR."""

    def __init__(
        self, kind: BarKind, size: int, weight: str, alpha: float, *, venue_clock: bool = True, empty: bool = False
    ) -> None:
        self.kind, self.size, self.weight, self.alpha = kind, size, weight, alpha
        self.venue_clock, self.empty = venue_clock, empty
        self.out: list[Row] = []
        self.trades: list[Trade] = []
        self.signs: list[int] = []
        self.begin: int | None = None
        self.close = 0
        self.price: int | None = None
        self.late = 0
        self.whole: list[tuple[int, float]] = []
        self.expected: tuple[float, float] = (float(size), 0.0)

    def process(self, trades: list[Trade]) -> None:
        for trade in trades:
            if self.kind == BarKind.TIME:
                self._roll(self._stamp(trade), trade["now_ns"])
            self.trades.append(trade)
            self.signs.append(self._sign(trade))
            self.price = trade["price_ticks"]
            if self._met():
                self._end(trade["now_ns"])

    def advance(self, now_ns: int) -> None:
        if self.kind == BarKind.TIME and self.begin is not None and now_ns // self.size * self.size > self.begin:
            self._roll(now_ns, now_ns)

    def flush(self) -> None:
        if self.trades:
            self._end(self.trades[-1]["now_ns"], flag=0)
        self.begin = None

    def _stamp(self, trade: Trade) -> int:
        return (self.venue_clock and trade["venue_ns"]) or trade["now_ns"]

    def _roll(self, stamp: int, now_ns: int) -> None:
        begin = stamp // self.size * self.size
        if self.begin is not None and begin < self.begin:
            self.late += 1
            return
        while self.begin is not None and self.begin < begin:
            if self.trades or self.empty:
                self._end(now_ns)
            self.begin += self.size
        self.begin = begin

    def _sign(self, trade: Trade) -> int:
        if trade["side"]:
            return 1 if trade["side"] == 1 else -1
        if self.price is None or trade["price_ticks"] > self.price:
            return 1
        return -1 if trade["price_ticks"] < self.price else self.last_sign

    def _weight(self, trade: Trade) -> int:
        lots = trade["quantity"]
        return {"trades": 1, "lots": lots, "value": abs(trade["price_ticks"]) * lots}[self.weight]

    def _theta(self) -> int:
        return sum(sign * self._weight(trade) for sign, trade in zip(self.signs, self.trades, strict=True))

    def _met(self) -> bool:
        self.last_sign = self.signs[-1]
        if self.kind == BarKind.TIME:
            return False
        count = len(self.trades)
        if self.kind == BarKind.IMBALANCE:
            if not self.whole:
                return count == self.size
            length, flow = self.expected
            enough = abs(float(self._theta())) >= length * abs(flow)
            return count >= 10 * self.size or (enough and count >= max(1, self.size // 10))
        of = {
            BarKind.TICK: lambda trade: 1,
            BarKind.VOLUME: lambda trade: trade["quantity"],
            BarKind.DOLLAR: lambda trade: abs(trade["price_ticks"] * trade["quantity"]),
        }[self.kind]
        return sum(of(trade) for trade in self.trades) >= self.size

    def _end(self, now_ns: int, flag: int = LAST) -> None:
        trades = self.trades
        prices = [trade["price_ticks"] for trade in trades] or [self.close]
        if self.kind == BarKind.TIME:
            assert self.begin is not None
            begin, end = self.begin, self.begin + self.size
        else:
            begin, end = self._stamp(trades[0]), self._stamp(trades[-1])
        volume = sum(trade["quantity"] for trade in trades)
        bought = sum(trade["quantity"] for trade in trades if trade["side"] == 1)
        notional = float(sum(trade["price_ticks"] * trade["quantity"] for trade in trades))
        for trade in trades:
            flag |= trade["flags"] & INHERITED
        instrument = trades[0]["instrument_id"] if trades else self.out[-1][12]
        sums = (prices[0], max(prices), min(prices), prices[-1], volume, bought, notional, self.size, len(trades))
        self.out.append((now_ns, begin, end, *sums, instrument, int(self.kind), 0, flag, 0))
        if self.kind == BarKind.IMBALANCE and flag & LAST:
            mean = float(self._theta()) / float(len(trades))
            length, flow = self.expected
            if self.whole:
                length, flow = length + self.alpha * (len(trades) - length), flow + self.alpha * (mean - flow)
            else:
                length, flow = float(len(trades)), mean
            self.expected = (length, flow)
            self.whole.append(self.expected)
        self.close = prices[-1]
        self.trades, self.signs = [], []


class NaiveFlow:
    """Order-flow imbalance of one instrument, as tuples in the order of the fields of FLOW."""

    def __init__(self, instrument_id: int, *, interval_ns: int = 0, updates: int = 0, levels: int = 1) -> None:
        self.instrument_id, self.interval_ns, self.most, self.levels = instrument_id, interval_ns, updates, levels
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.old: list[list[tuple[float, int]]] | None = None
        self.open: list[tuple[int, int, int, int, int]] = []
        self.out: list[Row] = []

    def quote(self, quote: dict[str, int]) -> None:
        sides = [[(quote["bid_ticks"], quote["bid_quantity"])], [(quote["ask_ticks"], quote["ask_quantity"])]]
        stale = bool(quote["flags"] & STALE)
        self._update(sides, quote["now_ns"], quote["flags"], image=stale)
        if stale:
            self.old = None
            self.open = [(*each[:4], each[4] | STALE) for each in self.open]

    def delta(self, delta: dict[str, int]) -> None:
        side = self.sides[delta["side"] - 1]
        if delta["action"] == BookAction.CLEAR:
            side.clear()
        elif delta["quantity"]:
            side[delta["price_ticks"]] = delta["quantity"]
        else:
            side.pop(delta["price_ticks"], None)
        if delta["flags"] & LAST:
            bids, asks = self.sides
            best = [sorted(bids.items(), reverse=True)[: self.levels], sorted(asks.items())[: self.levels]]
            self._update(best, delta["now_ns"], delta["flags"], image=bool(delta["flags"] & SNAPSHOT))

    def _update(self, sides: list[list[tuple[int, int]]], now_ns: int, flags: int, *, image: bool = False) -> None:
        behind = (float("-inf"), float("inf"))
        now: list[list[tuple[float, int]]] = []
        for nothing, side in zip(behind, sides, strict=True):
            levels: list[tuple[float, int]] = [(price if lots else nothing, lots) for price, lots in side]
            now.append(levels + [(nothing, 0)] * (self.levels - len(levels)))
        every = self.interval_ns
        if every and self.open and now_ns // every > self.open[0][0] // every:
            self._end(LAST)
        if self.old is not None and not image:
            total = 0
            for (bid, bids), (old_bid, old_bids) in zip(now[0], self.old[0], strict=True):
                total += bids * (bid >= old_bid) - old_bids * (bid <= old_bid)
            for (ask, asks), (old_ask, old_asks) in zip(now[1], self.old[1], strict=True):
                total += old_asks * (ask >= old_ask) - asks * (ask <= old_ask)
            depth = [sum(lots for _, lots in side) for side in now]
            self.open.append((now_ns, total, *depth, flags & INHERITED))
            if self.most and len(self.open) == self.most:
                self._end(LAST)
        self.old = now

    def flush(self) -> None:
        if self.open:
            self._end(0)

    def _end(self, flags: int) -> None:
        first = self.open[0][0]
        begin = first - first % self.interval_ns if self.interval_ns else first
        sums = [sum(each[at] for each in self.open) for at in (1, 2, 3)]
        for each in self.open:
            flags |= each[4]
        last = self.open[-1][0]
        self.out.append((last, begin, *sums, len(self.open), self.instrument_id, self.levels, 0, flags, 0))
        self.open = []
