"""Two processes on the mesh over ipc, each with one thread that polls, receives, handles and answers.

    asking process ══ request ══▶ answering process ══ reply ══▶ asking process      round trip, one at a time
    asking process ══ events, acknowledged ══▶ answering process                     throughput
    asking process ══ FLASH_CRASH, beside events ══▶ answering process               one way past a flood
    asking process ══ messages between engines ══▶ answering process                 one way, encoded and decoded

Plain DEALER/ROUTER sockets with the same bytes run beside it, by turns: what is above them is what the guarantees cost.
The cores are kept awake (`/dev/cpu_dma_latency`) where that is permitted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from nautilus.core.affinity import LatencyHold
from nautilus.model.alerts import RiskAlert
from nautilus.model.message import Message
from nautilus.model.signals import (
    FactorsUpdated,
    MarginStatus,
    PerformanceUpdated,
    Prediction,
    SignalAction,
    ToxicityWarning,
    TradingSignal,
)
from nautilus.model.topics import topic_of
from perf.harness import REPEATS, Report
from perf.mesh_pair import Asking, Plain, peer

SUMMARY = "mesh over ipc: request/reply, acknowledged events, FLASH_CRASH past a flood, messages between engines"
ROUND_TRIPS = 4_000
WARM_UP = 500
MESSAGES = 200_000
URGENT = 800
PAIR_MESSAGES = 400
PAUSE_NS = 1_000_000
P50_GOAL_US, P99_GOAL_US, FLOOD_GOAL_US = 25, 60, 300
THROUGHPUT_GOAL = 500_000
NAMES = tuple(f"factor{number}" for number in range(12))
PAIRS: tuple[tuple[str, int, Callable[[int], Message]], ...] = (
    ("strategy to portfolio, signal", 1_200, lambda ns: TradingSignal(ns, 1, 1, SignalAction.BUY, 100, 0.9)),
    ("risk to strategy, alert", 800, lambda ns: RiskAlert(ns, 1, 1, 1, "position", 120, 100)),
    ("ml to strategy, prediction", 1_100, lambda ns: Prediction(ns, 1, "gbm", "return", 0.001, 0.7, 60 * 10**9)),
    ("vpin to risk, toxicity", 900, lambda ns: ToxicityWarning(ns, 1, 0.8, 0.97, True)),
    ("analytics to portfolio, performance", 1_400, lambda ns: PerformanceUpdated(ns, 1, 0.12, 0.2, 1.1, 0.08)),
    ("collateral to risk, margin", 800, lambda ns: MarginStatus(ns, 1, 10**9, 10**8, 10**7)),
    ("factor to analytics, factors", 1_200, lambda ns: FactorsUpdated(ns, 20_000, NAMES, (0.01,) * len(NAMES))),
)
"""Messages between engines, with the targets in microseconds that they have to beat ten times."""


def run(report: Report) -> None:
    """Round trips, throughput, urgent messages beside a flood, messages between engines; plain sockets by turns."""
    hold = LatencyHold(0)
    report.conditions["pinning"] = "none: each process has one Python thread and two I/O threads, blocked in poll"
    report.conditions["wake-up"] = hold.grant.found
    with ExitStack() as stack:
        stack.callback(hold.close)
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(peer(directory, "mesh0"))
        stack.enter_context(peer(directory, "plain"))
        mesh, plain = Asking(directory), Plain(directory)
        mesh.round_trips(WARM_UP)
        plain.round_trips(WARM_UP)
        _round_trips(report, mesh, plain)
        _throughput(report, mesh, plain)
        flood: list[np.ndarray] = []

        def urgent() -> float:
            flood.append(mesh.past_a_flood(URGENT))
            return _percentile(flood[-1], 99)

        report.measure(
            "FLASH_CRASH past a flood, one way, p99", "us", urgent, goal=FLOOD_GOAL_US, lower_is_better=True, repeats=5
        )
        report.latency("FLASH_CRASH past a flood, one way", np.concatenate(flood))
        _pairs(report, mesh)
        plain.close()
        mesh.close()
    report.checks.append("every request got the one reply that belongs to it; every event was acknowledged; none twice")
    report.notes.append("One request under way at a time, sent once the reply to the last is in.")
    report.notes.append(
        "Throughput: one call of post, of the handler and of done for each message, 128 bytes; plain: one send and one "
        "recv for each, nothing acknowledged."
    )


def _percentile(nanos: np.ndarray, percent: float) -> float:
    return float(np.percentile(nanos, percent)) / 1e3


def _round_trips(report: Report, mesh: Asking, plain: Plain) -> None:
    with_mesh, without = [], []
    for _ in range(REPEATS):
        with_mesh.append(mesh.round_trips(ROUND_TRIPS))
        without.append(plain.round_trips(ROUND_TRIPS))
    for percent, goal in ((50, P50_GOAL_US), (99, P99_GOAL_US)):
        values = [_percentile(nanos, percent) for nanos in with_mesh]
        report.add(f"request/reply, p{percent}", "us", values, 0.0, goal=goal, lower_is_better=True)
    for percent in (50, 99):
        values = [_percentile(nanos, percent) for nanos in without]
        report.add(f"plain DEALER/ROUTER, same bytes, p{percent}", "us", values, 0.0, lower_is_better=True)
    report.latency("request/reply", np.concatenate(with_mesh))
    report.latency("plain DEALER/ROUTER", np.concatenate(without))


def _throughput(report: Report, mesh: Asking, plain: Plain) -> None:
    with_mesh, without = [], []
    for _ in range(REPEATS):
        with_mesh.append(mesh.throughput(MESSAGES))
        without.append(plain.throughput(MESSAGES))
    report.add("events of 128 B, acknowledged after their handler", "messages/s", with_mesh, 0.0, goal=THROUGHPUT_GOAL)
    report.add("plain DEALER/ROUTER, same bytes, not acknowledged", "messages/s", without, 0.0)
    ratios = [own / other for own, other in zip(with_mesh, without, strict=True)]
    report.add("acknowledged events against plain ones", "ratio", ratios, 0.0, goal=0.7)


def _pairs(report: Report, mesh: Asking) -> None:
    for name, target_us, make in PAIRS:
        nanos = mesh.send_messages(make, PAIR_MESSAGES, topic_of(make(0)).priority, PAUSE_NS)
        report.add(
            f"{name}, one way, p50", "us", [_percentile(nanos, 50)], 0.0, goal=target_us / 10, lower_is_better=True
        )
        report.latency(name, nanos)
