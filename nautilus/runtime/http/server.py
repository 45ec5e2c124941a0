"""Serves the applications of a process's engines, each on its own socket, in one thread with one event loop.

uvicorn parses and writes. Its signal handlers are left out, it binds nothing, and it stops within a bounded time.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import threading
from collections.abc import Iterator, Mapping
from socket import socket
from typing import Any, cast

import uvicorn
import uvloop

from nautilus.core.counters import Counters
from nautilus.model.errors import InternalError
from nautilus.runtime.http.app import EngineApp
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.protocol import Connection, Connections

LEAST_CONNECTIONS = 8
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
        self._failures = counters.counter("http.errors")
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

    def _protocol(self) -> type[Connection]:
        """The protocol with this server's limits."""
        counters, refused, failures = self._counters, self._refused, self._failures
        connections = {port: Connections(self._most_connections()) for port in self.ports.values()}

        class Counted(Connection):
            ports = connections

            def count(self, status: int) -> None:
                counters.increment(failures if status >= 500 else refused)

        return Counted

    def _most_connections(self) -> int:
        """On each port: all of them together leave half of the process's files to others."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            return self._config.connections
        return min(self._config.connections, max(files // 2 // len(self.ports), LEAST_CONNECTIONS))


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
