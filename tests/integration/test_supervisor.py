"""The supervisor with real processes: start, death of each part, stop; nothing is left behind."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator

import msgspec
import pytest

from nautilus.runtime.clock import wall_ns
from nautilus.runtime.detach import down
from nautilus.runtime.instance import Instance, NotRunningError
from nautilus.runtime.states import Outcome
from tests.kit.supervised import SupervisedPlatform, condition_of, eventually

NATIVE = ["core", "trading", "marketdata", "risk", "portfolio", "strategy", "gateway"]
STOP_ORDER = ["gateway", "strategy", "marketdata", "risk", "portfolio", "trading", "core"]


@contextlib.contextmanager
def _platform() -> Iterator[SupervisedPlatform]:
    platform = SupervisedPlatform()
    try:
        yield platform
    finally:
        platform.close()


@pytest.fixture
def platform() -> Iterator[SupervisedPlatform]:
    """A platform of this test's own, not up yet."""
    with _platform() as made:
        yield made


@pytest.fixture(scope="module")
def running() -> Iterator[SupervisedPlatform]:
    """A platform that is up, for tests that leave it so."""
    with _platform() as made:
        made.up(shared=True, behaviour={"risk": {"fails": str(made.base / "obstacle")}, "strategy": {"worker": True}})
        yield made
        assert made.stop() == 0
        assert _is_clean(made)


def _is_clean(platform: SupervisedPlatform) -> bool:
    """Nothing is left of an instance but its data."""
    assert not platform.left()
    assert not platform.shared.exists()
    assert sorted(path.name for path in platform.base.iterdir()) == ["share"]
    return True


def _stopped(platform: SupervisedPlatform) -> list[str]:
    """In order; the first two, who stop together, in that of the alphabet."""
    names = [name for name, _ in platform.notes("stopped")]
    return [*sorted(names[:2]), *names[2:]]


def _condition(platform: SupervisedPlatform) -> str:
    try:
        return platform.state().state
    except NotRunningError:
        return ""


def _is_back(platform: SupervisedPlatform, name: str, old: int) -> bool:
    return platform.running() is not None and platform.process(name).pid not in (0, old)


def test_all_processes_are_ready_and_the_core_was_first(running: SupervisedPlatform) -> None:
    state = running.state()
    assert [process.name for process in state.processes] == NATIVE
    assert (state.state, state.opened, state.pid) == ("running", True, running.supervisor.pid)
    core, *others = state.processes
    assert all(process.started_ns > core.started_ns for process in others)
    assert {name: port for process in others for name, port in process.ports.items()} == dict.fromkeys(NATIVE[1:], 1)
    for name in NATIVE:
        eventually(lambda name=name: running.notes(name, "open"))


def test_a_process_is_a_child_of_the_supervisor_with_a_session_of_its_own(running: SupervisedPlatform) -> None:
    state = running.state()
    for process in state.processes:
        fields = _stat(process.pid)
        assert (int(fields[1]), int(fields[3])) == (state.pid, process.pid)
    assert len(os.listdir(f"/proc/{state.template_pid}/task")) == 1


def test_a_process_inherits_no_thread_and_no_descriptor(running: SupervisedPlatform) -> None:
    for name in NATIVE:
        assert running.notes(name, "threads")[0] == [name, "threads", "1"]
        descriptors = msgspec.json.decode(running.notes(name, "descriptors")[0][2])
        kinds = sorted(target.split(":")[0].rpartition("/")[2] for target in descriptors.values())
        # Its own output, lock, line, wake-up pipe and epoll.
        assert kinds == sorted(
            ["null", f"{name}.out", f"{name}.out", f"{name}.lock", "socket", "pipe", "pipe", "anon_inode"]
        )


@pytest.mark.parametrize("name", NATIVE)
def test_a_killed_process_is_back_and_told_that_the_market_is_open(running: SupervisedPlatform, name: str) -> None:
    before = {process.name: process for process in running.state().processes}
    opened = len(running.notes(name, "open"))
    os.kill(before[name].pid, signal.SIGKILL)
    eventually(lambda: _is_back(running, name, before[name].pid))
    after = {process.name: process for process in running.state().processes}
    assert after[name].restarts == before[name].restarts + 1
    assert after[name].ended == "killed by SIGKILL"
    assert {other: after[other].pid for other in NATIVE if other != name} == {
        other: before[other].pid for other in NATIVE if other != name
    }
    assert condition_of(before[name].pid) == ""
    eventually(lambda: len(running.notes(name, "open")) == opened + 1)


@pytest.mark.long
def test_the_end_of_the_template_ends_nobody(running: SupervisedPlatform) -> None:
    before = running.state()
    os.kill(before.template_pid, signal.SIGKILL)
    eventually(lambda: running.state().template_pid not in (0, before.template_pid))
    assert [process.pid for process in running.state().processes] == [process.pid for process in before.processes]


@pytest.mark.long
def test_template_and_processes_that_die_together_are_back_together(running: SupervisedPlatform) -> None:
    before = running.state()
    for pid in (before.template_pid, *(process.pid for process in before.processes[:3])):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: all(_is_back(running, process.name, process.pid) for process in before.processes[:3]))


def test_a_failed_restart_is_shown_and_tried_again(running: SupervisedPlatform) -> None:
    obstacle = running.base / "obstacle"
    obstacle.touch()
    first = running.process("risk")
    os.kill(first.pid, signal.SIGKILL)
    eventually(lambda: running.process("risk").restarts >= first.restarts + 3)
    assert running.process("risk").error["what"] == "risk has no port"
    assert running.state().state == "running"
    obstacle.unlink()
    eventually(lambda: _is_back(running, "risk", first.pid))
    assert running.process("risk").error is None


def test_what_a_killed_process_had_started_goes_with_it(running: SupervisedPlatform) -> None:
    worker = int(running.notes("strategy", "worker")[-1][2])
    assert condition_of(worker) != ""
    os.kill(running.process("strategy").pid, signal.SIGKILL)
    eventually(lambda: condition_of(worker) == "")
    eventually(running.running)


def test_a_second_supervisor_is_refused_and_disturbs_nothing(running: SupervisedPlatform) -> None:
    before = eventually(lambda: running.running() and running.state())
    second = running.begin()
    output, _ = second.communicate(timeout=60)
    error = msgspec.json.decode(output)
    assert (second.returncode, error["code"]) == (4, "config.instance_live")
    assert f"(pid {before.pid})" in error["what"]
    after = running.state()
    assert (after.pid, after.started_ns, after.state) == (before.pid, before.started_ns, before.state)
    assert [(each.name, each.pid, each.restarts) for each in after.processes] == [
        (each.name, each.pid, each.restarts) for each in before.processes
    ]


def test_a_platform_stops_by_itself_after_its_time_in_order_and_leaves_nothing(platform: SupervisedPlatform) -> None:
    platform.begin(platform={"processes": "compact"}, for_seconds=0.1)
    assert platform.result()[0] == 0
    assert _stopped(platform) == ["gateway", "strategy", "accounts", "rim", "core"]
    assert _is_clean(platform)
    with pytest.raises(NotRunningError):
        platform.find()


@pytest.mark.long
def test_an_interrupt_while_it_starts_stops_it(platform: SupervisedPlatform) -> None:
    platform.begin(behaviour={"risk": {"silent": True}})
    # Where the machine is slow the others begin one after the other: an interrupt stops those that have begun.
    eventually(lambda: all(platform.notes(name, "threads") for name in NATIVE if name not in ("core", "risk")))
    assert platform.stop() == 0
    assert sorted(_stopped(platform)) == sorted(NATIVE)
    assert _is_clean(platform)


def test_the_end_of_the_supervisor_stops_the_processes_in_order_and_the_next_sweeps(
    platform: SupervisedPlatform,
) -> None:
    state = platform.up()
    platform.supervisor.kill()
    eventually(lambda: len(_stopped(platform)) == len(NATIVE))
    assert _stopped(platform) == STOP_ORDER
    eventually(lambda: not platform.left())
    assert condition_of(state.template_pid) == ""
    with pytest.raises(NotRunningError):
        platform.find()
    stale = platform.base / "nautilus" / platform.instance / "core.n"
    stale.touch()
    platform.result()
    platform.up()
    assert not stale.exists()
    assert platform.stop() == 0
    assert _is_clean(platform)


@pytest.mark.long
def test_a_process_that_does_not_stop_is_killed_after_its_time(platform: SupervisedPlatform) -> None:
    platform.up(platform={"stop_seconds": 1.0}, behaviour={"risk": {"deaf": True}})
    os.kill(platform.process("portfolio").pid, signal.SIGSTOP)
    assert platform.stop() == 1
    log = (platform.data / "logs" / "supervisor.jsonl").read_text()
    killed = re.findall(r'"event":"process does not stop and is killed".*"name":"(\w+)"', log)
    # On a busy machine it may be too short a time for others too; they stop, or are killed, in the same order.
    assert {"risk", "portfolio"} <= set(killed)
    assert [name for name in _stopped(platform) if name not in killed] == [n for n in STOP_ORDER if n not in killed]
    assert _is_clean(platform)


def test_down_tells_which_process_had_to_be_killed(
    platform: SupervisedPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.up(platform={"stop_seconds": 1.0}, behaviour={"risk": {"deaf": True}})
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    outcome = down(platform.instance, timeout_seconds=240)
    assert outcome is not None
    assert outcome.exit_code == 1
    assert "risk" in outcome.killed
    assert platform.result()[0] == 1


@pytest.mark.long
def test_who_waits_for_a_process_that_was_left_out_is_not_waited_for_and_not_killed(
    platform: SupervisedPlatform,
) -> None:
    silent = {name: {"silent": True} for name in ("risk", "portfolio", "strategy")}
    for seconds in (0.5, 5.0, 50.0):  # the others have to be ready in this time, which a busy machine may not give them
        process = platform.begin(platform={"start_seconds": seconds}, without=("trading",), behaviour=silent)
        eventually(lambda process=process: _condition(platform) == "running" or process.poll() is not None)
        if process.poll() is None:
            break
        assert "is not ready after" in platform.result()[1]["what"]
    states = {process.name: (process.state, process.restarts) for process in platform.state().processes}
    assert states == {
        "core": ("ready", 0),
        "marketdata": ("ready", 0),
        "gateway": ("ready", 0),
        **dict.fromkeys(silent, ("starting", 0)),
    }
    began = platform.state().started_ns
    eventually(lambda: wall_ns() - began > (seconds + 1.0) * 1e9)
    assert {process.restarts for process in platform.state().processes} == {0}
    assert platform.stop() == 0


def test_a_process_that_breaks_later_has_not_failed_to_start(platform: SupervisedPlatform) -> None:
    broken = platform.base / "broken"
    platform.begin(behaviour={"risk": {"breaks": str(broken)}})
    eventually(lambda: broken.exists() and platform.running() and platform.process("risk").restarts == 1)
    log = (platform.data / "logs" / "supervisor.jsonl").read_text()
    assert '"event":"process failed"' in log
    assert "failed to start" not in log
    broken.unlink()
    assert platform.stop() == 0


@pytest.mark.long
def test_an_engine_that_is_back_has_its_first_port_again_unless_that_is_taken(platform: SupervisedPlatform) -> None:
    taken = platform.base / "taken"
    platform.up(platform={"ports": "free"}, behaviour={"risk": {"taken": str(taken)}})
    for expected in (["0"], ["0", "1"]):
        assert [words[2] for words in platform.notes("risk", "ports")] == expected
        pid = platform.process("risk").pid
        os.kill(pid, signal.SIGKILL)
        eventually(lambda pid=pid: _is_back(platform, "risk", pid))
    taken.touch()
    pid = platform.process("risk").pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: _is_back(platform, "risk", pid))
    assert [words[2] for words in platform.notes("risk", "ports")] == ["0", "1", "1", "0"]
    log = (platform.data / "logs" / "supervisor.jsonl").read_text()
    assert "ports are taken, others are used" in log
    assert "process failed to start" in log
    taken.unlink()
    assert platform.stop() == 0


@pytest.mark.long
def test_a_second_interrupt_does_not_wait(platform: SupervisedPlatform) -> None:
    platform.up(platform={"stop_seconds": 600}, behaviour={"strategy": {"deaf": True}})

    def interrupt() -> bool:
        if "is killed" in (platform.data / "logs" / "supervisor.jsonl").read_text():
            return True
        platform.supervisor.send_signal(signal.SIGINT)
        return False

    eventually(interrupt)
    assert platform.result()[0] == 1
    assert _is_clean(platform)


def test_a_failed_first_start_ends_the_platform_with_the_one_error(platform: SupervisedPlatform) -> None:
    platform.begin(behaviour={"risk": {"fails": "always"}})
    code, error = platform.result()
    assert code == 4
    assert error == {"code": "config", "what": "risk has no port", "where": "port 1", "expected": "a free one"}
    assert "core" in _stopped(platform)
    assert _is_clean(platform)


def test_a_process_that_keeps_ending_before_all_are_up_ends_the_platform(platform: SupervisedPlatform) -> None:
    platform.begin(behaviour={"core": {"crashes": 3}})
    _, error = platform.result()
    assert (error["code"], error["what"]) == ("internal.process", "process core ended 3 times (exit code 3)")
    assert error["where"].endswith("logs/core.out")


def test_a_process_that_is_never_ready_ends_the_platform(platform: SupervisedPlatform) -> None:
    platform.begin(platform={"start_seconds": 0.5}, behaviour={"core": {"silent": True}})
    assert platform.result()[1]["what"] == "process core is not ready after 0.5 s"
    assert _is_clean(platform)


def test_an_entry_that_cannot_be_forked_soundly_is_refused(platform: SupervisedPlatform) -> None:
    platform.begin(entry="tests.kit.threaded_entry:run")
    assert "the template cannot fork: 2 threads" in platform.result()[1]["what"]


def test_an_entry_that_is_not_there_is_named(platform: SupervisedPlatform) -> None:
    platform.begin(entry="tests.kit.absent:run")
    assert "No module named 'tests.kit.absent'" in platform.result()[1]["what"]


def test_a_detached_platform_is_up_when_its_command_ends_and_down_stops_it(
    platform: SupervisedPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.begin(detached=True)
    assert platform.result()[0] == 0
    assert platform.running() is not None
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    assert down(platform.instance, timeout_seconds=240) == Outcome(0)
    assert _stopped(platform) == STOP_ORDER
    eventually(lambda: not platform.left())
    assert _is_clean(platform)
    with pytest.raises(NotRunningError):
        down(platform.instance)


def test_a_detached_core_that_cannot_start_says_why_before_any_other_begins(platform: SupervisedPlatform) -> None:
    platform.begin(detached=True, behaviour={"core": {"fails": "always"}})
    assert platform.result() == (
        4,
        {"code": "config", "what": "core has no port", "where": "port 1", "expected": "a free one"},
    )
    assert platform.notes() == []


def test_down_gives_up_on_a_supervisor_that_does_not_stop(
    platform: SupervisedPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    instance = Instance.create(platform.instance)
    try:
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with pytest.raises(TimeoutError, match="still runs"):
            down(platform.instance, timeout_seconds=0.05)
    finally:
        signal.signal(signal.SIGTERM, before)
        instance.close()


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on: state, parent, group, session."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()
