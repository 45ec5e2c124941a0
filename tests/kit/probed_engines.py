"""Engines to be asked how they are: those of a process of its own behind the runtime's server, and odd ones.

Run as a program it serves the named engines, each on a free port, prints {name: port} and goes on until its input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nautilus.core.counters import Counters
from nautilus.gateway.endpoints import Address
from nautilus.model.enums import EngineState
from nautilus.runtime.http.access import AccessRules
from nautilus.runtime.http.app import EngineApp
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.server import HttpServer
from nautilus.runtime.http.sockets import bind_socket
from nautilus.runtime.metrics import EngineView

ENGINES = (
    *("trading", "analytics", "backtesting", "risk", "factor", "ml", "features", "websocket", "strategy"),
    *("marketdata", "portfolio", "router", "notification", "collateral", "vpin", "enhanced-vpin", "gateway"),
)
ROOT = Path(__file__).parents[2]


class ProbedProcess:
    """A process with engines; their ports stay the same when it is started again."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.ports: dict[str, int] = {}
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        """Serve."""
        ports = [str(self.ports.get(name, 0)) for name in self.names]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.probed_engines", ",".join(self.names), ",".join(ports)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self._process.stdout is not None
        self.ports = json.loads(self._process.stdout.readline())

    def addresses(self) -> dict[str, list[Address]]:
        """Where they are."""
        return {name: [Address(name, "127.0.0.1", port)] for name, port in self.ports.items()}

    def signal(self, number: int) -> None:
        """Send it a signal; after SIGSTOP it stands still when this returns."""
        assert self._process is not None
        self._process.send_signal(number)
        if number == signal.SIGSTOP:
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def kill(self) -> None:
        """End it at once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(60)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process = None

    def close(self) -> None:
        """End it, also where it was stopped."""
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self.kill()


@asynccontextmanager
async def odd_engine(answer: list[bytes | None], *, name: str = "odd") -> AsyncIterator[Address]:
    """An engine that answers each question with the first of `answer`; None: with nothing, the connection stays."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                if answer[0] is not None:
                    writer.write(answer[0])
                    await writer.drain()
                    if b"connection: close" in answer[0]:
                        break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Address(name, "127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()


def said(status: str = "healthy", code: int = 200, **more: object) -> bytes:
    """A whole answer to the question."""
    body = json.dumps({"status": status, "uptime_seconds": 5.0, **more}).encode()
    return b"HTTP/1.1 %d Some\r\ncontent-length: %d\r\n\r\n%s" % (code, len(body), body)


def main() -> None:
    names, ports = sys.argv[1].split(","), map(int, sys.argv[2].split(","))
    counters, config = Counters(256), HttpConfig()
    apps = {}
    for name, port in zip(names, ports, strict=True):
        view = EngineView(name, name, counters, EngineState.RUNNING, process_metrics=False)
        app = EngineApp(view, (), lambda *_: None, AccessRules(None, config=config), config=config)
        apps[name] = (app, bind_socket("127.0.0.1", port, name))
    server = HttpServer(apps, counters, config)
    server.start()
    print(json.dumps(server.ports), flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
