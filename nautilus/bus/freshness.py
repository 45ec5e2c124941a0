"""How old what a reader has may be, told by the heartbeats that it heard: pure, times are arguments.

A heartbeat says when it was sent, and that the reader has heard of all that was published before. One that waited in a
queue, as behind a partition, is as old as what came before it. How long one was on its way is known up to the
difference of two clocks, of which the quickest one says most. Clocks count as equal, or to differ by what is known from
the hub before, until for ten seconds even the quickest heartbeat came later than that by more than an interval, in the
end with nothing behind it. So what waited is never taken for fresh, and a hub of another host whose clock is behind is
taken for silent so long. Time in which the reader stood still is not among the ten seconds.
"""

from __future__ import annotations

from typing import Final

PROOF_NS: Final = 10_000_000_000
"""Packets that are lost hold up what is behind them for some tenths of a second, and a reader on a machine that is much
too busy is late for seconds: the quickest heartbeat of so long a time was not held up."""
NEVER: Final = 1 << 62


class Freshness:
    """One reader's view of one hub after the other.

    Parameters
    ----------
    heartbeat_ns
        Between two of a hub.

    Attributes
    ----------
    as_of_ns : all that was published before then has been heard of, by the reader's clock.
    ripe : enough heartbeats have come to judge the hub's clock by; call `prove` once nothing waits to be taken in.
    """

    __slots__ = (
        "_arrived_ns",
        "_heartbeat_ns",
        "_least_ns",
        "_quickest_ns",
        "_sent_ns",
        "_span_ns",
        "as_of_ns",
        "ripe",
    )

    def __init__(self, heartbeat_ns: int) -> None:
        self._heartbeat_ns = heartbeat_ns
        self._least_ns = self.as_of_ns = 0
        self.begin()

    def begin(self) -> None:
        """What comes now is of another hub, or of one whose clock was set."""
        self._quickest_ns = NEVER
        self._arrived_ns = self._sent_ns = self._span_ns = 0
        self.ripe = False

    def hear(self, sent_ns: int, now_ns: int) -> None:
        """A heartbeat is taken in: when it was sent, by the clock of the hub, and when that is, by the reader's own."""
        if sent_ns < self._sent_ns or now_ns < self._arrived_ns:
            self.begin()
        if self._arrived_ns:
            self._span_ns += min(now_ns - self._arrived_ns, 3 * self._heartbeat_ns)
        self._arrived_ns, self._sent_ns = now_ns, sent_ns
        took_ns = now_ns - sent_ns
        self._quickest_ns = min(took_ns, self._quickest_ns)
        self._least_ns = min(took_ns, self._least_ns)
        self.as_of_ns = sent_ns + self._least_ns
        self.ripe = self._span_ns >= PROOF_NS

    def prove(self) -> None:
        """All that has come by now has been taken in."""
        if self._quickest_ns - self._least_ns > self._heartbeat_ns:
            self._least_ns = self._quickest_ns
            self.as_of_ns = self._sent_ns + self._least_ns
        self._quickest_ns, self._span_ns, self.ripe = NEVER, 0, False

    def silent(self, now_ns: int) -> bool:
        """Whether nothing that was sent within three heartbeats has been heard."""
        return now_ns - self.as_of_ns > 3 * self._heartbeat_ns
