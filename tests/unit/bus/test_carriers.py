"""The mesh past ZeroMQ: what is pending goes over other carriers while a peer cannot be reached, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import zmq

from nautilus.bus import MessageKind
from nautilus.bus.carriers import ALL, AT_ONCE, EVERY_PATH, HTTP, REDIS, ZMQ, ways
from nautilus.core.clock import now_ns
from nautilus.model.enums import Priority
from tests.kit.bus import Node, run
from tests.kit.carrier import MOST_BYTES, SocketCarrier, carrier_pair

MS = 1_000_000
QUICK = {"fallback_after_ns": 10 * MS, "return_after_ns": 20 * MS, "withhold_ns": 20 * MS, "retry_ns": 20 * MS}


class Pair:
    """Nodes a and b with a Redis-like and an HTTP-like wire between them; b's sockets may be where a does not look."""

    def __init__(self, directory: Path, **options: Any) -> None:
        options = QUICK | options
        self.directory = directory
        self.reachable = False
        self.changes: list[tuple[str, str, str]] = []
        self.near: dict[int, SocketCarrier] = {}
        self.far: dict[int, SocketCarrier] = {}
        for name, path in (("redis", REDIS), ("http", HTTP)):
            self.near[path], self.far[path] = carrier_pair("a", "b", name, path)
        self.a = Node(directory, "a", scheme=self.place, fallbacks=list(self.near.values()), **options)
        self.a.mesh.on_path = lambda peer, before, after, cause: self.changes.append((before, after, cause))
        self.b = Node(directory, "b", fallbacks=list(self.far.values()), scheme=self.at("b"), **options)

    def at(self, name: str) -> Callable[[str, str], str]:
        return lambda process, lane: f"ipc://{self.directory}/{name if process == 'b' else process}.{lane}"

    def place(self, process: str, lane: str) -> str:
        return f"ipc://{self.directory}/{'nowhere' if process == 'b' else process}.{lane}"

    def connect(self) -> None:
        """From here on a's sockets reach b: something between them forwards, as a wire that is mended does."""
        for lane in "un":
            for dealer in self.a.mesh._dealers.values():
                if dealer.lane == lane:
                    dealer.socket.connect(f"ipc://{self.directory}/b.{lane}")

    def until(self, so: Callable[[], object]) -> None:
        run([self.a, self.b], so)

    def close(self) -> None:
        self.a.close()
        self.b.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        made = Pair(tmp_path)
        stack.callback(made.close)
        yield made


def test_what_waits_for_a_peer_that_is_not_there_goes_over_the_next_carrier(pair) -> None:
    numbers = [pair.a.request("b", b"%d" % each) for each in range(50)]
    pair.until(lambda: len(pair.a.answers) == 50)
    assert [each.id for each in pair.a.answers] == numbers
    assert pair.b.payloads == [b"%d" % each for each in range(50)]
    assert pair.changes == [("zmq", "redis", "not connected yet")]
    assert not pair.near[HTTP].sent
    assert pair.far[REDIS].sent, "answers go back over what the envelopes came by"
    assert (pair.a.mesh.pending(), pair.a.mesh.dead_lettered, pair.b.mesh.received) == (0, 0, 50)


def test_no_carrier_is_taken_while_the_sockets_reach_the_peer(pair) -> None:
    pair.a.mesh.dial("b")
    pair.connect()
    pair.until(lambda: pair.a.mesh.peers()["b"].up and not pair.a.mesh.paths["b"].degraded)
    pair.a.request("b", b"x")
    pair.until(lambda: pair.a.answers)
    assert not pair.near[REDIS].sent
    assert not pair.near[HTTP].sent


def test_back_on_the_sockets_nothing_is_lost_or_doubled(pair) -> None:
    posted = 0
    for _ in range(20):
        pair.a.post("b", b"%d" % posted)
        posted += 1
    pair.until(lambda: len(pair.b.deliveries) >= 10)
    pair.connect()
    while not pair.a.mesh.peers()["b"].up or posted < 200:
        pair.a.post("b", b"%d" % posted)
        posted += 1
        pair.until(lambda: pair.a.mesh.pending() < 50)
    pair.until(lambda: not pair.a.mesh.pending())
    assert pair.b.payloads == [b"%d" % each for each in range(posted)]
    pair.until(lambda: len(pair.changes) == 2)
    assert pair.changes == [("zmq", "redis", "not connected yet"), ("redis", "zmq", "connected")]
    frames = len(pair.near[REDIS].sent)
    pair.a.request("b", b"last")
    pair.until(lambda: pair.a.answers)
    assert len(pair.near[REDIS].sent) == frames


def test_a_carrier_that_breaks_is_passed_over_and_what_it_lost_comes_again(pair) -> None:
    for each in range(5):
        pair.a.post("b", b"%d" % each)
    pair.until(lambda: pair.near[REDIS].sent)
    pair.near[REDIS].broken = pair.far[REDIS].broken = True
    for each in range(5, 10):
        pair.a.post("b", b"%d" % each)
    pair.until(lambda: not pair.a.mesh.pending())
    assert pair.b.payloads == [b"%d" % each for each in range(10)]
    pair.until(lambda: ("redis", "http", "redis is lost") in pair.changes)
    assert pair.near[HTTP].sent


def test_without_any_way_messages_wait_for_one(pair) -> None:
    for carrier in pair.near.values():
        carrier.broken = True
    pair.a.post("b", b"x")
    pair.until(lambda: pair.changes)
    assert pair.changes == [("zmq", "local", "not connected yet")]
    pair.near[HTTP].broken = False
    pair.until(lambda: pair.b.deliveries)
    assert pair.changes[-1] == ("local", "http", "http is back")


def test_a_message_never_takes_a_path_that_it_may_not(pair) -> None:
    pair.a.request("b", b"order", paths=ZMQ | HTTP)
    pair.a.request("b", b"question")
    pair.until(lambda: len(pair.a.answers) == 2)
    assert pair.b.payloads == [b"order", b"question"]
    assert len(pair.near[HTTP].sent) >= 1
    assert not any(b"order" in frame for frame in pair.near[REDIS].sent)


def test_what_may_take_no_usable_path_keeps_others_waiting_no_longer_than_told(pair) -> None:
    pair.near[HTTP].broken = True
    order = pair.a.request("b", b"order", paths=ZMQ | HTTP)
    pair.a.post("b", b"cancel", paths=EVERY_PATH)
    pair.until(lambda: pair.a.mesh.acknowledged)
    assert pair.b.payloads == [b"cancel"]
    assert [(each.reason, each.id) for each in pair.a.letters] == [("path", order)]
    assert pair.a.unknown == [order]
    assert (pair.a.mesh.pending(), pair.a.mesh.dead_lettered) == (0, 1)


def test_a_cancel_ends_the_orders_that_keep_it_waiting_at_once(tmp_path) -> None:
    with ExitStack() as stack:
        pair = Pair(tmp_path, withhold_ns=1 << 60)
        stack.callback(pair.close)
        pair.near[HTTP].broken = True
        orders = [pair.a.request("b", b"order %d" % number, paths=ZMQ | HTTP) for number in range(3)]
        pair.a.post("b", b"question", paths=ALL)
        pair.until(lambda: pair.a.mesh.paths["b"].path == "redis")
        assert pair.b.payloads == []
        pair.a.post("b", b"cancel", paths=EVERY_PATH)
        behind = pair.a.request("b", b"order behind", paths=ZMQ | HTTP)
        pair.until(lambda: pair.a.mesh.acknowledged == 2)
        assert pair.b.payloads == [b"question", b"cancel"]
        assert [(each.reason, each.id) for each in pair.a.letters] == [("path", number) for number in orders]
        assert pair.a.unknown == orders
        # What was ended does not come to life again, whatever is mended; what was behind the cancel goes then.
        pair.connect()
        pair.until(lambda: pair.a.answers)
        assert [each.id for each in pair.a.answers] == [behind]
        assert pair.b.payloads == [b"question", b"cancel", b"order behind"]
        assert sorted({each for _, _, first, last in pair.b.gaps for each in range(first, last + 1)}) == [1, 2, 3]


def test_what_keeps_nothing_waiting_is_held(pair) -> None:
    pair.near[HTTP].broken = True
    pair.a.post("b", b"first", paths=ALL)
    pair.a.request("b", b"order", paths=ZMQ | HTTP)
    pair.until(lambda: pair.a.mesh.acknowledged == 1)
    end_ns = now_ns() + 60 * MS
    pair.until(lambda: now_ns() > end_ns)
    assert pair.a.letters == []
    pair.near[HTTP].broken = False
    pair.until(lambda: pair.a.answers)
    assert pair.b.payloads == [b"first", b"order"]


def test_what_must_get_through_goes_over_every_path_and_is_handled_once(pair) -> None:
    pair.a.post("b", b"kill", priority=Priority.URGENT, paths=EVERY_PATH)
    pair.until(lambda: pair.a.mesh.acknowledged and pair.b.mesh.duplicates)
    assert pair.b.payloads == [b"kill"]
    assert pair.near[REDIS].sent[0] == pair.near[HTTP].sent[0]


def test_the_host_may_send_past_sockets_that_stand(pair) -> None:
    pair.a.mesh.dial("b")
    pair.connect()
    pair.until(lambda: pair.a.mesh.peers()["b"].up and pair.a.mesh.paths["b"].path == "zmq")
    pair.a.mesh.divert("b", past=True)
    pair.until(lambda: pair.a.mesh.paths["b"].path == "redis")
    pair.a.request("b", b"x")
    pair.until(lambda: pair.a.answers)
    assert pair.near[REDIS].sent
    assert pair.changes[-1] == ("zmq", "redis", "told to")
    frames = len(pair.near[REDIS].sent)
    pair.a.mesh.divert("b", past=False)
    pair.until(lambda: pair.a.mesh.paths["b"].path == "zmq")
    assert pair.changes[-1] == ("redis", "zmq", "connected")
    pair.a.request("b", b"y")
    pair.until(lambda: len(pair.a.answers) == 2)
    assert len(pair.near[REDIS].sent) == frames


def test_who_is_not_expected_is_not_listened_to_over_any_carrier(tmp_path) -> None:
    near, far = carrier_pair("a", "b", "http", HTTP)
    with ExitStack() as stack:
        a = Node(tmp_path, "a", scheme=lambda process, lane: f"ipc://{tmp_path}/x{process}.{lane}", fallbacks=[near])
        stack.callback(a.close)
        b = Node(tmp_path, "b", fallbacks=[far], peers={"c"})
        stack.callback(b.close)
        a.post("b", b"x")
        run([a, b], lambda: b.mesh.strangers)
        assert b.deliveries == []


@pytest.mark.parametrize("frame", [b"", b"x", bytes(200), b"\xff" * 200, b"\x9b\x01", b"\x9a\x08"])
@pytest.mark.parametrize("lane", ["u", "n", "z"])
def test_junk_over_a_carrier_is_counted(pair, lane, frame) -> None:
    pair.a.post("b", b"x")
    pair.until(lambda: pair.a.mesh.acknowledged)
    for nodes in ((pair.near, pair.b), (pair.far, pair.a)):
        carriers, node = nodes
        before = node.mesh.malformed + node.mesh.strangers
        assert carriers[REDIS].send(carriers[REDIS].peer, lane, frame)
        pair.until(lambda node=node, before=before: node.mesh.malformed + node.mesh.strangers > before)
    pair.a.post("b", b"y")
    pair.until(lambda: len(pair.b.deliveries) == 2)


def test_the_mesh_closes_its_carriers(pair) -> None:
    pair.close()
    assert all(carrier.closed for carriers in (pair.near, pair.far) for carrier in carriers.values())


def test_a_carrier_without_a_descriptor_is_looked_at(tmp_path) -> None:
    class Silent(SocketCarrier):
        def fileno(self) -> int:
            return -1

    near, far = carrier_pair("a", "b", "http", HTTP)
    near.__class__ = far.__class__ = Silent
    nodes: list[Any] = []
    try:
        nodes.append(
            Node(tmp_path, "a", scheme=lambda process, lane: f"ipc://{tmp_path}/x{process}.{lane}", fallbacks=[near])
        )
        nodes.append(Node(tmp_path, "b", fallbacks=[far]))
        assert nodes[0].mesh.descriptors() == []
        nodes[0].request("b", b"x")
        run(nodes, lambda: nodes[0].answers)
    finally:
        for each in nodes:
            each.close()


def test_ways_are_those_that_a_message_may_take() -> None:
    redis, _ = carrier_pair("a", "b", "redis", REDIS)
    http, other = carrier_pair("a", "b", "http", HTTP)
    try:
        assert ways([redis, http], ALL) == [redis, http]
        assert ways([redis, http], ZMQ | HTTP) == [http]
        assert ways([redis, http], EVERY_PATH) == [redis, http]
        assert ways([redis, http], ZMQ | AT_ONCE) == []
    finally:
        for each in (redis, http, other, _):
            each.close()


def test_descriptors_of_carriers_are_polled_with_the_sockets(pair) -> None:
    assert sorted(pair.a.mesh.descriptors()) == sorted(carrier.fileno() for carrier in pair.near.values())
    assert not set(pair.a.mesh.descriptors()) & {socket.getsockopt(zmq.FD) for socket in pair.a.mesh.sockets()}
    pair.a.post("b", b"x", MessageKind.EVENT)
    pair.until(lambda: pair.b.deliveries)


def test_what_is_too_long_for_the_only_path_there_keeps_no_cancel_waiting(pair) -> None:
    pair.near[REDIS].broken = True
    batch = pair.a.request("b", b"x" * (2 * MOST_BYTES), paths=ZMQ | HTTP)
    pair.a.post("b", b"cancel", paths=EVERY_PATH)
    alone = pair.a.request("b", b"y" * (2 * MOST_BYTES), priority=Priority.LOW)
    pair.until(lambda: pair.a.mesh.acknowledged)
    assert pair.b.payloads == [b"cancel"]
    assert [(each.reason, each.id) for each in pair.a.letters] == [("path", batch)]
    pair.connect()  # what keeps nothing waiting waits for a path that takes it
    pair.until(lambda: pair.a.answers)
    assert [each.id for each in pair.a.answers] == [alone]
