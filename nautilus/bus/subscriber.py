"""The star: one publisher of packed records, any number of subscribers, over any transport.

Guarantees
----------
- Records of a stream (one kind of one instrument) arrive in order, each at most once in an epoch of the publisher.
- What is missing is known: a frame that skips numbers, or a heartbeat whose last number was not reached, is a gap. A
  lost tail is therefore seen one heartbeat after connection and reader work.
- With a replayer (`replay`) what is missing is asked for, and what came after it held back until it is there; so is the
  end of an earlier life of the publisher. What nobody has any more is lost, counted and told (`on_gap`). Without a
  replayer it is so at once.
- A subscriber answers for a stream from `joined` on: where its image stands (`images`), its first frame, where the
  first heartbeat said it stood, or number 1 where the stream began later than that. So per stream, at all times::

      last settled = joined - 1 + delivered + conflated + snapshotted + lost + unknown

- A slow reader never slows the publisher or other readers; what becomes of its records is its `policy`.

What is decided of each record stands in `nautilus.bus.recovery`; here are sockets, filters, layouts and what is handed
out. Nothing here waits, starts a thread or raises for what came over the wire.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import zmq
from zmq.backend import Socket as BackendSocket

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
    checked_endpoints,
    flags_of,
    layout_of,
    new_socket,
    topic_bytes,
)
from nautilus.bus.conflation import POLICIES, Policy, ReaderQueue, Waiting
from nautilus.bus.positions import NO_ROWS, PositionTable, Rows, changed_rows
from nautilus.bus.recovery import COUNTED as SETTLED
from nautilus.bus.recovery import JOINING, Recovery, StreamState
from nautilus.bus.requests import pack_request, parse_answer, whole_kind
from nautilus.bus.snapshots import folds
from nautilus.bus.tally import Tally
from nautilus.core.clock import now_ns as machine_ns
from nautilus.core.counters import Counters
from nautilus.model.records import Records
from nautilus.model.topics import Topic

NOBLOCK = int(zmq.NOBLOCK)
EVENTS = int(zmq.EVENTS)
POLLIN = int(zmq.POLLIN)
# The header again: magic to record size, count, epoch and stream, first sequence, flags.
_PARTS = struct.Struct("<8x12sI16sQ8xQ")
_LAYOUT = struct.Struct("<IHHI")
_STREAM = struct.Struct("<QQ")
COUNTED = (*SETTLED, "malformed")
SNAPSHOT = int(FrameFlag.SNAPSHOT)
TURN = 4096
"""Frames that a slow reader takes in at a time."""
Batch = tuple[Topic, Records]


class Marked(tuple[Topic, Records]):
    """(topic, records) whose frame has flags: an image of the stream, records sent again, or of a silent source.

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


class _Position(StreamState):
    """Where a subscriber stands in one stream, and what its records look like."""

    __slots__ = ("dtype", "header", "key", "kind", "latest", "record_size", "topic", "version")

    def __init__(self, layout: Layout, stream: int, joined: int, epoch: int) -> None:
        super().__init__(stream, joined, folds=folds(layout.kind))
        self.kind, self.topic, self.dtype, self.record_size, self.version = layout
        self.header = _LAYOUT.pack(MAGIC, layout.kind, layout.version, layout.record_size)
        self.key = _STREAM.pack(epoch, stream)
        self.latest: Records | None = None


class Subscriber(Recovery):
    """A reader of the star.

    Parameters
    ----------
    context
        With two I/O threads (`make_context`).
    endpoints
        Of the publisher, to dial; whether it is there yet does not matter. None: whatever is given to `feed`.
    topics
        To subscribe to.
    clock
        Platform time in nanoseconds.
    instruments
        Only these; None: all.
    on_gap
        Called with (topic, stream, first, last) for each gap, before the frame that showed it is handed out.
    on_epoch
        Called with (epoch before, epoch) when the publisher has a new life, once the earlier one is closed.
    high_water
        Frames that may wait here.
    counters
        Table to keep ``star.delivered`` and so on in.
    positions
        Table to keep `positions()` in, for others to compare (`nautilus.bus.positions`).
    replay
        Endpoint of the replayer (`nautilus.bus.base.replay_endpoint`); None: there is none.
    images
        Begin each stream with an image of it; needs a replayer.
    policy, capacity
        For a slow reader, see `nautilus.bus.conflation`; the records that it lets wait.
    heartbeat_ns
        Of the publisher.
    timer
        Time for retries and deadlines: the machine's.
    recovery
        Further arguments of `Recovery`.

    Attributes
    ----------
    delivered, lost, duplicates, unknown, conflated, snapshotted, recovered
        Records: handed out; missing for good; seen before and dropped; of a layout not known here; replaced by newer
        ones; that an image stands for; got by replay (they are among the delivered).
    gaps, epochs, malformed, stale
        Gaps; new lives of the publisher; frames that are none; frames of an earlier life.
    disconnected
        It left the star because it was too slow.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        endpoints: str | Sequence[str] | None,
        topics: Sequence[Topic],
        *,
        clock: Callable[[], int],
        instruments: Sequence[int] | None = None,
        on_gap: Callable[[Topic, int, int, int], None] | None = None,
        on_epoch: Callable[[int, int], None] | None = None,
        high_water: int = 10_000,
        counters: Counters | None = None,
        positions: Counters | None = None,
        replay: str | None = None,
        images: bool = False,
        policy: Policy = "queue",
        capacity: int = 65_536,
        heartbeat_ns: int = 20_000_000,
        timer: Callable[[], int] = machine_ns,
        **recovery: Any,
    ) -> None:
        if policy not in POLICIES:
            raise ValueError(f"policy {policy!r}; expected one of {', '.join(POLICIES)}")
        super().__init__(asks=replay is not None, **recovery)
        self.last_heartbeat_ns = 0
        self.heartbeats = 0
        """Number of the last heartbeat: that of the publisher's `heartbeats` when it was sent."""
        self.touched: set[zmq.Socket[bytes]] = set()
        """Holds a socket while it may not be empty: to be looked at itself before the host waits for its descriptor."""
        self.malformed = 0
        self.disconnected = False
        self.due_ns = 0
        """When `poll` is to be called again at the latest, by `timer`."""
        self._clock, self._timer = clock, timer
        self._on_gap, self._on_epoch = on_gap, on_epoch
        self._by_key: dict[bytes, _Position] = {}
        self._out: list[Batch] = []
        self._told: Rows = NO_ROWS
        self._images = images and self.asks
        self._policy: Policy = policy
        self._capacity = capacity
        self._queue = ReaderQueue() if policy != "queue" else None
        self._heartbeat_ns, self._beat_ns = heartbeat_ns, 0
        # Instruments of each kind; None: all.
        self._filters: dict[int, set[int] | None] = {}
        self._tally = Tally(counters, "star", self, COUNTED)
        self._table = PositionTable(positions, hub=False)
        self.socket = new_socket(context, zmq.SUB)
        self._replies: zmq.Socket[bytes] | None = None
        self.sockets = [self.socket]
        try:
            self.socket.setsockopt(zmq.RCVHWM, high_water)
            self._recv = BackendSocket.recv.__get__(self.socket)
            self._get = BackendSocket.get.__get__(self.socket)
            for topic in sorted(topics, key=lambda topic: layout_of(topic).kind):
                self._subscribe(topic, instruments)
            # The heartbeat last: when the publisher takes it in, it has taken in the others.
            self.socket.setsockopt(zmq.SUBSCRIBE, bytes((HEARTBEAT,)))
            for endpoint in checked_endpoints(endpoints or ()):
                self.socket.connect(endpoint)
            if replay is not None:
                self._replies = new_socket(context, zmq.DEALER)
                self.sockets.append(self._replies)
                self._replies.setsockopt(zmq.SNDHWM, 1_000)
                for endpoint in checked_endpoints(replay):
                    self._replies.connect(endpoint)
        except BaseException:
            for socket in self.sockets:
                socket.close()
            raise

    # What it reads.

    def subscribe(self, topic: Topic, instruments: Sequence[int] | None = None) -> None:
        """Take another topic, or more instruments of one; None: all of them."""
        self._subscribe(topic, instruments)
        # The next heartbeat tells where streams stand that were of no interest so far.
        self.synchronised = False
        self._told = NO_ROWS

    def unsubscribe(self, topic: Topic, instruments: Sequence[int] | None = None) -> None:
        """Take a topic no longer, or these instruments of it no longer; those of an "all" cannot be taken out.

        Raises
        ------
        TopicError
            It is not subscribed to in this way.
        """
        kind = layout_of(topic).kind
        known = self._filters.get(kind, set())
        if (known is None) != (instruments is None) or not set(instruments or ()) <= (known or set()):
            raise TopicError(topic.name, where="unsubscribe", expected="what was subscribed to")
        if known is None or instruments is None:
            self.socket.setsockopt(zmq.UNSUBSCRIBE, bytes((kind,)))
            del self._filters[kind]
        else:
            for instrument in instruments:
                self.socket.setsockopt(zmq.UNSUBSCRIBE, topic_bytes(kind, instrument))
            known.difference_update(instruments)
        for stream in [stream for stream in self.streams if not self.wants(stream)]:
            self._table.put_stream(stream, 0)
            self.forget(stream)

    def wants(self, stream: int) -> bool:
        """Whether it is subscribed to a stream."""
        instruments: set[int] | None = self._filters.get(stream >> 32, _NONE)
        return instruments is None or stream & 0xFFFFFFFF in instruments

    def _subscribe(self, topic: Topic, instruments: Sequence[int] | None) -> None:
        kind = layout_of(topic).kind
        known = self._filters.get(kind, set())
        if instruments is None or known is None:
            if known is None:
                return
            for instrument in known:
                self.socket.setsockopt(zmq.UNSUBSCRIBE, topic_bytes(kind, instrument))
            self.socket.setsockopt(zmq.SUBSCRIBE, bytes((kind,)))
            self._filters[kind] = None
            wanted: tuple[int, ...] = (whole_kind(kind),)
        else:
            fresh = sorted(set(instruments) - known)
            for instrument in fresh:
                self.socket.setsockopt(zmq.SUBSCRIBE, topic_bytes(kind, instrument))
            self._filters[kind] = known.union(fresh)
            wanted = tuple(kind << 32 | instrument for instrument in fresh)
        if self._images:
            self.join(wanted)

    # What comes.

    def drain(self, limit: int = 64) -> list[Batch]:
        """What has come, at most `limit` frames: (topic, records of one stream, read-only), in order of arrival.

        An image or what else has flags is `Marked`. A limit whose frames fit into the processor's cache is quicker than
        a larger one. With a policy for slow readers all that has come is taken in, and up to `limit` batches given.
        """
        if self._replies is not None and not self.disconnected:
            self._take_replies()
        if self._queue is not None:
            return self._drain_queue(limit)
        self._receive(limit)
        if self.requests or self.waits:
            self.poll(self._timer())
        self._tally.write()
        out, self._out = self._out, []
        return out

    def _receive(self, limit: int) -> None:
        out = self._out
        recv, unpack, known, frombuffer = self._recv, _PARTS.unpack_from, self._by_key, np.frombuffer
        self.touched.add(self.socket)
        for number in range(limit):
            # To ask whether there is more costs less than the exception that says there is not.
            if number == 1 and not self._get(EVENTS) & POLLIN:
                self.touched.discard(self.socket)
                break
            try:
                frame = recv(NOBLOCK)
            except zmq.Again:
                self.touched.discard(self.socket)
                break
            if len(frame) < HEADER_BYTES:
                self.malformed += 1
                continue
            layout, count, key, first, flags = unpack(frame)
            position = known.get(key)
            if (
                position is None
                or position.expected != first
                or position.header != layout
                or flags
                or len(frame) != HEADER_BYTES + count * position.record_size
            ):
                # Anything but the next frame of a stream in which nothing is missing.
                self._take_apart(frame, self._timer())
                continue
            position.expected = first + count
            position.delivered += count
            self.delivered += count
            records = position.latest = frombuffer(frame, position.dtype, count, HEADER_BYTES)
            out.append((position.topic, records))

    def feed(self, frame: bytes) -> None:
        """Take a frame that came by any other way; the next `drain` hands out what it brings."""
        if len(frame) < HEADER_BYTES:
            self.malformed += 1
        else:
            self._take_apart(frame, self._timer(), asked=False)

    def poll(self, now_ns: int) -> int:
        """Ask for what is missing, give up what is past its deadline; when to call again at the latest, by `timer`."""
        self.due_ns = self.tick(now_ns)
        if self.requests:
            requests, self.requests = self.requests, []
            assert self._replies is not None
            self.touched.add(self._replies)
            # What finds no room is asked again when it is due.
            with suppress(zmq.Again):
                for request in requests:
                    self._replies.send(pack_request(request), NOBLOCK)
        return self.due_ns

    def _take_replies(self) -> None:
        socket = self._replies
        assert socket is not None
        self.touched.discard(socket)
        for number in range(TURN):
            try:
                frame = socket.recv(NOBLOCK)
            except zmq.Again:
                return
            if number == TURN - 1:
                self.touched.add(socket)
            self.feed(frame)

    def _take_apart(self, frame: bytes, now_ns: int, *, asked: bool = True) -> None:
        """Judge a frame in full, and take in what it brings. asked: it came because it was subscribed to."""
        _, magic, schema, version, size, count, epoch, stream, first, _ = HEADER.unpack_from(frame)
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
        if not self.admits(epoch, frame, now_ns):
            return
        if stream == HEARTBEAT_STREAM:
            self._heartbeat(frame, schema, size, first, now_ns)
            return
        if not self.wants(stream):
            if asked:
                self.unknown += count
            return
        flags = flags_of(frame)
        layout = BY_KIND[stream >> 32]
        known = schema == layout.kind and version >= layout.version and size >= layout.record_size
        self.take(stream, first, count, frame if known else None, flags, now_ns)

    def _heartbeat(self, frame: bytes, schema: int, size: int, number: int, now_ns: int) -> None:
        if schema != HEARTBEAT or size != LAST.size:
            self.malformed += 1
            return
        rows: Rows = np.frombuffer(frame, np.uint64, offset=HEADER_BYTES).reshape(-1, 2)
        if (rows[:, 1] >= MOST).any():
            self.malformed += 1
            return
        # A stream of which it says nothing new has had no frame since the last one.
        changed = [row for row in changed_rows(rows, self._told) if self.wants(row[0])]
        self.take_lasts(changed, now_ns)
        for stream, _ in changed:
            self._write_position(self.streams[stream])
        self._told = rows
        self.heartbeats = number
        self.last_heartbeat_ns = self._clock()
        self._beat_ns = now_ns
        self._table.put("epoch", self.epoch)

    # What becomes of it: see `Recovery`.

    def open_stream(self, stream: int, joined: int) -> StreamState | None:
        """Where it stands in a stream that begins."""
        layout = BY_KIND.get(stream >> 32)
        return _Position(layout, stream, joined, self.epoch) if layout is not None and self.wants(stream) else None

    def on_live(self, state: StreamState, live: bool) -> None:
        """Frames of a stream in which nothing is missing take the short way."""
        assert isinstance(state, _Position)
        if live and self._queue is None:
            self._by_key[state.key] = state
        else:
            self._by_key.pop(state.key, None)

    def on_records(self, state: StreamState, payload: Any, skip: int, count: int, flags: int) -> None:
        """Records are next."""
        self._hand_out(state, payload, skip, count, state.expected - count, flags)

    def on_image(self, state: StreamState, payload: Any, as_of: int) -> None:
        """An image is next. The last of records that each count for themselves is kept, and no news."""
        self._hand_out(state, payload, 0, int.from_bytes(payload[20:24], "little"), as_of, SNAPSHOT)

    def _hand_out(self, state: StreamState, frame: bytes, skip: int, count: int, first: int, flags: int) -> None:
        assert isinstance(state, _Position)
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
    def _batch(state: _Position, first: int, records: Records, flags: int) -> Batch:
        if not flags:
            return state.topic, records
        batch = Marked((state.topic, records))
        batch.flags, batch.sequence = flags, first
        return batch

    def on_lost(self, state: StreamState, first: int, last: int) -> None:
        """Records will not come."""
        assert isinstance(state, _Position)
        if self._on_gap is not None:
            self._on_gap(state.topic, state.stream, first, last)

    def on_new_epoch(self, before: int, epoch: int) -> None:
        """A later life of the publisher begins."""
        self._table.clear()
        self._told = NO_ROWS
        self._by_key.clear()
        if before and self._on_epoch is not None:
            self._on_epoch(before, epoch)

    def on_next(self, item: Any, now_ns: int) -> None:
        """What was held back is to be taken."""
        self._take_apart(item, now_ns)

    # The slow reader.

    def _drain_queue(self, limit: int) -> list[Batch]:
        queue = self._queue
        assert queue is not None
        if not self.disconnected:
            self._receive(TURN)
            if self.requests or self.waits:
                self.poll(self._timer())
        if self._policy == "conflate":
            for state, gone in queue.conflate():
                self._uncount(state, gone)
                state.conflated += gone
                self.conflated += gone
        while self._policy == "drop-oldest" and queue.size > self._capacity and len(queue) > 1:
            state, first, records, flags = queue.pop()
            if flags & SNAPSHOT:
                continue
            self._uncount(state, len(records))
            state.lost += len(records)
            self.lost += len(records)
            self.gaps += 1
            self.on_lost(state, first, first + len(records) - 1)
        if self._policy == "disconnect" and queue.size > self._capacity and not self.disconnected:
            self.disconnected = True
            self.close()
        out: list[Batch] = []
        while len(queue) and len(out) < limit:
            state, first, records, flags = queue.pop()
            assert isinstance(state, _Position)
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

    def is_stale(self, now_ns: int) -> bool:
        """Whether the publisher has been silent for three heartbeats, by `timer`: what it said may be out of date."""
        return now_ns - self._beat_ns > 3 * self._heartbeat_ns

    def last_value(self, topic: Topic, instrument_id: int) -> Records | None:
        """The last record that came of a stream, as an array of one; of a book its last image or delta. None: none yet.

        Whether it may be out of date says `is_stale`.
        """
        state = self.streams.get(layout_of(topic).kind << 32 | instrument_id)
        latest = state.latest if isinstance(state, _Position) else None
        return None if latest is None or not len(latest) else latest[-1:]

    def close(self) -> None:
        """Close the sockets; what waits in them is dropped."""
        self._tally.write()
        for state in self.streams.values():
            self._write_position(state)
        self._table.put("epoch", self.epoch)
        self._table.put("left", 1)
        self.touched.clear()
        for socket in self.sockets:
            socket.close()

    def _write_position(self, state: StreamState) -> None:
        if state.state != JOINING:
            arrived = state.settled - (state.joined - 1) - state.lost
            self._table.put_stream(state.stream, state.joined, arrived, state.settled)


_NONE: set[int] = set()
