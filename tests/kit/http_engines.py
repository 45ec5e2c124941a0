"""Two engines of one process behind a real HTTP server, and what asks them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import http.client
import json
import queue
import socket
import threading

from nautilus.core.counters import Counters
from nautilus.engines.base import Operation
from nautilus.model.enums import EngineState
from nautilus.model.errors import BusError, InternalError, ModelError
from nautilus.model.queries import (
    CancelRequest,
    GetOrders,
    KillRequest,
    KillResult,
    OrderLines,
    OrderRequest,
    OrderResult,
)
from nautilus.runtime.errorlog import ErrorLog
from nautilus.runtime.http.access import AccessRules
from nautilus.runtime.http.app import EngineApp
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.exchange import Response
from nautilus.runtime.http.request import Request, Route
from nautilus.runtime.http.server import HttpServer
from nautilus.runtime.http.sockets import bind_socket
from nautilus.runtime.metrics import EngineView

TOKEN = "token-of-this-test"
OPERATIONS = (
    Operation("POST", "/orders", OrderRequest, OrderResult, "Enter an order"),
    Operation("GET", "/orders", GetOrders, OrderLines, "Open orders"),
    Operation("DELETE", "/orders/{order_id}", CancelRequest, OrderResult, "Take an order out"),
    Operation("POST", "/kill-switch", KillRequest, KillResult, "The kill switch"),
)
ORDER = {"instrument": "BTCUSDT", "side": "BUY", "quantity": "1.5", "price": "100"}
JSON = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}


class UnknownInstrumentError(ModelError):
    code = "model.unknown_instrument"


class Engines:
    """Two engines of one process: a thread answers requests to them, as the live host does.

    The instrument of an order says what becomes of it.
    """

    def __init__(self, config: HttpConfig, token: str | None) -> None:
        self.counters = Counters(64)
        self.errors = ErrorLog()
        self.asked: list[tuple[str, object]] = []
        self.held: list[concurrent.futures.Future] = []
        self.holding = threading.Event()
        self._waiting: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.views = {}
        apps = {}
        for name in ("trading", "risk"):
            view = EngineView(name, "rim", self.counters, EngineState.RUNNING, process_metrics=name == "trading")
            self.views[name] = view
            app = EngineApp(
                view,
                OPERATIONS if name == "trading" else (),
                self.ask,
                AccessRules(token, config=config),
                config=config,
                errors=self.errors,
                routes=[Route("PUT", "/own/{name}", self.own)] if name == "risk" else (),
            )
            apps[name] = (app, bind_socket("127.0.0.1", 0, name))
        self.apps = {name: app for name, (app, _) in apps.items()}
        self.server = HttpServer(apps, self.counters, config)
        self.server.start()

    def ask(self, engine, message, trace, told, priority=2):
        answer: concurrent.futures.Future = concurrent.futures.Future()
        answer.add_done_callback(lambda answer: told(_come_of(answer)))
        self._waiting.put((engine, message, answer))

    async def own(self, request: Request) -> Response:
        return Response(json.dumps({"name": request.path_values["name"], "body": request.body}).encode(), 201)

    def close(self):
        self.server.stop()
        self._waiting.put(None)
        self._thread.join(60)

    def _run(self):
        while (item := self._waiting.get()) is not None:
            engine, message, answer = item
            self.asked.append((engine, message))
            try:
                reply = self._answer(message, answer)
            except Exception as error:
                answer.set_exception(error)
            else:
                if reply is not None:
                    answer.set_result(reply)

    def _answer(self, message, answer):
        if isinstance(message, GetOrders):
            return OrderLines((), 5)
        if isinstance(message, KillRequest):
            return KillResult(message.on, 3, 1.0)
        if isinstance(message, CancelRequest):
            return OrderResult(message.order_id, "cancelled", 1.0)
        match message.instrument:
            case "UNKNOWN":
                raise UnknownInstrumentError("instrument UNKNOWN", where="orders", expected="a known symbol")
            case "OFFTICK":
                raise ModelError("price 1.5 is off tick", where="OFFTICK", expected="a multiple of 1")
            case "DOWN":
                raise BusError("the core is away")
            case "BROKEN":
                raise InternalError("an invariant is broken")
            case "BUG":
                raise ZeroDivisionError("a secret")
            case "GONE":
                answer.cancel()
                return None
            case "HELD":
                self.held.append(answer)
                self.holding.set()
                return None
        return OrderResult(len(self.asked), "accepted", 1.0, client_order_id=message.client_order_id)


def _come_of(answer):
    if answer.cancelled():
        return asyncio.CancelledError()
    return answer.exception() or answer.result()


def call(engines, method, path, body=None, headers=None, engine="trading"):
    """Status, headers and body (decoded where it is JSON) of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", engines.server.ports[engine], timeout=60)
    try:
        content = json.dumps(body) if isinstance(body, dict | list) else body
        connection.request(method, path, content, JSON if headers is None else headers)
        return answer_of(connection)
    finally:
        connection.close()


def answer_of(connection):
    response = connection.getresponse()
    content = response.read()
    if "json" in (response.headers["content-type"] or "") and content:
        return response.status, response.headers, json.loads(content)
    return response.status, response.headers, content


def problem(engines, *arguments, **options):
    """Status and code of a problem."""
    status, headers, value = call(engines, *arguments, **options)
    assert headers["content-type"] == "application/problem+json"
    assert value["status"] == status
    assert value["type"] == f"urn:nautilus:problem:{value['code']}"
    assert len(value["trace_id"]) == 32
    assert {"title", "detail"} <= set(value)
    return status, value["code"]


def raw(engines, content, engine="trading"):
    """Whatever comes back for some bytes, until the server closes or answers once."""
    with socket.create_connection(("127.0.0.1", engines.server.ports[engine]), timeout=60) as connection:
        connection.sendall(content)
        found = b""
        while not complete(found):
            part = connection.recv(65536)
            if not part:
                break
            found += part
        return found


def complete(answer):
    head, separator, body = answer.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(separator and lengths) and len(body) >= int(lengths[0].split(b":")[1])


def count(engines, name):
    return engines.counters.snapshot()[name]
