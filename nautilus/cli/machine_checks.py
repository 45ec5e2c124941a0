"""The checks of `nautilus doctor` on what the machine grants a core's threads and memory; each is really asked for.

What is asked for is given back at once: by a thread that ends, a region that is unmapped, a device that is closed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial

from nautilus.cli.checks import MIB, Check
from nautilus.core import affinity
from nautilus.core.memory import probe
from nautilus.model.errors import NautilusError

PROBED = 4 * MIB


def pinning() -> Check:
    """Which cores the threads of a core get with `core.pin = "auto"`."""
    cores, notes = affinity.choose_cores("auto", os.sched_getaffinity(0))
    grants = [_in_a_thread(partial(affinity.pin, core)) for core in cores]
    refused = [grant.found for grant in grants if not grant.granted]
    places = ", ".join(f"{name} on {core}" for name, core in zip(affinity.THREADS, cores, strict=False))
    found = "; ".join([places or "no thread", *(note.found for note in notes), *refused])
    if refused or notes:
        return Check("pinning", "warn", found, "with four cores each thread of the core has one of its own")
    return Check("pinning", "ok", found)


def realtime() -> Check:
    """Whether threads may run before all usual ones."""
    grant = _in_a_thread(lambda: affinity.fifo(1))
    if grant.granted:
        return Check("realtime", "ok", "SCHED_FIFO may be used")
    return Check("realtime", "warn", grant.found, "LimitRTPRIO=99 in the unit, or `rtprio 99` in limits.conf")


def region() -> Check:
    """What a region of huge pages gets: pages, lock, NUMA node."""
    got = probe(PROBED, huge=True, prefault=True, node=affinity.node_of(min(os.sched_getaffinity(0))))
    found = (
        f"of {PROBED // MIB} MiB: {got['huge_bytes'] // MIB} on huge pages, {got['locked_bytes'] // MIB} locked; "
        + ("one NUMA node" if got["nodes"] == 1 else f"{got['nodes']} NUMA nodes")
        + (f", mbind refused: {os.strerror(got['bind_error'])}" if got["bind_error"] else "")
    )
    if got["huge_bytes"] == got["locked_bytes"] == PROBED and not got["bind_error"]:
        return Check("region", "ok", found)
    return Check("region", "warn", found, "see huge pages and memory lock")


def memory_locking() -> Check:
    """Whether all of a process may be locked (`core.lock_memory`)."""
    if affinity.may_lock_all():
        return Check("lock all", "ok", "all of a process may be locked")
    return Check("lock all", "warn", "the rings and the pools, within the limit", "LimitMEMLOCK=infinity in the unit")


def wake_up() -> Check:
    """Whether the cores may be kept from sleeping deeply: waking then costs microseconds less."""
    hold = affinity.LatencyHold(0)
    hold.close()
    device = affinity.LATENCY_DEVICE
    if hold.grant.granted:
        return Check("wake-up", "ok", f"{device} may be held")
    if not os.path.exists(device):
        return Check("wake-up", "warn", hold.grant.found, "nothing depends on it")
    return Check("wake-up", "warn", hold.grant.found, f"setfacl -m u:{os.getuid()}:w {device}")


def running_cores() -> Check:
    """What the threads of this user's running cores were granted, read back from the system."""
    found = []
    for name, pid in _cores():
        threads = [
            f"{each['thread']} on {each['cores']} {each['policy']}"
            + (f" {each['priority']}" if each["priority"] else "")
            for each in affinity.threads_of(pid)
            if each["thread"].startswith("core-")
        ]
        memory = (
            f"{affinity.locked_bytes_of(pid) // MIB} MiB locked, {affinity.huge_bytes_of(pid) // MIB} on huge pages"
        )
        held = ", wake-up held" if affinity.latency_held(pid) else ""
        found.append(f"{name}: {', '.join(threads)}; {memory}{held}{_pools(name)}")
    return Check("running cores", "ok", "; ".join(found) or "none")


def _pools(name: str) -> str:
    """How the pools of a running core's kernel are, by its counters."""
    from nautilus.core.counters import Counters
    from nautilus.runtime.instance import Instance

    try:
        counts = Counters.read(Instance.find(name).plan().counters_of("core"))
    except (NautilusError, OSError, ValueError):
        return ""
    pools = [counter.split(".")[1] for counter in counts if counter.startswith("pool.") and counter.endswith(".ready")]
    late, full = (sum(counts.get(f"pool.{pool}.{what}", 0) for pool in pools) for what in ("late", "full"))
    ready, used = (counts.get(f"pool.orders.{what}", 0) for what in ("ready", "used"))
    refused = counts.get("machine.wishes_refused", 0)
    return (
        f"; {ready:,} orders ready, {used:,} used; pools {late:,} times late, {full:,} full"
        + (f"; {refused} wishes refused, see its log" if refused else "")
        if pools
        else ""
    )


def _cores() -> list[tuple[str, int]]:
    """Instances of this user, and the process of each one's core."""
    from nautilus.runtime.instance import Instance, directory_of
    from nautilus.runtime.status import read_state

    found = []
    for directory in sorted(directory_of("main").parent.glob("*/")):
        try:
            processes = read_state(Instance.find(directory.name)).processes
        except (NautilusError, OSError, ValueError):
            continue  # it is down, starting or stopping
        found += [(directory.name, process.pid) for process in processes if process.name == "core" and process.pid]
    return found


def _in_a_thread(ask: Callable[[], affinity.Grant]) -> affinity.Grant:
    """Ask in a thread of its own, so that nothing of it stays."""
    grants: list[affinity.Grant] = []
    thread = threading.Thread(target=lambda: grants.append(ask()))
    thread.start()
    thread.join()
    return grants[0]


CHECKS = (pinning, realtime, region, memory_locking, wake_up, running_cores)
