"""What engines of analysis are asked, on a whole platform that trades: over HTTP and over the mesh.

::

    client ══ HTTP, one connection ══▶ engine      each operation's p99 beside one tenth of its budget
    client ══ mesh ═════════════════▶ engine

Requests are due at a steady rate, whatever becomes of them. The same processes then say what memory they take.
"""

from __future__ import annotations

import json
from time import monotonic, sleep

import numpy as np

from nautilus.model.analytics import GetAnalytics
from nautilus.model.collateral import GetMargin
from nautilus.model.enums import Side
from nautilus.model.message import Message
from nautilus.model.portfolio import GetPortfolio
from nautilus.model.risk import CheckOrders, ProposedOrder
from nautilus.model.vpin import GetEnhancedVpin, GetVpin
from nautilus.runtime.attach import attach
from nautilus.runtime.client import Client
from nautilus.runtime.instance import Instance
from perf.bench_gateway_engines import Line
from perf.harness import OtherLoad, Report, check, paced
from perf.platform import descendants, platform, ports, proportional_mib

SUMMARY = "operations of engines of analysis on a live platform over HTTP and mesh; memory of the eight engines"
RATE, COUNT, ROUNDS = 100.0, 300, 3
WARM_SECONDS = 10.0
WAIT_SECONDS = 60.0
PORTFOLIO = 1
SYMBOL = "SIMUSD"
BUDGETS_MS = {"analytics": 200.0, "risk": 100.0, "portfolio": 100.0, "collateral": 100.0, "vpin": 50.0}
MESH_BUDGETS_MS = {**BUDGETS_MS, "collateral": 0.8, "vpin": 0.9}
"""Of the platform's table; margin and toxicity have theirs on the way to risk."""
EIGHT = ("analytics", "risk", "portfolio", "factor", "features", "vpin", "enhanced-vpin", "collateral")
MOST_MIB = 500


def run(report: Report) -> None:
    """Operations in both ways on one process an engine, then memory in the compact profile."""
    with platform("--simulated", "--strategy", "quoting", whole=True) as instance:
        _pay_in(instance)
        sleep(WARM_SECONDS)
        messages = _messages()
        over_http = _lines(instance)
        with attach(instance, "bench") as client, OtherLoad() as load:
            for engine, message in messages.items():
                client.request(engine, message)
            for way, budgets in (("HTTP", BUDGETS_MS), ("mesh", MESH_BUDGETS_MS)):
                for engine in messages:
                    line = over_http[engine]
                    ask = line.ask if way == "HTTP" else lambda m=messages[engine], e=engine: client.request(e, m)
                    found = [paced(COUNT, RATE, lambda _, ask=ask: ask())[0] for _ in range(ROUNDS)]  # type: ignore[misc]
                    p99 = [float(np.percentile(each, 99)) / 1e6 for each in found]
                    budget = budgets.get(engine)
                    name = f"{engine}: {type(messages[engine]).__name__} over {way}, p99"
                    goal = None if budget is None else budget / 10
                    report.add(name, "ms", p99, load.cores, goal=goal, lower_is_better=True)
                    report.latency(f"{engine} over {way}", np.concatenate(found))
    report.checks.append("every answer over HTTP was 200, over the mesh the reply of the question")
    report.measure("memory of the eight engines and their workers, compact (PSS)", "MiB", _memory, goal=MOST_MIB,
                   lower_is_better=True, repeats=3)  # fmt: skip


def _messages() -> dict[str, Message]:
    order = ProposedOrder(SYMBOL, Side.BUY, "0.010", "59000")
    return {
        "analytics": GetAnalytics(PORTFOLIO),
        "risk": CheckOrders(PORTFOLIO, (order,)),
        "portfolio": GetPortfolio(PORTFOLIO),
        "collateral": GetMargin(PORTFOLIO),
        "vpin": GetVpin(SYMBOL),
        "enhanced-vpin": GetEnhancedVpin(SYMBOL),
    }


PATHS = {
    "analytics": f"/analytics/realtime/{PORTFOLIO}",
    "risk": f"/risk/critical-check/{PORTFOLIO}",
    "portfolio": f"/portfolio/{PORTFOLIO}",
    "collateral": f"/collateral/margin/{PORTFOLIO}",
    "vpin": f"/vpin/{SYMBOL}",
    "enhanced-vpin": f"/enhanced-vpin/{SYMBOL}",
}
BODY = {"orders": [{"instrument": SYMBOL, "side": "BUY", "quantity": "0.010", "price": "59000"}]}
DEPOSIT = {"entry_id": "bench", "currency": "USD", "amount": "1000000"}
"""Else the portfolio is worth what it won, and has no returns."""


def _pay_in(instance: Instance) -> None:
    client = Client(ports(instance), token=instance.token(), timeout_seconds=WAIT_SECONDS)
    client.call("portfolio", "POST", f"/portfolio/{PORTFOLIO}/cash", DEPOSIT)


def _lines(instance: Instance) -> dict[str, Line]:
    """A connection to each engine, once it answers."""
    found, places = {}, ports(instance)
    for engine, path in PATHS.items():
        body = json.dumps(BODY).encode() if engine == "risk" else b""
        line, until = Line(places[engine], path, body, instance.token()), monotonic() + WAIT_SECONDS
        while line.ask() != 200:
            check(monotonic() < until, f"{path} is not answered")
            sleep(0.1)
        found[engine] = line
    return found


def _memory() -> float:
    """Of the processes that host the eight engines, and of their workers, after some seconds of trading."""
    with platform("--simulated", "--strategy", "quoting", "--profile", "compact", whole=True) as instance:
        _pay_in(instance)
        sleep(WARM_SECONDS)
        for line in _lines(instance).values():
            line.ask()
        hosts = [process.pid for process in instance.state().processes if set(process.engines) & set(EIGHT)]
        pids = [*hosts, *(pid for host in hosts for pid in descendants(host))]
        return proportional_mib(pids)


__all__ = ["SUMMARY", "run"]
