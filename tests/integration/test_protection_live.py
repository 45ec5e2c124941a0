"""The protection of a live engine behind its port: handlers that raise, that hang, and engines that run plain."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nautilus.engines.base import Context, Engine, Operation
from nautilus.model.errors import ModelError
from nautilus.model.message import Message
from nautilus.model.queries import GetOrders, GetPositions, OrderLines, Positions
from nautilus.runtime.views import serve_http
from tests.kit.live_host import RunningHost, Venue, eventually, make_plan, short_directory

SETTINGS = {"breaker": {"portfolio": {"failures": 3, "recovery_seconds": 0.3, "successes": 1}}}


class Moody(Engine):
    """Answers, raises or hangs, as it is told."""

    name = "portfolio"
    operations = (
        Operation("GET", "/orders", GetOrders, OrderLines, "Nothing", budget_ms=200.0, fallback="error"),
        Operation("GET", "/positions", GetPositions, Positions, "Nothing", priority="high", fallback="last"),
    )
    mood = "good"
    handled = 0
    free = threading.Event()

    def on_request(self, message: Message, ctx: Context) -> Message:
        Moody.handled += 1
        if Moody.mood == "raises":
            raise ZeroDivisionError
        if Moody.mood == "mistaken":
            raise ModelError("no such account")
        if Moody.mood == "hangs":
            Moody.free.wait(60)
        return Positions((), 7) if isinstance(message, GetPositions) else OrderLines((), 7)


@contextlib.contextmanager
def port_of(settings: dict[str, Any], *, damaged: bool = False) -> Iterator[int]:
    """The HTTP port of a moody engine, beside a venue."""
    Moody.mood, Moody.handled, Moody.free = "good", 0, threading.Event()
    with short_directory() as directory, contextlib.ExitStack() as undo:
        processes = {"venue": ("marketdata", "trading"), "portfolio": ("portfolio",)}
        plan = make_plan(directory, processes, sections={"protection": settings})
        if damaged:
            Path(plan.shared, "breakers.portfolio").write_bytes(b"no table" * 1000)
        venue = Venue(plan)
        undo.callback(venue.stop)
        moody = RunningHost(plan, "portfolio", {"portfolio": Moody})
        undo.callback(moody.stop)
        undo.callback(lambda: Moody.free.set())
        venue.running.ready()
        yield serve_http(moody.ready().host, undo)["portfolio"]


def get(port: int, path: str) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, json.loads(body) if "json" in headers["content-type"] else body.decode()
    finally:
        connection.close()


@pytest.fixture
def port() -> Iterator[int]:
    with port_of(SETTINGS) as found:
        yield found


def state(port: int) -> str:
    return str(get(port, "/health")[2]["circuit_breaker"]["state"])


def test_a_handler_that_raises_opens_its_breaker_alone_and_it_recovers(port: int) -> None:
    Moody.mood = "raises"
    assert [get(port, "/orders")[0] for _ in range(3)] == [500] * 3
    handled = Moody.handled
    status, headers, problem = get(port, "/orders")
    assert (status, problem["code"], headers["retry-after"]) == (503, "breaker.open", "1")
    assert Moody.handled == handled, "it was not asked"
    assert state(port) == "open"
    Moody.mood = "good"
    assert get(port, "/positions")[0] == 200, "another operation has a breaker of its own"
    eventually(lambda: get(port, "/orders")[0] == 200)
    assert state(port) == "closed"
    tracked = get(port, "/hybrid/performance")[2]["operations"]["GET /orders"]
    assert (tracked["failure"], tracked["breaker"]) == (3, "closed")
    assert tracked["refused"] >= 1
    assert tracked["success"] >= 1
    eventually(lambda: 'to="closed",cause="probes succeeded"} 1' in get(port, "/metrics")[2])


def test_a_handler_that_hangs_is_given_up_at_its_budget_and_opens_its_breaker(port: int) -> None:
    Moody.mood = "hangs"
    for _ in range(3):
        status, _, problem = get(port, "/orders")
        assert (status, problem["code"]) == (504, "http.timeout")
        assert "0.18 s; whether it was carried out is not known" in problem["detail"]
    assert get(port, "/orders")[2]["code"] == "breaker.open"
    Moody.mood = "good"
    Moody.free.set()
    eventually(lambda: get(port, "/orders")[0] == 200)
    assert get(port, "/hybrid/performance")[2]["operations"]["GET /orders"]["timeout"] >= 3


def test_the_last_answer_stands_in_and_says_so(port: int) -> None:
    status, headers, first = get(port, "/positions")
    assert (status, first["last_sequence"]) == (200, 7)
    assert "nautilus-fallback" not in headers
    Moody.mood = "raises"
    for _ in range(5):  # before and after its breaker has opened
        status, headers, again = get(port, "/positions")
        assert (status, again, headers["nautilus-fallback"]) == (200, first, "last")
    assert get(port, "/positions?account_id=5")[0] == 503, "another question has no earlier answer"


def test_a_senders_mistakes_open_nothing(port: int) -> None:
    Moody.mood = "mistaken"
    assert [get(port, "/orders")[0] for _ in range(20)] == [422] * 20
    assert state(port) == "closed"


def test_an_engine_that_is_to_run_plain_has_none_of_it() -> None:
    with port_of({"enabled": False}) as port:
        Moody.mood = "raises"
        assert [get(port, "/orders")[0] for _ in range(20)] == [500] * 20
        found = get(port, "/health")[2]
        assert (found["hybrid_integration"], found["circuit_breaker"]["state"]) == (False, "closed")
        assert "nautilus_breaker_state" not in get(port, "/metrics")[2]


def test_an_engine_whose_protection_cannot_be_had_runs_plain_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "nautilus.runtime"), port_of(SETTINGS, damaged=True) as port:
        assert get(port, "/orders")[0] == 200
        assert get(port, "/health")[2]["hybrid_integration"] is False
    assert any("engines run plain" in record.getMessage() for record in caplog.records)
