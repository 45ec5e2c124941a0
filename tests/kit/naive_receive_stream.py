"""The naive twin of `nautilus.core.receive_stream`: the same in plain Python, with dicts and unbounded integers."""

from __future__ import annotations

from itertools import islice, takewhile

from nautilus.core.mesh_wire import Answer, Envelope, MessageKind, is_place
from nautilus.core.receive_stream import AHEAD, DELIVER, DUPLICATE, MALFORMED, REFUSED, SKIP, Verdict

REQUEST = MessageKind.REQUEST
GIVEN_UP = MessageKind.GIVEN_UP


OPEN_TOLD = 256
"""So many unfinished deliveries are told by number, where some behind them are finished; the first of them."""
KEPT_REPLIES = 8_192
SWEEP_AT = 64
"""Replies kept until it is looked which of them the sender no longer holds."""


class NaiveReceiveStream:
    """The receiver's end, in one life of the receiver.

    Attributes
    ----------
    expected
        The sequence that is taken next.
    handled
        All up to here have been handled, or will not be waited for by the sender.
    skipped
        After `accept`: (first, last) that will never be delivered, or None.
    replies
        {sequence: answer} of requests that the sender may ask for again; the newest `KEPT_REPLIES` of them.
    """

    __slots__ = (
        "_fresh",
        "_open",
        "_sweep_at",
        "ahead",
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
        self.missing = self.ahead = 0
        self.replies: dict[int, Answer] = {}
        # Delivered and not handled, in order; all others before `expected` are done with.
        self._open: dict[int, None] = {}
        self._fresh = True
        self._sweep_at = SWEEP_AT

    @property
    def open(self) -> tuple[int, ...]:
        """Sequences that were delivered and are not finished, in order."""
        return tuple(self._open)

    def accept(self, envelope: Envelope) -> Verdict:
        """Judge an envelope; what is to be delivered counts as received from here on."""
        sequence, base = envelope.sequence, envelope.base
        if (
            sequence == self.expected
            and base <= sequence
            and envelope.kind <= REQUEST
            and envelope.epoch == self.epoch
            and base >= self.base
        ):
            # The next one: most are so, and there is little to do.
            self.skipped = None
            self.base = base
            if self.handled < base - 1:
                self._let_go(base)
            self.expected = sequence + 1
            self._fresh = False
            self._open[sequence] = None
            return DELIVER
        self.skipped = None
        if not is_place(envelope):
            return MALFORMED
        if envelope.epoch != self.epoch:
            if envelope.epoch < self.epoch:
                return REFUSED
            self._begin(envelope.epoch, base)
        elif base > self.base:
            self._advance(base)
        expected = self.expected
        if envelope.kind <= REQUEST:
            if sequence == expected:
                self.expected = sequence + 1
                self._fresh = False
                self._open[sequence] = None
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

    def ask(self, sequence: int) -> bool:
        """Whether to ask for what is missing before this one: once, and again where something ahead comes again."""
        asks = self.missing != self.expected or sequence <= self.ahead
        self.missing, self.ahead = self.expected, sequence
        return asks

    def finish(self, sequence: int) -> bool:
        """The handler of a delivered message has run; False where that was known, or nobody waits for it any more."""
        waiting = self._open
        try:
            del waiting[sequence]
        except KeyError:
            return False
        if sequence == self.handled + 1:
            # To look for the next one costs more than to know it, where many wait and are finished in order.
            self.handled = sequence if sequence + 1 in waiting else next(iter(waiting), self.expected) - 1
        return True

    def finished(self, sequence: int) -> bool:
        """Whether the handler of a delivered message has run."""
        return sequence < self.expected and sequence not in self._open

    def reply(self, sequence: int, answer: Answer) -> bool:
        """The handler of a request has run, and this is its answer; False where that was known."""
        if not self.finish(sequence):
            return False
        self.keep(sequence, answer)
        if self._open:
            self.tell(answer)
        else:
            answer.received = answer.handled = self.expected - 1
        return True

    def tell(self, answer: Answer) -> None:
        """Write into an answer how far things are."""
        last, handled, waiting = self.expected - 1, self.handled, self._open
        answer.received = last
        answer.handled = handled
        if len(waiting) == last - handled:  # nothing is finished behind what is not
            answer.done, answer.open = 0, ()
            return
        if len(waiting) > OPEN_TOLD:
            *told, beyond = islice(waiting, OPEN_TOLD + 1)
            answer.done, answer.open = beyond - 1, tuple(told)
        else:
            answer.done, answer.open = last, tuple(waiting)

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
        self._open.clear()
        self._fresh = True

    def _advance(self, base: int) -> None:
        """The sender holds nothing before `base`: what is missing there will not come."""
        self.base = base
        if base > self.expected:
            if not self._fresh:
                self.skipped = (self.expected, base - 1)
            self._pass_over(base - 1)
        if self.handled < base - 1:
            self._let_go(base)

    def _let_go(self, base: int) -> None:
        """For what is open before `base` nobody waits any more."""
        waiting = self._open
        for sequence in list(takewhile(base.__gt__, waiting)):
            del waiting[sequence]
        self.handled = next(iter(waiting), self.expected) - 1

    def _pass_over(self, last: int) -> None:
        """Count all from `expected` to `last` as received and done with."""
        self.expected = last + 1
        if not self._open:
            self.handled = last
