"""State of the naive twin: instruments, accounts, orders, positions, and its canonical form.

Plain dicts, lists and unbounded integers after docs/kernel.md; see `twin.py` for the kernel made of it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from nautilus.core.types import RULES_VERSION, AccountFlag, InstrumentFlag, SessionPhase, Side, TimeInForce

MAX_PRICE = 1 << 40
MAX_QUANTITY = 1 << 40
MAX_MULTIPLIER = 1 << 20
MAX_POSITION = 1 << 50
MAX_REALISED = 1 << 120
MAX_BANDS = 16
MAX_COLLAR_BPS = 1_000_000
RESTING = (TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD)
SIDES = (Side.BUY, Side.SELL)
DEPTH = np.dtype([("price_ticks", "<i8"), ("quantity", "<i8"), ("orders", "<i8")])
POSITION = np.dtype(
    [("instrument_id", "<u4"), ("quantity", "<i8"), ("open_buy", "<i8"), ("open_sell", "<i8")]
    + [(name, object) for name in ("cost", "realised", "unrealised")]
)


class Command(NamedTuple):
    """One COMMAND record as Python integers, in the record's order."""

    sequence: int
    now_ns: int
    order_id: int
    price_ticks: int
    quantity: int
    source_sequence: int
    instrument_id: int
    account_id: int
    kind: int
    side: int
    order_type: int
    time_in_force: int
    flags: int
    source_id: int
    trigger_ticks: int
    display_quantity: int
    min_quantity: int
    expire_ns: int
    parent_order_id: int
    deadline_ns: int
    venue_reference: int
    offset: int
    strategy_id: int
    group_id: int


@dataclass(slots=True)
class Instrument:
    """One instrument, its session and its prices."""

    multiplier: int
    lot_step: int
    minimum: int
    price_step: int
    currency: int
    product: int
    flags: int
    bands: list[tuple[int, int]] = field(default_factory=list)  # (first price, step), ascending
    phase: int = SessionPhase.CONTINUOUS
    close_ns: int = 0
    date: int = 0
    mark: int | None = None
    last: int | None = None
    killed: bool = False

    @property
    def reference(self) -> int | None:
        """The last mark, else the last fill price, else None."""
        return self.mark if self.mark is not None else self.last

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


@dataclass(slots=True)
class Account:
    """One account: its flags, kill switch, rate state and closed ids."""

    flags: int
    killed: bool = False
    arrival_ns: int = 0  # the theoretical arrival time of GCRA
    closed: dict[int, None] = field(default_factory=dict)  # ids, oldest first

    @property
    def exempt(self) -> bool:
        return bool(self.flags & AccountFlag.EXEMPT)

    @property
    def recorded(self) -> bool:
        return bool(self.flags & AccountFlag.RECORDED)


@dataclass(slots=True, eq=False)
class Order:
    """One open (or incoming) order."""

    order_id: int
    account_id: int
    instrument_id: int
    side: int
    price: int
    leaves: int
    filled: int
    order_type: int
    time_in_force: int
    flags: int
    strategy_id: int
    due_ns: int = 0
    arming: int = 0


@dataclass(slots=True)
class Position:
    """Holding of one account in one instrument, and the kill switch of that pair."""

    killed: bool = False
    quantity: int = 0
    cost: int = 0
    realised: int = 0

    def fill(self, signed_quantity: int, price: int, multiplier: int) -> None:
        """Book a fill; a buy has a positive quantity."""
        held = abs(self.quantity)
        opposite = self.quantity * signed_quantity < 0
        closing = min(held, abs(signed_quantity)) if opposite else 0
        sign = 1 if signed_quantity > 0 else -1
        if closing:
            taken = divide_half_even(self.cost * closing, held)
            self.cost -= taken
            self.realised += taken - sign * closing * price * multiplier
        self.cost -= sign * (abs(signed_quantity) - closing) * price * multiplier
        self.quantity += signed_quantity


def divide_half_even(numerator: int, denominator: int) -> int:
    """numerator / denominator (> 0), rounded half to even."""
    quotient, rest = divmod(numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and quotient % 2):
        quotient += 1
    return quotient


def word(value: int) -> bytes:
    """One little-endian 64-bit word; wider values wrap."""
    return struct.pack("<Q", int(value) & 0xFFFF_FFFF_FFFF_FFFF)


def wide(value: int) -> list[int]:
    """A 128-bit value as its low and high word."""
    return [value, value >> 64]


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
        self.instruments: dict[int, Instrument] = {}
        self.accounts: dict[int, Account] = {}
        self.limits: dict[tuple[int, int, int], tuple[int, int]] = {}  # (kind, account, instrument): value, window
        self.sources: dict[int, int] = {}
        self.book_positions: dict[tuple[int, int], Position] = {}  # (account, instrument)
        self.orders: dict[tuple[int, int], Order] = {}  # (account, order id)
        self.timers: dict[int, Order] = {}  # by arming number
        self.books: dict[tuple[int, int], list[Order]] = {}  # (instrument, side): in priority order

    @property
    def next_timer_ns(self) -> int:
        """Due time of the next timer; 0: none."""
        return min((order.due_ns for order in self.timers.values()), default=0)

    @property
    def open_orders(self) -> int:
        """Number of open orders."""
        return len(self.orders)

    def depth(self, instrument_id: int, levels: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The best levels of both sides, best first: price_ticks, quantity, orders."""
        sides = []
        for side in SIDES:
            found: dict[int, list[int]] = {}
            for order in self.books.get((instrument_id, side), ()):
                level = found.setdefault(order.price, [0, 0])
                level[0] += order.leaves
                level[1] += 1
            sides.append(np.array([(price, *level) for price, level in list(found.items())[:levels]], DEPTH))
        return sides[0], sides[1]

    def positions(self, account_id: int) -> np.recarray:
        """Positions of the account that are not all zero, by ascending instrument; open orders in lots."""
        rows = []
        for instrument_id, instrument in sorted(self.instruments.items()):
            position = self.book_positions.get((account_id, instrument_id), Position())
            buys, sells = (
                sum(order.leaves for order in self.books[instrument_id, side] if order.account_id == account_id)
                for side in SIDES
            )
            unrealised = 0
            if instrument.reference is not None:
                unrealised = position.quantity * instrument.reference * instrument.multiplier + position.cost
            row = (position.quantity, buys, sells, position.cost, position.realised, unrealised)
            if any(row):
                rows.append((instrument_id, *row))
        return np.array(rows, POSITION).view(np.recarray)

    def snapshot(self) -> bytes:
        """The canonical state: signed 64-bit little-endian words."""
        words = [RULES_VERSION, self.last_sequence, self.last_event_sequence, self.now_ns, self.last_match_id]
        words += [self.last_arming, self.killed, self.capacity, self.closed_capacity]
        words.append(len(self.instruments))
        for key, item in sorted(self.instruments.items()):
            words += [key, item.multiplier, item.lot_step, item.minimum, item.price_step, item.currency, item.product]
            words += [item.flags, item.phase, item.close_ns, item.date]
            for price in (item.mark, item.last):
                words += [price is not None, price or 0]
            words += [item.killed, len(item.bands), *(value for band in item.bands for value in band)]
        words.append(len(self.accounts))
        for key, account in sorted(self.accounts.items()):
            words += [key, account.flags, account.killed, account.arrival_ns, len(account.closed), *account.closed]
        words.append(len(self.limits))
        for scope, setting in sorted(self.limits.items()):
            words += [*scope, *setting]
        words.append(len(self.sources))
        for source in sorted(self.sources.items()):
            words += source
        held = {key: item for key, item in sorted(self.book_positions.items()) if item != Position()}
        words.append(len(held))
        for pair, position in held.items():
            words += [*pair, position.killed, position.quantity, *wide(position.cost), *wide(position.realised)]
        words.append(len(self.orders))
        for order in self._walk():
            words += [order.order_id, order.account_id, order.instrument_id, order.side, order.price, order.leaves]
            words += [order.filled, order.time_in_force, order.flags, order.strategy_id, order.due_ns, order.arming]
        return b"".join(word(value) for value in words)

    def _walk(self) -> list[Order]:
        """Open orders in walk order."""
        return [order for key in sorted(self.books) for order in self.books[key]]

    def _opposite(self, order: Order) -> list[Order]:
        return self.books[order.instrument_id, Side.SELL if order.side == Side.BUY else Side.BUY]

    def _position(self, account_id: int, instrument_id: int) -> Position:
        return self.book_positions.setdefault((account_id, instrument_id), Position())

    def _exempt(self, order: Order) -> bool:
        return self.accounts[order.account_id].exempt
