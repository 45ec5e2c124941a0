"""The ring as a carrier: doorbells, a writer's next life, and what its earlier one left."""

from __future__ import annotations

import os
import select
import struct
import threading
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

from nautilus.bus import ring
from nautilus.bus.backlog import Backlog
from nautilus.bus.base import HEADER, MAGIC, topic_bytes
from nautilus.bus.ring import RingReader, RingWriter
from nautilus.core.wake import Waiting

SIZE = 1 << 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "star.ring"


def rung(reader: RingReader) -> bool:
    return bool(select.select([reader.fileno()], [], [], 0)[0])


def frame(epoch: int, stream: int, first: int, count: int) -> bytes:
    header = HEADER.pack(topic_bytes(1, stream), MAGIC, 1, 1, 8, count, epoch, stream, first, 0)
    return header + np.arange(first, first + count, dtype=np.uint64).tobytes()


def test_the_doorbell_rings_once_for_what_comes_after_arming(path: Path) -> None:
    writer = RingWriter(path, capacity=SIZE, epoch=1)
    reader = RingReader(path, doorbell=True)
    writer.write(b"unarmed")
    assert not rung(reader)
    assert not reader.arm()  # something is there
    assert reader.drain() == [b"unarmed"]
    assert reader.arm()
    assert not rung(reader)
    writer.write(b"a")
    assert rung(reader)
    writer.write(b"b")
    assert writer.status()["wakes"] == 1
    assert reader.drain() == [b"a", b"b"]
    assert reader.arm()
    assert not rung(reader)
    reader.close()
    assert [each.name for each in path.parent.iterdir()] == ["star.ring"]
    writer.write(b"nobody is there")
    assert writer.status()["readers"] == []


def test_a_reader_follows_the_ring_through_the_lives_of_its_writer(path: Path) -> None:
    reader = RingReader(path, doorbell=True)
    assert (reader.epoch, reader.drain(), reader.alive) == (0, [], False)
    assert reader.arm()
    first = RingWriter(path, capacity=SIZE, epoch=5)
    first.write(b"first")
    assert rung(reader)
    assert not reader.arm()
    assert reader.drain() == [b"first"]
    assert (reader.epoch, reader.attached, reader.alive) == (5, 1, True)
    assert reader.arm()
    first.write(b"unread")
    second = RingWriter(path, capacity=2 * SIZE, epoch=6)
    second.write(b"second")
    assert rung(reader)
    assert not reader.arm()
    assert reader.wait(Waiting("block"), 0)
    assert reader.drain() == [b"unread"]
    assert reader.drain() == [b"second"]
    assert (reader.epoch, reader.attached, reader.lapped, reader.missed_frames) == (6, 2, 0, 0)
    second.close()
    assert reader.drain() == []
    assert reader.arm()
    assert not rung(reader)
    RingWriter(path, capacity=SIZE, epoch=7).write(b"third")
    assert rung(reader)
    assert reader.drain() == [b"third"]


def test_a_ring_that_could_not_be_read_for_a_moment_is_looked_at_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    reader = RingReader(path)
    writer = RingWriter(path, capacity=SIZE, epoch=1)
    with monkeypatch.context() as patch:
        patch.setattr(ring, "Reader", refusing)
        assert not reader.attach()
    assert reader.attach()
    writer.write(b"here")
    assert reader.drain() == [b"here"]
    assert reader.refused == 0
    reader.close()
    writer.close()


def test_a_ring_of_an_earlier_life_is_not_gone_over_to(path: Path) -> None:
    RingWriter(path, capacity=SIZE, epoch=5).write(b"x")
    reader = RingReader(path, oldest=True)
    RingWriter(path, capacity=SIZE, epoch=4).write(b"old")
    path_of_noise = path.with_name("noise")
    path_of_noise.write_bytes(os.urandom(70_000))
    assert reader.drain() == [b"x"]
    assert reader.drain() == reader.drain() == []
    assert (reader.epoch, reader.refused) == (5, 1)
    os.replace(path_of_noise, path)
    assert reader.drain() == []
    assert (reader.epoch, reader.refused) == (5, 2)


@pytest.mark.parametrize("doorbell", [False, True])
@pytest.mark.parametrize("policy", ["block", "spin-then-block"])
def test_a_thread_that_waits_is_woken_by_a_frame_and_by_the_next_writer(
    path: Path, policy: str, doorbell: bool
) -> None:
    reader, waiting = RingReader(path, doorbell=doorbell), Waiting(policy, spin_ns=10_000)
    got: list[bytes] = []

    progress = threading.Semaphore(0)

    def follow() -> None:
        until = monotonic() + 100
        while len(got) < 300 and monotonic() < until:
            if reader.wait(waiting, 1_000_000_000):
                before = len(got)
                got.extend(reader.drain())
                progress.release(len(got) - before)

    thread = threading.Thread(target=follow)
    thread.start()
    number = 0
    for epoch in (1, 2, 3):
        writer = RingWriter(path, capacity=SIZE, epoch=epoch)
        for _ in range(100):
            writer.write(struct.pack("<Q", number))
            number += 1
        for _ in range(100):
            assert progress.acquire(timeout=60)
    thread.join(60)
    assert got == [struct.pack("<Q", each) for each in range(300)]
    reader.close()


def test_a_ring_without_a_frame_ends_no_wait(path: Path) -> None:
    first, reader, waiting = RingWriter(path, capacity=SIZE, epoch=1), RingReader(path), Waiting("block")
    second = threading.Timer(0.05, lambda: rings.append(RingWriter(path, capacity=SIZE, epoch=2)))
    rings = [first]
    second.start()
    assert not reader.wait(waiting, 10_000_000_000)
    assert reader.epoch == 2
    second.join()
    rings[1].write(b"second")
    assert reader.wait(waiting, 0)
    assert reader.drain() == [b"second"]
    reader.close()


def test_frames_of_a_stream_are_found_in_the_ring_and_in_the_one_before(path: Path) -> None:
    before = RingWriter(path, capacity=SIZE, epoch=1)
    for first in range(1, 100, 3):
        before.write(frame(1, 7, first, 3))
        before.write(frame(1, 8, first, 3))
    writer = RingWriter(path, capacity=SIZE, epoch=2)
    writer.write(b"no frame")
    writer.write(frame(2, 7, 1, 5))
    writer.write(frame(2, 7, 6, 5))
    assert writer.find(1, 7, 4, 7) == ([frame(1, 7, 4, 3), frame(1, 7, 7, 3)], 0)
    assert writer.find(1, 8, 98, 1000) == ([frame(1, 8, 97, 3)], 0)
    assert writer.find(2, 7, 5, 6) == ([frame(2, 7, 1, 5), frame(2, 7, 6, 5)], 0)
    assert writer.find(2, 7, 11, 20) == writer.find(3, 7, 1, 9) == writer.find(2, 9, 1, 9) == ([], 0)
    found, after, calls = [], 0, 0
    while calls == 0 or after:
        part, after = writer.find(1, 7, 1, 99, start=after, limit=4)
        found += part
        calls += 1
        assert len(part) <= 4
    assert found == [frame(1, 7, first, 3) for first in range(1, 100, 3)]
    assert calls >= 9


def test_a_backlog_reads_the_frames_of_a_ring_and_of_the_one_before(path: Path) -> None:
    before = RingWriter(path, capacity=SIZE, epoch=1)
    for first in range(1, 2_000):
        before.write(frame(1, 7, first, 1))
    writer = RingWriter(path, capacity=SIZE, epoch=2)
    for first in range(1, 50, 5):
        writer.write(frame(2, 7, first, 5))
    assert writer.earlier_frames is not None
    for frames, epoch, first, last, step in ((writer.frames, 2, 1, 50, 5), (writer.earlier_frames, 1, 1_500, 1_999, 1)):
        backlog = Backlog(frames, epoch)
        while backlog.lag:
            assert backlog.look(100)
        found = [each for each in backlog.find(7, first, last) if each is not None]
        assert found == [frame(epoch, 7, each, step) for each in range(first, last + 1, step)]
        assert backlog.missed == 0
    assert (writer.frames.oldest, writer.frames.next) == (0, 10)
    assert writer.earlier_frames.next == 1_999
    writer.close()


def test_only_what_the_ring_still_holds_is_found(path: Path) -> None:
    writer = RingWriter(path, capacity=SIZE, epoch=1)
    for first in range(1, 5_001):
        writer.write(frame(1, 7, first, 1))
    found, after = writer.find(1, 7, 1, 5_000, limit=10_000)
    oldest = 5_001 - len(found)
    assert after == 0
    assert found == [frame(1, 7, first, 1) for first in range(oldest, 5_001)]
    assert len(found) > 0.98 * SIZE / 80


def test_bells_of_the_dead_are_taken_away(path: Path) -> None:
    dead = path.with_name("star.ring.bell-999999999-1")
    os.mkfifo(dead)
    reader = RingReader(path, doorbell=True)
    RingWriter(path, capacity=SIZE, epoch=1)
    assert not dead.exists()
    assert rung(reader)
