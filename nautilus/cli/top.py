"""`nautilus top`: the live table of an instance that runs already."""

from __future__ import annotations

import sys

import click

from nautilus.cli.instance import instance_option, running
from nautilus.cli.output import json_option, print_json


@click.command()
@click.option("--for", "for_seconds", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Then end.")
@instance_option
@json_option
def top(for_seconds: float | None, instance_name: str | None, as_json: bool) -> int:
    """Show the live table until Ctrl-C or the instance's end; with --json print one look as an object."""
    from nautilus.cli.display import display, look_once, wait
    from nautilus.cli.sampler import Sampler

    instance = running(instance_name)
    sampler = Sampler(instance, "nautilus top", "Ctrl-C leaves")
    if as_json:
        print_json(look_once(sampler))
        return 0
    try:
        with display(sampler) as show:
            wait(show, lambda: instance.is_live, for_seconds)
    except KeyboardInterrupt:
        return 0
    if not instance.is_live:
        print(f"instance {instance.name} has stopped", file=sys.stderr)
    return 0
