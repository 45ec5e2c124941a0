"""How long machines run beside their twins: a little in `make test`, as told in `make machines STEPS=1000000`.

Steps by chance from seeds are STEPS of each machine; those that hypothesis chooses are STEPS of all of them together.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test

STEPS = int(os.environ.get("NAUTILUS_STEPS", "0"))
SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "0"))
MACHINES = 6
"""Those that hypothesis drives: breaker, limit, routes, cache, health and ejections."""


def seeds(each: int, least: int = 1) -> range:
    """Seeds of runs of `each` steps: at least NAUTILUS_STEPS steps in all, at least NAUTILUS_SEEDS of them."""
    return range(max(least, SEEDS, -(-STEPS // each)))


def told(machine: str, steps: int, runs: range) -> None:
    """What was done, for `pytest -rP`."""
    print(f"{machine}: {steps} steps beside the twin, seeds {runs[0]} to {runs[-1]}")


def live(machine: type[RuleBasedStateMachine], name: str, few: int) -> int:
    """Let hypothesis drive a machine through a few lives, and on to its part of NAUTILUS_STEPS; how many steps it took.

    A step is a rule that was carried out, with all invariants behind it; what sets a machine up is none.
    """

    class Counted(machine):  # type: ignore[valid-type,misc]
        steps = lives = 0

        def __init__(self) -> None:
            super().__init__()
            Counted.steps -= 1  # invariants hold before the first step, too
            Counted.lives += 1

        @invariant()
        def one_more(self) -> None:
            Counted.steps += 1

    chosen = settings(max_examples=few, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Counted, settings=chosen)
    chosen = settings(chosen, max_examples=1000)
    while Counted.steps * MACHINES < STEPS:
        run_state_machine_as_test(Counted, settings=chosen)
    print(f"{name}: {Counted.steps} steps chosen by hypothesis, in {Counted.lives} lives")
    return Counted.steps
