"""The registry over real sockets: register, watch, restart, fence; with keys over TCP."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from nautilus.bus.keys import new_process
from nautilus.bus.registry import Change, Entry, Verdict
from nautilus.bus.registry_service import Notice, Op, RegistryClient, RegistryError, RegistryService, Request
from nautilus.bus.security import Security
from nautilus.bus.sockets import BusContext, make_context
from nautilus.core.clock import now_ns

SECOND = 1_000_000_000
LEASE_NS, BEAT_NS = 400_000_000, 20_000_000


class Bus:
    """Services and clients of one test, and their turns."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.members: list[Any] = []
        self._stack = stack
        self.kept: list[Any] = []

    def context(self, security: Security | None = None) -> BusContext:
        context = make_context(security)
        self._stack.callback(context.destroy, 0)
        return context

    def service(
        self, name: str = "a", epoch: int = 10, *, context: BusContext | None = None, **options: Any
    ) -> RegistryService:
        endpoint = options.pop("endpoint", f"ipc://{self.directory}/{name}.registry")
        made = RegistryService(
            context or self.context(), endpoint, epoch=epoch, lease_ns=LEASE_NS, beat_ns=BEAT_NS, **options
        )
        return self._keep(made)

    def client(
        self, name: str, *hubs: str, epoch: int = 5, context: BusContext | None = None, **options: Any
    ) -> RegistryClient:
        found = options.pop("entry", Entry(name, "here", {"n": f"ipc://{self.directory}/{name}.n"}, epoch))
        places = hubs or (f"ipc://{self.directory}/a.registry",)
        made = RegistryClient(context or self.context(), places, found, name=name, beat_ns=BEAT_NS, **options)
        return self._keep(made)

    def stop(self, member: Any) -> None:
        self.members.remove(member)
        member.close()

    def until(self, condition: Callable[[], object]) -> None:
        end_ns = now_ns() + 60 * SECOND
        while not condition():
            assert now_ns() < end_ns, "it did not come about"
            for member in self.members:
                member.poll(now_ns())
            zmq.zmq_poll([], 1)

    def _keep(self, member: Any) -> Any:
        self.members.append(member)
        self.kept.append(member)
        return member


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with ExitStack() as stack:
        made = Bus(tmp_path, stack)
        yield made
        for member in made.members:
            member.close()


def test_who_registers_is_found_by_the_others(bus) -> None:
    service = bus.service()
    changes: list[Change] = []
    a, b = bus.client("a"), bus.client("b", on_change=changes.append)
    bus.until(lambda: len(a.entries()) == len(b.entries()) == 2)
    assert a.lookup("b").endpoints == {"n": f"ipc://{bus.directory}/b.n"}
    assert {change.process for change in changes} == {"a", "b"}
    assert a.registered
    assert not a.silent
    assert a.hub_epoch == service.epoch
    with pytest.raises(RegistryError, match=r"no process 'c'; expected one of a, b"):
        a.lookup("c")


def test_what_changes_before_the_first_answer_has_come_is_registered_too(bus) -> None:
    service = bus.service()
    client = bus.client("a", entry=None)
    first, then = (Entry("a", "here", {"n": f"ipc://{bus.directory}/{name}"}, 5) for name in ("first", "then"))
    client.change(first)
    client.poll(now_ns())
    bus.members.remove(client)  # it hears of nothing meanwhile
    bus.until(lambda: service.table.lookup("a") == first)
    client.change(then)
    bus.members.append(client)
    bus.until(lambda: service.table.lookup("a") == then)


def test_who_leaves_is_told_at_once_and_who_falls_silent_when_the_lease_ends(bus) -> None:
    bus.service()
    changes: list[Change] = []
    watcher = bus.client("w", entry=None, on_change=changes.append)
    a, b = bus.client("a"), bus.client("b")
    bus.until(lambda: len(watcher.entries()) == 2)
    a.leave()
    bus.stop(a)
    bus.until(lambda: len(watcher.entries()) == 1)
    bus.stop(b)
    bus.until(lambda: not watcher.entries())
    assert [(change.process, change.entry is None) for change in changes[-2:]] == [("a", True), ("b", True)]


def test_beats_go_on_where_the_clock_was_set_back(bus) -> None:
    service, risk = bus.service(), bus.client("risk")
    bus.until(lambda: risk.registered)
    back_ns = now_ns() - 3_600 * SECOND
    for each in (service, risk):
        assert (each.poll(back_ns) - back_ns) // (1_800 * SECOND) == 0, "soon, by the clock as it is now"
    assert service.table.lookup("risk") is not None


def test_a_restarted_registry_is_whole_again_by_the_next_beats(bus) -> None:
    service = bus.service(epoch=10)
    changes: list[Change] = []
    clients = [bus.client(name, on_change=changes.append) for name in "abcd"]
    bus.until(lambda: all(len(client.entries()) == 4 for client in clients))
    bus.stop(service)
    service = bus.service(epoch=11)
    bus.until(lambda: len(service.table) == 4 and all(client.hub_epoch == 11 for client in clients))
    bus.until(lambda: all(len(client.entries()) == 4 for client in clients))


def test_a_later_life_fences_the_earlier_one(bus) -> None:
    bus.service()
    old = bus.client("a", epoch=5)
    bus.until(lambda: old.registered)
    new = bus.client("a", epoch=6)
    bus.until(lambda: new.registered)
    again = bus.client("a", epoch=5)
    bus.until(lambda: again.fenced)
    watcher = bus.client("w", entry=None)
    bus.until(lambda: watcher.entries())
    assert watcher.lookup("a").epoch == 6


def test_the_active_hub_with_the_highest_epoch_is_believed(bus) -> None:
    hubs: list[tuple[int, str]] = []
    fenced: list[int] = []
    old = bus.service("a", 10, on_higher=fenced.append)
    spare = bus.service("b", 3, active=False)
    places = tuple(f"ipc://{bus.directory}/{name}.registry" for name in "ab")
    client = bus.client("c", *places, on_hub=lambda *hub: hubs.append(hub))
    bus.until(lambda: client.registered and len(spare.table) == 1)
    assert hubs == [(10, places[0])]
    # It takes over; the one before goes on as if nothing were.
    spare.epoch, spare.active = 11, True
    bus.until(lambda: client.hub_epoch == 11 and client.registered)
    assert hubs[-1] == (11, places[1])
    bus.until(lambda: fenced and client.ignored)
    assert max(fenced) == 11
    assert old.epoch == 10


def test_changes_that_got_lost_are_fetched(bus) -> None:
    service = bus.service()
    a = bus.client("a")
    bus.until(lambda: a.registered and len(a.entries()) == 1)
    service._told = service.table.number + 1  # as if it had been told
    service.table.register(Entry("quiet", "h", {}, 1), now_ns() + 3600 * SECOND)
    bus.until(lambda: len(a.entries()) == 2)


@pytest.fixture
def keyed(bus: Bus) -> Callable[[str], BusContext]:
    for name in ("hub", "risk", "strategy"):
        new_process(bus.directory, name, ("send:fence",) if name == "risk" else (), 1)

    def context(name: str) -> BusContext:
        return bus.context(Security.load(name, bus.directory))

    return context


def _over_tcp(bus: Bus, context: BusContext, service: RegistryService, name: str, **options: Any) -> RegistryClient:
    context.security.expect(service.endpoints[0], "hub")
    entry = options.pop("entry", Entry(name, "far", {}, 5, context.security.own().public))
    return bus.client(name, service.endpoints[0], context=context, entry=entry, **options)


def test_over_tcp_a_process_registers_itself_and_nobody_else(bus, keyed) -> None:
    service = bus.service(context=keyed("hub"), endpoint="tcp://127.0.0.1:*")
    risk = _over_tcp(bus, keyed("risk"), service, "risk")
    bus.until(lambda: risk.registered)
    thief = _over_tcp(bus, keyed("strategy"), service, "risk", entry=Entry("risk", "x", {}, 9))
    liar = _over_tcp(bus, keyed("strategy"), service, "strategy", entry=Entry("strategy", "x", {}, 9, "k" * 40))
    bus.until(lambda: service.refused >= 2)
    assert not thief.registered
    assert not liar.registered
    assert [each.process for each in service.table.entries()] == ["risk"]


def test_over_tcp_only_who_may_fences_a_hub(bus, keyed) -> None:
    fenced: list[int] = []
    service = bus.service(context=keyed("hub"), endpoint="tcp://127.0.0.1:*", on_higher=fenced.append)
    strategy = _over_tcp(bus, keyed("strategy"), service, "strategy")
    bus.until(lambda: strategy.registered)
    strategy.hub_epoch = 99
    taken = service.table.number
    risk = _over_tcp(bus, keyed("risk"), service, "risk")
    bus.until(lambda: service.table.number > taken and risk.registered)
    assert fenced == []
    risk.hub_epoch = 77
    bus.until(lambda: fenced)
    assert set(fenced) == {77}


def test_whatever_comes_the_service_and_the_client_go_on(bus) -> None:
    chance = random.Random(7)
    service = bus.service()
    good = msgspec.msgpack.encode(Request(Op.REGISTER, "x", 1, 0, -1, Entry("x", "h", {"n": "y"}, 1)))
    line = bus.context().socket(zmq.DEALER)
    bus.kept.append(line)
    line.connect(service.endpoints[0])
    for _ in range(300):
        junk = bytearray(good)
        for _ in range(chance.randint(0, 4)):
            junk[chance.randrange(len(junk))] = chance.randrange(256)
        line.send_multipart([bytes(junk[: chance.randint(0, len(junk))]), *([b"more"] * chance.randrange(2))])
    line.send(good)
    bus.until(lambda: service.table.lookup("x") or service.malformed > 280)
    assert service.malformed
    client = bus.client("c")
    notice = msgspec.msgpack.encode(Notice(Op.TABLE, 1, True, 1, Verdict.OK, (), (Entry("x", "h", {}, 1),)))
    for _ in range(300):
        junk = bytearray(notice)
        junk[chance.randrange(len(junk))] = chance.randrange(256)
        client._take(client._lines[0], bytes(junk[: chance.randint(0, len(junk))]), 1)
    assert client.malformed
    client.hub_epoch = client._lines[0].hub_epoch = 0
    bus.until(lambda: client.registered)
