"""A process with a hub and its door to data providers, for a bench; what it keeps was made up, as the bench allows."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nautilus.bus.client import BusClient
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.runtime.clock import ClockAnchor, wall_ns
from nautilus.runtime.data_door import DataDoor
from nautilus.runtime.live import LiveHost
from nautilus.runtime.plan import Plan, ProcessSpec
from nautilus.runtime.views import serve_http
from perf.harness import ROOT, check

SECTIONS = {
    "marketdata": {"allow_synthetic": True},
    "data": {"quote_seconds": 3600.0, "bar_seconds": 3600.0},
}


def plan_in(directory: Path) -> Plan:
    """Of one process."""
    for name in ("shared", "data"):
        (directory / name).mkdir(exist_ok=True)
    now_ns = wall_ns()
    return Plan(
        instance="bench", directory=str(directory), shared=str(directory / "shared"), data=str(directory / "data"),
        profile="native",
        processes=(ProcessSpec("core", "core", (), 9), ProcessSpec("marketdata", "engines", ("marketdata",), 0)),
        sections=SECTIONS, market="none", speed=1.0, seed=1, strategies=(), epoch=now_ns,
        clock=ClockAnchor(now_ns, now_ns), demo=True, ports="free", bind="127.0.0.1",
    )  # fmt: skip


def serve(directory: Path) -> None:
    """Run the host; its port is printed once it is ready."""
    plan = plan_in(directory)
    host = LiveHost(plan, "marketdata", lambda name: MarketDataEngine(MarketDataConfig(), []))
    with ExitStack() as undo:
        undo.callback(host.close)
        host.parts.append(DataDoor(host, {}))
        ports = serve_http(host, undo)
        host.outlook.when_ready = lambda: print(ports["marketdata"], flush=True)
        host.start()
        host.run()


@contextmanager
def data_host() -> Iterator[tuple[BusClient, int]]:
    """A client of the mesh, and the port of HTTP."""
    with tempfile.TemporaryDirectory(prefix="nau-") as name, ExitStack() as undo:
        directory = Path(name)
        plan = plan_in(directory)
        words = [sys.executable, "-m", "perf.data_host", name]
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE)
        undo.callback(process.wait)
        undo.callback(process.kill)
        assert process.stdout is not None
        port = int(process.stdout.readline() or 0)
        check(port > 0, "the hub does not start")
        client = BusClient("bench", plan.routing, plan.endpoint, plan.stars)  # type: ignore[arg-type]
        undo.callback(client.close)
        yield client, port


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
