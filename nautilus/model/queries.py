"""Questions that engines answer, over the mesh and over HTTP alike, and their answers.

Decimals are text in the instrument's units wherever a person reads them (`OrderRequest`, `*Line`); the rest is in
ticks, lots and money units as everywhere.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from nautilus.model.enums import (
    GroupKind,
    OrderType,
    PegReference,
    Reason,
    Side,
    Standing,
    TimeInForce,
    TriggerSource,
)
from nautilus.model.events import (
    InstrumentSplit,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderReplenished,
    OrderRouted,
    OrderTriggered,
    OrderUnknown,
    PositionAdjusted,
)
from nautilus.model.ids import MAX_ID_16, MAX_ID_32
from nautilus.model.message import Message

PERSON_ACCOUNT = 16
"""The account of orders that name none: the last of those that are open for people; strategies take the first ones."""

MOST_ACCOUNTS = 256
"""Accounts in one question to the core."""
MOST_TEXT = 128
"""Characters of a client's own id of an order."""

AnyReport = (
    OrderAccepted
    | OrderRejected
    | OrderFilled
    | OrderCancelled
    | OrderReplaced
    | OrderExpired
    | OrderTriggered
    | OrderReplenished
    | OrderRouted
    | OrderUnknown
    | PositionAdjusted
    | InstrumentSplit
)


class ReportsSince(Message, frozen=True):
    """Execution reports of events after a sequence, at most `limit` events of them; asked of `trading`."""

    after: int = 0
    limit: int = 1_000


class Reports(Message, frozen=True):
    """Reports in order; `last_sequence`: looked at up to it; `complete`: nothing newer is; else ask on from it."""

    reports: tuple[AnyReport, ...]
    last_sequence: int
    complete: bool


class SourceStatus(Message, frozen=True):
    """How far the core is with a sender's commands; asked of the core."""

    source_id: int


class SourceState(Message, frozen=True):
    """`source_sequence`: of the last command that the core took from the sender; 0: none."""

    source_id: int
    source_sequence: int


class GetCoreState(Message, frozen=True):
    """Positions and hashes of the core, read between two commands: it stands still meanwhile, so ask seldom.

    At most `MOST_ACCOUNTS` accounts; one that was never opened holds nothing.
    """

    accounts: tuple[Annotated[int, Meta(ge=1, le=MAX_ID_32)], ...] = ()
    hashes: bool = False


class CorePosition(Message, frozen=True):
    """A position as the core has it. Money as text: it can exceed 64 bits."""

    account_id: int
    instrument_id: int
    quantity: int
    cost: str
    realised: str
    fees: str = "0"


class CoreState(Message, frozen=True):
    """Answer to `GetCoreState`; hashes as hexadecimal, empty where not asked for."""

    last_command: int
    last_event: int
    open_orders: int
    positions: tuple[CorePosition, ...] = ()
    state_hash: str = ""
    event_hash: str = ""
    journal_hash: str = ""


class OrderRequest(Message, frozen=True):
    """A new order as a person or another program writes it.

    Parameters
    ----------
    instrument
        Symbol, or the id as text.
    quantity, price
        Decimals as text, in the instrument's units. A ``LIMIT`` order has a price, a ``MARKET`` order has none; of a
        ``TRAILING_STOP_LIMIT`` order it is the distance of the limit from the trigger, of a ``PEGGED`` one the cap.
    client_order_id
        The sender's own text, at most 128 characters; the same one of an account is never entered twice.
    trigger
        Price at which a stop or touched order begins to act; a trailing one may leave it out.
    display_quantity
        What an iceberg shows of its quantity.
    min_quantity
        Less than this at entry, and nothing is filled.
    offset
        Distance of a trailing or pegged order from what it follows, in the instrument's units; with `trail_bps` a
        whole number of basis points.
    slide
        With `post_only`: a price that would take becomes the next one behind the best.
    reduce_only
        It may only reduce the account's position.
    hidden
        It is not shown in the book.
    all_or_none
        It is only ever filled whole.
    trigger_source, peg
        What the order looks at.
    group_id, group
        Orders of one account with the same number are a group of one kind; both or neither.
    parent_order_id
        An open order of the account whose fills let this one in.
    """

    instrument: str
    side: Side
    quantity: str
    price: str = ""
    account_id: int = PERSON_ACCOUNT
    order_type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    expire_ns: int = 0
    client_order_id: Annotated[str, Meta(max_length=MOST_TEXT)] = ""
    deadline_ns: int = 0
    trigger: str = ""
    display_quantity: str = ""
    min_quantity: str = ""
    offset: str = ""
    slide: bool = False
    reduce_only: bool = False
    hidden: bool = False
    all_or_none: bool = False
    trigger_source: TriggerSource = TriggerSource.LAST
    trail_bps: bool = False
    peg: PegReference = PegReference.BEST
    group_id: Annotated[int, Meta(ge=0, le=MAX_ID_16)] = 0
    group: GroupKind | None = None
    parent_order_id: int = 0


class AmendRequest(Message, frozen=True):
    """Another price and total quantity of an open order.

    Parameters
    ----------
    price
        Empty for an order that has none.
    trigger
        New trigger of an order that waits for one; empty: as it is.
    """

    order_id: int
    quantity: str
    price: str = ""
    account_id: int = PERSON_ACCOUNT
    trigger: str = ""


class CancelRequest(Message, frozen=True):
    """Take an open order out."""

    order_id: int
    account_id: int = PERSON_ACCOUNT


class KillRequest(Message, frozen=True):
    """The kill switch of an account, an instrument, the pair, or (both 0) everything: on cancels all open orders.

    Parameters
    ----------
    on
        False: takes back the kill switch of exactly this scope, which has to be on.
    instrument
        In place of `instrument_id`: a symbol, or the id as text.
    strategy_id
        One strategy of the account; no instrument then.
    """

    on: bool
    account_id: int = 0
    instrument_id: int = 0
    instrument: str | None = None
    strategy_id: Annotated[int, Meta(ge=0, le=MAX_ID_16)] = 0


class OrderResult(Message, frozen=True):
    """What became of an order or of a change to it.

    Parameters
    ----------
    status
        ``accepted``, ``triggered``, ``filled``, ``partially_filled``, ``cancelled``, ``replaced``, ``routed`` (on its
        way to an external venue), ``rejected`` or ``unknown``.
    violated
        Every control that refused it.
    latency_us
        From the request's arrival to this answer.
    sequence
        Of the last event of it.
    order_state
        Where the request repeats the `client_order_id` of an earlier order (DUPLICATE_ORDER): whether that one is
        ``open`` or ``closed``; `leaves_quantity` and `filled_quantity` (empty: not known) are its own then.
    differs
        What of ``instrument``, ``side``, ``quantity`` and ``price`` the earlier order was entered with otherwise.
    """

    order_id: int
    status: str
    latency_us: float
    account_id: int = 0
    client_order_id: str = ""
    leaves_quantity: str = ""
    filled_quantity: str = ""
    reason: Reason = Reason.NONE
    violated: tuple[Reason, ...] = ()
    sequence: int = 0
    order_state: str = ""
    differs: tuple[str, ...] = ()


class KillSwitchScope(Message, frozen=True):
    """A scope that is stopped; 0: every account, every instrument, every strategy."""

    account_id: int
    instrument_id: int
    symbol: str = ""
    strategy_id: int = 0


class KillResult(Message, frozen=True):
    """What the kill switch did: orders that it cancelled, and whose it was. `scopes`: every one that is on now."""

    on: bool
    cancelled: int
    latency_us: float
    account_id: int = 0
    instrument_id: int = 0
    symbol: str = ""
    scopes: tuple[KillSwitchScope, ...] = ()
    strategy_id: int = 0


class GetKillSwitch(Message, frozen=True):
    """Which kill switches are on."""


class KillSwitches(Message, frozen=True):
    """The kill switches that are on."""

    scopes: tuple[KillSwitchScope, ...] = ()


class GetOrders(Message, frozen=True):
    """Open orders of an account (0: of every client), oldest first."""

    account_id: int = 0


class OrderLine(Message, frozen=True):
    """An open order, as far as the events tell it.

    Parameters
    ----------
    price
        Empty where it has none now.
    state
        ``open``; at an external venue also ``pending_new``, ``pending_cancel``, ``pending_replace`` or ``unknown``.
    price_decimals, quantity_decimals
        Digits after the point that the instrument has.
    order_type
        As it is now: a triggered stop is a ``MARKET`` or a ``LIMIT`` order.
    trigger
        As it was asked for; a trailing one has moved since. Empty: none, or it has triggered.
    standing
        ``DISPLAYED``, ``DARK``, ``WAITING``, ``PARKED``, ``AUCTION`` or ``ROUTED``.
    flags
        Names of its flags.
    display_quantity
        What an iceberg shows; empty: all of it.
    """

    account_id: int
    order_id: int
    client_order_id: str
    instrument_id: int
    symbol: str
    side: Side
    price: str
    quantity: str
    leaves_quantity: str
    strategy_id: int
    state: str
    price_decimals: int = 0
    quantity_decimals: int = 0
    order_type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.GTC
    trigger: str = ""
    standing: Standing = Standing.DISPLAYED
    flags: tuple[str, ...] = ()
    display_quantity: str = ""
    parent_order_id: int = 0


class OrderLines(Message, frozen=True):
    """Open orders as of an event."""

    orders: tuple[OrderLine, ...]
    last_sequence: int


class GetPositions(Message, frozen=True):
    """Positions of an account (0: of every one)."""

    account_id: int = 0


class PositionEntry(Message, frozen=True):
    """A position with its profit; some of it also as the whole numbers that the core keeps.

    `fees` are paid beside: neither realised nor unrealised profit contains them.
    """

    account_id: int
    instrument_id: int
    symbol: str
    quantity: str
    average_price: str
    realised: str
    unrealised: str
    currency: str
    quantity_lots: int
    cost_units: str
    realised_units: str
    fees: str = "0"
    fees_units: str = "0"


class Positions(Message, frozen=True):
    """Positions as of an event."""

    positions: tuple[PositionEntry, ...]
    last_sequence: int


class GetBook(Message, frozen=True):
    """Best levels of a book; `instrument`: symbol, or the id as text.

    Parameters
    ----------
    level
        1: the best of each side; 2: `levels` of each; 3: also their orders.
    """

    instrument: str
    levels: int = 10
    level: Annotated[int, Meta(ge=1, le=3)] = 2


class BookLevel(Message, frozen=True):
    """One price; `orders`: their number, 0 where it is not known."""

    price: str
    quantity: str
    orders: int = 0


class BookOrder(Message, frozen=True):
    """A displayed order; `quantity`: what it shows."""

    order_id: int
    account_id: int
    side: Side
    price: str
    quantity: str


class Book(Message, frozen=True):
    """Best levels, best first, as decimals. `updates`: changes so far; `now_ns`: of the last one.

    Parameters
    ----------
    orders
        Of level 3: the displayed orders of these levels in priority order, bids first.
    blind_since_ns
        Since when the book may be wrong, as something of it is missing; 0: it is right.
    blind_ns, gaps
        How long it was so before, and how often it has begun.
    """

    instrument_id: int
    symbol: str
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    last_price: str
    updates: int
    now_ns: int
    orders: tuple[BookOrder, ...] = ()
    blind_since_ns: int = 0
    blind_ns: int = 0
    gaps: int = 0


class GetQueuePlace(Message, frozen=True):
    """What is ahead of an open order at its price."""

    account_id: int
    order_id: int


class QueuePlace(Message, frozen=True):
    """The place of an open order in its queue.

    Parameters
    ----------
    displayed
        Others have no place that anybody could see: they are dark, wait, or are parked.
    quantity
        What it shows.
    orders_ahead, quantity_ahead
        Orders that were there before it at its very price, and what they show. An iceberg's reserve joins the back.
    """

    account_id: int
    order_id: int
    instrument_id: int
    symbol: str
    side: Side
    price: str
    quantity: str
    displayed: bool
    orders_ahead: int
    quantity_ahead: str
    last_sequence: int


class GetQuotes(Message, frozen=True):
    """Last quote of every instrument."""


class QuoteLine(Message, frozen=True):
    """Best bid and ask; empty text where a side is empty.

    `blind_since_ns`: since when its book may be wrong, or 0; `blind_ns`, `gaps`: how long and how often it was before.
    """

    instrument_id: int
    symbol: str
    bid: str
    bid_quantity: str
    ask: str
    ask_quantity: str
    last_price: str
    now_ns: int
    blind_since_ns: int = 0
    blind_ns: int = 0
    gaps: int = 0


class QuoteLines(Message, frozen=True):
    """Last quotes, and how far the market source is: seconds of market time, and the part played (-1: no end)."""

    quotes: tuple[QuoteLine, ...]
    market: str = ""
    market_seconds: float = 0.0
    progress: float = -1.0
    finished: bool = False
    broken: str = ""


class GetQuarantine(Message, frozen=True):
    """The newest records that the hub has refused to publish."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class QuarantineLine(Message, frozen=True):
    """A refused record, in ticks and lots.

    Parameters
    ----------
    kind, reason
        ``QUOTE`` or ``TRADE``; why (docs/marketdata-kernels.md).
    price_2, quantity_2
        Of a quote its ask.
    reference
        What it was held against; 0: nothing.
    """

    now_ns: int
    symbol: str
    kind: str
    reason: str
    price: int
    quantity: int
    price_2: int
    quantity_2: int
    sequence: int
    reference: int


class QuarantineLines(Message, frozen=True):
    """Refused records, the newest first; `counts`: all refusals, by reason. `checks`: records are checked here."""

    lines: tuple[QuarantineLine, ...]
    counts: dict[str, int]
    checks: bool = False


class GetStrategies(Message, frozen=True):
    """What each strategy did."""


class StrategyState(Message, frozen=True):
    """One strategy."""

    name: str
    strategy_id: int
    account_id: int
    orders: int
    fills: int
    refused: int
    open_orders: int
    stopped: bool


class StrategyStates(Message, frozen=True):
    """Every strategy."""

    strategies: tuple[StrategyState, ...]


class GetRisk(Message, frozen=True):
    """Soft limits and what was breached."""


class RiskBreach(Message, frozen=True):
    """A limit that was breached."""

    account_id: int
    strategy_id: int
    control: str


class RiskState(Message, frozen=True):
    """Soft limits in force (0 or empty: none), and breaches so far."""

    max_position: int
    max_loss: str
    max_orders: int
    window_ns: int
    kill_switch: bool
    breaches: tuple[RiskBreach, ...] = ()
