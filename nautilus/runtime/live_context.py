"""What the live host gives each engine, and who takes what on each topic."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from nautilus.bus.base import BY_NAME
from nautilus.core.histogram import Histogram
from nautilus.engines import CATALOGUE
from nautilus.engines.base import Engine
from nautilus.model.enums import EngineState
from nautilus.model.marketdata import auctions, bars, flows, quotes, trades
from nautilus.model.records import Records
from nautilus.model.topics import AUCTIONS, BARS, EXECUTION_REPORTS, FLOWS, QUOTES, TRADES, Topic
from nautilus.runtime.plan import Plan

if TYPE_CHECKING:
    from nautilus.runtime.live import LiveHost
    from nautilus.runtime.recovery import Recovery

Handler = Callable[[Any, "LiveContext"], None]
_STRUCTS: dict[str, Callable[[Records], list[Any]]] = {
    QUOTES.name: quotes,
    TRADES.name: trades,
    AUCTIONS.name: auctions,
    BARS.name: bars,
    FLOWS.name: flows,
}
HIGHEST_NS = 60_000_000_000
"""Histograms of handlers and round trips end here: a minute."""


class LiveContext:
    """One engine's `Context` in the live host, and what the host keeps about the engine."""

    __slots__ = (
        "_calls",
        "_host",
        "at",
        "durable",
        "engine",
        "errors",
        "handled",
        "histogram",
        "name",
        "next_id",
        "publish",
        "random",
        "record",
        "recovery",
        "request",
        "requests",
        "send",
        "state",
        "submit",
    )

    def __init__(self, host: LiveHost, engine: Engine, plan: Plan, process: str) -> None:
        self._host = host
        self._calls = host.calls
        self.engine = engine
        self.name = engine.name
        self.random = random.Random(f"{plan.seed}/{engine.name}")
        self.state = EngineState.CREATED
        self.recovery: Recovery | None = None
        counter = host.counters.counter
        self.durable = frozenset(each.request for each in type(engine).operations if each.durable)
        self.requests = counter(f"engine.{engine.name}.requests")
        self.handled = counter(f"engine.{engine.name}.handled")
        self.errors = counter(f"engine.{engine.name}.errors")
        self.histogram = Histogram(HIGHEST_NS, f"{plan.shared}/latency.{process}.{engine.name}.handle")
        self.record = self.histogram.record

    def connect(self) -> None:
        """From now on the engine can act. What it calls goes the shortest way."""
        host = self._host
        self.publish = partial(host.messages.publish, self)
        self.send = partial(host.messages.send, self)
        self.request = partial(host.messages.request, self)
        self.next_id = host.messages.next_id
        self.at = partial(host.arm, self)
        self.submit = partial(host.submit, self)

    @property
    def now_ns(self) -> int:
        return self._calls.now_ns


class Route:
    """Who takes what one engine publishes on one topic. Resolved once, before the first message.

    Attributes
    ----------
    takers : engines of this process, with their handlers.
    array_takers : those of them that take whole arrays of records.
    processes : other processes with subscribers, for messages.
    selective : those of them that need reports of strategies' orders only.
    reports : these are execution reports, which a recovery may hold back.
    on_star : the star carries these records.
    listener : takes each message, for those who listen over HTTP; None: nobody may.
    """

    __slots__ = (
        "array_takers",
        "listener",
        "on_star",
        "priority",
        "processes",
        "reports",
        "selective",
        "structs",
        "takers",
        "topic",
    )

    def __init__(self, topic: Topic, engines: Iterable[LiveContext], plan: Plan, process: str) -> None:
        self.topic = topic
        self.listener: Callable[[Any], object] | None = None
        self.priority = topic.priority
        self.structs = _STRUCTS.get(topic.name)
        self.on_star = topic.name in BY_NAME
        self.reports = topic.name == EXECUTION_REPORTS.name
        takers = [context for context in engines if topic in context.engine.subscribes]
        self.takers: list[tuple[Handler, LiveContext]] = []
        self.array_takers: list[tuple[Handler, LiveContext]] = []
        for context in takers:
            of_arrays = topic.record is not None and context.engine.takes_arrays
            pairs = self.array_takers if of_arrays else self.takers
            pairs.append((getattr(context.engine, topic.handler), context))
        self.processes: tuple[str, ...] = ()
        # Only who publishes here has to know who subscribes elsewhere.
        if topic.messages and any(context.name == topic.publisher for context in engines):
            self.processes = plan.routing.processes(topic, beside=process)
        kinds = {spec.name: [CATALOGUE[name].load() for name in spec.engines] for spec in plan.processes}
        self.selective = frozenset(
            name
            for name in self.processes
            if all(kind.strategies_only for kind in kinds[name] if topic in kind.subscribes)
        )
