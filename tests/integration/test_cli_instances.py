"""Live runs from their beginning to their end, each with an instance of its own: up, demo, replay, down, a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nautilus.runtime.clock import monotonic_ns
from tests.kit.shell import ROOT, SETS, Shell, eventually, own_shell

DATA = Path(os.environ.get("NAUTILUS_DATA", ROOT.parent / "shared" / "data"))
RECORDING = DATA / "l2_binance" / "btcusdt_20240808.gz"
REPORT_KEYS = {
    "orders", "fills", "refused", "pnl", "positions", "positions_equal", "strategies", "latency_us", "star", "mesh",
    "gaps", "lost", "restarts", "journal", "journal_hash", "state_hash", "event_hash", "seconds", "market_seconds",
}  # fmt: skip
SECONDS = (4, 20, 80)
"""How long a demo runs until it has traded: the first is enough but where the machine stands still meanwhile."""
UP = re.compile("nautilus demo +(healthy|degraded|unhealthy) ")
"""How the head of the table begins as soon as the platform is up."""
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture
def shell() -> Iterator[Shell]:
    with own_shell() as made:
        yield made


def test_an_engine_left_out_runs_in_the_foreground(shell: Shell) -> None:
    begun = shell.run("up", "--without", "risk", "--detach", *SETS)
    assert begun.returncode == 0, begun.stderr
    eventually(lambda: shell.status()["status"] == "degraded")
    assert "runs already" in shell.refused("engine", "run", "portfolio", code=1)
    assert "did you mean 'risk'" in shell.refused("engine", "run", "rsk", code=2)
    with shell.start("engine", "run", "risk") as apart:
        assert apart.stdout is not None
        ready = apart.stdout.readline()
        assert "risk is ready" in ready
        status = eventually(lambda: (found := shell.status())["status"] == "healthy" and found)
        risk = next(engine for engine in status["engines"] if engine["name"] == "risk")
        assert f":{risk['port']}" in ready
        apart.send_signal(signal.SIGTERM)
        assert apart.wait(120) == 0
    eventually(lambda: shell.status()["status"] == "degraded")


@pytest.mark.long
def test_what_waits_for_an_engine_that_was_left_out_is_said_at_once(shell: Shell) -> None:
    begun = shell.run("up", "--without", "trading", "--detach", *SETS)
    assert begun.returncode == 0, begun.stderr
    assert begun.stderr == (
        f"risk, portfolio, strategy will be ready after `nautilus engine run trading --instance {shell.name}`\n"
    )
    assert f"`nautilus down --instance {shell.name}` stops it" in begun.stdout
    waiting = dict.fromkeys(("risk", "portfolio", "strategy"), "starting")
    eventually(lambda: shell.states() == {"marketdata": "ready", "gateway": "ready", "trading": "waiting", **waiting})
    assert shell.run("down").returncode == 0


@pytest.mark.long
def test_a_strategy_does_not_take_over_what_another_one_left(shell: Shell) -> None:
    up = ("up", "--simulated", "--detach", *SETS, "--strategy")
    assert shell.run(*up, "quoting").returncode == 0
    eventually(lambda: shell.object("top")["strategies"])
    assert shell.run("down").returncode == 0
    assert "account 1 is that of strategy quoting, not of momentum" in shell.refused(*up, "momentum", code=4)
    # It is not to trade by itself: what it held would be what it took over.
    still = ("--set", "momentum.threshold_bps=9000")
    other = shell.run(*up, "momentum", "--set", "strategy.first_account=2", *still)
    assert other.returncode == 0, other.stderr
    [row] = eventually(lambda: shell.object("top")["strategies"])
    assert (row["name"], row["position"]) == ("momentum", "")
    assert shell.run("down").returncode == 0


@pytest.mark.long
def test_down_names_a_process_that_had_to_be_killed_and_nothing_is_said_of_what_was_not_compared(shell: Shell) -> None:
    begun = shell.run("up", "--detach", *SETS, "--set", "platform.stop_seconds=0.5")
    assert begun.returncode == 0, begun.stderr
    os.kill(shell.pid("portfolio"), signal.SIGSTOP)
    eventually(lambda: shell.states()["portfolio"] == "silent")
    ended = shell.run("down", "--json")
    assert ended.returncode == 1
    assert "process portfolio did not stop in time and was killed (internal.process)" in ended.stderr
    document = json.loads(ended.stdout)
    # On a busy machine half a second may be too short for others too.
    assert document["clean"] is False
    assert "portfolio" in document["killed"]
    assert ended.stderr.count("was killed") == len(document["killed"])
    said = shell.place.base / "share" / "nautilus" / shell.name / "logs" / "supervisor.out"
    # Both streams of the supervisor lie in that file, in either order.
    report = json.loads(next(line for line in said.read_text().splitlines() if line.startswith("{")))
    assert report["positions_equal"] is None
    assert "portfolio" in report["missing"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts_is_a_clean_end(number: signal.Signals, shell: Shell) -> None:
    lock = shell.place.base / "nautilus" / shell.name / "lock"

    def interrupt() -> bool:
        """False where the signal came so late that it was up."""
        with shell.start("demo", *SETS) as process:
            eventually(lambda: lock.exists() or process.poll() is not None)
            process.send_signal(number)
            output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        assert list(shell.place.base.iterdir()) == []
        if "stopped before it was up" not in output:
            return False
        assert (output, errors) == ("nautilus demo: stopped before it was up\n", "")
        return True

    eventually(interrupt)


def test_demo_for_seconds_ends_by_itself_with_one_object(shell: Shell) -> None:
    for seconds in SECONDS:
        result = shell.run("demo", "--for", seconds, "--json", *SETS)
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
        report = json.loads(result.stdout)
        assert set(report) >= REPORT_KEYS
        assert report["positions_equal"] is True
        assert (report["gaps"], report["lost"], report["journal"]) == (0, 0, None)
        assert list(shell.place.base.iterdir()) == []
        if report["orders"]:
            break
    assert report["orders"] > 0


@pytest.mark.long
def test_demo_without_a_terminal_prints_lines_and_tables(shell: Shell) -> None:
    for seconds in SECONDS:
        shutil.rmtree(shell.place.base / "kept", ignore_errors=True)
        config = ("--profile", "compact", "--config", ROOT / "config" / "nautilus.toml")
        result = shell.run("demo", "--for", seconds, *config, *SETS, "--data", "kept")
        assert result.returncode == 0, result.stderr
        assert "\x1b" not in result.stdout + result.stderr
        assert "the live table ends" not in result.stderr
        assert max(map(len, result.stdout.splitlines())) <= 80
        if "healthy, 7 of 7 ready" in result.stderr:
            break
    assert "healthy, 7 of 7 ready" in result.stderr
    for word in ("orders", "fills", "P&L", "equal to the core's", "journal hash", "p99.9", "position", "quoting"):
        assert word in result.stdout
    verified = subprocess.run(
        [sys.executable, "-m", "nautilus", "journal", "verify", "kept"],
        capture_output=True, text=True, cwd=shell.place.base, env=shell.environment, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stderr
    again = shell.run("demo", "--for", 1, "--data", "kept")
    assert again.returncode == 2
    assert "is not empty" in again.stderr


def test_a_terminal_shows_the_table_and_an_interrupt_ends_it_cleanly(shell: Shell) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update({**shell.environment, "TERM": "xterm", "LINES": "24"})
        words = shell.words("demo", *SETS)
        os.execvp(words[0], words)
    shown, interrupted = "", False
    end_ns = monotonic_ns() + 240_000_000_000
    while monotonic_ns() < end_ns:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                chunk = os.read(terminal, 65536)
            except OSError:
                break
            shown += chunk.decode(errors="replace")
        # Before it is up, the head of the table says "starting", and there would be nothing to sum up.
        if not interrupted and UP.search(plain := CONTROL.sub("", shown)) and "quoting" in plain and "SIMUSD" in plain:
            interrupted = True
            os.write(terminal, b"\x03")
    else:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert interrupted, shown[-2000:]
    assert "the live table ends" not in shown
    assert os.waitstatus_to_exitcode(status) == 0, shown[-2000:]
    for word in ("instrument", "SIMUSD", "round trip", "all orders", "mesh", "\x1b[?1049h", "\x1b[?1049l"):
        assert word in shown, word
    summary = shown.rpartition("\x1b[?1049l")[2]
    assert "equal to the core's" in summary
    assert "Traceback" not in shown


@pytest.mark.long
@pytest.mark.skipif(not RECORDING.is_file(), reason=f"no recording {RECORDING}; set NAUTILUS_DATA")
def test_replay_in_scaled_real_time_loses_nothing(shell: Shell) -> None:
    result = shell.run("replay", RECORDING, "--speed", 10, "--for", 8, "--json", *SETS)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["gaps"], report["lost"], report["positions_equal"], report["speed"]) == (0, 0, True, 10.0)
    assert report["star"]["published"] > 1000
    assert report["market"] == str(RECORDING)
    assert report["complete"] is False
