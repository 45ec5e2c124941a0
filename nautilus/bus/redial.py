"""When connections over which nothing comes are given up and dialled anew: pure, times are arguments.

After a partition the kernel waits twice as long each time, and after a silence of a second goes on half a second late.
A new connection goes on at once. ZeroMQ's own heartbeats would do the same, but end the process (libzmq issue 3937)
where a connection that is given up had been stopped by a full queue, which is what a slow reader has.
"""

from __future__ import annotations

from typing import Final

LONGEST: Final = 8
"""Times the first silence: the longest one, as each that brought nothing is followed by one of twice the length."""


class Redial:
    """One socket's connections.

    Parameters
    ----------
    silence_ns
        For which nothing may come.
    """

    __slots__ = ("_heard", "_looked_ns", "_silence_ns", "_until_ns", "_wait_ns")

    def __init__(self, silence_ns: int) -> None:
        self._silence_ns = self._wait_ns = silence_ns
        self._heard = self._until_ns = 0
        self._looked_ns = -silence_ns - 1

    def look(self, heard: int, now_ns: int) -> bool:
        """Whether to dial anew. `heard`: messages that came so far. Time in which nobody looked is no silence."""
        away = now_ns - self._looked_ns > self._silence_ns
        self._looked_ns = now_ns
        if heard != self._heard:
            self._heard, self._wait_ns = heard, self._silence_ns
        elif not away:
            if now_ns < self._until_ns:
                return False
            self._wait_ns = min(2 * self._wait_ns, LONGEST * self._silence_ns)
            self._until_ns = now_ns + self._wait_ns
            return True
        self._until_ns = now_ns + self._wait_ns
        return False

    def due_ns(self) -> int:
        """When to look again at the latest."""
        return self._looked_ns + self._silence_ns // 4
