"""A node of the mesh and a plain socket that speaks to it: stored replies, late messages, junk."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import pytest
import zmq

from nautilus.bus import MessageKind, error_fields
from nautilus.bus.envelope import Answer, Envelope
from nautilus.core.clock import now_ns
from nautilus.core.mesh_wire import pack, pack_answers, unpack, unpack_answers
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
            socket.send(pack([Envelope(kind, sequence, 1, sequence, 1, 4, past_ns, 0, "s", "t", b"p")]))
        run([b], lambda: b.mesh.late == 2)
        assert b.deliveries == []
        assert [(each.reason, each.id, each.peer) for each in b.letters] == [("late", 1, "a"), ("late", 2, "a")]
        answers = []
        while not any(each.kind is MessageKind.ERROR for each in answers):
            run([b], lambda: socket.poll(1))
            answers += unpack_answers(socket.recv()) or []
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
        socket.send(pack([Envelope(REQUEST, 100 + sequence, 1, sequence, base, 4, payload=b"q")]))
        run([b], lambda: socket.poll(1))
        (answer,) = unpack_answers(socket.recv()) or ()
        return answer

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
        socket.send(pack([Envelope(REQUEST, 101, 1, 1, 1, 4, payload=b"q")]))
        run([b], lambda: socket.poll(1))
        (answer,) = unpack_answers(socket.recv()) or ()
        return answer

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


HEADER = struct.Struct("<IBBBBH6sQQQ")
ITEM = struct.Struct("<IBBBBQQq16s")
ANSWER = struct.Struct("<IBBHQQQQ")
MAGIC = int.from_bytes(b"MESH", "little")


def envelope(**fields: Any) -> bytes:
    """A frame of one envelope, written by hand; a field is written as it is told, whether it can be or not."""
    told = {"sender": b"s", "to": b"t", "payload": b"", "trace_id": bytes(16), **fields}
    names = told["sender"] + told["to"] + told["payload"]
    item = ITEM.pack(
        told.get("size", ITEM.size + len(names)),
        told.get("kind", EVENT),
        told.get("sender_bytes", len(told["sender"])),
        told.get("to_bytes", len(told["to"])),
        told.get("item_zero", 0),
        told.get("id", 1),
        told.get("sequence", 1),
        told.get("deadline_ns", 0),
        told["trace_id"],
    )
    head = HEADER.pack(
        told.get("magic", MAGIC),
        told.get("version", 1),
        told.get("form", 1),
        told.get("priority", 4),
        told.get("zero", 0),
        told.get("count", 1),
        told.get("zeros", bytes(6)),
        told.get("epoch", 1),
        told.get("receiver", 0),
        told.get("base", 1),
    )
    return head + item + names


def test_a_frame_has_the_layout_that_is_told() -> None:
    made = pack([Envelope(REQUEST, 7, 3, 9, 2, 1, 55, (5 << 64) + 6, "strategy", "über", b"payload")])
    told = {"kind": REQUEST, "id": 7, "epoch": 3, "sequence": 9, "base": 2, "priority": 1, "deadline_ns": 55}
    names = {"sender": b"strategy", "to": "über".encode(), "payload": b"payload"}
    assert made == envelope(**told, **names, trace_id=((5 << 64) + 6).to_bytes(16, "big"))


JUNK = {
    "nothing": [b""],
    "noise": [bytes(range(256))],
    "half an envelope": [envelope()[:60]],
    "half a header": [envelope()[:20]],
    "an array of other things": [msgspec.msgpack.encode(["x"] * 11)],
    "another version": [envelope(version=2)],
    "another magic": [envelope(magic=5)],
    "another form": [envelope(form=3)],
    "answers where envelopes should be": [pack_answers([Answer(MessageKind.REPLY, 1, 1, 1, 4, 1, 1)])],
    "something where zeros should be": [envelope(zeros=b"x" * 6)],
    "something where a zero should be": [envelope(item_zero=1)],
    "none at all": [envelope(count=0)],
    "more than there are": [envelope(count=2)],
    "more than was told": [envelope() + b"x"],
    "two, of which the second is cut": [envelope(count=2) + envelope()[40:-1]],
    "a size of nothing": [envelope(size=0)],
    "a size beyond the end": [envelope(size=10**6)],
    "names beyond the end": [envelope(sender_bytes=200)],
    "a kind of nothing": [envelope(kind=0)],
    "a kind that is none": [envelope(kind=77)],
    "a priority of the other lane": [envelope(priority=1)],
    "a priority that is none": [envelope(priority=9)],
    "many frames": [b"x"] * 5,
    "frames behind an envelope": [envelope(), b"x", b"y"],
    "a base of nothing": [envelope(base=0)],
    "a base behind the message": [envelope(base=2)],
    "a number without end": [envelope(base=2**63, sequence=2**63)],
    "a number as large as can be": [envelope(base=2**64 - 1, sequence=2**64 - 1)],
    "an id without end": [envelope(id=2**63)],
    "a life that never ends": [envelope(epoch=2**64 - 1)],
    "a deadline before all": [envelope(deadline_ns=-1)],
    "an answer for an envelope": [envelope(kind=MessageKind.REPLY, id=10**18)],
    "a marker that ends before it begins": [envelope(kind=MessageKind.GIVEN_UP, id=4, sequence=5)],
    "a marker without end": [envelope(kind=MessageKind.SETTLED, id=2**63 - 1)],
    "a name that is no text": [envelope(sender=b"\xff")],
    "another name that is no text": [envelope(to=b"ab\xe2\x82")],
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
        socket.send(pack([Envelope(REQUEST, 1, 1, 1, 1, 4)]))
        run([b], lambda: b.mesh.malformed)
    assert b.deliveries == []


def answer_frame(**fields: Any) -> bytes:
    """A frame of one answer, written by hand."""
    head = envelope(form=2, receiver=9, base=fields.pop("base", 0), **{"epoch": 1, **fields})[: HEADER.size]
    item = ANSWER.pack(
        fields.get("size", ANSWER.size),
        fields.get("kind", 8),
        fields.get("item_zero", 0),
        fields.get("open", 0),
        fields.get("id", 0),
        fields.get("received", 1),
        fields.get("handled", 1),
        fields.get("done", 0),
    )
    return head + item


JUNK_ANSWERS = {
    "nothing": b"",
    "noise": b"noise",
    "more than was sent": answer_frame(received=10**9, handled=10**9),
    "a number without end": answer_frame(received=2**64 - 1),
    "a size beyond the end": answer_frame(size=41),
    "a size of nothing": answer_frame(size=0),
    "open ones that are not there": answer_frame(open=1),
    "a kind of an envelope": answer_frame(kind=1),
    "a kind that is none": answer_frame(kind=200),
    "a priority that is none": answer_frame(priority=99),
    "a base": answer_frame(base=1),
    "two of which one is": answer_frame(count=2),
    "more than was told": answer_frame() + b"x",
    "a zero that is none": answer_frame(item_zero=1),
    "an id without end": answer_frame(id=2**63),
}


@pytest.mark.parametrize("junk", JUNK_ANSWERS.values(), ids=list(JUNK_ANSWERS))
def test_junk_for_an_answer_is_skipped(node, tmp_path, junk) -> None:
    a = node("a", 1)
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    try:
        router.bind(f"ipc://{tmp_path}/b.n")
        a.request("b", b"x")
        run([a], lambda: router.poll(1))
        identity, frame = router.recv_multipart()
        (envelope,) = unpack(frame) or ()
        router.send_multipart([identity, junk])
        router.send_multipart([identity, junk, junk])
        good = Answer(MessageKind.REPLY, envelope.id, 1, 9, 4, 1, 1, b"right")
        router.send_multipart([identity, pack_answers([good])])
        run([a], lambda: a.answers)
        assert a.answers[0].payload == b"right"
    finally:
        context.destroy(linger=0)
