"""`nautilus demo`: the simulated market with a sample strategy, on the live platform or in lock-step."""

from __future__ import annotations

import sys
from typing import Any

import click

from nautilus.cli.live_run import MAX, live_options, speed_option, strategy_option
from nautilus.cli.market_options import chosen_market, market_option, range_options
from nautilus.cli.market_run import lockstep_options, new_directory

DEFAULT_SECONDS = 30.0


@click.command()
@strategy_option(("quoting",), "quoting")
@speed_option(None, "How fast the market's time goes; max: in lock-step.  [default: 1]")
@click.option(
    "--replay",
    "recordings",
    metavar="PATH",
    multiple=True,
    help="Play a recording or a catalog instead of the simulated market; several side by side.",
)
@range_options
@market_option
@click.option(
    "--journal",
    "--data",
    "journal",
    metavar="DIRECTORY",
    callback=new_directory,
    help="Keep journal, state and logs in a new directory.",
)
@lockstep_options
@live_options
def demo(
    speed: str | None,
    recordings: tuple[str, ...],
    instruments: str | None,
    begin: str | None,
    end: str | None,
    live: str | None,
    journal: str | None,
    market_seconds: float | None,
    latency: str | None,
    detach: bool,
    **options: Any,
) -> int:
    """Run the platform with a simulated market and a sample strategy until Ctrl-C, or for --for seconds.

    Agents make the market; the strategy trades in it, through risk checks and the matching engine. Its HTTP ports need
    no token. With --market-for, --latency or --speed max it runs in one process in virtual time instead (lock-step):
    with the same seed such a run is the same.
    """
    market = chosen_market(recordings, live, instruments, begin, end, default="simulated")
    if market_seconds is not None or latency is not None or speed == MAX:
        if detach:
            raise click.UsageError("--detach is of the live platform; --market-for, --latency and --speed max are not")
        if speed not in (None, MAX):
            raise click.UsageError(
                "--speed X is of the live platform: --market-for and --latency run in lock-step, as fast as it goes"
            )
        if live is not None:
            raise click.UsageError("a live market has no virtual time: leave out --market-for, --latency, --speed max")
        return _lockstep(market, {**options, "market_seconds": market_seconds, "latency": latency}, journal)
    from nautilus.cli.live_run import live_options_of, run

    chosen = live_options_of(
        options,
        title="nautilus demo",
        market=market,
        speed=speed,
        demo=True,
        fresh=True,
        data=journal,
    )
    return run(chosen, detached=detach)


def _lockstep(market: str, options: dict[str, Any], journal: str | None) -> int:
    from nautilus.cli.market_run import execute, run_options_of

    chosen = run_options_of({**options, "journal": journal})
    if chosen.for_seconds is None and chosen.market_seconds is None:
        chosen = chosen._replace(for_seconds=DEFAULT_SECONDS)
        if not chosen.as_json:
            print(f"running for {DEFAULT_SECONDS:g} s; --for SECONDS changes that", file=sys.stderr)
    if market != "simulated":
        from nautilus.runtime.market_name import market_name

        return execute(f"replay: {market_name(market).title}", market, chosen)

    from nautilus.runtime.settings import LockStepConfig
    from nautilus.simulation import SimulatedSource
    from nautilus.simulation.config import SimulationConfig

    lockstep, simulation = chosen.sections["lockstep"], chosen.sections["simulation"]
    assert isinstance(lockstep, LockStepConfig)
    assert isinstance(simulation, SimulationConfig)
    return execute("demo: simulated market", SimulatedSource(seed=lockstep.seed, config=simulation), chosen)
