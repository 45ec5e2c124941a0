"""What is not fit to be published: records that are checked first, and a table of those that are refused.

The market's source asks before a record acts in the core (`MarketSource.check`), so a refused one does nothing at all.

Quotes and trades go through the normaliser (docs/marketdata-kernels.md): crossed quotes, jumps, what is out of order or
repeated, prices, quantities and stamps out of range; what comes long after its time is refused too. Changes of books
have to be in range, and what they make of the book is looked at (`gate_books`). Their venue's own rules of sequence are
checked where they are read.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from nautilus.core.normalise import Normaliser
from nautilus.core.ticks import QUARANTINE, TICK, TickKind, TickReason
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.engines.marketdata.gate_books import Checked, GateBooks
from nautilus.engines.marketdata.gate_times import GateTimes
from nautilus.model.queries import QuarantineLine
from nautilus.model.records import Records, joined
from nautilus.model.topics import BOOK_DELTAS, QUOTES, TRADES, topic_of

_WHOLE = np.dtype((np.void, TICK.itemsize))
_LONGER = np.dtype([("tick", _WHOLE), ("rest", np.void, QUARANTINE.itemsize - TICK.itemsize)])
KEPT = 1_000
"""Refused records that are kept to be asked for; the oldest go. All are published, for whoever keeps more."""
_MOST = (1 << 63) - 1
_LATEST_NS = 1 << 62
_BOTH = {"receive_ns": "now_ns", "instrument_id": "instrument_id"}
# A quote's stamp is not handed on, as it would count for the order: venues stamp quotes of one update alike.
_QUOTE_FIELDS = (
    TickKind.QUOTE,
    {
        **_BOTH,
        "sequence": "update_id",
        "price": "bid_ticks",
        "quantity": "bid_quantity",
        "price_2": "ask_ticks",
        "quantity_2": "ask_quantity",
    },
)
_TRADE_FIELDS = (
    TickKind.TRADE,
    {
        **_BOTH,
        "venue_ns": "venue_ns",
        "sequence": "trade_id",
        "price": "price_ticks",
        "quantity": "quantity",
        "side": "side",
    },
)


class _Steps(NamedTuple):
    """An instrument's price increment and lot size, each as a whole number and its decimals."""

    price: int
    price_decimals: int
    lot: int
    lot_decimals: int


class Gate:
    """Checks records before they are published.

    Parameters
    ----------
    instruments
        Known ones; records of others are refused.
    jump_bps
        A price that is so far from the last one is refused until others agree with it; 0: none is.
    skew_ns
        A venue's stamp may be so far ahead of ours.

    Attributes
    ----------
    refused : QUARANTINE records in ticks and lots, the oldest first.
    counts : refusals so far, by reason; LOCKED also counts quotes and books that pass.
    """

    def __init__(self, instruments: Iterable[Checked], jump_bps: int, skew_ns: int) -> None:
        # Prices and quantities are counts of steps already: one step is the unit of the ticks.
        self._normaliser = Normaliser(consecutive=(), jump_bps=jump_bps, future_ns=skew_ns, locked=True)
        instruments = tuple(instruments)
        for each in instruments:
            self._normaliser.add(
                each.instrument_id, price_increment="1", lot_size="1", negative_prices=each.negative_prices
            )
        self._steps = {
            each.instrument_id: _Steps(*_mantissa(each.price_increment), *_mantissa(Decimal(each.lot_size)))
            for each in instruments
        }
        self._untold: list[Records] = []
        self.refused: deque[Any] = deque(maxlen=KEPT)
        self.counts: Counter[str] = Counter()
        self._skew_ns = skew_ns
        self._times = GateTimes()
        self._books = GateBooks(instruments, self._refuse, self._count_locked)
        # Of single records, which are most: room that is used again.
        self._tick = np.zeros(1, TICK)
        self._room = np.zeros(1, QUOTE), np.zeros(1, TRADE), np.zeros(2, BOOK_DELTA), np.zeros(1, QUARANTINE)

    def passed(self, records: Records) -> Records:
        """Those of the records that pass; changes of a book that may be wrong carry STALE."""
        kind = topic_of(records)
        if kind is BOOK_DELTAS:
            return self._books.passed(records)
        if kind is not QUOTES and kind is not TRADES:
            return records
        if len(records) == 1:
            return self._one(records, kind is QUOTES)
        records = self._timely(records, kind is QUOTES)
        if kind is QUOTES:
            alike = records["bid_ticks"] == records["ask_ticks"]
            if alike.any():
                self._count_locked(
                    int(np.count_nonzero(alike & (records["bid_quantity"] > 0) & (records["ask_quantity"] > 0)))
                )
        ticks = _ticks(records, *(_QUOTE_FIELDS if kind is QUOTES else _TRADE_FIELDS))
        *_, refused = self._normaliser.process(ticks)
        if not len(refused):
            return records
        # Refused ones are in the order of their ticks; of equal ones it does not matter which is left out.
        keep, at = np.ones(len(records), bool), 0
        given = ticks.view(_WHOLE)
        for each in refused.view(_LONGER)["tick"]:
            while given[at] != each:
                at += 1
            keep[at] = False
            at += 1
        refused["venue_ns"] = records["venue_ns"][~keep]  # that of a quote was not looked at
        self._refuse(refused)
        return records[keep]

    def _refuse(self, refused: Records) -> None:
        self._keep(refused)
        self._untold.append(self._with_decimals(refused))

    def note(self, refused: Records) -> None:
        """Count, keep and have published QUARANTINE records, wherever they were found."""
        refused = refused.copy()
        self._keep(refused)
        self._untold.append(refused)

    def _keep(self, refused: Records) -> None:
        self.refused.extend(refused)
        for reason, count in Counter(refused["reason"].tolist()).items():
            self.counts[TickReason(reason).name] += count

    @property
    def untold(self) -> bool:
        """There are refused records that nobody has taken."""
        return bool(self._untold)

    def take(self) -> Records | None:
        """Refused records that were not taken yet, prices and quantities with decimals: they need no instrument."""
        if not self._untold:
            return None
        parts, self._untold = self._untold, []
        return joined(parts, QUARANTINE)

    def _with_decimals(self, refused: Records) -> Records:
        """What was refused in ticks and lots, in whole numbers with their decimals."""
        records = refused.copy()
        for number in np.unique(records["instrument_id"]).tolist():
            steps = self._steps.get(number)
            if steps is None:
                continue
            of = records["instrument_id"] == number
            records["price_decimals"][of], records["quantity_decimals"][of] = steps.price_decimals, steps.lot_decimals
            quotes = of & (records["kind"] == TickKind.QUOTE)  # of others the second quantity is flags
            for name, unit, those in (
                ("price", steps.price, of),
                ("price_2", steps.price, of),
                ("quantity", steps.lot, of),
                ("quantity_2", steps.lot, quotes),
            ):
                if unit != 1:
                    # What 64 bits do not hold is the farthest that they do.
                    most = _MOST // unit
                    records[name][those] = np.clip(records[name][those], -most, most) * unit
        return records

    def _count_locked(self, count: int = 1) -> None:
        if count:
            self.counts[TickReason.LOCKED.name] += count

    def _one(self, records: Records, quote: bool) -> Records:
        """The same of one record."""
        row = records.item()
        now_ns, venue_ns, number = row[:3]
        instrument_id = row[7] if quote else row[5]
        bad = quote and not 0 <= venue_ns <= min(now_ns + self._skew_ns, _LATEST_NS)
        if bad or not self._times.take((quote, instrument_id), now_ns):
            records = self._timely(records, quote)
            if not len(records):
                return records
        if quote:
            _, _, _, bid, bid_lots, ask, ask_lots = row[:7]
            if bid == ask and bid_lots > 0 and ask_lots > 0:
                self._count_locked()
            self._tick[0] = (0, now_ns, number, bid, bid_lots, ask, ask_lots, instrument_id, TickKind.QUOTE, 0, 0, 0)
        else:
            price, lots, side = row[3], row[4], row[6]
            self._tick[0] = (venue_ns, now_ns, number, price, lots, 0, 0, instrument_id, TickKind.TRADE, side, 0, 0)
        *_, refused = self._normaliser.process_into(self._tick, *self._room)
        if refused:
            rows = self._room[-1].copy()
            rows["venue_ns"] = venue_ns
            self._refuse(rows)
            return records[:0]
        return records

    def _timely(self, records: Records, quote: bool) -> Records:
        """Those neither long after their time nor far ahead; of quotes, those whose stamp of the venue can be."""
        now_ns, venue_ns, ids = records["now_ns"], records["venue_ns"], records["instrument_id"]
        held, reasons = np.empty_like(now_ns), np.zeros(len(records), np.uint16)
        for number in np.unique(ids).tolist():
            mine = ids == number
            reasons[mine], held[mine] = self._times.look((quote, number), now_ns[mine])
        if quote:
            reasons[(venue_ns < 0) | (venue_ns > np.minimum(now_ns + self._skew_ns, _LATEST_NS))] = TickReason.TIME
        bad = reasons != 0
        if not bad.any():
            return records
        ticks = _ticks(records[bad], *(_QUOTE_FIELDS if quote else _TRADE_FIELDS))
        refused = np.zeros(len(ticks), QUARANTINE)
        for name in TICK.names or ():
            refused[name] = ticks[name]
        refused["venue_ns"], refused["reference"], refused["reason"] = venue_ns[bad], held[bad], reasons[bad]
        self._refuse(refused)
        kept: Records = records[~bad]
        return kept

    def lines(self, limit: int, symbols: Mapping[int, str]) -> Iterator[QuarantineLine]:
        """The newest refused records, the newest first."""
        for row in list(self.refused)[: -limit - 1 : -1]:
            number = int(row["instrument_id"])
            price, quantity, price_2, quantity_2, sequence = (
                int(row[name]) for name in ("price", "quantity", "price_2", "quantity_2", "sequence")
            )
            yield QuarantineLine(
                now_ns=int(row["receive_ns"]),
                symbol=symbols.get(number, str(number)),
                kind=TickKind(int(row["kind"])).name,
                reason=TickReason(int(row["reason"])).name,
                price=price,
                quantity=quantity,
                price_2=price_2,
                quantity_2=quantity_2,
                sequence=sequence,
                reference=int(row["reference"]),
            )


def _mantissa(step: Decimal) -> tuple[int, int]:
    """A step as a whole number and its decimals."""
    places = max(0, -int(step.normalize().as_tuple().exponent))
    return int(step.scaleb(places)), places


def _ticks(records: Records, kind: TickKind, fields: Mapping[str, str]) -> Records:
    """The records as ticks, whose units are steps of the instrument."""
    ticks = np.zeros(len(records), TICK)
    ticks["kind"] = kind
    for name, source in fields.items():
        ticks[name] = records[source]
    return ticks


__all__ = ["Gate"]
