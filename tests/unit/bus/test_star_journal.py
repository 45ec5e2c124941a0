"""The journal of the star: what is in it is found again, what is torn is cut and told, a full disk stops nothing."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.bus import stream_id
from nautilus.bus.backlog import BufferReader, FrameBuffer
from nautilus.bus.base import HEADER, HEARTBEAT, HEARTBEAT_STREAM, LAST, MAGIC, topic_bytes
from nautilus.bus.recorder import Recorder
from nautilus.bus.replayer import span_of
from nautilus.bus.star_journal import PREFIX, SEGMENT_HEADER, StarJournal, frames_in
from nautilus.core.crc32c import crc32c
from tests.kit.full_disk import largest_file
from tests.kit.star import quotes


def frame(instrument: int, first: int, count: int = 1, epoch: int = 1) -> bytes:
    head = HEADER.pack(
        topic_bytes(1, instrument), MAGIC, 1, 1, 64, count, epoch, stream_id(1, instrument), first, 5_000_000_000
    )
    return head + quotes(instrument, first, count).tobytes()


def beat(at_ns: int, epoch: int = 1, **lasts: int) -> bytes:
    rows = b"".join(LAST.pack(stream_id(1, int(name[1:])), last) for name, last in lasts.items())
    head = HEADER.pack(
        topic_bytes(HEARTBEAT, 0), MAGIC, HEARTBEAT, 1, 16, len(lasts), epoch, HEARTBEAT_STREAM, 1, at_ns
    )
    return head + rows


def found(journal: StarJournal, first: int, last: int, *, instrument: int = 1, epoch: int = 1) -> list[int]:
    """First sequences of what the journal has of these records."""
    frames = journal.find(epoch, stream_id(1, instrument), first, last)
    return [span_of(each)[0] for each in frames if each is not None]


def test_what_was_written_is_found_by_epoch_stream_and_sequence(tmp_path: Path) -> None:
    journal = StarJournal(tmp_path)
    for first in range(1, 41, 4):
        journal.append([frame(1, first, 4), frame(2, first, 4), frame(1, first, 4, epoch=2)])
    assert found(journal, 6, 13) == [5, 9, 13]
    assert found(journal, 1, 100, instrument=2) == list(range(1, 41, 4))
    assert found(journal, 40, 40, epoch=2) == [37]
    assert found(journal, 1, 9, epoch=3) == found(journal, 1, 9, instrument=3) == found(journal, 41, 50) == []
    lasts = {stream_id(1, 1): 40, stream_id(1, 2): 40}
    assert journal.ends() == {1: lasts, 2: {stream_id(1, 1): 40}}
    whole = next(journal.find(1, stream_id(1, 1), 5, 5))
    assert whole == frame(1, 5, 4)


def test_it_is_found_again_by_a_later_life_across_segments(tmp_path: Path) -> None:
    journal = StarJournal(tmp_path, segment_bytes=2_000)
    for first in range(1, 101):
        journal.append([frame(1, first)])
    journal.close()
    assert len(list(tmp_path.glob("*.log"))) > 5
    again = StarJournal(tmp_path, segment_bytes=2_000)
    assert again.torn == []
    assert found(again, 1, 100) == list(range(1, 101))
    again.append([frame(1, 1, epoch=2)])
    assert found(again, 1, 1, epoch=2) == [1]


def test_the_oldest_segments_make_room(tmp_path: Path) -> None:
    journal = StarJournal(tmp_path, segment_bytes=2_000, total_bytes=10_000)
    for first in range(1, 501):
        journal.append([frame(1, first)])
    assert sum(path.stat().st_size for path in tmp_path.glob("*.log")) <= 10_000
    kept = found(journal, 1, 500)
    assert kept == list(range(kept[0], 501))
    assert kept[0] > 400
    assert {path.stem for path in tmp_path.glob("*.idx")} <= {path.stem for path in tmp_path.glob("*.log")}


@pytest.mark.parametrize("damage", ["cut", "flipped", "noise", "length"])
def test_a_torn_tail_is_cut_and_told(tmp_path: Path, damage: str) -> None:
    journal = StarJournal(tmp_path)
    journal.append([frame(1, first) for first in range(1, 11)])
    path = next(tmp_path.glob("*.log"))
    data = bytearray(path.read_bytes())
    size = PREFIX.size + len(frame(1, 1))
    if damage == "cut":
        data = data[:-7]
    elif damage == "flipped":
        data[-20] ^= 4
    elif damage == "noise":
        data += os.urandom(3 * size)
    else:
        data[-size : -size + 4] = (2**31).to_bytes(4, "little")
    path.write_bytes(data)
    kept = 10 if damage == "noise" else 9
    again = StarJournal(tmp_path)
    (torn,) = again.torn
    assert (torn.path, torn.at, torn.bytes) == (path, len(SEGMENT_HEADER) + kept * size, len(data) - torn.at)
    assert found(again, 1, 10) == list(range(1, kept + 1))
    again.append([frame(1, 11)])
    again.close()
    assert StarJournal(tmp_path).torn == []


def test_a_file_that_is_no_segment_is_told_and_goes(tmp_path: Path) -> None:
    (tmp_path / "star-0000000007.log").write_bytes(b"something else")
    journal = StarJournal(tmp_path)
    assert [torn.bytes for torn in journal.torn] == [14]
    journal.append([frame(1, 1)])
    assert [path.name for path in tmp_path.glob("*.log")] == ["star-0000000008.log"]


def test_heartbeats_tell_where_streams_ended_and_are_kept_now_and_then(tmp_path: Path) -> None:
    journal = StarJournal(tmp_path)
    second = 1_000_000_000
    journal.append([beat(5 * second, i1=3), beat(5 * second + 1, i1=4), frame(1, 5), beat(6 * second, i1=9, i2=7)])
    assert journal.written == 3
    journal.close()
    assert StarJournal(tmp_path).ends() == {1: {stream_id(1, 1): 9, stream_id(1, 2): 7}}


def test_a_full_disk_is_counted_and_said_once_and_stops_nothing(tmp_path: Path) -> None:
    said: list[Any] = []
    journal = StarJournal(tmp_path, on_trouble=said.append)
    journal.append([frame(1, 1)])
    room = next(tmp_path.glob("*.log")).stat().st_size + 50
    with largest_file(room):
        for first in range(2, 200):
            assert not journal.append([frame(1, first)])
    assert (len(said), journal.failing, journal.missing) == (1, True, 198)
    assert isinstance(said[0], OSError)
    while not journal.append([frame(1, 300)]):
        assert len(said) == 1
    assert said[1] is None
    assert found(journal, 1, 400) == [1, 300]
    journal.close()
    again = StarJournal(tmp_path)
    assert (again.torn, found(again, 1, 400)) == ([], [1, 300])


def test_a_segment_whose_end_fails_is_left_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its descriptor is gone whatever `close` says: the next file of the process may have its number."""
    journal = StarJournal(tmp_path, segment_bytes=2_000)
    assert journal.append([frame(1, 1, 20)])
    close, others = os.close, list[int]()

    def failing(descriptor: int) -> None:
        monkeypatch.undo()
        close(descriptor)
        others.append(os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT))
        assert others == [descriptor]
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "close", failing)
    assert not journal.append([frame(1, 21, 20)])
    while not journal.append([frame(1, 41, 20)]):
        assert journal.failing
    journal.close()
    assert os.fstat(others[0]).st_size == 0
    os.close(others[0])
    assert found(StarJournal(tmp_path), 1, 100) == [1, 41]


def test_the_recorder_writes_what_the_buffer_gives_and_counts_what_it_was_too_late_for(tmp_path: Path) -> None:
    buffer = FrameBuffer(64)
    source = BufferReader(buffer)
    for first in range(1, 101):
        buffer.append(frame(1, first))
    recorder = Recorder(StarJournal(tmp_path), source)
    for first in range(101, 111):
        buffer.append(frame(1, first))
    recorder.close()
    assert not recorder.alive
    journal = recorder.journal
    kept = found(journal, 1, 200)
    assert kept == list(range(kept[0], 111))
    assert journal.missing == kept[0] - 1 >= 36
    assert journal.written == len(kept)


@settings(max_examples=40, deadline=None)
@given(
    batches=st.lists(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), max_size=4), max_size=12),
    segment=st.sampled_from([300, 1_000, 100_000]),
    again=st.booleans(),
)
def test_any_batches_are_found_in_order(tmp_path_factory: Any, batches: Any, segment: int, again: bool) -> None:
    directory = tmp_path_factory.mktemp("journal")
    journal = StarJournal(directory, segment_bytes=segment)
    last: dict[int, int] = {}
    sent: dict[int, list[bytes]] = {}
    for batch in batches:
        frames = []
        for instrument, count in batch:
            first = last.get(instrument, 0) + 1
            last[instrument] = first + count - 1
            frames.append(frame(instrument, first, count))
            sent.setdefault(instrument, []).append(frames[-1])
        journal.append(frames)
        if again:
            journal.close()
            journal = StarJournal(directory, segment_bytes=segment)
    for instrument, frames in sent.items():
        whole = [each for each in journal.find(1, stream_id(1, instrument), 1, 10_000) if each is not None]
        assert whole == frames


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=400), at=st.integers(0, 300))
def test_any_bytes_in_a_segment_are_read_up_to_what_is_no_frame(data: bytes, at: int) -> None:
    good = frame(1, 1)
    sound = PREFIX.pack(len(good), crc32c(good)) + good
    mixed = sound * 2
    mixed = mixed[:at] + data + mixed[at + len(data) :]
    for end, each in frames_in(mixed):
        assert mixed[end - len(each) : end] == each
        assert PREFIX.unpack_from(mixed, end - len(each) - PREFIX.size) == (len(each), crc32c(each))


class Looks:
    """A source that has a heartbeat at each look, and a record at one of them; and the pauses between looks."""

    missed_frames = 0

    def __init__(self, record_at: int, looks: int) -> None:
        self.pauses: list[float] = []
        self._record_at, self._looks = record_at, looks
        self._given = -1

    def drain(self, limit: int = 64) -> list[bytes]:
        if self._given == len(self.pauses):
            return []
        self._given = len(self.pauses)
        return [frame(1, 1) if self._given == self._record_at else beat(1)]

    def wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return False

    def is_set(self) -> bool:
        return len(self.pauses) >= self._looks

    def set(self) -> None: ...


def test_the_recorder_of_an_idle_star_looks_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Looks(record_at=30, looks=60)
    threads = SimpleNamespace(Event=lambda: source, Thread=threading.Thread)
    monkeypatch.setattr("nautilus.bus.recorder.threading", threads)
    Recorder(StarJournal(tmp_path), source, idle_seconds=0.02).close()
    assert source.pauses == [0.005] * 20 + [0.02] * 10 + [0.005] * 20 + [0.02] * 10
