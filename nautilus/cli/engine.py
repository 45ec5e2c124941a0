"""`nautilus engine list | run`."""

from __future__ import annotations

import click

from nautilus.cli.lazy import LazyGroup
from nautilus.cli.output import json_option, print_json, print_table

COMMANDS = {
    "list": (f"{__name__}:list_engines", "List the engines, what each takes in and gives out."),
    "run": ("nautilus.cli.engine_run:run", "Run an engine's process by itself, in the foreground."),
}


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def engine() -> None:
    """List the engines, or run one by itself."""


@click.command("list")
@json_option
def list_engines(as_json: bool) -> None:
    """List the engines, what each takes in and gives out."""
    from nautilus.engines import CATALOGUE

    engines = [
        {
            "name": name,
            "port": entry.port,
            "tier": entry.tier,
            "purpose": entry.purpose,
            "publishes": [topic.name for topic in entry.publishes],
            "subscribes": [topic.name for topic in entry.subscribes],
        }
        for name, entry in CATALOGUE.items()
    ]
    if as_json:
        print_json({"engines": engines})
        return
    rows = [[item["name"], item["port"], item["tier"], item["purpose"]] for item in engines]
    print_table("", ["engine", "port", "tier", "purpose"], rows, right=(1,))
    print("--json shows topics too; docs/architecture.md draws them")
