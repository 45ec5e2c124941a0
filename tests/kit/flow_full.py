"""Random command flows over everything the kernel does: order types, groups, phases, money, venues, controls.

Small spaces of prices, ids and times, so that things meet; most orders are sound, some are nonsense. The flow looks
at the naive twin to aim: at open orders, at routed ones and their states, at phases. The same seed and the same
rules give the same commands. What it reached is counted by `coverage.Coverage`.
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from nautilus.core.types import (
    COMMAND,
    AccountFlag,
    AdjustKind,
    CommandKind,
    InstrumentFlag,
    LimitKind,
    OrderFlag,
    OrderState,
    OrderType,
    RateKind,
    SelfMatch,
    SessionPhase,
    Side,
    Standing,
    TimeInForce,
)
from tests.kit import builders
from tests.kit.twin import TwinKernel
from tests.kit.twin_state import Order

Fields = dict[str, int]

INTERNAL = (1, 2, 3, 5)
EXTERNAL = (4, 6)
ORDINARY, OLDEST, FIFO, TAPE, BOOK, BOTH, ALLOWED = 1, 2, 3, 4, 5, 6, 7
TRADERS = (ORDINARY, OLDEST, FIFO, BOTH, ALLOWED)
MILLISECOND = 1_000_000
EXTREMES = (0, -1, 1, 2, 1 << 20, 1 << 40, (1 << 40) + 1, -(1 << 40), 1 << 50, (1 << 63) - 1, -(1 << 63))
WIDTHS = {  # of the fields of a record: bits, signed
    "order_id": (64, False),
    "price_ticks": (64, True),
    "quantity": (64, True),
    "instrument_id": (32, False),
    "account_id": (32, False),
    "side": (8, False),
    "order_type": (8, False),
    "time_in_force": (8, False),
    "flags": (16, False),
    "trigger_ticks": (64, True),
    "display_quantity": (64, True),
    "min_quantity": (64, True),
    "expire_ns": (64, True),
    "parent_order_id": (64, False),
    "deadline_ns": (64, True),
    "venue_reference": (64, False),
    "offset": (32, True),
    "strategy_id": (16, False),
    "group_id": (16, False),
}
NEXT_PHASE = {
    SessionPhase.CONTINUOUS: (
        SessionPhase.CONTINUOUS,
        SessionPhase.CLOSING_AUCTION,
        SessionPhase.CLOSING_AUCTION,
        SessionPhase.VOLATILITY_AUCTION,
        SessionPhase.HALTED,
        SessionPhase.CLOSED,
        SessionPhase.PRE_OPEN,
    ),
    SessionPhase.HALTED: (SessionPhase.CONTINUOUS, SessionPhase.PRE_OPEN, SessionPhase.OPENING_AUCTION),
    SessionPhase.CLOSED: (SessionPhase.PRE_OPEN, SessionPhase.PRE_OPEN, SessionPhase.CONTINUOUS),
    SessionPhase.PRE_OPEN: (SessionPhase.OPENING_AUCTION, SessionPhase.OPENING_AUCTION, SessionPhase.CONTINUOUS),
    SessionPhase.OPENING_AUCTION: (SessionPhase.CONTINUOUS, SessionPhase.CONTINUOUS, SessionPhase.HALTED),
    SessionPhase.CLOSING_AUCTION: (SessionPhase.CLOSED, SessionPhase.CONTINUOUS, SessionPhase.OPENING_AUCTION),
    SessionPhase.VOLATILITY_AUCTION: (SessionPhase.CONTINUOUS, SessionPhase.CONTINUOUS, SessionPhase.CLOSING_AUCTION),
}
LIMIT_VALUES = {  # some bind, some do not
    LimitKind.ORDER_QUANTITY: (0, 5, 8, 100),
    LimitKind.ORDER_NOTIONAL: (0, 200, 500, 1 << 40),
    LimitKind.PRICE_COLLAR: (0, 100, 200, 1_000, 1_000_000),
    LimitKind.POSITION: (0, 5, 20, 60, 1 << 50),
    LimitKind.MESSAGE_RATE: (1, 2, 10),
    LimitKind.DAILY_LOSS: (0, 10, 1_000, 1 << 60),
    LimitKind.LEVERAGE: (0, 1, 10, 100_000, 1 << 60),
    LimitKind.CONCENTRATION: (0, 1, 10, 1_000, 1 << 60),
    LimitKind.CREDIT: (0, 1_000, 10_000, 1 << 60),
    LimitKind.OPEN_ORDERS: (0, 1, 3, 20),
    LimitKind.OPEN_VALUE: (0, 500, 5_000, 1 << 60),
    LimitKind.GROSS_EXPOSURE: (0, 1_000, 10_000, 1 << 60),
    LimitKind.NET_EXPOSURE: (0, 1_000, 10_000, 1 << 60),
    LimitKind.CREDIT_TOTAL: (0, 5_000, 50_000, 1 << 60),
    LimitKind.PRICE_BAND: (0, 100, 300, 10_000),
    LimitKind.REPEATED: (1, 1, 2),
    LimitKind.DUPLICATE: (1,),
    LimitKind.STALE_PRICE: (1, 5, 1 << 40),
    LimitKind.PERMISSION: (0, 0, 1),
    LimitKind.VOLATILITY_BAND: (1, 100, 100, 200, 400),
}
PER_PAIR = (
    LimitKind.ORDER_QUANTITY,
    LimitKind.ORDER_NOTIONAL,
    LimitKind.PRICE_COLLAR,
    LimitKind.POSITION,
    LimitKind.CONCENTRATION,
    LimitKind.PRICE_BAND,
    LimitKind.REPEATED,
    LimitKind.DUPLICATE,
    LimitKind.STALE_PRICE,
    LimitKind.PERMISSION,
)
LIMIT_PRICED = (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED)
WAITING = (
    OrderType.STOP,
    OrderType.STOP_LIMIT,
    OrderType.TRAILING_STOP,
    OrderType.TRAILING_STOP_LIMIT,
    OrderType.MARKET_IF_TOUCHED,
    OrderType.LIMIT_IF_TOUCHED,
)
TRAILING = (OrderType.TRAILING_STOP, OrderType.TRAILING_STOP_LIMIT)


def instruments() -> np.ndarray:
    """Plain; pro-rata with lots and bands; negative prices; two at an external venue; pro-rata lot by lot."""
    return builders.batch(
        builders.instrument(1, currency=0),
        builders.instrument(2, multiplier=7, lot_step=5, minimum=10, price_step=2, flags=InstrumentFlag.PRO_RATA),
        builders.band(2, 100, 5),
        builders.band(2, 120, 10),
        builders.instrument(3, multiplier=1 << 20, negative=True, currency=2),
        builders.instrument(4, currency=0, venue_reference=9),
        builders.instrument(5, currency=1, flags=InstrumentFlag.PRO_RATA),
        builders.instrument(6, currency=300, venue_reference=9),
    )


def accounts() -> np.ndarray:
    """One of each self-match mode (two in one group, one FIFO), the tape and the recorded book."""
    return builders.batch(
        builders.account(ORDINARY),
        builders.account(OLDEST, order_type=SelfMatch.CANCEL_OLDEST, group_id=7),
        builders.account(FIFO, AccountFlag.FIFO, order_type=SelfMatch.DECREMENT, group_id=7),
        builders.account(TAPE, AccountFlag.EXEMPT),
        builders.account(BOOK, AccountFlag.EXEMPT | AccountFlag.RECORDED),
        builders.account(BOTH, AccountFlag.FIFO, order_type=SelfMatch.CANCEL_BOTH),
        builders.account(ALLOWED, order_type=SelfMatch.NONE),
    )


def first_commands() -> np.ndarray:
    """Marks, rates, fees, cash and reconciled accounts, so that most controls can pass."""
    commands = [
        builders.command(CommandKind.RATE, group_id=RateKind.CURRENCY, offset=1, price_ticks=1_500_000_000),
        builders.command(CommandKind.RATE, group_id=RateKind.CURRENCY, offset=2, price_ticks=333_333_333),
        builders.command(CommandKind.RATE, group_id=RateKind.TAKER_FEE, price_ticks=700),
        builders.command(CommandKind.RATE, group_id=RateKind.MAKER_FEE, price_ticks=-300),
        *(builders.mark(price, key) for key, price in ((1, 100), (2, 100), (3, 2), (5, 100))),
        *(adjust(AdjustKind.CASH, account_id=key, quantity=1_000_000) for key in TRADERS),
        *(builders.command(CommandKind.VENUE_ACCEPTED, account_id=key, instrument_id=4) for key in (*TRADERS, TAPE)),
        builders.session(date=20_240_101),
    ]
    return builders.batch(*commands)


def adjust(kind: AdjustKind, **fields: int) -> np.ndarray:
    """ADJUST of one kind."""
    return builders.command(CommandKind.ADJUST, group_id=kind, **fields)


class FullFlow:
    """An endless flow of commands; the same seed and the same twin give the same commands.

    Instead of a seed it takes a `Random`, such as hypothesis draws (`strategies.randoms()`) and shrinks.
    """

    def __init__(self, seed: int | Random) -> None:
        self._random = seed if isinstance(seed, Random) else Random(seed)
        self._next_id = 1
        self._next_group = 1
        self._next_execution = 1
        self._now_ns = 1
        self._queue: list[Fields] = []  # the rest of a bracket or of a day
        self._undo: list[tuple[int, Fields]] = []  # (at which command, what takes back a limit or a kill switch)
        self._drawn = 0
        self._date = 20_240_101
        self._makers = (
            (self._new, 62),
            (self._cancel, 10),
            (self._replace, 12),
            (self._wrong, 2),
            (self._bracket, 4),
            (self._group, 3),
            (self._report, 10),
            (self._mark, 4),
            (self._time, 3),
            (self._phase, 3.5),
            (self._limit, 4.5),
            (self._kill, 0.8),
            (self._mass_cancel, 1.2),
            (self._administer, 2.4),
            (self._nonsense, 1.0),
        )

    def draw(self, twin: TwinKernel) -> np.ndarray:
        """One command, drawn for the state that the twin is in."""
        self._drawn += 1
        due = [item for item in self._undo if item[0] <= self._drawn]
        if due:
            self._undo.remove(due[0])
            fields = due[0][1]
        elif self._queue:
            fields = self._queue.pop(0)
        else:
            maker = self._random.choices([item[0] for item in self._makers], [item[1] for item in self._makers])[0]
            fields = maker(twin)
        if self._random.random() < 0.03:
            self._spoil(fields)
        self._stamp(fields)
        record = np.zeros(1, COMMAND)
        for name, value in fields.items():
            record[name] = value
        return record

    # -- small draws ---------------------------------------------------------------------------------------------

    def _chance(self, chance: float) -> bool:
        return self._random.random() < chance

    def _pick(self, weights: dict[Any, float]) -> Any:
        return self._random.choices(list(weights), list(weights.values()))[0]

    def _stamp(self, fields: Fields) -> None:
        """Time, source and deadline."""
        step = self._pick({0: 5, 1: 4, 3: 2, 20: 0.5, MILLISECOND: 0.3, 60 * MILLISECOND: 0.3, 150 * MILLISECOND: 0.2})
        self._now_ns += step
        fields.setdefault("now_ns", self._now_ns - (2 if self._chance(0.05) else 0))
        if self._chance(0.1):
            fields["source_id"] = self._random.choice((1, 2, 60_000))
            fields["source_sequence"] = self._drawn - (40 if self._chance(0.1) else 0)
        if self._chance(0.01):
            fields.setdefault("deadline_ns", max(0, self._now_ns + self._random.randint(-3, 5)))
        fields["now_ns"] = max(0, fields["now_ns"])
        if "source_sequence" in fields:
            fields["source_sequence"] = max(0, fields["source_sequence"])

    def _spoil(self, fields: Fields) -> None:
        """One field becomes something odd."""
        name = self._random.choice(list(WIDTHS))
        bits, signed = WIDTHS[name]
        value = self._random.choice((*EXTREMES, *range(12), self._random.getrandbits(64)))
        value &= (1 << bits) - 1
        fields[name] = value - (1 << bits) if signed and value >> (bits - 1) else value

    def _price(self, instrument_id: int, side: int = 0, away: int = 0) -> int:
        """Near the middle, on tick mostly; `away` to the passive side."""
        if instrument_id == 2:
            ladder = [90, 92, 94, 96, 98, 100, 105, 110, 115, 120, 130]
            index = self._random.randint(3, 7) + (-away if side == Side.BUY else away)
            return ladder[max(0, min(len(ladder) - 1, index))]
        middle = 1 if instrument_id == 3 else 100
        return middle + self._random.randint(-3, 3) + (-away if side == Side.BUY else away)

    def _quantity(self, instrument_id: int) -> int:
        if instrument_id == 2:
            return 5 * self._random.randint(2, 8)
        if instrument_id == 3 and self._chance(0.01):
            return 1 << self._random.randint(20, 40)
        return self._random.randint(1, 9)

    def _fresh_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _account(self) -> int:
        return int(self._pick({ORDINARY: 5, OLDEST: 3, FIFO: 3, BOTH: 2, ALLOWED: 2, TAPE: 1, BOOK: 2}))

    def _instrument(self) -> int:
        return int(self._pick({1: 6, 2: 2, 3: 2, 5: 2.5, 4: 1.6, 6: 0.4}))

    def _open_order(self, twin: TwinKernel, wanted: Any = None) -> Order | None:
        orders = [order for order in twin.orders.values() if wanted is None or wanted(order)]
        return self._random.choice(orders) if orders else None

    # -- orders --------------------------------------------------------------------------------------------------

    def _new(self, twin: TwinKernel) -> Fields:
        instrument_id = self._instrument()
        account_id = self._account()
        if account_id == TAPE and instrument_id in INTERNAL and self._chance(0.6):
            return self._tape(instrument_id)
        order_type = self._pick(
            {
                OrderType.LIMIT: 12,
                OrderType.MARKET: 1.5,
                OrderType.STOP: 0.7,
                OrderType.STOP_LIMIT: 0.7,
                OrderType.TRAILING_STOP: 0.7,
                OrderType.TRAILING_STOP_LIMIT: 0.6,
                OrderType.MARKET_IF_TOUCHED: 0.5,
                OrderType.LIMIT_IF_TOUCHED: 0.5,
                OrderType.MARKET_TO_LIMIT: 0.7,
                OrderType.PEGGED: 1.2,
            }
        )
        fields = self._order(twin, order_type, instrument_id, account_id)
        if self._chance(0.02):
            fields["order_id"] = self._random.randint(0, self._next_id)
        if self._chance(0.03):
            self._mix(fields)
        return fields

    def _order(self, twin: TwinKernel, order_type: int, instrument_id: int, account_id: int) -> Fields:
        """A sound order of the type, with what may go with it."""
        side = self._random.choice((Side.BUY, Side.SELL))
        fields: Fields = {
            "kind": CommandKind.NEW,
            "order_id": self._fresh_id(),
            "account_id": account_id,
            "instrument_id": instrument_id,
            "side": side,
            "order_type": order_type,
            "quantity": self._quantity(instrument_id),
            "strategy_id": self._random.randint(0, 2),
        }
        phase = twin.instruments[instrument_id].phase
        self._tif(fields, phase)
        if order_type in LIMIT_PRICED:
            fields["price_ticks"] = self._price(instrument_id, side, self._pick({0: 5, 1: 3, 2: 2}))
        if order_type in WAITING:
            self._make_waiting(fields)
        if order_type == OrderType.PEGGED:
            fields["offset"] = self._pick({0: 3, -1: 3, 1: 1, -2: 1})
            fields["flags"] = self._pick({0: 2, OrderFlag.PEG_MID: 1.5, OrderFlag.PEG_OPPOSITE: 1.5})
            if self._chance(0.3):
                fields["price_ticks"] = self._price(instrument_id)
        if order_type == OrderType.LIMIT:
            self._dress_limit(fields)
        if self._chance(0.08):
            position = twin.book_positions.get((account_id, instrument_id))
            if position and position.quantity:
                fields["side"] = Side.SELL if position.quantity > 0 else Side.BUY
            fields["flags"] = fields.get("flags", 0) | OrderFlag.REDUCE_ONLY
        single = fields["time_in_force"] in (TimeInForce.IOC, TimeInForce.FOK)
        if order_type in (OrderType.LIMIT, OrderType.MARKET) and single and self._chance(0.15):
            fields["min_quantity"] = self._random.randint(1, fields["quantity"])
        return fields

    def _tif(self, fields: Fields, phase: int) -> None:
        order_type = fields["order_type"]
        resting: dict[Any, float] = {TimeInForce.GTC: 4, TimeInForce.DAY: 2, TimeInForce.GTD: 2}
        auction = {TimeInForce.AT_OPEN: 0.15, TimeInForce.AT_CLOSE: 0.25}
        if phase in (SessionPhase.PRE_OPEN, SessionPhase.OPENING_AUCTION, SessionPhase.VOLATILITY_AUCTION):
            auction = {TimeInForce.AT_OPEN: 3, TimeInForce.AT_CLOSE: 0.7}
        at_once = {TimeInForce.IOC: 1.5, TimeInForce.FOK: 1}
        if order_type == OrderType.LIMIT:
            tif = self._pick({**resting, **auction, **at_once})
        elif order_type == OrderType.MARKET:
            tif = self._pick({**auction, **at_once})
        else:
            tif = self._pick(resting)
        fields["time_in_force"] = tif
        if tif == TimeInForce.GTD:
            life = self._pick({4: 2, 40: 4, 400: 2, 80 * MILLISECOND: 2, 0: 0.3})
            fields["expire_ns"] = self._now_ns + self._random.randint(0, life) + 2

    def _make_waiting(self, fields: Fields) -> None:
        instrument_id, order_type = fields["instrument_id"], fields["order_type"]
        fields["flags"] = self._pick({0: 4, OrderFlag.TRIGGER_MARK: 1.5, OrderFlag.TRIGGER_QUOTE: 1.5})
        if order_type in TRAILING:
            fields["offset"] = self._random.randint(1, 4)
            if self._chance(0.3):
                fields["offset"] = self._random.choice((50, 100, 250))
                fields["flags"] |= OrderFlag.TRAIL_BPS
            if order_type == OrderType.TRAILING_STOP_LIMIT:
                fields["price_ticks"] = self._random.randint(0, 3)
            if self._chance(0.3):
                fields["trigger_ticks"] = self._price(instrument_id)
        else:
            fields["trigger_ticks"] = self._price(instrument_id)

    def _dress_limit(self, fields: Fields) -> None:
        """Flags and quantities that go with a LIMIT."""
        tif = fields["time_in_force"]
        resting = tif in (TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD)
        flags = 0
        if resting:
            flags = self._pick(
                {
                    0: 10,
                    OrderFlag.POST_ONLY: 1.5,
                    OrderFlag.POST_ONLY | OrderFlag.SLIDE: 1.5,
                    OrderFlag.HIDDEN: 1.5,
                    OrderFlag.HIDDEN | OrderFlag.POST_ONLY: 0.3,
                    OrderFlag.ALL_OR_NONE: 1.8,
                }
            )
            if flags == 0 and self._chance(0.06):
                fields["min_quantity"] = self._random.randint(1, fields["quantity"])
        elif tif == TimeInForce.IOC:
            flags = self._pick({0: 6, OrderFlag.ALL_OR_NONE: 1})
        fields["flags"] = flags
        plain = not flags & (OrderFlag.HIDDEN | OrderFlag.ALL_OR_NONE)
        if plain and tif not in (TimeInForce.IOC, TimeInForce.FOK) and self._chance(0.2):
            if fields["instrument_id"] == 2:
                fields["quantity"] += 30
                fields["display_quantity"] = 10
            else:
                fields["quantity"] += self._random.randint(3, 12)
                fields["display_quantity"] = self._random.randint(1, 3)
            fields.pop("min_quantity", None)

    def _mix(self, fields: Fields) -> None:
        """Flags and fields that mostly do not go together."""
        fields["flags"] = self._random.getrandbits(14) & self._random.getrandbits(14)
        fields["group_id"] = self._random.choice((0, 0, 1, 2))
        fields["offset"] = self._random.choice((0, 0, 1, -1))
        fields["display_quantity"] = self._random.choice((0, 0, 1, 5, -1))
        fields["min_quantity"] = self._random.choice((0, 0, 1, 50, -1))
        fields["time_in_force"] = self._random.randint(1, 7)

    def _wrong(self, twin: TwinKernel) -> Fields:
        """A plain order with one thing wrong, or the same order twice."""
        fields = self._order(twin, OrderType.LIMIT, 2 if self._chance(0.6) else 1, self._random.choice(TRADERS))
        fields.update(time_in_force=TimeInForce.GTC, flags=0, display_quantity=0, min_quantity=0, expire_ns=0)
        wrong = self._random.randint(0, 7)
        if wrong == 0:
            fields["price_ticks"] += 1
        elif wrong == 1:
            fields["quantity"] += 1
        elif wrong == 2:
            fields["quantity"] = 5
        elif wrong == 3:
            fields["order_id"] = self._random.randint(0, 2)
        elif wrong == 4:
            fields["price_ticks"] = 0
        elif wrong == 5:
            fields["quantity"] = 0
        else:
            self._queue.append({**fields, "order_id": self._fresh_id()})
        return fields

    def _tape(self, instrument_id: int) -> Fields:
        flags = OrderFlag.TAPE | (OrderFlag.TAPE_BOOKED if self._chance(0.5) else 0)
        return {
            "kind": CommandKind.NEW,
            "order_id": self._fresh_id(),
            "account_id": TAPE,
            "instrument_id": instrument_id,
            "side": self._random.choice((Side.BUY, Side.SELL)),
            "order_type": OrderType.LIMIT,
            "time_in_force": TimeInForce.IOC,
            "price_ticks": self._price(instrument_id),
            "quantity": self._quantity(instrument_id),
            "flags": flags,
        }

    def _bracket(self, twin: TwinKernel) -> Fields:
        """An entry and its children: take-profit and stop, with or without a group, sometimes elsewhere."""
        instrument_id, account_id = self._random.choice(INTERNAL), self._random.choice(TRADERS)
        entry = self._order(twin, OrderType.LIMIT, instrument_id, account_id)
        entry.update(time_in_force=TimeInForce.GTC, price_ticks=self._price(instrument_id, entry["side"], 2))
        for name in ("expire_ns", "min_quantity"):
            entry.pop(name, None)
        if self._chance(0.25):
            entry = self._order(twin, self._random.choice(list(OrderType)), instrument_id, account_id)
        other_side = Side.SELL if entry["side"] == Side.BUY else Side.BUY
        group = self._next_group = self._next_group % 60_000 + 1
        kind = self._pick({OrderFlag.GROUP_OCO: 2, OrderFlag.GROUP_OUO: 2, 0: 0.7})
        for child_type in (
            self._pick({OrderType.LIMIT: 5, OrderType.LIMIT_IF_TOUCHED: 1, OrderType.MARKET_TO_LIMIT: 0.5}),
            self._pick(
                {OrderType.STOP: 3, OrderType.STOP_LIMIT: 1, OrderType.TRAILING_STOP: 1.5, OrderType.MARKET: 0.5}
            ),
        ):
            elsewhere = self._random.choice(INTERNAL) if self._chance(0.15) else instrument_id
            child = self._order(twin, child_type, elsewhere, account_id)
            child["side"] = other_side if self._chance(0.9) else entry["side"]
            child.pop("min_quantity", None)
            if child["time_in_force"] in (TimeInForce.AT_OPEN, TimeInForce.AT_CLOSE):
                child["time_in_force"] = TimeInForce.IOC if child_type == OrderType.MARKET else TimeInForce.GTC
                child.pop("display_quantity", None)
            child["quantity"] = entry["quantity"] if elsewhere == instrument_id else child["quantity"]
            child["display_quantity"] = 0
            child["parent_order_id"] = entry["order_id"]
            if kind:
                child["group_id"] = group
                child["flags"] = child.get("flags", 0) | kind
            if self._chance(0.4):
                child["flags"] = child.get("flags", 0) | OrderFlag.REDUCE_ONLY
            self._queue.append(child)
        if self._chance(0.05):  # a child of a child
            wrong = dict(self._queue[-1])
            wrong["order_id"], wrong["parent_order_id"] = self._fresh_id(), self._queue[-1]["order_id"]
            self._queue.append(wrong)
        return entry

    def _group(self, twin: TwinKernel) -> Fields:
        """Two to four orders of one group; rarely one too many or of another kind."""
        account_id = self._random.choice(TRADERS)
        group = self._next_group = self._next_group % 60_000 + 1
        kind = self._random.choice((OrderFlag.GROUP_OCO, OrderFlag.GROUP_OUO))
        count = self._pick({2: 6, 3: 3, 4: 1, 10: 0.2})
        for _ in range(count):
            instrument_id = self._random.choice(INTERNAL) if self._chance(0.2) else 1
            order_type = self._pick({OrderType.LIMIT: 5, OrderType.STOP: 1, OrderType.PEGGED: 1, OrderType.MARKET: 0.3})
            order = self._order(twin, order_type, instrument_id, account_id)
            order["group_id"] = group
            order["flags"] = order.get("flags", 0) | kind
            if self._chance(0.02):
                order["flags"] ^= OrderFlag.GROUP_OCO | OrderFlag.GROUP_OUO
            self._queue.append(order)
        return self._queue.pop(0)

    def _cancel(self, twin: TwinKernel) -> Fields:
        order = self._open_order(twin)
        if order is None or self._chance(0.08):
            order_id, account_id = self._random.randint(0, self._next_id), self._account()
        else:
            account_id, order_id = order.key
        return {"kind": CommandKind.CANCEL, "order_id": order_id, "account_id": account_id}

    def _replace(self, twin: TwinKernel) -> Fields:
        order = self._open_order(twin)
        if order is None or self._chance(0.05):
            fields = self._cancel(twin)
            return fields | {"kind": CommandKind.REPLACE, "price_ticks": 100, "quantity": 5}
        fields = {"kind": CommandKind.REPLACE, "order_id": order.order_id, "account_id": order.account_id}
        step = 5 if order.instrument_id == 2 else 1
        change = self._pick({0: 3, -step: 3, step: 2, 2 * step: 1, -2 * step: 1})
        fields["quantity"] = max(order.filled + order.leaves + change, 0)
        price = order.price if self._chance(0.4) else self._price(order.instrument_id, order.side)
        if order.order_type in LIMIT_PRICED:
            fields["price_ticks"] = price
        elif order.order_type == OrderType.PEGGED:
            fields["price_ticks"] = order.distance if self._chance(0.5) else self._price(order.instrument_id)
        if order.order_type in WAITING and order.order_type not in TRAILING and not order.state and self._chance(0.5):
            fields["trigger_ticks"] = self._price(order.instrument_id)
        if self._chance(0.03):
            fields[self._random.choice(("flags", "offset", "group_id", "expire_ns", "trigger_ticks"))] = 1
        return fields

    # -- external venues -----------------------------------------------------------------------------------------

    def _report(self, twin: TwinKernel) -> Fields:
        order = self._open_order(twin, lambda order: order.standing == Standing.ROUTED)
        if order is None or self._chance(0.15):
            return self._stray_report(twin)
        fields: Fields = {
            "order_id": order.order_id,
            "account_id": order.account_id,
            "instrument_id": order.instrument_id,
        }
        kinds = {
            CommandKind.VENUE_ACCEPTED: 4 if order.state == OrderState.PENDING_NEW else 0.7,
            CommandKind.VENUE_REJECTED: 1,
            CommandKind.VENUE_FILL: 3,
            CommandKind.VENUE_CANCELLED: 3 if order.state == OrderState.PENDING_CANCEL else 0.3,
            CommandKind.VENUE_REPLACED: 3 if order.state == OrderState.PENDING_REPLACE else 0.2,
            CommandKind.VENUE_UNKNOWN: 0.5,
        }
        kind = fields["kind"] = self._pick(kinds)
        if kind == CommandKind.VENUE_ACCEPTED:
            fields["venue_reference"] = self._random.randint(0 if self._chance(0.1) else 1, 1 << 40)
        elif kind == CommandKind.VENUE_REJECTED:
            under_way = {2: CommandKind.NEW, 3: CommandKind.CANCEL, 4: CommandKind.REPLACE}
            likely = under_way.get(order.state + 1, CommandKind.NEW)
            fields["group_id"] = likely if self._chance(0.7) else self._random.randint(0, 4)
        elif kind == CommandKind.VENUE_FILL:
            self._fill(fields, order)
        elif kind == CommandKind.VENUE_CANCELLED:
            fields["group_id"] = self._pick({0: 3, 1: 1})
        elif kind == CommandKind.VENUE_REPLACED:
            fields["price_ticks"] = order.pending_price or order.price
            total = order.pending_quantity or order.filled + order.leaves
            fields["quantity"] = total if self._chance(0.85) else order.filled
        return fields

    def _fill(self, fields: Fields, order: Order) -> None:
        fields["price_ticks"] = self._price(order.instrument_id)
        fields["quantity"] = self._pick({order.leaves: 2, 1: 3, order.leaves + 1: 0.4})
        fields["side"] = order.side
        self._next_execution += 0 if self._chance(0.1) else 1
        fields["venue_reference"] = self._next_execution

    def _stray_report(self, twin: TwinKernel) -> Fields:
        """Of the session, of closed and of unknown orders."""
        account_id = self._random.choice(TRADERS)
        instrument_id = self._random.choice(EXTERNAL)
        fields: Fields = {"account_id": account_id, "instrument_id": instrument_id}
        roll = self._random.random()
        if roll < 0.35:  # the session is lost; the accounts come back soon
            fields["kind"] = CommandKind.VENUE_UNKNOWN
            fields["account_id"] = 0 if self._chance(0.2) else account_id
            for key in TRADERS if fields["account_id"] == 0 else (account_id,):
                again = {"kind": CommandKind.VENUE_ACCEPTED, "account_id": key, "instrument_id": instrument_id}
                self._undo.append((self._drawn + self._random.randint(2, 15), again))
            for order in twin.orders.values():
                if order.standing == Standing.ROUTED and account_id == order.account_id:
                    fate = {"order_id": order.order_id, "account_id": account_id, "instrument_id": order.instrument_id}
                    known = self._pick({CommandKind.VENUE_CANCELLED: 2, CommandKind.VENUE_ACCEPTED: 2})
                    self._undo.append(
                        (self._drawn + self._random.randint(1, 8), fate | {"kind": known, "venue_reference": 5})
                    )
        elif roll < 0.5:
            fields["kind"] = CommandKind.VENUE_ACCEPTED
        elif roll < 0.8:
            fields["kind"] = CommandKind.VENUE_FILL
            fields["order_id"] = self._random.randint(0, self._next_id)
            fields["price_ticks"], fields["quantity"] = self._price(instrument_id), self._random.randint(1, 5)
            fields["side"] = self._random.choice((Side.BUY, Side.SELL, 0))
            self._next_execution += 1
            fields["venue_reference"] = self._next_execution
        else:
            fields["kind"] = self._random.randint(CommandKind.VENUE_ACCEPTED, CommandKind.VENUE_UNKNOWN)
            fields["order_id"] = self._random.randint(0, self._next_id)
            fields["instrument_id"] = self._random.choice((*EXTERNAL, *INTERNAL, 99))
        return fields

    # -- the market and its phases -------------------------------------------------------------------------------

    def _mark(self, twin: TwinKernel) -> Fields:
        instrument_id = self._instrument()
        return {"kind": CommandKind.MARK, "instrument_id": instrument_id, "price_ticks": self._price(instrument_id)}

    def _time(self, twin: TwinKernel) -> Fields:
        step = self._pick({3: 4, 30: 3, 100: 2, 110 * MILLISECOND: 2})
        self._now_ns += step
        return {"kind": CommandKind.TIME}

    def _phase(self, twin: TwinKernel) -> Fields:
        every = self._chance(0.2)
        instrument_id = 0 if every else self._random.choice((*INTERNAL, *EXTERNAL))
        phase = twin.instruments[instrument_id or 1].phase
        follow = self._random.choice(NEXT_PHASE[SessionPhase(phase)])
        if self._chance(0.05):
            follow = self._random.choice(list(SessionPhase))
        fields: Fields = {"kind": CommandKind.SESSION, "instrument_id": instrument_id, "group_id": follow}
        if self._chance(0.4):
            fields["expire_ns"] = self._now_ns + self._random.choice((0, 1, 30, 300, 200 * MILLISECOND))
        if every and self._chance(0.5):
            self._date += 1
        fields["offset"] = self._date
        if follow != SessionPhase.CONTINUOUS:
            back = {"kind": CommandKind.SESSION, "instrument_id": instrument_id, "offset": self._date}
            wait = self._random.randint(6, 14)
            if follow in (SessionPhase.HALTED, SessionPhase.CLOSED):
                wait //= 3
                if self._chance(0.6):
                    self._undo.append((self._drawn + wait, back | {"group_id": SessionPhase.PRE_OPEN}))
                    wait += 8
                    self._undo.append((self._drawn + wait, back | {"group_id": SessionPhase.OPENING_AUCTION}))
                    wait += 10
            self._undo.append((self._drawn + wait, back | {"group_id": SessionPhase.CONTINUOUS}))
        return fields

    # -- limits, kill switches, money ----------------------------------------------------------------------------

    def _limit(self, twin: TwinKernel) -> Fields:
        kind = self._random.choice(list(LimitKind))
        if self._chance(0.35):
            kind = self._pick({LimitKind.VOLATILITY_BAND: 5, LimitKind.REPEATED: 1, LimitKind.PRICE_COLLAR: 1})
        fields: Fields = {"kind": CommandKind.LIMIT, "order_type": kind}
        fields["quantity"] = self._random.choice(LIMIT_VALUES[kind])
        if kind in PER_PAIR:
            fields["instrument_id"] = self._random.choice((0, *INTERNAL, 4))
        if kind in PER_PAIR or kind not in (LimitKind.CREDIT_TOTAL, LimitKind.VOLATILITY_BAND):
            fields["account_id"] = self._random.choice((0, *TRADERS))
        if kind == LimitKind.VOLATILITY_BAND:
            fields["instrument_id"] = self._random.choice((0, *INTERNAL))
            fields["expire_ns"] = self._random.choice((0, 1, 20, 100, 150 * MILLISECOND))
        elif kind == LimitKind.MESSAGE_RATE:
            fields["expire_ns"] = fields["quantity"] * self._random.choice((1, 3, 10))
        elif kind in (LimitKind.PRICE_BAND, LimitKind.REPEATED, LimitKind.DUPLICATE):
            fields["expire_ns"] = self._random.choice((1, 20, 1 << 40, 1 << 40))
        wait = self._random.randint(10, 40) * (3 if kind == LimitKind.VOLATILITY_BAND else 1)
        self._undo.append((self._drawn + wait, {**fields, "quantity": -1}))
        if self._chance(0.7):
            self._try_limit(twin, fields)
        if kind == LimitKind.REPEATED and self._chance(0.5):
            again = {
                "kind": CommandKind.RESUME,
                "account_id": fields["account_id"],
                "instrument_id": fields["instrument_id"],
            }
            self._undo.append((self._drawn + wait - 5, again))
        return fields

    def _try_limit(self, twin: TwinKernel, limit: Fields) -> None:
        """Some orders where the limit holds."""
        account_id = limit.get("account_id") or self._random.choice(TRADERS)
        instrument_id = limit.get("instrument_id") or self._random.choice((1, 1, 3, 5, 4))
        counterpart = self._random.choice([key for key in TRADERS if key != account_id])
        for _ in range(self._random.randint(2, 5)):
            order_type = self._pick({OrderType.LIMIT: 4, OrderType.MARKET: 1, self._random.choice(WAITING): 1})
            order = self._order(twin, order_type, instrument_id, account_id)
            if limit["order_type"] == LimitKind.PRICE_COLLAR and order_type == OrderType.LIMIT:
                order["price_ticks"] = self._price(instrument_id, order["side"], -4)
            if limit["order_type"] == LimitKind.REPEATED:  # something to execute against
                plain = {"flags": 0, "display_quantity": 0, "min_quantity": 0, "expire_ns": 0, "offset": 0}
                plain |= {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC, "trigger_ticks": 0}
                order.update(plain, price_ticks=self._price(instrument_id))
                side = Side.SELL if order["side"] == Side.BUY else Side.BUY
                other = {**order, "order_id": self._fresh_id(), "account_id": counterpart, "side": side}
                self._queue.append(other)
            self._queue.append(order)
            if limit["order_type"] == LimitKind.DUPLICATE and self._chance(0.6):
                self._queue.append({**order, "order_id": self._fresh_id()})

    def _kill(self, twin: TwinKernel) -> Fields:
        fields: Fields = {"kind": CommandKind.KILL}
        fields["account_id"] = self._random.choice((0, *TRADERS, TAPE))
        fields["instrument_id"] = self._random.choice((0, *INTERNAL, 4))
        if self._chance(0.4):
            fields["strategy_id"] = self._random.randint(1, 2)
            fields["instrument_id"] = 0 if self._chance(0.9) else 1
        self._undo.append((self._drawn + self._random.randint(2, 8), {**fields, "kind": CommandKind.RESUME}))
        return fields

    def _mass_cancel(self, twin: TwinKernel) -> Fields:
        return {
            "kind": CommandKind.MASS_CANCEL,
            "account_id": self._random.choice((0, *TRADERS, BOOK)),
            "instrument_id": self._random.choice((0, *INTERNAL, *EXTERNAL)),
            "side": self._pick({0: 3, 1: 1, 2: 1, 3: 0.1}),
            "strategy_id": self._random.choice((0, 0, 1)),
        }

    def _administer(self, twin: TwinKernel) -> Fields:
        roll = self._random.random()
        if roll < 0.25:
            kind = self._random.choice(list(RateKind))
            value = self._random.choice((1_000_000_000, 1, 1 << 40, 700_000_000))
            if kind != RateKind.CURRENCY:
                value = self._random.choice((0, 500, -200, 100_000, -100_000, 33))
            return {
                "kind": CommandKind.RATE,
                "group_id": kind,
                "offset": self._random.choice((1, 2, 0, 255, 256)) if kind == RateKind.CURRENCY else 0,
                "price_ticks": value,
                "account_id": self._random.choice((0, *TRADERS)),
                "instrument_id": self._random.choice((0, *INTERNAL, 4)),
            }
        if roll < 0.6:
            return self._adjust()
        if roll < 0.85:
            flags = self._random.choice((0, AccountFlag.FIFO, AccountFlag.EXEMPT, AccountFlag.RECORDED, 8))
            known = self._random.choice((*TRADERS, 8, 9))
            account = twin.accounts.get(known)
            same = account is not None and (known in TRADERS or self._chance(0.5))
            return {
                "kind": CommandKind.ACCOUNT,
                "account_id": known,
                "flags": account.flags if account is not None and same else flags,
                "group_id": account.group if account is not None and same else self._random.choice((0, 7)),
                "order_type": self._random.randint(0, 6),
            }
        return {
            "kind": CommandKind.INSTRUMENT,
            "instrument_id": self._random.choice((0, *range(6, 13))),
            "quantity": self._random.choice((1, 7, 0)),
            "price_ticks": self._random.choice((0, 1, 150)),
            "flags": self._random.randint(0, 8),
            "venue_reference": self._random.choice((0, 9, 10, 256)),
            "offset": self._random.choice((0, 1, -1)),
        }

    def _adjust(self) -> Fields:
        kind = self._pick({AdjustKind.CASH: 2, AdjustKind.POSITION: 3, AdjustKind.SPLIT: 1.6})
        fields: Fields = {"kind": CommandKind.ADJUST, "group_id": kind}
        account_id = fields["account_id"] = self._random.choice((*TRADERS, TAPE))
        instrument_id = fields["instrument_id"] = self._random.choice((*INTERNAL, 4))
        if kind == AdjustKind.CASH:
            fields["offset"] = self._random.choice((0, 0, 1, 2, 3, 256))
            fields["quantity"] = self._random.choice((1_000_000, -500_000, 1 << 60, 0))
        elif kind == AdjustKind.POSITION:
            fields["price_ticks"] = self._price(instrument_id)
            fields["quantity"] = self._random.randint(-9, 9)
            if self._chance(0.15):  # near the bound, and back
                fields["quantity"] = self._random.choice((-1, 1)) * ((1 << 50) - self._random.randint(0, 8))
                back = {**fields, "quantity": -fields["quantity"]}
                self._undo.append((self._drawn + 12, back))
                side = Side.BUY if fields["quantity"] > 0 else Side.SELL
                for _ in range(3):
                    order = {
                        "kind": CommandKind.NEW,
                        "order_id": self._fresh_id(),
                        "account_id": account_id,
                        "instrument_id": instrument_id,
                        "side": side,
                        "order_type": OrderType.LIMIT,
                        "time_in_force": TimeInForce.GTC,
                        "price_ticks": self._price(instrument_id),
                        "quantity": self._quantity(instrument_id),
                    }
                    self._queue.append(order)
        else:
            fields["quantity"], fields["min_quantity"] = self._random.choice(
                ((2, 1), (1, 2), (3, 2), (1, 1 << 20), (0, 1))
            )
            fields["account_id"] = 0
            mark = {"kind": CommandKind.MARK, "instrument_id": instrument_id, "price_ticks": self._price(instrument_id)}
            self._undo.append((self._drawn + 4, mark))
        return fields

    def _nonsense(self, twin: TwinKernel) -> Fields:
        """Every field drawn on its own."""
        fields: Fields = {}
        for name, (bits, signed) in WIDTHS.items():
            value = self._random.choice(
                (0, 1, 2, 3, 100, self._random.choice(EXTREMES), self._random.getrandbits(bits))
            )
            value &= (1 << bits) - 1
            fields[name] = value - (1 << bits) if signed and value >> (bits - 1) else value
        fields["kind"] = self._random.choice((*range(22), 255))
        return fields
