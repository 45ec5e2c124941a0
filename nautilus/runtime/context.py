"""What the lock-step host gives each engine, and who takes what on each topic."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from nautilus.engines.base import Engine
from nautilus.model.enums import EngineState
from nautilus.model.marketdata import auctions, bars, flows, quotes, trades
from nautilus.model.message import Message
from nautilus.model.records import Records
from nautilus.model.topics import AUCTIONS, BARS, FLOWS, QUOTES, TRADES, Topic

if TYPE_CHECKING:
    from nautilus.runtime.lockstep import LockStep

VENUE_SIDE = frozenset({"marketdata", "trading"})
"""Engines that stand at the venue, beside the core."""
_STRUCTS: dict[str, Callable[[Records], list[Any]]] = {
    QUOTES.name: quotes,
    TRADES.name: trades,
    AUCTIONS.name: auctions,
    BARS.name: bars,
    FLOWS.name: flows,
}

Handler = Callable[[Any, "EngineContext"], None]


class EngineContext:
    """One engine's `Context` in the lock-step host."""

    __slots__ = ("_host", "at_venue", "engine", "index", "random", "state")

    def __init__(self, host: LockStep, engine: Engine, index: int, seed: int) -> None:
        self._host = host
        self.engine = engine
        self.index = index
        self.at_venue = engine.name in VENUE_SIDE
        self.random = random.Random(f"{seed}/{engine.name}")
        self.state = EngineState.CREATED

    @property
    def now_ns(self) -> int:
        return self._host.now_ns

    def publish(self, event: Message | Records, /) -> None:
        self._host.publish(self, event)

    def send(self, peer: str, command: Message, /) -> None:
        self._host.send(self, peer, command)

    def request(self, peer: str, message: Message, deadline_ns: int = 0, /) -> int:
        return self._host.request(self, peer, message, deadline_ns)

    def at(self, ns: int, key: str, /) -> None:
        self._host.arm(self, ns, key)

    def next_id(self) -> int:
        return self._host.next_id()

    def submit(self, job: Callable[..., Any], arguments: tuple[Any, ...], /) -> int:
        return self._host.submit(self, job, arguments)


class Route:
    """Who takes what one publisher puts on one topic. Resolved once, before the first message."""

    __slots__ = ("far", "far_arrays", "near", "priority", "publisher", "structs", "taps", "topic")

    def __init__(self, topic: Topic, publisher: EngineContext, subscribers: Iterable[EngineContext]) -> None:
        self.topic = topic
        self.publisher = publisher
        self.priority = topic.priority
        self.structs = _STRUCTS.get(topic.name)
        self.taps: list[Callable[[Any], None]] = []
        self.near: list[tuple[Handler, EngineContext]] = []
        self.far: list[tuple[Handler, EngineContext]] = []
        self.far_arrays: list[tuple[Handler, EngineContext]] = []
        for subscriber in subscribers:
            pair = (getattr(subscriber.engine, topic.handler), subscriber)
            if subscriber.at_venue == publisher.at_venue:
                self.near.append(pair)
            elif topic.record is not None and subscriber.engine.takes_arrays:
                self.far_arrays.append(pair)
            else:
                self.far.append(pair)
