"""`nautilus phase set | list`."""

from __future__ import annotations

import click

from nautilus.cli.instance import client_of, instance_option, running, timeout_option
from nautilus.cli.lazy import LazyGroup
from nautilus.cli.output import json_option, print_json, print_table

COMMANDS = {
    "set": (f"{__name__}:set_phase", "Move an instrument, or all, to a phase."),
    "list": (f"{__name__}:list_phases", "Print the phase of each instrument."),
}
PHASES = (
    "continuous",
    "halted",
    "closed",
    "pre-open",
    "opening-auction",
    "closing-auction",
    "volatility-auction",
)
ALL = "all"


@click.group("phase", cls=LazyGroup, commands_at=COMMANDS)
def phase() -> None:
    """Set and show the phase in which instruments trade."""


@click.command("set")
@click.argument("instrument")
@click.argument("wanted", metavar="PHASE", type=click.Choice(PHASES))
@click.option(
    "--close-ns", type=click.IntRange(0, 2**63 - 1), default=0, help="End of the session, ns since the epoch."
)
@click.option("--date", type=click.IntRange(0, 2**31 - 1), default=0, help="Trading date, such as 20240808.")
@instance_option
@timeout_option()
@json_option
def set_phase(
    instrument: str,
    wanted: str,
    close_ns: int,
    date: int,
    instance_name: str | None,
    timeout_seconds: float,
    as_json: bool,
) -> int:
    """Move INSTRUMENT, a symbol, an id or `all`, to PHASE.

    PHASE is continuous, halted, closed, pre-open, or one of the three auctions.

    Close and date are set too: without them they are not known, and DAY orders stay until they are cancelled.
    """
    from nautilus.model.enums import SessionPhase
    from nautilus.model.phases import PhaseRequest

    if not instrument:
        raise click.UsageError(f"INSTRUMENT is empty; expected a symbol, an id, or {ALL}")
    member = SessionPhase[wanted.upper().replace("-", "_")]
    wanted_one = None if instrument == ALL else instrument
    client = client_of(running(instance_name), timeout_seconds=timeout_seconds)
    answer = client.ask("trading", PhaseRequest(member, instrument=wanted_one, close_ns=close_ns, date=date))
    if as_json:
        print_json(answer)
    else:
        scope = answer["symbol"] or answer["instrument_id"] or "every instrument"
        reason = f": {answer['reason']}" if answer["status"] == "rejected" else ""
        print(f"{word(answer['phase'])} of {scope} {answer['status']}{reason}, {answer['latency_us']:,.0f} us")
    return int(answer["status"] == "rejected")


@click.command("list")
@instance_option
@timeout_option()
@json_option
def list_phases(instance_name: str | None, timeout_seconds: float, as_json: bool) -> None:
    """Print the phase of each instrument."""
    from nautilus.model.phases import GetPhases

    answer = client_of(running(instance_name), timeout_seconds=timeout_seconds).ask("trading", GetPhases())
    if as_json:
        print_json(answer)
        return
    rows = [(line["symbol"] or line["instrument_id"], word(line["phase"])) for line in answer["phases"]]
    print_table("phases", ["instrument", "phase"], rows, right=())


def word(name: str) -> str:
    """A phase as the command line writes it."""
    return name.lower().replace("_", "-")
