"""The one publisher of the star, over XPUB. What it guarantees stands in `nautilus.bus.subscriber`.

What it keeps of its last frames (`buffer`) is sent again, to who asks, by a `nautilus.bus.replayer.Replayer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import zmq
from zmq.backend import Socket as BackendSocket

from nautilus.bus.backlog import FrameBuffer
from nautilus.bus.base import (
    HEADER,
    HEADER_BYTES,
    HEARTBEAT,
    HEARTBEAT_STREAM,
    LAST,
    LAYOUTS,
    MAGIC,
    MOST_BYTES,
    checked_endpoints,
    layout_of,
    new_socket,
    topic_bytes,
)
from nautilus.bus.compression import MARK, Compressor
from nautilus.bus.native_sockets import sender
from nautilus.bus.positions import PositionTable, Rows, changed_rows, ended_in
from nautilus.bus.reading import next_subscription
from nautilus.bus.ring import RingWriter
from nautilus.bus.tally import Tally
from nautilus.core.clock import now_ns as machine_ns
from nautilus.core.counters import Counters
from nautilus.core.last_values import LastValueWriter
from nautilus.core.star_writer import FrameWriter
from nautilus.model.records import Records
from nautilus.model.topics import topic_of

NOBLOCK = int(zmq.NOBLOCK)
EVENTS = int(zmq.EVENTS)
POLLIN = int(zmq.POLLIN)
TEND_NS = 1_000_000_000
"""Between looks for readers of the ring that are no more."""
LINGER_MS = 200
"""Subscribers that read get to the end of the star within this time; others do not hold up its end."""
_SUBSCRIBED = bytes((1, HEARTBEAT)), bytes((1, HEARTBEAT ^ MARK))
_UNSUBSCRIBED = bytes((0, HEARTBEAT)), bytes((0, HEARTBEAT ^ MARK))


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
    buffer
        To keep the last frames in, where there is no ring.
    ring
        To write each frame into as well, for readers of this host and for replays.
    tap
        Called with each frame before it is sent, heartbeats too: a mirror, which must not wait.
    values
        Table to keep the last record of each stream in.
    on_beat
        Called with each heartbeat before it is sent.

    Attributes
    ----------
    compressor : what it sends to readers that ask for compression.
    earlier : epoch of an earlier life and {stream: last sequence} as `positions` says; epoch 0: it says nothing.
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
        buffer: FrameBuffer | None = None,
        tap: Callable[[bytes], object] | None = None,
        ring: RingWriter | None = None,
        values: LastValueWriter | None = None,
        on_beat: Callable[[bytes], object] | None = None,
    ) -> None:
        self.epoch = epoch
        self.earlier = ended_in(positions.snapshot() if positions is not None else {})
        self.heartbeats = 0
        self.subscribers = 0
        self._clock = clock
        self._heartbeat_ns = heartbeat_ns
        self._due_ns = 0
        self._writer = FrameWriter(epoch)
        for layout in LAYOUTS:
            self._writer.layout(layout.kind, layout.version, layout.dtype)
        self._publish = sender(self._writer, ring, values)
        self._written = b""
        self.compressor = Compressor()
        self._packs = self.compressor.wanted
        self._tally = Tally(counters, "star", self, ("published", "frames"))
        self._table = PositionTable(positions, hub=True)
        self.socket = new_socket(context, zmq.XPUB)
        self.socket.setsockopt(zmq.SNDHWM, high_water)
        self.socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        # The methods below the Python layer of pyzmq: they take only what is needed here.
        self._send = BackendSocket.send.__get__(self.socket)
        self._tap = tap
        self._ring = ring
        self._values = values
        self._on_beat = on_beat
        self._tend_ns = 0
        self._most = MOST_BYTES if ring is None else min(MOST_BYTES, ring.most - HEADER_BYTES)
        # The dtypes of the platform are never freed, so their identity names them.
        self._known = {id(each.dtype): (each.kind, self._most // each.record_size) for each in LAYOUTS}
        self._buffer: Callable[[bytes], object] | None = buffer.append if buffer is not None else None
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
        """Send records, numbered per stream: a frame (of at most 256 KiB) for each instrument. Returns their number."""
        kind, most = self._known.get(id(records.dtype)) or self._layout_of(records)
        if self._buffer is None and self._tap is None and not self._packs:
            return self._publish(self.socket, records, kind, self._clock(), most)
        made = self._writer.pack(records, kind, self._clock(), most)
        for frame in made:
            if self._buffer is not None:
                self._buffer(frame)
            if self._ring is not None:
                self._ring.write(frame)
            if self._values is not None:
                self._values.put_frame(frame)
            if self._tap is not None:
                self._tap(frame)
            self._send(frame, NOBLOCK)
            if self._packs:
                self._send_packed(frame)
        return len(made)

    @property
    def published(self) -> int:
        """Records so far."""
        return self._writer.published

    @property
    def frames(self) -> int:
        """Frames of records so far."""
        return self._writer.frames

    def _layout_of(self, records: Records) -> tuple[int, int]:
        """The kind of records, and how many of them a frame has at most."""
        layout = layout_of(topic_of(records))
        return layout.kind, self._most // layout.record_size

    def poll(self, now_ns: int) -> int:
        """Take in subscriptions and send the heartbeat that is due; returns when to call again at the latest.

        Call it also whenever `socket` is readable.
        """
        joined = False
        while self._get(EVENTS) & POLLIN:
            message = next_subscription(self.socket)
            self.compressor.note(message)
            # Each subscriber subscribes to heartbeats once. Anything else may be in its messages, too.
            if message in _SUBSCRIBED:
                joined = True
                self.subscribers += 1
            elif message in _UNSUBSCRIBED and self.subscribers:
                self.subscribers -= 1
        # The time of the next one is a long way off where the clock was set back.
        if joined or not self._due_ns - self._heartbeat_ns <= now_ns < self._due_ns:
            self.heartbeat()
            self._due_ns = now_ns + self._heartbeat_ns
            self._write()
            if self._ring is not None and now_ns >= self._tend_ns:
                self._tend_ns = now_ns + TEND_NS
                self._ring.tend()
        return self._due_ns

    def heartbeat(self) -> None:
        """Tell every subscriber the last sequence of each stream, now."""
        self.heartbeats += 1
        header = HEADER.pack(
            topic_bytes(HEARTBEAT, 0),
            MAGIC,
            HEARTBEAT,
            1,
            LAST.size,
            len(self._writer),
            self.epoch,
            HEARTBEAT_STREAM,
            self.heartbeats,
            machine_ns(),
        )
        frame = header + self._writer.lasts()
        if self._on_beat is not None:
            self._on_beat(frame)
        if self._tap is not None:
            self._tap(frame)
        if self._ring is not None and len(frame) <= self._ring.most:
            self._ring.write(frame)
        self._send(frame, NOBLOCK)
        if self._packs:
            self._send_packed(frame)

    def _send_packed(self, frame: bytes) -> None:
        packed = self.compressor.pack(frame)
        if packed is not None:
            self._send(packed, NOBLOCK)

    def last_sequences(self) -> dict[int, int]:
        """{stream: sequence of its last record}."""
        return dict(_rows_of(self._writer.lasts()).tolist())

    def close(self) -> None:
        """Say the last sequences once more and close the socket; the context's end gives what waits there some time."""
        if not self.socket.closed:
            self.heartbeat()
            self._write()
            self.socket.close(linger=LINGER_MS)

    def _write(self) -> None:
        self._tally.write()
        lasts = self._writer.lasts()
        if lasts != self._written:
            for stream, last in changed_rows(_rows_of(lasts), _rows_of(self._written)):
                self._table.put_stream(stream, last)
            self._written = lasts
        self._table.put("hub.epoch", self.epoch)


def _rows_of(lasts: bytes) -> Rows:
    return np.frombuffer(lasts, np.uint64).reshape(-1, 2)
