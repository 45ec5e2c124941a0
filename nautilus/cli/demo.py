"""`nautilus demo`: the simulated market with a sample strategy."""

from __future__ import annotations

import sys
from typing import Any

import click

from nautilus.cli.market_run import execute, run_options, run_options_of

DEFAULT_SECONDS = 30.0


@click.command()
@run_options
def demo(**options: Any) -> int:
    """Run the simulated market with a sample strategy, in virtual time.

    Agents make the market; the strategy trades in it through risk checks and the matching engine. Without --for and
    --market-for it runs for 30 seconds.
    """
    chosen = run_options_of(options)
    if chosen.for_seconds is None and chosen.market_seconds is None:
        chosen = chosen._replace(for_seconds=DEFAULT_SECONDS)
        if not chosen.as_json:
            print(f"running for {DEFAULT_SECONDS:g} s; --for SECONDS changes that", file=sys.stderr)

    from nautilus.runtime.settings import LockStepConfig
    from nautilus.simulation import SimulatedSource
    from nautilus.simulation.config import SimulationConfig

    lockstep, simulation = chosen.sections["lockstep"], chosen.sections["simulation"]
    assert isinstance(lockstep, LockStepConfig)
    assert isinstance(simulation, SimulationConfig)
    return execute("demo: simulated market", SimulatedSource(seed=lockstep.seed, config=simulation), chosen)
