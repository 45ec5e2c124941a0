"""The star: one publisher of packed records, any number of subscribers, over XPUB/SUB.

Guarantees
----------
- Records of a stream (one kind of one instrument) arrive in order, each at most once in an epoch of the publisher.
- What is missing is known: a frame that skips numbers, or a heartbeat whose last number was not reached, is a gap, and
  each record in it is counted as lost. A lost tail is therefore seen one heartbeat after connection and reader work.
- A subscriber answers for a stream from `joined` on: its first frame, or where the first heartbeat said it stood, or
  number 1 where the stream began later than that heartbeat. So per stream, at all times::

      last known = joined - 1 + delivered + lost + unknown

- A slow reader loses, and knows it; it never slows the publisher or other readers. Nothing lost is sent again.
- What an earlier epoch lost after its last heartbeat cannot be known: a new epoch is counted, and begins anew.

Nothing here waits, starts a thread or raises for what came over the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import zmq
from zmq.backend import Socket as BackendSocket

from nautilus.bus.base import (
    BY_KIND,
    HEADER,
    HEADER_BYTES,
    HEARTBEAT,
    HEARTBEAT_STREAM,
    LAST,
    LAYOUTS,
    MAGIC,
    Layout,
    checked_endpoints,
    layout_of,
    new_socket,
    topic_bytes,
)
from nautilus.bus.positions import PositionTable
from nautilus.bus.tally import Tally
from nautilus.core.counters import Counters
from nautilus.model.records import Records
from nautilus.model.topics import Topic, topic_of

NOBLOCK = int(zmq.NOBLOCK)
EVENTS = int(zmq.EVENTS)
POLLIN = int(zmq.POLLIN)
LINGER_MS = 200
"""Subscribers that read get to the end of the star within this time; others do not hold up its end."""
# The dtypes of the platform are never freed, so their identity names them.
_BY_DTYPE = {id(layout.dtype): layout for layout in LAYOUTS}


class Publisher:
    """The one publisher of the star. Never blocks: what a slow reader's queue has no room for is not sent to it.

    Parameters
    ----------
    context
        With two I/O threads (`make_context`), so that the star stays off the urgent one.
    endpoints
        To bind: ipc, or TCP on loopback; `endpoints` then tells what was bound (port 0 is resolved).
    epoch
        Higher than that of every earlier life of this publisher.
    clock
        Platform time in nanoseconds.
    heartbeat_ns
        Between heartbeats; one follows each new subscription at once.
    high_water
        Frames queued for each subscriber, and no more.
    counters
        Table to keep ``star.published`` (records) and ``star.frames`` in.
    positions
        Table to keep the last sequence of each stream in, for others to compare (`nautilus.bus.positions`).
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        endpoints: str | Sequence[str],
        *,
        epoch: int,
        clock: Callable[[], int],
        heartbeat_ns: int = 20_000_000,
        high_water: int = 10_000,
        counters: Counters | None = None,
        positions: Counters | None = None,
    ) -> None:
        self.epoch = epoch
        self.published = 0
        self.frames = 0
        self.heartbeats = 0
        self.subscribers = 0
        self._clock = clock
        self._heartbeat_ns = heartbeat_ns
        self._due_ns = 0
        # stream -> [topic bytes, last sequence]
        self._streams: dict[int, list[Any]] = {}
        self._tally = Tally(counters, "star", self, ("published", "frames"))
        self._table = PositionTable(positions)
        self.socket = new_socket(context, zmq.XPUB)
        self.socket.setsockopt(zmq.SNDHWM, high_water)
        self.socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        # The methods below the Python layer of pyzmq: they take only what is needed here.
        self._send = BackendSocket.send.__get__(self.socket)
        self._get: Callable[[int], int] = BackendSocket.get.__get__(self.socket)
        bound = []
        try:
            for endpoint in checked_endpoints(endpoints):
                self.socket.bind(endpoint)
                bound.append(self.socket.getsockopt_string(zmq.LAST_ENDPOINT))
        except BaseException:
            self.socket.close()
            raise
        self.endpoints = tuple(bound)

    def publish(self, records: Records) -> int:
        """Send records, numbered per stream: one frame for each instrument among them. Returns the frames."""
        count = len(records)
        if not count:
            return 0
        layout = _BY_DTYPE.get(id(records.dtype)) or layout_of(topic_of(records))
        ids = records["instrument_id"].tobytes()
        if count == 1 or ids == ids[:4] * count:
            self._send_frame(layout, int.from_bytes(ids[:4], "little"), records, count)
            return 1
        instruments = records["instrument_id"]
        found = dict.fromkeys(instruments.tolist())
        for instrument in found:
            part = records[instruments == instrument]
            self._send_frame(layout, instrument, part, len(part))
        return len(found)

    def _send_frame(self, layout: Layout, instrument: int, records: Records, count: int) -> None:
        kind = layout.kind
        stream = kind << 32 | instrument
        state = self._streams.get(stream)
        if state is None:
            state = self._streams[stream] = [topic_bytes(kind, instrument), 0]
        last = state[1]
        header = HEADER.pack(
            state[0],
            MAGIC,
            kind,
            layout.version,
            layout.record_size,
            count,
            self.epoch,
            stream,
            last + 1,
            self._clock(),
        )
        state[1] = last + count
        self._send(header + records.tobytes(), NOBLOCK)
        self.published += count
        self.frames += 1

    def poll(self, now_ns: int) -> int:
        """Take in subscriptions and send the heartbeat that is due; returns when to call again at the latest.

        Call it also whenever `socket` is readable.
        """
        joined = False
        while self._get(EVENTS) & POLLIN:
            message = self.socket.recv(NOBLOCK)
            if message[1:2] == b"\xff":
                joined |= message[0] == 1
                self.subscribers += 1 if message[0] == 1 else -1
        if joined or now_ns >= self._due_ns:
            self.heartbeat()
            self._due_ns = now_ns + self._heartbeat_ns
            self._write()
        return self._due_ns

    def heartbeat(self) -> None:
        """Tell every subscriber the last sequence of each stream, now."""
        self.heartbeats += 1
        lasts = b"".join([LAST.pack(stream, state[1]) for stream, state in self._streams.items()])
        header = HEADER.pack(
            topic_bytes(HEARTBEAT, 0),
            MAGIC,
            HEARTBEAT,
            1,
            LAST.size,
            len(self._streams),
            self.epoch,
            HEARTBEAT_STREAM,
            self.heartbeats,
            self._clock(),
        )
        self._send(header + lasts, NOBLOCK)

    def last_sequences(self) -> dict[int, int]:
        """{stream: sequence of its last record}."""
        return {stream: state[1] for stream, state in self._streams.items()}

    def close(self) -> None:
        """Say the last sequences once more and close the socket; the context's end gives what waits there some time."""
        if not self.socket.closed:
            self.heartbeat()
            self._write()
            self.socket.close(linger=LINGER_MS)

    def _write(self) -> None:
        self._tally.write()
        for stream, state in self._streams.items():
            self._table.put(f"hub.{stream:x}.last", state[1])
        self._table.put("hub.epoch", self.epoch)


class _Position:
    """Where a subscriber stands in one stream."""

    __slots__ = ("delivered", "expected", "joined", "kind", "layout", "lost", "topic", "unknown")

    def __init__(self, kind: int, layout: Layout, joined: int) -> None:
        self.kind = kind
        self.layout = layout
        self.topic = layout.topic
        self.joined = joined
        self.expected = joined
        self.delivered = 0
        self.lost = 0
        self.unknown = 0


class Subscriber:
    """A reader of the star.

    Parameters
    ----------
    context
        With two I/O threads (`make_context`).
    endpoints
        Of the publisher, to dial; whether it is there yet does not matter.
    topics
        To subscribe to.
    clock
        Platform time in nanoseconds.
    instruments
        Only these; None: all.
    on_gap
        Called with (topic, stream, first, last) for each gap, before the frame that showed it is handed out.
    on_epoch
        Called with (epoch before, epoch) when the publisher has a new life.
    high_water
        Frames that may wait here.
    counters
        Table to keep ``star.delivered`` and so on in.
    positions
        Table to keep `positions()` in, for others to compare (`nautilus.bus.positions`).

    Attributes
    ----------
    delivered, lost, duplicates, unknown, conflated
        Records: handed out; missing; seen before and dropped; of a layout not known here; replaced by newer ones.
    gaps, epochs, malformed, stale
        Gaps; new lives of the publisher; frames that are none; frames of an earlier life.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        endpoints: str | Sequence[str],
        topics: Sequence[Topic],
        *,
        clock: Callable[[], int],
        instruments: Sequence[int] | None = None,
        on_gap: Callable[[Topic, int, int, int], None] | None = None,
        on_epoch: Callable[[int, int], None] | None = None,
        high_water: int = 10_000,
        counters: Counters | None = None,
        positions: Counters | None = None,
    ) -> None:
        self.epoch = 0
        self.epochs = 0
        self.synchronised = False
        """A heartbeat of this epoch has come: from here on no stream can begin unseen."""
        self.last_heartbeat_ns = 0
        self.heartbeats = 0
        """Number of the last heartbeat: that of the publisher's `heartbeats` when it was sent."""
        self.touched: set[zmq.Socket[bytes]] = set()
        """Holds `socket` while it may not be empty: to be looked at itself before the host waits for its descriptor."""
        self.delivered = self.lost = self.gaps = self.duplicates = 0
        self.conflated = self.unknown = self.malformed = self.stale = 0
        self._clock = clock
        self._on_gap = on_gap
        self._on_epoch = on_epoch
        self._positions: dict[int, _Position] = {}
        self._kinds = frozenset(layout_of(topic).kind for topic in topics)
        self._instruments = None if instruments is None else frozenset(instruments)
        self._tally = Tally(counters, "star", self, ("delivered", "conflated", "gaps", "lost"))
        self._table = PositionTable(positions)
        self._table.put("epoch", 0)  # what an earlier life left there is not this one's
        self._table.put("left", 0)
        self.socket = new_socket(context, zmq.SUB)
        self.socket.setsockopt(zmq.RCVHWM, high_water)
        self._recv = BackendSocket.recv.__get__(self.socket)
        self._get = BackendSocket.get.__get__(self.socket)
        # The heartbeat last: when the publisher takes it in, it has taken in the others.
        for kind in sorted(self._kinds):
            if self._instruments is None:
                self.socket.setsockopt(zmq.SUBSCRIBE, bytes((kind,)))
            else:
                for instrument in sorted(self._instruments):
                    self.socket.setsockopt(zmq.SUBSCRIBE, topic_bytes(kind, instrument))
        self.socket.setsockopt(zmq.SUBSCRIBE, bytes((HEARTBEAT,)))
        try:
            for endpoint in checked_endpoints(endpoints):
                self.socket.connect(endpoint)
        except BaseException:
            self.socket.close()
            raise

    def drain(self, limit: int = 256) -> list[tuple[Topic, Records]]:
        """What has come, at most `limit` frames: (topic, records of one stream, read-only), in order of arrival."""
        out: list[tuple[Topic, Records]] = []
        recv, unpack, positions, frombuffer = self._recv, HEADER.unpack_from, self._positions, np.frombuffer
        delivered = 0
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
            _, magic, schema, version, size, count, epoch, stream, first, _ = unpack(frame)
            if magic != MAGIC or len(frame) != HEADER_BYTES + size * count:
                self.malformed += 1
                continue
            if epoch != self.epoch and not self._enter(epoch):
                continue
            position = positions.get(stream)
            if position is None:
                if stream == HEARTBEAT_STREAM:
                    self._heartbeat(frame, schema, size, first)
                    continue
                position = self._join(stream, first)
                if position is None:
                    self.unknown += count
                    continue
            skip = 0
            if first != position.expected:
                skip = self._misplaced(position, stream, first, count)
                if skip >= count:
                    continue
            position.expected = first + count
            layout = position.layout
            if schema != layout.kind or version != layout.version or size != layout.record_size:
                records = self._foreign(position, frame, schema, version, size, count)
                if records is None:
                    continue
            else:
                records = frombuffer(frame, layout.dtype, count, HEADER_BYTES)
            if skip:
                records = records[skip:]
                count -= skip
            position.delivered += count
            delivered += count
            out.append((position.topic, records))
        self.delivered += delivered
        self._tally.write()
        return out

    def positions(self) -> dict[int, tuple[int, int, int]]:
        """{stream: (joined, delivered, last known sequence)} in this epoch.

        What the publisher's `last_sequences` says beyond ``joined - 1 + delivered`` did not arrive, or not yet.
        """
        return {
            stream: (position.joined, position.delivered, position.expected - 1)
            for stream, position in self._positions.items()
        }

    @property
    def joined(self) -> dict[int, int]:
        """{stream: sequence from which on this subscriber answers for it}."""
        return {stream: position.joined for stream, position in self._positions.items()}

    def close(self) -> None:
        """Close the socket; what waits in it is dropped."""
        self._tally.write()
        self._write_positions()
        self._table.put("left", 1)
        self.socket.close()

    def _write_positions(self) -> None:
        for stream, position in self._positions.items():
            name = f"{stream:x}"
            self._table.put(f"{name}.joined", position.joined)
            self._table.put(f"{name}.arrived", position.delivered + position.unknown)
            self._table.put(f"{name}.known", position.expected - 1)
        self._table.put("epoch", self.epoch)

    def _enter(self, epoch: int) -> bool:
        """Begin a new epoch; False where it is an earlier one."""
        if epoch < self.epoch:
            self.stale += 1
            return False
        before, self.epoch = self.epoch, epoch
        for stream in self._positions:
            self._table.put(f"{stream:x}.joined", 0)
        self._positions.clear()
        self.synchronised = False
        if before:
            self.epochs += 1
            if self._on_epoch is not None:
                self._on_epoch(before, epoch)
        return True

    def _join(self, stream: int, first: int) -> _Position | None:
        """Open a stream at its first frame (or where the last heartbeat shows that it began unseen)."""
        kind, instrument = stream >> 32, stream & 0xFFFFFFFF
        layout = BY_KIND.get(kind)
        if layout is None or kind not in self._kinds:
            return None
        if self._instruments is not None and instrument not in self._instruments:
            return None
        position = self._positions[stream] = _Position(kind, layout, 1 if self.synchronised else first)
        return position

    def _misplaced(self, position: _Position, stream: int, first: int, count: int) -> int:
        """A frame that does not begin at the next record: note the gap, or tell how much of it is old."""
        if first > position.expected:
            self._gap(position, stream, first - 1)
            return 0
        old = min(position.expected - first, count)
        self.duplicates += old
        return old

    def _gap(self, position: _Position, stream: int, last: int) -> None:
        first, position.expected = position.expected, last + 1
        position.lost += last - first + 1
        self.lost += last - first + 1
        self.gaps += 1
        if self._on_gap is not None:
            self._on_gap(position.topic, stream, first, last)

    def _foreign(
        self, position: _Position, frame: bytes, schema: int, version: int, size: int, count: int
    ) -> Records | None:
        """Records of a later version of the layout, without what it appended; None where it is another layout."""
        layout = position.layout
        if schema != layout.kind or version < layout.version or size < layout.record_size:
            position.unknown += count
            self.unknown += count
            return None
        return np.ndarray((count,), layout.dtype, frame, HEADER_BYTES, (size,))

    def _heartbeat(self, frame: bytes, schema: int, size: int, number: int) -> None:
        if schema != HEARTBEAT or size != LAST.size:
            self.malformed += 1
            return
        for stream, last in LAST.iter_unpack(memoryview(frame)[HEADER_BYTES:]):
            position = self._positions.get(stream)
            if position is None:
                position = self._join(stream, last + 1)
                if position is None:
                    continue
            if last >= position.expected:
                self._gap(position, stream, last)
        self.synchronised = True
        self.heartbeats = number
        self.last_heartbeat_ns = self._clock()
        self._write_positions()


def count_lost(last_sequences: dict[int, int], positions: dict[int, tuple[int, int, int]]) -> int:
    """Records that a publisher sent and a subscriber, asked when all is quiet, neither got nor came too late for.

    `lost` counted from both ends: the publisher's `last_sequences`, the subscriber's `positions`.
    """
    return sum(
        last_sequences[stream] - (joined - 1) - delivered
        for stream, (joined, delivered, _) in positions.items()
        if stream in last_sequences
    )
