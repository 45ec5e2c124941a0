"""A client past ZeroMQ: over Redis, under names of its own, straight to one engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from nautilus.bus.base import TopicError
from nautilus.bus.client import BusClient
from nautilus.bus.redis_carrier import RedisCarrier, names_of
from nautilus.bus.routing import RoutingTable
from nautilus.core.clock import now_ns
from nautilus.model.codec import from_msgpack, to_msgpack
from nautilus.model.enums import Priority
from nautilus.model.errors import ModelError
from nautilus.model.queries import GetRisk
from nautilus.model.signals import SignalAction, ToxicityWarning, TradingSignal
from nautilus.model.topics import SIGNALS, TOXICITY
from tests.kit.bus import Node
from tests.kit.redis_server import running_redis

SECOND = 1_000_000_000
SIGNAL = TradingSignal(1, 1, 1, SignalAction.BUY, 1)


def _routing() -> RoutingTable:
    places = {"risk": "risk", "portfolio": "portfolio"}
    return RoutingTable(places, {"risk": (TOXICITY,), "portfolio": (SIGNALS, TOXICITY)})


def test_what_is_for_an_engine_alone_reaches_it_over_redis_by_the_names_of_the_platform(tmp_path: Path) -> None:
    with running_redis(tmp_path / "r") as server, ExitStack() as undo:
        engines = {}
        for name in ("risk", "portfolio"):
            carrier = RedisCarrier(server.url, name, now_ns)
            node = Node(tmp_path, name, handle=lambda delivery: to_msgpack(SIGNAL), fallbacks=[carrier])
            undo.callback(node.close)
            engines[name] = node
        client = BusClient(
            "test",
            _routing(),
            # Its own sockets, but nobody else's, are where they are looked for.
            lambda process, lane: f"ipc://{tmp_path}/{process}.{lane}{'' if process.startswith('client') else '.gone'}",
            f"ipc://{tmp_path}/star",
            carriers=lambda process: [RedisCarrier(server.url, process, now_ns)],
        )
        undo.callback(client.close)

        def until(so: Callable[[], object]) -> None:
            end_ns = now_ns() + 300 * SECOND
            while not so():
                assert now_ns() < end_ns
                client.turn(0.001)
                for node in engines.values():
                    node.turn()

        warning = ToxicityWarning(1, 1, 0.9, 0.5, True)
        assert client.publish("risk.critical", warning) == 1
        assert client.publish("portfolio.priority", SIGNAL) == 1
        assert client.publish("vpin.toxicity", warning) == 2
        until(lambda: len(engines["risk"].deliveries) == 2 and len(engines["portfolio"].deliveries) == 2)
        had = {name: [(each.to, each.priority) for each in node.deliveries] for name, node in engines.items()}
        assert had["risk"] == [("vpin.toxicity", Priority.URGENT)] * 2
        assert sorted(had["portfolio"]) == [
            ("strategy.signals", Priority.HIGH),
            ("vpin.toxicity", Priority.URGENT),
        ]
        assert from_msgpack(engines["risk"].payloads[0]) == warning
        assert {paths.path for paths in client.mesh.paths.values()} == {"redis"}
        names = names_of(client.process)
        groups = server.call("XINFO", "GROUPS", names.normal)
        assert names.group == f"{client.process}-hybrid-group"
        assert names.consumer == f"hybrid-{client.process}-engine"
        assert names.normal == f"nautilus-{client.process}-hybrid-streams"
        assert isinstance(groups, list)
        assert names.group.encode() in groups[0]
        until(lambda: not client.mesh.pending())
        client.close()
        assert server.call("EXISTS", *names.streams) == 0, "a client that has gone leaves nothing behind"


def test_a_channel_of_an_engine_takes_what_it_subscribes_to(tmp_path: Path) -> None:
    with BusClient(
        "test", _routing(), lambda process, lane: f"ipc://{tmp_path}/{process}.{lane}", f"ipc://{tmp_path}/star"
    ) as client:
        with pytest.raises(TopicError, match="risk"):
            client.publish("risk.critical", SIGNAL)
        with pytest.raises(ModelError, match="a message"):
            client.publish("risk.priority", {"now_ns": 0})
        with pytest.raises(ModelError):
            client.publish("risk.critical", GetRisk())
        with pytest.raises(TopicError):
            client.publish("nobody.critical", SIGNAL)
