"""One table of routes, many processes and threads, some of them killed in the middle: nothing is lost or hangs."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from nautilus.core import route
from nautilus.core.route import Routes

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "1"))
PROCESSES = 4
OUTCOMES = 20_000
KILLS = 12
ENGINES = ("risk", "ml", "strategy")


def _forked(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def _live(path: Path, seed: int, outcomes: int | None) -> None:
    """Requests as a worker makes them, so many or without end."""
    chance = random.Random(seed)
    table = Routes(64, path, seed=seed)
    done = 0
    while outcomes is None or done < outcomes:
        engine = chance.choice(ENGINES)
        for way in (0, 1):
            table.target(engine, "read", chance.choice("abc"), way)
        target = table.decide(table.group(engine, "read"), 10**9 + done * 1000, route.IDEMPOTENT) & route.TARGET_MASK
        table.begin(target)
        table.record(target, chance.randrange(10**5, 10**7), chance.random() < 0.9, 10**9 + done * 1000)
        table.end(target)
        done += 1


def _sums(table: Routes) -> tuple[int, int]:
    found = [table.read(target) for target in range(len(table))]
    return sum(each["requests"] for each in found), sum(each["in_flight"] for each in found)


def test_processes_agree_on_names_and_lose_no_outcome(tmp_path: Path) -> None:
    path = tmp_path / "routes"
    children = [_forked(partial(_live, path, number + 1, OUTCOMES)) for number in range(PROCESSES)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * PROCESSES
    table = Routes(64, path)
    assert _sums(table) == (PROCESSES * OUTCOMES, 0)
    names = [tuple(table.read(target)[key] for key in ("engine", "instance", "route")) for target in range(len(table))]
    assert len(names) == len(set(names)) == len(ENGINES) * 3 * 2
    for target in range(len(table)):
        found = table.read(target)
        assert 10**5 <= found["expected_ns"] <= 10**7
        assert found["samples"] + found["contended"] == found["requests"]


@pytest.mark.long
def test_killed_processes_leave_no_lock_and_nothing_in_flight(tmp_path: Path) -> None:
    for seed in range(SEEDS):
        chance = random.Random(seed)
        path = tmp_path / f"routes-{seed}"
        table = Routes(64, path)
        for _ in range(KILLS):
            children = [_forked(partial(_live, path, chance.randrange(1, 1 << 30), None)) for _ in range(PROCESSES)]
            before, wanted = _sums(table)[0], chance.randrange(1, 3000)
            while _sums(table)[0] < before + wanted:
                pass
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            table.sweep()
            assert _sums(table)[1] == 0
            for target in range(len(table)):
                found = table.read(target)
                table.record(target, 10**6, True, 10**9)
                assert table.read(target)["samples"] == found["samples"] + 1, "a dead process still has the lock"


def test_threads_of_a_process_share_one_table(tmp_path: Path) -> None:
    table = Routes(64, tmp_path / "routes")
    targets = [table.target("risk", "read", name, way) for name in "abc" for way in (0, 1)]

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for number in range(OUTCOMES):
            target = chance.choice(targets)
            table.begin(target)
            table.decide(0, 10**9 + number, route.IDEMPOTENT)
            table.record(target, 10**6, True, 10**9 + number)
            table.end(target)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _sums(table) == (4 * OUTCOMES, 0)


def test_more_processes_than_there_are_cells_for_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "routes"
    tables = [Routes(4, path) for _ in range(32)]
    target = tables[0].target("risk", "", "a", 0)
    tables[0].begin(target)
    try:
        Routes(4, path)
    except OSError as error:
        refused = str(error)
    assert "32 living processes" in refused
    assert tables[1].read(target)["in_flight"] == 1
    del tables[5]
    assert len(Routes(4, path)) == 1
