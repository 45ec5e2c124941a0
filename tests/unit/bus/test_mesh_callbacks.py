"""A host that sends, dials and hangs up while the mesh calls it back."""

from __future__ import annotations

from collections.abc import Callable

from nautilus.core.clock import now_ns
from nautilus.model.enums import Priority
from tests.kit.bus import Node, run

MS = 1_000_000


def test_what_is_given_up_may_be_sent_to_others(node: Callable[..., Node]) -> None:
    a, c = node("a"), node("c")
    given_up: list[tuple[str, bytes]] = []

    def elsewhere(letters: list) -> None:
        for letter in letters:
            given_up.append((letter.peer, letter.payload))
            if letter.peer != "c":
                a.post("c", letter.payload)
                a.post(f"no{len(given_up)}")

    a.mesh.on_dead_letters = elsewhere
    for number in range(3):
        a.post("b", b"%d" % number, deadline_ns=now_ns() + 5 * MS)
    run([a, c], lambda: a.mesh.acknowledged == 3)
    assert c.payloads == [b"0", b"1", b"2"]
    assert given_up == [("b", b"0"), ("b", b"1"), ("b", b"2")]
    a.mesh.close()
    assert sorted(peer for peer, _ in given_up[3:6]) == ["no1", "no2", "no3"]


def test_who_is_dialled_when_a_peer_comes_is_reached_too(node: Callable[..., Node]) -> None:
    a, b, c = node("a"), node("b"), node("c")
    a.mesh.on_peer = lambda peer, up: a.post("c", b"%s came" % peer.encode()) if peer == "b" and up else 0
    a.mesh.dial("b")
    run([a, b, c], lambda: c.deliveries)
    assert c.payloads == [b"b came"]


def test_a_peer_that_is_down_may_be_hung_up_on_at_once(node: Callable[..., Node]) -> None:
    a = node("a")
    told: list[str] = []

    def forget(change) -> None:
        told.append(change.peer)
        a.mesh.hang_up(change.peer)

    a.mesh.on_standing = forget
    for peer in "bcd":
        a.mesh.dial(peer)
        a.mesh.dial(peer, Priority.URGENT)
    run([a], lambda: not a.mesh.peers())
    assert sorted(told) == ["b", "c", "d"]


def test_who_is_hung_up_on_when_a_message_is_given_up_is_gone(node: Callable[..., Node]) -> None:
    a = node("a")
    reasons: list[str] = []

    def leave(letters: list) -> None:
        reasons.extend(letter.reason for letter in letters)
        a.mesh.hang_up("b")

    a.mesh.on_dead_letters = leave
    a.post("b", priority=Priority.HIGH)
    a.post("b", deadline_ns=now_ns() + 5 * MS)
    a.post("b", priority=Priority.URGENT)
    run([a], lambda: not a.mesh.peers())
    assert (sorted(reasons), a.mesh.pending()) == (["closed", "closed", "deadline"], 0)


def test_what_is_sent_to_who_is_being_hung_up_on_is_held_or_given_up(node: Callable[..., Node]) -> None:
    a, b = node("a"), node("b")
    a.mesh.on_dead_letters = lambda letters: [a.post("b", b"again") for each in letters if each.payload == b"x"]
    a.post("b", b"x", priority=Priority.LOW)
    a.mesh.hang_up("b")
    assert a.mesh.pending() == 1
    run([a, b], lambda: b.deliveries)
    assert b.payloads == [b"again"]


def test_a_stream_whose_cut_makes_the_host_hang_up_is_begun_anew(node: Callable[..., Node]) -> None:
    a, b = node("a", pending_limit=2), node("b")
    cut: list[bytes] = []

    def leave(letters: list) -> None:
        cut.extend(letter.payload for letter in letters)
        a.mesh.hang_up("b")

    a.mesh.on_dead_letters = leave
    for number in range(3):
        a.post("b", b"%d" % number)
    assert cut == [b"0", b"1"]
    assert a.mesh.pending() == 1
    run([a, b], lambda: b.deliveries)
    assert b.payloads == [b"2"]


def test_the_queue_that_fills_up_may_have_another_peer_told(node: Callable[..., Node]) -> None:
    a, c = node("a", pending_limit=4), node("c")
    a.mesh.on_pressure = lambda peer, priority, high: a.post("c", b"%s %d" % (peer.encode(), high))
    for _ in range(3):
        a.post("b")
    run([a, c], lambda: c.deliveries)
    assert c.payloads[0] == b"b 1"
