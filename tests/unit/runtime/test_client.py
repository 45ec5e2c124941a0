"""The HTTP client of the command line, against real servers on free ports."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from nautilus.cli.main import describe
from nautilus.engines.base import Operation
from nautilus.model.enums import Side
from nautilus.model.errors import ConfigError
from nautilus.model.queries import (
    Book,
    CancelRequest,
    GetBook,
    GetCoreState,
    GetOrders,
    OrderLines,
    OrderRequest,
    OrderResult,
)
from nautilus.model.risk import CheckOrders, CheckResult, ProposedOrder
from nautilus.runtime.client import Client, EngineError, NotReachableError, encode, operation_of
from tests.kit.ports import held_port

PROBLEM = {
    "type": "urn:nautilus:problem:model.unknown_instrument",
    "title": "Not Found",
    "status": 404,
    "detail": "instrument 'XXX'",
    "code": "model.unknown_instrument",
    "trace_id": "abc",
    "expected": "one of SIMUSD",
}


class Answering(BaseHTTPRequestHandler):
    """Answers with what its path names, and keeps what was asked."""

    asked: list[dict[str, Any]]

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.asked.append({"path": self.path, "headers": dict(self.headers), "body": body, "method": self.command})
        if self.path.startswith("/cut"):
            self.connection.close()
            return
        status, kind, content = {
            "/problem": (404, "application/problem+json", json.dumps(PROBLEM).encode()),
            "/late": (504, "application/problem+json", json.dumps({"title": "x", "code": "http.timeout"}).encode()),
            "/page": (200, "text/html", b"<html>"),
            "/broken": (500, "text/plain", b"oh"),
        }.get(self.path.partition("?")[0], (200, "application/json", b'{"fine": true}'))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """No line for each request."""


@pytest.fixture
def server() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Port of a server, and what it was asked."""
    asked: list[dict[str, Any]] = []
    made = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Answering,), {"asked": asked}))
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made.server_address[1], asked
    made.shutdown()
    thread.join()
    made.server_close()


def test_a_request_that_changes_something_shows_the_token_and_its_type(server: tuple[int, list[Any]]) -> None:
    port, asked = server
    assert Client({"trading": port}, token="secret").call("trading", "POST", "/orders", {"a": 1}) == {"fine": True}
    assert asked[0]["headers"]["Authorization"] == "Bearer secret"
    assert asked[0]["headers"]["Content-Type"] == "application/json"
    assert asked[0]["headers"]["Host"] == f"127.0.0.1:{port}"
    assert json.loads(asked[0]["body"]) == {"a": 1}


def test_a_request_that_reads_shows_no_token(server: tuple[int, list[Any]]) -> None:
    port, asked = server
    Client({"trading": port}, token="secret").call("trading", "GET", "/orders")
    assert "Authorization" not in asked[0]["headers"]
    assert asked[0]["body"] == b""


def test_a_problem_becomes_one_line_with_its_code_and_not_found(server: tuple[int, list[Any]]) -> None:
    with pytest.raises(EngineError) as caught:
        Client({"trading": server[0]}).call("trading", "GET", "/problem")
    error = caught.value
    assert (error.code, error.status, error.trace_id) == ("model.unknown_instrument", 404, "abc")
    assert describe(error) == (
        "trading: instrument 'XXX'; expected one of SIMUSD (model.unknown_instrument)",
        2,
    )


def test_an_engine_that_had_no_answer_in_time_is_a_time_out(server: tuple[int, list[Any]]) -> None:
    with pytest.raises(TimeoutError) as caught:
        Client({"trading": server[0]}).call("trading", "POST", "/late")
    assert str(caught.value) == "trading: x (http.timeout)"
    assert describe(caught.value)[1] == 5


@pytest.mark.parametrize("path", ["/page", "/broken"])
def test_what_is_no_json_is_named_with_its_status(path: str, server: tuple[int, list[Any]]) -> None:
    with pytest.raises(EngineError, match=f"GET {path} with status") as caught:
        Client({"risk": server[0]}).call("risk", "GET", path)
    assert describe(caught.value)[1] == 1


def test_a_connection_that_is_cut_leaves_the_outcome_unknown(server: tuple[int, list[Any]]) -> None:
    with pytest.raises(NotReachableError, match="whether it was carried out is unknown"):
        Client({"trading": server[0]}).call("trading", "POST", "/cut")
    with pytest.raises(NotReachableError) as caught:
        Client({"trading": server[0]}).call("trading", "GET", "/cut")
    assert "unknown" not in str(caught.value)


def test_an_engine_that_is_not_there_is_not_running() -> None:
    with held_port() as port:  # nobody listens on it
        for client in (Client({"trading": port}), Client({})):
            with pytest.raises(NotReachableError) as caught:
                client.call("trading", "POST", "/orders")
            assert describe(caught.value)[1] == 3
            assert "unknown" not in str(caught.value)


def test_silence_ends_in_a_time_out() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = Client({"trading": silent.getsockname()[1]}, timeout_seconds=0.05)
        with pytest.raises(TimeoutError, match=r"trading: no answer to POST /orders within 0.05 s; whether it was"):
            client.call("trading", "POST", "/orders")
        with pytest.raises(TimeoutError) as caught:
            client.call("trading", "GET", "/orders")
        assert "carried out" not in str(caught.value)


def test_fields_go_into_path_query_or_body() -> None:
    book = Operation("GET", "/book/{instrument}", GetBook, Book, "")
    assert encode(book, GetBook("BTC/USD", 3)) == ("GET", "/book/BTC%2FUSD?levels=3&level=2", None)
    state = Operation("GET", "/core/state", GetCoreState, OrderLines, "")
    assert encode(state, GetCoreState((1, 2), True)) == ("GET", "/core/state?accounts=1&accounts=2&hashes=true", None)
    cancel = Operation("POST", "/orders/{order_id}/cancel", CancelRequest, OrderResult, "")
    assert encode(cancel, CancelRequest(7, 3)) == ("POST", "/orders/7/cancel", {"account_id": 3})
    submit = Operation("POST", "/orders", OrderRequest, OrderResult, "")
    method, path, body = encode(submit, OrderRequest("SIMUSD", Side.BUY, "1", "100"))
    assert (method, path) == ("POST", "/orders")
    assert body is not None
    assert (body["side"], body["order_type"], body["time_in_force"]) == ("BUY", "LIMIT", "GTC")
    check = Operation("POST", "/risk/critical-check/{portfolio_id}", CheckOrders, CheckResult, "")
    orders = (ProposedOrder("SIMUSD", Side.SELL, "0.1"),)
    told = {"instrument": "SIMUSD", "side": "SELL", "quantity": "0.1", "price": "", "strategy_id": 0}
    assert encode(check, CheckOrders(7, orders)) == ("POST", "/risk/critical-check/7", {"orders": [told]})


def test_the_operation_of_a_question_is_the_one_that_its_engine_declares() -> None:
    assert operation_of("marketdata", GetBook).path == "/book/{instrument}"
    with pytest.raises(EngineError, match="no operation for GetOrders"):
        operation_of("risk", GetOrders)


def test_a_token_read_from_a_file_is_shown_without_its_line_end(server: tuple[int, list[Any]]) -> None:
    port, asked = server
    Client({"trading": port}, token="secret\n").call("trading", "POST", "/orders")
    assert asked[0]["headers"]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("token", ["sec\nret", "sec\x00ret", "secr\xe4t"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_told(token: str) -> None:
    with pytest.raises(ConfigError, match="no header can carry") as caught:
        Client({}, token=token)
    assert "ret" not in str(caught.value)
    assert "r\xe4t" not in str(caught.value)
