"""Both ends of a stream of the mesh and their naive twins, by example: no wire, no clock."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from nautilus.core.mesh_wire import Answer, Envelope, MessageKind
from nautilus.core.receive_stream import (
    AHEAD,
    DELIVER,
    DUPLICATE,
    KEPT_REPLIES,
    MALFORMED,
    OPEN_TOLD,
    REFUSED,
    SKIP,
    ReceiveStream,
)
from nautilus.core.send_stream import MERGE_AT, SendStream
from tests.kit.naive_receive_stream import NaiveReceiveStream
from tests.kit.naive_send_stream import NaiveSendStream

COMMAND, REQUEST = MessageKind.COMMAND, MessageKind.REQUEST
SETTLED, GIVEN_UP = MessageKind.SETTLED, MessageKind.GIVEN_UP
ACKNOWLEDGED, REPLY, RESEND = MessageKind.ACKNOWLEDGED, MessageKind.REPLY, MessageKind.RESEND


def message(number: int, kind: MessageKind = COMMAND, deadline_ns: int = 0) -> Envelope:
    return Envelope(kind, number, 1, 0, 0, 4, deadline_ns)


@pytest.fixture(params=[SendStream, NaiveSendStream])
def sender(request: pytest.FixtureRequest) -> Any:
    def make(count: int = 0, kind: MessageKind = COMMAND, **options: int) -> SendStream:
        stream: SendStream = request.param(1, **{"retry_ns": 10, "retry_limit_ns": 40, **options})
        for number in range(1, count + 1):
            stream.append(message(100 + number, kind))
        return stream

    return make


@pytest.fixture(params=[ReceiveStream, NaiveReceiveStream])
def receiver(request: pytest.FixtureRequest) -> Any:
    return request.param


def send(stream: SendStream, now_ns: int = 0) -> list[tuple[MessageKind, int, int, int]]:
    """All that can be sent: (kind, sequence, id, base)."""
    out = []
    while (envelope := stream.peek()) is not None:
        out.append((envelope.kind, envelope.sequence, envelope.id, envelope.base))
        stream.sent(envelope, now_ns)
    return out


def answer(received: int, handled: int, *, number: int = 0, receiver: int = 7, kind: MessageKind | None = None):
    return Answer(kind or (REPLY if number else ACKNOWLEDGED), number, 1, receiver, 4, received, handled)


def place(sequence: int, *, base: int = 1, kind: MessageKind = COMMAND, epoch: int = 1, last: int = 0) -> Envelope:
    return Envelope(kind, last or 100 + sequence, epoch, sequence, base, 4)


# The sender's end


def test_messages_are_numbered_from_one_and_held_until_acknowledged(sender) -> None:
    stream = sender(3)
    assert send(stream) == [(COMMAND, 1, 101, 1), (COMMAND, 2, 102, 1), (COMMAND, 3, 103, 1)]
    assert stream.live == 3
    assert stream.answered(answer(3, 2), 0) is None
    assert (stream.acknowledged, stream.live, stream.base, list(stream.held)) == (2, 1, 3, [3])
    stream.answered(answer(3, 3), 0)
    assert (stream.acknowledged, stream.live, stream.held, stream.retry_at_ns) == (3, 0, {}, 0)


def test_no_more_than_the_window_is_under_way(sender) -> None:
    stream = sender(5, window=2)
    assert [each[1] for each in send(stream)] == [1, 2]
    stream.answered(answer(1, 0), 0)  # arrived is enough, it need not be handled
    assert [each[1] for each in send(stream)] == [3]


def test_a_message_that_may_go_at_once_is_told_from_one_that_may_not(sender) -> None:
    stream = sender(window=1)
    assert stream.append(message(1))
    assert not stream.append(message(2))


def test_an_acknowledgement_does_not_settle_a_request(sender) -> None:
    stream = sender(2, REQUEST)
    send(stream)
    stream.answered(answer(2, 2), 0)
    assert stream.live == 2
    request = stream.answered(answer(2, 2, number=102), 0)
    assert request is not None
    assert request.id == 102
    assert (stream.live, stream.base) == (1, 1)
    request = stream.answered(answer(2, 2, number=101), 0)
    assert request is not None
    assert (stream.live, stream.base, stream.held) == (0, 3, {})


def test_a_reply_that_comes_again_answers_nothing(sender) -> None:
    stream = sender(2, REQUEST)
    send(stream)
    assert stream.answered(answer(2, 1, number=101), 0) is not None
    assert stream.answered(answer(2, 1, number=101), 0) is None
    assert stream.acknowledged == 1


def test_what_is_settled_in_the_middle_leaves_a_marker(sender) -> None:
    stream = sender(3, REQUEST)
    send(stream)
    stream.answered(answer(3, 0, number=102), 0)
    stream.answered(answer(0, 0, receiver=8), 0)  # a new life of the receiver
    assert send(stream) == [(REQUEST, 1, 101, 1), (SETTLED, 2, 2, 1), (REQUEST, 3, 103, 1)]


def test_without_progress_the_first_that_has_not_arrived_is_sent_again_ever_more_slowly(sender) -> None:
    stream = sender(3)
    send(stream, now_ns=100)
    stream.answered(answer(1, 1), 100)
    dues = []
    for _ in range(4):
        dues.append(stream.due_ns)
        assert stream.retry(stream.due_ns - 1) == []
        (probe,) = stream.retry(stream.due_ns)
        assert (probe.sequence, probe.base) == (2, 2)
        assert stream.peek() is None
    assert dues == [110, 130, 170, 210]
    assert stream.retried == 4


def test_where_only_the_one_sent_again_has_arrived_the_others_follow(sender) -> None:
    stream = sender(4)
    send(stream)
    stream.retry(10)
    stream.answered(answer(1, 0), 20)
    assert [each[1] for each in send(stream)] == [2, 3, 4]
    assert stream.due_ns == 30


def test_a_receiver_that_was_merely_slow_gets_nothing_twice(sender) -> None:
    stream = sender(4)
    send(stream)
    stream.retry(10)
    stream.answered(answer(3, 0), 20)
    assert stream.peek() is None


def test_what_was_sent_again_may_be_answered_alone_before_anything_else_arrives(sender) -> None:
    stream = sender(2)
    send(stream)
    stream.answered(answer(0, 0), 0)
    assert [each.sequence for each in stream.retry(10)] == [1]
    stream.cut()
    send(stream)
    stream.answered(answer(2, 2), 20)
    stream.append(message(103, REQUEST))
    send(stream, 30)
    assert [each.sequence for each in stream.retry(100)] == [3]
    assert stream.answered_alone(answer(3, 3, number=103)) is not None
    stream.append(message(104))
    stream.append(message(105))
    send(stream, 200)
    stream.answered(answer(4, 4), 210)
    assert (stream.live, stream.base) == (1, 5)


def test_what_was_sent_again_may_be_merged_away(sender) -> None:
    stream = sender(1, window=100, merge_at=4)
    for number in range(2, 21):
        stream.append(message(100 + number, deadline_ns=50 if number > 3 else 0))
    send(stream)
    stream.answered(answer(8, 0), 0)
    assert [each.sequence for each in stream.retry(10)] == [9]
    assert len(stream.expire(50)) == 17
    assert 9 not in stream.held
    stream.answered(answer(10, 0), 60)
    assert stream.received == 10
    assert stream.peek() is None
    stream.answered(answer(20, 20), 60)
    assert stream.held == {}


def test_an_open_way_makes_it_go_back_to_what_has_not_arrived(sender) -> None:
    stream = sender(4)
    send(stream)
    stream.answered(answer(1, 0), 0)
    assert stream.resume() == []
    assert [each[1] for each in send(stream)] == [2, 3, 4]
    assert stream.retried == 3


def test_what_has_arrived_is_not_sent_again_but_asked_about(sender) -> None:
    stream = sender(3)
    send(stream)
    stream.answered(answer(3, 1), 0)
    (poke,) = stream.retry(10)
    assert (poke.sequence, poke.base) == (2, 2)
    assert stream.peek() is None


def test_requests_whose_reply_went_missing_are_asked_for_it(sender) -> None:
    stream = sender(4, REQUEST)
    send(stream)
    stream.answered(answer(4, 3), 0)
    stream.answered(answer(4, 3, number=102), 0)
    assert [envelope.sequence for envelope in stream.retry(10)] == [1, 3]


def test_a_receiver_that_misses_something_gets_all_from_there_at_once(sender) -> None:
    stream = sender(4)
    send(stream)
    stream.answered(answer(1, 0, kind=RESEND), 0)
    assert [each[1] for each in send(stream)] == [2, 3, 4]


def test_a_new_life_of_the_receiver_gets_all_that_is_held(sender) -> None:
    stream = sender(4)
    send(stream)
    stream.answered(answer(4, 2), 0)
    stream.answered(answer(0, 0, receiver=8), 0)
    assert send(stream) == [(COMMAND, 3, 103, 3), (COMMAND, 4, 104, 3)]
    assert stream.answered(answer(4, 4, receiver=7), 0) is None  # of the life before
    assert stream.live == 2


@pytest.mark.parametrize(("received", "handled"), [(9, 1), (2, 3)])
def test_an_answer_that_cannot_be_is_ignored(sender, received, handled) -> None:
    stream = sender(3)
    send(stream)
    stream.answered(answer(received, handled), 0)
    assert (stream.received, stream.handled, stream.live) == (0, 0, 3)


def test_a_deadline_gives_a_message_up_and_leaves_a_marker_until_the_receiver_has_passed_it(sender) -> None:
    stream = sender(1)
    stream.append(message(102, deadline_ns=50))
    stream.append(message(103, REQUEST, deadline_ns=60))
    stream.append(message(104))
    assert stream.due_ns == 50
    assert stream.expire(49) == []
    assert [envelope.id for envelope in stream.expire(60)] == [102, 103]
    assert stream.live == 2
    assert send(stream) == [(COMMAND, 1, 101, 1), (GIVEN_UP, 2, 2, 1), (GIVEN_UP, 3, 3, 1), (COMMAND, 4, 104, 1)]
    stream.answered(answer(1, 1), 0)
    assert (stream.base, list(stream.held)) == (2, [2, 3, 4])
    stream.answered(answer(4, 3), 0)
    assert (stream.base, list(stream.held)) == (4, [4])


def test_deadlines_of_what_is_settled_are_forgotten(sender) -> None:
    stream = sender()
    for number in range(1, 2_001):
        stream.append(message(number, REQUEST, deadline_ns=10**9 + number))
        send(stream)
        if number % 2:
            stream.answered(answer(number, number, number=number), 0)
        else:
            assert stream.answered_alone(answer(number, number, number=number)) is not None
    assert stream.due_ns == 0
    stream.append(message(5_000, COMMAND, deadline_ns=10**12))
    for number in range(6_000, 8_000):
        stream.append(message(number, REQUEST, deadline_ns=10**9 + number))
        send(stream)
        last = stream.next_sequence - 1
        stream.answered(answer(last, stream.handled, number=number), 0)
    assert stream.deadlines_kept < 100
    assert [envelope.id for envelope in stream.expire(10**12)] == [5_000]


def test_what_is_handled_behind_something_open_is_settled(sender) -> None:
    stream = sender(6)
    stream.append(message(107, REQUEST))
    send(stream)
    told = answer(7, 1)
    told.done, told.open = 6, (2, 5)
    stream.answered(told, 0)
    assert (stream.acknowledged, stream.live) == (4, 3)
    stream.answered(told, 0)
    assert stream.acknowledged == 4
    told.done, told.open = 7, (2,)
    stream.answered(told, 0)
    assert (stream.acknowledged, stream.live) == (5, 2)
    assert [envelope.id for envelope in stream.retry(10**6)] == [107]  # handled, and its reply went missing
    stream.answered(answer(7, 7), 0)
    assert (stream.acknowledged, list(stream.requests)) == (6, [107])


def test_what_was_handled_behind_something_open_is_handled_anew_by_a_new_receiver_alone_if_held(sender) -> None:
    stream = sender(3)
    send(stream)
    told = answer(3, 0)
    told.done, told.open = 3, (1,)
    stream.answered(told, 0)
    stream.answered(answer(0, 0, receiver=8), 0)
    assert send(stream) == [(COMMAND, 1, 101, 1), (SETTLED, 2, 2, 1), (SETTLED, 3, 3, 1)]


def test_what_was_handled_before_its_deadline_is_not_given_up(sender) -> None:
    stream = sender()
    stream.append(message(101, deadline_ns=50))
    send(stream)
    stream.answered(answer(1, 1), 0)
    assert stream.expire(100) == []


def test_a_request_that_was_handled_but_not_answered_in_time_leaves_no_gap(sender) -> None:
    stream = sender()
    stream.append(message(101, REQUEST))
    stream.append(message(102, REQUEST, deadline_ns=50))
    send(stream)
    stream.answered(answer(2, 2), 0)
    assert [envelope.id for envelope in stream.expire(50)] == [102]
    assert stream.held[2].kind is SETTLED


def test_a_cut_gives_up_all_that_is_held_and_goes_on_behind_it(sender) -> None:
    stream = sender(1)
    stream.append(message(102, REQUEST, deadline_ns=50))
    stream.append(message(103))
    send(stream)
    assert [envelope.id for envelope in stream.cut()] == [101, 102, 103]
    assert stream.live == 0
    stream.append(message(104))
    assert send(stream) == [(GIVEN_UP, 1, 3, 1), (COMMAND, 4, 104, 1)]
    assert stream.expire(60) == []
    stream.answered(answer(4, 4), 0)
    assert (stream.held, stream.base) == ({}, 5)


def test_a_cut_leaves_alone_what_was_settled(sender) -> None:
    stream = sender(4, REQUEST)
    send(stream)
    stream.answered(answer(4, 0, number=102), 0)
    stream.answered(answer(0, 0, receiver=8), 0)
    assert [envelope.id for envelope in stream.cut()] == [101, 103, 104]
    assert send(stream) == [(GIVEN_UP, 1, 1, 1), (SETTLED, 2, 2, 1), (GIVEN_UP, 3, 4, 1)]


def test_many_markers_become_few(sender) -> None:
    stream = sender(3 * MERGE_AT, REQUEST, window=10**6)
    send(stream)
    for number in range(2, 3 * MERGE_AT):
        stream.answered(answer(3 * MERGE_AT, 0, number=100 + number), 0)
    assert stream.live == 2
    assert len(stream.held) < MERGE_AT + 2
    stream.answered(answer(0, 0, receiver=8), 0)
    places = send(stream)
    assert places[0] == (REQUEST, 1, 101, 1)
    assert places[1][:2] == (SETTLED, 2)
    assert all(after[1] == (before[2] if before[0] is SETTLED else before[1]) + 1 for before, after in pairwise(places))
    assert places[-1][1] == 3 * MERGE_AT


def test_a_stream_to_a_peer_that_never_comes_stays_small(sender) -> None:
    stream = sender()
    for number in range(10 * MERGE_AT):
        stream.append(message(number, deadline_ns=number + 1))
        assert len(stream.expire(number + 1)) == 1
    assert len(stream.held) <= MERGE_AT
    assert sum(last - first + 1 for first, last in ((each.sequence, each.id) for each in stream.held.values())) == (
        10 * MERGE_AT
    )


def test_an_answer_that_ends_within_a_merged_marker_is_taken(sender) -> None:
    stream = sender(6, window=100)
    send(stream)
    stream.cut()
    stream.append(message(107))
    stream.answered(answer(3, 2), 0)  # the receiver had three of them before they were given up
    assert send(stream) == [(GIVEN_UP, 1, 6, 1), (COMMAND, 7, 107, 1)]
    stream.answered(answer(7, 7), 0)
    assert stream.held == {}


# The receiver's end


def test_only_the_next_is_delivered(receiver) -> None:
    stream = receiver()
    assert stream.accept(place(1)) is DELIVER
    assert stream.accept(place(3)) is AHEAD
    assert stream.accept(place(1)) is DUPLICATE
    assert stream.accept(place(2)) is DELIVER
    assert stream.accept(place(3)) is DELIVER
    assert stream.expected == 4


def test_handled_is_what_is_handled_without_a_hole(receiver) -> None:
    stream = receiver()
    for sequence in range(1, 5):
        stream.accept(place(sequence))
    assert stream.finish(3)
    assert stream.handled == 0
    assert stream.finish(1)
    assert stream.handled == 1
    assert stream.finish(2)
    assert stream.handled == 3
    assert not stream.finish(3)
    assert not stream.finish(1)
    assert stream.finish(4)
    assert stream.handled == 4


def test_a_receiver_that_has_just_started_begins_at_the_base(receiver) -> None:
    stream = receiver()
    assert stream.accept(place(9, base=7)) is AHEAD
    assert stream.skipped is None
    assert (stream.expected, stream.handled) == (7, 6)
    assert stream.accept(place(7, base=7)) is DELIVER


def test_a_base_that_moves_before_anything_was_delivered_is_no_gap(receiver) -> None:
    stream = receiver()
    stream.accept(place(9, base=7))
    assert stream.accept(place(8, base=8)) is DELIVER
    assert stream.skipped is None


def test_a_base_beyond_what_is_expected_is_a_gap(receiver) -> None:
    stream = receiver()
    stream.accept(place(1))
    assert stream.accept(place(5, base=5)) is DELIVER
    assert stream.skipped == (2, 4)
    stream.accept(place(6, base=5))
    assert stream.skipped is None
    stream.finish(1)
    assert stream.handled == 4


def test_what_was_given_up_is_skipped_and_told(receiver) -> None:
    stream = receiver()
    stream.accept(place(1))
    assert stream.accept(place(2, kind=GIVEN_UP, last=4)) is SKIP
    assert stream.skipped == (2, 4)
    assert stream.accept(place(2, kind=GIVEN_UP, last=4)) is DUPLICATE
    assert stream.skipped is None
    assert stream.accept(place(5, kind=SETTLED, last=6)) is SKIP
    assert stream.skipped is None
    assert (stream.expected, stream.handled) == (7, 0)
    stream.finish(1)
    assert stream.handled == 6


def test_only_the_part_of_a_marker_that_was_not_had_is_skipped(receiver) -> None:
    stream = receiver()
    stream.accept(place(1))
    stream.accept(place(2))
    assert stream.accept(place(1, kind=GIVEN_UP, last=4)) is SKIP
    assert stream.skipped == (3, 4)
    stream.finish(1)
    assert stream.handled == 1
    stream.finish(2)
    assert stream.handled == 4


def test_a_marker_that_is_ahead_waits_for_what_is_before_it(receiver) -> None:
    stream = receiver()
    assert stream.accept(place(2, kind=GIVEN_UP, last=4)) is AHEAD
    assert stream.skipped is None


def test_a_new_life_of_the_sender_begins_anew_and_the_old_one_is_refused(receiver) -> None:
    stream = receiver()
    stream.accept(place(1))
    stream.keep(1, answer(1, 1, number=101))
    assert stream.accept(place(1, epoch=2)) is DELIVER
    assert stream.replies == {}
    assert stream.handled == 0
    assert stream.accept(place(2, epoch=1)) is REFUSED
    assert stream.expected == 2


def test_what_is_finished_behind_something_open_is_told(receiver) -> None:
    stream = receiver()
    for sequence in range(1, 6):
        stream.accept(place(sequence))
    for sequence in (2, 4):
        assert stream.finish(sequence)
    told = answer(0, 0)
    stream.tell(told)
    assert (told.received, told.handled, told.done, told.open) == (5, 0, 5, (1, 3, 5))
    assert stream.finish(1)
    stream.tell(told)
    assert (told.handled, told.done, told.open) == (2, 5, (3, 5))
    assert stream.finish(3)
    stream.tell(told)
    assert (told.handled, told.done, told.open) == (4, 0, ())


def test_of_very_many_that_are_open_the_first_are_told(receiver) -> None:
    stream = receiver()
    for sequence in range(1, 4 * OPEN_TOLD):
        stream.accept(place(sequence))
        if sequence % 2 == 0:
            stream.finish(sequence)
    told = answer(0, 0)
    stream.tell(told)
    assert told.open == tuple(range(1, 2 * OPEN_TOLD, 2))
    assert told.done == 2 * OPEN_TOLD


def test_what_the_sender_waits_for_no_longer_is_not_open_any_more(receiver) -> None:
    stream = receiver()
    for sequence in (1, 2, 3):
        stream.accept(place(sequence))
    stream.finish(2)
    assert stream.accept(place(4, base=3)) is DELIVER
    assert stream.handled == 2
    assert not stream.finish(1)
    assert stream.accept(place(5, base=5)) is DELIVER
    assert (stream.handled, list(stream.open)) == (4, [5])
    assert stream.finish(5)
    assert stream.handled == 5


def test_replies_are_kept_while_the_sender_holds_their_requests(receiver) -> None:
    stream = receiver()
    for sequence in range(1, 1_001):
        stream.accept(place(sequence, base=max(1, sequence - 10), kind=REQUEST))
        stream.finish(sequence)
        stream.keep(sequence, answer(sequence, sequence, number=100 + sequence))
        assert set(range(max(1, sequence - 10), sequence + 1)) <= set(stream.replies)
    assert len(stream.replies) < 150


def test_no_more_than_so_many_replies_are_kept(receiver) -> None:
    stream = receiver()
    for sequence in range(1, KEPT_REPLIES + 101):
        stream.accept(place(sequence, kind=REQUEST))
        stream.finish(sequence)
        stream.keep(sequence, answer(sequence, sequence, number=sequence))
    assert len(stream.replies) <= KEPT_REPLIES
    assert KEPT_REPLIES + 100 in stream.replies


def test_what_is_no_place_of_a_stream_is_told_as_such(receiver) -> None:
    stream = receiver()
    assert stream.accept(place(3, base=4)) is MALFORMED
    assert stream.accept(place(3, kind=GIVEN_UP, last=2)) is MALFORMED
    assert stream.accept(place(1)) is DELIVER
