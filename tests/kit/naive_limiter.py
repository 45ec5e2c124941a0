"""A concurrency limit as simple as it can be said: the twin of `nautilus.core.limiter` for one caller at a time."""

from __future__ import annotations

import math
from typing import NamedTuple

from nautilus.core.limiter import DROPPED, GONE, SAMPLED, SHED, LimiterSettings

LONGEST_US = 1 << 25
SLOTS = 1024


class Call(NamedTuple):
    """What `NaiveLimiter.acquire` gives."""

    worker: int
    priority: int
    start_ns: int
    serial: int


class NaiveLimiter:
    """Of any number of workers, one of them at a time; limits are in thousandths."""

    def __init__(self, settings: LimiterSettings) -> None:
        self.settings = settings
        self.learned: int | None = None
        self.before = 0  # in force in the window before this one
        self.looking = 0  # for the base: 1 while calls of the whole limit end, 2 while it is measured
        self.queued = False
        self.base_us = self.last_us = 0
        self.look_at_ns = self.look_wait_ns = 0
        self.calls: set[Call] = set()
        self.peak = 0
        self.began_ns: int | None = None
        self.sampled: list[int] = []
        self.drops = self.windows = 0
        self.admitted, self.shed = [0] * 4, [0] * 4
        self._serial = 0

    @property
    def limit(self) -> int:
        """What has been learned, within the settings."""
        settings = self.settings
        limit = settings.first * 1000 if settings.fixed or self.learned is None else self.learned
        return min(max(limit, settings.least * 1000), settings.most * 1000)

    @property
    def in_force(self) -> int:
        """Half of it while the base is looked for."""
        if self.looking and not self.settings.fixed:
            return max(self.limit // 2, self.settings.least * 1000)
        return self.limit

    def room(self, priority: int) -> int:
        """Calls that may be under way where one of this priority is let in.

        Who may have more than the limit is not kept out by calls of a larger one that are still ending.
        """
        share, limit = self.settings.shares[priority], self.in_force
        ending = max(self.before - limit, 0) if share > 1000 else 0
        return min(max((limit * share + ending * 1000) // 1_000_000, 1), SLOTS)

    def acquire(self, worker: int, priority: int, now_ns: int) -> Call | int:
        """A call, or SHED."""
        if len(self.calls) >= self.room(priority):
            self.shed[priority] += 1
            return SHED
        self._serial += 1
        call = Call(worker, priority, now_ns, self._serial)
        self.calls.add(call)
        self.admitted[priority] += 1
        self.peak = max(self.peak, len(self.calls))
        return call

    def release(self, call: Call, now_ns: int, how: int) -> int:
        """0, or GONE."""
        if call not in self.calls:
            return GONE
        self.calls.remove(call)
        if how == DROPPED:
            self.drops += 1
        elif how == SAMPLED:
            passed_ns = max((now_ns >> 4) - (call.start_ns >> 4), 0) << 4
            self.sampled.append(LONGEST_US if passed_ns >> 35 else passed_ns // 1000)
        window_ns = self.settings.window_ns
        if self.began_ns is None or now_ns < self.began_ns - window_ns:
            self.began_ns = now_ns
        elif now_ns - self.began_ns >= window_ns and self._enough():
            self.began_ns = now_ns
            self._end_of_window(now_ns)
        return 0

    def leave(self, worker: int) -> None:
        """A worker ends, and what it had under way."""
        self.calls = {call for call in self.calls if call.worker != worker}

    def _enough(self) -> bool:
        several = self.in_force * (8 if self.queued else 2) // 1000
        return len(self.sampled) + self.drops >= max(self.settings.least_samples, several)

    def _end_of_window(self, now_ns: int) -> None:
        sampled, drops, peak = self.sampled, self.drops, self.peak
        self.sampled, self.drops, self.peak = [], 0, len(self.calls)
        self.windows += 1
        self.before = self.in_force
        if self.settings.fixed or not (sampled or drops):
            return
        count = max(len(sampled), 1)
        mean = float(sum(sampled)) / count
        square = float(sum(each * each for each in sampled)) / count
        doubt = math.sqrt((square - mean * mean) / count) if square > mean * mean else 0.0
        if self.looking == 1:
            self.looking = 2
        elif self.looking == 2:
            self.looking = 0
            self._new_base(mean, doubt, now_ns)
        else:
            self._learn(mean, doubt, bool(sampled), drops, peak, now_ns)

    def _new_base(self, mean: float, doubt: float, now_ns: int) -> None:
        base = float(self.base_us)
        if mean > self.last_us * 0.85 and mean > base + doubt:
            self.base_us = int((mean + self.last_us) / 2.0)
        else:
            self.base_us = int(mean if mean < base * 0.8 else base + (mean - base) * 0.5)
        self._look_later(now_ns, mean < base * 0.8)

    def _learn(self, mean: float, doubt: float, sampled: bool, drops: int, peak: int, now_ns: int) -> None:
        settings = self.settings
        limit, target = self.limit / 1000, settings.target_ns / 1e3
        if sampled:
            self.last_us = int(mean)
        if self.base_us == 0:
            self.base_us = math.floor(mean)
            self._look_later(now_ns, True)
        base = float(self.base_us)
        good = max(base, target) * 1.03 + doubt
        quotient = 1.0 if mean <= good else good / mean
        if not self.queued:
            if drops or quotient < 0.8:
                self.queued = True
            elif quotient == 1.0:
                self.base_us = int(base + (mean - base) * 0.25)
        if drops:
            following = limit * 0.9
        elif not self.queued:
            following = limit * 2.0
        else:
            following = limit * max(quotient, 0.5) + math.sqrt(limit) / 4.0
        if following > limit and peak < limit * 0.7:
            following = limit
        self.learned = int(min(max(following, float(settings.least)), float(settings.most)) * 1000)
        every_ns = settings.base_every_ns
        due = now_ns >= self.look_at_ns or self.look_at_ns - now_ns > every_ns
        if every_ns > 0 and self.queued and mean > target and due:
            self.looking = 1

    def _look_later(self, now_ns: int, again: bool) -> None:
        least_ns, wait_ns = self.settings.window_ns * 8, self.look_wait_ns * 2
        wait_ns = least_ns if again else max(wait_ns, least_ns)
        self.look_wait_ns = min(wait_ns, self.settings.base_every_ns)
        self.look_at_ns = now_ns + self.look_wait_ns
