"""Worker processes that are killed, stopped, hang, say too much, cannot be started; hosts that are killed."""

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nautilus.model.errors import InternalError, ModelError
from nautilus.runtime import jobs as jobs_module
from nautilus.runtime import worker as worker_module
from nautilus.runtime.clock import NANOSECONDS
from nautilus.runtime.jobs import LIMIT_NS, Jobs
from nautilus.runtime.worker import LENGTH
from tests.kit.live_host import eventually

TEXT = 1_000


def echo(value):
    return value


def pid_of():
    return os.getpid()


def hang(path):
    """Say who hangs, and do so."""
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    threading.Event().wait()


def much(count):
    return "x" * count


def narrow(count):
    """As if so little were the most that may come of a job."""
    sys.modules["__main__"].MOST_BYTES = count


def garble(descriptor):
    """Write into the host's own end of the socket what no worker says."""
    os.write(descriptor, LENGTH.pack(1 << 60))
    threading.Event().wait()


def socket_of():
    """Descriptor of the socket to the host."""
    return int(sys.argv[1])


def oom_score():
    return int(Path("/proc/self/oom_score_adj").read_text(encoding="ascii"))


class Desk:
    """Waits for the workers' sockets, as a host does; its time goes when it is told."""

    def __init__(self, most=1):
        self.callbacks = {}
        self.results = []
        self.due = []
        self.jobs = Jobs(
            self.callbacks.__setitem__,
            self.callbacks.pop,
            later=lambda wait_ns, callback: self.due.append((wait_ns, callback)),
            most=most,
        )

    def run(self, job, *arguments):
        self.jobs.run(job, arguments, self.results.append)

    def turn(self, seconds=240.0):
        ready, _, _ = select.select(list(self.callbacks), [], [], seconds)
        assert ready, "no worker said anything"
        for descriptor in ready:
            if descriptor in self.callbacks:
                self.callbacks[descriptor]()

    def wait(self, count):
        while len(self.results) < count:
            self.turn()
        return self.results[-1]

    def until(self, condition):
        while not condition():
            if select.select(list(self.callbacks), [], [], 0.001)[0]:
                self.turn()

    @property
    def worker(self):
        return self.jobs._workers[0]


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.jobs.close()
    assert not made.callbacks


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"


def hanging(desk, tmp_path, name="hangs"):
    """The pid of a worker in the middle of a job."""
    place = tmp_path / name
    desk.run(hang, str(place))
    desk.until(lambda: place.exists() and place.read_text(encoding="ascii").endswith("\n"))
    return int(place.read_text(encoding="ascii"))


def test_a_worker_that_is_killed_in_the_middle_fails_its_job_and_no_other(desk, tmp_path):
    pid = hanging(desk, tmp_path)
    desk.run(echo, 1)
    os.kill(pid, signal.SIGKILL)  # as when memory runs out
    assert isinstance(desk.wait(1), InternalError)
    assert desk.wait(2) == 1
    desk.run(pid_of)
    assert desk.wait(3) != pid


def test_a_worker_that_is_killed_while_idle_costs_no_job(desk):
    desk.run(pid_of)
    pid = desk.wait(1)
    os.kill(pid, signal.SIGKILL)
    desk.until(lambda: not desk.callbacks)
    desk.run(echo, 2)
    assert desk.wait(2) == 2


def test_a_job_that_hangs_is_given_up_and_those_behind_it_are_done(desk, tmp_path, monkeypatch):
    pid = hanging(desk, tmp_path)
    desk.run(echo, 1)
    started_ns = desk.worker.since_ns
    wait_ns, look = desk.due.pop()
    assert wait_ns == LIMIT_NS
    monkeypatch.setattr(jobs_module, "monotonic_ns", lambda: started_ns + LIMIT_NS - 5)
    look()
    wait_ns, look = desk.due.pop()
    assert wait_ns == 5
    assert not gone(pid)
    monkeypatch.setattr(jobs_module, "monotonic_ns", lambda: started_ns + LIMIT_NS)
    look()
    error = desk.results[0]
    assert isinstance(error, InternalError)
    assert f"longer than {LIMIT_NS // NANOSECONDS} s" in str(error)
    assert gone(pid)
    monkeypatch.undo()
    assert desk.wait(2) == 1


def test_a_worker_that_is_idle_for_long_is_not_taken_for_one_that_hangs(desk, monkeypatch):
    desk.run(pid_of)
    pid = desk.wait(1)
    monkeypatch.setattr(jobs_module, "monotonic_ns", lambda: desk.worker.since_ns + 10 * LIMIT_NS)
    desk.due.pop()[1]()
    assert not gone(pid)
    assert desk.due[-1][0] == LIMIT_NS
    monkeypatch.undo()
    desk.run(pid_of)
    assert desk.wait(2) == pid


def test_a_worker_that_does_not_even_start_is_given_up(desk, monkeypatch):
    desk.run(echo, 1)
    os.kill(desk.worker.process.pid, signal.SIGSTOP)
    monkeypatch.setattr(jobs_module, "monotonic_ns", lambda: desk.worker.since_ns + LIMIT_NS)
    desk.due.pop()[1]()
    monkeypatch.undo()
    [error] = desk.results
    assert isinstance(error, InternalError)
    desk.run(echo, 2)
    assert desk.wait(2) == 2


def test_a_worker_that_is_stopped_does_not_hold_up_its_host(desk, monkeypatch):
    monkeypatch.setattr(jobs_module, "SEND_SECONDS", 0.05)
    desk.run(pid_of)
    os.kill(desk.wait(1), signal.SIGSTOP)
    desk.run(echo, "x" * (8 << 20))  # more than a socket takes
    error = desk.wait(2)
    assert isinstance(error, InternalError)
    assert "takes no jobs" in str(error)
    desk.run(echo, 3)
    assert desk.wait(3) == 3


def test_a_result_that_is_too_large_is_refused_where_it_is_made(desk):
    desk.run(narrow, TEXT)
    desk.run(much, TEXT)
    desk.wait(2)
    error = desk.results[1]
    assert isinstance(error, ModelError)
    assert f"at most {TEXT}" in str(error)
    desk.run(echo, 2)
    assert desk.wait(3) == 2


def test_what_no_worker_says_ends_it_before_there_is_room_made_for_it(desk):
    desk.run(socket_of)
    desk.run(garble, desk.wait(1))
    error = desk.wait(2)
    assert isinstance(error, InternalError)
    assert "what none says" in str(error)
    desk.run(echo, 3)
    assert desk.wait(3) == 3


def test_where_no_process_can_be_started_that_is_said_and_the_next_job_tries_again(desk, monkeypatch):
    def refuse(*arguments, **options):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(jobs_module.subprocess, "Popen", refuse)
        with pytest.raises(InternalError, match="no worker process"):
            desk.run(echo, 1)
        desk.jobs.prepare(pid_of, (), desk.results.append)
        assert isinstance(desk.wait(1), InternalError)
    assert not desk.callbacks
    desk.run(echo, 2)
    desk.wait(2)
    assert desk.results[1:] == [2], "the one that was refused is not done after all"
    # One dies while others wait, and there is no other to be had: they are told.
    pid = desk.worker.process.pid
    with monkeypatch.context() as patched:
        patched.setattr(jobs_module.subprocess, "Popen", refuse)
        desk.run(much, TEXT)
        os.kill(pid, signal.SIGKILL)
        desk.run(echo, 4)
        desk.wait(4)
    assert all(isinstance(each, InternalError) or each == "x" * TEXT for each in desk.results[2:3])
    assert isinstance(desk.results[3], InternalError)


def test_workers_that_hang_end_together_when_their_host_closes(tmp_path, monkeypatch):
    desk = Desk(most=3)
    pids = [hanging(desk, tmp_path, str(number)) for number in range(3)]
    waited = []
    wait = subprocess.Popen.wait
    monkeypatch.setattr(jobs_module, "STOP_SECONDS", 0.2)
    monkeypatch.setattr(
        subprocess.Popen, "wait", lambda self, timeout=None: waited.append(timeout) or wait(self, timeout)
    )
    desk.jobs.close()
    assert all(map(gone, pids))
    assert [each for each in waited if each is not None][1:] == [0.0, 0.0], "the time of one, not of each"
    assert not desk.callbacks


def test_a_worker_is_what_the_system_ends_first_where_memory_runs_out(desk):
    own = oom_score()
    desk.run(oom_score)
    assert desk.wait(1) == max(worker_module.OOM_SCORE, own)


HOST = """
import os, select, sys
from tests.unit.runtime.test_jobs_adversity import Desk, hang
desk = Desk()
desk.run(hang, sys.argv[1])
while True:
    desk.turn(3600)
"""


def test_a_worker_ends_with_its_host_however_that_ends(tmp_path):
    place = tmp_path / "hangs"
    host = subprocess.Popen([sys.executable, "-c", HOST, str(place)])
    try:
        eventually(
            lambda: (place.exists() and place.read_text(encoding="ascii").endswith("\n")) or host.poll() is not None
        )
        pid = int(place.read_text(encoding="ascii"))
        assert not gone(pid)
    finally:
        host.kill()
        host.wait()
    eventually(lambda: gone(pid))


def test_a_job_that_comes_as_its_worker_ends_for_want_of_one_has_another():
    desk = Desk()
    rested = []
    desk.jobs = Jobs(desk.callbacks.__setitem__, desk.callbacks.pop, rested.append)
    try:
        desk.run(pid_of)
        first = desk.wait(1)
        # Both are due in one turn of the host: the end first, then the job; and the other way round.
        rested[-1]()
        desk.run(pid_of)
        second = desk.wait(2)
        assert second != first
        end = rested[-1]
        desk.run(partial_free)
        end()
        assert desk.wait(3) == second
    finally:
        desk.jobs.close()


def partial_free():
    """As `pid_of`, for one that is under way."""
    return os.getpid()
