"""Publisher and subscriber over real sockets, in one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from nautilus.bus import Publisher, Subscriber, make_context, stream_id
from nautilus.bus.base import HEADER, HEARTBEAT, HEARTBEAT_STREAM, LAST, MAGIC, topic_bytes
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.model.topics import BOOK_DELTAS, QUOTES, TRADES
from tests.kit.bus import settle, synchronise


class Star:
    """Makes publishers and subscribers of one context; closes them."""

    def __init__(self, directory: Path) -> None:
        self.context = make_context()
        self.endpoint = f"ipc://{directory}/star"
        self.stack = ExitStack()

    def publisher(self, epoch: int = 1, endpoints: Any = None, **options: Any) -> Publisher:
        made = Publisher(self.context, endpoints or self.endpoint, epoch=epoch, clock=now_ns, **options)
        self.stack.callback(made.close)
        return made

    def subscriber(self, *topics: Any, endpoints: Any = None, **options: Any) -> Subscriber:
        made = Subscriber(self.context, endpoints or self.endpoint, topics or (QUOTES, TRADES), clock=now_ns, **options)
        self.stack.callback(made.close)
        return made

    def raw_publisher(self) -> zmq.Socket[bytes]:
        socket = self.context.socket(zmq.XPUB)
        self.stack.callback(socket.close, 0)
        socket.bind(self.endpoint)
        return socket


@pytest.fixture
def star(tmp_path: Path) -> Iterator[Star]:
    made = Star(tmp_path)
    with made.stack:
        yield made
    made.context.destroy(linger=0)


def quotes(*instruments: int) -> Any:
    records = np.zeros(len(instruments), QUOTE)
    records["instrument_id"] = instruments
    records["update_id"] = range(1, len(instruments) + 1)
    return records


def trades(*instruments: int) -> Any:
    records = np.zeros(len(instruments), TRADE)
    records["instrument_id"] = instruments
    return records


def test_records_arrive_whole_in_order_and_by_instrument(star) -> None:
    publisher, subscriber = star.publisher(), star.subscriber()
    synchronise(publisher, subscriber)
    sent = quotes(1, 2, 1, 3, 1)
    assert publisher.publish(sent) == 3
    assert publisher.publish(trades(1)) == 1
    found = settle(publisher, subscriber)[0]
    assert [(topic.name, records["instrument_id"].tolist()) for topic, records in found] == [
        (QUOTES.name, [1, 1, 1]),
        (QUOTES.name, [2]),
        (QUOTES.name, [3]),
        (TRADES.name, [1]),
    ]
    assert found[0][1].dtype is QUOTE
    assert found[0][1].tobytes() == sent[sent["instrument_id"] == 1].tobytes()
    assert (subscriber.delivered, subscriber.lost, subscriber.gaps, subscriber.duplicates) == (6, 0, 0, 0)
    assert publisher.last_sequences() == {
        stream_id(1, 1): 3,
        stream_id(1, 2): 1,
        stream_id(1, 3): 1,
        stream_id(2, 1): 1,
    }


def test_an_empty_array_is_no_frame(star) -> None:
    publisher = star.publisher()
    assert publisher.publish(quotes()) == 0
    assert publisher.last_sequences() == {}


def test_records_that_are_not_contiguous_are_sent_as_they_are(star) -> None:
    publisher, subscriber = star.publisher(), star.subscriber()
    synchronise(publisher, subscriber)
    publisher.publish(quotes(1, 2, 1, 2)[::2])
    ((_, records),) = settle(publisher, subscriber)[0]
    assert records["update_id"].tolist() == [1, 3]


def test_sequences_are_per_stream_so_that_a_filter_loses_nothing(star) -> None:
    publisher = star.publisher()
    everything = star.subscriber(QUOTES, TRADES, BOOK_DELTAS)
    only_trades = star.subscriber(TRADES)
    only_two = star.subscriber(QUOTES, instruments=[2])
    synchronise(publisher, everything, only_trades, only_two)
    for _ in range(10):
        publisher.publish(quotes(1, 2, 258))
        publisher.publish(trades(2, 3))
        publisher.publish(np.zeros(1, BOOK_DELTA))
    settle(publisher, everything, only_trades, only_two)
    assert [each.delivered for each in (everything, only_trades, only_two)] == [60, 20, 10]
    assert [each.lost for each in (everything, only_trades, only_two)] == [0, 0, 0]
    assert set(only_two.positions()) == {stream_id(1, 2)}
    assert set(only_trades.positions()) == {stream_id(2, 2), stream_id(2, 3)}


def test_who_comes_later_answers_from_there_on(star) -> None:
    publisher, early = star.publisher(), star.subscriber()
    synchronise(publisher, early)
    publisher.publish(quotes(1, 1, 1))
    publisher.publish(trades(9))
    late = star.subscriber()
    synchronise(publisher, late)
    publisher.publish(quotes(1, 1))
    settle(publisher, early, late)
    assert late.joined == {stream_id(1, 1): 4, stream_id(2, 9): 2}
    assert late.positions() == {stream_id(1, 1): (4, 2, 5), stream_id(2, 9): (2, 0, 1)}
    assert (early.delivered, late.delivered, early.lost, late.lost) == (6, 2, 0, 0)


def saturate(publisher: Publisher, records: Any) -> None:
    """Publish more than the queues of two sockets of one frame and of the system hold, until nothing moves any more."""
    for _ in range(100):
        for _ in range(20):
            publisher.publish(records)
        publisher.socket.poll(1)
    publisher.socket.poll(20)
    publisher.publish(records)


def test_a_lost_tail_is_seen_by_the_next_heartbeat(star) -> None:
    gaps = []
    publisher = star.publisher(high_water=1)
    reader = star.subscriber(QUOTES, high_water=1, on_gap=lambda *gap: gaps.append(gap))
    synchronise(publisher, reader)
    records = quotes(*[7] * 64)
    saturate(publisher, records)
    for _ in range(100):
        publisher.publish(records)
    sent = 64 * 2_101
    before = []
    while reader.socket.poll(100):
        before += reader.drain()
    last_delivered = reader.positions()[stream_id(1, 7)][2]
    assert last_delivered <= sent - 6_400
    known = reader.lost
    settle(publisher, reader)
    assert reader.lost == known + sent - last_delivered
    assert reader.delivered + reader.lost == publisher.published == sent
    assert gaps[-1] == (QUOTES, stream_id(1, 7), last_delivered + 1, sent)
    assert sum(last - first + 1 for _, _, first, last in gaps) == reader.lost
    assert len(gaps) == reader.gaps
    publisher.publish(records)
    settle(publisher, reader)
    assert reader.delivered + reader.lost == publisher.published


def test_a_stream_that_begins_with_a_loss_is_seen_too(star) -> None:
    publisher = star.publisher(high_water=1)
    reader = star.subscriber(QUOTES, high_water=1)
    synchronise(publisher, reader)
    saturate(publisher, quotes(*[7] * 64))
    publisher.publish(quotes(*[8] * 3))  # there is no room for it
    settle(publisher, reader)
    assert reader.positions()[stream_id(1, 8)] == (1, 0, 3)
    assert reader.delivered + reader.lost == publisher.published


def test_a_slow_reader_costs_the_others_nothing(star) -> None:
    publisher = star.publisher(high_water=500)
    slow = star.subscriber(QUOTES, high_water=1)
    quick = star.subscriber(QUOTES)
    synchronise(publisher, slow, quick)
    records = quotes(*[7] * 64)
    for sent in range(1, 1_501):
        publisher.publish(records)
        while quick.delivered < 64 * sent:
            assert quick.socket.poll(5_000), "the quick one waits"
            quick.drain()
    settle(publisher, slow, quick)
    assert (quick.delivered, quick.lost) == (96_000, 0)
    assert slow.lost > 0
    assert slow.delivered + slow.lost == 96_000


def test_a_new_life_of_the_publisher_begins_anew(star) -> None:
    epochs = []
    first = star.publisher(epoch=5)
    reader = star.subscriber(QUOTES, on_epoch=lambda *change: epochs.append(change))
    synchronise(first, reader)
    first.publish(quotes(1, 1, 1))
    settle(first, reader)
    first.close()
    second = star.publisher(epoch=6)
    synchronise(second, reader)
    second.publish(quotes(1, 1))
    settle(second, reader)
    assert epochs == [(5, 6)]
    assert (reader.epochs, reader.lost, reader.gaps) == (1, 0, 0)
    assert reader.positions() == {stream_id(1, 1): (1, 2, 2)}
    assert reader.delivered == 5


def test_an_earlier_life_of_the_publisher_is_refused(star) -> None:
    reader = star.subscriber(QUOTES)
    publisher = star.publisher(epoch=6)
    synchronise(publisher, reader)
    publisher.close()
    old = star.publisher(epoch=5)
    for _ in range(10_000):
        if reader.stale:
            break
        old.poll(now_ns())
        old.heartbeat()
        old.publish(quotes(1))
        reader.socket.poll(1)
        assert reader.drain() == []
    assert reader.stale
    assert reader.epoch == 6


def test_subscribers_are_counted_as_they_come_and_go(star) -> None:
    publisher = star.publisher()
    first, second = star.subscriber(), star.subscriber(QUOTES)
    synchronise(publisher, first, second)
    counts = []
    for wanted in (2, 1):
        for _ in range(5_000):
            if publisher.subscribers == wanted:
                break
            publisher.socket.poll(1)
            publisher.poll(now_ns())
        counts.append(publisher.subscribers)
        first.close()
    assert counts == [2, 1]


def test_only_a_subscription_to_heartbeats_counts_as_a_subscriber(star) -> None:
    publisher = star.publisher()
    socket = star.context.socket(zmq.XSUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(publisher.endpoints[0])
    try:
        for message in (b"\x07\xff", b"\xff\xff", b"\x00\xff", b"\x01\xffmore", b"", b"\x01", b"\x01\x01", b"\x01\xff"):
            socket.send(message)
        seen = []
        end_ns = now_ns() + 5_000_000_000
        while not publisher.subscribers:
            assert now_ns() < end_ns
            publisher.poll(now_ns())
            seen.append(publisher.subscribers)
        assert set(seen) <= {0, 1}
        assert publisher.subscribers == 1
    finally:
        socket.close()


def test_heartbeats_come_in_time_and_after_each_subscription_at_once(star) -> None:
    publisher = star.publisher(heartbeat_ns=1_000)
    assert publisher.poll(5_000) == 6_000
    assert publisher.poll(5_999) == 6_000
    assert publisher.heartbeats == 1
    assert publisher.poll(6_000) == 7_000
    star.subscriber()
    assert publisher.socket.poll(5_000)
    publisher.poll(6_001)
    assert publisher.heartbeats == 3
    assert publisher.poll(3_000) == 4_000  # the clock was set back
    assert publisher.heartbeats == 4


def test_the_same_over_tcp_and_over_both_at_once(star) -> None:
    publisher = star.publisher(endpoints=[star.endpoint, "tcp://127.0.0.1:*"])
    tcp = publisher.endpoints[1]
    over_tcp = star.subscriber(QUOTES, endpoints=tcp)
    over_both = star.subscriber(QUOTES, endpoints=[star.endpoint, tcp])
    synchronise(publisher, over_tcp, over_both)
    while publisher.subscribers < 3:
        publisher.poll(now_ns())
        publisher.socket.poll(10)
    for _ in range(100):
        publisher.publish(quotes(1, 1, 2))
    settle(publisher, over_tcp, over_both)
    for each in (over_tcp, over_both):
        while each.socket.poll(50):
            each.drain()
        assert (each.delivered, each.lost) == (300, 0)
    assert over_both.duplicates == 300


def frame(
    *,
    kind: int = 1,
    instrument: int = 1,
    magic: int = MAGIC,
    schema: int = 1,
    version: int = 1,
    size: int = 64,
    count: int = 1,
    epoch: int = 1,
    stream: int | None = None,
    first: int = 1,
    body: bytes | None = None,
) -> bytes:
    stream = stream_id(kind, instrument) if stream is None else stream
    head = HEADER.pack(
        topic_bytes(kind, instrument), magic, schema, version, size, count, epoch, stream, first, now_ns()
    )
    return head + (bytes(size * count) if body is None else body)


BAD = {
    "short": b"\x01" * 63,
    "empty of all but its topic": b"\x01",
    "wrong magic": frame(magic=1),
    "records missing": frame(count=2, body=bytes(64)),
    "more than it says": frame(body=bytes(65)),
    "record size of nothing": frame(size=0, count=5, body=b"\0"),
    "noise": b"\x01" + bytes(range(256)),
    "a life beyond all": frame(epoch=2**63),
    "a record beyond all": frame(first=2**63),
    "a record before all": frame(first=0),
}
FOREIGN = {
    "another schema": frame(schema=9, first=2),
    "a smaller record": frame(size=63, first=2),
    "an earlier version": frame(version=0, first=2),
}
ELSEWHERE = {
    "an unknown kind in its stream": frame(stream=stream_id(77, 1)),
    "a stream that was not asked for": frame(stream=stream_id(2, 1)),
}


def exchange(star: Star, *frames: bytes, **options: Any) -> tuple[Subscriber, list[Any]]:
    """What a reader makes of raw frames."""
    publisher = star.raw_publisher()
    reader = star.subscriber(QUOTES, **options)
    wanted = 2 if "instruments" not in options else 1 + len(options["instruments"])
    for _ in range(wanted):
        assert publisher.poll(5_000)
        publisher.recv()
    for each in frames:
        publisher.send(each)
    end = LAST.pack(stream_id(1, 99), 1)
    beat = {"kind": HEARTBEAT, "instrument": 0, "schema": HEARTBEAT, "size": 16, "stream": HEARTBEAT_STREAM}
    publisher.send(frame(**beat, body=end))  # type: ignore[arg-type]
    found: list[Any] = []
    while not reader.synchronised:
        assert reader.socket.poll(5_000)
        found += reader.drain()
    return reader, found


@pytest.mark.parametrize("name", BAD)
def test_a_bad_frame_is_counted_and_skipped(star, name) -> None:
    reader, found = exchange(star, BAD[name], frame())
    assert (len(found), reader.malformed, reader.unknown, reader.lost) == (1, 1, 0, 0)


@pytest.mark.parametrize("name", FOREIGN)
def test_records_of_a_layout_that_is_not_known_here_are_counted_and_skipped(star, name) -> None:
    reader, found = exchange(star, frame(), FOREIGN[name], frame(first=3))
    assert (len(found), reader.malformed, reader.unknown, reader.lost) == (2, 0, 1, 0)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_records_of_a_stream_that_is_not_known_here_are_counted_and_skipped(star, name) -> None:
    reader, found = exchange(star, frame(), ELSEWHERE[name], frame(first=2))
    assert (len(found), reader.malformed, reader.unknown, reader.lost) == (2, 0, 1, 0)


def test_an_unknown_layout_in_a_known_stream_is_no_gap(star) -> None:
    reader, found = exchange(star, frame(), frame(schema=9, first=2, count=3), frame(first=5))
    assert len(found) == 2
    assert (reader.unknown, reader.lost, reader.delivered) == (3, 0, 2)


def test_a_layout_that_has_grown_is_read_up_to_what_is_known(star) -> None:
    record = quotes(1).tobytes()
    grown = record + b"\xee" * 8
    reader, found = exchange(star, frame(version=2, size=72, count=2, body=grown * 2))
    ((_, records),) = found
    assert records.dtype == QUOTE
    assert records["update_id"].tolist() == [1, 1]
    assert records[1].tobytes() == record
    assert (reader.malformed, reader.unknown, reader.lost) == (0, 0, 0)


def test_what_was_had_before_is_dropped_and_the_rest_of_the_frame_taken(star) -> None:
    reader, found = exchange(
        star, frame(count=3), frame(count=3), frame(first=2, count=4, body=quotes(1, 1, 1, 1).tobytes())
    )
    assert [len(records) for _, records in found] == [3, 2]
    assert found[1][1]["update_id"].tolist() == [3, 4]
    assert (reader.duplicates, reader.delivered, reader.lost) == (5, 5, 0)


def test_a_gap_within_a_stream_is_counted_before_what_follows_is_handed_out(star) -> None:
    gaps: list[Any] = []
    reader, found = exchange(star, frame(), frame(first=5), on_gap=lambda *gap: gaps.append(gap))
    assert gaps == [(QUOTES, stream_id(1, 1), 2, 4)]
    assert (len(found), reader.lost, reader.gaps) == (2, 3, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"schema": 3, "size": 16},
        {"schema": HEARTBEAT, "size": 8},
        {"schema": HEARTBEAT, "size": 24},
        {"schema": HEARTBEAT, "size": 16, "body": LAST.pack(stream_id(1, 1), 2**63)},
    ],
)
def test_a_heartbeat_of_another_form_is_counted_and_skipped(star, wrong) -> None:
    bad = frame(kind=HEARTBEAT, instrument=0, stream=HEARTBEAT_STREAM, **wrong)
    reader, _ = exchange(star, bad)
    assert reader.malformed == 1


def test_a_drain_takes_no_more_than_its_limit(star) -> None:
    publisher, reader = star.publisher(), star.subscriber()
    synchronise(publisher, reader)
    for _ in range(10):
        publisher.publish(quotes(1))
    assert reader.socket.poll(5_000)
    taken = 0
    while taken < 10:
        taken += len(found := reader.drain(limit=3))
        assert len(found) <= 3
    assert reader.delivered == 10


def test_counters_follow_in_the_table(star) -> None:
    table = Counters()
    publisher = star.publisher(counters=table)
    reader = star.subscriber(QUOTES, counters=table)
    synchronise(publisher, reader)
    publisher.publish(quotes(1, 1, 2))
    settle(publisher, reader)
    publisher.poll(now_ns() + 1_000_000_000)
    assert table.snapshot() == {
        "star.published": 3,
        "star.frames": 2,
        "star.delivered": 3,
        "star.conflated": 0,
        "star.snapshotted": 0,
        "star.gaps": 0,
        "star.recovered": 0,
        "star.lost": 0,
        "star.duplicates": 0,
        "star.unknown": 0,
        "star.malformed": 0,
        "star.ends_unknown": 0,
        "star.stale": 0,
    }


def test_a_socket_that_a_poll_did_not_find_readable_is_not_asked(star) -> None:
    publisher, reader = star.publisher(), star.subscriber(QUOTES)
    synchronise(publisher, reader)
    settle(publisher, reader)
    publisher.publish(quotes(1, 1))
    assert reader.socket.poll(10_000)
    assert not reader.drain(ready=())
    ((_, records),) = reader.drain(ready={reader.socket})
    assert len(records) == 2
    publisher.publish(quotes(1))
    assert reader.socket.poll(10_000)
    assert reader.drain(), "without a poll all are asked"
