"""The urgent lane of live hosts: alerts through shared memory, once each, with rings switched off, and after a kill."""

from pathlib import Path

import msgspec
import pytest

from nautilus.engines.base import Engine
from nautilus.model.alerts import RiskAlert
from nautilus.model.topics import RISK_ALERTS
from nautilus.runtime.plan import Plan
from nautilus.runtime.urgent import ring_place
from tests.kit.live_host import VENUE, RunningHost, Venue, eventually, make_plan, short_directory

PROCESSES = VENUE | {"risk": ("risk",), "strategy": ("strategy",)}


class Alarm(Engine):
    """Says what it is told to, as risk."""

    name = "risk"
    publishes = (RISK_ALERTS,)


class Listener(Engine):
    """Notes the alerts that it hears."""

    name = "strategy"
    subscribes = (RISK_ALERTS,)

    def __init__(self):
        self.heard = []

    def on_alert(self, alert, ctx):
        self.heard.append(alert.value)


class Pair:
    """A venue, risk and strategy."""

    def __init__(self, directory, **bus):
        self.plan = make_plan(directory, PROCESSES, sections={"bus": bus})
        self.venue = Venue(self.plan)
        self.hosts = []
        try:
            self.strategy = self.start("strategy", Listener)
            self.risk = self.start("risk", Alarm)
        except BaseException:
            self.stop()
            raise

    def start(self, name, engine):
        host = RunningHost(self.plan, name, {name: engine})
        self.hosts.append(host)
        return host.ready(60)

    def alert(self, value):
        context = self.risk.host.contexts["risk"]
        self.risk.do(lambda: self.risk.host.messages.publish(context, RiskAlert(0, 1, 1, 1, "position", value, 100)))

    def heard(self):
        return self.strategy.engine("strategy").heard

    def follows(self, host, peer):
        ring = host.host.mesh.urgent_ring
        return eventually(lambda: host.do(lambda: peer in ring.followed))

    def stop(self):
        for host in self.hosts:
            host.stop()
        self.venue.stop()


@pytest.fixture
def started():
    pairs = []
    with short_directory() as directory:

        def start(**bus):
            pairs.append(Pair(directory, **bus))
            return pairs[-1]

        yield start
        for pair in pairs:
            pair.stop()


def test_alerts_come_through_shared_memory_and_are_heard_once(started):
    pair = started()
    pair.alert(0)
    eventually(lambda: pair.heard() == [0])
    assert pair.follows(pair.strategy, "risk")
    for number in range(1, 51):
        pair.alert(number)
    mesh = pair.strategy.host.mesh
    eventually(lambda: mesh.urgent_by_ring + mesh.urgent_by_zmq >= 51)
    eventually(lambda: pair.risk.host.mesh.peers()["strategy"].pending == 0)
    assert pair.heard() == list(range(51))
    assert mesh.urgent_by_ring > 0
    counters = eventually(
        lambda: (found := pair.strategy.host.counters.snapshot()).get("mesh.urgent_by_ring") and found
    )
    assert counters["mesh.urgent_by_ring"] <= mesh.urgent_by_ring
    shown = eventually(lambda: (view := pair.strategy.host.outlook.bus["urgent"])["by_ring"] and view)
    assert shown["ring"]
    assert "risk" in shown["followed"]


def test_what_came_by_zeromq_is_not_overtaken_by_what_waits_in_the_ring(started):
    pair = started()
    pair.alert(0)
    eventually(lambda: pair.heard() == [0])
    assert pair.follows(pair.strategy, "risk")
    host = pair.strategy.host
    mesh, messages = host.mesh, host.messages

    def hear():
        ring, mesh._ring = mesh._ring, None
        found = []
        for number in (1, 2, 3):
            pair.alert(number)
        eventually(lambda: found.extend(mesh.receive(urgent=True)) or len(found) == 3)
        mesh._ring = ring
        for number in (4, 5, 6):
            pair.alert(number)
        eventually(lambda: ring.waiting)
        messages.take_all(found)

    pair.strategy.do(hear)
    eventually(lambda: len(pair.heard()) == 7)
    assert pair.heard() == list(range(7))


def test_without_the_rings_alerts_come_over_zeromq_alone(started):
    pair = started(urgent_ring=False)
    for number in range(20):
        pair.alert(number)
    eventually(lambda: pair.heard() == list(range(20)))
    assert pair.strategy.host.mesh.urgent_ring is None
    assert pair.strategy.host.mesh.urgent_by_ring == 0
    assert pair.strategy.host.mesh.urgent_by_zmq >= 20
    assert eventually(lambda: pair.strategy.host.outlook.bus["urgent"])["ring"] is False
    assert not list(Path(pair.plan.shared).glob("urgent.*"))


def test_a_host_that_never_sleeps_finds_alerts_in_its_ring(started):
    pair = started(wake="spin")
    pair.alert(0)
    eventually(lambda: pair.heard() == [0])
    assert pair.follows(pair.strategy, "risk")
    for number in range(1, 11):
        pair.alert(number)
        eventually(lambda number=number: pair.heard()[-1] == number)
    assert pair.heard() == list(range(11))
    assert pair.strategy.host.mesh.urgent_by_ring > 0


def test_a_new_life_of_the_sender_is_heard_through_its_new_ring(started):
    pair = started()
    pair.alert(1)
    eventually(lambda: pair.heard() == [1])
    pair.risk.kill()
    pair.hosts.remove(pair.risk)
    pair.risk = pair.start("risk", Alarm)
    pair.alert(2)
    eventually(lambda: pair.heard() == [1, 2])
    ring = pair.strategy.host.mesh.urgent_ring
    epoch = pair.risk.host.mesh.epoch
    eventually(lambda: pair.strategy.do(lambda: dict(ring._attached)["risk"].epoch == epoch))
    before = pair.strategy.host.mesh.urgent_by_ring
    for number in range(3, 23):
        pair.alert(number)
    eventually(lambda: pair.heard() == list(range(1, 23)))
    assert pair.strategy.host.mesh.urgent_by_ring > before


def test_the_rings_of_processes_on_other_hosts_and_of_clients_have_no_place(directory_plan):
    plan = directory_plan
    assert ring_place(plan, "risk") == f"{plan.shared}/urgent.risk.ring"
    assert ring_place(plan, "core") == f"{plan.shared}/urgent.core.ring"
    assert ring_place(plan, "client.notebook") is None
    assert ring_place(plan, "strategy") is None


class _Afar(Plan, frozen=True):
    def endpoint(self, process, lane="n"):
        return "tcp://192.0.2.1:9000" if process == "strategy" else super().endpoint(process, lane)


@pytest.fixture
def directory_plan():
    with short_directory() as directory:
        plan = make_plan(directory, PROCESSES)
        yield _Afar(**{field: getattr(plan, field) for field in plan.__struct_fields__})


def test_a_directory_that_takes_no_ring_is_said_and_the_host_starts(started, caplog, monkeypatch):
    from nautilus.runtime import urgent

    monkeypatch.setattr(urgent, "ring_place", lambda plan, process: f"{plan.shared}/absent/urgent.{process}.ring")
    pair = started()
    pair.alert(1)
    eventually(lambda: pair.heard() == [1])
    assert pair.strategy.host.mesh.urgent_ring is None
    assert sum("no urgent ring" in record.message for record in caplog.records) == len(PROCESSES)
    assert msgspec.json.encode(pair.strategy.host.outlook.bus["urgent"])
