"""Random command flows over everything the kernel does: order types, groups, phases, money, venues, controls.

Small spaces of prices, ids and times, so that things meet; most orders are sound, some are nonsense. The flow looks
at the naive twin to aim: at open orders, at routed ones and their states, at phases. The same seed and the same
rules give the same commands. What it reached is counted by `coverage.Coverage`.
"""

from __future__ import annotations

from random import Random

import numpy as np

from nautilus.core.types import (
    COMMAND,
    AccountFlag,
    AdjustKind,
    CommandKind,
    LimitKind,
    OrderState,
    OrderType,
    RateKind,
    SessionPhase,
    Side,
    Standing,
    TimeInForce,
)
from tests.kit.flow_orders import FlowOrders
from tests.kit.flow_setting import (
    BOOK,
    EXTERNAL,
    EXTREMES,
    INTERNAL,
    LIMIT_VALUES,
    MILLISECOND,
    NEXT_PHASE,
    PER_PAIR,
    TAPE,
    TRADERS,
    WAITING,
    WIDTHS,
    Fields,
)
from tests.kit.twin import TwinKernel
from tests.kit.twin_state import Order


class FullFlow(FlowOrders):
    """An endless flow of commands; the same seed and the same twin give the same commands.

    Instead of a seed it takes a `Random`, such as hypothesis draws (`strategies.randoms()`) and shrinks.
    """

    def __init__(self, seed: int | Random) -> None:
        super().__init__(seed)
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
