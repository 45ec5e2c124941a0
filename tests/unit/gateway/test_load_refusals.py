"""What an engine that has too much to do, or is slow, means to the gateway's breaker before it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from nautilus.core.breaker import SUCCESS, Breakers
from nautilus.core.limiter import Limiters, LimiterSettings
from nautilus.gateway.gate import Gate
from nautilus.policy.breaker import config_of
from nautilus.runtime.clock import monotonic_ns
from tests.kit.gateway import GatewayInLoop
from tests.kit.hostile_upstream import Asked, HostileUpstream


def with_upstream(behave: Callable[[Asked], Awaitable[None]], scene: Callable[..., Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        async with HostileUpstream(behave) as upstream, GatewayInLoop(upstream.port) as gateway:
            return await scene(gateway)

    return asyncio.run(asyncio.wait_for(whole(), 60))


async def right(asked: Asked) -> None:
    await asked.answer(b"{}")


@pytest.mark.parametrize(
    ("status", "code", "state"),
    [
        (503, b"limit.shed", "closed"),
        (504, b"limit.late", "closed"),
        (429, b"access.rate", "closed"),
        (503, b"bus.stopping", "open"),
        (504, b"http.timeout", "open"),
        (500, b"limit.shed", "open"),
    ],
)
def test_engine_that_refuses_for_load_has_not_failed(status, code, state):
    async def behave(asked: Asked) -> None:
        await asked.answer(b'{"status":%d,"code":"%b"}' % (status, code), status)

    async def scene(gateway):
        breaker = Breakers(8).breaker("risk", config_of("risk").settings())
        limiter = Limiters(8).limiter("risk", LimiterSettings())
        gateway.proxy.engines[b"risk"].gate = Gate("risk", breaker, limiter, gateway.counters)
        for _ in range(30):
            assert (await gateway.ask(b"/x")).status in (status, 503)
        return breaker.state(monotonic_ns()), limiter.metrics().under_way

    assert with_upstream(behave, scene) == (state, 0)


def test_critical_request_passes_a_breaker_that_slow_calls_alone_have_opened():
    async def scene(gateway):
        settings = config_of("risk", {"slow_seconds": 1.0, "least_calls": 5, "failures": 0}).settings()
        breaker, now_ns = Breakers(8).breaker("risk", settings), monotonic_ns()
        gateway.proxy.engines[b"risk"].gate = Gate("risk", breaker, None, gateway.counters)
        for ticket in [breaker.acquire(now_ns) for _ in range(5)]:
            breaker.release(ticket, now_ns + 2_000_000_000, SUCCESS)
        asking = [gateway.ask(b"/x", fields=[(b"nautilus-priority", each)]) for each in (b"high", b"critical")]
        return breaker.metrics(now_ns).cause, [(await each).status for each in asking]

    assert with_upstream(right, scene) == ("slow-call rate", [503, 200])
