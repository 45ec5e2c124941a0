"""`nautilus status`: how an instance is, read from shared memory without asking its engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nautilus.cli.instance import instance_option, running
from nautilus.cli.output import console, dense_table, json_option, print_json

if TYPE_CHECKING:
    from nautilus.runtime.status import Status

UNHEALTHY = 1
STYLES = {"healthy": "green", "ready": "green", "degraded": "yellow", "starting": "yellow", "restarting": "yellow"}


@click.command()
@instance_option
@json_option
def status(instance_name: str | None, as_json: bool) -> int:
    """Print how an instance is; exit code 3 where none runs, 1 where it is unhealthy."""
    from nautilus.runtime.status import plain, read_status

    found = read_status(running(instance_name))
    if as_json:
        print_json(plain(found))
    else:
        _print(found)
    return UNHEALTHY if found.status == "unhealthy" else 0


def _print(found: Status) -> None:
    from rich.table import Table
    from rich.text import Text

    from nautilus.cli.table import clock, short, us

    out = console()
    out.print(Text(found.status, STYLES.get(found.status, "bold red")))
    table = dense_table(
        [
            ("engine", "left", 10),
            ("port", "right", 5),
            ("state", "left", 10),
            ("pid", "right", 6),
            ("up", "right", 7),
            ("breaker", "left", 7),
            ("requests", "right", 8),
            ("errors", "right", 6),
            ("p50 us", "right", 6),
            ("p99 us", "right", 6),
        ]
    )
    for engine in found.engines:
        table.add_row(
            engine.name,
            str(engine.port or ""),
            Text(engine.state, STYLES.get(engine.state, "bold red")),
            str(engine.pid or ""),
            clock(engine.uptime_seconds),
            engine.breaker,
            short(engine.requests),
            short(engine.errors),
            us(engine.p50_us),
            us(engine.p99_us),
        )
    out.print(table)
    facts = Table.grid(padding=(0, 1, 0, 0))
    facts.add_column(min_width=10, style="dim")
    for name, values in (
        ("star", found.bus["star"]),
        ("mesh", found.bus["mesh"]),
        ("orders", found.orders),
        ("journal", found.journal),
    ):
        parts = [f"{short(value)} {key.removesuffix('_sequence').replace('_', ' ')}" for key, value in values.items()]
        facts.add_row(name, ", ".join(parts))
    out.print(facts)
