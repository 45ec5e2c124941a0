"""The commands of the live platform as a user has them: processes of their own, a terminal, a real instance.

Length: one instance serves most of these tests; it takes longer to start than they do.
"""

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
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nautilus.runtime.clock import monotonic_ns, pause
from tests.kit.instances import Place, own_place
from tests.kit.platform import PATIENT

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("NAUTILUS_DATA", ROOT.parent / "shared" / "data"))
RECORDING = DATA / "l2_binance" / "btcusdt_20240808.gz"
ENGINES = ["marketdata", "trading", "risk", "portfolio", "strategy", "gateway"]
REPORT_KEYS = {
    "orders", "fills", "refused", "pnl", "positions", "positions_equal", "strategies", "latency_us", "star", "mesh",
    "gaps", "lost", "restarts", "journal", "journal_hash", "state_hash", "event_hash", "seconds", "market_seconds",
}  # fmt: skip
WAITING = ("order", "book", "kill-switch", "phase", "down")
"""Commands that wait for an answer: here as long as a machine may stand still."""
SETS = tuple(word for setting in ("platform.ports=free", *PATIENT) for word in ("--set", setting))
SECONDS = (4, 20, 80)
"""How long a demo runs until it has traded: the first is enough but where the machine stands still meanwhile."""
STATUS_KEYS = {"status", "engines", "bus", "orders", "journal"}


class Shell:
    """Runs commands against instances of one place."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.name = place.name
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}

    def words(self, *arguments: object) -> list[str]:
        given = list(map(str, arguments))
        if given[0] in WAITING and "--timeout" not in given:
            given += ["--timeout", "120"]
        return [sys.executable, "-m", "nautilus", *given, "--instance", self.name]

    def run(self, *arguments: object, seconds: float = 240) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.words(*arguments),
            capture_output=True, text=True, timeout=seconds, cwd=self.place.base, env=self.environment, check=False,
        )  # fmt: skip

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Run a command beside the test."""
        return subprocess.Popen(
            self.words(*arguments),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.place.base, env=self.environment,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
        )  # fmt: skip

    def object(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        """The one object that a command prints with --json."""
        result = self.run(*arguments, "--json")
        assert result.returncode == code, result.stderr
        assert result.stdout.count("\n") == 1
        document = json.loads(result.stdout)
        assert isinstance(document, dict)
        return document

    def status(self) -> dict[str, Any]:
        """What `status` prints, whatever it says of the instance's health."""
        result = self.run("status", "--json")
        assert result.returncode in (0, 1), result.stderr
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def states(self) -> dict[str, str]:
        """State of each engine."""
        return {engine["name"]: engine["state"] for engine in self.status()["engines"]}

    def refused(self, *arguments: object, code: int) -> str:
        """What a command that fails says: one line."""
        result = self.run(*arguments)
        assert result.returncode == code, (result.returncode, result.stderr)
        assert len(result.stderr.splitlines()) == 1
        assert result.stderr.startswith("nautilus: error: ")
        if " refused: " not in result.stderr:  # what the core says of an order has no code but its reasons
            assert re.search(r" \([a-z_]+(\.[a-z0-9_]+)*\)$", result.stderr.rstrip()), result.stderr
        return result.stderr

    def pid(self, engine: str) -> int:
        found = self.status()["engines"]
        return next(int(line["pid"]) for line in found if line["name"] == engine)


@pytest.fixture
def shell() -> Iterator[Shell]:
    """A place for an instance of this test's own; whatever runs there at the end is stopped."""
    with own_place() as place:
        made = Shell(place)
        try:
            yield made
        finally:
            made.run("down")


@pytest.fixture(scope="module")
def running() -> Iterator[Shell]:
    """An instance with a simulated market and a strategy, started and stopped by the commands themselves."""
    with own_place() as place:
        made = Shell(place)
        begun = made.run("up", "--simulated", "--strategy", "quoting", "--detach", *SETS)
        assert begun.returncode == 0, begun.stderr
        assert "is up" in begun.stdout
        try:
            yield made
        finally:
            ended = made.run("down")
        assert ended.returncode == 0, ended.stderr
        assert "stopped" in ended.stdout
        assert "is not running" in made.refused("status", code=3)
        said = (place.base / "share" / "nautilus" / place.name / "logs" / "supervisor.out").read_text()
        assert len(said.splitlines()) == 1, said
        report = json.loads(said)
        assert (report["positions_equal"], report["gaps"], report["lost"]) == (True, 0, 0)
        assert report["orders"] > 0
        assert not place.shared.exists()


def eventually(found: Any, seconds: float = 120.0) -> Any:
    end_ns = monotonic_ns() + int(seconds * 1e9)
    while not (value := found()):
        assert monotonic_ns() < end_ns, f"not within {seconds} s"
        pause(0.05)
    return value


def test_status_is_healthy_and_has_the_shape_that_checks_rely_on(running: Shell) -> None:
    status = eventually(lambda: (found := running.status())["status"] == "healthy" and found)
    assert set(status) == STATUS_KEYS
    assert [engine["name"] for engine in status["engines"]] == ENGINES
    assert all(engine["state"] == "ready" and engine["port"] and engine["pid"] for engine in status["engines"])
    assert running.run("status").returncode in (0, 1)
    eventually(lambda: running.status()["orders"]["filled"] > 0)


def test_status_and_top_fit_eighty_columns(running: Shell) -> None:
    def fits(*arguments: object) -> str:
        result = running.run(*arguments)
        assert result.returncode in (0, 1), result.stderr
        assert "\x1b" not in result.stdout
        assert max(map(len, result.stdout.splitlines()), default=0) <= 80
        return result.stderr

    fits("status")
    eventually(lambda: "8 of 8 ready" in fits("top", "--for", 3))


def test_one_look_of_top_is_an_object_with_rates(running: Shell) -> None:
    def look() -> dict[str, Any] | None:
        # An engine that is late with its answer has no lines in this one.
        view = running.object("top")
        whole = view["quotes"] and view["strategies"] and any(line["per_second"] > 0 for line in view["engines"])
        return view if whole else None

    view = eventually(look)
    assert view["engines"][0]["name"] == "core"
    assert view["quotes"][0]["symbol"] == "SIMUSD"
    assert view["strategies"][0]["name"] == "quoting"
    assert all(line["memory_mib"] > 1 for line in view["engines"])


def test_an_order_is_entered_amended_listed_and_cancelled(running: Shell) -> None:
    entered = running.object("order", "submit", "SIMUSD", "buy", "0.010", "--price", "100.5", "--account", 9)
    assert (entered["status"], entered["leaves_quantity"]) == ("accepted", "0.01")
    order_id = entered["order_id"]
    assert running.object("order", "amend", order_id, "0.020", "99", "--account", 9)["status"] == "replaced"
    listed = running.object("order", "list", "--account", 9)["orders"]
    assert [(line["order_id"], line["price"], line["quantity"]) for line in listed] == [(order_id, "99", "0.02")]
    assert f"{order_id} SIMUSD" in running.run("order", "list").stdout
    assert "cancelled" in running.run("order", "cancel", order_id, "--account", 9).stdout
    assert running.object("order", "list", "--account", 9)["orders"] == []


def test_terms_of_an_order_and_the_kill_switch_of_a_strategy_go_all_the_way(running: Shell) -> None:
    submit = ("order", "submit", "SIMUSD", "buy", "0.010", "--price", "100", "--account", 12)
    order_id = running.object(*submit, "--post-only", "--tif", "day")["order_id"]
    [line] = running.object("order", "list", "--account", 12)["orders"]
    assert (line["standing"], line["flags"], line["order_type"]) == ("DISPLAYED", ["POST_ONLY"], "LIMIT")
    listed = running.run("order", "list", "--account", 12).stdout
    assert re.search(rf"{order_id} limit +displayed day post-only", listed)
    assert "model.order_field" in running.refused(*submit, "--display", "0.001", "--hidden", code=1)
    on = running.object("kill-switch", "on", "--account", 12, "--strategy", 7)
    assert (on["strategy_id"], on["cancelled"]) == (7, 0)
    assert running.object(*submit)["status"] == "accepted"
    running.object("kill-switch", "off", "--account", 12, "--strategy", 7)


def test_a_book_by_orders_a_place_and_a_phase_go_all_the_way(running: Shell) -> None:
    submit = ("order", "submit", "SIMUSD", "buy", "0.010", "--account", 13)
    first, second = (running.object(*submit, "--price", "42")["order_id"] for _ in range(2))
    orders = running.object("book", "SIMUSD", "--level", 3, "--levels", 1000)["orders"]
    ours = [(order["order_id"], order["quantity"]) for order in orders if order["account_id"] == 13]
    assert ours == [(first, "0.010"), (second, "0.010")]
    place = running.object("order", "queue", second, "--account", 13)
    assert (place["orders_ahead"], place["quantity_ahead"], place["displayed"]) == (1, "0.010", True)
    halted = running.object("phase", "set", "SIMUSD", "halted")
    assert (halted["phase"], halted["status"], halted["symbol"]) == ("HALTED", "applied", "SIMUSD")
    assert [line["phase"] for line in running.object("phase", "list")["phases"]] == ["HALTED"]
    assert "refused: SESSION" in running.refused(*submit, "--price", "42", code=1)
    running.object("phase", "set", "SIMUSD", "continuous")
    assert "model.unknown_instrument" in running.refused("phase", "set", "NOPE", "halted", code=2)
    assert "EXPIRY" in running.run("phase", "set", "all", "closed", "--close-ns", 1).stdout
    for order_id in (first, second):
        running.object("order", "cancel", order_id, "--account", 13)


def test_an_order_that_cannot_be_is_one_line_with_its_code(running: Shell) -> None:
    submit = ("order", "submit", "SIMUSD", "buy")
    assert "model.unknown_instrument" in running.refused("order", "submit", "NOPE", "buy", 1, "--price", 1, code=2)
    assert "off tick" in running.refused(*submit, 1, "--price", "100.55", code=1)
    assert "UNKNOWN_ORDER" in running.refused("order", "cancel", 77, "--account", 9, code=2)
    assert "either --price" in running.refused(*submit, 1, code=2)
    assert "either --price" in running.refused(*submit, 1, "--market", "--price", 1, code=2)


def test_the_kill_switch_of_an_account_stops_it_alone(running: Shell) -> None:
    running.object("order", "submit", "SIMUSD", "buy", "0.010", "--price", "100", "--account", 10)
    assert running.object("kill-switch", "on", "--account", 10)["cancelled"] == 1
    scope = {"account_id": 10, "instrument_id": 0, "symbol": "", "strategy_id": 0}
    assert running.object("kill-switch", "status")["scopes"] == [scope]
    submit = ("order", "submit", "SIMUSD", "buy", "0.010", "--price", "100", "--account")
    assert "KILLED" in running.refused(*submit, 10, code=1)
    assert running.object(*submit, 11)["status"] == "accepted"
    running.object("kill-switch", "off", "--account", 10)
    assert running.object("kill-switch", "status")["on"] is False
    assert running.object(*submit, 10)["status"] == "accepted"


def test_the_book_has_both_sides_best_first(running: Shell) -> None:
    book = eventually(
        lambda: (found := running.object("book", "SIMUSD", "--levels", 3))["bids"] and found["asks"] and found
    )
    assert len(book["bids"]) <= 3
    assert float(book["bids"][0]["price"]) < float(book["asks"][0]["price"])
    assert "quantity" in running.run("book", "SIMUSD").stdout
    assert running.run("book", "NOPE").returncode == 2


def test_logs_are_merged_filtered_and_followed(running: Shell) -> None:
    lines = running.object("logs", "--lines", 0)["lines"]
    assert {"supervisor", "core", "strategy"} <= {line["process"] for line in lines}
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    only = running.object("logs", "supervisor", "--lines", 2)["lines"]
    assert [line["process"] for line in only] == ["supervisor"] * 2
    assert running.object("logs", "--since", "2100-01-01")["lines"] == []
    assert "did you mean 'risk'" in running.refused("logs", "riks", code=2)
    assert "expected 90s" in running.refused("logs", "--since", "yesterday", code=2)
    with running.start("logs", "supervisor", "--follow", "--lines", "1") as following:
        assert following.stdout is not None
        assert "supervisor" in following.stdout.readline()
        following.send_signal(signal.SIGINT)
        assert following.wait(120) == 0


def test_the_journal_of_an_instance_needs_no_path(running: Shell) -> None:
    assert running.object("journal", "verify")["valid"] is True
    assert running.object("journal", "dump", "--limit", 2)["commands"][0]["sequence"] == 1
    assert "one of PATH and --instance" in running.refused("journal", "verify", "here", code=2)


def test_a_second_one_of_the_name_is_refused_and_disturbs_nothing(running: Shell) -> None:
    for arguments in (("up",), ("up", "--detach"), ("demo", "--for", 1)):
        assert "is up (pid" in running.refused(*arguments, code=1)
    eventually(lambda: running.status()["status"] == "healthy")


def test_a_wrong_token_is_said_with_its_code(running: Shell) -> None:
    token = running.place.base / "nautilus" / running.name / "token"
    right = token.read_text()
    token.write_text("wrong")
    try:
        assert "http.token" in running.refused("order", "cancel", 1, code=1)
        assert running.object("order", "list")["last_sequence"] > 0
    finally:
        token.write_text(right)


def test_an_engine_that_does_not_answer_is_a_time_out(running: Shell) -> None:
    pid = running.pid("portfolio")
    before = running.status()["bus"]["star"]["published"]
    os.kill(pid, signal.SIGSTOP)
    try:
        # Long enough for more to wait than a reader takes at one look.
        eventually(lambda: running.status()["bus"]["star"]["published"] > before + 2000)
        # Who only looks is not held up: the counters are in shared memory.
        eventually(lambda: running.status()["status"] == "degraded")
        eventually(lambda: [name for name, state in running.states().items() if state == "silent"] == ["portfolio"])
        [line] = [line for line in running.object("top")["engines"] if line["name"] == "portfolio"]
        assert line["state"] == "silent"
    finally:
        os.kill(pid, signal.SIGCONT)
    trading = running.pid("trading")
    os.kill(trading, signal.SIGSTOP)
    try:
        text = running.refused("order", "submit", "SIMUSD", "buy", 1, "--price", 1, "--timeout", 0.2, code=5)
        assert "unknown" in text
    finally:
        os.kill(trading, signal.SIGCONT)
    eventually(lambda: running.status()["status"] == "healthy")


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
        if not interrupted and re.search(r"strategy.*ready", shown) and "quoting" in shown and "SIMUSD" in shown:
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


@pytest.mark.skipif(not RECORDING.is_file(), reason=f"no recording {RECORDING}; set NAUTILUS_DATA")
def test_replay_in_scaled_real_time_loses_nothing(shell: Shell) -> None:
    result = shell.run("replay", RECORDING, "--speed", 10, "--for", 8, "--json", *SETS)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["gaps"], report["lost"], report["positions_equal"], report["speed"]) == (0, 0, True, 10.0)
    assert report["star"]["published"] > 1000
    assert report["market"] == str(RECORDING)
    assert report["complete"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("up", "--replay", "absent.gz"), 2, "no such recording"),
        (("up", "--replay", "x.gz", "--simulated"), 2, "one of --replay, --market and --simulated"),
        (("up", "--speed", "max"), 2, "lock-step"),
        (("up", "--speed", "0"), 2, "expected a number above 0"),
        (("up", "--set", "platform.bind=0.0.0.0"), 4, "bind"),
        (("up", "--set", "platform.prots=free"), 4, "did you mean 'ports'"),
        (("up", "--strategy", "qoting"), 2, "did you mean 'quoting'"),
        (("up", "--strategy", "mine.py:Absent", "--set", "platform.ports=free"), 4, "no class Absent"),
        (("up", "--without", "riks"), 2, "did you mean 'risk'"),
        (("up", "--without", "venue0"), 2, "--without venue0: expected one of"),  # none is configured
        (("replay", "text.gz", "--speed", "2"), 1, "text.gz"),
        (("replay", "text.gz", "--speed", "2", "--market-for", "3"), 2, "of lock-step"),
        (("demo", "--market-for", "3", "--detach"), 2, "of the live platform"),
        (("demo", "--market-for", "3", "--speed", "3"), 2, "--speed X is of the live platform"),
        (("demo", "--market-for", "3"), 2, "--instance is of the live platform"),
        (("up", "--set", "lockstep.latency=1ms"), 2, "is of lock-step"),
        (("up", "--data", "/etc/passwd"), 4, "/etc/passwd: cannot be a data directory: File exists"),
        (("up", "--strategy", "no.module:X", "--set", "platform.ports=free"), 4, "no module no.module"),
        (("down",), 3, "is not running"),
        (("top",), 3, "is not running"),
        (("order", "list"), 3, "is not running"),
        (("book", "SIMUSD"), 3, "is not running"),
        (("kill-switch", "status"), 3, "is not running"),
        (("engine", "run", "risk"), 3, "is not running"),
        (("logs",), 2, "no such directory of logs"),
    ],
)
def test_what_cannot_be_is_one_line_with_the_right_code(
    arguments: tuple[str, ...], code: int, words: str, shell: Shell
) -> None:
    (shell.place.base / "text.gz").write_text("not a recording\n")
    (shell.place.base / "mine.py").write_text("x = 1\n")
    result = shell.run(*arguments)
    assert (result.returncode, words in result.stderr) == (code, True), result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("nautilus: error: ")]) == 1
    assert result.stdout == ""


def test_an_instance_name_that_is_none_is_a_configuration_error(shell: Shell) -> None:
    shell.name = "No Name" + uuid.uuid4().hex
    assert "a name like" in shell.refused("status", code=4)
