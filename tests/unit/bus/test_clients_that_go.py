"""Clients come under a new name each: of those that have gone nothing stays behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import zmq

from nautilus.bus import inbox
from nautilus.bus.carriers import HTTP, REDIS
from nautilus.bus.failover import MESH, Failover
from nautilus.bus.http_carrier import HttpCarrier
from nautilus.bus.redis_carrier import RedisCarrier
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.runtime.paths import PathsView
from tests.kit.bus import Node, run
from tests.kit.carrier import carrier_pair


def test_no_more_clients_are_known_than_a_process_has_room_for(node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MOST_CLIENTS", 3)
    server, first, other = node("server"), node("client.first"), node("other")
    for each in (first, other):
        each.request("server", b"1")
        run([server, each], lambda each=each: each.answers)
    for number in range(5):
        client = node(f"client.{number}")
        client.request("server")
        run([server, client], lambda client=client: client.answers)
        client.close()
    assert sorted(server.mesh._peers_in) == ["client.2", "client.3", "client.4", "other"]
    for each in (first, other):
        each.request("server", b"2")
        run([server, each], lambda each=each: len(each.answers) == 2)
    assert [each.payload for each in first.answers] == [b"re:1", b"re:2"]


def test_a_client_whose_request_is_being_handled_is_not_forgotten(node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MOST_CLIENTS", 2)
    server, waiting = node("server"), node("client.waiting")
    waiting.request("server")
    found: list = []
    while not found:
        waiting.turn()
        found += server.mesh.receive()
    for number in range(4):
        client = node(f"client.{number}")
        client.request("server")
        run([server, client], lambda client=client: client.answers)
        client.close()
    server.mesh.done(found[0], b"late")
    run([server, waiting], lambda: waiting.answers)
    assert waiting.answers[0].payload == b"late"
    assert "client.waiting" in server.mesh._peers_in


def test_carriers_forget_who_was_hung_up_on(tmp_path: Path, node: Callable[..., Node]) -> None:
    redis = RedisCarrier(f"unix://{tmp_path}/none", "a", now_ns)
    http = HttpCarrier(str(tmp_path), "a", lambda peer: [], None, now_ns)
    a = node("a", fallbacks=[redis, http], fallback_after_ns=0)
    redis.watch(["stays"])
    for number in range(5):
        name = f"client.{number}"
        a.mesh.dial(name)
        a.post(name)
        run([a], lambda name=name: a.mesh.paths[name].path == "local")
        assert name in redis._present
        a.mesh.hang_up(name)
    assert list(redis._present) == ["stays"]
    assert (redis._targets, http._peers, a.mesh._anew) == ({}, {}, {})


def test_a_mesh_that_cannot_be_made_closes_its_carriers(tmp_path: Path, node: Callable[..., Node]) -> None:
    pairs = [carrier_pair("a", "b", name, path) for name, path in (("redis", REDIS), ("http", HTTP))]
    near = [pair[0] for pair in pairs]
    for pair in pairs:
        pair[1].close()
    with pytest.raises(zmq.ZMQError, match="No such file"):
        node("a", scheme=lambda process, lane: f"ipc://{tmp_path}/none/{process}.{lane}", fallbacks=near)
    assert all(each.closed for each in near)


def test_clients_have_no_gauges(node: Callable[..., Node]) -> None:
    counters = Counters()
    a = node("a", counters=counters, pending_limit=4)
    for peer in ("b", "client.x-1"):
        a.mesh.dial(peer)
        for _ in range(3):
            a.post(peer)
    run([a], lambda: all(each.high for each in a.mesh.pressures().values()) and a.mesh._pressure.pressed == 2)
    view = PathsView(counters)
    view.write({peer: Failover("mesh", peer, MESH, 0) for peer in ("b", "client.x-1")})
    names = counters.snapshot()
    assert {"peer.b.standing", "peer.b.pending_normal", "mesh_path.b.taken"} <= set(names)
    assert not [name for name in names if "client" in name]
