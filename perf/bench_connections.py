"""15,000 WebSockets and 15,000 HTTP connections held at the gateway at once, with a broadcast every second.

::

    15,000 listeners ══▶ 2 workers on one port (SO_REUSEPORT) ─── one WebSocket each ──▶ broadcaster: a frame a second
    15,000 askers    ══▶   the same, 3,000 requests a second  ══════════════════════════▶ the same process

Listeners of a stream share one connection of their worker to the engine. A process may have 20,000 files, so there are
two workers, and two processes of clients. HTTP is measured three times: with 100 connections, with all held, and with
all held while there is a broadcast every second; what the broadcast takes by itself is measured alone. Latency is from
when a request was due: all that are due in a millisecond are sent together.

Then the whole gateway of a platform (lead, nest, two workers) holds as many, for its memory.
"""

from __future__ import annotations

import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

from nautilus.gateway.table import read_table
from perf.connection_sides import RISK, STREAM, Side, connection_side
from perf.gateway_sides import cpu_seconds, free_port, make_key, side
from perf.harness import OtherLoad, Report, check, cores
from perf.platform import platform

SUMMARY = "gateway: 15,000 WebSockets and 15,000 HTTP connections, a broadcast a second, 3,000 requests/s"
HELD, FEW, GATEWAYS = 15_000, 100, 2
RATE, SECONDS, TURNS = 3_000, 3, 5
P99_GOAL_US, WORSE_GOAL, HTTP_GOAL_KIB, WS_GOAL_KIB, MEMORY_GOAL_MIB = 3_000, 1.05, 2.0, 10.0, 2_048
SETTINGS = ("platform.processes=compact", "gateway.workers=2", "gateway.connections=18900", "http.idle_seconds=3600")


def run(report: Report, held: int = HELD, *, components: bool = True) -> None:
    """Open, hold, ask, broadcast."""
    with ExitStack() as stack, OtherLoad() as load:
        found = _measure(stack, held)
    report.conditions["pinning"] = (
        "workers on the first core; clients and broadcaster on the last one, listeners as SCHED_IDLE"
    )
    report.conditions["held"] = {"websockets": held, "http": held, "workers": GATEWAYS}

    def add(name: str, unit: str, values: list[float], goal: float | None = None) -> None:
        report.add(name, unit, values, load.cores, goal=goal, lower_is_better=True)

    few, idle, full, alone = found["few"], found["held"], found["broadcast"], found["alone"]
    for name, turns in (("100 connections", few), ("all held", idle), ("all held, broadcast", full)):
        add(f"{name}: HTTP p50", "us", [turn["p50"] for turn in turns])
        add(f"{name}: HTTP p99", "us", [turn["p99"] for turn in turns], P99_GOAL_US if turns is full else None)
        add(f"{name}: CPU of the workers a request", "us", [turn["cpu"] for turn in turns])
    add("broadcast alone: CPU of the workers a frame and listener", "us", [alone / held * 1e6])
    for what, name in (("p50", "HTTP p50"), ("cpu", "CPU a request")):
        add(f"all held against 100 connections: {name}", "ratio",
            [b[what] / a[what] for a, b in zip(few, idle, strict=True)], WORSE_GOAL)  # fmt: skip
    add("all held, broadcast, against 100 connections: HTTP p50", "ratio",
        [b["p50"] / a["p50"] for a, b in zip(few, full, strict=True)], WORSE_GOAL)  # fmt: skip
    add("all held, broadcast, against 100 connections: CPU a request, without the broadcast's own", "ratio",
        [(b["cpu"] - alone / RATE * 1e6) / a["cpu"] for a, b in zip(few, full, strict=True)], WORSE_GOAL)  # fmt: skip
    add("broadcast: delay of a frame, p50", "ms", [turn["delay50"] for turn in full])
    add("broadcast: delay of a frame, p99", "ms", [turn["delay99"] for turn in full])
    add("memory of the workers for an HTTP connection", "KiB", [found["http_kib"]], HTTP_GOAL_KIB)
    add("memory of the workers for a WebSocket", "KiB", [found["ws_kib"]], WS_GOAL_KIB)
    add("memory of the workers", "MiB", [found["mib"]])
    report.checks.append(
        "no connection was lost; every request was answered rightly; every frame came to every listener, once"
    )
    if components:
        with ExitStack() as stack:
            mib = _components(stack, held)
        add("memory of lead, nest and two workers of a platform, all held", "MiB", [mib], MEMORY_GOAL_MIB)


def _measure(stack: ExitStack, held: int) -> dict[str, Any]:
    own, other = cores()[0], cores()[-1]
    keys = stack.enter_context(tempfile.TemporaryDirectory())
    key = make_key(keys)
    broadcaster = stack.enter_context(connection_side(other, "broadcaster"))
    backend = broadcaster.do("port")["port"]
    shared = free_port()
    words = ("gateway", str(backend), keys, "19000", str(shared))
    pids = [stack.enter_context(side(own, *words))[0].pid for _ in range(GATEWAYS)]
    listeners = stack.enter_context(connection_side(other, "listeners", str(shared), "1", key, STREAM))
    askers = stack.enter_context(connection_side(other, "askers", str(shared), "2", key, RISK))
    askers.do(str(FEW))
    askers.do(f"ask {RATE} 2")
    few = [_ask(askers, pids) for _ in range(TURNS)]
    before = _memory(pids)
    check(askers.do(str(held - FEW))["open"] == held, "not all HTTP connections were opened")
    with_http = _memory(pids)
    check(listeners.do(str(held))["open"] == held, "not all WebSockets were opened")
    with_both = _memory(pids)
    check(broadcaster.do("look")["listening"] == GATEWAYS, "not every worker has asked for the stream once")
    askers.do(f"ask {RATE} 2")
    idle = [_ask(askers, pids) for _ in range(TURNS)]
    broadcaster.do("begin")
    full = []
    for _ in range(TURNS):
        turn = _ask(askers, pids)
        seen = listeners.do("look")
        check(seen["lost"] == 0 and seen["open"] == held, f"WebSockets were lost: {seen}")
        full.append({**turn, "delay50": seen["p50"], "delay99": seen["p99"]})
    alone = _alone(broadcaster, pids)
    sent = broadcaster.do("end")["sent"]
    until = monotonic() + 5
    while (frames := listeners.do("look")["frames"]) < sent * held and monotonic() < until:
        pass
    check(frames == sent * held, f"{sent} frames were sent to {held}, {frames} came")
    return {
        "few": few,
        "held": idle,
        "broadcast": full,
        "alone": alone,
        "http_kib": (with_http - before) / (held - FEW),
        "ws_kib": (with_both - with_http) / held,
        "mib": _memory(pids) / 1024,
    }


def _ask(askers: Side, pids: list[int]) -> dict[str, Any]:
    before = sum(cpu_seconds(pid) for pid in pids)
    turn = askers.do(f"ask {RATE} {SECONDS}")
    check(turn["lost"] == 0 and turn["answered"] == turn["asked"], f"requests were lost: {turn}")
    check(not turn["wrong"], turn["wrong"])
    return {**turn, "cpu": (sum(cpu_seconds(pid) for pid in pids) - before) / turn["answered"] * 1e6}


def _alone(broadcaster: Side, pids: list[int]) -> float:
    """CPU seconds of the workers a broadcast, while nobody asks anything."""
    before, sent = sum(cpu_seconds(pid) for pid in pids), broadcaster.do("look")["sent"]
    threading.Event().wait(SECONDS)
    spent = sum(cpu_seconds(pid) for pid in pids) - before
    return float(spent / (broadcaster.do("look")["sent"] - sent))


def _components(stack: ExitStack, held: int) -> float:
    """MiB of all processes of a platform's gateway while they hold as many."""
    instance = stack.enter_context(platform("--simulated", "--strategy", "quoting", settings=SETTINGS))
    core = cores()[-1]
    port = str(read_table(instance.directory).port)
    token = Path(instance.directory, "token").read_text().strip()
    askers = stack.enter_context(connection_side(core, "askers", port, "2", token, "/livez"))
    path = "/api/v1/engines/risk/streams/alerts"
    listeners = stack.enter_context(connection_side(core, "listeners", port, "1", token, path))
    check(askers.do(str(held))["open"] == held, "not all HTTP connections were opened")
    check(listeners.do(str(held))["open"] == held, "not all WebSockets were opened")
    seen = listeners.do("look")
    check(seen["lost"] == 0 and seen["open"] == held, f"WebSockets were lost: {seen}")
    return _memory(_processes(instance.directory)) / 1024


def _processes(directory: Path) -> list[int]:
    """Lead, nest and workers of a gateway."""
    table = read_table(directory)
    found = {table.lead, *(line.pid for line in table.workers)}
    children = Path(f"/proc/{table.lead}/task/{table.lead}/children").read_text().split()
    return sorted(found | set(map(int, children)))


def _memory(pids: list[int]) -> float:
    """KiB that the processes have of their own, and their part of what they share."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return float(total)
