"""The one publisher of the star, over XPUB. What it guarantees stands in `nautilus.bus.subscriber`.

What it keeps of its last frames (`buffer`) is sent again, to who asks, by a `nautilus.bus.replayer.Replayer`.
"""

from __future__ import annotations

import struct
from array import array
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
    Layout,
    checked_endpoints,
    layout_of,
    new_socket,
    stream_id,
    topic_bytes,
)
from nautilus.bus.positions import NO_ROWS, PositionTable, Rows, changed_rows, ended_in
from nautilus.bus.reading import next_subscription
from nautilus.bus.ring import RingWriter
from nautilus.bus.tally import Tally
from nautilus.core.clock import now_ns as machine_ns
from nautilus.core.counters import Counters
from nautilus.model.records import Records
from nautilus.model.topics import topic_of

NOBLOCK = int(zmq.NOBLOCK)
EVENTS = int(zmq.EVENTS)
POLLIN = int(zmq.POLLIN)
TEND_NS = 1_000_000_000
"""Between looks for readers of the ring that are no more."""
MOST_BYTES = 1 << 18
"""Records in a frame; more are sent in several."""
LINGER_MS = 200
"""Subscribers that read get to the end of the star within this time; others do not hold up its end."""
_SUBSCRIBED, _UNSUBSCRIBED = bytes((1, HEARTBEAT)), bytes((0, HEARTBEAT))
# The dtypes of the platform are never freed, so their identity names them.
_BY_DTYPE = {id(layout.dtype): layout for layout in LAYOUTS}
# The header again, in the parts that are the same in each frame of a stream and those that are not.
_PARTS = struct.Struct("<20sI16sQqQ")


class _Stream:
    """One stream: the parts of its header that do not change, and where its last sequence is kept."""

    __slots__ = ("head", "key", "place")

    def __init__(self, layout: Layout, instrument: int, epoch: int, place: int) -> None:
        header = HEADER.pack(
            topic_bytes(layout.kind, instrument),
            MAGIC,
            layout.kind,
            layout.version,
            layout.record_size,
            0,
            epoch,
            layout.kind << 32 | instrument,
            0,
            0,
        )
        self.head = header[:20]
        self.key = header[24:40]
        self.place = place


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

    Attributes
    ----------
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
        ring: RingWriter | None = None,
    ) -> None:
        self.epoch = epoch
        self.earlier = ended_in(positions.snapshot() if positions is not None else {})
        self.published = 0
        self.frames = 0
        self.heartbeats = 0
        self.subscribers = 0
        self._clock = clock
        self._heartbeat_ns = heartbeat_ns
        self._due_ns = 0
        # The body of a heartbeat: stream, last sequence; stream, last sequence; ...
        self._lasts = array("Q")
        self._written: Rows = NO_ROWS
        self._by_bytes: dict[int, dict[bytes, _Stream]] = {layout.kind: {} for layout in LAYOUTS}
        self._tally = Tally(counters, "star", self, ("published", "frames"))
        self._table = PositionTable(positions, hub=True)
        self.socket = new_socket(context, zmq.XPUB)
        self.socket.setsockopt(zmq.SNDHWM, high_water)
        self.socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        # The methods below the Python layer of pyzmq: they take only what is needed here.
        self._send = BackendSocket.send.__get__(self.socket)
        self._ring = ring
        self._tend_ns = 0
        self._most = MOST_BYTES if ring is None else min(MOST_BYTES, ring.most - HEADER_BYTES)
        self._keep: Callable[[bytes], object] | None = buffer.append if buffer is not None else None
        if ring is not None:
            self._keep = ring.write
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

    def publish(self, records: Records, flags: int = 0) -> int:
        """Send records, numbered per stream: one frame (of at most 256 KiB) for each instrument. Returns their number.

        `flags`: STALE where their source has fallen silent, see `FrameFlag`.
        """
        count, before = len(records), self.frames
        if not count:
            return 0
        layout = _BY_DTYPE.get(id(records.dtype)) or layout_of(topic_of(records))
        instruments = records["instrument_id"]
        ids = instruments.tobytes()
        if count == 1 or ids == ids[:4] * count:
            self._send_frame(layout, ids[:4], records, count, flags)
            return self.frames - before
        found = dict.fromkeys(instruments.tolist())
        for instrument in found:
            part = records[instruments == instrument]
            self._send_frame(layout, instrument.to_bytes(4, "little"), part, len(part), flags)
        return self.frames - before

    def _send_frame(self, layout: Layout, instrument: bytes, records: Records, count: int, flags: int) -> None:
        if count * layout.record_size > self._most:
            most = self._most // layout.record_size
            for at in range(0, count, most):
                part = records[at : at + most]
                self._send_frame(layout, instrument, part, len(part), flags)
            return
        # The number of the stream in the order of its bytes: as good a key, and it need not be made a number.
        stream = self._by_bytes[layout.kind].get(instrument) or self._begin(layout, instrument)
        lasts, place = self._lasts, stream.place
        last = lasts[place]
        lasts[place] = last + count
        header = _PARTS.pack(stream.head, count, stream.key, last + 1, self._clock(), flags)
        try:
            frame = b"".join((header, records))  # type: ignore[arg-type]
        except TypeError:  # they do not lie side by side
            frame = header + records.tobytes()
        if self._keep is not None:
            self._keep(frame)
        self._send(frame, NOBLOCK)
        self.published += count
        self.frames += 1

    def _begin(self, layout: Layout, instrument: bytes) -> _Stream:
        number = int.from_bytes(instrument, "little")
        self._lasts.extend((stream_id(layout.kind, number), 0))
        stream = _Stream(layout, number, self.epoch, len(self._lasts) - 1)
        self._by_bytes[layout.kind][instrument] = stream
        return stream

    def poll(self, now_ns: int) -> int:
        """Take in subscriptions and send the heartbeat that is due; returns when to call again at the latest.

        Call it also whenever `socket` is readable.
        """
        joined = False
        while self._get(EVENTS) & POLLIN:
            message = next_subscription(self.socket)
            # Each subscriber subscribes to heartbeats once. Anything else may be in its messages, too.
            if message == _SUBSCRIBED:
                joined = True
                self.subscribers += 1
            elif message == _UNSUBSCRIBED and self.subscribers:
                self.subscribers -= 1
        if joined or now_ns >= self._due_ns:
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
            len(self._lasts) // 2,
            self.epoch,
            HEARTBEAT_STREAM,
            self.heartbeats,
            machine_ns(),
        )
        frame = header + self._lasts.tobytes()
        if self._ring is not None and len(frame) <= self._ring.most:
            self._ring.write(frame)
        self._send(frame, NOBLOCK)

    def last_sequences(self) -> dict[int, int]:
        """{stream: sequence of its last record}."""
        return dict(zip(self._lasts[::2], self._lasts[1::2], strict=True))

    def close(self) -> None:
        """Say the last sequences once more and close the socket; the context's end gives what waits there some time."""
        if not self.socket.closed:
            self.heartbeat()
            self._write()
            self.socket.close(linger=LINGER_MS)

    def _write(self) -> None:
        self._tally.write()
        rows = np.frombuffer(self._lasts.tobytes(), np.uint64).reshape(-1, 2)
        for stream, last in changed_rows(rows, self._written):
            self._table.put_stream(stream, last)
        self._written = rows
        self._table.put("hub.epoch", self.epoch)
