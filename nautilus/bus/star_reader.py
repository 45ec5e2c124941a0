"""A reader of the star without its transports: filters, layouts, policies, and what is handed out.

Frames are given to it by whoever has them; questions for the replayer lie in `requests` for whoever can send them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nautilus.bus.base import (
    ANSWER_STREAM,
    BY_KIND,
    HEADER,
    HEADER_BYTES,
    HEARTBEAT,
    HEARTBEAT_STREAM,
    LAST,
    MAGIC,
    MOST,
    FrameFlag,
    Layout,
    TopicError,
    flags_of,
    layout_of,
)
from nautilus.bus.compression import MARKED, restored
from nautilus.bus.conflation import NO_RECORDS, POLICIES, Policy, ReaderQueue, Waiting
from nautilus.bus.freshness import Freshness
from nautilus.bus.positions import PositionTable, Rows, changed_rows
from nautilus.bus.recovery import COUNTED as SETTLED
from nautilus.bus.recovery import JOINING, LIVE, Recovery, StreamState
from nautilus.bus.requests import parse_answer, whole_kind
from nautilus.bus.snapshots import folds
from nautilus.bus.tally import Tally
from nautilus.core.counters import Counters
from nautilus.core.star_frames import FrameJudge
from nautilus.model.records import Records
from nautilus.model.topics import Topic

COUNTED = (*SETTLED, "malformed", "ends_unknown")
SNAPSHOT, REPLAYED = int(FrameFlag.SNAPSHOT), int(FrameFlag.REPLAYED)
_NONE: set[int] = set()
Batch = tuple[Topic, Records]


class Marked(tuple[Topic, Records]):
    """(topic, records) whose frame has flags: an image of the stream, or records sent again.

    Attributes
    ----------
    flags : see `FrameFlag`. With SNAPSHOT the records replace what the reader has of the stream.
    sequence : of the image; of the first record otherwise.
    """

    flags: int
    sequence: int


def flags_of_batch(batch: Batch) -> int:
    """The flags of what `drain` has handed out; 0 for plain records."""
    return batch.flags if isinstance(batch, Marked) else 0


class Position(StreamState):
    """Where a reader stands in one stream, and what its records look like."""

    __slots__ = ("epoch", "kind", "topic")

    def __init__(self, layout: Layout, stream: int, joined: int, epoch: int) -> None:
        super().__init__(stream, joined, folds=folds(layout.kind))
        self.epoch = epoch
        self.kind, self.topic = layout.kind, layout.topic
        self.describe(layout.kind, layout.version, layout.dtype, layout.topic)


class StarReader(Recovery):
    """See `nautilus.bus.subscriber.Subscriber`, whose part without sockets this is."""

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        timer: Callable[[], int],
        on_gap: Callable[[Topic, int, int, int], None] | None,
        on_epoch: Callable[[int, int], None] | None,
        counters: Counters | None,
        positions: Counters | None,
        images: bool,
        policy: Policy,
        capacity: int,
        heartbeat_ns: int,
        **recovery: Any,
    ) -> None:
        if policy not in POLICIES:
            raise ValueError(f"policy {policy!r}; expected one of {', '.join(POLICIES)}")
        super().__init__(**recovery)
        self.last_heartbeat_ns = 0
        self.heartbeats = 0
        """Number of the last heartbeat of this epoch: that of the publisher's `heartbeats` when it was sent."""
        self.malformed = self.damaged = 0
        self.disconnected = False
        self.fed: dict[str, int] = {}
        """Frames that were given to `feed`, by the way that they came."""
        self._clock, self._timer = clock, timer
        self._on_gap, self._on_epoch = on_gap, on_epoch
        self.gap_epoch = 0
        """Of the gap that `on_gap` is told of: records that waited may be of an earlier life than the present one."""
        # Judges the next frames of streams in which nothing is missing.
        self._direct = FrameJudge()
        self._out: list[Batch] = []
        self._told: bytes | None = None
        """The rows of the last heartbeat; None: what the next one says is new, whatever it says."""
        self._images = images and self.asks
        self._policy: Policy = policy
        self._capacity = capacity
        self._queue = ReaderQueue() if policy != "queue" else None
        self._heartbeat_ns, self._beats = heartbeat_ns, 0
        self._freshness = Freshness(heartbeat_ns)
        # Instruments of each kind; None: all.
        self._filters: dict[int, set[int] | None] = {}
        self._tally = Tally(counters, "star", self, COUNTED)
        self._table = PositionTable(positions, hub=False)

    # What it reads.

    def wants(self, stream: int) -> bool:
        """Whether it is subscribed to a stream."""
        instruments: set[int] | None = self._filters.get(stream >> 32, _NONE)
        return instruments is None or stream & 0xFFFFFFFF in instruments

    def _take_up(self, topic: Topic, instruments: Sequence[int] | None) -> tuple[list[int], list[int]]:
        """Widen the filter; streams (or whole kinds) that are new in it, and such as are covered by them now."""
        kind = layout_of(topic).kind
        known = self._filters.get(kind, set())
        if known is None:
            return [], []
        if instruments is None:
            self._filters[kind] = None
            fresh, covered = [whole_kind(kind)], [kind << 32 | instrument for instrument in sorted(known)]
        else:
            fresh, covered = [kind << 32 | each for each in sorted(set(instruments) - known)], []
            self._filters[kind] = known.union(instruments)
        if self._images:
            self.join(tuple(fresh))
        # The next heartbeat tells where streams stand that were of no interest so far.
        self.synchronised = False
        self._told = None
        return fresh, covered

    def _give_up(self, topic: Topic, instruments: Sequence[int] | None) -> list[int]:
        """Narrow the filter; streams (or the whole kind) that are no more in it."""
        kind = layout_of(topic).kind
        known = self._filters.get(kind, set())
        if (known is None) != (instruments is None) or not set(instruments or ()) <= (known or set()):
            raise TopicError(topic.name, where="unsubscribe", expected="what was subscribed to")
        if known is None or instruments is None:
            del self._filters[kind]
            gone = [whole_kind(kind)]
        else:
            known.difference_update(instruments)
            gone = [kind << 32 | instrument for instrument in instruments]
        for stream in [stream for stream in self.streams if not self.wants(stream)]:
            self._table.put_stream(stream, 0)
            self.forget(stream)
        return gone

    def _wanted(self) -> list[int]:
        """All that it is subscribed to: streams, and whole kinds."""
        found: list[int] = []
        for kind, instruments in sorted(self._filters.items()):
            if instruments is None:
                found.append(whole_kind(kind))
            else:
                found += [kind << 32 | instrument for instrument in sorted(instruments)]
        return found

    # What comes.

    def feed(self, frame: bytes, via: str = "") -> None:
        """Take a frame that came by any other way; the next `drain` hands out what it brings."""
        self.fed[via] = self.fed.get(via, 0) + 1
        self._take_other(frame, asked=False)

    def _judge(self, frames: Sequence[bytes], *, asked: bool = True) -> None:
        """Take frames in. asked: they came because they were subscribed to."""
        direct, out = self._direct, self._out
        before = direct.delivered
        for frame in frames:
            if not direct.take(frame, out):
                self.delivered += direct.delivered - before
                self._take_other(frame, asked=asked)
                before = direct.delivered
        self.delivered += direct.delivered - before

    def _take_other(self, frame: bytes, *, asked: bool) -> None:
        """Anything but the next frame of a stream in which nothing is missing."""
        if len(frame) < HEADER_BYTES:
            self.malformed += 1
        elif frame[0] in MARKED:
            whole = restored(frame)
            if whole is None:
                self.malformed += 1
                self.damaged += 1
            else:
                self._judge((whole,), asked=asked)
        else:
            self._take_apart(frame, self._timer(), asked=asked)

    def _take_apart(self, frame: bytes, now_ns: int, *, asked: bool = True) -> None:
        """Judge a frame in full, and take in what it brings. asked: it came because it was subscribed to."""
        _, magic, schema, version, size, count, epoch, stream, first, sent_ns = HEADER.unpack_from(frame)
        whole = magic == MAGIC and len(frame) == HEADER_BYTES + size * count
        if not whole or not 0 < first < MOST or not epoch < MOST:
            self.malformed += 1
            return
        if stream == ANSWER_STREAM:
            answer = parse_answer(frame)
            if answer is None:
                self.malformed += 1
            else:
                self.take_answer(answer, now_ns)
            return
        if epoch < self._floor and not flags_of(frame) & REPLAYED:
            self.stale += 1
            return
        if not self.admits(epoch, frame, now_ns):
            return
        if stream == HEARTBEAT_STREAM:
            self._heartbeat(frame, schema, size, first, sent_ns, now_ns)
            return
        if not self.wants(stream):
            if asked:
                self.unknown += count
            return
        flags = flags_of(frame)
        layout = BY_KIND[stream >> 32]
        known = schema == layout.kind and version >= layout.version and size >= layout.record_size
        self.take(stream, first, count, frame if known else None, flags, now_ns)

    def _heartbeat(self, frame: bytes, schema: int, size: int, number: int, sent_ns: int, now_ns: int) -> None:
        if schema != HEARTBEAT or size != LAST.size:
            self.malformed += 1
            return
        told = frame[HEADER_BYTES:]
        if told != self._told and not self._hear_lasts(told, now_ns):
            self.malformed += 1
            return
        # By another way an earlier one may come later.
        if number > self.heartbeats:
            self._freshness.hear(sent_ns, now_ns)
            self.heartbeats = number
        self.last_heartbeat_ns = self._clock()
        self._beats += 1
        self._table.put("epoch", self.epoch)

    def _hear_lasts(self, told: bytes, now_ns: int) -> bool:
        """Take in where the streams stand by a heartbeat; False: it is none."""
        rows: Rows = np.frombuffer(told, np.uint64).reshape(-1, 2)
        if (rows[:, 1] >= MOST).any():
            return False
        # A stream of which it says nothing new has had no frame since the last one.
        before: Rows = np.frombuffer(self._told or b"", np.uint64).reshape(-1, 2)
        changed = [row for row in changed_rows(rows, before) if self.wants(row[0])]
        self.take_lasts(changed, now_ns)
        for stream, _ in changed:
            self._write_position(self.streams[stream])
        self._told = told
        return True

    # What becomes of it: see `Recovery`.

    def open_stream(self, stream: int, joined: int) -> StreamState | None:
        """Where it stands in a stream that begins."""
        layout = BY_KIND.get(stream >> 32)
        return Position(layout, stream, joined, self.epoch) if layout is not None and self.wants(stream) else None

    def on_live(self, state: StreamState, live: bool) -> None:
        """Frames of a stream in which nothing is missing take the short way, unless they are of a replaced hub."""
        assert isinstance(state, Position)
        if live and self._queue is None and self.epoch >= self._floor:
            self._direct.watch(state)
        else:
            self._direct.ignore(state)

    def on_records(self, state: StreamState, payload: Any, skip: int, count: int, flags: int) -> None:
        """Records are next."""
        self._hand_out(state, payload, skip, count, state.expected - count, flags)

    def on_image(self, state: StreamState, payload: Any, as_of: int) -> None:
        """An image is next. The last of records that each count for themselves is kept, and no news."""
        self._hand_out(state, payload, 0, int.from_bytes(payload[20:24], "little"), as_of, SNAPSHOT)

    def _hand_out(self, state: StreamState, frame: bytes, skip: int, count: int, first: int, flags: int) -> None:
        assert isinstance(state, Position)
        # A later version of the layout is read without what it appended.
        size = int.from_bytes(frame[16:20], "little")
        records: Records = np.ndarray((count,), state.dtype, frame, HEADER_BYTES + skip * size, (size,))
        state.latest = records
        if flags & SNAPSHOT and not state.folds:
            return
        if self._queue is not None:
            self._queue.push(Waiting(state, first, records, flags))
        else:
            self._out.append(self._batch(state, first, records, flags))

    @staticmethod
    def _batch(state: Position, first: int, records: Records, flags: int) -> Batch:
        if not flags:
            return state.topic, records
        batch = Marked((state.topic, records))
        batch.flags, batch.sequence = flags, first
        return batch

    def on_lost(self, state: StreamState, first: int, last: int) -> None:
        """Records will not come."""
        if self._queue is None:
            self._tell_gap(state, first, last)
        else:
            self._queue.push(Waiting(state, first, NO_RECORDS, lost=last + 1 - first))

    def _tell_gap(self, state: StreamState, first: int, last: int) -> None:
        assert isinstance(state, Position)
        if self._on_gap is not None:
            self.gap_epoch = state.epoch
            self._on_gap(state.topic, state.stream, first, last)

    def on_new_epoch(self, before: int, epoch: int) -> None:
        """A later life of the publisher begins."""
        self._table.clear()
        self._told = None
        self.heartbeats = 0
        self._freshness.begin()
        self._direct.enter(epoch)
        if before and self._on_epoch is not None:
            self._on_epoch(before, epoch)

    def on_next(self, item: Any, now_ns: int) -> None:
        """What was held back is to be taken."""
        self._take_apart(item, now_ns)

    # The slow reader.

    def _hand_out_queue(self, limit: int) -> list[Batch]:
        """Apply the policy to what waits, and take at most so many batches of it."""
        queue = self._queue
        assert queue is not None
        if self._policy == "conflate":
            for state, gone in queue.conflate():
                self._uncount(state, gone)
                state.conflated += gone
                self.conflated += gone
        elif self._policy == "drop-oldest":
            for state, gone, begins in queue.drop_oldest(self._capacity):
                self._uncount(state, gone)
                state.lost += gone
                self.lost += gone
                self.gaps += begins
        elif queue.size > self._capacity:
            self.disconnected = True
        out: list[Batch] = []
        while queue and len(out) < limit:
            state, first, records, flags, lost = queue.pop()
            assert isinstance(state, Position)
            if lost:
                self._tell_gap(state, first, first + lost - 1)
            else:
                out.append(self._batch(state, first, records, flags))
        self._tally.write()
        return out

    def _uncount(self, state: StreamState, records: int) -> None:
        state.delivered -= records
        self.delivered -= records

    # What can be asked of it.

    def positions(self) -> dict[int, tuple[int, int, int]]:
        """{stream: (joined, delivered, last settled sequence)} in this epoch.

        What the publisher's `last_sequences` says beyond ``joined - 1 + delivered`` did not arrive, or not yet.
        """
        return {
            stream: (state.joined, state.delivered, state.settled)
            for stream, state in self.streams.items()
            if state.state != JOINING
        }

    @property
    def waiting(self) -> int:
        """Records that wait here for the next `drain`, with a policy for slow readers."""
        return self._queue.size if self._queue is not None else 0

    @property
    def joined(self) -> dict[int, int]:
        """{stream: sequence from which on this subscriber answers for it}."""
        return {stream: joined for stream, (joined, _, _) in self.positions().items()}

    def is_stale(self, now_ns: int, topic: Topic | None = None, instrument_id: int = 0) -> bool:
        """Whether what came may be out of date, by `timer`: all of it, or what came of one stream.

        All of it: nothing sent within the last three heartbeats has come, or a later life of the hub is held back. One
        stream: something is missing in it or awaited, its last record was lost, or nothing of it has come at all.
        """
        if self._closing or self._freshness.silent(now_ns):
            return True
        if topic is None:
            return False
        state = self.streams.get(layout_of(topic).kind << 32 | instrument_id)
        return state is None or state.latest is None or state.state != LIVE or state.passed == state.settled

    def last_value(self, topic: Topic, instrument_id: int) -> Records | None:
        """The last record that came of a stream, as an array of one; of a book its last image or delta. None: none yet.

        Whether it may be out of date says `is_stale`, asked for this stream.
        """
        state = self.streams.get(layout_of(topic).kind << 32 | instrument_id)
        latest = state.latest if isinstance(state, Position) else None
        return None if latest is None or not len(latest) else latest[-1:]

    def _leave(self) -> None:
        """Write down where it stands at the end."""
        self._tally.write()
        for state in self.streams.values():
            self._write_position(state)
        self._table.put("epoch", self.epoch)
        self._table.put("left", 1)

    def _write_position(self, state: StreamState) -> None:
        if state.state != JOINING:
            arrived = state.settled - (state.joined - 1) - state.lost
            self._table.put_stream(state.stream, state.joined, arrived, state.settled)
