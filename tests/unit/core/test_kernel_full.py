"""The kernel beside its twin over everything: order types, groups, phases, auctions, controls, money, venues.

Each command goes to both; events are compared byte for byte and states hash for hash after every one. The default run
is short; `make soak` takes `NAUTILUS_SEEDS` seeds and a million commands at least.
"""

from __future__ import annotations

import os
from random import Random

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from nautilus.core import Kernel
from tests.kit import builders, flow_full, flow_setting
from tests.kit.pair import Pair

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "0"))
COMMANDS = max(1_000, 1_100_000 // SEEDS) if SEEDS else 700
SIZES = ((64, 16), (16, 8), (4096, 1024))  # capacity and closed capacity


def restored(kernel: Kernel) -> Kernel:
    """Another kernel in the same state."""
    again = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
    again.restore(kernel.snapshot())
    return again


def opened(capacity: int = 64, closed_capacity: int = 16) -> Pair:
    pair = Pair(accounts=(), capacity=capacity, closed_capacity=closed_capacity)
    first = builders.batch(flow_setting.instruments(), flow_setting.accounts(), flow_setting.first_commands())
    for place in range(len(first)):
        step(pair, first[place : place + 1])
    return pair


def step(pair: Pair, command: np.ndarray) -> None:
    """One command to both."""
    pair.process(command)
    if pair.kernel.state_hash() != pair.twin.state_hash():
        pair.compare()


@pytest.mark.parametrize("seed", range(SEEDS or 4))
def test_kernel_and_twin_agree_after_every_command_of_a_full_flow(seed: int) -> None:
    pair, flow = opened(*SIZES[seed % len(SIZES)]), flow_full.FullFlow(seed)
    for number in range(COMMANDS):
        step(pair, flow.draw(pair.twin))
        if number % 200 == 199:
            pair.compare()
            pair.kernel = restored(pair.kernel)


class EveryRule(RuleBasedStateMachine):
    """Hypothesis draws what the flow draws, and when the kernel is restored; so it can shrink what differs."""

    @initialize(sizes=st.sampled_from(SIZES), random=st.randoms(use_true_random=False))
    def open(self, sizes: tuple[int, int], random: Random) -> None:
        self.pair = opened(*sizes)
        self.flow = flow_full.FullFlow(random)

    @rule(count=st.integers(1, 6))
    def send(self, count: int) -> None:
        for _ in range(count):
            step(self.pair, self.flow.draw(self.pair.twin))

    @rule()
    def restore(self) -> None:
        self.pair.kernel = restored(self.pair.kernel)
        self.pair.compare()


def test_kernel_and_twin_agree_in_flows_that_hypothesis_draws() -> None:
    run_state_machine_as_test(
        EveryRule,
        settings=settings(
            max_examples=max(20, SEEDS),
            stateful_step_count=30,
            deadline=None,
            database=None,
            derandomize=not SEEDS,
            suppress_health_check=list(HealthCheck),
        ),
    )
