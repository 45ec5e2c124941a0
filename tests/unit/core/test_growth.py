"""The kernel's pools grow before their records are needed, by one thread, and change nothing that the kernel says."""

import os
import resource
import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest

from nautilus.core import Kernel
from nautilus.core.growth import PoolFacts, grow, pools_of
from nautilus.core.pool import DEBUG, Pool
from nautilus.core.types import EventKind, Reason, Side
from tests.kit import builders
from tests.kit.core import attach, carry_out, running

CAPACITY = 20_000
OPENING = builders.batch(builders.instrument(1), *(builders.account(number) for number in range(1, 4)))


def kernel_of(**options) -> Kernel:
    kernel = Kernel(accounts=(), capacity=CAPACITY, closed_capacity=64, huge_pages=False, **options)
    kernel.process(OPENING)
    return kernel


def orders(first: int, count: int) -> np.ndarray:
    """Resting orders at many prices."""
    rows = np.repeat(builders.new(0, Side.BUY, 1, 5), count)
    rows["order_id"] = np.arange(first, first + count)
    rows["price_ticks"] = 100 + rows["order_id"] % 400
    rows["account_id"] = 1 + rows["order_id"] % 3
    return rows


def pool(kernel: Kernel, name: str) -> PoolFacts:
    return next(facts for facts in pools_of(kernel) if facts.name == name)


def eventually(true) -> None:
    pause = threading.Event()
    for _ in range(24_000):
        if true():
            return
        pause.wait(0.005)
    raise AssertionError("not in two minutes")


def has_more(kernel: Kernel, ready: int) -> bool:
    return pool(kernel, "orders").ready > ready


def helpers() -> int:
    names = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/comm") as comm:
            names.append(comm.read().strip())
    return names.count("pool-helper")


def test_pools_double_ahead_of_the_orders_and_one_thread_serves_them_all() -> None:
    before = helpers()
    kernel = kernel_of()
    assert {facts.name: facts.ready for facts in pools_of(kernel)} == dict.fromkeys(
        ("orders", "extras", "pages", "blocks", "nodes", "lots"), 0
    )
    grow(kernel, 1_000)
    assert helpers() == before + 1
    assert {facts.name: facts.ready for facts in pools_of(kernel)} == {
        "orders": 1_000,
        "extras": 62,
        "pages": 16,
        "blocks": 128,
        "nodes": 32,
        "lots": 62,
    }
    seen = [1_000]
    for first in range(1, CAPACITY, 100):
        kernel.process(orders(first, 100))
        if pool(kernel, "orders").used > seen[-1] // 2 and seen[-1] < CAPACITY + 1:
            eventually(partial(has_more, kernel, seen[-1]))
            seen.append(pool(kernel, "orders").ready)
    assert seen == [1_000, 2_000, 4_000, 8_000, 16_000, CAPACITY + 1], "one for an order on its way through"
    assert pool(kernel, "orders").late == 0
    assert kernel.open_orders == CAPACITY
    refused = kernel.process(orders(CAPACITY + 1, 1))
    assert (refused["kind"][0], refused["reason"][0]) == (EventKind.REJECTED, Reason.POOL_FULL)
    del kernel
    assert helpers() == before


def test_what_was_prepared_meets_no_page_fault() -> None:
    faults = {}
    for grown in (False, True):
        kernel = kernel_of()
        kernel.process(orders(1, 1))
        if grown:
            grow(kernel, CAPACITY)
        batches = [orders(first, 50) for first in range(2, 4_000, 50)]
        out = np.zeros(64, kernel.process(orders(5_000, 1)).dtype)
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        for batch in batches:
            kernel.process_into(batch, out)
        faults[grown] = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
    if not DEBUG:
        assert faults[True] < faults[False] / 2, faults


def test_growing_changes_no_event_and_no_state() -> None:
    plain, grown = kernel_of(), kernel_of()
    grow(grown, 1)
    for kernel in (plain, grown):
        for first in range(1, 6_000, 500):
            kernel.process(orders(first, 500))
            kernel.process(builders.mass_cancel(account_id=2))
    assert grown.state_hash() == plain.state_hash()
    assert grown.event_hash() == plain.event_hash()


def test_a_kernel_in_use_and_a_restored_one_begin_with_what_they_hold() -> None:
    kernel = kernel_of()
    kernel.process(orders(1, 5_000))
    restored = Kernel(accounts=(), capacity=CAPACITY, closed_capacity=64, huge_pages=False)
    restored.restore(kernel.snapshot())
    for each in (kernel, restored):
        grow(each, 10)
        assert pool(each, "orders").ready >= 5_000
        each.process(orders(6_000, 10))
        eventually(lambda each=each: pool(each, "orders").ready >= 10_000)
        assert each.open_orders == 5_010
    # A kernel that is given another state lets go of its pools, thread and all.
    restored.restore(kernel.snapshot())
    assert pool(restored, "orders").ready == 0
    assert restored.open_orders == 5_010


def test_it_is_begun_once_and_with_something() -> None:
    kernel = kernel_of()
    with pytest.raises(ValueError, match="1 or more"):
        grow(kernel, 0)
    grow(kernel, 10)
    with pytest.raises(OSError, match="pools"):
        grow(kernel, 10)
    kernel.process(orders(1, 10))
    assert kernel.open_orders == 10


def test_more_than_the_capacity_is_all_of_it() -> None:
    kernel = kernel_of()
    grow(kernel, 1 << 30)
    assert pool(kernel, "orders").ready == CAPACITY + 1


def test_what_is_locked_is_told_and_a_limit_is_no_failure() -> None:
    code = """
import os, resource
from nautilus.core import Kernel
from nautilus.core.growth import grow, pools_of
resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
if os.geteuid() == 0:
    os.setuid(65534)            # who may lock whatever he likes has no limit
kernel = Kernel(accounts=(), capacity=4096, closed_capacity=64, huge_pages=False)
grow(kernel, 4096, lock=True, node=0)
pools = {pool.name: pool for pool in pools_of(kernel)}
print(pools["orders"].ready, sum(pool.locked_bytes for pool in pools.values()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ready, locked = map(int, done.stdout.split())
    assert ready == 4_096
    assert 0 <= locked <= 65536
    free = kernel_of()
    grow(free, 4_096, lock=True)
    assert os.geteuid() != 0 or pool(free, "orders").locked_bytes > 65536


def test_a_forked_child_ends_although_the_thread_stayed_with_its_parent() -> None:
    kernel = kernel_of()
    grow(kernel, 64)
    child = os.fork()
    if child == 0:
        kernel.process(orders(1, 500))
        late = pool(kernel, "orders").late
        del kernel
        os._exit(0 if late > 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    kernel.process(orders(1, 500))
    assert kernel.open_orders == 500


def test_pools_that_share_a_thread_are_told_apart_by_their_writers() -> None:
    # The one that did not ask does not grow.
    kernel = kernel_of()
    grow(kernel, 2_000)
    lots = pool(kernel, "lots").ready
    kernel.process(orders(1, 1_500))
    eventually(lambda: pool(kernel, "orders").ready == 4_000)
    assert pool(kernel, "lots").ready == lots
    alone = Pool(64, 1_000, first=100)
    for _ in range(60):
        alone.take()
    eventually(lambda: alone.ready == 200)


def test_the_core_grants_its_kernel_ready_orders_and_counts_refusals(tmp_path) -> None:
    from nautilus.core.affinity import Machine

    machine = Machine(ready_orders=500, lock_memory=True, numa_local=True, huge_pages=True)
    with running(tmp_path, open_orders=1_000, machine=machine) as (core, _):
        granted = {grant.what: grant for grant in core.grants}
        assert granted["pools"].granted
        assert granted["pools"].found.startswith("500 orders committed, up to 1,000")
        port = attach(core)
        carry_out(port, OPENING)
        for first in range(1, 1_001, 100):
            carry_out(port, orders(first, 100))
        assert core.facts()["pool_full"] == 0
        carry_out(port, orders(1_001, 2))
        assert core.facts()["pool_full"] == 2
        eventually(lambda: pool(core.kernel, "orders").ready > 500)
        assert pool(core.kernel, "orders").used == 1_000
    with running(tmp_path, open_orders=1_000) as (core, _):
        assert "pools" not in {grant.what for grant in core.grants}
        assert pool(core.kernel, "orders").ready == 0
