"""Random command flows for the kernel and its twin: small spaces of ids, prices and times, so that everything collides.

Prices and quantities lie near each other in the style `near`; `wide` draws them from the ends of their ranges, where
values need 128 bits; `drift` moves the middle of the book far and often, with orders left behind at every distance;
`deep` does the same slowly with new orders, cancels and replaces alone, so that thousands of orders stay open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nautilus.core.types import (
    COMMAND,
    AccountFlag,
    CommandKind,
    LimitKind,
    OrderFlag,
    OrderType,
    SessionPhase,
    Side,
    TimeInForce,
)
from tests.kit import builders

INSTRUMENTS = (1, 2, 3)
ORDINARY, OTHER, BOOK, TAPE, OWN_RECORDED = 1, 2, 3, 4, 5
ACCOUNTS = (ORDINARY, OTHER, BOOK, TAPE, OWN_RECORDED)
EXTREMES = np.array([0, -1, 1, 1 << 40, (1 << 40) + 1, -(1 << 40), (1 << 63) - 1, -(1 << 63), 1 << 50, 1 << 20])
KINDS = {
    CommandKind.NEW: 0.66,
    CommandKind.CANCEL: 0.11,
    CommandKind.REPLACE: 0.12,
    CommandKind.MARK: 0.03,
    CommandKind.TIME: 0.03,
    CommandKind.LIMIT: 0.015,
    CommandKind.SESSION: 0.008,
    CommandKind.MASS_CANCEL: 0.004,
    CommandKind.KILL: 0.002,
    CommandKind.RESUME: 0.003,
    CommandKind.ACCOUNT: 0.005,
    CommandKind.INSTRUMENT: 0.005,
    CommandKind.VENUE_FILL: 0.002,
    CommandKind.VENUE_UNKNOWN: 0.001,
    0: 0.001,
    21: 0.001,
    255: 0.005,
}

DEEP_KINDS = {CommandKind.NEW: 0.7, CommandKind.CANCEL: 0.14, CommandKind.REPLACE: 0.14, CommandKind.MARK: 0.02}


def instruments() -> np.ndarray:
    """A plain instrument, one with lots, a minimum and bands, one with negative prices and a large multiplier."""
    return builders.batch(
        builders.instrument(1),
        builders.instrument(2, multiplier=7, lot_step=5, minimum=10, price_step=2),
        builders.band(2, 100, 5),
        builders.band(2, 120, 10),
        builders.instrument(3, multiplier=1 << 20, negative=True, currency=2),
    )


def accounts() -> np.ndarray:
    """Two ordinary accounts, the recorded book, the tape, and an ordinary one with recorded orders."""
    both = AccountFlag.EXEMPT | AccountFlag.RECORDED
    return builders.batch(
        builders.account(ORDINARY),
        builders.account(OTHER),
        builders.account(BOOK, both),
        builders.account(TAPE, AccountFlag.EXEMPT),
        builders.account(OWN_RECORDED, AccountFlag.RECORDED),
    )


def choose(rng: np.random.Generator, weights: dict[Any, float], count: int) -> np.ndarray:
    """`count` draws of the keys by their weights."""
    chances = np.array(list(weights.values()))
    return rng.choice(np.array([int(key) for key in weights]), count, p=chances / chances.sum())


class Flow:
    """An endless flow of commands; the same seed and the same answers give the same commands."""

    def __init__(self, seed: int, style: str = "near") -> None:
        self._rng = np.random.default_rng(seed)
        self._style = style
        self._middle = 1 << 20
        self._next_id = 1
        self._now_ns = 1
        self._undo: list[np.ndarray] = []  # takes back kill switches and limits, so that trading goes on

    def draw(self, count: int, open_orders: Sequence[tuple[int, int]] = ()) -> np.ndarray:
        """`count` commands or some more; cancels and replaces prefer `open_orders`, pairs of account and order id."""
        rng = self._rng
        commands = np.zeros(count, COMMAND)
        kind = commands["kind"] = choose(rng, DEEP_KINDS if self._style == "deep" else KINDS, count)
        commands["now_ns"] = self._now_ns + np.cumsum(rng.integers(0, 3, count)) - rng.integers(0, 3, count)
        commands["instrument_id"] = choose(rng, {1: 0.5, 2: 0.25, 3: 0.23, 0: 0.01, 9: 0.01}, count)
        commands["account_id"] = choose(rng, {1: 0.3, 2: 0.3, 3: 0.2, 4: 0.1, 5: 0.08, 0: 0.01, 9: 0.01}, count)
        commands["side"] = choose(rng, {Side.BUY: 0.49, Side.SELL: 0.49, 0: 0.01, 3: 0.01}, count)
        commands["strategy_id"] = rng.integers(0, 3, count)
        self._draw_ids(commands, open_orders)
        self._draw_values(commands)
        _draw_source(rng, commands)
        _draw_order(rng, commands, np.isin(kind, (CommandKind.NEW, CommandKind.REPLACE)))
        _draw_administration(rng, commands)
        if self._style == "deep":
            self._deepen(commands)
        spoiled = rng.random(count) < 0.02
        for name in ("price_ticks", "quantity", "expire_ns", "deadline_ns", "display_quantity", "trigger_ticks"):
            hit = spoiled & (rng.random(count) < 0.3)
            commands[name][hit] = rng.choice(EXTREMES, int(hit.sum()))
        commands["strategy_id"][np.isin(kind, (CommandKind.KILL, CommandKind.RESUME))] = 0
        plain_limit = (kind == CommandKind.LIMIT) & (commands["order_type"] != LimitKind.MESSAGE_RATE)
        commands["expire_ns"][plain_limit] = 0
        return self._with_undo(commands)

    def _draw_ids(self, commands: np.ndarray, open_orders: Sequence[tuple[int, int]]) -> None:
        rng, count = self._rng, len(commands)
        fresh = self._next_id + np.arange(count)
        self._next_id += count
        seen = rng.integers(max(0, self._next_id - 3 * count), self._next_id, count)
        is_new = commands["kind"] == CommandKind.NEW
        commands["order_id"] = np.where(is_new & (rng.random(count) < 0.93), fresh, seen)
        if len(open_orders):
            aimed = np.flatnonzero(~is_new & (rng.random(count) < 0.75))
            chosen = rng.integers(0, len(open_orders), len(aimed))
            targets = np.array(open_orders, np.uint64).reshape(-1, 2)[chosen]
            commands["account_id"][aimed], commands["order_id"][aimed] = targets[:, 0], targets[:, 1]

    def _draw_values(self, commands: np.ndarray) -> None:
        rng, count, instrument = self._rng, len(commands), commands["instrument_id"]
        banded = rng.choice([90, 92, 94, 98, 99, 100, 105, 115, 118, 120, 130], count)
        near = np.where(instrument == 3, rng.integers(-5, 6, count), rng.integers(95, 106, count))
        quantity = rng.integers(1, 10, count)
        if self._style == "wide":
            far = rng.integers((1 << 40) - 6, (1 << 40) + 1, count)
            near = np.where(instrument == 3, rng.choice([-1, 1], count) * far, far)
            quantity = (1 << rng.integers(0, 41, count)) - rng.integers(0, 2, count)
        elif self._style in ("drift", "deep"):
            leap = 0 if self._style == "deep" else int(rng.choice([0, 0, 2, 5, 10]))
            self._middle += int(rng.integers(-40, 41)) << leap
            self._middle = min(max(self._middle, 1 << 16), 1 << 24)
            side = np.where(commands["side"] == Side.BUY, -1, 1)
            away = rng.integers(-2, 30, count) + (rng.random(count) < 0.1) * (1 << rng.integers(4, 40, count))
            near = (self._middle + side * away).clip(1, 1 << 40)
            near = np.where(instrument == 3, near - (1 << 20), near)
        lots = 5 * rng.integers(1, 10, count) + rng.choice([0, 0, 0, 0, 1], count)
        commands["price_ticks"] = np.where(instrument == 2, banded, near)
        commands["quantity"] = np.where(instrument == 2, lots, quantity)

    def _deepen(self, commands: np.ndarray) -> None:
        """Most new orders rest and stay."""
        rows = np.flatnonzero((commands["kind"] == CommandKind.NEW) & (self._rng.random(len(commands)) < 0.9))
        commands["order_type"][rows], commands["time_in_force"][rows] = OrderType.LIMIT, TimeInForce.GTC
        commands["flags"][rows] = commands["expire_ns"][rows] = commands["deadline_ns"][rows] = 0
        commands["instrument_id"][rows] = self._rng.choice([1, 1, 3], len(rows))
        commands["account_id"][rows] = self._rng.choice([ORDINARY, OTHER, BOOK], len(rows))

    def _with_undo(self, commands: np.ndarray) -> np.ndarray:
        self._now_ns = max(self._now_ns, int(commands["now_ns"].max()))
        earlier = self._undo
        if self._rng.random() < 0.7:
            self._undo = []
        else:
            earlier = []
        for row in commands[np.isin(commands["kind"], (CommandKind.KILL, CommandKind.LIMIT, CommandKind.SESSION))]:
            undo = np.array([row])
            undo["source_id"] = undo["deadline_ns"] = undo["expire_ns"] = 0
            undo["quantity"], undo["group_id"] = -1, SessionPhase.CONTINUOUS
            undo["kind"] = CommandKind.RESUME if row["kind"] == CommandKind.KILL else row["kind"]
            self._undo.append(undo)
        return np.concatenate([*earlier, commands])


def _draw_source(rng: np.random.Generator, commands: np.ndarray) -> None:
    count = len(commands)
    now = commands["now_ns"]
    source = choose(rng, {0: 0.8, 1: 0.1, 2: 0.05, 60_000: 0.05}, count)
    commands["source_id"] = source
    repeated = rng.integers(0, 20, count) == 0
    commands["source_sequence"] = np.where(source == 0, 0, now * 8 + np.arange(count) % 8 - 9 * repeated).clip(0)
    dated = rng.random(count) < 0.015
    commands["deadline_ns"] = np.where(dated, now + rng.integers(-3, 5, count), 0)


def _draw_order(rng: np.random.Generator, commands: np.ndarray, new: np.ndarray) -> None:
    count = len(commands)
    order_type = choose(rng, {OrderType.LIMIT: 0.88, OrderType.MARKET: 0.1, OrderType.STOP_LIMIT: 0.01, 0: 0.01}, count)
    tifs = {
        TimeInForce.GTC: 0.4,
        TimeInForce.DAY: 0.15,
        TimeInForce.GTD: 0.15,
        TimeInForce.IOC: 0.2,
        TimeInForce.FOK: 0.1,
    }
    tif = choose(rng, tifs | {TimeInForce.AT_OPEN: 0.005, 0: 0.003, 8: 0.002}, count)
    market = order_type == OrderType.MARKET
    tif = np.where(market & (rng.random(count) < 0.9), rng.choice([TimeInForce.IOC, TimeInForce.FOK], count), tif)
    flags = choose(
        rng, {0: 0.8, OrderFlag.POST_ONLY: 0.18, 2: 0.005, 0x8000: 0.005, OrderFlag.TAPE_BOOKED: 0.01}, count
    )
    passive = ~market & np.isin(tif, (TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD))
    flags = np.where(passive | (rng.random(count) < 0.05), flags, 0)
    tape = (commands["account_id"] == TAPE) & (rng.random(count) < 0.7) | (rng.random(count) < 0.003)
    tape_flags = rng.choice([OrderFlag.TAPE, OrderFlag.TAPE | OrderFlag.TAPE_BOOKED], count)
    flags, tif = np.where(tape, tape_flags, flags), np.where(tape, TimeInForce.IOC, tif)
    order_type = np.where(tape, OrderType.LIMIT, order_type)
    is_new = commands["kind"] == CommandKind.NEW
    commands["order_type"] = np.where(new, order_type, 0)
    commands["time_in_force"] = np.where(new, tif, 0)
    commands["flags"] = np.where(is_new, flags, 0)
    commands["price_ticks"][is_new & market & ~tape & (rng.random(count) < 0.97)] = 0
    dated = is_new & ((tif == TimeInForce.GTD) | (rng.random(count) < 0.01))
    commands["expire_ns"] = np.where(dated, commands["now_ns"] + rng.integers(0, 40, count), 0)


def _draw_administration(rng: np.random.Generator, commands: np.ndarray) -> None:
    """Overwrite what the administrative kinds read."""
    kind, count = commands["kind"], len(commands)

    def rows(*kinds: int) -> np.ndarray:
        return np.flatnonzero(np.isin(kind, kinds))

    scoped = rows(CommandKind.LIMIT, CommandKind.SESSION, CommandKind.MASS_CANCEL, CommandKind.KILL, CommandKind.RESUME)
    for name in ("account_id", "instrument_id"):
        every = rng.random(len(scoped)) < 0.4
        commands[name][scoped[every]] = 0
    some = rows(CommandKind.MASS_CANCEL)
    commands["side"][some] = rng.integers(0, 4, len(some))
    some = rows(CommandKind.SESSION)
    commands["group_id"][some] = choose(rng, {1: 0.8, 2: 0.04, 3: 0.08, 4: 0.03, 0: 0.03, 9: 0.02}, len(some))
    commands["expire_ns"][some] = np.where(
        rng.random(len(some)) < 0.5, commands["now_ns"][some] + rng.integers(-2, 60, len(some)), 0
    )
    commands["offset"][some] = rng.integers(20_240_101, 20_240_110, len(some))
    some = rows(CommandKind.LIMIT)
    limit_kind = choose(rng, {1: 0.2, 2: 0.2, 3: 0.2, 4: 0.2, 5: 0.16, 0: 0.04}, len(some))
    commands["order_type"][some] = limit_kind
    value = rng.choice([-1, -1, -1, 0, 5, 20, 300, 1_000, 100_000, -2], len(some))
    rate = limit_kind == LimitKind.MESSAGE_RATE
    commands["quantity"][some] = np.where(rate, rng.choice([-1, 1, 3, 7, 50, 0], len(some)), value)
    commands["expire_ns"][some] = np.where(rate, rng.choice([1, 10, 25, 100], len(some)), 0)
    commands["instrument_id"][some[rate & (rng.random(len(some)) < 0.95)]] = 0
    some = rows(CommandKind.ACCOUNT)
    commands["flags"][some] = rng.integers(0, 4, len(some))
    some = rows(CommandKind.INSTRUMENT)
    commands["flags"][some] = rng.integers(0, 5, len(some))
    commands["instrument_id"][some] = rng.integers(0, 8, len(some))
    commands["display_quantity"][some] = rng.integers(-1, 3, len(some))
    extra = (rng.random(count) < 0.005) & np.isin(kind, (CommandKind.NEW, CommandKind.REPLACE))
    commands[str(rng.choice(["parent_order_id", "offset", "group_id", "min_quantity"]))][extra] = 1
