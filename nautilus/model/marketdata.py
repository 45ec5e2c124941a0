"""Quotes, trades, book deltas and auctions: light structs for handlers, packed records on the star.

`quotes`, `trades`, `book_deltas` and `auctions` read record arrays; the `*_records` functions write them. Times are
nanoseconds since the epoch: `now_ns` when it was received, `venue_ns` what the venue says (0: nothing).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag

import msgspec
import numpy as np

from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.model.enums import BookAction, SessionPhase, Side
from nautilus.model.message import Message
from nautilus.model.records import Records

SIDES = (None, Side.BUY, Side.SELL)
_ACTIONS = (BookAction.SET, *BookAction)
AUCTION = np.dtype(
    [
        ("now_ns", "<i8"),
        ("venue_ns", "<i8"),
        ("update_id", "<u8"),
        ("price_ticks", "<i8"),
        ("quantity", "<i8"),
        ("surplus", "<i8"),
        ("instrument_id", "<u4"),
        ("side", "u1"),
        ("phase", "u1"),
        ("flags", "<u2"),
    ],
    align=True,
)
"""Record of an `Auction`, 56 bytes. Fields are only ever appended."""
HISTORICAL_BAR = np.dtype(
    [
        ("now_ns", "<i8"),
        ("fetched_ns", "<i8"),
        ("begin_ns", "<i8"),
        ("end_ns", "<i8"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("volume", "<f8"),
        ("adjusted_close", "<f8"),
        ("instrument_id", "<u4"),
        ("flags", "<u4"),
        ("symbol", "S64"),
        ("interval", "S8"),
        ("currency", "S8"),
        ("source", "S16"),
    ],
    align=True,
)
"""A bar that a provider told (`nautilus.model.datasets.BarFact`), 184 bytes. Numbers as there, NaN: not told.

`instrument_id` is that of the instrument with this symbol, 0 where there is none; text is UTF-8, cut to its column;
`flags` are of `FactFlag`.
"""
FUNDAMENTAL_FACT = np.dtype(
    [
        ("now_ns", "<i8"),
        ("fetched_ns", "<i8"),
        ("begin_ns", "<i8"),
        ("end_ns", "<i8"),
        ("filed_ns", "<i8"),
        ("value", "<f8"),
        ("instrument_id", "<u4"),
        ("flags", "<u4"),
        ("symbol", "S64"),
        ("concept", "S96"),
        ("unit", "S24"),
        ("form", "S16"),
        ("source", "S16"),
    ],
    align=True,
)
"""A figure of a company (`FundamentalFact`), 272 bytes; as HISTORICAL_BAR."""
ECONOMIC_FACT = np.dtype(
    [
        ("now_ns", "<i8"),
        ("fetched_ns", "<i8"),
        ("begin_ns", "<i8"),
        ("end_ns", "<i8"),
        ("vintage_ns", "<i8"),
        ("value", "<f8"),
        ("instrument_id", "<u4"),
        ("flags", "<u4"),
        ("series", "S64"),
        ("unit", "S64"),
        ("frequency", "S16"),
        ("source", "S16"),
    ],
    align=True,
)
"""An observation of a series (`EconomicFact`), 216 bytes; as HISTORICAL_BAR."""


class FactFlag(IntFlag):
    """Of records of what providers told."""

    SYNTHETIC = 1


class Quote(Message, frozen=True, gc=False):
    """Best bid and ask. Fields in the order of the QUOTE record."""

    now_ns: int
    venue_ns: int
    update_id: int
    bid_ticks: int
    bid_quantity: int
    ask_ticks: int
    ask_quantity: int
    instrument_id: int
    flags: int = 0
    source_id: int = 0

    @property
    def mid_ticks(self) -> float:
        """Half way between bid and ask, in price increments."""
        return (self.bid_ticks + self.ask_ticks) / 2

    @property
    def spread_ticks(self) -> int:
        """Ask minus bid, in price increments."""
        return self.ask_ticks - self.bid_ticks


class Trade(Message, frozen=True, gc=False):
    """A print. `side` is the aggressor's, None where the venue does not say."""

    now_ns: int
    venue_ns: int
    trade_id: int
    price_ticks: int
    quantity: int
    instrument_id: int
    side: Side | None
    flags: int = 0


class BookDelta(Message, frozen=True, gc=False):
    """One change of a book: a level's new absolute quantity (SET), or what became of one order."""

    now_ns: int
    venue_ns: int
    update_id: int
    order_id: int
    price_ticks: int
    quantity: int
    instrument_id: int
    side: Side | None
    action: BookAction
    flags: int = 0


class Auction(Message, frozen=True, gc=False):
    """A phase that an instrument has entered, or what an auction that is under way would give. Fields as in AUCTION.

    Parameters
    ----------
    price_ticks, quantity
        Indicative price and volume, both 0: no orders meet. With a phase of the venue's own making: where it stopped.
    surplus, side
        Lots at that price that would find no other side, and which side has them; None: neither, or not known.
    phase
        None: not known, an auction is under way.
    """

    now_ns: int
    venue_ns: int
    update_id: int
    price_ticks: int
    quantity: int
    surplus: int
    instrument_id: int
    side: Side | None
    phase: SessionPhase | None
    flags: int = 0


def quotes(records: Records) -> list[Quote]:
    """Structs of a QUOTE array."""
    return [Quote(*row) for row in records.tolist()]


def trades(records: Records) -> list[Trade]:
    """Structs of a TRADE array."""
    return [
        Trade(now, venue, trade_id, price, quantity, instrument, SIDES[side], flags)
        for now, venue, trade_id, price, quantity, instrument, side, _, flags in records.tolist()
    ]


def book_deltas(records: Records) -> list[BookDelta]:
    """Structs of a BOOK_DELTA array."""
    return [
        BookDelta(now, venue, update, order, price, quantity, instrument, SIDES[side], _ACTIONS[action], flags)
        for now, venue, update, order, price, quantity, instrument, side, action, flags in records.tolist()
    ]


def auctions(records: Records) -> list[Auction]:
    """Structs of an AUCTION array."""
    return [
        Auction(
            now,
            venue,
            update,
            price,
            quantity,
            surplus,
            instrument,
            SIDES[side],
            SessionPhase(phase) if phase else None,
            flags,
        )
        for now, venue, update, price, quantity, surplus, instrument, side, phase, flags in records.tolist()
    ]


def quote_records(items: Sequence[Quote]) -> Records:
    """QUOTE array of structs."""
    return np.array([msgspec.structs.astuple(quote) for quote in items], QUOTE)


def trade_records(items: Sequence[Trade]) -> Records:
    """TRADE array of structs."""
    rows = [
        (t.now_ns, t.venue_ns, t.trade_id, t.price_ticks, t.quantity, t.instrument_id, t.side or 0, 0, t.flags)
        for t in items
    ]
    return np.array(rows, TRADE)


def book_delta_records(items: Sequence[BookDelta]) -> Records:
    """BOOK_DELTA array of structs."""
    rows = []
    for delta in items:
        *fields, side, action, flags = msgspec.structs.astuple(delta)
        rows.append((*fields, side or 0, action, flags))
    return np.array(rows, BOOK_DELTA)


def auction_records(items: Sequence[Auction]) -> Records:
    """AUCTION array of structs."""
    rows = []
    for auction in items:
        *fields, side, phase, flags = msgspec.structs.astuple(auction)
        rows.append((*fields, side or 0, phase or 0, flags))
    return np.array(rows, AUCTION)
