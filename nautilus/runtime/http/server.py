"""Serves the applications of a process's engines, each on its own port, in one thread with one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import ssl
import threading
from collections.abc import Mapping
from socket import socket

import uvloop

from nautilus.core.counters import Counters
from nautilus.model.errors import InternalError
from nautilus.runtime.http.app import EngineApp
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.port import Port

LEAST_CONNECTIONS = 8
START_SECONDS = 10.0


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
    tls
        How TLS is spoken: at the sockets of `secure`, or at all of them where there is none.
    secure
        More sockets, by engine, where TLS is spoken while its other one stays plain.
    """

    def __init__(
        self,
        apps: Mapping[str, tuple[EngineApp, socket]],
        counters: Counters,
        config: HttpConfig | None = None,
        tls: ssl.SSLContext | None = None,
        secure: Mapping[str, socket] | None = None,
    ) -> None:
        self._config = config or HttpConfig()
        self._apps = dict(apps)
        self._counters = counters
        self._tls = tls
        self._secure = dict(secure or {})
        self.ports: dict[str, int] = {name: listener.getsockname()[1] for name, (_, listener) in apps.items()}
        """Port of each engine."""
        self.listening: dict[str, Port] = {}
        """What listens there, once it has started; of this server's thread."""
        self._loop = uvloop.new_event_loop()
        self._ended: asyncio.Event | None = None
        self._grace_seconds = 1.0
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
        if self._ended is not None and self._thread.is_alive():
            self._grace_seconds = grace_seconds
            with contextlib.suppress(RuntimeError):  # the loop has just ended by itself
                self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(grace_seconds + 2.0)
        for listener in (*(listener for _, listener in self._apps.values()), *self._secure.values()):
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
        self._ended = asyncio.Event()
        most = self._most_connections()
        ports = []
        for name, (app, listener) in self._apps.items():
            secure = self._secure.get(name)
            plain = None if self._secure else self._tls
            for each, tls in ((listener, plain), (secure, self._tls)):
                if each is not None:
                    port = Port(app, self._counters, self._config, name=name, tls=tls, most=most, leases=app.leases)
                    await port.listen(each)
                    ports.append(port)
                    self.listening.setdefault(name, port)
        self._started.set()
        await self._ended.wait()
        await asyncio.gather(*(port.close(self._grace_seconds) for port in ports))

    def _most_connections(self) -> int:
        """On each port: all of them together leave half of the process's files to others."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            return self._config.connections
        return min(
            self._config.connections, max(files // 2 // (len(self.ports) + len(self._secure)), LEAST_CONNECTIONS)
        )
