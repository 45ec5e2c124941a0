"""Clients that mean ill or break off, against a real server: nobody else notices, and nothing is left of them."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Iterator

import pytest

from nautilus.model.queries import OrderResult
from nautilus.runtime.http import port as port_module
from nautilus.runtime.http.config import HttpConfig
from tests.kit.http_engines import ORDER, Engines, call, count
from tests.kit.live_host import eventually
from tests.unit.core.test_http_head import SMUGGLED

JSON = {"Content-Type": "application/json"}
HEAD = b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
HELD = json.dumps({**ORDER, "instrument": "HELD"}).encode()
MANY = 100


@pytest.fixture
def engines() -> Iterator[Engines]:
    made = Engines(HttpConfig(answer_seconds=60.0, body_seconds=0.5, connections=1000), None)
    yield made
    made.close()


@pytest.fixture
def dial(engines):
    """Makes connections, closed in the end."""
    made = []

    def one(content=b""):
        made.append(socket.create_connection(("127.0.0.1", engines.server.ports["trading"]), timeout=60))
        if content:
            made[-1].sendall(content)
        return made[-1]

    yield one
    for connection in made:
        connection.close()


def whole(connection):
    """Everything until the other side closes."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            found += part
    return found


def is_clean(engines):
    """Whether nothing is left of any connection."""
    port = engines.server.listening["trading"]
    return (len(port.connections), port.busy, port.heads, port.bodies) == (0, 0, {}, {})


def test_heads_that_drip_are_given_up_while_others_are_served(engines, dial, monkeypatch):
    monkeypatch.setattr(port_module, "HEAD_SECONDS", 0.3)
    slow = [dial(HEAD) for _ in range(MANY)]
    silent = [dial() for _ in range(MANY)]
    for connection in slow:
        with contextlib.suppress(OSError):
            connection.sendall(b"X-More: y\r\n")  # goes on, and does not win time by it
    assert call(engines, "POST", "/orders", ORDER, headers=JSON)[0] == 200
    assert [whole(connection) for connection in slow + silent] == [b""] * (2 * MANY)
    assert count(engines, "http.given_up_heads") == 2 * MANY
    eventually(lambda: is_clean(engines))


def test_half_bodies_are_given_up_each_with_an_answer(engines, dial):
    sized = [dial(HEAD + b"Content-Length: 100\r\n\r\n{") for _ in range(MANY)]
    chunked = [dial(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{") for _ in range(MANY)]
    assert call(engines, "POST", "/orders", ORDER, headers=JSON)[0] == 200
    for connection in sized + chunked:
        answer = whole(connection)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"http.slow"' in answer
    assert count(engines, "http.given_up_bodies") == 2 * MANY
    eventually(lambda: is_clean(engines))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"P",
        HEAD,
        HEAD + b"Content-Length: 100\r\n\r\n",
        HEAD + b"Content-Length: 100\r\n\r\n{",
        HEAD + b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        HEAD + b"Content-Length: %d\r\n\r\n" % len(HELD) + HELD,
        HEAD + b"Content-Length: 9000000\r\n\r\n" + b"x" * 100_000,
        b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
def test_reset_in_any_state_leaves_nothing_behind(engines, dial, content):
    for _ in range(20):
        connection = dial(content)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    eventually(lambda: is_clean(engines))
    for answer in engines.held:
        answer.set_result(OrderResult(1, "accepted", 1.0))
    assert call(engines, "POST", "/orders", ORDER, headers=JSON)[0] == 200
    eventually(lambda: is_clean(engines))


def test_client_that_never_reads_is_cut_and_does_not_fill_the_memory(engines, dial, monkeypatch):
    monkeypatch.setattr(port_module, "STALL_SECONDS", 0.3)
    greedy = dial()
    greedy.settimeout(0.2)
    sent = 0
    with contextlib.suppress(OSError):
        while sent < 1 << 20:
            sent += greedy.send(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500)
    greedy.settimeout(60)
    eventually(lambda: count(engines, "http.given_up_answers") == 1)
    assert count(engines, "http.requests") < 2000  # of more than twenty thousand that were asked for
    eventually(lambda: is_clean(engines))


@pytest.mark.parametrize("data", SMUGGLED)
def test_request_behind_a_malformed_one_is_never_carried_out(engines, dial, data):
    hidden = HEAD + b"Content-Length: %d\r\n\r\n" % len(HELD) + HELD
    answer = whole(dial(data + b"0\r\n\r\n" + hidden))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert engines.asked == []


def test_body_that_lies_about_its_length_ends_the_connection(engines, dial):
    body = json.dumps(ORDER).encode()
    short = HEAD + b"Content-Length: %d\r\n\r\n" % (len(body) - 1) + body
    answer = whole(dial(short))
    found = [answer.count(text) for text in (b"HTTP/1.1 400 ", b'"code":"http.body"', b'"code":"http.malformed"')]
    assert found == [2, 1, 1]
    assert engines.asked == []
