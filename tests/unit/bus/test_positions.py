"""`lost` counted from both ends of a real star: publisher and subscriber over ipc, their tables in shared files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from nautilus.bus import Publisher, Subscriber, make_context
from nautilus.bus.positions import PositionTable, lost_between
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


def test_a_stream_without_room_in_the_table_is_left_out() -> None:
    small = Counters(2)
    table = PositionTable(small, hub=False)
    for stream in range(5):
        table.put(f"{stream}.joined", 1)
    assert len(small) == 2
