"""What goes wrong in a scenario of the bus, drawn from a seed: processes, connections, clocks.

A fault is done to a scenario for a time, and undone. Which ones there are depends on what the scenario has: without a
network of its own there are no partitions.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any

from nautilus.core.clock import now_ns
from perf.network import CLIENT, SERVER, Cable, Network
from tests.kit.history import Epoch, read_all
from tests.kit.history_process import PATIENCE_NS, Actor

MS = 1_000_000


class Scenario:
    """Processes that write histories, and the network between them; all of it is gone at the end.

    Parameters
    ----------
    directory
        For logs and sockets; its path must be short.
    network
        Of its own, where the processes talk over TCP; None: over ipc.
    hosts
        Where processes run in a network with two hosts; those that are not named: on host 0.
    """

    def __init__(
        self,
        directory: Path,
        seed: int,
        network: Network | Cable | None = None,
        hosts: Mapping[str, int] | None = None,
    ) -> None:
        self.directory = directory
        self.seed = seed
        self.random = Random(seed)
        self.network = network
        self.hosts = dict(hosts or {})
        self.actors: dict[str, Actor] = {}
        self.ports: dict[str, int] = {}
        """{what listens: its port} of those whose connections may be cut."""
        self.done: list[str] = []
        """What was done to it, in order: to be shown where a judge complains."""
        self._stack = ExitStack()

    def __enter__(self) -> Scenario:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(self, name: str, role: str, **settings: Any) -> Actor:
        """Start a process."""
        network, host = self.network, self.hosts.get(name, 0)
        command = (lambda *words: list(words)) if network is None else partial(network.command, host=host)
        actor = Actor(self.directory, name, role, {"seed": self.seed, **settings}, command)
        self.actors[name] = actor
        self._stack.callback(actor.kill)
        actor.start()
        return actor

    def endpoint(self, name: str, of: str = "") -> str:
        """Where something of a process listens: a port of its network, or a path."""
        if self.network is None:
            return f"ipc://{self.directory}/{name}"
        address = self.network.address(self.hosts.get(of, 0))
        return f"tcp://{address}:{self.ports.setdefault(name, 9_000 + len(self.ports))}"

    def pass_time(self, milliseconds: float) -> None:
        """Let the processes work for a time. One that ends meanwhile is a failure of the test."""
        outputs = [actor.output for actor in self.actors.values()]
        readable = select.select(outputs, [], [], milliseconds / 1000)[0]
        dead = [actor.name for actor in self.actors.values() if actor.output in readable]
        assert not dead, f"{dead} died, or said what nobody asked"

    def see_work(self, actors: Sequence[Actor] = ()) -> None:
        """Until each of the processes has noted something new."""
        waiting = {actor.name: actor.written for actor in actors or self.actors.values()}
        end_ns = now_ns() + PATIENCE_NS
        while waiting:
            assert now_ns() < end_ns, f"{sorted(waiting)} do nothing"
            self.pass_time(5)
            waiting = {name: size for name, size in waiting.items() if self.actors[name].written <= size}

    def wait_until(self, true: Callable[[], object], what: str) -> None:
        """Let the processes work until it is so."""
        end_ns = now_ns() + PATIENCE_NS
        while not true():
            assert now_ns() < end_ns, f"no sign of {what}"
            self.pass_time(5)

    def end(self) -> list[Epoch]:
        """Let every process come to rest and end; what all of them wrote.

        Senders stop first; readers end when they know all that the hub has published, nodes when nothing is pending.
        """
        of = {role: [a for a in self.actors.values() if a.role == role] for role in ("hub", "reader", "mesh")}
        for actor in of["hub"]:
            state = actor.ask("quiet")
            for reader in of["reader"]:
                reader.ask(f"until {state}")
        for actor in of["mesh"]:
            actor.ask("quiet")
        end_ns = now_ns() + PATIENCE_NS
        while any(int(actor.ask("pending")) for actor in of["mesh"]):
            assert now_ns() < end_ns, "messages stay pending"
            self.pass_time(10)
        for actor in (*of["reader"], *of["mesh"], *of["hub"]):
            actor.tell("end")
            assert actor.answer() == "ok"
            actor.wait()
        return read_all(self.directory)


# -- faults ------------------------------------------------------------------------------------------------------------


@contextmanager
def killed(scenario: Scenario, actor: Actor) -> Iterator[None]:
    """SIGKILL, and another life afterwards."""
    actor.kill()
    del scenario.actors[actor.name]
    try:
        yield
    finally:
        scenario.actors[actor.name] = actor
        actor.start()


@contextmanager
def stopped(scenario: Scenario, actor: Actor) -> Iterator[None]:
    """SIGSTOP, and SIGCONT afterwards."""
    actor.stop()
    try:
        yield
    finally:
        actor.go_on()


@contextmanager
def clock_set(scenario: Scenario, actor: Actor) -> Iterator[None]:
    """The clock of one process jumps, forth or back, and stays so."""
    ahead_ns = scenario.random.choice((-300, -150, 150, 2_000)) * MS
    assert actor.ask(f"jump {ahead_ns}") == "ok"
    yield


@contextmanager
def cut(scenario: Scenario, network: Network | Cable, ports: Sequence[int], kind: str) -> Iterator[None]:
    """Connections to ports are cut both ways, one way (half open), lose packets, or are reset; a cable is taken out."""
    if kind == "reset":
        network.reset(*ports)
        yield
        return
    if isinstance(network, Cable) and kind == "unplug":
        network.unplug()
        try:
            yield
        finally:
            network.plug()
        return
    share = scenario.random.choice((0.02, 0.2)) if kind == "loss" else 1.0
    toward = {"to server": (SERVER,), "to client": (CLIENT,)}.get(kind, (SERVER, CLIENT))
    network.lose(*ports, share=share, toward=toward)
    try:
        yield
    finally:
        network.heal()


CUTS = ("partition", "loss", "reset", "to server", "to client")
CABLE_CUTS = (*CUTS, "unplug")
"""Where there are two hosts; what is done there is done to the whole cable, but resets."""
PROCESS_FAULTS = {"kill": killed, "stop": stopped, "clock": clock_set}


def do_harm(scenario: Scenario, kinds: Sequence[str], *, longest_ms: int = 400) -> None:
    """Draw one fault, do it, let some time pass, undo it, and let the processes work."""
    random = scenario.random
    kind = random.choice(kinds)
    with ExitStack() as stack:
        if kind in CABLE_CUTS:
            assert scenario.network is not None
            names = random.sample(sorted(scenario.ports), random.choice((1, 1, 2, len(scenario.ports))))
            scenario.done.append(f"{kind} {names}")
            ports = [scenario.ports[name] for name in names]
            stack.enter_context(cut(scenario, scenario.network, ports, kind))
        else:
            for actor in random.sample(
                sorted(scenario.actors.values(), key=lambda a: a.name), random.choice((1, 1, 2))
            ):
                scenario.done.append(f"{kind} {actor.name}")
                stack.enter_context(PROCESS_FAULTS[kind](scenario, actor))
        scenario.pass_time(random.choice((1, 20, 120, longest_ms)))
    if random.random() < 0.7:
        scenario.see_work()
