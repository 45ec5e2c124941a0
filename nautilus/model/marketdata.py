"""Quotes, trades, book deltas, auctions, bars and order flow: light structs for handlers, packed records on the star.

`quotes`, `trades`, `book_deltas`, `auctions`, `bars` and `flows` read record arrays; the `*_records` functions write
them. Times are
nanoseconds since the epoch: `now_ns` when it was received, `venue_ns` what the venue says (0: nothing).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag

import msgspec
import numpy as np

from nautilus.core.ticks import BAR, FLOW, BarKind
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
_FACT = [("now_ns", "<i8"), ("fetched_ns", "<i8")]
_OF_WHAT = [("instrument_id", "<u4"), ("flags", "<u4")]
_FROM = [("source", "S32"), ("url", "S256")]
HISTORICAL_BAR = np.dtype(
    [
        *_FACT,
        ("begin_ns", "<i8"),
        ("end_ns", "<i8"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("volume", "<f8"),
        ("adjusted_close", "<f8"),
        *_OF_WHAT,
        ("symbol", "S64"),
        ("interval", "S8"),
        ("currency", "S8"),
        *_FROM,
    ],
    align=True,
)
"""A bar that a provider told (`nautilus.model.datasets.BarFact`), 456 bytes. Numbers as there, NaN: not told.

`instrument_id` is that of the instrument with this symbol, 0 where there is none; text is UTF-8, cut to its column;
`flags` are of `FactFlag`.
"""
FUNDAMENTAL_FACT = np.dtype(
    [
        *_FACT,
        ("begin_ns", "<i8"),
        ("end_ns", "<i8"),
        ("filed_ns", "<i8"),
        ("value", "<f8"),
        *_OF_WHAT,
        ("symbol", "S64"),
        ("concept", "S192"),
        ("unit", "S32"),
        ("form", "S32"),
        *_FROM,
    ],
    align=True,
)
"""A figure of a company (`FundamentalFact`), 664 bytes; as HISTORICAL_BAR."""
ECONOMIC_FACT = np.dtype(
    [
        *_FACT,
        ("begin_ns", "<i8"),
        ("end_ns", "<i8"),
        ("vintage_ns", "<i8"),
        ("value", "<f8"),
        *_OF_WHAT,
        ("series", "S64"),
        ("unit", "S96"),
        ("frequency", "S32"),
        *_FROM,
    ],
    align=True,
)
"""An observation of a series (`EconomicFact`), 536 bytes; as HISTORICAL_BAR."""
QUOTE_FACT = np.dtype(
    [
        *_FACT,
        ("time_ns", "<i8"),
        ("last", "<f8"),
        ("bid", "<f8"),
        ("ask", "<f8"),
        ("bid_quantity", "<f8"),
        ("ask_quantity", "<f8"),
        ("volume", "<f8"),
        *_OF_WHAT,
        ("symbol", "S64"),
        ("currency", "S8"),
        ("venue", "S32"),
        *_FROM,
    ],
    align=True,
)
"""A quote that a provider told (`QuoteFact`), 472 bytes; as HISTORICAL_BAR. QUOTE is of the market, in ticks."""
INFERRED_FLAG = 64
"""Bit of the flags of a TRADE: the venue does not tell who was the aggressor, the hub has inferred it."""


class FactFlag(IntFlag):
    """Of records of what providers told. CUT: a text of it is longer than its column."""

    SYNTHETIC = 1
    CUT = 2


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


class Bar(Message, frozen=True, gc=False):
    """Trades of a while, summed up. Fields as in BAR.

    Parameters
    ----------
    now_ns
        Receive stamp of the trade, or of the time, that closed it.
    begin_ns, end_ns
        TIME: its interval, the end not in it. Other kinds: stamps of its first and its last trade.
    volume, buy_volume
        Lots; those of trades whose aggressor bought.
    notional
        Sum of price times quantity, in ticks times lots.
    size
        What closes it: nanoseconds, trades, lots, ticks times lots.
    """

    now_ns: int
    begin_ns: int
    end_ns: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume: int
    buy_volume: int
    notional: float
    size: int
    trades: int
    instrument_id: int
    kind: BarKind
    flags: int = 0


class Flow(Message, frozen=True, gc=False):
    """Order-flow imbalance over an interval, as Cont, Kukanov and Stoikov (2014) define it. Fields as in FLOW.

    Parameters
    ----------
    imbalance
        Lots by which demand grew more than supply, over the best `levels` of both sides.
    bid_depth, ask_depth
        Sums over its updates of what rested at those levels, in lots; by `updates`: their mean.
    """

    now_ns: int
    begin_ns: int
    imbalance: int
    bid_depth: int
    ask_depth: int
    updates: int
    instrument_id: int
    levels: int = 1
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


def bars(records: Records) -> list[Bar]:
    """Structs of a BAR array."""
    return [Bar(*(*fields, BarKind(kind), flags)) for *fields, kind, _, flags, _ in records.tolist()]


def flows(records: Records) -> list[Flow]:
    """Structs of a FLOW array."""
    return [Flow(*(*fields, flags)) for *fields, _, flags, _ in records.tolist()]


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


def bar_records(items: Sequence[Bar]) -> Records:
    """BAR array of structs."""
    rows = []
    for bar in items:
        *fields, kind, flags = msgspec.structs.astuple(bar)
        rows.append((*fields, kind, 0, flags, 0))
    return np.array(rows, BAR)


def flow_records(items: Sequence[Flow]) -> Records:
    """FLOW array of structs."""
    rows = []
    for flow in items:
        *fields, flags = msgspec.structs.astuple(flow)
        rows.append((*fields, 0, flags, 0))
    return np.array(rows, FLOW)
