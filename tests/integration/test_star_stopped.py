"""Readers of the star that stand still or take little: what they did not have time for is not given up."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from nautilus.bus import Publisher, stream_id
from nautilus.bus.backlog import FrameBuffer
from nautilus.bus.replayer import Replayer
from nautilus.core.clock import now_ns
from tests.kit.history import Delivered, Gap, read
from tests.kit.history_process import PATIENCE_NS, Actor
from tests.kit.history_star_roles import records_of
from tests.kit.star import Hub, Stars

MS = 1_000_000
DEADLINE_NS = 800 * MS
EPOCH = 5
QUOTES_OF_1 = stream_id(1, 1)


@pytest.fixture
def stars(tmp_path: Path) -> Iterator[Stars]:
    made = Stars(tmp_path)
    yield made
    made.close()


@pytest.fixture
def reader(tmp_path: Path, stars: Stars) -> Iterator[Actor]:
    recovery = {"deadline_ns": DEADLINE_NS, "absent_ns": DEADLINE_NS}
    settings = {"endpoint": stars.endpoint, "high_water": 1_000, "replay": f"{stars.endpoint}.replay"}
    made = Actor(tmp_path, "reader", "reader", {**settings, "recovery": recovery})
    made.start()
    yield made
    made.kill()


def published(hub: Hub, first: int, last: int, *, arrives: bool) -> None:
    """Publish quotes of instrument 1; those that do not arrive are lost on their way."""
    records = records_of(1, EPOCH, 1, first, last + 1 - first)
    if arrives:
        hub.publisher.publish(records)
    else:
        assert hub.buffer is not None
        for frame in hub.publisher._writer.pack(records, 1, now_ns(), 1_000, 0):
            hub.buffer.append(frame)


def delivered(reader: Actor) -> list[int]:
    entries = [entry for life in read(reader.path) for entry in life.entries if isinstance(entry, Delivered)]
    return [number for entry in entries for number in range(entry.first, entry.last + 1)]


def test_a_reader_that_was_stopped_for_longer_than_its_deadline_loses_nothing(stars: Stars, reader: Actor) -> None:
    hub = stars.hub(EPOCH)
    end_ns = now_ns() + PATIENCE_NS
    while not (reader.written and hub.publisher.subscribers):
        assert now_ns() < end_ns
        hub.turn()
        hub.publisher.socket.poll(5)
    published(hub, 1, 3, arrives=True)
    while delivered(reader) != [1, 2, 3]:
        assert now_ns() < end_ns
        hub.turn()
        hub.publisher.socket.poll(5)
    published(hub, 4, 6, arrives=False)
    published(hub, 7, 9, arrives=True)
    assert hub.replayer.socket.poll(PATIENCE_NS / 1e6), "it asks for nothing"
    reader.stop()
    # The hub is well meanwhile, but for its replayer.
    stopped_ns = now_ns()
    while now_ns() < stopped_ns + 2 * DEADLINE_NS:
        hub.publisher.poll(now_ns())
        hub.publisher.socket.poll(5)
    reader.go_on()
    assert reader.ask("until " + json.dumps([EPOCH, [[QUOTES_OF_1, 9]]])) == "ok"
    reader.tell("end")
    assert reader.answer() == "ok"
    while not select.select([reader.output], [], [], 0)[0]:
        assert now_ns() < end_ns, "it does not end"
        hub.turn()
        zmq.zmq_poll([(socket, zmq.POLLIN) for socket in (hub.publisher.socket, hub.replayer.socket)], 5)
    reader.wait()
    assert delivered(reader) == list(range(1, 10))
    assert not [entry for life in read(reader.path) for entry in life.entries if isinstance(entry, Gap)]


SLOW = """
import select, sys
from nautilus.bus import Subscriber, make_context
from nautilus.core.clock import now_ns
from nautilus.model.topics import QUOTES
context = make_context()
found = Subscriber(context, sys.argv[1], [QUOTES], clock=now_ns, replay=sys.argv[2], high_water=2)
while not select.select([sys.stdin], [], [], 0.3)[0]:
    while found.drain():
        pass
    print(found.delivered, flush=True)
"""


def test_a_slow_reader_over_tcp_whose_queue_is_full_goes_on(stars: Stars) -> None:
    """ZeroMQ's heartbeats find such a connection dead, and libzmq ended the process when it was read again."""
    anywhere, buffer = "tcp://127.0.0.1:0", FrameBuffer(16_384)
    publisher = Publisher(stars.context, anywhere, epoch=EPOCH, clock=now_ns, high_water=50, buffer=buffer)
    replayer = Replayer(stars.context, anywhere, epoch=EPOCH, clock=now_ns, frames=buffer)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, publisher.endpoints[0], replayer.endpoint],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    last, looks, end_ns = 0, 0, now_ns() + PATIENCE_NS
    try:
        while looks < 8:
            assert now_ns() < end_ns
            publisher.publish(records_of(1, EPOCH, 1, last + 1, 1))
            last += 1
            publisher.poll(now_ns())
            replayer.poll()
            if select.select([process.stdout], [], [], 0.002)[0]:
                line = process.stdout.readline()
                assert line, "it died"
                looks += int(line) > 0
        process.stdin.close()
        assert process.wait(PATIENCE_NS / 1e9) == 0
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
        replayer.close()
        publisher.close()
