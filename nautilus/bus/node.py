"""What both halves of a node of the mesh share: its name and life, counts, dead letters, errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from nautilus.bus.envelope import DeadLetter, Delivery, Envelope
from nautilus.bus.native_sockets import NATIVE
from nautilus.bus.urgent_ring import UrgentRing
from nautilus.core.mesh_node import MeshNode
from nautilus.model.errors import BusError

_LOGGER = logging.getLogger("nautilus.bus")


class MeshError(BusError):
    """A message that the mesh cannot take."""

    code = "bus.mesh"


class ReplyDroppedError(BusError):
    """A request was handled, but its reply is not kept any more."""

    code = "bus.reply_dropped"


class LateError(BusError):
    """A request came after its deadline and was not handled."""

    code = "bus.late"


class Node(MeshNode):
    """One process on the mesh, before it can do anything."""

    def __init__(self, context: zmq.Context[Any], process: str, epoch: int, clock: Callable[[], int]) -> None:
        self.process = process
        self.epoch = epoch
        self.retried = self.dead_lettered = self.duplicates = self.strangers = self.ahead = self.late = 0
        self.failed_calls = 0
        self.urgent_by_ring = self.urgent_by_zmq = self.urgent_copies = 0
        # `touched` holds the sockets to be looked at themselves before the host waits for their descriptors, which may
        # say nothing of what waits there: they were sent to, which takes in what had come, or read and perhaps not
        # emptied.
        self.native = NATIVE
        self._ring: UrgentRing | None = None
        self.on_dead_letters: Callable[[list[DeadLetter]], None] | None = None
        self._context = context
        self._clock = clock

    def _list_sockets(self) -> None:
        """The sockets have changed."""

    def _tell(self, callback: Callable[..., object] | None, *arguments: object) -> None:
        """Call the host back. What it raises must not end the batch that is being read: it is counted and logged."""
        if callback is not None:
            try:
                callback(*arguments)
            except Exception as error:
                self.failed_calls += 1
                if self.failed_calls == 1:
                    _LOGGER.exception("a callback of the mesh raised, later ones are counted only", exc_info=error)

    def _bury(self, messages: Sequence[Envelope | Delivery], peer: str, reason: str) -> None:
        """Make dead letters."""
        if not messages:
            return
        self.dead_lettered += len(messages)
        letters = [
            DeadLetter(
                reason,
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
            for each in messages
        ]
        self._tell(self.on_dead_letters, letters)
