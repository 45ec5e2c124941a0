"""What both halves of a node of the mesh share: its name and life, counts, dead letters, errors."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import zmq

from nautilus.bus.envelope import DeadLetter, Envelope
from nautilus.model.errors import BusError

DEAD_LETTERS_KEPT = 1_000


class MeshError(BusError):
    """A message that the mesh cannot take."""

    code = "bus.mesh"


class ReplyDroppedError(BusError):
    """A request was handled, but its reply is not kept any more."""

    code = "bus.reply_dropped"


class LateError(BusError):
    """A request came after its deadline and was not handled."""

    code = "bus.late"


class Node:
    """One process on the mesh, before it can do anything."""

    def __init__(self, context: zmq.Context[Any], process: str, epoch: int, clock: Callable[[], int]) -> None:
        self.process = process
        self.epoch = epoch
        self.sent = self.acknowledged = self.retried = self.dead_lettered = self.received = self.duplicates = 0
        self.malformed = self.stale = self.ahead = self.late = self.unanswerable = 0
        self.dead_letters: deque[DeadLetter] = deque(maxlen=DEAD_LETTERS_KEPT)
        self.touched: set[zmq.Socket[bytes]] = set()
        """Sockets to be looked at themselves before the host waits for their descriptors, which may say nothing of what
        waits there: they were sent to, which takes in what had come, or read from and perhaps not emptied."""
        self.on_dead_letters: Callable[[list[DeadLetter]], None] | None = None
        self._context = context
        self._clock = clock
        self._encode = msgspec.msgpack.Encoder().encode

    def _list_sockets(self) -> None:
        """The sockets have changed."""

    def _bury(self, envelopes: list[Envelope], peer: str, reason: str, now_ns: int = 0) -> None:
        """Make dead letters."""
        if not envelopes:
            return
        now_ns = now_ns or self._clock()
        letters = [
            DeadLetter(
                reason,
                now_ns,
                peer,
                each.kind,
                each.id,
                each.priority,
                each.sender,
                each.to,
                each.deadline_ns,
                each.trace_id,
                each.payload,
            )
            for each in envelopes
        ]
        self.dead_lettered += len(letters)
        self.dead_letters.extend(letters)
        if self.on_dead_letters is not None:
            self.on_dead_letters(letters)
