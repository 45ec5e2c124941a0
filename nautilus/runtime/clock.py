"""The one place of the Python runtime that reads a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import index
from typing import TYPE_CHECKING

import msgspec

from nautilus.model.errors import ModelError

if TYPE_CHECKING:
    from nautilus.core.counters import Counters

NANOSECONDS = 1_000_000_000
LIFE_NS = 3_600 * NANOSECONDS
"""Between the epochs of two lives where the clock was set back: room for the numbers that a life gives from its epoch
on."""


monotonic_ns = time.perf_counter_ns
"""Nanoseconds that only ever go forward, from an arbitrary start: for durations."""

wall_ns = time.time_ns
"""Nanoseconds since the epoch (UTC), as the machine tells them: the same in every process."""


class ClockAnchor(msgspec.Struct, frozen=True):
    """Where platform time starts, and how fast it goes.

    Parameters
    ----------
    wall_ns, platform_ns
        At this time of the machine, platform time is that.
    speed
        Nanoseconds of platform time to one of the machine's.
    """

    wall_ns: int
    platform_ns: int
    speed: float = 1.0


class PlatformClock:
    """Platform time, equal in all processes of an instance: the machine's, unless a recording plays.

    Call it, or keep `now_ns`, which saves a call.
    """

    __slots__ = ("anchor", "now_ns")

    def __init__(self, anchor: ClockAnchor) -> None:
        self.anchor = anchor
        self.now_ns = self._reader(anchor)

    def __call__(self) -> int:
        return self.now_ns()

    def wall_of(self, platform_ns: int) -> int:
        """When, on the machine's clock, platform time is that."""
        return self.anchor.wall_ns + round((platform_ns - self.anchor.platform_ns) / self.anchor.speed)

    @staticmethod
    def _reader(anchor: ClockAnchor, clock: Callable[[], int] = wall_ns) -> Callable[[], int]:
        if anchor.speed == 1.0:
            offset = anchor.platform_ns - anchor.wall_ns
            return (lambda: clock() + offset) if offset else clock
        # Whole speeds stay exact however long it runs; a float would lose nanoseconds after a hundred days.
        speed = int(anchor.speed) if anchor.speed == int(anchor.speed) else anchor.speed
        return lambda: anchor.platform_ns + int((clock() - anchor.wall_ns) * speed)


def pause(seconds: float) -> None:
    """Let other processes run for a while, where there is nothing to wait on."""
    time.sleep(seconds)


def whole_ns(ns: int) -> int:
    """A time as a plain integer; ModelError for what is none. A NaN would stand before and after every other time."""
    try:
        return index(ns)
    except TypeError:
        raise ModelError(f"time {ns!r}", where="clock", expected="a whole number of nanoseconds") from None


def next_epoch(counters: Counters) -> int:
    """The epoch of a new life of a process: higher than that of every earlier one, also where the clock was set back.

    The last one is kept among the counters of the process, which outlive it.
    """
    kept = counters.gauge("process.epoch")
    before, epoch = counters.get(kept), wall_ns()
    if epoch <= before:
        epoch = before + LIFE_NS
    counters.set(kept, epoch)
    return epoch
