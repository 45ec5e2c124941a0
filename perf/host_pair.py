"""Two processes with a live host each, for a bench: one engine that answers and publishes, one that takes events."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic_ns

from nautilus.engines.base import Context, Engine, Operation
from nautilus.model.message import Message
from nautilus.model.position import Position, PositionChanged
from nautilus.model.queries import CoreState, GetCoreState
from nautilus.model.topics import POSITIONS
from nautilus.runtime.clock import NANOSECONDS, ClockAnchor, wall_ns
from nautilus.runtime.live import LiveHost
from nautilus.runtime.plan import Plan, ProcessSpec
from nautilus.runtime.views import serve_http
from perf.harness import ROOT, check

PROCESSES = {"source": "portfolio", "sink": "strategy"}
BATCH = 256
"""Events of one handler call; the sink is asked for its count behind them."""
AHEAD = 4
"""Batches whose count has not come back."""
READY_NS = 30 * NANOSECONDS


class Source(Engine):
    """Answers one operation with three numbers, and publishes events for as long as the sink takes them."""

    name = "portfolio"
    operations = (Operation("GET", "/state", GetCoreState, CoreState, "Three numbers"),)

    def on_request(self, message: Message, ctx: Context) -> Message:
        """The trivial operation; with hashes: begin to publish."""
        if isinstance(message, GetCoreState) and message.hashes:
            for _ in range(AHEAD):
                self._publish(ctx)
        return CoreState(1, 2, 3)

    def on_reply(self, number: int, reply: Message, ctx: Context) -> None:
        """The sink has taken a batch."""
        self._publish(ctx)

    def _publish(self, ctx: Context) -> None:
        for number in range(BATCH):
            ctx.publish(PositionChanged(number, ctx.now_ns, 1, Position(1, 1)))
        ctx.request("strategy", GetCoreState())


class Sink(Engine):
    """Counts events."""

    name = "strategy"
    subscribes = (POSITIONS,)
    operations = (Operation("GET", "/state", GetCoreState, CoreState, "How many events have come"),)

    def __init__(self) -> None:
        self.count = 0

    def on_position(self, event: Message, ctx: Context) -> None:
        """The trivial handler."""
        self.count += 1

    def on_request(self, message: Message, ctx: Context) -> Message:
        """How many have come."""
        return CoreState(self.count, 0, 0)


def plan_in(directory: Path) -> Plan:
    """Of the two processes."""
    for name in ("shared", "data"):
        (directory / name).mkdir()
    now_ns = wall_ns()
    specs = [ProcessSpec(name, "engines", (engine,), rank) for rank, (name, engine) in enumerate(PROCESSES.items())]
    return Plan(
        instance="bench", directory=str(directory), shared=str(directory / "shared"), data=str(directory / "data"),
        profile="native", processes=(ProcessSpec("core", "core", (), 9), *specs), sections={}, market="none", speed=1.0,
        seed=1, strategies=(), epoch=now_ns, clock=ClockAnchor(now_ns, now_ns), demo=True, ports="free",
        bind="127.0.0.1",
    )  # fmt: skip


class HostProcess:
    """A process of the pair, from outside."""

    def __init__(self, directory: Path, name: str) -> None:
        words = [sys.executable, "-m", "perf.host_pair", str(directory), name]
        self._process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self.port = int(self._process.stdout.readline())

    def get(self, path: str, *, ready: bool = True) -> bytes:
        """The body of what it answers; ready: or CheckError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            check(answer.status == 200 or not ready, f"{path}: {answer.status} {body[:200]!r}")
            return body
        finally:
            connection.close()

    def count(self) -> int:
        """The first number of its state."""
        return int(json.loads(self.get("/state"))["last_command"])

    def cpu_seconds(self) -> float:
        """Processor time that it has taken."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Kill it: there is nothing to keep."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def hosts(*names: str) -> Iterator[list[HostProcess]]:
    """Processes of one plan, ready."""
    with tempfile.TemporaryDirectory(prefix="nb-", ignore_cleanup_errors=True) as place, ExitStack() as undo:
        directory = Path(place)
        plan = plan_in(directory)
        (directory / "plan").write_bytes(plan.encode())
        found = []
        for name in names:
            found.append(HostProcess(directory, name))
            undo.callback(found[-1].end)
        end_ns = monotonic_ns() + READY_NS
        for process in found:
            while b'"ready"' not in process.get("/readyz", ready=False):
                check(monotonic_ns() < end_ns, "a host is not ready")
        yield found


def main() -> None:
    """One of the processes, until it is killed."""
    directory, name = Path(sys.argv[1]), sys.argv[2]
    plan = Plan.decode((directory / "plan").read_bytes())
    made = {"portfolio": Source, "strategy": Sink}
    host = LiveHost(plan, name, lambda engine: made[engine]())
    host.start()
    with ExitStack() as undo:
        ports = serve_http(host, undo)
        print(*ports.values(), flush=True)
        host.run()


if __name__ == "__main__":
    main()
