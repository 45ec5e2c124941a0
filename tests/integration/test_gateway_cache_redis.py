"""Kept answers in a real Redis: what one gateway keeps another one has, and without Redis nothing is missing."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nautilus.core.counters import Counters
from nautilus.core.response_cache import Answers
from nautilus.gateway.cache import Cache, Outcome, Question, Settings, Verdict, key_of
from nautilus.gateway.cache_redis import RedisCache
from nautilus.gateway.kept import head_of
from nautilus.gateway.regions import SharedCaches
from nautilus.policy.caching import PLAIN
from nautilus.runtime.clock import monotonic_ns
from tests.kit.hostile_upstream import passing, until
from tests.kit.redis_server import RedisServer, running_redis


class Gateway:
    """The cache of a worker of one gateway, with its own shared level."""

    def __init__(self, url: str, wait_seconds: float = 20.0) -> None:
        loop = asyncio.get_running_loop()
        self.counters = Counters()
        self.redis = RedisCache(url, self.counters, loop, wait_seconds)
        self.answers = Answers(kib=64)
        self.cache = Cache(self.answers, self.counters, loop.call_later, monotonic_ns, Settings(), self.redis)

    def count(self, name: str) -> int:
        return self.counters.snapshot().get(f"cache.{name}", 0)

    async def get(self, path: str = "/a", body: bytes = b"1") -> bytes:
        """What a request gets; `body` is what the engine would say now."""
        key = key_of("risk", b"", path.encode())
        assert key is not None
        got: list[Outcome] = []
        asked = self.cache.ask(Question("risk", key, path.encode(), (), PLAIN, 60.0), monotonic_ns(), got.append)
        if asked.kept is not None:
            return asked.kept.body
        fill = asked.fill
        if asked.verdict is Verdict.JOINED:
            await until(lambda: got)
            if got[0].kept is not None:
                return got[0].kept.body
            fill = got[0].fill
        assert fill is not None
        fields = [(b"content-length", b"%d" % len(body))]
        fill.whole(200, head_of(200, fields, b"OK"), fields, body)
        return body


def run(scene: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(scene(), 60))


def test_what_one_gateway_keeps_another_one_has_until_it_is_forgotten(tmp_path: Path) -> None:
    async def scene(url: str) -> None:
        one, other = Gateway(url), Gateway(url)
        assert await one.get(body=b"first") == b"first"
        await until(lambda: one.count("redis_stored") == 1)
        assert await other.get(body=b"second") == b"first"
        assert other.count("remote_hits") == 1
        assert other.count("misses") == 0
        assert await other.get() == b"first"  # from its memory now
        assert other.count("redis_asked") == 1
        one.cache.forget("risk")
        third = Gateway(url)
        await passing(0.1)  # longer than clocks may differ
        assert await third.get(body=b"third") == b"third"
        await until(lambda: third.count("redis_stored") == 1)
        await passing(0.1)
        fourth = Gateway(url)
        assert await fourth.get(body=b"fourth") == b"third"
        for gateway in (one, other, third, fourth):
            await gateway.redis.close()

    with running_redis(tmp_path) as server:
        run(lambda: scene(server.url))


def test_a_redis_that_dies_or_hangs_is_as_if_there_were_none(tmp_path: Path) -> None:
    async def scene(server: RedisServer) -> None:
        gateway = Gateway(server.url, wait_seconds=0.2)
        assert await gateway.get("/a", b"1") == b"1"
        server.send_signal(signal.SIGSTOP)
        assert await gateway.get("/b", b"2") == b"2"
        assert gateway.count("redis_failed") >= 1
        assert await gateway.get("/c", b"3") == b"3"
        assert gateway.count("redis_skipped") >= 1  # it is left alone for a while
        assert await gateway.get("/a") == b"1"
        await gateway.redis.close()

    with running_redis(tmp_path) as server:
        try:
            run(lambda: scene(server))
        finally:
            server.send_signal(signal.SIGCONT)


def test_what_the_bus_makes_forgotten_does_not_come_back_from_redis(tmp_path: Path) -> None:
    async def scene(url: str) -> None:
        gateway, other = Gateway(url), Gateway(url)
        assert await gateway.get(body=b"first") == b"first"
        await until(lambda: gateway.count("redis_stored") == 1)
        SharedCaches(gateway.answers).invalidate("risk")
        assert await gateway.get(body=b"second") == b"second"
        await until(lambda: gateway.count("redis_stored") == 2)
        assert await other.get(body=b"third") != b"first"
        for each in (gateway, other):
            await each.redis.close()

    with running_redis(tmp_path) as server:
        run(lambda: scene(server.url))


@pytest.mark.parametrize("fails", [True, False])
def test_what_redis_could_not_be_told_to_forget_it_is_told_before_it_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    async def scene(server: RedisServer) -> None:
        gateway = Gateway(server.url)
        assert await gateway.get(body=b"first") == b"first"
        await until(lambda: gateway.count("redis_stored") == 1)
        if fails:
            server.kill()
            gateway.cache.forget("risk")
            await until(lambda: gateway.count("redis_failed") == 1)
            server.start()
        else:
            with monkeypatch.context() as patch:
                patch.setattr("nautilus.gateway.cache_redis.MOST_UNDER_WAY", 0)
                gateway.cache.forget("risk")
            assert gateway.count("redis_skipped") == 1
        assert await gateway.get(body=b"second") == b"second"
        await until(lambda: gateway.count("redis_stored") == 2)
        other = Gateway(server.url)
        assert await other.get(body=b"third") != b"first"
        for each in (gateway, other):
            await each.redis.close()

    monkeypatch.setattr("nautilus.gateway.cache_redis.PAUSE_NS", 0)
    with running_redis(tmp_path, "always") as server:
        run(lambda: scene(server))


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x95\x01\x02\x03\x04\xa1x"])
def test_what_is_no_answer_there_is_none(tmp_path: Path, content: bytes) -> None:
    async def scene(server: RedisServer) -> None:
        from redis.asyncio import Redis

        gateway, client = Gateway(server.url), Redis.from_url(server.url)
        await gateway.get("/a", b"1")
        await until(lambda: gateway.count("redis_stored") == 1)
        [key] = await client.keys("nautilus:gateway:*")
        await client.set(key, content)
        other = Gateway(server.url)
        assert await other.get("/a", b"2") == b"2"
        await until(lambda: other.count("redis_stored") == 1)
        for redis in (client, gateway.redis, other.redis):
            await (redis.close() if isinstance(redis, RedisCache) else redis.aclose())

    with running_redis(tmp_path) as server:
        run(lambda: scene(server))
