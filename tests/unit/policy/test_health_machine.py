"""Hypothesis drives the health of instances, and ejections, beside naive twins that keep the whole story.

`make machines` takes many more, and 10^6 by chance from seeds.
"""

from __future__ import annotations

import random

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nautilus.policy.health import Check, Ejections, HealthSettings, HealthState, InstanceHealth, Seen, Traffic
from tests.kit.naive_health import NaiveEjections, NaiveHealth
from tests.kit.steps import live, seeds, told

STEPS = 10_000
SECOND_NS = 1_000_000_000
NAMES = ("a", "b", "c", "d")

some_settings = st.builds(
    HealthSettings,
    bad_checks=st.integers(1, 4),
    poor_checks=st.integers(1, 4),
    good_checks=st.integers(1, 4),
    clear_checks=st.integers(1, 4),
    eject_share_percent=st.sampled_from([0.0, 34.0, 50.0, 100.0]),
)
requests = st.sampled_from([0, 19, 20, 100])
periods = st.builds(
    lambda requests, share, p95_ms: Traffic(requests, int(requests * share), 0, p95_ms * 1_000_000),
    requests,
    st.sampled_from([0.0, 0.1, 0.3, 1.0]),
    st.sampled_from([0, 1, 2, 50]),
)


class HealthAndTwin(RuleBasedStateMachine):
    @initialize(chosen=some_settings)
    def open(self, chosen: HealthSettings) -> None:
        self.health, self.twin = InstanceHealth(chosen), NaiveHealth(chosen)
        self.now_ns = 10**12

    @rule(
        seen=st.sampled_from(Seen),
        step_ms=st.sampled_from([0, 1, 1500, 30_000, -5000]),
        latency_ms=st.sampled_from([1, 100, 101, 5000]),
        load=st.sampled_from([-1.0, 50.0, 91.0]),
        uptime=st.sampled_from([-1.0, 0.0, 1.0, 30.0, 3600.0]),
        instance=st.sampled_from(["", "", "7", "8"]),
    )
    def check(self, seen: Seen, step_ms: int, latency_ms: int, load: float, uptime: float, instance: str) -> None:
        self.now_ns += step_ms * 1_000_000
        check = Check(self.now_ns, latency_ms * 1_000_000, seen, "", load, uptime, instance)
        before = self.health.state
        found = self.health.on_check(check)
        assert found.after == self.twin.on_check(check)
        assert found.before == before
        assert found.changed == (before != found.after)

    @rule(requests=requests, share=st.sampled_from([0.0, 0.05, 0.06, 1.0]))
    def traffic(self, requests: int, share: float) -> None:
        failures = int(requests * share)
        self.health.on_traffic(requests, failures)
        self.twin.traffic_percent = 100.0 * (requests - failures) / requests if requests else 100.0

    @invariant()
    def same(self) -> None:
        assert self.health.state == self.twin.state
        assert self.health.consecutive_failures == self.twin.failures_running
        assert self.health.success_percent == self.twin.success_percent
        assert self.health.restarts == self.twin.restarts


class EjectionsAndTwin(RuleBasedStateMachine):
    @initialize(chosen=some_settings, count=st.integers(1, 4))
    def open(self, chosen: HealthSettings, count: int) -> None:
        self.names = NAMES[:count]
        self.ejections, self.twin = Ejections(chosen), NaiveEjections(chosen, self.names)
        self.ejections.set_instances(self.names)
        self.settings = chosen
        self.now_ns = 10**12

    @rule(step_seconds=st.sampled_from([0, 1, 5, 10, 60, 1000]))
    def wait(self, step_seconds: int) -> None:
        self.now_ns += step_seconds * SECOND_NS

    @rule(name=st.sampled_from(NAMES), failures=st.integers(0, 10))
    def failed(self, name: str, failures: int) -> None:
        found = self.ejections.failed(name, failures, self.now_ns)
        due = failures >= self.settings.eject_failures and name in self.names
        assert found == (due and self.twin.eject(name, self.now_ns))

    @rule(traffic=st.dictionaries(st.sampled_from(NAMES), periods))
    def judge(self, traffic: dict[str, Traffic]) -> None:
        own = {name: each for name, each in traffic.items() if name in self.names}
        assert self.ejections.judge(traffic, self.now_ns).keys() == self.twin.judge(own, self.now_ns)

    @invariant()
    def same(self) -> None:
        out = self.ejections.out(self.now_ns).keys()
        assert out == self.twin.out(self.now_ns)
        assert len(out) <= max(1, len(self.names) * self.settings.eject_share_percent / 100)
        assert len(self.names) > 1 or not out


def test_health_and_twin_live_the_same_life() -> None:
    live(HealthAndTwin, "health", 80)


def test_ejections_and_twin_live_the_same_life() -> None:
    live(EjectionsAndTwin, "ejections", 80)


def test_health_and_twin_agree_over_many_looks() -> None:
    changes = 0
    runs = seeds(STEPS)
    for seed in runs:
        chance = random.Random(seed)
        chosen = HealthSettings(bad_checks=chance.randint(1, 3), good_checks=chance.randint(1, 3))
        health, twin = InstanceHealth(chosen), NaiveHealth(chosen)
        now_ns = 10**12
        for _ in range(STEPS):
            now_ns += chance.choice((10**6, 10**9, 30 * 10**9))
            seen = chance.choices(list(Seen), (60, 20, 15, 5))[0]
            uptime = chance.choice((-1.0, (now_ns - 10**12) / 1e9, 0.5))
            instance = chance.choice(("", "", "1", "2"))
            check = Check(now_ns, chance.choice((10**6, 10**9)), seen, "", -1.0, uptime, instance)
            changes += health.on_check(check).changed
            assert health.state == twin.on_check(check)
            twin.looks = twin.looks[-16:]
            twin.answered = twin.answered[-4096:]
            twin.instances = twin.instances[-2:]
    assert changes > len(runs) * 100
    told("health", len(runs) * STEPS, runs)


def test_a_clock_that_is_set_back_keeps_nobody_out_for_longer() -> None:
    ejections = Ejections()
    ejections.set_instances(("a", "b"))
    assert ejections.failed("a", 5, 10**15)
    assert ejections.out(10**15 + 4 * SECOND_NS).keys() == {"a"}
    assert ejections.out(SECOND_NS).keys() == {"a"}  # a second of the five is left
    assert not ejections.out(2 * SECOND_NS)


def test_health_of_a_clock_that_is_set_back_goes_on() -> None:
    health = InstanceHealth()
    assert health.on_check(Check(10**15, 1, Seen.GOOD, uptime_seconds=5.0)).after == HealthState.HEALTHY
    assert not health.on_check(Check(10**12, 1, Seen.BAD, "late")).restarted
    assert health.on_check(Check(10**12, 1, Seen.BAD, "late")).after == HealthState.UNHEALTHY
    assert health.last_ns == 10**15
