"""The bus falls back to Redis, which fails too; what its processes wrote down, and what is in Redis, is judged.

TCP in a network of the test's own that is cut, two redis-servers beside it. docs/bus-proof.md says what is promised.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from perf.network import Network
from tests.integration.test_bus_history import SEEDS, delivered, told
from tests.kit.faults import Scenario, cut, killed, stopped
from tests.kit.history import Epoch, Handled
from tests.kit.history_mesh import judge_mesh
from tests.kit.history_scenes import Fallen
from tests.kit.history_star import judge_star
from tests.kit.network import network_or_skip

MANY = "NAUTILUS_SEEDS" in os.environ
CASES = [
    ("everysec", "kill"),
    *([("no", "stop"), ("no", "kill"), ("always", "kill"), ("always", "stop")] if MANY else []),
]
"""What the servers keep, all that `bus.redis_append` has, and how they fail."""


@pytest.fixture
def network() -> Iterator[Network]:
    yield from network_or_skip()


def came(lives: list[Epoch]) -> int:
    """Records or messages, of which there were fewer."""
    return min(delivered(lives), sum(isinstance(entry, Handled) for life in lives for entry in life.entries))


def fail_under_way(fallen: Fallen, failing: str) -> None:
    """While all goes over Redis: its servers fail, and a process or two beside them."""
    scenario, random = fallen.scenario, fallen.scenario.random
    with ExitStack() as gone:
        for bus in fallen.servers:
            gone.enter_context(fallen.without(bus, failing))
        if random.random() < 0.5:
            actor = random.choice(sorted(scenario.actors.values(), key=lambda each: each.name))
            kind = random.choice((killed, stopped))
            scenario.done.append(f"{kind.__name__} {actor.name}")
            gone.enter_context(kind(scenario, actor))
        else:
            fallen.until_paths(("stale", "local"))
        scenario.pass_time(random.choice((1, 100, 400)))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEEDS if MANY else 1))
@pytest.mark.parametrize(("appendonly", "failing"), CASES)
def test_both_buses_fall_back_to_a_redis_that_fails_too(
    tmp_path: Path, network: Network, seed: int, appendonly: str, failing: str
) -> None:
    with ExitStack() as stack:
        scenario = stack.enter_context(Scenario(tmp_path, seed, network))
        fallen = Fallen(scenario, stack, appendonly)
        scenario.see_work()
        for _ in range(3 if MANY else 1):
            kind = scenario.random.choice(("partition", "to server", "to client"))
            scenario.done.append(kind)
            with cut(scenario, network, list(scenario.ports.values()), kind):
                fallen.until_paths(("redis",))
                scenario.see_work()
                fail_under_way(fallen, failing)
                fallen.until_paths(("redis",))
                scenario.see_work()
            fallen.until_paths(("zmq",))
        lives = scenario.end()
        found = fallen.judge()
    assert came(lives) > 100
    told(judge_star(lives) + judge_mesh(lives) + found, scenario)
