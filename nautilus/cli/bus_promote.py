"""`nautilus bus promote`."""

from __future__ import annotations

import click

from nautilus.cli.instance import timeout_option
from nautilus.cli.output import json_option, print_json


@click.command()
@click.argument("endpoint")
@timeout_option(10.0)
@json_option
def promote(endpoint: str, timeout_seconds: float, as_json: bool) -> None:
    """Make the standby hub whose registry is at ENDPOINT (ipc://PATH, on its own machine) the hub.

    Its epoch is raised: everybody who hears of it refuses the hub before, which stops publishing when it is told. See
    docs/bus-hosts.md for when that is safe.
    """
    from nautilus.bus.registry_service import ask_to_promote
    from nautilus.bus.sockets import make_context

    context = make_context()
    try:
        answer = ask_to_promote(context, endpoint, timeout_seconds)
    finally:
        context.destroy(0)
    if as_json:
        print_json({"endpoint": endpoint, "epoch": answer.hub_epoch, "active": answer.active})
    else:
        print(f"the hub at {endpoint} is active with epoch {answer.hub_epoch}")
