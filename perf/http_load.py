"""A client that keeps connections busy, or asks at a rate; each answer is read strictly and compared."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

import numpy as np

from nautilus.core.proxy_head import AnswerHead, read_answer


class Asker(asyncio.Protocol):
    """One connection. Asks again as soon as it is answered, as often as the load says."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._data = b""
        self._asked_ns = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if not self._load.over:
            self._load.fail("a connection ended")

    def ask(self) -> None:
        """Send the request."""
        assert self.transport is not None
        self._asked_ns = time.monotonic_ns()
        self.transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        data = self._data + data if self._data else data
        head = read_answer(data)
        if head is None or type(head) is int:
            self._data = data
            if head is not None:
                self._load.fail(f"answer {data[:100]!r}")
            return
        found = cast(AnswerHead, head)
        if len(data) < found.size + found.length:
            self._data = data
            return
        self._data = b""
        load = self._load
        if found.status != 200 or data[found.size :] != load.expected:
            load.fail(f"answer {data[:300]!r}")
            return
        if load.latency is not None:
            load.latency[load.done] = time.monotonic_ns() - self._asked_ns
        if load.on_answer is not None:
            load.on_answer(found)
        load.done += 1
        if load.left > 0:
            load.left -= 1
            self.ask()
        elif load.done == load.count:
            load.finish()


class Load:
    """So many requests over so many connections.

    Parameters
    ----------
    port, request
        Where, and the bytes of one request.
    expected
        Body of every answer.
    """

    def __init__(self, port: int, request: bytes, expected: bytes) -> None:
        self.request = request
        self.expected = expected
        self.left = self.done = self.count = 0
        self.over = False
        self.latency: np.ndarray | None = None
        self.on_answer: Callable[[AnswerHead], object] | None = None
        self._port = port
        self._askers: list[Asker] = []
        self._finished: asyncio.Future[None] | None = None

    async def connect(self, connections: int) -> None:
        """Open the connections."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, asker = await loop.create_connection(lambda: Asker(self), "127.0.0.1", self._port)
            self._askers.append(asker)

    async def run(self, count: int, *, latency: bool = False) -> float:
        """Ask; seconds that it took."""
        self._finished = asyncio.get_running_loop().create_future()
        first = min(count, len(self._askers))
        self.done, self.count, self.left = 0, count, count - first
        self.latency = np.zeros(count, np.int64) if latency else None
        started = time.perf_counter()
        for asker in self._askers[:first]:
            asker.ask()
        await self._finished
        return time.perf_counter() - started

    def fail(self, what: str) -> None:
        """Something is wrong: the whole run is."""
        if self._finished is not None and not self._finished.done():
            self._finished.set_exception(AssertionError(what))

    def finish(self) -> None:
        """All are answered."""
        if self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

    def close(self) -> None:
        """End the connections."""
        self.over = True
        for asker in self._askers:
            if asker.transport is not None:
                asker.transport.abort()
