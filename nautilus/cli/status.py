"""`nautilus status`: how an instance is, read from shared memory without asking its engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nautilus.cli.instance import instance_option, running
from nautilus.cli.output import console, dense_table, json_option, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nautilus.runtime.status import EngineStatus, Status

UNHEALTHY = 1
LABEL = 11
STYLES = {"healthy": "green", "ready": "green", "degraded": "yellow", "starting": "yellow", "restarting": "yellow"}


@click.command()
@instance_option
@json_option
def status(instance_name: str | None, as_json: bool) -> int:
    """Print how an instance is; exit code 3 where none runs, 1 where it is unhealthy."""
    from nautilus.runtime.status import core_of, follower_of, plain, read_facts, status_of

    facts = read_facts(running(instance_name))
    found = status_of(facts)
    if as_json:
        print_json(plain(found))
    else:
        _print(found, core_of(facts), follower_of(facts))
    return UNHEALTHY if found.status == "unhealthy" else 0


def _print(found: Status, core: EngineStatus, follower: dict[str, int]) -> None:
    from rich.table import Table
    from rich.text import Text

    from nautilus.cli.table import clock, journal_text, short, us

    out = console()
    out.print(Text(found.status, STYLES.get(found.status, "bold red")))
    table = dense_table(
        [
            ("engine", "left", 13),
            ("port", "right", 5),
            ("state", "left", 9),
            ("pid", "right", 6),
            ("up", "right", 7),
            ("breaker", "left", 7),
            ("asked", "right", 6),
            ("errors", "right", 6),
            ("p50 us", "right", 6),
            ("p99 us", "right", 6),
        ]
    )
    for engine in (core, *found.engines):
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
    facts.add_column(min_width=LABEL - 1, style="dim")
    counters = (("star", found.bus["star"]), ("mesh", found.bus["mesh"]), ("orders", found.orders))
    journal = [(name, values) for name, values in (("follower", follower), ("replica", found.replica)) if values]
    rows: tuple[tuple[str, Mapping[str, int | str]], ...]
    rows = (*counters, ("journal", journal_text(found.journal)), *journal, *found.venues.items(), *_data(found))
    for name, values in rows:
        parts = [
            f"{key} {value}" if isinstance(value, str) else f"{short(value)} {key.replace('_', ' ')}"
            for key, value in values.items()
        ]
        facts.add_row(name, _lines(parts, out.width - LABEL))
    out.print(facts)


def _data(found: Status) -> list[tuple[str, Mapping[str, int | str]]]:
    """The hub's cache of data, and each provider that is configured."""
    if not found.data:
        return []
    shown = ("hits", "misses", "joined", "stale", "negative", "prefetch_used", "errors", "synthetic")
    rows: list[tuple[str, Mapping[str, int | str]]] = [("data", {name: found.data[name] for name in shown})]
    for name, each in found.data["sources"].items():
        if each["state"] != "unconfigured":
            left = {"left today": each["day_left"]} if each.get("day_left", -1) >= 0 else {}
            rows.append((name, {"": each["state"], **{key: each.get(key, 0) for key in ("calls", "errors")}, **left}))
    return rows


def _lines(parts: list[str], width: int) -> str:
    """Counters in as many lines as they need, broken between two of them and never within one."""
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + 2 + len(part) + 1 > width:
            lines[-1] += ","
            lines.append("")
        lines[-1] += f", {part}" if lines[-1] else part
    return "\n".join(lines)
