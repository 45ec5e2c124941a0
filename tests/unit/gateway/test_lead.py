"""What a lead does with a worker's last words."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from itertools import permutations
from types import SimpleNamespace

import pytest

from nautilus.core.counters import Counters
from nautilus.gateway.lead import Lead, Worker
from nautilus.gateway.lines import Adopt, Drain, Handed, Line, Ready
from nautilus.runtime.child import Backoff


def lead_of(*workers: Worker) -> Lead:
    """A lead at work, without the host and the nest around it."""
    lead = object.__new__(Lead)
    counters = Counters()
    lead._host = SimpleNamespace(
        ended=False, counters=counters, remove_source=lambda number: None, later=lambda ns, call: None
    )
    lead._plan = SimpleNamespace(directory="/nowhere", counters_of=lambda name: "/nowhere/counters")
    lead._config = SimpleNamespace(silence_seconds=10.0, drain_seconds=5.0)
    lead._health = SimpleNamespace(sweep=lambda: None)
    lead._breakers = SimpleNamespace(poll=list, table=SimpleNamespace(sweep=list))
    lead._workers, lead._awaited, lead._due, lead._backoffs = list(workers), {}, {}, [Backoff()]
    lead._stopping, lead._state_seen, lead._generation, lead._written, lead.port = False, 0, 2, None, 0
    for name in ("lost", "silent", "handed", "dropped"):
        setattr(lead, f"_{name}", counters.counter(name))
    lead._running = counters.gauge("running")
    return lead


def test_connections_of_a_worker_that_ended_before_its_last_words_were_read_are_passed_on():
    ends = subprocess.Popen([sys.executable, "-c", ""])
    line, far = Line.pair()
    old = Worker(line, 0, 0, 1, ends.pid)
    old.state, old.start = "draining", 1  # of a lead before: not a child of this one's nest
    ends.wait()
    line, near = Line.pair()
    new = Worker(line, 0, 1, 2, os.getpid())
    new.state = "ready"
    lead = lead_of(old, new)
    client, connection = socket.socketpair()
    with near, client, connection:
        last = Line(far)
        last.send(Handed(), [connection.fileno()])
        last.close()
        lead._look()
        [(message, descriptors)] = Line(near).receive()
        assert isinstance(message, Adopt)
        with socket.socket(fileno=descriptors[0]) as passed:
            passed.send(b"here")
        assert client.recv(4) == b"here"
    assert lead._workers == [new]
    assert lead._host.counters.snapshot()["dropped"] == 0
    new.line.close()


@pytest.mark.parametrize("order", list(permutations((2, 3))))
def test_one_worker_stays_in_a_slot_whichever_of_two_new_ones_is_ready_first(order: tuple[int, ...]):
    workers, far = {}, {}
    for generation in (1, 2, 3):
        line, end = Line.pair()
        workers[generation] = Worker(line, 0, generation - 1, generation, os.getpid())
        far[generation] = Line(end)
    workers[1].state = "ready"
    lead = lead_of(*workers.values())
    for generation in order:
        far[generation].send(Ready())
        lead._on_line(workers[generation])
    assert [worker.state for worker in workers.values()] == ["draining", "draining", "ready"]
    assert [[message for message, _ in far[each].receive()] for each in (1, 2, 3)] == [[Drain(5.0)], [Drain(5.0)], []]
    for each in (1, 2, 3):
        workers[each].line.close()
        far[each].close()
