"""Puts the cache of a worker together, of the section ``gateway`` and what all workers share."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from nautilus.gateway.cache import Cache, Question, Remote, Settings, Verdict, key_of
from nautilus.gateway.cache_door import Door
from nautilus.gateway.regions import open_answers
from nautilus.gateway.usage import read_usage
from nautilus.policy.caching import PLAIN, CacheRules
from nautilus.runtime.clock import monotonic_ns

if TYPE_CHECKING:
    from nautilus.gateway.worker import WorkerContext

USAGE_SECONDS = 10.0
"""Between two notes of what is asked for most."""
USAGE = "gateway-usage"
WARM_SECONDS = 0.5
"""After its start a worker asks for what was asked for most, once engines answer."""


def open_door(context: WorkerContext, loop: asyncio.AbstractEventLoop) -> Door | None:
    """The way through the cache; None: nothing is kept."""
    config, counters = context.config, context.counters
    if not config.cache:
        return None
    remote: Remote | None = None
    if config.cache_redis:
        from nautilus.gateway.cache_redis import RedisCache

        remote = RedisCache(config.cache_redis, counters, loop)
    cache = Cache(
        open_answers(context.plan, config),
        counters,
        loop.call_later,
        monotonic_ns,
        Settings(
            memory_bytes=config.cache_memory_mib << 20,
            largest_bytes=config.cache_largest_kib << 10,
            claim_ns=int(config.engine_timeout_ms * 1e6),
            rules=CacheRules(config.cache_stale_seconds, config.cache_error_seconds, config.cache_negative_seconds),
        ),
        remote,
    )
    return Door(cache, counters, config.cache_seconds, monotonic_ns)


def keep_warm(context: WorkerContext, door: Door, loop: asyncio.AbstractEventLoop) -> None:
    """Note what is asked for most, and fetch what was before, once."""
    directory = Path(context.plan.data, "state")
    own = directory / f"{USAGE}.{context.number}.json"
    count = context.config.cache_warm
    warmed = context.counters.counter("cache.warmed")

    def note() -> None:
        loop.call_later(USAGE_SECONDS, note)
        try:
            door.usage.write(own, count)
        except OSError:  # a full disk: the next worker begins cold
            return

    def warm() -> None:
        if not context.ports or door.refresh is None:
            loop.call_later(WARM_SECONDS, warm)
            return
        for asked in read_usage(sorted(directory.glob(f"{USAGE}.*.json")), count):
            path = asked.path.encode()
            key = key_of(asked.engine, asked.scopes.encode(), path)
            seconds = door.seconds_of(asked.engine, asked.operation)
            if key is None or asked.engine not in context.ports:
                continue
            place = (asked.engine, asked.operation)
            question = Question(asked.engine, key, path, (), PLAIN, seconds, place)
            found = door.cache.ask(question, monotonic_ns(), lambda outcome: None)
            if found.verdict is Verdict.MISS and found.fill is not None:
                context.counters.increment(warmed)
                door.refresh(question, found.fill)

    if count:
        loop.call_later(WARM_SECONDS, warm)
        loop.call_later(USAGE_SECONDS, note)


__all__ = ["keep_warm", "open_door"]
