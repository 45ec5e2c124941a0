"""A few thousand fixed executions of every fuzz target, in processes with bounded memory and time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import drive
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[3]
EXECUTIONS = int(os.environ.get("NAUTILUS_FUZZ", "600"))  # of the cheapest target
CHILD = """
import sys
from tests.fuzz import drive
from tests.fuzz.targets import TARGETS
name, executions = sys.argv[1], int(sys.argv[2])
drive.limited()
print(drive.blind(TARGETS[name], name, executions=executions))
"""


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_bytes_that_are_changed_blindly_neither_crash_nor_hang_nor_fill_the_memory(name: str) -> None:
    executions = max(60, EXECUTIONS // TARGETS[name].cost)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", CHILD, name, str(executions)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.environ.get("PYTHONPATH") or str(ROOT)},
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout.split()[-1]) == executions


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
