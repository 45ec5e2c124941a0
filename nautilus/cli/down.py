"""`nautilus down`: stop an instance in order."""

from __future__ import annotations

import click

from nautilus.cli.instance import instance_option, running, timeout_option
from nautilus.cli.output import json_option, print_error, print_json

UNCLEAN = 1
KILLED_CODE = "internal.process"


@click.command()
@instance_option
@timeout_option(30.0)
@json_option
def down(instance_name: str | None, timeout_seconds: float, as_json: bool) -> int:
    """Stop an instance: strategies first, the core last.

    Exit code 1 where a process had to be killed, 5 where the instance has not stopped in time.
    """
    from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
    from nautilus.runtime.detach import down as stop

    instance = running(instance_name)
    started_ns = monotonic_ns()
    outcome = stop(instance.name, timeout_seconds=timeout_seconds)
    killed = outcome.killed if outcome is not None else ()
    seconds = (monotonic_ns() - started_ns) / NANOSECONDS
    if as_json:
        facts = {"instance": instance.name, "pid": instance.pid, "seconds": round(seconds, 3)}
        print_json({**facts, "clean": outcome is not None and not killed, "killed": killed})
    else:
        print(f"instance {instance.name} stopped in {seconds:.1f} s")
    for name in killed:
        print_error(f"process {name} did not stop in time and was killed", KILLED_CODE)
    if outcome is None:
        print_error(f"instance {instance.name} ended without saying how; its log may", KILLED_CODE)
    return UNCLEAN if killed or outcome is None else 0
