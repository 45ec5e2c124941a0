"""What requests that fail do to the health of the engine that they were sent to: a live host behind its port."""

from __future__ import annotations

import contextlib
import http.client
import json

import pytest

from nautilus.engines.base import Engine, Operation
from nautilus.model.errors import BusError
from nautilus.model.queries import GetOrders, GetPositions, OrderLines, Positions
from nautilus.runtime import calls, errorlog
from nautilus.runtime.views import serve_http
from tests.kit.http_engines import answer_of
from tests.kit.live_host import RunningHost, Venue, eventually, make_plan, short_directory


class Moody(Engine):
    """Has lost its peer, until it is told otherwise."""

    name = "portfolio"
    operations = (
        Operation("GET", "/orders", GetOrders, OrderLines, "What it does not know"),
        Operation("GET", "/positions", GetPositions, Positions, "What it cannot say now"),
    )

    def on_request(self, message, ctx):
        if isinstance(message, GetPositions):
            raise BusError("the core is away")
        return super().on_request(message, ctx)


@pytest.fixture
def ports():
    """HTTP ports of a venue and of an engine beside it."""
    with short_directory() as directory, contextlib.ExitStack() as undo:
        plan = make_plan(directory, {"venue": ("marketdata", "trading"), "portfolio": ("portfolio",)})
        venue = Venue(plan)
        undo.callback(venue.stop)
        moody = RunningHost(plan, "portfolio", {"portfolio": Moody})
        undo.callback(moody.stop)
        found = {}
        for running in (venue.running, moody):
            found |= serve_http(running.ready().host, undo)
        yield found


def call(ports, engine, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", ports[engine], timeout=60)
    try:
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        return answer_of(connection)[::2]
    finally:
        connection.close()


def health(ports, engine):
    return call(ports, engine, "GET", "/health")[1]


def is_well(ports, engine):
    found = health(ports, engine)
    return (found["status"], found["state"], found["reasons"]) == ("healthy", "running", [])


@pytest.mark.parametrize("quantity", ["0", "9" * 900_000])
def test_a_mistake_of_a_sender_does_not_degrade_the_engine(ports, quantity, caplog):
    eventually(lambda: health(ports, "trading")["status"] == "healthy")
    status, told = call(
        ports, "trading", "POST", "/orders",
        {"instrument": "BTCUSDT", "side": "BUY", "quantity": quantity, "price": "60000", "account_id": 1},
    )  # fmt: skip
    assert (status, told["code"].partition(".")[0]) == (422, "model")
    assert len(json.dumps(told)) < 5_000
    looks = health(ports, "trading")["uptime_seconds"] + 0.3
    eventually(lambda: health(ports, "trading")["uptime_seconds"] > looks)  # it has looked at itself since
    eventually(lambda: is_well(ports, "trading"))
    assert health(ports, "trading")["performance"]["overall"]["errors"] == 0
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert all(len(record.getMessage()) < 2_000 for record in caplog.records)


def test_a_passing_error_degrades_the_engine_for_a_while_only(ports, monkeypatch):
    assert call(ports, "portfolio", "GET", "/orders")[0] == 422  # nothing that the engine knows
    eventually(lambda: health(ports, "portfolio")["status"] == "healthy")
    assert call(ports, "portfolio", "GET", "/positions")[0] == 503
    eventually(lambda: health(ports, "portfolio")["status"] == "degraded")
    eventually(lambda: "the core is away" in str(health(ports, "portfolio")["reasons"]))
    for module in (calls, errorlog):
        monkeypatch.setattr(module, "QUIET_NS", 0)  # the while is over
    eventually(lambda: is_well(ports, "portfolio"))
