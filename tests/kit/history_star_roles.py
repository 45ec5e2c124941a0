"""The hub of a history, and its readers.

Each record carries what it is: the epoch in `venue_ns`, its number in `update_id` or `trade_id`, both together in a
third field. So what a reader notes comes from the records alone, not from the frames around them. The deltas of a book
go round `LEVELS` prices, so that its state at each number is known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any, NamedTuple

import numpy as np

from nautilus.bus import Publisher, Subscriber
from nautilus.bus.backlog import FrameBuffer
from nautilus.bus.base import FrameFlag
from nautilus.bus.recorder import Recorder
from nautilus.bus.replayer import Replayer
from nautilus.bus.ring import RingReader, RingWriter, image_of, set_aside
from nautilus.bus.ring_backlog import EarlierRing
from nautilus.bus.star_journal import StarJournal
from nautilus.bus.subscriber import Batch, flags_of_batch
from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE, BookAction
from nautilus.core.wake import Waiting
from nautilus.model.records import Records
from nautilus.model.topics import BOOK_DELTAS, QUOTES, TRADES, Topic
from tests.kit.history import (
    Beat,
    Conflated,
    Corrupt,
    Delivered,
    Entry,
    Gap,
    Imaged,
    Joined,
    Known,
    Log,
    Published,
    Publishing,
    Served,
    Unended,
)
from tests.kit.history_process import Clock, Role

HEARTBEAT_NS = 20_000_000
SERVE_NS = 5_000_000
"""Between questions for the last values."""
LEVELS = 5
SNAPSHOT, REPLAYED = int(FrameFlag.SNAPSHOT), int(FrameFlag.REPLAYED)


class Shape(NamedTuple):
    """How records of one kind carry their number, and number and epoch together."""

    topic: Topic
    dtype: Any
    number: str
    both: str


SHAPES = {
    1: Shape(QUOTES, QUOTE, "update_id", "ask_ticks"),
    2: Shape(TRADES, TRADE, "trade_id", "price_ticks"),
    3: Shape(BOOK_DELTAS, BOOK_DELTA, "update_id", "quantity"),
}
KIND = {shape.topic: kind for kind, shape in SHAPES.items()}


def records_of(kind: int, epoch: int, instrument: int, first: int, count: int) -> Records:
    """Records of a stream, numbered from `first`."""
    shape = SHAPES[kind]
    records = np.zeros(count, shape.dtype)
    records["instrument_id"] = instrument
    records[shape.number] = np.arange(first, first + count)
    records["venue_ns"] = epoch
    records[shape.both] = epoch ^ records[shape.number].astype(np.int64)
    if kind == 3:
        records["action"], records["side"] = BookAction.SET, 1
        records["price_ticks"] = 100 + records[shape.number].astype(np.int64) % LEVELS
    return records


class Hub(Role):
    """Publishes frames of random sizes on streams of three kinds, in bursts, and sends again what readers ask for.

    Settings: `endpoints`, `replay` (endpoint), `instruments`, `burst` (frames a turn at most), `high_water`, `frames`
    (kept to be sent again), `table` (file of its counters, which outlives it), `seed`; `ring` (file) and `journal`
    (directory) where it has them.
    """

    def __init__(self, settings: Mapping[str, Any], log: Log, clock: Clock, epoch: int) -> None:
        super().__init__(settings, log, clock, epoch)
        self._random = Random(f"{settings['seed']} {epoch}")
        self._next = {(kind, each): 1 for kind in SHAPES for each in range(1, settings["instruments"] + 1)}
        self._beats = 0
        self._context = self.make_context()
        ring, journal = settings.get("ring"), settings.get("journal")
        left = () if ring is None or journal is None else set_aside(ring)
        images = [image for image in map(image_of, left) if image is not None]
        self._ring = None if ring is None else RingWriter(ring, capacity=settings["frames"] << 10, epoch=epoch)
        self._journal = None if journal is None else StarJournal(journal)
        self._recorder: Recorder | None = None
        if self._journal is not None:
            self._source = RingReader(ring, oldest=True)
            self._recorder = Recorder(self._journal, self._source, self._wait, left)
        buffer = FrameBuffer(settings["frames"]) if self._ring is None else None
        self._publisher = Publisher(
            self._context,
            settings["endpoints"],
            epoch=epoch,
            clock=clock,
            heartbeat_ns=HEARTBEAT_NS,
            high_water=settings["high_water"],
            positions=Counters(1024, settings["table"]),
            buffer=buffer,
            tap=self.mirror(),
            ring=self._ring,
        )
        kept = self._ring or buffer
        assert kept is not None
        self._replayer = Replayer(
            self._context,
            settings["replay"],
            epoch=epoch,
            clock=clock,
            frames=kept,
            archives=[*map(EarlierRing, images), *([] if self._journal is None else [self._journal])],
            earlier=[self._publisher.earlier],
        )

    def mirror(self) -> Callable[[bytes], object] | None:
        """What takes each frame as well."""
        return None

    def _wait(self) -> bool:
        return self._source.wait(Waiting(), 5_000_000)

    def sockets(self) -> Iterable[Any]:
        return (self._publisher.socket, self._replayer.socket)

    def turn(self) -> None:
        publisher = self._publisher
        publisher.poll(self.clock())
        if publisher.heartbeats != self._beats:
            self._beats = publisher.heartbeats
            self.log.note(Beat(self._beats))
        for _ in range(20):
            if not self._replayer.poll():
                break
        if not self.quiet:
            for _ in range(self._random.randrange(self.settings["burst"] + 1)):
                self._publish()

    def _publish(self) -> None:
        kind, instrument = self._random.choice(list(self._next))
        first = self._next[kind, instrument]
        last = self._next[kind, instrument] = first + self._random.choice((1, 1, 2, 7, 64))
        stream = kind << 32 | instrument
        self.log.note(Publishing(stream, first, last - 1))
        self._publisher.publish(records_of(kind, self.epoch, instrument, first, last - first))
        self.log.note(Published(stream, last - 1, now_ns()))

    def obey(self, word: str, argument: str) -> str:
        # What is known of this life to the end: its number, and the last sequences.
        return json.dumps([self.epoch, list(self._publisher.last_sequences().items())])

    def settled(self) -> bool:
        return True

    def close(self) -> None:
        self._replayer.close()
        self._publisher.close()
        if self._recorder is not None:
            self._recorder.close()
            self._source.close()
        if self._ring is not None:
            self._ring.close()
        self._context.destroy(linger=0)


class Reader(Role):
    """Reads, notes what it is given, and serves last values.

    Settings: `endpoint`, `high_water`; `replay` (endpoint), `ring` (file), `images`, `instruments` (None: all),
    `policy` and `capacity`, `recovery` (further arguments), `every` (turns between looks: a slow reader). The order
    "until" names the state of the hub to which it reads before it ends.
    """

    def __init__(self, settings: Mapping[str, Any], log: Log, clock: Clock, epoch: int) -> None:
        super().__init__(settings, log, clock, epoch)
        self._until: tuple[int, dict[int, int]] = (0, {})
        self._turns = 0
        self._gaps: list[Gap] = []
        self._cursors: dict[tuple[int, int], int] = {}
        self._conflated = 0
        self._sure = True  # it is known where each stream was joined, so what was passed over in it can be counted
        self._values: dict[int, tuple[int, int]] = {}
        self._books: dict[int, dict[int, int]] = {}
        self._heard = (0, 0)
        self._served_ns = 0
        self._policy = settings.get("policy", "queue")
        self._context = self.make_context()
        self._ends_unknown = 0
        self._subscriber = Subscriber(
            self._context,
            settings["endpoint"],
            [QUOTES] if self._policy == "conflate" else [QUOTES, TRADES, BOOK_DELTAS],
            clock=clock,
            instruments=settings.get("instruments"),
            high_water=settings["high_water"],
            on_gap=self._on_gap,
            on_epoch=None if settings.get("replay") else self._on_epoch,
            replay=settings.get("replay"),
            images=settings.get("images", False),
            policy=self._policy,
            capacity=settings.get("capacity", 65_536),
            heartbeat_ns=HEARTBEAT_NS,
            ring=settings.get("ring"),
            **settings.get("recovery", {}),
        )

    def _on_gap(self, topic: Topic, stream: int, first: int, last: int) -> None:
        self._gaps.append(Gap(self._subscriber.gap_epoch, stream, first, last))

    def _on_epoch(self, before: int, epoch: int) -> None:
        if self._subscriber.ends_unknown > self._ends_unknown:
            self._ends_unknown = self._subscriber.ends_unknown
            self.log.note(Unended(before))

    def sockets(self) -> Iterable[Any]:
        subscriber = self._subscriber
        # What the ring's doorbell does not tell of is there at the next look, a few milliseconds later.
        subscriber.arm()
        return subscriber.sockets if subscriber.fileno() < 0 else [*subscriber.sockets, subscriber.fileno()]

    def turn(self) -> None:
        subscriber = self._subscriber
        self._turns += 1
        if self._turns % self.settings.get("every", 1) == 0:
            self._take(subscriber.drain())
        heard = (subscriber.epoch, subscriber.heartbeats)
        if heard != self._heard:
            self._heard = heard
            lasts = {stream: max(state.heard, state.settled) for stream, state in subscriber.streams.items()}
            self.log.note(Known(*heard, tuple(lasts.items())))
        now = now_ns()
        if now - self._served_ns >= SERVE_NS:
            self._served_ns = now
            self._serve(now)

    def _take(self, drained: list[Batch]) -> None:
        """Note what was handed out, each gap before the records that showed it."""
        notes: list[Entry] = []
        gaps, self._gaps = self._gaps, []
        for batch in drained:
            found = self._read(batch)
            first = found.last if isinstance(found, Imaged) else found.first
            for gap in [gap for gap in gaps if gap.stream == found.stream]:
                if (gap.epoch, gap.last) <= (found.epoch, first):
                    self._add(notes, gap)
                    gaps.remove(gap)
            self._add(notes, found)
            self._values[found.stream] = (found.epoch, found.last)
        for gap in gaps:
            self._add(notes, gap)
        for stream, first in self._subscriber.joined.items():
            if self._cursors.setdefault((self._subscriber.epoch, stream), 0) == 0:
                self._cursors[self._subscriber.epoch, stream] = first
                notes.append(Joined(self._subscriber.epoch, stream, first))
        if notes:
            self.log.note(*notes)

    def _add(self, notes: list[Entry], entry: Gap | Delivered | Imaged) -> None:
        """An entry, behind what must stand before it."""
        place = (entry.epoch, entry.stream)
        first = entry.last + 1 if isinstance(entry, Imaged) else entry.first
        if not self._cursors.get(place):
            # Where the epoch of a stream is over by now, the subscriber does not know where it was joined.
            own = self._subscriber.joined if entry.epoch == self._subscriber.epoch else {}
            self._sure &= entry.stream in own
            self._cursors[place] = own.get(entry.stream, first)
            notes.append(Joined(*place, self._cursors[place]))
        passed_over = first - self._cursors[place]
        if self._policy == "conflate" and passed_over > 0:
            self._conflated += passed_over
            if not isinstance(entry, Imaged):
                notes.append(Conflated(*place, self._cursors[place], entry.first - 1))
        notes.append(entry)
        self._cursors[place] = max(self._cursors[place], entry.last + 1)

    def _read(self, batch: Batch) -> Delivered | Imaged:
        """Judge the content of a batch."""
        topic, records = batch
        flags, kind = flags_of_batch(batch), KIND[topic]
        shape = SHAPES[kind]
        # An image of a book begins with what clears it.
        told = records[records["action"] != BookAction.CLEAR] if kind == 3 else records
        epoch, instrument = int(told["venue_ns"][0]), int(told["instrument_id"][0])
        numbers = told[shape.number].astype(np.int64)
        stream = kind << 32 | instrument
        whole = (
            (told["venue_ns"] == epoch).all()
            and (told[shape.both] == epoch ^ numbers).all()
            and (records["instrument_id"] == instrument).all()
        )
        image = bool(flags & SNAPSHOT)
        if not whole or (not image and not (np.diff(numbers) == 1).all()):
            self.log.note(Corrupt(f"{flags} {records}"))
        last = batch.sequence if image else int(numbers[-1])  # type: ignore[attr-defined]
        if kind == 3:
            self._keep_book(stream, epoch, told, numbers, last, image=image)
        if image:
            return Imaged(epoch, stream, last)
        return Delivered(
            epoch, stream, int(numbers[0]), last, now_ns(), "replay" if flags & REPLAYED else self._subscriber.way
        )

    def _keep_book(self, stream: int, epoch: int, records: Records, numbers: Any, last: int, *, image: bool) -> None:
        """The level of each price is of the newest delta for it that there was, whatever came when."""
        book = self._books.setdefault(stream, {})
        if image or self._values.get(stream) != (epoch, numbers[0] - 1):
            book.clear()  # what is not of the image, or from before a gap, says nothing
        book.update(zip(records["price_ticks"].tolist(), numbers.tolist(), strict=True))
        for price, number in book.items():
            wanted = last - (last - (price - 100)) % LEVELS
            if number != wanted:
                self.log.note(Corrupt(f"level {price} of {stream:x} is of {number}, not of {wanted}, at {last}"))

    def _serve(self, now: int) -> None:
        """What is served is marked where the subscriber says so, or has something newer."""
        subscriber = self._subscriber
        served = []
        for stream, (epoch, sequence) in self._values.items():
            stale = subscriber.is_stale(now, SHAPES[stream >> 32].topic, stream & 0xFFFFFFFF)
            # What came is not what was handed out: with a policy for slow readers it may wait.
            older = epoch != subscriber.epoch or subscriber.streams[stream].settled > sequence
            served.append(Served(epoch, stream, sequence, now, stale or older))
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
        return subscriber.epoch == epoch and all(
            self._cursors.get((epoch, stream), 0) > last and positions[stream][2] >= last
            for stream, last in lasts.items()
            if subscriber.wants(stream)
        )

    def close(self) -> None:
        subscriber = self._subscriber
        for stream, state in subscriber.streams.items():
            settled = state.delivered + state.conflated + state.snapshotted + state.lost + state.unknown
            if state.settled != state.joined - 1 + settled:
                self.log.note(
                    Corrupt(f"accounts of {stream:x}: {state.settled} settled, {state.joined} joined, {settled}")
                )
        passed_over = subscriber.conflated + subscriber.snapshotted
        if self._policy == "conflate" and self._conflated != passed_over and self._sure:
            self.log.note(Corrupt(f"{self._conflated} records were passed over, {passed_over} counted"))
        subscriber.close()
        self._context.destroy(linger=0)
