"""The hub of a history, and its readers.

Each record carries what it is: the epoch in `bid_ticks`, its number in `update_id`, both in `ask_ticks`. So what a
reader notes comes from the records alone, not from the frames around them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

import numpy as np

from nautilus.bus import Publisher, Subscriber, make_context
from nautilus.core.clock import now_ns
from nautilus.core.types import QUOTE
from nautilus.model.records import Records
from nautilus.model.topics import QUOTES, Topic
from tests.kit.history import (
    Beat,
    Corrupt,
    Delivered,
    Entry,
    Gap,
    Joined,
    Known,
    Log,
    Published,
    Publishing,
    Served,
)
from tests.kit.history_process import Clock, Role

HEARTBEAT_NS = 20_000_000
SERVE_NS = 5_000_000
"""Between questions for the last values."""


def quotes(epoch: int, instrument: int, first: int, count: int) -> Records:
    """Quotes of an instrument, numbered from `first`."""
    records = np.zeros(count, QUOTE)
    records["instrument_id"] = instrument
    records["update_id"] = np.arange(first, first + count)
    records["bid_ticks"] = epoch
    records["ask_ticks"] = epoch ^ records["update_id"].astype(np.int64)
    return records


class Hub(Role):
    """Publishes frames of random sizes on some streams, in bursts.

    Settings: `endpoints`, `instruments`, `burst` (frames a turn at most), `high_water`, `seed`.
    """

    def __init__(self, settings: Mapping[str, Any], log: Log, clock: Clock, epoch: int) -> None:
        super().__init__(settings, log, clock, epoch)
        self._random = Random(f"{settings['seed']} {epoch}")
        self._next = dict.fromkeys(range(1, settings["instruments"] + 1), 1)
        self._beats = 0
        self._context = make_context()
        self._publisher = Publisher(
            self._context,
            settings["endpoints"],
            epoch=epoch,
            clock=clock,
            heartbeat_ns=HEARTBEAT_NS,
            high_water=settings["high_water"],
        )

    def sockets(self) -> Iterable[Any]:
        return (self._publisher.socket,)

    def turn(self) -> None:
        publisher = self._publisher
        publisher.poll(self.clock())
        if publisher.heartbeats != self._beats:
            self._beats = publisher.heartbeats
            self.log.note(Beat(self._beats))
        if not self.quiet:
            for _ in range(self._random.randrange(self.settings["burst"] + 1)):
                self._publish()

    def _publish(self) -> None:
        instrument = self._random.choice(list(self._next))
        first = self._next[instrument]
        last = self._next[instrument] = first + self._random.choice((1, 1, 2, 7, 64))
        stream = 1 << 32 | instrument
        self.log.note(Publishing(stream, first, last - 1))
        self._publisher.publish(quotes(self.epoch, instrument, first, last - first))
        self.log.note(Published(stream, last - 1, now_ns()))

    def obey(self, word: str, argument: str) -> str:
        # What is known of this life to the end: its number, and the last sequences.
        return json.dumps([self.epoch, list(self._publisher.last_sequences().items())])

    def settled(self) -> bool:
        return True

    def close(self) -> None:
        self._publisher.close()
        self._context.destroy(linger=0)


class Reader(Role):
    """Reads, notes what it is given, and serves last values.

    Settings: `endpoint`, `instruments` (None: all), `high_water`. The order "until" names the state of the hub to which
    it reads before it ends.
    """

    def __init__(self, settings: Mapping[str, Any], log: Log, clock: Clock, epoch: int) -> None:
        super().__init__(settings, log, clock, epoch)
        self._until: tuple[int, dict[int, int]] = (0, {})
        self._gaps: list[Gap] = []
        self._joined: set[tuple[int, int]] = set()
        self._values: dict[int, tuple[int, int]] = {}
        self._heard = (0, 0)
        self._served_ns = 0
        self._context = make_context()
        self._subscriber = Subscriber(
            self._context,
            settings["endpoint"],
            [QUOTES],
            clock=clock,
            instruments=settings.get("instruments"),
            high_water=settings["high_water"],
            on_gap=self._on_gap,
        )

    def _on_gap(self, topic: Topic, stream: int, first: int, last: int) -> None:
        self._gaps.append(Gap(self._subscriber.epoch, stream, first, last))

    def sockets(self) -> Iterable[Any]:
        return (self._subscriber.socket,)

    def turn(self) -> None:
        self._take(self._subscriber.drain())
        heard = (self._subscriber.epoch, self._subscriber.heartbeats)
        if heard != self._heard:
            self._heard = heard
            positions = self._subscriber.positions()
            self.log.note(Known(*heard, tuple((stream, known) for stream, (_, _, known) in positions.items())))
        now = now_ns()
        if now - self._served_ns >= SERVE_NS:
            self._served_ns = now
            self._serve()

    def _take(self, drained: list[tuple[Topic, Records]]) -> None:
        """Note what was handed out, each gap before the records that showed it."""
        notes: list[Gap | Delivered] = []
        gaps, self._gaps = self._gaps, []
        for topic, records in drained:
            found = self._read(topic, records)
            for gap in [gap for gap in gaps if (gap.epoch, gap.stream) == (found.epoch, found.stream)]:
                if gap.last < found.first:
                    notes.append(gap)
                    gaps.remove(gap)
            notes.append(found)
            self._values[found.stream] = (found.epoch, found.last)
        entries: list[Entry] = []
        for each in (*notes, *gaps):
            if (each.epoch, each.stream) not in self._joined:
                self._joined.add((each.epoch, each.stream))
                entries.append(Joined(each.epoch, each.stream, self._first(each)))
            entries.append(each)
        for stream, first in self._subscriber.joined.items():
            if (self._subscriber.epoch, stream) not in self._joined:
                self._joined.add((self._subscriber.epoch, stream))
                entries.append(Joined(self._subscriber.epoch, stream, first))
        if entries:
            self.log.note(*entries)

    def _first(self, entry: Gap | Delivered) -> int:
        """Where the stream was joined: as the subscriber says, or where its epoch is over by now, with the entry."""
        if entry.epoch == self._subscriber.epoch:
            return self._subscriber.joined[entry.stream]
        return entry.first

    def _read(self, topic: Topic, records: Records) -> Delivered:
        numbers = records["update_id"].astype(np.int64)
        epoch, instrument = int(records["bid_ticks"][0]), int(records["instrument_id"][0])
        whole = (
            topic is QUOTES
            and (np.diff(numbers) == 1).all()
            and (records["bid_ticks"] == epoch).all()
            and (records["ask_ticks"] == epoch ^ numbers).all()
            and (records["instrument_id"] == instrument).all()
        )
        if not whole:
            self.log.note(Corrupt(str(records)))
        return Delivered(epoch, 1 << 32 | instrument, int(numbers[0]), int(numbers[-1]), now_ns())

    def _serve(self) -> None:
        now = now_ns()
        subscriber = self._subscriber
        # A clock that was set back says nothing of how long it is ago.
        silent = not 0 <= self.clock() - subscriber.last_heartbeat_ns <= 3 * HEARTBEAT_NS
        positions = subscriber.positions()
        served = []
        for stream, (epoch, sequence) in self._values.items():
            known = positions.get(stream, (0, 0, 0))[2]
            stale = silent or epoch != subscriber.epoch or known > sequence
            served.append(Served(epoch, stream, sequence, now, stale))
        if served:
            self.log.note(*served)

    def obey(self, word: str, argument: str) -> str:
        if word == "until":
            epoch, lasts = json.loads(argument)
            self._until = (epoch, dict(lasts))
        return "ok"

    def settled(self) -> bool:
        epoch, lasts = self._until
        subscriber = self._subscriber
        positions = subscriber.positions()
        wanted = self.settings.get("instruments")
        return subscriber.epoch == epoch and all(
            positions.get(stream, (0, 0, 0))[2] >= last
            for stream, last in lasts.items()
            if wanted is None or stream & 0xFFFFFFFF in wanted
        )

    def close(self) -> None:
        delivered = sum(count for _, count, _ in self._subscriber.positions().values())
        if delivered > self._subscriber.delivered:
            self.log.note(Corrupt("more records in positions than were delivered"))
        self._subscriber.close()
        self._context.destroy(linger=0)
