"""The access pattern of all engines, through the real hub and without it, against a real server that counts."""

from __future__ import annotations

import asyncio

from tests.kit.access_pattern import ENGINES, access_pattern, digest
from tests.kit.access_replay import replay
from tests.kit.data_child import KINDS, LineSource
from tests.kit.data_server import DataServer

FETCHED = 1_500
"""Of the trace, without the hub: enough that each engine has asked each provider."""


def test_the_trace_is_the_one_that_is_described():
    trace = access_pattern()
    assert digest(trace) == "5d422844eeeaa127"
    assert {asked.engine for asked in trace} == set(ENGINES)
    assert len({(asked.engine, asked.question.source) for asked in trace}) == 96


def test_ninety_of_a_hundred_questions_are_hits_and_eight_connections_do():
    found = replay(access_pattern())
    counts = found.counts
    assert sum(counts[name] for name in ("hits", "stale", "negative", "misses", "joined")) == found.questions
    assert found.hit_rate >= 0.9
    assert counts["hits"] >= 0.6 * found.questions  # not stale either
    assert found.requests < 0.4 * found.questions
    assert counts["prefetch_used"] >= 0.9 * counts["prefetched"] > 0
    assert (found.connections, found.open_now) == (8, 8)


def test_without_the_hub_the_same_trace_makes_ninety_six_connections():
    trace, server = access_pattern()[:FETCHED], DataServer(rows=1)

    async def run() -> None:
        clients = {
            (engine, name): LineSource(name, kinds, server.address)
            for engine in ENGINES
            for name, kinds in KINDS.items()
        }
        await asyncio.gather(*(clients[asked.engine, asked.question.source].fetch(asked.question) for asked in trace))
        for client in clients.values():
            await client.close()

    try:
        asyncio.run(run())
        assert server.accepted == 96
        assert sum(server.calls.values()) == FETCHED
    finally:
        server.close()
