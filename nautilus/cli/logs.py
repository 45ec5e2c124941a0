"""`nautilus logs`: the logs of all processes of an instance, merged by time."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nautilus.cli.instance import data_directory, instance_option
from nautilus.cli.output import json_option, print_json

if TYPE_CHECKING:
    from nautilus.runtime.logreader import Filter

LEVELS = ("debug", "info", "warning", "error")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _since(context: click.Context, parameter: click.Parameter, value: str | None) -> int:
    """Nanoseconds since the epoch of "90s", "10m", "2h", "1d" ago or of an ISO 8601 time; 0: from the beginning."""
    if value is None:
        return 0
    ago = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", value)
    if ago:
        from nautilus.runtime.clock import wall_ns

        return wall_ns() - round(float(ago[1]) * UNITS[ago[2]] * 1_000_000_000)
    try:
        moment = datetime.datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r}: expected 90s, 10m, 2h, 1d or a time such as 2026-01-02T03:04:05", context, parameter
        ) from None
    # A time without a zone is the reader's own, as on a clock on the wall.
    return round(moment.timestamp() * 1_000_000) * 1_000


@click.command()
@click.argument("processes", nargs=-1, metavar="[PROCESS]...")
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines until Ctrl-C.")
@click.option("--level", type=click.Choice(LEVELS), default="info", show_default=True, help="This level and above.")
@click.option("--since", "since_ns", callback=_since, metavar="TIME", help="90s, 10m, 2h, 1d ago, or an ISO 8601 time.")
@click.option(
    "--trace", "trace_id", default="", metavar="ID", help="Of one request, by its W3C trace id or traceparent."
)
@click.option("--lines", type=click.IntRange(0), default=50, show_default=True, help="Only the last so many; 0: all.")
@click.option("--data", metavar="DIRECTORY", help="Of an instance that is down, where not the usual one.")
@instance_option
@json_option
def logs(
    processes: Sequence[str],
    follow: bool,
    level: str,
    since_ns: int,
    trace_id: str,
    lines: int,
    data: str | None,
    instance_name: str | None,
    as_json: bool,
) -> None:
    """Print the logs of an instance, also of one that is down.

    PROCESS is a process or an engine, such as core or risk; without one: all. With --follow and --json each line is an
    object of its own.
    """
    from nautilus.runtime import logreader

    directory = _directory(instance_name, data)
    wanted = logreader.Filter(level=level, since_ns=since_ns, trace_id=_trace(trace_id))
    known = {path.name.partition(".")[0] for path in directory.glob("*.jsonl")}
    filters = _narrowed(wanted, processes, known)
    if follow:
        with contextlib.suppress(KeyboardInterrupt):  # the way to end it
            for line in logreader.follow(directory, filters, last=lines):
                print_line(line, as_json)
        return
    found = logreader.read(directory, filters, last=lines)
    if as_json:
        print_json({"directory": str(directory), "lines": list(found)})
        return
    for line in found:
        print_line(line, False)


def _trace(given: str) -> str:
    """The trace id in what was given: 32 hexadecimal digits, or a whole `traceparent`."""
    found = re.fullmatch(r"(?:[0-9a-f]{2}-)?([0-9a-f]{32})(?:-[0-9a-f]{16}-[0-9a-f]{2})?", given.lower())
    if given and found is None:
        raise click.UsageError(f"--trace {given!r}; expected 32 hexadecimal digits, or a traceparent")
    return found[1] if found else ""


def print_line(line: dict[str, Any], as_json: bool) -> None:
    """One line of a log, at once."""
    if as_json:
        import msgspec

        print(msgspec.json.encode(line).decode(), flush=True)
    else:
        from nautilus.runtime.logreader import text_of

        print(text_of(line), flush=True)


def _narrowed(wanted: Filter, names: Sequence[str], known: set[str]) -> Filter:
    """Only these processes; or only these engines, where no process is called so."""
    import msgspec

    from nautilus.engines import CATALOGUE
    from nautilus.runtime.config import nearest

    if not names:
        return wanted
    unknown = [name for name in names if name not in known and name not in CATALOGUE]
    if unknown:
        raise click.UsageError(
            f"no log of {unknown[0]!r}; expected one of {', '.join(sorted(known))}{nearest(unknown[0], known)}"
        )
    if all(name in known for name in names):
        return msgspec.structs.replace(wanted, processes=tuple(names))
    return msgspec.structs.replace(wanted, engines=tuple(names))


def _directory(name: str | None, data: str | None) -> Path:
    """Where the logs of an instance are, whether it runs or not."""
    directory = (Path(data) if data is not None else data_directory(name)) / "logs"
    if not directory.is_dir():
        raise FileNotFoundError(2, "no such directory of logs; expected that of an instance", str(directory))
    return directory
