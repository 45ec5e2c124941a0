"""What the core's process was granted, and how its pools are, in shared counters: read back from the system."""

from __future__ import annotations

import os

from nautilus.core.affinity import Grant, huge_bytes_of, latency_held, locked_bytes_of, threads_of
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.core.growth import PoolFacts, pools_of
from nautilus.core.kernel import Kernel

SYSTEM_NS = 10_000_000_000
"""The system walks through the memory of the whole process to answer."""
LEVELS = ("capacity", "used", "ready", "locked_bytes")
COUNTS = ("late", "full")


class MachineMeters:
    """One thread.

    Parameters
    ----------
    kernel
        May run in another thread.
    counters
        Of the core's process.
    """

    def __init__(self, kernel: Kernel, counters: Counters) -> None:
        self._kernel, self._counters = kernel, counters
        self._read_ns = 0
        names = ("huge_bytes", "locked_bytes", "pinned_threads", "realtime_threads", "wake_up_held", "wishes_refused")
        self._gauges = {name: counters.gauge(f"machine.{name}") for name in names}
        pools = pools_of(kernel)
        self._levels = {
            (pool.name, level): counters.gauge(f"pool.{pool.name}.{level}") for pool in pools for level in LEVELS
        }
        self._counts = {
            (pool.name, count): counters.counter(f"pool.{pool.name}.{count}") for pool in pools for count in COUNTS
        }
        # Counters go on over the lives of the process; what a kernel counts begins with it.
        self._counted: dict[tuple[str, str], int] = {}

    def count(self, *grants: Grant) -> None:
        """What was asked for at the start, and not granted."""
        self._counters.set(self._gauges["wishes_refused"], sum(not grant.granted for grant in grants))

    def show(self) -> None:
        """Bring everything up to date."""
        for pool in pools_of(self._kernel):
            self._show_pool(pool)
        now = now_ns()
        if now - self._read_ns >= SYSTEM_NS:
            self._read_ns = now
            self._show_system()

    def _show_pool(self, pool: PoolFacts) -> None:
        for level in LEVELS:
            self._counters.set(self._levels[pool.name, level], getattr(pool, level))
        for name in COUNTS:
            place, value = (pool.name, name), getattr(pool, name)
            self._counters.add(self._counts[place], value - self._counted.get(place, 0))
            self._counted[place] = value

    def _show_system(self) -> None:
        pid = os.getpid()
        every = len(os.sched_getaffinity(0))
        threads = [each for each in threads_of(pid) if each["thread"].startswith("core-")]
        found = {
            "huge_bytes": huge_bytes_of(pid),
            "locked_bytes": locked_bytes_of(pid),
            "pinned_threads": sum(each["cores"].isdigit() for each in threads) if every > 1 else 0,
            "realtime_threads": sum(each["policy"] == "fifo" for each in threads),
            "wake_up_held": int(latency_held(pid)),
        }
        for name, value in found.items():
            self._counters.set(self._gauges[name], value)
