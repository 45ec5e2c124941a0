"""The latest figures of portfolios in Redis, for tools that read them there: a hash for each, with a time to live.

A thread of its own writes them; whoever has figures never waits. Of figures that have not gone out yet only the newest
are kept. While Redis cannot be reached that is counted and shown, and the newest figures go out once it can.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from redis import Redis, RedisError

from nautilus.core.counters import Counters

PREFIX = "nautilus:features:"
WAIT_SECONDS = 0.5
"""Redis answers within this time."""
PAUSE_SECONDS = 1.0
"""After a failure it is left alone for so long."""
MOST_WAITING = 10_000

_LOGGER = logging.getLogger("nautilus.runtime")


class RedisFeatureStore:
    """See `nautilus.engines.base.FeatureStore`.

    Parameters
    ----------
    url
        ``redis://HOST:PORT/DB`` or ``unix://PATH``.
    seconds
        A hash that is not written again goes after so long.
    counters
        Of the process: `feature_store.stored`, `.failed`, `.dropped`.
    """

    def __init__(self, url: str, seconds: float, counters: Counters) -> None:
        self._redis = Redis.from_url(url, socket_timeout=WAIT_SECONDS, socket_connect_timeout=WAIT_SECONDS)
        self._milliseconds = max(1, round(seconds * 1000))
        self._counters = counters
        self._counts = {name: counters.counter(f"feature_store.{name}") for name in ("stored", "failed", "dropped")}
        self._waiting: dict[str, dict[str, float | str]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="feature-store", daemon=True)
        self._thread.start()

    def put(self, name: str, values: Mapping[str, float | str], /) -> None:
        """Keep the newest figures of that name."""
        with self._changed:
            if name not in self._waiting and len(self._waiting) >= MOST_WAITING:
                self._counters.increment(self._counts["dropped"])
                return
            self._waiting[name] = dict(values)
            self._changed.notify()

    def warnings(self) -> Iterator[str]:
        """What is wrong with it."""
        if self._trouble:
            yield f"figures do not reach the feature store: {self._trouble}"

    def close(self) -> None:
        """Write what waits, as far as Redis takes it at once, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(4 * WAIT_SECONDS)
        self._redis.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return
                waiting, self._waiting = self._waiting, {}
            if self._write(waiting):
                continue
            with self._changed:
                self._waiting = waiting | self._waiting
                if self._closed:
                    return
                self._changed.wait_for(lambda: self._closed, PAUSE_SECONDS)

    def _write(self, waiting: Mapping[str, dict[str, float | str]]) -> bool:
        pipeline = self._redis.pipeline()
        for name, values in waiting.items():
            key = PREFIX + name
            pipeline.delete(key)
            fields: dict[Any, Any] = dict(values)
            pipeline.hset(key, mapping=fields)
            pipeline.pexpire(key, self._milliseconds)
        try:
            pipeline.execute()
        except (RedisError, OSError) as error:
            self._counters.increment(self._counts["failed"])
            if not self._trouble:
                _LOGGER.warning("figures do not reach the feature store: %s", error)
            self._trouble = str(error)
            return False
        self._trouble = ""
        self._counters.add(self._counts["stored"], len(waiting))
        return True


__all__ = ["PREFIX", "RedisFeatureStore"]
