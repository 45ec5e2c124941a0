"""Live hosts in threads of the test's process, on real sockets: a plan of one's own, and a venue beside them."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nautilus.bus import Delivery, Mesh, MessageKind, make_context
from nautilus.core import Kernel
from nautilus.engines.base import Engine
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.engines.trading import TradingConfig, TradingEngine
from nautilus.model.account import Account
from nautilus.model.message import Message
from nautilus.model.queries import SourceState, SourceStatus
from nautilus.model.records import Records
from nautilus.runtime.clock import ClockAnchor, monotonic_ns, pause, wall_ns
from nautilus.runtime.control import describe_error
from nautilus.runtime.live import LiveHost
from nautilus.runtime.plan import Plan, ProcessSpec
from nautilus.runtime.wire import from_wire, to_wire
from tests.kit.context import MARKET_ACCOUNT, btcusdt

CORE = ProcessSpec("core", "core", (), 9)
VENUE = {"venue": ("trading", "marketdata")}
"""The process of a `Venue`, for plans."""


def eventually(condition: Callable[[], Any], *, seconds: float = 60.0) -> Any:
    """The condition's value, once it is true; AssertionError when it is not in time."""
    end_ns = monotonic_ns() + int(seconds * 1e9)
    while not (value := condition()):
        assert monotonic_ns() < end_ns, f"not within {seconds} s: {condition}"
        pause(0.002)
    return value


def make_plan(directory: Path, processes: Mapping[str, tuple[str, ...]], **changes: Any) -> Plan:
    """A plan with these engines in these processes, in a directory whose path is short."""
    now_ns = wall_ns()
    for name in ("shared", "data"):
        (directory / name).mkdir(exist_ok=True)
    fields: dict[str, Any] = {
        "instance": "test",
        "directory": str(directory),
        "shared": str(directory / "shared"),
        "data": str(directory / "data"),
        "profile": "native",
        "processes": (
            CORE,
            *(ProcessSpec(name, "engines", engines, rank) for rank, (name, engines) in enumerate(processes.items())),
        ),
        "sections": {},
        "market": "none",
        "speed": 1.0,
        "seed": 1,
        "strategies": (),
        "epoch": now_ns,
        "clock": ClockAnchor(now_ns, now_ns),
        "demo": True,
        "ports": "free",
        "bind": "127.0.0.1",
    }
    return Plan(**(fields | changes))


@contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for the names of sockets."""
    path = Path(tempfile.mkdtemp(prefix="nau-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class RunningHost:
    """A host in a thread of its own, until `close`."""

    def __init__(
        self,
        plan: Plan,
        process: str,
        engines: Mapping[str, Callable[[], Engine]],
        before: Callable[[LiveHost], object] = lambda host: None,
        **options: Any,
    ) -> None:
        self.host: LiveHost
        self.error: BaseException | None = None
        self._made = threading.Event()
        self._killed = False
        self._thread = threading.Thread(target=self._run, args=(plan, process, engines, before, options), daemon=True)
        self._thread.start()
        assert self._made.wait(60)
        if self.error is not None:
            raise self.error

    def _run(self, plan: Plan, process: str, engines: Any, before: Any, options: dict[str, Any]) -> None:
        try:
            self.host = LiveHost(plan, process, lambda name: engines[name](), **options)
        except BaseException as error:
            self.error = error
            self._made.set()
            return
        try:
            before(self.host)
            self.host.start()
            self._made.set()
            while not self.host.ended and not self._killed:
                self.host.turn()
        except BaseException as error:
            self.error = error
            raise
        finally:
            self._made.set()
            if self._killed:
                self.host.mesh.on_gap = self.host.mesh.on_peer = None
            self.host.close()

    def do(self, action: Callable[[], Any]) -> Any:
        """Have the host's thread do something; its result."""
        done, result = threading.Event(), list[Any]()

        def act() -> None:
            try:
                result.append(action())
                self.host.messages.drain()
            except Exception as error:
                result[:] = [error]
            done.set()

        self._wake(act)
        assert done.wait(60), "the host's thread does nothing"
        if isinstance(result[0], Exception):
            raise result[0]
        return result[0]

    def _wake(self, action: Callable[[], object]) -> None:
        # Its heap of timers is looked at after each wake-up.
        self.host.loop.call_at_wall(0, action)
        self.host.ask_engine("", _NOTHING).cancel()

    def ready(self, seconds: float = 60.0) -> RunningHost:
        """Wait until it is ready."""
        eventually(lambda: not self.host.outlook.reasons or self._failed(), seconds=seconds)
        return self

    def _failed(self) -> bool:
        if self.error is not None:
            raise self.error
        return False

    def engine(self, name: str) -> Any:
        """An engine of it."""
        return self.host.contexts[name].engine

    def kill(self) -> None:
        """End it at once: nothing is saved, nothing is said."""
        self._killed = True
        self._wake(lambda: None)
        self._thread.join(60)

    def stop(self) -> None:
        """Stop it in order."""
        if self._thread.is_alive():
            self._wake(self.host.stop)
            self._thread.join(60)
            assert not self._thread.is_alive()


_NOTHING = SourceStatus(0)


class KernelHistory:
    """Events that a kernel gave, as `EventHistory`."""

    def __init__(self) -> None:
        self.events: list[np.void] = []
        self.kinds: list[int] = []

    def add(self, events: Records, kind: int) -> None:
        assert not len(events) or int(events["sequence"][0]) == len(self.events) + 1
        self.events.extend(events)
        self.kinds.extend([kind] * len(events))

    def read(self, first: int, limit: int, /) -> tuple[Records, np.ndarray]:
        found = self.events[first - 1 : first - 1 + limit]
        return np.array(found, dtype=found[0].dtype if found else None), np.array(
            self.kinds[first - 1 : first - 1 + limit], np.uint8
        )


class NotedKernel:
    """A kernel that notes its events for later."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.history = KernelHistory()

    def process(self, commands: Records, /) -> Records:
        events = self.kernel.process(commands)
        self.history.add(events, int(commands["kind"][0]))
        return events


class Venue:
    """Core, trading and hub in one: real engines over a kernel, and the mesh node "core" that takes orders.

    It goes on with the same kernel when it is started again, as a core over its journal does.
    """

    def __init__(self, plan: Plan, accounts: tuple[int, ...] = (1, 2, 3), **options: Any) -> None:
        self.plan = plan
        self.options = options
        self.core = NotedKernel(Kernel(accounts=(), huge_pages=False))
        self.core.process(btcusdt().to_commands())
        for account in (*accounts, MARKET_ACCOUNT):
            self.core.process(Account(account).to_commands())
        self.sources: dict[int, int] = {}
        self.start()

    def start(self) -> None:
        """Begin, or begin again."""
        engines = {"trading": self._engine, "marketdata": self._hub}
        self.running = RunningHost(self.plan, "venue", engines, self._join, **self.options)

    def _engine(self) -> TradingEngine:
        engine = TradingEngine(TradingConfig(), self.core, [btcusdt()])
        engine.history = self.core.history
        events, kinds = self.core.history.read(1, 1 << 30)
        if len(events):
            engine.catch_up(events, kinds)
        return engine

    def _hub(self) -> MarketDataEngine:
        return MarketDataEngine(MarketDataConfig(), [btcusdt()])

    def _join(self, host: LiveHost) -> None:
        self._zmq = make_context()
        self.mesh = Mesh(self._zmq, "core", wall_ns(), self.plan.endpoint, wall_ns)
        for socket in self.mesh.sockets():
            host.add_source(socket, partial(self._on_orders, host))

    def _on_orders(self, host: LiveHost) -> None:
        for delivery in self.mesh.receive():
            message = from_wire(delivery.payload)
            if isinstance(message, SourceStatus):
                state = SourceState(message.source_id, self.sources.get(message.source_id, 0))
                self.mesh.done(delivery, to_wire(state))
                continue
            source = getattr(message, "source_id", 0)
            self.sources[source] = max(self.sources.get(source, 0), getattr(message, "source_sequence", 0))
            host.messages.serve("trading", message, partial(self._answer, delivery))
            host.messages.drain()
        self.mesh.tick(wall_ns())

    def _answer(self, delivery: Delivery, result: Message | Exception) -> None:
        if delivery.kind is MessageKind.COMMAND:
            self.mesh.done(delivery)
        elif isinstance(result, Exception):
            self.mesh.done(delivery, error=describe_error(result))
        else:
            self.mesh.done(delivery, to_wire(result))

    def feed(self, commands: Records) -> None:
        """Commands of the market's own participants."""
        engine = self.running.engine("trading")
        self.running.do(partial(engine.on_commands, commands, self.running.host.contexts["trading"]))

    def publish(self, records: Records) -> None:
        """Market data."""
        hub = self.running.engine("marketdata")
        self.running.do(partial(hub.on_records, records, self.running.host.contexts["marketdata"]))

    def positions(self, account_id: int) -> dict[int, tuple[int, int, int]]:
        """What the core says an account holds, by instrument."""
        return {
            int(row["instrument_id"]): (int(row["quantity"]), int(row["cost"]), int(row["realised"]))
            for row in self.core.kernel.positions(account_id)
        }

    def kill(self) -> None:
        """Core and trading end at once."""
        self.running.kill()
        self.mesh.close()
        self._zmq.destroy(0)

    def stop(self) -> None:
        """Stop in order."""
        self.running.stop()
        self.mesh.close()
        self._zmq.destroy(0)


__all__ = ["VENUE", "RunningHost", "Venue", "eventually", "make_plan", "short_directory"]
