"""The small operations that everything else is made of, timed from C on one thread.

Map cases keep a set of live keys of a given size: each step finds a random live key, deletes it and puts a new one, so
a lookup, a backward shift and an insertion are in each. Keys are ids in sequence, as order ids are, or random.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from perf.harness import Report, check, cores, pinned
from perf.native import loops

SUMMARY = "histogram, counter, clock, pool and hash map, one operation each"
STEPS = 1_000_000
MAP_CASES = (("sequence", 10_000), ("sequence", 1_000_000), ("random", 10_000), ("random", 1_000_000))


def run(report: Report) -> None:
    """One figure for each operation."""
    core = cores()[-1]
    report.conditions["pinning"] = f"core {core}"
    chance = np.random.default_rng(1)
    latencies = chance.lognormal(7, 1, STEPS).astype(np.int64)
    picks = chance.integers(0, 10_000, STEPS).astype(np.uint32)
    with pinned(core):
        _measure(report, "histogram: record of a latency", lambda: loops().histogram_records(latencies), 2 * STEPS, 10)
        _measure(report, "counter: increment, stored", lambda: loops().counter_increments(STEPS), STEPS)
        _measure(report, "clock: reading", lambda: loops().clock_reads(STEPS), None)
        for name, once, expected, goal in (
            ("pool: give one of 10,000 of 32 bytes and take", loops().pool_pairs, 10_000, 2.0),
            ("malloc: free one of 10,000 of 32 bytes and malloc", loops().malloc_pairs, 10_000, None),
            ("the loop of both, alone", loops().empty_pairs, 10_000, None),
        ):
            _measure(report, name, lambda once=once: once(10_000, picks), expected, goal)  # type: ignore[misc]
        for keys, live in MAP_CASES:
            what, ids = map_steps(keys, live, STEPS // 2, chance)
            _measure(
                report,
                f"map: find, delete, put; {live:,} live, ids {keys}",
                lambda what=what, ids=ids, live=live: _map(live, what, ids),  # type: ignore[misc]
                live,
                steps=STEPS // 2,
            )
    report.checks.append("counts, values and map contents after each run are what they must be")


def map_steps(keys: str, live: int, steps: int, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Operations (0 find, 1 put, 2 delete) and keys: `live` puts, then find, delete, put for each step."""
    count = live + steps
    ids = np.arange(1, count + 1, dtype=np.uint64)
    if keys == "random":
        ids = np.unique(chance.integers(1, 1 << 63, count * 2, dtype=np.uint64))
        ids = chance.permutation(ids)[:count]
    places = chance.integers(0, live, steps)
    held = np.arange(live)
    victims = np.empty(steps, np.int64)
    for step, place in enumerate(places):
        victims[step] = held[place]
        held[place] = live + step
    triples = np.stack([ids[victims], ids[victims], ids[live:]], axis=1)
    what = np.concatenate([np.ones(live, np.uint8), np.tile(np.array([0, 2, 1], np.uint8), steps)])
    return what, np.concatenate([ids[:live], triples.ravel()])


def _map(live: int, what: np.ndarray, ids: np.ndarray) -> tuple[int, int]:
    nanos, left, met = loops().map_operations(2 * live, what, ids, live)
    check(met == 2 * (len(ids) - live) // 3, f"map: {met} finds and deletes met their key")
    return nanos, left


def _measure(
    report: Report,
    name: str,
    once: Callable[[], tuple[int, int]],
    expected: int | None,
    goal: float | None = None,
    steps: int = STEPS,
) -> None:
    def repeat() -> float:
        nanos, result = once()
        check(expected is None or result == expected, f"{name}: {result}, expected {expected}")
        return nanos / steps

    report.measure(name, "ns", repeat, goal=goal, lower_is_better=True)
