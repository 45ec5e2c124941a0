"""A recording Context for one engine alone, and a scripted market for the lock-step host."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from nautilus.core.types import COMMAND, QUOTE
from nautilus.model.account import Account
from nautilus.model.commands import SubmitOrder
from nautilus.model.enums import RecordFlag, Side
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.records import Records, command_array
from nautilus.simulation.source import CoreView, Step

SECOND = 1_000_000_000
MARKET_ACCOUNT = 2001
OTHER_ACCOUNT = 2002


class RecordingContext:
    """Does what a host's context does, and keeps what was asked for. Time moves when the test says so."""

    def __init__(self, now_ns: int = SECOND) -> None:
        self.now_ns = now_ns
        self.random = random.Random(1)
        self.published: list[Any] = []
        self.sent: list[tuple[str, Message]] = []
        self.requests: list[tuple[int, str, Message, int]] = []
        self.timers: list[tuple[int, str]] = []
        self.jobs: list[tuple[int, Callable[..., Any], tuple[Any, ...]]] = []
        self._ids = 0

    def publish(self, event: Message | Records, /) -> None:
        self.published.append(event)

    def send(self, peer: str, command: Message, /) -> None:
        self.sent.append((peer, command))

    def request(self, peer: str, message: Message, deadline_ns: int = 0, /) -> int:
        number = self.next_id()
        self.requests.append((number, peer, message, deadline_ns))
        return number

    def at(self, ns: int, key: str, /) -> None:
        self.timers.append((ns, key))

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def submit(self, job: Callable[..., Any], arguments: tuple[Any, ...], /) -> int:
        number = self.next_id()
        self.jobs.append((number, job, arguments))
        return number

    def orders(self) -> list[Message]:
        """Messages of the requests, in order."""
        return [message for _, _, message, _ in self.requests]


def btcusdt(**changes: Any) -> Instrument:
    """A perpetual with a tick of 0.1 and a lot of 0.001."""
    fields: dict[str, Any] = {
        "instrument_id": 1,
        "symbol": "BTCUSDT",
        "venue": "BINANCE",
        "product": "perpetual",
        "base_currency": "BTC",
        "quote_currency": "USDT",
        "tick_table": (("0", "0.1"),),
        "lot_size": "0.001",
    }
    return Instrument(**(fields | changes))


def quote_array(now_ns: int, bid: int, ask: int, lots: int = 50, instrument_id: int = 1) -> Records:
    """A QUOTE array of one."""
    return np.array([(now_ns, now_ns, 0, bid, lots, ask, lots, instrument_id, RecordFlag.LAST, 0)], QUOTE)


def market_order(now_ns: int, order_id: int, side: Side, quantity: int, price: int, **fields: Any) -> Records:
    """COMMAND array of one limit order of a participant of the scripted market."""
    order = SubmitOrder(
        account_id=fields.pop("account_id", MARKET_ACCOUNT),
        instrument_id=fields.pop("instrument_id", 1),
        order_id=order_id,
        side=side,
        quantity=quantity,
        price_ticks=price,
        **fields,
    )
    return command_array(order.to_row(now_ns))


class ScriptedMarket:
    """A market that plays a list of steps."""

    def __init__(self, steps: Iterable[Step], instruments: Sequence[Instrument] | None = None) -> None:
        self._steps = list(steps)
        self._next = 0
        self._instruments = tuple(instruments) if instruments is not None else (btcusdt(),)
        self.events: list[Records] = []
        self.core: CoreView | None = None

    def instruments(self) -> tuple[Instrument, ...]:
        return self._instruments

    def attach(self, core: CoreView) -> None:
        self.core = core

    def setup(self) -> Records:
        accounts = Account(MARKET_ACCOUNT, "market"), Account(OTHER_ACCOUNT, "other")
        return np.concatenate([account.to_commands() for account in accounts])

    def begin(self, now_ns: int) -> Records:
        return np.zeros(0, COMMAND)

    @property
    def waits(self) -> bool:
        return True

    def next_ns(self) -> int | None:
        return self._steps[self._next].now_ns if self._next < len(self._steps) else None

    def step(self) -> Step:
        self._next += 1
        return self._steps[self._next - 1]

    def on_events(self, events: Records) -> None:
        self.events.append(events.copy())

    def summary(self) -> dict[str, Any]:
        return {"format": "script"}

    @property
    def progress(self) -> float | None:
        return self._next / max(len(self._steps), 1)
