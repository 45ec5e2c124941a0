"""Which records come long after their time, and which are stamped far ahead of those behind them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from nautilus.core.ticks import TickReason

LATE_NS: Final = 1_000_000_000
"""A record so far behind the last one of its instrument and kind, by receive stamps, is out of order."""
AGREEING: Final = 3
"""So many late ones in a row, none before the one before it, and it was the last one that was ahead: as many as the
normaliser asks for."""
Numbers = npt.NDArray[np.int64]
Key = tuple[bool, int]


class GateTimes:
    """The latest stamp of each stream, and the late ones in a row that contradict it.

    Attributes
    ----------
    latest : what the next record of a stream is held against.
    """

    def __init__(self) -> None:
        self.latest: dict[Key, int] = {}
        self._late: dict[Key, tuple[int, int]] = {}  # late ones in a row, and the stamp of the last of them

    def take(self, key: Key, stamp: int) -> bool:
        """Take in a record that is in time; False: it is not, and `look` has to tell."""
        latest = self.latest.get(key, 0)
        if stamp < latest - LATE_NS:
            return False
        if stamp > latest:
            self.latest[key] = stamp
        if self._late:
            self._late.pop(key, None)
        return True

    def look(self, key: Key, stamps: Numbers) -> tuple[npt.NDArray[np.uint16], Numbers]:
        """Take in records: why each is refused (0: it is not), and what it was held against.

        TIME: it alone is far ahead of what came before and of what comes next, as far as that is here.
        """
        latest = self.latest.get(key, 0)
        reasons = np.zeros(len(stamps), np.uint16)
        held: Numbers = np.maximum.accumulate(np.maximum(stamps, latest))
        run, back = self._late.pop(key, (0, 0))
        if not (held - stamps > LATE_NS).any():
            self.latest[key] = int(held[-1])
            return reasons, held
        values = stamps.tolist()
        for at, stamp in enumerate(values):
            held[at] = latest
            if stamp < latest - LATE_NS:
                run = run + 1 if run and stamp >= back else 1
                back = stamp
                if run < AGREEING:
                    reasons[at] = TickReason.OUT_OF_ORDER
                    continue
                latest = stamp
            elif _is_ahead(values, at, latest):
                reasons[at] = TickReason.TIME
                continue
            run, latest = 0, max(latest, stamp)
        self.latest[key] = latest
        if run:
            self._late[key] = run, back
        return reasons, held


def _is_ahead(stamps: list[int], at: int, latest: int) -> bool:
    """Those behind it are in order with those before it, and it is not."""
    limit, after = stamps[at] - LATE_NS, at + 1
    if after + AGREEING > len(stamps) or stamps[after] >= limit:
        return False
    following = stamps[after : after + AGREEING]
    return latest - LATE_NS <= following[0] and following == sorted(following) and following[-1] < limit


__all__ = ["LATE_NS", "GateTimes"]
