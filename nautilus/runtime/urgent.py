"""The urgent lane of a process, as its settings have it: the rings in shared memory, and the priority of its thread."""

from __future__ import annotations

import errno
import logging
import os
import resource
from functools import partial
from typing import TYPE_CHECKING, Any

from nautilus.bus.urgent_ring import UrgentRing
from nautilus.core.affinity import Grant, pin, threads_of
from nautilus.runtime.bus_settings import BusConfig
from nautilus.runtime.clock import pause
from nautilus.runtime.plan import ON_BUS

if TYPE_CHECKING:
    from nautilus.bus import Mesh
    from nautilus.runtime.plan import Plan

_LOGGER = logging.getLogger("nautilus.runtime")
LOOKS = 100
URGENT_THREAD = "IO/0"
"""How ZeroMQ names the first I/O thread of a context: that of the urgent lane (`nautilus.bus.sockets.new_socket`)."""


def urgent_ring_of(plan: Plan, process: str, epoch: int) -> UrgentRing | None:
    """The rings of a process and its peers of this host; None: there are to be none, or its own cannot be had."""
    if not plan.config("bus", BusConfig).urgent_ring or ring_place(plan, process) is None:
        return None
    try:
        return UrgentRing(partial(ring_place, plan), process, epoch)
    except (OSError, ValueError) as error:
        _LOGGER.warning("no urgent ring: %s; urgent messages go over ZeroMQ alone", error)
        return None


def ring_place(plan: Plan, process: str) -> str | None:
    """Where the urgent ring of a process lies; None: it is none of the plan, or on another host."""
    if not any(spec.name == process and spec.kind in ON_BUS for spec in plan.processes):
        return None
    endpoint = plan.endpoint(process, "u")
    return f"{plan.shared}/urgent.{process}.ring" if endpoint.startswith("ipc:") else None


def urgent_view(mesh: Mesh) -> dict[str, Any]:
    """How the urgent lane is, for `/health`."""
    ring = mesh.urgent_ring
    return {
        "ring": ring is not None,
        "followed": [] if ring is None else sorted(ring.followed),
        "by_ring": mesh.urgent_by_ring,
        "by_zmq": mesh.urgent_by_zmq,
        "copies": mesh.urgent_copies,
        "written": 0 if ring is None else ring.written,
        "too_large": 0 if ring is None else ring.skipped,
        "missed": 0 if ring is None else ring.missed,
    }


def ask_machine(plan: Plan, process: str) -> list[Grant]:
    """Ask for what the settings want of the machine for the calling thread and for the urgent lane; what was got.

    What is refused is one warning, and nothing else changes. Called last, so that no other thread inherits it.
    """
    settings, grants = plan.config("bus", BusConfig), []
    if settings.realtime:
        grants.append(prefer_urgent(settings.realtime))
    wanted = {settings.own_core[engine] for engine in plan.process(process).engines if engine in settings.own_core}
    if wanted:
        grants.append(pin(min(wanted)))
    for grant in grants:
        level = logging.INFO if grant.granted else logging.WARNING
        _LOGGER.log(level, "machine: %s %sgranted: %s", grant.what, "" if grant.granted else "not ", grant.found)
    return grants


def prefer_urgent(priority: int) -> Grant:
    """Schedule the I/O thread of the urgent lane of this process before all usual threads (SCHED_FIFO, 1 to 99)."""
    wish = f"SCHED_FIFO {priority}"
    threads: list[int] = []
    for _ in range(LOOKS):
        threads = [each["tid"] for each in threads_of(os.getpid()) if each["thread"].endswith(URGENT_THREAD)]
        if threads:
            break
        pause(0.002)  # a thread gives itself its name once it runs
    else:
        return Grant("urgent lane", False, f"{wish}: no thread {URGENT_THREAD}")
    try:
        for thread in threads:
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        limit = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
        needed = f"needs CAP_SYS_NICE, or an rtprio limit of {priority} (it is {limit})"
        reason = f"not permitted: {needed}" if error.errno == errno.EPERM else os.strerror(error.errno or 0)
        return Grant("urgent lane", False, f"{wish}: {reason}")
    return Grant("urgent lane", True, wish)
