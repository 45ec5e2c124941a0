"""Replies that are lost while others come all the time: each is asked for again, and given again, until it is there."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.bus.carriers import ALL, EVERY_PATH, HTTP, REDIS, ZMQ
from nautilus.core.mesh_wire import Answer, Envelope, MessageKind, pack, pack_answers, unpack, unpack_answers
from nautilus.core.receive_stream import DELIVER, DUPLICATE, ReceiveStream
from nautilus.core.send_stream import SendStream
from tests.kit.naive_receive_stream import NaiveReceiveStream
from tests.kit.naive_send_stream import NaiveSendStream

RETRY_NS = 50
LIMIT_NS = 200
BOUND_NS = 4 * RETRY_NS
"""Once another one has come a lost reply is seen to lack within a look, and asked for a look later."""
TWINS = [(SendStream, ReceiveStream), (NaiveSendStream, NaiveReceiveStream)]


class Wire:
    """Both ends of a stream, on which a request is posted at each step and every reply but some arrives at once."""

    def __init__(self, new_sender: Any, new_receiver: Any, window: int) -> None:
        self.sender = new_sender(1, window=window, retry_ns=RETRY_NS, retry_limit_ns=LIMIT_NS)
        self.receiver = new_receiver()
        self.now_ns = 0
        self.handled: dict[int, int] = {}
        self.answered: dict[int, int] = {}
        self.lost: dict[int, int] = {}
        self.asked: dict[int, list[int]] = {}

    def step(self, number: int, deadline_ns: int, loses: Any) -> None:
        """A request is posted, and all that can go goes."""
        self.now_ns += 1
        gone = self.sender.expire(self.now_ns)
        for each in gone:
            assert each.deadline_ns <= self.now_ns
        self.sender.append(Envelope(MessageKind.REQUEST, number, 1, 0, 0, 4, deadline_ns))
        frames = []
        for envelope in self.sender.retry(self.now_ns):
            self.asked.setdefault(envelope.id, []).append(self.now_ns)
            frames.append(pack([envelope]))
        while (envelope := self.sender.peek()) is not None:
            frames.append(pack([envelope]))
            self.sender.sent(envelope, self.now_ns)
        for frame in frames:
            self.arrive(frame, loses)

    def arrive(self, frame: bytes, loses: Any) -> None:
        (envelope,) = unpack(frame) or ()
        verdict = self.receiver.accept(envelope)
        if verdict is DELIVER:
            if envelope.kind > MessageKind.REQUEST:
                return
            self.handled[envelope.id] = self.handled.get(envelope.id, 0) + 1
            answer = Answer(MessageKind.REPLY, envelope.id, 1, 1, 4, 0, 0)
            self.receiver.reply(envelope.sequence, answer)
        elif verdict is DUPLICATE and envelope.sequence in self.receiver.replies:
            answer = self.receiver.replies[envelope.sequence]
        else:
            return
        self.receiver.tell(answer)
        if loses():
            self.lost.setdefault(envelope.id, self.now_ns)
            return
        (answer,) = unpack_answers(pack_answers([answer])) or ()
        request = self.sender.answered_alone(answer) or self.sender.answered(answer, self.now_ns)
        if request is not None:
            assert request.id not in self.answered
            self.answered[request.id] = self.now_ns

    def heard_ns(self, after_ns: int) -> int:
        """When the first reply came after a time; very late: none has."""
        return min((each for each in self.answered.values() if each > after_ns), default=1 << 62)


@pytest.mark.parametrize(("new_sender", "new_receiver"), TWINS, ids=["compiled", "naive"])
@given(
    seed=st.integers(0, 1 << 32),
    one_in=st.sampled_from([7, 20, 100]),
    window=st.sampled_from([4, 64, 256]),
    patience_ns=st.sampled_from([0, 3 * RETRY_NS, 40 * RETRY_NS]),
)
def test_a_lost_reply_is_asked_for_while_others_come(
    new_sender: Any, new_receiver: Any, seed: int, one_in: int, window: int, patience_ns: int
) -> None:
    chance = random.Random(seed)
    wire = Wire(new_sender, new_receiver, window)

    def loses() -> bool:
        return chance.randrange(one_in) == 0

    for number in range(1, 400):
        wire.step(number, wire.now_ns + 1 + patience_ns if patience_ns else 0, loses)
    # Whatever came back meanwhile: what was lost early has been asked for in its time, or was past its deadline.
    for number, lost_ns in wire.lost.items():
        heard_ns = wire.heard_ns(lost_ns)
        if heard_ns < 399 - BOUND_NS and not 0 < patience_ns < heard_ns - lost_ns + BOUND_NS:
            assert wire.asked.get(number, [1 << 62])[0] <= heard_ns + BOUND_NS, number
    for each in wire.asked.values():
        # Its own time, and longer after each question.
        assert all(later - earlier >= RETRY_NS for earlier, later in pairwise(each))
    for number in range(400, 3_000):
        wire.step(number, 0, lambda: False)
    assert set(wire.handled.values()) == {1}, "a request was handled twice"
    late = set(wire.lost) - set(wire.answered)
    assert not late or patience_ns, "a lost reply never came"
    assert not wire.sender.live
    assert len(wire.sender.requests) == 0


@pytest.mark.parametrize("new_sender", [SendStream, NaiveSendStream])
def test_an_open_request_is_not_asked_about_while_it_is_being_handled(new_sender: Any) -> None:
    """A reply that takes long is no lost one: nothing is sent for it while others come."""
    sender = new_sender(1, window=64, retry_ns=RETRY_NS, retry_limit_ns=LIMIT_NS)
    sender.append(Envelope(MessageKind.REQUEST, 1, 1, 0, 0, 4, 0))
    sender.sent(sender.peek(), 0)
    for now_ns in range(1, 20 * RETRY_NS):
        sender.append(Envelope(MessageKind.COMMAND, 1 + now_ns, 1, 0, 0, 4, 0))
        sender.sent(sender.peek(), now_ns)
        answer = Answer(MessageKind.ACKNOWLEDGED, 0, 1, 1, 4, 1 + now_ns, 0)
        answer.done, answer.open = 1 + now_ns, (1,)
        sender.answered(answer, now_ns)
        assert sender.retry(now_ns) == []
    assert sender.requests == {1: 1}


@pytest.mark.parametrize("new_sender", [SendStream, NaiveSendStream])
def test_only_what_keeps_a_cancel_waiting_is_withdrawn_for_it(new_sender: Any) -> None:
    sender = new_sender(1)
    kinds = {1: ALL, 2: ZMQ | HTTP, 3: ALL, 4: ZMQ | HTTP, 5: EVERY_PATH, 6: ZMQ | HTTP, 7: ALL}
    for number, paths in kinds.items():
        assert bool(sender.hurries(REDIS)) == (number > 5)
        sender.append(Envelope(MessageKind.COMMAND, number, 1, 0, 0, 4, 0, 0, "", "", b"", paths))
    assert sender.hurries(REDIS)
    assert not sender.hurries(0)
    assert [each.id for each in sender.withdraw(REDIS, True)] == [2, 4]
    left = []
    while (envelope := sender.peek()) is not None:
        left.append((envelope.kind, envelope.sequence))
        sender.sent(envelope, 0)
    given_up = MessageKind.GIVEN_UP
    assert [sequence for kind, sequence in left if kind is given_up] == [2, 4]
    # The one behind the cancel waits on, until it keeps something waiting for too long.
    assert [each.id for each in sender.withdraw(REDIS)] == [6]
    assert sender.hurries(REDIS)


@pytest.mark.parametrize("new_sender", [SendStream, NaiveSendStream])
def test_a_cancel_hurries_again_where_the_receiver_has_begun_anew(new_sender: Any) -> None:
    """What an earlier life of the receiver had and did not handle has not arrived in the later one."""
    sender = new_sender(1)

    def post(number: int, paths: int) -> None:
        sender.append(Envelope(MessageKind.COMMAND, number, 1, 0, 0, 4, 0, 0, "", "", b"", paths))
        while (envelope := sender.peek()) is not None:
            sender.sent(envelope, 0)

    post(1, ZMQ | HTTP)
    post(2, EVERY_PATH)
    sender.answered(Answer(MessageKind.ACKNOWLEDGED, 0, 1, 7, 4, 2, 0), 0)
    post(3, ZMQ | HTTP)
    assert not sender.hurries(REDIS), "the cancel has arrived"
    sender.answered(Answer(MessageKind.RESEND, 0, 1, 8, 4, 0, 0), 0)
    assert sender.peek().sequence == 1
    assert sender.hurries(REDIS)
    assert [each.id for each in sender.withdraw(REDIS, True)] == [1]
