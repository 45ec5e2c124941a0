"""The replica's process beside the core: hands the journal to a standby as it is written, and tells the core how far.

    journal's files --> JournalTail --> COMMANDS, HASHES --> standby
    core's gate <-- ReplicaPort <-- what it has acknowledged <--

One standby is attached at a time. What it lacks comes first: from the files, or, where compaction has taken them, from
a snapshot. A standby, or a core, that knows a higher epoch ends this one: the directory notes it and the core fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import zmq

from nautilus.bus.security import Doorkeeper
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.core.journal_base import segment_heads
from nautilus.core.journal_reader import HashRecord, JournalReader
from nautilus.core.journal_tail import JournalTail
from nautilus.core.port import PortError
from nautilus.core.replica_port import BEHIND, CURRENT, NONE, ReplicaPort
from nautilus.core.segment import JournalError
from nautilus.core.snapshot_file import latest_snapshot
from nautilus.core.types import LAYOUT_VERSION, RULES_VERSION
from nautilus.trading.epochs import Epoch, read_epoch, write_epoch
from nautilus.trading.stream import (
    BEAT_NS,
    LAST,
    ROLE_CORE,
    SILENCE_NS,
    Hello,
    Kind,
    Line,
    Refusal,
    StreamError,
    Welcome,
    decode,
    dial,
    open_session,
    pack_commands,
)

_LOG = logging.getLogger("nautilus.trading")
BATCH = 4096
WINDOW = 65_536
"""Commands on their way to a standby that it has not acknowledged yet."""
CHUNK = 1 << 20
MOST_WAIT_MS = 50
ATTACH_NS = 20_000_000
ANNOUNCE_NS = 200_000_000
CORE_GAUGE = "replica.acknowledged_sequence"
STATES = {NONE: "none", BEHIND: "behind", CURRENT: "current"}


class Supervised(Protocol):
    """The line to whoever started this process."""

    @property
    def stop_requested(self) -> bool:
        """It is time to stop."""
        ...

    def fileno(self) -> int:
        """Readable when `poll` has something to do."""
        ...

    def poll(self) -> list[str]:
        """Orders that came."""
        ...

    def ready(self, ports: dict[str, int], /) -> None:
        """It listens."""
        ...


class RefusedError(StreamError):
    """What dialled is not served; `reason` is stable."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason = reason


class _Peer:
    """The standby that is attached."""

    def __init__(self, identity: bytes, line: Line, tail: JournalTail, acknowledged: int) -> None:
        self.identity = identity
        self.line = line
        self.tail = tail
        self.acknowledged = acknowledged
        self.heard_ns = now_ns()
        self.beat_ns = 0
        self.goal = -1  # where the tail ended when it was first read to its end
        self.current = False


class _Beginning(NamedTuple):
    """Where a standby begins."""

    welcome: Welcome
    snapshot: bytes


class Shipper:
    """One thread.

    Parameters
    ----------
    data, shared
        Directories of the instance.
    socket, doorkeeper
        Where standbys dial; who may, None over a socket of this machine.
    counters
        Of this process.
    """

    def __init__(
        self,
        data: str,
        shared: str,
        socket: zmq.Socket[bytes],
        counters: Counters,
        doorkeeper: Doorkeeper | None = None,
    ) -> None:
        self._data, self._journal, self._shared = data, str(Path(data, "journal")), shared
        self._socket, self._doorkeeper, self._counters = socket, doorkeeper, counters
        self._port: ReplicaPort | None = None
        self._attach_ns = 0
        self._peer: _Peer | None = None
        self._fenced = 0
        names = ("replica.state", CORE_GAUGE, "replica.lag", "replica.epoch", "replica.fenced_by")
        self._gauges = {name: counters.gauge(name) for name in names}
        names = ("replica.sessions", "replica.refused", "replica.broken", "replica.sent", "replica.snapshots_sent")
        self._counts = {name: counters.counter(name) for name in names}
        self._ready, self._seen = counters.gauge("process.ready"), counters.gauge("process.seen_ns")
        known = read_epoch(data)
        if not known.own:
            self._fenced = known.epoch
            self._set("replica.fenced_by", known.epoch)

    @property
    def current(self) -> bool:
        """A standby has all but what is on its way."""
        return self._peer is not None and self._peer.current

    @property
    def acknowledged(self) -> int:
        """The last command that a standby has said to have, in this life of the process."""
        return self._counters.get(self._gauges[CORE_GAUGE])

    def run(self, control: Supervised, announce: Announcer | None = None) -> int:
        """Until told to stop; the exit code."""
        self._publish()
        control.ready({})
        items: list[Any] = [(self._socket, zmq.POLLIN), (control.fileno(), zmq.POLLIN)]
        if self._doorkeeper is not None:
            items.append((self._doorkeeper.socket, zmq.POLLIN))
        stop_ns = 0
        while True:
            port = self._port
            bell = [] if port is None else [(port.fileno(), zmq.POLLIN)]
            asleep = port is None or port.arm(self._peer.tail.last_sequence if self._peer is not None else 1 << 62)
            ready = dict(zmq.zmq_poll([*items, *bell], self._wait_ms() if asleep else 0))
            if port is not None:
                port.disarm()
            if control.fileno() in ready:
                control.poll()
            self.turn()
            if announce is not None and announce.turn():
                announce = None
            if control.stop_requested:
                # The core has stopped before: its last commands are still to go.
                stop_ns = stop_ns or now_ns()
                if self._peer is None or self._done() or now_ns() - stop_ns > SILENCE_NS:
                    return 0

    def turn(self) -> None:
        """Do what there is to do; it never waits."""
        at_ns = now_ns()
        self._look_at_core(at_ns)
        if self._doorkeeper is not None:
            self._doorkeeper.answer()
        self._receive()
        peer = self._peer
        if peer is not None and at_ns - peer.heard_ns > SILENCE_NS:
            self._drop("it was not heard of for a second")
        self._ship()
        self._publish()

    def close(self) -> None:
        """Let go of everything."""
        self._drop("this process ends")
        if self._port is not None:
            self._port.publish(NONE, self.acknowledged, 0)
            self._port.close()
            self._port = None

    def _wait_ms(self) -> int:
        return MOST_WAIT_MS if self._port is not None else ATTACH_NS // 1_000_000

    def _done(self) -> bool:
        peer = self._peer
        return peer is None or (peer.goal >= 0 and peer.acknowledged >= peer.tail.last_sequence)

    # The core

    def _look_at_core(self, at_ns: int) -> None:
        port = self._port
        if port is not None and port.retired:
            port.close()
            port = self._port = None
        if port is None and at_ns >= self._attach_ns:
            self._attach_ns = at_ns + ATTACH_NS
            try:
                self._port = ReplicaPort(self._shared)
            except (PortError, OSError):
                return
            if self._fenced:
                self._port.fence(self._fenced)

    def _publish(self) -> None:
        peer, at_ns = self._peer, now_ns()
        state = NONE if peer is None else CURRENT if peer.current else BEHIND
        if peer is not None:
            self._set(CORE_GAUGE, max(peer.acknowledged, 0))
        if self._port is not None:
            self._port.publish(state, self.acknowledged, 0 if peer is None else peer.heard_ns)
            self._set("replica.epoch", self._port.journal_epoch)
            known = self._port.written_sequence
            self._set("replica.lag", max(0, known - peer.acknowledged) if peer is not None else 0)
        self._set("replica.state", state)
        self._counters.set(self._ready, not self._fenced)
        self._counters.set(self._seen, at_ns)

    def _set(self, name: str, value: int) -> None:
        self._counters.set(self._gauges[name], value)

    # The standby

    def _receive(self) -> None:
        while True:
            try:
                identity, data = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            except ValueError:
                continue  # not two parts: nobody of ours
            peer = self._peer
            try:
                if peer is not None and identity == peer.identity:
                    frame = peer.line.unpack(data)
                    if frame is not None:
                        self._take(peer, frame.kind, frame.epoch, frame.first)
                        continue
                self._greet(identity, data)
            except StreamError as error:
                self._counters.increment(self._counts["replica.broken"])
                _LOG.error("replica stream: %s", error)
                if peer is not None and identity == peer.identity:
                    self._drop("its stream is broken")

    def _take(self, peer: _Peer, kind: Kind, epoch: int, first: int) -> None:
        peer.heard_ns = now_ns()
        if kind is Kind.ACKNOWLEDGED:
            if not peer.acknowledged <= first <= max(peer.tail.last_sequence, peer.acknowledged):
                raise StreamError(
                    f"command {first} acknowledged",
                    expected=f"{peer.acknowledged} to {peer.tail.last_sequence}, which were sent",
                )
            peer.acknowledged = first
            if peer.goal >= 0 and first >= peer.goal and not peer.current:
                peer.current = True
                _LOG.info("standby has the journal up to command %d: it is current", first)
        elif kind is Kind.FENCE:
            self._answer(peer.identity, peer.line, Kind.FENCED, epoch)
            self._fence(epoch, "its standby, which was promoted")

    def _greet(self, identity: bytes, data: bytes) -> None:
        line, frame = open_session(data)
        hello: Hello = decode(frame.body, Hello)
        try:
            own = self._own_epoch()
            if frame.epoch > own:
                self._answer(identity, line, Kind.FENCED, frame.epoch)
                self._fence(frame.epoch, f"a {hello.role} that dialled")
                return
            if hello.role == ROLE_CORE:
                raise RefusedError("epoch", f"a core of epoch {frame.epoch}; this one has {own}")
            if self._fenced:
                raise RefusedError("fenced", f"this core was replaced by one of epoch {self._fenced}")
            peer = self._peer
            if peer is not None and peer.identity != identity:
                raise RefusedError("taken", "another standby is attached")
            beginning = self._beginning(hello)
        except RefusedError as error:
            self._counters.increment(self._counts["replica.refused"])
            _LOG.warning("standby refused: %s", error)
            body = msgspec.msgpack.encode(Refusal(error.reason, error.what))
            self._answer(identity, line, Kind.REFUSED, self._own_epoch(), body=body)
            return
        self._drop("it dialled anew")
        welcome = beginning.welcome
        tail = JournalTail(self._journal, welcome.first, batch=BATCH)
        self._peer = _Peer(identity, line, tail, welcome.first - 1)
        self._answer(identity, line, Kind.WELCOME, own, body=msgspec.msgpack.encode(welcome))
        snapshot = beginning.snapshot
        for at in range(0, len(snapshot), CHUNK):
            last = LAST if at + CHUNK >= len(snapshot) else 0
            self._answer(identity, line, Kind.SNAPSHOT, own, flags=last, body=snapshot[at : at + CHUNK])
        if snapshot:
            self._counters.increment(self._counts["replica.snapshots_sent"])
        self._counters.increment(self._counts["replica.sessions"])
        _LOG.info(
            "standby attached: it gets commands from %d on%s",
            welcome.first,
            f", anew: {welcome.reason}" if welcome.anew else "",
        )

    def _beginning(self, hello: Hello) -> _Beginning:
        """Where a standby goes on, or begins anew. RefusedError where it may not."""
        if (hello.layout, hello.rules) != (LAYOUT_VERSION, RULES_VERSION):
            raise RefusedError(
                "version",
                f"records {hello.layout}, rules {hello.rules}; expected {LAYOUT_VERSION} and {RULES_VERSION}",
            )
        try:
            heads = segment_heads(self._journal)
        except FileNotFoundError:
            heads = []
        if not heads:
            raise RefusedError("empty", "the journal is not there yet")
        reader = JournalReader(self._journal, strict=False, any_rules=True)
        if reader.hashes not in hello.hashes:
            raise RefusedError("version", f"hashes {', '.join(hello.hashes)}; expected {reader.hashes} among them")
        last, epoch = hello.last_sequence, heads[-1].epoch
        oldest, reason = heads[0].first_sequence, ""
        if last + 1 < oldest:
            reason = f"it has command {last}, the journal begins at {oldest}"
        elif last:
            # A command of an earlier epoch counts where a later epoch has not given its number to another one.
            ends = [head.first_sequence - 1 for head in heads if head.epoch > hello.last_epoch]
            own = self._command(last)
            if own is None and not (ends and last > ends[0]):
                raise RefusedError(
                    "ahead",
                    f"the standby has command {last}, this journal ends before: the standby has more than the core",
                )
            if own != hello.last_command:
                if hello.last_epoch == epoch:
                    raise RefusedError("diverged", f"command {last} of epoch {epoch} is another one there")
                reason = f"its command {last} of epoch {hello.last_epoch} was never the core's"
        if not reason:
            welcome = Welcome(last + 1, reader.capacity, reader.closed_capacity, anew=False, hashes=reader.hashes)
            return _Beginning(welcome, b"")
        found = latest_snapshot(self._journal)
        if oldest > 1 and (found.payload is None or found.sequence + 1 < oldest):
            raise RefusedError("snapshot", f"the journal begins at command {oldest}, and there is no snapshot yet")
        snapshot = found.payload if oldest > 1 and found.payload is not None else b""
        first = found.sequence + 1 if snapshot else 1
        welcome = Welcome(first, reader.capacity, reader.closed_capacity, True, len(snapshot), reason, reader.hashes)
        return _Beginning(welcome, snapshot)

    def _command(self, sequence: int) -> bytes | None:
        """The record of one command; None where the journal does not have it."""
        try:
            for item in JournalReader(self._journal, start=sequence, batch=1, strict=False):
                if isinstance(item, np.ndarray):
                    return item.tobytes() if int(item["sequence"][0]) == sequence else None
        except JournalError:
            return None
        return None

    def _ship(self) -> None:
        peer = self._peer
        if peer is None:
            return
        epoch = self._own_epoch()
        try:
            while peer.tail.last_sequence - peer.acknowledged < WINDOW:
                item = peer.tail.next()
                if item is None:
                    if peer.goal < 0:
                        peer.goal = peer.tail.last_sequence
                        peer.current = peer.acknowledged >= peer.goal
                    break
                if isinstance(item, HashRecord):
                    body = np.array(item, np.uint64).tobytes()
                    sent = self._answer(peer.identity, peer.line, Kind.HASHES, epoch, body=body)
                else:
                    flags, body = pack_commands(item)
                    first = int(item["sequence"][0])
                    sent = self._answer(
                        peer.identity,
                        peer.line,
                        Kind.COMMANDS,
                        epoch,
                        first=first,
                        count=len(item),
                        flags=flags,
                        body=body,
                    )
                    self._counters.add(self._counts["replica.sent"], len(item))
                if not sent:
                    self._drop("it does not take what is sent")
                    return
                peer.beat_ns = now_ns()
        except (JournalError, OSError) as error:
            _LOG.warning("the journal is read anew for the standby: %s", error)
            self._drop("the journal's files changed")
            return
        if now_ns() - peer.beat_ns > BEAT_NS:
            peer.beat_ns = now_ns()
            written = self._port.written_sequence if self._port is not None else peer.tail.last_sequence
            self._answer(peer.identity, peer.line, Kind.BEAT, epoch, first=written)

    def _answer(self, identity: bytes, line: Line, kind: Kind, epoch: int, **fields: Any) -> bool:
        try:
            self._socket.send_multipart((identity, line.pack(kind, epoch, **fields)), zmq.NOBLOCK)
        except zmq.ZMQError:
            return False
        return True

    def _drop(self, why: str) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.tail.close()
            _LOG.warning("standby is gone: %s; it had command %d", why, peer.acknowledged)

    # Epochs

    def _own_epoch(self) -> int:
        if self._port is not None:
            return self._port.journal_epoch
        try:
            heads = segment_heads(self._journal)
        except FileNotFoundError:
            return 0
        return heads[-1].epoch if heads else 0

    def _fence(self, epoch: int, by: str) -> None:
        """Another core has a higher epoch: this one is none any more."""
        _LOG.critical("this core is fenced: %s has epoch %d", by, epoch)
        self._fenced = epoch
        write_epoch(self._data, Epoch(epoch, own=False, by=by))
        self._set("replica.fenced_by", epoch)
        if self._port is not None:
            self._port.fence(epoch)
        self._drop("this core is fenced")


class Announcer:
    """Tells the core that a standby took over from, whenever it can be reached, that it is none any more."""

    def __init__(
        self, context: zmq.Context[Any], address: str, keys: Any, server: str, epoch: Callable[[], int]
    ) -> None:
        self._dial: Callable[[], zmq.Socket[bytes]] = partial(dial, context, address, keys, server)
        self._socket = self._dial()
        self._address, self._epoch = address, epoch
        self._said_ns = 0
        self._line: Line | None = None

    def turn(self) -> bool:
        """Whether it has been told, which ends this."""
        at_ns = now_ns()
        try:
            frame = None if self._line is None else self._line.unpack(self._socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            frame = None
        except StreamError:
            frame = None
            self._said_ns = 0
        if frame is not None and frame.kind in (Kind.FENCED, Kind.REFUSED):
            self._socket.close()
            _LOG.info("the core at %s knows of this one's epoch", self._address)
            return True
        if at_ns - self._said_ns > ANNOUNCE_NS:
            self._said_ns = at_ns
            self._line = Line(at_ns)
            body = msgspec.msgpack.encode(Hello(ROLE_CORE, LAYOUT_VERSION, RULES_VERSION))
            try:
                self._socket.send(self._line.pack(Kind.HELLO, self._epoch(), body=body), zmq.NOBLOCK)
            except zmq.Again:
                # Nobody takes it: what waits would be old when somebody does.
                self._socket.close()
                self._socket = self._dial()
        return False


__all__ = ["STATES", "Announcer", "Shipper", "Supervised"]
