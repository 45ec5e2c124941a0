"""Which path a reader of the star takes, and what comes by those beside ZeroMQ.

A socket that takes heartbeats alone shows whether ZeroMQ brings anything, whatever the subscriber is fed. While it does
not, frames come from Redis; without that, over HTTP; without these, what the reader has is stale. What it asks for goes
over HTTP then, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import zmq

from nautilus.bus.base import HEARTBEAT, checked_endpoints, new_socket
from nautilus.bus.failover import DOWN_NS, HTTP, NEVER, REDIS, RING, STALE, UP_NS, ZMQ, Failover, PathChange
from nautilus.bus.http_star import HttpStar
from nautilus.bus.subscriber import Subscriber
from nautilus.bus.timer import Timer

QUIET = 2
"""Heartbeats that do not come until those that stand by are looked at."""
MISSED = 3
"""Heartbeats that do not come until a path counts as not healthy."""

UNSEEN = 4
"""Heartbeats in a row at which nothing else is looked at where all is well."""


class FrameSource(Protocol):
    """A path beside ZeroMQ: read only while it is wanted."""

    @property
    def cause(self) -> str:
        """Why it is not healthy; "": it is."""
        ...

    def watch(self) -> None:
        """A better path is not well: see whether this one would do. To be called again as long as it is so."""
        ...

    def begin(self, since_ns: int, /) -> None:
        """Bring frames from now on, and what came since then."""
        ...

    def end(self) -> None:
        """Bring nothing any more."""
        ...

    def read(self) -> list[bytes]:
        """Frames that came."""
        ...

    def fileno(self) -> int:
        """Readable when there may be some."""
        ...

    def close(self) -> None:
        """Give it up."""
        ...


class StarPaths:
    """Of one subscriber.

    Parameters
    ----------
    context, endpoints
        As of the subscriber.
    subscriber
        That is fed.
    hub
        Process of the publisher, for names.
    clock
        Nanoseconds of the machine.
    ring
        Whether the subscriber takes frames out of a ring where it can.
    redis, http
        The other paths; None: there is none.
    heartbeat_ns
        Of the publisher.
    on_path
        Called with each `PathChange`.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        endpoints: str | Sequence[str],
        subscriber: Subscriber,
        hub: str,
        clock: Callable[[], int],
        *,
        redis: FrameSource | None = None,
        http: HttpStar | None = None,
        ring: bool = False,
        heartbeat_ns: int = 20_000_000,
        down_ns: int = DOWN_NS,
        up_ns: int = UP_NS,
        on_path: Callable[[PathChange], object] | None = None,
    ) -> None:
        self._subscriber = subscriber
        self._clock = clock
        self._on_path = on_path
        self._quiet_ns, self._silence_ns = QUIET * heartbeat_ns, MISSED * heartbeat_ns
        self._http = http
        self._others: dict[str, FrameSource] = {
            name: each for name, each in ((REDIS, redis), (HTTP, http)) if each is not None
        }
        now_ns = clock()
        paths = (*((RING,) if ring else ()), ZMQ, *self._others, STALE)
        self.failover = Failover("star", hub, paths, now_ns, down_ns=down_ns, up_ns=up_ns)
        self._heard_ns = now_ns
        # Where a stream of Redis stands by, every 10 ms count until it is taken; else a heartbeat more does not.
        self._every_ns = heartbeat_ns if redis is None else min(heartbeat_ns, 10_000_000)
        self._timer = Timer(self._every_ns)
        self._well = False
        self._unseen, self._way = 0, ""
        self.touched: set[zmq.Socket[bytes]] = set()
        """Holds the socket while it may not be empty: to be looked at itself before the host waits for its descriptor.
        """
        self.socket = new_socket(context, zmq.SUB)
        """Takes heartbeats by ZeroMQ."""
        self.socket.setsockopt(zmq.CONFLATE, 1)
        self.socket.setsockopt(zmq.SUBSCRIBE, bytes((HEARTBEAT,)))
        for endpoint in checked_endpoints(endpoints):
            self.socket.connect(endpoint)

    def descriptors(self) -> list[int]:
        """To be waited for; `turn` is to be called when one can be read. They never change."""
        return [self._timer.fileno(), *(each.fileno() for each in self._others.values())]

    def turn(self) -> bool:
        """See what came by which path, and take the one that the table says.

        Whether there is something for the subscriber's `drain` to hand out, or to be asked for.
        """
        now_ns = self._clock()
        heard = fed = False
        with suppress(zmq.Again):
            self.socket.recv(zmq.NOBLOCK)
            self.touched.add(self.socket)  # there may be more than one hub
            self._heard_ns = now_ns
            heard = True
        if heard and self._well and self._unseen and self._subscriber.way == self._way:
            self._unseen -= 1
            self._wait(heard, well=True)
            return False
        self._unseen, self._way = UNSEEN, self._subscriber.way
        for name, source in self._others.items():
            for frame in source.read():
                self._subscriber.feed(frame, name)
                fed = True
        paths = self.failover
        paths.report(RING, self._subscriber.way == RING, now_ns, f"frames come by {self._subscriber.way}")
        quiet_ns = now_ns - self._heard_ns
        silent = quiet_ns > self._silence_ns
        if quiet_ns > self._quiet_ns or self._subscriber.asks_by is not None:
            for source in self._others.values():
                source.watch()
        paths.report(ZMQ, not silent, now_ns, "no heartbeat" if silent else "heartbeats come")
        for name, source in self._others.items():
            cause = source.cause
            paths.report(name, not cause, now_ns, cause)
        change = paths.step(now_ns)
        if change is not None:
            self._take(change)
        self._wait(heard, well=change is None and not paths.degraded and paths.due_ns == NEVER)
        return fed or change is not None

    def _wait(self, heard: bool, *, well: bool) -> None:
        """When to look again although nothing comes.

        A heartbeat finds out how things are. Where all is well there is nothing to see until the next one, and the
        first look of its own is for when a second one in a row has not come.
        """
        if heard and well:
            self._timer.restart(self._quiet_ns + self._every_ns // 2, self._every_ns)
        elif self._well and not well:
            self._timer.restart(self._every_ns, self._every_ns)
        else:
            self._timer.taken()
        self._well = well

    def close(self) -> None:
        """Give everything back but the subscriber."""
        self.touched.clear()
        self.socket.close()
        self._timer.close()
        for source in self._others.values():
            source.close()

    def _take(self, change: PathChange) -> None:
        for name, source in self._others.items():
            if name == change.after:
                source.begin(self._heard_ns)
            elif name == change.before:
                source.end()
        if self._http is not None:
            # Where ZeroMQ brings nothing, it takes no questions to the hub either.
            self._subscriber.asks_by = None if change.after in (RING, ZMQ) else self._http.ask
        if self._on_path is not None:
            self._on_path(change)
