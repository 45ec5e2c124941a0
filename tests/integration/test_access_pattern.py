"""The access pattern of all engines, through the real hub and without it, against a real server that counts."""

from __future__ import annotations

from tests.kit.access_pattern import ENGINES, access_pattern, digest
from tests.kit.access_replay import replay

SECONDS = 120
"""Of the trace that are replayed: a nightly pull is in it; `python -m tests.kit.access_replay` replays all of it."""


def test_the_trace_is_the_one_that_is_described():
    trace = access_pattern()
    assert digest(trace) == "5d422844eeeaa127"
    assert {asked.engine for asked in trace} == set(ENGINES)
    assert len({(asked.engine, asked.question.source) for asked in trace}) == 96


def test_ninety_of_a_hundred_questions_are_hits_and_eight_connections_do():
    found = replay([asked for asked in access_pattern() if asked.at_ns < SECONDS * 10**9])
    counts = found.counts
    assert sum(counts[name] for name in ("hits", "stale", "negative", "misses", "joined")) == found.questions
    assert found.hit_rate >= 0.9
    assert counts["hits"] >= 0.6 * found.questions  # not stale either
    assert found.requests < 0.4 * found.questions
    assert counts["prefetch_used"] >= 0.9 * counts["prefetched"] > 0
    assert (found.connections, found.open_now) == (8, 8)
