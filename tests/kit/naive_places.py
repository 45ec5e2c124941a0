"""The places of the sender's end of a stream: what it holds, and the markers in place of what it need not hold."""

from __future__ import annotations

from heapq import heapify

from nautilus.core.mesh_wire import Envelope, MessageKind

REQUEST = MessageKind.REQUEST
SETTLED = MessageKind.SETTLED
GIVEN_UP = MessageKind.GIVEN_UP
MERGE_AT = 1024
DEADLINES = 64
"""Deadlines of messages that are settled, kept beside those of as many again that are not."""


class Places:
    """What one sender holds for one receiver.

    `held` has every place from `base` up to `next_sequence`, in order, without holes: messages, and markers which
    stand for all from their `sequence` to their `id`. `cursor` is the next to be sent, `received` the last that is
    known to have arrived, `live` the number of messages held.
    """

    __slots__ = (
        "_deadlines",
        "_least_merge",
        "_markers",
        "_merge_at",
        "_settled_to",
        "base",
        "cursor",
        "epoch",
        "held",
        "live",
        "next_sequence",
        "received",
    )

    def __init__(self, epoch: int, merge_at: int) -> None:
        self.epoch = epoch
        self.base = self.next_sequence = self.cursor = 1
        self.received = 0
        self.held: dict[int, Envelope] = {}
        self.live = 0
        self._settled_to = 1
        self._markers = 0
        self._merge_at = self._least_merge = merge_at
        self._deadlines: list[tuple[int, int]] = []

    def _bury(self, sequence: int, kind: MessageKind) -> None:
        self.live -= 1
        if not self.live:
            self._deadlines.clear()
        if sequence == self.base and kind is SETTLED:
            del self.held[sequence]
            self.base = sequence + 1
            return
        old = self.held[sequence]
        self.held[sequence] = Envelope(kind, sequence, self.epoch, sequence, self.base, old.priority)
        self._markers += 1

    def _trim(self) -> None:
        """Let go of markers in front that the receiver need not see or has seen."""
        held, base = self.held, self.base
        while held:
            envelope = held[base]
            kind = envelope.kind
            if kind is not SETTLED and not (kind is GIVEN_UP and envelope.id <= self.received):
                break
            del held[base]
            self._markers -= 1
            base = envelope.id + 1
        self.base = base
        if self.cursor < base:
            self.cursor = base
        if self.received < base - 1:
            self.received = base - 1
        if self._markers >= self._merge_at:
            self._merge()

    def _merge(self) -> None:
        """Join neighbouring markers of one kind."""
        merged: dict[int, Envelope] = {}
        before: Envelope | None = None
        markers = 0
        for sequence, envelope in self.held.items():
            if before is not None and envelope.kind > REQUEST and envelope.kind is before.kind:
                before.id = envelope.id
                continue
            merged[sequence] = before = envelope
            markers += envelope.kind > REQUEST
        self.held = merged
        self._markers = markers
        self._merge_at = max(self._least_merge, 2 * markers)
        self.cursor = self._place(self.cursor)
        self._settled_to = self._place(max(self._settled_to, self.base))

    def _place(self, sequence: int) -> int:
        """Where the place begins that has this sequence."""
        if sequence < self.next_sequence:
            while sequence > self.base and sequence not in self.held:
                sequence -= 1
        return max(sequence, self.base)

    def _is_due(self, deadline_ns: int, sequence: int) -> bool:
        """Whether this is the deadline of something that still waits."""
        envelope = self.held.get(sequence)
        return envelope is not None and envelope.kind <= REQUEST and envelope.deadline_ns == deadline_ns

    def _sweep_deadlines(self) -> None:
        self._deadlines = [due for due in self._deadlines if self._is_due(*due)]
        heapify(self._deadlines)


def last_of(envelope: Envelope) -> int:
    """The last sequence that a place stands for."""
    return envelope.sequence if envelope.kind <= REQUEST else envelope.id
