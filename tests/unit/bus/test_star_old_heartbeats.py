"""Heartbeats that another path brings once more, in their old order: nothing is fresher for them."""

from __future__ import annotations

import zmq

from nautilus.bus import Subscriber
from nautilus.bus.base import HEADER, HEARTBEAT, HEARTBEAT_STREAM, LAST, MAGIC, topic_bytes
from nautilus.model.topics import QUOTES

MS = 1_000_000
EPOCH = 7


def beat(number: int) -> bytes:
    """A heartbeat that was sent `number` times 20 ms after the beginning."""
    where = (EPOCH, HEARTBEAT_STREAM, number, number * 20 * MS)
    return HEADER.pack(topic_bytes(HEARTBEAT, 0), MAGIC, HEARTBEAT, 1, LAST.size, 0, *where)


def test_heartbeats_that_come_a_second_time_make_nothing_fresh() -> None:
    now = [0]
    with zmq.Context() as context:
        reader = Subscriber(context, "inproc://nobody", [QUOTES], clock=lambda: now[0], timer=lambda: now[0])
        for number in range(1, 11):
            now[0] = number * 20 * MS + 1 * MS
            reader.feed(beat(number), "zmq")
        assert not reader.is_stale(now[0])
        # Ten heartbeats later, of which none came, a mirror brings those from the fifth on, and then newer ones.
        now[0] += 200 * MS
        for number in range(5, 13):
            reader.feed(beat(number), "redis")
            assert reader.is_stale(now[0]), number
        assert reader.heartbeats == 12
        for number in range(13, 20):
            reader.feed(beat(number), "redis")
        assert not reader.is_stale(now[0])
        reader.close()
