"""Naive twin of `nautilus.core.feature_feed`: one dictionary per instrument, decimals from `Instrument`."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nautilus.core.ticks import GAP_FLAG
from nautilus.model.enums import RecordFlag, Side
from nautilus.model.instrument import Instrument

STALE, SYNTHETIC = int(RecordFlag.STALE), int(RecordFlag.SYNTHETIC)
SIGNS = {int(Side.BUY): 1.0, int(Side.SELL): -1.0}


class NaiveFeed:
    """Rows by instrument id: (time, when it was known, numbers)."""

    def __init__(self, source: str, instruments: list[Instrument], kind: int = 0, size: int = 0) -> None:
        self.source, self.kind, self.size = source, kind, size
        self.instruments = {each.instrument_id: each for each in instruments}
        self.rows: dict[int, list[tuple[int, int, tuple[float, ...]]]] = {each: [] for each in self.instruments}
        self.touch: dict[int, tuple[float, float]] = {}
        self.gaps: Counter[int] = Counter()
        self.synthetic: Counter[int] = Counter()
        self.counts: Counter[str] = Counter()
        self.update_ids: dict[int, int] = {}
        self.trade_ids: dict[int, list[int]] = {}  # of the newest stamp

    def feed(self, what: str, records: list[dict[str, Any]]) -> None:
        for record in records:
            found = self.instruments.get(record["instrument_id"])
            refused = "unknown" if found is None else getattr(self, f"_{what}")(found, record)
            self.counts[refused or "taken"] += refused != ""

    def _put(self, record: dict[str, Any], time_ns: int, numbers: tuple[float, ...]) -> str:
        number = record["instrument_id"]
        self.rows[number].append((time_ns, record["now_ns"], numbers))
        self.gaps[number] += bool(record["flags"] & GAP_FLAG)
        self.synthetic[number] += bool(record["flags"] & SYNTHETIC)
        return "taken"

    def _bars(self, found: Instrument, bar: dict[str, Any]) -> str:
        rows = self.rows[found.instrument_id]
        if (bar["kind"], bar["size"]) != (self.kind, self.size):
            return "foreign"
        if bar["flags"] & STALE:
            return "stale"
        if bar["end_ns"] <= (rows[-1][0] if rows else 0):
            return "late"
        prices = tuple(float(found.price(bar[f"{name}_ticks"])) for name in ("open", "high", "low", "close"))
        return self._put(bar, bar["end_ns"], (*prices, float(found.quantity(bar["volume"]))))

    def _quotes(self, found: Instrument, quote: dict[str, Any]) -> str:
        number = found.instrument_id
        rows = self.rows[number]
        bid, ask = float(found.price(quote["bid_ticks"])), float(found.price(quote["ask_ticks"]))
        if min(quote["bid_quantity"], quote["ask_quantity"]) <= 0:
            self.touch.pop(number, None)
            return "one_sided"
        if quote["flags"] & STALE:
            return "stale"
        if bid > ask:
            return "crossed"
        if self.source == "trade":
            self.touch[number] = (bid, ask)
            return ""
        if quote["now_ns"] < (rows[-1][1] if rows else 0):
            return "late"
        sizes = [float(found.quantity(quote[f"{side}_quantity"])) for side in ("bid", "ask")]
        numbers = (bid, sizes[0], ask, sizes[1])
        same = quote["update_id"] and quote["update_id"] == self.update_ids.get(number)
        if same and rows and rows[-1][1:] == (quote["now_ns"], numbers):
            return "duplicates"
        self.update_ids[number] = quote["update_id"]
        return self._put(quote, quote["venue_ns"] or quote["now_ns"], numbers)

    def _trades(self, found: Instrument, trade: dict[str, Any]) -> str:
        number = found.instrument_id
        rows = self.rows[number]
        if trade["flags"] & STALE:
            return "stale"
        if trade["now_ns"] < (rows[-1][1] if rows else 0):
            return "late"
        if not rows or trade["now_ns"] > rows[-1][1]:
            self.trade_ids[number] = []
        if trade["trade_id"] and trade["trade_id"] in self.trade_ids[number][-16:]:
            return "duplicates"
        self.trade_ids[number] += [trade["trade_id"]] if trade["trade_id"] else []
        price, size = float(found.price(trade["price_ticks"])), float(found.quantity(trade["quantity"]))
        sign = SIGNS.get(trade["side"], 0.0)
        touch = self.touch.get(number, (price, price))
        return self._put(trade, trade["venue_ns"] or trade["now_ns"], (price, size, sign, *touch))
