"""Streams of an engine at its own port, and the frames of WebSockets, read strictly."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from nautilus.core.counters import Counters
from nautilus.engines.risk import RiskEngine
from nautilus.runtime.http.access import AccessRules
from nautilus.runtime.http.app import EngineApp
from nautilus.runtime.http.port import Port
from nautilus.runtime.http.websocket import (
    BINARY,
    CONTINUATION,
    TEXT,
    FrameError,
    MessageReader,
    frame_of,
    read_frame,
)
from nautilus.runtime.metrics import EngineView
from tests.kit.gateway import Client
from tests.kit.hostile_upstream import until
from tests.kit.web_sockets import UPGRADE


def with_port(scene: Callable[..., Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        counters = Counters()
        view = EngineView("risk", "risk", counters)
        app = EngineApp(view, RiskEngine.operations, never, AccessRules("token"), streams=RiskEngine.streams)
        port = Port(app, counters)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        await port.listen(listener)
        try:
            return await scene(app, port, listener.getsockname()[1])
        finally:
            await port.close(0.1)

    return asyncio.run(asyncio.wait_for(whole(), 60))


def never(*arguments: Any) -> None:
    raise AssertionError("nobody asks the engine")


async def ask(number: int, path: bytes = b"/streams/alerts", fields: Any = UPGRADE, method: bytes = b"GET") -> Client:
    client = Client(*await asyncio.open_connection("127.0.0.1", number))
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    client.writer.write(b"%b %b HTTP/1.1\r\nhost: localhost\r\n%b\r\n" % (method, path, lines))
    return client


def test_who_has_gone_is_forgotten_and_the_document_names_the_stream():
    async def scene(app, port, number):
        client = await ask(number)
        await client.answer()
        assert len(port.connections) == 1
        client.writer.transport.abort()
        await until(lambda: not port.connections)
        return app.document()["paths"]["/streams/alerts"]["get"]["responses"]

    assert set(with_port(scene)) == {"101", "default"}


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_000])
@pytest.mark.parametrize("masked", [False, True])
def test_a_frame_is_read_as_it_was_made_and_not_before_its_end(size, masked):
    payload = bytes(at % 251 for at in range(size))
    whole = frame_of(BINARY, payload, masked=masked)
    frame = read_frame(whole, 0, 1 << 20, masked=masked)
    assert frame is not None
    assert (frame.opcode, frame.final, frame.payload, frame.end) == (BINARY, True, payload, len(whole))
    for cut in (1, 3, len(whole) - 1):
        if cut < len(whole):
            assert read_frame(whole[:cut], 0, 1 << 20, masked=masked) is None


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x80\x01a", 1002),
        (b"\x01\x01a\x81\x01b", 1002),
        (b"\x81\x7e\x00\x01a", 1002),
        (b"\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x01a", 1002),
        (b"\x82\x7e\xff\xff", 1009),
        (b"\x01\x7d" + bytes(125) + b"\x00\x7d" + bytes(125), 1009),
        (b"\x81\x01\xff", 1007),
    ],
    ids=[
        "piece-of-nothing",
        "message-in-message",
        "long-way-16",
        "long-way-64",
        "too-big",
        "pieces-too-big",
        "no-utf8",
    ],
)
def test_what_is_no_message_is_refused(data, code):
    with pytest.raises(FrameError) as found:
        MessageReader(200).feed(data)
    assert found.value.code == code


def test_a_character_may_be_cut_between_two_pieces():
    text = "ü".encode()
    reader = MessageReader(200)
    assert reader.feed(bytes((TEXT, 1)) + text[:1]) == []
    assert reader.feed(bytes((0x80 | CONTINUATION, 1)) + text[1:]) == [(TEXT, text)]
