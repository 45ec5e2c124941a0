"""Naive twin of `nautilus.core.normalise.Normaliser`: fractions and dictionaries, one tick at a time."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from nautilus.core.ticks import GAP_FLAG, TickKind, TickReason
from nautilus.model.enums import BookAction, RecordFlag

QUOTE, TRADE, LEVEL, CLEAR = TickKind
MOST = 1 << 40
MOST_NS = 1 << 62
Tick = dict[str, int]
Numbered = dict[str, int]


class RefusedError(Exception):
    """A tick does not pass."""

    def __init__(self, reason: TickReason, reference: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reference = reference


class NaiveNormaliser:
    """Same rules and the same outputs, as lists of tuples in the order of the records' fields."""

    def __init__(
        self,
        instruments: dict[int, tuple[str, str, bool]],
        *,
        future_ns: int = 1_000_000_000,
        past_ns: int = 0,
        late_ns: int = 0,
        jump_bps: int = 1_000,
        jump_ticks: int = 10,
        agreeing: int = 3,
        consecutive: tuple[TickKind, ...] = (TRADE,),
        locked: bool = False,
        source_id: int = 0,
    ) -> None:
        self.units = {key: (Fraction(tick), Fraction(lot), low) for key, (tick, lot, low) in instruments.items()}
        self.future_ns, self.past_ns, self.late_ns = future_ns, past_ns, late_ns
        self.jump_bps, self.jump_ticks, self.agreeing = jump_bps, jump_ticks, agreeing
        self.consecutive = {min(kind, LEVEL) for kind in consecutive}
        self.locked, self.source_id = locked, source_id
        self.streams: dict[tuple[int, int], Numbered] = {}
        self.prices: dict[int, dict[str, Any]] = {}
        self.quotes: list[tuple[int, ...]] = []
        self.trades: list[tuple[int, ...]] = []
        self.levels: list[tuple[int, ...]] = []
        self.quarantine: list[tuple[Tick, TickReason, int]] = []
        self.gaps = 0
        self.lost: dict[int, list[int]] = {}  # flags of refused changes of a book that no record tells of yet

    def process(self, ticks: list[Tick]) -> None:
        for tick in ticks:
            try:
                self._take(tick)
            except RefusedError as refused:
                self.quarantine.append((tick, refused.reason, refused.reference))
                again = refused.reason in (TickReason.DUPLICATE, TickReason.OUT_OF_ORDER)
                if tick["kind"] in (LEVEL, CLEAR) and tick["instrument_id"] in self.units and not again:
                    self.lost.setdefault(tick["instrument_id"], []).append(tick["quantity_2"])

    def _take(self, tick: Tick) -> None:
        values = self._structure(tick)
        key = (tick["instrument_id"], min(tick["kind"], LEVEL))
        stream = self.streams.setdefault(key, {"sequence": 0, "venue_ns": 0, "back": 0, "restarted": 0, "open": 0})
        gap = self._order(tick, stream)
        self._content(tick, values)
        stream["restarted"] = 0
        if tick["sequence"]:
            stream.update(sequence=tick["sequence"], venue_ns=tick["venue_ns"])
        stream["venue_ns"] = max(stream["venue_ns"], tick["venue_ns"])
        self.gaps += gap
        self._write(tick, values, stream, GAP_FLAG if gap else 0)

    def _structure(self, tick: Tick) -> list[int]:
        kind, side = tick["kind"], tick["side"]
        if tick["instrument_id"] not in self.units:
            raise RefusedError(TickReason.UNKNOWN_INSTRUMENT)
        increment, lot, low = self.units[tick["instrument_id"]]
        if kind not in tuple(TickKind) or (kind != QUOTE and not 0 <= tick["quantity_2"] < 64):
            raise RefusedError(TickReason.KIND)
        if kind != QUOTE and side not in ((1, 2) if kind == LEVEL else (0, 1, 2)):
            raise RefusedError(TickReason.SIDE)
        venue, received = tick["venue_ns"], tick["receive_ns"]
        age = received - venue
        old = self.past_ns and age > self.past_ns
        if not (0 < received <= MOST_NS and 0 <= venue <= MOST_NS) or (venue and (-age > self.future_ns or old)):
            raise RefusedError(TickReason.TIME, received)
        if kind == CLEAR:
            return [0, 0, 0, 0]
        values = []
        for end in ("", "_2") if kind == QUOTE else ("",):
            if tick[f"quantity{end}"] < 0:
                raise RefusedError(TickReason.QUANTITY)
            lots = self._whole(tick[f"quantity{end}"], tick["quantity_decimals"], lot)
            if lots > MOST or (kind == TRADE and lots == 0):
                raise RefusedError(TickReason.QUANTITY)
            if kind == QUOTE and lots == 0:
                values += [0, 0]
                continue
            price = self._whole(tick[f"price{end}"], tick["price_decimals"], increment)
            if abs(price) > MOST or (price <= 0 and not low):
                raise RefusedError(TickReason.RANGE)
            values += [price, lots]
        return [*values, 0, 0][:4]

    @staticmethod
    def _whole(mantissa: int, decimals: int, unit: Fraction) -> int:
        count = Fraction(mantissa, 10 ** min(decimals, 60)) / unit
        if decimals > 18 or count.denominator != 1:
            raise RefusedError(TickReason.PRECISION)
        return count.numerator

    def _order(self, tick: Tick, stream: Numbered) -> bool:
        number, last, stamp = tick["sequence"], stream["sequence"], tick["venue_ns"]
        book = tick["kind"] >= LEVEL
        if book and tick["quantity_2"] & RecordFlag.SNAPSHOT:
            return False
        if not number:
            if stamp and stamp < stream["venue_ns"] - self.late_ns:
                raise RefusedError(TickReason.OUT_OF_ORDER, stream["venue_ns"])
            return False
        if not last:
            return False
        if number > last:
            return number > last + 1 and min(tick["kind"], LEVEL) in self.consecutive
        if number == last and book and stream["open"]:
            return False
        if stream["venue_ns"] and stamp > stream["venue_ns"]:
            ascends = stream["restarted"] and number > stream["back"]
            stream.update(restarted=stream["restarted"] + 1 if ascends else 1, back=number)
            if stream["restarted"] >= self.agreeing:
                return True
        else:
            stream["restarted"] = 0
        raise RefusedError(TickReason.DUPLICATE if number == last else TickReason.OUT_OF_ORDER, last)

    def _content(self, tick: Tick, values: list[int]) -> None:
        known = self.prices.setdefault(
            tick["instrument_id"], {"last": None, "candidate": 0, "agreeing": 0, "quote": ([0] * 4, 0)}
        )
        bid, bid_lots, ask, ask_lots = values
        if tick["kind"] == TRADE:
            self._jump(known, bid)
        elif tick["kind"] == QUOTE:
            if not tick["sequence"] and tick["venue_ns"] and (values, tick["venue_ns"]) == known["quote"]:
                raise RefusedError(TickReason.DUPLICATE, tick["venue_ns"])
            if bid_lots and ask_lots:
                if bid > ask:
                    raise RefusedError(TickReason.CROSSED, bid)
                if bid == ask and not self.locked:
                    raise RefusedError(TickReason.LOCKED, bid)
                self._jump(known, (bid + ask) // 2)
            elif bid_lots or ask_lots:
                self._jump(known, bid if bid_lots else ask)
            known["quote"] = (values, tick["venue_ns"])

    def _jump(self, known: dict[str, Any], price: int) -> None:
        if not self.jump_bps:
            return
        if known["last"] is not None and not self._near(price, known["last"]):
            agrees = known["agreeing"] and self._near(price, known["candidate"])
            known["agreeing"] = known["agreeing"] + 1 if agrees else 1
            known["candidate"] = price
            if known["agreeing"] < self.agreeing:
                raise RefusedError(TickReason.JUMP, known["last"])
        known.update(last=price, agreeing=0)

    def _near(self, price: int, other: int) -> bool:
        distance = abs(price - other)
        return distance <= self.jump_ticks or Fraction(distance) <= Fraction(abs(other) * self.jump_bps, 10_000)

    def _write(self, tick: Tick, values: list[int], stream: Numbered, gap: int) -> None:
        head = (tick["receive_ns"], tick["venue_ns"], tick["sequence"])
        instrument, kind, last = tick["instrument_id"], tick["kind"], int(RecordFlag.LAST)
        if kind == QUOTE:
            self.quotes.append((*head, *values, instrument, last | gap, self.source_id))
        elif kind == TRADE:
            flags = tick["quantity_2"] | last | gap
            self.trades.append((*head, *values[:2], instrument, tick["side"], 0, flags))
        else:
            gap |= self._told(tick, stream)
            stream["open"] = not tick["quantity_2"] & last
            action = BookAction.SET if kind == LEVEL else BookAction.CLEAR
            for side in (tick["side"],) if tick["side"] else (1, 2):
                flags = tick["quantity_2"] | gap
                if not tick["side"] and side == 1:
                    flags &= ~last
                self.levels.append((*head, 0, *values[:2], instrument, side, int(action), flags))

    def _told(self, tick: Tick, stream: Numbered) -> int:
        lost = self.lost.pop(tick["instrument_id"], None)
        if lost is None:
            return 0
        last, snapshot = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT)
        if not tick["quantity_2"] & snapshot:
            return GAP_FLAG | (last if stream["open"] and any(flags & last for flags in lost) else 0)
        if lost[-1] & (last | snapshot) != snapshot:
            return 0
        if not tick["quantity_2"] & last:
            self.lost[tick["instrument_id"]] = lost
            return 0
        return GAP_FLAG
