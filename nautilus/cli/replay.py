"""`nautilus replay`: recordings of real markets, or a stored range, in lock-step or through the live platform."""

from __future__ import annotations

from typing import Any

import click

from nautilus.cli.live_run import MAX, live_options, speed_option, strategy_option
from nautilus.cli.market_options import range_options, recorded_market
from nautilus.cli.market_run import lockstep_options, new_directory


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@range_options
@speed_option(MAX, "max: in lock-step, as fast as it goes; a number: live, in scaled real time.  [default: max]")
@strategy_option(("quoting",), "quoting")
@click.option(
    "--journal",
    "--data",
    "journal",
    metavar="DIRECTORY",
    callback=new_directory,
    help="Write the core's journal to a new directory; a live run writes state and logs there too.",
)
@lockstep_options
@live_options
def replay(
    paths: tuple[str, ...],
    instruments: str | None,
    begin: str | None,
    end: str | None,
    speed: str,
    journal: str | None,
    market_seconds: float | None,
    latency: str | None,
    detach: bool,
    **options: Any,
) -> int:
    """Run recordings of real markets through engines and core.

    PATH is a recording, such as a Binance raw WebSocket log (.gz) or a LOBSTER pair (one of its two files, or their
    directory); several play side by side, in exact order of time. Or it is a catalog, of which --instruments, --from
    and --to choose a part. With --speed 1 or another number it runs through the processes of the live platform: exit
    code 1 where a record was lost or the positions of core and portfolio differ.
    """
    market = recorded_market(paths, instruments, begin, end)
    if speed == MAX:
        from nautilus.cli.market_run import execute, run_options_of

        if detach:
            raise click.UsageError("--detach is of the live platform: give --speed a number")
        lockstep = {**options, "market_seconds": market_seconds, "latency": latency, "journal": journal}
        title = paths[0] if len(paths) == 1 else market.title
        return execute(f"replay: {title}", str(market), run_options_of(lockstep))
    if market_seconds is not None or latency is not None:
        raise click.UsageError("--market-for and --latency are of lock-step: leave out --speed, or use --for")
    from nautilus.cli import live_run

    chosen = live_run.live_options_of(
        options, title=f"nautilus replay {market.title}", market=str(market), speed=speed, fresh=True, data=journal
    )
    return live_run.run(chosen, detached=detach)
