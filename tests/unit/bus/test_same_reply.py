"""A request that comes again, over another path or another connection, gets the reply that it got before."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nautilus.bus import Delivery, Mesh, MessageKind
from nautilus.bus.carriers import HTTP, REDIS
from nautilus.core.clock import now_ns
from nautilus.core.receive_stream import KEPT_REPLIES
from tests.kit.bus import Node, run
from tests.kit.carrier import SocketCarrier, carrier_pair

MS = 1_000_000
QUICK: dict[str, Any] = {
    "fallback_after_ns": 10 * MS,
    "return_after_ns": 20 * MS,
    "retry_ns": 20 * MS,
    "retry_limit_ns": 40 * MS,
}


def numbered() -> Callable[[Delivery], bytes]:
    """A handler none of whose replies is like another: to handle a message twice would show."""
    count = itertools.count(1)
    return lambda delivery: b"%d of %s" % (next(count), delivery.payload)


@pytest.fixture
def make() -> Iterator[Callable[..., Node]]:
    with ExitStack() as stack:

        def node(directory: Path, name: str, **options: Any) -> Node:
            made = Node(directory, name, **options)
            stack.callback(made.close)
            return made

        yield node


def test_a_request_over_another_path_gets_the_same_reply(tmp_path: Path, make: Callable[..., Node]) -> None:
    near: dict[int, SocketCarrier] = {}
    far: dict[int, SocketCarrier] = {}
    for name, path in (("redis", REDIS), ("http", HTTP)):
        near[path], far[path] = carrier_pair("a", "b", name, path)

    def nowhere(process: str, lane: str) -> str:
        return f"ipc://{tmp_path}/{'nowhere' if process == 'b' else process}.{lane}"

    a = make(tmp_path, "a", scheme=nowhere, fallbacks=list(near.values()), **QUICK)
    b = make(tmp_path, "b", handle=numbered(), fallbacks=list(far.values()), **QUICK)
    numbers = [a.request("b", b"%d" % each) for each in range(20)]
    # Requests get through; replies are lost on their way.
    far[REDIS].send = lambda peer, lane, frame: True  # type: ignore[method-assign]
    run([a, b], lambda: len(b.deliveries) == 20)
    assert a.answers == []
    near[REDIS].broken = True  # from here on everything goes over the other one
    run([a, b], lambda: len(a.answers) == 20)
    assert [(each.id, each.payload) for each in a.answers] == [
        (number, b"%d of %d" % (place + 1, place)) for place, number in enumerate(numbers)
    ]
    assert near[HTTP].sent
    assert len(b.deliveries) == 20, "each was handled once"
    # The first connection of the sockets to b, and the third path.
    before = len(near[HTTP].sent)
    number = a.request("b", b"late")
    far[HTTP].send = lambda peer, lane, frame: True  # type: ignore[method-assign]
    run([a, b], lambda: len(b.deliveries) == 21 and len(near[HTTP].sent) > before)
    for dealer in list(a.mesh._dealers.values()):
        dealer.socket.connect(f"ipc://{tmp_path}/b.{dealer.lane}")
    run([a, b], lambda: len(a.answers) == 21)
    assert (a.answers[-1].id, a.answers[-1].payload) == (number, b"21 of late")
    assert len(b.deliveries) == 21
    assert a.unknown == []


def test_a_sender_that_reconnects_gets_the_same_reply(tmp_path: Path, make: Callable[..., Node]) -> None:
    a = make(tmp_path, "a", **QUICK)
    b = make(tmp_path, "b", handle=numbered())
    a.mesh.dial("b")
    run([a, b], lambda: a.mesh.peers()["b"].up)
    (dealer,) = a.mesh._dealers.values()
    endpoint = f"ipc://{tmp_path}/b.{dealer.lane}"
    for turn in range(5):
        numbers = [a.request("b", b"%d" % each) for each in range(10)]
        a.turn()
        # b handles them; what it says is for a connection that is gone.
        handled = len(b.deliveries)
        run([b], lambda handled=handled: len(b.deliveries) == handled + 10)
        dealer.socket.disconnect(endpoint)
        dealer.socket.connect(endpoint)
        run([a, b], lambda turn=turn: len(a.answers) == 10 * (turn + 1))
        first = 10 * turn + 1
        assert [(each.id, each.payload) for each in a.answers[-10:]] == [
            (number, b"%d of %d" % (first + place, place)) for place, number in enumerate(numbers)
        ]
    assert len(b.deliveries) == 50, "each was handled once"


def test_an_error_is_the_same_error_again(tmp_path: Path, make: Callable[..., Node]) -> None:
    a = make(tmp_path, "a", **QUICK)
    b = make(tmp_path, "b")
    late = a.request("b", b"late", deadline_ns=now_ns() + 3_600_000 * MS)
    run([a], lambda: a.mesh.peers()["b"].up)
    found: list[Delivery] = []

    def take() -> bool:
        found.extend(b.mesh.receive())
        return bool(found)

    run([a], take)
    b.mesh.refuse_late(found[0])
    (dealer,) = a.mesh._dealers.values()
    endpoint = f"ipc://{tmp_path}/b.{dealer.lane}"
    dealer.socket.disconnect(endpoint)
    dealer.socket.connect(endpoint)
    run([a, b], lambda: a.answers)
    assert [(each.id, each.kind) for each in a.answers] == [(late, MessageKind.ERROR)]
    assert b"bus.late" in a.answers[0].payload
    assert b.deliveries == []


def test_replies_are_kept_for_all_that_may_be_under_way() -> None:
    # What may have arrived without the sender's knowing it is one window; its replies must all be there.
    assert inspect.signature(Mesh).parameters["window"].default < KEPT_REPLIES
