"""What a person waits for: help, a short simulated market in lock-step, a whole recording and its memory.

Each figure is the wall time of a whole process, from its start to its end, as a shell sees it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from perf.harness import ROOT, Report, check

SUMMARY = "nautilus --help, a lock-step run of the simulated market, replay of a recording"
RECORDING = Path(os.environ.get("NAUTILUS_DATA") or ROOT.parent / "shared" / "data") / "l2_binance/btcusdt_20240808.gz"
FIRST_FILL_WITHIN = "5"  # seconds of the simulated market; its run ends there


def run(report: Report) -> None:
    """One figure for each wait."""
    nautilus = [sys.executable, "-m", "nautilus"]
    report.measure(
        "nautilus --help", "ms", lambda: 1e3 * _run([*nautilus, "--help"])[0], goal=100, lower_is_better=True
    )
    demo = ["make", "--silent", "run", f"ARGS=--market-for {FIRST_FILL_WITHIN} --json"]
    name = f"make run of {FIRST_FILL_WITHIN} s of the market in lock-step, warm"
    report.measure(name, "s", _first_fill(demo), goal=4, lower_is_better=True)
    if not RECORDING.exists():
        report.notes.append("replay left out: the recording was not found, see NAUTILUS_DATA")
        return
    replay = [*nautilus, "replay", str(RECORDING), "--speed", "max", "--json"]
    memory: list[float] = []
    hashes: set[str] = set()

    def once() -> float:
        seconds, mebibytes, out = _run(replay)
        answer: dict[str, Any] = json.loads(out)
        compared = answer["book_checks"]["compared"]
        check(answer["book_checks"]["equal"] == compared > 0, f"replay: {answer['book_checks']}")
        check(answer["fills"] > 0, "replay: the strategy had no fill")
        memory.append(mebibytes)
        hashes.add(answer["state_hash"] + answer["journal_hash"])
        return float(answer["market_seconds"]) / seconds

    report.measure("replay of 344.7 s of BTCUSDT, whole process", "x real time", once, goal=50)
    left = iter(memory)
    report.measure("peak memory of that replay", "MiB", lambda: next(left), goal=300, lower_is_better=True)
    check(len(hashes) == 1, f"replay: {len(hashes)} different results in {len(memory)} runs")
    report.checks.append("every rebuilt best bid and ask equals the venue's; all runs gave the same two hashes")


def _first_fill(command: list[str]) -> Callable[[], float]:
    def once() -> float:
        seconds, _, out = _run(command)
        check(json.loads(out)["fills"] > 0, f"no fill within {FIRST_FILL_WITHIN} s of the simulated market")
        return seconds

    _run(command)  # warm: built, and in the page cache
    return once


def _run(command: list[str]) -> tuple[float, float, str]:
    """Seconds, peak resident MiB and output of a process that must succeed; its children are counted with it."""
    spawn = [sys.executable, "-S", "-E", str(ROOT / "perf" / "spawn.py"), *command]
    answer = json.loads(subprocess.run(spawn, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    check(answer["code"] == 0, f"{' '.join(command)}: exit code {answer['code']}, {answer['errors'][-300:]}")
    return answer["seconds"], answer["peak_mib"], answer["out"]
