"""Urgent messages by ring and by ZeroMQ between processes that are killed: what they wrote down is judged afterwards.

Three nodes that all send to each other, in bursts of every priority; each has a ring, and takes what is in those of the
others between any two handlers. docs/bus-proof.md says what the judge looks for: nothing acknowledged is lost, nothing
is handled twice in a life or takes effect twice in any, all is in order.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nautilus.model.enums import Priority
from tests.kit.faults import Scenario, do_harm, killed
from tests.kit.history import Handled
from tests.kit.history_mesh import judge_mesh
from tests.kit.history_process import Actor

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "1"))
FAULTS = int(os.environ.get("NAUTILUS_FAULTS", "5"))
NAMES = ("a", "b", "c")


def nodes(scenario: Scenario) -> list[Actor]:
    """Three nodes over ipc, with rings."""
    endpoints = {f"{name}.{lane}": scenario.endpoint(f"{name}.{lane}") for name in NAMES for lane in "un"}
    return [
        scenario.add(
            name,
            "mesh",
            endpoints=endpoints,
            peers=[other for other in NAMES if other != name],
            burst=6,
            deadline_ms=0,
            rings=str(scenario.directory),
        )
        for name in NAMES
    ]


def by_ring(actor: Actor) -> int:
    """Urgent messages that its present life had from rings."""
    return int(actor.ask("urgent").split()[0])


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEEDS))
def test_urgent_messages_by_both_ways_are_neither_lost_nor_doubled_when_processes_are_killed(
    tmp_path: Path, seed: int
) -> None:
    with Scenario(tmp_path, seed) as scenario:
        actors = nodes(scenario)
        for _ in range(FAULTS):
            scenario.wait_until(lambda: all(by_ring(actor) > 20 for actor in actors), "messages by ring")
            do_harm(scenario, ("kill", "kill", "stop"), longest_ms=50)
        # Each once more, so that every ring has had a second writer, and readers that were there before.
        for actor in actors:
            with killed(scenario, actor):
                pass
            scenario.wait_until(
                lambda actor=actor: by_ring(actor) > 5, f"messages by ring in the new life of {actor.name}"
            )
            scenario.wait_until(lambda: all(by_ring(each) > 5 for each in actors), "messages by ring")
        copies = sum(int(actor.ask("urgent").split()[2]) for actor in actors)
        lives = scenario.end()
    handled = [entry for life in lives for entry in life.entries if isinstance(entry, Handled)]
    assert sum(entry.priority <= Priority.URGENT for entry in handled) > 100
    assert copies > 0
    violations = judge_mesh(lives)
    assert not violations, f"seed {seed}, after {scenario.done}:\n" + "\n".join(map(str, violations[:20]))
