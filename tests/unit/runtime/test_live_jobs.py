"""Jobs in a worker process: results, errors, a worker that dies, what does not go there."""

import atexit
import os
import select
import signal
import threading

import numpy as np
import pytest

from nautilus.core.types import QUOTE
from nautilus.model.commands import MassCancel
from nautilus.model.errors import InternalError, ModelError
from nautilus.runtime.jobs import Jobs
from nautilus.runtime.worker import pack, unpack


def echo(*values):
    return values


def pid_of():
    return os.getpid()


def fail(text):
    raise ValueError(text)


def die():
    os._exit(9)


def end_late():
    """As one that has loaded much: it takes its time to end."""
    atexit.register(threading.Event().wait, 3600)


class Desk:
    """Waits for the worker's socket, as a host does."""

    def __init__(self):
        self.callbacks = {}
        self.results = []
        self.jobs = Jobs(self.callbacks.__setitem__, self.callbacks.pop)

    def run(self, job, *arguments):
        self.jobs.run(job, arguments, self.results.append)

    def wait(self, count):
        while len(self.results) < count:
            ready, _, _ = select.select(list(self.callbacks), [], [], 240)
            assert ready, "the worker said nothing"
            for descriptor in ready:
                self.callbacks[descriptor]()
        return self.results[-count:]


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.jobs.close()


def test_jobs_run_in_another_process_and_answer_in_order(desk):
    desk.run(pid_of)
    desk.run(echo, 1, (2, [3.5, None]), {"a": "b"})
    desk.run(fail, "not today")
    desk.run(sum, [1, 2, 3])
    pid, values, error, total = desk.wait(4)
    assert pid != os.getpid()
    assert values == (1, (2, [3.5, None]), {"a": "b"})
    assert isinstance(error, ModelError)
    assert "ValueError: not today" in str(error)
    assert total == 6


def test_arrays_and_messages_go_there_and_back(desk):
    records = np.zeros(3, QUOTE)
    records["bid_ticks"] = [1, 2, 3]
    desk.run(echo, records, MassCancel(7), np.arange(100_000))
    [(back, message, numbers)] = desk.wait(1)
    assert back.dtype == QUOTE
    assert back.tobytes() == records.tobytes()
    assert message == MassCancel(7)
    assert numbers.sum() == 4_999_950_000


def test_a_worker_that_dies_fails_its_job_and_no_other(desk):
    desk.run(die)
    desk.run(echo, 5)
    lost, values = desk.wait(2)
    assert isinstance(lost, InternalError)
    assert values == (5,)


@pytest.mark.parametrize("job", [lambda: 1, [].append, "text".upper])
def test_a_job_that_a_worker_could_not_find_is_refused_at_once(desk, job):
    with pytest.raises(ModelError, match="a function of a module"):
        desk.run(job)
    assert not desk.callbacks


@pytest.mark.parametrize("value", [object(), 2**70, {1, 2}, np.array([object()])])
def test_what_does_not_go_to_another_process_is_refused_at_once(value):
    with pytest.raises(ModelError, match="a job"):
        pack([value])


def test_tuples_stay_tuples_and_lists_lists():
    value = [1, (2, [3, (4,)]), {"k": (5,)}]
    assert unpack(pack(value)) == value


def test_the_worker_is_gone_when_its_host_closes(desk):
    desk.run(pid_of)
    [pid] = desk.wait(1)
    desk.jobs.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not desk.callbacks


def test_a_worker_without_a_job_ends_and_the_next_job_starts_another_one():
    resting = []
    desk = Desk()
    desk.jobs = Jobs(desk.callbacks.__setitem__, desk.callbacks.pop, resting.append)
    try:
        desk.run(pid_of)
        [first] = desk.wait(1)
        desk.run(pid_of)
        [second] = desk.wait(2)[1:]
        assert second == first
        resting[0]()  # meanwhile it has had another one
        os.kill(first, 0)
        resting[-1]()
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        assert not desk.callbacks
        desk.run(echo, 3)
        assert desk.wait(3)[-1] == (3,)
    finally:
        desk.jobs.close()


def test_the_end_of_an_idle_worker_holds_up_nobody(desk, monkeypatch):
    monkeypatch.setattr("nautilus.runtime.jobs.STOP_SECONDS", 3600.0)
    rested = []
    desk.jobs = Jobs(desk.callbacks.__setitem__, desk.callbacks.pop, rested.append)
    desk.run(end_late)
    desk.wait(1)
    worker = desk.jobs._worker
    rested[-1]()
    assert worker.returncode == -signal.SIGKILL
    desk.run(pid_of)
    assert desk.wait(1) != [worker.pid]
