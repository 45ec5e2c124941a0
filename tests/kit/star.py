"""A hub of the star with its replayer, and waiting for readers without sleeping."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from nautilus.bus import Publisher, Subscriber, make_context
from nautilus.bus.backlog import FrameBuffer
from nautilus.bus.replayer import Replayer
from nautilus.bus.ring import RingWriter
from nautilus.core.clock import now_ns
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.model.records import Records
from nautilus.model.topics import QUOTES, TRADES, Topic

SECOND = 1_000_000_000


def quotes(instrument: int, first: int, count: int = 1) -> Records:
    """Quotes of one instrument, numbered in `update_id`."""
    records = np.zeros(count, QUOTE)
    records["instrument_id"] = instrument
    records["update_id"] = np.arange(first, first + count)
    return records


def trades(instrument: int, first: int, count: int = 1) -> Records:
    """Trades of one instrument, numbered in `trade_id`."""
    records = np.zeros(count, TRADE)
    records["instrument_id"] = instrument
    records["trade_id"] = np.arange(first, first + count)
    return records


def deltas(instrument: int, *rows: tuple[int, int, int, int, int]) -> Records:
    """Deltas of one instrument: (action, side, price, quantity, order) each."""
    records = np.zeros(len(rows), BOOK_DELTA)
    records["instrument_id"] = instrument
    for place, (action, side, price, quantity, order) in enumerate(rows):
        records[place]["action"], records[place]["side"] = action, side
        records[place]["price_ticks"], records[place]["quantity"], records[place]["order_id"] = price, quantity, order
        records[place]["update_id"] = place + 1
    return records


class Hub:
    """Publisher, buffer and replayer of one life; what it publishes is numbered by itself."""

    def __init__(
        self,
        context: zmq.Context[Any],
        endpoint: str,
        epoch: int = 1,
        *,
        frames: int = 65_536,
        ring: Path | None = None,
        capacity: int = 1 << 20,
        replay: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.ring = RingWriter(ring, capacity=capacity, epoch=epoch) if ring is not None else None
        self.buffer = FrameBuffer(frames) if ring is None else None
        self.next: dict[int, int] = {}
        self.publisher = Publisher(
            context, endpoint, epoch=epoch, clock=now_ns, buffer=self.buffer, ring=self.ring, **options
        )
        kept = self.ring or self.buffer
        assert kept is not None
        earlier = (self.publisher.earlier,)
        try:
            self.replayer = Replayer(
                context, f"{endpoint}.replay", epoch=epoch, clock=now_ns, frames=kept, earlier=earlier,
                **(replay or {}),
            )  # fmt: skip
        except BaseException:
            self.publisher.close()
            raise

    def quotes(self, instrument: int, count: int = 1) -> None:
        """Publish the next quotes of an instrument."""
        first = self.next.get(instrument, 1)
        self.publisher.publish(quotes(instrument, first, count))
        self.next[instrument] = first + count

    def turn(self) -> None:
        """One round of the hub's host."""
        self.publisher.poll(now_ns())
        self.replayer.poll()

    def close(self) -> None:
        """Close all."""
        self.replayer.close()
        self.publisher.close()
        if self.ring is not None:
            self.ring.close()


class Reader:
    """A subscriber with all that it was handed, and was told."""

    def __init__(self, context: zmq.Context[Any], endpoint: str | None, *topics: Any, **options: Any) -> None:
        self.batches: list[Any] = []
        self.gaps: list[tuple[int, int, int]] = []
        self.epochs: list[tuple[int, int]] = []
        self.ways: list[tuple[str, str, str]] = []
        self.subscriber = Subscriber(
            context,
            endpoint,
            topics or (QUOTES, TRADES),
            clock=now_ns,
            on_gap=lambda _, stream, first, last: self.gaps.append((stream, first, last)),
            on_epoch=lambda *change: self.epochs.append(change),
            on_way=lambda *change: self.ways.append(change),
            **options,
        )

    def turn(self, limit: int = 64) -> None:
        """One round of the reader's host."""
        if now_ns() >= self.subscriber.due_ns:
            self.subscriber.poll(now_ns())
        self.batches += self.subscriber.drain(limit)

    def numbers(self, instrument: int, topic: Topic = QUOTES) -> list[int]:
        """The numbers of all quotes or trades of an instrument, in order."""
        field = "trade_id" if topic is TRADES else "update_id"
        return [
            number
            for found, records in self.batches
            if found is topic and int(records["instrument_id"][0]) == instrument
            for number in records[field].tolist()
        ]

    def close(self) -> None:
        """Close it."""
        self.subscriber.close()


class Stars:
    """Hubs and readers of one context; closes them."""

    def __init__(self, directory: Path) -> None:
        self.context = make_context()
        self.endpoint = f"ipc://{directory}/star"
        self.stack = ExitStack()

    def hub(self, epoch: int = 1, **options: Any) -> Hub:
        """A hub."""
        made = Hub(self.context, self.endpoint, epoch, **options)
        self.stack.callback(made.close)
        return made

    def reader(self, *topics: Any, **options: Any) -> Reader:
        """A reader that asks for what is missing."""
        options.setdefault("replay", f"{self.endpoint}.replay")
        made = Reader(self.context, self.endpoint, *topics, **options)
        self.stack.callback(made.close)
        return made

    def close(self) -> None:
        """Close all."""
        self.stack.close()
        self.context.destroy(linger=0)


def turn_until(hubs: Iterable[Hub], readers: Iterable[Reader], until: Callable[[], object], seconds: int = 60) -> None:
    """Let hubs and readers turn until something is so."""
    hubs, readers = list(hubs), list(readers)
    end_ns = now_ns() + seconds * SECOND
    while not until():
        assert now_ns() < end_ns, "it did not come about"
        for hub in hubs:
            hub.turn()
        for reader in readers:
            reader.turn()
        if until():
            return
        sockets: list[Any] = [socket for hub in hubs for socket in (hub.publisher.socket, hub.replayer.socket)]
        sockets += [socket for reader in readers for socket in reader.subscriber.sockets if not socket.closed]
        zmq.zmq_poll([(socket, zmq.POLLIN) for socket in sockets], 1)


def settled(hub: Hub, *readers: Reader) -> Callable[[], bool]:
    """Whether nothing is missing: all that the hub has published is settled in each stream that a reader wants."""

    def done() -> bool:
        lasts = hub.publisher.last_sequences()
        for reader in readers:
            subscriber = reader.subscriber
            if subscriber.epoch != hub.publisher.epoch or subscriber.waits or subscriber.waiting:
                return False
            if not subscriber.synchronised:
                return False
            positions = subscriber.positions()
            for stream, last in lasts.items():
                if subscriber.wants(stream) and positions.get(stream, (0, 0, -1))[2] != last:
                    return False
        return True

    return done
