"""The core's events on their way to the hub's process: to the hub, which may derive market data, and to the market."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np

from nautilus.core.counters import Counters
from nautilus.core.types import EVENT
from nautilus.engines.marketdata import MarketDataEngine
from nautilus.model.enums import EngineState
from nautilus.model.records import Records, joined
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.market_line import Core, MarketLine
from nautilus.trading.client import CoreBatch

TURN_NS = 1_000_000
"""So long at most until the process's other work is looked at."""
LOOK_NS = 10_000_000
"""The core is looked at so often where it has gone, or an answer is missing."""
CHECK_NS = 200_000_000
"""And so often in any case."""

SHOW_NS = (0, 200_000_000, 1_000_000_000)
"""When the books of before are published whole: subscribers that had the hub of before take a moment to come back."""


class Host(Protocol):
    """What is needed of the host of the hub's process."""

    def clock(self) -> int:
        """Platform time now."""
        ...

    def call_at(self, ns: int, callback: Callable[[], object]) -> None:
        """Call back once at a platform time."""
        ...

    def add_source(self, item: int, callback: Callable[[], object], *, arm: Callable[[], bool] | None = None) -> None:
        """Call back whenever a file descriptor can be read; `arm` is called before each wait."""
        ...

    def remove_source(self, item: int) -> None:
        """Wait for it no longer."""
        ...

    def call(self, context: Any, handler: Callable[..., object], *arguments: object) -> bool:
        """Run a handler of an engine with its context; False where it raised."""
        ...


class HubContext(Protocol):
    """The hub's context in its host."""

    engine: Any
    state: EngineState


class HubFeed:
    """Follows the core, whichever process that is, and hands on every event once and in order.

    Parameters
    ----------
    host, context
        Of the hub's process; the context's engine is the hub.
    connect
        Makes the line to the core, with the events that the hub lacks; None while there is no core.
    counters
        Of the process.
    speed
        Of platform time; intervals here are the machine's.
    on_turn
        Called after each look at the core, whether it has said something or not.
    on_events
        Called with each EVENT array of the hub's time, before the hub; refusals of own commands have sequence 0.
    timer
        Measures how long a turn takes.

    Attributes
    ----------
    line : own commands, once there is a core.
    ready : the hub knows all that the core did before its time.
    """

    def __init__(
        self,
        host: Host,
        context: HubContext,
        connect: Callable[[MarketDataEngine], Core | None],
        counters: Counters,
        speed: float,
        on_turn: Callable[[], None],
        on_events: Callable[[Records], None],
        timer: Callable[[], int] = monotonic_ns,
    ) -> None:
        self.ready = False
        self.line: MarketLine | None = None
        self._host = host
        self._context = context
        self._connect = connect
        self._counters = counters
        self._speed = speed
        self._on_turn = on_turn
        self._on_events = on_events
        self._timer = timer
        self._core: Core | None = None
        self._partial: list[Records] = []  # events of a command whose last one is still to come
        self._descriptor = -1
        self._restarts = 0
        self._due_ns = 0
        self._stopped = False

    @property
    def hub(self) -> MarketDataEngine:
        """The hub: another one after its state was found to be of no use, before it has started."""
        hub = self._context.engine
        assert isinstance(hub, MarketDataEngine)
        return hub

    def start(self) -> None:
        """Follow the core from now on; first the hub has to have its state."""
        self._check()

    def stop(self) -> None:
        """Follow it no further."""
        self._stopped = True
        if self._descriptor >= 0:
            self._host.remove_source(self._descriptor)
            self._descriptor = -1
        if self._core is not None:
            self._core.close()

    def call_at(self, ns: int) -> None:
        """Have a turn at a platform time, unless there is one before anyway."""
        if self._due_ns and self._due_ns <= ns:
            return
        self._due_ns = ns
        self._host.call_at(ns, partial(self._on_time, ns))

    def call_after(self, wait_ns: int) -> None:
        """The same, after some of the machine's time."""
        self.call_at(self._host.clock() + int(wait_ns * self._speed))

    def tell_hub(self, handler: Callable[..., object], *arguments: object) -> None:
        """Run one of the hub's handlers."""
        self._host.call(self._context, handler, *arguments)

    def poll(self, wait_ns: int = 0) -> bool:
        """Take one batch of what the core has said, after waiting for at most so long; whether there was one."""
        core, line, hub = self._core, self.line, self.hub
        if core is None or line is None:
            return False
        batch = core.poll(wait_ns)
        if batch is None:
            if not self.ready and core.current:
                self.ready = True
                for wait_ns in SHOW_NS if hub.has_books else ():
                    self._host.call_at(self._host.clock() + int(wait_ns * self._speed), self._show_books)
            return False
        final = line.take(batch)
        if len(batch.events):
            if self.ready:
                self._on_events(batch.events)
            if hub.derives:
                self._derive(hub, self._whole(batch))
        if len(final):
            self._on_events(final)
        return True

    def _derive(self, hub: MarketDataEngine, events: Records) -> None:
        if len(events):
            self.tell_hub(hub.on_events if self.ready else hub.rebuild, events)

    def _whole(self, batch: CoreBatch) -> Records:
        """The events of whole commands: between those of one command an order may stand that never rests."""
        events, causes = batch.events, batch.events["command_sequence"]
        if batch.whole:
            parts, self._partial = [*self._partial, events], []
            return joined(parts, EVENT)
        begin = int(np.searchsorted(causes, causes[-1]))
        if not begin:
            self._partial.append(events.copy())
            return events[:0]
        parts, self._partial = [*self._partial, events[:begin]], [events[begin:].copy()]
        return joined(parts, EVENT)

    def _show_books(self) -> None:
        if not self._stopped:
            self.tell_hub(self.hub.publish_books)

    def _on_core(self) -> None:
        """The core has said something."""
        if self._core is not None:
            self._core.disarm()
        self._turn()

    def _on_time(self, ns: int) -> None:
        # A time that was replaced by an earlier one comes all the same.
        if ns == self._due_ns:
            self._due_ns = 0
            self._turn()

    def _check(self) -> None:
        """Now and then, whatever happens: is the core there?"""
        if self._stopped:
            return
        if self._core is not None:
            self._core.check()
        self._host.call_at(self._host.clock() + int(CHECK_NS * self._speed), self._check)
        self._turn()

    def _turn(self) -> None:
        """Take what the core has said, then go on with whatever waits for it."""
        if self._stopped:
            return
        if self._core is None and not self._attach():
            self.call_after(LOOK_NS)
            return
        begun_ns = self._timer()
        while self.poll() and self._timer() - begun_ns < TURN_NS:
            pass
        self._follow()
        if self.ready:
            self._on_turn()
        else:
            self.call_after(LOOK_NS)

    def _attach(self) -> bool:
        """Connect the hub with the core: it knows by now what it knew in an earlier life."""
        if self._context.state not in (EngineState.RUNNING, EngineState.DEGRADED):
            return False
        core = self._connect(self.hub)
        if core is None:
            return False
        self._core, self.line = core, MarketLine(core, self._counters)
        return True

    def _follow(self) -> None:
        """Wait on the descriptor that the line has now: another one after a restart of the core."""
        core = self._core
        descriptor, restarts = (core.fileno(), core.restarts) if core is not None else (-1, 0)
        # After a restart of the core a new descriptor may have the number of the old one.
        if (descriptor, restarts) != (self._descriptor, self._restarts):
            if self._descriptor >= 0:
                self._host.remove_source(self._descriptor)
            if descriptor >= 0 and core is not None:
                self._host.add_source(descriptor, self._on_core, arm=core.arm)
            self._descriptor, self._restarts = descriptor, restarts
        if descriptor < 0:
            self.call_after(LOOK_NS)
