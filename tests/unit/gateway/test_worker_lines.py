"""Lines between lead and workers, the nest that forks, the table, and what is asked for most."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import sys
from pathlib import Path

import pytest

from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.gateway.lines import MOST_DESCRIPTORS, Adopt, Alive, Engines, Handed, Line
from nautilus.gateway.nest import Born, Ended, Nest, NestError
from nautilus.gateway.sums import SummedCounters, SummedHistograms
from nautilus.gateway.table import WorkerTable, name_of, read_table
from nautilus.gateway.usage import MOST, Asked, Usage, read_usage
from nautilus.runtime.template import HEAVY


def test_messages_keep_their_bounds_and_their_descriptors():
    one, end = Line.pair()
    other = Line(end)
    pairs = [socket.socketpair() for _ in range(MOST_DESCRIPTORS)]
    one.send(Engines({"risk": 8200}))
    one.send(Handed(), [ours.fileno() for ours, _ in pairs])
    one.send(Alive())
    first, second, third = other.receive()
    assert first == (Engines({"risk": 8200}), [])
    assert isinstance(second[0], Handed)
    assert third == (Alive(), [])
    for (ours, theirs), descriptor in zip(pairs, second[1], strict=True):
        assert not os.get_inheritable(descriptor)
        ours.close()  # what was passed on is another one
        with socket.socket(fileno=descriptor) as passed:
            passed.sendall(b"x")
            assert theirs.recv(1) == b"x"
        theirs.close()
    one.close()
    assert other.receive() == []
    assert other.closed
    other.close()


def test_line_with_as_many_descriptors_under_way_as_may_be_waits_for_some_to_be_taken():
    one, end = Line.pair()
    other, full = Line(end), [True]

    class Full:
        """What the operating system tells a process without privileges that has so many on their way."""

        def __init__(self, real: socket.socket) -> None:
            self._real = real

        def sendmsg(self, *arguments):
            if full:
                raise OSError(errno.ETOOMANYREFS, "too many references: cannot splice")
            return self._real.sendmsg(*arguments)

        def __getattr__(self, name):
            return getattr(self._real, name)

    one._socket = Full(one._socket)  # type: ignore[assignment]
    one.send(Handed(), [0])
    assert (one.closed, one.waiting) == (False, True)
    full.clear()
    one.flush()
    ((message, descriptors),) = other.receive()
    assert isinstance(message, Handed)
    assert len(descriptors) == 1
    os.close(descriptors[0])
    one.close()
    other.close()


def test_what_does_not_fit_waits_and_keeps_its_order():
    one, end = Line.pair()
    other = Line(end)
    sent = 0
    while not one.waiting:
        sent += 1
        one.send(Engines({"x" * 1000: sent}))
    sent += 1
    one.send(Engines({"x" * 1000: sent}))
    got = []
    while len(got) < sent:
        got += [next(iter(message.ports.values())) for message, _ in other.receive()]
        one.flush()
    assert got == list(range(1, sent + 1))
    assert not one.waiting
    one.close()
    other.close()


def test_nothing_waits_for_who_is_gone():
    one, end = Line.pair()
    end.close()
    keep, given = socket.socketpair()
    one.send(Adopt(), [given.fileno()])
    assert one.closed
    assert not one.waiting
    one.send(Alive())
    for each in (one, keep, given):
        each.close()


@pytest.mark.parametrize("writes", [False, True])
def test_last_words_of_who_has_not_read_all_are_heard(writes: bool):
    one, end = Line.pair()
    other = Line(end)
    keep, given = socket.socketpair()
    if not writes:
        one.send(Engines({"risk": 8200}))
    other.send(Handed(), [given.fileno()])
    other.send(Alive())
    other.close()
    if writes:
        one.send(Engines({"risk": 8200}))
        assert one.closed
    (first, descriptors), (second, _) = one.receive()
    assert (first, second) == (Handed(), Alive())
    assert one.closed
    assert one.receive() == []
    given.close()
    with socket.socket(fileno=descriptors[0]) as passed:
        passed.sendall(b"x")
        assert keep.recv(1) == b"x"
    one.close()
    assert one.receive() == []
    keep.close()


def wait(nest: Nest) -> list[Born | Ended]:
    assert select.select([nest], [], [], 60)[0]
    return nest.receive()


def test_a_nest_forks_workers_that_have_nothing_but_their_line(monkeypatch):
    for name in HEAVY:  # other tests may have loaded them into this process, which no lead would
        monkeypatch.delitem(sys.modules, name, raising=False)

    def work(line: socket.socket) -> int:
        others = [int(name) for name in os.listdir("/proc/self/fd") if int(name) > 2 and int(name) != line.fileno()]
        kept = [each for each in others if os.path.exists(f"/proc/self/fd/{each}")]  # not that of the listing
        line.sendall(f"{os.getsid(0) == os.getpid()} {len(kept)}".encode())
        return 7

    nest = Nest(work)
    ours, theirs = socket.socketpair()
    with theirs:
        nest.hatch("a", theirs)
    assert ours.recv(100) == b"True 0"
    found = wait(nest)
    while len(found) < 2:
        found += wait(nest)
    born, ended = found
    assert isinstance(born, Born)
    assert (born.name, ended) == ("a", Ended(born.pid, "exit code 7"))
    nest.close()
    ours.close()


def test_a_nest_that_is_killed_is_an_error():
    nest = Nest(lambda line: 0)
    os.kill(nest.pid, signal.SIGKILL)
    assert select.select([nest], [], [], 60)[0]
    with pytest.raises(NestError, match="has ended"):
        nest.receive()
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(NestError, match="no worker can be forked"):
        nest.hatch("a", theirs)
    nest.close()


def test_sums_take_all_workers_and_go_on_with_those_that_are_gone(tmp_path: Path):
    sums, measured = SummedCounters(str(tmp_path)), SummedHistograms(str(tmp_path))
    assert (sums.snapshot(), dict(measured)) == ({}, {})
    for number in range(3):
        counters = Counters(64, tmp_path / f"counters.{name_of(number)}")
        counters.add(counters.counter("http.requests"), 10 + number)
        counters.set(counters.gauge("http.connections"), number)
        Histogram(path=tmp_path / f"latency.{name_of(number)}.handle").record(1000 * (number + 1))
    (tmp_path / f"counters.{name_of(9)}").write_bytes(b"damaged")
    (tmp_path / "counters.risk").write_bytes(b"another process")
    assert sums.snapshot() == {"http.requests": 33, "http.connections": 3}
    assert sums.gauges() == {"http.connections"}
    assert list(measured) == ["handle"]
    assert (len(measured["handle"]), measured["handle"].maximum) == (3, 3000)
    with pytest.raises(KeyError):
        measured["other"]


def test_a_table_that_is_not_there_or_damaged_is_empty(tmp_path: Path):
    assert read_table(tmp_path) == WorkerTable(0, 0, 0, ())
    (tmp_path / "gateway.json").write_bytes(b"{")
    assert read_table(tmp_path) == WorkerTable(0, 0, 0, ())


def test_usage_knows_what_is_asked_for_most_and_forgets_what_is_not(tmp_path: Path):
    usage = Usage()
    for number in range(MOST + 50):
        usage.note(b"risk\n\n/%d" % number, "GET /{id}")
        usage.note(b"risk\nread\n/often", "GET /often")
    best = usage.most(1)[0]
    assert (best.engine, best.scopes, best.path, best.operation) == ("risk", "read", "/often", "GET /often")
    one, two = tmp_path / "1.json", tmp_path / "2.json"
    usage.write(one, 2)
    usage.write(two, 2)
    (tmp_path / "3.json").write_bytes(b"damaged")
    found = read_usage([one, two, tmp_path / "3.json", tmp_path / "4.json"], 1)
    assert found == [Asked("risk", "read", "/often", "GET /often", 2 * best.count)]
