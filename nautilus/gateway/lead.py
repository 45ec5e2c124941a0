"""What the lead does for its workers: listening sockets, births and deaths, the way of connections between them.

::

    clients ══▶ listening sockets of each slot, held here ═▶ worker of the slot
                                                              │  ▲
    supervisor ──▶ lead ◀── a line to each worker ────────────┘  │ idle connections of the worker
                                                                 │ that was in its place
A worker that is to go is followed before it goes: the new one has the same listening sockets (the plain one, and that
for TLS), and only once it answers the old one is told to drain. So nothing that waits to be accepted is ever lost, also
where a worker is killed.

Workers outlive their lead. They look for the next one at its socket in the instance's directory and give it their
listening sockets; it puts workers of its own in their places.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from nautilus.core.counters import Counters
from nautilus.core.region import start_of
from nautilus.gateway import lines
from nautilus.gateway.config import GatewayConfig
from nautilus.gateway.endpoints import other_instances
from nautilus.gateway.lines import MOST_DESCRIPTORS, Line
from nautilus.gateway.nest import Born, Nest
from nautilus.gateway.parts import routes_of
from nautilus.gateway.table import MEETING, WorkerLine, WorkerState, WorkerTable, name_of, read_table, write_table
from nautilus.gateway.watching import HealthThread, LookResult
from nautilus.model.codec import from_msgpack
from nautilus.model.gateway import BreakerChanged, InstanceHealthChanged
from nautilus.model.message import Message
from nautilus.policy.breaker import BreakerRegistry
from nautilus.runtime.access_settings import AccessConfig
from nautilus.runtime.child import Backoff
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns, pause, wall_ns
from nautilus.runtime.files import holder
from nautilus.runtime.http.sockets import bind_socket
from nautilus.runtime.instance import Instance, NotRunningError
from nautilus.runtime.live import LiveHost
from nautilus.runtime.status import read_state

ENGINE = "gateway"
LOOK_NS = 100_000_000
MEET_LOOKS = 20
"""Looks, a tenth of a second each, within which the workers of an earlier lead come forward; then they are killed."""
STOP_NS = 2 * NANOSECONDS
"""Workers that have not stopped by then are killed."""

_LOGGER = logging.getLogger("nautilus.gateway")


class Worker:
    """A worker as its lead sees it.

    Attributes
    ----------
    missed : how often the lead looked since it gave a sign of life.
    mute : its line has closed.
    born_ns : when it was begun, by `monotonic_ns`.
    """

    def __init__(self, line: Line, slot: int, number: int, generation: int, pid: int = 0) -> None:
        self.line = line
        self.slot = slot
        self.number = number
        self.generation = generation
        self.pid = pid
        self.start = start_of(pid) if pid else 0
        self.state: WorkerState = "starting"
        self.missed = 0
        self.mute = False
        self.born_ns = monotonic_ns()

    @property
    def runs(self) -> bool:
        """Its process is there, or about to be."""
        return not self.pid or start_of(self.pid) == self.start

    @property
    def name(self) -> str:
        """Of its process."""
        return name_of(self.number)

    @property
    def leaves(self) -> bool:
        """It is on its way out."""
        return self.state in ("draining", "stopping")

    def as_line(self) -> WorkerLine:
        """For the table."""
        return WorkerLine(self.slot, self.number, self.generation, self.pid, self.start, self.state)

    def kill(self) -> None:
        """End it at once."""
        if self.pid and self.runs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class Lead:
    """A part of the gateway's host (`nautilus.runtime.live.Part`).

    Parameters
    ----------
    host
        Of the gateway's engine.
    nest
        That forks workers.
    breakers
        Before the engines: what they do is told on the bus.

    Attributes
    ----------
    port : at which the gateway answers.
    """

    def __init__(self, host: LiveHost, nest: Nest, breakers: BreakerRegistry) -> None:
        self._host = host
        self._breakers = breakers
        self._plan = host.plan
        self._nest = nest
        self._config = self._plan.config("gateway", GatewayConfig)
        self._listeners: dict[int, list[socket.socket]] = {}
        self._tls = self._plan.config("access", AccessConfig).tls
        self._workers: list[Worker] = []
        self._unborn: dict[str, Worker] = {}
        self._due: dict[int, int] = {}
        self._backoffs = [Backoff() for _ in range(self._config.workers)]
        self._begun = False
        self._was_ready = False
        self._stopping = False
        before = read_table(self._plan.directory)
        self._awaited = {line.pid: line for line in before.workers if line.alive}
        self._awaited_looks = MEET_LOOKS
        self._generation = before.generation
        self._written: WorkerTable | None = None
        self._ports: dict[str, int] = {}
        self._state_seen = 0
        self.port = before.port
        counters = host.counters
        self._started = counters.counter("gateway.workers_started")
        self._lost = counters.counter("gateway.workers_lost")
        self._silent = counters.counter("gateway.workers_silent")
        self._handed = counters.counter("gateway.connections_handed")
        self._dropped = counters.counter("gateway.connections_dropped")
        self._running = counters.gauge("gateway.workers")
        self._health = HealthThread(
            (engine for spec in self._plan.processes for engine in spec.engines if engine != ENGINE),
            self._plan.plain_host,
            partial(routes_of, self._plan),
            counters,
            self._plan.shared,
            self._config.health_interval_seconds,
            self._config.health,
            other_instances(self._config),
        )
        self._asked: dict[int, tuple[Worker, int]] = {}
        self._looks = 0
        self._meeting = _listen_for_workers(Path(self._plan.directory, MEETING))
        host.outlook.also.append(self._warnings)

    # As a part of the host.

    def start(self) -> None:
        """Begin the workers; where those of an earlier lead still run, they are heard of first."""
        self._host.add_source(self._nest.fileno(), self._on_nest)
        self._host.add_source(self._meeting.fileno(), self._on_meeting)
        self._host.add_source(self._health.fileno(), self._on_health)
        self._health.start()
        if not self._awaited:
            self._begin_all()
        self._look()

    @property
    def ready(self) -> bool:
        """Requests are answered: at first by every worker, later by any."""
        answering = {worker.slot for worker in self._workers if worker.state == "ready"}
        self._was_ready = self._was_ready or len(answering) == self._config.workers
        return self._was_ready and bool(answering)

    @property
    def refuses(self) -> str:
        """It takes whatever comes."""
        return ""

    def open(self) -> None:
        """Requests are answered before too."""

    def drain(self) -> None:
        """Tell the workers to stop."""
        self._stopping = True
        self._due.clear()
        for worker in self._workers:
            worker.state = "stopping"
            worker.line.send(lines.Stop())
        self._write()

    def stop(self) -> None:
        """Wait until the workers have stopped; kill those that do not."""
        if not self._stopping:
            self.drain()
        end_ns = monotonic_ns() + STOP_NS
        while self._workers and monotonic_ns() < end_ns:
            self._on_nest()
            for worker in list(self._workers):
                self._on_line(worker)
                if not worker.runs:
                    self._gone(worker, "it has stopped")
            pause(0.005)
        for worker in self._workers:
            _LOGGER.error("worker %s does not stop and is killed", worker.name)
            worker.kill()

    def close(self) -> None:
        """Let go of everything; workers that run look for the next lead."""
        self._health.close()
        for worker in self._workers:
            worker.line.close()
        for slot in list(self._listeners):
            self._let_go(slot)
        self._meeting.close()

    # Orders.

    def renew(self) -> None:
        """Put a new worker in the place of each; nothing is dropped."""
        if not self._stopping and not self._awaited:
            _LOGGER.info("workers are replaced")
            for slot in range(self._config.workers):
                self._hatch(slot)

    # Births and deaths.

    def _begin_all(self) -> None:
        """A worker for every slot, with the listening sockets that an earlier one had, or new ones."""
        self._begun = True
        missing = [slot for slot in range(self._config.workers) if slot not in self._listeners]
        port = self._plan.port(ENGINE) or self.port
        if missing:
            if not self._listeners:
                with bind_socket(self._plan.plain_host, port, ENGINE) as alone:  # it tells who else has the port
                    port = alone.getsockname()[1]
            else:
                port = next(iter(self._listeners.values()))[0].getsockname()[1]
            for slot in missing:
                self._listeners[slot] = [bind_socket(self._plan.plain_host, port, ENGINE, shared=True)]
                if self._tls:
                    self._listeners[slot].append(bind_socket(self._plan.bind, port, ENGINE, shared=True))
        self.port = next(iter(self._listeners.values()))[0].getsockname()[1]
        for slot in list(self._listeners):
            if slot >= self._config.workers:  # there were more of them
                self._let_go(slot)
        for slot in range(self._config.workers):
            self._hatch(slot)

    def _let_go(self, slot: int) -> None:
        for listener in self._listeners.pop(slot):
            listener.close()

    def _hatch(self, slot: int) -> None:
        taken = {worker.number for worker in self._workers}
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        self._generation += 1
        line, other = Line.pair()
        worker = Worker(line, slot, number, self._generation)
        with other:
            self._nest.hatch(worker.name, other)
        self._unborn[worker.name] = worker
        self._add(worker)
        listeners = [each.fileno() for each in self._listeners[slot]]
        line.send(lines.Begin(self._plan.encode(), slot, number, worker.generation), listeners)
        line.send(lines.Engines(self._ports))
        self._host.counters.increment(self._started)

    def _add(self, worker: Worker) -> None:
        self._workers.append(worker)
        self._host.add_source(worker.line.fileno(), partial(self._on_line, worker))

    def _on_nest(self) -> None:
        for word in self._nest.receive():
            if isinstance(word, Born):
                worker = self._unborn.pop(word.name, None)
                if worker is not None:
                    worker.pid, worker.start = word.pid, start_of(word.pid)
            else:
                worker = next((each for each in self._workers if each.pid == word.pid), None)
                if worker is not None:
                    self._ended(worker, word.how)
        self._write()

    def _ended(self, worker: Worker, how: str) -> None:
        """Its last words may not have been read: connections that it gave away just before it ended."""
        self._on_line(worker)
        self._gone(worker, how)

    def _gone(self, worker: Worker, how: str) -> None:
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        if not worker.mute:
            self._host.remove_source(worker.line.fileno())
        worker.line.close()
        self._health.sweep()
        self._breakers.table.sweep()
        _clear_gauges(self._plan.counters_of(worker.name))
        if worker.leaves or self._stopping:
            _LOGGER.info("worker %s has ended: %s", worker.name, how)
        else:
            self._host.counters.increment(self._lost)
            delay_ns = self._backoffs[worker.slot].next_ns(monotonic_ns() - worker.born_ns)
            _LOGGER.error("worker %s has ended: %s; another one follows in %d ms", worker.name, how, delay_ns // 10**6)
            self._due[worker.slot] = monotonic_ns() + delay_ns
            if delay_ns == 0:
                self._begin_due()
        self._write()

    def _begin_due(self) -> None:
        now_ns = monotonic_ns()
        for slot, due_ns in list(self._due.items()):
            if now_ns >= due_ns:
                del self._due[slot]
                if not any(worker.slot == slot and not worker.leaves for worker in self._workers):
                    self._hatch(slot)

    # What workers say.

    def _on_line(self, worker: Worker) -> None:
        for message, descriptors in worker.line.receive():
            self._on_message(worker, message, descriptors)
        if worker.line.closed and not worker.mute:
            worker.mute = True  # it is about to end; where it does not, its silence tells
            self._host.remove_source(worker.line.fileno())

    def _on_message(self, worker: Worker, message: lines.Words, descriptors: list[int]) -> None:
        worker.missed = 0
        if isinstance(message, lines.Handed):
            self._pass_on(worker, descriptors)
        elif isinstance(message, lines.Ready):
            self._on_ready(worker)
        elif isinstance(message, lines.Tell):
            self._tell_engine(from_msgpack(message.message))
        elif isinstance(message, lines.Broken):
            _LOGGER.debug("a connection to %s at %s broke: %s", message.engine, message.instance, message.cause)
            self._health.broken(message.engine, message.instance, message.cause)
        elif isinstance(message, lines.Look):
            self._looks += 1
            self._asked[self._looks] = worker, message.number
            self._health.look(self._looks, message.engine)
        else:
            assert isinstance(message, lines.Alive | lines.Known)
            _close(descriptors)

    def _tell_engine(self, message: Message) -> None:
        context = self._host.contexts[ENGINE]
        self._host.call(context, context.engine.on_command, message)
        self._host.messages.drain()

    def _on_ready(self, worker: Worker) -> None:
        if worker.state == "starting":
            worker.state = "ready"
            took_ms = (monotonic_ns() - worker.born_ns) // 1_000_000
            _LOGGER.info("worker %s answers (pid %d, after %d ms)", worker.name, worker.pid, took_ms)
            here = [other for other in self._workers if other.slot == worker.slot and other.state == "ready"]
            newest = max(other.generation for other in here)  # which may have been ready before this one
            for other in here:
                if other.generation < newest:
                    other.state = "draining"
                    other.line.send(lines.Drain(self._config.drain_seconds))
            self._write()

    def _pass_on(self, worker: Worker, descriptors: list[int]) -> None:
        """Connections of one that drains go to the one in its place."""
        taker = max(
            (each for each in self._workers if each.state == "ready"),
            key=lambda each: (each.slot == worker.slot, each.generation),
            default=None,
        )
        counters = self._host.counters
        if taker is None:
            counters.add(self._dropped, len(descriptors))
        else:
            counters.add(self._handed, len(descriptors))
            for some in _chunks(descriptors, MOST_DESCRIPTORS):
                taker.line.send(lines.Adopt(), some)
        _close(descriptors)

    # What the health monitor says.

    def _on_health(self) -> None:
        engine = self._host.contexts[ENGINE]
        for found in self._health.take():
            if isinstance(found, LookResult):
                worker, number = self._asked.pop(found.number)
                report = b"" if found.report is None else msgspec.json.encode(found.report)
                worker.line.send(lines.Looked(number, report))
            else:
                now_ns = self._host.clock()
                changed = InstanceHealthChanged(
                    now_ns, found.engine, found.instance, found.before, found.after, found.cause
                )
                self._host.call(engine, engine.engine.on_command, changed)
        self._host.messages.drain()

    # Workers of an earlier lead.

    def _on_meeting(self) -> None:
        while True:
            try:
                end, _ = self._meeting.accept()
            except BlockingIOError:
                return
            line = Line(end)
            self._host.add_source(line.fileno(), partial(self._on_stranger, line))

    def _on_stranger(self, line: Line) -> None:
        """The first word on a line of one that has come by itself."""
        words = line.receive()
        if not words and not line.closed:
            return
        self._host.remove_source(line.fileno())
        known = words[0][0] if words else None
        if not isinstance(known, lines.Known):
            line.close()
            return
        worker = Worker(line, known.slot, known.number, known.generation, known.pid)
        worker.state = "draining" if known.drains else "ready"
        self._generation = max(self._generation, known.generation)
        if known.slot in self._listeners or not words[0][1]:
            _close(words[0][1])
        else:
            self._listeners[known.slot] = [socket.socket(fileno=each) for each in words[0][1]]
        _LOGGER.info("worker %s of the lead before has come (pid %d)", worker.name, worker.pid)
        self._add(worker)
        self._awaited.pop(worker.pid, None)
        if self._stopping:
            worker.line.send(lines.Stop())
        elif not self._begun:
            if not self._awaited:  # else it serves on: there is nobody yet who could take its place
                self._begin_all()
        elif worker.slot in self._listeners and not worker.leaves:
            worker.state = "draining"
            worker.line.send(lines.Drain(self._config.drain_seconds))
        for message, descriptors in words[1:]:
            self._on_message(worker, message, descriptors)

    def _await_known(self) -> None:
        """Those that do not come forward hang, or are no workers any more."""
        self._awaited_looks -= 1
        for pid, line in list(self._awaited.items()):
            if not line.alive:
                del self._awaited[pid]
            elif self._awaited_looks <= 0:
                _LOGGER.error(
                    "worker %s of the lead before says nothing and is killed (pid %d)", name_of(line.number), pid
                )
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if not self._awaited:
            self._begin_all()

    # Now and then.

    def _look(self) -> None:
        if self._host.ended:
            return
        if self._awaited:
            self._await_known()
        self._begin_due()
        limit = max(int(self._config.silence_seconds * NANOSECONDS) // LOOK_NS, 1)
        for worker in list(self._workers):
            worker.missed += 1
            worker.line.flush()
            if not worker.runs:
                self._ended(worker, "it is not there any more")  # one of the lead before: the nest knows nothing of it
            elif worker.missed > limit and worker.pid:
                _LOGGER.error("worker %s gives no sign of life and is killed", worker.name)
                self._host.counters.increment(self._silent)
                worker.kill()
        self._tell_ports()
        for name, change in self._breakers.poll():
            self._tell_engine(BreakerChanged(wall_ns(), name, change.before, change.after, change.cause))
        self._host.counters.set(self._running, sum(worker.state == "ready" for worker in self._workers))
        self._host.later(LOOK_NS, self._look)

    def _tell_ports(self) -> None:
        """Tell the workers where the engines are, where that has changed."""
        seen = _changed_ns(self._plan.directory)
        if seen == self._state_seen:
            return
        self._state_seen = seen
        ports = _ports_of(self._host)
        if ports != self._ports:
            self._ports = ports
            self._health.set_ports(ports)
            for worker in self._workers:
                worker.line.send(lines.Engines(ports))

    def _warnings(self) -> Iterator[str]:
        for slot in range(self._config.workers):
            if self._was_ready and not any(each.slot == slot and each.state == "ready" for each in self._workers):
                yield f"worker {slot + 1} of the gateway is being started again"

    def _write(self) -> None:
        shown = sorted((worker.as_line() for worker in self._workers if worker.pid), key=_by_slot)
        table = WorkerTable(os.getpid(), self.port, self._generation, tuple(shown))
        if table != self._written:
            with contextlib.suppress(OSError):  # a full disk: what is there serves on
                write_table(self._plan, table)
                self._written = table


def _by_slot(line: WorkerLine) -> tuple[int, int]:
    return line.slot, line.generation


def _listen_for_workers(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    meeting = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    meeting.setblocking(False)
    meeting.bind(str(path))
    path.chmod(0o600)
    meeting.listen(128)
    return meeting


def _changed_ns(directory: str) -> int:
    """When the supervisor, or who stands in for it, last wrote how a process is."""
    newest = 0
    for path in (Path(directory, "state.json"), *Path(directory).glob("*.state.json")):
        with contextlib.suppress(OSError):
            newest = max(newest, path.stat().st_mtime_ns)
    return newest


def _ports_of(host: LiveHost) -> dict[str, int]:
    plan = host.plan
    pid = holder(Path(plan.directory, "lock")) or 0
    instance = Instance(plan.instance, Path(plan.directory), Path(plan.shared), Path(plan.data), pid)
    try:
        processes = read_state(instance, plan).processes
    except (OSError, NotRunningError):
        return {}
    return {engine: port for process in processes if process.pid for engine, port in process.ports.items()}


def _clear_gauges(path: str) -> None:
    """What a worker that is gone had open, it has no more."""
    with contextlib.suppress(OSError, ValueError):
        counters = Counters(path=path)
        for name in counters.gauges():
            counters.set(counters.gauge(name), 0)


def _chunks(items: list[int], size: int) -> Iterable[list[int]]:
    return (items[at : at + size] for at in range(0, len(items), size))


def _close(descriptors: Iterable[int]) -> None:
    for each in descriptors:
        os.close(each)
