"""The naive twin of `nautilus.core.send_stream`: the same in plain Python, with dicts and unbounded integers."""

from __future__ import annotations

from heapq import heappop, heappush

from nautilus.bus.carriers import AT_ONCE
from nautilus.core.mesh_wire import Answer, Envelope, MessageKind
from tests.kit.naive_places import DEADLINES, MERGE_AT, Places, last_of

REQUEST = MessageKind.REQUEST
RESEND = MessageKind.RESEND
SETTLED = MessageKind.SETTLED
GIVEN_UP = MessageKind.GIVEN_UP
POKES = 16
"""Unanswered requests that are sent again at one time."""


class NaiveSendStream(Places):
    """The sender's end.

    Parameters
    ----------
    epoch
        Of the sender.
    window
        Places that may be under way and not known to have arrived.
    retry_ns, retry_limit_ns
        Time without progress until what is under way is sent again; doubles up to the limit.
    merge_at
        Markers are merged once there are so many of them.
    """

    __slots__ = (
        "_asked",
        "_done",
        "_look_at_ns",
        "_open",
        "_probe",
        "_retry_limit_ns",
        "_retry_ns",
        "_wait_ns",
        "acknowledged",
        "handled",
        "receiver",
        "requests",
        "retried",
        "retry_at_ns",
        "window",
    )

    def __init__(
        self,
        epoch: int,
        *,
        window: int = 256,
        retry_ns: int = 50_000_000,
        retry_limit_ns: int = 500_000_000,
        merge_at: int = MERGE_AT,
    ) -> None:
        super().__init__(epoch, merge_at)
        self.window = window
        self.handled = 0
        self.receiver = 0
        # Up to `_done` all has been handled, except `_open` and what is beyond them.
        self._done = 0
        self._open: frozenset[int] = frozenset()
        self.requests: dict[int, int] = {}
        self.acknowledged = self.retried = 0
        self.retry_at_ns = 0
        self._retry_ns = self._wait_ns = retry_ns
        self._retry_limit_ns = retry_limit_ns
        # The last number of what `retry` sent: a number, since its place may be joined with others or gone by then.
        self._probe = 0
        # {request: (when it is asked about, how long after that)}
        self._asked: dict[int, tuple[int, int]] = {}
        self._look_at_ns = 0

    def append(self, envelope: Envelope) -> bool:
        """Take a message in; its sequence is set here. True: it is what `peek` would give now."""
        sequence = envelope.sequence = self.next_sequence
        envelope.base = self.base
        self.next_sequence = sequence + 1
        self.held[sequence] = envelope
        self.live += 1
        if envelope.kind is REQUEST:
            self.requests[envelope.id] = sequence
        if envelope.deadline_ns:
            heappush(self._deadlines, (envelope.deadline_ns, sequence))
            if len(self._deadlines) > 2 * self.live + DEADLINES:
                self._sweep_deadlines()
        return sequence == self.cursor and sequence - self.received <= self.window

    def peek(self) -> Envelope | None:
        """The next to send, or None: nothing left, or enough is under way."""
        cursor = self.cursor
        if cursor >= self.next_sequence or cursor - self.received > self.window:
            return None
        envelope = self.held[cursor]
        envelope.base = self.base
        return envelope

    def sent(self, envelope: Envelope, now_ns: int) -> None:
        """The one that `peek` gave is on its way."""
        self.cursor = last_of(envelope) + 1
        if not self.retry_at_ns:
            self.retry_at_ns = now_ns + self._wait_ns

    def answered(self, answer: Answer, now_ns: int) -> Envelope | None:
        """Take an answer in. Returns the request that it answers, where it answers one that still waits."""
        if answer.receiver != self.receiver:
            if answer.receiver < self.receiver:
                return None
            if self.receiver:
                # A new life of the receiver: it has nothing of what is held.
                self.received = self.handled = self.base - 1
                self._settled_to = self.cursor = self.base
                self._probe = self._done = 0
                self._open = frozenset()
            self.receiver = answer.receiver
        received, handled = answer.received, answer.handled
        if received >= self.next_sequence or handled > received or answer.done > received:
            return None
        progress = False
        if received > self.received:
            self.received = received
            progress = True
            if self.cursor <= received:
                self.cursor = self._place(received + 1)
            elif received == self._probe:
                self._rewind()
            self._probe = 0
        if handled > self.handled:
            self.handled = handled
            progress = True
            self._settle_handled(handled)
        if answer.done > self.handled:
            progress = self._settle_behind(answer) or progress
        request = None
        if answer.id:
            sequence = self.requests.pop(answer.id, 0)
            if sequence:
                request = self.held[sequence]
                self.acknowledged += 1
                progress = True
                self._bury(sequence, SETTLED)
        self._trim()
        if answer.kind is RESEND:
            self._rewind()
        if progress:
            self._wait_ns = self._retry_ns
            self.retry_at_ns = now_ns + self._retry_ns if self.held else 0
        return request

    def answered_alone(self, answer: Answer) -> Envelope | None:
        """As `answered`, in few steps, for the only request that is held; None: not so, and nothing was done."""
        last = self.next_sequence - 1
        if (
            self.live != 1
            or self.base != last
            or answer.handled != last
            or answer.received != last
            or answer.receiver != self.receiver
            or self.requests.get(answer.id) != last
        ):
            return None
        self.requests.clear()
        self.acknowledged += 1
        self.live = self.retry_at_ns = 0
        self._deadlines.clear()
        self.received = self.handled = last
        self.base = self.cursor = self._settled_to = self.next_sequence
        self._wait_ns = self._retry_ns
        return self.held.pop(last)

    def expire(self, now_ns: int) -> list[Envelope]:
        """Give up the messages whose deadline has come, and return them."""
        gone: list[Envelope] = []
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now_ns:
            deadline_ns, sequence = heappop(deadlines)
            if self._is_due(deadline_ns, sequence):
                envelope = self.held[sequence]
                gone.append(envelope)
                self._give_up(envelope)
        if gone:
            self._trim()
        return gone

    def cut(self) -> list[Envelope]:
        """Give up every message that is held, and return them."""
        gone = [envelope for envelope in self.held.values() if envelope.kind <= REQUEST]
        for envelope in gone:
            self._give_up(envelope)
        self._deadlines.clear()
        self._merge()
        self._trim()
        self._rewind()
        return gone

    def hurries(self, paths: int) -> bool:
        """Whether something has not arrived that goes over every path at once, and may take one of these."""
        for envelope in self.held.values():
            if envelope.kind <= REQUEST and envelope.sequence > self.received and envelope.paths & AT_ONCE:
                return bool(envelope.paths & paths)
        return False

    def withdraw(self, paths: int, at_once: bool = False) -> list[Envelope]:
        """Give up what may take none of these paths and keeps something waiting that may; returns it."""
        gone: list[Envelope] = []
        waiting: list[Envelope] = []
        for envelope in self.held.values():
            if envelope.kind > REQUEST or envelope.sequence <= self.received:
                continue
            if not envelope.paths & paths:
                waiting.append(envelope)
            elif waiting and (not at_once or envelope.paths & AT_ONCE):
                gone += waiting
                waiting.clear()
        for envelope in gone:
            self._give_up(envelope)
        if gone:
            self._trim()
            self._rewind()
        return gone

    def retry(self, now_ns: int) -> list[Envelope]:
        """Where there was no progress for too long: ask with the first that has not arrived, or about those that have.

        What it returns is to be sent as it is. It is one message, not all of them: a receiver that is merely slow has
        them already. Where it turns out that this one alone has arrived, the others follow.
        """
        if not self.retry_at_ns or now_ns < self.retry_at_ns:
            return self._overdue(now_ns)
        if not self.held:
            self.retry_at_ns = 0
            return []
        self._wait_ns = min(self._wait_ns * 2, self._retry_limit_ns)
        self.retry_at_ns = now_ns + self._wait_ns
        if self.cursor <= self.received + 1:
            return self.resume()
        envelope = self.held[self._place(self.received + 1)]
        envelope.base = self.base
        self._probe = last_of(envelope)
        self.retried += 1
        return [envelope, *self._overdue(now_ns)]

    def _overdue(self, now_ns: int) -> list[Envelope]:
        """Requests that were handled and whose reply does not come, each at its own time."""
        pokes: list[Envelope] = []
        if now_ns < self._look_at_ns or not self.requests:
            return pokes
        self._look_at_ns = now_ns + self._retry_ns
        handled = {number: at for number, at in self.requests.items() if self._is_handled(at)}
        self._asked = {
            number: self._asked.get(number) or (now_ns + self._retry_ns, self._retry_ns) for number in handled
        }
        for number, (at_ns, wait_ns) in self._asked.items():
            if at_ns <= now_ns and len(pokes) < POKES:
                pokes.append(self.held[handled[number]])
                pokes[-1].base = self.base
                self._asked[number] = (
                    now_ns + min(wait_ns * 2, self._retry_limit_ns),
                    min(wait_ns * 2, self._retry_limit_ns),
                )
        self.retried += len(pokes)
        return pokes

    def resume(self) -> list[Envelope]:
        """The way to the receiver is open again: go back to what has not arrived, or ask about what has.

        What it returns is to be sent as it is; what it went back to is given by `peek`.
        """
        if not self.held or self.cursor <= self.base:
            return []
        if self.cursor > self.received + 1:
            before = self.cursor
            self._rewind()
            self.retried += before - self.cursor
            return []
        pokes: list[Envelope] = []
        for sequence in self.requests.values():
            if sequence > max(self.handled, self._done) or len(pokes) == POKES:
                break
            if self._is_handled(sequence):
                pokes.append(self.held[sequence])
        if not pokes:
            pokes.append(self.held[self.base])
        for envelope in pokes:
            envelope.base = self.base
        self.retried += len(pokes)
        return pokes

    @property
    def due_ns(self) -> int:
        """When `expire` or `retry` has something to do; 0: never."""
        retry_at_ns = self.retry_at_ns
        if self._deadlines and (not retry_at_ns or self._deadlines[0][0] < retry_at_ns):
            return self._deadlines[0][0]
        return retry_at_ns

    @property
    def empty(self) -> bool:
        """Whether nothing is held, no marker either."""
        return not self.held

    @property
    def deadlines_kept(self) -> int:
        """Deadlines that are looked through, those of what is settled among them."""
        return len(self._deadlines)

    @property
    def unsent(self) -> int:
        """Sequences that may be sent now."""
        return max(0, min(self.next_sequence, self.received + self.window + 1) - self.cursor)

    def _settle_handled(self, handled: int) -> None:
        sequence = max(self._settled_to, self.base)
        while sequence <= handled:
            envelope = self.held[sequence]
            last = last_of(envelope)
            if last > handled:
                break
            if envelope.kind < REQUEST:
                self.acknowledged += 1
                self._bury(sequence, SETTLED)
            elif envelope.kind is GIVEN_UP:
                envelope.kind = SETTLED
            sequence = last + 1
        self._settled_to = sequence

    def _settle_behind(self, answer: Answer) -> bool:
        """Settle what was handled although something before it is not; whether there was anything new."""
        done, before = answer.done, self._done
        if done < before:
            return False  # an earlier word
        still = frozenset(answer.open)
        found = [sequence for sequence in self._open if sequence > self.handled and sequence not in still]
        sequence = self._place(max(before, self.handled) + 1)
        while sequence <= done:
            if sequence not in still:
                found.append(sequence)
            sequence = last_of(self.held[sequence]) + 1
        self._done = done
        self._open = still & self._open if done == before else still
        for sequence in found:
            envelope = self.held.get(sequence)
            if envelope is None:
                continue
            if envelope.kind < REQUEST:
                self.acknowledged += 1
                self._bury(sequence, SETTLED)
            elif envelope.kind is GIVEN_UP and envelope.id == sequence:
                envelope.kind = SETTLED
        return bool(found)

    def _is_handled(self, sequence: int) -> bool:
        return sequence <= self.handled or (sequence <= self._done and sequence not in self._open)

    def _give_up(self, envelope: Envelope) -> None:
        if envelope.kind is REQUEST:
            self.requests.pop(envelope.id, None)
        self._bury(envelope.sequence, SETTLED if self._is_handled(envelope.sequence) else GIVEN_UP)

    def _rewind(self) -> None:
        self.cursor = min(self.cursor, self._place(self.received + 1))
