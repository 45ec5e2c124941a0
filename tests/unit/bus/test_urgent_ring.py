"""Urgent messages through shared memory: ahead of their copies, never twice, and without them all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nautilus.bus import MessageKind
from nautilus.bus.ring import RingWriter
from nautilus.bus.urgent_ring import UrgentRing
from nautilus.core.clock import now_ns
from nautilus.core.mesh_wire import Envelope, pack
from nautilus.model.enums import Priority
from tests.kit.bus import SECOND, Node, run

URGENT = Priority.FLASH_CRASH


@pytest.fixture
def ringed(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    with ExitStack() as stack:

        def make(name: str, **options: Any) -> Node:
            epoch = now_ns()
            ring = UrgentRing(lambda process: tmp_path / f"{process}.ring", name, epoch, capacity=1 << 16)
            node = Node(tmp_path, name, epoch, urgent_ring=ring, **options)
            stack.callback(node.close)
            return node

        yield make


def glance(node: Node) -> list[bytes]:
    """What a look into the rings alone finds; it is handled."""
    found = node.mesh.glance()
    for delivery in found:
        node.deliveries.append(delivery)
        node.mesh.done(delivery, node.handle(delivery) if delivery.kind is MessageKind.REQUEST else None)
    return [delivery.payload for delivery in found]


def test_an_urgent_message_is_there_before_its_copy_is_looked_for(ringed) -> None:
    a, b = ringed("a"), ringed("b")
    a.post("b", b"first", priority=URGENT)
    run([a, b], lambda: a.mesh.acknowledged)
    a.post("b", b"crash", priority=URGENT)
    assert glance(b) == [b"crash"]
    run([a, b], lambda: a.mesh.acknowledged == 2 and b.mesh.duplicates)
    assert b.payloads == [b"first", b"crash"]
    assert (a.mesh.pending(), a.mesh.dead_lettered, b.mesh.received) == (0, 0, 2)


def test_each_message_is_handled_once_and_in_order_whatever_comes_first(ringed) -> None:
    a, b = ringed("a"), ringed("b")
    for number in range(400):
        a.post("b", b"%d" % number, priority=URGENT)
        if number % 3 == 0:
            glance(b)
        if number % 5 == 0:
            b.turn()
        if number % 50 == 0:
            a.turn()
    run([a, b], lambda: not a.mesh.pending())
    assert b.payloads == [b"%d" % number for number in range(400)]
    assert b.gaps == []


def test_bulk_does_not_go_through_the_ring(ringed) -> None:
    a, b = ringed("a"), ringed("b")
    a.post("b", b"bulk", priority=Priority.LOW)
    run([a, b], lambda: a.mesh.acknowledged)
    assert a.mesh._ring.written == 0
    a.post("b", b"urgent", priority=Priority.URGENT)
    run([a, b], lambda: a.mesh.acknowledged == 2)
    assert a.mesh._ring.written >= 1


def test_what_is_for_another_process_is_not_taken(ringed) -> None:
    a, b, c = ringed("a"), ringed("b"), ringed("c")
    for peer in "bc":
        a.post(peer, b"to " + peer.encode(), priority=URGENT)
    run([a, b, c], lambda: a.mesh.acknowledged == 2)
    a.post("b", b"again", priority=URGENT)
    assert glance(c) == []
    assert glance(b) == [b"again"]


def test_a_request_through_the_ring_is_answered(ringed) -> None:
    a, b = ringed("a"), ringed("b")
    a.request("b", b"one", priority=URGENT)
    run([a, b], lambda: a.answers)
    a.request("b", b"two", priority=URGENT)
    assert glance(b) == [b"two"]
    run([a, b], lambda: len(a.answers) == 2)
    assert [each.payload for each in a.answers] == [b"re:one", b"re:two"]


def test_a_message_too_large_for_the_ring_comes_over_zeromq_alone(ringed) -> None:
    a, b = ringed("a"), ringed("b")
    a.post("b", b"first", priority=URGENT)
    run([a, b], lambda: a.mesh.acknowledged)
    a.post("b", bytes(60_000), priority=URGENT)
    assert (glance(b), a.mesh._ring.skipped) == ([], 1)
    run([a, b], lambda: a.mesh.acknowledged == 2)


def test_a_reader_that_is_lapped_gets_all_by_the_copies(ringed) -> None:
    a, b = ringed("a"), ringed("b", retry_ns=60 * SECOND)
    a.post("b", b"first", priority=URGENT)
    run([a, b], lambda: a.mesh.acknowledged)
    for number in range(200):
        a.post("b", number.to_bytes(4, "big") + bytes(1_000), priority=URGENT)
    run([a, b], lambda: not a.mesh.pending())
    assert [int.from_bytes(each[:4], "big") for each in b.payloads[1:]] == list(range(200))


def test_a_new_life_of_a_peer_is_followed_into_its_new_ring(ringed) -> None:
    b = ringed("b")
    for life in range(3):
        a = ringed("a")
        a.post("b", b"first %d" % life, priority=URGENT)
        run([a, b], lambda a=a: a.mesh.acknowledged)
        run([a, b], lambda: b.mesh._ring.tend() or all(reader.alive for reader in b.mesh._ring._peers.values()))
        a.post("b", b"second %d" % life, priority=URGENT)
        run([a, b], lambda a=a: a.mesh.acknowledged == 2)
        a.close()
    assert b.payloads == [b"%s %d" % (word, life) for life in range(3) for word in (b"first", b"second")]


def test_junk_in_a_ring_is_counted(ringed, tmp_path) -> None:
    b = ringed("b")
    writer = RingWriter(tmp_path / "a.ring", capacity=1 << 16, epoch=1)
    try:
        b.mesh._ring.follow("a")
        for junk in (b"", b"\x01b", b"\x01bjunk", b"\x01b" + pack([Envelope(1, 1, 1, 1, 1, 5)])[:-1], bytes(100)):
            writer.write(junk or b"\x00")
        assert glance(b) == []
        assert b.mesh.malformed == 3
        writer.write(b"\x01b" + pack([Envelope(2, 1, 1, 1, 1, int(URGENT), payload=b"good")]))
        assert glance(b) == [b"good"]
    finally:
        writer.close()


def test_a_node_without_a_ring_finds_nothing_there(node) -> None:
    assert node("a").mesh.glance() == []


def test_one_message_goes_to_many(node) -> None:
    a, b, c = node("a"), node("b"), node("c")
    numbers = a.mesh.post_all(["b", "c"], to="all", sender="a", kind=MessageKind.EVENT, payload=b"health")
    assert len(set(numbers.values())) == 2
    run([a, b, c], lambda: a.mesh.acknowledged == 2)
    assert (b.payloads, c.payloads) == ([b"health"], [b"health"])
