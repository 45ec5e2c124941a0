"""Hypothesis drives a concurrency limit of several workers and its naive twin through the same life.

`make machines` takes many more, and 10^6 by chance from seeds.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from nautilus.core.limiter import DROPPED, FAILED, LEFT_OUT, SAMPLED, Limiter, Limiters, LimiterSettings
from tests.kit.naive_limiter import Call, NaiveLimiter
from tests.kit.steps import live, seeds, told

STEPS = 10_000
MILLISECOND = 1_000_000
WORKERS = 3
OUTCOMES = (SAMPLED, SAMPLED, SAMPLED, FAILED, DROPPED, LEFT_OUT)

shares = st.sampled_from([(2000, 1000, 800, 600), (1000, 1000, 1000, 1000), (1500, 700, 300, 1)])
some_settings = st.builds(
    lambda least, more, first, **others: LimiterSettings(
        least=least, first=min(least + first, 512), most=min(least + first + more, 512), **others
    ),
    least=st.integers(1, 4),
    first=st.integers(0, 20),
    more=st.integers(0, 500),
    window_ns=st.sampled_from([0, MILLISECOND, 50 * MILLISECOND]),
    least_samples=st.integers(0, 20),
    base_every_ns=st.sampled_from([0, 20 * MILLISECOND, 1000 * MILLISECOND]),
    target_ns=st.sampled_from([0, 0, 5 * MILLISECOND]),
    shares=shares,
    fixed=st.sampled_from([0, 0, 0, 1]),
)


@pytest.fixture(autouse=True)
def quick_collections() -> Iterator[None]:
    """A worker that ends is collected at once: what was there before the test need not be looked at each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Group:
    """Workers that share a limit through a file, and its twin."""

    def __init__(self, chosen: LimiterSettings, path: Path) -> None:
        self.path = path
        self.twin = NaiveLimiter(chosen)
        self.workers: list[Limiter] = []
        for _ in range(WORKERS):
            self.workers.append(Limiters(2, path).limiter("x"))
        self.workers[0].set_settings(chosen)
        self.held: list[tuple[int, int, Call]] = []
        self.gone: list[tuple[int, int, Call]] = []
        self.now_ns = 10**12

    def acquire(self, worker: int, priority: int) -> None:
        self.now_ns += 1_100  # two tickets of one slot and one instant are the same
        expected = self.twin.acquire(worker, priority, self.now_ns)
        found = self.workers[worker].acquire(priority, self.now_ns)
        if isinstance(expected, Call):
            assert found >= 0
            self.held.append((worker, found, expected))
        else:
            assert found == expected

    def release(self, at: int, how: int) -> None:
        self.gone = [*self.gone[-20:], self.held.pop(at)]
        self.again(-1, how)

    def again(self, at: int, how: int) -> None:
        """Of a call that has ended before, unless it is the last one."""
        worker, ticket, call = self.gone[at]
        assert self.workers[worker].release(ticket, self.now_ns, how) == self.twin.release(call, self.now_ns, how)

    def leave(self, worker: int) -> None:
        """A worker ends with all that it has under way; another one comes in its stead."""
        del self.workers[worker]
        gc.collect()
        self.workers.insert(worker, Limiters(2, self.path).limiter("x"))
        self.twin.leave(worker)
        self.held = [each for each in self.held if each[0] != worker]
        self.gone = [each for each in self.gone if each[0] != worker]

    def configure(self, chosen: LimiterSettings) -> None:
        self.workers[0].set_settings(chosen)
        self.twin.settings = chosen

    def same(self, worker: int = 0) -> None:
        found, twin = self.workers[worker].metrics(), self.twin
        assert found.limit == twin.limit / 1000
        assert (found.under_way, self.workers[worker].held()) == (len(twin.calls), len(twin.calls))
        assert (found.base_us, found.last_us, found.windows) == (twin.base_us, twin.last_us, twin.windows)
        assert (list(found.admitted), list(found.shed)) == (twin.admitted, twin.shed)


class LimiterAndTwin(RuleBasedStateMachine):
    @initialize(chosen=some_settings)
    def open(self, chosen: LimiterSettings) -> None:
        self.place = TemporaryDirectory(prefix="nautilus-limiter-")
        self.group = Group(chosen, Path(self.place.name, "limiters"))

    def teardown(self) -> None:
        if hasattr(self, "place"):
            self.place.cleanup()

    @rule(worker=st.integers(0, WORKERS - 1), priority=st.integers(0, 3), count=st.integers(1, 40))
    def acquire(self, worker: int, priority: int, count: int) -> None:
        for _ in range(count):
            self.group.acquire(worker, priority)

    @precondition(lambda self: self.group.held)
    @rule(
        at=st.integers(0, 1 << 20),
        how=st.sampled_from(OUTCOMES),
        count=st.integers(1, 40),
        step_us=st.integers(0, 5000),
    )
    def release(self, at: int, how: int, count: int, step_us: int) -> None:
        for _ in range(min(count, len(self.group.held))):
            self.group.now_ns += step_us * 1000
            self.group.release(at % len(self.group.held), how)

    @precondition(lambda self: self.group.gone)
    @rule(at=st.integers(0, 20), how=st.sampled_from(OUTCOMES))
    def release_again(self, at: int, how: int) -> None:
        self.group.again(at % len(self.group.gone), how)

    @rule(step_ns=st.sampled_from([0, 1, MILLISECOND, 50 * MILLISECOND, 10**10, 10**11, -MILLISECOND, -(10**11)]))
    def wait(self, step_ns: int) -> None:
        self.group.now_ns = max(self.group.now_ns + step_ns, 10**9)

    @rule(worker=st.integers(0, WORKERS - 1))
    def leave(self, worker: int) -> None:
        self.group.leave(worker)

    @rule(chosen=some_settings)
    def configure(self, chosen: LimiterSettings) -> None:
        self.group.configure(chosen)

    @invariant()
    def the_same(self) -> None:
        for worker in range(WORKERS):
            self.group.same(worker)


def test_limit_and_twin_live_the_same_life() -> None:
    live(LimiterAndTwin, "limiter", 25)


def test_limit_and_twin_agree_over_many_calls(tmp_path: Path) -> None:
    windows = sheds = 0
    runs = seeds(STEPS)
    for seed in runs:
        chance = random.Random(seed)
        chosen = LimiterSettings(
            first=chance.choice([1, 4, 20]),
            most=chance.choice([20, 100, 512]),
            window_ns=chance.choice([1, 10]) * MILLISECOND,
            base_every_ns=chance.choice([0, 100, 1000]) * MILLISECOND,
            target_ns=chance.choice([0, 0, 3]) * MILLISECOND,
        )
        group = Group(chosen, tmp_path / str(seed))
        capacity, dropped = chance.choice([2, 10, 60]), chance.choice([0.0, 0.0, 0.002])
        for step in range(STEPS):
            # What it takes grows with what is under way beyond the capacity of the callee.
            slow = max(1.0, len(group.held) / capacity)
            if chance.random() < 0.6:
                group.acquire(chance.randrange(WORKERS), chance.choices(range(4), (1, 3, 3, 3))[0])
            elif group.held:
                group.now_ns += int(chance.expovariate(1.0) * MILLISECOND * slow / max(len(group.held), 1))
                how = DROPPED if chance.random() < dropped else chance.choices((SAMPLED, FAILED), (50, 1))[0]
                group.release(chance.randrange(min(len(group.held), 3)), how)
            if chance.random() < 0.0005:
                group.leave(chance.randrange(WORKERS))
            if step % 20 == 0:
                group.same(step % WORKERS)
        group.same()
        windows += group.twin.windows
        sheds += sum(group.twin.shed)
    assert windows > len(runs) * 5
    assert sheds > len(runs) * 100
    told("limiter", len(runs) * STEPS, runs)
