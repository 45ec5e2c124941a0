"""Runs an ASGI application, such as one of FastAPI, for an exchange: management and queries, beside the hot path."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from nautilus.runtime.http.exchange import ANSWERED, BEGUN, GONE, OPEN, Exchange, stopping
from nautilus.runtime.http.problems import as_http_error

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
EXCHANGE_KEY = "nautilus.exchange"
PRINCIPAL_KEY = "nautilus.principal"
"""Of a scope: who asks."""
HIGH_BYTES = 64 << 10
"""So much of a body waits for the application; then its sender has to."""


class AsgiExchange:
    """One request to an ASGI application, in a task of its own.

    Parameters
    ----------
    app
        The application; what it raises is told to `failed`.
    exchange
        The request.
    body
        Of the request, where it was read already; None: it is streamed.
    failed
        Answers in the application's place where it raised before it began to.
    """

    def __init__(
        self,
        app: App,
        exchange: Exchange,
        body: bytes | None = None,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        self._app = app
        self._exchange = exchange
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._whole = body is not None
        self._given = self._paused = False
        self._failed = failed
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.scope = scope_of(exchange)
        if body:
            self._pieces.append(body)
        exchange.on_abort = self._on_abort
        exchange.on_writable = self._on_writable
        if body is None:
            exchange.stream(self._on_data, self._on_end)
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        exchange = self._exchange
        try:
            await self._app(self.scope, self._receive, self._send)
        except asyncio.CancelledError:
            exchange.problem(stopping())
        except Exception as error:
            if exchange.state == OPEN and self._failed is not None:
                self._failed(error)
            else:
                exchange.problem(as_http_error(error))
        finally:
            if exchange.state == BEGUN:
                exchange.abort()
            elif exchange.state != ANSWERED:  # whose sender has gone is told of, too
                exchange.problem(as_http_error(RuntimeError("no answer")))

    async def _receive(self) -> Message:
        while True:
            if self._exchange.state == GONE:
                return {"type": "http.disconnect"}
            if self._pieces or (self._whole and not self._given):
                piece = self._pieces.popleft() if self._pieces else b""
                self._waiting_bytes -= len(piece)
                if self._paused and self._waiting_bytes < HIGH_BYTES:
                    self._paused = False
                    self._exchange.resume()
                more = bool(self._pieces) or not self._whole
                self._given = not more
                return {"type": "http.request", "body": piece, "more_body": more}
            self._news.clear()
            await self._news.wait()

    async def _send(self, message: Message) -> None:
        exchange = self._exchange
        if message["type"] == "http.response.start":
            self._head = message["status"], [(name.lower(), value) for name, value in message.get("headers", ())]
            return
        if message["type"] != "http.response.body":
            return
        if self._head is not None:
            exchange.start(*self._head)
            self._head = None
        exchange.write(message.get("body", b""))
        if message.get("more_body", False):
            await self._room.wait()
        else:
            exchange.end()
            self._news.set()

    def _on_data(self, data: bytes) -> None:
        self._pieces.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > HIGH_BYTES and not self._paused:
            self._paused = True
            self._exchange.pause()
        self._news.set()

    def _on_end(self) -> None:
        self._whole = True
        self._news.set()

    def _on_writable(self, writable: bool) -> None:
        if writable:
            self._room.set()
        else:
            self._room.clear()

    def _on_abort(self) -> None:
        self._room.set()
        self._news.set()


def scope_of(exchange: Exchange) -> Scope:
    """What an ASGI application is told of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "2" if exchange.http2 else "1.1",
        "method": exchange.method,
        "scheme": "https" if exchange.tls else "http",
        "path": unquote(exchange.path.decode("latin-1")),
        "raw_path": exchange.path,
        "query_string": exchange.query,
        "root_path": "",
        "headers": exchange.headers,
        "client": (exchange.client, 0),
        "server": None,
        EXCHANGE_KEY: exchange,
        PRINCIPAL_KEY: exchange.principal,
    }


def trace_of(scope: Scope) -> str:
    """The trace id of a request, also of one that another server has: see `Exchange.trace_id`."""
    exchange = scope.get(EXCHANGE_KEY)
    if exchange is None:
        exchange = scope[EXCHANGE_KEY] = Exchange(None, scope["method"], b"/", list(scope["headers"]))
    trace: str = exchange.trace_id
    return trace
