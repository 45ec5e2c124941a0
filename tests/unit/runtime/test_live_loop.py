"""What a host's thread waits for, and in which order it sees to it."""

import os
import threading

import pytest
import zmq

from nautilus.core.wake import POLICIES, Waiting
from nautilus.runtime.clock import ClockAnchor, PlatformClock, monotonic_ns, wall_ns
from nautilus.runtime.loop import Loop, Rank

MS = 1_000_000
LATER_NS = 50 * MS


@pytest.fixture
def wires():
    """Descriptors that are readable when something was written to them."""
    made = []

    def make():
        made.append(os.eventfd(0, os.EFD_NONBLOCK))
        return made[-1]

    yield make
    for descriptor in made:
        os.close(descriptor)


@pytest.fixture
def loop():
    made = []

    def make(speed=1.0, waiting=None):
        now_ns = wall_ns()
        made.append(Loop(PlatformClock(ClockAnchor(now_ns, now_ns, speed)), waiting))
        return made[-1]

    yield make
    for each in made:
        each.close()


def turn(made, wait_ns=LATER_NS, seen=None):
    made.turn(wall_ns() + wait_ns, (lambda: seen.append("between")) if seen is not None else lambda: None)


def test_of_what_is_ready_together_the_lower_rank_goes_first_and_times_after_the_urgent(loop, wires):
    made, seen = loop(), []
    for rank in reversed(Rank):
        wire = wires()
        if rank is Rank.URGENT:
            made.set_group([wire], lambda: seen.append("URGENT"), Rank.URGENT)
        else:
            made.add_source(wire, lambda rank=rank: seen.append(rank.name), rank=rank)
        os.eventfd_write(wire, 1)
    made.call_at_wall(0, lambda: seen.append("time"))
    turn(made, seen=seen)
    assert seen[::2] == ["URGENT", "time", "OWN", "STAR", "MESH", "CONTROL", "HTTP"]
    assert set(seen[1::2]) == {"between"}, "what is urgent has its turn after each"


def test_it_waits_no_longer_than_it_is_told_and_for_nothing_that_was_taken_away(loop, wires):
    made, seen = loop(), []
    wire = wires()
    made.add_source(wire, lambda: seen.append("wire"))
    made.add_source(wires(), lambda: seen.append("silent"))
    made.remove_source(wire)
    os.eventfd_write(wire, 1)
    begun_ns = monotonic_ns()
    turn(made, 20 * MS)
    assert not seen
    assert monotonic_ns() - begun_ns > 15 * MS


def test_a_source_that_another_one_takes_away_is_not_called(loop, wires):
    made, seen = loop(), []
    first, second = wires(), wires()
    made.add_source(first, lambda: made.remove_source(second), rank=Rank.OWN)
    made.add_source(second, lambda: seen.append("second"), rank=Rank.HTTP)
    os.eventfd_write(first, 1)
    os.eventfd_write(second, 1)
    turn(made)
    assert not seen


def test_a_source_that_has_something_already_is_not_waited_for(loop, wires):
    made, seen = loop(), []
    made.add_source(wires(), lambda: seen.append("wire"), arm=lambda: False)
    turn(made, 3_600_000 * MS)
    assert seen == ["wire"]


@pytest.fixture
def pairs():
    """Connected sockets: (one to poll, one to send on)."""
    with zmq.Context() as context:
        made = [(context.socket(zmq.PAIR), context.socket(zmq.PAIR)) for _ in range(3)]
        for number, (left, right) in enumerate(made):
            left.bind(f"inproc://{number}")
            right.connect(f"inproc://{number}")
        yield made
        for pair in made:
            for socket in pair:
                socket.close(0)


def test_a_group_is_called_once_and_told_which_of_it_are_ready(loop, pairs):
    made, seen = loop(), []
    lefts = [left for left, _ in pairs]

    def read():
        seen.append({lefts.index(each) for each in made.ready})
        for each in made.ready:
            while each.poll(0):
                each.recv(zmq.NOBLOCK)

    made.set_group(lefts, read, Rank.MESH, {*lefts})
    pairs[0][1].send(b"a")
    pairs[2][1].send(b"b")
    turn(made)
    assert seen == [{0, 2}]
    made.set_group(lefts[1:2], read, Rank.MESH)
    pairs[0][1].send(b"c")
    pairs[1][1].send(b"d")
    turn(made)
    assert seen == [{0, 2}, {1}]


def test_what_a_send_took_in_unseen_is_found_where_the_socket_is_named_as_touched(loop, pairs):
    made, seen, touched = loop(), [], set()
    left, right = pairs[0]
    made.set_group([left], lambda: seen.append(left.recv()), Rank.MESH, touched)
    right.send(b"a")
    while not left.getsockopt(zmq.EVENTS) & zmq.POLLIN:
        pass  # it has come, and the socket's descriptor will not say so again
    touched.add(left)
    turn(made)
    assert seen == [b"a"]
    assert touched == set()


def test_a_socket_of_which_nobody_says_anything_is_looked_at_every_time(loop, pairs):
    made, seen = loop(), []
    left, right = pairs[0]
    made.add_source(left, lambda: seen.append(left.recv()))
    right.send(b"a")
    right.send(b"b")
    while not left.getsockopt(zmq.EVENTS) & zmq.POLLIN:
        pass
    turn(made)
    turn(made)
    assert seen == [b"a", b"b"]


def test_times_come_in_order_never_early_and_in_platform_time(loop):
    made, seen = loop(speed=10.0), []
    clock = made._clock
    due = [clock.now_ns() + wait_ns for wait_ns in (300 * MS, 100 * MS, -5)]
    for ns in due:
        made.call_at(ns, lambda ns=ns: seen.append((ns, clock.now_ns())))
    begun_ns = wall_ns()
    while len(seen) < 3:
        turn(made)
    assert [ns for ns, _ in seen] == sorted(due)
    assert all(now_ns >= ns - 10 for ns, now_ns in seen)
    assert wall_ns() - begun_ns >= 29 * MS


def test_a_time_set_for_now_again_and_again_keeps_nothing_else_waiting(loop, wires):
    made, seen = loop(), []

    def again():
        seen.append("time")
        made.call_at_wall(0, again)

    again()
    wire = wires()
    made.add_source(wire, lambda: seen.append("wire"))
    os.eventfd_write(wire, 1)
    turn(made)
    assert seen == ["time", "time", "wire"]


def test_a_descriptor_closed_too_early_disturbs_nobody_though_another_process_holds_its_file(loop, wires):
    made, seen, known = loop(), [], wires()
    made.add_source(known, lambda: seen.append(os.eventfd_read(known)))
    lost = os.eventfd(1, os.EFD_NONBLOCK)
    held = os.dup(lost)  # as a child has it
    try:
        made.add_source(lost, lambda: seen.append("lost"))
        os.close(lost)
        made.remove_source(lost)
        turn(made)
        os.eventfd_write(known, 7)
        turn(made)
        assert seen == [7]
        begun_ns = monotonic_ns()
        turn(made)
        assert monotonic_ns() - begun_ns > LATER_NS // 2, "it waits again"
    finally:
        os.close(held)


@pytest.mark.parametrize("policy", POLICIES)
def test_however_the_thread_waits_it_is_woken_by_a_wire_and_by_a_time(loop, wires, policy):
    waiting = Waiting(policy, spin_ns=MS)
    try:
        made, seen, wire = loop(waiting=waiting), [], wires()
        made.add_source(wire, lambda: (os.eventfd_read(wire), seen.append("wire")))
        ringer = threading.Timer(0.02, os.eventfd_write, (wire, 1))
        ringer.start()
        end_ns = monotonic_ns() + 60_000 * MS
        while not seen:
            assert monotonic_ns() < end_ns
            turn(made)
        ringer.join()
        made.call_at_wall(wall_ns() + 5 * MS, lambda: seen.append("time"))
        while len(seen) < 2:
            assert monotonic_ns() < end_ns
            turn(made)
        assert seen == ["wire", "time"]
    finally:
        waiting.close()


def test_a_socket_whose_owner_says_when_it_was_touched_is_looked_at_itself_only_then(loop):
    made, seen, touched = loop(), [], set()
    with zmq.Context() as context, context.socket(zmq.PAIR) as near, context.socket(zmq.PAIR) as far:
        near.bind("inproc://touched")
        far.connect("inproc://touched")
        made.add_source(near, lambda: seen.append("near"), touched=touched)
        far.send(b"news")
        assert near.poll(10_000)  # which takes the news in: the descriptor tells of it no more
        turn(made, 0)
        assert not seen
        touched.add(near)
        turn(made)
        assert (seen, touched) == (["near"], set())
        made.remove_source(near)
