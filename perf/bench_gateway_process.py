"""The gateway's processes: how long one that is killed is missed, what is lost while workers are replaced, their size.

::

    clients that keep their connections ══▶ worker ┐ kill -9, or replaced in order
                                        ══▶ worker ┘     ▲
                                            lead ────────┘ kill -9 too
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from time import monotonic

from nautilus.gateway.table import WorkerLine, read_table
from nautilus.runtime.child import SETTLED_NS
from nautilus.runtime.clock import NANOSECONDS
from nautilus.runtime.instance import Instance
from nautilus.runtime.status import memory_mib
from perf.harness import Report, check
from perf.platform import platform, run_cli

SUMMARY = "the gateway's processes: back in service after kill -9, requests lost while workers are replaced, memory"
SETTINGS = ("platform.processes=compact", "gateway.drain_seconds=60")
BACK_GOAL_SECONDS = 1.0
RESTARTS = 5
CONNECTIONS = 200
MOST_SECONDS = 60.0
SETTLED_SECONDS = SETTLED_NS / NANOSECONDS + 0.5
REQUEST = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"


def run(report: Report) -> None:
    """Kills with one worker and two, restarts under load, memory."""
    with platform("--simulated", "--strategy", "quoting", settings=(*SETTINGS, "gateway.workers=1")) as instance:
        report.measure(
            "worker killed, the only one: until a new connection is answered", "s", lambda: after_kill(instance),
            goal=BACK_GOAL_SECONDS, lower_is_better=True,
        )  # fmt: skip
        report.measure(
            "lead killed: until the next one has workers", "s", lambda: after_lead(instance),
            goal=BACK_GOAL_SECONDS, lower_is_better=True,
        )  # fmt: skip
    with platform("--simulated", "--strategy", "quoting", settings=(*SETTINGS, "gateway.workers=2")) as instance:
        report.measure("memory of a worker (PSS)", "MiB", lambda: memory(instance))
        report.measure(
            f"requests lost in {RESTARTS} restarts of two workers, {CONNECTIONS} connections", "requests",
            lambda: replaced(instance), goal=0, lower_is_better=True,
        )  # fmt: skip
    report.checks.append("after each kill another process answers; every connection lives through every restart")


def ready(instance: Instance) -> list[WorkerLine]:
    """Workers that answer."""
    return [line for line in read_table(instance.directory).workers if line.state == "ready" and line.alive]


def wait_for(instance: Instance, lead: int = 0, worker: int = 0) -> None:
    """Until there is another lead, or another worker."""
    begun, pause = monotonic(), threading.Event()
    while not ready(instance) or read_table(instance.directory).lead == lead or ready(instance)[0].pid == worker:
        check(monotonic() - begun < MOST_SECONDS, "no other process")
        pause.wait(0.002)


def settle() -> None:
    """So long that a process which dies now has a clean record, and is started again at once."""
    threading.Event().wait(SETTLED_SECONDS)


def after_kill(instance: Instance) -> float:
    """Seconds from the kill of the worker to the answer on a connection that was made after it."""
    settle()
    [worker] = ready(instance)
    port = read_table(instance.directory).port
    begun = monotonic()
    os.kill(worker.pid, signal.SIGKILL)
    with socket.create_connection(("127.0.0.1", port), MOST_SECONDS) as line:
        line.sendall(REQUEST)
        check(line.recv(4096).startswith(b"HTTP/1.1 200 "), "no answer")
    took = monotonic() - begun
    wait_for(instance, worker=worker.pid)
    return took


def after_lead(instance: Instance) -> float:
    """Seconds from the kill of the lead until a worker of the next one answers; the old one does so all the time."""
    settle()
    [worker] = ready(instance)
    lead = read_table(instance.directory).lead
    begun = monotonic()
    os.kill(lead, signal.SIGKILL)
    wait_for(instance, lead=lead, worker=worker.pid)
    return monotonic() - begun


def memory(instance: Instance) -> float:
    """MiB of the larger worker, what it shares counted in part."""
    found = [memory_mib(line.pid) for line in ready(instance)]
    return max(each for each in found if each is not None)


def replaced(instance: Instance) -> float:
    """Requests that came to nothing while all workers were replaced again and again."""
    stop = threading.Event()
    lost: list[int] = []
    thread = threading.Thread(
        target=lambda: lost.append(asyncio.run(clients(read_table(instance.directory).port, stop)))
    )
    thread.start()
    for _ in range(RESTARTS):
        run_cli("gateway", "restart", "--instance", instance.name)
    stop.set()
    thread.join()
    check(len(lost) == 1, "the clients failed")
    return float(lost[0])


async def clients(port: int, stop: threading.Event) -> int:
    """Many connections, asked again and again; how many requests were not answered."""

    async def client(pause: float) -> int:
        lost = 0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not stop.is_set():
            try:
                writer.write(REQUEST)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            except (OSError, asyncio.IncompleteReadError):
                lost += 1
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(pause)
        writer.close()
        return lost

    return sum(await asyncio.gather(*(client(0.0 if number < 4 else 0.05) for number in range(CONNECTIONS))))


__all__ = ["SUMMARY", "run"]
