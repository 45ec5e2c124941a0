"""`nautilus audit verify | show`."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nautilus.cli.instance import data_directory, instance_option
from nautilus.cli.lazy import LazyGroup
from nautilus.cli.output import json_option, print_error, print_json, print_table

if TYPE_CHECKING:
    from nautilus.store.audit import Record

COMMANDS = {
    "verify": (f"{__name__}:verify", "Check every record of it; exit code 1 where anything is wrong."),
    "show": (f"{__name__}:show", "Print its last records."),
}
LOOK_SECONDS = 0.02
CODE = "internal.audit"


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def audit() -> None:
    """Every call that changed something: who, what, when and how it ended (docs/access.md)."""


@click.command()
@click.option("--data", metavar="DIRECTORY", help="Of the instance.  [default: by its name]")
@click.option(
    "--expect",
    multiple=True,
    metavar="PROCESS:NUMBER:HASH",
    help="A last record that was noted elsewhere; it must still be there.  May be repeated.",
)
@instance_option
@json_option
def verify(data: str | None, expect: tuple[str, ...], instance_name: str | None, as_json: bool) -> int:
    """Check the log of each process, and that it goes as far as was written.

    Any bit that was changed is found, and records that were taken out, moved, added or cut off.
    """
    from nautilus.runtime.clock import pause
    from nautilus.store.audit import verify as verify_logs

    directory, anchors = _places(data, instance_name)
    findings = verify_logs(directory, anchors, pause=partial(pause, LOOK_SECONDS))
    faults = [(finding.where, f"{finding.process}: {finding.problem}") for finding in findings if finding.problem]
    faults += [(str(directory), fault) for fault in _unexpected(directory, expect)]
    if as_json:
        print_json(
            {
                "valid": not faults,
                "directory": str(directory),
                "processes": [finding._asdict() for finding in findings],
                "problems": [{"where": where, "what": what} for where, what in faults],
            }
        )
    elif not findings:
        print(f"nothing was changed yet: no log in {directory}")
    else:
        rows = [
            (each.process, each.records, each.last_sequence, each.last_hash[:16], "WRONG" if each.problem else "sound")
            for each in findings
        ]
        print_table("", ["process", "records", "last", "hash", ""], rows, right=(1, 2))
    for where, what in faults:
        print_error(f"{where}: {what}", CODE)
    return 1 if faults else 0


@click.command()
@click.option("--data", metavar="DIRECTORY", help="Of the instance.  [default: by its name]")
@click.option("--process", metavar="NAME", help="Of one process alone.")
@click.option("-n", "--lines", type=click.IntRange(1, 1_000_000), default=20, show_default=True, help="So many.")
@instance_option
@json_option
def show(data: str | None, process: str | None, lines: int, instance_name: str | None, as_json: bool) -> None:
    """Print the last calls that changed something, the oldest first. It does not check them: `verify` does."""
    from nautilus.store.audit import read

    directory, _ = _places(data, instance_name)
    names = sorted(place.name for place in directory.glob("*") if place.is_dir())
    if process is not None:
        if process not in names:
            raise click.UsageError(f"--process {process}: expected one of {', '.join(names) or 'none'}")
        names = [process]
    last: list[tuple[str, Record]] = []
    for name in names:
        last += [(name, record) for record in deque((r for r in read(directory, name) if r.kind == "call"), lines)]
    last = sorted(last, key=lambda item: item[1].now_ns)[-lines:]
    if as_json:
        print_json({"directory": str(directory), "calls": [_line(name, record) for name, record in last]})
        return
    rows = [
        (
            _time(record.now_ns)[5:19].replace("T", " "),
            name,
            record.principal,
            f"{record.method} {record.target.decode(errors='replace')[:60]}",
            record.status,
        )
        for name, record in last
    ]
    print_table("", ["time (UTC)", "process", "who", "what", "status"], rows, right=(4,), whole=(0, 1, 4))


def _places(data: str | None, instance_name: str | None) -> tuple[Path, Path]:
    from nautilus.runtime.access_keys import DIRECTORY as ACCESS
    from nautilus.store.audit import DIRECTORY

    place = Path(data) if data else data_directory(instance_name)
    return place / DIRECTORY, place / ACCESS / DIRECTORY


def _unexpected(directory: Path, expect: tuple[str, ...]) -> list[str]:
    """What was noted elsewhere, and is not there."""
    from nautilus.store.audit import read

    faults = []
    for text in expect:
        process, _, rest = text.partition(":")
        number, _, wanted = rest.partition(":")
        if not number.isdigit() or len(wanted) != 64:
            raise click.UsageError(f"--expect {text}: expected PROCESS:NUMBER:HASH, as --json prints them")
        found = next((r.hash.hex() for r in read(directory, process) if r.sequence == int(number)), "")
        if found != wanted.lower():
            faults.append(f"{process}: record {number} is not the one that was noted")
    return faults


def _line(process: str, record: Record) -> dict[str, object]:
    return {
        "process": process,
        "sequence": record.sequence,
        "time": _time(record.now_ns),
        "principal": record.principal,
        "method": record.method,
        "target": record.target.decode(errors="replace"),
        "digest": record.digest.hex() or None,
        "status": record.status,
        "trace_id": record.trace,
    }


def _time(now_ns: int) -> str:
    return datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat(timespec="milliseconds")
