"""A worker that looks for a while before it sleeps."""

from __future__ import annotations

import asyncio
from typing import Any

from nautilus.gateway.config import GatewayConfig
from nautilus.gateway.spin import Spin
from nautilus.runtime.clock import monotonic_ns
from tests.kit.gateway import GatewayInLoop
from tests.kit.hostile_upstream import Asked, HostileUpstream


def turns_of(loop: Any, spin: Spin, *, requests: int, ns: int) -> list[int]:
    """How often the loop was kept from sleeping after each request, with a clock that moves 1 us a look."""
    found = []
    for number in range(requests):
        loop.now_ns = number * ns
        spin(loop.now_ns)
        turns = 0
        while loop.soon:
            loop.now_ns += 1_000
            turns += 1
            loop.soon.pop()()
        found.append(turns)
    return found


class Loop:
    """Only what is to be called soon."""

    def __init__(self) -> None:
        self.soon: list[Any] = []
        self.now_ns = 0

    def call_soon(self, callback: Any) -> None:
        self.soon.append(callback)


def test_it_looks_for_as_long_as_it_says_after_each_request_and_then_sleeps(monkeypatch: Any) -> None:
    loop = Loop()
    monkeypatch.setattr("nautilus.gateway.spin.monotonic_ns", lambda: loop.now_ns)
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    assert turns_of(loop, Spin(10), requests=3, ns=1_000_000) == [10, 10, 10]


def test_a_request_meanwhile_makes_it_look_longer_and_once(monkeypatch: Any) -> None:
    loop = Loop()
    monkeypatch.setattr("nautilus.gateway.spin.monotonic_ns", lambda: loop.now_ns)
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    spin = Spin(10)
    spin(0)
    loop.now_ns = 9_000
    spin(9_000)
    assert len(loop.soon) == 1
    turns = 0
    while loop.soon:
        loop.soon.pop()()
        loop.now_ns += 1_000
        turns += 1
    assert turns == 11


def test_it_is_off_unless_asked_for_and_told_of_requests_to_engines() -> None:
    told: list[int] = []

    async def behave(asked: Asked) -> None:
        await asked.answer(b"{}")

    async def scene() -> None:
        async with HostileUpstream(behave) as upstream, GatewayInLoop(upstream.port) as gateway:
            assert gateway.proxy.spin is None
            await gateway.ask()
            gateway.proxy.spin = told.append  # type: ignore[assignment]
            await gateway.ask()

    before_ns = monotonic_ns()
    asyncio.run(asyncio.wait_for(scene(), 60))
    assert GatewayConfig().spin_us == 0
    assert len(told) == 1
    assert before_ns < told[0] < monotonic_ns()
