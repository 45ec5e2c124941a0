"""What one client's connections may cost the others, against a real server on free ports."""

from __future__ import annotations

import http.client
import json
import logging
import socket
from collections.abc import Iterator

import pytest
import structlog

from nautilus.model.queries import OrderResult
from nautilus.runtime import logs
from nautilus.runtime.http import connections, scrape, server
from nautilus.runtime.http.body import DRAINED_BYTES
from nautilus.runtime.http.config import HttpConfig
from tests.kit.http_engines import ORDER, Engines, answer_of, call, raw

MOST = 4
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
HELD = json.dumps({**ORDER, "instrument": "HELD"})
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def engines() -> Iterator[Engines]:
    made = Engines(HttpConfig(answer_seconds=60.0, connections=MOST), None)
    yield made
    made.close()


@pytest.fixture
def opened(engines):
    """Makes connections to a port, closed in the end."""
    made = []

    def open_one(engine="trading"):
        made.append(http.client.HTTPConnection("127.0.0.1", engines.server.ports[engine], timeout=60))
        return made[-1]

    yield open_one
    for connection in made:
        connection.close()


def asked(connection):
    connection.request("GET", "/livez")
    return answer_of(connection)[0]


def is_closed(connection):
    connection.sock.settimeout(60)
    return connection.sock.recv(1) == b""


def flood(connection, piece, most):
    """Send until the other side closes; how many bytes that took."""
    sent = 0
    try:
        while sent < most:
            connection.sendall(piece)
            sent += len(piece)
    except OSError:
        pass
    return sent


def test_idle_connections_make_room_the_longest_idle_first(engines, opened):
    idle = [opened() for _ in range(MOST)]
    for connection in idle:
        assert asked(connection) == 200
    assert asked(idle[0]) == 200  # idle for the shortest time now
    newcomer = opened()
    assert asked(newcomer) == 200
    assert is_closed(idle[1])
    sockets = [connection.sock for connection in (idle[0], idle[2], idle[3], newcomer)]
    assert [asked(connection) for connection in (idle[0], idle[2], idle[3], newcomer)] == [200] * 4
    assert sockets == [connection.sock for connection in (idle[0], idle[2], idle[3], newcomer)]


def test_many_idle_connections_of_one_client_keep_nobody_out(engines, opened):
    for _ in range(5 * MOST):
        assert asked(opened()) == 200
    assert call(engines, "POST", "/orders", ORDER, headers=JSON)[0] == 200


def test_busy_connections_are_kept_and_what_comes_on_top_is_told_when_to_come_again(engines, opened):
    busy = [opened() for _ in range(MOST)]
    for number, connection in enumerate(busy):
        engines.holding.clear()
        connection.request("POST", "/orders", HELD, JSON)
        assert engines.holding.wait(60)
        assert len(engines.held) == number + 1
    head, _, body = raw(engines, GET).partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in lines)
    told = json.loads(body)
    assert status == b"HTTP/1.1 503 Service Unavailable"
    assert (headers[b"retry-after"], headers[b"connection"]) == (b"1", b"close")
    assert (headers[b"content-type"], headers[b"x-content-type-options"]) == (b"application/problem+json", b"nosniff")
    assert b"date" in headers
    assert (told["code"], len(told["trace_id"])) == ("http.connections", 32)
    assert call(engines, "GET", "/livez", engine="risk")[0] == 200  # another port has its own
    for answer in engines.held:
        answer.set_result(OrderResult(1, "accepted", 1.0))
    assert [answer_of(connection)[0] for connection in busy] == [200] * MOST


def test_connections_that_ask_nothing_make_room_too_but_not_at_once(engines, monkeypatch):
    port = engines.server.ports["trading"]
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 3600.0)
    silent = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(MOST)]
    try:
        assert b"http.connections" in raw(engines, GET)
        monkeypatch.setattr(connections, "PATIENCE_SECONDS", -1.0)
        silent[1].sendall(GET[:20])
        assert b"alive" in raw(engines, GET)
        assert silent[0].recv(1) == b""
    finally:
        for connection in silent:
            connection.close()


def test_ports_of_a_process_leave_files_for_the_rest_of_it(engines, monkeypatch):
    for files, most in ((1 << 20, MOST), (2 * 2 * 3, server.LEAST_CONNECTIONS), (server.resource.RLIM_INFINITY, 512)):
        monkeypatch.setattr(server.resource, "getrlimit", lambda _, files=files: (files, files))
        engines.server._config = HttpConfig(connections=512 if files < 0 or most != MOST else MOST)
        assert engines.server._most_connections() == most


@pytest.mark.parametrize("head", [b"GET /livez HTTP/1.1\r\n", b"POST /orders HTTP/1.1\r\nOrigin: http://evil\r\n"])
@pytest.mark.parametrize("chunked", [True, False])
def test_body_that_nobody_wants_is_not_read_without_end(engines, head, chunked):
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 209715200"
    piece = b"%x\r\n%b\r\n" % (1 << 16, b"x" * (1 << 16)) if chunked else b"x" * (1 << 16)
    with socket.create_connection(("127.0.0.1", engines.server.ports["trading"]), timeout=60) as connection:
        connection.sendall(head + b"Host: localhost\r\n" + length + b"\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 ")
        sent = flood(connection, piece, 200 << 20)
        assert sent < 2 * DRAINED_BYTES + (16 << 20)  # with what the system keeps on the way


def test_small_body_of_a_get_is_left_out_and_the_connection_goes_on(engines, opened):
    connection = opened()
    for _ in range(3):
        connection.request("GET", "/livez", b"x" * 1000)
        assert answer_of(connection)[0] == 200


def test_trailers_of_a_body_are_no_headers_and_are_not_kept(engines):
    body = json.dumps({**ORDER, "instrument": "BUG"}).encode()
    head = b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    trace = b"0af7651916cd43dd8448eb211c80319c"
    trailers = b"traceparent: 00-" + trace + b"-b7ad6b7169203331-01\r\n" + b"x: y\r\n" * 10_000
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailers)
    answer = raw(engines, head + chunked)
    assert b"HTTP/1.1 500 " in answer
    assert trace not in answer


def test_time_outs_and_errors_are_in_latencies_and_counts():
    engines = Engines(HttpConfig(answer_seconds=0.05), None)
    try:
        given = []
        for instrument, status in (("HELD", 504), ("BUG", 500), ("OFFTICK", 422), ("BTCUSDT", 200)):
            given.append(call(engines, "POST", "/orders", {**ORDER, "instrument": instrument}, headers=JSON)[0])
            assert given[-1] in (status, 504)  # any may be late on a machine that stands still
        found = call(engines, "GET", "/hybrid/performance")[2]["operations"]["POST /orders"]
        errors = sum(status >= 500 for status in given)
        assert (found["count"], found["errors"], found["max_us"] >= 50_000) == (4, errors, True)
        assert given[0] == 504
    finally:
        engines.close()


def test_metrics_that_are_polled_hard_are_rendered_seldom(engines, monkeypatch):
    monkeypatch.setattr(scrape, "FRESH_NS", 1 << 62)
    pages = {call(engines, "GET", "/metrics")[2] for _ in range(10)}
    assert len(pages) == 1  # uptime alone would make each another one
    monkeypatch.setattr(scrape, "FRESH_NS", -1)
    assert call(engines, "GET", "/metrics")[2] not in pages


def test_log_of_the_process_has_the_trace_of_an_unforeseen_error(engines, tmp_path):
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        logs.configure("rim", tmp_path)
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        order = {**ORDER, "instrument": "BUG"}
        first = call(engines, "POST", "/orders", order, headers={**JSON, "traceparent": parent})[2]["trace_id"]
        second = call(engines, "POST", "/orders", order, headers=JSON)[2]["trace_id"]
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    lines = [json.loads(line) for line in (tmp_path / "logs" / "rim.jsonl").read_text().splitlines()]
    assert [(line["engine"], line["code"], line["trace_id"], line["count"]) for line in lines] == [
        ("trading", "internal", first, 1),
        ("trading", "internal", second, 2),
    ]
    assert first == parent[3:35]
    assert "raise ZeroDivisionError" in lines[0]["traceback"]
    assert "traceback" not in lines[1]
