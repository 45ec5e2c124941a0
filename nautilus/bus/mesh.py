"""The mesh: messages between processes, acknowledged, over ROUTER/DEALER, without a broker.

::

    post ─▶ stream of (peer, priority) ─▶ dealer ══ lane u or n ══▶ router ─▶ receive ─▶ handler ─▶ done
                                          dealer ◀═ acknowledgement, reply ══ router ◀──────────────┘

Guarantees
----------
- Messages of one priority from one process to another are delivered in order.
- A message is acknowledged after its handler has run (`done`); until then, or until its deadline, it is held and sent
  again. Within one life of the receiver it is delivered at most once; over a restart of the receiver it may be
  delivered again: at least once.
- A request gets exactly one of: a REPLY, an ERROR, or its id out of `tick`: then what became of it is unknown. The
  receiver keeps its reply until the sender no longer holds the request, and gives it again where it is asked again.
- A message that was not acknowledged ends as a dead letter with a reason: "deadline", "cut", "closed", "path"; a
  message that comes after its deadline is not delivered but ends so at the receiver: "late". Nothing is dropped
  without one, but by the end of this process itself.
- A stream that holds `pending_limit` messages is cut: it gives up all of them, and goes on with the next. The receiver
  is told of what the sender gave up and it has not had: `on_gap`.
- The two urgent priorities have sockets and an I/O thread of their own; within a lane the smaller priority goes first,
  past what waits in this process (at most `window` messages of a stream are under way).
- A peer that is gone or hangs is down within `heartbeat_ms` + `silence_ms`.

Nothing here waits (but `take`), starts a thread, or raises for what came over the wire: what cannot be read is counted
(`malformed`). The host polls `sockets`, then calls `receive`, `done` for each delivery, and `tick`; a thread that waits
for nothing else calls `take` instead of the first two.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

import zmq
from zmq.backend import zmq_poll

from nautilus.bus.carriers import Carrier
from nautilus.bus.envelope import LANES, NORMAL, URGENT, DeadLetter, Delivery
from nautilus.bus.failover import DOWN_NS, UP_NS
from nautilus.bus.inbox import Inbox
from nautilus.bus.lanes import POLLIN, Inbound
from nautilus.bus.liveness import PeerChange
from nautilus.bus.node import MeshError
from nautilus.bus.outbox import Outbox
from nautilus.bus.permissions import Permissions
from nautilus.bus.tally import Tally
from nautilus.bus.urgent_ring import UrgentRing
from nautilus.core.counters import Counters
from nautilus.core.mesh_ends import Reader
from nautilus.core.mesh_wire import head_of

COUNTED = (
    "sent",
    "acknowledged",
    "retried",
    "dead_lettered",
    "duplicates",
    "received",
    "malformed",
    "strangers",
    "stale",
    "ahead",
    "late",
    "unanswerable",
    "failed_calls",
    "urgent_by_ring",
    "urgent_by_zmq",
    "urgent_copies",
)
ALL = "all"


class Mesh(Outbox, Inbox):
    """The one node of a process.

    Parameters
    ----------
    context
        With two I/O threads (`make_context`).
    process
        Name of this process on the mesh.
    epoch
        Higher than that of every earlier life of this process.
    endpoint
        (process, lane "u" or "n") -> endpoint.
    clock
        Platform time in nanoseconds, the same in every process: deadlines are compared with it.
    counters
        Table to keep ``mesh.sent`` and so on in.
    peers
        Processes that are listened to; None: all.
    pending_limit
        Messages that one stream holds before it is cut.
    window
        Messages of one stream that are under way and not known to have arrived.
    high_water
        Messages in a socket's own queue.
    retry_ns, retry_limit_ns
        Time without an answer until messages are sent again; doubles from the one to the other.
    heartbeat_ms, silence_ms
        Between signs of life, and how long none may come, until a peer counts as down.
    fallbacks
        Other carriers, the first usable one first; the mesh closes them, also where it cannot be made.
    fallback_after_ns
        How long a path to a peer is down, or not up yet, until what is pending goes over the next one
        (`nautilus.bus.failover`, `down_ns`).
    return_after_ns
        How long a better path has to stand until it is taken again (`up_ns`).
    withhold_ns
        How long it is down until a message that may take none of the usable paths is given up where it keeps one
        waiting that may.
    permissions
        Who may send what; None: everybody everything.
    urgent_ring
        Takes the messages of the urgent lane through shared memory too (`nautilus.bus.urgent_ring`); the mesh closes
        it.
    on_gap
        Called with (peer, priority, first, last): the peer gave these messages up, they will not come.
    on_peer
        Called with (peer, up) when the connections to a dialled peer stand, or stand no longer.
    on_standing
        Called with a `PeerChange` when a peer is in another standing, or for another cause: see `liveness`.
    on_pressure
        Called with (peer, priority, high) when the stream to a peer goes over its high mark, or below its low one.
    on_path
        Called with (peer, before, after, cause): what carries the messages to it has changed; "zmq", the name of a
        carrier, or "local" for none. Both lanes go the same way.
    on_restart
        Called with (peer, epoch) when a peer speaks in a new life for the first time (its first one here included);
        before what it says is delivered.
    on_dead_letters
        Called with a list of `DeadLetter`.

    Attributes
    ----------
    sent, acknowledged, retried, dead_lettered, received, duplicates
        Messages posted; acknowledged or answered; sent again; dead letters; delivered; dropped as had before.
        ``sent = acknowledged + dead_lettered (but "late") + pending``.
    malformed, strangers, stale, ahead, late, unanswerable
        Frames that cannot be read; of processes not listened to; of an earlier life; out of order; messages that came
        late; answers to the gone.
    failed_calls
        Callbacks that raised: they end nothing here.
    urgent_by_ring, urgent_by_zmq, urgent_copies
        Of those of the urgent lane: delivered as they came through shared memory; over ZeroMQ; copies over ZeroMQ of
        those that had come through shared memory, dropped (they are among `duplicates`).
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        process: str,
        epoch: int,
        endpoint: Callable[[str, str], str],
        clock: Callable[[], int],
        counters: Counters | None = None,
        *,
        peers: Container[str] | None = None,
        pending_limit: int = 65_536,
        window: int = 256,
        high_water: int = 1_000,
        retry_ns: int = 50_000_000,
        retry_limit_ns: int = 500_000_000,
        heartbeat_ms: int = 10,
        silence_ms: int = 25,
        fallbacks: Sequence[Carrier] = (),
        fallback_after_ns: int = DOWN_NS,
        return_after_ns: int = UP_NS,
        withhold_ns: int = 500_000_000,
        permissions: Permissions | None = None,
        urgent_ring: UrgentRing | None = None,
        on_gap: Callable[[str, int, int, int], None] | None = None,
        on_peer: Callable[[str, bool], None] | None = None,
        on_standing: Callable[[PeerChange], None] | None = None,
        on_pressure: Callable[[str, int, bool], None] | None = None,
        on_path: Callable[[str, str, str, str], None] | None = None,
        on_restart: Callable[[str, int], None] | None = None,
        on_dead_letters: Callable[[list[DeadLetter]], None] | None = None,
    ) -> None:
        super().__init__(context, process, epoch, clock)
        self._fallbacks = tuple(fallbacks)
        self._ring = urgent_ring
        self._ring_generation = -1
        self._ring_sources: list[dict[int, Inbound] | None] = []
        self._tally = Tally(counters, "mesh", self, COUNTED)
        self._open_outbox(
            endpoint,
            pending_limit=pending_limit,
            window=window,
            high_water=high_water,
            retry_ns=retry_ns,
            retry_limit_ns=retry_limit_ns,
            heartbeat_ms=heartbeat_ms,
            silence_ms=silence_ms,
            fallback_after_ns=fallback_after_ns,
            return_after_ns=return_after_ns,
            withhold_ns=withhold_ns,
            counters=counters,
        )
        try:
            self._open_inbox(endpoint, high_water, peers)
        except BaseException:
            self._close_inbox()
            for carrier in self._fallbacks:
                carrier.close()
            raise
        self._permissions = permissions
        self.on_gap = on_gap
        self.on_peer = on_peer
        self.on_standing = on_standing
        self.on_pressure = on_pressure
        self.on_path = on_path
        self.on_restart = on_restart
        self.on_dead_letters = on_dead_letters
        self._carriers = {number: carrier for carrier in fallbacks if (number := carrier.fileno()) >= 0}
        self._looked_at = [carrier for carrier in fallbacks if carrier.fileno() < 0]
        self._list_sockets()

    def sockets(self) -> list[zmq.Socket[bytes]]:
        """To be polled for reading: the urgent lane, the normal one, monitors. They change when `generation` does."""
        return list(self._readers[ALL])

    def descriptors(self) -> list[int]:
        """Descriptors of the other carriers, to be polled for reading too; they never change."""
        return list(self._carriers)

    def _list_sockets(self) -> None:
        for lane in LANES:
            found: list[Reader] = [self._routers[lane], *self._in_lane[lane]]
            self._readers[lane] = {reader.socket: reader for reader in found}
        monitors = {dealer.monitor.socket: dealer.monitor for dealer in self._dealers.values()}
        self._readers[ALL] = {**self._readers[URGENT], **self._readers[NORMAL], **monitors}
        self._listed = False

    def _readable_carriers(self) -> list[Carrier]:
        """Those whose descriptors can be read."""
        found = zmq_poll([(descriptor, POLLIN) for descriptor in self._carriers], 0)
        return [self._carriers[descriptor] for descriptor, _ in found]

    def glance(self) -> list[Delivery]:
        """Urgent messages that came through shared memory, and nothing else; each is to be given to `done`.

        The thread that has the mesh calls it, as often as it can: between any two handlers, and whenever `urgent_ring`
        says that there is something (`waiting`, `wait`). Without a message it costs a fraction of a microsecond. What
        it returns is to be handled before all that was received and is not urgent, and after what is: then an urgent
        message waits for no more than the rest of the handler that runs while it comes. A handler that takes a
        millisecond keeps it waiting for up to a millisecond, whatever it came by; nothing interrupts a handler.
        """
        out: list[Delivery] = []
        if self._ring is not None and self._ring.group.waiting:
            self._read_ring(self._ring, out)
            if out:
                self._batch += len(out)
                if self._permissions is not None:
                    out = self._permitted(out)
        return out

    def _read_ring(self, ring: UrgentRing, out: list[Delivery]) -> None:
        """Take in what came through the rings of peers; the copies over ZeroMQ are dropped when they come."""
        if ring.generation != self._ring_generation:
            self._ring_generation = ring.generation
            self._ring_sources = [self._sources.get((URGENT, name)) for name in ring.followed]
        before = len(out)
        self.read_ring(ring.group, ring.prefix, self._ring_sources, out)
        self.urgent_by_ring += len(out) - before

    def _judge_ring(self, place: int, frame: bytes, out: list[Delivery]) -> None:
        """What came through a ring by which a peer, or a life of it, is met; or junk."""
        assert self._ring is not None
        sources = self._admit(self._routers[URGENT], self._ring.followed[place])
        if sources is not None:
            self._ring_sources[place] = sources
            before = len(out)
            self._take_envelopes(sources, frame, None, out)
            for delivery in out[before:]:
                delivery.source.ringed = delivery.sequence

    @property
    def urgent_ring(self) -> UrgentRing | None:
        """The rings of this process and its peers, for a host that waits; None: there are none."""
        return self._ring

    def _read_carrier(self, carrier: Carrier, out: list[Delivery], limit: int) -> None:
        """Take in what came over another carrier than the sockets: envelopes, and answers to own ones."""
        for name, lane, frame in carrier.receive(limit):
            router, dealer, head = self._routers.get(lane), self._dealers.get((name, lane)), head_of(frame)
            if router is None or head is None:
                self.malformed += 1
            elif not head[0]:
                sources = self._admit(router, name)
                if sources is not None:
                    self._take_envelopes(sources, frame, carrier, out)
            elif dealer is not None:
                self.take_answers(dealer, frame, out)
            else:
                self.strangers += 1

    def hang_up(self, process: str) -> None:
        """Close what connects to a peer that is not coming back, and forget it; what it has not had is given up.

        The loop of the host must wait for `sockets` anew (`generation` has moved).
        """
        super().hang_up(process)
        self._forget(process)

    def _forget(self, process: str) -> None:
        super()._forget(process)
        for carrier in self._fallbacks:
            carrier.forget(process)

    def close(self) -> None:
        """Close the sockets. What is pending ends as dead letters, reason "closed"; its requests are in no `tick`."""
        self._close_outbox()
        self._tally.write()
        self._close_inbox()


__all__ = ["Mesh", "MeshError"]
