"""Order flow for the matching bench: commands drawn beforehand, with the kernel itself as the witness.

Of every 100 commands 50 are new orders that rest, 40 cancel and 5 replace a random open order, and 5 are new orders
that trade at once. The flow is drawn in slices of 128 commands against a kernel that carries each slice out, so that
cancels and replaces name orders that are open; the few that a marketable order of the same slice takes first are
refused. Marketable orders are sized to hold the number of open orders near its target. Ids never repeat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nautilus.core import (
    COMMAND,
    CommandKind,
    EventKind,
    Kernel,
    LimitKind,
    OrderType,
    Side,
    TimeInForce,
)

SLICE = 128
ACCOUNTS = 16
STEP_NS = 200  # time between two commands
START_NS = 1_700_000_000_000_000_000
MIDDLE = 100_000  # ticks
NEW_RESTING, CANCEL, REPLACE, MARKETABLE = range(4)


@dataclass(frozen=True)
class Workload:
    """Commands to warm a kernel up, commands to time, and what the kernel must say about them."""

    setup: np.ndarray
    warm_up: np.ndarray
    timed: np.ndarray
    roles: np.ndarray  # NEW_RESTING, CANCEL, REPLACE or MARKETABLE of each timed command
    event_hash: int
    state_hash: int


FAR = 10**15
FEW = {
    LimitKind.ORDER_QUANTITY: (1_000_000, 0),
    LimitKind.ORDER_NOTIONAL: (10**15, 0),
    LimitKind.PRICE_COLLAR: (5_000, 0),
    LimitKind.POSITION: (10**12, 0),
    LimitKind.MESSAGE_RATE: (10_000_000, 1_000_000_000),
}
OTHERS = {
    LimitKind.DAILY_LOSS: (FAR, 0),
    LimitKind.LEVERAGE: (10**6, 0),
    LimitKind.CONCENTRATION: (10**6, 0),
    LimitKind.CREDIT: (FAR, 0),
    LimitKind.CREDIT_TOTAL: (FAR, 0),
    LimitKind.OPEN_ORDERS: (FAR, 0),
    LimitKind.OPEN_VALUE: (FAR, 0),
    LimitKind.GROSS_EXPOSURE: (FAR, 0),
    LimitKind.NET_EXPOSURE: (FAR, 0),
    LimitKind.STALE_PRICE: (FAR, 0),
    LimitKind.PRICE_BAND: (5_000, 1_000_000_000),
    LimitKind.REPEATED: (10**9, 1_000_000_000),
    LimitKind.DUPLICATE: (1, 1),
}


def setup_commands(instruments: int, *, controls: int = 5) -> np.ndarray:
    """Instruments, accounts with cash, a mark for each instrument and so many kinds of limits: 5 or 18."""
    limits = FEW if controls == len(FEW) else {**FEW, **OTHERS}
    rows = [_row(CommandKind.INSTRUMENT, instrument_id=i, quantity=1, offset=0) for i in range(1, instruments + 1)]
    rows += [_row(CommandKind.MARK, instrument_id=i, price_ticks=MIDDLE) for i in range(1, instruments + 1)]
    rows += [_row(CommandKind.ACCOUNT, account_id=account) for account in range(1, ACCOUNTS + 1)]
    rows += [
        _row(CommandKind.ADJUST, group_id=1, account_id=account, quantity=10**12) for account in range(1, ACCOUNTS + 1)
    ]
    rows.append(_row(CommandKind.SESSION, group_id=1, offset=1))
    for kind, (value, window) in limits.items():
        rows.append(_row(CommandKind.LIMIT, order_type=kind, quantity=value, expire_ns=window))
    return np.concatenate(rows)


def draw(count: int, *, open_orders: int = 20_000, instruments: int = 1, controls: int = 5, seed: int = 1) -> Workload:
    """A workload of `count` timed commands.

    Parameters
    ----------
    count : int
        Multiple of 128.
    open_orders : int
        Target of orders open at once.
    instruments : int
        Number of books that the flow is spread over.
    controls : int
        Kinds of limits that are set, 5 or all 18; none is met.
    """
    setup = setup_commands(instruments, controls=controls)
    flow = _Flow(Kernel(accounts=()), setup, open_orders, instruments, seed)
    warm_up = [flow.slice(np.full(SLICE, NEW_RESTING)) for _ in range(-(-open_orders // SLICE))]
    roles = np.concatenate([flow.roles() for _ in range(count // SLICE)])
    timed = [flow.slice(part) for part in roles.reshape(-1, SLICE)]
    return Workload(
        setup,
        np.concatenate(warm_up),
        np.concatenate(timed),
        roles,
        flow.kernel.event_hash(),
        flow.kernel.state_hash(),
    )


class _Flow:
    """Draws slices and follows which orders are open."""

    def __init__(self, kernel: Kernel, setup: np.ndarray, target: int, instruments: int, seed: int) -> None:
        self.kernel = kernel
        kernel.process(setup)
        self.chance = np.random.default_rng(seed)
        self.target = target
        self.instruments = instruments
        self.middle = np.full(instruments + 1, MIDDLE)
        self.now_ns = START_NS
        self.next_id = 1
        self.open = np.zeros(0, np.int64)  # ids, in no order
        self._deck = np.zeros(0, np.int64)
        room = 1 << 16
        self.account = np.zeros(room, np.uint32)
        self.instrument = np.zeros(room, np.uint32)
        self.side = np.zeros(room, np.uint8)
        self.price = np.zeros(room, np.int64)
        self.total = np.zeros(room, np.int64)
        self.filled = np.zeros(room, np.int64)

    def roles(self) -> np.ndarray:
        """Roles of one slice, in the mix: by chance, but exact over 25 slices (3,200 commands)."""
        if not len(self._deck):
            exact = np.repeat([NEW_RESTING, CANCEL, REPLACE, MARKETABLE], [1600, 1280, 160, 160])
            self._deck = self.chance.permutation(exact)
        part, self._deck = self._deck[:SLICE], self._deck[SLICE:]
        return part

    def slice(self, roles: np.ndarray) -> np.ndarray:
        """Commands of these roles; the kernel has carried them out."""
        count = len(roles)
        rows = np.zeros(count, COMMAND)
        self.now_ns += count * STEP_NS
        rows["now_ns"] = self.now_ns + (np.arange(count) - count + 1) * STEP_NS
        fresh = (roles == NEW_RESTING) | (roles == MARKETABLE)
        self._new(rows, fresh, roles[fresh] == MARKETABLE)
        named = np.flatnonzero(~fresh)
        if len(named):
            ids = self.chance.choice(self.open, len(named), replace=False)
            rows["kind"][named] = np.where(roles[named] == CANCEL, CommandKind.CANCEL, CommandKind.REPLACE)
            rows["order_id"][named] = ids
            rows["account_id"][named] = self.account[ids]
            rows["instrument_id"][named] = self.instrument[ids]
            self._replacements(rows, named[roles[named] == REPLACE])
        self._follow(self.kernel.process(rows))
        return rows

    def _new(self, rows: np.ndarray, where: np.ndarray, marketable: np.ndarray) -> None:
        count = int(where.sum())
        ids = np.arange(self.next_id, self.next_id + count)
        self.next_id += count
        if self.next_id > len(self.account):
            for name in ("account", "instrument", "side", "price", "total", "filled"):
                setattr(self, name, np.concatenate([getattr(self, name), np.zeros_like(getattr(self, name))]))
        self.account[ids] = self.chance.integers(1, ACCOUNTS + 1, count)
        self.instrument[ids] = self.chance.integers(1, self.instruments + 1, count)
        self.side[ids] = self.chance.integers(1, 3, count)
        quantity = self.chance.integers(1, 101, count)
        # Each marketable order takes two resting ones on average; more where too many are open.
        quantity[marketable] *= 2
        surplus = (len(self.open) - self.target) / max(1, self.target)
        quantity[marketable] = np.maximum(1, quantity[marketable] * (1 + np.clip(20 * surplus, -0.9, 3))).astype(int)
        self.total[ids] = quantity
        gtd = (self.chance.random(count) < 0.1) & ~marketable
        ioc = (self.chance.random(count) < 0.5) & marketable
        prices = self._passive(self.instrument[ids], self.side[ids])
        prices[marketable] = self._aggressive(self.instrument[ids], self.side[ids])[marketable]
        self.price[ids] = prices
        part = np.zeros(count, COMMAND)
        part["now_ns"] = rows["now_ns"][where]
        part["kind"] = CommandKind.NEW
        part["order_id"] = ids
        part["account_id"] = self.account[ids]
        part["instrument_id"] = self.instrument[ids]
        part["side"] = self.side[ids]
        part["order_type"] = OrderType.LIMIT
        part["time_in_force"] = np.where(gtd, TimeInForce.GTD, np.where(ioc, TimeInForce.IOC, TimeInForce.GTC))
        part["expire_ns"] = np.where(gtd, START_NS + 86_400 * 10**9, 0)
        part["price_ticks"] = prices
        part["quantity"] = quantity
        part["strategy_id"] = self.account[ids]
        rows[where] = part

    def _replacements(self, rows: np.ndarray, where: np.ndarray) -> None:
        """Half take a new price and go to the back of its queue, half give up a lot and keep their place."""
        ids = rows["order_id"][where].astype(np.int64)
        moves = self.chance.random(len(ids)) < 0.5
        prices = self._passive(self.instrument[ids], self.side[ids])
        rows["price_ticks"][where] = np.where(moves, prices, self.price[ids])
        rows["quantity"][where] = np.where(
            moves, self.total[ids], np.maximum(self.filled[ids] + 1, self.total[ids] - 1)
        )

    def _passive(self, instrument: np.ndarray, side: np.ndarray) -> np.ndarray:
        """Prices behind the middle, most of them near it, that meet no order open before this slice."""
        distance = 1 + self.chance.exponential(40, len(side)).astype(np.int64)
        best_bid, best_offer = self._best()
        bid = np.minimum(self.middle[instrument] - distance, best_offer[instrument] - 1)
        offer = np.maximum(self.middle[instrument] + distance, best_bid[instrument] + 1)
        prices: np.ndarray = np.where(side == Side.BUY, bid, offer)
        return prices

    def _aggressive(self, instrument: np.ndarray, side: np.ndarray) -> np.ndarray:
        prices: np.ndarray = self.middle[instrument] + np.where(side == Side.BUY, 400, -400)
        return prices

    def _best(self) -> tuple[np.ndarray, np.ndarray]:
        bids, offers = np.zeros(self.instruments + 1, np.int64), np.full(self.instruments + 1, 1 << 40)
        for instrument in range(1, self.instruments + 1):
            bid, bid_quantity, offer, offer_quantity = self.kernel.best(instrument)
            bids[instrument] = bid if bid_quantity else 0
            offers[instrument] = offer if offer_quantity else 1 << 40
        return bids, offers

    def _follow(self, events: np.ndarray) -> None:
        kind = events["kind"]
        fills = events[kind == EventKind.FILLED]
        np.add.at(self.filled, fills["order_id"].astype(np.int64), fills["quantity"])
        np.add.at(self.filled, fills["counter_order_id"].astype(np.int64), fills["quantity"])
        replaced = events[kind == EventKind.REPLACED]
        self.total[replaced["order_id"].astype(np.int64)] = replaced["quantity"]
        self.price[replaced["order_id"].astype(np.int64)] = replaced["price_ticks"]
        gone = np.concatenate(
            [
                events["order_id"][kind == EventKind.CANCELLED],
                fills["order_id"][fills["leaves_quantity"] == 0],
                fills["counter_order_id"][fills["counter_leaves_quantity"] == 0],
            ]
        )
        entered = events["order_id"][kind == EventKind.ACCEPTED]
        now_open = np.concatenate([self.open, entered.astype(np.int64)])
        self.open = now_open[~np.isin(now_open, gone.astype(np.int64), kind="table")]
        self.middle[1:] += self.chance.integers(-1, 2, self.instruments)


def _row(kind: CommandKind, **fields: int) -> np.ndarray:
    row = np.zeros(1, COMMAND)
    row["kind"] = kind
    row["now_ns"] = START_NS
    for name, value in fields.items():
        row[name] = value
    return row
