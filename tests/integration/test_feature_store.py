"""Figures of portfolios in a real Redis: written, replaced, gone in time, and caught up with after an outage."""

from __future__ import annotations

import contextlib

from redis import Redis

from nautilus.core.counters import Counters
from nautilus.engines.analytics import AnalyticsConfig, AnalyticsEngine
from nautilus.runtime.feature_store import PREFIX, RedisFeatureStore
from tests.kit.analytics import RETURNS
from tests.kit.context import RecordingContext, btcusdt
from tests.kit.live_host import eventually, short_directory
from tests.kit.redis_server import RedisServer
from tests.kit.valuations import daily

KEY = f"{PREFIX}portfolio-7"


def test_the_latest_figures_of_a_portfolio_are_in_redis_through_an_outage():
    with short_directory() as directory, contextlib.ExitStack() as undo:
        server = RedisServer(directory / "redis")
        server.start()
        undo.callback(server.kill)
        counters = Counters()
        store = RedisFeatureStore(server.url, 600.0, counters)
        undo.callback(store.close)
        client = Redis.from_url(server.url, decode_responses=True)
        undo.callback(client.close)
        made, ctx = AnalyticsEngine(AnalyticsConfig(), [btcusdt()], store), RecordingContext()
        values = daily(RETURNS)

        def follow(part):
            for value in part:
                ctx.now_ns = value.now_ns
                made.on_balance(value, ctx)
            return str(part[-1].now_ns)

        last = follow(values[:100])
        eventually(lambda: client.hget(KEY, "now_ns") == last)
        found = client.hgetall(KEY)
        update = ctx.published[-1]
        assert float(found["sharpe"]) == update.sharpe
        assert float(found["total_return"]) == update.total_return
        assert (float(found["nav"]), found["currency"], found["synthetic"]) == (values[99].nav, "USDT", "0")
        assert 0 < client.pttl(KEY) <= 600_000

        server.kill()
        last = follow(values[100:200])
        eventually(lambda: list(store.warnings()) != [])
        assert counters.snapshot()["feature_store.failed"] >= 1
        server.start()
        eventually(lambda: client.hget(KEY, "now_ns") == last)
        eventually(lambda: list(store.warnings()) == [])


def test_figures_without_a_value_are_not_there_and_old_ones_do_not_stay():
    with short_directory() as directory, contextlib.ExitStack() as undo:
        server = RedisServer(directory / "redis")
        server.start()
        undo.callback(server.kill)
        store = RedisFeatureStore(server.url, 600.0, Counters())
        client = Redis.from_url(server.url, decode_responses=True)
        undo.callback(client.close)
        store.put("a", {"sharpe": 1.5, "nav": 2.0})
        eventually(lambda: client.exists(f"{PREFIX}a"))
        store.put("a", {"nav": 3.0})
        store.close()  # what waits is written first
        assert client.hgetall(f"{PREFIX}a") == {"nav": "3.0"}
