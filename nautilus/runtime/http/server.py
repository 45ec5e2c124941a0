"""Serves the applications of a process's engines, each on its own socket, in one thread with one event loop.

uvicorn parses and writes. Its signal handlers are left out, it binds nothing, and it stops within a bounded time.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from socket import socket
from typing import Any, cast

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from nautilus.core.counters import Counters
from nautilus.model.errors import InternalError
from nautilus.runtime.http.app import EngineApp
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.exchange import problem_response
from nautilus.runtime.http.problems import HttpError

HEAD_BYTES = 64 << 10
"""Largest request line and headers together, beyond what comes in the first piece."""
HEAD_SECONDS = 10.0
DATE_SECONDS = 1.0
START_SECONDS = 10.0
LAST_LOOKS, LAST_LOOK_SECONDS = 20, 0.01


class HttpServer:
    """Serves engines over HTTP until `stop`.

    Parameters
    ----------
    apps
        Each engine's application and the listening socket for it.
    counters
        Of the process.
    config
        Limits.
    """

    def __init__(
        self, apps: Mapping[str, tuple[EngineApp, socket]], counters: Counters, config: HttpConfig | None = None
    ) -> None:
        self._config = config or HttpConfig()
        self._apps = dict(apps)
        self.ports: dict[str, int] = {name: listener.getsockname()[1] for name, (_, listener) in apps.items()}
        """Port of each engine."""
        self._refused = counters.counter("http.refused")
        self._counters = counters
        self._loop = uvloop.new_event_loop()
        self._server: _Server | None = None
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def alive(self) -> bool:
        """The thread runs. Once started it should until `stop`."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Serve; returns as soon as requests are answered."""
        self._thread.start()
        if not self._started.wait(START_SECONDS) or self._failure is not None:
            raise InternalError(f"HTTP did not start: {self._failure or 'no sign of life'}", where="http")

    def drain(self) -> None:
        """From now on answer requests, but for probes, with 503; what is under way goes on."""
        for app, _ in self._apps.values():
            app.stopping = True

    def stop(self, grace_seconds: float = 1.0) -> None:
        """Stop: refuse what comes, wait so long for what is under way, close every connection."""
        self.drain()
        server = self._server
        if server is not None and self._thread.is_alive():
            server.grace_seconds = grace_seconds
            with contextlib.suppress(RuntimeError):  # the loop has just ended by itself
                self._loop.call_soon_threadsafe(server.ended.set)
            self._thread.join(grace_seconds + 2.0)
        for _, listener in self._apps.values():
            listener.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._started.set()
            self._loop.close()

    async def _serve(self) -> None:
        by_port = {self.ports[name]: app for name, (app, _) in self._apps.items()}

        async def dispatch(scope: Any, receive: Any, send: Any) -> None:
            await by_port[scope["server"][1]](scope, receive, send)

        config = uvicorn.Config(
            dispatch,
            http=self._protocol(),
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=cast(int, self._config.idle_seconds),
        )
        self._server = _Server(config, self._started)
        await self._server.serve(sockets=[listener for _, listener in self._apps.values()])

    def _protocol(self) -> type[HttpToolsProtocol]:
        """The protocol with this server's limits."""
        outer = self

        class Limited(_Protocol):
            most_connections = outer._config.connections

            def refused(self) -> None:
                outer._counters.increment(outer._refused)

        return Limited


class _Server(uvicorn.Server):
    """uvicorn's server without its signals, told to end by an event, and quick about it."""

    def __init__(self, config: uvicorn.Config, begun: threading.Event) -> None:
        super().__init__(config)
        self.ended = asyncio.Event()
        self.grace_seconds = 1.0
        self._begun = begun

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self._begun.set()
        while not self.ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), DATE_SECONDS)
            await self.on_tick(0)  # renews the Date header

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        # Unused connections close now, the others after their answer.
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            await asyncio.wait(list(self.server_state.tasks), timeout=self.grace_seconds)
        for task in list(self.server_state.tasks):
            task.cancel()
        if self.server_state.tasks:
            await asyncio.wait(list(self.server_state.tasks), timeout=0.2)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.close()
        for _ in range(LAST_LOOKS):  # so that the last answers leave before the loop does
            if not self.server_state.connections:
                break
            await asyncio.sleep(LAST_LOOK_SECONDS)


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol with limits on what a connection may cost, and problems where it would answer with text."""

    most_connections = 512
    _in_head = False
    _head_bytes = 0

    def refused(self) -> None:
        """A request was refused here."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._unanswered: deque[Any] = deque()
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._answer(HttpError(503, "http.connections", "too many connections at once"))
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        if self.parser is None or self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._answer(
                    HttpError(431, "http.head_size", "too many headers", expected=f"at most {HEAD_BYTES} bytes")
                )
                return
        waiting = self.timeout_keep_alive_task if self._in_head else None
        if waiting is not None:
            self.timeout_keep_alive_task = None  # so that it is not put off by every further piece
        super().data_received(data)
        if waiting is not None and self._in_head and self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = waiting
        elif waiting is not None:
            waiting.cancel()
        elif self._in_head and self.timeout_keep_alive_task is None:
            self._await_head()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()
        self._unanswered.append(self.cycle)

    def on_response_complete(self) -> None:
        if self._unanswered:
            self._unanswered.popleft()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._give_up()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._answer(HttpError(400, "http.malformed", "no HTTP that can be understood", expected="HTTP/1.1"))

    def _give_up(self) -> None:
        # uvicorn tells the newest request alone that nobody listens; with more of them, the rest would write on.
        for cycle in self._unanswered:
            cycle.disconnected = True

    def _await_head(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def _answer(self, error: HttpError) -> None:
        """Answer without a request, and close; what was asked before and is not answered yet never is."""
        self.refused()
        self._give_up()
        response = problem_response(error, "")
        status = f"HTTP/1.1 {error.status} \r\n".encode()
        head = f"content-type: {response.content_type}\r\ncontent-length: {len(response.body)}\r\n".encode()
        self.transport.write(status + head + b"connection: close\r\n\r\n" + response.body)
        self.transport.close()
