"""`nautilus down`: stop an instance in order."""

from __future__ import annotations

import click

from nautilus.cli.instance import instance_option, running, timeout_option
from nautilus.cli.output import json_option, print_json


@click.command()
@instance_option
@timeout_option(30.0)
@json_option
def down(instance_name: str | None, timeout_seconds: float, as_json: bool) -> None:
    """Stop an instance: strategies first, the core last. Exit code 5 where it has not stopped in time."""
    from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
    from nautilus.runtime.detach import down as stop

    instance = running(instance_name)
    started_ns = monotonic_ns()
    stop(instance.name, timeout_seconds=timeout_seconds)
    seconds = (monotonic_ns() - started_ns) / NANOSECONDS
    if as_json:
        print_json({"instance": instance.name, "pid": instance.pid, "seconds": round(seconds, 3)})
    else:
        print(f"instance {instance.name} stopped in {seconds:.1f} s")
