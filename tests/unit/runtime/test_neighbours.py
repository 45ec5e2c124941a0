"""Where a process finds the others that are on another host, as the list of keys changes."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nautilus.bus.keys import new_process, revoke
from nautilus.bus.security import Security
from nautilus.core.clock import now_ns
from nautilus.runtime.neighbours import Neighbours
from nautilus.runtime.plan import Plan
from tests.kit.bus import Node, run, run_for
from tests.kit.live_host import make_plan, short_directory
from tests.kit.ports import held_port

AFAR = "127.0.0.2"


@pytest.fixture
def place() -> Iterator[int]:
    """A port with another one after it that are both free on the other address."""
    while True:
        with held_port() as port, socket.socket() as probe:
            try:
                probe.bind((AFAR, port + 1))
            except OSError:
                continue
            probe.close()
            yield port
            return


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as found:
        yield found


class Pair:
    """`risk`, which looks for its neighbours, and lives of `strategy` on another host with a list of their own."""

    def __init__(self, directory: Path, port: int, stack: ExitStack) -> None:
        self.directory, self._port, self._stack = directory, port, stack
        self.keys = directory / "keys"
        new_process(self.keys, "risk", ("send:*",), 1)
        bus = {"listen": "127.0.0.1:7000", "keys": str(self.keys), "hosts": {"strategy": f"{AFAR}:{port}"}}
        processes = {"risk": ("risk",), "strategy": ("strategy",), "marketdata": ("marketdata",)}
        self.plan: Plan = make_plan(directory, processes, sections={"bus": bus})
        found: list[Neighbours] = []

        def scheme(process: str, lane: str) -> Any:
            return (
                found[0].endpoint(process, lane) if found else self.plan.endpoint("risk", "u" if lane == "u" else "n")
            )

        security = Security.load("risk", self.keys)
        self.risk = Node(directory, "risk", scheme=scheme, security=security)
        stack.callback(self.risk.close)
        self.neighbours = Neighbours(self.plan, "risk", security, self.risk.context, 1)
        stack.callback(self.neighbours.close)
        found.append(self.neighbours)
        self.neighbours.join(self.risk.mesh)

    def strategy(self) -> Node:
        """A life of it, with the pair and the list of now."""
        there = self.directory / "there"
        shutil.rmtree(there, ignore_errors=True)
        shutil.copytree(self.keys, there)
        security = Security.load("strategy", there)
        node = Node(
            self.directory,
            "strategy",
            scheme=lambda process, lane: f"tcp://{AFAR}:{self._port + (lane == 'u')}",
            security=security,
        )
        self._stack.callback(node.close)
        return node

    def look(self) -> bool:
        """What a host does ten times a second."""
        self.risk.context.refresh()
        self.risk.context.security.look()
        self.neighbours.poll(now_ns())
        return False

    def until(self, *nodes: Node, what: Callable[[], object]) -> None:
        """Let them turn until something is so."""
        run([self.risk, *nodes], lambda: self.look() or what())


@pytest.fixture
def pair(directory: Path, place: int) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(directory, place, stack)


def test_what_is_for_a_process_without_a_key_waits_until_it_has_one(pair: Pair) -> None:
    pair.risk.post("strategy", b"early")
    run_for([pair.risk], 50)
    assert pair.risk.mesh.pending()
    new_process(pair.keys, "strategy", (), 2)
    strategy = pair.strategy()
    pair.until(strategy, what=lambda: strategy.payloads == [b"early"])


def test_a_revoked_process_is_sent_nothing_and_its_next_key_gets_what_waited(pair: Pair) -> None:
    new_process(pair.keys, "strategy", (), 2)
    strategy = pair.strategy()
    pair.risk.post("strategy", b"first")
    pair.until(strategy, what=lambda: strategy.payloads and not pair.risk.mesh.pending())
    revoke(pair.keys, "strategy", 3)
    dialled = pair.neighbours.hosts.dialled
    pair.until(strategy, what=lambda: dialled["strategy", "n"].startswith("ipc:"))
    pair.risk.post("strategy", b"second")
    run_for([pair.risk, strategy], 200)
    assert strategy.payloads == [b"first"], "it listens on, with a list that has not heard of it"
    strategy.close()
    new_process(pair.keys, "strategy", (), 4)
    another = pair.strategy()
    pair.until(another, what=lambda: another.payloads == [b"second"])
