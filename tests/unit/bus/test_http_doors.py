"""Answers to requests by HTTP that wait for them, over the sockets of both."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from select import select

import pytest

from nautilus.bus import MessageKind
from nautilus.bus.http_carrier import PATIENCE_NS, Door, HttpCarrier, HttpFrames
from nautilus.core.mesh_wire import Answer, pack_answers

MANY = 60
"""More than a socket of this machine lets wait for one reader."""


def answer(number: int) -> bytes:
    return pack_answers([Answer(MessageKind.REPLY, number, 1, 1, 4, 1, 1)])


class Doors:
    """A process's carrier, and the requests of peers that wait at it."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.now_ns = 1
        self.carrier = HttpCarrier(str(directory), "b", lambda peer: [], None, lambda: self.now_ns)
        stack.callback(self.carrier.close)
        self.doors: dict[str, Door] = {}
        for name in ("stopped", "well"):
            door = self.doors[name] = Door(str(directory))
            stack.callback(door.close)
            door.put(HttpFrames(name, "b", (("n", b64encode(b"x").decode()),)))
        assert self.carrier.receive(10) == [("stopped", "n", b"x"), ("well", "n", b"x")]

    def taken(self, name: str) -> list[bytes]:
        found = []
        with suppress(BlockingIOError):
            while True:
                found += [frame for _, frame in self.doors[name].taken(self.doors[name].socket.recv(1 << 18))]
        return found


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    with ExitStack() as stack:
        yield Doors(tmp_path, stack)


def told(*frames: bytes) -> list[str]:
    return [b64encode(frame).decode() for frame in frames]


def test_a_request_that_takes_no_answers_keeps_no_other_waiting(doors: Doors) -> None:
    for number in range(MANY):
        assert doors.carrier.send("stopped", "n", answer(number))
    assert doors.carrier.send("well", "n", answer(7))
    assert doors.taken("well") == told(answer(7))


def test_what_found_no_room_follows_in_order(doors: Doors) -> None:
    for number in range(MANY):
        doors.carrier.send("stopped", "n", answer(number))
    had: list[bytes] = []
    while found := doors.taken("stopped"):
        had += found
        assert doors.carrier.receive(10) == []
    assert had == told(*(answer(number) for number in range(MANY)))


def test_who_takes_none_for_long_wakes_the_host_no_longer(doors: Doors) -> None:
    for number in range(MANY):
        doors.carrier.send("stopped", "n", answer(number))
    doors.carrier.receive(10)
    assert select([doors.carrier], [], [], 0)[0], "there is something to be tried again"
    doors.now_ns += PATIENCE_NS
    doors.carrier.receive(10)
    doors.carrier.receive(10)
    assert not select([doors.carrier], [], [], 0)[0]
