"""A connection to a port in memory: what is said is delivered by the running loop, what is answered is kept."""

from __future__ import annotations

import asyncio
from typing import Any

from nautilus.core.counters import Counters
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.exchange import Application
from nautilus.runtime.http.port import Port


class Wire(asyncio.Transport):
    """The transport of a connection of a port, and the other side of it.

    Attributes
    ----------
    sent : everything the port has written.
    answered : it has written something.
    full : the other side takes nothing, until it is told to.
    """

    def __init__(self, port: Port) -> None:
        super().__init__({"peername": ("192.0.2.7", 4711)})
        self.sent = bytearray()
        self.answered = asyncio.Event()
        self.full = False
        self.reading = True
        self.aborted = self.ended = False
        self._closing = False
        self._unread: list[bytes] = []
        self._unsent = 0
        self._loop = asyncio.get_running_loop()
        self.protocol: Any = port.make()
        self.protocol.connection_made(self)

    def say(self, data: bytes) -> None:
        """The other side sends."""
        self._unread.append(data)
        self._deliver()

    def leave(self, error: Exception | None = None) -> None:
        """The other side closes."""
        if not self._closing:
            self.protocol.eof_received()
        self._lose(error)

    def take(self) -> None:
        """The other side takes what waits for it."""
        self.full = False
        if self._unsent:
            self._unsent = 0
            self.protocol.resume_writing()

    def _deliver(self) -> None:
        while self._unread and self.reading and not self._closing:
            self.protocol.data_received(self._unread.pop(0))

    def _lose(self, error: Exception | None = None) -> None:
        if not self.ended:
            self.ended = self._closing = True
            self.protocol.connection_lost(error)

    # Of a transport.

    def write(self, data: Any) -> None:
        if not self._closing:
            self.sent += data
            self.answered.set()
            if self.full and not self._unsent:
                self._unsent = len(data)
                self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return self._unsent

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half_closed = True

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._lose)

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        self._loop.call_soon(self._deliver)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


def port_of(app: Application, config: HttpConfig | None = None, **options: Any) -> Port:
    """A port in the running loop that nothing listens for."""
    port = Port(app, Counters(64), config, **options)
    port.begin()
    return port


async def passes(times: int = 5) -> None:
    """The loop goes round."""
    loop = asyncio.get_running_loop()
    for _ in range(times):
        passed = loop.create_future()
        loop.call_soon(passed.set_result, None)
        await passed
