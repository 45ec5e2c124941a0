"""The urgent lane of a process, as its settings have it: the rings in shared memory, and the priority of its thread."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from nautilus.bus.urgent_ring import UrgentRing
from nautilus.runtime.bus_settings import BusConfig

if TYPE_CHECKING:
    from nautilus.bus import Mesh
    from nautilus.runtime.plan import Plan

_LOGGER = logging.getLogger("nautilus.runtime")


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
    if not any(spec.name == process and spec.kind in ("core", "engines") for spec in plan.processes):
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
