"""The gateway's data path on one core, with all it has, beside nginx that only passes on.

::

    client (core 1) ══▶ gateway (core 0): key, limit, breaker, route, metrics, header rules ══▶ backend (core 1)
    client (core 1) ══▶ nginx   (core 0): proxy_pass with keep-alive                         ══▶ the same

By turns in one run, 32 connections, every answer compared. CPU a request is that of the process under test alone; what
a core can do follows from it. The backend is nginx where it is installed, else a port of our own.

What is added is told of one connection, straight to the backend and through each by turns. Straight, client and backend
share a core; whoever stands between wakes the other core twice, which nginx has to do as well. The gateway stands there
twice: as it is, and looking for `SPIN_US` after each request before it sleeps (`gateway.spin_us`).
"""

from __future__ import annotations

import re
import tempfile
from contextlib import ExitStack

import numpy as np
import uvloop

from perf.gateway_sides import BODY, CONNECTIONS, ENGINES, NGINX, cpu_seconds, make_key, nginx, side
from perf.harness import REPEATS, OtherLoad, Report, check, cores
from perf.http_load import Load

SUMMARY = "gateway: full proxy beside nginx, what it adds, its own share for every engine"
REQUESTS, LIGHT, ROWS = 20_000, 2_000, 1_000
SPIN_US = 200
RATE_GOAL, RATIO_GOAL, ADDED_GOAL_US = 50_000, 0.6, 60
TARGETS_MS = dict(zip(ENGINES, (45, 65, 85, 120, 150, 160, 40, 95, 140), strict=True))
"""Of the platform's table, over the gateway; the gateway's own share may be one tenth."""
_OWN = re.compile(rb"gateway;dur=([0-9.]+)")


def run(report: Report) -> None:
    """By turns: the gateway, nginx, and the backend alone."""
    own, other = cores()[0], cores()[-1]
    report.conditions["pinning"] = f"under test on core {own}; backend and client on core {other}"
    with ExitStack() as stack:
        keys = stack.enter_context(tempfile.TemporaryDirectory())
        key = make_key(keys)
        if NGINX:
            _, backend = stack.enter_context(nginx(other, "backend"))
        else:
            _, backend = stack.enter_context(side(other, "backend"))
        gateway, port = stack.enter_context(side(own, "gateway", str(backend), keys, "4096"))
        sides = {"gateway": (gateway.pid, port, "/api/v1/engines/risk/x")}
        if NGINX:
            sides["nginx"] = (*stack.enter_context(nginx(own, "proxy", backend)), "/x")
        looking = stack.enter_context(side(own, "gateway", str(backend), keys, "64", "0", str(SPIN_US)))
        with OtherLoad() as load:
            found = uvloop.run(_measure(sides, backend, key))
            found |= uvloop.run(
                _added(sides | {"looking": (looking[0].pid, looking[1], sides["gateway"][2])}, backend, key)
            )
        _report(report, found, load.cores)
    report.checks.append("every answer was 200 with the body that the backend gives")
    if not NGINX:
        report.notes.append("nginx is not installed: no peer beside, and the backend is a port of our own")


async def _measure(sides: dict[str, tuple[int, int, str]], backend: int, key: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    loads = {name: Load(port, _request(path, key), BODY) for name, (_, port, path) in sides.items()}
    for load in loads.values():
        await load.connect(CONNECTIONS)
        await load.run(2_000)
    for _ in range(REPEATS):
        for name, load in loads.items():
            before = cpu_seconds(sides[name][0])
            seconds = await load.run(REQUESTS)
            add(f"{name} cpu", (cpu_seconds(sides[name][0]) - before) / REQUESTS * 1e6)
            add(f"{name} rate", REQUESTS / seconds)
    for load in loads.values():
        load.close()
    for engine in ENGINES:
        row = Load(sides["gateway"][1], _request(f"/api/v1/engines/{engine}/x", key), BODY)
        shares: list[float] = []
        row.on_answer = lambda head, shares=shares: shares.append(_own_us(head.field(b"server-timing")))
        await row.connect(4)
        await row.run(ROWS)
        row.close()
        check(len(shares) == ROWS, f"{engine}: not every answer says what was spent")
        for percent in (50, 99):
            add(f"{engine} p{percent}", float(np.percentile(shares, percent)))
    return found


async def _added(sides: dict[str, tuple[int, int, str]], backend: int, key: str) -> dict[str, list[float]]:
    """Medians of one connection, straight and what each side adds, in us; CPU of a request so."""
    found: dict[str, list[float]] = {"straight": [], "looking alone cpu": []}
    loads = {"straight": Load(backend, _request("/x", key), BODY)}
    loads |= {name: Load(port, _request(path, key), BODY) for name, (_, port, path) in sides.items()}
    for load in loads.values():
        await load.connect(1)
        await load.run(200)
    for _ in range(REPEATS):
        straight = 0.0
        for name, load in loads.items():
            before = cpu_seconds(sides[name][0]) if name == "looking" else 0.0
            await load.run(LIGHT, latency=True)
            assert load.latency is not None
            median = float(np.median(load.latency)) / 1e3
            if name == "looking":
                found["looking alone cpu"].append((cpu_seconds(sides[name][0]) - before) / LIGHT * 1e6)
            if name == "straight":
                straight = median
                found["straight"].append(median)
            else:
                found.setdefault(f"{name} added", []).append(median - straight)
    for load in loads.values():
        load.close()
    return found


def _request(path: str, key: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\naccept: */*\r\n\r\n".encode()


def _own_us(value: bytes) -> float:
    match = _OWN.search(value)
    check(match is not None, f"Server-Timing {value!r}")
    assert match is not None
    return 1e3 * float(match[1])


def _report(report: Report, found: dict[str, list[float]], load: float) -> None:
    def add(name: str, unit: str, values: list[float], goal: float | None = None, *, lower: bool = False) -> None:
        report.add(name, unit, values, load, goal=goal, lower_is_better=lower)

    own = found["gateway cpu"]
    add("full proxy, CPU a request", "us", own, 1e6 / RATE_GOAL, lower=True)
    add("full proxy, a core", "requests/s", [1e6 / cpu for cpu in own], RATE_GOAL)
    add("full proxy, as run", "requests/s", found["gateway rate"])
    if "nginx cpu" in found:
        peer = found["nginx cpu"]
        add("nginx, CPU a request", "us", peer, lower=True)
        add("nginx, as run", "requests/s", found["nginx rate"])
        add("full proxy against nginx, a core", "ratio", [b / a for a, b in zip(own, peer, strict=True)], RATIO_GOAL)
    add("straight to the backend, one connection, p50", "us", found["straight"], lower=True)
    added = found["gateway added"]
    add("added by the gateway, one connection, p50", "us", added, ADDED_GOAL_US, lower=True)
    if "nginx added" in found:
        add("added by nginx, one connection, p50", "us", found["nginx added"], lower=True)
        pairs = zip(added, found["nginx added"], strict=True)
        add("added by the gateway beyond nginx, one connection, p50", "us", [a - b for a, b in pairs], lower=True)
    name = f"added by the gateway, one connection, p50, gateway.spin_us={SPIN_US}"
    add(name, "us", found["looking added"], ADDED_GOAL_US, lower=True)
    add(f"CPU a request there, gateway.spin_us={SPIN_US}", "us", found["looking alone cpu"], lower=True)
    for engine, target in TARGETS_MS.items():
        add(f"own share, {engine}, p50", "us", found[f"{engine} p50"], lower=True)
        add(f"own share, {engine}, p99", "us", found[f"{engine} p99"], 100 * target, lower=True)
