"""Processes of the star: ``python -m tests.kit.star_process publish|subscribe ENDPOINT ...``.

The publisher numbers its records in `update_id` from 1 per instrument, so that a reader can tell what is missing
without the header. Both end when their standard input is closed; what the reader saw is then one JSON object on its
output.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from nautilus.bus import Publisher, Subscriber, make_context
from nautilus.core.clock import now_ns
from nautilus.core.types import QUOTE
from nautilus.model.records import Records
from nautilus.model.topics import QUOTES, Topic

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_NS = 60_000_000_000


class StarProcess:
    """Starts the program and gets its result."""

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.star_process", *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def result(self, hub: Publisher) -> dict[str, Any]:
        """Let it end once it knows of all that the hub has published; what it saw."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(list(hub.last_sequences().items())).encode() + b"\n")
        self.process.stdin.close()
        end_ns = now_ns() + PATIENCE_NS
        poller = zmq.Poller()
        poller.register(hub.socket, zmq.POLLIN)
        poller.register(self.process.stdout, zmq.POLLIN)
        while self.process.stdout.fileno() not in dict(poller.poll(1)):
            assert now_ns() < end_ns, "the reader does not come to the end"
            hub.poll(now_ns())  # with its heartbeats, which tell of what was lost last
        output = self.process.stdout.read()
        self.process.wait(60)
        found: dict[str, Any] = json.loads(output)
        return found

    def kill(self) -> None:
        """Kill it with SIGKILL, and wait for its end."""
        self.process.kill()
        self.process.wait(60)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()


class Books:
    """What a reader had of each stream, from the records alone, and the gaps that it was told of."""

    def __init__(self) -> None:
        self.last: dict[int, int] = {}
        self.missing: list[tuple[int, int, int]] = []
        self.told: list[tuple[int, int, int]] = []

    def on_gap(self, topic: Topic, stream: int, first: int, last: int) -> None:
        self.told.append((stream & 0xFFFFFFFF, first, last))

    def take(self, records: Records) -> None:
        instrument, ids = int(records["instrument_id"][0]), records["update_id"].astype(np.int64)
        assert (np.diff(ids) == 1).all()
        last = self.last.get(instrument)
        if last is not None and ids[0] != last + 1:
            self.missing.append((instrument, last + 1, int(ids[0]) - 1))
        self.last[instrument] = int(ids[-1])


class Source:
    """Quotes of some instruments, numbered."""

    def __init__(self, instruments: int) -> None:
        self.next = dict.fromkeys(range(1, instruments + 1), 1)

    def quotes(self, instrument: int, count: int) -> Records:
        records = np.zeros(count, QUOTE)
        first = self.next[instrument]
        records["instrument_id"] = instrument
        records["update_id"] = np.arange(first, first + count)
        self.next[instrument] = first + count
        return records


def subscribe(endpoint: str, high_water: int) -> None:
    """Read until all is known that a line of standard input tells of, or until it is closed without one."""
    books = Books()
    subscriber = Subscriber(
        make_context(), endpoint, [QUOTES], clock=now_ns, on_gap=books.on_gap, high_water=high_water
    )
    poller = zmq.Poller()
    poller.register(subscriber.socket, zmq.POLLIN)
    poller.register(sys.stdin, zmq.POLLIN)
    wanted: dict[int, int] | None = None
    while wanted is None or any(
        subscriber.positions().get(stream, (0, 0, 0))[2] < last for stream, last in wanted.items()
    ):
        if sys.stdin.fileno() in dict(poller.poll()):
            wanted = dict(json.loads(sys.stdin.readline() or "[]"))
            poller.unregister(sys.stdin)
        for _, records in subscriber.drain():
            books.take(records)
    print(
        json.dumps(
            {
                "missing": books.missing,
                "told": books.told,
                "positions": [[stream, *position] for stream, position in subscriber.positions().items()],
                "delivered": subscriber.delivered,
                "lost": subscriber.lost,
                "gaps": subscriber.gaps,
            }
        )
    )


def publish(endpoint: str, epoch: int) -> None:
    """Publish without end, five frames a millisecond."""
    publisher = Publisher(make_context(), endpoint, epoch=epoch, clock=now_ns)
    source = Source(3)
    poller = zmq.Poller()
    poller.register(sys.stdin, zmq.POLLIN)
    number = 0
    while not poller.poll(1):
        publisher.poll(now_ns())
        for _ in range(5):
            number += 1
            publisher.publish(source.quotes(number % 3 + 1, number % 7 + 1))


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        publish(sys.argv[2], int(sys.argv[3]))
    else:
        subscribe(sys.argv[2], int(sys.argv[3]))
