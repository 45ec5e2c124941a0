"""A node of the mesh and a plain socket that speaks to it: stored replies, late messages, junk."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import zmq

from nautilus.bus import MessageKind, error_fields
from nautilus.bus.envelope import Answer, Envelope
from nautilus.core.clock import now_ns
from tests.kit.bus import run

EVENT, REQUEST = MessageKind.EVENT, MessageKind.REQUEST
MS = 1_000_000


@pytest.mark.parametrize("junk", [b"\xc1", b"\x81\xa1a\xa2\xff\xfe", b"\x81" + b"\x91" * 100_000])
def test_an_error_that_cannot_be_read_is_an_error_still(junk) -> None:
    assert error_fields(junk)["code"] == "bus.error"


def test_what_comes_after_its_deadline_is_not_delivered(node, tmp_path) -> None:
    b = node("b")
    past_ns = now_ns() - MS
    socket = b.context.socket(zmq.DEALER)
    socket.setsockopt(zmq.ROUTING_ID, b"a")
    socket.connect(f"ipc://{tmp_path}/b.n")
    try:
        for sequence, kind in ((1, MessageKind.COMMAND), (2, REQUEST)):
            socket.send(msgspec.msgpack.encode(Envelope(kind, sequence, 1, sequence, 1, 4, past_ns, 0, "s", "t", b"p")))
        run([b], lambda: b.mesh.late == 2)
        assert b.deliveries == []
        assert [(each.reason, each.id, each.peer) for each in b.letters] == [("late", 1, "a"), ("late", 2, "a")]
        answers = []
        while not any(each.kind is MessageKind.ERROR for each in answers):
            run([b], lambda: socket.poll(1))
            answers.append(msgspec.msgpack.decode(socket.recv(), type=Answer))
        assert error_fields(answers[-1].payload)["code"] == "bus.late"
        assert (answers[-1].received, answers[-1].handled) == (2, 2)
        assert b.unknown == []
    finally:
        socket.close(0)


def test_a_retried_request_gets_the_stored_reply_and_is_not_handled_again(node, tmp_path) -> None:
    handled = []
    b = node("b", handle=lambda delivery: handled.append(delivery.payload) or b"%d" % len(handled))
    socket = b.context.socket(zmq.DEALER)
    socket.setsockopt(zmq.ROUTING_ID, b"a")
    socket.connect(f"ipc://{tmp_path}/b.n")

    def ask(sequence: int, base: int) -> Answer:
        socket.send(msgspec.msgpack.encode(Envelope(REQUEST, 100 + sequence, 1, sequence, base, 4, payload=b"q")))
        run([b], lambda: socket.poll(1))
        return msgspec.msgpack.decode(socket.recv(), type=Answer)

    try:
        first = ask(1, 1)
        again = ask(1, 1)
        second = ask(2, 1)
        once_more = ask(1, 1)
    finally:
        socket.close(0)
    assert [each.payload for each in (first, again, second, once_more)] == [b"1", b"1", b"2", b"1"]
    assert [each.id for each in (first, again, second, once_more)] == [101, 101, 102, 101]
    assert [each.handled for each in (first, again, second, once_more)] == [1, 1, 2, 2]
    assert handled == [b"q", b"q"]
    assert b.mesh.duplicates == 2


def test_a_request_whose_reply_is_not_kept_any_more_gets_an_error(node, tmp_path) -> None:
    b = node("b")
    socket = b.context.socket(zmq.DEALER)
    socket.setsockopt(zmq.ROUTING_ID, b"a")
    socket.connect(f"ipc://{tmp_path}/b.n")

    def ask() -> Answer:
        socket.send(msgspec.msgpack.encode(Envelope(REQUEST, 101, 1, 1, 1, 4, payload=b"q")))
        run([b], lambda: socket.poll(1))
        return msgspec.msgpack.decode(socket.recv(), type=Answer)

    try:
        assert ask().payload == b"re:q"
        b.mesh._routers["n"].inbound[b"a"][4].stream.replies.clear()
        answer = ask()
    finally:
        socket.close(0)
    assert answer.kind is MessageKind.ERROR
    assert error_fields(answer.payload)["code"] == "bus.reply_dropped"
    assert len(b.deliveries) == 1


def test_a_lost_answer_is_asked_for_again(node) -> None:
    """The answers of one connection are thrown away with it: the peer's name is taken over by another socket."""
    a, b = node("a", retry_ns=20 * MS), node("b")
    a.post("b", b"x")
    run([a, b], lambda: a.mesh.acknowledged)
    a.request("b", b"y")
    held: list[Any] = []
    run([a], lambda: (held.extend(b.mesh.receive()), b.mesh.tick(now_ns())) and len(held) == 1)
    thief = a.context.socket(zmq.DEALER)
    thief.setsockopt(zmq.ROUTING_ID, b"a")
    thief.connect(b.mesh._endpoint("b", "n"))
    try:
        thief.send(b"not an envelope")
        run([b], lambda: b.mesh.malformed == 1)
        b.mesh.done(held[0], b"stolen")
        assert thief.poll(5_000)
    finally:
        thief.close(0)
    run([a, b], lambda: a.answers)
    assert a.answers[0].payload == b"stolen"
    assert b.mesh.received == 2


def envelope(**fields: Any) -> bytes:
    usual = {"kind": EVENT, "id": 1, "epoch": 1, "sequence": 1, "base": 1, "priority": 4}
    rest = {"deadline_ns": 0, "trace_id": 0, "sender": "s", "to": "t", "payload": b""}
    return msgspec.msgpack.encode(list((usual | rest | fields).values()))


JUNK = {
    "nothing": [b""],
    "noise": [bytes(range(256))],
    "half an envelope": [msgspec.msgpack.encode(Envelope(REQUEST, 1, 1, 1, 1, 4))[:4]],
    "an array of other things": [msgspec.msgpack.encode(["x"] * 11)],
    "a kind that is none": [msgspec.msgpack.encode([77, 1, 1, 1, 1, 4])],
    "a priority of the other lane": [msgspec.msgpack.encode(Envelope(REQUEST, 1, 1, 1, 1, 1))],
    "a priority that is none": [msgspec.msgpack.encode(Envelope(REQUEST, 1, 1, 1, 1, 9))],
    "many frames": [b"x"] * 5,
    "frames behind an envelope": [msgspec.msgpack.encode(Envelope(REQUEST, 1, 1, 1, 1, 4)), b"x", b"y"],
    "more arrays in each other than can be read": [b"\x9c" + envelope()[1:] + b"\x91" * 100_000 + b"\xc0"],
    "a base below all": [envelope(base=-(2**63), sequence=-(2**63))],
    "a base of nothing": [envelope(base=0)],
    "a base behind the message": [envelope(base=2)],
    "a number without end": [envelope(base=2**63, sequence=2**63)],
    "a number as large as can be": [envelope(base=2**64 - 1, sequence=2**64 - 1)],
    "a life that never ends": [envelope(epoch=2**64 - 1)],
    "a life before all": [envelope(epoch=-5)],
    "an answer for an envelope": [envelope(kind=MessageKind.REPLY, id=10**18)],
    "a marker that ends before it begins": [envelope(kind=MessageKind.GIVEN_UP, id=4, sequence=5)],
    "a marker without end": [envelope(kind=MessageKind.SETTLED, id=2**63 - 1)],
    "text that is none": [msgspec.msgpack.encode([1, 1, 1, 1, 1, 4, 0, 0]) + b"\xa1\xff"],
}


@pytest.mark.parametrize("name", JUNK)
def test_junk_is_counted_and_skipped(node, tmp_path, name) -> None:
    a, b = node("a"), node("b")
    socket = b.context.socket(zmq.DEALER)
    socket.setsockopt(zmq.ROUTING_ID, b"stranger")
    socket.connect(f"ipc://{tmp_path}/b.n")
    try:
        for _ in range(3):
            socket.send_multipart(JUNK[name])
        run([b], lambda: b.mesh.malformed >= 3 or len(b.deliveries) + b.mesh.malformed >= 3)
        a.post("b", b"x")
        run([a, b], lambda: a.mesh.acknowledged)
    finally:
        socket.close(0)
    assert b.mesh.malformed >= 2
    assert b.gaps == []
    assert [delivery.payload for delivery in b.deliveries if delivery.peer == "a"] == [b"x"]


def test_frames_that_look_like_a_name_and_an_envelope_harm_nobody(node, tmp_path) -> None:
    a, b = node("a", retry_ns=20 * MS), node("b")
    socket = b.context.socket(zmq.DEALER)
    socket.setsockopt(zmq.ROUTING_ID, b"odd")
    socket.connect(f"ipc://{tmp_path}/b.n")
    try:
        for sequence in (1, 2, 3):
            socket.send_multipart([envelope(sequence=sequence), b"odd"])
        run([b], lambda: b.mesh.malformed)
        for number in range(10):
            a.post("b", b"%d" % number)
        socket.send_multipart([envelope(sequence=4), b"odd"])
        run([a, b], lambda: a.mesh.acknowledged == 10)
    finally:
        socket.close(0)
    assert [delivery.payload for delivery in b.deliveries if delivery.peer == "a"] == [
        b"%d" % each for each in range(10)
    ]


def test_who_is_not_expected_is_not_listened_to(node, tmp_path) -> None:
    a, b = node("a"), node("b", peers={"a", "b"})
    socket = b.context.socket(zmq.DEALER)
    socket.setsockopt(zmq.ROUTING_ID, b"stranger")
    socket.connect(f"ipc://{tmp_path}/b.n")
    try:
        for frames in ([envelope()], [envelope(), b"x", b"y"], [b"", b""]):
            socket.send_multipart(frames)
        run([b], lambda: b.mesh.strangers == 3)
        a.post("b", b"x")
        run([a, b], lambda: a.mesh.acknowledged)
    finally:
        socket.close(0)
    assert b.payloads == [b"x"]
    assert [peer for peer, _ in b.restarts] == ["a"]
    assert all(b"stranger" not in router.inbound for router in b.mesh._routers.values())


def test_a_peer_without_a_name_is_not_listened_to(node, tmp_path) -> None:
    b = node("b")
    with b.context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(f"ipc://{tmp_path}/b.n")
        socket.send(msgspec.msgpack.encode(Envelope(REQUEST, 1, 1, 1, 1, 4)))
        run([b], lambda: b.mesh.malformed)
    assert b.deliveries == []


DEEP_ANSWER = msgspec.msgpack.encode(Answer(MessageKind.REPLY, 1, 1, 1, 4, 1, 1))
DEEP_ANSWER = bytes((DEEP_ANSWER[0] + 1,)) + DEEP_ANSWER[1:] + b"\x91" * 100_000 + b"\xc0"


@pytest.mark.parametrize("junk", [b"", b"noise", DEEP_ANSWER, msgspec.msgpack.encode([8, 0, 1, 1, 4, 10**9, 10**9])])
def test_junk_for_an_answer_is_skipped(node, tmp_path, junk) -> None:
    a = node("a", 1)
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    try:
        router.bind(f"ipc://{tmp_path}/b.n")
        a.request("b", b"x")
        run([a], lambda: router.poll(1))
        identity, frame = router.recv_multipart()
        envelope = msgspec.msgpack.decode(frame, type=Envelope)
        router.send_multipart([identity, junk])
        router.send_multipart([identity, junk, junk])
        good = Answer(MessageKind.REPLY, envelope.id, 1, 9, 4, 1, 1, b"right")
        router.send_multipart([identity, msgspec.msgpack.encode(good)])
        run([a], lambda: a.answers)
        assert a.answers[0].payload == b"right"
    finally:
        context.destroy(linger=0)
