"""The sending half of a node of the mesh: streams to peers, the dealers they go over, answers that come back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import zmq

from nautilus.bus.carriers import ALL, AT_ONCE, Carrier, ways
from nautilus.bus.envelope import (
    LANE_OF,
    LANES,
    PRIORITIES,
    Delivery,
    Envelope,
    MessageKind,
    PeerState,
)
from nautilus.bus.failover import LOCAL, Failover
from nautilus.bus.failover import ZMQ as SOCKETS
from nautilus.bus.lanes import NOBLOCK, Dealer
from nautilus.bus.liveness import PeerChange
from nautilus.bus.node import MeshError, Node
from nautilus.bus.peers import BEAT_BYTES, Peers
from nautilus.bus.pressure import FULL, Pressure, PressureGauge
from nautilus.core.counters import Counters
from nautilus.core.mesh_node import FULL_NS, MOST_FRAME_BYTES, PUMP_LIMIT
from nautilus.core.mesh_wire import pack
from nautilus.core.send_stream import SendStream
from nautilus.model.enums import Priority

REQUEST = MessageKind.REQUEST
NEVER = 1 << 62
ANEW_NS = (10_000_000, 100_000_000)
"""After a change of path: requests whose reply may have gone the way before are asked about again."""
EARLY_NS = 12_000_000
"""Before the time for a look at the peers it may be done as well."""
TEND_NS = 250_000_000
"""Until it is looked again whether a peer has another ring, where no connection has changed."""
LOOK_NS = 10_000_000
"""Until it is looked again which paths are usable, where the best one is not taken."""


class Outbox(Node):
    """Sends: `post`, `dial`. What is due is done by `_work`."""

    _fallbacks: tuple[Carrier, ...]

    def _open_outbox(
        self,
        endpoint: Callable[[str, str], str],
        *,
        pending_limit: int,
        window: int,
        high_water: int,
        retry_ns: int,
        retry_limit_ns: int,
        heartbeat_ms: int,
        silence_ms: int,
        fallback_after_ns: int,
        return_after_ns: int,
        withhold_ns: int,
        counters: Counters | None,
    ) -> None:
        self.generation = 0
        """Moves when `sockets` changes."""
        self.on_peer: Callable[[str, bool], None] | None = None
        self.on_standing: Callable[[PeerChange], None] | None = None
        """Called when a peer is in another standing, or for another cause: see `liveness`."""
        self.on_path: Callable[[str, str, str, str], None] | None = None
        self.paths: dict[str, Failover] = {}
        """Which path is taken to each peer that was dialled; none here where there are no other carriers."""
        self._anew: dict[str, list[int]] = {}
        """When requests to a peer are asked about again, after another path was taken to it."""
        self._new_failover = partial(
            Failover,
            paths=(SOCKETS, *(carrier.name for carrier in self._fallbacks), LOCAL),
            down_ns=fallback_after_ns,
            up_ns=return_after_ns,
        )
        self._withhold_ns = withhold_ns
        self._endpoint = endpoint
        self._pending_limit = pending_limit
        self._retry_ns = retry_ns
        self._new_stream = partial(
            SendStream, self.epoch, window=window, retry_ns=retry_ns, retry_limit_ns=retry_limit_ns
        )
        self._new_dealer = partial(
            Dealer, self._context, high_water=high_water, heartbeat_ms=heartbeat_ms, silence_ms=silence_ms
        )
        self._due_ns = NEVER
        self._watch_ns = self._watched_sent = 0
        self._tend_ns = 0
        self.early_ns = NEVER
        """From then on `look_early` spares the host a turn of its own; at `next_due_ns` at the latest it calls `tick`.
        """
        self._settled: set[str] = set()
        """Peers that the best path reaches, and of which nothing else is to be found out or told."""
        self._watched = Peers(
            lambda change: self._tell(self.on_standing, change),
            lambda peer, up: self._tell(self.on_peer, peer, up),
            self.touched,
            counters,
        )
        self.on_pressure: Callable[[str, int, bool], None] | None = None
        """Called with (peer, priority, high) when a stream goes over a mark: see `pressure`."""
        self._pressure = PressureGauge(pending_limit, lambda *change: self._tell(self.on_pressure, *change), counters)
        # (peer, priority) -> its stream and the dealer it goes over
        self._out: dict[tuple[str, int], tuple[SendStream, Dealer]] = {}
        self._dealers: dict[tuple[str, str], Dealer] = {}
        self._in_lane: dict[str, list[Dealer]] = {lane: [] for lane in LANES}

    @property
    def has_fallbacks(self) -> bool:
        """Whether there are other carriers than the sockets."""
        return bool(self._fallbacks)

    def _cut(self, stream: SendStream, process: str) -> None:
        """A stream holds all that it may: give it up."""
        self._give_up(stream.cut(), process, "cut")
        self._due_ns = 0

    def _refusal(self, kind: int, error: Exception) -> MeshError:
        """What `post` raises for a message that it cannot take."""
        if isinstance(kind, MessageKind) and kind > REQUEST:
            return MeshError(f"a message of kind {kind.name}", where="post", expected="COMMAND, EVENT or REQUEST")
        return MeshError(str(error), where="post", expected="what has room in a frame")

    def post_all(self, processes: Iterable[str], **message: Any) -> dict[str, int]:
        """Send one message, encoded once, to several processes, as `post` does: {process: id}.

        Each has it in a stream of its own, so one that is slow or gone keeps no other one waiting.
        """
        return {process: self.post(process, **message) for process in processes}

    def dial(self, process: str, priority: int = Priority.NORMAL) -> None:
        """Connect to a peer before there is a message for it, so that its state is known."""
        if (process, priority) not in self._out:
            self._dial(process, priority)

    def hang_up(self, process: str) -> None:
        """Close the connections to a peer that is not coming back, and forget it; what it has not had is given up."""
        gone: list[Envelope] = []
        for lane in LANES:
            dealer = self._dealers.pop((process, lane), None)
            if dealer is None:
                continue
            self._in_lane[lane].remove(dealer)
            if dealer.waits:
                self._waiting.remove(dealer)
            for priority, stream in dealer.streams.items():
                gone += stream.cut()
                self._out.pop((process, priority), None)
            self.touched.discard(dealer.socket)
            dealer.close()
            self.generation += 1
        self._ways.pop(process, None)
        self._watched.remove(process)
        if self._ring is not None:
            self._ring.forget(process)
        self._pressure.forget(process)
        self.paths.pop(process, None)
        self._anew.pop(process, None)
        self._settled.discard(process)
        self._list_sockets()
        self._give_up(gone, process, "closed")  # last, as the host is told: what it sends then goes a new way

    def redial(self, process: str) -> None:
        """Dial a peer where it is now; what it has not had goes there, as after a connection that broke."""
        now_ns = self._clock()
        self._watched.remove(process)
        for lane in LANES:
            old = self._dealers.get((process, lane))
            if old is None:
                continue
            endpoint = self._endpoint(process, lane)
            dealer = self._new_dealer(lane, self.process, process, endpoint, old.streams)
            dealer.since_ns, dealer.diverted = now_ns, old.diverted
            self._in_lane[lane][self._in_lane[lane].index(old)] = self._dealers[process, lane] = dealer
            self._watched.add(dealer, endpoint, now_ns)
            for each, stream in old.streams.items():
                self._out[process, each] = (stream, dealer)
                self._ways[process][each] = (stream, dealer)
            if old.waits:
                self._waiting.remove(old)
            self.touched.discard(old.socket)
            old.close()
            self.generation += 1
        self._watch_ns = self._due_ns = 0
        self._list_sockets()

    def _dial(self, process: str, priority: int) -> tuple[SendStream, Dealer]:
        lane = LANE_OF.get(priority)
        if lane is None:
            raise MeshError(f"priority {priority!r}", where="post", expected=f"one of {PRIORITIES}")
        now_ns = self._clock()
        dealer = self._dealers.get((process, lane))
        if dealer is None:
            streams = {each: self._new_stream() for each in PRIORITIES if LANE_OF[each] == lane}
            dealer = self._new_dealer(lane, self.process, process, self._endpoint(process, lane), streams)
            dealer.since_ns = now_ns
            self._dealers[process, lane] = dealer
            self._in_lane[lane].append(dealer)
            self._watched.add(dealer, self._endpoint(process, lane), now_ns)
            if self._ring is not None:
                self._ring.follow(process)
            if self._fallbacks:
                paths = self.paths.setdefault(process, self._new_failover("mesh", process, now_ns=now_ns))
                dealer.diverted = paths.degraded
            for each, stream in streams.items():
                self._out[process, each] = (stream, dealer)
                self._ways.setdefault(process, [None] * (max(PRIORITIES) + 1))[each] = (stream, dealer)
            self.generation += 1
            self._list_sockets()
            self._watch_ns = 0
        return self._out[process, priority]

    def _pump(self, dealer: Dealer, now_ns: int) -> None:
        """Give the socket what it takes, smaller priorities first; no more at a time than leaves the host free."""
        ring = self._ring if dealer.urgent else None
        if self.native:
            self.pump(dealer, now_ns)
            return
        send, left = dealer.send, PUMP_LIMIT
        self.touched.add(dealer.socket)
        dealer.open = True
        for stream in dealer.streams.values():
            while stream.unsent:
                if not left:
                    self._due_ns = now_ns
                    return
                left -= 1
                frame = stream.frame(MOST_FRAME_BYTES)
                assert frame is not None
                if ring is not None:
                    ring.write(dealer.peer, frame)
                try:
                    send(frame, NOBLOCK)
                except zmq.Again:
                    dealer.open = False
                    self._due_ns = min(self._due_ns, now_ns + FULL_NS)
                    return
                stream.went(now_ns)
                dealer.sent_ns = now_ns
                self._due_ns = min(self._due_ns, stream.retry_at_ns)

    def _read_dealer(self, dealer: Dealer, out: list[Delivery], limit: int) -> None:
        """As `MeshNode.read_outlet`, through pyzmq."""
        recv = dealer.recv
        dealer.heard = True
        self.touched.add(dealer.socket)
        for _ in range(limit):
            try:
                frame = recv(NOBLOCK)
            except zmq.Again:
                self.touched.discard(dealer.socket)
                break
            if self._read_short(dealer, frame):
                continue
            stream = self.take_answers(dealer, frame, out)
            if stream is not None and stream.empty:
                break  # there is nothing else that this stream waits for
        if dealer.open and not dealer.diverted:
            for stream in dealer.streams.values():
                if stream.unsent:
                    self._pump(dealer, self._clock())
                    break

    def _read_short(self, dealer: Dealer, frame: bytes) -> bool:
        """Whether it is the answer to a beat, which is taken in then."""
        return len(frame) == BEAT_BYTES and self._watched.take_beat(dealer, frame, self._clock())

    def _watch(self, now_ns: int) -> None:
        """Look at the state of every connection, and of every peer."""
        watch_ns = NEVER
        # 0: a monitor may have something to tell, or the dealers are others. What waits in a monitor is found before
        # this is called, whoever polls: its socket is read here alone, and to its end.
        called = self._watch_ns == 0
        if called or now_ns >= self._tend_ns:
            self._tend_ns = now_ns + TEND_NS
            if self._ring is not None:
                self._ring.tend()
        for dealer in tuple(self._dealers.values()) if called else ():
            if self._is_gone(dealer):
                continue
            changes = dealer.monitor.changes()
            if changes:
                if dealer.up and changes[-1]:
                    # Gone and back between two looks: it may be another life, so the host hears of it all the same.
                    dealer.up, dealer.lost = False, True
                    self._watched.judge(dealer.peer, now_ns)
                dealer.lost = not changes[-1] and (dealer.up or dealer.lost or True in changes)
                if dealer.up != changes[-1]:
                    dealer.since_ns = now_ns
                dealer.up = changes[-1]
                dealer.open = False
                self._watched.judge(dealer.peer, now_ns)
                if dealer.up and not dealer.diverted and not self._is_gone(dealer):
                    self._return(dealer, now_ns)
        for peer, paths in tuple(self.paths.items()):
            if self.paths.get(peer) is paths:
                watch_ns = min(watch_ns, self._choose(peer, paths, now_ns))
        self._watch_ns = watch_ns = min(watch_ns, self._watched.look(now_ns))
        # Nothing is pressing: a host that is awake some time before need not be woken for it.
        self.early_ns = watch_ns - EARLY_NS if watch_ns - now_ns > 2 * EARLY_NS else NEVER
        self._watched_sent = self.sent
        self._pressure.look(self._out, now_ns)

    def look_early(self, now_ns: int) -> None:
        """What `tick` would look at a little later, for a host that is awake now."""
        if now_ns >= self.early_ns:
            self._watch(now_ns)
            if self._unknown:
                self._due_ns = 0  # it is told by the next `tick`

    def _is_gone(self, dealer: Dealer) -> bool:
        """Whether the host has hung up, or dialled anew, when it was called back."""
        return self._dealers.get((dealer.peer, dealer.lane)) is not dealer

    def divert(self, process: str, past: bool) -> None:
        """Let what is pending for a peer go past ZeroMQ, over the other carriers, whether that reaches it or not."""
        for (peer, _), dealer in self._dealers.items():
            if peer == process:
                dealer.forced = past
        self._watch_ns = 0

    def _choose(self, peer: str, paths: Failover, now_ns: int) -> int:
        """Take the path to a peer that the table says; returns when to look again."""
        dealers = [dealer for (name, _), dealer in self._dealers.items() if name == peer]
        well = not paths.degraded and all(dealer.up and not dealer.forced for dealer in dealers)
        if well and peer in self._settled:
            return NEVER
        forced = any(dealer.forced for dealer in dealers)
        reached = all(dealer.up for dealer in dealers) and not forced
        gone = "disconnected" if any(dealer.lost for dealer in dealers) else "not connected yet"
        paths.report(SOCKETS, reached, now_ns, "connected" if reached else "told to" if forced else gone)
        for carrier in self._fallbacks:
            if carrier.on_demand and reached and not paths.degraded:
                paths.report(carrier.name, False, now_ns, "not tried")
                continue
            usable = carrier.usable(peer)
            paths.report(carrier.name, usable, now_ns, "" if usable else getattr(carrier, "cause", ""))
        anew = self._anew.get(peer)
        if anew and anew[0] <= now_ns:
            # What the receiver had begun when the way before broke: its reply went that way.
            anew.pop(0)
            for dealer in dealers:
                for stream in dealer.streams.values():
                    if stream.requests:
                        self._go_back(dealer, stream)
        change = paths.step(now_ns)
        if change is not None:
            for dealer in dealers:
                dealer.diverted = paths.degraded
                (self._divert if dealer.diverted else self._return)(dealer, now_ns)
            anew = self._anew[peer] = [now_ns + each_ns for each_ns in ANEW_NS]
            self._tell(self.on_path, peer, change.before, change.after, change.cause)
        due_ns = min(paths.due_ns, anew[0]) if anew else paths.due_ns
        # Others would have been asked whether they are usable.
        if well and due_ns == NEVER and all(carrier.on_demand for carrier in self._fallbacks):
            self._settled.add(peer)
        else:
            self._settled.discard(peer)
        return min(due_ns, now_ns + LOOK_NS) if paths.degraded else due_ns

    def _go_back(self, dealer: Dealer, stream: SendStream) -> None:
        """Another way to the receiver is open: send what has not arrived, and ask about what has."""
        self._send_again(dealer, stream, stream.resume)
        if stream.requests:
            # Replies were lost with the way before; as long as others come, no retry would be due for them.
            self._send_again(dealer, stream, stream.resume)

    def _divert(self, dealer: Dealer, now_ns: int) -> None:
        for stream in dealer.streams.values():
            self._go_back(dealer, stream)
        self._pump_past(dealer, now_ns)

    def _return(self, dealer: Dealer, now_ns: int) -> None:
        for stream in dealer.streams.values():
            self._go_back(dealer, stream)
        self._pump(dealer, now_ns)
        self._due_ns = 0

    def _usable(self, peer: str) -> list[Carrier]:
        """The carriers from the path that is taken downwards, as far as they are usable; all before it are not good."""
        paths = self.paths[peer]
        below = paths.paths[paths.paths.index(paths.path) :]
        return [carrier for carrier in self._fallbacks if carrier.name in below and carrier.usable(peer)]

    def _pump_past(self, dealer: Dealer, now_ns: int) -> None:
        """Give other carriers what they take, as `_pump` does for the socket."""
        usable = self._usable(dealer.peer)
        if not usable:
            self._due_ns = min(self._due_ns, now_ns + LOOK_NS)
            return
        mask = 0
        for carrier in usable:
            mask |= carrier.path
        left = PUMP_LIMIT
        for stream in dealer.streams.values():
            while (envelope := stream.peek()) is not None:
                if envelope.kind <= REQUEST and len(envelope.payload) > MOST_FRAME_BYTES:
                    size = len(pack([envelope]))
                    for carrier in usable:
                        if size > carrier.most_bytes:
                            envelope.paths &= ~carrier.path
                if envelope.kind <= REQUEST and not envelope.paths & mask:
                    # What is behind it waits too: a stream is in order. But nothing waits that takes risk away.
                    withhold_ns = dealer.since_ns + self._withhold_ns
                    hurries = now_ns < withhold_ns
                    if hurries and not stream.hurries(mask):
                        self._due_ns = min(self._due_ns, withhold_ns)
                        break
                    gone = stream.withdraw(mask, hurries)
                    self._give_up(gone, dealer.peer, "path")
                    if not gone:
                        self._due_ns = min(self._due_ns, now_ns + LOOK_NS)
                        break
                    continue
                if not left or not self._send_past(dealer, stream, envelope, usable):
                    self._due_ns = min(self._due_ns, now_ns + (FULL_NS if left else 0))
                    return
                left -= 1
                if envelope.paths & AT_ONCE and envelope.kind <= REQUEST:
                    stream.sent(envelope, now_ns)
                else:
                    stream.went(now_ns)
                self._due_ns = min(self._due_ns, stream.retry_at_ns)

    def _send_past(self, dealer: Dealer, stream: SendStream, envelope: Envelope, usable: Sequence[Carrier]) -> bool:
        """Whether at least one carrier has taken a frame that begins with this envelope."""
        paths = envelope.paths if envelope.kind <= REQUEST else ALL
        if paths & AT_ONCE:
            frame = pack([envelope])
            if dealer.up:
                self._send_copy(dealer, frame)
            every = [carrier for carrier in self._fallbacks if carrier.usable(dealer.peer)]
            taken = [carrier.send(dealer.peer, dealer.lane, frame) for carrier in ways(every, paths)]
            return any(taken)
        for carrier in ways(usable, paths):
            frames = stream.frame(MOST_FRAME_BYTES, carrier.path)
            assert frames is not None
            if carrier.send(dealer.peer, dealer.lane, frames):
                return True
        return False

    def _send_copy(self, dealer: Dealer, frame: bytes) -> None:
        """Over the sockets too, for what takes every path."""
        self.touched.add(dealer.socket)
        with suppress(zmq.Again):
            dealer.send(frame, NOBLOCK)

    def _work(self, now_ns: int) -> None:
        due_ns = NEVER
        for dealer in tuple(self._dealers.values()):
            for stream in dealer.streams.values():
                if stream.live:
                    self._give_up(stream.expire(now_ns), dealer.peer, "deadline")
                if self._is_gone(dealer):
                    break
                if dealer.up or dealer.diverted:
                    self._send_again(dealer, stream, partial(stream.retry, now_ns))
                elif stream.retry_at_ns and stream.retry_at_ns <= now_ns:
                    stream.retry_at_ns = now_ns + self._retry_ns
            if self._is_gone(dealer):
                continue
            if dealer.up or dealer.diverted:
                self._due_ns = NEVER
                (self._pump_past if dealer.diverted else self._pump)(dealer, now_ns)
                due_ns = min(due_ns, self._due_ns)
            for stream in dealer.streams.values():
                if not stream.empty and stream.due_ns:
                    due_ns = min(due_ns, stream.due_ns)
        self._due_ns = due_ns

    def _send_again(self, dealer: Dealer, stream: SendStream, ask: Callable[[], list[Envelope]]) -> None:
        before = stream.retried
        envelopes = ask()
        self.retried += stream.retried - before
        if dealer.diverted:
            usable = self._usable(dealer.peer)
            for envelope in envelopes:
                paths = envelope.paths if envelope.kind <= REQUEST else ALL
                for carrier in ways(usable, paths):
                    if carrier.send(dealer.peer, dealer.lane, pack([envelope])) and not paths & AT_ONCE:
                        break
            return
        self.touched.add(dealer.socket)
        for envelope in envelopes:
            try:
                dealer.send(pack([envelope]), NOBLOCK)
            except zmq.Again:
                return

    def peers(self) -> dict[str, PeerState]:
        """The peers that were dialled."""
        pending = dict.fromkeys(self._watched.names(), 0)
        for (peer, _), (stream, _) in self._out.items():
            pending[peer] += stream.live
        return self._watched.states(pending)

    def pressure(self, process: str, priority: int) -> Pressure:
        """How full the stream to a peer is."""
        stream, _ = self._out.get((process, priority), (None, None))
        return self._pressure.of((process, priority), stream, self._clock())

    def pressures(self) -> dict[tuple[str, int], Pressure]:
        """{(peer, priority): how full the stream is} of those that hold anything."""
        now_ns = self._clock()
        return {key: self._pressure.of(key, stream, now_ns) for key, (stream, _) in self._out.items() if stream.live}

    def is_pressed(self, process: str, priority: int) -> bool:
        """Whether the stream to a peer is above its high mark."""
        found = self._out.get((process, priority))
        return found is not None and found[0].live >= self._pressure.high

    def try_post(self, process: str, *, priority: int = Priority.NORMAL, **message: Any) -> int:
        """As `post`, but where the stream has no room: then FULL (0), and nothing is cut or sent."""
        found = self._out.get((process, priority))
        if found is not None and found[0].live >= self._pending_limit:
            self._pressure.full += 1
            return FULL
        return self.post(process, priority=priority, **message)

    def pending(self) -> int:
        """Messages held: not acknowledged, or requests without an answer."""
        return sum(stream.live for stream, _ in self._out.values())

    def _close_outbox(self) -> None:
        for (peer, _), (stream, _) in tuple(self._out.items()):
            self._bury(stream.cut(), peer, "closed")
        for dealer in self._dealers.values():
            dealer.close()
        self._watched.close()
        for carrier in self._fallbacks:
            carrier.close()
        if self._ring is not None:
            self._ring.close()
        self._out.clear()
        self._ways.clear()
        self._dealers.clear()

    def _give_up(self, envelopes: list[Envelope], peer: str, reason: str) -> None:
        """Make dead letters of own messages; a request among them becomes unknown."""
        self._unknown += [each.id for each in envelopes if each.kind is REQUEST]
        self._bury(envelopes, peer, reason)
