"""`nautilus up`: the platform, in the foreground or detached."""

from __future__ import annotations

from typing import Any

import click

from nautilus.cli.live_run import FASTEST, MAX, live_options, speed_option, strategy_option
from nautilus.cli.market_options import chosen_market, market_option, range_options


@click.command()
@click.option(
    "--replay",
    "recordings",
    metavar="PATH",
    multiple=True,
    help="Play a recording of a real market, or a catalog; several side by side.",
)
@range_options
@market_option
@click.option("--simulated", is_flag=True, help="Let simulated agents trade.")
@speed_option(None, "How fast the market's time goes; max: as fast as it can be played.  [default: 1]")
@strategy_option((), "none")
@click.option("--data", metavar="DIRECTORY", help="Of journal, state and logs.  [default: by the instance's name]")
@click.option("--record", is_flag=True, help="Write market data into the catalog (docs/replay.md).")
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
    recordings: tuple[str, ...],
    instruments: str | None,
    begin: str | None,
    end: str | None,
    live: str | None,
    simulated: bool,
    speed: str | None,
    data: str | None,
    record: bool,
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

    if speed == MAX:
        if not recordings:
            raise click.UsageError(
                "--speed max is of what --replay plays: nothing else can go faster than it does (or in lock-step: "
                "`nautilus replay`, `nautilus demo`)"
            )
        speed = str(FASTEST)
    market = chosen_market(recordings, live, instruments, begin, end, simulated=simulated, default="none")
    chosen = live_options_of(options, title="nautilus up", market=market, speed=speed, data=data, record=record)
    chosen = chosen._replace(without=without, standby_of=standby_of or "")
    return run(chosen, detached=detach)
