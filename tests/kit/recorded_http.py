"""A provider on a real socket: recorded answers at its own paths and queries, its refusals, and faults by script.

An `Answers` function is a provider: it takes a request and says what the provider answers, refusals included. The
server adds what a web server adds: gzip, `Date`, 304 for what has not changed, connections that stay open; and faults.
"""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from time import monotonic_ns
from types import TracebackType
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit


class Request(NamedTuple):
    """One request: `path` unquoted, `query` by name, `headers` by their names in small letters."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    target: str


class Answer(NamedTuple):
    """What a provider answers."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = {}


Answers = Callable[[Request], Answer]


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    Parameters
    ----------
    status, body, headers
        Instead of the provider's; None: its own.
    change
        Of the right body: a schema that has changed, a text that ends early.
    slow
        No answer until the server is closed.
    late_seconds
        So long the answer takes.
    close
        ``now``: before any byte; ``body``: after half of the body; ``head``: in the middle of the head.
    skew_seconds
        What the provider's clock is ahead.
    raw_gzip
        The body is sent as it is, said to be gzip.
    """

    status: int | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    change: Callable[[bytes], bytes] | None = None
    slow: bool = False
    late_seconds: float = 0.0
    close: str = ""
    skew_seconds: float = 0.0
    raw_gzip: bool = False


REASONS = {200: "OK", 304: "Not Modified", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
           429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable"}  # fmt: skip


class RecordedServer:
    """Serves one provider on 127.0.0.1, from a thread of its own; used with `with`.

    Attributes
    ----------
    requests, arrived_ns : every request that came, in order, and when.
    faults : what goes wrong with the next requests, one each; None in it: nothing.
    connections, most_connections : open now, and at most at once.
    """

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.requests: list[Request] = []
        self.arrived_ns: list[int] = []
        self.faults: deque[Fault | None] = deque()
        self.every: Fault | None = None
        self.connections = 0
        self.accepted = 0
        self.most_connections = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._arrived = threading.Condition()
        self._stop: asyncio.Event
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        """Paths that were asked for, in order."""
        return [request.path for request in self.requests]

    def wait_for(self, count: int, seconds: float = 20.0) -> None:
        """Until so many requests have come."""
        with self._arrived:
            came = self._arrived.wait_for(lambda: len(self.requests) >= count, seconds)
        assert came, f"{len(self.requests)} requests came, expected {count}"

    def __enter__(self) -> RecordedServer:
        self._thread.start()
        assert self._ready.wait(10), "the server of recorded answers did not start"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving: connections that are open end, new ones are refused."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)
            assert not self._thread.is_alive(), "the server of recorded answers did not stop"

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for writer in list(self._open):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        self.connections += 1
        self.accepted += 1
        self.most_connections = max(self.most_connections, self.connections)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.connections -= 1
            self._open.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        request = Request(method, unquote(parts.path), query, headers, target)
        if headers.get("content-length", "0") != "0":
            await reader.readexactly(int(headers["content-length"]))
        fault = self.faults.popleft() if self.faults else self.every
        with self._arrived:
            self.requests.append(request)
            self.arrived_ns.append(monotonic_ns())
            self._arrived.notify_all()
        if fault is not None and fault.slow:
            await self._stop.wait()
            return False
        if fault is not None and fault.late_seconds:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), fault.late_seconds)
        if fault is not None and fault.close == "now":
            return False
        answer = self.answers(request) if fault is None or fault.status is None else Answer()
        payload = self._payload(request, answer, fault)
        if fault is not None and fault.close:
            at = payload.index(b"\r\n\r\n") + 4
            writer.write(payload[: at // 2 if fault.close == "head" else (at + len(payload)) // 2])
            await writer.drain()
            writer.write_eof()
            return False
        writer.write(payload)
        await writer.drain()
        return headers.get("connection", "").lower() != "close"

    def _payload(self, request: Request, answer: Answer, fault: Fault | None) -> bytes:
        fault = fault or Fault()
        status = answer.status if fault.status is None else fault.status
        body = answer.body if fault.body is None else fault.body
        if fault.change is not None:
            body = fault.change(body)
        headers = {"Content-Type": "application/json; charset=utf-8", **answer.headers, **fault.headers}
        now = datetime.now(UTC) + timedelta(seconds=fault.skew_seconds)
        headers.setdefault("Date", format_datetime(now, usegmt=True))
        if status == 200 and _unchanged(request, headers):
            status, body = 304, b""
        if fault.raw_gzip:
            headers["Content-Encoding"] = "gzip"
        elif body and "gzip" in request.headers.get("accept-encoding", "") and "Content-Encoding" not in headers:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 1)
        headers["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}\r\n{head}\r\n".encode("latin-1") + body


def _unchanged(request: Request, headers: Mapping[str, str]) -> bool:
    told = {name.lower(): value for name, value in headers.items()}
    if "if-none-match" in request.headers:
        return request.headers["if-none-match"] == told.get("etag")
    return "last-modified" in told and request.headers.get("if-modified-since") == told["last-modified"]
