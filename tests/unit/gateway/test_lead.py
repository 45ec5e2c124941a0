"""What a lead does with a worker's last words."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from types import SimpleNamespace

from nautilus.core.counters import Counters
from nautilus.gateway.lead import Lead, Worker
from nautilus.gateway.lines import Adopt, Handed, Line
from nautilus.runtime.child import Backoff


def lead_of(*workers: Worker) -> Lead:
    """A lead at work, without the host and the nest around it."""
    lead = object.__new__(Lead)
    counters = Counters()
    lead._host = SimpleNamespace(
        ended=False, counters=counters, remove_source=lambda number: None, later=lambda ns, call: None
    )
    lead._plan = SimpleNamespace(directory="/nowhere", counters_of=lambda name: "/nowhere/counters")
    lead._config = SimpleNamespace(silence_seconds=10.0)
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
