"""The runtime's host: requests over HTTP to an engine's operation, events over the bus to its handler, a scrape.

    client ══ HTTP ══▶ HTTP thread ══ question ══▶ engine's thread ══ answer ══▶ HTTP thread ══▶ client
    source process ══ events, acknowledged ══▶ sink process

Whole processes with live hosts; the handlers do next to nothing. Requests come from wrk where that is installed,
otherwise from a client of this bench, which takes more of the machine.
"""

from __future__ import annotations

import re
import select
import shutil
import socket
import subprocess
from time import perf_counter, thread_time

import numpy as np

from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.model.enums import EngineState
from nautilus.runtime.http.exposition import Exposition
from nautilus.runtime.metrics import EngineView
from perf.harness import Report, check
from perf.host_pair import HostProcess, hosts

SUMMARY = "host of engines: requests/s of a trivial operation over HTTP, events/s of a trivial handler, a scrape"
CONNECTIONS = 32
SECONDS = 2.0
REQUESTS_GOAL, EVENTS_GOAL, SCRAPE_GOAL_MS = 10_000, 50_000, 5
COUNTERS, HISTOGRAMS = 400, 30
"""Of a large page: more than any engine has."""


def run(report: Report) -> None:
    """Requests, events and scrapes, by turns of one pair of processes."""
    client = shutil.which("wrk") or ""
    report.conditions["client"] = "wrk -t1" if client else "a loop of this process"
    report.conditions["connections"] = CONNECTIONS
    with hosts("source", "sink") as (source, sink):
        cost: list[float] = []
        plain: list[float] = []

        def requests(path: str, costs: list[float]) -> float:
            begun = source.cpu_seconds()
            rate, count = by_wrk(client, source, path) if client else by_loop(source, path)
            costs.append((source.cpu_seconds() - begun) / count * 1e6)
            return rate

        requests("/state", [])
        report.measure(
            "requests of a trivial operation", "requests/s", lambda: requests("/state", cost), goal=REQUESTS_GOAL
        )
        report.add("processor time of the host for each", "us", cost, 0.0, lower_is_better=True)
        report.measure("requests of a probe", "requests/s", lambda: requests("/livez", plain))
        report.add("processor time of the host for each probe", "us", plain, 0.0, lower_is_better=True)
        report.measure(
            "scrape of a host, page made anew", "ms", lambda: scrape_ms(source), goal=SCRAPE_GOAL_MS,
            lower_is_better=True,
        )  # fmt: skip
        source.get("/state?hashes=true")
        report.measure("events taken by a trivial handler", "events/s", lambda: events(sink), goal=EVENTS_GOAL)
    page = large_page()
    report.measure(
        f"page of {COUNTERS} counters and {HISTOGRAMS} histograms, processor time", "ms", lambda: rendered_ms(page),
        goal=SCRAPE_GOAL_MS, lower_is_better=True,
    )  # fmt: skip
    report.checks.append("every request was answered with 200 and the numbers of the handler; the sink counts events")
    report.notes.append("Events are published in batches behind which the sink is asked; each is acknowledged.")


def by_wrk(wrk: str, host: HostProcess, path: str) -> tuple[float, int]:
    """Requests a second, and how many."""
    words = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS:g}s", f"http://127.0.0.1:{host.port}{path}"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    check("Non-2xx" not in said and "Socket errors" not in said, said)
    counted = re.search(r"(\d+) requests in ([0-9.]+)(ms|s)", said)
    assert counted is not None
    seconds = float(counted[2]) / (1000 if counted[3] == "ms" else 1)
    return int(counted[1]) / seconds, int(counted[1])


def by_loop(host: HostProcess, path: str) -> tuple[float, int]:
    """The same by this process: one request under way on each connection."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    found = select.epoll()
    sockets = {}
    try:
        for _ in range(CONNECTIONS):
            made = socket.create_connection(("127.0.0.1", host.port))
            sockets[made.fileno()] = made
            found.register(made.fileno(), select.EPOLLIN)
            made.sendall(request)
        count, begun = 0, perf_counter()
        while (seconds := perf_counter() - begun) < SECONDS:
            for descriptor, _ in found.poll(1):
                answer = sockets[descriptor].recv(65536)
                check(answer.startswith(b"HTTP/1.1 200 "), repr(answer[:100]))
                sockets[descriptor].sendall(request)
                count += 1
        return count / seconds, count
    finally:
        found.close()
        for made in sockets.values():
            made.close()


def events(sink: HostProcess) -> float:
    """Events a second that its handler has taken, by its own count."""
    before, begun = sink.count(), perf_counter()
    select.select([], [], [], SECONDS)
    after, ended = sink.count(), perf_counter()
    check(after > before, "no events have come")
    return (after - before) / (ended - begun)


def scrape_ms(host: HostProcess) -> float:
    """From the request to the last byte, once the page before it is too old to be shown again."""
    select.select([], [], [], 0.6)
    begun = perf_counter()
    page = host.get("/metrics")
    elapsed = perf_counter() - begun
    check(page.endswith(b"# EOF\n"), "no whole page")
    return elapsed * 1e3


def large_page() -> Exposition:
    """Of a view with more of everything than there is."""
    counters = Counters()
    for number in range(COUNTERS):
        counters.add(counters.counter(f"mesh.thing_{number}"), number * 7)
    values = np.arange(0, 1_000_000, 100, dtype=np.int64)
    histograms = {}
    for number in range(HISTOGRAMS):
        histograms[f"GET /x{number}"] = made = Histogram()
        made.record_many(values * (number + 1))
    return Exposition(EngineView("risk", "bench", counters, EngineState.RUNNING, histograms=histograms))


def rendered_ms(page: Exposition) -> float:
    """Milliseconds of processor time for one page, of some."""
    begun = thread_time()
    for _ in range(20):
        text = page.render(rich=True)
    elapsed = (thread_time() - begun) / 20
    check(text.count(b"\n") > COUNTERS + 20 * HISTOGRAMS, "a page too short")
    return elapsed * 1e3
