"""The receiver's end of one ordered stream of the mesh, as a pure state machine: no socket, no clock.

What it guarantees together with the sender's end stands in `nautilus.bus.send_stream`.
"""

from __future__ import annotations

from enum import Enum

from nautilus.bus.envelope import Answer, Envelope, MessageKind

REQUEST = MessageKind.REQUEST
GIVEN_UP = MessageKind.GIVEN_UP


class Verdict(Enum):
    """What a receiver makes of an envelope."""

    DELIVER = 1
    SKIP = 2
    """A marker taken in order."""
    DUPLICATE = 3
    AHEAD = 4
    """Something before it has not arrived: not taken, it will come again."""
    REFUSED = 5
    """From an earlier life of the sender."""


DELIVER, SKIP, DUPLICATE, AHEAD, REFUSED = Verdict
KEPT_REPLIES = 8_192
SWEEP_AT = 64
"""Replies kept until it is looked which of them the sender no longer holds."""


class ReceiveStream:
    """The receiver's end, in one life of the receiver.

    Attributes
    ----------
    expected
        The sequence that is taken next.
    handled
        All up to here have been handled.
    skipped
        After `accept`: (first, last) that will never be delivered, or None.
    replies
        {sequence: answer} of requests that the sender may ask for again; the newest `KEPT_REPLIES` of them.
    """

    __slots__ = (
        "_ahead",
        "_fresh",
        "_sweep_at",
        "base",
        "epoch",
        "expected",
        "handled",
        "missing",
        "replies",
        "skipped",
    )

    def __init__(self) -> None:
        self.epoch = self.base = self.expected = self.handled = 0
        self.skipped: tuple[int, int] | None = None
        self.missing = 0
        self.replies: dict[int, Answer] = {}
        self._ahead: dict[int, int] = {}
        self._fresh = True
        self._sweep_at = SWEEP_AT

    def accept(self, envelope: Envelope) -> Verdict:
        """Judge an envelope; what is to be delivered counts as received from here on."""
        if (
            envelope.sequence == self.expected
            and envelope.epoch == self.epoch
            and envelope.base == self.expected
            and envelope.kind <= REQUEST
        ):
            # The next one, and the only one that the sender holds: most are so, and there is little to do.
            self.skipped = None
            self.base = self.expected
            self.expected += 1
            self._fresh = False
            return DELIVER
        self.skipped = None
        if envelope.epoch != self.epoch:
            if envelope.epoch < self.epoch:
                return REFUSED
            self._begin(envelope.epoch, envelope.base)
        elif envelope.base > self.base:
            self.base = envelope.base
            if envelope.base > self.expected:
                self._advance(envelope.base)
        sequence, expected = envelope.sequence, self.expected
        if envelope.kind <= REQUEST:
            if sequence == expected:
                self.expected = sequence + 1
                self._fresh = False
                return DELIVER
            return DUPLICATE if sequence < expected else AHEAD
        if sequence > expected:
            return AHEAD
        last = envelope.id
        if last < expected:
            return DUPLICATE
        if envelope.kind is GIVEN_UP:
            self.skipped = (expected, last)
        self._pass_over(last)
        self._fresh = False
        return SKIP

    def finish(self, sequence: int) -> bool:
        """The handler of a delivered message has run; False where that was known."""
        handled = self.handled
        if sequence == handled + 1:
            handled = sequence
            ahead = self._ahead
            while ahead:
                last = ahead.pop(handled + 1, 0)
                if not last:
                    break
                handled = last
            self.handled = handled
            return True
        if sequence <= handled or sequence in self._ahead:
            return False
        self._ahead[sequence] = sequence
        return True

    def finished(self, sequence: int) -> bool:
        """Whether the handler of a delivered message has run."""
        return sequence <= self.handled or sequence in self._ahead

    def reply(self, sequence: int, answer: Answer) -> bool:
        """The handler of a request has run, and this is its answer; False where that was known."""
        if sequence == self.handled + 1 and not self._ahead:
            self.handled = sequence
        elif not self.finish(sequence):
            return False
        self.keep(sequence, answer)
        answer.received = self.expected - 1
        answer.handled = self.handled
        return True

    def keep(self, sequence: int, answer: Answer) -> None:
        """Keep the answer of a request until the sender no longer holds that."""
        replies = self.replies
        replies[sequence] = answer
        if len(replies) >= self._sweep_at:
            for old in [old for old in replies if old < self.base]:
                del replies[old]
            if len(replies) > KEPT_REPLIES:
                del replies[next(iter(replies))]
            self._sweep_at = min(max(SWEEP_AT, 2 * len(replies)), KEPT_REPLIES + 1)

    def _begin(self, epoch: int, base: int) -> None:
        self.epoch = epoch
        self.base = self.expected = base
        self.handled = base - 1
        self.missing = 0
        self.replies.clear()
        self._ahead.clear()
        self._fresh = True

    def _advance(self, base: int) -> None:
        """The sender holds nothing before `base`, so what is missing before it will not come."""
        if not self._fresh:
            self.skipped = (self.expected, base - 1)
        self._pass_over(base - 1)

    def _pass_over(self, last: int) -> None:
        """Count all from `expected` to `last` as received and handled."""
        first, self.expected = self.expected, last + 1
        if first == self.handled + 1:
            self.handled = last
        else:
            self._ahead[first] = last
