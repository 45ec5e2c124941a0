"""A process with a hub and its door to data providers, for a bench; what it keeps was made up, as the bench allows."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

from zmq.backend import zmq_poll

from nautilus.bus import Mesh, MessageKind, make_context
from nautilus.bus.routing import CLIENTS
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.runtime.bus_settings import Wake
from nautilus.runtime.clock import NANOSECONDS, ClockAnchor, wall_ns
from nautilus.runtime.data_door import DataDoor
from nautilus.runtime.live import LiveHost
from nautilus.runtime.plan import Plan, ProcessSpec
from nautilus.runtime.views import serve_http
from perf.harness import ROOT, check

SECTIONS: dict[str, dict[str, Any]] = {
    "marketdata": {"allow_synthetic": True},
    # What was made up is kept for `retry_seconds`, until a provider may answer again.
    "data": {"quote_seconds": 3600.0, "bar_seconds": 3600.0, "retry_seconds": 3600.0},
}


def plan_in(directory: Path, wake: Wake = "block") -> Plan:
    """Of one process, which waits for the bus in that way."""
    for name in ("shared", "data"):
        (directory / name).mkdir(exist_ok=True)
    now_ns = wall_ns()
    return Plan(
        instance="bench", directory=str(directory), shared=str(directory / "shared"), data=str(directory / "data"),
        profile="native",
        processes=(ProcessSpec("core", "core", (), 9), ProcessSpec("marketdata", "engines", ("marketdata",), 0)),
        sections=SECTIONS | {"bus": {"wake": wake}}, market="none", speed=1.0, seed=1, strategies=(), epoch=now_ns,
        clock=ClockAnchor(now_ns, now_ns), demo=True, ports="free", bind="127.0.0.1",
    )  # fmt: skip


def serve(directory: Path, wake: Wake) -> None:
    """Run the host; its port is printed once it is ready."""
    plan = plan_in(directory, wake)
    host = LiveHost(plan, "marketdata", lambda name: MarketDataEngine(MarketDataConfig(), []))
    with ExitStack() as undo:
        undo.callback(host.close)
        host.parts.append(DataDoor(host, {}))
        ports = serve_http(host, undo)
        host.outlook.when_ready = lambda: print(ports["marketdata"], flush=True)
        host.start()
        host.run()


class Asker:
    """A client on the mesh that waits for each answer; it sleeps meanwhile, or looks again and again (`spins`)."""

    def __init__(self, plan: Plan, *, spins: bool = False) -> None:
        self._look_ms = 0 if spins else 20
        self._context = make_context()
        endpoint: Any = plan.endpoint
        self._mesh = Mesh(self._context, f"{CLIENTS}bench-{os.getpid()}", wall_ns(), endpoint, wall_ns)

    def ask(self, to: str, payload: bytes, seconds: float = 5.0) -> bytes:
        """The payload of the reply."""
        mesh, until_ns = self._mesh, wall_ns() + int(seconds * NANOSECONDS)
        number = mesh.post(
            "marketdata", to=to, sender="bench", kind=MessageKind.REQUEST, payload=payload, priority=3,
            deadline_ns=until_ns,
        )  # fmt: skip
        while True:
            ready = [item for item, _ in zmq_poll([(each, 1) for each in mesh.sockets()], self._look_ms)]
            for delivery in mesh.receive(ready=ready):
                mesh.done(delivery)
                if delivery.id == number:
                    check(delivery.kind is MessageKind.REPLY, str(delivery))
                    return bytes(delivery.payload)
            now_ns = wall_ns()
            check(now_ns < until_ns, "no answer in time")
            if now_ns >= mesh.next_due_ns:
                mesh.tick(now_ns)

    def close(self) -> None:
        """Leave the mesh."""
        self._mesh.close()
        self._context.destroy(0)


@contextmanager
def data_host(wake: Wake = "block") -> Iterator[tuple[Asker, int]]:
    """An asker on the mesh, and the port of HTTP; both wait as told."""
    with tempfile.TemporaryDirectory(prefix="nau-") as name, ExitStack() as undo:
        directory = Path(name)
        plan = plan_in(directory, wake)
        words = [sys.executable, "-m", "perf.data_host", name, wake]
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE)
        undo.callback(process.wait)
        undo.callback(process.kill)
        assert process.stdout is not None
        port = int(process.stdout.readline() or 0)
        check(port > 0, "the hub does not start")
        asker = Asker(plan, spins=wake == "spin")
        undo.callback(asker.close)
        yield asker, port


if __name__ == "__main__":
    serve(Path(sys.argv[1]), cast("Wake", sys.argv[2]))
