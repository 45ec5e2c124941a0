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
- A message that was not acknowledged ends as a dead letter with a reason: "deadline", "cut", "closed"; a message that
  comes after its deadline is not delivered but ends so at the receiver: "late". Nothing is dropped without one, but by
  the end of this process itself.
- A stream that holds `pending_limit` messages is cut: it gives up all of them, and goes on with the next. The receiver
  is told of what the sender gave up and it has not had: `on_gap`.
- The two urgent priorities have sockets and an I/O thread of their own; within a lane the smaller priority goes first,
  past what waits in this process (at most `window` messages of a stream are under way).
- A peer that is gone or hangs is down within `heartbeat_ms` + `silence_ms`, plus the time until the next `tick`.

Nothing here waits, starts a thread, or raises for what came over the wire: what cannot be read is counted
(`malformed`). The host polls `sockets`, then calls `receive`, `done` for each delivery, and `tick`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import msgspec
import zmq
from zmq.backend import zmq_poll

from nautilus.bus.envelope import (
    LANE_OF,
    LANES,
    NORMAL,
    PRIORITIES,
    URGENT,
    Answer,
    DeadLetter,
    Delivery,
    Envelope,
    MessageKind,
    PeerState,
    error_payload,
)
from nautilus.bus.lanes import EVERY, NOBLOCK, NONE, POLLIN, RCVMORE, SNDMORE_NOBLOCK, Dealer, Inbound, Peer, Router
from nautilus.bus.streams import AHEAD, DELIVER, DUPLICATE, REFUSED, SendStream, Verdict
from nautilus.bus.tally import Tally
from nautilus.core.counters import Counters
from nautilus.model.enums import Priority
from nautilus.model.errors import BusError, NautilusError

REQUEST, REPLY, ERROR = MessageKind.REQUEST, MessageKind.REPLY, MessageKind.ERROR
ACKNOWLEDGED, RESEND = MessageKind.ACKNOWLEDGED, MessageKind.RESEND
COUNTED = ("sent", "acknowledged", "retried", "dead_lettered", "duplicates", "received")
DEAD_LETTERS_KEPT = 1_000
NEVER = 1 << 62
ALL = "all"
FULL_NS = 1_000_000
"""Until a socket that took nothing more is tried again."""
PUMP_LIMIT = 32
"""Messages that are sent in one go; the others follow with the next `tick`."""
WATCH_NS = 10_000_000
"""Between looks at the state of connections; a tenth of it while a connection that is needed does not stand."""


def _rank(reader: Dealer | Router) -> int:
    return reader.rank


class MeshError(BusError):
    """A message that the mesh cannot take."""

    code = "bus.mesh"


class ReplyDroppedError(BusError):
    """A request was handled, but its reply is not kept any more."""

    code = "bus.reply_dropped"


class LateError(BusError):
    """A request came after its deadline and was not handled."""

    code = "bus.late"


class Mesh:
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
    on_gap
        Called with (peer, priority, first, last): the peer gave these messages up, they will not come.
    on_peer
        Called with (peer, up) when the connections to a dialled peer stand, or stand no longer.
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
    malformed, stale, ahead, late, unanswerable
        Frames that cannot be read; of an earlier life; out of order; messages that came late; answers to the gone.
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
        pending_limit: int = 65_536,
        window: int = 256,
        high_water: int = 1_000,
        retry_ns: int = 50_000_000,
        retry_limit_ns: int = 500_000_000,
        heartbeat_ms: int = 15,
        silence_ms: int = 25,
        on_gap: Callable[[str, int, int, int], None] | None = None,
        on_peer: Callable[[str, bool], None] | None = None,
        on_restart: Callable[[str, int], None] | None = None,
        on_dead_letters: Callable[[list[DeadLetter]], None] | None = None,
    ) -> None:
        self.process = process
        self.epoch = epoch
        self.generation = 0
        """Moves when `sockets` changes."""
        self.touched: set[zmq.Socket[bytes]] = set()
        """Sockets to be looked at themselves before the host waits for their descriptors, which may say nothing of what
        waits there: they were sent to, which takes in what had come, or read from and perhaps not emptied."""
        self.sent = self.acknowledged = self.retried = self.dead_lettered = self.received = self.duplicates = 0
        self.malformed = self.stale = self.ahead = self.late = self.unanswerable = 0
        self.dead_letters: deque[DeadLetter] = deque(maxlen=DEAD_LETTERS_KEPT)
        self.on_gap = on_gap
        self.on_peer = on_peer
        self.on_restart = on_restart
        self.on_dead_letters = on_dead_letters
        self._context = context
        self._endpoint = endpoint
        self._clock = clock
        self._pending_limit = pending_limit
        self._high_water = high_water
        self._stream_options = {"window": window, "retry_ns": retry_ns, "retry_limit_ns": retry_limit_ns}
        self._heartbeat = {"heartbeat_ms": heartbeat_ms, "silence_ms": silence_ms}
        self._tally = Tally(counters, "mesh", self, COUNTED)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode_envelope = msgspec.msgpack.Decoder(Envelope).decode
        self._decode_answer = msgspec.msgpack.Decoder(Answer).decode
        self._last_id = 0
        self._due_ns = NEVER
        self._watch_ns = 0
        self._open = 0
        self._unknown: list[int] = []
        self._answers_due: list[Inbound] = []
        self._peers_in: dict[bytes, Peer] = {}
        self._peer_up: dict[str, tuple[bool, int]] = {}
        # (peer, priority) -> its stream and the dealer it goes over
        self._out: dict[tuple[str, int], tuple[SendStream, Dealer]] = {}
        self._dealers: dict[tuple[str, str], Dealer] = {}
        self._in_lane: dict[str, list[Dealer]] = {lane: [] for lane in LANES}
        self._routers: dict[str, Router] = {}
        self._items: dict[str, list[tuple[Any, int]]] = {}
        self._readers: dict[str, dict[Any, Dealer | Router]] = {}
        try:
            for lane in LANES:
                self._routers[lane] = Router(context, lane, endpoint(process, lane), high_water)
        except BaseException:
            self.close()
            raise
        self._list_sockets()

    # What the host waits for

    def sockets(self) -> list[zmq.Socket[bytes]]:
        """To be polled for reading; the urgent lane first. It changes when `generation` does."""
        return [socket for socket, _ in self._items[ALL]]

    def _list_sockets(self) -> None:
        for lane in LANES:
            sockets = [self._routers[lane].socket, *(dealer.socket for dealer in self._in_lane[lane])]
            self._items[lane] = [(socket, POLLIN) for socket in sockets]
            readers: dict[Any, Dealer | Router] = {dealer.socket: dealer for dealer in self._in_lane[lane]}
            self._readers[lane] = {self._routers[lane].socket: self._routers[lane], **readers}
        self._items[ALL] = self._items[URGENT] + self._items[NORMAL]
        self._readers[ALL] = {**self._readers[URGENT], **self._readers[NORMAL]}
        self.generation += 1

    @property
    def next_due_ns(self) -> int:
        """When `tick` has something to do, whatever comes before."""
        return min(self._due_ns, self._watch_ns)

    # Sending

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
            self._bury(stream.cut(), process, "cut")
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
        elif not dealer.up:
            self._watch_ns = 0
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
            streams = {
                each: SendStream(self.epoch, **self._stream_options) for each in PRIORITIES if LANE_OF[each] == lane
            }
            dealer = Dealer(
                self._context,
                lane,
                self.process,
                process,
                self._endpoint(process, lane),
                streams,
                high_water=self._high_water,
                now_ns=now_ns,
                **self._heartbeat,
            )
            self._dealers[process, lane] = dealer
            self._in_lane[lane].append(dealer)
            self._peer_up.setdefault(process, (dealer.up, now_ns))
            for each, stream in streams.items():
                self._out[process, each] = (stream, dealer)
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

    # Receiving

    def receive(self, limit: int = 64, *, ready: Iterable[Any] | None = None, urgent: bool = False) -> list[Delivery]:
        """What has come, at most about `limit` messages, the urgent lane first; each is to be given to `done`.

        `ready` holds the sockets that a poll found readable (None: not known); `urgent` looks at the urgent lane only.
        """
        out: list[Delivery] = []
        lane = URGENT if urgent else ALL
        if ready is None:
            ready = [socket for socket, _ in zmq_poll(self._items[lane], 0)]
        readers = self._readers[lane]
        found = [readers[item] for item in ready if item in readers]
        if not found:
            return out
        if len(found) > 1:
            found.sort(key=_rank)
        now_ns = self._clock()
        for reader in found:
            if isinstance(reader, Dealer):
                self._read_dealer(reader, out, limit, now_ns)
            else:
                self._read_router(reader, out, limit - len(out), now_ns)
        self._open += len(out)
        if self._answers_due and not self._open:
            self._send_answers()
        return out

    def _read_router(self, router: Router, out: list[Delivery], limit: int, now_ns: int) -> None:
        recv, decode, inbound = router.recv, self._decode_envelope, router.inbound
        self.touched.add(router.socket)
        for _ in range(limit):
            try:
                identity = recv(NOBLOCK)
            except zmq.Again:
                self.touched.discard(router.socket)
                break
            sources = inbound.get(identity)
            if sources is None:
                sources = self._meet(router, identity)
                if sources is None:
                    continue
            frame = recv(NOBLOCK)
            try:
                envelope = decode(frame)
                source = sources[envelope.priority]
            except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
                self.malformed += 1
                router.skip_rest()
                continue
            peer, stream = source.peer, source.stream
            if envelope.epoch != peer.epoch and not self._enter(peer, envelope.epoch):
                continue
            verdict = stream.accept(envelope)
            if stream.skipped is not None and self.on_gap is not None:
                self.on_gap(peer.name, source.priority, *stream.skipped)
            if verdict is not DELIVER:
                self._turn_away(source, envelope, verdict)
                continue
            if envelope.deadline_ns and envelope.deadline_ns <= now_ns:
                self._refuse_late(source, envelope, now_ns)
                continue
            self.received += 1
            out.append(
                Delivery(
                    envelope.kind,
                    envelope.id,
                    peer.name,
                    envelope.sender,
                    envelope.to,
                    envelope.payload,
                    envelope.priority,
                    envelope.deadline_ns,
                    envelope.trace_id,
                    envelope.epoch,
                    envelope.sequence,
                    source,
                )
            )
            if envelope.sequence == envelope.base:
                # The sender waits for this one alone, so there is most likely nothing behind it. To be told so would
                # cost as much as the message did; the host's next poll tells it for nothing.
                break

    def _turn_away(self, source: Inbound, envelope: Envelope, verdict: Verdict) -> None:
        """What is not delivered is answered nevertheless, so that the sender knows how far things are."""
        stream = source.stream
        if verdict is DUPLICATE:
            self.duplicates += 1
            self._answer_again(source, envelope)
        elif verdict is AHEAD:
            self.ahead += 1
            if stream.missing != stream.expected:
                stream.missing = stream.expected
                self._answer(source, Answer(RESEND, 0, stream.epoch, self.epoch, source.priority, 0, 0))
        elif verdict is REFUSED:
            self.stale += 1
        else:
            self._acknowledge(source)

    def _meet(self, router: Router, identity: bytes) -> dict[int, Inbound] | None:
        """The streams of a peer that had not dialled before; None where that was no identity."""
        try:
            name = identity.decode()
        except UnicodeDecodeError:
            name = ""
        # The last frame of a message is no identity, and one that begins with a zero byte is not of the mesh.
        if not router.get(RCVMORE) or not name or name[0] == "\0":
            self.malformed += 1
            router.skip_rest()
            return None
        lane = URGENT if router is self._routers[URGENT] else NORMAL
        peer = self._peers_in.setdefault(identity, Peer(identity, name))
        sources = router.inbound[identity] = {
            priority: Inbound(router, peer, priority) for priority in PRIORITIES if LANE_OF[priority] == lane
        }
        return sources

    def _enter(self, peer: Peer, epoch: int) -> bool:
        """A peer speaks in another epoch than last; False where that is an earlier life of it."""
        if epoch < peer.epoch:
            self.stale += 1
            return False
        peer.epoch = epoch
        if self.on_restart is not None:
            self.on_restart(peer.name, epoch)
        return True

    def _refuse_late(self, source: Inbound, envelope: Envelope, now_ns: int) -> None:
        self.late += 1
        source.stream.finish(envelope.sequence)
        self._bury([envelope], source.peer.name, "late", now_ns)
        if envelope.kind is REQUEST:
            error = LateError("the request came after its deadline", where=envelope.to, expected="an earlier arrival")
            self._answer_error(source, envelope, error)
        else:
            self._acknowledge(source)

    def _answer_again(self, source: Inbound, envelope: Envelope) -> None:
        """The sender has not heard of something that was delivered before: tell it how far things are."""
        stream = source.stream
        answer = stream.replies.get(envelope.sequence)
        if answer is not None:
            self._answer(source, answer)
        elif envelope.kind is REQUEST and stream.finished(envelope.sequence):
            error = ReplyDroppedError("the reply is not kept any more", where=envelope.to, expected="fewer requests")
            self._answer_error(source, envelope, error)
        else:
            self._acknowledge(source)

    def _answer_error(self, source: Inbound, envelope: Envelope, error: BusError) -> None:
        payload = error_payload(error.as_dict())
        answer = Answer(ERROR, envelope.id, envelope.epoch, self.epoch, source.priority, 0, 0, payload)
        source.stream.keep(envelope.sequence, answer)
        self._answer(source, answer)

    def _read_dealer(self, dealer: Dealer, out: list[Delivery], limit: int, now_ns: int) -> None:
        recv, decode, streams = dealer.recv, self._decode_answer, dealer.streams
        more = dealer.open_to != EVERY
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
            except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
                self.malformed += 1
                continue
            if answer.epoch != self.epoch:
                self.stale += 1
                continue
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
        if dealer.up and more:
            self._pump(dealer, now_ns)

    # After the handler

    def done(
        self, delivery: Delivery, reply: bytes | None = None, error: NautilusError | Mapping[str, str] | None = None
    ) -> None:
        """The handler of a delivery has run: acknowledge it; answer it where it is a request.

        It may be called later and in another order than that of delivery; until then the sender holds the message. A
        request without reply or error is answered with an empty reply.
        """
        source = delivery.source
        if self._open:
            self._open -= 1
        if source is None:
            if self._answers_due and not self._open:
                self._send_answers()
            return
        delivery.source = None
        stream = source.stream
        if delivery.epoch != stream.epoch:
            # The sender has another life since: nobody waits for this.
            self.unanswerable += 1
        elif stream.finish(delivery.sequence):
            if delivery.kind is REQUEST:
                kind, payload = REPLY, reply or b""
                if error is not None:
                    kind = ERROR
                    payload = error_payload(error.as_dict() if isinstance(error, NautilusError) else error)
                answer = Answer(kind, delivery.id, delivery.epoch, self.epoch, source.priority, 0, 0, payload)
                stream.keep(delivery.sequence, answer)
                self._answer(source, answer)
            else:
                self._acknowledge(source)
        if self._answers_due and not self._open:
            self._send_answers()

    def _acknowledge(self, source: Inbound) -> None:
        if not source.due:
            source.due = True
            self._answers_due.append(source)

    def _answer(self, source: Inbound, answer: Answer) -> None:
        """Send an answer with the numbers of now; one that is lost is asked for again."""
        stream, router = source.stream, source.router
        answer.received = stream.expected - 1
        answer.handled = stream.handled
        frame = self._encode(answer)
        self.touched.add(router.socket)
        try:
            router.send(source.peer.identity, SNDMORE_NOBLOCK)
            router.send(frame, NOBLOCK)
        except zmq.ZMQError:  # the peer is gone, or reads nothing
            self.unanswerable += 1

    def _send_answers(self) -> None:
        due, self._answers_due = self._answers_due, []
        for source in due:
            source.due = False
            self._answer(source, Answer(ACKNOWLEDGED, 0, source.stream.epoch, self.epoch, source.priority, 0, 0))

    # Time

    def tick(self, now_ns: int) -> list[int]:
        """Send what is due: acknowledgements, retries. Returns ids of own requests whose fate is unknown from now on.

        To be called in each round of the host; it costs next to nothing until `next_due_ns`.
        """
        if self._answers_due:
            self._send_answers()
        if now_ns >= self._watch_ns:
            self._watch(now_ns)
        if now_ns >= self._due_ns:
            self._work(now_ns)
        self._tally.write()
        unknown, self._unknown = self._unknown, []
        return unknown

    def _watch(self, now_ns: int) -> None:
        """Look at the state of every connection."""
        wait_ns = WATCH_NS
        for dealer in self._dealers.values():
            changes = dealer.changes()
            if changes:
                dealer.changed_ns = now_ns
                if dealer.up and changes[-1]:
                    # Gone and back between two looks: it may be another life, so the host hears of it all the same.
                    dealer.up, dealer.lost = False, True
                    self._judge(dealer.peer, now_ns)
                dealer.lost = not changes[-1] and (dealer.up or dealer.lost or True in changes)
                dealer.up = changes[-1]
                dealer.open_to = NONE
                self._judge(dealer.peer, now_ns)
                if dealer.up:
                    for stream in dealer.streams.values():
                        self._send_again(dealer, stream, stream.resume)
                    self._pump(dealer, now_ns)
                    self._due_ns = 0
            if not dealer.up and now_ns - dealer.changed_ns < 1_000_000_000:
                wait_ns = WATCH_NS // 10
        self._watch_ns = now_ns + wait_ns

    def _judge(self, peer: str, now_ns: int) -> None:
        dealers = [dealer for (name, _), dealer in self._dealers.items() if name == peer]
        up = any(dealer.up for dealer in dealers) and not any(dealer.lost for dealer in dealers)
        if up != self._peer_up[peer][0]:
            self._peer_up[peer] = (up, now_ns)
            if self.on_peer is not None:
                self.on_peer(peer, up)

    def _work(self, now_ns: int) -> None:
        due_ns = NEVER
        for dealer in self._dealers.values():
            for stream in dealer.streams.values():
                if stream.live:
                    self._bury(stream.expire(now_ns), dealer.peer, "deadline", now_ns)
                if dealer.up:
                    self._send_again(dealer, stream, partial(stream.retry, now_ns))
                elif stream.retry_at_ns and stream.retry_at_ns <= now_ns:
                    stream.retry_at_ns = now_ns + self._stream_options["retry_ns"]
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

    def _bury(self, envelopes: list[Envelope], peer: str, reason: str, now_ns: int = 0) -> None:
        """Make dead letters; a request among our own becomes unknown."""
        if not envelopes:
            return
        now_ns = now_ns or self._clock()
        letters = [
            DeadLetter(
                reason,
                now_ns,
                peer,
                each.kind,
                each.id,
                each.priority,
                each.sender,
                each.to,
                each.deadline_ns,
                each.trace_id,
                each.payload,
            )
            for each in envelopes
        ]
        self.dead_lettered += len(letters)
        self.dead_letters.extend(letters)
        if reason != "late":
            self._unknown += [each.id for each in envelopes if each.kind is REQUEST]
        if self.on_dead_letters is not None:
            self.on_dead_letters(letters)

    # State

    def peers(self) -> dict[str, PeerState]:
        """The peers that were dialled."""
        pending = dict.fromkeys(self._peer_up, 0)
        for (peer, _), (stream, _) in self._out.items():
            pending[peer] += stream.live
        return {peer: PeerState(peer, up, since_ns, pending[peer]) for peer, (up, since_ns) in self._peer_up.items()}

    def pending(self) -> int:
        """Messages held: not acknowledged, or requests without an answer."""
        return sum(stream.live for stream, _ in self._out.values())

    def close(self) -> None:
        """Close the sockets. What is pending ends as dead letters, reason "closed"; its requests are in no `tick`."""
        for (peer, _), (stream, _) in self._out.items():
            self._bury(stream.cut(), peer, "closed")
        self._tally.write()
        for dealer in self._dealers.values():
            dealer.close()
        for router in self._routers.values():
            router.socket.close()
        self._out.clear()
        self._dealers.clear()
