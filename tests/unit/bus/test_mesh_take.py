"""A thread that waits in the mesh itself; and the same mesh where libzmq is reached through pyzmq."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from nautilus.bus import Mesh, MessageKind, error_fields, make_context
from nautilus.bus.carriers import HTTP
from nautilus.core.clock import now_ns
from nautilus.model.enums import Priority
from nautilus.model.errors import ModelError
from tests.kit.bus import SECOND, Node, run
from tests.kit.carrier import SocketCarrier

EVENT, REQUEST = MessageKind.EVENT, MessageKind.REQUEST
LONG_NS = 100 * SECOND


def take_turns(nodes: list[Node], until: Any) -> None:
    """As `run`, but each waits in `take`."""
    end_ns = now_ns() + 240 * SECOND
    while not until():
        assert now_ns() < end_ns, "it did not come about"
        for node in nodes:
            for delivery in node.mesh.take(1_000_000):
                if delivery.kind in (MessageKind.REPLY, MessageKind.ERROR):
                    node.answers.append(delivery)
                    node.mesh.done(delivery)
                else:
                    node.deliveries.append(delivery)
                    node.mesh.done(delivery, node.handle(delivery))
            node.unknown += node.mesh.tick(now_ns())


def test_requests_are_answered_by_a_thread_that_waits_for_nothing_else(tmp_path) -> None:
    """Each reply is waited for before the next request: a wake-up that is lost would be seen as a retry."""

    def endpoint(process: str, lane: str) -> str:
        return f"ipc://{tmp_path}/{process}.{lane}"

    failures: list[BaseException] = []
    ended = threading.Event()

    def serve() -> None:
        try:
            while not ended.is_set():
                for delivery in answering.take(LONG_NS):
                    answering.done(delivery, b"re:" + delivery.payload)
                answering.tick(now_ns())
        except BaseException as error:
            failures.append(error)

    context = make_context()
    answering = Mesh(context, "b", now_ns(), endpoint, now_ns)
    asking = Mesh(context, "a", now_ns(), endpoint, now_ns)
    thread = threading.Thread(target=serve)
    try:
        # The other end wakes by its own `tick` now and then, so it sees the end.
        answering.dial("a")
        thread.start()
        for number in range(500):
            priority = (Priority.NORMAL, Priority.URGENT)[number % 2]
            asking.post("b", to="b", sender="a", kind=REQUEST, payload=b"%d" % number, priority=priority)
            found: list[Any] = []
            while not found:
                found = asking.take(LONG_NS)
                assert not asking.tick(now_ns())
                assert not failures
            (reply,) = found
            asking.done(reply)
            assert (reply.kind, reply.payload) == (MessageKind.REPLY, b"re:%d" % number)
        assert asking.acknowledged == 500
    finally:
        ended.set()
        asking.post("b", to="b", sender="a", kind=EVENT, payload=b"")
        if thread.ident is not None:
            thread.join(120)
        asking.close()
        answering.close()
        context.destroy(linger=0)
    assert not failures


def test_it_waits_no_longer_than_until_something_is_due(node) -> None:
    a = node("a", retry_ns=20_000_000)
    a.post("nobody", deadline_ns=now_ns() + SECOND // 5)
    while not a.letters:  # each wait would be longer than the test may take
        assert a.mesh.take(10**15) == []
        a.mesh.tick(now_ns())
    assert a.letters[0].reason == "deadline"


def test_what_is_dialled_and_hung_up_later_is_waited_for(node) -> None:
    a, b, c = node("a"), node("b"), node("c")
    a.request("b", b"1")
    take_turns([a, b, c], lambda: len(a.answers) == 1)
    a.request("c", b"2")
    take_turns([a, b, c], lambda: len(a.answers) == 2)
    a.mesh.hang_up("b")
    a.request("c", b"3")
    take_turns([a, b, c], lambda: len(a.answers) == 3)
    assert [each.payload for each in a.answers] == [b"re:1", b"re:2", b"re:3"]


def test_other_carriers_are_waited_for_too(node) -> None:
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    a = node("a", fallbacks=[SocketCarrier("b", ends[0], "http", HTTP)], fallback_after_ns=0)
    b = node("b", fallbacks=[SocketCarrier("a", ends[1], "http", HTTP)])
    a.mesh.dial("b")
    a.mesh.divert("b", True)
    a.request("b", b"past")
    take_turns([a, b], lambda: a.answers)
    assert a.answers[0].payload == b"re:past"
    assert a.mesh.paths["b"].path == "http"


def test_the_urgent_lane_comes_first(node) -> None:
    a, b = node("a"), node("b")
    for priority in (Priority.LOW, Priority.FLASH_CRASH):
        a.request("b", priority=priority)
    take_turns([a, b], lambda: len(a.answers) == 2)
    b.deliveries.clear()
    for priority in (Priority.LOW, Priority.HIGH, Priority.URGENT, Priority.FLASH_CRASH):
        for _ in range(2):
            a.post("b", priority=priority)
    sockets = [router.socket for router in b.mesh._routers.values()]
    for each in sockets:
        assert each.poll(60_000)
    b.mesh.touched.update(sockets)
    found = b.mesh.take(0, 256)
    ranks = [delivery.priority <= Priority.URGENT for delivery in found]
    assert ranks == sorted(ranks, reverse=True)
    assert found[0].priority <= Priority.URGENT


@pytest.mark.parametrize("native", [True, False])
def test_through_pyzmq_it_is_the_same(node, native: bool) -> None:
    a, b = node("a"), node("b")
    if native and not a.mesh.native:
        pytest.skip("libzmq is not found beside pyzmq")
    a.mesh.native = b.mesh.native = native

    def handle(delivery: Any) -> bytes | None:
        return b"re:" + delivery.payload if delivery.kind is REQUEST else None

    b.handle = handle
    for number in range(700):
        kind = REQUEST if number % 5 == 0 else EVENT
        a.post("b", b"%d" % number, kind, priority=(Priority.NORMAL, Priority.URGENT, Priority.LOW)[number % 3])
    take_turns([a, b], lambda: a.mesh.acknowledged == 700)
    for rest in range(3):
        payloads = [int(each.payload) for each in b.deliveries if int(each.payload) % 3 == rest]
        assert payloads == list(range(rest, 700, 3)), "in order, each once"
    assert sorted(int(each.payload[3:]) for each in a.answers) == list(range(0, 700, 5))
    b.mesh.done = lambda *_: None  # type: ignore[method-assign]
    a.request("b", b"refused")
    run([a, b], lambda: b.deliveries[-1].payload == b"refused")
    Mesh.done(b.mesh, b.deliveries[-1], error=ModelError("no", where="b", expected="yes"))
    run([a, b], lambda: a.answers[-1].kind is MessageKind.ERROR)
    assert error_fields(a.answers[-1].payload)["what"] == "no"
    assert (a.mesh.malformed, b.mesh.malformed, a.mesh.dead_lettered) == (0, 0, 0)
    assert b.mesh.received == 701
