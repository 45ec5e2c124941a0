"""How a peer of the mesh is, as a pure state machine: no socket, no clock.

Evidence comes from three places, and each standing needs other evidence::

              connection stands?   its kernel takes connections?   its application answers?
    UP               yes                      -                              yes
    SLOW             yes                      -                   not for `slow_ns`, though asked
    STOPPED          no           yes, and nothing is said on them            -
    DOWN             no                no, or nobody knows                    -

A connection is kept by signs of life between the I/O threads of both (ZMTP heartbeats): a process that is stopped
(SIGSTOP, a debugger, a frozen container) sends none, and its connection falls like that of a dead one. But its kernel
takes the next connection all the same, and then says nothing on it. A process that is merely busy has an I/O thread
that answers; its application is asked by a beat, which it answers when it comes round to reading.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, IntEnum
from typing import NamedTuple

MILLISECOND = 1_000_000
BEAT_NS = 10 * MILLISECOND
"""A peer that owes something and has said nothing for so long is asked."""
IDLE_BEAT_NS = 1_000 * MILLISECOND
"""One that owes nothing is asked so often."""
SLOW_NS = 25 * MILLISECOND
"""It is slow when it has not answered for so long."""
CONFIRM_NS = 5 * MILLISECOND
"""A peer whose kernel takes connections is stopped if that is still so after this time: one that was killed closes its
connections first and what it listens on an instant later."""
AWAY_NS = 3 * BEAT_NS
"""Who has not looked for so long was away itself: what the peer said meanwhile has not been read."""
REFUSED_AGAIN_NS = 250 * MILLISECOND
"""Between looks at why a peer is down."""

UP_CAUSE = "connected"
ANSWERS = "answers again"
LATE = "its application does not answer"
SILENT = "takes connections and says nothing"
LOST = "the connection is lost"
REFUSED = "refuses connections"
UNREACHABLE = "there is no way to it"
NEVER = "not connected yet"


class Standing(IntEnum):
    """How a peer is."""

    UP = 0
    SLOW = 1
    STOPPED = 2
    DOWN = 3


class Finding(Enum):
    """What became of an attempt to connect to a peer."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


class PeerChange(NamedTuple):
    """A peer is in another standing than before, or for another cause.

    Attributes
    ----------
    at_ns : when it was found.
    after_ns : how long it had been in the standing before.
    """

    peer: str
    before: Standing
    after: Standing
    cause: str
    at_ns: int
    after_ns: int


class Liveness:
    """Of one peer.

    Parameters
    ----------
    peer
        Its name.
    now_ns
        The time; all later times are of the same clock.
    up
        The connection stands already.

    Attributes
    ----------
    standing, cause, since_ns : how it is, why, and since when.
    linked, linked_ns : whether the connection stands, and since when it is so.
    """

    __slots__ = (
        "_accepted_ns",
        "_asked_ns",
        "_beat_ns",
        "_finding",
        "_heard_ns",
        "_look_ns",
        "_looked_ns",
        "_lost",
        "_owing_ns",
        "_slow_ns",
        "_taken",
        "cause",
        "linked",
        "linked_ns",
        "peer",
        "since_ns",
        "standing",
    )

    def __init__(
        self, peer: str, now_ns: int, *, up: bool = False, beat_ns: int = BEAT_NS, slow_ns: int = SLOW_NS
    ) -> None:
        self.peer = peer
        self.linked = up
        self.standing = Standing.UP if up else Standing.DOWN
        self.cause = UP_CAUSE if up else NEVER
        self.since_ns = self.linked_ns = now_ns
        self._beat_ns = beat_ns
        self._slow_ns = slow_ns
        self._finding: Finding | None = None
        self._lost = self._taken = False
        self._accepted_ns = 0
        self._look_ns = now_ns + beat_ns  # when to try to connect, while it is not linked; 0: not again
        self._asked_ns = 0  # since when a beat waits for its answer; 0: none does
        self._heard_ns = self._looked_ns = now_ns
        self._owing_ns = 0  # since when it owes something; 0: nothing

    # Evidence.

    def link(self, now_ns: int, up: bool) -> PeerChange | None:
        """The connection stands, or stands no longer."""
        if up == self.linked:
            return None
        self.linked, self.linked_ns = up, now_ns
        self._finding = None
        self._taken = False
        self._accepted_ns = self._asked_ns = 0
        self._heard_ns = now_ns
        if not up:
            self._lost = True
            self._look_ns = now_ns  # at once: what is found decides how it is
        return self._judge(now_ns)

    def found(self, now_ns: int, finding: Finding) -> PeerChange | None:
        """An attempt to connect ended so, or has not ended for long (`UNREACHABLE`)."""
        if self.linked:
            return None
        if finding is not Finding.ACCEPTED:
            self._accepted_ns = 0
            self._look_ns = now_ns + REFUSED_AGAIN_NS
        elif self._finding is not Finding.ACCEPTED:
            self._accepted_ns = now_ns
            self._look_ns = now_ns + CONFIRM_NS
        else:
            # Until the connection itself is taken: then its end is told (`dropped`), and to try again and again would
            # fill the queue of those that wait to be taken in.
            self._look_ns = 0 if self._taken else now_ns + self._beat_ns
        self._finding = finding
        return self._judge(now_ns)

    def taken(self, now_ns: int) -> PeerChange | None:
        """The connection itself was taken, and nothing has been said on it."""
        self._taken = True
        return self.found(now_ns, Finding.ACCEPTED)

    def dropped(self, now_ns: int) -> None:
        """A connection that was taken, and on which nothing was said, is gone: find out why."""
        if not self.linked:
            self._finding = None
            self._taken = False
            self._look_ns = now_ns

    def heard(self, now_ns: int) -> PeerChange | None:
        """Its application said something."""
        self._heard_ns = now_ns
        self._asked_ns = 0
        return self._judge(now_ns) if self.standing is Standing.SLOW else None

    def asked(self, now_ns: int) -> None:
        """A beat was sent."""
        self._asked_ns = self._asked_ns or now_ns

    def look(self, now_ns: int, owing: bool) -> PeerChange | None:
        """Time has passed. `owing`: the peer has messages of ours that it has not acknowledged or answered.

        To be called after what had come was read, and told by `heard`.
        """
        away = now_ns - self._looked_ns > AWAY_NS
        self._looked_ns = now_ns
        if not owing:
            self._owing_ns = 0
        elif not self._owing_ns:
            self._owing_ns = now_ns
        if away and self._asked_ns and self.standing is Standing.UP:
            self._asked_ns = now_ns  # a fair chance
        return self._judge(now_ns)

    # What is to be done.

    def wants_look(self, now_ns: int) -> bool:
        """Whether to try to connect now, to find out why it is not linked."""
        return not self.linked and self._look_ns != 0 and now_ns >= self._look_ns

    def looking(self, now_ns: int) -> None:
        """That is under way."""
        self._look_ns = now_ns + self._beat_ns

    def wants_beat(self, now_ns: int) -> bool:
        """Whether to send a beat now."""
        if not self.linked or self._asked_ns:
            return False
        if self._owing_ns:
            return now_ns - max(self._heard_ns, self._owing_ns) >= self._beat_ns
        return now_ns - self._heard_ns >= IDLE_BEAT_NS

    @property
    def due_ns(self) -> int:
        """When `look` has something to do at the latest; 0: only when there is evidence."""
        if not self.linked:
            return self._look_ns
        if self._asked_ns:
            return self._asked_ns + self._slow_ns if self.standing is Standing.UP else 0
        if self._owing_ns:
            return max(self._heard_ns, self._owing_ns) + self._beat_ns
        return self._heard_ns + IDLE_BEAT_NS

    # Judgement.

    def _judge(self, now_ns: int) -> PeerChange | None:
        standing, cause = self._found_standing(now_ns)
        if standing is self.standing and cause == self.cause:
            return None
        change = PeerChange(self.peer, self.standing, standing, cause, now_ns, now_ns - self.since_ns)
        if standing is not self.standing:
            self.since_ns = now_ns
        self.standing, self.cause = standing, cause
        return change

    def _found_standing(self, now_ns: int) -> tuple[Standing, str]:
        if self.linked:
            if self._asked_ns and now_ns - self._asked_ns >= self._slow_ns:
                return Standing.SLOW, LATE
            if self.standing is Standing.SLOW and not self._asked_ns:
                return Standing.UP, ANSWERS
            return (Standing.UP, self.cause) if self.standing is Standing.UP else (Standing.UP, UP_CAUSE)
        if self._finding is Finding.REFUSED:
            return Standing.DOWN, REFUSED
        if self._finding is Finding.UNREACHABLE:
            return Standing.DOWN, UNREACHABLE
        if self._finding is Finding.ACCEPTED and now_ns - self._accepted_ns >= CONFIRM_NS:
            return Standing.STOPPED, SILENT
        if self.standing is Standing.STOPPED:
            return Standing.STOPPED, SILENT  # until it is found to be otherwise
        return Standing.DOWN, LOST if self._lost else NEVER


Changed = Callable[[PeerChange], None]

__all__ = ["BEAT_NS", "Changed", "Finding", "Liveness", "PeerChange", "Standing"]
