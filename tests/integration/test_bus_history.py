"""The bus under faults drawn from a seed; what its processes wrote down is judged afterwards.

Two seeds of each scenario here; `make history SEEDS=n` (`NAUTILUS_SEEDS`) takes n of them. docs/bus-proof.md says what
is promised and what each judge looks for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.kit.faults import CUTS, Scenario, do_harm
from tests.kit.history import Delivered, Epoch, Handled, Violation
from tests.kit.history_mesh import judge_mesh
from tests.kit.history_star import judge_star
from tests.kit.network import Network, network_or_skip

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "2"))
FAULTS = int(os.environ.get("NAUTILUS_FAULTS", "6"))
# Not promised yet: a heartbeat that waited in a queue makes old values look fresh.
OPEN = frozenset({"stale"})
PROCESS = ("kill", "stop", "clock")
LANES = ("u", "n")


@pytest.fixture
def network() -> Iterator[Network]:
    yield from network_or_skip()


def star(scenario: Scenario) -> None:
    """One hub; a reader with long queues, one with short ones, one of some instruments. Each has a port of its own."""
    names = ("well", "short", "some")
    burst = scenario.random.choice((1, 4, 20))
    scenario.add(
        "hub", "hub", endpoints=[scenario.endpoint(n) for n in names], instruments=4, burst=burst, high_water=200
    )
    scenario.add("well", "reader", endpoint=scenario.endpoint("well"), high_water=10_000)
    scenario.add("short", "reader", endpoint=scenario.endpoint("short"), high_water=5)
    scenario.add("some", "reader", endpoint=scenario.endpoint("some"), high_water=1_000, instruments=[2, 3])


def mesh(scenario: Scenario) -> None:
    """Three nodes that all send to each other."""
    names = ("a", "b", "c")
    endpoints = {f"{name}.{lane}": scenario.endpoint(f"{name}.{lane}") for name in names for lane in LANES}
    deadline_ms = scenario.random.choice((0, 20, 300))
    for name in names:
        peers = [other for other in names if other != name]
        scenario.add(name, "mesh", endpoints=endpoints, peers=peers, burst=6, deadline_ms=deadline_ms)


def told(violations: list[Violation], scenario: Scenario) -> None:
    broken = [violation for violation in violations if violation.kind not in OPEN]
    shown = "\n".join(map(str, broken[:20]))
    assert not broken, f"seed {scenario.seed}, after {scenario.done}:\n{shown}"


def delivered(lives: list[Epoch]) -> int:
    return sum(e.last - e.first + 1 for life in lives for e in life.entries if isinstance(e, Delivered))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_star_over_ipc_keeps_its_promises_under_faults(tmp_path: Path, seed: int) -> None:
    with Scenario(tmp_path, seed) as scenario:
        star(scenario)
        scenario.see_work()
        for _ in range(FAULTS):
            do_harm(scenario, PROCESS)
        lives = scenario.end()
    assert delivered(lives) > 100
    told(judge_star(lives), scenario)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_star_over_tcp_keeps_its_promises_under_faults(tmp_path: Path, network: Network, seed: int) -> None:
    with Scenario(tmp_path, seed, network) as scenario:
        star(scenario)
        scenario.see_work()
        for _ in range(FAULTS):
            do_harm(scenario, (*CUTS, *CUTS, *PROCESS))
        lives = scenario.end()
    assert delivered(lives) > 100
    told(judge_star(lives), scenario)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_mesh_over_ipc_keeps_its_promises_under_faults(tmp_path: Path, seed: int) -> None:
    with Scenario(tmp_path, seed) as scenario:
        mesh(scenario)
        scenario.see_work()
        for _ in range(FAULTS):
            do_harm(scenario, PROCESS)
        lives = scenario.end()
    assert sum(isinstance(entry, Handled) for life in lives for entry in life.entries) > 100
    told(judge_mesh(lives), scenario)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_mesh_over_tcp_keeps_its_promises_under_faults(tmp_path: Path, network: Network, seed: int) -> None:
    with Scenario(tmp_path, seed, network) as scenario:
        mesh(scenario)
        scenario.see_work()
        for _ in range(FAULTS):
            do_harm(scenario, (*CUTS, *CUTS, *PROCESS))
        lives = scenario.end()
    assert sum(isinstance(entry, Handled) for life in lives for entry in life.entries) > 100
    told(judge_mesh(lives), scenario)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_storm_of_restarts_leaves_nothing_behind(tmp_path: Path, seed: int) -> None:
    with Scenario(tmp_path, seed) as scenario:
        star(scenario)
        mesh(scenario)
        scenario.see_work()
        for _ in range(3 * FAULTS):
            do_harm(scenario, ("kill",), longest_ms=5)
        lives = scenario.end()
    told(judge_star(lives) + judge_mesh(lives), scenario)


def test_two_hundred_reconnects_lose_nothing_acknowledged(tmp_path: Path, network: Network) -> None:
    random = Random(SEEDS)
    with Scenario(tmp_path, SEEDS, network) as scenario:
        star(scenario)
        mesh(scenario)
        scenario.see_work()
        for _ in range(200):
            network.reset(*random.sample(sorted(scenario.ports.values()), 3))
            scenario.pass_time(random.choice((1, 5, 20)))
        scenario.see_work()
        lives = scenario.end()
    told(judge_star(lives) + judge_mesh(lives), scenario)
