"""Arbitrary bytes from a client of a port: no exception, answers that another parser reads, nothing left behind."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

import httptools
from h2.config import H2Configuration
from h2.connection import H2Connection

from nautilus.core.http_head import CHUNKED, UPGRADE, parse_head
from nautilus.runtime.http.exchange import Exchange, Response
from nautilus.runtime.http.port import PREFACE, Port
from tests.fuzz.reader import Reader
from tests.kit.http_wire import Wire, passes, port_of
from tests.kit.naive_http_head import Independent, naive_head

LIMIT = 1000
MOST_PIECES = 256
"""Of one input: what is longer comes in larger ones, or a long input would take the time of many."""
_loop = asyncio.new_event_loop()


def http_head(data: bytes) -> None:
    """A head is read as the naive twin reads it, and where it is taken, as llhttp does."""
    found = parse_head(data)
    assert found == naive_head(data)
    if isinstance(found, tuple):
        method, target, headers, flags, length, end = found
        body = b"1\r\nx\r\n0\r\n\r\n" if flags & CHUNKED else b"x" * min(length, 10_000)
        other = Independent(data[:end] + body)
        assert not other.failed
        assert (other.method, other.target, other.headers) == (method, target, headers)
        assert other.whole or flags & UPGRADE or length > 10_000


def http_connection(data: bytes) -> None:
    """Whatever comes, in whatever pieces: sound answers in order, and at the end the port is as at the beginning.

    What begins as HTTP/2 is answered in frames.
    """
    reader = Reader(data)
    piece = reader.number(1) + 1
    _loop.run_until_complete(_converse(reader.take(reader.left), piece))


async def _converse(data: bytes, piece: int) -> None:
    port, failed, methods = _port()
    wire = Wire(port)
    piece = max(piece, len(data) // MOST_PIECES + 1)
    for at in range(0, len(data), piece):
        if wire.ended:
            break
        wire.say(data[at : at + piece])
        if not wire.reading:
            await passes(2)
    await passes(2)
    sent = bytes(wire.sent)
    wire.leave()
    asked = methods.copy()
    methods.clear()
    assert not failed, failed
    assert _is_as_at_the_beginning(port)
    if data.startswith(PREFACE):
        _read_frames(sent)
    else:
        _read_answers(sent, asked)


@cache
def _port() -> tuple[Port, list[Any], list[str]]:
    """The port of every input, which has to leave it as it was; what went wrong there; the methods it was asked by.

    One made anew for each input took as long as what was said to it.
    """
    failed: list[Any] = []
    methods: list[str] = []

    def app(exchange: Exchange) -> None:
        methods.append(exchange.method)
        _answer(exchange)

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failed.append(context))
    return port_of(app), failed, methods


def _is_as_at_the_beginning(port: Port) -> bool:
    return not (len(port.connections) or port.heads or port.bodies or port._stalled or port._lingering)


def _read_answers(sent: bytes, methods: list[str]) -> None:
    """Each request has one answer, in order; a last one may tell of what is no request, or be cut where it began."""
    number = 0
    while sent := sent.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n"):
        head, end, sent = sent.partition(b"\r\n\r\n")
        assert end, head[:200]
        httptools.HttpResponseParser(object()).feed_data(head + end)
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        without = number < len(methods) and methods[number] == "HEAD"
        number += 1
        if without or head.startswith(b"HTTP/1.1 204"):
            continue
        if b"content-length" in fields:
            size = int(fields[b"content-length"])
            assert len(sent) >= size
            sent = sent[size:]
        elif b"transfer-encoding" in fields:
            while sent:
                line, _, sent = sent.partition(b"\r\n")
                size = int(line, 16)
                assert sent[size : size + 2] == b"\r\n"
                sent = sent[size + 2 :]
                if not size:
                    break
        else:
            assert fields[b"connection"] == b"close"
            sent = b""
    assert number <= len(methods) + 1


def _answer(exchange: Exchange) -> None:
    """Some of the ways to answer, by the path."""
    if exchange.path.startswith(b"/s"):
        exchange.start(200, [])

        def end() -> None:
            exchange.write(b"end")
            exchange.end()

        exchange.stream(exchange.write, end)
    elif exchange.path.startswith(b"/n"):
        exchange.respond(Response(b"not read"))
    else:
        exchange.read(LIMIT, lambda body: exchange.respond(Response(body)))


def http2_frames(data: bytes) -> None:
    """Frames behind a sound beginning: what comes back are whole frames, and nothing is left behind."""
    _loop.run_until_complete(_exchange_frames(data))


def beginning(method: str = "POST") -> bytes:
    """What a client begins with, and one request whose body is open."""
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    headers = [(":method", method), (":path", "/s"), (":scheme", "http"), (":authority", "localhost")]
    client.send_headers(1, headers)
    return client.data_to_send()


_BEGINNING = beginning()


async def _exchange_frames(data: bytes) -> None:
    port, failed, methods = _port()
    wire = Wire(port)
    wire.say(_BEGINNING)
    for at in range(0, len(data), 97):
        if not wire.ended:
            wire.say(data[at : at + 97])
    await passes(2)
    wire.leave()
    methods.clear()
    assert not failed, failed
    assert _is_as_at_the_beginning(port)
    _read_frames(bytes(wire.sent))


def _read_frames(sent: bytes) -> None:
    """Whole frames of HTTP/2, none larger than may be."""
    while sent:
        size = int.from_bytes(sent[:3])
        assert len(sent) >= 9 + size
        assert size <= 16384
        sent = sent[9 + size :]
