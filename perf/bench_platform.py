"""The platform as a person meets it: how soon it is up and trades, what it takes, whether a recording arrives whole.

Whole processes, started by the command line in private directories on free ports.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from nautilus.model.errors import NautilusError
from nautilus.model.queries import GetStrategies
from nautilus.runtime.client import Client
from nautilus.runtime.instance import Instance
from perf.harness import ROOT, Report, check
from perf.platform import FREE_PORTS, descendants, platform, ports, private_place, proportional_mib, run_cli, status

SUMMARY = "nautilus up until healthy, first fill, memory, a recording at 20 times its speed over the real bus"
RECORDING = Path(os.environ.get("NAUTILUS_DATA") or ROOT.parent / "shared" / "data") / "l2_binance/btcusdt_20240808.gz"
SETTLE_SECONDS = 8.0
MOST_SECONDS = 30.0


def run(report: Report) -> None:
    """Each figure once for each repeat, by a platform of its own."""
    report.measure(
        "nautilus up until every engine is healthy", "s", up_until_healthy, goal=5, lower_is_better=True, repeats=5
    )
    run_until_fill()  # from now on everything is built, and in the page cache
    report.measure("make run, warm, until its first fill", "s", run_until_fill, goal=8, lower_is_better=True, repeats=5)
    back: dict[str, list[float]] = {}
    report.measure("slowest process killed until it is back", "s", lambda: slowest_back(back), goal=2,
                   lower_is_better=True, repeats=3)  # fmt: skip
    for process, seconds in back.items():
        report.add(f"{process} killed until it is back", "s", seconds, 0.0, lower_is_better=True)
    for profile, goal in (("compact", 500), ("native", 900)):
        report.measure(
            f"memory of the demo, {profile} (PSS, all processes)",
            "MiB",
            lambda profile=profile: demo_memory(profile),  # type: ignore[misc]
            goal=goal,
            lower_is_better=True,
            repeats=3,
        )
    if not RECORDING.exists():
        report.notes.append("the recording was not found, see NAUTILUS_DATA")
        return
    lost: list[float] = []
    report.measure("recorded BTCUSDT at speed 20: seconds", "s", replay(lost), repeats=3)
    left = iter(lost)
    report.measure("records lost in it, on the star", "records", lambda: next(left), goal=0, lower_is_better=True,
                   repeats=3)  # fmt: skip
    report.checks.append("each replay: no gap, nothing lost, positions of the portfolio equal to the core's")


def up_until_healthy() -> float:
    """From the call of `nautilus up --detach` to its end, which says that every engine is ready; status agrees."""
    start = perf_counter()
    with platform() as instance:
        elapsed = perf_counter() - start
        said = status(instance)
        check(said["status"] == "healthy", f"status {said['status']} after up")
        check(len(said["engines"]) >= 5, f"{len(said['engines'])} engines")
    return elapsed


def run_until_fill() -> float:
    """From the call of `make run` to the first fill of the sample strategy."""
    with private_place() as name:
        start = perf_counter()
        words = ["make", "--silent", "run", f"ARGS=--instance {name} --set {FREE_PORTS}"]
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            try:
                wait_for(lambda: strategy_fills(name) > 0, "a fill of the strategy")
                return perf_counter() - start
            finally:
                run_cli("down", "--instance", name)
                check(running.wait(MOST_SECONDS) == 0, "make run failed")


def slowest_back(back: dict[str, list[float]]) -> float:
    """From kill -9 of each process of a demo that trades until the next one is ready; the seconds go into `back`."""
    with platform("--simulated", "--strategy", "quoting") as instance:
        found = {}
        for process in (*(each.name for each in instance.state().processes), "template"):
            before = strategy_fills(instance.name)
            wait_for(lambda before=before: strategy_fills(instance.name) > before, "fills")  # type: ignore[misc]
            pid, start = ready_pid(instance, process), perf_counter()
            os.kill(pid, signal.SIGKILL)
            wait_for(
                lambda process=process, pid=pid: ready_pid(instance, process) not in (0, pid),  # type: ignore[misc]
                f"another {process}",
            )
            found[process] = perf_counter() - start
            back.setdefault(process, []).append(found[process])
        return max(found.values())


def ready_pid(instance: Instance, process: str) -> int:
    """Of a process that is ready; 0: it is not."""
    state = instance.state()
    if process == "template":
        return state.template_pid
    found = next(each for each in state.processes if each.name == process)
    return found.pid if found.state == "ready" else 0


def demo_memory(profile: str) -> float:
    """All processes, the supervisor and the template among them, after some seconds of trading."""
    with platform("--simulated", "--strategy", "quoting", "--profile", profile) as instance:
        begun = monotonic()
        wait_for(lambda: monotonic() - begun > SETTLE_SECONDS, "the demo to settle")
        pids = [instance.pid, *descendants(instance.pid)]
        return proportional_mib(pids)


def replay(lost: list[float]) -> Callable[[], float]:
    """The whole recording through the processes; what was lost goes into `lost`."""

    def once() -> float:
        start = perf_counter()
        answer: dict[str, Any] = json.loads(
            run_cli("replay", str(RECORDING), "--speed", "20", "--json", "--set", "platform.ports=free", timeout=120)
        )
        lost.append(float(answer["lost"]))
        check(answer["gaps"] == 0, f"{answer['gaps']} gaps")
        check(bool(answer["positions_equal"]), "positions differ")
        return perf_counter() - start

    return once


def strategy_fills(name: str) -> int:
    """Fills of all strategies, as the strategy engine says; 0 while it says nothing."""
    try:
        answer = Client(ports(Instance.find(name))).ask("strategy", GetStrategies())
    except (NautilusError, TimeoutError):
        return 0
    return sum(line["fills"] for line in answer["strategies"])


def wait_for(true: Callable[[], bool], what: str) -> None:
    """Look until it is so."""
    begun, pause = monotonic(), threading.Event()
    while not true():
        check(monotonic() - begun < MOST_SECONDS, f"no sign of {what} after {MOST_SECONDS:g} s")
        pause.wait(0.02)
