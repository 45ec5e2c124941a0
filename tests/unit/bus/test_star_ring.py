"""The ring as a transport of the same readers: same accounts, and ZeroMQ where the ring is silent or gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from nautilus.bus import stream_id
from nautilus.bus.recorder import Recorder
from nautilus.bus.replayer import span_of
from nautilus.bus.ring import RingReader, image_of, set_aside
from nautilus.bus.ring_backlog import EarlierRing
from nautilus.bus.star_journal import StarJournal
from nautilus.core.broadcast import SLOTS
from nautilus.core.wake import Waiting
from nautilus.model.topics import QUOTES
from tests.kit.star import Hub, Reader, Stars, settled, turn_until

MILLISECOND = 1_000_000
PATIENT_NS = 100 * MILLISECOND
"""A machine that is busy delays heartbeats: a ring is not silent for that."""


@pytest.fixture
def stars(tmp_path: Path) -> Iterator[Stars]:
    made = Stars(tmp_path)
    yield made
    made.close()


def joined(hub: Hub, *readers: Reader) -> None:
    turn_until([hub], readers, settled(hub, *readers))


def test_a_reader_of_the_ring_gets_all_and_takes_nothing_over_zeromq(stars: Stars, tmp_path: Path) -> None:
    ring = tmp_path / "star.ring"
    hub = stars.hub(ring=ring)
    reader, plain = stars.reader(QUOTES, ring=ring, heartbeat_ns=PATIENT_NS), stars.reader(QUOTES)
    joined(hub, reader, plain)
    for _ in range(50):
        hub.quotes(7, 3)
        hub.quotes(8)
    joined(hub, reader, plain)
    assert hub.publisher.subscribers == 1
    assert not reader.subscriber.socket.poll(0)
    for each in (reader, plain):
        assert (each.numbers(7), each.numbers(8)) == (list(range(1, 151)), list(range(1, 51)))
        assert (each.subscriber.lost, each.subscriber.recovered, each.subscriber.duplicates) == (0, 0, 0)
    assert (reader.subscriber.way, plain.subscriber.way) == ("ring", "zmq")
    # Another's topics go by unread, and are nobody's fault.
    assert reader.subscriber.unknown == 0


def test_without_a_ring_frames_come_over_zeromq_until_there_is_one(stars: Stars, tmp_path: Path) -> None:
    ring = tmp_path / "star.ring"
    reader = stars.reader(QUOTES, ring=ring, heartbeat_ns=PATIENT_NS)
    first = stars.hub(1)
    joined(first, reader)
    first.quotes(7, 5)
    joined(first, reader)
    assert (reader.subscriber.way, reader.ways) == ("zmq", [])
    first.close()
    second = stars.hub(2, ring=ring)
    second.quotes(7, 5)
    turn_until([second], [reader], lambda: reader.subscriber.way == "ring")
    second.quotes(7, 5)
    joined(second, reader)
    assert reader.ways == [("zmq", "ring", "the ring is steady")]
    assert reader.numbers(7) == [1, 2, 3, 4, 5, *range(1, 11)]
    assert reader.subscriber.lost == 0


def test_when_the_writer_of_the_ring_has_gone_frames_come_over_zeromq_and_back(stars: Stars, tmp_path: Path) -> None:
    ring = tmp_path / "star.ring"
    first = stars.hub(1, ring=ring)
    reader = stars.reader(QUOTES, ring=ring, heartbeat_ns=PATIENT_NS)
    joined(first, reader)
    first.quotes(7, 5)
    joined(first, reader)
    first.close()
    second = stars.hub(2)  # as one that has no room in shared memory
    turn_until([second], [reader], lambda: reader.subscriber.way == "zmq")
    second.quotes(7, 4)
    joined(second, reader)
    second.close()
    third = stars.hub(3, ring=ring)
    third.quotes(7, 3)
    turn_until([third], [reader], lambda: reader.subscriber.way == "ring")
    third.quotes(7, 3)
    joined(third, reader)
    assert [(before, way) for before, way, _ in reader.ways] == [("ring", "zmq"), ("zmq", "ring")]
    assert reader.numbers(7) == [*range(1, 6), *range(1, 5), *range(1, 7)]
    assert (reader.subscriber.lost, reader.epochs) == (0, [(1, 2), (2, 3)])


def test_a_reader_that_was_lapped_recovers_from_the_journal(stars: Stars, tmp_path: Path) -> None:
    ring = tmp_path / "star.ring"
    journal = StarJournal(tmp_path / "journal")
    hub = stars.hub(ring=ring, capacity=1 << 16, replay={"archives": [journal]})
    source = RingReader(ring, oldest=True)
    recorder = Recorder(journal, source, lambda: source.wait(Waiting(), 5 * MILLISECOND))
    try:
        reader = stars.reader(QUOTES, ring=ring, heartbeat_ns=PATIENT_NS)
        joined(hub, reader)
        for number in range(200):
            hub.quotes(7, 32)
            hub.quotes(8, 1)
            while source.lag > 1 << 14:
                assert recorder.alive
            if number % 10 == 0:
                hub.turn()
        joined(hub, reader)
    finally:
        recorder.close()
        source.close()
    assert (reader.numbers(7), reader.numbers(8)) == (list(range(1, 6_401)), list(range(1, 201)))
    assert reader.subscriber.recovered > 1_000
    assert (reader.subscriber.lost, journal.missing) == (0, 0)


def test_the_end_of_a_killed_life_is_recovered_from_its_ring(stars: Stars, tmp_path: Path) -> None:
    ring = tmp_path / "star.ring"
    first = stars.hub(1, ring=ring)
    reader = stars.reader(QUOTES)
    joined(first, reader)
    first.quotes(7, 5)
    joined(first, reader)
    # Nobody hears the last of it, not even a heartbeat.
    reader.subscriber.socket.setsockopt(zmq.UNSUBSCRIBE, bytes((1,)))
    beats = first.publisher.heartbeats
    turn_until([first], [reader], lambda: first.publisher.heartbeats > beats + 3)
    first.quotes(7, 20)
    first.quotes(9, 3)
    reader.subscriber.socket.setsockopt(zmq.SUBSCRIBE, bytes((1,)))
    first.replayer.close()
    first.publisher.socket.close(0)
    second = stars.hub(2, ring=ring)
    second.quotes(7, 2)
    joined(second, reader)
    assert reader.numbers(7) == [*range(1, 26), 1, 2]
    assert reader.numbers(9) == [1, 2, 3]
    assert (reader.subscriber.lost, reader.subscriber.recovered >= 23) == (0, True)
    assert reader.epochs == [(1, 2)]


def test_what_the_journal_lacks_of_a_killed_life_is_written_from_its_ring(stars: Stars, tmp_path: Path) -> None:
    ring = tmp_path / "star.ring"
    hub = stars.hub(1, ring=ring)
    for _ in range(40):
        hub.quotes(7, 2)
    first = StarJournal(tmp_path / "journal")
    source = image_of(ring)
    assert source is not None
    first.append(source.drain(25))  # so far it came
    source.close()
    left = set_aside(ring)
    journal = StarJournal(tmp_path / "journal")
    empty = RingReader(tmp_path / "other.ring")
    recorder = Recorder(journal, empty, left=left)
    recorder.close()
    empty.close()
    assert recorder.rescued == 15
    assert not any(each.exists() for each in left)
    firsts = [span_of(frame)[0] for frame in journal.find(1, stream_id(1, 7), 1, 80) if frame is not None]
    assert firsts == list(range(1, 81, 2))


def test_what_a_life_left_outlives_lives_that_are_killed_before_they_wrote_it_down(
    stars: Stars, tmp_path: Path
) -> None:
    ring = tmp_path / "star.ring"
    for epoch in range(1, 4):
        set_aside(ring)
        hub = stars.hub(epoch, ring=ring)
        hub.quotes(7, 5)
        hub.replayer.close()
        hub.publisher.socket.close(0)
    left = set_aside(ring)
    assert [each.name[-2:] for each in left] == ["01", "02", "03"]
    journal, empty = StarJournal(tmp_path / "journal"), RingReader(tmp_path / "other.ring")
    Recorder(journal, empty, left=left).close()
    empty.close()
    assert {epoch: ends[stream_id(1, 7)] for epoch, ends in journal.ends().items()} == {1: 5, 2: 5, 3: 5}
    assert not list(tmp_path.glob("*.left-*"))


def test_a_ring_stays_aside_where_the_journal_does_not_take_it(stars: Stars, tmp_path: Path) -> None:
    ring = tmp_path / "star.ring"
    hub = stars.hub(1, ring=ring)
    hub.quotes(7, 5)
    [left] = set_aside(ring)
    journal, empty = StarJournal(tmp_path / "journal"), RingReader(tmp_path / "other.ring")
    (tmp_path / "journal").rmdir()
    Recorder(journal, empty, left=(left,)).close()
    assert left.exists()
    (tmp_path / "journal").mkdir()
    Recorder(StarJournal(tmp_path / "journal"), empty, left=(left,)).close()
    empty.close()
    assert not left.exists()


def test_what_is_partly_in_the_journal_and_partly_in_the_ring_comes_from_both(stars: Stars, tmp_path: Path) -> None:
    ring = tmp_path / "star.ring"
    journal = StarJournal(tmp_path / "journal")
    first = stars.hub(1, ring=ring, capacity=1 << 16)
    reader = stars.reader(QUOTES)
    joined(first, reader)
    first.quotes(7)
    joined(first, reader)
    reader.subscriber.socket.setsockopt(zmq.UNSUBSCRIBE, bytes((1,)))
    beats = first.publisher.heartbeats
    turn_until([first], [reader], lambda: first.publisher.heartbeats > beats + 3)
    source = image_of(ring)
    assert source is not None
    for _ in range(60):
        first.quotes(7, 32)
        if first.next[7] < 1_600:
            journal.append(source.drain(100))  # the last of it came too late
    source.close()
    reader.subscriber.socket.setsockopt(zmq.SUBSCRIBE, bytes((1,)))
    first.replayer.close()
    first.publisher.socket.close(0)
    second = stars.hub(2, ring=ring, replay={"archives": [journal]})
    second.quotes(7, 2)
    joined(second, reader)
    # Of the ring the beginning is written over, of the journal the end is missing.
    assert not list(EarlierRing(second.ring.earlier).find(1, stream_id(1, 7), 1, 600))
    assert max(span_of(frame)[1] for frame in journal.find(1, stream_id(1, 7), 1, 9_999) if frame) < 1_700
    assert reader.numbers(7) == [*range(1, 1_922), 1, 2]
    assert (reader.subscriber.lost, second.replayer.gone) == (0, 0)


def test_an_earlier_ring_tells_its_ends_with_and_without_a_heartbeat(stars: Stars, tmp_path: Path) -> None:
    for beats, name in ((0, "without"), (2, "with")):
        ring = tmp_path / f"{name}.ring"
        hub = stars.hub(ring=ring, capacity=1 << 22)
        for _ in range(beats):
            hub.quotes(3, 2)
            hub.publisher.heartbeat()
        for _ in range(300):
            hub.quotes(7, 100)
        hub.quotes(8)
        found = image_of(ring)
        assert found is not None
        earlier = EarlierRing(found)
        expected = hub.publisher.last_sequences()
        assert earlier.ends() == {1: expected}
        assert not list(earlier.find(2, stream_id(1, 7), 1, 5))
        found.close()
        hub.close()


def test_the_host_is_told_of_what_waits_in_the_ring(stars: Stars, tmp_path: Path) -> None:
    ring = tmp_path / "star.ring"
    hub = stars.hub(ring=ring)
    reader = stars.reader(QUOTES, ring=ring, heartbeat_ns=PATIENT_NS)
    joined(hub, reader)
    while not reader.subscriber.arm():
        reader.turn()
    poller = zmq.Poller()
    poller.register(reader.subscriber.fileno(), zmq.POLLIN)
    hub.quotes(7)
    assert poller.poll(60_000)
    assert not reader.subscriber.arm()
    reader.turn()
    assert reader.numbers(7) == [1]


def test_a_reader_for_whom_the_ring_has_no_slot_takes_frames_over_zeromq(stars: Stars, tmp_path: Path) -> None:
    """Nobody would ring for it: its host would look at the ring for ever."""
    ring = tmp_path / "star.ring"
    hub = stars.hub(ring=ring)
    held = [RingReader(ring) for _ in range(SLOTS)]
    reader = stars.reader(QUOTES, ring=ring, heartbeat_ns=PATIENT_NS)
    joined(hub, reader)
    hub.quotes(7, 3)
    joined(hub, reader)
    turn_until([hub], [reader], lambda: hub.publisher.heartbeats > 10)
    assert (reader.subscriber.way, reader.ways) == ("zmq", [])
    turn_until([], [reader], reader.subscriber.arm)  # it may sleep
    hub.quotes(7)
    assert reader.subscriber.socket.poll(60_000)
    joined(hub, reader)
    assert reader.numbers(7) == [1, 2, 3, 4]
    assert reader.subscriber.lost == 0
    for each in held:
        each.close()
