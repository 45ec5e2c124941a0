"""Last values of market data: from the hub's table in shared memory, while a recorded day is replayed.

    recording ─▶ hub ─▶ table of last values ─▶ thirteen clients, one for each engine that reads market data

A hit is a value that was in the table of a hub that beats; a miss is one that the hub was asked for.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter_ns

import numpy as np

from nautilus.bus.base import layout_of, stream_id
from nautilus.bus.client import BusClient
from nautilus.core.clock import now_ns
from nautilus.core.last_values import LastValues, LastValueWriter
from nautilus.core.types import QUOTE
from nautilus.model.errors import BusError
from nautilus.model.topics import QUOTES
from nautilus.runtime.attach import attach
from nautilus.runtime.instance import Instance
from nautilus.runtime.market import instruments_of
from perf.harness import ROOT, Report, check
from perf.platform import platform, private_place

SUMMARY = "last values: one read of the shared table, hit rate of thirteen clients over a replayed recording"
RECORDING = Path(os.environ.get("NAUTILUS_DATA") or ROOT.parent / "shared" / "data") / "l2_binance/btcusdt_20240808.gz"
SPEED = 20
SECONDS = 12.0
PAUSE_SECONDS = 0.001
READS = 200_000
ENGINES = (
    "analytics", "risk", "factor", "ml", "features", "websocket", "strategy", "portfolio", "collateral", "vpin",
    "enhanced-vpin", "order-router", "backtesting",
)  # fmt: skip


def run(report: Report) -> None:
    """The table alone, then a replay."""
    report.conditions["pinning"] = "none"
    with private_place() as name:
        path = Path(os.environ["XDG_RUNTIME_DIR"], name)
        report.measure("one read of the table into an array", "ns", lambda: _read_ns(path), goal=100,
                       lower_is_better=True)  # fmt: skip
    if not RECORDING.exists():
        report.notes.append("the recording was not found, see NAUTILUS_DATA")
        return
    rates: list[float] = []
    gets: list[float] = []
    with platform("--replay", str(RECORDING), "--speed", str(SPEED)) as instance:
        hits, misses, nanos = _ask(instance)
    rates.append(100 * hits / (hits + misses))
    gets.append(float(np.median(nanos)))
    report.add("hits of thirteen clients over the recording", "%", rates, 0.0, goal=99.0)
    report.add("one quote as a struct, through the client", "ns", gets, 0.0, lower_is_better=True)
    report.checks.append("a value never goes back in time; no value was marked stale while the hub lived")
    report.notes.append(f"{hits + misses:,} values asked for, {misses:,} of them from the hub.")


def _read_ns(path: Path) -> float:
    """Nanoseconds of a read."""
    table = LastValueWriter(path, 1024, 1)
    stream = stream_id(layout_of(QUOTES).kind, 7)
    record, out = np.zeros(1, QUOTE), np.zeros(1, QUOTE)
    record["bid_ticks"] = 5
    table.put(stream, record, 1, now_ns())
    view = LastValues(path).bind(stream, out)
    read = view.read
    begun_ns = perf_counter_ns()
    for _ in range(READS):
        read()
    taken = (perf_counter_ns() - begun_ns) / READS
    check(int(out["bid_ticks"][0]) == 5, "another value than was written")
    table.close()
    return taken


def _ask(instance: Instance) -> tuple[int, int, np.ndarray]:
    """Hits, misses, and the nanoseconds of each question."""
    symbol = instruments_of(instance.plan())[0].symbol
    nanos: list[int] = []
    last = dict.fromkeys(ENGINES, 0)
    with ExitStack() as stack:
        clients: dict[str, BusClient] = {name: stack.enter_context(attach(instance, name)) for name in ENGINES}
        _first(clients[ENGINES[0]], symbol)
        for client in clients.values():
            client.values.hits = client.values.misses = 0
        end_ns = now_ns() + int(SECONDS * 1e9)
        while now_ns() < end_ns:
            for name, client in clients.items():
                begun_ns = perf_counter_ns()
                found = client.values.get(symbol, "QUOTE")
                nanos.append(perf_counter_ns() - begun_ns)
                check(not found.stale and found.at_ns >= last[name], "a value that is stale, or went back in time")
                last[name] = found.at_ns
                client.values.get(symbol, "TRADE")
            clients[ENGINES[0]].turn(PAUSE_SECONDS)
        hits = sum(client.values.hits for client in clients.values())
        misses = sum(client.values.misses for client in clients.values())
    check(len(set(last.values())) < len(ENGINES) and min(last.values()) > 0, "clients that saw nothing")
    return hits, misses, np.array(nanos)


def _first(client: BusClient, symbol: str) -> None:
    """Until the recording plays."""
    end_ns = now_ns() + 60_000_000_000
    while True:
        check(now_ns() < end_ns, "the recording does not play")
        try:
            client.values.get(symbol, "QUOTE")
            client.values.get(symbol, "TRADE")
            return
        except BusError:
            client.turn(0.05)
