"""The standby: a copy of another machine's journal, kernel and event log, ready to become the core.

    core's replica process --commands--> own journal --> acknowledged --> own kernel --> own event log

What has been acknowledged lies in this journal, as safe as `replica.acknowledge` says. Promotion ends the stream, tells
the core that it is fenced, ends the journal cleanly and notes the next higher epoch; then the core starts here as it
would after any stop. It is never promoted by itself: a person or a lock service says so.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import zmq

from nautilus.bus.keys import Keys
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.core.eventlog import EventLogWriter, deliveries
from nautilus.core.journal import Journal
from nautilus.core.journal_base import segment_heads
from nautilus.core.journal_reader import JournalReader
from nautilus.core.kernel import Kernel
from nautilus.core.snapshot_file import write_snapshot
from nautilus.core.types import LAYOUT_VERSION, RULES_VERSION
from nautilus.model.errors import InternalError, NautilusError
from nautilus.trading.epochs import Epoch, read_epoch, write_epoch
from nautilus.trading.recovery import ReplayDiffersError, recover
from nautilus.trading.shipper import Supervised
from nautilus.trading.stream import (
    BEAT_NS,
    LAST,
    ROLE_STANDBY,
    SILENCE_NS,
    Frame,
    Hello,
    Kind,
    Line,
    Refusal,
    StreamError,
    Welcome,
    decode,
    dial,
    unpack_commands,
)

_LOG = logging.getLogger("nautilus.trading")
MOST_WAIT_MS = 20
MOST_FRAMES = 32
"""Taken before the first of them is carried out: they are acknowledged together."""
RETRY_NS = 200_000_000
SETTLE_NS = 500_000_000
"""How long a promotion waits for the core to say that it is fenced; it is none in any case."""
HASHES = ("xxh64", "xxh3")
"""Kinds of journals that it can keep."""
WAITED_FOR = ("taken", "empty", "snapshot")
"""Reasons of a refusal that pass."""


class Promoted(msgspec.Struct, frozen=True):
    """What became of a promotion.

    Parameters
    ----------
    epoch
        Of the core that starts now.
    last_sequence, last_event_sequence
        Where its journal and its event log end.
    state_hash
        Of its kernel.
    fenced
        Whether the core before has confirmed that it is none any more.
    behind
        Commands that the core before had written, as far as was known, and this one does not have.
    """

    epoch: int
    last_sequence: int
    last_event_sequence: int
    state_hash: str
    fenced: bool
    behind: int


class Settings(NamedTuple):
    """What a standby is made with."""

    address: str
    acknowledge: str
    segment_bytes: int
    open_orders: int
    server_key: str = ""


class _Copy:
    """Journal, kernel and event log of the standby, at one place."""

    def __init__(self, data: str, settings: Settings) -> None:
        self._data, self._settings = data, settings
        self._policy: Any = "disk" if settings.acknowledge == "disk" else "memory"
        self.path = Path(data, "journal")
        self.kernel: Kernel | None = None
        self.journal: Journal | None = None
        self.log: EventLogWriter | None = None
        self.last_command = b""
        if any(self.path.glob("*.journal")):
            self._recover()

    @property
    def last_sequence(self) -> int:
        return self.journal.last_sequence if self.journal is not None else 0

    @property
    def epoch(self) -> int:
        return self.journal.epoch if self.journal is not None else 0

    def _recover(self) -> None:
        found = recover(
            self._data,
            policy=self._settings.acknowledge,
            open_orders=self._settings.open_orders,
            segment_bytes=self._settings.segment_bytes,
            standby=True,
        )
        for note in found.notes:
            _LOG.warning("recovery: %s", note)
        self.kernel, self.journal, self.log = found.kernel, found.journal, found.log
        self.last_command = b""
        if found.commands:
            # A journal that begins behind a snapshot may have none of its own yet.
            heads = segment_heads(self.path)
            if heads and heads[0].first_sequence <= found.commands:
                for item in JournalReader(self.path, start=found.commands, batch=1):
                    if isinstance(item, np.ndarray):
                        self.last_command = item.tobytes()

    def begin(self, welcome: Welcome, epoch: int, snapshot: bytes) -> None:
        """Begin anew; what there was before is set aside, never deleted."""
        self.close()
        for name in ("journal", "events"):
            _set_aside(Path(self._data, name))
        self.path.mkdir(mode=0o700, parents=True)
        self.kernel = Kernel(
            accounts=(),
            capacity=welcome.capacity,
            closed_capacity=welcome.closed_capacity,
            huge_pages=False,
            hashes=welcome.hashes,
        )
        if snapshot:
            self.kernel.restore(snapshot)
            if self.kernel.hashes != welcome.hashes:
                raise InternalError(
                    f"snapshot with {self.kernel.hashes} hashes", where="standby", expected=f"{welcome.hashes}, as sent"
                )
            if self.kernel.last_sequence != welcome.first - 1:
                raise InternalError(
                    f"snapshot of command {self.kernel.last_sequence}", where="standby", expected=str(welcome.first - 1)
                )
            write_snapshot(self.path, self.kernel.last_sequence, snapshot)
        self.log = EventLogWriter(
            Path(self._data, "events"),
            file_bytes=self._settings.segment_bytes,
            policy=self._policy,
            first=self.kernel.last_event_sequence + 1,
        )
        self._open(epoch, welcome.first, welcome)

    def go_on(self, welcome: Welcome, epoch: int) -> None:
        """Go on behind what there is."""
        if self.journal is None:
            self.begin(welcome, epoch, b"")
        elif self.journal.hashes != welcome.hashes:
            raise InternalError(
                f"journal with {self.journal.hashes} hashes",
                where=str(self.path),
                expected=f"{welcome.hashes}, as the core's; set this journal aside",
            )
        elif self.journal.epoch != epoch:
            self.journal.close()
            self._open(epoch)

    def _open(self, epoch: int, first: int | None = None, welcome: Welcome | None = None) -> None:
        sizes: dict[str, Any] = {}
        if welcome is not None:
            sizes = {
                "capacity": welcome.capacity,
                "closed_capacity": welcome.closed_capacity,
                "hashes": welcome.hashes,
            }
        self.journal = Journal(
            self.path,
            policy=self._policy,
            segment_bytes=self._settings.segment_bytes,
            epoch=epoch,
            first_sequence=first,
            **sizes,
        )

    def store(self, commands: np.ndarray) -> None:
        """Into the journal; on return they are as safe as the settings say."""
        assert self.journal is not None
        self.journal.append(commands)
        self.last_command = commands[-1:].tobytes()

    def carry_out(self, commands: np.ndarray) -> None:
        """Through the kernel, and the events into the log."""
        assert self.kernel is not None
        assert self.log is not None
        events = self.kernel.process(commands)
        if self.kernel.last_sequence != int(commands["sequence"][-1]):
            raise ReplayDiffersError(
                f"the kernel is at command {self.kernel.last_sequence}",
                where=str(self.path),
                expected=str(commands["sequence"][-1]),
            )
        if len(events):
            self.log.append(deliveries(events, commands))

    def compare(self, frame: Frame) -> None:
        """Hashes of the core against those of this kernel; they go into the journal too."""
        sequence, event_sequence, event_hash, journal_hash = (
            int(word) for word in np.frombuffer(frame.body, np.uint64)
        )
        kernel, journal = self.kernel, self.journal
        assert kernel is not None
        assert journal is not None
        if sequence != kernel.last_sequence:
            return  # of what was there before this session
        if (event_hash, journal_hash) != (kernel.event_hash(), kernel.journal_hash()):
            raise ReplayDiffersError(
                f"this kernel gives event hash {kernel.event_hash():016x} after command {sequence}",
                where=str(self.path),
                expected=f"{event_hash:016x}, as the core's",
            )
        if sequence >= int(segment_heads(self.path)[-1].first_sequence):
            journal.append_hash(event_sequence, event_hash, journal_hash)

    def end(self) -> str:
        """End the journal cleanly, with a snapshot; the state hash."""
        kernel, journal, log = self.kernel, self.journal, self.log
        if kernel is None or journal is None or log is None:
            return ""
        if kernel.last_sequence != journal.last_sequence:
            raise InternalError(
                f"kernel at command {kernel.last_sequence}", where=str(self.path), expected=str(journal.last_sequence)
            )
        if kernel.last_sequence and kernel.last_sequence >= segment_heads(self.path)[-1].first_sequence:
            journal.append_hash(kernel.last_event_sequence, kernel.event_hash(), kernel.journal_hash())
        journal.close()
        log.sync()
        if kernel.last_sequence:
            write_snapshot(self.path, kernel.last_sequence, kernel.snapshot())
        return f"{kernel.state_hash():016x}"

    def close(self) -> None:
        if self.journal is not None:
            self.journal.close()
        if self.log is not None:
            self.log.close()
        self.journal = self.kernel = self.log = None


class Standby:
    """One thread.

    Parameters
    ----------
    data
        Directory of what it keeps.
    context, orders
        ZeroMQ, and the socket by which it is told to promote.
    counters
        Of this process.
    keys
        Its own, where the address is TCP.
    """

    def __init__(
        self,
        data: str,
        settings: Settings,
        context: zmq.Context[Any],
        orders: zmq.Socket[bytes],
        counters: Counters,
        keys: Keys | None,
    ) -> None:
        self._data, self._settings, self._context, self._orders = data, settings, context, orders
        self._keys = keys
        self._counters = counters
        Path(data).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._copy = _Copy(data, settings)
        self._socket: zmq.Socket[bytes] | None = None
        self._line: Line | None = None
        self._welcome: Welcome | None = None
        self._epoch = 0
        self._snapshot: list[bytes] | None = None
        self._heard_ns = self._said_ns = self._retry_ns = self._begun_ns = 0
        self._core_sequence = 0
        self._fenced = False
        self._said = ""
        self.promoted: Promoted | None = None
        names = ("standby.connected", "standby.sequence", "standby.lag", "standby.epoch", "journal.last_sequence")
        self._gauges = {name: counters.gauge(name) for name in (*names, "journal.durable_sequence")}
        names = ("standby.sessions", "standby.broken", "standby.refused", "standby.commands", "standby.begun_anew")
        self._counts = {name: counters.counter(name) for name in names}
        self._ready, self._seen = counters.gauge("process.ready"), counters.gauge("process.seen_ns")

    @property
    def connected(self) -> bool:
        """A core is there and sends."""
        return self._welcome is not None and now_ns() - self._heard_ns < SILENCE_NS

    def run(self, control: Supervised) -> int:
        """Until told to stop, or promoted; the exit code."""
        self._mirror(now_ns())
        control.ready({})
        while not control.stop_requested and self.promoted is None:
            items: list[Any] = [(self._orders, zmq.POLLIN), (control.fileno(), zmq.POLLIN)]
            if self._socket is not None:
                items.append((self._socket, zmq.POLLIN))
            ready = dict(zmq.zmq_poll(items, MOST_WAIT_MS))
            if control.fileno() in ready:
                control.poll()
            self.turn()
        return 0

    def turn(self) -> None:
        """Do what there is to do; it never waits long."""
        at_ns = now_ns()
        if self._socket is not None and at_ns - max(self._heard_ns, self._begun_ns) > SILENCE_NS:
            self._hang_up("the core was not heard of for a second")
        if self._socket is None and at_ns >= self._retry_ns:
            self._dial(at_ns)
        try:
            self._take_frames()
            if self._welcome is not None and at_ns - self._said_ns > BEAT_NS:
                self._acknowledge()
        except StreamError as error:
            self._counters.increment(self._counts["standby.broken"])
            self._hang_up(f"the stream is broken: {error}")
        self._mirror(at_ns)
        self._obey()

    def close(self) -> None:
        """Let go of everything."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._copy.close()

    # The stream

    def _dial(self, at_ns: int) -> None:
        self._socket = dial(self._context, self._settings.address, self._keys, self._settings.server_key)
        self._line = Line(at_ns)
        self._begun_ns = at_ns
        copy = self._copy
        hello = Hello(
            ROLE_STANDBY,
            LAYOUT_VERSION,
            RULES_VERSION,
            copy.last_sequence,
            self._last_epoch(),
            copy.last_command,
            hashes=HASHES,
        )
        epoch = max(copy.epoch, read_epoch(self._data).epoch)
        self._socket.send(self._line.pack(Kind.HELLO, epoch, body=msgspec.msgpack.encode(hello)))

    def _last_epoch(self) -> int:
        """Of the segment that holds the last command."""
        last = self._copy.last_sequence
        held = [head.epoch for head in segment_heads(self._copy.path) if head.first_sequence <= last] if last else []
        return held[-1] if held else 0

    def _hang_up(self, why: str) -> None:
        if self._welcome is not None or why != self._said:
            _LOG.warning("standby: %s", why)
        self._said = why
        if self._socket is not None:
            self._socket.close()
        self._socket = self._line = self._welcome = self._snapshot = None
        self._retry_ns = now_ns() + RETRY_NS

    def _take_frames(self) -> None:
        """Store what has come, acknowledge it, carry it out."""
        socket, line, stored = self._socket, self._line, []
        if socket is None or line is None:
            return
        hashes: list[Frame] = []
        broken: StreamError | None = None
        for _ in range(MOST_FRAMES):
            try:
                frame = line.unpack(socket.recv(zmq.NOBLOCK))
            except zmq.Again:
                break
            except StreamError as error:
                broken = error  # what came before it is sound
                break
            if frame is None:
                continue
            self._heard_ns = now_ns()
            if frame.kind is Kind.COMMANDS and self._welcome is not None and self._snapshot is None:
                commands = unpack_commands(frame)
                if not len(commands) or int(commands["sequence"][0]) != self._copy.last_sequence + 1:
                    broken = StreamError(f"command {frame.first}", expected=str(self._copy.last_sequence + 1))
                    break
                self._copy.store(commands)
                stored.append(commands)
            elif frame.kind is Kind.HASHES and self._welcome is not None:
                hashes.append(frame)
                break  # compared where the kernel is at its command
            else:
                self._take(frame)
                if self._socket is None:
                    break  # the core has hung up; what it sent before counts
        if stored:
            self._acknowledge()
            for commands in stored:
                self._copy.carry_out(commands)
                self._counters.add(self._counts["standby.commands"], len(commands))
        for frame in hashes:
            self._copy.compare(frame)
        if broken is not None:
            raise broken

    def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.WELCOME:
            self._welcome = decode(frame.body, Welcome)
            self._epoch = frame.epoch
            self._counters.increment(self._counts["standby.sessions"])
            self._said = ""
            if self._welcome.snapshot_bytes:
                self._snapshot = []
            elif self._welcome.anew:
                self._begin(b"")
            else:
                self._copy.go_on(self._welcome, frame.epoch)
            _LOG.info("standby attached to %s, epoch %d: commands from %d on come", self._settings.address, frame.epoch,
                      self._welcome.first)  # fmt: skip
        elif frame.kind is Kind.SNAPSHOT and self._snapshot is not None and self._welcome is not None:
            self._snapshot.append(frame.body)
            if frame.flags & LAST:
                snapshot, self._snapshot = b"".join(self._snapshot), None
                if len(snapshot) != self._welcome.snapshot_bytes:
                    raise StreamError(f"snapshot of {len(snapshot)} bytes", expected=str(self._welcome.snapshot_bytes))
                self._begin(snapshot)
        elif frame.kind is Kind.BEAT:
            self._core_sequence = frame.first
        elif frame.kind is Kind.REFUSED:
            refusal: Refusal = decode(frame.body, Refusal)
            self._counters.increment(self._counts["standby.refused"])
            self._hang_up(f"refused by the core ({refusal.code}): {refusal.what}")
        elif frame.kind is Kind.FENCED:
            self._fenced = True
            self._hang_up("the core is fenced: this directory knows a higher epoch")
        else:
            raise StreamError(f"a frame {frame.kind.name}", expected="one that a core sends now")

    def _begin(self, snapshot: bytes) -> None:
        assert self._welcome is not None
        _LOG.warning("standby begins anew at command %d: %s", self._welcome.first, self._welcome.reason)
        self._counters.increment(self._counts["standby.begun_anew"])
        self._copy.begin(self._welcome, self._epoch, snapshot)

    def _acknowledge(self) -> None:
        socket, line = self._socket, self._line
        if socket is None or line is None or self._snapshot is not None:
            return
        self._said_ns = now_ns()
        try:
            socket.send(line.pack(Kind.ACKNOWLEDGED, self._epoch, first=self._copy.last_sequence), zmq.NOBLOCK)
        except zmq.Again:
            raise StreamError("the core takes nothing", expected="one that reads") from None

    def _mirror(self, at_ns: int) -> None:
        counters, copy = self._counters, self._copy
        journal = copy.journal
        for name, value in (
            ("standby.connected", int(self.connected)),
            ("standby.sequence", copy.last_sequence),
            ("standby.lag", max(0, self._core_sequence - copy.last_sequence)),
            ("standby.epoch", max(self._epoch, copy.epoch)),
            ("journal.last_sequence", copy.last_sequence),
            ("journal.durable_sequence", journal.durable_sequence if journal is not None else 0),
        ):
            counters.set(self._gauges[name], value)
        counters.set(self._ready, int(self.connected))
        counters.set(self._seen, at_ns)

    # Promotion

    def _obey(self) -> None:
        try:
            identity, content = self._orders.recv_multipart(zmq.NOBLOCK)
        except (zmq.Again, ValueError):
            return
        try:
            order = msgspec.json.decode(content, type=dict[str, Any])
        except msgspec.DecodeError:
            order = {}
        answer: dict[str, Any]
        if order.get("do") != "promote":
            answer = {"error": {"code": "usage", "what": f"order {order.get('do')!r}", "expected": "promote"}}
        else:
            try:
                self.promoted = self.promote()
                answer = msgspec.to_builtins(self.promoted)
            except (NautilusError, OSError, ValueError) as error:
                code = getattr(error, "code", "internal.promote")
                answer = {"error": {"code": str(code), "what": str(error), "expected": ""}}
                _LOG.error("not promoted: %s", error)
        self._orders.send_multipart((identity, msgspec.json.encode(answer)))

    def promote(self) -> Promoted:
        """End the stream, fence the core, raise the epoch. NautilusError where there is no journal to go on with."""
        copy = self._copy
        if copy.kernel is None or copy.journal is None:
            raise InternalError(
                "this standby has no journal yet", where=self._data, expected="one that was attached before"
            )
        epoch = max(copy.epoch, self._epoch, read_epoch(self._data).epoch) + 1
        behind = max(0, self._core_sequence - copy.last_sequence)
        fenced = self._fence_core(epoch)
        behind = max(0, self._core_sequence - copy.last_sequence)
        # From here on this directory has the epoch, whatever becomes of this process.
        write_epoch(self._data, Epoch(epoch, own=True, by="nautilus trading promote"))
        kernel = copy.kernel
        state_hash = copy.end()
        promoted = Promoted(epoch, kernel.last_sequence, kernel.last_event_sequence, state_hash, fenced, behind)
        _LOG.warning(
            "promoted: epoch %d from command %d on; core before fenced: %s", epoch, kernel.last_sequence, fenced
        )
        return promoted

    def _fence_core(self, epoch: int) -> bool:
        """Say it to the core, if it is there, and take what it had sent before it heard; whether it has confirmed."""
        socket, line = self._socket, self._line
        if socket is None or line is None or not self.connected:
            return False
        self._fenced = False
        end_ns = now_ns() + SETTLE_NS
        try:
            socket.send(line.pack(Kind.FENCE, epoch), zmq.NOBLOCK)
            while not self._fenced and self._socket is not None and now_ns() < end_ns:
                socket.poll(5)
                self._take_frames()
        except (StreamError, zmq.ZMQError) as error:
            _LOG.warning("while the core was fenced: %s", error)
        return self._fenced


def _set_aside(place: Path) -> None:
    if not place.exists() or not any(place.iterdir()):
        if place.exists():
            place.rmdir()
        return
    number = 1
    while (target := place.with_name(f"{place.name}.before.{number}")).exists():
        number += 1
    os.rename(place, target)


__all__ = ["Promoted", "Settings", "Standby"]
