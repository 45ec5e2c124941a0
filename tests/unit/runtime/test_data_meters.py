"""Counters of the door to data providers, as its process writes them and as `nautilus status` reads them."""

from __future__ import annotations

from msgspec.structs import replace

from nautilus.core.counters import Counters
from nautilus.model.datasets import DataKind, ProviderState
from nautilus.runtime.data_meters import MOST_SOURCES, DataMeters, data_status

FRED = ProviderState("fred", "ready", (DataKind.ECONOMIC,), calls=5, errors=1, day_left=95, day_limit=100, cost=0.25)


def test_a_status_says_nothing_where_nothing_was_asked():
    counters = Counters()
    DataMeters(counters)
    assert data_status(counters.snapshot()) == {}


def test_a_status_has_what_was_counted():
    counters = Counters()
    meters = DataMeters(counters)
    for name, count in (("hits", 6), ("stale", 2), ("negative", 1), ("misses", 1), ("joined", 2)):
        meters.add(name, count)
    meters.note((replace(FRED, state="limited"),))
    meters.show(7, 1_000, 1, 0)
    found = data_status(counters.snapshot())
    assert found["hit_rate"] == 0.75
    assert (found["hits"], found["entries"], found["bytes"]) == (6, 7, 1_000)
    assert found["sources"]["fred"] == {
        "calls": 5, "errors": 1, "not_modified": 0, "joined": 0, "day_left": 95, "day_limit": 100, "connections": 0,
        "state": "limited", "cost": 0.25,
    }  # fmt: skip
    assert meters.states((FRED,)).hit_rate == 0.75


def test_counts_of_a_provider_go_on_where_a_new_process_begins_at_zero():
    counters = Counters()
    meters = DataMeters(counters)
    meters.note((FRED,))
    meters.note((replace(FRED, calls=7, connections=1),))
    meters.restart()
    assert counters.snapshot()["source.fred.connections"] == 0
    meters.note((replace(FRED, calls=2, errors=0),))
    assert counters.snapshot()["source.fred.calls"] == 9
    assert counters.snapshot()["source.fred.errors"] == 1
    assert counters.snapshot()["source.fred.cost_milli"] == 500
    [told] = meters.states((replace(FRED, calls=2, errors=0, connections=3),)).sources
    assert (told.calls, told.errors, told.cost, told.connections) == (9, 1, 0.5, 0)
    assert (told.day_left, told.state) == (95, "ready")


def test_questions_that_joined_are_counted_for_their_provider_too():
    counters = Counters()
    meters = DataMeters(counters)
    meters.join("strange")  # nobody knows it
    meters.note((FRED, replace(FRED, name="edgar")))
    meters.join("fred")
    meters.join("fred")
    meters.restart()
    found = meters.states((FRED, replace(FRED, name="edgar"), replace(FRED, name="late", joined=0)))
    assert (found.joined, [source.joined for source in found.sources]) == (3, [2, 0, 0])
    assert "source.strange.joined" not in counters.snapshot()


def test_names_of_providers_are_bounded():
    counters = Counters()
    meters = DataMeters(counters)
    meters.note([replace(FRED, name=f"s{number}") for number in range(MOST_SOURCES + 20)])
    assert sum(name.endswith(".calls") for name in counters.snapshot()) == MOST_SOURCES
