"""The health monitor at work in the lead: in a thread with an event loop of its own, as the lead's loop is the bus's.

The lead's thread calls the methods; what the monitor finds comes back through `take`, once `fileno` can be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import uvloop

from nautilus.core.counters import Counters
from nautilus.core.route import Routes
from nautilus.gateway.endpoints import Address
from nautilus.gateway.health import REPORT, EngineReport, HealthMonitor, InstanceChange
from nautilus.policy.health import HealthSettings

STOP_SECONDS = 2.0

_LOGGER = logging.getLogger("nautilus.gateway")


class LookResult(msgspec.Struct, frozen=True):
    """What came of a look that was asked for; `report` None: the engine is not watched."""

    number: int
    report: EngineReport | None


class HealthThread:
    """See the module.

    Parameters
    ----------
    names
        Every engine of the instance, also those whose port is not known yet.
    host
        Address of their ports.
    routes
        Makes this process's view of the table of routes.
    counters
        Of the process.
    shared
        Directory that the report is written to.
    interval_seconds
        Between two looks at all engines.
    settings
        When an instance counts as what.
    more
        Instances beside those of `host`, by engine.
    """

    def __init__(
        self,
        names: Iterable[str],
        host: str,
        routes: Callable[[], Routes],
        counters: Counters,
        shared: str,
        interval_seconds: float,
        settings: HealthSettings | None = None,
        more: Mapping[str, Sequence[Address]] | None = None,
    ) -> None:
        self._more = more or {}
        self._names = tuple(names)
        self._host = host
        self._ports: dict[str, int] = {}
        self._found: deque[InstanceChange | LookResult] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._routes = routes()
        self._monitor = HealthMonitor(
            self._routes,
            counters,
            Path(shared, REPORT),
            settings=settings,
            interval_seconds=interval_seconds,
            on_change=self._tell,
        )
        self._loop = uvloop.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._looks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    @property
    def alive(self) -> bool:
        """The thread runs. Once started it should until `close`."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Watch."""
        self._thread.start()
        self.set_ports({})

    def fileno(self) -> int:
        """Readable when there is something to `take`."""
        return self._wake

    def take(self) -> list[InstanceChange | LookResult]:
        """What was found since the last time."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        found = []
        while self._found:
            found.append(self._found.popleft())
        return found

    def set_ports(self, ports: Mapping[str, int]) -> None:
        """Where engines are now. One that is not among them is looked for where it was, until it comes back."""
        self._ports.update(ports)
        engines = {
            name: [
                *([Address(name, self._host, self._ports[name])] if self._ports.get(name) else []),
                *self._more.get(name, ()),
            ]
            for name in self._names
        }
        self._call(lambda: self._monitor.set_engines(engines))

    def broken(self, engine: str, instance: str, cause: str) -> None:
        """A worker met a connection that broke, or could not be had."""
        self._call(lambda: self._monitor.broken(engine, instance, cause))

    def look(self, number: int, engine: str) -> None:
        """Look at an engine now; a `LookResult` of this number follows."""

        def begin() -> None:
            task = self._loop.create_task(self._look(number, engine))
            self._looks.add(task)
            task.add_done_callback(self._looks.discard)

        self._call(begin)

    def sweep(self) -> None:
        """A worker has died: what it had in flight is not in flight any more."""
        self._routes.sweep()

    def close(self) -> None:
        """Watch no more."""
        if self._thread.is_alive():
            self._call(self._stop)
            self._thread.join(STOP_SECONDS)
        with contextlib.suppress(OSError):
            os.close(self._wake)

    def _call(self, act: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(act)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._task = self._loop.create_task(self._monitor.run())
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._task)
        except Exception as error:
            _LOGGER.critical("the health monitor failed: %s", error, exc_info=error)
        finally:
            self._loop.close()

    async def _look(self, number: int, engine: str) -> None:
        report = None
        with contextlib.suppress(LookupError):
            report = await self._monitor.check(engine)
        self._tell(LookResult(number, report))

    def _tell(self, found: InstanceChange | LookResult) -> None:
        self._found.append(found)
        os.eventfd_write(self._wake, 1)
