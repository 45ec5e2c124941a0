"""A client of WebSockets on real sockets, and a source that is told what to send."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

from nautilus.runtime.http.websocket import CLOSE, PING, PONG, TEXT, accept_of, close_frame, frame_of
from tests.kit.gateway import Client
from tests.kit.hostile_upstream import Asked, forever

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = [
    (b"connection", b"keep-alive, Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-key", KEY),
    (b"sec-websocket-version", b"13"),
]


def switched(asked: Asked) -> bytes:
    """The head of the answer that switches."""
    [key] = asked.field(b"sec-websocket-key")
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept_of(key)
    )


class Sources:
    """Behaviour of an upstream that switches, and keeps every connection for the test to write to."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    async def __call__(self, asked: Asked) -> None:
        await asked.send(switched(asked))
        self.asked.append(asked)
        await forever()


class Listening:
    """A WebSocket of a client."""

    def __init__(self, client: Client) -> None:
        self.reader, self.writer = client.reader, client.writer

    async def frame(self) -> tuple[int, bytes]:
        """The next frame of the server: opcode and payload."""
        first, second = await self.reader.readexactly(2)
        size = second & 127
        assert first & 0x80
        assert not first & 0x70
        assert not second & 0x80
        if size >= 126:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        return first & 15, await self.reader.readexactly(size)

    async def text(self) -> Any:
        """The next frame, a text: its JSON."""
        opcode, payload = await self.frame()
        assert opcode == TEXT, (opcode, payload)
        return json.loads(payload)

    async def closed(self) -> int:
        """The next frame closes: its code."""
        opcode, payload = await self.frame()
        assert opcode == CLOSE, (opcode, payload)
        return int.from_bytes(payload[:2], "big")

    def send(self, opcode: int, payload: bytes = b"") -> None:
        """A frame of a client."""
        self.writer.write(frame_of(opcode, payload, masked=True))

    def close(self, code: int = 1000) -> None:
        """A frame that closes."""
        self.writer.write(close_frame(code, masked=True))

    async def ended(self) -> bool:
        """Nothing more comes."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True


class Blocking:
    """A listener in a thread of its own: events of a real engine, one after the other."""

    def __init__(self, port: int, path: str, seconds: float = 60.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        fields = b"".join(b"%b: %b\r\n" % field for field in UPGRADE)
        self._socket.sendall(b"GET %b HTTP/1.1\r\nhost: localhost\r\n%b\r\n" % (path.encode(), fields))
        self._file = self._socket.makefile("rb")
        assert self._file.readline().startswith(b"HTTP/1.1 101 ")
        while self._file.readline() != b"\r\n":
            pass

    def text(self) -> Any:
        """The next text: its JSON. Pings on the way are answered."""
        while True:
            first, size = self._file.read(2)
            if size >= 126:
                size = int.from_bytes(self._file.read(2 if size == 126 else 8), "big")
            payload = self._file.read(size)
            if first == 0x80 | PING:
                self._socket.sendall(frame_of(PONG, payload, masked=True))
            else:
                assert first == 0x80 | TEXT, (first, payload)
                return json.loads(payload)

    def close(self) -> None:
        """End it."""
        self._file.close()
        self._socket.close()


async def read_masked(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next frame of a client: opcode and payload; it has to be masked."""
    first, second = await reader.readexactly(2)
    assert second & 0x80, "not masked"
    key = await reader.readexactly(4)
    payload = await reader.readexactly(second & 127)
    return first & 15, bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
