"""The lock-step host: engines in one process and in virtual time.

The market and the core sit at the venue, with the hub and the trading engine beside them; the other engines are a
latency away::

    market source --commands--> trading (core) --events--> hub --quotes, trades--> | latency | --> strategy, risk ...
                                trading <-- | latency | <-- orders -- strategy
                                trading --replies, reports--> | latency | --> risk, portfolio, strategy

What happens is ordered by virtual time; at one time a step of the market comes first, then market data, then orders,
replies and reports, then timers, each in the order of their sender and its own sequence. On one side messages arrive
at once, the more urgent first: FLASH_CRASH and URGENT right after the handler that sent them, the others when all
subscribers have what set them off. The same market, engines and seed give the same run.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Any, TypeVar

import numpy as np

from nautilus.core.types import COMMAND, CommandKind
from nautilus.engines.base import Engine, Work
from nautilus.engines.marketdata import MarketDataEngine
from nautilus.engines.trading import TradingEngine
from nautilus.model.enums import EngineState, Priority
from nautilus.model.errors import AnalysisError, InternalError, ModelError
from nautilus.model.message import Message
from nautilus.model.records import Records
from nautilus.model.topics import TOPICS, Topic, topic_of
from nautilus.runtime.clock import whole_ns
from nautilus.runtime.context import EngineContext, Handler, Route
from nautilus.runtime.errorlog import ErrorLog
from nautilus.runtime.latency import LatencyModel
from nautilus.runtime.undefined import told
from nautilus.simulation.source import MarketSource

_MARKET_DATA, _MESSAGE, _TIMER = 0, 1, 2
MOST_AT_ONE_TIME = 1_000_000
"""So many messages at one virtual time are taken for a loop."""

E = TypeVar("E", bound=Engine)
# Virtual time, class, sender, sequence, what to call, with what.
Entry = tuple[int, int, int, int, Callable[..., None], tuple[Any, ...]]


class LockStep:
    """Runs engines, and a market if there is one, in virtual time.

    Parameters
    ----------
    engines
        In the order in which they take what is published to several of them.
    latency
        Between the venue's side and the engines' side.
    seed
        Of every engine's random numbers.
    next_timer_ns
        The core's next timer (0: none): the host wakes the core for it with a TIME command.
    """

    def __init__(
        self,
        engines: Iterable[Engine],
        latency: LatencyModel | None = None,
        seed: int = 1,
        next_timer_ns: Callable[[], int] | None = None,
    ) -> None:
        self.now_ns = 0
        self.errors = ErrorLog()
        self.round_trips_ns = array("q")
        """Virtual time from each request to its reply."""
        self._latency = latency or LatencyModel()
        self._jitter = random.Random(f"{seed}/latency")
        self._contexts = {
            engine.name: EngineContext(self, engine, index, seed) for index, engine in enumerate(engines, 1)
        }
        self._hub = self._engine("marketdata", MarketDataEngine)
        self._trading = self._engine("trading", TradingEngine)
        self._next_timer_ns = next_timer_ns
        self._heap: list[Entry] = []
        self._inbox: list[tuple[Priority, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0
        self._ids = 0
        self._requests: dict[int, tuple[EngineContext, Message, int]] = {}
        self._timers: dict[tuple[int, str], int] = {}
        self._arrived_ns: dict[tuple[int, bool], int] = {}
        self._routes: dict[str, Route] = {}
        for topic in TOPICS:
            publisher = self._contexts.get(topic.publisher)
            if publisher is not None:
                takers = [context for context in self._contexts.values() if topic in context.engine.subscribes]
                self._routes[topic.name] = Route(topic, publisher, takers)
        self._by_type: dict[type, Route] = {
            message: self._routes[topic.name]
            for topic in TOPICS
            if topic.name in self._routes
            for message in topic.messages
        }
        # Arrays are known by the identity of their dtype; equality is the slow path behind it.
        self._by_record = [
            (route.topic.record, route) for route in self._routes.values() if route.topic.record is not None
        ]

    def tap(self, topic: Topic, listener: Callable[[Any], None]) -> None:
        """Call `listener` with each event of a topic, at once, where it is published."""
        self._routes[topic.name].taps.append(listener)

    def states(self) -> dict[str, EngineState]:
        """Where each engine is in its life."""
        return {name: context.state for name, context in self._contexts.items()}

    # Running.

    def start(self, now_ns: int) -> None:
        """Start every engine, at a virtual time."""
        self.now_ns = now_ns
        for context in self._contexts.values():
            context.state = EngineState.STARTING
            self._call(context.engine.on_start, (context,), context)
            if context.state == EngineState.STARTING:
                context.state = EngineState.RUNNING
        self._drain()

    def run(
        self,
        market: MarketSource | None = None,
        until_ns: int | None = None,
        keep_on: Callable[[], bool] | None = None,
    ) -> None:
        """Go on until nothing is left to do, a virtual time has passed, or `keep_on` (asked now and then) says no.

        With a market: until the market has no further step.

        Raises
        ------
        ModelError
            Engines answer each other without end at one time, which a latency of zero allows.
        """
        hub, hub_context = self._hub, self._contexts.get("marketdata")
        heap, next_timer_ns = self._heap, self._next_timer_ns
        market_ns = market.next_ns() if market is not None else None
        turns = moved = 0
        while True:
            turns += 1
            if keep_on is not None and not turns & 63 and not keep_on():
                return
            if market is not None and market_ns is None:
                return
            if market_ns is not None and (not heap or market_ns <= heap[0][0]):
                time_ns = market_ns
            elif heap:
                time_ns = heap[0][0]
            else:
                return
            if until_ns is not None and time_ns > until_ns:
                return
            if next_timer_ns is not None and 0 < (due_ns := next_timer_ns()) < time_ns:
                self._wake_core(due_ns)
                continue
            if time_ns != self.now_ns:
                self.now_ns = time_ns
                moved = turns
            elif turns - moved > MOST_AT_ONE_TIME:
                raise self._endless()
            if time_ns == market_ns and market is not None:
                step = market.step()
                if step.commands is not None:
                    self.feed(step.commands)
                if hub is not None and hub_context is not None:
                    for records in step.records:
                        hub.on_records(records, hub_context)
                    if hub.gate is not None and hub.gate.untold:
                        hub.on_refused(hub_context)
                market_ns = market.next_ns()
            else:
                entry = heappop(heap)
                entry[4](*entry[5])
            if self._inbox:
                self._drain()

    def stop(self) -> None:
        """Stop every engine, then deliver what they said last; timers no longer fire."""
        for context in self._contexts.values():
            context.state = EngineState.STOPPING
            self._call(context.engine.on_stop, (context,), context)
        self._drain()
        while self._heap:
            time_ns, kind, _, _, function, arguments = heappop(self._heap)
            if kind != _TIMER:
                self.now_ns = max(self.now_ns, time_ns)
                function(*arguments)
                self._drain()
        for context in self._contexts.values():
            context.state = EngineState.STOPPED

    # What contexts ask for.

    def publish(self, context: EngineContext, event: Message | Records) -> None:
        """Hand an event to the subscribers of its topic."""
        route = self._by_type.get(type(event))
        if route is None:
            dtype = event.dtype if isinstance(event, np.ndarray) else None
            for record, route in self._by_record:  # noqa: B007
                if record is dtype:
                    break
            else:
                route = self._routes[topic_of(event).name]
        if route.publisher is not context:
            raise InternalError(
                f"{context.engine.name} publishes on {route.topic.name}", expected=f"only {route.topic.publisher} to"
            )
        for tap in route.taps:
            tap(event)
        for handler, subscriber in route.near:
            self._post(route.priority, self._take, (handler, event, subscriber))
        if route.far or route.far_arrays:
            kind = _MARKET_DATA if route.topic.record is not None else _MESSAGE
            self._later(context, kind, self._deliver, (route, event))

    def send(self, context: EngineContext, peer: str, command: Message) -> None:
        """Deliver a command to a peer's `on_command`."""
        target = self._peer(peer)
        arguments = (target.engine.on_command, command, target)
        if target.at_venue == context.at_venue:
            self._post(Priority.NORMAL, self._take, arguments)
        else:
            self._later(context, _MESSAGE, self._take, arguments)

    def request(self, context: EngineContext, peer: str, message: Message, deadline_ns: int) -> int:
        """Deliver a request to a peer's `on_request`, and its reply, or that there was none by the deadline."""
        target = self._peer(peer)
        deadline_ns = whole_ns(deadline_ns)
        number = self.next_id()
        self._requests[number] = (context, message, self.now_ns)
        if deadline_ns:
            self._push(max(deadline_ns, self.now_ns), _MESSAGE, context.index, self._unknown, (number,))
        if target.at_venue == context.at_venue:
            self._post(Priority.NORMAL, self._serve, (target, message, number))
        else:
            self._later(context, _MESSAGE, self._serve, (target, message, number))
        return number

    def arm(self, context: EngineContext, ns: int, key: str) -> None:
        """Set a timer of an engine; the same key again replaces it."""
        ns = max(whole_ns(ns), self.now_ns)
        self._timers[context.index, key] = self._sequence + 1
        self._push(ns, _TIMER, context.index, self._fire, (context, key, self._sequence + 1))

    def next_id(self) -> int:
        """1, 2, 3 and so on, over all engines of this host."""
        self._ids += 1
        return self._ids

    def submit(self, context: EngineContext, job: Callable[..., Any], arguments: tuple[Any, ...]) -> int:
        """Run a job in line; its result, or the exception that it raised, follows as a message."""
        number = self.next_id()
        try:
            result = job(*arguments)
        except Exception as error:
            self.errors.add(f"{context.engine.name} job", error)
            result = error
        self._post(Priority.NORMAL, self._call, (context.engine.on_result, (number, result, context), context))
        return number

    # Delivery.

    def _push(self, ns: int, kind: int, sender: int, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._sequence += 1
        heappush(self._heap, (ns, kind, sender, self._sequence, function, arguments))

    def _post(self, priority: Priority, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._sequence += 1
        heappush(self._inbox, (priority, self._sequence, function, arguments))

    def _later(
        self, context: EngineContext, kind: int, function: Callable[..., None], arguments: tuple[Any, ...]
    ) -> None:
        """Deliver on the other side, a latency from now."""
        latency = self._latency
        ns = self.now_ns + (latency.to_engine_ns if context.at_venue else latency.to_venue_ns)
        if latency.jitter_ns:
            way = (kind, context.at_venue)
            ns = max(ns + self._jitter.randrange(latency.jitter_ns + 1), self._arrived_ns.get(way, 0))
            self._arrived_ns[way] = ns
        self._sequence += 1
        heappush(self._heap, (ns, kind, context.index, self._sequence, function, arguments))

    def _drain(self, least: Priority = Priority.LOW) -> None:
        inbox = self._inbox
        while inbox and inbox[0][0] <= least:
            _, _, function, arguments = heappop(inbox)
            function(*arguments)

    def _deliver(self, route: Route, event: Any) -> None:
        """Hand an event to the subscribers on the far side.

        What one of them says urgently reaches the next before the event does; the rest waits until all have it.
        """
        inbox = self._inbox
        for handler, context in route.far_arrays:
            self._take(handler, event, context)
            if inbox:
                self._drain(Priority.URGENT)
        if not route.far:
            if inbox:
                self._drain()
            return
        for item in route.structs(event) if route.structs is not None else (event,):
            for handler, context in route.far:
                try:
                    handler(item, context)
                except Exception as error:
                    self._failed(handler, context, error)
                if inbox:
                    self._drain(Priority.URGENT)
            if inbox:
                self._drain()

    def _take(self, handler: Handler, item: Any, context: EngineContext) -> None:
        try:
            handler(item, context)
        except Exception as error:
            self._failed(handler, context, error)

    def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...], context: EngineContext) -> None:
        try:
            function(*arguments)
        except Exception as error:
            self._failed(function, context, error)

    def _failed(self, handler: Callable[..., Any], context: EngineContext, error: Exception) -> None:
        if not isinstance(error, AnalysisError):  # that a number is not defined is no fault of the engine
            context.state = EngineState.DEGRADED
        self.errors.add(f"{context.engine.name}.{getattr(handler, '__name__', 'handler')}", error)

    def _serve(self, target: EngineContext, message: Message, number: int) -> None:
        try:
            reply = target.engine.on_request(message, target)
            if isinstance(reply, Work):
                result = reply.job(*reply.arguments)
                reply = result if reply.finish is None else reply.finish(result)
        except Exception as error:
            self._failed(target.engine.on_request, target, told(error, target.engine.name))
            self._later(target, _MESSAGE, self._unknown, (number,))
            return
        waiting = self._requests.get(number)
        if waiting is not None and waiting[0].at_venue == target.at_venue:
            self._post(Priority.NORMAL, self._reply, (number, reply))
        else:
            self._later(target, _MESSAGE, self._reply, (number, reply))

    def _reply(self, number: int, reply: Message) -> None:
        waiting = self._requests.pop(number, None)
        if waiting is not None:
            context, _, sent_ns = waiting
            self.round_trips_ns.append(self.now_ns - sent_ns)
            self._call(context.engine.on_reply, (number, reply, context), context)

    def _unknown(self, number: int) -> None:
        waiting = self._requests.pop(number, None)
        if waiting is not None:
            context, message, _ = waiting
            self._call(context.engine.on_unknown, (number, message, context), context)
            if self._inbox:
                self._drain()

    def _fire(self, context: EngineContext, key: str, armed: int) -> None:
        if self._timers.get((context.index, key)) == armed:
            del self._timers[context.index, key]
            self._call(context.engine.on_timer, (key, context), context)

    def _engine(self, name: str, kind: type[E]) -> E | None:
        context = self._contexts.get(name)
        return context.engine if context is not None and isinstance(context.engine, kind) else None

    def _peer(self, name: str) -> EngineContext:
        context = self._contexts.get(name)
        if context is None:
            raise ModelError(f"peer {name!r}", where="lock-step host", expected=f"one of {', '.join(self._contexts)}")
        return context

    # The market, at the venue.

    def feed(self, commands: Records) -> None:
        """Hand commands of the market's own participants to the core, now."""
        if self._trading is None:
            raise InternalError("commands of a market without a trading engine", expected="one among the engines")
        self._trading.on_commands(commands, self._contexts["trading"])
        self._drain()

    def _endless(self) -> ModelError:
        return ModelError(
            f"{MOST_AT_ONE_TIME:,} messages without time moving on: engines answer each other without end",
            where=f"lock-step host at {self.now_ns} ns",
            expected="a latency other than none, or a strategy that waits",
        )

    def _wake_core(self, due_ns: int) -> None:
        self.now_ns = max(self.now_ns, due_ns)
        command = np.zeros(1, COMMAND)
        command["kind"] = CommandKind.TIME
        command["now_ns"] = self.now_ns
        self.feed(command)
