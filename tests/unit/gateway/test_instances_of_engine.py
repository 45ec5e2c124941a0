"""Engines that die, stand still and come back: what becomes of requests that were on their way, on real sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from nautilus.core.breaker import Breakers
from nautilus.core.route import ROUND_ROBIN, Routes
from nautilus.engines.base import Operation
from nautilus.gateway import failover
from nautilus.gateway.choosing import Chooser
from nautilus.gateway.gate import Gate
from nautilus.gateway.pool import PoolSettings
from nautilus.model.queries import GetRisk
from nautilus.policy.breaker import config_of
from nautilus.runtime.clock import monotonic_ns
from tests.kit.gateway import GatewayInLoop
from tests.kit.hostile_upstream import Asked, HostileUpstream, forever, passing, until

OPERATIONS = (
    Operation("GET", "/orders", GetRisk, GetRisk, ""),
    Operation("POST", "/orders", GetRisk, GetRisk, ""),
    Operation("PUT", "/limits", GetRisk, GetRisk, "", idempotent=True),
)

ONE = PoolSettings(1, 5.0, 0.5, 64)


def run(scene: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(scene(), 60))


async def right(asked: Asked) -> None:
    await asked.answer(b"right")


async def reset(asked: Asked) -> None:
    asked.reset()


async def silent(asked: Asked) -> None:
    await forever()


def test_read_that_meets_a_reset_goes_to_the_other_instance():
    async def scene():
        async with (
            HostileUpstream(reset) as bad,
            HostileUpstream(right) as good,
            GatewayInLoop(bad.port, good.port) as gateway,
        ):
            answers = [await gateway.ask() for _ in range(10)]
            return answers, len(bad.asked), gateway.count("retried")

    answers, met, retried = run(scene)
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"right")] * 10
    assert met == retried > 0


def test_order_that_meets_a_reset_is_sent_once_and_unknown():
    async def scene():
        async with (
            HostileUpstream(reset) as one,
            HostileUpstream(reset) as other,
            GatewayInLoop(one.port, other.port, operations=OPERATIONS) as gateway,
        ):
            answers = [await gateway.ask(b"/orders", b"POST", b"{}") for _ in range(10)]
            return answers, len(one.asked) + len(other.asked)

    answers, sent = run(scene)
    assert [(answer.status, answer.code) for answer in answers] == [(504, "gateway.unknown")] * 10
    assert sent == 10


def test_what_is_declared_idempotent_is_sent_again():
    async def scene():
        async def once(asked: Asked) -> None:
            if asked.number == 0:
                asked.reset()
            else:
                await asked.answer(asked.body)

        async with HostileUpstream(once) as upstream, GatewayInLoop(upstream.port, operations=OPERATIONS) as gateway:
            return await gateway.ask(b"/limits", b"PUT", b'{"a":1}'), len(upstream.asked)

    answer, sent = run(scene)
    assert (answer.status, answer.body, sent) == (200, b'{"a":1}', 2)


def test_request_that_kills_engines_is_sent_three_times_at_most():
    async def scene():
        async with HostileUpstream(reset) as upstream, GatewayInLoop(upstream.port) as gateway:
            return await gateway.ask(), len(upstream.asked)

    answer, sent = run(scene)
    assert (answer.status, answer.code, sent) == (502, "gateway.broken", 3)


def test_nothing_is_sent_again_beyond_the_budget():
    async def scene():
        async with HostileUpstream(reset) as upstream, GatewayInLoop(upstream.port, retries=20) as gateway:
            for _ in range(100):
                await gateway.ask()
            return len(upstream.asked), gateway.count("retry_refused")

    sent, refused = run(scene)
    assert sent == 120
    assert refused > 0


def test_reads_outlive_an_engine_that_dies_slowly_with_no_budget_left():
    async def scene():
        # As the system closes the sockets of a killed process: connections first, and those that wait to be accepted
        # break with the one that listens.
        upstream = HostileUpstream(silent)
        await upstream.listen()
        settings = {"pool": PoolSettings(8, 5.0, 0.5, 64), "retries": 3, "timeout_seconds": 60}
        async with GatewayInLoop(upstream.port, **settings) as gateway:
            reads = [asyncio.create_task(gateway.ask()) for _ in range(8)]
            await until(lambda: len(upstream.asked) == 8)
            upstream.lives = False
            await upstream.break_connections()
            await until(lambda: gateway.count("retry_refused"))
            await upstream.die()
            upstream.behave = right
            await until(lambda: gateway.count("outages"))
            done_before = sum(task.done() for task in reads)
            await upstream.listen()
            answers = await asyncio.gather(*reads)
            await upstream.die()
            return done_before, answers

    done_before, answers = run(scene)
    assert done_before == 0
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"right")] * 8


def test_time_until_an_engine_is_back_is_not_put_down_to_it():
    config = config_of("risk", {"slow_seconds": 0.05, "least_calls": 1, "slow_rate": 0.1})

    async def scene():
        upstream = HostileUpstream(silent)
        await upstream.listen()
        async with GatewayInLoop(upstream.port, operations=OPERATIONS, timeout_seconds=60) as gateway:
            breaker = Breakers(8).breaker("risk", config.settings())
            gateway.proxy.engines[b"risk"].gate = Gate("risk", breaker, None, gateway.counters)
            reads = [asyncio.create_task(gateway.ask(b"/orders")) for _ in range(4)]
            await until(lambda: len(upstream.asked) == 4)
            await upstream.die()
            await passing(0.2)  # more than what would be slow
            upstream.behave = right
            await upstream.listen()
            answers = await asyncio.gather(*reads)
            metrics = breaker.metrics(monotonic_ns())
            await upstream.die()
            return answers, breaker.state(monotonic_ns()), metrics.in_flight

    answers, state, in_flight = run(scene)
    assert [answer.status for answer in answers] == [200] * 4
    assert (state, in_flight) == ("closed", 0)


def test_read_whose_engine_dies_with_it_again_and_again_is_given_up():
    async def scene():
        upstream = HostileUpstream(silent)
        deaths = []

        async def fatal(asked: Asked) -> None:
            deaths.append(asyncio.create_task(upstream.die()))
            await forever()

        upstream.behave = fatal
        await upstream.listen()
        async with GatewayInLoop(upstream.port, retries=0) as gateway:
            read = asyncio.create_task(gateway.ask())
            for life in range(1, failover.MOST_DEATHS + 1):
                await until(lambda life=life: len(upstream.asked) == life)
                if life < failover.MOST_DEATHS:
                    await until(lambda life=life: gateway.count("outages") == life)
                    await upstream.listen()
            return await read, len(upstream.asked)

    answer, sent = run(scene)
    assert (answer.status, answer.code, sent) == (502, "gateway.broken", failover.MOST_DEATHS)


def test_reads_wait_for_an_engine_to_come_back():
    async def scene():
        upstream = HostileUpstream(right)
        await upstream.listen()
        async with GatewayInLoop(upstream.port, pool=PoolSettings(4, 5.0, 0.5, 64)) as gateway:
            assert (await gateway.ask()).status == 200
            await upstream.die()
            reads = [asyncio.create_task(gateway.ask()) for _ in range(20)]
            order = await gateway.ask(b"/orders", b"POST", b"{}")
            await passing(0.1)
            done_before = sum(task.done() for task in reads)
            await upstream.listen()
            answers = await asyncio.gather(*reads)
            again = await gateway.ask(b"/orders", b"POST", b"{}")
            await upstream.die()
            return done_before, order, answers, again

    done_before, order, answers, again = run(scene)
    assert done_before == 0
    # Provably not sent: it may be sent again by whoever asked.
    assert (order.status, order.code) == (503, "gateway.unreachable")
    assert order.fields[b"retry-after"] == b"1"
    assert [answer.status for answer in answers] == [200] * 20
    assert again.status == 200


def test_reads_are_given_up_when_their_engine_stays_away():
    async def scene():
        upstream = HostileUpstream(right)
        await upstream.listen()
        await upstream.die()
        async with GatewayInLoop(upstream.port, timeout_seconds=0.2) as gateway:
            return await gateway.ask()

    answer = run(scene)
    assert (answer.status, answer.code) == (503, "gateway.unreachable")


def test_not_ready_just_after_the_return_is_no_answer_to_a_read():
    async def scene():
        ready = False

        async def starting(asked: Asked) -> None:
            await asked.answer(b"right" if ready else b"not ready", 200 if ready else 503)

        upstream = HostileUpstream(starting)
        await upstream.listen()
        async with GatewayInLoop(upstream.port) as gateway:
            usual = await gateway.ask()  # without an outage before, 503 is the engine's own answer
            await upstream.die()
            read = asyncio.create_task(gateway.ask())
            await passing(0.05)
            await upstream.listen()
            await until(lambda: len(upstream.asked) > 2)
            ready = True
            answer = await read
            await upstream.die()
            return usual, answer

    usual, answer = run(scene)
    assert usual.status == 503
    assert (answer.status, answer.body) == (200, b"right")


@pytest.mark.parametrize("status", [503, 504])
def test_a_read_waits_for_an_engine_that_starts_after_a_long_time_away(monkeypatch, status):
    monkeypatch.setattr(failover, "RECOVERY_NS", 400_000_000)

    async def scene():
        ready = False

        async def starting(asked: Asked) -> None:
            await asked.answer(b"right" if ready else b"not ready", 200 if ready else status)

        upstream = HostileUpstream(starting)
        await upstream.listen()
        async with GatewayInLoop(upstream.port, timeout_seconds=30) as gateway:
            await gateway.ask()
            await upstream.die()
            read = asyncio.create_task(gateway.ask())
            await passing(1.0)  # more than it takes to be forgotten
            await upstream.listen()
            await until(lambda: len(upstream.asked) > 2 or read.done())
            ready = True
            answer = await read
            await upstream.die()
            return answer

    answer = run(scene)
    assert (answer.status, answer.body) == (200, b"right")


def test_reads_wait_for_a_connection_of_an_engine_that_has_just_come_back():
    urgent = (Operation("GET", "/state", GetRisk, GetRisk, "", priority="critical"),)

    async def slow(asked: Asked) -> None:
        await passing(0.2)
        await asked.answer(b"right")

    async def scene():
        upstream = HostileUpstream(slow)
        await upstream.listen()
        async with GatewayInLoop(upstream.port, operations=urgent, pool=ONE, timeout_seconds=30) as gateway:
            await gateway.ask()
            await upstream.die()
            first = asyncio.create_task(gateway.ask(b"/state"))
            await passing(0.05)
            await upstream.listen()
            await until(lambda: len(upstream.asked) > 1)
            answers = [await gateway.ask(b"/state"), await first]
            await upstream.die()
            return answers

    assert [answer.status for answer in run(scene)] == [200, 200]


def test_a_read_waits_for_connections_that_are_being_made_longer_than_for_one_that_becomes_free():
    async def scene():
        loop, released = asyncio.get_running_loop(), asyncio.Event()
        connect = loop.sock_connect

        async def slowly(sock, address):
            if address[1] == upstream.port:
                await released.wait()
            await connect(sock, address)

        async with HostileUpstream(right) as upstream, GatewayInLoop(upstream.port, operations=OPERATIONS) as gateway:
            pool = gateway.proxy.instance("risk", 0).pool
            loop.sock_connect = slowly
            read = asyncio.create_task(gateway.ask(b"/orders"))
            order = asyncio.create_task(gateway.ask(b"/orders", b"POST", b"{}"))
            await until(lambda: pool.waiting == 2)
            pool.sweep(monotonic_ns() + 1_000_000_000)  # twice the budget, a fifth of the time-out
            refused = await order
            released.set()
            return refused, await read

    order, read = run(scene)
    assert (order.status, order.code) == (503, "gateway.full")
    assert (read.status, read.body) == (200, b"right")


def test_a_starting_engine_is_asked_less_and_less_often():
    async def starting(asked: Asked) -> None:
        await asked.answer(b"not ready", 503)

    async def scene():
        upstream = HostileUpstream(starting)
        await upstream.listen()
        async with GatewayInLoop(upstream.port, timeout_seconds=1) as gateway:
            await gateway.ask()
            await upstream.die()
            read = asyncio.create_task(gateway.ask())
            await passing(0.05)
            await upstream.listen()
            answer = await read
            await upstream.die()
            return answer, len(upstream.asked)

    answer, asked = run(scene)
    assert answer.status == 503
    assert asked <= 1 + 6  # 20, 40, 80, 160, 320 ms


def test_slow_but_living_instance_is_helped_out_by_another_one():
    async def slow(asked: Asked) -> None:
        await passing(0.5)
        await asked.answer(b"slow")

    async def scene():
        async with (
            HostileUpstream(slow) as one,
            HostileUpstream(right) as other,
            GatewayInLoop(one.port, other.port, timeout_seconds=5) as gateway,
        ):
            answers = [await gateway.ask() for _ in range(4)]
            return answers, gateway.count("hedged")

    answers, hedged = run(scene)
    assert [answer.body for answer in answers] == [b"right"] * 4
    assert hedged > 0


def test_an_answer_of_the_second_instance_is_not_put_down_to_the_first(monkeypatch):
    monkeypatch.setattr(failover, "PROBE_NS", 30_000_000_000)  # it lives, however late it says so

    async def slow(asked: Asked) -> None:
        await passing(0.5)
        await asked.answer(b"slow")

    async def scene():
        async with (
            HostileUpstream(slow) as one,
            HostileUpstream(right) as other,
            GatewayInLoop(one.port, other.port, timeout_seconds=5) as gateway,
        ):
            group, routes = gateway.proxy.engines[b"risk"].group, Routes()
            group.chooser = Chooser(routes, "risk", group.instances, ROUND_ROBIN)
            answers = [await gateway.ask() for _ in range(4)]
            return answers, [routes.traffic(routes.instance("risk", f"risk-{number}")) for number in range(2)]

    answers, (first, second) = run(scene)
    assert [answer.body for answer in answers] == [b"right"] * 4
    assert (first[0], second[0]) == (0, 4)
    assert (first[4], second[4]) == (0, 0)


def test_no_more_is_hedged_than_may_be():
    async def slow(asked: Asked) -> None:
        await passing(0.1)
        await asked.answer(b"slow")

    async def scene():
        async with (
            HostileUpstream(slow) as one,
            HostileUpstream(slow) as other,
            GatewayInLoop(one.port, other.port, hedges=2) as gateway,
        ):
            for _ in range(8):
                assert (await gateway.ask()).status == 200
            return gateway.count("hedged"), gateway.hedges.left

    hedged, left = run(scene)
    assert 0 < hedged <= 2
    assert left <= 0


def test_a_read_is_hedged_once_and_what_changes_something_never(monkeypatch):
    monkeypatch.setattr(failover, "PROBE_NS", 30_000_000_000)  # they live, however late they say so

    async def slow(asked: Asked) -> None:
        await passing(0.2)
        await asked.answer(b"slow")

    async def scene(method: bytes, path: bytes):
        async with (
            HostileUpstream(slow) as one,
            HostileUpstream(slow) as other,
            GatewayInLoop(one.port, other.port, operations=OPERATIONS, hedges=1000) as gateway,
        ):
            answer = await gateway.ask(path, method, None if method == b"GET" else b"{}")
            return answer.status, len(one.asked) + len(other.asked), gateway.count("hedged"), 1000 - gateway.hedges.left

    # It is looked at again with each tick: that takes nothing more of the budget of all others.
    assert run(lambda: scene(b"GET", b"/orders")) == (200, 2, 1, 1)
    assert run(lambda: scene(b"PUT", b"/limits")) == (200, 1, 0, 0)


def test_open_breaker_answers_at_once_and_closes_when_the_engine_is_back():
    async def scene():
        upstream = HostileUpstream(reset)
        await upstream.listen()
        async with GatewayInLoop(upstream.port, operations=OPERATIONS, retries=0) as gateway:
            breaker = Breakers(8).breaker("risk", config_of("risk").settings())
            engine = gateway.proxy.engines[b"risk"]
            gate = engine.gate = Gate("risk", breaker, None, gateway.counters)
            engine.group.on_health = lambda instance, usable: gate.returned(monotonic_ns()) if usable else None
            unknown = [await gateway.ask(b"/orders", b"POST", b"{}") for _ in range(3)]
            refused = await gateway.ask(b"/orders", b"POST", b"{}")
            sent = len(upstream.asked)
            await upstream.die()
            upstream.behave = right
            read = asyncio.create_task(gateway.ask(b"/orders"))
            await passing(0.05)
            await upstream.listen()
            answer = await read
            state = breaker.state(monotonic_ns())
            again = await gateway.ask(b"/orders", b"POST", b"{}")
            await upstream.die()
            return unknown, refused, sent, answer, state, again

    unknown, refused, sent, answer, state, again = run(scene)
    assert [each.code for each in unknown] == ["gateway.unknown"] * 3
    assert (refused.status, refused.code, sent) == (503, "breaker.open", 3)
    assert int(refused.fields[b"retry-after"]) > 0
    assert answer.status == 200
    assert state == "closed"
    assert again.status == 200
