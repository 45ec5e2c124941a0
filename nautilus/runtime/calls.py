"""Runs handlers, one at a time: gives each its time, measures it, counts it, and lets no error past."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from nautilus.core.counters import Counters
from nautilus.engines.base import Work
from nautilus.model.enums import EngineState
from nautilus.model.errors import AnalysisError, ModelError
from nautilus.model.message import Message
from nautilus.runtime.clock import PlatformClock, monotonic_ns
from nautilus.runtime.errorlog import QUIET_NS, ErrorLog
from nautilus.runtime.live_context import LiveContext
from nautilus.runtime.tracing import Tracing, trace_text
from nautilus.runtime.undefined import told

_LOGGER = logging.getLogger("nautilus.runtime")
_MILLISECOND = 1_000_000


class Calls:
    """The border between a host and its engines' handlers.

    Attributes
    ----------
    now_ns : platform time of the handler that runs, or ran last; it never goes back.
    number : of the call that runs, for the watchdog.
    began_ns : when that was made, by `monotonic_ns`.
    errors : what handlers raised.
    tracing : within which trace what runs does.
    """

    def __init__(self, clock: PlatformClock, limit_ms: int, counters: Counters) -> None:
        self.now_ns = 0
        self.number = 0
        self.began_ns = 0
        self.errors = ErrorLog()
        self.tracing = Tracing()
        self.limit_ns = limit_ms * _MILLISECOND
        self._clock = clock.now_ns
        self._counters = counters
        self._increment = counters.increment
        self._slow = counters.counter("host.slow_handlers")
        self._running: Callable[..., Any] | None = None
        self._slowest: dict[str, int] = {}
        self._failed_ns: dict[str, int] = {}
        self._result: Any = None
        self._error = Exception()

    def call(self, context: LiveContext, handler: Callable[..., Any], *arguments: Any) -> bool:
        """Call ``handler(*arguments, context)``; False where it raised."""
        # Written out, as it runs for every message and every quote.
        self.number += 1
        outer, self._running = self._running, handler
        now_ns = self._clock()
        if now_ns > self.now_ns:
            self.now_ns = now_ns
        good = True
        self.began_ns = started_ns = monotonic_ns()
        try:
            self._result = handler(*arguments, context)
        except Exception as error:
            self._error = error = told(error, context.name)
            self.failed(context, handler, error)
            good = False
        took_ns = monotonic_ns() - started_ns
        self._running = outer
        context.record(took_ns)
        self._increment(context.handled)
        if took_ns > self.limit_ns:
            self._over_limit(context, handler, took_ns)
        return good

    def serve(self, context: LiveContext, message: Message) -> Message | Work:
        """The reply of an engine's request handler, or its work; what it raises is counted, and raised on."""
        if not self.call(context, context.engine.on_request, message):
            raise self._error
        reply: Message | Work = self._result
        return reply

    def finish(self, context: LiveContext, finish: Callable[[Any], Message], result: Any) -> Message:
        """The reply that an engine makes of what its job has given; as `serve`."""

        def make(result: Any, ctx: LiveContext) -> Message:
            return finish(result)

        if not self.call(context, make, result):
            raise self._error
        reply: Message = self._result
        return reply

    def watch(self, callback: Callable[[], object]) -> None:
        """Call something that is no handler, with the watchdog's eye on it; what it raises goes on."""
        self.number += 1
        self.began_ns = monotonic_ns()
        outer, self._running = self._running, callback
        try:
            callback()
        finally:
            self._running = outer

    def failed(self, context: LiveContext, handler: Callable[..., Any], error: Exception) -> None:
        """Count and log what a handler raised; its engine is degraded until it has gone well for a while.

        A request that fits no instrument, account or order is its sender's mistake: the reply tells, and the engine is
        as well as before.
        """
        # As is a number that is not defined, wherever that is found.
        mistake = isinstance(error, AnalysisError) or (
            isinstance(error, ModelError) and handler == context.engine.on_request
        )
        if not mistake:
            if context.state in (EngineState.STARTING, EngineState.RUNNING):
                context.state = EngineState.DEGRADED
            self._failed_ns[context.name] = monotonic_ns()
            self._increment(context.errors)
        trace_id = trace_text(self.tracing.now)
        self.errors.add(
            f"{context.name}.{_name(handler)}", error, engine=context.name, trace_id=trace_id, mistake=mistake
        )

    def recover(self, context: LiveContext) -> None:
        """Take an engine for sound again whose handlers have raised nothing for a minute."""
        if context.state is EngineState.DEGRADED and monotonic_ns() - self._failed_ns[context.name] > QUIET_NS:
            context.state = EngineState.RUNNING

    def current(self) -> int:
        """For the watchdog: number of the call that runs; 0: none does."""
        return self.number if self._running is not None else 0

    def began(self) -> int:
        """For the watchdog: `began_ns`."""
        return self.began_ns

    def describe(self) -> str:
        """For people: the handler that runs."""
        running = self._running
        if running is None:
            return "nothing"
        owner = getattr(running, "__self__", None)
        return f"{getattr(owner, 'name', type(owner).__name__)}.{_name(running)}" if owner else _name(running)

    def _over_limit(self, context: LiveContext, handler: Callable[..., Any], took_ns: int) -> None:
        """Name it in the log, but a handler that is always slow only when it has been twice as slow as before."""
        self._increment(self._slow)
        name = f"{context.name}.{_name(handler)}"
        if took_ns >= 2 * self._slowest.get(name, 0):
            self._slowest[name] = took_ns
            _LOGGER.warning(
                "%s took %d ms; its limit is %d ms", name, took_ns // _MILLISECOND, self.limit_ns // _MILLISECOND
            )


def _name(handler: Callable[..., Any]) -> str:
    return getattr(handler, "__name__", type(handler).__name__)
