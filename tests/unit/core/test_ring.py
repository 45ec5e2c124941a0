"""The ring: against a deque on one thread, and under two real threads.

Forbidden outcomes under two threads: a record lost, a record torn (words of two records), records reordered or
doubled, a record left behind, a wait that never ends.
"""

import resource
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.pool import DEBUG
from nautilus.core.ring import Ring, ping, pong, receive_sequence, send_sequence
from tests.fuzz.drive import sanitized
from tests.kit.naive import NaiveRing


@given(
    st.sampled_from((1, 2, 8, 16)),
    st.sampled_from((8, 24, 64, 128)),
    st.lists(st.tuples(st.booleans(), st.integers(0, 20)), max_size=80),
)
def test_ring_does_what_a_deque_does(capacity, record_bytes, steps):
    ring, twin = Ring(record_bytes, capacity), NaiveRing(capacity)
    number, buffer = 0, np.zeros((20, record_bytes // 8), np.uint64)
    for push, count in steps:
        if push:
            numbers = list(range(number, number + count))
            number += count
            assert ring.push_many(records_of(numbers, record_bytes)) == twin.push_many(numbers)
        else:
            taken = ring.drain(buffer[:count])
            expected = twin.drain(count)
            assert np.array_equal(buffer[:taken], records_of(expected, record_bytes))
        assert (len(ring), ring.full) == (len(twin), twin.full)


@pytest.mark.parametrize("record_bytes", [8, 64, 120, 128])
@pytest.mark.parametrize(
    ("capacity", "send", "receive"), [(1, 1, 1), (2, 1, 2), (64, 1, 64), (64, 64, 7), (4096, 32, 1)]
)
def test_two_threads_lose_tear_and_reorder_nothing(capacity, send, receive, record_bytes):
    count = 2_000 if capacity < 64 else 150_000
    ring = Ring(record_bytes, capacity)
    sender = threading.Thread(target=send_sequence, args=(ring, count, send))
    sender.start()
    found = receive_sequence(ring, count, receive)
    sender.join()
    assert found == {"received": count, "lost": 0, "torn": 0, "reordered": 0}
    assert len(ring) == 0


def test_the_judge_sees_lost_torn_and_reordered_records():
    ring = Ring(64, 16)
    numbers = [0, 1, 3, 2, 4]
    records = records_of(numbers, 64)
    records[4, 5] += 1
    ring.push_many(records)
    assert receive_sequence(ring, 5, 2) == {"received": 5, "lost": 1, "torn": 1, "reordered": 1}


def test_full_ring_takes_what_fits_and_counts_it():
    ring = Ring(8, 4)
    assert ring.push_many(np.arange(6, dtype=np.uint64)) == 4
    assert ring.full == 1
    assert ring.push_many(np.arange(1, dtype=np.uint64)) == 0
    assert ring.full == 2
    buffer = np.zeros(6, np.uint64)
    assert ring.drain(buffer) == 4
    assert buffer.tolist() == [0, 1, 2, 3, 0, 0]
    assert ring.full == 2


def test_every_ping_is_echoed_whole():
    out, back = Ring(64, 8), Ring(64, 8)
    nanos = np.zeros(3_000, np.int64)
    echo = threading.Thread(target=pong, args=(out, back, len(nanos)))
    echo.start()
    assert ping(out, back, nanos) == 0
    echo.join()
    assert nanos.min() > 0


def test_a_record_that_is_waited_for_is_seen_at_once_after_a_stream():
    """A paced consumer lets records gather in a stream only: each ping after one is answered, and none is left."""
    out, back = Ring(64, 1024, prefault=True), Ring(64, 1024, prefault=True)
    for _ in range(3):
        sender = threading.Thread(target=send_sequence, args=(out, 50_000, 1))
        sender.start()
        assert receive_sequence(out, 50_000, 1) == {"received": 50_000, "lost": 0, "torn": 0, "reordered": 0}
        sender.join()
        nanos = np.zeros(500, np.int64)
        echo = threading.Thread(target=pong, args=(out, back, len(nanos)))
        echo.start()
        assert ping(out, back, nanos) == 0
        echo.join()
        assert (len(out), len(back)) == (0, 0)


def test_a_prefaulted_ring_meets_no_page_fault():
    if sanitized():
        pytest.skip("the sanitizer's own memory is faulted in as it goes")
    ring = Ring(4096, 1024, prefault=True)
    records = np.ones((1024, 512), np.uint64)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    assert ring.push_many(records) == 1024
    assert resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before < 100


def test_huge_page_ring_works_whether_pages_are_granted_or_not():
    ring = Ring(64, 1 << 16, huge=True)
    records = records_of(range(1 << 16), 64)
    assert ring.push_many(records) == 1 << 16
    out = np.empty_like(records)
    assert ring.drain(out) == 1 << 16
    assert np.array_equal(out, records)


@pytest.mark.parametrize(("record_bytes", "capacity"), [(64, 0), (64, 3), (64, 1 << 33), (0, 4), (12, 4), (65544, 4)])
def test_impossible_sizes_are_refused(record_bytes, capacity):
    with pytest.raises(ValueError, match="expected a multiple of 8 up to 65,536, a power of two"):
        Ring(record_bytes, capacity)


def test_buffers_that_do_not_fit_are_refused():
    ring = Ring(64, 4)
    with pytest.raises(ValueError, match="63 bytes, expected a multiple of 64"):
        ring.push_many(bytes(63))
    with pytest.raises(BufferError):
        ring.drain(bytes(64))
    with pytest.raises((BufferError, ValueError)):
        ring.push_many(np.zeros((4, 16), np.uint64)[:, ::2])
    with pytest.raises(TypeError):
        ring.push_many([1, 2])
    assert (len(ring), ring.full) == (0, 0)


@pytest.mark.skipif(not DEBUG, reason="only the debug build checks its threads")
def test_debug_build_finds_a_second_producer():
    ring = Ring(64, 8)
    other = threading.Thread(target=ring.push_many, args=(bytes(64),))
    other.start()
    other.join()
    with pytest.raises(RuntimeError, match="two threads on one side"):
        ring.push_many(bytes(64))


def records_of(numbers, record_bytes):
    """Records as `send_sequence` makes them."""
    words = np.arange(record_bytes // 8, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return np.array(list(numbers), dtype=np.uint64).reshape(-1, 1) + words
