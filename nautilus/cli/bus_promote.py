"""`nautilus bus promote`."""

from __future__ import annotations

import click

from nautilus.cli.instance import instance_option, running_with_hub, timeout_option
from nautilus.cli.output import json_option, print_json


@click.command()
@click.argument("endpoint", required=False)
@instance_option
@timeout_option(10.0)
@json_option
def promote(endpoint: str | None, instance_name: str | None, timeout_seconds: float, as_json: bool) -> None:
    """Make the hub that stands by in the instance (bus.standby) the hub, or the one whose registry is at ENDPOINT.

    ENDPOINT is ipc://PATH, on its own machine. Its epoch is raised: everybody who hears of it refuses the hub before,
    which stops publishing when it is told. See docs/bus-hosts.md for when that is safe.
    """
    from nautilus.bus.registry_service import ask_to_promote
    from nautilus.bus.sockets import make_context

    place = endpoint or _standby(instance_name)
    context = make_context()
    try:
        answer = ask_to_promote(context, place, timeout_seconds)
    finally:
        context.destroy(0)
    if as_json:
        print_json({"endpoint": place, "epoch": answer.hub_epoch, "active": answer.active})
    else:
        print(f"the hub at {place} is active with epoch {answer.hub_epoch}")


def _standby(instance_name: str | None) -> str:
    """Where the registry of the hub that stands by is."""
    from nautilus.model.errors import ConfigError
    from nautilus.runtime.neighbours import hub_of

    instance = running_with_hub(instance_name)
    plan = instance.plan()
    if not plan.standbys:
        raise ConfigError(f"instance {instance.name!r} has one hub", where="bus.standby", expected="bus.standby = true")
    return plan.registry_of(1 - plan.hubs.index(hub_of(plan)))
