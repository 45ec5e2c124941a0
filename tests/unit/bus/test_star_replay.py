"""Gaps, late joiners and new lives of the hub, over real sockets: what is missing is asked for, and comes in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from nautilus.bus import stream_id
from nautilus.bus.base import FrameFlag
from nautilus.bus.recovery import LIVE
from nautilus.bus.subscriber import Marked
from nautilus.core.counters import Counters
from nautilus.core.depth import DepthBook
from nautilus.model.enums import BookAction, Side
from nautilus.model.topics import BOOK_DELTAS, QUOTES, TRADES
from tests.kit.star import Hub, Reader, Stars, deltas, settled, trades, turn_until

SET = int(BookAction.SET)
BUY, SELL = int(Side.BUY), int(Side.SELL)


@pytest.fixture
def stars(tmp_path: Path) -> Iterator[Stars]:
    made = Stars(tmp_path)
    yield made
    made.close()


def deaf(hub: Hub, reader: Reader) -> None:
    """Let the hub know that this reader takes no quotes; the reader does not know of it."""
    before = hub.publisher.heartbeats
    for kind in (1, 2, 3):
        reader.subscriber.socket.setsockopt(zmq.UNSUBSCRIBE, bytes((kind,)))
    # A subscription follows on the same way, so that what was before it has been taken in.
    reader.subscriber.socket.setsockopt(zmq.UNSUBSCRIBE, b"\xff")
    reader.subscriber.socket.setsockopt(zmq.SUBSCRIBE, b"\xff")
    turn_until([hub], [reader], lambda: hub.publisher.heartbeats > before + 3)


def hearing(hub: Hub, reader: Reader) -> None:
    before = hub.publisher.heartbeats
    for kind in (1, 2, 3):
        reader.subscriber.socket.setsockopt(zmq.SUBSCRIBE, bytes((kind,)))
    turn_until([hub], [reader], lambda: hub.publisher.heartbeats > before + 3)


def joined(hub: Hub, *readers: Reader) -> None:
    turn_until([hub], readers, settled(hub, *readers))


def test_a_lost_tail_is_asked_for_and_comes_in_order(stars: Stars) -> None:
    hub, reader = stars.hub(), stars.reader()
    joined(hub, reader)
    hub.quotes(7, 3)
    joined(hub, reader)
    deaf(hub, reader)
    for _ in range(10):
        hub.quotes(7, 5)
    turn_until([hub], [reader], lambda: reader.subscriber.recovered == 50)
    hearing(hub, reader)
    hub.quotes(7, 2)
    joined(hub, reader)
    assert reader.numbers(7) == list(range(1, 56))
    found = reader.subscriber
    assert (found.delivered, found.recovered, found.lost, found.gaps, reader.gaps) == (55, 50, 0, 0, [])
    assert found.streams[stream_id(1, 7)].state == LIVE


def test_live_records_wait_until_what_was_before_them_is_there(stars: Stars) -> None:
    hub, reader = stars.hub(), stars.reader()
    joined(hub, reader)
    hub.quotes(7)
    joined(hub, reader)
    deaf(hub, reader)
    hub.quotes(7, 4)
    hearing(hub, reader)
    for _ in range(3):
        hub.quotes(7)
        reader.turn()
    joined(hub, reader)
    assert reader.numbers(7) == list(range(1, 9))
    assert reader.subscriber.recovered >= 4


def test_what_the_hub_does_not_have_any_more_is_an_image_or_lost(stars: Stars) -> None:
    hub, reader = stars.hub(frames=4), stars.reader()
    joined(hub, reader)
    hub.quotes(7)
    hub.publisher.publish(trades(7, 1))
    joined(hub, reader)
    deaf(hub, reader)
    for number in range(2, 12):
        hub.quotes(7)
        hub.publisher.publish(trades(7, number))
        hub.replayer.poll()
    joined(hub, reader)
    found = reader.subscriber
    # Of quotes the last one stands for all; of trades the last two are still there.
    image = next(batch for batch in reader.batches if isinstance(batch, Marked) and batch.flags == FrameFlag.SNAPSHOT)
    assert (image[0], image[1]["update_id"].tolist(), image.sequence) == (QUOTES, [11], 11)
    assert (found.snapshotted, found.lost, reader.gaps) == (10, 8, [(stream_id(2, 7), 2, 9)])
    assert reader.numbers(7, TRADES) == [1, 10, 11]
    for stream, (begun, delivered, last) in found.positions().items():
        state = found.streams[stream]
        assert last == begun - 1 + delivered + state.snapshotted + state.lost == 11


def test_who_comes_late_begins_with_images_and_goes_on_without_a_hole(stars: Stars) -> None:
    hub, early = stars.hub(), stars.reader(QUOTES, TRADES, BOOK_DELTAS)
    joined(hub, early)
    hub.quotes(1, 10)
    hub.publisher.publish(trades(1, 1, 3))
    hub.publisher.publish(deltas(1, (SET, BUY, 99, 5, 0), (SET, SELL, 101, 6, 0), (SET, BUY, 98, 7, 0)))
    hub.publisher.publish(deltas(1, (SET, BUY, 99, 0, 0), (SET, SELL, 102, 1, 0)))
    late = stars.reader(QUOTES, TRADES, BOOK_DELTAS, images=True)
    for _ in range(20):
        hub.quotes(1)
        hub.publisher.publish(deltas(1, (SET, BUY, 97, 3, 0)))
        hub.turn()
        late.turn()
    joined(hub, early, late)
    assert late.numbers(1)[-1] == 30
    assert late.numbers(1) == list(range(late.numbers(1)[0], 31))
    books = []
    for each in (early, late):
        book = DepthBook()
        for topic, records in each.batches:
            if topic is BOOK_DELTAS:
                book.apply(records.copy())
        books.append([side.tolist() for side in book.depth(10)])
    assert books[0] == books[1] == [[(98, 7), (97, 3)], [(101, 6), (102, 1)]]
    assert late.subscriber.lost == 0
    assert late.subscriber.images == 3


def test_the_end_of_a_killed_life_is_recovered_from_what_is_known_of_it(stars: Stars, tmp_path: Path) -> None:
    table = Counters(64, tmp_path / "positions")
    first, reader = stars.hub(5, positions=table), stars.reader()
    joined(first, reader)
    first.quotes(7, 3)
    joined(first, reader)
    deaf(first, reader)
    first.quotes(7, 4)
    first.publisher.poll(2**62)  # the heartbeat, with what it writes down
    first.close()
    second = stars.hub(6, positions=table)
    assert second.publisher.earlier == (5, {stream_id(1, 7): 7})
    second.quotes(7, 2)
    hearing(second, reader)
    joined(second, reader)
    # Nobody has these four any more, and that is known.
    assert (reader.subscriber.lost, reader.gaps) == (4, [(stream_id(1, 7), 4, 7)])
    assert reader.epochs == [(5, 6)]
    assert reader.numbers(7) == [1, 2, 3, 1, 2]


def test_a_new_life_is_heard_from_its_first_record(stars: Stars) -> None:
    first, reader = stars.hub(5), stars.reader()
    joined(first, reader)
    first.quotes(7, 3)
    joined(first, reader)
    first.close()
    second = stars.hub(6)
    second.quotes(7, 9)  # before anybody is connected
    joined(second, reader)
    assert reader.numbers(7) == [1, 2, 3, *range(1, 10)]
    assert (reader.subscriber.recovered, reader.subscriber.lost) == (9, 0)


def test_without_anybody_to_answer_what_is_missing_is_lost_in_the_end(stars: Stars) -> None:
    hub = stars.hub()
    reader = stars.reader(replay=f"{stars.endpoint}.nobody", deadline_ns=50_000_000, absent_ns=50_000_000)
    joined(hub, reader)
    hub.quotes(7)
    joined(hub, reader)
    deaf(hub, reader)
    hub.quotes(7, 4)
    hearing(hub, reader)
    hub.quotes(7)
    joined(hub, reader)
    assert reader.gaps == [(stream_id(1, 7), 2, 5)]
    assert reader.numbers(7) == [1, 6]
