"""Naive twin of a quota of `nautilus.core.quotas`: buckets that run empty by time, a block and a count of the day."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from nautilus.core.quotas import BLOCKED, DAY, GO, HOUR, MINUTE, SECOND

SECOND_NS = 10**9
WINDOWS = (SECOND_NS, 60 * SECOND_NS, 3600 * SECOND_NS)
LONGEST_BLOCK_NS = 25 * 3600 * SECOND_NS


def burst_of(most: int) -> int:
    """How many may come at once."""
    return max(1, most // 4)


def interval_of(most: int, window_ns: int) -> int:
    """Between two after those: any window that begins anywhere has at most `most`."""
    return ceil(Fraction(window_ns, most - burst_of(most) + 1))


class NaiveQuota:
    """Same answers."""

    def __init__(self) -> None:
        self.empty = [0, 0, 0]
        self.blocked_ns = 0
        self.day = 0
        self.count = 0

    def taken(self, day: int) -> int:
        """Of a day; what was taken of a later one counts."""
        return self.count if self.day >= day else 0

    def _wait(self, place: int, now_ns: int, most: int) -> int:
        burst, interval = burst_of(most), interval_of(most, WINDOWS[place])
        if self.empty[place] - now_ns > burst * interval:  # the clock was set back, or the rate is another now
            self.empty[place] = now_ns + burst * interval
        return max(0, self.empty[place] + interval - now_ns - burst * interval) if self.empty[place] > now_ns else 0

    def look(self, now_ns: int, limits: tuple[int, int, int], per_day: int, day: int) -> tuple[int, int]:
        if per_day and self.taken(day) >= per_day:
            return DAY, 0
        kept = list(self.empty)
        waits = [self._wait(place, now_ns, most) if most else 0 for place, most in enumerate(limits)]
        self.empty = kept
        longest = max(waits)
        why = (SECOND, MINUTE, HOUR)[waits.index(longest)] if longest else GO
        ahead = self.blocked_ns - now_ns
        if ahead <= LONGEST_BLOCK_NS and ahead > longest:
            return BLOCKED, ahead
        return why, longest

    def take(self, now_ns: int, limits: tuple[int, int, int], per_day: int, day: int) -> tuple[int, int]:
        found = self.look(now_ns, limits, per_day, day)
        if found[0] != GO:
            return found
        for place, most in enumerate(limits):
            if most:
                self._wait(place, now_ns, most)
                self.empty[place] = max(self.empty[place], now_ns) + interval_of(most, WINDOWS[place])
        self.count = self.taken(day) + 1
        self.day = max(self.day, day)
        return GO, 0

    def block(self, until_ns: int, now_ns: int) -> None:
        most = now_ns + LONGEST_BLOCK_NS
        until_ns = min(until_ns, most)
        if self.blocked_ns < until_ns or self.blocked_ns > most:
            self.blocked_ns = until_ns
