"""`nautilus engine list`."""

from __future__ import annotations

import click

from nautilus.cli.lazy import LazyGroup
from nautilus.cli.output import json_option, print_json, print_table

COMMANDS = {"list": (f"{__name__}:list_engines", "List the engines, what each takes in and gives out.")}


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def engine() -> None:
    """List the engines."""


@click.command("list")
@json_option
def list_engines(as_json: bool) -> None:
    """List the engines, what each takes in and gives out."""
    raise NotImplementedError
