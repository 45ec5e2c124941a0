"""The replayer does a bounded amount of work at a time, shares it, and survives who asks too much or nonsense."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from nautilus.bus import stream_id
from nautilus.bus.base import ANSWER_STREAM, HEADER, FrameFlag, flags_of
from nautilus.bus.replayer import JOBS_OF_ONE, LOOK, MOST_FRAMES, span_of
from nautilus.bus.requests import Answer, Operation, Request, Status, pack_request, parse_answer, whole_kind
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.model.topics import QUOTES
from tests.kit.star import Hub, Reader, Stars, quotes, settled, trades, turn_until

SECOND = 1_000_000_000


@pytest.fixture
def stars(tmp_path: Path) -> Iterator[Stars]:
    made = Stars(tmp_path)
    yield made
    made.close()


def asker(stars: Stars, hub: Hub) -> zmq.Socket[bytes]:
    """A plain socket on its way to the replayer."""
    socket = stars.context.socket(zmq.DEALER)
    stars.stack.callback(socket.close, 0)
    socket.connect(hub.replayer.endpoint)
    return socket


def ask(hub: Hub, socket: zmq.Socket[bytes], request: Request) -> tuple[list[bytes], Answer]:
    """Frames and the last word."""
    socket.send(pack_request(request))
    frames: list[bytes] = []
    end_ns = now_ns() + 60 * SECOND
    while now_ns() < end_ns:
        hub.replayer.poll()
        while socket.poll(1):
            frame = socket.recv()
            if HEADER.unpack_from(frame)[7] == ANSWER_STREAM:
                found = parse_answer(frame)
                assert found is not None
                return frames, found
            frames.append(frame)
    raise AssertionError("no answer")


def test_what_is_asked_for_comes_as_it_was_with_a_mark_and_then_the_last_word(stars: Stars) -> None:
    hub = stars.hub(9)
    socket = asker(stars, hub)
    for first in range(1, 21, 4):
        hub.publisher.publish(quotes(3, first, 4))
    stream = stream_id(1, 3)
    frames, answer = ask(hub, socket, Request(Operation.REPLAY, 77, 9, stream, 6, 13))
    assert answer == Answer(Operation.REPLAY, 77, 9, stream, 6, 16, Status.KNOWN)
    assert [span_of(frame) for frame in frames] == [(5, 9), (9, 13), (13, 17)]
    assert {flags_of(frame) for frame in frames} == {FrameFlag.REPLAYED}
    assert frames[0][64:] == quotes(3, 5, 4).tobytes()


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (Request(Operation.REPLAY, 1, 9, stream_id(1, 3), 30, 40), (41, 40)),
        (Request(Operation.REPLAY, 1, 9, stream_id(2, 4), 1, 5), (6, 5)),
        (Request(Operation.REPLAY, 1, 8, stream_id(1, 3), 1, 5), (6, 5)),
    ],
)
def test_what_is_nowhere_is_said_to_be_so(stars: Stars, request_: Request, expected: tuple[int, int]) -> None:
    hub = stars.hub(9)
    hub.publisher.publish(trades(3, 1, 2))
    frames, answer = ask(hub, asker(stars, hub), request_)
    assert (frames, (answer.first, answer.last)) == ([], expected)
    assert hub.replayer.gone == 1


def test_images_are_of_what_was_asked_for(stars: Stars) -> None:
    hub = stars.hub(9)
    socket = asker(stars, hub)
    hub.publisher.publish(quotes(3, 1, 2))
    hub.publisher.publish(quotes(4, 1, 3))
    hub.publisher.publish(trades(3, 1, 5))
    frames, answer = ask(hub, socket, Request(Operation.SNAPSHOT, 5, streams=(whole_kind(1),)))
    assert [(HEADER.unpack_from(frame)[7], span_of(frame)[0]) for frame in frames] == [
        (stream_id(1, 3), 2),
        (stream_id(1, 4), 3),
    ]
    assert {flags_of(frame) for frame in frames} == {FrameFlag.SNAPSHOT}
    assert answer.status == Status.KNOWN | Status.COMPLETE
    frames, _ = ask(hub, socket, Request(Operation.SNAPSHOT, 6, streams=(stream_id(2, 3), stream_id(1, 4))))
    assert len(frames) == 2


def test_an_epoch_that_nobody_knows_has_no_known_end(stars: Stars) -> None:
    hub = stars.hub(9)
    _, answer = ask(hub, asker(stars, hub), Request(Operation.END, 5, 4))
    assert (answer.status, answer.next_epoch, answer.rows) == (Status(0), 9, ())


@pytest.mark.parametrize("epoch", [9, 12])
def test_a_hub_does_not_say_where_its_own_life_or_a_later_one_ended(stars: Stars, epoch: int) -> None:
    """It would be believed, and the end given up: another hub that is asked next knows it."""
    hub = stars.hub(9)
    socket = asker(stars, hub)
    socket.send(pack_request(Request(Operation.END, 5, epoch)))
    _, answer = ask(hub, socket, Request(Operation.END, 6, 4))
    assert (answer.number, hub.replayer.busy) == (6, False)


def test_records_of_a_later_life_are_not_said_to_be_gone(stars: Stars) -> None:
    hub = stars.hub(9)
    frames, answer = ask(hub, asker(stars, hub), Request(Operation.REPLAY, 77, 12, stream_id(1, 3), 4, 6))
    assert (frames, hub.replayer.gone) == ([], 0)
    assert answer == Answer(Operation.REPLAY, 77, 12, stream_id(1, 3), 4, 3, Status(0))


def test_two_hubs_that_both_live_leave_no_end_unknown(stars: Stars, tmp_path: Path) -> None:
    """One that was replaced, and does not know it yet, is asked in turn with its successor."""
    table = Counters(64, tmp_path / "positions")
    old = stars.hub(5, positions=table)
    second = f"{stars.endpoint}2"
    places = [stars.endpoint, second]
    reader = Reader(stars.context, places, QUOTES, replay=[f"{each}.replay" for each in places])
    stars.stack.callback(reader.close)
    turn_until([old], [reader], settled(old, reader))
    old.quotes(7, 3)
    turn_until([old], [reader], settled(old, reader))
    old.publisher.poll(2**62)  # the heartbeat, with what it writes down
    new = Hub(stars.context, second, 6, positions=table)
    stars.stack.callback(new.close)
    new.quotes(7, 2)
    turn_until([old, new], [reader], settled(new, reader))
    assert (reader.epochs, reader.numbers(7)) == ([(5, 6)], [1, 2, 3, 1, 2])
    assert (reader.subscriber.ends_unknown, reader.subscriber.lost) == (0, 0)


def test_a_long_replay_is_done_in_portions_that_are_bounded(stars: Stars) -> None:
    hub = stars.hub(replay={"budget": 32 + LOOK})
    socket = asker(stars, hub)
    stream = stream_id(1, 3)
    for number in range(MOST_FRAMES + 100):
        hub.publisher.publish(quotes(3, number + 1))
        hub.replayer.poll()
    socket.send(pack_request(Request(Operation.REPLAY, 1, 1, stream, 1, MOST_FRAMES + 100)))
    frames, most, answer = 0, 0, None
    while answer is None:
        before = hub.replayer.replayed
        hub.replayer.poll()
        socket.poll(1)
        most = max(most, hub.replayer.replayed - before)
        while socket.poll(0):
            frame = socket.recv()
            answer = parse_answer(frame) if HEADER.unpack_from(frame)[7] == ANSWER_STREAM else None
            frames += answer is None
    assert 0 < most <= 32 + LOOK + 16
    assert frames == MOST_FRAMES
    assert (answer.first, answer.last) == (1, MOST_FRAMES)


def test_who_asks_and_does_not_read_holds_up_nobody_else(stars: Stars) -> None:
    hub = stars.hub()
    deaf, socket = asker(stars, hub), asker(stars, hub)
    stream = stream_id(1, 3)
    for number in range(2_000):
        hub.publisher.publish(quotes(3, 16 * number + 1, 16))
    for number in range(JOBS_OF_ONE + 200):
        deaf.send(pack_request(Request(Operation.REPLAY, number, 1, stream, 1, 32_000)))
        if number % 50 == 0:
            hub.replayer.poll()
    while hub.replayer.refused < 150:
        hub.replayer.poll()
    frames, _ = ask(hub, socket, Request(Operation.REPLAY, 1, 1, stream, 1, 64))
    assert len(frames) == 4
    assert hub.replayer.busy
    deaf.close(0)
    end_ns = now_ns() + 60 * SECOND
    while hub.replayer.busy:
        assert now_ns() < end_ns, "it works for nobody"
        hub.replayer.poll()


@pytest.mark.parametrize("junk", [b"", b"\0" * 48, b"\xff" * 200, pack_request(Request(Operation.END, 1, 2))[:-1]])
def test_what_is_no_request_is_counted(stars: Stars, junk: bytes) -> None:
    hub = stars.hub(9)
    socket = asker(stars, hub)
    socket.send(junk)
    socket.send_multipart([b"one", b"two"])
    _, answer = ask(hub, socket, Request(Operation.END, 5, 4))
    assert answer.number == 5
    assert hub.replayer.malformed_requests == 2


def test_a_life_that_begins_with_a_buffer_in_use_does_not_claim_to_know_all(stars: Stars) -> None:
    hub = stars.hub(frames=8)
    for number in range(40):
        hub.publisher.publish(quotes(3, number + 1))
    hub.publisher.publish(quotes(4, 1))
    frames, answer = ask(hub, asker(stars, hub), Request(Operation.SNAPSHOT, 5, streams=(whole_kind(1),)))
    assert answer.status == Status.KNOWN
    assert [span_of(frame)[0] for frame in frames] == [40, 1]


def test_it_says_that_there_is_more_until_it_has_taken_in_what_was_published(stars: Stars) -> None:
    hub = stars.hub()
    assert not hub.replayer.poll()
    for number in range(1_000):
        hub.publisher.publish(quotes(3, number + 1))
    turns = 0
    while hub.replayer.poll():
        turns += 1
    assert turns == 1_000 // LOOK
    found = hub.replayer.snapshots.image(stream_id(1, 3))
    assert found is not None
    assert found[0] == 1_000
