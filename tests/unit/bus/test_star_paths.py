"""Which path a reader of the star takes is looked at when a heartbeat comes, and when none does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from nautilus.bus import make_context
from nautilus.bus.base import HEARTBEAT, new_socket
from nautilus.bus.failover import RING, STALE, ZMQ, Failover
from nautilus.bus.star_paths import UNSEEN, StarPaths

MILLISECOND = 1_000_000
BEAT_NS = 20 * MILLISECOND


class Timer:
    """Of a time that the test says."""

    def __init__(self, every_ns: int) -> None:
        self.now_ns = 0
        self.restart(every_ns, every_ns)

    def restart(self, first_ns: int, every_ns: int) -> None:
        self.due_ns, self._every_ns = self.now_ns + first_ns, every_ns

    def taken(self) -> bool:
        due = self.due_ns <= self.now_ns
        while self.due_ns <= self.now_ns:
            self.due_ns += self._every_ns
        return due

    def fileno(self) -> int:
        return -1

    def close(self) -> None: ...


class Reader:
    """The part of a subscriber that is asked here."""

    way = RING
    asks_by = None


class Scene:
    """A hub that beats when it is told to, and the paths of one reader."""

    def __init__(self, context: zmq.Context[Any], timer: Timer, *, ring: bool) -> None:
        self.timer = timer
        self.reader = Reader()
        self.hub = new_socket(context, zmq.PUB)
        self.hub.bind("inproc://star")
        self.changes: list[tuple[str, int]] = []
        self.paths = StarPaths(
            context,
            "inproc://star",
            self.reader,  # type: ignore[arg-type]
            "marketdata",
            lambda: timer.now_ns,
            ring=ring,
            on_path=lambda change: self.changes.append((change.after, timer.now_ns)),
        )

    def beat(self) -> None:
        self.hub.send(bytes((HEARTBEAT,)))
        assert self.paths.socket.poll(10_000)
        self.paths.turn()

    def wait(self, until_ns: int) -> int:
        """Turn as often as the timer says; the times of that."""
        turns = 0
        while self.timer.due_ns <= until_ns:
            self.timer.now_ns = self.timer.due_ns
            self.paths.turn()
            turns += 1
        self.timer.now_ns = until_ns
        return turns


@pytest.fixture
def scene(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    timer = Timer(BEAT_NS)
    monkeypatch.setattr("nautilus.bus.star_paths.Timer", lambda every_ns: timer)
    context = make_context()
    made = Scene(context, timer, ring=request.param == RING)
    yield made
    made.paths.close()
    made.hub.close()
    context.destroy(0)


with_ring = pytest.mark.parametrize("scene", [RING], indirect=True)
without_ring = pytest.mark.parametrize("scene", [ZMQ], indirect=True)


@with_ring
def test_where_heartbeats_come_the_timer_wakes_nobody(scene: Scene) -> None:
    for number in range(1, 50):
        assert scene.wait(number * BEAT_NS) == 0 or number == 1
        scene.beat()
    assert scene.paths.failover.path == RING


@with_ring
def test_where_all_is_well_not_every_heartbeat_is_an_occasion_to_look_but_a_change_is(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    step = Failover.step
    monkeypatch.setattr(Failover, "step", lambda self, now_ns: looks.append(now_ns) or step(self, now_ns))
    for _ in range(2 * (UNSEEN + 1)):
        scene.beat()
    assert len(looks) == 2
    scene.reader.way = ZMQ
    scene.beat()
    assert len(looks) == 3
    assert not scene.paths.failover.healthy(RING)
    scene.beat()
    assert len(looks) == 4, "it is to be decided whether that holds"


@without_ring
def test_silence_is_found_as_soon_as_by_looking_all_the_time(scene: Scene) -> None:
    scene.beat()
    scene.wait(200 * MILLISECOND)
    assert scene.changes == [(STALE, 90 * MILLISECOND)], "looks from 50 ms on, 20 ms apart; 20 ms of doubt"


@without_ring
def test_as_long_as_something_is_to_be_decided_it_is_looked_all_the_time(scene: Scene) -> None:
    scene.beat()
    scene.wait(75 * MILLISECOND)
    assert not scene.paths.failover.healthy(ZMQ)
    scene.beat()
    assert scene.timer.due_ns == scene.timer.now_ns + 50 * MILLISECOND, "it is well again"
    scene.wait(scene.timer.now_ns + 200 * MILLISECOND)
    assert scene.paths.failover.path == STALE
    scene.beat()
    assert scene.timer.due_ns <= scene.timer.now_ns + BEAT_NS, "it has to stand for a while before it is taken again"
