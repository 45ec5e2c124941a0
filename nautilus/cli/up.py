"""`nautilus up`: the platform, in the foreground or detached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nautilus.cli.live_run import MAX, live_options, speed_option, strategy_option


@click.command()
@click.option("--replay", "recording", metavar="PATH", help="Play a recording of a real market.")
@click.option("--simulated", is_flag=True, help="Let simulated agents trade.")
@speed_option(None, "How fast the market's time goes.  [default: 1]")
@strategy_option((), "none")
@click.option("--data", metavar="DIRECTORY", help="Of journal, state and logs.  [default: by the instance's name]")
@click.option(
    "--without",
    multiple=True,
    metavar="NAME",
    help="Leave the process of an engine or a venue to `nautilus engine run`; may be repeated.",
)
@click.option(
    "--standby-of",
    metavar="ADDRESS",
    help="Keep a copy of the core that listens there, until `nautilus trading promote`.",
)
@live_options
def up(
    recording: str | None,
    simulated: bool,
    speed: str | None,
    data: str | None,
    without: tuple[str, ...],
    standby_of: str | None,
    detach: bool,
    **options: Any,
) -> int:
    """Start the platform and keep it running: core, engines, HTTP.

    It stops in order at Ctrl-C, at `nautilus down`, after --for, or when a recording has ended. A core that stopped, in
    whatever way, goes on from its journal.
    """
    from nautilus.cli.live_run import live_options_of, run

    if recording is not None and simulated:
        raise click.UsageError("expected one of --replay and --simulated")
    if speed == MAX:
        raise click.UsageError(
            "--speed max has no real time: `nautilus replay` and `nautilus demo` run it in lock-step"
        )
    if recording is not None and not Path(recording).exists():
        raise FileNotFoundError(2, "no such recording; expected a Binance raw log or a LOBSTER pair", recording)
    market = recording or ("simulated" if simulated else "none")
    chosen = live_options_of(options, title="nautilus up", market=market, speed=speed, data=data)
    chosen = chosen._replace(without=without, standby_of=standby_of or "")
    return run(chosen, detached=detach)
