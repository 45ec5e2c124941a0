"""A worker of the gateway: answers requests at the one port, beside others that do the same.

One thread with one event loop. It listens on a socket that its lead holds too, and counts in shared memory. When its
lead goes, it serves on and looks for the next one; where there is none within ten seconds it stops in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from nautilus.core.clock import synchronise
from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.gateway import lines
from nautilus.gateway.cache_door import Door
from nautilus.gateway.config import GatewayConfig
from nautilus.gateway.health import EngineReport
from nautilus.gateway.keeping import keep_warm, open_door
from nautilus.gateway.lines import Line
from nautilus.gateway.serving import Serving
from nautilus.gateway.table import MEETING, name_of
from nautilus.model.codec import to_msgpack
from nautilus.model.message import Message
from nautilus.runtime import logs
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.files import FileLock, holder
from nautilus.runtime.plan import Plan
from nautilus.runtime.platform import LoggingConfig
from nautilus.runtime.states import SEEN

BEAT_SECONDS = 0.1
ORPHAN_SECONDS = 10.0
"""So long a worker serves on without a lead."""
LOOKED_SECONDS = 3.0
"""The health monitor has to answer within."""
LOOK_SECONDS = 0.02
"""Between looks for another lead."""
STOP_SECONDS = 1.0
"""What is under way may take so long once the gateway stops."""

_LOGGER = logging.getLogger("nautilus.gateway")


@dataclass(slots=True)
class WorkerContext:
    """What the applications of a worker have to work with.

    Attributes
    ----------
    plan, config
        Of the instance, and of its section ``gateway``.
    number, slot
        Under which the worker counts; which of the listening sockets it has.
    counters
        Its own, in shared memory: ``engine.gateway.requests`` and ``.errors`` are those of `nautilus status`.
    latency
        Nanoseconds of each request that goes to an engine, in shared memory.
    door
        To the answers that are kept; None: none are.
    ports
        Of each engine that is there now; kept up to date.
    on_ports
        Called when `ports` have changed.
    tell
        Hands a message to the gateway's engine: `BreakerChanged`, `InstanceHealthChanged`, `InvalidateCache`.
    broken
        Tells the health monitor that a connection broke: (engine, instance, cause).
    look
        Has the health monitor look at an engine now; TimeoutError where it does not answer.
    """

    plan: Plan
    config: GatewayConfig
    number: int
    slot: int
    counters: Counters
    latency: Histogram
    tell: Callable[[Message], None]
    broken: Callable[[str, str, str], None]
    look: Callable[[str], Awaitable[EngineReport]]
    door: Door | None = None
    ports: dict[str, int] = field(default_factory=dict)
    on_ports: list[Callable[[], object]] = field(default_factory=list)

    def histogram(self, name: str) -> Histogram:
        """One more histogram in shared memory, which `/metrics` and `/hybrid/performance` show by this name."""
        return Histogram(path=f"{self.plan.shared}/latency.{name_of(self.number)}.{name}")


def run_worker(end: socket.socket) -> int:
    """Serve until the lead says stop; the exit code."""
    synchronise()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's
    line = Line(end)
    words = line.receive_one()
    if words is None:
        return 0
    begin, descriptors = words
    assert isinstance(begin, lines.Begin)
    listeners = [socket.socket(fileno=each) for each in descriptors]
    plan = Plan.decode(begin.plan)
    name = name_of(begin.number)
    log = logs.configure(name, plan.data, plan.config("logging", LoggingConfig))
    lock = FileLock.take(Path(plan.directory, f"{name}.lock"), wait_seconds=2.0)
    gc.collect()
    gc.freeze()
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        worker = Worker(plan, begin, line, listeners, loop)
        loop.run_until_complete(worker.run())
    except Exception as error:
        _LOGGER.critical("worker %s failed: %s", name, error, exc_info=error)
        return 1
    finally:
        _LOGGER.info("worker has stopped")
        if lock is not None:
            lock.release(remove=True)
        log.close()
    return 0


class Worker:
    """See the module."""

    def __init__(
        self,
        plan: Plan,
        begin: lines.Begin,
        line: Line,
        listeners: list[socket.socket],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._plan = plan
        self._begin = begin
        self._line = line
        self._listeners = listeners
        self._loop = loop
        self._ended = asyncio.Event()
        self._drains = False
        self._stops = False
        counters = Counters(path=plan.counters_of(name_of(begin.number)))
        for gauge in counters.gauges():
            counters.set(counters.gauge(gauge), 0)
        self._counters = counters
        self._seen = counters.gauge(SEEN)
        self.context = WorkerContext(
            plan,
            plan.config("gateway", GatewayConfig),
            begin.number,
            begin.slot,
            counters,
            Histogram(path=f"{plan.shared}/latency.{name_of(begin.number)}.handle"),
            self._tell,
            self._broken,
            self._look,
        )
        door = self.context.door = open_door(self.context, loop)
        self._serving = Serving(self.context)
        if door is not None:
            keep_warm(self.context, door, loop)
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._questions = 0

    async def run(self) -> None:
        """Until told to stop, or until nobody is there to tell it."""
        self._loop.add_signal_handler(signal.SIGTERM, self._stop)
        await self._serving.start(*self._listeners)
        self._watch_line()
        self._line.send(lines.Ready())
        self._beat()
        await self._ended.wait()
        self._line.close()

    # The line.

    def _watch_line(self) -> None:
        self._loop.add_reader(self._line.fileno(), self._on_line)
        self._on_line()

    def _on_line(self) -> None:
        for message, descriptors in self._line.receive():
            self._on_message(message, descriptors)
        if self._line.closed:
            self._loop.remove_reader(self._line.fileno())
            self._line.close()
            if not self._ended.is_set():
                self._run(self._seek())

    def _on_message(self, message: lines.Words, descriptors: list[int]) -> None:
        if isinstance(message, lines.Engines):
            self.context.ports.clear()
            self.context.ports.update(message.ports)
            for told in self.context.on_ports:
                told()
        elif isinstance(message, lines.Adopt):
            for descriptor in descriptors:
                self._serving.adopt(socket.socket(fileno=descriptor))
        elif isinstance(message, lines.Looked):
            asked = self._asked.pop(message.number, None)
            if asked is not None and not asked.done():
                asked.set_result(message.report)
        elif isinstance(message, lines.Drain):
            self._drain(message.seconds)
        elif isinstance(message, lines.Stop):
            self._stop()
        else:
            raise TypeError(f"{type(message).__name__} for a worker")

    def _tell(self, message: Message) -> None:
        self._line.send(lines.Tell(to_msgpack(message)))

    def _broken(self, engine: str, instance: str, cause: str) -> None:
        self._line.send(lines.Broken(engine, instance, cause))

    async def _look(self, engine: str) -> EngineReport:
        """Have the lead look at an engine; TimeoutError where it does not answer."""
        self._questions += 1
        number = self._questions
        asked = self._asked[number] = self._loop.create_future()
        self._line.send(lines.Look(number, engine))
        try:
            async with asyncio.timeout(LOOKED_SECONDS):
                report = await asked
        finally:
            self._asked.pop(number, None)
        if not report:
            raise TimeoutError(f"{engine} is not watched")
        return msgspec.json.decode(report, type=EngineReport)

    def _beat(self) -> None:
        self._counters.set(self._seen, wall_ns())
        self._serving.renew_gauges()
        if self.context.door is not None:
            self.context.door.cache.renew_gauges()
        self._line.flush()
        if not self._line.waiting:
            self._line.send(lines.Alive())
        if not self._ended.is_set():
            self._loop.call_later(BEAT_SECONDS, self._beat)

    # The end.

    def _drain(self, seconds: float) -> None:
        if not self._drains:
            self._drains = True
            _LOGGER.info("worker drains")
            self._run(self._finish(self._serving.drain(seconds, lambda: self._line)))

    def _stop(self) -> None:
        if not self._stops:
            self._stops = True
            self._run(self._finish(self._serving.stop(STOP_SECONDS)))

    async def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        await work
        while self._listeners:
            self._listeners.pop().close()
        self._ended.set()

    # Without a lead.

    async def _seek(self) -> None:
        """Serve on, and look for the next lead."""
        _LOGGER.warning("the lead is gone: the worker serves on")
        end_seconds = self._loop.time() + ORPHAN_SECONDS
        while self._loop.time() < end_seconds and not self._ended.is_set():
            line = self._dial()
            if line is not None:
                self._line = line
                begin = self._begin
                drains = self._drains or self._stops or not self._listeners
                known = lines.Known(os.getpid(), begin.slot, begin.number, begin.generation, drains)
                line.send(known, [] if drains else [each.fileno() for each in self._listeners])
                self._watch_line()
                return
            if holder(Path(self._plan.directory, "lock")) is None:
                break  # the instance is gone
            await asyncio.sleep(LOOK_SECONDS)
        _LOGGER.warning("there is no other lead: the worker stops")
        self._stop()

    def _dial(self) -> Line | None:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        end.setblocking(False)
        with contextlib.suppress(OSError):
            end.connect(str(Path(self._plan.directory, MEETING)))
            return Line(end)
        end.close()
        return None

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
