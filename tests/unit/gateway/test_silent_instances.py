"""Instances that take connections and say nothing: what leaves them, and what becomes of it, on real sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from nautilus.core.route import ROUND_ROBIN, Routes
from nautilus.engines.base import Operation
from nautilus.gateway import failover
from nautilus.gateway.choosing import Chooser
from nautilus.gateway.pool import PoolSettings
from nautilus.model.queries import GetRisk
from nautilus.runtime.clock import monotonic_ns
from tests.kit.gateway import GatewayInLoop
from tests.kit.hostile_upstream import Asked, HostileUpstream, forever, passing, until

OPERATIONS = tuple(Operation(method, "/orders", GetRisk, GetRisk, "") for method in ("GET", "POST"))
ONE = PoolSettings(1, 5.0, 0.5, 64)


def run(scene: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(scene(), 60))


async def right(asked: Asked) -> None:
    await asked.answer(b"right")


async def silent(asked: Asked) -> None:
    await forever()


def test_reads_leave_an_instance_that_stands_still():
    async def scene():
        async with (
            HostileUpstream(silent, lives=False) as still,
            HostileUpstream(right) as good,
            GatewayInLoop(still.port, good.port) as gateway,
        ):
            first = await asyncio.gather(*(gateway.ask() for _ in range(8)))
            await until(lambda: gateway.count("silent"))
            met = len(still.asked)
            later = [await gateway.ask() for _ in range(10)]
            probes = sum(asked.start.startswith(b"GET /livez") for asked in still.asked[met:])
            return first, later, len(still.asked) - met - probes

    first, later, more = run(scene)
    assert [answer.status for answer in first + later] == [200] * 18
    assert more == 0


def test_what_waits_for_a_connection_of_an_instance_that_stands_still_is_sent_to_another_one():
    free = asyncio.Event()

    async def busy(asked: Asked) -> None:
        await free.wait()
        await asked.answer(b"right")

    async def scene():
        async with (
            HostileUpstream(silent, lives=False) as still,
            HostileUpstream(busy) as good,
            GatewayInLoop(still.port, good.port, operations=OPERATIONS, pool=ONE) as gateway,
        ):
            group, routes = gateway.proxy.engines[b"risk"].group, Routes()
            group.chooser = Chooser(routes, "risk", group.instances, ROUND_ROBIN)
            pools = [instance.pool for instance in group.instances]
            asking = [asyncio.create_task(gateway.ask()) for _ in range(2)]
            await until(lambda: still.asked and good.asked)
            asking += [asyncio.create_task(gateway.ask(b"/orders", b"POST", b"{}")) for _ in range(4)]
            asking += [asyncio.create_task(gateway.ask()) for _ in range(2)]
            await until(lambda: gateway.count("silent"))
            waiting = pools[0].waiting
            free.set()
            answers = await asyncio.gather(*asking)
            in_flight = [routes.read(target)["in_flight"] for target in range(len(routes))]
            return waiting, answers, [asked.start for asked in still.asked], in_flight

    waiting, answers, met, in_flight = run(scene)
    assert waiting == 0
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"right")] * 8
    assert {start for start in met if not start.startswith(b"GET /livez")} == {b"GET /x HTTP/1.1"}
    assert in_flight == [0] * 4


def test_order_that_waits_for_a_connection_of_the_only_instance_is_not_sent_while_it_stands_still():
    async def scene():
        async with (
            HostileUpstream(silent, lives=False) as still,
            GatewayInLoop(still.port, operations=OPERATIONS, pool=ONE) as gateway,
        ):
            client = await gateway.connect()
            client.send()
            await until(lambda: still.asked)
            instance = gateway.proxy.instance("risk", 0)
            await until(lambda: instance.probe is not None)
            await until(lambda: monotonic_ns() - instance.probed_ns > failover.LONE_PROBE_NS * 3 // 4)
            order = asyncio.create_task(gateway.ask(b"/orders", b"POST", b"{}"))
            await until(lambda: instance.silent)
            client.close()  # what it has asked for ends, and its connection: there may be another one
            return await order, {asked.start for asked in still.asked}

    order, met = run(scene)
    assert (order.status, order.code) == (503, "gateway.unreachable")
    assert met == {b"GET /x HTTP/1.1", b"GET /livez HTTP/1.1"}


def test_order_on_an_instance_that_stands_still_is_never_doubled():
    async def scene():
        async with (
            HostileUpstream(silent, lives=False) as still,
            HostileUpstream(silent, lives=False) as other,
            GatewayInLoop(still.port, other.port, operations=OPERATIONS, timeout_seconds=0.3) as gateway,
        ):
            answer = await gateway.ask(b"/orders", b"POST", b"{}")
            sent = [asked for asked in still.asked + other.asked if asked.start.startswith(b"POST")]
            return answer, len(sent)

    answer, sent = run(scene)
    assert (answer.status, answer.code, sent) == (504, "gateway.unknown", 1)


@pytest.mark.parametrize("how", ["first answers", "second answers", "connections break", "client leaves"])
def test_a_second_call_that_leaves_a_silent_instance_is_in_flight_no_longer_than_it_lasts(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a slow machine the living one must not be taken for silent too: this scene would be another one.
    monkeypatch.setattr(failover, "PROBE_NS", 500_000_000)
    came: list[Asked] = []

    async def keeps(asked: Asked) -> None:
        if asked.start.startswith(b"GET /x"):
            came.append(asked)
        await forever()

    async def scene():
        async with (
            HostileUpstream(keeps) as one,
            HostileUpstream(keeps) as other,
            GatewayInLoop(one.port, other.port) as gateway,
        ):
            group, routes = gateway.proxy.engines[b"risk"].group, Routes()
            group.chooser = Chooser(routes, "risk", group.instances, ROUND_ROBIN)
            client = await gateway.connect()
            client.send()
            await until(lambda: len(came) == 2)
            silent_one, living = (one, other) if came[1] in one.asked else (other, one)
            silent_one.lives = False
            instance = next(each for each in group.instances if each.address.port == silent_one.port)
            group._probe(instance, monotonic_ns())
            await until(lambda: len(came) == 3)
            assert came[2] in living.asked
            living.behave = right
            if how == "client leaves":
                client.close()
            elif how == "connections break":
                await living.break_connections()
            else:
                await came[0 if how == "first answers" else 2].answer(b"right")
            answer = await client.answer() if how != "client leaves" else None
            await until(lambda: not any(each.pool.in_flight for each in group.instances))
            return answer, [routes.read(target)["in_flight"] for target in range(len(routes))]

    answer, in_flight = run(scene)
    assert answer is None or (answer.status, answer.body) == (200, b"right")
    assert in_flight == [0] * 4


def test_first_call_that_waits_elsewhere_is_not_sent_once_the_second_answers():
    """Else its answer would end the one that is under way, and a part of that be taken for all."""

    async def scene():
        waits, begun, rest, free = (asyncio.Event() for _ in range(4))

        async def two_pieces(asked: Asked) -> None:
            if b"/other" in asked.start:
                await free.wait()
                await asked.answer(b"other")
            elif begun.is_set():
                await asked.answer(b"again")
            else:
                await waits.wait()
                await asked.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
                begun.set()
                await rest.wait()
                await asked.send(b"6\r\nsecond\r\n0\r\n\r\n")

        async with (
            HostileUpstream(silent, lives=False) as one,
            HostileUpstream(two_pieces) as two,
            GatewayInLoop(one.port, two.port, pool=PoolSettings(2, 5.0, 0.5, 64)) as gateway,
        ):
            busy, client = await gateway.connect(), await gateway.connect()
            busy.send(b"/other")
            await until(lambda: two.asked)
            client.send(b"/x")
            # Both connections of the one that lives are taken: the first call leaves the silent one, and waits there.
            await until(lambda: gateway.proxy.instance("risk", 1).pool.waiting)
            waits.set()
            await begun.wait()
            free.set()
            await busy.answer()
            await passing(0.02)
            rest.set()
            answer = await client.answer()
            return answer.body, sum(b"/x" in asked.start for asked in two.asked)

    assert run(scene) == (b"firstsecond", 1)
