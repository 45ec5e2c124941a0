"""The connections to one instance of an engine: so many at most, kept alive, one request at a time on each.

::

    request -> an idle connection, the one used last first -> sent at once
            -> a new connection, while there may be more
            -> waits, by priority, for as long as it may

While the instance refuses connections nobody waits: each request is told, and `revive` finds out when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from nautilus.core.counters import Counters
from nautilus.core.proxy_upstream import Call, PoolBase, Upstream

PRIORITIES = 4
MILLION = 1_000_000


class PoolSettings(NamedTuple):
    """One instance's connections.

    Parameters
    ----------
    size
        At most.
    keep_alive_seconds
        An idle one is closed after so long; less than the engine keeps it, so that no request meets its end.
    connect_seconds
        A new one must be there after so long.
    waiting
        Requests that may wait for one.
    """

    size: int = 25
    keep_alive_seconds: float = 30.0
    connect_seconds: float = 1.0
    waiting: int = 1024


class Pool(PoolBase):
    """Connections to one address.

    Parameters
    ----------
    name
        Of the instance, for counters and problems.
    address
        Host (an address, no name) and port.
    counters
        Of the process.
    drop
        Lower-case names of fields of answers that clients are not to see.
    on_change
        Called with False when the instance refuses connections, with True when it takes them again.
    """

    def __init__(
        self,
        name: str,
        address: tuple[str, int],
        settings: PoolSettings,
        counters: Counters,
        *,
        drop: tuple[bytes, ...] = (),
        on_change: Callable[[bool], None] = lambda up: None,
    ) -> None:
        self.name = name
        self.address = address
        self.settings = settings
        self.drop = drop
        self.up = True
        """The instance took the last connection it was asked for."""
        self.connections = set()
        self.on_change = on_change
        self.in_flight = 0
        """Requests sent and not answered yet."""
        self._idle = []
        self._waiting: tuple[deque[Call], ...] = tuple(deque() for _ in range(PRIORITIES))
        self._waiting_count = 0
        self._connecting: set[asyncio.Task[None]] = set()
        self._closed = False
        self._keep_alive_ns = int(settings.keep_alive_seconds * 1e9)
        self._counters = counters
        head = f"gateway.pool.{name}."
        self._connects, self._refusals, self._doubts, self._full, self._expired = (
            counters.counter(head + what) for what in ("connects", "refused", "doubted", "full", "expired")
        )

    @property
    def waiting(self) -> int:
        """Requests that wait for a connection."""
        return self._waiting_count

    @property
    def idle(self) -> int:
        """Connections that nothing is on."""
        return len(self._idle)

    @property
    def busy(self) -> bool:
        """There is something that may become late."""
        return self.in_flight > 0 or self._waiting_count > 0

    def _wait(self, call: Call) -> None:
        """No connection is idle."""
        if self._waiting_count >= self.settings.waiting:
            shed = self._lowest(call)
            self._counters.increment(self._full)
            shed.on_failure("full", f"{self._waiting_count} requests wait for a connection", sent=False)
            if shed is call:
                return
        self._waiting[call.priority].append(call)
        self._waiting_count += 1
        self._connect()

    def cancel(self, call: Call) -> None:
        """Nobody wants it any more; it is told nothing."""
        if call.upstream is not None:
            call.upstream.give_up()
            return
        with contextlib.suppress(ValueError):
            self._waiting[call.priority].remove(call)
            self._waiting_count -= 1

    def next_waiting(self) -> Call | None:
        """Take out the next one that waits for a connection; None: nobody does."""
        return self._next()

    def leave(self, upstream: Upstream) -> None:
        """The connection is no longer one of the pool's."""
        if upstream not in self.connections:
            return
        self.connections.discard(upstream)
        try:
            self._idle.remove(upstream)
        except ValueError:
            self.in_flight -= 1
        if self._waiting_count:
            self._connect()

    def doubted(self) -> None:
        """A connection said something that nobody had asked for."""
        self._counters.increment(self._doubts)

    def sweep(self, now_ns: int) -> None:
        """End what has become late: requests that wait or are not answered, and connections unused for too long."""
        if self._waiting_count:
            for queue in self._waiting:
                late = [call for call in queue if self._waits_until_ns(call) <= now_ns]
                for call in late:
                    queue.remove(call)
                    self._waiting_count -= 1
                    self._counters.increment(self._expired)
                    call.on_failure("wait", "no connection was free in time", sent=False)
        for upstream in list(self.connections):
            under_way = upstream.call
            if under_way is not None and under_way.deadline_ns <= now_ns:
                upstream.fail("late", "no whole answer in time")
                upstream.close()
        for upstream in self._idle[:]:
            if not upstream.idle_ns:
                upstream.idle_ns = now_ns
            elif now_ns - upstream.idle_ns > self._keep_alive_ns:
                upstream.close()

    def revive(self) -> None:
        """Try whether an instance that refused connections takes them again."""
        if not self.up and not self._connecting:
            self._start_connecting()

    def refused(self, what: str) -> None:
        """The instance took no connection, here or elsewhere."""
        self._counters.increment(self._refusals)
        if self.connections:
            return  # it has as many as it takes; who waits gets one of those
        if self.up:
            self.up = False
            self.on_change(False)
        while (waiting := self._next()) is not None:
            waiting.on_failure("connect", f"{self.name} takes no connection: {what}", sent=False)

    def _cannot_connect(self, what: str) -> None:
        """This process has no descriptor left, which says nothing of the instance."""
        if self.connections:
            return  # who waits gets one of those
        while (waiting := self._next()) is not None:
            self._counters.increment(self._full)
            waiting.on_failure("full", what, sent=False)

    def close(self) -> None:
        """End idle connections now, busy ones after their answer; nothing new is taken."""
        self._closed = True
        for upstream in self._idle[:]:
            upstream.close()
        for task in self._connecting:
            task.cancel()

    def _waits_until_ns(self, call: Call) -> int:
        # Nobody else has what a connection that is being made is waited for: nothing is gained by turning away a read.
        return call.deadline_ns if call.safe and self._connecting else call.wait_until_ns

    def _lowest(self, call: Call) -> Call:
        """Who gives way where too many wait: the last of the lowest priority, if that is below the new one's."""
        for priority in range(PRIORITIES - 1, call.priority, -1):
            if self._waiting[priority]:
                self._waiting_count -= 1
                return self._waiting[priority].pop()
        return call

    def _next(self) -> Call | None:
        for queue in self._waiting:
            if queue:
                self._waiting_count -= 1
                return queue.popleft()
        return None

    def _connect(self) -> None:
        wanted = min(self._waiting_count, self.settings.size - len(self.connections))
        while len(self._connecting) < wanted:
            self._start_connecting()

    def _start_connecting(self) -> None:
        task = asyncio.get_running_loop().create_task(self._open())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as error:
            self._cannot_connect(f"no socket for a connection: {error.strerror}")
            return
        upstream = Upstream(self, sock)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(self.settings.connect_seconds):
                await loop.sock_connect(sock, self.address)
            await loop.create_connection(lambda: upstream, sock=sock)
        except (OSError, TimeoutError) as error:
            sock.close()
            self.refused(str(error) or "no connection in time")
            return
        except BaseException:
            sock.close()
            raise
        if upstream.transport is None or self._closed:
            upstream.close()
            return
        self._counters.increment(self._connects)
        self.connections.add(upstream)
        self.in_flight += 1
        if not self.up:
            self.up = True
            self.on_change(True)
        self.give_back(upstream)
