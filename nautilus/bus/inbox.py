"""The receiving half of a node of the mesh: the routers that peers dial, their streams, answers to them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Mapping
from typing import Any

import zmq

from nautilus.bus.answers import Answers
from nautilus.bus.carriers import Carrier
from nautilus.bus.envelope import (
    LANE_OF,
    LANES,
    PRIORITIES,
    Delivery,
    Envelope,
    MessageKind,
    error_payload,
)
from nautilus.bus.lanes import NOBLOCK, RCVMORE, SNDMORE_NOBLOCK, Inbound, Router
from nautilus.bus.node import LateError, ReplyDroppedError
from nautilus.bus.peers import BEAT_BYTES, beat_answer
from nautilus.bus.permissions import FORBIDDEN, ForbiddenError, Permissions
from nautilus.bus.routing import CLIENTS
from nautilus.bus.security import named
from nautilus.core.mesh_ends import Contact
from nautilus.core.mesh_wire import head_of, unpack
from nautilus.core.receive_stream import AHEAD, DUPLICATE, LATE, ReceiveStream, Verdict
from nautilus.model.errors import BusError, NautilusError

_LOGGER = logging.getLogger("nautilus.bus")
REQUEST, ERROR = MessageKind.REQUEST, MessageKind.ERROR
RESEND = MessageKind.RESEND
MOST_CLIENTS = 1_024
"""That are known at a time."""


class Inbox(Answers):
    """Receives, and answers: `done`."""

    def _open_inbox(self, endpoint: Callable[[str, str], str], high_water: int, peers: Container[str] | None) -> None:
        self.on_gap: Callable[[str, int, int, int], None] | None = None
        self.on_restart: Callable[[str, int], None] | None = None
        self._known = peers
        self._permissions: Permissions | None = None
        self._peers_in: dict[str, Contact] = {}
        self._sources: dict[tuple[str, str], dict[int, Inbound]] = {}
        """By lane and name of the peer."""
        self._routers: dict[str, Router] = {}
        for lane in LANES:
            self._routers[lane] = Router(self._context, lane, endpoint(self.process, lane), high_water)

    def bound(self, lane: str) -> str:
        """The last endpoint that a lane is bound to: TCP, where it has any."""
        return str(self._routers[lane].socket.getsockopt_string(zmq.LAST_ENDPOINT))

    def _read_router(self, router: Router, out: list[Delivery], limit: int) -> None:
        """As `MeshNode.read_port`, through pyzmq."""
        most = len(out) + limit
        self.touched.add(router.socket)
        for _ in range(limit):
            try:
                identity = router.recv(NOBLOCK)
            except zmq.Again:
                self.touched.discard(router.socket)
                return
            if self._take_message(router, identity, None, True, out) or len(out) >= most:
                return

    def _take_message(
        self, router: Router, identity: bytes, frame: bytes | None, more: bool, out: list[Delivery]
    ) -> bool:
        """Judge a message of which the name was read, or the frame too. True: most likely nothing is behind it."""
        sources = router.inbound.get(identity)
        if frame is None:
            if sources is None:
                sources = self._meet(router, identity)
                if sources is None:
                    return False
            # A third frame of a message may be taken for a name here; at worst a message is lost and sent again.
            try:
                frame = router.recv(NOBLOCK)
            except zmq.Again:
                self.malformed += 1
                return False
        elif more or sources is None:
            self.malformed += 1
            router.skip_rest()
            return False
        if len(frame) == BEAT_BYTES and self._answer_beat(router, identity, frame):
            return False
        stream = self._take_envelopes(sources, frame, None, out)
        if stream is None:
            router.skip_rest()
            return False
        # Where the sender waits for this one alone there is most likely nothing behind it. To be told so would cost as
        # much as the message did; the host's next poll tells it for nothing.
        return stream.expected - 1 == stream.base

    def _take_envelopes(
        self, sources: dict[int, Inbound], frame: bytes, carrier: Carrier | None, out: list[Delivery]
    ) -> ReceiveStream | None:
        """Take envelopes in, whatever they came by. Returns their stream; None: they cannot be read."""
        head = head_of(frame)
        source = None if head is None or head[0] else sources.get(head[1])
        if source is None:
            self.malformed += 1
            return None
        peer, stream = source.peer, source.stream
        if head[2] != peer.epoch and not self._enter(peer, frame):  # type: ignore[index]
            return stream
        before = len(out)
        odd: list[tuple[Verdict | None, Any]] = []
        if not stream.take(frame, peer.name, source, self._clock(), out, odd):
            self.malformed += 1
            return None
        source.carrier = carrier
        self.received += len(out) - before
        if odd:
            self._read_odd(source, odd)
        return stream

    def _read_odd(self, source: Inbound, odd: list[tuple[Verdict | None, Any]]) -> None:
        """What `ReceiveStream.take` found beside what is delivered."""
        for verdict, what in odd:
            if isinstance(what, tuple):
                self._tell(self.on_gap, source.peer.name, source.priority, *what)
            elif verdict is LATE:
                self._refuse_late(source, what)
            else:
                self._turn_away(source, what, verdict)

    def _turn_away(self, source: Inbound, envelope: Envelope | None, verdict: Verdict | None) -> None:
        """What is not delivered is answered nevertheless, so that the sender knows how far things are."""
        stream = source.stream
        if verdict is DUPLICATE and envelope is not None:
            self.duplicates += 1
            if source.copied < envelope.sequence <= source.ringed:
                # The copy of what came through shared memory: it is answered, or will be. If it was sent again after
                # all, as the copy was lost, the next time is answered.
                source.copied = envelope.sequence
                self.urgent_copies += 1
                return
            self._answer_again(source, envelope)
        elif verdict is AHEAD and envelope is not None:
            self.ahead += 1
            if stream.ask(envelope.sequence):
                self.send_now(source, self.answer(source, RESEND))
        else:  # a marker
            self.acknowledge(source)

    def _answer_beat(self, router: Router, identity: bytes, frame: bytes) -> bool:
        """Say that the application reads, where a frame asks for that; False: it is no beat."""
        answer = beat_answer(frame)
        if answer is None or router.get(RCVMORE):
            return False
        try:
            router.send(identity, SNDMORE_NOBLOCK)
            router.send(answer, NOBLOCK)
        except zmq.ZMQError:  # whoever asked is gone, or reads nothing
            self.unanswerable += 1
        return True

    def _meet(self, router: Router, identity: bytes) -> dict[int, Inbound] | None:
        """The streams of a peer that had not dialled before; None where that is nobody this process listens to."""
        name = named(router.socket, identity)
        # The last frame of a message is no identity, and one that begins with a zero byte is not of the mesh.
        if not router.get(RCVMORE) or not name or name[0] == "\0":
            self.malformed += 1
            router.skip_rest()
            return None
        sources = self._admit(router, name)
        if sources is None:
            router.skip_rest()
        else:
            # Under this routing id alone: of a peer with a key it has a proof, and the bare name is nobody's.
            router.inbound[identity] = sources
            self._peers_in[name].identity = identity
        return sources

    def _admit(self, router: Router, name: str) -> dict[int, Inbound] | None:
        """The streams of a peer, whatever they come by; None where that is nobody this process listens to."""
        sources = self._sources.get((router.lane, name))
        if sources is not None:
            return sources
        if self._known is not None and name not in self._known:
            self.strangers += 1
            return None
        if name not in self._peers_in:
            self._make_room()
        peer = self._peers_in.setdefault(name, Contact(name.encode(), name))
        if self._ring is not None:
            self._ring.follow(name)
        sources = self._sources[router.lane, name] = {
            priority: Inbound(router, peer, priority) for priority in PRIORITIES if LANE_OF[priority] == router.lane
        }
        return sources

    def _make_room(self) -> None:
        """Clients come, and nobody says when they have gone: forget the one met first that has nothing open here."""
        clients = [name for name in self._peers_in if name.startswith(CLIENTS)]
        if len(clients) >= MOST_CLIENTS:
            for name in clients:
                every = [self._sources.get((lane, name), {}).values() for lane in LANES]
                if name not in self._ways and not any(each.stream.open for found in every for each in found):
                    self._forget(name)
                    return

    def _forget(self, process: str) -> None:
        """Nothing is kept of a peer that is not coming back; should it speak again, it is met anew."""
        peer = self._peers_in.pop(process, None)
        if peer is not None:
            for router in self._routers.values():
                sources = self._sources.pop((router.lane, process), None)
                for identity in [identity for identity, found in router.inbound.items() if found is sources]:
                    del router.inbound[identity]

    def _enter(self, peer: Contact, frame: bytes) -> bool:
        """A peer speaks in another epoch than last; False where that is an earlier life of it, or nonsense."""
        envelopes = unpack(frame)
        if envelopes is None:
            self.malformed += 1
            return False
        epoch = envelopes[0].epoch
        if epoch < peer.epoch:
            self.stale += 1
            return False
        peer.epoch = epoch
        for lane in self._routers:
            for source in self._sources.get((lane, peer.name), {}).values():
                source.ringed = source.copied = 0
        self._tell(self.on_restart, peer.name, epoch)
        return True

    def _permitted(self, deliveries: list[Delivery]) -> list[Delivery]:
        """Those that their senders may send; the others are answered with an error, and dead letters."""
        assert self._permissions is not None
        found = []
        for delivery in deliveries:
            reason = self._permissions.refusal(delivery)
            if not reason:
                found.append(delivery)
                continue
            if self._permissions.refused == 1:
                _LOGGER.warning("a message was refused, later ones are counted only: %s", reason)
            self._bury([delivery], delivery.peer, FORBIDDEN)
            error = ForbiddenError(reason, where=delivery.to, expected="a grant (`nautilus keys new --grant`)")
            self.done(delivery, error=error)
        return found

    def refuse_late(self, delivery: Delivery) -> None:
        """Instead of `done`: the deadline of a delivery has come before its handler could run."""
        self.late += 1
        self._bury([delivery], delivery.peer, "late")
        self.done(delivery, error=_late(delivery.to))

    def _refuse_late(self, source: Inbound, envelope: Envelope) -> None:
        self.late += 1
        source.stream.finish(envelope.sequence)
        self._bury([envelope], source.peer.name, "late")
        if envelope.kind is REQUEST:
            self._answer_error(source, envelope, _late(envelope.to))
        else:
            self.acknowledge(source)

    def _answer_again(self, source: Inbound, envelope: Envelope) -> None:
        """The sender has not heard of something that was delivered before: tell it how far things are."""
        stream = source.stream
        answer = stream.replies.get(envelope.sequence)
        if answer is not None:
            self.reply(source, answer)
        elif envelope.kind is REQUEST and stream.finished(envelope.sequence):
            error = ReplyDroppedError("the reply is not kept any more", where=envelope.to, expected="fewer requests")
            self._answer_error(source, envelope, error)
        else:
            self.acknowledge(source)

    def _answer_error(self, source: Inbound, envelope: Envelope, error: BusError) -> None:
        answer = self.answer(source, ERROR, envelope.id, error_payload(error.as_dict()))
        source.stream.keep(envelope.sequence, answer)
        self.reply(source, answer)

    def _described(self, error: NautilusError | Mapping[str, str]) -> bytes:
        """The payload of an ERROR."""
        return error_payload(error.as_dict() if isinstance(error, NautilusError) else error)

    def _close_inbox(self) -> None:
        for router in self._routers.values():
            router.socket.close()


def _late(engine: str) -> LateError:
    return LateError("the request came after its deadline", where=engine, expected="an earlier arrival")
