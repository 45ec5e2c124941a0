"""How old what a reader has may be, told by the heartbeats that it heard: pure, times are arguments.

A heartbeat says when it was sent, and that the reader has heard of all that was published before. One that waited in a
queue, as behind a partition, is as old as what came before it. How long one was on its way is known up to the
difference of two clocks: the quickest one says most of that. Until heartbeats of a hub have come for two seconds, in
the end with nothing behind them, the difference is the one that is known from the hub before it, none at first: so what
waited meanwhile is never taken for fresh, and a hub of another host whose clock is behind is taken for silent so long.
"""

from __future__ import annotations

from typing import Final

PROOF_NS: Final = 2_000_000_000
"""For which heartbeats of a hub come before its clock is judged by them alone. Packets that are lost hold up what is
behind them for some tenths of a second; the quickest heartbeat of this time was not held up."""
NEVER: Final = 1 << 62
DRIFT: Final = 1_000
"""Clocks drift by less than one part in so many."""


class Freshness:
    """One reader's view of one hub after the other.

    Parameters
    ----------
    heartbeat_ns
        Between two of a hub.

    Attributes
    ----------
    as_of_ns : all that was published before then has been heard of, by the reader's clock.
    proving : the clock of this hub is not known yet; call `prove` whenever nothing waits to be taken in.
    """

    __slots__ = ("_arrived_ns", "_first_ns", "_heartbeat_ns", "_least_ns", "_own_ns", "_sent_ns", "as_of_ns",
                 "proving")  # fmt: skip

    def __init__(self, heartbeat_ns: int) -> None:
        self._heartbeat_ns = heartbeat_ns
        self._least_ns = self._arrived_ns = self.as_of_ns = 0
        self.begin()

    def begin(self) -> None:
        """What comes now is of another hub, or of one whose clock was set."""
        self._own_ns = NEVER
        self._first_ns = self._sent_ns = 0
        self.proving = True

    def hear(self, sent_ns: int, now_ns: int) -> None:
        """A heartbeat is taken in, by the clock of the hub and by the reader's own."""
        if sent_ns < self._sent_ns:
            self.begin()
        took_ns = now_ns - sent_ns
        drift_ns = (now_ns - self._arrived_ns) // DRIFT if self._arrived_ns else 0
        self._least_ns = min(took_ns, self._least_ns + drift_ns)
        self._arrived_ns, self._sent_ns = now_ns, sent_ns
        if self.proving:
            self._own_ns = min(took_ns, self._own_ns)
            self._first_ns = self._first_ns or now_ns
        self.as_of_ns = sent_ns + self._least_ns

    def prove(self) -> None:
        """All that has come by now has been taken in."""
        if self._first_ns and self._arrived_ns - self._first_ns >= PROOF_NS:
            self.proving = False
            self._least_ns = self._own_ns
            self.as_of_ns = self._sent_ns + self._least_ns

    def silent(self, now_ns: int) -> bool:
        """Whether nothing that was sent within three heartbeats has been heard."""
        return now_ns - self.as_of_ns > 3 * self._heartbeat_ns
