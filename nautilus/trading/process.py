"""The core's process: native threads for kernel, journal and egress, and this one Python thread for the mesh.

The thread takes commands from the mesh, puts them into the core's ring, and answers each when the core has said what
came of it. Nothing else of Python runs here: HTTP, execution reports and market data are other processes.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq
from zmq.backend import zmq_poll

from nautilus.bus import Delivery, Mesh, MessageKind
from nautilus.core.affinity import Machine, choose_cores, prepare
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.core.eventlog import DELIVERY, LAST, EventLog, EventLogError
from nautilus.core.histogram import Histogram
from nautilus.core.kernel import KernelError
from nautilus.core.port import OWN, URGENT_SOURCE, Port, is_urgent
from nautilus.core.trading_core import TradingCore
from nautilus.core.types import CommandKind, EventKind, Reason
from nautilus.engines.trading.acknowledge import acknowledgement
from nautilus.model.codec import from_msgpack, to_msgpack
from nautilus.model.commands import CommandBatch, KillSwitch, TradingCommand
from nautilus.model.errors import BusError, ConfigError, InternalError, ModelError, NautilusError
from nautilus.model.ids import MAX_ID_32, check_id
from nautilus.model.message import Message
from nautilus.model.queries import MOST_ACCOUNTS, CorePosition, CoreState, GetCoreState, SourceState, SourceStatus
from nautilus.model.records import Records
from nautilus.trading.batch import batch_in_flight
from nautilus.trading.client import overtakes
from nautilus.trading.confirming import Supervised, wait_for_standby
from nautilus.trading.flight import Flight, InFlight, mark
from nautilus.trading.machine_meters import MachineMeters
from nautilus.trading.recovery import Recovered, recover
from nautilus.trading.settings import Settings, Setup, unknown_only
from nautilus.trading.traced import traced
from nautilus.trading.venue_watch import WATCH_SLOT, VenueWatch, Watched, has_open

_LOG = logging.getLogger("nautilus.trading")
SLOTS = (
    *("core", "trading", "marketdata", "client0", "client1", "client2", "client3"),
    *("venue0", "venue1", "venue2", WATCH_SLOT),
)
"""Who may be attached: this process's own mesh, two that follow every event, strategies or benches, venue sessions, and
who watches those."""
COUNTED = {
    "accepted": EventKind.ACCEPTED,
    "rejected": EventKind.REJECTED,
    "filled": EventKind.FILLED,
    "cancelled": EventKind.CANCELLED,
    "expired": EventKind.EXPIRED,
    "replaced": EventKind.REPLACED,
    "duplicates": EventKind.DUPLICATE,
}
COUNTED_UNTIL = "core.counted_sequence"
SINCE_START = ("busy", "journal_full", "not_ready", "pool_full", "waits", "log_waits", "cuts", "joins")
"""What a core counts from its own start; the instance's counters go on over restarts."""
EPOCHS = ("journal.epoch", "journal.degraded", "journal.fenced_by")
MIRROR_NS = 100_000_000
MOST_WAIT_MS = 50
SET_UP_NS = 1_000_000_000
AWAKE_NS = 200_000
"""After commands were handed over, the thread waits for the answers alone for so long before it looks elsewhere."""


def run_core(
    *,
    data: str,
    shared: str,
    settings: Settings,
    mesh: Mesh,
    control: Supervised,
    counters: Counters,
    latency: Histogram,
    clock: Callable[[], int],
    anchor: tuple[int, int, float],
    setup: Iterable[Setup],
    epoch: int,
    replica: str = "",
    venues: Mapping[int, Watched] | None = None,
    tend: Callable[[int], object] = bool,
    on_kill: Callable[[], object] = bool,
    slots: tuple[str, ...] = SLOTS,
) -> int:
    """Recover the core, run it until told to stop, end its journal; the exit code.

    `replica` names the counters of the process that hands the journal to a standby; `venues`: as `VenueWatch` has them;
    `tend` is called with the time, ten times a second, by the thread that has the mesh; `on_kill` once the kill switch
    of everything, which somebody has asked for by signal, is on its way.

    Raises
    ------
    NautilusError, JournalError, EventLogError, OSError
        It cannot be recovered or started.
    """
    started_ns = now_ns()
    machine = Machine(**{field: getattr(settings, field) for field in Machine._fields})
    cores, _ = choose_cores(machine.pin, os.sched_getaffinity(0))
    grants, hold = prepare(machine, cores)
    found = recover(
        data,
        policy=settings.acknowledge,
        open_orders=settings.open_orders,
        segment_bytes=settings.segment_mib << 20,
        confirm=partial(wait_for_standby, settings, control, replica) if settings.acknowledge == "replica" else None,
        huge_pages=settings.huge_pages,
    )
    for note in found.notes:
        _LOG.warning("recovery: %s", note)
    behind_ns = found.kernel.now_ns - clock()
    hashed = f"{found.hash:016x}"
    core = TradingCore(
        found.kernel,
        found.journal,
        found.log,
        shared,
        slots,
        capacity=settings.ring_capacity,
        epoch=epoch,
        clock=anchor,
        spin_us=settings.spin_us,
        latency=latency,
        machine=machine,
        acknowledge=settings.acknowledge,
        degrade=settings.without_standby == "degrade",
    )
    # Both lie in the kernel, which belongs to the core's threads once they run.
    commands = unknown_only(found.kernel, setup)
    _LOG.info(
        "core recovered: command %d, event %d, %d replayed, %d events logged, state hash %s, in %.1f ms",
        found.commands,
        found.kernel.last_event_sequence,
        found.replayed,
        found.logged,
        hashed,
        (now_ns() - started_ns) / 1e6,
    )
    process = CoreProcess(core, shared, mesh, control, counters, clock, settings.spin_us * 1000, venues, tend, on_kill)
    closing = has_open(found.kernel)
    core.start(ready=behind_ns <= 1_000_000_000 and not closing)
    try:
        process.meters.count(*grants, *core.grants)
        for grant in (*grants, *core.grants):
            _LOG.log(
                logging.INFO if grant.granted else logging.WARNING,
                "machine: %s %s: %s",
                grant.what,
                "granted" if grant.granted else "not granted",
                grant.found,
            )
        process.set_up(commands)
        if closing:
            process.watch.close_all()
            core.make_ready()
        if behind_ns > 1_000_000_000:
            _LOG.error(
                "core not ready: the clock is %.3f s behind the journal; new orders are refused until it has caught up",
                behind_ns / 1e9,
            )
            core.make_ready(False)
        _note_start(counters, found, hashed)
        code = process.run()
    finally:
        sound = core.stop()
        for trouble in core.troubles:
            _LOG.critical("core stopped: %s", trouble)
        process.mirror()
        if hold is not None:
            hold.close()
    return code if sound else code or 1


def _note_start(counters: Counters, found: Recovered, hashed: str) -> None:
    for name, value in (
        ("core.recovered_commands", found.commands),
        ("core.recovered_hash_high", int(hashed[:8], 16)),
        ("core.recovered_hash_low", int(hashed[8:], 16)),
    ):
        counters.set(counters.gauge(name), value)


class CoreProcess:
    """The mesh's thread of the core."""

    def __init__(
        self,
        core: TradingCore,
        shared: str,
        mesh: Mesh,
        control: Supervised,
        counters: Counters,
        clock: Callable[[], int],
        spin_ns: int = 0,
        venues: Mapping[int, Watched] | None = None,
        tend: Callable[[int], object] = bool,
        on_kill: Callable[[], object] = bool,
    ) -> None:
        self._tend = tend
        self._on_kill = on_kill
        self._core = core
        self.watch = VenueWatch(core, venues or {}, counters)
        self.meters = MachineMeters(core.kernel, counters)
        self._spin_ns = spin_ns
        self._port = Port(shared, SLOTS[0], OWN)
        self._mesh = mesh
        self._control = control
        self._counters = counters
        self._clock = clock
        self._out = np.zeros(1024, DELIVERY)
        self._fields = _fields_of(self._out)
        self._normal, self._urgent = Flight(), Flight()
        self._missed = False  # the feed was cut off; what it lacks has to be read from the log
        self._log = EventLog(core.log.path)
        self._followed = core.log.last_sequence  # every event of our commands up to here was looked at
        self._marks = 0
        self._mirrored_ns = 0
        self._before = _counted_before(counters, core)
        self._counts: dict[str, int] = {}
        self._since = {name: counters.get(counters.counter(f"core.{name}")) for name in SINCE_START}
        self._invalid = counters.counter("core.invalid")
        gauges = ("journal.last_sequence", "journal.durable_sequence", "orders.open", "orders.unknown", COUNTED_UNTIL)
        self._gauges = {name: counters.gauge(name) for name in (*gauges, *EPOCHS)}
        self._python_threads = counters.gauge("core.python_threads")
        # As every process has them (`nautilus.runtime.states`).
        self._ready, self._seen = counters.gauge("process.ready"), counters.gauge("process.seen_ns")
        self._refuses = ""

    def set_up(self, commands: Records) -> None:
        """Carry out the first commands; ConfigError where the core refuses one."""
        sent = self._port.send(commands)
        if sent < len(commands):
            raise InternalError(f"{len(commands)} commands to set up", expected=f"at most {self._port.capacity}")
        refused = []
        done = 0
        while done < sent:
            count = self._port.receive(self._out, SET_UP_NS)
            if not count:
                facts = self._core.facts()
                if facts["state"] == "failed":
                    raise InternalError("the core failed while it was set up", where=str(self._core.journal.path))
                if facts["acknowledge"] == "replica" and facts["replica"] != "current":
                    # What came of the rest shows with a standby, as everything else; until then orders are refused.
                    _LOG.error("no standby has the journal: the core starts, and takes no new orders before one has")
                    break
            records = self._out[:count]
            done += int(((records["flags"] & LAST) != 0).sum())
            refused += records[records["event"]["kind"] == EventKind.REJECTED].tolist()
        if refused:
            event = refused[0][0]
            raise ConfigError(
                f"set-up command of kind {CommandKind(refused[0][1]).name} was refused: {Reason(event[9]).name}",
                where=f"instrument {event[18]}, account {event[19]}",
                expected="instruments, accounts and limits that the core can open",
            )

    def run(self) -> int:
        """Until told to stop, or the core fails; the exit code."""
        # Whoever looks from now on is told how this core is, not that it has not said it yet, or how one before was.
        self._mirrored_ns = now_ns()
        self.mirror()
        self._control.ready({})
        items: list[Any] = []
        generation = -1
        bell, line = self._port.fileno(), self._control.fileno()
        while not self._control.stop_requested:
            if generation != self._mesh.generation:
                generation = self._mesh.generation
                items = [(item, zmq.POLLIN) for item in (*self._mesh.sockets(), *self._mesh.descriptors(), bell, line)]
            wait_ms = 0
            if not self._waiting() or self._port.arm():
                due_ms = (self._mesh.next_due_ns - now_ns()) // 1_000_000
                wait_ms = max(0, min(1 if self._missed else MOST_WAIT_MS, due_ms))
            ready = {item for item, _ in zmq_poll(items, wait_ms)}
            if bell in ready:
                self._port.disarm()
            self._take(traced(self._mesh.receive(ready=ready), self._log))
            if self._waiting():
                self._complete(AWAKE_NS)
            if line in ready and "kill" in self._control.poll():
                self._kill()
            wall_ns = now_ns()
            self._mesh.tick(wall_ns)
            if wall_ns - self._mirrored_ns > MIRROR_NS:
                self._mirrored_ns = wall_ns
                self._tend(wall_ns)
                self.watch.look()
                self.meters.show()
                self.mirror()
                if self._core.facts()["state"] == "failed":
                    return 1
        self._complete(0)
        return 0

    def _kill(self) -> None:
        """Set the kill switch of everything."""
        _LOG.warning("kill switch of everything, by signal")
        command = KillSwitch()
        item = InFlight(None, command, command.to_row(0), 0, 0, command.kind)
        (self._urgent if is_urgent(0, 0, command.kind) else self._normal).send(self._port, [item])
        self._on_kill()

    def mirror(self) -> None:
        """Bring the shared counters up to date with the core's own."""
        facts, counters = self._core.facts(), self._counters
        if not self._waiting():
            self._followed = max(self._followed, facts["delivered_sequence"])
        for name in COUNTED:
            self._raise(f"orders.{name}", facts[name] + self._before[name])
        counters.set(self._gauges[COUNTED_UNTIL], facts["delivered_sequence"])
        for name in ("commands", "events"):
            self._raise(f"core.{name}", facts[name])
        for name, before in self._since.items():
            self._raise(f"core.{name}", facts[name] + before)
        counters.set(self._gauges["journal.last_sequence"], facts["written_sequence"])
        counters.set(self._gauges["journal.durable_sequence"], facts["durable_sequence"])
        counters.set(self._gauges["orders.open"], facts["open"])
        counters.set(self._gauges["journal.epoch"], facts["journal_epoch"])
        counters.set(self._gauges["journal.degraded"], facts["degraded"])
        counters.set(self._gauges["journal.fenced_by"], facts["fenced_by"])
        counters.set(self._gauges["orders.unknown"], facts["unknown"])
        counters.set(self._python_threads, len(sys._current_frames()))
        counters.set(self._ready, not facts["refuses"])
        counters.set(self._seen, self._mirrored_ns)
        if facts["refuses"] != self._refuses and facts["state"] in ("ready", "not ready"):
            self._refuses = facts["refuses"]
            if self._refuses:
                _LOG.error("new orders are refused: %s", self._refuses)
            else:
                _LOG.info("new orders are taken again")

    def _raise(self, name: str, value: int) -> None:
        """Let a counter grow up to a value."""
        counters = self._counters
        index = self._counts.get(name)
        if index is None:
            index = self._counts[name] = counters.counter(name)
        counters.add(index, max(0, value - counters.get(index)))

    def _waiting(self) -> bool:
        return bool(self._normal or self._urgent)

    def _take(self, deliveries: Sequence[Delivery]) -> None:
        normal: list[InFlight] = []
        urgent: list[InFlight] = []
        for delivery in deliveries:
            if delivery.kind not in (MessageKind.COMMAND, MessageKind.REQUEST):
                self._mesh.done(delivery)
                continue
            try:
                message = from_msgpack(delivery.payload)
                if isinstance(message, TradingCommand):
                    item = _in_flight(delivery, message)
                    (urgent if is_urgent(item.source_id, item.number, item.kind) else normal).append(item)
                    continue
                if isinstance(message, CommandBatch):
                    normal += batch_in_flight(delivery, message)
                    continue
                reply = to_msgpack(self._answer(message))
            except Exception as error:
                self._fail(delivery, error)
            else:
                self._mesh.done(delivery, reply)
        for flight, new in ((self._urgent, urgent), (self._normal, normal)):
            if new or flight.held:
                for item in flight.send(self._port, new):
                    self._reply(item, EventKind.REJECTED, Reason.BUSY, 0, self._clock())

    def _fail(self, delivery: Delivery, error: Exception) -> None:
        """Answer what cannot be carried out. Nothing that comes over the mesh may end the core: it would come again."""
        self._counters.increment(self._invalid)
        if not isinstance(error, NautilusError):
            _LOG.error("message %d of %s failed", delivery.id, delivery.sender, exc_info=error)
            error = InternalError("an unforeseen error; the log of the core has it", where="core")
        self._mesh.done(delivery, error=error)

    def _complete(self, wait_ns: int) -> None:
        """Answer for what the core has done, waiting a little for the first."""
        while self._waiting():
            if self._missed and not self._catch_up():
                return
            count = self._port.receive(self._out, wait_ns, self._spin_ns)
            if not count:
                if self._port.cut:
                    self._port.join()
                    self._missed = True
                    self._give_up(unnumbered=True)
                return
            self._answer_for(self._fields, count)

    def _catch_up(self) -> bool:
        """Answer for what was done while this port was cut off, from the log; False where that is not known yet."""
        joined = self._port.joined
        if joined is None:
            return False
        self._missed = False
        slot = SLOTS.index(self._port.name)
        try:
            while self._followed < joined - 1:
                records = self._log.read(self._followed + 1, min(65_536, joined - 1 - self._followed))
                if not len(records):
                    raise EventLogError(
                        f"{self._log.path}: no event {self._followed + 1}; expected all that were shown"
                    )
                own = np.ascontiguousarray(records[records["slot"] == slot])
                self._answer_for(_fields_of(own), len(own))
                self._followed = int(records["event"]["sequence"][-1])
        except EventLogError as error:
            _LOG.error("answers that were missed cannot be read: %s", error)
            self._followed = joined - 1
            self._give_up()
        # Refusals are in no log: what is in front of this and has no answer when this has one, was refused.
        self._marks += 1
        self._normal.send(self._port, (mark(self._marks),))
        return True

    def _give_up(self, *, unnumbered: bool = False) -> None:
        """Say of what is under way that its fate is not known; only of new orders without a number, where asked."""
        for flight in (self._urgent, self._normal):
            for item in flight.give_up(unnumbered=unnumbered):
                self._done(item, error=BusError("what became of it is not known here", expected="a report to say so"))

    def _answer_for(self, fields: tuple[Records, ...], count: int) -> None:
        answered_ns = self._clock()
        # A list at once costs a fifth of a number at a time.
        flags, kinds, outcomes, reasons, sources, numbers, sequences = (field[:count].tolist() for field in fields)
        self._followed = max(self._followed, max(sequences, default=0))
        for place, flag in enumerate(flags):
            if not flag & LAST:
                continue
            source_id, number, kind = sources[place], numbers[place], kinds[place]
            flight = self._urgent if is_urgent(source_id, number, kind) else self._normal
            items = flight.answered(source_id, number, kind)
            for item in items[:-1]:
                self._reply(item, EventKind.REJECTED, Reason.BUSY, 0, answered_ns)
            if items:
                self._reply(items[-1], outcomes[place], reasons[place], sequences[place], answered_ns)

    def _reply(self, item: InFlight, outcome: int, reason: int, sequence: int, now_ns: int) -> None:
        if item.batch is not None:
            if item.batch.note(item.place, outcome, reason, sequence):
                self._done(item, item.batch.reply(now_ns))
        elif item.command is not None and item.delivery is not None and item.delivery.kind is not MessageKind.COMMAND:
            self._done(item, to_msgpack(acknowledgement(item.command, outcome, reason, sequence, now_ns)))
        else:
            self._done(item)

    def _done(self, item: InFlight, reply: bytes | None = None, error: NautilusError | None = None) -> None:
        if item.batch is not None:
            if item.batch.closed:
                return
            item.batch.closed = True
        if item.delivery is not None:
            self._mesh.done(item.delivery, reply, error=error)

    def _answer(self, message: Message) -> Message:
        if isinstance(message, SourceStatus):
            _check_source(message.source_id)
            urgent = self._core.source_sequence(message.source_id | URGENT_SOURCE)
            return SourceState(message.source_id, max(urgent, self._core.source_sequence(message.source_id)))
        if isinstance(message, GetCoreState):
            return self._state(message)
        raise ModelError(
            f"request {type(message).__name__}", where="core", expected="a trading command, SourceStatus, GetCoreState"
        )

    def _state(self, message: GetCoreState) -> CoreState:
        accounts = dict.fromkeys(message.accounts)
        # The core stands still for each of them.
        if len(accounts) > MOST_ACCOUNTS:
            raise ModelError(f"{len(accounts)} accounts", where="core state", expected=f"at most {MOST_ACCOUNTS}")
        for account_id in accounts:
            check_id(account_id, "account", MAX_ID_32, "core state")
        positions = []
        with self._core.held() as kernel:
            for account_id in accounts:
                try:
                    rows = kernel.positions(account_id)
                except KernelError:
                    continue  # an account that was never opened holds nothing
                positions += [
                    CorePosition(
                        account_id,
                        int(row["instrument_id"]),
                        int(row["quantity"]),
                        str(int(row["cost"])),
                        str(int(row["realised"])),
                        str(int(row["fees"])),
                    )
                    for row in rows
                ]
            hashes = (kernel.state_hash(), kernel.event_hash(), kernel.journal_hash()) if message.hashes else ()
            texts = [f"{value:016x}" for value in hashes] or ["", "", ""]
            return CoreState(
                kernel.last_sequence,
                kernel.last_event_sequence,
                kernel.open_orders,
                tuple(positions),
                *texts,
            )


def _counted_before(counters: Counters, core: TradingCore) -> dict[str, int]:
    """Events of each kind that cores of this instance showed before: as far as they were counted, then from the log."""
    known = counters.snapshot()
    counted = known.get(COUNTED_UNTIL, core.log.last_sequence)
    found = {name: known.get(f"orders.{name}", 0) for name in COUNTED}
    log = EventLog(core.log.path)
    while len(records := log.read(counted + 1, 65_536)):
        counts = np.bincount(records["event"]["kind"], minlength=256)
        for name, kind in COUNTED.items():
            found[name] += int(counts[kind])
        counted += len(records)
    return found


def event_log(data: str) -> str:
    """Directory of the event log."""
    return str(Path(data, "events"))


def _fields_of(records: Records) -> tuple[Records, ...]:
    """Views of the fields that an answer is made of: a record as a whole costs ten times as much."""
    event = records["event"]
    names = ("kind", "reason", "source_id", "source_sequence", "sequence")
    return records["flags"], records["kind"], *(event[name] for name in names)


def _in_flight(delivery: Delivery, command: TradingCommand) -> InFlight:
    """A command as the core gets it."""
    _check_source(command.source_id)
    given = command
    if overtakes(command.kind) and command.source_sequence:
        # What it overtakes must not be taken for a repeat.
        given = msgspec.structs.replace(command, source_id=command.source_id | URGENT_SOURCE)
    return InFlight(delivery, command, given.to_row(0), given.source_id, given.source_sequence, command.kind)


def _check_source(source_id: int) -> None:
    if not 0 <= source_id < URGENT_SOURCE:
        raise ModelError(f"source_id {source_id}", where="core", expected=f"0 to {URGENT_SOURCE - 1}")
