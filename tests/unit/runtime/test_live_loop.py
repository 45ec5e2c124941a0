"""What a host's thread waits for, and in which order it sees to it."""

import os

import pytest
import zmq

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


def loop(speed=1.0):
    now_ns = wall_ns()
    return Loop(PlatformClock(ClockAnchor(now_ns, now_ns, speed)))


def turn(made, wait_ns=LATER_NS, seen=None):
    made.turn(wall_ns() + wait_ns, (lambda: seen.append("between")) if seen is not None else lambda: None)


def test_of_what_is_ready_together_the_lower_rank_goes_first_and_times_after_the_urgent(wires):
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


def test_it_waits_no_longer_than_it_is_told_and_for_nothing_that_was_taken_away(wires):
    made, seen = loop(), []
    wire = wires()
    made.add_source(wire, lambda: seen.append("wire"))
    made.add_source(wires(), lambda: seen.append("silent"))
    made.remove_source(wire)
    os.eventfd_write(wire, 1)
    begun_ns = monotonic_ns()
    turn(made, 20 * MS)
    assert not seen
    assert 15 * MS < monotonic_ns() - begun_ns < 1000 * MS


def test_a_source_that_another_one_takes_away_is_not_called(wires):
    made, seen = loop(), []
    first, second = wires(), wires()
    made.add_source(first, lambda: made.remove_source(second), rank=Rank.OWN)
    made.add_source(second, lambda: seen.append("second"), rank=Rank.HTTP)
    os.eventfd_write(first, 1)
    os.eventfd_write(second, 1)
    turn(made)
    assert not seen


def test_a_source_that_has_something_already_is_not_waited_for(wires):
    made, seen = loop(), []
    made.add_source(wires(), lambda: seen.append("wire"), arm=lambda: False)
    begun_ns = monotonic_ns()
    turn(made, 5_000 * MS)
    assert seen == ["wire"]
    assert monotonic_ns() - begun_ns < 1_000 * MS


def test_a_group_is_called_once_and_told_which_of_it_are_ready():
    made, seen = loop(), []
    with zmq.Context() as context:
        pairs = [(context.socket(zmq.PAIR), context.socket(zmq.PAIR)) for _ in range(3)]
        for number, (left, right) in enumerate(pairs):
            left.bind(f"inproc://{number}")
            right.connect(f"inproc://{number}")
        lefts = [left for left, _ in pairs]
        made.set_group(lefts, lambda: seen.append({lefts.index(each) for each in made.ready}), Rank.MESH)
        pairs[0][1].send(b"a")
        pairs[2][1].send(b"b")
        turn(made)
        assert seen == [{0, 2}]
        made.set_group(lefts[1:2], lambda: seen.append("other"), Rank.MESH)
        turn(made, 1 * MS)
        assert seen == [{0, 2}]
        for left, right in pairs:
            left.close(0)
            right.close(0)


def test_times_come_in_order_never_early_and_in_platform_time():
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


def test_a_time_set_for_now_again_and_again_keeps_nothing_else_waiting(wires):
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
