"""The record pool against its naive twin, and its edges."""

import os
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.memory import probe
from nautilus.core.pool import DEBUG, Pool
from tests.fuzz.drive import sanitized
from tests.kit.naive import NaivePool
from tests.kit.supervised import eventually


@given(st.integers(1, 12), st.lists(st.one_of(st.none(), st.integers(0, 1 << 16)), max_size=120))
def test_pool_does_what_its_naive_twin_does(capacity, steps):
    pool, twin = Pool(16, capacity), NaivePool(16, capacity)
    for step in steps:
        if step is None or not twin.taken:
            assert pool.take() == twin.take()
        else:
            index = sorted(twin.taken)[step % len(twin.taken)]
            pool.give(index)
            twin.give(index)
        assert (pool.used, pool.full, pool.high_water) == (twin.used, twin.full, twin.high_water)


def test_every_record_keeps_what_is_written_while_it_is_taken():
    pool = Pool(24, 1000)
    indexes = [pool.take() for _ in range(1000)]
    assert indexes == list(range(1, 1001))
    for index in indexes:
        assert pool.read(index) == bytes(24)
        pool.write(index, index.to_bytes(24, "little"))
    assert all(pool.read(index) == index.to_bytes(24, "little") for index in indexes)


def test_full_pool_answers_zero_counts_it_and_goes_on():
    pool = Pool(8, 2)
    assert [pool.take(), pool.take(), pool.take()] == [1, 2, 0]
    assert pool.full == 1
    pool.give(1)
    assert pool.take() == 1


@given(st.integers(2, 40), st.integers(1, 40), st.lists(st.one_of(st.none(), st.integers(0, 1 << 16)), max_size=160))
def test_a_pool_that_grows_answers_as_one_that_does_not(capacity, first, steps):
    pool, twin = Pool(4096, capacity, first=first), NaivePool(4096, capacity)
    for step in steps:
        if step is None or not twin.taken:
            assert pool.take() == twin.take()
        else:
            index = sorted(twin.taken)[step % len(twin.taken)]
            pool.give(index)
            twin.give(index)
        assert (pool.used, pool.full, pool.high_water) == (twin.used, twin.full, twin.high_water)
        assert min(first, capacity) <= pool.ready <= capacity


def test_a_pool_grows_by_doubling_before_its_records_are_used():
    pool = Pool(1024, 100_000, first=10_000, huge=True)
    assert (pool.ready, pool.late) == (10_000, 0)
    seen = [pool.ready]
    for number in range(100_000):
        assert pool.take() == number + 1
        if number + 1 == max(1, seen[-1] // 2) and seen[-1] < 100_000:
            eventually(lambda: pool.ready > seen[-1])  # a writer that is not faster than the machine's memory
            seen.append(pool.ready)
    assert seen == [10_000, 20_000, 40_000, 80_000, 100_000]
    assert pool.late == 0
    assert pool.take() == 0
    assert pool.full == 1


def test_records_that_the_helper_prepared_meet_no_page_fault():
    if sanitized():
        pytest.skip("the sanitizer's own memory is faulted in as it goes")
    pool = Pool(4096, 4096, first=4095)
    eventually(lambda: pool.take() and pool.ready == 4096 if pool.high_water < 2048 else pool.ready == 4096)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    payload = bytes(range(256)) * 16
    for _ in range(2000):
        pool.write(pool.take(), payload)
    assert resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before < 200  # one each without it


def test_a_prefaulted_pool_is_ready_and_a_locked_one_says_how_much():
    pool = Pool(4096, 64, prefault=True, lock=True)
    assert pool.ready == 64
    assert 0 <= pool.locked_bytes <= 65 * 4096
    grown = Pool(4096, 64, first=16, lock=True)
    for _ in range(8):
        grown.take()
    eventually(lambda: grown.ready == 32)
    if pool.locked_bytes == 65 * 4096:
        assert grown.locked_bytes >= 33 * 4096


def test_a_pool_that_goes_takes_its_helper_along():
    before = len(os.listdir("/proc/self/task"))
    pools = [Pool(64, 1 << 20, first=1 << number) for number in range(8)]
    assert len(os.listdir("/proc/self/task")) == before + 8
    del pools
    assert len(os.listdir("/proc/self/task")) == before


def test_a_node_that_is_not_there_is_refused():
    with pytest.raises(OSError, match="node 1000"):
        Pool(64, 64, node=1000)


def test_capacity_that_is_never_used_costs_no_memory():
    before = resident_bytes()
    pools = [Pool(128, 1 << 24) for _ in range(4)]  # 8 GiB of records
    for pool in pools:
        assert pool.take() == 1
    assert resident_bytes() - before < 64 << 20


def test_huge_page_pool_works_whether_pages_are_granted_or_not():
    pool = Pool(128, 1 << 16, huge=True)
    assert [pool.take() for _ in range(1 << 16)] == list(range(1, (1 << 16) + 1))
    assert pool.take() == 0


def test_lock_reports_what_it_got():
    pool = Pool(4096, 16)
    granted = pool.lock()
    assert 0 <= granted <= 17 * 4096
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if limit == resource.RLIM_INFINITY:
        assert granted == 17 * 4096


@pytest.mark.parametrize(("record_bytes", "capacity"), [(3, 10), (0, 10), (8, 0), (8, (1 << 32) - 1)])
def test_impossible_sizes_are_refused(record_bytes, capacity):
    with pytest.raises(ValueError, match="expected at least 4"):
        Pool(record_bytes, capacity)


def test_foreign_index_is_refused():
    pool = Pool(8, 4)
    pool.take()
    for index in (0, 2, 5):
        with pytest.raises(ValueError, match=f"index {index}, expected 1 to 1"):
            pool.give(index)
    with pytest.raises(ValueError, match="3 bytes, expected 8"):
        pool.write(1, b"abc")


@pytest.mark.skipif(not DEBUG, reason="only the debug build knows which records are taken")
def test_debug_build_finds_a_record_given_back_twice():
    pool = Pool(8, 4)
    index = pool.take()
    pool.give(index)
    with pytest.raises(ValueError, match=f"record {index} is not taken"):
        pool.give(index)
    assert [pool.take(), pool.take()] == [1, 2]


def test_region_is_mapped_and_absurd_size_is_not():
    assert probe(4 << 20, True)["mapped"]
    assert not probe(0)["mapped"]
    assert not probe((1 << 64) - 1)["mapped"]


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
