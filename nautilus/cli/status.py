"""`nautilus status`: how an instance is, read from shared memory without asking its engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nautilus.cli.instance import instance_option, running
from nautilus.cli.output import console, json_option, print_json

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
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from nautilus.cli.table import clock, us

    out = console()
    out.print(Text(found.status, STYLES.get(found.status, "bold red")))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    columns = ("engine", "port", "state", "pid", "up", "breaker", "requests", "errors", "p50 us", "p99 us")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number in (0, 2, 5) else "right", no_wrap=True)
    for engine in found.engines:
        table.add_row(
            engine.name,
            str(engine.port or ""),
            Text(engine.state, STYLES.get(engine.state, "bold red")),
            str(engine.pid or ""),
            clock(engine.uptime_seconds),
            engine.breaker,
            f"{engine.requests:,}",
            f"{engine.errors:,}",
            us(engine.p50_us),
            us(engine.p99_us),
        )
    out.print(table)
    facts = Table.grid(padding=(0, 2, 0, 0))
    for name, values in (
        ("star", found.bus["star"]),
        ("mesh", found.bus["mesh"]),
        ("orders", found.orders),
        ("journal", found.journal),
    ):
        text = ", ".join(
            f"{value:,} {key.removesuffix('_sequence').replace('_', ' ')}" for key, value in values.items()
        )
        facts.add_row(Text(name, "dim"), text)
    out.print(facts)
