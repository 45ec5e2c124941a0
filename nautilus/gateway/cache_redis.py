"""Kept answers in Redis: a level that gateways of several hosts share; where it fails, it is as if there were none.

A value carries when it was stored and how long it serves, by the clock. What was forgotten of an engine is
one key with the time of that: an answer that is not newer does not count. Where that could not be written, this worker
takes nothing of the engine from Redis until it is.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Any

import msgspec
from redis import RedisError

from nautilus.core.counters import Counters
from nautilus.gateway.kept import Kept
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns, wall_ns

PREFIX = b"nautilus:gateway:"
WAIT_SECONDS = 0.05
PAUSE_NS = NANOSECONDS
"""After a failure it is left alone for so long."""
FORGOT_SECONDS = 3600
SKEW_NS = 50_000_000
"""Clocks of hosts may differ by so much: an answer is taken for older by it."""
MOST_UNDER_WAY = 256

_LOGGER = logging.getLogger("nautilus.gateway")


class _Value(msgspec.Struct, frozen=True, array_like=True):
    wall_ns: int
    fresh_ns: int
    stale_ns: int
    error_ns: int
    content: bytes


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_Value)


class RedisCache:
    """See `nautilus.gateway.cache.Remote`.

    Parameters
    ----------
    url
        ``redis://HOST:PORT/DB`` or ``unix://PATH``.
    wait_seconds
        Redis answers within this time, or is taken to have nothing.
    """

    def __init__(
        self, url: str, counters: Counters, loop: asyncio.AbstractEventLoop, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        from redis.asyncio import Redis

        self._redis: Any = Redis.from_url(url, socket_timeout=wait_seconds, socket_connect_timeout=wait_seconds)
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet_until_ns = 0
        self._owed: dict[str, int] = {}
        """Engines whose answers were forgotten, how often: Redis has not heard of it yet."""
        self._telling: set[str] = set()
        self._counters = counters
        names = ("asked", "stored", "failed", "skipped", "damaged")
        self._counts = {name: counters.counter(f"cache.redis_{name}") for name in names}

    def get(self, key: bytes, path: bytes, engine: str, done: Callable[[Kept | None], object]) -> None:
        """Look an answer up; `done` is called once."""
        if engine in self._owed:
            self._tell(engine)
            self._loop.call_soon(done, None)
        elif not self._run(self._get(key, path, engine, done)):
            self._loop.call_soon(done, None)

    def put(self, key: bytes, engine: str, kept: Kept) -> None:
        """Keep an answer."""
        now_ns = monotonic_ns()
        end_ns = max(kept.fresh_ns, kept.stale_ns, kept.error_ns)
        value = _Value(
            wall_ns() - (now_ns - kept.stored_ns),
            kept.fresh_ns - kept.stored_ns,
            max(kept.stale_ns - kept.stored_ns, 0),
            max(kept.error_ns - kept.stored_ns, 0),
            kept.encode(),
        )
        self._run(self._put(_name(key), _encode(value), max((end_ns - now_ns) // 1_000_000, 1)))

    def forget(self, engine: str, prefix: bytes) -> None:
        """Nothing of an engine that is kept there counts any more, whatever its path."""
        self._owed[engine] = self._owed.get(engine, 0) + 1
        self._tell(engine)

    async def close(self) -> None:
        """Let go of the connections."""
        for task in list(self._tasks):
            task.cancel()
        await self._redis.aclose()

    def _tell(self, engine: str) -> None:
        if engine not in self._telling and self._run(self._forget(engine)):
            self._telling.add(engine)

    def _run(self, work: Any) -> bool:
        if monotonic_ns() < self._quiet_until_ns or len(self._tasks) >= MOST_UNDER_WAY:
            work.close()
            self._counters.increment(self._counts["skipped"])
            return False
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _get(self, key: bytes, path: bytes, engine: str, done: Callable[[Kept | None], object]) -> None:
        found = None
        try:
            value, forgot = await self._redis.mget(_name(key), _forgot(engine))
            self._counters.increment(self._counts["asked"])
            if value is not None:
                found = _kept(value, path, int(forgot or 0))
        except (RedisError, OSError) as error:
            self._failed(error)
        except ValueError:  # of another version, or none of ours: it is written over
            self._counters.increment(self._counts["damaged"])
        done(found)

    async def _put(self, name: bytes, value: bytes, milliseconds: int) -> None:
        try:
            await self._redis.set(name, value, px=milliseconds)
            self._counters.increment(self._counts["stored"])
        except (RedisError, OSError) as error:
            self._failed(error)

    async def _forget(self, engine: str) -> None:
        told = 0
        try:
            while told != self._owed[engine]:  # it was forgotten again meanwhile
                told = self._owed[engine]
                await self._redis.set(_forgot(engine), b"%d" % wall_ns(), ex=FORGOT_SECONDS)
            del self._owed[engine]
        except (RedisError, OSError) as error:
            self._failed(error)
        finally:
            self._telling.discard(engine)

    def _failed(self, error: Exception) -> None:
        self._counters.increment(self._counts["failed"])
        if monotonic_ns() >= self._quiet_until_ns:
            _LOGGER.warning("no answers are kept in Redis for now: %s", error)
        self._quiet_until_ns = monotonic_ns() + PAUSE_NS


def _name(key: bytes) -> bytes:
    return PREFIX + hashlib.blake2b(key, digest_size=24).hexdigest().encode()


def _forgot(engine: str) -> bytes:
    return PREFIX + b"forgot:" + engine.encode()


def _kept(content: bytes, path: bytes, forgot_ns: int) -> Kept | None:
    value = _decoder.decode(content)
    if forgot_ns and value.wall_ns - SKEW_NS <= forgot_ns:
        return None
    stored_ns = monotonic_ns() - max(wall_ns() - value.wall_ns, 0)
    times = (
        stored_ns,
        stored_ns + value.fresh_ns,
        stored_ns + value.stale_ns if value.stale_ns else 0,
        stored_ns + value.error_ns if value.error_ns else 0,
    )
    return Kept.decode(value.content, path, 0, 0, times)
