"""The status object: its shape, and what it makes of counters, histograms and states in real shared files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nautilus.cli.settings import sections
from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.engines import CATALOGUE
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.config import load
from nautilus.runtime.instance import Instance, NotRunningError
from nautilus.runtime.plan import Plan, ProcessSpec, make_plan
from nautilus.runtime.states import READY, SEEN, PlatformState, ProcessState
from nautilus.runtime.status import (
    FOLLOWER,
    cpu_seconds,
    follower_of,
    health_of,
    latency_of,
    memory_mib,
    plain,
    read_facts,
    read_status,
    star_of,
)

# The shape that checks rely on, as the architecture has it.
ENGINE_KEYS = {
    "name", "port", "tier", "state", "pid", "uptime_seconds", "breaker", "requests", "errors", "p50_us", "p99_us",
}  # fmt: skip
STAR_KEYS = {"published", "delivered", "conflated", "gaps", "recovered", "lost"}
MESH_KEYS = {"sent", "acknowledged", "retried", "dead_lettered"}
ORDER_KEYS = {"accepted", "rejected", "filled", "cancelled", "open", "unknown"}


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    """An instance held by this process, with a plan and a state but no processes."""
    base = tempfile.mkdtemp(prefix="nau-")
    monkeypatch.setenv("XDG_RUNTIME_DIR", base)
    made = Instance.create("status", fresh_data=True)
    try:
        made.write_plan(make_plan(load(sections(), environment={}), made))
        yield made
    finally:
        made.close()
        shutil.rmtree(base)


def write_state(instance: Instance, states: dict[str, str] | None = None) -> Plan:
    plan = instance.plan()
    processes = tuple(
        ProcessState(
            spec.name,
            spec.engines,
            state=(states or {}).get(spec.name, "ready"),  # type: ignore[arg-type]
            pid=os.getpid(),
            started_ns=wall_ns() - 2_000_000_000,
            ports={engine: 10_000 + number for number, engine in enumerate(spec.engines)},
        )
        for spec in plan.processes
    )
    instance.write_state(PlatformState(os.getpid(), 0, "running", wall_ns(), True, False, processes))
    return plan


def write_counters(plan: Plan, process: str, values: dict[str, int]) -> None:
    table = Counters(64, plan.counters_of(process))
    for name, value in values.items():
        table.add(table.counter(name), value)


def test_the_object_has_every_key_of_the_architecture_and_no_other(instance: Instance) -> None:
    write_state(instance)
    found = plain(read_status(instance))
    assert set(found) == {"status", "engines", "bus", "orders", "journal"}
    assert [set(engine) for engine in found["engines"]] == [ENGINE_KEYS] * len(CATALOGUE)
    assert {name: set(values) for name, values in found["bus"].items()} == {"star": STAR_KEYS, "mesh": MESH_KEYS}
    assert set(found["orders"]) == ORDER_KEYS
    assert set(found["journal"]) == {"last_sequence", "durable_sequence"}


def test_what_belongs_to_the_journal_is_there_where_it_was_asked_for(instance: Instance) -> None:
    plan = write_state(instance)
    facts = read_facts(instance)
    assert set(follower_of(facts)) == set(FOLLOWER)
    sections = {**plan.sections, "journal": {"follower": "on"}}
    process = ProcessSpec("replica", "replica", (), 9)
    plan = msgspec.structs.replace(plan, sections=sections, processes=(*plan.processes, process))
    instance.write_plan(plan)
    write_counters(plan, "replica", {"replica.state": 2, "replica.acknowledged_sequence": 7})
    write_counters(plan, "follower", {"follower.sequence": 9, "follower.lag": 1})
    found = plain(read_status(instance))
    assert (found["follower"]["sequence"], found["follower"]["lag"]) == (9, 1)
    shown = {name: found["replica"][name] for name in ("role", "state", "acknowledged_sequence")}
    assert shown == {"role": "core", "state": "current", "acknowledged_sequence": 7}


@pytest.mark.parametrize(("process", "gauge"), [("replica", "replica.fenced_by"), ("core", "journal.fenced_by")])
def test_a_core_that_is_fenced_is_unhealthy_in_the_same_answer(instance: Instance, process: str, gauge: str) -> None:
    plan = instance.plan()
    plan = msgspec.structs.replace(plan, processes=(*plan.processes, ProcessSpec("replica", "replica", (), 9)))
    instance.write_plan(plan)
    write_state(instance)
    tables = {name: Counters(64, plan.counters_of(name)) for name in ("replica", "core")}
    for table in tables.values():
        table.set(table.gauge(READY), 1)
        table.set(table.gauge(SEEN), wall_ns() + 3_600_000_000_000)
    assert (read_status(instance).status, read_status(instance).replica["fenced_by"]) == ("healthy", 0)
    # Neither of the two has looked since: both still say that they do all of their work.
    tables[process].set(tables[process].gauge(gauge), 2)
    found = read_status(instance)
    assert (found.status, found.replica["fenced_by"]) == ("unhealthy", 2)
    assert {state.name: state.state for state in read_facts(instance).state.processes}["core"] == "not ready"


def test_before_any_process_has_counted_everything_is_zero(instance: Instance) -> None:
    write_state(instance)
    found = read_status(instance)
    assert found.status == "healthy"
    assert not any(found.orders.values())
    assert not any(found.bus["star"].values())
    assert {engine.breaker for engine in found.engines} == {"closed"}
    assert all(engine.uptime_seconds >= 2 for engine in found.engines)


def test_counters_of_all_processes_are_added_up(instance: Instance) -> None:
    plan = write_state(instance)
    write_counters(plan, "core", {"orders.accepted": 5, "orders.open": 2, "journal.last_sequence": 9, "mesh.sent": 1})
    write_counters(plan, "risk", {"engine.risk.requests": 7, "engine.risk.errors": 1, "mesh.sent": 10})
    write_counters(plan, "portfolio", {"star.delivered": 4, "star.lost": 2, "star.gaps": 1})
    found = read_status(instance)
    assert (found.orders["accepted"], found.orders["open"], found.journal["last_sequence"]) == (5, 2, 9)
    assert found.bus["mesh"]["sent"] == 11
    assert (found.bus["star"]["delivered"], found.bus["star"]["lost"], found.bus["star"]["gaps"]) == (4, 2, 1)
    risk = next(engine for engine in found.engines if engine.name == "risk")
    assert (risk.requests, risk.errors) == (7, 1)


def test_lost_is_what_lies_between_both_ends_where_that_is_more(instance: Instance) -> None:
    plan = write_state(instance)
    hub = Counters(64, plan.positions_of("marketdata"))
    reader = Counters(64, plan.positions_of("strategy"))
    for table, values in (
        (hub, {"hub.100000001.last": 50, "hub.epoch": 3}),
        (reader, {"100000001.joined": 11, "100000001.arrived": 34, "100000001.known": 44, "epoch": 3}),
    ):
        for name, value in values.items():
            table.set(table.gauge(name), value)
    # 11 to 50 were sent; of 11 to 44, which it knows of, 34 arrived; six are on their way or lost.
    assert read_status(instance).bus["star"]["lost"] == 0
    assert star_of(read_facts(instance), idle=True)["lost"] == 6
    reader.set(reader.gauge("100000001.known"), 50)
    assert read_status(instance).bus["star"]["lost"] == 6


def test_times_of_handlers_are_in_microseconds(instance: Instance) -> None:
    plan = write_state(instance)
    times = Histogram(path=f"{plan.shared}/latency.risk.risk.handle")
    for _ in range(99):
        times.record(10_000)
    times.record(900_000)
    risk = next(engine for engine in read_status(instance).engines if engine.name == "risk")
    assert risk.p50_us == pytest.approx(10, rel=0.01)
    assert risk.p99_us == pytest.approx(10, rel=0.01)
    assert latency_of(plan, "risk.handle")["max"] == pytest.approx(900, rel=0.01)


def test_histograms_of_one_kind_are_merged_over_processes(instance: Instance) -> None:
    plan = write_state(instance)
    for process, value in (("strategy", 1_000), ("trading", 3_000)):
        Histogram(path=f"{plan.shared}/latency.{process}.order_round_trip").record(value)
    assert latency_of(plan, "order_round_trip")["count"] == 2
    assert latency_of(plan, "order_round_trip", process="trading")["count"] == 1
    assert latency_of(plan, "nothing")["count"] == 0


@pytest.mark.parametrize(
    ("states", "platform", "health"),
    [
        ({"core": "ready", "risk": "ready"}, "running", "healthy"),
        ({"core": "ready", "risk": "ready"}, "stopping", "degraded"),
        ({"core": "ready", "risk": "restarting", "portfolio": "ready"}, "running", "degraded"),
        ({"core": "restarting", "risk": "ready"}, "running", "unhealthy"),
        ({"core": "ready", "risk": "starting"}, "running", "unhealthy"),
        ({"core": "ready", "risk": "starting", "follower": "ready"}, "running", "unhealthy"),
        ({"core": "ready", "risk": "ready", "follower": "restarting"}, "running", "degraded"),
        ({"standby": "ready", "follower": "ready"}, "running", "healthy"),
        ({"standby": "not ready", "follower": "ready"}, "running", "unhealthy"),
        ({}, "running", "unhealthy"),
    ],
)
def test_health_is_that_of_the_processes(states: dict[str, str], platform: str, health: str) -> None:
    processes = [ProcessState(name, (), state=state) for name, state in states.items()]  # type: ignore[arg-type]
    assert health_of(processes, platform) == health


def test_looking_at_an_instance_without_a_state_says_that_it_is_starting(instance: Instance) -> None:
    with pytest.raises(NotRunningError, match="starting or stopping"):
        read_facts(instance)


def test_load_and_memory_of_a_process_are_known_and_of_none_are_not() -> None:
    assert (memory_mib(os.getpid()) or 0) > 1
    assert (cpu_seconds(os.getpid()) or 0) > 0
    assert memory_mib(0) is None
    assert cpu_seconds(0) is None


def test_a_damaged_table_counts_as_none(instance: Instance) -> None:
    plan = write_state(instance)
    Path(plan.counters_of("core")).write_bytes(b"not a table")
    assert read_status(instance).orders["accepted"] == 0
    assert msgspec.json.decode(msgspec.json.encode(read_status(instance)))["status"] == "healthy"
