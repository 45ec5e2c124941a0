"""What the strategy's process asks of its machine, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nautilus.engines.strategy import StrategyConfig
from nautilus.runtime.tuning import handler_budget_ms, tune

ROOT = Path(__file__).resolve().parents[3]
CORES = sorted(os.sched_getaffinity(0))
PROCESS = """
import gc, json, os, sys, threading
from nautilus.engines.strategy import StrategyConfig
from nautilus.runtime import tuning

class Spec:
    def __init__(self, engines): self.engines = engines

class Plan:
    def process(self, name): return Spec((name,))
    def config(self, name, kind): return kind(**settings)

settings, process = json.loads(sys.argv[1]), sys.argv[2]
waits = threading.Event()
other = threading.Thread(target=waits.wait, daemon=True)
other.start()
ballast = bytearray(64 << 20)
grants = tuning.tune(Plan(), process)
flags = [line.split()[1:] for line in open("/proc/self/smaps") if line.startswith("VmFlags:")]
print(json.dumps({
    "grants": [list(grant) for grant in grants],
    "cores": [sorted(os.sched_getaffinity(int(thread))) for thread in os.listdir("/proc/self/task")],
    "frozen": gc.get_freeze_count(),
    "threshold": gc.get_threshold(),
    "asked": sum("hg" in each for each in flags),
}))
waits.set()
"""


def tuned(process: str = "strategy", **settings: Any) -> dict[str, Any]:
    """What a process of that engine has after it."""
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, json.dumps(settings), process],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    found["grants"] = {what: (granted, text) for what, granted, text in found["grants"]}
    return found


def test_by_default_collections_are_spared_and_huge_pages_asked_for() -> None:
    found = tuned()
    assert found["frozen"] > 1000
    assert found["threshold"][0] == 20_000
    assert found["grants"]["garbage collection"][0]
    mode = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    offered = mode.exists() and "[never]" not in mode.read_text()
    assert found["grants"]["huge pages"][0] is offered
    assert (found["asked"] > 0) is offered


def test_what_is_not_wanted_is_left_alone() -> None:
    found = tuned(gc_tuning=False, huge_pages=False)
    assert (found["grants"], found["asked"]) == ({}, 0)
    assert found["threshold"][0] != 20_000
    assert set(map(tuple, found["cores"])) == {tuple(CORES)}


def test_processes_of_other_engines_are_left_alone() -> None:
    assert tuned("risk", cpu_affinity=CORES[:1])["grants"] == {}


def test_every_thread_runs_on_the_processors_that_are_wanted() -> None:
    found = tuned(cpu_affinity=CORES[-1:])
    assert len(found["cores"]) >= 2
    assert set(map(tuple, found["cores"])) == {(CORES[-1],)}
    assert found["grants"]["affinity"] == (True, f"processors {CORES[-1]}")


def test_processors_that_are_not_there_are_told_and_the_others_taken() -> None:
    found = tuned(cpu_affinity=[CORES[0], 4000])
    assert set(map(tuple, found["cores"])) == {(CORES[0],)}
    assert found["grants"]["affinity"] == (False, f"processors {CORES[0]},4000: not there: 4000")
    found = tuned(cpu_affinity=[4000])
    assert set(map(tuple, found["cores"])) == {tuple(CORES)}
    assert not found["grants"]["affinity"][0]
    assert "none of them is this process's" in found["grants"]["affinity"][1]


class Plan:
    """Of one process, with settings of strategies."""

    def __init__(self, engine: str = "strategy", **settings: Any) -> None:
        self._engine = engine
        self._settings = settings

    def process(self, name: str) -> Any:
        return type("Spec", (), {"engines": (self._engine,)})

    def config(self, name: str, kind: type[StrategyConfig]) -> StrategyConfig:
        return kind(**self._settings)


def test_what_is_refused_is_a_warning_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    tune(Plan(cpu_affinity=(4000,), gc_tuning=False, huge_pages=False), "strategy")  # type: ignore[arg-type]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_handler_of_strategies_has_their_target_as_its_budget() -> None:
    assert handler_budget_ms(Plan(), "strategy", 100) == 30  # type: ignore[arg-type]
    assert handler_budget_ms(Plan(latency_target_ms=0.2), "strategy", 100) == 1  # type: ignore[arg-type]
    assert handler_budget_ms(Plan(latency_target_ms=500.0), "strategy", 100) == 100  # type: ignore[arg-type]
    assert handler_budget_ms(Plan("risk"), "risk", 100) == 100  # type: ignore[arg-type]
