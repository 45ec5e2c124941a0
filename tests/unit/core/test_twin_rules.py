"""The naive twin alone: random flows over every rule keep what must hold, and reach everything there is.

The compiled kernel is compared with the twin elsewhere; here nothing of it is run. `NAUTILUS_SEEDS=N` takes N seeds.
"""

from __future__ import annotations

import os
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from nautilus.core.types import CommandKind
from tests.kit import builders, flow_full, flow_setting
from tests.kit.coverage import Coverage
from tests.kit.ledger import Ledger
from tests.kit.twin import TwinKernel

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "16"))
COMMANDS = 1_000
RARE = {  # (event, reason) that only an order entered by settling or a report can give: the flows reach these too
    ("CANCELLED", "CONTINGENT"),
    ("CANCELLED", "REDUCE_ONLY"),
    ("CANCELLED", "VENUE"),
    ("EXPIRED", "SESSION_CLOSED"),
    ("EXPIRED", "VENUE"),
    ("REJECTED", "VENUE"),
    ("REPLACED", "CONTINGENT"),
    ("TRIGGERED", "CONTINGENT"),
}


def opened() -> TwinKernel:
    """Small capacities, so that they are met."""
    twin = TwinKernel(
        instruments=flow_setting.instruments(), accounts=flow_setting.accounts(), capacity=64, closed_capacity=16
    )
    twin.process(flow_setting.first_commands())
    return twin


@pytest.fixture(scope="module")
def reached() -> Coverage:
    """What the flows reach; the ledger reads every command of them."""
    coverage = Coverage()
    for seed in range(SEEDS):
        twin, flow = opened(), flow_full.FullFlow(seed)
        ledger = Ledger(twin)
        for _ in range(COMMANDS):
            command = flow.draw(twin)
            events = twin.process(command)
            ledger.read(command[0], events)
            coverage.read(command[0], events, twin)
    return coverage


@pytest.mark.long
def test_every_kind_reason_type_flag_and_phase_occurs_in_the_flows(reached: Coverage) -> None:
    assert reached.missing() == []
    assert set(reached.pairs) >= RARE


@pytest.mark.long
def test_a_good_share_of_the_orders_is_accepted(reached: Coverage) -> None:
    taken = reached.seen["EventKind.ACCEPTED"]
    assert taken > 0.5 * reached.commands[CommandKind.NEW.name]


def test_the_same_seed_gives_the_same_commands_and_state() -> None:
    hashes = set()
    for _ in range(2):
        twin, flow = opened(), flow_full.FullFlow(3)
        for _ in range(300):
            twin.process(flow.draw(twin))
        hashes.add((twin.journal_hash(), twin.event_hash(), twin.state_hash()))
    assert len(hashes) == 1


def test_batches_give_the_same_events_and_state_as_single_commands() -> None:
    single, flow = opened(), flow_full.FullFlow(4)
    commands = []
    for _ in range(300):
        commands.append(flow.draw(single))
        single.process(commands[-1])
    whole = opened()
    whole.process(builders.batch(*commands))
    assert (whole.event_hash(), whole.state_hash()) == (single.event_hash(), single.state_hash())


@given(random=st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_what_must_hold_does_so_in_flows_that_hypothesis_draws(random: Random) -> None:
    twin, flow = opened(), flow_full.FullFlow(random)
    ledger = Ledger(twin)
    for _ in range(40):
        command = flow.draw(twin)
        ledger.read(command[0], twin.process(command))
