"""The clock against the operating system's, whose readings bracket it."""

import threading
import time

import pytest

from nautilus.core import clock
from nautilus.core.clock import Clock

SOURCES = ["monotonic"] + (["tsc"] if clock.source() == "tsc" else [])
NEAR_NS = 5_000_000


def test_process_clock_agrees_with_the_wall_clock():
    clock.adjust()
    assert_near(clock.now_ns)


@pytest.mark.parametrize("source", SOURCES)
def test_clock_of_each_source_agrees_with_the_wall_clock(source):
    own = Clock(source)
    assert own.source == source
    assert_near(own.now_ns)


@pytest.mark.parametrize("source", SOURCES)
def test_clock_never_goes_back_while_it_is_adjusted(source):
    own, stop = Clock(source), threading.Event()

    def adjust():
        while not stop.is_set():
            own.adjust()

    thread = threading.Thread(target=adjust)
    thread.start()
    try:
        last, went_back = 0, 0
        for _ in range(200_000):
            now = own.now_ns()
            went_back += now < last
            last = now
    finally:
        stop.set()
        thread.join()
    assert went_back == 0


@pytest.mark.parametrize("source", SOURCES)
def test_rate_agrees_with_the_monotonic_clock(source):
    own = Clock(source)
    first = bracket(own)
    while time.monotonic_ns() - first[2] < 30_000_000:
        pass
    last = bracket(own)
    elapsed = last[1] - first[1]
    assert last[0] - first[2] - NEAR_NS < elapsed < last[2] - first[0] + NEAR_NS


def test_adjust_reports_how_far_the_wall_clock_was_ahead():
    own = Clock()
    assert abs(own.adjust()) < NEAR_NS
    assert abs(own.adjust()) < NEAR_NS


@pytest.mark.parametrize("source", SOURCES)
def test_a_clock_that_was_set_is_at_the_wall_clock(source):
    own = Clock(source)
    for _ in range(3):
        assert abs(own.set()) < NEAR_NS
        assert_near(own.now_ns)


def test_the_clock_of_the_process_is_set_at_once():
    assert abs(clock.synchronise()) < 10**9  # it may have run on by itself since the process began
    assert abs(clock.synchronise()) < NEAR_NS
    assert_near(clock.now_ns)


def test_monotonic_clock_counts_nanoseconds():
    assert Clock("monotonic").ticks_per_second == 1e9


def test_unknown_source_is_refused():
    with pytest.raises(ValueError, match="source 'sundial', expected one of tsc, monotonic, auto"):
        Clock("sundial")


def bracket(own):
    """What it reads, between two readings of the monotonic clock: a busy machine may stand still between any two."""
    return time.monotonic_ns(), own.now_ns(), time.monotonic_ns()


def assert_near(read):
    """Some bracket of wall-clock readings holds the clock, give or take a few milliseconds of a busy machine."""
    misses = []
    for _ in range(100):
        before, now, after = time.time_ns(), read(), time.time_ns()
        misses.append(max(before - now, now - after, 0))
    assert min(misses) < NEAR_NS
