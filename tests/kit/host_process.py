"""A hub or a member of a bus over TCP with keys: ``python -m tests.kit.host_process KEYS NAME ADDRESS HUB``.

The one whose NAME is `hub` publishes quotes at HUB_PORT of its address. A member registers with it, reads its star, and
asks every other member that the registry names, again and again. What it has seen is a line of JSON on standard output
now and then. When standard input is closed it leaves: it says so, and answers on until nobody waits for it.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import zmq

from nautilus.bus import DeadLetter, Mesh, MessageKind, Subscriber
from nautilus.bus.hosts import Hosts
from nautilus.bus.keys import new_process
from nautilus.bus.permissions import Permissions
from nautilus.bus.registry import Change, Entry
from nautilus.bus.registry_service import RegistryClient
from nautilus.bus.security import Security
from nautilus.bus.sockets import make_context
from nautilus.bus.standby_hub import Hub, HubPlaces
from nautilus.core.clock import now_ns
from nautilus.core.types import QUOTE
from nautilus.model.codec import to_msgpack
from nautilus.model.queries import GetPositions
from nautilus.model.topics import QUOTES
from tests.kit.host_program import HostProgram

HUB, HUB_PORT, PORT = "hub", 7_000, 7_100
SECOND = 1_000_000_000
LINGER_NS = SECOND // 2
TOLD_NS = SECOND // 20
MEMBERS = ("a", "b", "c")


def make_all_keys(directory: str) -> None:
    """Keys of the hub and of each member."""
    new_process(directory, HUB, (), 1)
    for name in MEMBERS:
        new_process(directory, name, ("send:ask", "send:fence", "read:marketdata.*"), 1)


class HostProcess(HostProgram):
    """The program on a host."""

    def __init__(self, command: list[str], keys: str, name: str, address: str, hub: str) -> None:
        super().__init__(command, "tests.kit.host_process", keys, name, address, hub)


class Line:
    """Standard input, whose end is an order."""

    def __init__(self) -> None:
        os.set_blocking(0, False)
        self._poller = zmq.Poller()
        self._poller.register(0, zmq.POLLIN)

    def closed(self) -> bool:
        """Whether it was closed; it waits for a millisecond."""
        return bool(self._poller.poll(1)) and not os.read(0, 4096)


def run_hub(keys: str, address: str) -> None:
    """Publish until told to end."""
    context = make_context(Security.load(HUB, keys))
    places = HubPlaces((f"tcp://{address}:{HUB_PORT}",), (f"tcp://{address}:{HUB_PORT + 2}",))
    assert context.security is not None
    context.security.expect(places.registry[0], HUB)
    hub = Hub(context, HUB, places, epoch=now_ns(), clock=now_ns)
    quotes, line = np.zeros(1, QUOTE), Line()
    while not line.closed():
        for instrument in range(1, 4):
            quotes["instrument_id"] = instrument
            hub.publish(quotes)
        hub.poll(now_ns())
        context.refresh()
    hub.close()
    context.destroy(0)


class Member:
    """A process of the bus."""

    def __init__(self, keys: str, name: str, address: str, hub: str) -> None:
        security = Security.load(name, keys)
        self.name = name
        self.context = make_context(security)
        star, replay, registry = (f"tcp://{hub}:{HUB_PORT + each}" for each in range(3))
        for place in (star, replay, registry):
            security.expect(place, HUB)
        place, epoch = f"{address}:{PORT + 2 * MEMBERS.index(name)}", now_ns()
        self.gone: list[str] = []
        self.answers: dict[str, int] = {}
        self.letters: list[str] = []
        self.gaps = self.unknown = self.delivered = self.mesh_gaps = 0
        given = {name: place}
        self.hosts = Hosts(name, lambda process, lane: "", given, security=security)
        lanes = {lane: self.hosts.bound(lane)[0] for lane in "nu"}
        entry = Entry(name, address, lanes, epoch, security.own().public)
        self.registry = RegistryClient(self.context, (registry,), entry, on_change=self._on_change)
        self.hosts.registry = self.registry
        self.mesh = Mesh(
            self.context,
            name,
            epoch,
            self.hosts.endpoint,
            now_ns,
            permissions=Permissions({each: (each,) for each in MEMBERS}, security),
            on_gap=self._on_mesh_gap,
            on_dead_letters=self._on_dead_letters,
        )
        self.subscriber = Subscriber(
            self.context,
            star,
            [QUOTES],
            clock=now_ns,
            replay=replay,
            deadline_ns=60 * SECOND,
            on_gap=self._on_gap,
        )

    def _on_change(self, change: Change) -> None:
        if change.entry is None and change.process != self.name:
            self.gone.append(change.process)

    def _on_mesh_gap(self, peer: str, priority: int, first: int, last: int) -> None:
        self.mesh_gaps += 1

    def _on_dead_letters(self, letters: list[DeadLetter]) -> None:
        self.letters += [f"{letter.reason} {letter.peer}" for letter in letters]

    def _on_gap(self, *gap: object) -> None:
        self.gaps += 1

    def ask(self) -> None:
        """Ask everybody who is there and owes no answer."""
        waiting = self.mesh.peers()
        for entry in self.registry.entries():
            peer = entry.process
            if peer not in (self.name, HUB) and not (peer in waiting and waiting[peer].pending):
                self.mesh.post(
                    peer, to=peer, sender=self.name, kind=MessageKind.REQUEST, payload=to_msgpack(GetPositions())
                )

    def turn(self) -> None:
        """One round."""
        self.registry.poll(now_ns())
        self.context.refresh()
        for delivery in self.mesh.receive():
            if delivery.kind == MessageKind.REPLY:
                self.answers[delivery.peer] = self.answers.get(delivery.peer, 0) + 1
            self.mesh.done(delivery)
        self.unknown += len(self.mesh.tick(now_ns()))
        for _, records in self.subscriber.drain():
            self.delivered += len(records)
        for peer in self.gone[:]:
            state = self.mesh.peers().get(peer)
            if state is None or not state.pending:
                self.gone.remove(peer)
                if state is not None:
                    self.mesh.hang_up(peer)

    def say(self) -> None:
        """What was seen so far."""
        found = {
            "answers": self.answers,
            "letters": self.letters,
            "gaps": self.gaps + self.mesh_gaps,
            "lost": self.subscriber.lost,
            "unknown": self.unknown,
            "delivered": self.delivered,
            "members": sorted(entry.process for entry in self.registry.entries()),
        }
        print(json.dumps(found), flush=True)

    def run(self) -> None:
        """Until told to leave, and nobody waits any more."""
        line, told_ns = Line(), 0
        while not line.closed():
            self.turn()
            self.ask()
            if now_ns() - told_ns > TOLD_NS:
                told_ns = now_ns()
                self.say()
        self.registry.leave()
        end_ns = now_ns() + LINGER_NS
        while now_ns() < end_ns or self.mesh.pending():
            for delivery in self.mesh.receive():
                self.mesh.done(delivery)
            self.mesh.tick(now_ns())
            zmq.zmq_poll([], 1)
        self.say()
        self.mesh.close()
        self.subscriber.close()
        self.registry.close()
        self.context.destroy(0)


if __name__ == "__main__":
    if sys.argv[2] == HUB:
        run_hub(sys.argv[1], sys.argv[3])
    else:
        Member(*sys.argv[1:]).run()
