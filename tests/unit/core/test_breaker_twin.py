"""Hypothesis drives the breaker and its naive twin through the same life, step by step.

`make machines` takes many more, and 10^6 by chance from seeds.
"""

from __future__ import annotations

import random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nautilus.core.breaker import Breakers, BreakerSettings
from tests.kit.naive_breaker import NaiveBreaker, Ticket
from tests.kit.steps import live, seeds, told

STEPS = 5_000
MILLISECOND = 1_000_000

SETTINGS = st.builds(
    BreakerSettings,
    failures=st.integers(0, 5),
    failure_permille=st.sampled_from([0, 300, 500, 1000]),
    slow_permille=st.sampled_from([0, 400, 1000]),
    slow_ns=st.sampled_from([0, 5 * MILLISECOND, 50 * MILLISECOND]),
    least_calls=st.integers(1, 8),
    window_calls=st.integers(0, 12),
    window_ns=st.sampled_from([0, 160 * MILLISECOND, 1600 * MILLISECOND]),
    recovery_ns=st.sampled_from([10 * MILLISECOND, 100 * MILLISECOND]),
    backoff_permille=st.sampled_from([0, 1000, 1500, 2000]),
    most_recovery_ns=st.sampled_from([100 * MILLISECOND, 400 * MILLISECOND]),
    successes=st.integers(0, 4),
    probes=st.integers(0, 6),
    probe_ns=st.sampled_from([0, 30 * MILLISECOND]),
    bulkhead=st.integers(0, 6),
    cancelled_fails=st.integers(0, 1),
)
OUTCOMES = st.integers(0, 5)


class Pair:
    """A breaker and its twin; after each step both show the same."""

    def __init__(self, chosen: BreakerSettings) -> None:
        self.breaker = Breakers(1).breaker("x", chosen)
        self.twin = NaiveBreaker(chosen)
        self.twin.place_last = lambda lost: max(lost, key=lambda each: self.places[each])  # type: ignore[method-assign]
        self.held: list[tuple[int, Ticket]] = []
        self.places: dict[Ticket, int] = {}
        self.now_ns = 7_000_000_000

    def wait(self, milliseconds: int) -> None:
        self.now_ns += milliseconds * MILLISECOND

    def acquire(self) -> None:
        self.now_ns += 1_100  # two tickets of one place and one instant are the same
        expected = self.twin.acquire(self.now_ns)
        found = self.breaker.acquire(self.now_ns)
        if isinstance(expected, Ticket):
            assert found >= 0
            self.held.append((found, expected))
            self.places[expected] = found & 0xFFF
        else:
            assert found == expected

    def release(self, at: int, outcome: int, *, again: bool) -> None:
        """A call ends; with `again` its ticket is kept, to be given back once more."""
        ticket, its_twin = self.held[at % len(self.held)]
        if not again:
            self.held.remove((ticket, its_twin))
        found = self.breaker.release(ticket, self.now_ns, outcome)
        assert found == self.twin.release(its_twin, self.now_ns, outcome)

    def force(self, what: str) -> None:
        by_hand = {
            "forced-open": self.breaker.force_open,
            "disabled": self.breaker.disable,
            "closed": self.breaker.reset,
        }
        by_hand[what](self.now_ns)
        self.twin.force(what)

    def compare(self) -> None:
        twin, shown = self.twin, self.breaker.metrics(self.now_ns)
        actual = "half-open" if twin.state == "open" and self.now_ns >> 18 >= twin.until else twin.state
        assert (shown.state, shown.changes) == (actual, twin.number)
        assert (shown.calls, shown.slow, shown.late) == (twin.calls, twin.slow, twin.late)
        assert [shown.failures, shown.timeouts, shown.cancelled, shown.ignored, shown.overloaded] == twin.outcomes[1:]
        assert shown.in_flight == len(twin.slots) + sum(how == "held" for how in twin.probes.values())
        assert [
            shown.rejected_open, shown.rejected_half_open, shown.rejected_bulkhead, shown.rejected_forced
        ] == twin.rejected[1:]  # fmt: skip

    def compare_causes(self) -> None:
        told = self.breaker.changes(max(self.twin.number - 16, 0))
        assert [change.cause for change in told] == self.twin.causes[-16:]


class BreakerAndTwin(RuleBasedStateMachine):
    @initialize(chosen=SETTINGS)
    def open(self, chosen: BreakerSettings) -> None:
        self.pair = Pair(chosen)

    @rule(milliseconds=st.integers(0, 60))
    def wait(self, milliseconds: int) -> None:
        self.pair.wait(milliseconds)

    @rule(count=st.integers(1, 8))
    def acquire(self, count: int) -> None:
        for _ in range(count):
            self.pair.acquire()
            self.pair.compare()

    @precondition(lambda self: self.pair.held)
    @rule(at=st.integers(0, 60), outcome=OUTCOMES, count=st.integers(1, 8), again=st.booleans())
    def release(self, at: int, outcome: int, count: int, again: bool) -> None:
        for _ in range(min(count, len(self.pair.held))):
            self.pair.release(at, outcome, again=again)
            self.pair.compare()

    @rule(what=st.sampled_from(["forced-open", "disabled", "closed"]))
    def force(self, what: str) -> None:
        self.pair.force(what)

    @invariant()
    def the_same(self) -> None:
        self.pair.compare()
        self.pair.compare_causes()


def test_breaker_and_twin_live_the_same_life() -> None:
    live(BreakerAndTwin, "breaker", 150)


def test_breaker_and_twin_agree_over_thousands_of_steps() -> None:
    runs = seeds(STEPS, 4)
    for seed in runs:
        assert run(seed) > 0
    told("breaker", len(runs) * STEPS, runs)


def run(seed: int) -> int:
    """Steps by chance; how often the state changed."""
    chance = random.Random(seed)
    chosen = BreakerSettings(
        failures=chance.choice([0, 2, 5]),
        failure_permille=chance.choice([0, 300, 600]),
        slow_permille=chance.choice([0, 400, 1000]),
        slow_ns=chance.choice([0, 5, 50]) * MILLISECOND,
        least_calls=chance.randint(1, 20),
        window_calls=chance.choice([0, 7, 100]),
        window_ns=chance.choice([0, 160, 1600]) * MILLISECOND,
        recovery_ns=chance.choice([10, 100]) * MILLISECOND,
        backoff_permille=chance.choice([1000, 2000]),
        most_recovery_ns=400 * MILLISECOND,
        successes=chance.randint(1, 4),
        probes=chance.randint(0, 6),
        probe_ns=chance.choice([0, 30]) * MILLISECOND,
        bulkhead=chance.choice([0, 3, 50]),
        cancelled_fails=chance.randint(0, 1),
    )
    bad = chance.random() * 0.6
    pair = Pair(chosen)
    for _ in range(STEPS):
        kind = chance.random()
        outcome, amount = chance.randint(1, 5) if chance.random() < bad else 0, chance.randint(0, 60)
        if kind < 0.002:
            pair.force(chance.choice(["forced-open", "disabled", "closed", "closed"]))
        elif kind < 0.42:
            pair.acquire()
        elif kind >= 0.85:
            pair.wait(amount)
        elif pair.held:
            pair.release(amount, outcome, again=amount % 10 == 0)
        pair.compare()
    pair.compare_causes()
    return pair.twin.number
