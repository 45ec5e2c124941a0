"""Urgent messages through shared memory: ahead of their copies, never twice, and without them all the same."""

from __future__ import annotations

import select
import threading
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
from nautilus.runtime import loop
from nautilus.runtime.clock import ClockAnchor, PlatformClock
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


def rung(ring: UrgentRing) -> bool:
    return bool(select.select([ring.fileno()], [], [], 0)[0])


def test_a_sleeper_is_called_by_whoever_writes_for_it_and_nobody_else_is(ringed) -> None:
    a, b, c = ringed("a"), ringed("b"), ringed("c")
    bells = [node.mesh.urgent_ring for node in (b, c)]
    assert not any(rung(each) for each in bells)
    for peer in "bc":
        a.post(peer, b"first", priority=URGENT)
    run([a, b, c], lambda: a.mesh.acknowledged == 2)
    for each in bells:
        each.hush()
    a.post("b", b"crash", priority=URGENT)
    assert [rung(each) for each in bells] == [True, False]
    bells[0].hush()
    assert not rung(bells[0])
    assert glance(b) == [b"crash"]
    a.post("b", b"bulk", priority=Priority.LOW)
    run([a, b], lambda: a.mesh.acknowledged == 4)
    bells[0].hush()
    assert not rung(bells[0])


def asleep(thread: int) -> bool:
    """Whether a thread of this process waits in the system."""
    state = Path(f"/proc/self/task/{thread}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    return state == "S"


def test_a_loop_that_sleeps_is_woken_by_the_bell_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LONGEST_WAIT_NS", 3600 * SECOND)
    with ExitStack() as stack:
        a, b = (
            UrgentRing(lambda process: tmp_path / f"{process}.ring", name, now_ns(), capacity=1 << 16) for name in "ab"
        )
        for each in (a, b):
            stack.callback(each.close)
        b.follow("a")
        made, found = loop.Loop(PlatformClock(ClockAnchor(1, 1))), list[Any]()
        stack.callback(made.close)
        made.set_ring(b, lambda: found.extend(b.group.drain(b.prefix)))
        sleeper = threading.Thread(
            target=lambda: [made.turn(1 << 62, lambda: None) for _ in range(2) if not found], daemon=True
        )
        sleeper.start()
        assert sleeper.native_id is not None
        end_ns = now_ns() + 240 * SECOND
        while not asleep(sleeper.native_id):
            assert now_ns() < end_ns
        assert a.write("b", b"crash")
        sleeper.join(240)
        assert not sleeper.is_alive()
        assert found == [(0, b"crash")]
        # One that was awake when it came has the bell left to empty, and nothing to be called for.
        a.write("b", b"seen")
        assert b.group.drain(b.prefix) == [(0, b"seen")]
        made.turn(now_ns(), lambda: None)
        assert len(found) == 1
        assert not rung(b)


def test_one_that_has_no_bell_yet_is_looked_for_again_and_a_full_one_holds_up_nobody(tmp_path: Path) -> None:
    with ExitStack() as stack:

        def made(name: str) -> UrgentRing:
            ring = UrgentRing(lambda process: tmp_path / f"{process}.ring", name, now_ns(), capacity=1 << 16)
            stack.callback(ring.close)
            return ring

        a = made("a")
        assert a.write("b", b"nobody is there")
        b = made("b")
        b.fileno()
        assert a.write("b", b"it is not known yet")
        assert not rung(b)
        a.tend()
        for _ in range(100_000):  # more than a FIFO takes
            a.write("b", b"heard")
        assert rung(b)
        # Killed with a full bell: its next life has the same one, and it is quiet.
        again = made("b")
        again.fileno()
        assert not rung(again)
        a.write("b", b"to the next life")
        assert rung(again)


def test_what_is_no_bell_is_not_written_to(tmp_path: Path) -> None:
    place = tmp_path / "b.ring.call"
    place.write_bytes(b"mine")
    with ExitStack() as stack:
        rings = []
        for name in "ab":
            rings.append(UrgentRing(lambda process: tmp_path / f"{process}.ring", name, now_ns(), capacity=1 << 16))
            stack.callback(rings[-1].close)
        assert rings[0].write("b", b"over ZeroMQ it comes all the same")
        with pytest.raises(OSError, match="no FIFO"):
            rings[1].fileno()
    assert place.read_bytes() == b"mine"
