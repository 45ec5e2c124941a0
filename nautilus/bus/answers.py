"""How a node of the mesh answers: at once, or several answers of a stream in one frame."""

from __future__ import annotations

import zmq

from nautilus.bus.envelope import Answer, MessageKind
from nautilus.bus.lanes import NOBLOCK, SNDMORE_NOBLOCK, URGENT_RANK, Inbound
from nautilus.bus.node import Node
from nautilus.core.mesh_wire import pack_answers

ACKNOWLEDGED = MessageKind.ACKNOWLEDGED
PACK_NS = 20_000
"""An answer that follows another one sooner may wait for company, until the host's next call at the latest."""
MOST_ANSWERS = 64
LONG_BYTES = 4_096
"""A reply that is longer waits for nobody."""


class Answers(Node):
    """Acknowledgements and replies to what came in."""

    def _answer(self, source: Inbound, kind: MessageKind, number: int = 0, payload: bytes = b"") -> Answer:
        return Answer(kind, number, source.stream.epoch, self.epoch, source.priority, 0, 0, payload)

    def _acknowledge(self, source: Inbound) -> None:
        if not source.stream.due:
            source.stream.due = True
            self._answers_due.append(source)

    def _reply(self, source: Inbound, answer: Answer) -> None:
        """Send an answer, or let it wait for company where another one has just gone."""
        source.replies.append(answer)
        now_ns = self._clock()
        if (
            now_ns - source.said_ns >= PACK_NS
            or len(source.replies) >= MOST_ANSWERS
            or len(answer.payload) >= LONG_BYTES
            or source.router.rank == URGENT_RANK
        ):
            source.said_ns = now_ns
            replies, source.replies = source.replies, []
            self._send_answers_of(source, replies)
        else:
            self._acknowledge(source)

    def _send_answers_of(self, source: Inbound, answers: list[Answer]) -> None:
        """Send answers over what the envelopes came by, with the numbers of now; what is lost is asked for again."""
        for answer in answers:
            source.stream.tell(answer)
        frame = pack_answers(answers)
        router, carrier = source.router, source.carrier
        if carrier is not None:
            if not carrier.send(source.peer.name, router.lane, frame):
                self.unanswerable += len(answers)
            return
        self.touched.add(router.socket)
        try:
            router.send(source.peer.identity, SNDMORE_NOBLOCK)
            router.send(frame, NOBLOCK)
        except zmq.ZMQError:  # the peer is gone, or reads nothing
            self.unanswerable += len(answers)

    def _send_answers(self) -> None:
        due, self._answers_due = self._answers_due, []
        for source in due:
            source.stream.due = False
            replies, source.replies = source.replies, []
            self._send_answers_of(source, replies or [self._answer(source, ACKNOWLEDGED)])
