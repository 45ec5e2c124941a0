"""Traces of two routes over time, balancers that are told what came of their choices, and how much each wastes.

Requests come at an even rate and overlap: what is under way is known to a balancer, what it took only at its end. The
latency of both routes is drawn beforehand for every request, so that all balancers meet the same.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

from nautilus.core import route
from nautilus.core.route import Routes

REQUESTS = 4000
STEP_NS = 1_000_000
HALF_LIFE_NS = 10_000_000_000
MS = 1_000_000
FAILURE_NS = 100 * MS
"""What a failed request costs beside its time: its client has to ask again."""


class Balancer(Protocol):
    """Chooses one of two routes."""

    def choose(self, now_ns: int) -> int:
        """Route of a request that begins."""
        ...

    def done(self, way: int, latency_ns: int, ok: bool, now_ns: int) -> None:
        """It has ended."""
        ...


class Learning:
    """The table of routes."""

    def __init__(self, seed: int) -> None:
        self._table = Routes(2, seed=seed, half_life_ns=HALF_LIFE_NS)
        self._targets = [self._table.target("engine", "", "instance", way) for way in (0, 1)]

    def choose(self, now_ns: int) -> int:
        packed = self._table.decide(0, now_ns, route.IDEMPOTENT | route.PREFER_DIRECT)
        target = packed & route.TARGET_MASK
        self._table.begin(target)
        return self._targets.index(target)

    def done(self, way: int, latency_ns: int, ok: bool, now_ns: int) -> None:
        self._table.end(self._targets[way])
        self._table.record(self._targets[way], latency_ns, ok, now_ns)


class RoundRobin:
    """One after the other."""

    def __init__(self, seed: int) -> None:
        self._next = seed & 1

    def choose(self, now_ns: int) -> int:
        self._next ^= 1
        return self._next

    def done(self, way: int, latency_ns: int, ok: bool, now_ns: int) -> None:
        """It does not matter."""


class LeastOfTwo:
    """The power of two choices: of two routes picked at random, the one with fewer requests under way."""

    def __init__(self, seed: int) -> None:
        self._chance = np.random.default_rng(seed)
        self._flying = [0, 0]

    def choose(self, now_ns: int) -> int:
        first, second = self._chance.integers(0, 2, 2)
        way = int(second if self._flying[second] < self._flying[first] else first)
        self._flying[way] += 1
        return way

    def done(self, way: int, latency_ns: int, ok: bool, now_ns: int) -> None:
        self._flying[way] -= 1


class PeakEwma:
    """As Finagle has it: an average that rises at once and falls with time, times the requests under way, plus one."""

    DECAY_NS = 10e9

    def __init__(self, seed: int) -> None:
        self._flying = [0, 0]
        self._cost = [0.0, 0.0]
        self._at = [0, 0]
        self._turn = seed & 1

    def choose(self, now_ns: int) -> int:
        loads = [self._load(way, now_ns) for way in (0, 1)]
        self._turn ^= 1
        way = self._turn if loads[0] == loads[1] else int(loads[1] < loads[0])
        self._flying[way] += 1
        return way

    def done(self, way: int, latency_ns: int, ok: bool, now_ns: int) -> None:
        self._flying[way] -= 1
        self._observe(way, float(latency_ns if ok else latency_ns + FAILURE_NS), now_ns)

    def _observe(self, way: int, value: float, now_ns: int) -> None:
        weight = math.exp(-max(0, now_ns - self._at[way]) / self.DECAY_NS)
        self._at[way] = now_ns
        self._cost[way] = value if value > self._cost[way] else self._cost[way] * weight + value * (1 - weight)

    def _load(self, way: int, now_ns: int) -> float:
        self._observe(way, 0.0, now_ns)
        if self._cost[way] == 0.0 and self._flying[way]:
            return 1e18 + self._flying[way]
        return self._cost[way] * (self._flying[way] + 1)


BALANCERS: dict[str, Callable[[int], Balancer]] = {
    "learning": Learning,
    "round robin": RoundRobin,
    "P2C, fewest in flight": LeastOfTwo,
    "peak EWMA": PeakEwma,
}


class Trace:
    """One story: expected milliseconds and share of failures of both routes at each request."""

    def __init__(
        self, name: str, levels: np.ndarray, *, spread: float = 0.3, failures: np.ndarray | None = None, tail: float = 0
    ) -> None:
        self.name = name
        self.levels = levels
        self._spread = spread
        self.failures = np.zeros_like(levels) if failures is None else failures
        self._tail = tail

    def draw(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """(latency in ns, whether it succeeds) of each request on each route."""
        chance = np.random.default_rng(seed)
        noise = chance.lognormal(-(self._spread**2) / 2, self._spread, self.levels.shape)
        if self._tail:
            slow = chance.random(self.levels.shape) < self._tail
            noise = np.where(slow, noise * 20, noise) / (1 + 19 * self._tail)
        return (self.levels * noise * MS).astype(np.int64), chance.random(self.levels.shape) >= self.failures

    @property
    def costs_ms(self) -> np.ndarray:
        """Expected cost of each route at each request."""
        return self.levels + self.failures * FAILURE_NS / MS


def traces() -> list[Trace]:
    """The fixed set."""
    at = np.arange(REQUESTS)
    ones = np.ones(REQUESTS)

    def pair(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.stack([first, second], axis=1)

    half = at < REQUESTS // 2
    third = (at > REQUESTS // 3) & (at < 2 * REQUESTS // 3)
    return [
        Trace("steady, 1 and 3 ms", pair(ones, 3 * ones)),
        Trace("steady, 5 and 6 ms", pair(5 * ones, 6 * ones)),
        Trace("step, 10 x slower for good", pair(np.where(half, 2.0, 20.0), 5 * ones)),
        Trace("step, 10 x slower for a while", pair(np.where(third, 20.0, 2.0), 5 * ones)),
        Trace("step, the other one 10 x faster", pair(5 * ones, np.where(half, 20.0, 2.0))),
        Trace("flapping every 500", pair(np.where(at // 500 % 2, 20.0, 2.0), 6 * ones)),
        Trace("drift", pair(2 + 8 * at / REQUESTS, 10 - 8 * at / REQUESTS)),
        Trace("waves", pair(6 + 4 * np.sin(at / 200), 6 - 4 * np.sin(at / 200))),
        Trace("wide, 2 and 4 ms", pair(2 * ones, 4 * ones), spread=1.0),
        Trace("1 % twenty times slower", pair(2 * ones, 4 * ones), tail=0.01),
        Trace(
            "faster, and every fifth fails",
            pair(2 * ones, 6 * ones),
            failures=pair(np.where(half, 0.0, 0.2), np.zeros(REQUESTS)),
        ),
    ]


def regret_ms(trace: Trace, balancer: Balancer, seed: int) -> float:
    """Mean of what a request cost more than it would have on the better route, by expectation, in milliseconds."""
    latencies, succeeds = trace.draw(seed)
    costs = trace.costs_ms
    best = costs.min(axis=1)
    ends: list[tuple[int, int, int]] = []
    regret = 0.0
    for number in range(len(costs)):
        now_ns = 10**9 + number * STEP_NS
        while ends and ends[0][0] <= now_ns:
            end_ns, asked, way = heapq.heappop(ends)
            balancer.done(way, int(latencies[asked, way]), bool(succeeds[asked, way]), end_ns)
        way = balancer.choose(now_ns)
        heapq.heappush(ends, (now_ns + int(latencies[number, way]), number, way))
        regret += costs[number, way] - best[number]
    return regret / len(costs)
