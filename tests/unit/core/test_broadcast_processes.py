"""The ring and the table of last values between processes that are killed and stopped.

Forbidden outcomes: a torn frame or value, one out of order or twice, one missing that is not counted, a writer that
waits, a reader that waits for a dead writer, a slot or doorbell of a dead reader that stays.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest

from nautilus.bus.ring import RingReader, RingWriter
from nautilus.core.broadcast import Writer
from nautilus.core.broadcast_reader import Reader
from nautilus.core.last_values import LastValues, LastValueWriter
from tests.kit import ring_children as children
from tests.kit.ring_children import STREAMS, Child, frame_of, number_of, value_of

KILLS = 20 * int(os.environ.get("NAUTILUS_SEEDS", "1"))
Watched = Callable[[Child], Child]


@pytest.fixture
def watched() -> Iterator[Watched]:
    """All children are ended."""
    with ExitStack() as stack:

        def watch(child: Child) -> Child:
            stack.callback(child.kill)
            return child

        yield watch


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ring"


@pytest.mark.parametrize(("capacity", "count"), [(1 << 16, 20_000), (1 << 25, 5_000)])
def test_readers_in_other_processes_see_whole_frames_in_order_and_count_the_rest(
    watched: Watched, path: Path, capacity: int, count: int
) -> None:
    writer = Writer(path, capacity, 1)
    readers = [watched(children.read(path, policy, count)) for policy in ("block", "spin-then-block", "spin")]
    for number in range(count):
        if number % 5:
            writer.write(frame_of(number))
        else:
            writer.put(frame_of(number))
    writer.flush()
    for reader in readers:
        first, seen, missed, lapped, damaged = reader.result()
        assert (first, seen + missed, damaged) == (0, count, 0)
        assert (missed > 0) == (lapped > 0)
        assert seen > 0
        assert missed == 0 or capacity == 1 << 16


def test_a_writer_killed_anywhere_leaves_whole_frames_only(watched: Watched, path: Path) -> None:
    follower = RingReader(path, oldest=True)
    for epoch in range(1, KILLS + 1):
        writer = watched(children.write(path, 1 << 16, epoch))
        follower.drain()
        assert follower.attach() or follower.epoch == epoch
        expected = 0
        # Killed behind another number of frames each time, while it writes.
        while expected < 40 + 13 * epoch:
            for frame in follower.drain(8):
                number = number_of(frame)
                assert number >= expected
                expected = number + 1
        writer.kill()
        assert not follower.alive
        numbers = [number_of(frame) for frame in follower.drain(1 << 20)]
        assert numbers == sorted(set(numbers))
        image = Reader(path, image=True, oldest=True)
        first = image.frames
        tail = [number_of(frame) for frame in image.drain(1 << 20)]
        assert tail == list(range(first, image.frames))
        assert len(tail) > 20
        assert image.damaged == follower.damaged == 0
    assert follower.attached == KILLS


def test_a_killed_or_stopped_reader_holds_up_nobody_and_leaves_nothing(watched: Watched, path: Path) -> None:
    writer = RingWriter(path, capacity=1 << 16, epoch=1)
    doomed = [watched(children.read(path, "block", 1 << 60)) for _ in range(3)]
    stopped = watched(children.read(path, "spin-then-block", 8_000))
    own = RingReader(path, doorbell=True)
    assert len(writer.status()["readers"]) == 5
    os.kill(stopped.pid, signal.SIGSTOP)
    for number in range(4_000):
        writer.write(frame_of(number))
    for process in doomed:
        process.kill()
    assert writer.tend() == 3
    assert writer.tend() == 0
    assert len(writer.status()["readers"]) == 2
    os.kill(stopped.pid, signal.SIGCONT)
    for number in range(4_000, 8_000):
        writer.write(frame_of(number))
    first, seen, missed, lapped, damaged = stopped.result()
    assert (first, seen + missed, damaged) == (0, 8_000, 0)
    assert lapped >= 1
    own.close()


def test_the_doorbell_of_a_killed_reader_goes_with_its_slot(watched: Watched, path: Path) -> None:
    writer = RingWriter(path, capacity=1 << 16, epoch=1)

    def armed(ready: Callable[[], object]) -> None:
        reader = RingReader(path, doorbell=True)
        reader.arm()
        ready()
        signal.pause()

    reader = watched(Child(armed))
    reader.ready()
    reader.kill()
    assert len(list(path.parent.glob("ring.bell-*"))) == 1
    writer.write(b"rings for nobody")
    assert writer.tend() == 1
    assert [each.name for each in path.parent.iterdir()] == ["ring"]
    writer.write(b"more")
    assert writer.status()["readers"] == []


def test_slots_of_the_dead_are_taken_over_when_there_are_no_others(watched: Watched, path: Path) -> None:
    writer = Writer(path, 1 << 16, 1)
    held: list[Reader] = []

    def take_all(ready: Callable[[], object]) -> None:
        held.extend(Reader(path) for _ in range(70))
        assert sum(reader.slot >= 0 for reader in held) == 63
        ready()
        signal.pause()

    child = watched(Child(take_all))
    child.ready()
    assert Reader(path).slot == -1
    child.kill()
    assert len(writer.held()) == 63
    assert Reader(path).slot >= 0
    assert len(writer.held()) <= 1


def test_a_sleeping_reader_is_woken_by_the_writer_that_follows_a_killed_one(watched: Watched, path: Path) -> None:
    writer = watched(children.write(path, 1 << 22, 1, count=100))
    last = writer.result()

    def follow(ready: Callable[[], object]) -> list[int]:
        reader = RingReader(path, oldest=True)
        waiting = children.Waiting("block")
        numbers: list[int] = []
        until = monotonic() + children.MOST_SECONDS
        while len(numbers) < last + 50 and monotonic() < until:
            if len(numbers) == last:
                ready()
            if reader.wait(waiting, 50_000_000_000):
                numbers += [number_of(frame) for frame in reader.drain(1_000)]
        return numbers

    follower = watched(Child(follow))
    follower.ready()
    after = watched(children.write(path, 1 << 22, 2, count=50)).result()
    found = follower.result()
    assert len(found) >= last + 50
    assert found == [*range(last), *range(after)][: len(found)]


def test_values_are_never_torn_and_outlive_a_killed_writer(watched: Watched, path: Path) -> None:
    for epoch in range(1, KILLS // 4 + 1):
        writer = watched(children.keep_values(path, epoch))
        values = LastValues(path)
        until = monotonic() + 100
        while values.epoch < epoch or any((values.read(each) or (0, 0, 0))[2] < epoch for each in range(STREAMS)):
            assert monotonic() < until
        readers = [watched(children.read_values(path, 3_000)) for _ in range(2)]
        assert [reader.result() for reader in readers] == [STREAMS] * 2
        writer.kill()
        assert not values.alive
        for stream in range(STREAMS):
            found = values.read(stream)
            assert found is not None
            assert found.record == value_of(found.sequence)
            assert (found.epoch, found.sequence % STREAMS, found.at_ns) == (epoch, stream, found.sequence)
    after = LastValueWriter(path, 64, 1_000)
    assert len(after) == STREAMS
    again = LastValues(path).read(7)
    assert again is not None
    assert again.epoch == KILLS // 4
