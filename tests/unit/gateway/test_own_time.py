"""What counts as the gateway's own time, and from when a request takes a place, on real sockets."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from nautilus.core.breaker import Breakers
from nautilus.core.limiter import Limiters, LimiterSettings
from nautilus.gateway.gate import Gate
from nautilus.policy.breaker import config_of
from nautilus.runtime.clock import monotonic_ns
from tests.kit.gateway import GatewayInLoop
from tests.kit.hostile_upstream import Asked, HostileUpstream, passing, until


def run(behave: Callable[[Asked], Awaitable[None]], scene: Callable[..., Awaitable[Any]], **settings: Any) -> Any:
    async def whole() -> Any:
        async with HostileUpstream(behave) as upstream, GatewayInLoop(upstream.port, **settings) as gateway:
            return await scene(gateway, upstream)

    return asyncio.run(asyncio.wait_for(whole(), 60))


async def right(asked: Asked) -> None:
    await asked.answer()


def test_a_body_that_comes_slowly_takes_no_place_until_it_is_there():
    async def scene(gateway, upstream):
        breaker = Breakers(8).breaker("risk", config_of("risk").settings())
        limiter = Limiters(8).limiter("risk", LimiterSettings())
        gateway.proxy.engines[b"risk"].gate = Gate("risk", breaker, limiter, gateway.counters)
        client = await gateway.connect()
        client.send(method=b"POST", fields=[(b"content-length", b"10"), (b"content-type", b"application/json")])
        client.writer.write(b"hello")
        await until(lambda: gateway.count("requests"))
        held = breaker.metrics(monotonic_ns()).in_flight, limiter.metrics().under_way
        await passing(0.25)  # longer than the engine may take: its time has not begun
        client.writer.write(b"there")
        await until(lambda: upstream.asked)
        return held, await client.answer()

    async def behave(asked: Asked) -> None:
        await asked.answer(asked.body)

    held, answer = run(behave, scene, timeout_seconds=0.2)
    assert held == (0, 0)
    assert (answer.status, answer.body) == (200, b"hellothere")


def test_time_on_the_way_back_is_the_gateways_own():
    async def scene(gateway, upstream):
        answered = gateway.proxy.answered

        def slowly(call, head):
            begun_ns = monotonic_ns()
            while monotonic_ns() - begun_ns < 20_000_000:
                pass
            answered(call, head)

        gateway.proxy.answered = slowly
        return (await gateway.ask()).fields[b"server-timing"]

    timing = run(right, scene)
    own = re.fullmatch(rb"gateway;dur=([0-9.]+), upstream;dur=([0-9.]+)", timing)
    assert own is not None
    assert float(own[1]) >= 20
