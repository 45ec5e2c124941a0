"""What a standby hub keeps of the star of the active one: its frames, to close that one's epoch when it is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import zmq

from nautilus.bus.backlog import Backlog, FrameBuffer
from nautilus.bus.base import HEADER, HEADER_BYTES, HEARTBEAT, HEARTBEAT_STREAM, LAST, MAGIC, MOST
from nautilus.bus.compression import MARKED
from nautilus.bus.sockets import checked_endpoints, new_socket

TURN: Final = 1_024
LOOKED: Final = 4_096
"""Frames that a turn reads, and looks at, at most."""


class FollowedStar:
    """Frames of the active hub's present epoch; an `Archive` for the replayer of the one that takes over.

    Attributes
    ----------
    epoch : of the hub that is followed; the highest that was heard of.
    frames, gaps, stale, malformed
        Frames kept; holes in streams, which can be sent again to nobody; frames of an earlier epoch; that are none.
    heard_ns : when something of it came last.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        endpoints: tuple[str, ...],
        *,
        buffer_frames: int = 65_536,
        high_water: int = 10_000,
    ) -> None:
        self.epoch = 0
        self.frames = self.gaps = self.stale = self.malformed = 0
        self.heard_ns = 0
        self._buffer_frames = buffer_frames
        self._backlog = Backlog(FrameBuffer(buffer_frames), 0)
        self._lasts: dict[int, int] = {}
        self.socket = new_socket(context, zmq.SUB)
        self.socket.setsockopt(zmq.RCVHWM, high_water)
        self.socket.setsockopt(zmq.SUBSCRIBE, b"")
        try:
            for endpoint in checked_endpoints(endpoints):
                self.socket.connect(endpoint)
        except BaseException:
            self.socket.close()
            raise

    def poll(self, now_ns: int) -> None:
        """Take in what has come."""
        for _ in range(TURN):
            try:
                frame = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            self._take(frame, now_ns)
        self._backlog.look(LOOKED)

    def _take(self, frame: bytes, now_ns: int) -> None:
        if len(frame) < HEADER_BYTES:
            self.malformed += 1
            return
        if frame[0] in MARKED:  # sent once more, compressed, for others
            return
        _, magic, schema, _, size, count, epoch, stream, first, _ = HEADER.unpack_from(frame)
        whole = magic == MAGIC and len(frame) == HEADER_BYTES + size * count
        if not whole or not 0 < first < MOST or not 0 < epoch < MOST or first + count > MOST:
            self.malformed += 1
            return
        if epoch < self.epoch:
            self.stale += 1
            return
        if epoch > self.epoch:
            self.epoch = epoch
            self._backlog = Backlog(FrameBuffer(self._buffer_frames), epoch)
            self._lasts.clear()
        self.heard_ns = now_ns
        if stream == HEARTBEAT_STREAM:
            if schema != HEARTBEAT or size != LAST.size:
                self.malformed += 1
                return
            for each, last in np.frombuffer(frame, np.uint64, offset=HEADER_BYTES).reshape(-1, 2).tolist():
                if last < MOST:
                    self._lasts[each] = max(last, self._lasts.get(each, 0))
            return
        self.gaps += self._lasts.get(stream, first - 1) < first - 1
        self._lasts[stream] = max(first + count - 1, self._lasts.get(stream, 0))
        self.frames += 1
        frames = self._backlog.frames
        assert isinstance(frames, FrameBuffer)
        frames.append(frame)

    def find(self, epoch: int, stream: int, first: int, last: int) -> Iterator[bytes | None]:
        """See `nautilus.bus.replayer.Archive`."""
        if epoch == self.epoch:
            while self._backlog.lag and self._backlog.look(LOOKED):
                yield None
            yield from self._backlog.find(stream, first, last)

    def ends(self) -> dict[int, dict[int, int]]:
        """See `nautilus.bus.replayer.Archive`."""
        return {self.epoch: dict(self._lasts)} if self.epoch else {}

    def close(self) -> None:
        """Hear no more; what was kept stays."""
        self.socket.close()
