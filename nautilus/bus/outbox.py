"""The sending half of a node of the mesh: streams to peers, the dealers they go over, answers that come back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
import zmq

from nautilus.bus.envelope import (
    LANE_OF,
    LANES,
    PRIORITIES,
    UNREADABLE,
    Answer,
    Delivery,
    Envelope,
    MessageKind,
    PeerState,
)
from nautilus.bus.lanes import EVERY, NOBLOCK, NONE, Dealer
from nautilus.bus.liveness import PeerChange
from nautilus.bus.node import MeshError, Node
from nautilus.bus.peers import BUSY_WATCH_NS, Peers
from nautilus.bus.send_stream import SendStream
from nautilus.core.counters import Counters
from nautilus.model.enums import Priority

REQUEST = MessageKind.REQUEST
NEVER = 1 << 62
FULL_NS = 1_000_000
"""Until a socket that took nothing more is tried again."""
PUMP_LIMIT = 16
"""Messages that are sent in one go; the others follow with the next `tick`."""


class Outbox(Node):
    """Sends: `post`, `dial`. What is due is done by `_work`."""

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
        counters: Counters | None,
    ) -> None:
        self.generation = 0
        """Moves when `sockets` changes."""
        self.on_peer: Callable[[str, bool], None] | None = None
        self.on_standing: Callable[[PeerChange], None] | None = None
        """Called when a peer is in another standing, or for another cause: see `liveness`."""
        self._endpoint = endpoint
        self._pending_limit = pending_limit
        self._retry_ns = retry_ns
        self._new_stream = partial(
            SendStream, self.epoch, window=window, retry_ns=retry_ns, retry_limit_ns=retry_limit_ns
        )
        self._new_dealer = partial(
            Dealer, self._context, high_water=high_water, heartbeat_ms=heartbeat_ms, silence_ms=silence_ms
        )
        self._decode_answer = msgspec.msgpack.Decoder(Answer).decode
        self._last_id = 0
        self._due_ns = NEVER
        self._watch_ns = self._watched_sent = 0
        self._unknown: list[int] = []
        self._watched = Peers(
            lambda change: self._tell(self.on_standing, change),
            lambda peer, up: self._tell(self.on_peer, peer, up),
            self.touched,
            counters,
        )
        # (peer, priority) -> its stream and the dealer it goes over
        self._out: dict[tuple[str, int], tuple[SendStream, Dealer]] = {}
        self._dealers: dict[tuple[str, str], Dealer] = {}
        self._in_lane: dict[str, list[Dealer]] = {lane: [] for lane in LANES}

    def post(
        self,
        process: str,
        *,
        to: str,
        sender: str,
        kind: MessageKind,
        payload: bytes,
        priority: int = Priority.NORMAL,
        deadline_ns: int = 0,
        trace_id: int = 0,
    ) -> int:
        """Send a message to an engine of a process; returns its id, by which replies know it.

        `deadline_ns` 0: it is held for ever, or until its stream is cut. Never waits: whether the peer is there or
        not, the message is taken.
        """
        if kind > REQUEST:
            raise MeshError(f"a message of kind {kind.name}", where="post", expected="COMMAND, EVENT or REQUEST")
        stream, dealer = self._out.get((process, priority)) or self._dial(process, priority)
        if stream.live >= self._pending_limit:
            self._give_up(stream.cut(), process, "cut")
            self._due_ns = 0
        self._last_id = number = self._last_id + 1
        envelope = Envelope(kind, number, self.epoch, 0, 0, priority, deadline_ns, trace_id, sender, to, payload)
        self.sent += 1
        if stream.append(envelope) and priority <= dealer.open_to:
            self.touched.add(dealer.socket)
            now_ns = self._clock()
            try:
                dealer.send(self._encode(envelope), NOBLOCK)
            except zmq.Again:
                dealer.open_to = NONE
                self._due_ns = min(self._due_ns, now_ns + FULL_NS)
            else:
                stream.sent(envelope, now_ns)
        due_ns = stream.retry_at_ns
        if due_ns and due_ns < self._due_ns:
            self._due_ns = due_ns
        if deadline_ns and deadline_ns < self._due_ns:
            self._due_ns = deadline_ns
        return number

    def dial(self, process: str, priority: int = Priority.NORMAL) -> None:
        """Connect to a peer before there is a message for it, so that its state is known."""
        if (process, priority) not in self._out:
            self._dial(process, priority)

    def _dial(self, process: str, priority: int) -> tuple[SendStream, Dealer]:
        lane = LANE_OF.get(priority)
        if lane is None:
            raise MeshError(f"priority {priority!r}", where="post", expected=f"one of {PRIORITIES}")
        now_ns = self._clock()
        dealer = self._dealers.get((process, lane))
        if dealer is None:
            streams = {each: self._new_stream() for each in PRIORITIES if LANE_OF[each] == lane}
            dealer = self._new_dealer(lane, self.process, process, self._endpoint(process, lane), streams)
            self._dealers[process, lane] = dealer
            self._in_lane[lane].append(dealer)
            self._watched.add(dealer, self._endpoint(process, lane), now_ns)
            for each, stream in streams.items():
                self._out[process, each] = (stream, dealer)
            self.generation += 1
            self._list_sockets()
            self._watch_ns = 0
        return self._out[process, priority]

    def _pump(self, dealer: Dealer, now_ns: int) -> None:
        """Give the socket what it takes, smaller priorities first; no more at a time than leaves the host free."""
        send, encode = dealer.send, self._encode
        left = PUMP_LIMIT
        self.touched.add(dealer.socket)
        for priority, stream in dealer.streams.items():
            while (envelope := stream.peek()) is not None:
                if not left:
                    dealer.open_to = priority
                    self._due_ns = now_ns
                    return
                left -= 1
                try:
                    send(encode(envelope), NOBLOCK)
                except zmq.Again:
                    dealer.open_to = NONE
                    self._due_ns = min(self._due_ns, now_ns + FULL_NS)
                    return
                stream.sent(envelope, now_ns)
        dealer.open_to = EVERY

    def _read_dealer(self, dealer: Dealer, out: list[Delivery], limit: int) -> None:
        recv, decode, streams = dealer.recv, self._decode_answer, dealer.streams
        more = dealer.open_to != EVERY
        now_ns = 0
        dealer.heard = True
        self.touched.add(dealer.socket)
        for _ in range(limit):
            try:
                frame = recv(NOBLOCK)
            except zmq.Again:
                self.touched.discard(dealer.socket)
                break
            try:
                answer = decode(frame)
                stream = streams[answer.priority]
            except (*UNREADABLE, KeyError):
                if not self._watched.take_beat(dealer, frame, self._clock()):
                    self.malformed += 1
                continue
            if answer.epoch != self.epoch:
                self.stale += 1
                continue
            request = stream.answered_alone(answer)
            if request is not None:
                self.acknowledged += 1
            else:
                now_ns = now_ns or self._clock()
                before = stream.acknowledged
                request = stream.answered(answer, now_ns)
                self.acknowledged += stream.acknowledged - before
                more = more or stream.cursor < stream.next_sequence
            if request is not None:
                out.append(
                    Delivery(
                        answer.kind,
                        answer.id,
                        dealer.peer,
                        request.to,
                        request.sender,
                        answer.payload,
                        answer.priority,
                        request.deadline_ns,
                        request.trace_id,
                    )
                )
            if not stream.held:
                break  # there is nothing else that this stream waits for
        if more:
            self._due_ns = 0  # `tick` sends what there is room for now

    def _watch(self, now_ns: int) -> None:
        """Look at the state of every connection, and of every peer."""
        for dealer in self._dealers.values():
            changes = dealer.monitor.changes()
            if changes:
                if dealer.up and changes[-1]:
                    # Gone and back between two looks: it may be another life, so the host hears of it all the same.
                    dealer.up, dealer.lost = False, True
                    self._watched.judge(dealer.peer, now_ns)
                dealer.lost = not changes[-1] and (dealer.up or dealer.lost or True in changes)
                dealer.up = changes[-1]
                dealer.open_to = NONE
                self._watched.judge(dealer.peer, now_ns)
                if dealer.up:
                    for stream in dealer.streams.values():
                        self._send_again(dealer, stream, stream.resume)
                    self._pump(dealer, now_ns)
                    self._due_ns = 0
        self._watch_ns = self._watched.look(now_ns)
        self._watched_sent = self.sent

    def _watch_soon(self, now_ns: int) -> None:
        """Something was sent: whether it is answered is to be seen."""
        self._watched_sent = self.sent
        self._watch_ns = min(self._watch_ns, now_ns + BUSY_WATCH_NS)

    def _work(self, now_ns: int) -> None:
        due_ns = NEVER
        for dealer in self._dealers.values():
            for stream in dealer.streams.values():
                if stream.live:
                    self._give_up(stream.expire(now_ns), dealer.peer, "deadline")
                if dealer.up:
                    self._send_again(dealer, stream, partial(stream.retry, now_ns))
                elif stream.retry_at_ns and stream.retry_at_ns <= now_ns:
                    stream.retry_at_ns = now_ns + self._retry_ns
            if dealer.up:
                self._due_ns = NEVER
                self._pump(dealer, now_ns)
                due_ns = min(due_ns, self._due_ns)
            for stream in dealer.streams.values():
                if stream.held and stream.due_ns:
                    due_ns = min(due_ns, stream.due_ns)
        self._due_ns = due_ns

    def _send_again(self, dealer: Dealer, stream: SendStream, ask: Callable[[], list[Envelope]]) -> None:
        before = stream.retried
        envelopes = ask()
        self.touched.add(dealer.socket)
        self.retried += stream.retried - before
        for envelope in envelopes:
            try:
                dealer.send(self._encode(envelope), NOBLOCK)
            except zmq.Again:
                return

    def peers(self) -> dict[str, PeerState]:
        """The peers that were dialled."""
        pending = dict.fromkeys(self._watched.names(), 0)
        for (peer, _), (stream, _) in self._out.items():
            pending[peer] += stream.live
        return self._watched.states(pending)

    def pending(self) -> int:
        """Messages held: not acknowledged, or requests without an answer."""
        return sum(stream.live for stream, _ in self._out.values())

    def _close_outbox(self) -> None:
        for (peer, _), (stream, _) in self._out.items():
            self._bury(stream.cut(), peer, "closed")
        for dealer in self._dealers.values():
            dealer.close()
        self._watched.close()
        self._out.clear()
        self._dealers.clear()

    def _give_up(self, envelopes: list[Envelope], peer: str, reason: str) -> None:
        """Make dead letters of own messages; a request among them becomes unknown."""
        self._unknown += [each.id for each in envelopes if each.kind is REQUEST]
        self._bury(envelopes, peer, reason)
