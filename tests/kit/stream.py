"""An endless flow over every order type, groups, phases and controls, quick enough for 10^8 commands.

A block of commands is drawn once; each repetition moves its ids and times on, and every other one is its mirror image
(sides and prices), so that positions do not drift. Nothing of it looks at the kernel: what an order aims at may have
gone, as in a real flow.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np

from nautilus.core.types import (
    COMMAND,
    AccountFlag,
    CommandKind,
    InstrumentFlag,
    LimitKind,
    OrderFlag,
    OrderType,
    SelfMatch,
    SessionPhase,
    Side,
    TimeInForce,
)
from tests.kit import builders

Fields = dict[str, int]

MIDDLE = 10_000
INSTRUMENTS = (1, 2, 3)
ACCOUNTS = (1, 2, 3, 4, 5, 6)
STEP_NS = 1_000
LIVES = 6_000  # commands that an order with a date lives at most
SWEEP = 4_096  # every so many commands what has no date is cancelled
DAY = 16_384  # commands of a trading day of one instrument
GTC, DAY_ORDER, GTD, IOC, FOK = (
    TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD, TimeInForce.IOC, TimeInForce.FOK,
)  # fmt: skip
WAITING = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED)
TRAILING = (OrderType.TRAILING_STOP, OrderType.TRAILING_STOP_LIMIT)
MIRRORED = (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED, OrderType.PEGGED)


def opening() -> np.ndarray:
    """Instruments (one pro-rata, one of another currency), accounts of every self-match mode, marks and cash."""
    modes = [*SelfMatch, SelfMatch.CANCEL_NEWEST]
    return builders.batch(
        builders.instrument(1, currency=0),
        builders.instrument(2, currency=0, flags=InstrumentFlag.PRO_RATA),
        builders.instrument(3, currency=1, multiplier=10),
        *(
            builders.account(key, AccountFlag.FIFO if key % 3 == 0 else 0, order_type=modes[key - 1])
            for key in ACCOUNTS
        ),
        builders.command(CommandKind.RATE, group_id=1, offset=1, price_ticks=1_500_000_000),
        builders.command(CommandKind.RATE, group_id=2, price_ticks=-100),
        builders.command(CommandKind.RATE, group_id=3, price_ticks=300),
        *(builders.mark(MIDDLE, key) for key in INSTRUMENTS),
        *(
            builders.command(CommandKind.ADJUST, group_id=1, account_id=key, quantity=1 << 50)
            for key in ACCOUNTS
        ),
        builders.session(date=20_240_101),
    )  # fmt: skip


class Stream:
    """Blocks of commands without end; the same seed gives the same."""

    def __init__(self, seed: int, size: int = 1 << 16, *, administration: bool = True) -> None:
        self._random = Random(seed)
        self._rows: list[Fields] = []
        self._next_id = 1
        self._group = 0
        self._phases = dict.fromkeys(INSTRUMENTS, SessionPhase.CONTINUOUS)
        self._administration = administration
        while len(self._rows) < size:
            self._draw()
        for key in INSTRUMENTS:
            self._put(kind=CommandKind.SESSION, instrument_id=key, group_id=SessionPhase.CONTINUOUS)
        self._block = self._records()
        self._span_ns = len(self._block) * STEP_NS

    def __len__(self) -> int:
        """Commands of a block."""
        return len(self._block)

    def __iter__(self) -> Iterator[np.ndarray]:
        number = 0
        while True:
            yield self.block(number)
            number += 1

    def block(self, number: int) -> np.ndarray:
        """The block of this number, from 0."""
        out = self._block.copy()
        named = out["order_id"] != 0
        out["order_id"][named] += np.uint64(number * self._next_id)
        child = out["parent_order_id"] != 0
        out["parent_order_id"][child] += np.uint64(number * self._next_id)
        moved = np.int64(number * self._span_ns)
        out["now_ns"] += moved
        dated = (out["expire_ns"] != 0) & (out["kind"] != CommandKind.LIMIT)
        out["expire_ns"][dated] += moved
        if number % 2:
            self._mirror(out)
        return out

    def _mirror(self, out: np.ndarray) -> None:
        new = out["kind"] == CommandKind.NEW
        out["side"][new] = Side.BUY + Side.SELL - out["side"][new]
        priced = (new & np.isin(out["order_type"], MIRRORED)) | np.isin(
            out["kind"], (CommandKind.REPLACE, CommandKind.MARK)
        )
        for name, where in (("price_ticks", priced), ("trigger_ticks", new)):
            where = where & (out[name] != 0)
            out[name][where] = 2 * MIDDLE - out[name][where]

    def _records(self) -> np.ndarray:
        out = np.zeros(len(self._rows), COMMAND)
        for name in COMMAND.names or ():
            column = [row.get(name, 0) for row in self._rows]
            if any(column):
                out[name] = column
        return out

    def _put(self, **fields: int) -> Fields:
        fields.setdefault("now_ns", (len(self._rows) + 1) * STEP_NS)
        self._rows.append(fields)
        return fields

    def _draw(self) -> None:
        place = len(self._rows)
        if place % SWEEP < 3:  # some commands put several rows
            self._put(kind=CommandKind.MASS_CANCEL, instrument_id=self._random.choice(INSTRUMENTS))
        roll = self._random.random()
        if roll < 0.62:
            self._order()
        elif roll < 0.66:
            self._grouped()
        elif roll < 0.69:
            self._bracket()
        elif roll < 0.85:
            back = self._random.randint(1, min(300, self._next_id))
            self._put(
                kind=CommandKind.CANCEL,
                order_id=max(1, self._next_id - back),
                account_id=self._account_of(max(1, self._next_id - back)),
            )
        elif roll < 0.95:
            target = max(1, self._next_id - self._random.randint(1, 200))
            self._put(
                kind=CommandKind.REPLACE,
                order_id=target,
                account_id=self._account_of(target),
                price_ticks=self._price(self._random.choice((Side.BUY, Side.SELL)), 3),
                quantity=self._random.randint(1, 40),
            )
        elif roll < 0.97:
            price = MIDDLE + self._random.randint(-6, 6)
            self._put(kind=CommandKind.MARK, instrument_id=self._random.choice(INSTRUMENTS), price_ticks=price)
        elif roll < 0.98:
            self._phase()
        elif self._administration:
            self._administer()

    def _account_of(self, order_id: int) -> int:
        return ACCOUNTS[order_id * 7 // 3 % len(ACCOUNTS)]

    def _price(self, side: int, away: int) -> int:
        off = self._random.randint(0, away * 4)
        return MIDDLE - off if side == Side.BUY else MIDDLE + off

    def _order(self, account_id: int = 0, instrument_id: int = 0, **fields: int) -> Fields:
        self._next_id += 1
        random = self._random
        side = fields.pop("side", 0) or random.choice((Side.BUY, Side.SELL))
        account_id = account_id or self._account_of(self._next_id)
        instrument_id = instrument_id or random.choice((1, 1, 1, 2, 3))
        row: Fields = {
            "kind": CommandKind.NEW, "order_id": self._next_id, "account_id": account_id, "side": side,
            "instrument_id": instrument_id, "quantity": random.randint(1, 30), "order_type": OrderType.LIMIT,
            "time_in_force": GTD, "strategy_id": random.randint(0, 2),
        }  # fmt: skip
        roll = random.random()
        if roll < 0.42:
            row["price_ticks"] = self._price(side, 5)
        elif roll < 0.56:  # trades at once
            row["price_ticks"] = 2 * MIDDLE - self._price(side, 2)
            row["time_in_force"] = random.choice((GTD, IOC, IOC, FOK))
            if row["time_in_force"] == IOC and random.random() < 0.2:
                row["min_quantity"] = random.randint(1, row["quantity"])
        elif roll < 0.6:
            row["order_type"], row["time_in_force"] = OrderType.MARKET, random.choice((IOC, FOK))
        elif roll < 0.67:
            row["order_type"] = random.choice(WAITING)
            row["trigger_ticks"] = MIDDLE + random.randint(-12, 12)
            if row["order_type"] in MIRRORED:
                row["price_ticks"] = self._price(side, 3)
            row["flags"] = random.choice((0, OrderFlag.TRIGGER_MARK, OrderFlag.TRIGGER_QUOTE))
        elif roll < 0.72:
            row["order_type"], row["offset"] = random.choice(TRAILING), random.randint(1, 9)
            if row["order_type"] == OrderType.TRAILING_STOP_LIMIT:
                row["price_ticks"] = random.randint(0, 3)
            if random.random() < 0.2:
                row["flags"], row["offset"] = OrderFlag.TRAIL_BPS, random.randint(2, 20)
        elif roll < 0.76:
            row["order_type"], row["offset"] = OrderType.PEGGED, -random.randint(0, 3)
            row["flags"] = random.choice((0, OrderFlag.PEG_MID, OrderFlag.PEG_OPPOSITE))
            if random.random() < 0.4:
                row["price_ticks"] = self._price(side, 1)
        elif roll < 0.78:
            row["order_type"] = OrderType.MARKET_TO_LIMIT
        elif roll < 0.85:
            row["price_ticks"] = self._price(side, 2)
            row["quantity"] += 10
            row["display_quantity"] = random.randint(1, 8)
        elif roll < 0.89:
            row["price_ticks"], row["flags"] = self._price(side, 1), OrderFlag.HIDDEN
        elif roll < 0.92:
            row["price_ticks"], row["flags"] = self._price(side, 1), OrderFlag.ALL_OR_NONE
        elif roll < 0.96:
            row["price_ticks"] = 2 * MIDDLE - self._price(side, 1)
            row["flags"] = OrderFlag.POST_ONLY | random.choice((0, OrderFlag.SLIDE))
        elif roll < 0.98:
            row["price_ticks"], row["flags"] = self._price(side, 2), OrderFlag.REDUCE_ONLY
        else:
            row["price_ticks"] = self._price(side, 2)
            row["time_in_force"] = random.choice((DAY_ORDER, GTC, TimeInForce.AT_OPEN, TimeInForce.AT_CLOSE))
        row.update(fields)
        if row["time_in_force"] == GTD:
            row["expire_ns"] = (len(self._rows) + random.randint(5, LIVES)) * STEP_NS
        return self._put(**row)

    def _grouped(self) -> None:
        self._group = self._group % 60_000 + 1
        flag = self._random.choice((OrderFlag.GROUP_OCO, OrderFlag.GROUP_OUO))
        account_id = self._random.choice(ACCOUNTS)
        for _ in range(self._random.randint(2, 4)):
            row = self._order(account_id)
            row["group_id"] = self._group
            row["flags"] = row.get("flags", 0) | flag

    def _bracket(self) -> None:
        account_id, instrument_id = self._random.choice(ACCOUNTS), self._random.choice(INSTRUMENTS)
        entry = self._order(account_id, instrument_id)
        self._group = self._group % 60_000 + 1
        flag = self._random.choice((OrderFlag.GROUP_OCO, OrderFlag.GROUP_OUO))
        other = Side.BUY + Side.SELL - entry["side"]
        sign = 1 if other == Side.SELL else -1
        for order_type in (OrderType.LIMIT, self._random.choice((OrderType.STOP, OrderType.TRAILING_STOP))):
            self._next_id += 1
            row: Fields = {
                "kind": CommandKind.NEW, "order_id": self._next_id, "account_id": account_id, "side": other,
                "instrument_id": instrument_id, "quantity": entry["quantity"], "order_type": order_type,
                "time_in_force": GTC, "parent_order_id": entry["order_id"], "group_id": self._group, "flags": flag,
            }  # fmt: skip
            if order_type == OrderType.LIMIT:
                row["price_ticks"] = MIDDLE + sign * self._random.randint(0, 6)
            elif order_type == OrderType.STOP:
                row["trigger_ticks"] = MIDDLE - sign * self._random.randint(1, 9)
            else:
                row["offset"] = self._random.randint(1, 6)
            self._put(**row)

    def _phase(self) -> None:
        """From one phase to a next one, mostly back to CONTINUOUS."""
        key = self._random.choice(INSTRUMENTS)
        phase = self._phases[key]
        follow = {
            SessionPhase.CONTINUOUS: (
                SessionPhase.CLOSING_AUCTION, SessionPhase.PRE_OPEN, SessionPhase.HALTED, SessionPhase.CONTINUOUS,
            ),
            SessionPhase.PRE_OPEN: (SessionPhase.OPENING_AUCTION,),
            SessionPhase.CLOSING_AUCTION: (SessionPhase.CONTINUOUS, SessionPhase.CLOSED),
        }.get(phase, (SessionPhase.CONTINUOUS,))  # fmt: skip
        self._phases[key] = self._random.choice(follow)
        close = (len(self._rows) + 3_000) * STEP_NS if self._random.random() < 0.5 else 0
        self._put(kind=CommandKind.SESSION, instrument_id=key, group_id=self._phases[key], expire_ns=close)

    def _administer(self) -> None:
        """Limits and kill switches that are taken back at once or never bind."""
        random = self._random
        roll = random.random()
        if roll < 0.3:
            kind = random.choice((LimitKind.ORDER_QUANTITY, LimitKind.POSITION, LimitKind.OPEN_ORDERS))
            self._put(
                kind=CommandKind.LIMIT,
                order_type=kind,
                quantity=1 << 40,
                account_id=random.choice(ACCOUNTS),
                instrument_id=0 if kind == LimitKind.OPEN_ORDERS else random.choice(INSTRUMENTS),
            )
        elif roll < 0.5:
            bps = random.choice((3, 8, -1))
            window = 0 if bps < 0 else 50 * STEP_NS
            self._put(
                kind=CommandKind.LIMIT,
                order_type=LimitKind.VOLATILITY_BAND,
                quantity=bps,
                instrument_id=2,
                expire_ns=window,
            )
        elif roll < 0.6:
            key = random.choice(ACCOUNTS)
            self._put(kind=CommandKind.KILL, account_id=key, instrument_id=1)
            self._put(kind=CommandKind.RESUME, account_id=key, instrument_id=1)
        elif roll < 0.8:
            self._put(kind=CommandKind.ADJUST, group_id=1, account_id=random.choice(ACCOUNTS), quantity=1_000)
        else:
            self._put(kind=CommandKind.TIME)
