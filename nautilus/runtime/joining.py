"""A process that joins a running instance from another host: what it has to know, and the instance it has for itself.

The hub tells it the plan; what the plan says of places is replaced by places of this host. It has an instance of its
own here, with directory, shared memory and data, which is named after the other one and the process.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import msgspec

from nautilus.bus.hosts import REGISTRY_PORT, tcp_place
from nautilus.bus.keys import KeyFileError
from nautilus.bus.registry_service import ask_what_there_is
from nautilus.bus.security import Security
from nautilus.bus.sockets import make_context
from nautilus.model.errors import ConfigError
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.instance import Instance
from nautilus.runtime.plan import LAYOUTS, Plan, ProcessSpec
from nautilus.runtime.states import PlatformState, ProcessState

BESIDE_THE_CORE = ("trading", "marketdata")
"""Engines that read the core's memory: they run on its host."""
HUBS = tuple(dict.fromkeys(spec.name for layout in LAYOUTS.values() for spec in layout if "marketdata" in spec.engines))


def ask_for_plan(hub: str, process: str, keys: Path, timeout_seconds: float) -> Plan:
    """The plan of the instance whose hub is at ``HOST:PORT``.

    Raises
    ------
    KeyFileError
        There is no pair for the process, or the list has no key of a hub.
    RegistryError, TimeoutError
        See `ask_what_there_is`.
    """
    place = tcp_place(hub, REGISTRY_PORT, where="--join")
    security = Security.load(process, keys)
    server = next((name for name in HUBS if name in security.allowed.by_name), "")
    if not server:
        raise KeyFileError("no key of the hub", where=str(keys), expected=f"the list of its host, with {HUBS[0]}")
    security.expect(place, server)
    context = make_context(security)
    try:
        return Plan.decode(ask_what_there_is(context, place, process, timeout_seconds))
    finally:
        context.destroy(0)


def spec_to_join(plan: Plan, name: str) -> ProcessSpec:
    """The process of that name or engine; ConfigError where it cannot run on another host than the core."""
    for spec in plan.processes:
        if spec.kind == "engines" and name in (spec.name, *spec.engines):
            if set(spec.engines) & set(BESIDE_THE_CORE):
                break
            return spec
    able = [
        spec.name for spec in plan.processes if spec.kind == "engines" and not set(spec.engines) & set(BESIDE_THE_CORE)
    ]
    raise ConfigError(f"process {name!r}", where="--join", expected=f"one that can leave the core: {', '.join(able)}")


def address_towards(hub: str) -> str:
    """The address of this host that packets to ``HOST:PORT`` have."""
    host, _, port = hub.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host.strip("[]"), int(port)))
        except OSError as error:
            raise ConfigError(f"{hub}: {error.strerror}", where="--join", expected="an address in reach") from None
        return str(probe.getsockname()[0])


def plan_here(plan: Plan, instance: Instance, hub: str, address: str, keys: Path) -> Plan:
    """The plan as a process of this host has it."""
    bus: dict[str, Any] = {
        **plan.sections.get("bus", {}),
        "listen": f"{address}:0",
        "keys": str(keys.absolute()),
        "transport": "zmq",
        "redis_star": "",
        "redis_mesh": "",
        "http": False,
    }
    return msgspec.structs.replace(
        plan,
        instance=instance.name,
        directory=str(instance.directory),
        shared=str(instance.shared),
        data=str(instance.data),
        sections={**plan.sections, "bus": bus},
        bind="127.0.0.1",
        joined=hub,
    )


def note_state(instance: Instance, state: ProcessState) -> None:
    """Say how the only process here is, for `nautilus status`."""
    with contextlib.suppress(OSError):
        instance.write_state(PlatformState(os.getpid(), 0, "running", wall_ns(), True, False, (state,)))


__all__ = ["address_towards", "ask_for_plan", "note_state", "plan_here", "spec_to_join"]
