"""Peers of the mesh that are killed, stopped, busy or cut off, each told apart from the others."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nautilus.bus import Standing
from nautilus.bus.liveness import LATE, REFUSED, SILENT, UNREACHABLE
from nautilus.core.clock import now_ns
from tests.kit.bus import SECOND, Node, run, run_for
from tests.kit.mesh_process import MeshProcess, tcp_scheme
from tests.kit.own_network import own_network

PORT = 20_000
"""In a network of its own."""


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[MeshProcess]:
    made = MeshProcess(tmp_path, "peer")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def node(tmp_path: Path, peer: MeshProcess) -> Iterator[Node]:
    made = Node(tmp_path, "node")
    made.mesh.dial("peer")
    run([made], lambda: standing(made) is Standing.UP)
    yield made
    made.close()


def standing(node: Node) -> Standing:
    return Standing[node.mesh.peers()["peer"].standing]


def until(node: Node, wanted: Standing, cause: str) -> list[Any]:
    """Turn until the peer is so; the changes on the way."""
    before = len(node.standings)
    run([node], lambda: (standing(node), node.mesh.peers()["peer"].cause) == (wanted, cause))
    return [change.after for change in node.standings[before:]]


def test_a_killed_peer_is_down_and_up_again_after_its_start(node: Node, peer: MeshProcess) -> None:
    for _ in range(3):
        peer.kill()
        assert Standing.SLOW not in until(node, Standing.DOWN, REFUSED)
        peer.start()
        run([node], lambda: standing(node) is Standing.UP)
    state = node.mesh.peers()["peer"]
    assert state.up
    assert state.since_ns <= state.standing_ns <= now_ns()


def test_a_stopped_peer_is_told_from_a_dead_one(node: Node, peer: MeshProcess) -> None:
    for _ in range(3):
        peer.send_signal(signal.SIGSTOP)
        until(node, Standing.STOPPED, SILENT)
        assert not node.mesh.peers()["peer"].up
        run_for([node], 50)
        assert standing(node) is Standing.STOPPED, "it stays so"
        peer.send_signal(signal.SIGCONT)
        run([node], lambda: standing(node) is Standing.UP)
    peer.send_signal(signal.SIGSTOP)
    until(node, Standing.STOPPED, SILENT)
    peer.kill()
    until(node, Standing.DOWN, REFUSED)


def test_a_busy_peer_is_slow_and_keeps_its_connection(node: Node, peer: MeshProcess, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    node.standings.clear()
    number = node.request("peer", f"block:{fifo}".encode())
    until(node, Standing.SLOW, LATE)
    assert node.mesh.peers()["peer"].up
    later = node.request("peer", b"2")
    run_for([node], 50)
    assert standing(node) is Standing.SLOW
    fifo.write_bytes(b"x")
    run([node], lambda: standing(node) is Standing.UP)
    run([node], lambda: [answer.id for answer in node.answers] == [number, later])
    assert node.changes == [("peer", True)]
    assert {change.after for change in node.standings} == {Standing.UP, Standing.SLOW}


def test_a_peer_that_answers_late_is_not_slow_where_its_application_reads(node: Node, peer: MeshProcess) -> None:
    # A request that waits for something else is no sign of a slow application.
    other = Node(Path(peer.place), "patient", handle=lambda delivery: b"")
    try:
        held: list[Any] = []
        other.mesh.dial("node")
        node.mesh.dial("patient")
        run([node, other], lambda: node.mesh.peers()["patient"].standing == "UP")
        number = node.request("patient", b"wait")

        def turn_patient() -> bool:
            held.extend(other.mesh.receive())
            other.mesh.tick(now_ns())
            return bool(held)

        run([node], turn_patient)
        end_ns = now_ns() + SECOND // 5
        run([node], lambda: turn_patient() and now_ns() > end_ns)
        assert node.mesh.peers()["patient"].standing == "UP"
        assert node.mesh.peers()["patient"].beat_ns > 0
        for delivery in held:
            other.mesh.done(delivery, b"at last")
        run([node, other], lambda: any(answer.id == number for answer in node.answers))
    finally:
        other.close()


def test_a_partition_is_told_from_a_stop_and_heals_without_loss(tmp_path: Path) -> None:
    with own_network() as network:
        peer = MeshProcess(tmp_path, "peer", str(PORT))
        peer.start()
        node = None
        try:
            node = Node(tmp_path, "node", scheme=tcp_scheme({"node": PORT + 10, "peer": PORT}))
            node.mesh.dial("peer")
            run([node], lambda: standing(node) is Standing.UP)
            sent = []
            for _ in range(2):
                network.partition(PORT)
                sent += [node.request("peer", b"%d" % number) for number in range(100)]
                assert Standing.STOPPED not in until(node, Standing.DOWN, UNREACHABLE)
                network.heal()
                run([node], lambda: standing(node) is Standing.UP)
                run([node], lambda: node.mesh.pending() == 0)
            assert [answer.id for answer in node.answers] == sent
            peer.send_signal(signal.SIGSTOP)
            until(node, Standing.STOPPED, SILENT)
            peer.send_signal(signal.SIGCONT)
            run([node], lambda: standing(node) is Standing.UP)
            peer.kill()
            until(node, Standing.DOWN, REFUSED)
            (life,) = peer.lives().values()
            assert len(life) == len(sent), "nothing twice"
        finally:
            if node is not None:
                node.close()
            peer.kill()
