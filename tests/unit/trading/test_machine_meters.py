"""What the core was granted, in shared counters: read back, and counted on over lives of the process."""

import os
from pathlib import Path

import numpy as np

from nautilus.core import Kernel
from nautilus.core.affinity import Grant, locked_bytes_of
from nautilus.core.counters import Counters
from nautilus.core.growth import grow, pools_of
from nautilus.core.types import Side
from nautilus.trading.machine_meters import MachineMeters
from tests.kit import builders


def grown(first: int = 64) -> Kernel:
    kernel = Kernel(accounts=(), capacity=64, closed_capacity=64, huge_pages=False)
    kernel.process(builders.batch(builders.instrument(1), builders.account(1)))
    grow(kernel, first)
    return kernel


def orders(count: int) -> np.ndarray:
    return builders.batch(*(builders.new(number, Side.BUY, 10, 5) for number in range(1, count + 1)))


def test_pools_and_grants_are_shown(tmp_path: Path) -> None:
    kernel, counters = grown(), Counters(path=str(tmp_path / "c"))
    meters = MachineMeters(kernel, counters)
    meters.count(Grant("pin", False, "one core"), Grant("pools", True, "64"))
    kernel.process(orders(5))
    meters.show()
    found = counters.snapshot()
    facts = {pool.name: pool for pool in pools_of(kernel)}
    assert (found["pool.orders.used"], found["pool.orders.ready"]) == (5, facts["orders"].ready)
    assert found["pool.orders.capacity"] == facts["orders"].capacity
    assert found["machine.wishes_refused"] == 1
    assert found["machine.locked_bytes"] >= 0
    assert {"machine.huge_bytes", "machine.pinned_threads", "machine.realtime_threads", "machine.wake_up_held"} <= set(
        found
    )
    assert locked_bytes_of(0) == 0


def test_counts_go_on_over_the_lives_of_the_process(tmp_path: Path) -> None:
    kernel = grown(1)
    seen = []
    for _ in range(2):
        child = os.fork()  # it has no thread that prepares records: each one is late
        if child == 0:
            meters = MachineMeters(kernel, Counters(path=str(tmp_path / "c")))
            kernel.process(orders(30))
            meters.show()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        seen.append(Counters.read(str(tmp_path / "c"))["pool.orders.late"])
    assert seen[0] >= 28
    assert seen[1] == 2 * seen[0]
