"""The bus over two hosts with a cable between them that is cut; what its processes wrote down is judged.

Two network namespaces, addresses of their own, TCP with keys. The hub and one node of the mesh are on one host, another
node on the other; readers and the third node on both. docs/bus-proof.md says what is promised.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from perf.network import Cable
from tests.integration.test_bus_history import FAULTS, PROCESS, SEEDS, delivered, told
from tests.kit.faults import CABLE_CUTS, Scenario, cut, do_harm
from tests.kit.history import Epoch, Handled
from tests.kit.history_mesh import judge_mesh
from tests.kit.history_scenes import make_keys, mesh, star
from tests.kit.history_star import judge_star
from tests.kit.network import cable_or_skip

HOSTS = {"far": 1, "plain": 1, "b": 1}
MANY = "NAUTILUS_SEEDS" in os.environ
READERS = ("near", "far", "plain")


@pytest.fixture
def cable() -> Iterator[Cable]:
    yield from cable_or_skip()


def come_up(scenario: Scenario) -> None:
    """Star and mesh over both hosts, all of it with keys."""
    keys = make_keys(scenario, READERS)
    star(scenario, READERS, hub={"keys": keys}, reader={"keys": keys})
    mesh(scenario, keys=keys)
    scenario.see_work()


def judge(lives: list[Epoch], scenario: Scenario) -> None:
    assert delivered(lives) > 100
    assert sum(isinstance(entry, Handled) for life in lives for entry in life.entries) > 100
    told(judge_star(lives) + judge_mesh(lives), scenario)


@pytest.mark.parametrize("kind", ["partition", *(["to client", "to server", "loss", "unplug"] if MANY else [])])
def test_a_cable_that_is_cut_and_mended_costs_nothing(tmp_path: Path, cable: Cable, kind: str) -> None:
    with Scenario(tmp_path, SEEDS, cable, HOSTS) as scenario:
        come_up(scenario)
        for milliseconds in (60, 700):
            scenario.done.append(f"{kind} {milliseconds} ms")
            with cut(scenario, cable, (), kind):
                scenario.pass_time(milliseconds)
            scenario.see_work()
        lives = scenario.end()
    judge(lives, scenario)


@pytest.mark.skipif(not MANY, reason="make history runs it")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_bus_over_two_hosts_keeps_its_promises_under_faults(tmp_path: Path, cable: Cable, seed: int) -> None:
    with Scenario(tmp_path, seed, cable, HOSTS) as scenario:
        come_up(scenario)
        for _ in range(FAULTS):
            do_harm(scenario, (*CABLE_CUTS, *CABLE_CUTS, *PROCESS))
        lives = scenario.end()
    judge(lives, scenario)
