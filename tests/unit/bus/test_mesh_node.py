"""Nodes of the mesh over real sockets, several in one process, each with a context of its own."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
import zmq

from nautilus.bus import EndpointError, MeshError, MessageKind, Standing, error_fields
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.core.send_stream import MOST_IN_FRAME
from nautilus.model.enums import Priority
from nautilus.model.errors import ModelError
from tests.kit.bus import Node, run, run_for
from tests.kit.ports import held_port

EVENT, REQUEST = MessageKind.EVENT, MessageKind.REQUEST
MS = 1_000_000
SECOND = 1_000 * MS


def test_a_message_arrives_as_it_was_posted_and_is_acknowledged(node) -> None:
    a, b = node("a", retry_ns=60 * SECOND), node("b")
    deadline_ns = now_ns() + 10_000 * MS
    number = a.mesh.post(
        "b",
        to="risk",
        sender="strategy",
        kind=EVENT,
        payload=b"payload",
        priority=Priority.HIGH,
        deadline_ns=deadline_ns,
        trace_id=77,
    )
    run([a, b], lambda: a.mesh.acknowledged)
    (delivery,) = b.deliveries
    assert (delivery.kind, delivery.id, delivery.peer, delivery.sender, delivery.to) == (
        EVENT,
        number,
        "a",
        "strategy",
        "risk",
    )
    assert (delivery.payload, delivery.priority, delivery.deadline_ns, delivery.trace_id) == (
        b"payload",
        Priority.HIGH,
        deadline_ns,
        77,
    )
    assert (a.mesh.sent, a.mesh.retried, a.mesh.dead_lettered, b.mesh.received) == (1, 0, 0, 1)
    assert a.mesh.pending() == 0


def test_a_request_gets_its_reply_and_no_acknowledgement_besides(node) -> None:
    a, b = node("a"), node("b")
    first, second = a.request("b", b"one"), a.request("b", b"two", trace_id=5)
    run([a, b], lambda: len(a.answers) == 2)
    assert [(each.kind, each.id, each.payload, each.peer, each.trace_id) for each in a.answers] == [
        (MessageKind.REPLY, first, b"re:one", "b", 0),
        (MessageKind.REPLY, second, b"re:two", "b", 5),
    ]
    assert (a.mesh.acknowledged, a.mesh.pending(), a.unknown) == (2, 0, [])


def test_the_reply_names_the_engines_the_other_way_round(node) -> None:
    a, b = node("a"), node("b")
    a.mesh.post("b", to="trading", sender="strategy", kind=REQUEST, payload=b"")
    run([a, b], lambda: a.answers)
    assert (a.answers[0].sender, a.answers[0].to) == ("trading", "strategy")


def test_an_error_in_the_handler_comes_back_with_its_fields(node) -> None:
    a, b = node("a"), node("b")
    a.request("b")
    a.request("b")
    held: list[Any] = []

    def collect() -> bool:
        a.turn()
        held.extend(b.mesh.receive())
        b.mesh.tick(now_ns())
        return len(held) == 2

    run([a], collect)
    b.mesh.done(held[0], error=ModelError("price 1.001 off tick", where="price", expected="a multiple of 0.01"))
    b.mesh.done(held[1], error={"code": "own.code", "what": "no"})
    run([a, b], lambda: len(a.answers) == 2)
    assert [each.kind for each in a.answers] == [MessageKind.ERROR] * 2
    assert error_fields(a.answers[0].payload) == {
        "code": "model",
        "what": "price 1.001 off tick",
        "where": "price",
        "expected": "a multiple of 0.01",
    }
    assert error_fields(a.answers[1].payload)["code"] == "own.code"


def test_messages_of_each_priority_keep_their_order(node) -> None:
    a, b = node("a", retry_ns=60 * SECOND), node("b")
    for number in range(500):
        for priority in Priority:
            a.post("b", b"%d:%d" % (priority, number), priority=priority)
    run([a, b], lambda: a.mesh.acknowledged == 2_500)
    for priority in Priority:
        own = [payload for payload in b.payloads if payload.startswith(b"%d:" % priority)]
        assert own == [b"%d:%d" % (priority, number) for number in range(500)]
    assert (b.mesh.duplicates, b.mesh.ahead, b.gaps, a.mesh.retried) == (0, 0, [], 0)


def test_a_message_to_a_peer_that_is_not_there_yet_waits_for_it(node) -> None:
    a = node("a")
    a.post("b", b"one")
    a.post("b", b"two", priority=Priority.URGENT)
    run_for([a], 120)
    assert not a.mesh.peers()["b"].up
    assert a.mesh.peers()["b"].pending == 2
    b = node("b")
    run([a, b], lambda: a.mesh.acknowledged == 2)
    assert b.payloads == [b"two", b"one"] or b.payloads == [b"one", b"two"]
    assert a.mesh.peers()["b"].up


def test_a_process_may_send_to_itself(node) -> None:
    a = node("a")
    a.request("a", b"x")
    run([a], lambda: a.answers)
    assert a.answers[0].payload == b"re:x"


def test_it_is_acknowledged_only_after_its_handler_has_run(node) -> None:
    a, b = node("a", retry_ns=20 * MS), node("b")
    a.post("b", b"one")
    a.request("b", b"two")
    held: list[Any] = []

    def receive() -> bool:
        held.extend(b.mesh.receive())
        b.mesh.tick(now_ns())
        return len(held) == 2

    run([a], receive)

    def turn_b_without_handling() -> bool:
        assert b.mesh.receive() == []
        b.mesh.tick(now_ns())
        return a.mesh.retried >= 3

    run([a], turn_b_without_handling)  # asks, and is told: arrived, not handled
    assert (a.mesh.acknowledged, a.mesh.pending(), b.mesh.received) == (0, 2, 2)
    b.mesh.done(held[1], b"late but right")
    run([a, b], lambda: a.answers)
    assert (a.mesh.acknowledged, a.mesh.pending()) == (1, 1)
    b.mesh.done(held[0])
    run([a, b], lambda: a.mesh.pending() == 0)
    assert b.deliveries == []


def test_a_delivery_is_done_once(node) -> None:
    a, b = node("a"), node("b")
    a.post("b", b"one")
    run([a, b], lambda: a.mesh.acknowledged)
    b.mesh.done(b.deliveries[0])
    b.mesh.done(b.deliveries[0], b"again")
    run_for([a, b], 20)
    assert a.mesh.acknowledged == 1


def test_a_deadline_makes_a_dead_letter_and_a_request_unknown(node) -> None:
    a = node("a")
    deadline_ns = now_ns() + 30 * MS
    command = a.post("b", b"one", deadline_ns=deadline_ns)
    request = a.request("b", b"two", deadline_ns=deadline_ns, trace_id=9)
    run([a], lambda: a.unknown)
    assert now_ns() >= deadline_ns
    assert a.unknown == [request]
    assert [(each.reason, each.id, each.peer, each.payload, each.trace_id) for each in a.letters] == [
        ("deadline", command, "b", b"one", 0),
        ("deadline", request, "b", b"two", 9),
    ]
    assert (a.mesh.dead_lettered, a.mesh.pending()) == (2, 0)
    b = node("b")
    a.post("b", b"three")
    run([a, b], lambda: a.mesh.acknowledged)
    assert b.payloads == [b"three"]
    assert b.gaps == [("a", Priority.NORMAL, 1, 1), ("a", Priority.NORMAL, 2, 2)]


def test_a_reply_after_the_deadline_changes_nothing(node) -> None:
    a, b = node("a"), node("b")
    a.request("b", b"x")
    run([a, b], lambda: a.answers)
    number = a.request("b", b"y", deadline_ns=now_ns() + 40 * MS)
    held: list[Any] = []

    def receive() -> bool:
        held.extend(b.mesh.receive())
        b.mesh.tick(now_ns())
        return bool(a.unknown)

    run([a], receive)
    assert a.unknown == [number]
    b.mesh.done(held[0], b"too late")
    run_for([a, b], 30)
    assert len(a.answers) == 1
    a.post("b", b"z")
    run([a, b], lambda: a.mesh.pending() == 0)
    assert b.gaps == []


def test_a_stream_that_is_full_is_cut_and_the_receiver_told(node) -> None:
    a = node("a", pending_limit=100)
    numbers = [a.post("b", b"%d" % number) for number in range(100)]
    request = a.request("b", b"last")  # one too many
    assert [each.reason for each in a.letters] == ["cut"] * 100
    assert [each.id for each in a.letters] == numbers
    for number in range(99):
        a.post("b", b"+%d" % number)
    a.post("b", b"x", priority=Priority.LOW)  # another stream
    assert a.mesh.dead_lettered == 100
    a.post("b", b"once more")
    assert a.mesh.dead_lettered == 200
    run([a], lambda: a.unknown)
    assert a.unknown == [request]
    b = node("b")
    run([a, b], lambda: a.mesh.pending() == 0)
    assert sorted(b.payloads) == [b"once more", b"x"]
    assert b.gaps == [("a", Priority.NORMAL, 1, 200)]
    assert a.mesh.sent == a.mesh.acknowledged + a.mesh.dead_lettered


def test_a_peer_that_does_not_read_is_cut_and_told_when_it_reads_again(node) -> None:
    a, b = node("a", pending_limit=1_000, high_water=10), node("b", high_water=10)
    a.post("b", b"first")
    run([a, b], lambda: a.mesh.acknowledged)
    payload = bytes(10_000)
    for _ in range(1_500):  # b does not turn
        a.post("b", payload, EVENT)
        a.turn()
    assert a.mesh.dead_lettered == 1_000
    run([a, b], lambda: a.mesh.pending() == 0)
    lost = sum(last - first + 1 for _, _, first, last in b.gaps)
    assert lost + len(b.deliveries) == 1_501
    assert len(b.gaps) == 1
    assert lost <= a.mesh.dead_lettered


def test_urgent_messages_pass_a_flood(node) -> None:
    a, b = node("a"), node("b")
    a.mesh.dial("b", Priority.URGENT)
    for number in range(20_000):
        a.post("b", b"bulk %d" % number, priority=Priority.LOW)
    run([a, b], lambda: len(b.deliveries) > 1_000)
    a.post("b", b"high", priority=Priority.HIGH)
    a.post("b", b"urgent", priority=Priority.URGENT)
    urgent = next(socket for socket in b.mesh.sockets() if socket.getsockopt(zmq.AFFINITY) == 1)
    run([a], lambda: urgent.getsockopt(zmq.EVENTS) & zmq.POLLIN)
    before = len(b.deliveries)
    run([a, b], lambda: b"urgent" in b.payloads[before:] and b"high" in b.payloads[before:])
    order = b.payloads[before:]
    # No more than what was under way, and one batch, went before it.
    assert order.index(b"urgent") <= 600
    assert order.index(b"high") <= 1_200
    run([a, b], lambda: a.mesh.pending() == 0, 30)
    assert len(b.deliveries) == 20_002


def test_between_two_handlers_the_urgent_lane_alone_is_looked_at(node) -> None:
    a, b = node("a"), node("b")
    a.post("b", b"bulk")
    run([a, b], lambda: a.mesh.acknowledged)
    a.post("b", b"bulk")
    a.post("b", b"urgent", priority=Priority.FLASH_CRASH)
    found: list[Any] = []

    def only_urgent() -> bool:
        got = b.mesh.receive(urgent=True)
        found.extend(got)
        for each in got:
            b.mesh.done(each)
        return bool(found)

    run([a], only_urgent)
    assert [each.payload for each in found] == [b"urgent"]
    run([a, b], lambda: a.mesh.pending() == 0)
    assert b.payloads == [b"bulk", b"bulk"]


def test_a_limit_leaves_the_rest_for_the_next_call(node) -> None:
    a, b = node("a"), node("b")
    for number in range(250):
        a.post("b", b"%d" % number)
    while len(b.deliveries) < 250:
        before = len(b.deliveries)
        a.turn()
        b.turn(limit=7)
        assert len(b.deliveries) - before <= 6 + MOST_IN_FRAME, "a frame is handed out whole"
    assert b.payloads == [b"%d" % number for number in range(250)]


def test_only_ready_sockets_are_read_where_they_are_given(node) -> None:
    a, b = node("a"), node("b")
    a.post("b", b"x")
    run([a], lambda: b.mesh.sockets()[1].poll(1))
    assert b.mesh.receive(ready={}) == []
    (delivery,) = b.mesh.receive(ready={b.mesh.sockets()[1]: zmq.POLLIN})
    b.mesh.done(delivery)
    run([a, b], lambda: a.mesh.acknowledged)


def test_sockets_change_with_the_generation(node) -> None:
    a = node("a")
    before, sockets = a.mesh.generation, a.mesh.sockets()
    a.post("b", b"x")
    assert a.mesh.generation != before
    assert len(a.mesh.sockets()) == len(sockets) + 2  # a dealer and its monitor
    before = a.mesh.generation
    a.post("b", b"x", priority=Priority.LOW)
    assert a.mesh.generation == before
    a.post("b", b"x", priority=Priority.URGENT)
    assert len(a.mesh.sockets()) == len(sockets) + 4


def test_the_next_due_time_tells_how_long_the_host_may_wait(node) -> None:
    a, b = node("a"), node("b")
    a.post("b", b"x")
    run([a, b], lambda: a.mesh.acknowledged)
    now = now_ns()
    a.mesh.tick(now)
    assert now < a.mesh.next_due_ns <= now + 50 * MS
    a.post("b", b"x", deadline_ns=now + 2 * MS)
    assert a.mesh.next_due_ns <= now + 2 * MS


def test_a_new_life_of_a_sender_begins_anew_and_its_old_one_is_refused(node) -> None:
    b = node("b")
    first = node("a", 5)
    first.post("b", b"old")
    run([first, b], lambda: first.mesh.acknowledged)
    first.close()
    second = node("a", 6)
    second.post("b", b"new")
    run([second, b], lambda: second.mesh.acknowledged)
    assert b.payloads == [b"old", b"new"]
    assert b.restarts == [("a", 5), ("a", 6)]
    second.close()
    third = node("a", 5)
    third.post("b", b"from the past")
    run([third, b], lambda: b.mesh.stale)
    assert b.payloads == [b"old", b"new"]
    assert b.gaps == []


def test_an_answer_to_an_earlier_life_is_not_taken_for_one_of_this(node) -> None:
    b = node("b")
    first = node("a", 5)
    first.request("b", b"old")
    held: list[Any] = []

    def receive() -> bool:
        held.extend(b.mesh.receive())
        b.mesh.tick(now_ns())
        return bool(held)

    run([first], receive)
    first.close()
    second = node("a", 6)
    second.request("b", b"new")
    run([second], lambda: (held.extend(b.mesh.receive()), b.mesh.tick(now_ns())) and len(held) == 2)
    assert held[0].id == held[1].id  # the same number in two lives
    b.mesh.done(held[0], b"to the dead")
    b.mesh.done(held[1], b"to the living")
    run([second, b], lambda: second.answers)
    run_for([second, b], 20)
    assert [each.payload for each in second.answers] == [b"to the living"]
    assert b.mesh.unanswerable == 1


def test_a_new_life_of_a_receiver_gets_what_was_not_acknowledged(node) -> None:
    a = node("a", retry_ns=20 * MS)
    first = node("b", 5)
    for number in range(10):
        a.post("b", b"%d" % number)
    held: list[Any] = []
    run([a], lambda: (held.extend(first.mesh.receive()), first.mesh.tick(now_ns())) and len(held) == 10)
    for delivery in held[:4]:
        first.mesh.done(delivery)
    first.mesh.tick(now_ns())
    run([a], lambda: a.mesh.acknowledged == 4)
    first.close()
    second = node("b", 6)
    run([a, second], lambda: a.mesh.pending() == 0)
    assert second.payloads == [b"%d" % number for number in range(4, 10)]
    assert (second.gaps, a.mesh.dead_lettered) == ([], 0)


def test_a_message_of_a_kind_or_priority_that_is_none_is_refused(node) -> None:
    a = node("a")
    with pytest.raises(MeshError, match="REPLY"):
        a.post("b", kind=MessageKind.REPLY)
    with pytest.raises(MeshError, match="priority 6"):
        a.post("b", priority=6)
    assert a.mesh.sent == 0


def test_a_bad_endpoint_is_refused_and_leaves_no_socket_open(tmp_path) -> None:
    bad = {"u": f"ipc://{tmp_path}/x.u", "n": "tcp://0.0.0.0:1"}
    with pytest.raises(EndpointError):
        Node(tmp_path, "a", scheme=lambda process, lane: bad[lane])


def test_the_mesh_works_over_tcp(node, tmp_path) -> None:
    with ExitStack() as held:
        keys = (("a", "u"), ("a", "n"), ("b", "u"), ("b", "n"))
        ports = {key: f"tcp://127.0.0.1:{held.enter_context(held_port())}" for key in keys}
        a, b = (node(name, scheme=lambda process, lane: ports[process, lane]) for name in "ab")
        for number in range(100):
            a.request("b", b"%d" % number)
            b.post("a", b"%d" % number, priority=Priority.FLASH_CRASH)
        run([a, b], lambda: a.mesh.pending() + b.mesh.pending() == 0)
    assert [each.payload for each in a.answers] == [b"re:%d" % number for number in range(100)]
    assert a.payloads == [b"%d" % number for number in range(100)]


def test_a_peer_that_closes_is_down_and_up_again_when_it_is_back(node) -> None:
    a, b = node("a", silence_ms=60_000), node("b")  # that it closes is seen without a silence
    a.mesh.dial("b")
    run([a, b], lambda: a.mesh.peers()["b"].up)
    begun_ns = now_ns()
    b.close()
    run([a], lambda: not a.mesh.peers()["b"].up)
    assert a.mesh.peers()["b"].since_ns >= begun_ns
    b = node("b")
    run([a, b], lambda: a.mesh.peers()["b"].up)
    assert a.changes == [("b", True), ("b", False), ("b", True)]


def test_a_second_lane_that_is_dialled_does_not_take_the_peer_down(node) -> None:
    a, b = node("a"), node("b")
    a.post("b", b"x")
    run([a, b], lambda: a.mesh.acknowledged)
    a.post("b", b"y", priority=Priority.URGENT)
    run([a, b], lambda: a.mesh.acknowledged == 2)
    assert a.changes == [("b", True)]


def test_closing_makes_dead_letters_of_what_is_pending(node) -> None:
    a = node("a")
    a.post("b", b"one")
    a.request("b", b"two", priority=Priority.URGENT)
    a.mesh.close()
    assert sorted((each.reason, each.payload) for each in a.letters) == [("closed", b"one"), ("closed", b"two")]


def test_the_books_balance_and_counters_follow_in_the_table(node) -> None:
    table = Counters()
    a, b = node("a", counters=table, retry_ns=60 * SECOND), node("b")
    for number in range(20):
        a.post("b", b"%d" % number)
        a.request("b", b"%d" % number)
    a.post("c", b"nobody", deadline_ns=now_ns() + 5 * MS)
    run([a, b], lambda: a.mesh.pending() == 0)
    a.mesh.tick(now_ns())
    found = table.snapshot()
    assert (found["peer.b.standing"], found["peer.c.standing"]) == (Standing.UP, Standing.DOWN)
    books = {
        "mesh.sent": 41,
        "mesh.acknowledged": 40,
        "mesh.retried": 0,
        "mesh.dead_lettered": 1,
        "mesh.duplicates": 0,
        "mesh.received": 0,
        "mesh.malformed": 0,
        "mesh.strangers": 0,
        "mesh.stale": 0,
        "mesh.ahead": 0,
        "mesh.late": 0,
        "mesh.unanswerable": 0,
        "mesh.failed_calls": 0,
    }
    assert {name: found[name] for name in books} == books
    assert b.mesh.received == 40


def test_what_is_handled_behind_an_open_request_is_acknowledged_at_once(node) -> None:
    a, b = node("a"), node("b")
    a.post("b", b"first")
    run([a, b], lambda: a.mesh.acknowledged)
    a.request("b", b"slow")
    held: list[Any] = []
    run([a], lambda: held.extend(b.mesh.receive()) or held)
    for _ in range(3):
        a.post("b", b"event", MessageKind.EVENT, deadline_ns=now_ns() + 3600 * SECOND)
    run([a, b], lambda: a.mesh.acknowledged == 4)
    assert a.mesh.pending() == 1
    assert a.letters == []
    b.mesh.done(held[0], b"at last")
    run([a], lambda: a.answers)
    assert a.answers[0].payload == b"at last"


def test_acknowledgements_do_not_wait_for_an_open_delivery(node) -> None:
    a, b = node("a"), node("b")
    a.request("b", b"slow")
    run([a], lambda: b.mesh.receive())
    a.post("b", b"other stream", priority=Priority.LOW)
    found: list[Any] = []
    run([a], lambda: found.extend(b.mesh.receive()) or found)
    b.mesh.done(found[0])
    assert not b.mesh._answers_due, "the batch is done"
    run([a], lambda: a.mesh.acknowledged == 1)


def test_while_an_acknowledgement_is_due_so_is_the_tick(node) -> None:
    a, b = node("a"), node("b")
    a.post("b", b"one", priority=Priority.NORMAL)
    a.post("b", b"two", priority=Priority.LOW)
    found: list[Any] = []
    run([a], lambda: found.extend(b.mesh.receive()) or len(found) == 2)
    b.mesh.tick(now_ns())
    b.mesh._batch = 2
    b.mesh.done(found[0])
    assert b.mesh.next_due_ns == 0
    ticked_ns = now_ns()
    b.mesh.tick(ticked_ns)
    assert b.mesh.next_due_ns > ticked_ns
    run([a], lambda: a.mesh.acknowledged == 1)


def test_a_marker_that_nobody_takes_does_not_keep_the_host_busy(node) -> None:
    a, b = node("a"), node("b")
    a.request("b", b"answered", deadline_ns=now_ns() + 60 * MS)
    run([a, b], lambda: a.answers)
    b.close()
    a.request("b", b"given up", deadline_ns=now_ns() + 40 * MS)
    run([a], lambda: a.unknown)
    # A host that comes round when it is told to, and never earlier: what is due lies ahead each time.
    ticked_ns = now_ns()
    for _ in range(30):
        ticked_ns = max(a.mesh.next_due_ns, ticked_ns + 1)
        a.mesh.tick(ticked_ns)
        assert a.mesh.next_due_ns > ticked_ns
    assert a.mesh.pending() == 0


def test_what_was_not_handled_in_time_is_refused(node) -> None:
    a, b = node("a"), node("b")
    request = a.request("b", b"x", deadline_ns=now_ns() + 3600 * SECOND)
    held: list[Any] = []
    run([a], lambda: held.extend(b.mesh.receive()) or held)
    b.mesh.refuse_late(held[0])
    run([a], lambda: a.answers)
    assert error_fields(a.answers[0].payload)["code"] == "bus.late"
    assert [(letter.reason, letter.id, letter.payload) for letter in b.letters] == [("late", request, b"x")]
    assert b.mesh.late == 1


def test_a_callback_that_raises_ends_no_batch(node, caplog) -> None:
    a, b = node("a"), node("b")

    def fail(peer: str, epoch: int) -> None:
        raise RuntimeError("no such peer")

    b.mesh.on_restart = fail
    a.post("b", b"one")
    a.post("b", b"two")
    run([a, b], lambda: a.mesh.acknowledged == 2)
    assert b.payloads == [b"one", b"two"]
    assert b.mesh.failed_calls == 1
    assert "no such peer" in caplog.text


def test_no_call_waits_where_nobody_reads(node) -> None:
    a = node("a", high_water=10)
    b = node("b", high_water=10)
    a.post("b", b"x")
    run([a, b], lambda: a.mesh.acknowledged)
    begun_ns = now_ns()
    for number in range(3_000):
        a.post("b", bytes(1_000), deadline_ns=begun_ns + 100 * MS + number)
        a.mesh.receive()
        a.unknown += a.mesh.tick(now_ns())
    run([a], lambda: a.mesh.pending() == 0)
    run([a, b], lambda: b.mesh.received + sum(last - first + 1 for _, _, first, last in b.gaps) + b.mesh.late >= 3_001)
