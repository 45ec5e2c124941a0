"""What the one thread of a host waits for: sockets, file descriptors, times.

Everything is called on that thread, one at a time. Of what is ready together, the lower rank goes first, and what is
urgent goes between any two others::

    urgent ring > urgent mesh > times that are due > the host's own sources > star > mesh > control > HTTP

The thread waits on descriptors, that of a ZeroMQ socket too: one system call, however many there are. Such a descriptor
tells of news once; whoever sends on the socket, or leaves something in it, may have taken the news in unseen. So these
sockets are looked at themselves before the thread waits: those that their owner names as touched, and all of which
nobody says anything.
"""

from __future__ import annotations

import contextlib
import itertools
import select
from collections.abc import Callable, Iterable
from enum import IntEnum
from heapq import heappop, heappush
from typing import Any

import zmq
from zmq.backend import zmq_poll

from nautilus.bus.urgent_ring import UrgentRing
from nautilus.core.wake import Waiting
from nautilus.runtime.clock import NANOSECONDS, PlatformClock, monotonic_ns, wall_ns

LONGEST_WAIT_NS = NANOSECONDS
"""The thread comes round at least this often."""
_POLLIN = int(zmq.POLLIN)

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
    waiting
        How the thread waits, where it is not to sleep at once; None: it sleeps.

    Attributes
    ----------
    ready : what could be read when the thread woke.
    woken_ns : when that was, by `monotonic_ns`.
    """

    def __init__(self, clock: PlatformClock, waiting: Waiting | None = None) -> None:
        self._clock = clock
        self._waiting = waiting
        self._epoll = select.epoll()
        self._sources: dict[Item, _Source] = {}
        self._descriptors: dict[int, Item] = {}
        self._unsure: set[Item] = set()
        self._touched: list[set[Any]] = [self._unsure]
        self._armed: list[_Source] = []
        self._timers: list[tuple[int, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._groups: dict[Rank, list[Item]] = {}
        self._ring: UrgentRing | None = None
        self._on_ring: Callable[[], object] = _nothing
        self.ready: set[Item] = set()
        self.woken_ns = 0

    def add_source(
        self,
        item: Item,
        callback: Callable[[], object],
        *,
        rank: Rank = Rank.OWN,
        arm: Callable[[], bool] | None = None,
        touched: set[Any] | None = None,
    ) -> None:
        """Call back whenever a socket or file descriptor can be read.

        `arm` is called before the thread waits: False says that something is there already. `touched`: see `set_group`.
        """
        self._add(item, _Source(callback, rank, arm))
        if touched is not None:
            self._heed(touched)
        elif isinstance(item, zmq.Socket):
            self._unsure.add(item)

    def remove_source(self, item: Item) -> None:
        """Wait for it no longer; to be called before it is closed."""
        source = self._sources.pop(item, None)
        if source is None:
            return
        source.watched = False
        self._unsure.discard(item)
        for descriptor, found in list(self._descriptors.items()):
            if found is item or found == item:
                del self._descriptors[descriptor]
                with contextlib.suppress(OSError):  # closed after all
                    self._epoll.unregister(descriptor)
        self._armed = [each for each in self._sources.values() if each.arm is not None]

    def set_group(
        self, items: Iterable[Item], callback: Callable[[], object], rank: Rank, touched: set[Any] | None = None
    ) -> None:
        """Wait for exactly these sockets at a rank, and call back once for all of them; `ready` tells which.

        `touched` holds those that have to be looked at before the next wait; they are taken out.
        """
        wanted = list(items)
        for item in self._groups.get(rank, ()):
            if item not in wanted:
                self.remove_source(item)
        self._groups[rank] = wanted
        source = _Source(callback, rank, None)
        for item in wanted:
            self._add(item, source)
        if touched is not None:
            self._heed(touched)

    def set_ring(self, ring: UrgentRing, callback: Callable[[], object]) -> None:
        """Call back before all else when urgent messages came through shared memory.

        A thread that looks before it sleeps looks there too; one that sleeps is woken by its bell, or by their copies.
        """
        self._ring, self._on_ring = ring, callback

        def rung() -> None:
            ring.hush()
            if ring.waiting:
                callback()

        with contextlib.suppress(OSError):  # without it their copies wake the thread
            self.add_source(ring.fileno(), rung, rank=Rank.URGENT)

    def close(self) -> None:
        """Wait for nothing any more."""
        self._ring = None
        self._epoll.close()

    def _heed(self, touched: set[Any]) -> None:
        if all(known is not touched for known in self._touched):
            self._touched.append(touched)

    def _add(self, item: Item, source: _Source) -> None:
        if item not in self._sources:
            descriptor = item
            if isinstance(item, zmq.Socket):
                descriptor = item.getsockopt(zmq.FD)
            self._descriptors[descriptor] = item
            self._epoll.register(descriptor, select.EPOLLIN)
        self._sources[item] = source
        self._armed = [each for each in self._sources.values() if each.arm is not None]

    def _renew(self) -> None:
        """Wait on what is known alone.

        A descriptor that was closed before it was removed stays where a process that was forked holds its file: it
        wakes this thread, and can be taken out by nobody.
        """
        self._epoll.close()
        self._epoll = select.epoll()
        for descriptor in self._descriptors:
            self._epoll.register(descriptor, select.EPOLLIN)

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
        ready: set[Item] = set()
        self.ready = ready
        for touched in self._touched:
            if touched:
                ready.update(item for item, _ in zmq_poll([(item, _POLLIN) for item in touched], 0))
                if touched is not self._unsure:
                    touched.clear()
        timers = self._timers
        if timers and timers[0][0] < due_ns:
            due_ns = timers[0][0]
        wait_ns = 0 if called or ready else min(max(due_ns - wall_ns(), 0), LONGEST_WAIT_NS)
        ring = self._ring
        came = ring is not None and ring.waiting
        if came:
            wait_ns = 0
        if self._waiting is not None and wait_ns:
            if ring is not None:
                came = ring.wait(self._waiting, self._epoll.fileno(), wait_ns)
            else:
                self._waiting.readable(self._epoll.fileno(), wait_ns)
            wait_ns = 0
        if came:
            self.woken_ns = monotonic_ns()
            self._on_ring()
            between()
        for descriptor, _ in self._epoll.poll(wait_ns / NANOSECONDS):
            item = self._descriptors.get(descriptor)
            if item is None:
                self._renew()
                break
            ready.add(item)
        self.woken_ns = monotonic_ns()
        for item in ready:
            found = self._sources.get(item)
            if found is not None and found not in called:
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


def _nothing() -> None:
    """There is no ring."""
