"""The broadcast ring on one thread: against a naive twin, lapped, around its end, damaged, full memory."""

from __future__ import annotations

import errno
import os
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.broadcast import SLOTS, Writer
from nautilus.core.broadcast_reader import Reader
from nautilus.core.pool import DEBUG
from nautilus.core.wake import Waiting
from tests.kit.full_disk import largest_file

SMALLEST = 65_536
MOST = SMALLEST // 8 - 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ring"


def content(number: int, length: int) -> bytes:
    """Bytes that say of which frame they are, wherever one looks."""
    return (number.to_bytes(8, "little") * (length // 8 + 1))[:length]


sizes = st.one_of(st.integers(0, 80), st.integers(0, MOST), st.sampled_from((0, 1, 7, 8, 9, MOST - 1, MOST)))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("wwwwprs"), sizes), max_size=120))
def test_a_reader_gets_what_a_queue_would_give_it_and_knows_what_it_missed(tmp_path_factory, steps):
    """The twin: every frame ever written, and a reader's place among them."""
    path = tmp_path_factory.mktemp("twin") / "ring"
    writer, written, unseen = Writer(path, SMALLEST, 1, prefault=False), [], 0
    keen, slow = (Reader(path, oldest=True) for _ in range(2))
    keen_at = slow_at = 0
    for what, size in steps:
        if what in "wp":
            frame = content(len(written), size)
            written.append(frame)
            if what == "p":
                writer.put(frame)
                unseen += 1
            else:
                writer.write(frame)
                unseen = 0
        elif what == "s":
            frames = slow.drain(size)
            slow_at = slow.frames - len(frames)
            assert frames == written[slow_at : slow_at + len(frames)]
            assert slow_at + len(frames) <= len(written)
        else:
            writer.flush()
            unseen = 0
        got = keen.drain(1000)
        assert got == written[keen_at : keen_at + len(got)]
        keen_at += len(got)
        assert keen_at >= len(written) - unseen
    writer.flush()
    keen_at += len(keen.drain(1000))
    rest = slow.drain(100_000)
    assert keen_at == keen.frames == writer.frames == len(written) == slow.frames
    assert rest == written[len(written) - len(rest) :]
    assert (keen.missed_frames, keen.missed_bytes, keen.lapped, keen.damaged) == (0, 0, 0, 0)
    assert keen.position == slow.position == writer.position
    assert slow.damaged == 0
    for reader in (keen, slow):
        reader.close()
    writer.close()
    image = Reader(path, image=True, oldest=True)
    first = image.frames
    assert image.drain(100_000) == written[first:]


@pytest.mark.parametrize("length", [0, 1, 8, 55, 56, 64, 100, 128, 1000, MOST - 7, MOST])
def test_frames_of_every_length_go_around_the_end_many_times(path: Path, length: int) -> None:
    writer = Writer(path, SMALLEST, 1)
    reader = Reader(path)
    for number in range(5 * SMALLEST // ((length + 15) // 8 * 8)):
        writer.write(content(number, length))
        assert reader.next() == content(number, length)
        assert reader.next() is None
    assert (reader.lapped, reader.damaged, reader.lag) == (0, 0, 0)
    assert reader.position == writer.position > 4 * SMALLEST


def test_a_lapped_reader_goes_on_at_the_oldest_whole_frame_and_counts_exactly(path: Path) -> None:
    writer = Writer(path, SMALLEST, 1)
    reader = Reader(path)
    for number in range(10):
        writer.write(content(number, 100))
    assert len(reader.drain(4)) == 4
    before = reader.position
    for number in range(10, 5_000):
        writer.write(content(number, 100))
    frame = reader.next()
    assert frame is not None
    number = int.from_bytes(frame[:8], "little")
    assert (reader.lapped, reader.missed_frames) == (1, number - 4)
    assert reader.missed_bytes == reader.position - 112 - before
    assert reader.frames == number + 1
    # All but two blocks of the ring is still had.
    assert writer.position - reader.position + 112 > SMALLEST - 3 * SMALLEST // 256
    rest = reader.drain(10_000)
    assert [int.from_bytes(each[:8], "little") for each in rest] == list(range(number + 1, 5_000))
    assert reader.lapped == 1


def test_what_is_put_is_seen_when_it_is_flushed_but_for_whole_blocks(path: Path) -> None:
    writer = Writer(path, SMALLEST, 1)
    reader = Reader(path)
    writer.put(b"one")
    writer.put(b"two")
    assert reader.next() is None
    assert not reader.waiting
    writer.flush()
    assert reader.drain() == [b"one", b"two"]
    writer.write2(b"three", np.arange(2, dtype=np.uint8))
    assert reader.next() == b"three\0\1"
    for number in range(20_000):  # a batch of many times the ring
        writer.put(content(number, 64))
    seen = reader.drain(100_000)
    assert len(seen) > 600
    assert reader.missed_frames + len(seen) == reader.frames - 3
    writer.flush()


def test_a_reader_begins_with_the_oldest_or_the_next(path: Path) -> None:
    writer = Writer(path, SMALLEST, 7)
    empty = Reader(path, oldest=True)
    for number in range(3_000):
        writer.write(content(number, 64))
    old, new = Reader(path, oldest=True), Reader(path)
    assert (new.frames, new.lag, new.next()) == (3_000, 0, None)
    first = old.next()
    assert first == content(old.frames - 1, 64)
    assert 0 < old.frames < 3_000
    assert (empty.epoch, old.lapped, new.lapped) == (7, 0, 0)
    writer.write(b"next")
    assert new.next() == b"next"


def test_frames_are_had_by_their_number(path: Path) -> None:
    writer = Writer(path, SMALLEST, 1)
    reader = Reader(path, image=True)
    assert (reader.oldest, reader.get(0)) == (0, None)
    for number in range(5_000):
        writer.write(content(number, 40 + number % 90))
    oldest = reader.oldest
    assert 4_000 < oldest < 5_000
    order = [*range(oldest, 5_000), *range(4_999, oldest - 1, -7), 4_700, 4_700, 4_701, 4_999]
    for number in order:
        assert reader.get(number) == content(number, 40 + number % 90)
    assert reader.get(5_000) is None
    assert reader.get(oldest - 200) is None
    writer.write(b"one more")
    assert reader.get(5_000) == b"one more"


def test_records_are_drained_into_an_array(path: Path) -> None:
    record = np.dtype([("number", "<u8"), ("other", "<u8", 7)])
    writer = Writer(path, SMALLEST, 1)
    reader = Reader(path)
    out = np.zeros(10, record)
    sent = np.zeros(100, record)
    sent["number"] = range(100)
    for kind, count in ((1, 3), (2, 5), (1, 4), (1, 3)):
        writer.write2(bytes([kind]) + bytes(63), sent[:count])
    assert reader.drain_into(out, 64, 1) == 10
    assert out["number"].tolist() == [0, 1, 2, 0, 1, 2, 3, 0, 1, 2]
    assert (reader.passed_over, reader.lag) == (1, 0)
    writer.write(bytes(64) + bytes(63))
    writer.write2(bytes(64), sent[:8])
    writer.write2(bytes(64), sent[:3])
    assert reader.drain_into(out, 64) == 8
    assert reader.drain_into(out, 64) == 3
    assert reader.passed_over == 2
    writer.write2(bytes(64), sent[:11])
    with pytest.raises(ValueError, match="a frame of 11 records, expected room for them in 10"):
        reader.drain_into(out, 64)
    assert reader.drain_into(np.zeros(11, record), 64) == 11
    for bad in (np.zeros((2, 2), record), np.zeros(20, record)[::2]):
        with pytest.raises(ValueError, match="expected a writable contiguous array"):
            reader.drain_into(bad)
    with pytest.raises(ValueError, match="expected a writable contiguous array"):
        reader.drain_into(np.frombuffer(bytes(64), record))


def test_frames_too_long_and_impossible_sizes_are_refused(path: Path) -> None:
    for capacity in (0, 32_768, 65_537, 1 << 35):
        with pytest.raises(ValueError, match="expected a power of two"):
            Writer(path, capacity, 1)
    writer = Writer(path, SMALLEST, 1)
    assert writer.most == MOST
    for add in (writer.write, writer.put, lambda frame: writer.write2(frame[:50], frame[50:])):
        with pytest.raises(ValueError, match=f"a frame of {MOST + 1} bytes, expected at most {MOST}"):
            add(bytes(MOST + 1))
    with pytest.raises(TypeError):
        writer.write("text")  # type: ignore[arg-type]
    with pytest.raises((BufferError, ValueError)):
        writer.write(memoryview(bytes(64))[::2])
    assert (writer.position, writer.frames) == (0, 0)
    writer.close()
    writer.close()
    for use in (lambda: writer.write(b""), writer.flush, writer.tend, writer.held, lambda: writer.write2(b"", b"")):
        with pytest.raises(ValueError, match="the ring is closed"):
            use()


def test_every_slot_is_given_once_and_comes_back(path: Path) -> None:
    writer = Writer(path, SMALLEST, 1)
    readers = deque(Reader(path) for _ in range(SLOTS))
    assert sorted(reader.slot for reader in readers) == list(range(SLOTS))
    more = Reader(path)
    assert more.slot == -1
    writer.write(b"for all")
    assert more.next() == b"for all"
    assert {held.lag for held in writer.held()} == {16}
    readers.popleft().close()
    assert Reader(path).slot == 0
    assert writer.slowest() == 16
    assert {held.pid for held in writer.held()} == {os.getpid()}
    for reader in readers:
        reader.next()
    assert writer.slowest() == 0


def test_a_new_writer_retires_the_ring_of_the_old_one_which_stays_readable(path: Path) -> None:
    old = Writer(path, SMALLEST, 1)
    reader = Reader(path)
    old.write(b"last")
    assert reader.alive
    new = Writer(path, SMALLEST, 2)
    assert reader.retired
    assert not reader.alive
    assert reader.next() == b"last"
    assert Reader(path).epoch == new.epoch == 2
    assert (path.stat().st_mode & 0o777) == 0o600


def test_no_room_in_the_memory_is_an_error_and_leaves_nothing(path: Path) -> None:
    with largest_file(100_000), pytest.raises(OSError, match="File too large") as error:
        Writer(path, 1 << 17, 1)
    assert error.value.errno == errno.EFBIG
    assert not list(path.parent.iterdir())


def test_what_is_no_ring_is_refused(path: Path) -> None:
    for image in (False, True):
        with pytest.raises(FileNotFoundError):
            Reader(path, image=image)
    Writer(path, SMALLEST, 1).close()
    sound = path.read_bytes()
    for bad in (b"", sound[:100], sound[:-1], bytes(len(sound)), sound + bytes(8), sound[:8] + b"\2" + sound[9:]):
        path.write_bytes(bad)
        for image in (False, True):
            with pytest.raises(ValueError, match="damaged, or no ring"):
                Reader(path, image=image)
    path.write_bytes(sound)
    assert Reader(path, image=True).next() is None


def test_damage_in_the_middle_is_skipped_and_counted(path: Path) -> None:
    writer = Writer(path, SMALLEST, 1)
    for number in range(400):
        writer.write(content(number, 100))
    data = bytearray(path.read_bytes())
    data[16_384 + 112 * 50] ^= 1
    other = path.with_name("other")
    other.write_bytes(data)
    reader = Reader(other, image=True, oldest=True)
    numbers = [int.from_bytes(frame[:8], "little") for frame in reader.drain(1_000)]
    assert numbers[:50] == list(range(50))
    assert numbers[50:] == list(range(numbers[50], 400))
    assert reader.damaged == 1
    assert reader.missed_frames == numbers[50] - 50 < 10


@pytest.mark.parametrize("policy", ["block", "spin-then-block", "spin"])
def test_waiting_ends_with_a_frame_the_time_or_the_ring(path: Path, policy: str) -> None:
    writer = Writer(path, SMALLEST, 1)
    reader, waiting = Reader(path), Waiting(policy, spin_ns=20_000)
    assert not reader.wait(waiting, 100_000)
    writer.write(b"x")
    assert reader.wait(waiting, 10**12)
    assert reader.next() == b"x"
    writer.close()
    assert not reader.wait(waiting, 10**12)


@pytest.mark.skipif(not DEBUG, reason="only the debug build checks its threads")
def test_debug_build_finds_a_second_writing_thread(path: Path) -> None:
    import threading

    writer = Writer(path, SMALLEST, 1)
    writer.write(b"x")
    other = threading.Thread(target=writer.put, args=(b"y",))
    other.start()
    other.join()
    with pytest.raises(RuntimeError, match="a second thread writes"):
        writer.flush()
