"""The port of a worker: what answers there, and how it is taken down without dropping a request."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Callable, Sized
from typing import TYPE_CHECKING

import msgspec

from nautilus.core.region import start_of
from nautilus.gateway.assembly import assemble
from nautilus.gateway.lines import MOST_DESCRIPTORS, Handed, Line
from nautilus.gateway.sums import SummedCounters, SummedHistograms
from nautilus.gateway.table import name_of, read_table
from nautilus.model.enums import EngineState
from nautilus.runtime.access_settings import AccessConfig, checked_context, rules_of
from nautilus.runtime.auditing import open_audit
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.port import Port
from nautilus.runtime.http.sessions import session_route
from nautilus.runtime.metrics import EngineView, SharedMeters, Sums

if TYPE_CHECKING:
    from nautilus.gateway.worker import WorkerContext

ENGINE = "gateway"
SPARED_FILES = 1024
"""Of those that a process may open, for everything but clients."""
GIVE_UP_SECONDS = 0.005
"""Between looks for connections that have become idle."""


class Serving:
    """Of one worker."""

    def __init__(self, context: WorkerContext) -> None:
        plan, counters = context.plan, context.counters
        self._context = context
        config = plan.config("http", HttpConfig)
        config = msgspec.structs.replace(config, http2=config.http2 and context.config.http2)
        rules = rules_of(plan, counters)
        self._view = EngineView(
            ENGINE,
            "gateway-workers",
            counters,
            state=EngineState.RUNNING,
            instance=str(plan.epoch),
            shared=(SharedMeters("gateway", plan.shared),),
            sums=Sums(SummedCounters(plan.shared), SummedHistograms(plan.shared)),
            warnings=self._warnings,
        )
        self._audit = open_audit(plan, name_of(context.number), counters)
        self._app = assemble(context, self._view, rules, self._audit)
        if rules.keys is not None:
            self._app.add(session_route(rules.keys, plan.config("access", AccessConfig).session_seconds))
        files = most_files() - SPARED_FILES
        most = min(context.config.connections, files)
        leases = self._app.leases
        self.port = Port(self._app, counters, config, name=ENGINE, most=most, files=files, leases=leases)
        self.secure: Port | None = None
        """Where TLS is spoken, at the address of the configuration; `port` is plain, for this machine alone then."""
        tls = checked_context(plan)
        if tls is not None:
            self.secure = Port(self._app, counters, config, name=ENGINE, tls=tls, most=most, files=files, leases=leases)
        self._share_files(files)
        self._connections = counters.gauge("http.connections")

    async def start(self, plain: socket.socket, secure: socket.socket | None = None) -> None:
        """Answer requests, over TLS too where there is a listening socket for it."""
        await self.port.listen(plain.dup())
        if self.secure is not None and secure is not None:
            await self.secure.listen(secure.dup())

    def _share_files(self, files: int) -> None:
        """Both ports and the far ends of WebSockets that are passed through share what this process may open."""
        proxy = self._app.proxy
        ports = [port.connections for port in (self.port, self.secure) if port is not None]
        if proxy is None:
            return
        for own in ports:
            own.beside = Beside([proxy.tunnels, *(other for other in ports if other is not own)])
        proxy.files_left = lambda: min(each.files_left for each in ports)

    def adopt(self, connection: socket.socket) -> None:
        """Take over a connection of a worker that drains."""
        self.port.adopt(connection)

    def renew_gauges(self) -> None:
        """Say how busy it is."""
        self._context.counters.set(self._connections, self._busy())

    def _busy(self) -> int:
        return len(self.port.connections) + (0 if self.secure is None else len(self.secure.connections))

    async def drain(self, seconds: float, line: Callable[[], Line]) -> None:
        """Give connections away as they become idle; after a time close those that cannot change hands.

        A connection over TLS closes with its next answer: its keys are in this process alone. Where the lead has gone,
        connections wait for the next one, to which `line` leads then.
        """
        self.port.stop_listening()
        if self.secure is not None:
            self.secure.stop_listening()
            self.secure.draining = True
        loop = asyncio.get_running_loop()
        end_seconds = loop.time() + seconds
        while self._busy() and loop.time() < end_seconds:
            self._give_away(line())
            await asyncio.sleep(GIVE_UP_SECONDS)
        while line().waiting and loop.time() < end_seconds:
            await asyncio.sleep(GIVE_UP_SECONDS)
            line().flush()
        await self.stop(0.0)

    async def stop(self, seconds: float) -> None:
        """Take nothing new; wait so long for what is under way."""
        self._app.stopping = True
        await asyncio.gather(*(port.close(seconds) for port in (self.port, self.secure) if port is not None))
        if self._audit is not None:
            self._audit.close()

    def _give_away(self, line: Line) -> None:
        # A few at a time: all of them at once would take twice the files that they have.
        while not line.closed and not line.waiting:
            found = self.port.give_up_idle(MOST_DESCRIPTORS)
            if not found:
                return
            line.send(Handed(), [each.fileno() for each in found])
            for each in found:
                each.close()

    def _warnings(self) -> list[str]:
        table = read_table(self._context.plan.directory)
        return [] if table.lead and start_of(table.lead) else ["the lead of the gateway is gone"]


class Beside:
    """How many several collections have together."""

    def __init__(self, parts: list[Sized]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(map(len, self._parts))


def most_files() -> int:
    """That this process may open; it is let have all that it may."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return 1 << 20
    if files < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return max(most, 2 * SPARED_FILES)
