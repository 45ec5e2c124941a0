"""`lost` counted from both ends of a real star: publisher and subscriber over ipc, their tables in shared files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from nautilus.bus import Publisher, Subscriber, make_context
from nautilus.bus.positions import NO_ROWS, PositionTable, changed_rows, lacking_between, lost_between
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.core.types import QUOTE
from nautilus.model.topics import QUOTES


def quotes(count: int, instrument_id: int = 1) -> np.ndarray[Any, Any]:
    records = np.zeros(count, QUOTE)
    records["instrument_id"] = instrument_id
    return records


class Star:
    """A hub and a reader, with their tables."""

    def __init__(self, directory: Path) -> None:
        self.hub_table = Counters(64, directory / "positions.hub")
        self.reader_table = Counters(64, directory / "positions.reader")
        self.context = make_context()
        self.endpoint = f"ipc://{directory}/star"
        self.hub = self.publisher(epoch=1)
        self.reader = Subscriber(self.context, self.endpoint, [QUOTES], clock=now_ns, positions=self.reader_table)
        self.exchange()

    def publisher(self, epoch: int) -> Publisher:
        return Publisher(self.context, self.endpoint, epoch=epoch, clock=now_ns, positions=self.hub_table)

    def exchange(self, until_delivered: int | None = None) -> None:
        """Heartbeats and records to and fro until the reader has seen the hub's last word."""
        until_ns = now_ns() + 5_000_000_000
        last = self.reader.last_heartbeat_ns
        while now_ns() < until_ns:
            self.hub.poll(now_ns())
            self.reader.socket.poll(5)
            self.reader.drain()
            fresh = self.reader.epoch == self.hub.epoch and self.reader.last_heartbeat_ns > last
            if fresh and until_delivered in (None, self.reader.delivered):
                return
        raise AssertionError("the star did not settle")

    def lost(self) -> int:
        return lost_between([self.hub_table.snapshot(), self.reader_table.snapshot()])

    def close(self) -> None:
        self.hub.close()
        self.reader.close()
        self.context.destroy(linger=0)


@pytest.fixture
def star(tmp_path: Path) -> Iterator[Star]:
    made = Star(tmp_path)
    yield made
    made.close()


def test_nothing_is_lost_when_all_has_arrived(star: Star) -> None:
    star.hub.publish(quotes(10))
    star.hub.publish(quotes(5, instrument_id=2))
    star.exchange(15)
    assert star.lost() == 0


def test_what_the_hub_has_sent_and_the_reader_lacks_is_lost(star: Star) -> None:
    star.hub.publish(quotes(10))
    star.exchange(10)
    star.reader.socket.setsockopt(zmq.UNSUBSCRIBE, bytes((1,)))
    star.exchange(10)
    star.hub.publish(quotes(7))
    star.exchange(10)
    assert star.lost() == 7


def test_what_was_sent_before_the_reader_came_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "early").mkdir()
    star = Star(tmp_path / "early")
    star.reader.close()
    star.hub.publish(quotes(20))
    star.hub.poll(now_ns())
    star.reader = Subscriber(star.context, star.endpoint, [QUOTES], clock=now_ns, positions=star.reader_table)
    star.exchange()
    star.hub.publish(quotes(3))
    star.exchange(3)
    assert star.lost() == 0
    star.close()


def test_a_reader_that_has_left_lacks_nothing_of_later(star: Star) -> None:
    star.hub.publish(quotes(4))
    star.exchange(4)
    star.reader.close()
    star.hub.publish(quotes(9))
    star.hub.close()
    assert star.lost() == 0


def test_a_new_life_of_the_hub_begins_anew(star: Star) -> None:
    star.hub.publish(quotes(100))
    star.exchange(100)
    star.hub.close()
    star.hub = star.publisher(epoch=2)
    star.hub.publish(quotes(2))
    star.hub.poll(now_ns())
    assert star.lost() == 0
    star.exchange()
    star.hub.publish(quotes(3))
    star.exchange()
    assert star.lost() == 0


def test_a_new_life_of_both_owes_nothing_of_the_old_one(star: Star) -> None:
    star.hub.publish(quotes(50))
    star.exchange(50)
    star.reader.close()
    star.hub.close()
    star.hub = star.publisher(epoch=2)
    star.reader = Subscriber(star.context, star.endpoint, [QUOTES], clock=now_ns, positions=star.reader_table)
    star.hub.publish(quotes(1, instrument_id=7))
    star.exchange()
    assert star.lost() == 0
    assert star.reader_table.snapshot()["100000001.joined"] == 0


def test_a_stream_without_room_in_the_table_is_counted_as_such(star: Star) -> None:
    hub, reader = Counters(64), Counters(8)
    star.hub_table, star.reader_table = hub, reader
    star.reader.close()
    star.hub.close()
    star.hub = star.publisher(epoch=2)
    star.reader = Subscriber(star.context, star.endpoint, [QUOTES], clock=now_ns, positions=reader)
    star.exchange()
    for instrument in range(1, 6):
        star.hub.publish(quotes(2, instrument))
    star.exchange(10)
    assert reader.snapshot()["epoch"] == 2
    assert lacking_between([hub.snapshot(), reader.snapshot()]) == (0, 0, 4)
    star.reader.socket.setsockopt(zmq.UNSUBSCRIBE, bytes((1,)))
    star.exchange(10)
    star.hub.publish(quotes(3, 1))
    star.exchange(10)
    assert lacking_between([hub.snapshot(), reader.snapshot()]) == (3, 0, 4)


def test_there_is_room_for_what_the_others_need(star: Star) -> None:
    full = Counters(3)
    PositionTable(full, hub=False).put_stream(1, 1, 2, 3)
    assert full.snapshot() == {"epoch": 0, "uncounted": 1, "left": 0}
    full = Counters(2)
    table = PositionTable(full, hub=True)
    table.put_stream(1, 9)
    table.put_stream(1, 10)
    assert full.snapshot() == {"hub.epoch": 0, "hub.uncounted": 1}
    table.clear()
    assert full.snapshot() == {"hub.epoch": 0, "hub.uncounted": 0}


def test_only_what_has_changed_is_written(star: Star) -> None:
    before = np.array([[1, 5], [2, 6]], np.uint64)
    after = np.array([[1, 5], [2, 7], [3, 1]], np.uint64)
    assert changed_rows(after, before) == [[2, 7], [3, 1]]
    assert changed_rows(after, after) == []
    assert changed_rows(after, NO_ROWS) == after.tolist()


def test_the_count_follows_many_streams_as_they_move(star: Star) -> None:
    for instrument in range(1, 11):
        star.hub.publish(quotes(1, instrument))
    star.exchange(10)
    for instrument in (3, 7, 3):
        star.hub.publish(quotes(2, instrument))
    star.exchange(16)
    table = star.reader_table.snapshot()
    assert [table[f"1{instrument:08x}.arrived"] for instrument in range(1, 11)] == [1, 1, 5, 1, 1, 1, 3, 1, 1, 1]
    assert star.lost() == 0
