"""`nautilus journal verify | dump | replay`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nautilus.cli.instance import data_directory, instance_option
from nautilus.cli.lazy import LazyGroup
from nautilus.cli.output import console, dense_table, json_option, print_error, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS = {
    "verify": (f"{__name__}:verify", "Check every byte; exit code 1 where something is damaged."),
    "dump": (f"{__name__}:dump", "Print commands as they were recorded."),
    "replay": (f"{__name__}:replay", "Run the commands through a new kernel and compare the hashes."),
}
DUMPED = 20
WITHIN_DATA = "journal"
WIDE = 160
# Name, side, least width, field. A line stays one line: a terminal too narrow cuts it, a pipe has all of it.
SHOWN = (
    ("#", "right", 1, "sequence"),
    ("kind", "left", 4, "kind"),
    ("time, UTC", "left", 23, "now_ns"),
    ("order", "right", 5, "order_id"),
    ("acc.", "right", 1, "account_id"),
    ("side", "left", 1, "side"),
    ("price", "right", 1, "price_ticks"),
    ("lots", "right", 1, "quantity"),
)
MAX_SEQUENCE = (1 << 63) - 1


def _sequence(context: click.Context, parameter: click.Parameter, value: int) -> int:
    if value > MAX_SEQUENCE:
        raise click.BadParameter(f"{value}: expected at most {MAX_SEQUENCE}", context, parameter)
    return value


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def journal() -> None:
    """Verify, dump or replay a journal.

    PATH is its directory, or the data directory that it lies in; without it: the journal of an instance, up or down.
    """


@click.command()
@click.argument("path", required=False)
@instance_option
@json_option
def verify(path: str | None, instance_name: str | None, as_json: bool) -> int:
    """Check every byte; exit code 1 where something is damaged."""
    from nautilus.core.journal_reader import verify as verify_journal

    path = _directory(path, instance_name)
    report = verify_journal(path)
    facts = report._asdict()
    if as_json:
        damage = None if report.damage is None else report.damage._asdict()
        print_json({"path": path, **facts, "damage": damage})
    else:
        print_table("", ["journal", path], _facts(facts))
    if not report.valid:
        damage_text = str(report.damage)
        named = damage_text.startswith(path)
        print_error(damage_text if named else f"{path}: {damage_text}", "internal.journal")
        return 1
    return 0


@click.command()
@click.argument("path", required=False)
@click.option(
    "--from",
    "first",
    type=click.IntRange(1),
    callback=_sequence,
    default=1,
    show_default=True,
    metavar="SEQUENCE",
    help="First command.",
)
@click.option("--limit", type=click.IntRange(1), default=DUMPED, show_default=True, help="Most commands.")
@instance_option
@json_option
def dump(path: str | None, first: int, limit: int, instance_name: str | None, as_json: bool) -> None:
    """Print commands as they were recorded, under any version of the rules."""
    path = _directory(path, instance_name)
    rows: list[dict[str, Any]] = []
    more = False
    for command in _commands(path, first):
        if len(rows) == limit:
            more = True
            break
        rows.append(command)
    if as_json:
        print_json({"path": path, "commands": rows, "more": more})
        return
    if not rows:
        print(f"no command from {first} on")
        return
    table = dense_table([(name, side, width) for name, side, width, _ in SHOWN])
    for row in rows:
        table.add_row(*(_cell(row, field) for *_, field in SHOWN))
    console(width=None if sys.stdout.isatty() else WIDE).print(table)
    if more:
        print(f"more follow; --from {rows[-1]['sequence'] + 1} shows the next, --json every field")


@click.command()
@click.argument("path", required=False)
@click.option("--snapshots", is_flag=True, help="Begin at the latest snapshot; events before it are not counted.")
@click.option("--event-hash", metavar="HEX", help="The event hash that is expected, as a run reported it.")
@instance_option
@json_option
def replay(path: str | None, snapshots: bool, event_hash: str | None, instance_name: str | None, as_json: bool) -> int:
    """Run the commands through a new kernel and compare the hashes that were recorded with them.

    Exit code 1 where the replay gives other events.
    """
    import numpy as np

    from nautilus.core import EventKind, Kernel
    from nautilus.runtime.clock import monotonic_ns

    counts = np.zeros(256, np.int64)

    def count(events: Any) -> None:
        counts[:] += np.bincount(events["kind"], minlength=256)

    path = _directory(path, instance_name)
    started = monotonic_ns()
    kernel = Kernel.replay(path, on_events=count, snapshots=snapshots)
    found = f"{kernel.event_hash():016x}"
    equal = event_hash is None or event_hash.lower().removeprefix("0x").zfill(16) == found
    facts = {
        "commands": kernel.last_sequence,
        "events": kernel.last_event_sequence,
        "events_by_kind": {
            kind.name: int(counts[kind]) for kind in sorted(EventKind, key=lambda kind: kind.name) if counts[kind]
        },
        "open_orders": kernel.open_orders,
        "event_hash": found,
        "journal_hash": f"{kernel.journal_hash():016x}",
        "state_hash": f"{kernel.state_hash():016x}",
        "seconds": round((monotonic_ns() - started) / 1e9, 6),
        "equal": equal,
    }
    if as_json:
        print_json({"path": path, **facts})
    else:
        print_table("", ["journal", path], _facts(facts))
    if not equal:
        print_error(f"{path}: event hash {found}; expected {event_hash}", "internal.journal")
        return 1
    return 0


def _directory(path: str | None, instance_name: str | None) -> str:
    if path is not None and instance_name is not None:
        raise click.UsageError("expected one of PATH and --instance")
    place = Path(path) if path is not None else data_directory(instance_name) / WITHIN_DATA
    if not place.exists():
        raise FileNotFoundError(2, "no such journal; expected its directory", str(place))
    # A live run keeps its journal beside its state and logs.
    within = place / WITHIN_DATA
    return str(within) if within.is_dir() and not any(place.glob("*.journal")) else str(place)


def _commands(path: str, first: int) -> Iterator[dict[str, Any]]:
    """Each command as a dictionary of what is not zero, enumerations by name."""
    import numpy as np

    from nautilus.core import CommandKind, OrderType, Side, TimeInForce
    from nautilus.core.journal_reader import JournalReader

    named = {"kind": CommandKind, "side": Side, "order_type": OrderType, "time_in_force": TimeInForce}
    # The reader opens at the segment that holds `start`; commands before it in the same segment are skipped here.
    for batch in JournalReader(path, start=first if first > 1 else None, any_rules=True):
        if not isinstance(batch, np.ndarray):
            continue
        fields = [name for name in batch.dtype.names or () if not name.startswith("_")]
        for row in batch[batch["sequence"] >= first]:
            command: dict[str, Any] = {}
            for field in fields:
                value = row[field].item()
                if value and field in named:
                    known = named[field]
                    value = known(value).name if value in known._value2member_map_ else value
                if value or field == "sequence":
                    command[field] = value
            yield command


def _cell(row: dict[str, Any], field: str) -> str:
    from nautilus.runtime.logs import iso_time

    value = row.get(field, "")
    return iso_time(value)[:23] if field == "now_ns" and value else str(value)


def _facts(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows for a person: names with spaces, yes and no, thousands apart."""
    rows = []
    for name, value in facts.items():
        if isinstance(value, dict):
            text = ", ".join(f"{key} {item}" for key, item in value.items()) or "none"
        elif isinstance(value, bool):
            text = "yes" if value else "no"
        elif isinstance(value, int):
            text = f"{value:,}"
        else:
            text = "none" if value is None else str(value)
        rows.append((name.replace("_", " "), text))
    return rows
