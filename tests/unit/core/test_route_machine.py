"""Hypothesis drives the table of routes and its naive twin through the same life and compares all they show.

`make machines` takes many more, and 10^6 by chance from seeds.
"""

from __future__ import annotations

import random

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nautilus.core import route
from nautilus.core.route import Routes
from tests.kit.naive_route import NaiveRoutes
from tests.kit.steps import live, seeds, told

STEPS = 10_000

engines = st.sampled_from(["risk", "ml"])
classes = st.sampled_from(["read", "write"])
names = st.sampled_from(["a", "b", "c", "d", "e"])
regions = st.sampled_from(["", "", "eu", "us"])
flags = st.integers(0, 63).filter(lambda value: value & 3 != 3)
latencies = st.sampled_from([0, -5, 1, 255, 256, 1000, 1 << 50]) | st.integers(10**5, 10**8)
steps_ns = st.sampled_from([0, 1, 10**6, 10**6, 10**8, 10**10, 10**12, -1, -(10**10), -(10**13)])
KEYS = ("samples", "expected_ns", "deviation_ns", "peak_ns", "p50_ns", "p95_ns", "p99_ns", "in_flight")


class Pair:
    """A table and its twin."""

    def __init__(self, region: str, half_life_ns: int, seed: int) -> None:
        self.table = Routes(64, region=region, half_life_ns=half_life_ns, seed=seed)
        self.twin = NaiveRoutes(region=region, half_life_ns=half_life_ns, seed=seed)
        self.now_ns = 10**15

    def target(self, engine: str, endpoint_class: str, name: str, way: int) -> None:
        made = self.table.target(engine, endpoint_class, name, way)
        assert made == self.twin.target(engine, endpoint_class, name, way)

    def instance(self, engine: str, name: str, region: str) -> None:
        assert self.table.instance(engine, name, region) == self.twin.instance(engine, name, region)

    def decide(self, group: int, flags: int) -> None:
        found = self.table.decide(group, self.now_ns, flags)
        assert found == self.twin.decide(group, self.now_ns, flags)

    def record(self, number: int, latency_ns: int, ok: bool) -> None:
        self.table.record(number, latency_ns, ok, self.now_ns)
        self.twin.record(number, latency_ns, ok, self.now_ns)

    def health(self, number: int, state: int) -> None:
        self.table.set_health(number, state, self.now_ns)
        self.twin.set_health(number, state, self.now_ns)

    def compare(self, number: int) -> None:
        found, naive = self.table.read(number), self.twin.targets[number]
        shown = (naive.samples, naive.expected, naive.deviation, naive.peak)
        shown += (naive.quantile(500), naive.quantile(950), naive.quantile(990), naive.in_flight)
        assert tuple(found[key] for key in KEYS) == shown
        assert found["weight"] * 256 == naive.weight
        assert found["failure_share"] == naive.share / 1024
        assert found["confidence"] == naive.confidence / 100
        assert (found["requests"], found["failures"]) == (naive.requests, naive.failures)
        assert self.table.quantiles(number) == naive.quantiles

    def traffic(self, number: int) -> None:
        own = [target for target in self.twin.targets if target.instance == number]
        assert self.table.traffic(number) == (
            sum(target.requests for target in own),
            sum(target.failures for target in own),
            max((target.running for target in own), default=0),
            max((target.quantiles[1] for target in own), default=0),
            sum(target.in_flight for target in own),
        )


class TableAndTwin(RuleBasedStateMachine):
    """Few engines, classes and instances, so that all of them meet."""

    @initialize(
        region=regions, half_life_ns=st.sampled_from([10**6 + 1, 10**9, 10**10]), seed=st.integers(1, (1 << 64) - 1)
    )
    def open(self, region: str, half_life_ns: int, seed: int) -> None:
        self.pair = Pair(region, half_life_ns, seed)
        self.touched = 0
        for way in (0, 1):
            self.pair.target("risk", "read", "a", way)

    def number(self, data: st.DataObject) -> int:
        self.touched = data.draw(st.integers(0, len(self.pair.twin.targets) - 1))
        return self.touched

    @rule(engine=engines, endpoint_class=classes, name=names, way=st.sampled_from([0, 1]))
    def target(self, engine: str, endpoint_class: str, name: str, way: int) -> None:
        self.pair.target(engine, endpoint_class, name, way)

    @rule(engine=engines, name=names, region=regions)
    def instance(self, engine: str, name: str, region: str) -> None:
        self.pair.instance(engine, name, region)

    @rule(data=st.data(), flags=flags, count=st.integers(1, 60))
    def decide(self, data: st.DataObject, flags: int, count: int) -> None:
        group = data.draw(st.integers(0, len(self.pair.twin.groups) - 1))
        for _ in range(count):
            self.pair.decide(group, flags)

    @rule(data=st.data(), latency_ns=latencies, ok=st.booleans(), count=st.integers(1, 40), step_ns=steps_ns)
    def record(self, data: st.DataObject, latency_ns: int, ok: bool, count: int, step_ns: int) -> None:
        number = self.number(data)
        for _ in range(count):
            self.pair.now_ns += max(step_ns, 0) // count
            self.pair.record(number, latency_ns, ok)

    @rule(step_ns=steps_ns)
    def wait(self, step_ns: int) -> None:
        self.pair.now_ns = max(self.pair.now_ns + step_ns, 10**14)

    @rule(data=st.data(), count=st.integers(1, 5))
    def begin(self, data: st.DataObject, count: int) -> None:
        number = self.number(data)
        for _ in range(count):
            self.pair.table.begin(number)
            self.pair.twin.begin(number)

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        number = self.number(data)
        self.pair.table.end(number)
        self.pair.twin.end(number)

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        number = self.number(data)
        self.pair.table.forget(number)
        self.pair.twin.forget(number)

    @rule(data=st.data(), state=st.integers(0, 4))
    def health(self, data: st.DataObject, state: int) -> None:
        self.pair.health(data.draw(st.integers(0, len(self.pair.twin.instances) - 1)), state)

    @invariant()
    def same(self) -> None:
        self.pair.compare(self.touched)
        self.pair.traffic(self.pair.twin.targets[self.touched].instance)


def test_table_and_twin_live_the_same_life() -> None:
    live(TableAndTwin, "routes", 60)


def test_table_and_twin_agree_over_many_requests() -> None:
    runs = seeds(STEPS)
    for seed in runs:
        chance = random.Random(seed)
        pair = Pair(chance.choice(["", "eu"]), chance.choice([10**8, 10**9, 10**10]), seed + 1)
        for engine, endpoint_class in (("risk", "read"), ("risk", "write"), ("ml", "read")):
            for name in "abcd"[: chance.randint(1, 4)]:
                pair.instance(engine, name, chance.choice(["", "eu", "us"]))
                for way in (0, 1):
                    pair.target(engine, endpoint_class, name, way)
        level = [chance.uniform(10**5, 10**7) for _ in pair.twin.targets]
        for step in range(STEPS):
            pair.now_ns += chance.choice((10**4, 10**6, 10**6, 10**8))
            group = chance.randrange(3)
            chosen = chance.choice((0, 0, 12, 12, 4, 16, 32, 1, 2))
            pair.decide(group, chosen)
            number = chance.randrange(len(level))
            if chance.random() < 0.002:
                level[number] *= chance.choice((0.1, 10))
            if chance.random() < 0.01:
                pair.health(chance.randrange(len(pair.twin.instances)), chance.randrange(5))
            if chance.random() < 0.2:
                flies = chance.random() < 0.6
                for each in (pair.table, pair.twin):
                    (each.begin if flies else each.end)(number)  # type: ignore[attr-defined]
            pair.record(number, int(level[number] * chance.lognormvariate(0, 0.5)), chance.random() < 0.95)
            if step % 50 == 0:
                pair.compare(number)
                pair.traffic(pair.twin.targets[number].instance)
        for number in range(len(level)):
            pair.compare(number)
    told("routes", len(runs) * STEPS, runs)


def test_a_decision_holds_the_largest_expected_latency() -> None:
    table = Routes(2)
    target = table.target("risk", "", "a", 0)
    table.record(target, 1 << 50, True, 1)
    packed = table.decide(0, 1, route.DIRECT)
    assert packed > 0
    assert packed >> route.LATENCY_SHIFT == (1 << 36) - 1
