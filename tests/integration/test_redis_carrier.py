"""Frames of the mesh over a real Redis: order, priorities, what a dead reader left, servers that die, hang, forget."""

from __future__ import annotations

import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nautilus.bus.base import EndpointError
from nautilus.bus.envelope import Answer, Envelope, MessageKind
from nautilus.bus.redis_carrier import RedisCarrier, names_of
from nautilus.bus.redis_link import redis_address
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.core.mesh_wire import pack, pack_answers
from nautilus.model.enums import Priority
from tests.kit.redis_server import RedisServer

SECOND = 1_000_000_000
Frame = tuple[str, str, bytes]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    made = RedisServer(tmp_path / "redis")
    try:
        made.start()
        yield made
    finally:
        made.send_signal(signal.SIGCONT)
        made.kill()


class Ends:
    """Carriers of some processes, and what each has received."""

    def __init__(self, server: RedisServer, *processes: str) -> None:
        self.server = server
        self.of: dict[str, RedisCarrier] = {}
        self.got: dict[str, list[Frame]] = {}
        for process in processes:
            self.open(process)

    def open(self, process: str, **options: int) -> RedisCarrier:
        carrier = self.of[process] = RedisCarrier(self.server.url, process, now_ns, **options)
        self.got.setdefault(process, [])
        return carrier

    def until(self, so: Callable[[], object]) -> None:
        end_ns = now_ns() + 60 * SECOND
        while not so():
            assert now_ns() < end_ns, {name: carrier.cause for name, carrier in self.of.items()}
            select.select(list(self.of.values()), [], [], 0.02)
            for process, carrier in self.of.items():
                self.got[process] += carrier.receive(64)

    def meet(self) -> None:
        """Until each can reach the others."""
        self.until(lambda: all(a.usable(name) for a in self.of.values() for name in self.of if name != a.process))

    def close(self) -> None:
        for carrier in self.of.values():
            carrier.close()


@pytest.fixture
def ends(server: RedisServer) -> Iterator[Ends]:
    made = Ends(server, "a", "b")
    yield made
    made.close()


def envelope(priority: Priority, payload: bytes) -> bytes:
    return pack([Envelope(MessageKind.EVENT, 1, 1, 1, 1, priority, payload=payload)])


def test_frames_arrive_in_order_and_are_acknowledged_and_trimmed(ends: Ends, server: RedisServer) -> None:
    ends.meet()
    frames = [b"%d" % number for number in range(3_000)]
    left = list(frames)
    while left:
        while left and ends.of["a"].send("b", "n", left[0]):
            left.pop(0)
        ends.until(lambda: len(ends.got["b"]) > len(frames) - len(left) - 1_000)
    ends.until(lambda: len(ends.got["b"]) == 3_000)
    assert ends.got["b"] == [("a", "n", frame) for frame in frames]
    names = names_of("b")
    ends.until(lambda: server.call("XPENDING", names.normal, names.group)[0] == 0)  # type: ignore[index]
    assert server.call("XLEN", names.normal) <= 200  # type: ignore[operator]
    assert (ends.of["a"].errors, ends.of["b"].errors) == (0, 0)


def test_the_critical_go_before_the_prior_and_these_before_the_others(ends: Ends, server: RedisServer) -> None:
    ends.meet()
    ends.of.pop("b").close()
    # Until the server knows: what it hands to a reader that has gone is claimed later, whatever its priority.
    ends.until(lambda: str(server.call("CLIENT", "LIST")).count("cmd=xreadgroup") == 1)
    sent = [
        ("n", envelope(Priority.LOW, b"low")),
        ("n", envelope(Priority.HIGH, b"high")),
        ("n", pack_answers([Answer(MessageKind.REPLY, 1, 1, 1, Priority.HIGH, 1, 1, b"reply")])),
        ("u", envelope(Priority.FLASH_CRASH, b"flash")),
    ]
    for lane, frame in sent:
        assert ends.of["a"].send("b", lane, frame)
    ends.until(lambda: not ends.of["a"]._writer.waiting)
    ends.open("b")
    ends.until(lambda: len(ends.got["b"]) == 4)
    low, high, reply, flash = (("a", *each) for each in sent)
    assert ends.got["b"] == [flash, high, reply, low]
    assert server.call("XLEN", "b.critical") == 1
    assert server.call("XLEN", "b.priority") == 2


def test_what_a_dead_reader_had_not_acknowledged_its_next_life_claims(ends: Ends, server: RedisServer) -> None:
    ends.meet()
    dead = ends.of.pop("b")
    names = names_of("b")
    for number in range(700):
        assert ends.of["a"].send("b", "n", b"%d" % number)
    ends.until(lambda: server.call("XLEN", names.normal) == 700)
    end_ns = now_ns() + 60 * SECOND
    while server.call("XPENDING", names.normal, names.group)[0] == 0:  # type: ignore[index]
        assert now_ns() < end_ns
        dead.receive(0)  # it reads, and gives nothing out
    for link in (dead._writer, dead._reader):
        link._socket.close()  # type: ignore[union-attr]
    ends.open("b")
    ends.until(lambda: len(ends.got["b"]) >= 700)
    assert [frame for _, _, frame in ends.got["b"]] == [b"%d" % number for number in range(700)]
    assert ends.of["b"].claimed > 0
    ends.until(lambda: server.call("XPENDING", names.normal, names.group)[0] == 0)  # type: ignore[index]


@pytest.mark.parametrize("appendonly", ["no", "always"])
def test_a_server_that_is_killed_is_found_and_serves_again_when_it_is_back(tmp_path: Path, appendonly: str) -> None:
    server = RedisServer(tmp_path / "redis", appendonly)
    server.start()
    ends = Ends(server, "a", "b")
    try:
        ends.meet()
        stopped = ends.of.pop("b")
        assert ends.of["a"].send("b", "n", b"kept")
        ends.until(lambda: not ends.of["a"]._writer.waiting)
        server.kill()
        ends.until(lambda: not ends.of["a"].usable("b"))
        assert not ends.of["a"].send("b", "n", b"refused")
        assert ends.of["a"].cause
        ends.of["b"] = stopped
        ends.until(lambda: not stopped.usable("a"))
        server.start()
        ends.meet()
        assert ends.of["a"].send("b", "n", b"after")
        ends.until(lambda: ("a", "n", b"after") in ends.got["b"])
        had = list(dict.fromkeys(frame for _, _, frame in ends.got["b"]))
        # What it had not sent on went with it, or was kept; and nothing else comes.
        assert had == [b"kept", b"after"] or (appendonly == "no" and had == [b"after"])
    finally:
        ends.close()
        server.kill()


def test_a_server_that_hangs_is_found_and_what_it_took_comes_when_it_moves_again(
    ends: Ends, server: RedisServer
) -> None:
    ends.meet()
    server.send_signal(signal.SIGSTOP)
    ends.of["a"].send("b", "n", b"x")
    ends.until(lambda: not ends.of["a"].usable("b"))
    assert not ends.got["b"]
    server.send_signal(signal.SIGCONT)
    ends.meet()
    ends.until(lambda: ends.got["b"])
    assert set(ends.got["b"]) == {("a", "n", b"x")}


def test_a_server_that_has_forgotten_everything_is_gone_on_with(ends: Ends, server: RedisServer) -> None:
    ends.meet()
    server.call("FLUSHALL")
    ends.of["a"].send("b", "n", b"may be lost")
    ends.until(lambda: ends.of["b"].errors)
    ends.until(lambda: server.call("EXISTS", names_of("b").normal))
    ends.meet()
    ends.of["a"].send("b", "n", b"x")
    ends.until(lambda: ends.got["b"] and ends.got["b"][-1][2] == b"x")


def test_a_process_that_does_not_read_is_not_usable(ends: Ends) -> None:
    ends.meet()
    ends.until(lambda: ends.of["a"].usable("b") and not ends.of["a"].usable("nobody"))
    ends.of.pop("b").close()
    ends.until(lambda: not ends.of["a"].usable("b") and ends.of["a"].cause == "")


def test_a_server_that_is_full_takes_no_more_and_says_so(ends: Ends, server: RedisServer) -> None:
    ends.meet()
    server.call("CONFIG", "SET", "maxmemory", "1")
    ends.of["a"].send("b", "n", b"x")
    ends.until(lambda: ends.of["a"].errors and not ends.of["a"].usable("b"))
    server.call("CONFIG", "SET", "maxmemory", "0")
    ends.meet()
    ends.of["a"].send("b", "n", b"y")
    ends.until(lambda: ("a", "n", b"y") in ends.got["b"])


def test_what_is_no_frame_is_counted_and_never_seen_again(ends: Ends, server: RedisServer) -> None:
    ends.meet()
    names = names_of("b")
    server.call("XADD", names.normal, "*", "strange", "x")
    ends.until(lambda: ends.of["b"].errors == 1)
    ends.until(lambda: server.call("XPENDING", names.normal, names.group)[0] == 0)  # type: ignore[index]
    ends.of["a"].send("b", "n", b"x")
    ends.until(lambda: ends.got["b"] == [("a", "n", b"x")])


def test_its_counts_are_in_the_table_of_the_process(server: RedisServer) -> None:
    ends, counters = Ends(server, "b"), Counters()
    try:
        ends.of["a"] = RedisCarrier(server.url, "a", now_ns, counters=counters)
        ends.got["a"] = []
        ends.meet()
        ends.of["a"].send("b", "n", b"x")
        ends.until(lambda: counters.snapshot().get("redis.sent") == 1)
        assert counters.snapshot()["redis.connections"] == 1
    finally:
        ends.close()


@pytest.mark.parametrize("url", ["redis://192.0.2.1:6379", "rediss://127.0.0.1", "unix:", "http://x", "redis://[::1"])
def test_an_address_that_is_not_of_this_machine_is_refused(url: str) -> None:
    with pytest.raises(EndpointError):
        redis_address(url)


def test_an_address_is_taken_apart() -> None:
    assert redis_address("unix:///run/x/redis.sock")[:3] == ("/run/x/redis.sock", "", 0)
    assert redis_address("redis://me:secret%21@127.0.0.1:7000/3") == ("", "127.0.0.1", 7000, 3, "me", "secret!")
