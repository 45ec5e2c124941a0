"""A few thousand fixed executions of every fuzz target, in processes with bounded memory and time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz import drive
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[3]
EXECUTIONS = int(os.environ.get("NAUTILUS_FUZZ", "600"))  # of the cheapest target
NURSERY = """
import os, sys
from tests.fuzz import drive
from tests.fuzz.targets import TARGETS
for line in sys.stdin:
    name, executions, path = line.rstrip("\\n").split(" ", 2)
    child = os.fork()
    if not child:
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), 2)
        drive.limited()
        done = drive.blind(TARGETS[name], name, executions=int(executions))
        os._exit(0 if done == int(executions) else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Forks a process for each target, as to import all that they need takes longer than most of them."""


@pytest.fixture(scope="module")
def nursery() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", NURSERY],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.environ.get("PYTHONPATH") or str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_bytes_that_are_changed_blindly_neither_crash_nor_hang_nor_fill_the_memory(
    nursery: subprocess.Popen[str], name: str, tmp_path: Path
) -> None:
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    told = tmp_path / "told"
    print(name, max(60, EXECUTIONS // TARGETS[name].cost), told, file=nursery.stdin, flush=True)
    code = nursery.stdout.readline()
    assert code == "0\n", told.read_text()[-4000:]


def test_the_same_seed_gives_the_same_inputs() -> None:
    for name, target in TARGETS.items():
        first, second = drive.inputs(target, name, 3), drive.inputs(target, name, 3)
        assert [next(first) for _ in range(60)] == [next(second) for _ in range(60)]


def test_a_target_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(data: bytes) -> None:
        if b"\1" in data:
            raise ZeroDivisionError

    monkeypatch.chdir(tmp_path)
    target = drive.Target(fails, (ValueError,), lambda: [b"\0" * 8])
    with pytest.raises(ZeroDivisionError):
        drive.blind(target, "failing", executions=10_000)
    kept = next((tmp_path / "build" / "fuzz-findings" / "failing").iterdir())
    assert b"\1" in kept.read_bytes()


HANGS = """
import sys, threading, time
from tests.fuzz import drive
drive.limited()
drive.SECONDS = 0.2
drive.feed(drive.Target(lambda data: eval(data)), sys.argv[1].encode())
"""


@pytest.mark.parametrize(
    ("work", "code", "words"),
    [
        # It has waited five times as long as it may work: so does one that the machine gives no processor to.
        ("threading.Event().wait(1.0)", 0, ""),
        ("[None for _ in iter(int, 1)]", 1, "HangError: an input took longer than 0.2 s on the processor"),
        ("sum(range(10**15))", -signal.SIGVTALRM, ""),
    ],
    ids=["waits", "loops", "loops in compiled code"],
)
def test_what_counts_of_an_input_is_its_time_on_the_processor(work: str, code: int, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS, work], cwd=ROOT, capture_output=True, text=True, timeout=560, check=False
    )
    assert done.returncode == code, done.stderr[-4000:]
    assert words in done.stderr
