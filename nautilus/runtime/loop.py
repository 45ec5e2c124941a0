"""What the one thread of a host waits for: sockets, file descriptors, times.

Everything is called on that thread, one at a time. Of what is ready together, the lower rank goes first, and what is
urgent goes between any two others::

    urgent mesh > times that are due > the host's own sources > star > mesh > control > HTTP
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from enum import IntEnum
from heapq import heappop, heappush
from typing import Any

import zmq
from zmq.backend import zmq_poll

from nautilus.runtime.clock import PlatformClock, monotonic_ns, wall_ns

_MILLISECOND = 1_000_000
LONGEST_WAIT_MS = 1_000
"""The thread comes round at least this often."""
_LONGEST_WAIT_NS = LONGEST_WAIT_MS * _MILLISECOND

Item = Any  # a zmq socket, or a file descriptor


class Rank(IntEnum):
    """Order of sources that are ready together; times that are due come after URGENT."""

    URGENT = 0
    OWN = 1
    STAR = 2
    MESH = 3
    CONTROL = 4
    HTTP = 5


class _Source:
    __slots__ = ("arm", "callback", "rank", "watched")

    def __init__(self, callback: Callable[[], object], rank: Rank, arm: Callable[[], bool] | None) -> None:
        self.callback = callback
        self.rank = rank
        self.arm = arm
        self.watched = True


def _rank(source: _Source) -> Rank:
    return source.rank


class Loop:
    """Waits and calls back.

    Parameters
    ----------
    clock
        Of the platform: times of `call_at` are its.

    Attributes
    ----------
    ready : what could be read when the thread woke.
    woken_ns : when that was, by `monotonic_ns`.
    """

    def __init__(self, clock: PlatformClock) -> None:
        self._clock = clock
        self._sources: dict[Item, _Source] = {}
        self._items: list[tuple[Item, int]] = []
        self._armed: list[_Source] = []
        self._timers: list[tuple[int, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._groups: dict[Rank, list[Item]] = {}
        self.ready: dict[Item, int] = {}
        self.woken_ns = 0

    def add_source(
        self,
        item: Item,
        callback: Callable[[], object],
        *,
        rank: Rank = Rank.OWN,
        arm: Callable[[], bool] | None = None,
    ) -> None:
        """Call back whenever a socket or file descriptor can be read.

        `arm` is called before the thread waits: False says that something is there already.
        """
        self._sources[item] = _Source(callback, rank, arm)
        self._renew()

    def remove_source(self, item: Item) -> None:
        """Wait for it no longer; to be called before it is closed."""
        source = self._sources.pop(item, None)
        if source is not None:
            source.watched = False
        self._renew()

    def set_group(self, items: Iterable[Item], callback: Callable[[], object], rank: Rank) -> None:
        """Wait for exactly these at a rank, and call back once for all of them; `ready` tells which."""
        for item in self._groups.get(rank, ()):
            self._sources.pop(item, None)
        self._groups[rank] = list(items)
        source = _Source(callback, rank, None)
        for item in self._groups[rank]:
            self._sources[item] = source
        self._renew()

    def call_at(self, ns: int, callback: Callable[[], object]) -> None:
        """Call back once, when platform time is `ns` or up to a millisecond later."""
        self.call_at_wall(self._clock.wall_of(ns), callback)

    def call_at_wall(self, ns: int, callback: Callable[[], object]) -> None:
        """The same for the machine's own time."""
        heappush(self._timers, (ns, next(self._order), callback))

    def turn(self, due_ns: int, between: Callable[[], object]) -> None:
        """Wait until there is something to do, at most until `due_ns` of the machine's time, and do it.

        `between` is called after each callback.
        """
        called: list[_Source] = []
        if self._armed:
            called += [source for source in self._armed if source.arm is not None and not source.arm()]
        timers = self._timers
        if timers and timers[0][0] < due_ns:
            due_ns = timers[0][0]
        wait_ns = 0 if called else due_ns - wall_ns()
        # Rounded up: rather a little late than round and round until it is time.
        wait_ms = -(-wait_ns // _MILLISECOND) if 0 < wait_ns < _LONGEST_WAIT_NS else LONGEST_WAIT_MS * (wait_ns > 0)
        self.ready = ready = dict(zmq_poll(self._items, wait_ms))
        self.woken_ns = monotonic_ns()
        for item in ready:
            found = self._sources[item]
            if found not in called:
                called.append(found)
        if len(called) > 1:
            called.sort(key=_rank)
        if called and called[0].rank is Rank.URGENT:
            called.pop(0).callback()
            between()
        if timers and timers[0][0] <= wall_ns():
            self._fire(between)
        for source in called:
            # Not where what was done just now has taken it away.
            if source.watched:
                source.callback()
                between()

    def _fire(self, between: Callable[[], object]) -> None:
        timers, now_ns, most = self._timers, wall_ns(), len(self._timers)
        # What a timer arms for now has to wait for the next turn: it must not keep everything else waiting.
        while timers and most and timers[0][0] <= now_ns:
            most -= 1
            heappop(timers)[2]()
            between()

    def _renew(self) -> None:
        self._items = [(item, zmq.POLLIN) for item in self._sources]
        self._armed = [source for source in self._sources.values() if source.arm is not None]
