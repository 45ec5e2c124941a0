"""A bus over two hosts, TCP with keys: who joins and leaves disturbs nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import zmq

from nautilus.core.clock import now_ns
from tests.kit.host_process import HUB, HostProcess, make_all_keys
from tests.kit.two_hosts import Host, two_hosts

SECOND = 1_000_000_000


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as found:
        yield found


@pytest.fixture
def start(hosts, tmp_path) -> Iterator[Callable[[str, int], HostProcess]]:
    make_all_keys(str(tmp_path))
    with ExitStack() as stack:

        def make(name: str, number: int) -> HostProcess:
            host = hosts[number]
            made = HostProcess(host.command(), str(tmp_path), name, host.address, hosts[0].address)
            stack.callback(made.kill)
            return made

        yield make


def until(condition: Callable[[], object]) -> None:
    end_ns = now_ns() + 240 * SECOND
    while not condition():
        assert now_ns() < end_ns, "it did not come about"
        zmq.zmq_poll([], 10)


@pytest.mark.long
def test_a_process_of_another_host_joins_and_leaves_and_nobody_else_notices(start) -> None:
    start(HUB, 0)
    a, b = start("a", 0), start("b", 1)

    def answers(process: HostProcess, peer: str) -> int:
        return int(process.seen().get("answers", {}).get(peer, 0))

    until(lambda: answers(a, "b") > 20 and answers(b, "a") > 20)
    c = start("c", 1)
    until(lambda: min(answers(a, "c"), answers(b, "c"), answers(c, "a"), answers(c, "b")) > 20)
    left = c.leave()
    until(lambda: "c" not in a.seen()["members"] and "c" not in b.seen()["members"])
    before = answers(a, "b")
    until(lambda: answers(a, "b") > before + 20)
    again = start("c", 0)  # and comes back, elsewhere
    until(lambda: min(answers(again, "a"), answers(again, "b")) > 20)
    again.leave()
    for found in (left, a.leave(), b.leave()):
        assert found["letters"] == []
        assert found["gaps"] == found["lost"] == found["unknown"] == 0
        assert found["delivered"] > 0
