"""Readers of several rings, looked at together: against plain lists, lapped, left, and waited for."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.broadcast import Writer
from nautilus.core.broadcast_reader import Reader
from nautilus.core.ring_group import RingGroup
from nautilus.core.wake import Waiting

SMALLEST = 65_536
SECOND = 1_000_000_000
STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from((b"\x01a", b"\x01b", b"\x02ab", b"")), st.integers(0, 90))
)


@pytest.fixture
def rings(tmp_path: Path):
    writers = [Writer(tmp_path / f"ring{number}", SMALLEST, 1, prefault=False) for number in range(3)]
    readers = [Reader(tmp_path / f"ring{number}") for number in range(3)]
    yield writers, readers
    for each in (*readers, *writers):
        each.close()


@settings(deadline=None)
@given(STEPS, st.integers(1, 40))
def test_each_reader_gives_what_begins_so_in_order_and_nothing_else(tmp_path_factory, steps, limit):
    place = tmp_path_factory.mktemp("group")
    writers = [Writer(place / f"{number}", SMALLEST, 1, prefault=False) for number in range(3)]
    readers = [Reader(place / f"{number}") for number in range(3)]
    group, wanted, found = RingGroup(readers), ([], [], []), ([], [], [])
    for number, (ring, prefix, size) in enumerate(steps):
        frame = number.to_bytes(4, "little") + bytes(size)
        writers[ring].write(prefix + frame)
        if prefix == b"\x01a":
            wanted[ring].append(frame)
        if number % 7 == 6:
            for at, got in group.drain(b"\x01a", limit):
                found[at].append(got)
    while group.waiting:
        for at, got in group.drain(b"\x01a", limit):
            found[at].append(got)
    assert found == wanted
    assert group.drain(b"\x01a") == []
    for each in (*readers, *writers):
        each.close()


def test_a_reader_that_was_lapped_goes_on_and_gives_no_torn_frame(rings):
    writers, readers = rings
    group = RingGroup(readers)
    for number in range(5_000):
        writers[1].write(b"\x01a" + number.to_bytes(4, "little") * 10)
    found = []
    while group.waiting:
        found += [int.from_bytes(frame[:4], "little") for at, frame in group.drain(b"\x01a", 16) if at == 1]
    assert found == list(range(5_000 - len(found), 5_000))
    assert readers[1].missed_frames == 5_000 - len(found) > 0


def test_a_closed_reader_and_one_that_was_taken_out_say_nothing(rings):
    writers, readers = rings
    group = RingGroup(readers)
    writers[0].write(b"\x01a0")
    writers[2].write(b"\x01a2")
    readers[0].close()
    assert group.drain(b"\x01a") == [(2, b"2")]
    writers[2].write(b"\x01a3")
    group.set([readers[1]])
    assert not group.waiting
    assert group.drain(b"\x01a") == []
    group.set([readers[2]])
    assert group.drain(b"\x01a") == [(0, b"3")]


def test_what_is_no_reader_is_refused_and_the_group_stays_as_it_was(rings):
    writers, readers = rings
    group = RingGroup(readers)
    with pytest.raises(TypeError, match="RingGroup: str, expected Reader"):
        group.set([readers[0], "ring"])
    writers[1].write(b"\x01a1")
    assert group.drain(b"\x01a") == [(1, b"1")]


@pytest.mark.parametrize("policy", ["block", "spin-then-block", "spin"])
def test_waiting_ends_with_a_descriptor_or_the_time(rings, policy):
    _, readers = rings
    group, waiting = RingGroup(readers), Waiting(policy, spin_ns=1_000_000)
    empty, other = os.pipe()
    try:
        assert not group.wait(waiting, empty, 2_000_000)
        os.write(other, b"x")
        assert not group.wait(waiting, empty, 600 * SECOND)  # what can be read is no frame
    finally:
        os.close(empty)
        os.close(other)


def test_a_thread_that_spins_finds_a_frame_that_nobody_wakes_it_for(rings):
    writers, readers = rings
    group = RingGroup(readers)
    empty, other = os.pipe()
    begun = threading.Event()

    def write() -> None:
        begun.wait(60)
        writers[2].write(b"\x01aurgent")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        begun.set()
        assert group.wait(Waiting("spin"), empty, 600 * SECOND)
        assert group.drain(b"\x01a") == [(2, b"urgent")]
        writers[0].write(b"\x01athere")
        assert group.wait(Waiting("block"), empty, 600 * SECOND)  # looked at before the thread sleeps
    finally:
        thread.join()
        os.close(empty)
        os.close(other)
