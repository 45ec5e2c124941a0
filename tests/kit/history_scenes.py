"""The processes of a scenario by its kind: star and mesh beside a Redis each, and both over two hosts with keys."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from nautilus.bus.keys import new_process
from tests.kit.faults import Scenario
from tests.kit.history import Violation
from tests.kit.history_redis import Listener, judge_content, judge_keys, kept_in_streams, kept_on_disk, place_of
from tests.kit.history_redis_roles import BARRED, FREE, HUB
from tests.kit.redis_server import RedisServer

LANES = ("u", "n")
NODES = ("a", "b", "c")
MADE = "tests.kit.history_redis_roles"


def star(scenario: Scenario, names: Iterable[str], *, hub: dict[str, Any], reader: dict[str, Any]) -> None:
    """A hub, and readers that ask for what is missing, but the one called "plain"; what is set beside the rest."""
    random, names = scenario.random, tuple(names)
    replay = scenario.endpoint("replay", HUB)
    endpoints = {name: scenario.endpoint(name, HUB) for name in names}
    servers = dict.fromkeys((replay, *endpoints.values()), HUB)
    scenario.add(
        HUB,
        "hub",
        endpoints=list(endpoints.values()),
        replay=replay,
        table=str(scenario.directory / "hub.counters"),
        instruments=3,
        burst=random.choice((1, 4)),
        high_water=1_000,
        frames=random.choice((256, 16_384)),
        servers=servers,
        **hub,
    )
    for name in names:
        own = {} if name == "plain" else {"replay": replay, "images": random.random() < 0.5}
        settings = {"endpoint": endpoints[name], "high_water": 1_000, "servers": servers, **own, **reader}
        scenario.add(name, "reader", **settings)


def mesh(scenario: Scenario, **more: Any) -> None:
    """Three nodes that all send to each other."""
    endpoints = {f"{name}.{lane}": scenario.endpoint(f"{name}.{lane}", name) for name in NODES for lane in LANES}
    servers = {endpoint: name.partition(".")[0] for name, endpoint in endpoints.items()}
    deadline_ms = scenario.random.choice((0, 300))
    for name in NODES:
        peers = [other for other in NODES if other != name]
        settings = {"peers": peers, "burst": 4, "deadline_ms": deadline_ms, "servers": servers, **more}
        scenario.add(name, "mesh", endpoints=endpoints, **settings)


def make_keys(scenario: Scenario, readers: Iterable[str]) -> str:
    """Keys of every process; the directory they are in."""
    directory = str(scenario.directory / "keys")
    new_process(directory, HUB, (), 1)
    for name in (*readers, *NODES):
        new_process(directory, name, ("send:*", "read:marketdata.*"), 1)
    return directory


class Fallen:
    """Servers of a star and a mesh, and the processes that fall back to them.

    Parameters
    ----------
    appendonly
        As of `RedisServer`.
    """

    def __init__(self, scenario: Scenario, stack: ExitStack, appendonly: str) -> None:
        self.scenario = scenario
        self.servers = {bus: RedisServer(place_of(scenario.directory, bus), appendonly) for bus in ("star", "mesh")}
        for server in self.servers.values():
            stack.callback(server.kill)
            server.start()
        self.listener = Listener(self.servers["mesh"])
        stack.callback(self.listener.close)
        self.readers = ("one", "other", "plain")
        star(
            scenario,
            self.readers,
            hub={"made": f"{MADE}:RedisHub", "redis": self.servers["star"].url},
            reader={"made": f"{MADE}:RedisReader", "redis": self.servers["star"].url},
        )
        mesh(scenario, made=f"{MADE}:RedisNode", redis=self.servers["mesh"].url)
        self.looked = b""

    def until_paths(self, paths: Iterable[str], among: Iterable[str] = ()) -> None:
        """Until all readers and nodes take one of these to everybody."""
        wanted = set(paths)
        waiting = [self.scenario.actors[name] for name in among or (*self.readers, *NODES)]
        for actor in waiting:
            self.scenario.wait_until(
                lambda actor=actor: wanted.issuperset(json.loads(actor.ask("path")).values()),  # type: ignore[misc]
                f"{wanted} at {actor.name}",
            )

    def look(self) -> None:
        """Keep what lies in the streams of the mesh now."""
        self.looked += kept_in_streams(self.servers["mesh"], NODES)

    @contextmanager
    def without(self, bus: str, kind: str) -> Iterator[None]:
        """The server of a bus is killed, or stopped; afterwards it is there again."""
        server = self.servers[bus]
        self.scenario.done.append(f"{kind} redis-{bus}")
        if kind == "stop":
            server.send_signal(signal.SIGSTOP)
            try:
                yield
            finally:
                server.send_signal(signal.SIGCONT)
            return
        if bus == "mesh":
            self.look()
        server.kill()
        try:
            yield
        finally:
            server.start()

    def judge(self) -> list[Violation]:
        """What is in the servers and must not be."""
        self.look()
        mesh = self.servers["mesh"]
        found = judge_keys("redis-mesh", mesh, NODES) + judge_keys("redis-star", self.servers["star"], (HUB,))
        disk = kept_on_disk(mesh)
        for where, content in (("streams", self.looked), ("commands", bytes(self.listener.seen)), ("file", disk)):
            found += judge_content(where, content, BARRED)
        assert FREE in self.listener.seen, "nothing went over Redis: nothing is shown"
        assert not disk or FREE in disk
        return found
