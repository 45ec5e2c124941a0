"""State of the naive twin: instruments, accounts, orders, positions, and what is read from them.

Plain dicts, lists and unbounded integers after docs/kernel.md; see `twin.py` for the kernel made of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from nautilus.core.types import (
    AccountFlag,
    InstrumentFlag,
    OrderFlag,
    OrderType,
    SelfMatch,
    SessionPhase,
    Side,
    Standing,
    TimeInForce,
)

RULES = 2
MAX_PRICE = 1 << 40
MAX_QUANTITY = 1 << 40
MAX_MULTIPLIER = 1 << 20
MAX_POSITION = 1 << 50
MAX_REALISED = 1 << 120
MAX_BANDS = 16
MAX_BPS = 1_000_000
LAST_NS = (1 << 63) - 1
SIDES = (Side.BUY, Side.SELL)
RESTING = (TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD)
AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)
AT_AUCTION = (TimeInForce.AT_OPEN, TimeInForce.AT_CLOSE)
STOPS = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP, OrderType.TRAILING_STOP_LIMIT)
TRAILING = (OrderType.TRAILING_STOP, OrderType.TRAILING_STOP_LIMIT)
TOUCHED = (OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED)
WAITING = STOPS + TOUCHED
WITH_LIMIT = (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED)
AUCTIONS = (SessionPhase.OPENING_AUCTION, SessionPhase.CLOSING_AUCTION, SessionPhase.VOLATILITY_AUCTION)
CALL = (SessionPhase.PRE_OPEN, *AUCTIONS)
PHASES_OF = {  # in which AT_OPEN and AT_CLOSE orders take part
    TimeInForce.AT_OPEN: (SessionPhase.PRE_OPEN, SessionPhase.OPENING_AUCTION),
    TimeInForce.AT_CLOSE: (SessionPhase.CLOSING_AUCTION,),
}
UNSEEN = OrderFlag.HIDDEN | OrderFlag.ALL_OR_NONE
Setting = TypeVar("Setting")
DEPTH = np.dtype([("price_ticks", "<i8"), ("quantity", "<i8"), ("orders", "<i8")])
POSITION = np.dtype(
    [("instrument_id", "<u4"), ("quantity", "<i8"), ("open_buy", "<i8"), ("open_sell", "<i8")]
    + [(name, object) for name in ("cost", "realised", "unrealised")]
)


class Command(NamedTuple):
    """One COMMAND record as Python integers, in the record's order."""

    sequence: int = 0
    now_ns: int = 0
    order_id: int = 0
    price_ticks: int = 0
    quantity: int = 0
    source_sequence: int = 0
    instrument_id: int = 0
    account_id: int = 0
    kind: int = 0
    side: int = 0
    order_type: int = 0
    time_in_force: int = 0
    flags: int = 0
    source_id: int = 0
    trigger_ticks: int = 0
    display_quantity: int = 0
    min_quantity: int = 0
    expire_ns: int = 0
    parent_order_id: int = 0
    deadline_ns: int = 0
    venue_reference: int = 0
    offset: int = 0
    strategy_id: int = 0
    group_id: int = 0


@dataclass(slots=True, eq=False)
class Timer:
    """Something that is due: of an order (it expires), or of an instrument."""

    due_ns: int
    arming: int
    kind: str  # "order", "volatility", "indicative"
    instrument_id: int
    order: Order | None = None


@dataclass(slots=True)
class Indicative:
    """What an auction under way has told."""

    told: bool = False
    price: int = 0
    volume: int = 0
    surplus: int = 0  # bought - sold
    time_ns: int = 0  # when it was last worked out
    changed: bool = False
    timer: Timer | None = None


@dataclass(slots=True)
class Instrument:
    """One instrument, its session and its prices."""

    instrument_id: int
    multiplier: int
    lot_step: int
    minimum: int
    price_step: int
    currency: int
    product: int
    venue: int
    flags: int
    bands: list[tuple[int, int]] = field(default_factory=list)  # (first price, step), ascending
    phase: int = SessionPhase.CONTINUOUS
    close_ns: int = 0
    date: int = 0
    mark: int | None = None
    mark_ns: int = 0
    last: int | None = None
    last_ns: int = 0
    killed: bool = False
    volatility: Timer | None = None
    indicative: Indicative = field(default_factory=Indicative)

    @property
    def reference(self) -> int | None:
        """The last mark, else the last fill price, else None."""
        return self.mark if self.mark is not None else self.last

    @property
    def reference_ns(self) -> int:
        """When the reference came."""
        return self.mark_ns if self.mark is not None else self.last_ns

    def allows(self, price: int) -> bool:
        """Whether the price is in range (not whether it is on tick)."""
        lowest = -MAX_PRICE if self.flags & InstrumentFlag.NEGATIVE else 1
        return lowest <= price <= MAX_PRICE

    def step_at(self, price: int) -> int:
        """The price step of the band that |price| lies in."""
        step = self.price_step
        for first, band_step in self.bands:
            if abs(price) >= first:
                step = band_step
        return step

    def on_tick(self, price: int) -> bool:
        """Whether a price in range is a multiple of the step of its band."""
        return price % self.step_at(price) == 0

    def rounded(self, price: int, side: int) -> int:
        """The price on the step of its band, down for a buy, up for a sell."""
        step = self.step_at(price)
        return price // step * step if side == Side.BUY else -(-price // step) * step


@dataclass(slots=True)
class Account:
    """One account: its flags, kill switches, rate state, cash and closed ids."""

    flags: int
    group: int = 0
    mode: int = 0
    killed: bool = False
    arrival_ns: int = 0  # the theoretical arrival time of GCRA
    day_base: int | None = None
    killed_strategies: set[int] = field(default_factory=set)
    cash: dict[int, int] = field(default_factory=dict)  # by currency
    closed: dict[int, None] = field(default_factory=dict)  # ids, oldest first

    @property
    def exempt(self) -> bool:
        return bool(self.flags & AccountFlag.EXEMPT)

    @property
    def recorded(self) -> bool:
        return bool(self.flags & AccountFlag.RECORDED)

    @property
    def self_match(self) -> int:
        """What its aggressors do where they meet an order of the same owner."""
        return SelfMatch.CANCEL_OLDEST if self.recorded else self.mode or SelfMatch.CANCEL_NEWEST


@dataclass(slots=True, eq=False)
class Order:
    """One open (or incoming) order."""

    order_id: int
    account_id: int
    instrument_id: int
    side: int
    price: int  # 0 for one that has none now
    leaves: int
    order_type: int
    time_in_force: int
    flags: int
    strategy_id: int
    filled: int = 0
    arming: int = 0
    standing: int = 0  # 0 while it is matched
    timer: Timer | None = None
    stood: bool = False  # it came to stand once: its timer is not armed again
    expire_ns: int = 0
    display: int = 0
    shown: int = 0
    trigger: int | None = None
    standing_number: int = 0
    offset: int = 0
    distance: int = 0  # of a trailing stop-limit; of a pegged order its cap
    group: int = 0
    parent_id: int = 0
    parent: Order | None = None
    released: int = 0  # of the parent's filled quantity: what this child has had
    unreleased: int = 0  # of a child that has entered: what may still come
    valuation: int = 0
    open: bool = False
    state: int = 0  # of routed orders
    venue_reference: int = 0
    pending_price: int = 0
    pending_quantity: int = 0

    def has(self, flag: int) -> bool:
        return self.flags & int(flag) != 0  # an int: operators of IntFlag are slow

    @property
    def key(self) -> tuple[int, int]:
        return self.account_id, self.order_id

    @property
    def rank(self) -> int:
        """Its price for a buy, minus its price for a sell: more is better."""
        return self.price if self.side == Side.BUY else -self.price

    @property
    def dark(self) -> bool:
        """Whether it rests unseen."""
        return self.has(UNSEEN) or self.order_type == OrderType.PEGGED

    @property
    def all_or_none(self) -> bool:
        return self.has(OrderFlag.ALL_OR_NONE)

    @property
    def visible(self) -> int:
        """What it shows while displayed."""
        return self.shown if self.display else self.leaves

    @property
    def unentered(self) -> bool:
        """A child that waits for its parent (or for trading): such children never are pegged or for an auction."""
        return (
            self.standing == Standing.PARKED
            and self.order_type != OrderType.PEGGED
            and self.time_in_force not in AT_AUCTION
        )

    @property
    def open_quantity(self) -> int:
        """What it counts for in the open buys or sells of its account."""
        if self.unentered:
            return 0
        return max(self.leaves, self.pending_quantity - self.filled)

    @property
    def open_value(self) -> int:
        """|price| x leaves, without the multiplier; a pending replacement counts where it is more."""
        if self.unentered:
            return 0
        price = max(abs(self.valuation), abs(self.pending_price))
        return price * max(self.leaves, self.pending_quantity - self.filled)

    def lose(self, quantity: int) -> None:
        """Less is left; an iceberg loses reserve first."""
        self.leaves -= quantity
        self.shown = min(self.shown, self.leaves)


@dataclass(slots=True)
class Entry:
    """The last accepted NEW of one side of a pair."""

    order_type: int = 0
    price: int = 0
    quantity: int = 0
    time_ns: int = 0


@dataclass(slots=True)
class Lot:
    """A part of a FIFO position; its quantity is negative when short."""

    quantity: int
    price: int
    cost: int


@dataclass(slots=True)
class Position:
    """Holding of one account in one instrument, the kill switch of that pair, and what its throttles remember."""

    killed: bool = False
    quantity: int = 0
    cost: int = 0
    realised: int = 0
    fees: int = 0
    executions: int = 0
    window_ns: int = 0  # start of the window of executions
    band_price: int | None = None
    band_ns: int = 0
    last_new: dict[int, Entry] = field(default_factory=lambda: {side: Entry() for side in SIDES})
    lots: list[Lot] = field(default_factory=list)

    def fill(self, signed_quantity: int, price: int, multiplier: int, fifo: bool) -> None:
        """Book a fill; a buy has a positive quantity."""
        held = abs(self.quantity)
        opposite = self.quantity * signed_quantity < 0
        closing = min(held, abs(signed_quantity)) if opposite else 0
        sign = 1 if signed_quantity > 0 else -1
        if closing:
            taken = self._take_lots(closing) if fifo else divide_half_even(self.cost * closing, held)
            self.cost -= taken
            self.realised += taken - sign * closing * price * multiplier
        opening = abs(signed_quantity) - closing
        opening_cost = -sign * opening * price * multiplier
        self.cost += opening_cost
        self.quantity += signed_quantity
        if fifo and opening:
            if self.lots and self.lots[-1].price == price:
                self.lots[-1].quantity += sign * opening
                self.lots[-1].cost += opening_cost
            else:
                self.lots.append(Lot(sign * opening, price, opening_cost))

    def _take_lots(self, closing: int) -> int:
        """Take this many lots, oldest first; their cost."""
        cost = 0
        while closing:
            lot = self.lots[0]
            size = abs(lot.quantity)
            part = min(size, closing)
            taken = lot.cost if part == size else divide_half_even(lot.cost * part, size)
            lot.quantity -= part if lot.quantity > 0 else -part
            lot.cost -= taken
            if lot.quantity == 0:
                self.lots.pop(0)
            cost += taken
            closing -= part
        return cost


def divide_half_even(numerator: int, denominator: int) -> int:
    """numerator / denominator (> 0), rounded half to even."""
    quotient, rest = divmod(numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and quotient % 2):
        quotient += 1
    return quotient


def opposite(side: int) -> int:
    """The other side."""
    return Side.SELL if side == Side.BUY else Side.BUY


class TwinState:
    """Everything that can influence a later event, and what is asked of it."""

    def __init__(self, capacity: int, closed_capacity: int) -> None:
        self.capacity = capacity
        self.closed_capacity = closed_capacity
        self.last_sequence = 0
        self.last_event_sequence = 0
        self.now_ns = 0
        self.last_match_id = 0
        self.last_arming = 0
        self.killed = False
        self.session_came = False  # a SESSION for every instrument
        self.session_date = 0
        self.instruments: dict[int, Instrument] = {}
        self.accounts: dict[int, Account] = {}
        self.limits: dict[tuple[int, int, int], tuple[int, int]] = {}  # (kind, account, instrument): value, window
        self.sources: dict[int, int] = {}
        self.rates: dict[int, int] = {}  # by currency, without 0
        self.fee_rates: dict[tuple[int, int, int], int] = {}  # (kind, account, instrument): parts per million
        self.book_positions: dict[tuple[int, int], Position] = {}  # (account, instrument)
        self.orders: dict[tuple[int, int], Order] = {}  # (account, order id): as they were accepted
        self.pair_orders: dict[tuple[int, int], dict[int, Order]] = {}  # (account, instrument): by arming number
        self.instrument_orders: dict[int, dict[int, Order]] = {}  # by arming number, which is oldest first
        self.displayed: dict[tuple[int, int], list[Order]] = {}  # (instrument, side): in priority order
        self.unseen: dict[tuple[int, int], list[Order]] = {}  # the same, of dark orders
        self.timers: list[Timer] = []
        self.external = False  # an instrument of an external venue came
        self.reconciled: set[tuple[int, int]] = set()  # (venue, account)
        self.executions: dict[int, dict[int, None]] = {}  # by venue: execution ids, oldest first

    @property
    def next_timer_ns(self) -> int:
        """Due time of the next timer; 0: none."""
        return min((timer.due_ns for timer in self.timers), default=0)

    @property
    def open_orders(self) -> int:
        """Number of open orders."""
        return len(self.orders)

    def depth(self, instrument_id: int, levels: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The best levels of both sides, best first: price_ticks, quantity, orders."""
        sides = []
        for side in SIDES:
            found: dict[int, list[int]] = {}
            for order in self.displayed.get((instrument_id, side), ()):
                level = found.setdefault(order.price, [0, 0])
                level[0] += order.visible
                level[1] += 1
            sides.append(np.array([(price, *level) for price, level in list(found.items())[:levels]], DEPTH))
        return sides[0], sides[1]

    def positions(self, account_id: int) -> np.recarray:
        """Positions of the account that are not all zero, by ascending instrument; open orders in lots."""
        rows = []
        for instrument_id, instrument in sorted(self.instruments.items()):
            position = self.book_positions.get((account_id, instrument_id), Position())
            buys, sells = (self._open(account_id, instrument_id, side) for side in SIDES)
            unrealised = 0
            if instrument.reference is not None:
                unrealised = position.quantity * instrument.reference * instrument.multiplier + position.cost
            row = (position.quantity, buys, sells, position.cost, position.realised, unrealised)
            if any(row):
                rows.append((instrument_id, *row))
        return np.array(rows, POSITION).view(np.recarray)

    def _open(self, account_id: int, instrument_id: int, side: int) -> int:
        """Open buys or sells of the pair, in lots."""
        orders = self.pair_orders.get((account_id, instrument_id), {})
        return sum(order.open_quantity for order in orders.values() if order.side == side)

    def _best(self, instrument_id: int, side: int, *, dark: bool = False) -> int | None:
        """The best displayed price of a side; with `dark` of all resting orders."""
        queues = [self.displayed[instrument_id, side]] + ([self.unseen[instrument_id, side]] if dark else [])
        prices = [queue[0].price for queue in queues if queue]
        if not prices:
            return None
        return max(prices) if side == Side.BUY else min(prices)

    def _in_priority(self, instrument_id: int, side: int) -> list[Order]:
        """Displayed and dark orders of a side by rank, at the same rank displayed first, then as they joined."""
        together = self.displayed[instrument_id, side] + self.unseen[instrument_id, side]
        return sorted(together, key=lambda order: -order.rank)  # the sort is stable

    def _walk(self, instrument_id: int = 0) -> list[Order]:
        """Open orders in walk order; of one instrument, or of all."""
        walked = []
        for key in [instrument_id] if instrument_id else sorted(self.instruments):
            for side in SIDES:
                walked += self._in_priority(key, side)
            elsewhere = (Standing.WAITING, Standing.PARKED, Standing.AUCTION, Standing.ROUTED)
            walked += [order for order in self._oldest_first(key) if order.standing in elsewhere]
        return walked

    def _oldest_first(self, instrument_id: int = 0) -> list[Order]:
        """Open orders by arming number."""
        if instrument_id:
            return list(self.instrument_orders[instrument_id].values())
        return list(self.orders.values())

    def _position(self, account_id: int, instrument_id: int) -> Position:
        return self.book_positions.setdefault((account_id, instrument_id), Position())

    def _exempt(self, order: Order) -> bool:
        return self.accounts[order.account_id].exempt

    def _instrument_of(self, order: Order) -> Instrument:
        return self.instruments[order.instrument_id]

    @staticmethod
    def _scoped(
        table: dict[tuple[int, int, int], Setting], kind: int, account_id: int, instrument_id: int
    ) -> list[tuple[tuple[int, int, int], Setting]]:
        """The entries of a kind that reach the pair, most specific first: (kind, account, instrument), entry."""
        scopes = [(kind, account, instrument) for account in (account_id, 0) for instrument in (instrument_id, 0)]
        return [(scope, table[scope]) for scope in scopes if scope in table]

    def _smallest(self, kind: int, account_id: int, instrument_id: int = 0) -> int | None:
        """The smallest value of a limit that reaches the pair; None: no limit."""
        return min(
            (value for _, (value, _) in self._scoped(self.limits, kind, account_id, instrument_id)), default=None
        )

    def _nearest(self, kind: int, account_id: int, instrument_id: int) -> tuple[int, int] | None:
        """(value, window) of the most specific limit that reaches the pair; None: no limit."""
        found = self._scoped(self.limits, kind, account_id, instrument_id)
        return found[0][1] if found else None
