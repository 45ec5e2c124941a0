"""The command line as a user has it, in lock-step: a process of its own, on simulated and recorded markets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("NAUTILUS_DATA", ROOT.parent / "shared" / "data"))
RECORDING = DATA / "l2_binance" / "btcusdt_20240808.gz"
KEYS = {
    "records",
    "book_checks",
    "orders",
    "fills",
    "pnl",
    "latency_us",
    "gaps",
    "lost",
    "journal_hash",
    "state_hash",
    "seconds",
}
needs_recording = pytest.mark.skipif(not RECORDING.is_file(), reason=f"no recording {RECORDING}; set NAUTILUS_DATA")


def nautilus(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "nautilus", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **environment},
        check=False,
    )


def one_object(result: subprocess.CompletedProcess[str]) -> dict[str, object]:
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    return document


def test_demo_trades_and_prints_one_object(tmp_path: Path) -> None:
    result = nautilus("demo", "--market-for", 20, "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    report = one_object(result)
    assert set(report) >= KEYS
    assert report["orders"] > 0
    assert report["fills"] > 0
    assert report["positions_equal"] is True


def test_demo_of_one_seed_is_the_same_twice_and_of_another_is_not(tmp_path: Path) -> None:
    hashes = [
        one_object(nautilus("demo", "--market-for", 10, "--seed", seed, "--json", cwd=tmp_path))["event_hash"]
        for seed in (7, 7, 8)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_demo_shows_a_person_progress_and_tables_of_eighty_columns(tmp_path: Path) -> None:
    result = nautilus(
        "demo", "--speed", "max", "--for", 3, "--strategy", "quoting", "--strategy", "momentum", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout + result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    for word in ("orders", "fills", "P&L", "journal hash", "state hash", "p99.9", "position", "momentum"):
        assert word in result.stdout
    assert "fills" in result.stderr


def test_a_journal_of_a_run_replays_to_the_same_events(tmp_path: Path) -> None:
    report = one_object(nautilus("demo", "--market-for", 10, "--journal", "run", "--json", cwd=tmp_path))
    assert nautilus("journal", "verify", "run", cwd=tmp_path).returncode == 0
    replayed = nautilus("journal", "replay", "run", "--event-hash", report["event_hash"], "--json", cwd=tmp_path)
    assert replayed.returncode == 0, replayed.stderr
    document = one_object(replayed)
    assert {key: document[key] for key in ("event_hash", "journal_hash", "state_hash")} == {
        key: report[key] for key in ("event_hash", "journal_hash", "state_hash")
    }
    again = nautilus("demo", "--market-for", 10, "--journal", "run", cwd=tmp_path)
    assert again.returncode == 2
    assert "run is not empty; expected a new directory" in again.stderr


def test_a_damaged_journal_is_named_with_its_place(tmp_path: Path) -> None:
    nautilus("demo", "--market-for", 2, "--journal", "run", "--json", cwd=tmp_path)
    segment = next((tmp_path / "run").glob("*.journal"))
    with segment.open("r+b") as file:
        file.seek(5_000)
        byte = file.read(1)
        file.seek(5_000)
        file.write(bytes([byte[0] ^ 0x10]))
    result = nautilus("journal", "verify", "run", "--json", cwd=tmp_path)
    assert result.returncode == 1
    assert one_object(result)["valid"] is False
    assert segment.name in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_dump_names_kinds_and_says_that_more_follow(tmp_path: Path) -> None:
    nautilus("demo", "--market-for", 2, "--journal", "run", "--json", cwd=tmp_path)
    document = one_object(nautilus("journal", "dump", "run", "--from", 3, "--limit", 5, "--json", cwd=tmp_path))
    commands = document["commands"]
    assert isinstance(commands, list)
    assert [command["sequence"] for command in commands] == [3, 4, 5, 6, 7]
    assert all(command["kind"].isupper() for command in commands)
    assert document["more"] is True


@needs_recording
def test_replay_of_a_recording_trades_and_its_book_is_the_venues(tmp_path: Path) -> None:
    result = nautilus("replay", RECORDING, "--speed", "max", "--market-for", 30, "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    report = one_object(result)
    assert set(report) >= KEYS
    checks = report["book_checks"]
    assert isinstance(checks, dict)
    assert checks["compared"] == checks["equal"] > 300
    assert report["orders"] > 0
    assert report["fills"] > 0


@needs_recording
def test_a_cut_recording_is_played_to_the_cut_and_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(RECORDING.read_bytes()[:200_000])
    result = nautilus("replay", "cut.gz", "--json", cwd=tmp_path)
    assert result.returncode == 1
    assert "cut.gz:" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    report = json.loads(result.stdout)
    assert report["broken"] in result.stderr
    assert not report["complete"]
    assert report["records"]["quotes"] > 1000
    assert report["book_checks"]["compared"] == report["book_checks"]["equal"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("replay", "absent.gz"), 2, "absent.gz: no such recording"),
        (("replay", "empty.gz"), 1, "empty.gz"),
        (("replay", "text.gz"), 1, "text.gz"),
        (("replay", "text.gz", "--speed", "fast"), 2, "or 'max'"),
        (("demo", "--for", "0"), 2, "expected a number of seconds above 0"),
        (("demo", "--for", "nan"), 2, "expected a number of seconds above 0"),
        (("demo", "--strategy", "qoting"), 2, "did you mean 'quoting'?"),
        (("demo", "--strategy", "absent.py:Mine"), 2, "no file absent.py"),
        (("demo", "--strategy", ":Mine"), 2, "expected one of quoting, momentum or file.py:Class"),
        (("demo", "--strategy", "mine.py:"), 2, "expected one of quoting, momentum or file.py:Class"),
        (("demo", "--for", "1e300"), 2, "expected a number of seconds above 0"),
        (("demo", "--journal", "text.gz"), 2, "text.gz is a file; expected a new directory"),
        (("journal", "dump", ".", "--from", "9" * 30), 2, "--from"),
        (("demo", "--latency", "0ms"), 2, 'asked for by name: "none"'),
        (("demo", "--set", "quoting.quantiy=1"), 4, "did you mean 'quantity'?"),
        (("demo", "--set", "simulation.makers=0"), 4, "makers"),
        (("demo", "--profile", "colocatd"), 4, "colocatd"),
        (("journal", "verify", "absent"), 2, "absent: no such journal"),
        (("journal", "verify", "."), 1, "not a journal"),
        (("journal", "replay", "."), 1, "not a journal"),
    ],
)
def test_bad_input_is_one_line_with_the_right_code(
    arguments: tuple[str, ...], code: int, words: str, tmp_path: Path
) -> None:
    (tmp_path / "empty.gz").touch()
    (tmp_path / "text.gz").write_text("not a recording\n")
    result = nautilus(*arguments, "--json", cwd=tmp_path)
    assert (result.returncode, words in result.stderr) == (code, True), result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == "" or arguments[:2] == ("journal", "verify")


def test_a_strategy_in_a_file_runs_and_its_error_is_said(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from nautilus.engines.strategy import Strategy\n\n\n"
        "class Mine(Strategy):\n"
        "    def on_quote(self, quote, ctx):\n"
        "        print('a word of its own')\n"
        "        raise ValueError('wrong on purpose')\n"
    )
    result = nautilus("demo", "--market-for", 2, "--strategy", "mine.py:Mine", "--json", cwd=tmp_path)
    assert result.returncode == 1
    assert one_object(result)["errors"]
    assert "wrong on purpose" in result.stderr
    assert "a word of its own" in result.stderr


def test_an_interrupt_ends_a_run_with_one_line(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "nautilus", "demo", "--speed", "max", "--for", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stderr is not None
    process.stderr.readline()
    process.stderr.readline()  # the first progress: the run is on its way
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "nautilus: error: interrupted"
    assert "Traceback" not in errors
