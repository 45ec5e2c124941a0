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
from nautilus.runtime.protection import FullError
from nautilus.runtime.worker import pack, unpack

KNOWN = []


def echo(*values):
    return values


def pid_of():
    return os.getpid()


def fail(text):
    raise ValueError(text)


def die():
    os._exit(9)


def learn():
    KNOWN.append(1)


def known():
    return len(KNOWN)


def meet(own, other):
    """Wake the other worker, and wait until it has woken this one."""
    with open(other, "wb", buffering=0) as there:
        there.write(b".")
    with open(own, "rb", buffering=0) as here:
        assert here.read(1) == b"."
    return os.getpid(), len(KNOWN)


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
    assert isinstance(error, InternalError)
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
    worker = desk.jobs._workers[0].process
    rested[-1]()
    assert worker.returncode == -signal.SIGKILL
    desk.run(pid_of)
    assert desk.wait(1) != [worker.pid]


def test_several_workers_work_at_once_and_each_was_prepared_first():
    """Each waits for the other: alone neither would end."""
    desk = Desk()
    desk.jobs = Jobs(desk.callbacks.__setitem__, desk.callbacks.pop, most=2)
    reads, writes = zip(*(os.pipe() for _ in range(2)), strict=True)
    try:
        desk.jobs.prepare(learn, (), desk.results.append)
        assert desk.wait(1) == [None]
        places = [f"/proc/{os.getpid()}/fd/{each}" for each in (reads[0], writes[0], reads[1], writes[1])]
        desk.run(meet, places[0], places[3])
        desk.run(meet, places[2], places[1])
        (first, first_knows), (second, second_knows) = desk.wait(3)[1:]
        assert first != second
        assert first_knows == second_knows == 1
        os.kill(first, signal.SIGKILL)
        for _ in range(4):
            desk.run(known)
        found = desk.wait(7)[3:]
        assert sum(isinstance(each, InternalError) for each in found) <= 1
        assert {each for each in found if not isinstance(each, InternalError)} == {1}
    finally:
        desk.jobs.close()
        for descriptor in (*reads, *writes):
            os.close(descriptor)


def test_where_no_worker_can_be_prepared_that_is_told_and_jobs_run_all_the_same():
    desk = Desk()
    desk.jobs = Jobs(desk.callbacks.__setitem__, desk.callbacks.pop, most=2)
    try:
        desk.jobs.prepare(fail, ("no such package",), desk.results.append)
        [error] = desk.wait(1)
        assert "no such package" in str(error)
        desk.run(echo, 7)
        assert desk.wait(2)[-1] == (7,)
        desk.jobs.close()
        desk.jobs.prepare(die, (), desk.results.append)
        assert isinstance(desk.wait(3)[-1], InternalError)
    finally:
        desk.jobs.close()


def test_so_many_jobs_may_wait_and_the_next_is_refused(monkeypatch):
    monkeypatch.setattr("nautilus.runtime.jobs.MOST_WAITING", 3)
    refused, desk = [], Desk()
    desk.jobs = Jobs(desk.callbacks.__setitem__, desk.callbacks.pop, refused=lambda: refused.append(1))
    try:
        for number in range(3):
            desk.run(echo, number)
        with pytest.raises(FullError) as caught:
            desk.run(echo, 3)
        assert (caught.value.as_dict()["code"], refused) == ("limit.queue", [1])
        assert desk.wait(3) == [(0,), (1,), (2,)]
        desk.run(echo, 4)
        assert desk.wait(4)[-1] == (4,)
    finally:
        desk.jobs.close()
