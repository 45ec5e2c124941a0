"""Slow readers and their policies; topics taken and given up at run time; what a silent hub means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nautilus.bus import TopicError, stream_id
from nautilus.bus.base import BY_KIND, FrameFlag, flagged
from nautilus.bus.conflation import newest_levels
from nautilus.bus.recovery import LIVE
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.core.depth import DepthBook
from nautilus.core.star_writer import FrameWriter
from nautilus.model.enums import BookAction, Side
from nautilus.model.topics import BOOK_DELTAS, QUOTES, TRADES
from tests.kit.star import Hub, Reader, Stars, deltas, quotes, settled, trades, turn_until

SET, ADD, CLEAR = int(BookAction.SET), int(BookAction.ADD), int(BookAction.CLEAR)
BUY, SELL = int(Side.BUY), int(Side.SELL)


@pytest.fixture
def stars(tmp_path: Path) -> Iterator[Stars]:
    made = Stars(tmp_path)
    yield made
    made.close()


def joined(hub: Hub, *readers: Reader) -> None:
    turn_until([hub], readers, settled(hub, *readers))


def accounts(reader: Reader) -> None:
    """Every stream's identity holds, and so does that of all together."""
    found = reader.subscriber
    for state in found.streams.values():
        counted = state.delivered + state.conflated + state.snapshotted + state.lost + state.unknown
        assert state.settled == state.joined - 1 + counted
    handed_out = sum(len(batch[1]) for batch in reader.batches if not getattr(batch, "flags", 0) & 1)
    assert found.delivered == handed_out


def flood(hub: Hub, slow: Reader, quick: Reader, rounds: int) -> None:
    """The quick reader takes all as it comes; the slow one takes nothing meanwhile."""
    for number in range(1, rounds + 1):
        for instrument in (1, 2):
            hub.quotes(instrument, 3)
        hub.publisher.publish(trades(1, number))
        while quick.subscriber.delivered < 7 * number:
            assert quick.subscriber.socket.poll(60_000)
            quick.turn()
    hub.publisher.heartbeat()
    slow.subscriber.socket.poll(60_000)


def test_conflation_keeps_the_newest_of_each_stream_and_counts_the_rest(stars: Stars) -> None:
    hub, quick = stars.hub(), stars.reader()
    slow = stars.reader(policy="conflate")
    joined(hub, slow, quick)
    flood(hub, slow, quick, 100)
    joined(hub, slow, quick)
    found = slow.subscriber
    assert slow.numbers(1)[-1] == slow.numbers(2)[-1] == 300
    assert slow.numbers(1) == sorted(set(slow.numbers(1)))
    assert slow.numbers(1, TRADES) == list(range(1, 101))
    assert found.conflated > 300
    assert found.delivered + found.conflated == hub.publisher.published == 700
    assert (found.lost, quick.subscriber.delivered, quick.subscriber.lost) == (0, 700, 0)
    accounts(slow)


def test_conflated_books_end_as_the_whole_ones(stars: Stars) -> None:
    hub, quick = stars.hub(), stars.reader(BOOK_DELTAS)
    slow = stars.reader(BOOK_DELTAS, policy="conflate")
    joined(hub, slow, quick)
    generator = np.random.default_rng(5)
    for _ in range(200):
        rows: list[Any] = [
            (SET, int(generator.integers(1, 3)), int(generator.integers(90, 110)), int(generator.integers(0, 4)), 0)
            for _ in range(4)
        ]
        if generator.random() < 0.05:
            rows.insert(int(generator.integers(0, 4)), (CLEAR, int(generator.integers(1, 3)), 0, 0, 0))
        hub.publisher.publish(deltas(1, *rows))
        if generator.random() < 0.1:
            slow.turn()
        quick.turn()
    joined(hub, slow, quick)
    books = []
    for reader in (slow, quick):
        book = DepthBook()
        for _, records in reader.batches:
            book.apply(records.copy())
        books.append([side.tolist() for side in book.depth(100)])
    assert books[0] == books[1]
    assert slow.subscriber.conflated > 100
    accounts(slow)


def test_deltas_of_orders_are_not_conflated() -> None:
    records = deltas(1, (SET, BUY, 9, 1, 0), (SET, BUY, 9, 2, 0), (ADD, BUY, 9, 1, 77))
    assert newest_levels(records) is records
    assert newest_levels(records[:2])["quantity"].tolist() == [2]
    emptied = deltas(1, (SET, BUY, 9, 1, 0), (SET, SELL, 10, 1, 0), (CLEAR, BUY, 0, 0, 0), (SET, BUY, 8, 3, 0))
    assert newest_levels(emptied)["price_ticks"].tolist() == [10, 0, 8]
    assert newest_levels(deltas(1, (SET, BUY, 9, 1, 0), (CLEAR, 0, 0, 0, 0)))["action"].tolist() == [CLEAR]


def test_the_oldest_are_dropped_and_told_as_a_gap(stars: Stars) -> None:
    hub, quick = stars.hub(), stars.reader()
    slow = stars.reader(policy="drop-oldest", capacity=50)
    joined(hub, slow, quick)
    flood(hub, slow, quick, 100)
    joined(hub, slow, quick)
    found = slow.subscriber
    assert found.lost > 100
    assert found.delivered + found.lost == 700
    assert sum(last - first + 1 for _, first, last in slow.gaps) == found.lost
    assert slow.numbers(1)[-1] == 300
    assert found.recovered == 0
    assert hub.replayer.requests == 0
    assert (quick.subscriber.delivered, quick.subscriber.lost) == (700, 0)
    accounts(slow)


def of(stars: Stars, *frames: bytes, **options: Any) -> Reader:
    """A reader that is given these frames, and asks for nothing."""
    reader = stars.reader(replay=None, **options)
    for frame in frames:
        reader.subscriber.feed(frame)
    return reader


def frames_of(epoch: int, *spans: tuple[int, int]) -> list[bytes]:
    """Frames with these quotes of instrument 1, first to last."""
    writer = FrameWriter(epoch)
    layout = BY_KIND[1]
    writer.layout(layout.kind, layout.version, layout.dtype)
    made = {}
    for first, last in spans:
        records = quotes(1, first, last + 1 - first)
        made[first] = writer.pack(records, layout.kind, 0, 1_000)[0]
    assert all(int.from_bytes(frame[40:48], "little") == first for first, frame in made.items())
    return list(made.values())


def test_a_gap_is_told_in_its_turn_however_many_records_wait(stars: Stars) -> None:
    first, _, third = frames_of(1, (1, 5), (6, 10), (11, 15))
    reader = of(stars, first, third, policy="drop-oldest", capacity=100)
    reader.turn(1)
    assert (reader.numbers(1), reader.gaps, reader.subscriber.lost) == ([1, 2, 3, 4, 5], [], 5)
    assert not reader.subscriber.arm()
    reader.turn(1)
    assert (reader.numbers(1)[5:], reader.gaps) == ([11, 12, 13, 14, 15], [(stream_id(1, 1), 6, 10)])
    accounts(reader)


def test_what_is_dropped_is_one_gap_and_what_was_lost_before_it_comes_first(stars: Stars) -> None:
    made = frames_of(1, (1, 5), (6, 10), (11, 15), (16, 18), (19, 20))
    del made[1]
    reader = of(stars, *made, policy="drop-oldest", capacity=4)
    reader.turn()
    stream = stream_id(1, 1)
    assert reader.gaps == [(stream, 1, 5), (stream, 6, 10), (stream, 11, 18)]
    assert (reader.numbers(1), reader.subscriber.gaps, reader.subscriber.lost) == ([19, 20], 3, 18)
    accounts(reader)


def test_a_gap_among_conflated_records_is_told_before_what_came_after_it(stars: Stars) -> None:
    made = frames_of(1, (1, 5), (6, 10), (11, 15), (16, 18), (19, 20))
    reader = of(stars, made[0], made[2], made[4], policy="conflate")
    reader.turn()
    assert [(first, last) for _, first, last in reader.gaps] == [(6, 10), (16, 18)]
    assert (reader.numbers(1), reader.subscriber.conflated, reader.subscriber.lost) == ([20], 11, 8)
    accounts(reader)


def test_what_is_dropped_of_an_earlier_life_is_told_as_of_that(stars: Stars) -> None:
    reader = of(stars, *frames_of(1, (1, 5)), *frames_of(2, (1, 9)), policy="drop-oldest", capacity=3)
    told: list[tuple[int, int, int]] = []
    subscriber = reader.subscriber
    subscriber._on_gap = lambda _, __, first, last: told.append((subscriber.gap_epoch, first, last))
    reader.turn()
    assert (told, subscriber.epoch) == ([(1, 1, 5)], 2)
    assert len(reader.numbers(1)) == 9


def test_an_image_is_not_dropped(stars: Stars) -> None:
    whole, *later = frames_of(1, (1, 7), (8, 10), (11, 13), (14, 16))
    image = bytearray(flagged(whole, FrameFlag.SNAPSHOT))
    image[40:48] = (7).to_bytes(8, "little")
    reader = stars.reader(QUOTES, replay=f"{stars.endpoint}.nobody", images=True, policy="drop-oldest", capacity=3)
    for frame in (bytes(image), *later):
        reader.subscriber.feed(frame)
    reader.turn()
    assert [getattr(batch, "flags", 0) for batch in reader.batches] == [FrameFlag.SNAPSHOT, 0]
    assert reader.numbers(1) == [*range(1, 8), 14, 15, 16]
    assert reader.gaps == [(stream_id(1, 1), 8, 13)]
    accounts(reader)


def test_who_is_too_slow_leaves_the_star_and_says_so(stars: Stars) -> None:
    table = Counters()
    hub, quick = stars.hub(), stars.reader()
    slow = stars.reader(policy="disconnect", capacity=50, positions=table)
    joined(hub, slow, quick)
    before = hub.publisher.subscribers
    flood(hub, slow, quick, 100)
    turn_until([hub], [slow, quick], lambda: slow.subscriber.disconnected and hub.publisher.subscribers == before - 1)
    hub.quotes(1)
    turn_until([hub], [slow, quick], lambda: quick.subscriber.delivered == 701)
    # What had come before is still handed out.
    while slow.subscriber.waiting:
        slow.turn()
    assert 50 < len(slow.numbers(1)) + len(slow.numbers(2)) + len(slow.numbers(1, TRADES)) <= 700
    assert table.snapshot()["left"] == 1
    accounts(slow)


def test_a_policy_that_is_none_is_refused(stars: Stars) -> None:
    with pytest.raises(ValueError, match="drop-newest"):
        stars.reader(policy="drop-newest")


def test_topics_and_instruments_can_be_taken_and_given_up_at_run_time(stars: Stars) -> None:
    hub = stars.hub()
    reader = stars.reader(QUOTES, instruments=[1])
    joined(hub, reader)
    hub.quotes(1, 2)
    hub.quotes(2, 5)
    joined(hub, reader)
    reader.subscriber.subscribe(QUOTES, [2, 3])
    reader.subscriber.subscribe(TRADES)
    joined(hub, reader)
    hub.quotes(2, 2)
    hub.quotes(3, 4)
    hub.publisher.publish(trades(9, 1, 2))
    joined(hub, reader)
    assert (reader.numbers(1), reader.numbers(2), reader.numbers(3)) == ([1, 2], [6, 7], [1, 2, 3, 4])
    assert reader.numbers(9, TRADES) == [1, 2]
    reader.subscriber.unsubscribe(QUOTES, [2])
    reader.subscriber.unsubscribe(TRADES)
    hub.quotes(2)
    hub.publisher.publish(trades(9, 3))
    hub.quotes(3)
    joined(hub, reader)
    assert set(reader.subscriber.positions()) == {stream_id(1, 1), stream_id(1, 3)}
    assert (reader.numbers(2), reader.numbers(3)) == ([6, 7], [1, 2, 3, 4, 5])
    reader.subscriber.subscribe(QUOTES)
    joined(hub, reader)
    hub.quotes(2)
    joined(hub, reader)
    assert reader.numbers(2) == [6, 7, 9]
    assert (reader.subscriber.lost, reader.subscriber.gaps) == (0, 0)


def test_what_is_taken_later_begins_with_an_image_where_images_are_wanted(stars: Stars) -> None:
    hub = stars.hub()
    reader = stars.reader(QUOTES, instruments=[1], images=True)
    joined(hub, reader)
    hub.quotes(2, 5)
    joined(hub, reader)
    reader.subscriber.subscribe(QUOTES, [2])
    joined(hub, reader)
    hub.quotes(2)
    joined(hub, reader)
    assert reader.numbers(2) == [5, 6]
    assert reader.subscriber.positions()[stream_id(1, 2)] == (6, 1, 6)


def test_only_what_was_subscribed_to_can_be_given_up(stars: Stars) -> None:
    reader = stars.reader(QUOTES, instruments=[1])
    for topic, instruments in ((QUOTES, None), (QUOTES, [2]), (TRADES, [1])):
        with pytest.raises(TopicError, match="subscribed"):
            reader.subscriber.unsubscribe(topic, instruments)
    everything = stars.reader(QUOTES)
    with pytest.raises(TopicError, match="subscribed"):
        everything.subscriber.unsubscribe(QUOTES, [1])


def test_values_are_stale_once_the_hub_has_been_silent_for_three_heartbeats(stars: Stars) -> None:
    hub, reader = stars.hub(), stars.reader(QUOTES)
    found = reader.subscriber
    assert found.is_stale(now_ns())
    joined(hub, reader)
    hub.publisher.publish(quotes(7, 1, 3))
    joined(hub, reader)
    heard = found._freshness.as_of_ns
    assert [found.is_stale(heard + wait) for wait in (0, 60_000_000, 60_000_001)] == [False, False, True]
    latest = found.last_value(QUOTES, 7)
    assert latest is not None
    assert latest["update_id"].tolist() == [3]
    assert found.last_value(QUOTES, 8) is None


def test_one_stream_is_stale_while_something_is_missing_in_it_or_its_last_record_is_lost(stars: Stars) -> None:
    hub, reader = stars.hub(), stars.reader(QUOTES)
    joined(hub, reader)
    for instrument in (1, 2):
        hub.quotes(instrument)
    joined(hub, reader)
    found, stream = reader.subscriber, stream_id(1, 1)

    def stale() -> list[bool]:
        asked = ((), (QUOTES, 1), (QUOTES, 2), (QUOTES, 3))
        return [found.is_stale(found._freshness.as_of_ns, *each) for each in asked]

    assert stale() == [False, False, False, True]
    found._hear(found.streams[stream], 3, now_ns())  # as a heartbeat tells it
    assert stale() == [False, True, False, True]
    found._lose(found.streams[stream], 3)
    found._advance(found.streams[stream], now_ns())
    assert found.streams[stream].state == LIVE
    assert stale() == [False, True, False, True]
    hub.quotes(1, 2)
    joined(hub, reader)
    assert stale() == [False, True, False, True]  # what came was lost before, as far as this reader knows
    hub.quotes(1)
    joined(hub, reader)
    assert stale() == [False, False, False, True]


def test_all_is_stale_while_a_later_life_of_the_hub_is_held_back(stars: Stars) -> None:
    hub, reader = stars.hub(5), stars.reader(QUOTES)
    joined(hub, reader)
    hub.quotes(1)
    joined(hub, reader)
    found = reader.subscriber
    assert not found.is_stale(found._freshness.as_of_ns, QUOTES, 1)
    found.feed(frames_of(6, (1, 1))[0])
    assert found.epoch == 5
    assert found.is_stale(found._freshness.as_of_ns)


def test_a_hub_that_was_replaced_is_not_heard_again_once_what_was_missing_of_it_has_come(stars: Stars) -> None:
    hub, reader = stars.hub(5), stars.reader(QUOTES)
    joined(hub, reader)
    hub.quotes(1)
    joined(hub, reader)
    found = reader.subscriber
    _, second, third, fourth, fifth = frames_of(5, *((number, number) for number in range(1, 6)))
    found.feed(third)
    assert found.recovering == 1
    found.refuse_below(6)
    found.feed(flagged(second, FrameFlag.REPLAYED))
    assert found.recovering == 0
    found.feed(fourth)
    found._judge([fourth, fifth])  # as what comes out of the ring
    reader.turn()
    assert (reader.numbers(1), found.stale) == ([1, 2, 3], 3)


def test_the_number_of_the_last_heartbeat_is_of_the_present_life(stars: Stars) -> None:
    hub, reader = stars.hub(5), stars.reader(QUOTES, replay=None)
    joined(hub, reader)
    assert reader.subscriber.heartbeats
    reader.subscriber.feed(frames_of(6, (1, 1))[0])
    assert (reader.subscriber.epoch, reader.subscriber.heartbeats) == (6, 0)
