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

import struct
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
    MAGIC,
    Layout,
    checked_endpoints,
    layout_of,
    new_socket,
    topic_bytes,
)
from nautilus.bus.positions import NO_ROWS, PositionTable, Rows, changed_rows
from nautilus.bus.tally import Tally
from nautilus.core.counters import Counters
from nautilus.model.records import Records
from nautilus.model.topics import Topic

NOBLOCK = int(zmq.NOBLOCK)
EVENTS = int(zmq.EVENTS)
POLLIN = int(zmq.POLLIN)
# The header again: magic to record size, count, epoch and stream, first sequence.
_PARTS = struct.Struct("<8x12sI16sQ")
_LAYOUT = struct.Struct("<IHHI")
_STREAM = struct.Struct("<QQ")
MOST = 1 << 62
"""Larger numbers are no sequences and no epochs: whatever is added to one has room in 64 bits."""
COUNTED = ("delivered", "conflated", "gaps", "lost", "duplicates", "unknown", "malformed", "stale")


class _Position:
    """Where a subscriber stands in one stream."""

    __slots__ = (
        "delivered",
        "dtype",
        "expected",
        "header",
        "joined",
        "kind",
        "lost",
        "record_size",
        "topic",
        "unknown",
        "version",
    )

    def __init__(self, layout: Layout, joined: int) -> None:
        self.kind, self.topic, self.dtype, self.record_size, self.version = layout
        self.header = _LAYOUT.pack(MAGIC, layout.kind, layout.version, layout.record_size)
        self.joined = self.expected = joined
        self.delivered = self.lost = self.unknown = 0


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
        self._by_key: dict[bytes, _Position] = {}
        self._told: Rows = NO_ROWS
        self._kinds = frozenset(layout_of(topic).kind for topic in topics)
        self._instruments = None if instruments is None else frozenset(instruments)
        self._tally = Tally(counters, "star", self, COUNTED)
        self._table = PositionTable(positions, hub=False)
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

    def drain(self, limit: int = 64) -> list[tuple[Topic, Records]]:
        """What has come, at most `limit` frames: (topic, records of one stream, read-only), in order of arrival.

        A limit whose frames fit into the processor's cache is quicker than a larger one.
        """
        out: list[tuple[Topic, Records]] = []
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
            layout, count, key, first = unpack(frame)
            position = known.get(key)
            if (
                position is None
                or position.expected != first
                or position.header != layout
                or len(frame) != HEADER_BYTES + count * position.record_size
            ):
                # Anything but the next frame of a known stream.
                self._take_apart(frame, out)
                continue
            position.expected = first + count
            position.delivered += count
            self.delivered += count
            out.append((position.topic, frombuffer(frame, position.dtype, count, HEADER_BYTES)))
        self._tally.write()
        return out

    def _take_apart(self, frame: bytes, out: list[tuple[Topic, Records]]) -> None:
        """Judge a frame in full, and add what is to be handed out."""
        _, magic, schema, version, size, count, epoch, stream, first, _ = HEADER.unpack_from(frame)
        whole = magic == MAGIC and len(frame) == HEADER_BYTES + size * count
        if not whole or not 0 < first < MOST or not epoch < MOST:
            self.malformed += 1
            return
        if epoch != self.epoch and not self._enter(epoch):
            return
        if stream == HEARTBEAT_STREAM:
            self._heartbeat(frame, schema, size, first)
            return
        position = self._positions.get(stream) or self._join(stream, first)
        if position is None:
            self.unknown += count
            return
        old = 0
        if first > position.expected:
            self._gap(position, stream, first - 1)
        elif first < position.expected:
            old = min(position.expected - first, count)
            self.duplicates += old
            if old == count:
                return
        position.expected = first + count
        count -= old
        if schema != position.kind or version < position.version or size < position.record_size:
            position.unknown += count
            self.unknown += count
            return
        # A later version of the layout is read without what it appended.
        records = np.ndarray((count,), position.dtype, frame, HEADER_BYTES + old * size, (size,))
        position.delivered += count
        self.delivered += count
        out.append((position.topic, records))

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
            self._write_position(stream, position)
        self._table.put("epoch", self.epoch)

    def _write_position(self, stream: int, position: _Position) -> None:
        arrived = position.delivered + position.unknown
        self._table.put_stream(stream, position.joined, arrived, position.expected - 1)

    def _enter(self, epoch: int) -> bool:
        """Begin a new epoch; False where it is an earlier one."""
        if epoch < self.epoch:
            self.stale += 1
            return False
        before, self.epoch = self.epoch, epoch
        self._table.clear()
        self._told = NO_ROWS
        self._positions.clear()
        self._by_key.clear()
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
        position = _Position(layout, 1 if self.synchronised else first)
        self._positions[stream] = self._by_key[_STREAM.pack(self.epoch, stream)] = position
        return position

    def _gap(self, position: _Position, stream: int, last: int) -> None:
        first, position.expected = position.expected, last + 1
        position.lost += last - first + 1
        self.lost += last - first + 1
        self.gaps += 1
        if self._on_gap is not None:
            self._on_gap(position.topic, stream, first, last)

    def _heartbeat(self, frame: bytes, schema: int, size: int, number: int) -> None:
        if schema != HEARTBEAT or size != LAST.size:
            self.malformed += 1
            return
        rows: Rows = np.frombuffer(frame, np.uint64, offset=HEADER_BYTES).reshape(-1, 2)
        if (rows[:, 1] >= MOST).any():
            self.malformed += 1
            return
        # A stream of which it says nothing new has had no frame since the last one.
        for stream, last in changed_rows(rows, self._told):
            position = self._positions.get(stream)
            if position is None:
                position = self._join(stream, last + 1)
                if position is None:
                    continue
            if last >= position.expected:
                self._gap(position, stream, last)
            self._write_position(stream, position)
        self._told = rows
        self.synchronised = True
        self.heartbeats = number
        self.last_heartbeat_ns = self._clock()
        self._table.put("epoch", self.epoch)
