"""The live host: engines of one process, on the real bus and clock.

One thread, the one that runs it, waits for sockets and times and calls one handler at a time::

    star (marketdata.*)  ──▶ ┌───────────────────┐ ──▶ star, where the hub is in this process
    mesh (messages)      ──▶ │ engines' handlers │ ──▶ mesh: events, commands, requests, replies
    HTTP (other thread)  ──▶ │    and timers     │ ──▶ engines of the same process, at once
    parts' own wires     ──▶ └───────────────────┘

The urgent lane of the mesh goes first, and again between handlers. What an engine publishes reaches engines of the same
process without the bus, the urgent right after the handler that said it. A handler that raises is counted and logged,
once for each distinct error; its engine is degraded, and the host serves on.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import zmq

from nautilus.bus import Mesh, Subscriber, make_context
from nautilus.bus.registry import Table
from nautilus.bus.routing import Processes
from nautilus.bus.standby_hub import Hub
from nautilus.bus.star_paths import StarPaths
from nautilus.core.affinity import batch
from nautilus.core.clock import adjust
from nautilus.core.counters import Counters
from nautilus.core.wake import Waiting
from nautilus.engines.base import Engine
from nautilus.model.enums import EngineState
from nautilus.model.errors import InternalError
from nautilus.runtime.bus_settings import BusConfig
from nautilus.runtime.buslog import BusLog
from nautilus.runtime.calls import Calls
from nautilus.runtime.clock import NANOSECONDS, PlatformClock, next_epoch, wall_ns, whole_ns
from nautilus.runtime.engine_state import StateFile
from nautilus.runtime.guard import permissions_of, security_of
from nautilus.runtime.letters import LETTERS, Letters
from nautilus.runtime.live_context import LiveContext
from nautilus.runtime.loop import Loop, Rank
from nautilus.runtime.messages import Messages
from nautilus.runtime.neighbours import Neighbours, write_places
from nautilus.runtime.outlook import Outlook
from nautilus.runtime.paths import carriers_of, star_paths_of
from nautilus.runtime.patience import patience_of, together
from nautilus.runtime.plan import Plan
from nautilus.runtime.platform import PlatformConfig
from nautilus.runtime.protection import FullError, protect
from nautilus.runtime.questions import Questions
from nautilus.runtime.recovery import BULK_AT_END_NS, BULK_NS, Recovery
from nautilus.runtime.star import open_hub, subscribe
from nautilus.runtime.tuning import tune
from nautilus.runtime.urgent import ask_machine, urgent_ring_of
from nautilus.runtime.workplaces import Workplaces

if TYPE_CHECKING:
    from nautilus.runtime.http.operations import Glance
    from nautilus.runtime.standing_by import StandingBy

_LOGGER = logging.getLogger("nautilus.runtime")
SAVE_NS = NANOSECONDS
"""Between looks at engines' states, to save what has changed; longer where that takes long."""
SAVE_SHARE = 50
LOOK_NS = 100_000_000
"""Between looks at whether the process is ready."""
FIRST_LOOK_NS = 5_000_000
NEVER = 1 << 62
TEND_NS = NANOSECONDS
"""The star is looked after so often, whatever is due."""
LINGER_NS = NANOSECONDS
"""What engines say last is delivered within this time."""
FRAMES = 64
DELIVERIES = 64
"""Taken at one time before other work is looked at."""


class Part(Protocol):
    """What a process needs around its engines that is no engine: the market, the line to the core."""

    def start(self) -> None:
        """The process is up; its engines have their saved states and have not started."""
        ...

    @property
    def ready(self) -> bool:
        """It does its work."""
        ...

    @property
    def refuses(self) -> str:
        """Why it takes nothing new although it works; "": it does."""
        ...

    def open(self) -> None:
        """The market opens."""
        ...

    def stop(self) -> None:
        """The process is about to end; its engines have stopped."""
        ...


class LiveHost:
    """Runs the engines of one process of a plan.

    Parameters
    ----------
    plan, process
        What runs, and which part of it is this.
    build
        Makes an engine by name; called again where a state that was saved turns out to be of no use.
    counters
        Of the process; None: those of the plan.
    limit_ms
        What a handler may take.
    standing
        Where another process may be the hub too: what made this one the hub, for its engine.
    mesh_options
        Further arguments of the `Mesh`.

    Attributes
    ----------
    contexts : of its engines, by name.
    parts : see `Part`; to be filled before `start`.
    glances : what knows some answers of an engine for the thread of HTTP, by engine.
    questions, ask_engine : how other threads ask its engines.
    outlook : what others see of it.
    when_stopping : called once, when it is told to stop.
    security : its keys, and what it counts of who is let in.
    hub : where this process is the hub.
    ended : it has stopped.
    """

    def __init__(
        self,
        plan: Plan,
        process: str,
        build: Callable[[str], Engine],
        counters: Counters | None = None,
        *,
        limit_ms: int = 100,
        standing: StandingBy | None = None,
        **mesh_options: Any,
    ) -> None:
        self.plan = plan
        self.process = process
        self.clock = PlatformClock(plan.clock)
        self.counters = counters if counters is not None else Counters(path=plan.counters_of(process))
        self.calls = Calls(self.clock, limit_ms, self.counters)
        self._undo = contextlib.ExitStack()
        settings = plan.config("bus", BusConfig)
        wake = settings.wake_among(plan.process(process).engines)
        waiting = Waiting(wake, spin_ns=settings.spin_us * 1_000)
        self._undo.callback(waiting.close)
        # Before any thread begins: they have it from this one.
        for grant in (waiting.grant, batch() if settings.schedule == "batch" else None):
            if grant is not None and not grant.granted:
                _LOGGER.warning("%s: %s", grant.what, grant.found)
        self.loop = Loop(self.clock, waiting if wake.startswith("spin") else None)
        self.parts: list[Part] = []
        self.glances: dict[str, Glance] = {}
        self.contexts: dict[str, LiveContext] = {}
        self.outlook = Outlook(self)
        self.subscriber: Subscriber | None = None
        self.star_paths: StarPaths | None = None
        self.when_stopping: Callable[[], object] | None = None
        self.ended = False
        self._build = build
        self._reporter = next((spec.name for spec in plan.processes if "trading" in spec.engines), "")
        self._bus_log = BusLog()
        if standing is None:
            self.security = security_of(plan, process, self.counters)
            self._zmq = make_context(self.security)
            self.hub: Hub | None = None
        else:
            self.security, self._zmq, self.hub = standing.security, standing.context, standing.hub
        self._timers: dict[tuple[str, str], int] = {}
        self._armed = 0
        self._linger_ns = 0
        self._tended_ns = 0
        self._noted = -1
        self._opened = False
        self.questions = Questions(process, self._counting("questions.refused"))
        self.ask_engine = self.questions.ask
        try:
            self._listen(mesh_options)
        except BaseException:
            self.close()
            raise

    def _listen(self, mesh_options: dict[str, Any]) -> None:
        """Open this process's ends of the bus, and make its engines."""
        plan, process, undo = self.plan, self.process, self._undo
        epoch = next_epoch(self.counters)
        undo.callback(self._bus_log.flush, at_once=True)
        undo.callback(self._zmq.destroy, 0)
        undo.callback(self.loop.close)
        undo.callback(self.questions.close)
        self.letters = Letters(process, plan.data, self._bus_log, self.counters)
        undo.callback(self.letters.close)
        ring = urgent_ring_of(plan, process, epoch)
        if ring is not None:
            undo.callback(ring.close)
        self.neighbours = Neighbours(plan, process, self.security, self._zmq, epoch)
        undo.callback(self.neighbours.close)
        self.mesh = Mesh(
            self._zmq,
            process,
            epoch,
            self.neighbours.endpoint,
            wall_ns,
            self.counters,
            peers=Processes(spec.name for spec in plan.processes),
            permissions=permissions_of(plan, self.security),
            fallbacks=carriers_of(plan, process, wall_ns, self.counters),
            urgent_ring=ring,
            on_path=self._bus_log.on_path,
            on_gap=self._on_gap,
            on_standing=self._bus_log.on_standing,
            on_pressure=self._bus_log.on_pressure,
            on_restart=self._on_restart,
            on_dead_letters=self.letters.on_dead_letters,
            **mesh_options,
        )
        undo.callback(self.mesh.close)
        if ring is not None:
            self.loop.set_ring(ring, self._on_ring)
        self._generation = -1
        names = plan.process(process).engines
        if "marketdata" in names:
            self._take_hub(epoch)
        self.neighbours.on_hub = self._on_hub
        self.neighbours.join(self.mesh, registers=self.hub is None)
        for socket in self.neighbours.sockets():
            self.loop.add_source(socket, self._on_registry, rank=Rank.CONTROL, touched=self.neighbours.touched)
        for name in names:
            self.contexts[name] = LiveContext(self, self._build(name), plan, process)
        self.messages = Messages(
            plan,
            process,
            self.clock,
            self.loop,
            self.calls,
            self.mesh,
            self.contexts,
            self.counters,
            self.hub.publish if self.hub is not None else None,
            self._save,
        )
        self.messages.listeners.services[LETTERS] = partial(self.letters.replay, self.mesh, self.messages.take)
        workers = plan.config("platform", PlatformConfig).workers
        self.workplaces = Workplaces(
            self.loop.add_source,
            self.loop.remove_source,
            self.later,
            max((workers.get(name, 1) for name in names), default=1),
            self._counting("jobs.refused"),
        )
        undo.callback(self.workplaces.close)
        self.messages.run_job = self.workplaces.run
        self.loop.add_source(self.questions.fileno(), partial(self.questions.take, self.messages), rank=Rank.HTTP)
        for context in self.contexts.values():
            context.connect()
        operations = [(name, type(context.engine).operations) for name, context in self.contexts.items()]
        self.messages.guards = protect(plan, process, operations, self.counters)
        self.outlook.looks += [guard.look for guard in self.messages.guards.values()]
        self.next_id = self.messages.next_id
        self.ask = self.messages.ask
        self.call = self.calls.call
        self.serve = self.calls.serve
        self.between = self.messages.between
        self.set_server = self.messages.set_server
        self.remove_source = self.loop.remove_source

    def _counting(self, name: str) -> Callable[[], object]:
        return partial(self.counters.increment, self.counters.counter(name))

    def _take_hub(self, epoch: int) -> None:
        """Be the hub, as one that stood by for it, or from the start."""
        hub = self.hub
        if hub is None:
            counters = self.counters
            hub = open_hub(self.plan, self.process, self._zmq, self.clock.now_ns, epoch, lambda: counters)
        self.hub = hub
        self._undo.callback(hub.close, for_good=True)
        hub.announce(self.neighbours.lanes(self.mesh))
        assert hub.star is not None
        self.loop.set_group([hub.star.socket], hub.answer, Rank.CONTROL, hub.star.touched)

    # What contexts and parts ask for.

    def arm(self, context: LiveContext, ns: int, key: str) -> None:
        """Set a timer of an engine; the same key again replaces it."""
        self._armed += 1
        self._timers[context.name, key] = self._armed
        self.loop.call_at(whole_ns(ns), partial(self._fire, context, key, self._armed))

    def submit(self, context: LiveContext, job: Callable[..., Any], arguments: tuple[Any, ...]) -> int:
        """Run a job in the worker process; `on_result` follows."""
        number = self.next_id()

        def done(result: Any) -> None:
            if isinstance(result, Exception):
                self.calls.errors.add(f"{context.name} job", result)
            self.call(context, context.engine.on_result, number, result)
            self.messages.drain()

        try:
            self.workplaces.run(job, arguments, done, True)
        except (FullError, InternalError) as error:
            self.later(0, partial(done, error))
        return number

    def add_source(
        self,
        item: Any,
        callback: Callable[[], object],
        *,
        rank: Rank = Rank.OWN,
        arm: Callable[[], bool] | None = None,
    ) -> None:
        """See `Loop.add_source`."""
        self.loop.add_source(item, partial(self.calls.watch, callback), rank=rank, arm=arm)

    def call_at(self, ns: int, callback: Callable[[], object]) -> None:
        """Call back once, when platform time is `ns` or up to a millisecond later."""
        self.loop.call_at(ns, partial(self.calls.watch, callback))

    def later(self, wait_ns: int, callback: Callable[[], object]) -> None:
        """Call back after a time of the machine's."""
        self.loop.call_at_wall(wall_ns() + wait_ns, partial(self.calls.watch, callback))

    def renew(self, context: LiveContext) -> None:
        """Put a new engine in the place of one whose state is of no use."""
        context.engine = self._build(context.name)
        self.messages.route()

    def started(self, context: LiveContext) -> None:
        """An engine has the present state."""
        self._begin()

    def _begin(self) -> None:
        """Once all engines have the present state and the parts work: take messages and market data."""
        recoveries = [context.recovery for context in self.contexts.values()]
        if (
            not self.messages.started
            and all(found is not None and found.live for found in recoveries)
            and all(part.ready for part in self.parts)
            and not self.workplaces.warming
        ):
            self._subscribe()
            self.messages.start()

    # Life.

    @property
    def stopping(self) -> bool:
        """It was told to stop."""
        return self._linger_ns != 0

    def start(self) -> None:
        """Set out: saved states first, then parts, then each engine on its way to the present."""
        directory = Path(self.plan.data, "state")
        for context in self.contexts.values():
            context.recovery = Recovery(self, context, StateFile(directory, context.name))
            context.recovery.restore()
        for part in self.parts:
            part.start()
        self.workplaces.warm([type(context.engine) for context in self.contexts.values()], self._begin)
        for context in list(self.contexts.values()):
            assert context.recovery is not None
            context.recovery.begin()
        self.later(SAVE_NS, self._save_all)
        self._look()

    def open(self) -> None:
        """The market opens."""
        if not self._opened:
            self._opened = True
            for part in self.parts:
                part.open()

    def run(self) -> None:
        """Work until `stop` was called and what engines said last is delivered."""
        tune(self.plan, self.process)
        ask_machine(self.plan, self.process)
        while not self.ended:
            self.turn()

    def turn(self) -> None:
        """Wait until something is to be done, and do it."""
        messages, loop = self.messages, self.loop
        if self.mesh.generation != self._generation:
            self._generation = self.mesh.generation
            sockets = self.mesh.sockets()
            urgent = {socket for socket in sockets if socket.getsockopt(zmq.AFFINITY) == 1}
            loop.set_group(urgent, self._on_urgent, Rank.URGENT, self.mesh.touched)
            others = [*(each for each in sockets if each not in urgent), *self.mesh.descriptors()]
            loop.set_group(others, self._on_mesh, Rank.MESH)
        due_ns = messages.due_ns
        gathered_ns = self.subscriber.gathers_until_ns if self.subscriber is not None else NEVER
        loop.turn(min(due_ns, self._star_due_ns, gathered_ns), messages.conclude)
        now_ns = wall_ns()
        # What is due is a long way off where the clock was set back.
        if now_ns >= self._star_due_ns or not 0 <= now_ns - self._tended_ns < TEND_NS:
            self._tended_ns = now_ns
            self._tend_star(now_ns)
        elif self.subscriber is not None and self.subscriber.ripe(now_ns):
            self._take_star(set())
        if now_ns >= due_ns:
            messages.tick(now_ns)
        elif now_ns >= self.mesh.early_ns:
            self.mesh.look_early(now_ns)
        if self._linger_ns:
            self._stop_on(now_ns)

    def stop(self) -> None:
        """Stop engines, deliver what they say last, save their states; `run` then returns."""
        if self._linger_ns:
            return
        self._linger_ns = wall_ns() + LINGER_NS
        if self.when_stopping is not None:
            self.when_stopping()
        self.neighbours.leave()
        for context in self.contexts.values():
            if context.state != EngineState.STARTING:
                context.state = EngineState.STOPPING
                self.call(context, context.engine.on_stop)
        self.messages.drain()
        self.later(0, _nothing)

    def close(self) -> None:
        """Give back everything; the last call."""
        self.ended = True
        self._undo.close()

    def _stop_on(self, now_ns: int) -> None:
        """Whether everything that was said is delivered and answered, or has had its time."""
        # What is for a peer that is gone is not waited for.
        under_way = (
            self.messages.waiting
            or any(peer.up and peer.pending for peer in self.mesh.peers().values())
            or not all(context.recovery is None or context.recovery.live for context in self.contexts.values())
        )
        if under_way and now_ns < self._linger_ns:
            return
        for part in self.parts:
            part.stop()
        for context in self.contexts.values():
            self._save(context, BULK_AT_END_NS)
            context.state = EngineState.STOPPED
        self.ended = True
        self._look()
        self.questions.refuse()

    # What comes.

    def _on_urgent(self) -> None:
        self.messages.take_all(self.mesh.receive(DELIVERIES, ready=self.loop.ready, urgent=True))

    def _on_ring(self) -> None:
        self.messages.take_all(self.mesh.glance())

    def _on_mesh(self) -> None:
        self.messages.take_all(self.mesh.receive(DELIVERIES, ready=self.loop.ready))

    def _on_star_paths(self) -> None:
        assert self.star_paths is not None
        if self.star_paths.turn():
            self._take_star()

    def _on_star(self) -> None:
        self._take_star(self.loop.ready)

    def _take_star(self, ready: set[Any] | None = None) -> None:
        messages, subscriber = self.messages, self.subscriber
        assert subscriber is not None
        for topic, records in together(subscriber.drain(FRAMES, ready), messages.takes_arrays):
            messages.deliver_records(messages.routes[topic.name], records)

    @property
    def _star_due_ns(self) -> int:
        """When there is something to do for the star, whatever comes before."""
        if self.hub is not None:
            return self.hub.due_ns
        return self.subscriber.due_ns if self.subscriber is not None else NEVER

    def _tend_star(self, now_ns: int) -> None:
        if self.hub is not None:
            self.hub.poll(now_ns)
        elif self.subscriber is not None:
            self.subscriber.poll(now_ns)
            self._take_star()  # what was held back may have been let go

    def _fire(self, context: LiveContext, key: str, number: int) -> None:
        if self._timers.get((context.name, key)) == number:
            del self._timers[context.name, key]
            self.call(context, context.engine.on_timer, key)
            self.messages.drain()

    # Reports that may be missing.

    def _on_gap(self, peer: str, priority: int, first: int, last: int) -> None:
        self._bus_log.on_gap(peer, priority, first, last)
        self._catch_up(peer)

    def _on_restart(self, peer: str, epoch: int) -> None:
        # What its earlier life did not deliver went with it.
        self._catch_up(peer)

    def _catch_up(self, peer: str) -> None:
        if peer == self._reporter:
            for context in self.contexts.values():
                if context.recovery is not None:
                    context.recovery.catch_up()

    # What is done now and then.

    def _subscribe(self) -> None:
        """Ask for the market data that engines here take, where the hub is elsewhere."""
        routes = self.messages.routes.values()
        wanted = [route.topic for route in routes if (route.takers or route.array_takers) and route.on_star]
        if not wanted or self.hub is not None:
            return
        subscriber = self.subscriber = subscribe(
            self.plan, self.process, self._zmq, wanted, self.clock.now_ns, self.counters, self._bus_log,
            patience_of(self.plan.config("bus", BusConfig), [each.engine for each in self.contexts.values()], wanted),
        )  # fmt: skip
        self._undo.callback(subscriber.close)
        subscriber.refuse_below(self.neighbours.hub_epoch)
        self.loop.set_group(subscriber.sockets, self._on_star, Rank.STAR, subscriber.touched)
        if subscriber.fileno() >= 0:
            self.loop.add_source(subscriber.fileno(), self._on_star, rank=Rank.STAR, arm=subscriber.arm)
        paths = self.star_paths = star_paths_of(
            self.plan, self.process, self._zmq, subscriber, self.counters, self._bus_log
        )
        if paths is not None:
            self._undo.callback(paths.close)
            for item in (paths.socket, *paths.descriptors()):
                self.loop.add_source(item, self._on_star_paths, rank=Rank.STAR, touched=paths.touched)

    def _save(self, context: LiveContext, most_ns: int = BULK_NS) -> None:
        if context.recovery is not None:
            try:
                context.recovery.save(most_ns)
            except Exception as error:
                self.calls.failed(context, context.engine.state, error)

    def _save_all(self) -> None:
        begun_ns = wall_ns()
        for context in self.contexts.values():
            self._save(context)
        self.later(max(SAVE_NS, SAVE_SHARE * (wall_ns() - begun_ns)), self._save_all)

    def _on_hub(self, epoch: int) -> None:
        """There is a hub of this epoch: what an earlier one says is not heard any more."""
        if self.subscriber is not None:
            self.subscriber.refuse_below(epoch)

    def _note_places(self, table: Table) -> None:
        if table.number != self._noted:
            self._noted = table.number
            with contextlib.suppress(OSError):  # a full disk: it is for people who look
                write_places(self.plan, table.entries())

    def _on_registry(self) -> None:
        self.neighbours.poll(wall_ns())

    def _look(self) -> None:
        self._begin()
        adjust()
        self._on_registry()
        if self.hub is not None and self.hub.registry is not None:
            self._note_places(self.hub.registry.table)
        self.messages.listeners.expire()
        self._zmq.refresh()
        self.security.write()
        if self.subscriber is not None:
            self.counters.set(self.counters.gauge("star.by_ring"), self.subscriber.way == "ring")
        self._bus_log.flush()
        self.outlook.renew()
        if not self.ended:
            self.later(LOOK_NS if self.outlook.when_ready is None else FIRST_LOOK_NS, self._look)


def mesh_endpoint(plan: Plan, process: str, lane: str) -> str:
    """Where a process listens on the mesh, as the bus asks for it."""
    return plan.endpoint(process, "u" if lane == "u" else "n")


def _nothing() -> None:
    """Wakes the loop."""
