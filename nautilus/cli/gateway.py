"""`nautilus gateway status | restart`."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import click

from nautilus.cli.instance import instance_option, running, timeout_option
from nautilus.cli.lazy import LazyGroup
from nautilus.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from nautilus.gateway.table import WorkerTable
    from nautilus.runtime.instance import Instance

COMMANDS = {
    "status": (f"{__name__}:status", "Print the workers of the gateway, and what each has carried."),
    "restart": (f"{__name__}:restart", "Put a new worker in the place of each; no request is dropped."),
}
ANSWER_SECONDS = 30.0
LOOK_SECONDS = 0.01


@click.group("gateway", cls=LazyGroup, commands_at=COMMANDS)
def gateway() -> None:
    """See and replace the processes of the gateway."""


@click.command()
@instance_option
@json_option
def status(instance_name: str | None, as_json: bool) -> None:
    """Print the workers of the gateway, from what they count in shared memory: none of them is asked."""
    instance = running(instance_name)
    found = _status(instance, _table(instance))
    if as_json:
        print_json(found)
        return
    counted = ("requests", "errors", "connections")
    rows = [
        [str(line["number"]), str(line["pid"]), line["state"], *(f"{line[name]:,}" for name in counted), line["mib"]]
        for line in found["workers"]
    ]
    title = f"port {found['port']}, lead {found['lead']}"
    print_table(title, ["worker", "pid", "state", *counted, "MiB"], rows, right=range(3, 7))


@click.command()
@instance_option
@timeout_option(ANSWER_SECONDS)
@json_option
def restart(instance_name: str | None, timeout_seconds: float, as_json: bool) -> None:
    """Put a new worker in the place of each worker of the gateway, while clients stay connected.

    Returns as soon as the new ones have taken over; what cannot change hands is kept by the old ones for
    `gateway.drain_seconds`. The same as SIGHUP to the process of the gateway.
    """
    from nautilus.runtime.clock import NANOSECONDS, monotonic_ns, pause

    instance = running(instance_name)
    before = _table(instance)
    slots = {line.slot for line in before.workers if line.state == "ready"}
    begun_ns = monotonic_ns()
    os.kill(before.lead, signal.SIGHUP)
    while True:
        now = _table(instance)
        new = {line.slot for line in now.workers if line.state == "ready" and line.generation > before.generation}
        old = [line for line in now.workers if line.state == "ready" and line.generation <= before.generation]
        if slots and new >= slots and not old:
            break
        if monotonic_ns() - begun_ns > timeout_seconds * NANOSECONDS:
            raise TimeoutError(f"not every worker was replaced within {timeout_seconds:g} s")
        pause(LOOK_SECONDS)
    seconds = (monotonic_ns() - begun_ns) / NANOSECONDS
    draining = sum(line.state == "draining" for line in now.workers)
    if as_json:
        print_json({"replaced": len(new), "draining": draining, "seconds": round(seconds, 3)})
    else:
        print(f"{len(new)} of the gateway's workers replaced in {seconds:.2f} s; {draining} still drain")


def _table(instance: Instance) -> WorkerTable:
    from nautilus.core.region import start_of
    from nautilus.gateway.table import read_table
    from nautilus.runtime.instance import NotRunningError

    table = read_table(instance.directory)
    if not any(spec.kind == "gateway" for spec in instance.plan().processes):
        raise click.UsageError(f"instance {instance.name!r} has no gateway; expected one with gateway.enabled")
    if not table.lead or not start_of(table.lead):
        raise NotRunningError("the gateway is being started", expected="one that is up")
    return table


def _status(instance: Instance, table: WorkerTable) -> dict[str, Any]:
    from nautilus.core.counters import Counters
    from nautilus.gateway.table import name_of
    from nautilus.runtime.status import memory_mib

    plan, workers = instance.plan(), []
    for line in table.workers:
        try:
            counters = Counters.read(plan.counters_of(name_of(line.number)))
        except (OSError, ValueError):
            counters = {}
        workers.append(
            {
                "number": line.number,
                "slot": line.slot,
                "generation": line.generation,
                "pid": line.pid,
                "state": line.state,
                "requests": counters.get("engine.gateway.requests", 0),
                "errors": counters.get("engine.gateway.errors", 0),
                "connections": counters.get("http.connections", 0),
                "mib": round(memory_mib(line.pid) or 0.0, 1),
            }
        )
    return {"port": table.port, "lead": table.lead, "generation": table.generation, "workers": workers}
