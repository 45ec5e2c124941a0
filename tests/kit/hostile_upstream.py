"""An upstream that answers as it is told to, however wrong that is, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable


async def passing(seconds: float = 0.0) -> None:
    """Let the loop go on for a while: what is to be slow, or to come apart, is."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.call_later(seconds, over.set_result, None)
    await over


async def until(condition: Callable[[], object]) -> None:
    """Let the loop go on until something is so."""
    while not condition():
        await passing(0.002)


async def forever() -> None:
    """Never say anything."""
    await asyncio.Event().wait()


Behaviour = Callable[["Asked"], Awaitable[None]]


class Asked:
    """A request that has come, and its connection.

    Attributes
    ----------
    number : of the request, from 0; `connection` counts connections.
    """

    def __init__(
        self, head: bytes, body: bytes, writer: asyncio.StreamWriter, reader: asyncio.StreamReader, number: int
    ) -> None:
        self.head = head
        self.body = body
        self.number = number
        self.reader = reader
        self.writer = writer

    @property
    def start(self) -> bytes:
        """The request line."""
        return self.head.partition(b"\r\n")[0]

    def field(self, name: bytes) -> list[bytes]:
        """Values of a header (lower-case name)."""
        found = []
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name:
                found.append(value.strip())
        return found

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def answer(self, body: bytes = b"{}", status: int = 200, more: bytes = b"") -> None:
        """A right answer."""
        await self.send(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n%b\r\n%b" % (status, len(body), more, body))

    def close(self) -> None:
        """End the connection."""
        self.writer.close()

    def reset(self) -> None:
        """Break it."""
        _reset(self.writer)


class HostileUpstream:
    """Listens on a free port.

    Parameters
    ----------
    behave
        Called with each request.
    lives
        Answers probes by itself.

    Attributes
    ----------
    asked : all requests that came.
    connections : how many connections did.
    """

    def __init__(self, behave: Behaviour, *, lives: bool = True) -> None:
        self.behave = behave
        self.lives = lives
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> HostileUpstream:
        await self.listen()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.die()

    async def listen(self) -> None:
        """Begin, or begin again on the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def die(self) -> None:
        """As a killed process does: nothing listens, every connection breaks."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.break_connections()

    async def break_connections(self) -> None:
        """Reset all of them; it goes on listening."""
        for writer in list(self._writers):
            _reset(writer)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            _reset(writer)  # accepted before its death, and not known then
            return
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await _body(head, reader)
                asked = Asked(head, body, writer, reader, len(self.asked))
                if self.lives and asked.start == b"GET /livez HTTP/1.1":
                    await asked.answer()
                    continue
                self.asked.append(asked)
                await self.behave(asked)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    own = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return body
    if b"content-length: " in lower:
        return await reader.readexactly(int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    return b""
