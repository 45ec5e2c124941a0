"""The weight that an address has spent of a minute at Binance, and until when it is banned: of all processes here.

Both are kept in the table of quotas (`nautilus.core.quotas`), in the data directory where there is one: neither another
process nor a start after a ban asks as if nothing had been said. Minutes are those of the clock, as the venue counts.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from nautilus.core.clock import now_ns as clock_ns
from nautilus.core.quotas import GO, Quotas

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
DAY_NS = 1440 * MINUTE_NS


class Weight:
    """Weight of one venue.

    Parameters
    ----------
    url
        Of the venue; each has a count of its own.
    most
        To be spent in a minute.
    quotas
        The table; None: one of this process alone.
    clock
        Nanoseconds since the epoch.
    """

    def __init__(self, url: str, most: int, quotas: Quotas | None = None, clock: Callable[[], int] = clock_ns) -> None:
        self._quotas = quotas or Quotas(1)
        self._quota = self._quotas.quota(f"binance {urlsplit(url).netloc}"[:100], clock() // DAY_NS)
        self._most = most
        self._clock = clock
        self._not_before_ns = 0

    @property
    def used(self) -> int:
        """Spent of this minute, as far as known."""
        return self._quota.taken(self._clock() // MINUTE_NS)

    def take(self, weight: int) -> float:
        """Spend so much: 0, it is spent; else the seconds until it is worth asking again.

        More than is granted in a minute is let go at the beginning of one.
        """
        now_ns = self._clock()
        blocked, wait_ns = self._quota.look(now_ns, 0, 0, 0, 0, 0)
        wait_ns = max(wait_ns if blocked != GO else 0, self._not_before_ns - now_ns)
        if wait_ns > 0:
            return wait_ns / SECOND_NS
        minute = now_ns // MINUTE_NS
        used = self._quota.taken(minute)
        most = max(self._most, weight)
        # Whatever another process takes meanwhile, no more than `most` is; part of a weight may be spent for nothing.
        if (not used or used + weight <= most) and all(
            self._quota.take(now_ns, 0, 0, 0, most, minute)[0] == GO for _ in range(weight)
        ):
            return 0.0
        return max(1, (minute + 1) * MINUTE_NS - now_ns) / SECOND_NS

    def told(self, used: int) -> None:
        """The venue's own count of this minute, as others may share the address."""
        now_ns = self._clock()
        minute = now_ns // MINUTE_NS
        for _ in range(min(used, 100_000) - self._quota.taken(minute)):
            self._quota.take(now_ns, 0, 0, 0, used, minute)

    def block(self, seconds: float) -> None:
        """The venue said to wait; all processes do, and this one also where that is longer than 25 hours."""
        now_ns = self._clock()
        self._not_before_ns = now_ns + int(seconds * SECOND_NS)
        self._quota.block(self._not_before_ns, now_ns)
        self._quotas.sync()


__all__ = ["Weight"]
