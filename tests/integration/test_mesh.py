"""The mesh between processes that are killed, stopped and started again."""

from __future__ import annotations

import inspect
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from nautilus.bus import Mesh, MessageKind
from nautilus.core.clock import now_ns
from nautilus.model.enums import Priority
from tests.kit.bus import SECOND, Node, run, run_for
from tests.kit.mesh_process import MeshProcess

MS = 1_000_000
SEED = int(os.environ.get("NAUTILUS_SEEDS", "0"))


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[MeshProcess]:
    made = MeshProcess(tmp_path, "peer")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path, "node")
    yield made
    made.close()


def up(node: Node) -> bool:
    node.mesh.dial("peer")
    return node.mesh.peers()["peer"].up


def check_lives(peer: MeshProcess) -> Counter[bytes]:
    """In each life nothing twice, everything in order; how often each message was handled over all lives."""
    times: Counter[bytes] = Counter()
    for handled in peer.lives().values():
        payloads = [payload for _, _, payload in handled]
        assert len(payloads) == len(set(payloads)), "handled twice in one life"
        for priority in {payload.split(b":")[0] for payload in payloads}:
            numbers = [int(payload.split(b":")[1]) for payload in payloads if payload.startswith(priority + b":")]
            assert numbers == sorted(numbers), "out of order"
        times.update(payloads)
    return times


def test_a_peer_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing(node: Node, peer: MeshProcess) -> None:
    chance = random.Random(SEED)
    kinds = (MessageKind.COMMAND, MessageKind.EVENT, MessageKind.REQUEST)
    posted: dict[bytes, MessageKind] = {}
    requests: dict[int, bytes] = {}
    number = 0

    def post() -> None:
        nonlocal number
        for _ in range(chance.randrange(40)):
            number += 1
            kind, priority = chance.choice(kinds), chance.choice(list(Priority))
            payload = b"%d:%d" % (priority, number)
            identity = node.post("peer", payload, kind, priority=priority)
            posted[payload] = kind
            if kind is MessageKind.REQUEST:
                requests[identity] = payload

    run([node], lambda: up(node))
    for _ in range(5):
        for _ in range(chance.randrange(5, 30)):
            post()
            node.turn()
        run([node], lambda: chance.random() < 0.2)
        peer.kill()
        for _ in range(5):
            post()
            node.turn()
        peer.start()
        run([node], lambda before=node.mesh.acknowledged: node.mesh.acknowledged > before)
    run([node], lambda: node.mesh.pending() == 0)
    times = check_lives(peer)
    assert set(times) == set(posted)
    assert {answer.id: answer.payload for answer in node.answers} == requests
    assert len(node.answers) == len(requests)
    assert (node.unknown, node.letters, node.mesh.dead_lettered) == ([], [], 0)
    assert node.mesh.acknowledged == node.mesh.sent == len(posted)
    # Handled more than once only where a life ended between the handler and its acknowledgement.
    assert sum(count - 1 for count in times.values()) <= len(peer.lives()) * 5 * 256


def test_every_request_to_a_killed_peer_is_answered_or_unknown_by_its_deadline(node: Node, peer: MeshProcess) -> None:
    run([node], lambda: up(node))
    requests = []
    for number in range(300):
        requests.append(node.request("peer", b"4:%d" % number, deadline_ns=now_ns() + 150 * MS))
        if number % 10 == 0:
            node.turn()
        if number == 200:
            peer.kill()
    run([node], lambda: node.mesh.pending() == 0)
    answered = [answer.id for answer in node.answers]
    assert sorted(answered + node.unknown) == requests
    assert node.unknown
    assert [letter.reason for letter in node.letters] == ["deadline"] * len(node.unknown)
    peer.start()
    last = node.request("peer", b"4:1000")
    run([node], lambda: node.answers and node.answers[-1].id == last)
    check_lives(peer)
    # What was given up while nobody was there is not handled later.
    newest = max(peer.lives().items())[1]
    assert [payload for _, _, payload in newest] == [b"4:1000"]


def test_the_loss_of_a_peer_is_found(node: Node, peer: MeshProcess) -> None:
    for _ in range(3):
        run([node], lambda: up(node))
        peer.send_signal(signal.SIGKILL)
        run([node], lambda: not up(node))
        peer.kill()
        peer.start()


def test_a_peer_that_hangs_is_found_within_50_ms_and_serves_on_when_it_moves_again(
    node: Node, peer: MeshProcess
) -> None:
    # So much is waited for at most: a sign of life that has just come, and none after it. The rest is the machine's.
    defaults = inspect.signature(Mesh).parameters
    assert defaults["heartbeat_ms"].default + defaults["silence_ms"].default <= 50
    for number in range(3):
        run([node], lambda: up(node))
        peer.send_signal(signal.SIGSTOP)
        run([node], lambda: not up(node))
        number = node.request("peer", b"4:%d" % number)
        run_for([node], 30)
        assert node.mesh.pending() == 1
        peer.send_signal(signal.SIGCONT)
        run([node], lambda number=number: node.answers and node.answers[-1].id == number)
    assert set(check_lives(peer).values()) == {1}


def test_a_peer_that_comes_back_is_served_at_once(peer: MeshProcess, tmp_path: Path) -> None:
    hour_ns = 3600 * SECOND
    node = Node(
        tmp_path, "node", retry_ns=hour_ns, retry_limit_ns=hour_ns
    )  # nothing is sent again in time but for this
    try:
        run([node], lambda: up(node))
        peer.send_signal(signal.SIGSTOP)
        number = node.request("peer", b"4:1")
        run([node], lambda: not up(node))
        peer.kill()
        peer.start()
        run([node], lambda: node.answers)
        assert node.answers[0].id == number
    finally:
        node.close()


def test_a_sender_that_is_killed_leaves_no_trace_in_its_next_life(tmp_path: Path, peer: MeshProcess) -> None:
    """The peer sees two lives of the sender; each stream begins anew."""
    first = Node(tmp_path, "node")
    try:
        run([first], lambda: up(first))
        for number in range(1_000):
            first.post("peer", b"4:%d" % number)
    finally:
        first.context.destroy(linger=0)  # as abruptly as it goes within one process
    second = Node(tmp_path, "node")
    try:
        for number in range(1_000, 1_100):
            second.post("peer", b"4:%d" % number)
        run([second], lambda: second.mesh.pending() == 0)
    finally:
        second.close()
    (handled,) = peer.lives().values()
    epochs = [epoch for epoch, _, _ in handled]
    assert epochs == sorted(epochs)
    assert [payload for epoch, _, payload in handled if epoch == second.mesh.epoch] == [
        b"4:%d" % number for number in range(1_000, 1_100)
    ]
    check_lives(peer)
