"""Multicast between two hosts with keys, in network namespaces: losses, a hub that is killed, who may hear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import zmq

from nautilus.core.clock import now_ns
from perf.network import CLIENT, Cable
from tests.kit.multicast_process import MulticastProcess, make_keys
from tests.kit.network import cable_or_skip

SECOND = 1_000_000_000


@pytest.fixture
def cable() -> Iterator[Cable]:
    yield from cable_or_skip()


def until(condition: Callable[[], object]) -> None:
    end_ns = now_ns() + 120 * SECOND
    while not condition():
        assert now_ns() < end_ns, "it did not come about"
        zmq.zmq_poll([], 20)


def test_readers_of_another_host_lose_nothing(cable, tmp_path) -> None:
    keys, ring = str(tmp_path / "keys"), tmp_path / "ring"
    make_keys(keys, "a", quotes_only="c")
    here, there = cable.address(0), cable.address(1)
    with ExitStack() as stack:

        def start(host: int, *words: object) -> MulticastProcess:
            made = MulticastProcess(cable.command(host=host), *words)
            stack.callback(made.kill)
            return made

        hub = start(0, "hub", keys, here, 1, ring)
        a, c = (start(1, "reader", keys, name, here, there) for name in "ac")

        def more(records: int) -> None:
            wanted = {reader: reader.seen().get("delivered", 0) + records for reader in (a, c)}
            until(lambda: all(reader.seen().get("delivered", 0) >= least for reader, least in wanted.items()))

        until(lambda: a.seen().get("way") == "multicast")
        more(300)
        cable.lose_udp(0.1, CLIENT)
        more(900)
        cable.heal()
        more(100)
        assert a.seen()["missed"] > 0
        # What is missing as the hub dies waits for two seconds, which a busy machine may need to start the next one.
        until(lambda: all(not reader.seen()["recovering"] for reader in (a, c)))
        until(lambda: a.seen()["way"] == "multicast")
        hub.kill()
        hub = start(0, "hub", keys, here, 2, ring)
        until(lambda: all(reader.seen()["epochs"] for reader in (a, c)))
        until(lambda: a.seen()["way"] == "multicast")
        more(300)
        hub.stop()
        until(hub.seen)
        lasts = dict(map(tuple, hub.seen()["lasts"]))
        until(lambda: all(dict(map(tuple, reader.seen()["settled"])) == lasts for reader in (a, c)))
        assert hub.seen()["given"] >= 1
        for reader in (a, c):
            seen = reader.seen()
            assert seen["wrong"] == seen["gaps"] == [], seen
            assert seen["lost"] == seen["ends_unknown"] == seen["forged"] == seen["garbage"] == 0
            assert seen["epochs"] == [[1, 2]]
            assert sorted(seen["begun"]) == [1, 2, 3, 9]
        assert a.seen()["recovered"] > 0
        assert a.seen()["frames"] > 300
        # Who may not read all that goes by multicast has no key to it, and reads what it may over TCP.
        assert c.seen()["frames"] == 0
        assert c.seen()["ways"] == []
