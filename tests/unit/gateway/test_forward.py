"""The data path against upstreams that answer rightly and wrongly, on real sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from nautilus.core.breaker import Breakers
from nautilus.core.limiter import Limiters, LimiterSettings
from nautilus.engines.base import Operation
from nautilus.gateway.gate import Gate
from nautilus.gateway.headers import HeaderRules
from nautilus.gateway.pool import PoolSettings
from nautilus.model.queries import GetRisk
from nautilus.policy.breaker import config_of
from nautilus.policy.keys import INSTANCE
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.http.access import Admitted
from nautilus.runtime.http.exchange import Exchange
from tests.kit.gateway import TOKEN, GatewayInLoop
from tests.kit.hostile_upstream import Asked, HostileUpstream, forever, passing, until


def run(scene: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(scene(), 60))


def with_upstream(
    behave: Callable[[Asked], Awaitable[None]], scene: Callable[..., Awaitable[Any]], **settings: Any
) -> Any:
    async def whole() -> Any:
        async with HostileUpstream(behave) as upstream, GatewayInLoop(upstream.port, **settings) as gateway:
            return await scene(gateway, upstream)

    return run(whole)


async def right(asked: Asked) -> None:
    await asked.answer(b'{"body":"%b"}' % asked.body)


def test_answer_comes_through_with_heads_rewritten():
    async def behave(asked: Asked) -> None:
        await asked.answer(b"hello", 203, b"X-Own: 1\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n")

    async def scene(gateway, upstream):
        fields = [
            (b"x-mine", b"1"), (b"connection", b"x-secret"), (b"x-secret", b"1"), (b"te", b"trailers"),
            (b"authorization", b"Bearer x"), (b"x-forwarded-for", b"6.6.6.6"), (b"forwarded", b"for=6.6.6.6"),
            (b"nautilus-principal", b"root"), (b"nautilus-scope", b"none"), (b"via", b"1.1 other"),
        ]  # fmt: skip
        return await gateway.ask(b"/risk/state?a=%20b", fields=fields), upstream.asked[0]

    answer, asked = with_upstream(behave, scene)
    assert (answer.status, answer.body, answer.whole) == (203, b"hello", True)
    assert answer.fields[b"x-own"] == b"1"
    assert b"x-hop" not in answer.fields
    assert b"keep-alive" not in answer.fields
    assert answer.fields[b"via"] == b"1.1 nautilus"
    assert answer.fields[b"server-timing"].startswith(b"gateway;dur=")
    assert asked.start == b"GET /risk/state?a=%20b HTTP/1.1"
    assert asked.field(b"x-mine") == [b"1"]
    for gone in (b"x-secret", b"te", b"connection"):
        assert asked.field(gone) == []
    assert asked.field(b"authorization") == [b"Bearer " + TOKEN.encode()]
    assert asked.field(b"x-forwarded-for") == [b"127.0.0.1"]
    assert asked.field(b"forwarded") == [b'for=127.0.0.1;host="localhost";proto=http']
    assert asked.field(b"nautilus-principal") == [b"anonymous"]
    assert asked.field(b"nautilus-scope") == [b"admin"]  # of a demonstration, which lets everybody do everything
    assert asked.field(b"via") == [b"1.1 nautilus"]
    assert len(asked.field(b"traceparent")) == 1


def test_trace_is_passed_on_and_named_in_problems():
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    async def behave(asked: Asked) -> None:
        asked.reset()

    async def scene(gateway, upstream):
        body = await gateway.ask(method=b"POST", body=b"{}", fields=[(b"traceparent", trace)])
        return body, upstream.asked[0]

    answer, asked = with_upstream(behave, scene)
    assert asked.field(b"traceparent") == [trace]
    assert b"0af7651916cd43dd8448eb211c80319c" in answer.body


def test_rules_of_the_engine_hold():
    async def behave(asked: Asked) -> None:
        await asked.answer(b"", 200, b"Server: secret\r\nX-Old: 1\r\n")

    async def scene(gateway, upstream):
        return await gateway.ask(fields=[(b"cookie", b"a"), (b"x-new", b"theirs")]), upstream.asked[0]

    rules = HeaderRules({"X-New": "ours"}, ("Cookie",), {"X-Old": "2"}, ("server",))
    answer, asked = with_upstream(behave, scene, rules=rules)
    assert asked.field(b"x-new") == [b"ours"]
    assert asked.field(b"cookie") == []
    assert answer.fields[b"x-old"] == b"2"
    assert b"server" not in answer.fields


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 900_000])
def test_bodies_go_there_and_back(size):
    async def behave(asked: Asked) -> None:
        await asked.answer(asked.body)

    async def scene(gateway, upstream):
        return await gateway.ask(method=b"POST", body=b"x" * size)

    answer = with_upstream(behave, scene)
    assert (answer.status, answer.body, answer.whole) == (200, b"x" * size, True)


def test_chunks_go_there_and_back():
    async def behave(asked: Asked) -> None:
        await asked.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in (asked.body[:5], asked.body[5:]):
            await asked.send(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece))
        await asked.send(b"0\r\nx-trailer: 1\r\n\r\n")

    async def scene(gateway, upstream):
        client = await gateway.connect()
        client.send(method=b"POST", fields=[(b"transfer-encoding", b"chunked"), (b"content-type", b"application/json")])
        client.writer.write(b"5\r\nhello\r\n")
        await passing(0.01)
        client.writer.write(b"6\r\n world\r\n0\r\n\r\n")
        first = await client.answer()
        second = await client.ask(method=b"POST", body=b"hello again")
        return first, second, upstream.asked[0]

    first, second, asked = with_upstream(behave, scene)
    assert asked.field(b"transfer-encoding") == [b"chunked"]
    assert (first.body, second.body) == (b"hello world", b"hello again")


def test_body_that_is_too_large_is_refused():
    async def scene(gateway, upstream):
        declared = await gateway.ask(method=b"POST", body=b"x" * 200_000)
        client = await gateway.connect()
        client.send(method=b"POST", fields=[(b"transfer-encoding", b"chunked"), (b"content-type", b"application/json")])
        client.writer.write(b"20000\r\n" + b"x" * 0x20000 + b"\r\n")
        return declared, await client.answer()

    for answer in with_upstream(right, scene, body_bytes=100_000):
        assert (answer.status, answer.code) == (413, "http.body_size")


@pytest.mark.parametrize("size", [5, 70_000])
def test_what_has_a_body_asks_for_no_other_protocol(size):
    async def scene(gateway, upstream):
        fields = [(b"connection", b"upgrade"), (b"upgrade", b"websocket")]
        return await gateway.ask(method=b"POST", body=b"x" * size, fields=fields), upstream.asked[0]

    answer, asked = with_upstream(right, scene)
    assert answer.status == 200
    assert (asked.field(b"upgrade"), asked.field(b"connection"), len(asked.body)) == ([], [], size)


def test_signed_body_that_is_too_large_lets_go_of_its_permits():
    class Signed:
        def admit(self, exchange: Exchange, scope: str) -> Admitted:
            return Admitted(INSTANCE, bytes(32))

        def verify_body(self, admitted: Admitted, body: bytes) -> None:
            raise AssertionError("there is no whole body")

    async def scene(gateway, upstream):
        gateway.proxy._access = Signed()
        breaker = Breakers(8).breaker("risk", config_of("risk").settings())
        limiter = Limiters(8).limiter("risk", LimiterSettings())
        gateway.proxy.engines[b"risk"].gate = Gate("risk", breaker, limiter, gateway.counters)
        client = await gateway.connect()
        client.send(method=b"POST", fields=[(b"transfer-encoding", b"chunked"), (b"content-type", b"application/json")])
        client.writer.write(b"20000\r\n" + b"x" * 0x20000 + b"\r\n")
        answer = await client.answer()
        return answer, breaker.metrics(monotonic_ns()).in_flight, limiter.metrics().under_way

    answer, *held = with_upstream(right, scene, body_bytes=100_000)
    assert (answer.status, answer.code) == (413, "http.body_size")
    assert held == [0, 0]


def test_answer_to_head_has_no_body():
    async def behave(asked: Asked) -> None:
        await asked.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")

    async def scene(gateway, upstream):
        client = await gateway.connect()
        return [await client.ask(method=b"HEAD") for _ in range(3)], upstream.connections

    answers, connections = with_upstream(behave, scene)
    assert [answer.fields[b"content-length"] for answer in answers] == [b"5"] * 3
    assert connections == 1


def test_connections_are_used_again():
    async def scene(gateway, upstream):
        client = await gateway.connect()
        for _ in range(20):
            assert (await client.ask()).status == 200
        return upstream.connections

    assert with_upstream(right, scene) == 1


def test_answers_never_get_mixed_up():
    async def behave(asked: Asked) -> None:
        await passing(0.001 * (asked.number % 3))
        await asked.answer(asked.start.split(b" ")[1])

    async def scene(gateway, upstream):
        async def one(number: int) -> None:
            client = await gateway.connect()
            for turn in range(20):
                path = b"/%d/%d" % (number, turn)
                assert (await client.ask(path)).body == path

        await asyncio.gather(*(one(number) for number in range(20)))
        return upstream.connections

    assert with_upstream(behave, scene) <= 4 + 1  # a probe may come too


BAD = {
    "no framing": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "both framings": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n"
    b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    "length that is none": b"HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
    "more than its length": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello world",
    "another answer behind it": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
    "body where there is none": b"HTTP/1.1 204 No\r\n\r\nhello",
    "coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhello",
    "garbage": b"\x00\x01\x02\x03" * 100,
    "text": b"hello world, this is no HTTP at all\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 10_000,
    "endless line": b"HTTP/1.1 200 OK\r\nx-a: " + b"b" * 100_000,
    "endless 1xx": b"HTTP/1.1 102 P\r\n\r\n" * 100,
    "switch that nobody asked for": b"HTTP/1.1 101 S\r\nupgrade: websocket\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\ncontent-length: 5\n\nhello\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nx: 1\r\n 2\r\ncontent-length: 5\r\n\r\nhello",
    "space before the colon": b"HTTP/1.1 200 OK\r\ncontent-length : 5\r\n\r\nhello",
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
def test_answer_that_is_none_is_one_clear_problem(answer):
    async def behave(asked: Asked) -> None:
        if b"/bad" in asked.start:
            await asked.send(answer)
        else:
            await right(asked)

    async def scene(gateway, upstream):
        client = await gateway.connect()
        found = [await client.ask(b"/bad") for _ in range(2)]
        # Unsafe: it may have been carried out.
        unsafe = await client.ask(b"/bad", b"POST", b"{}")
        return found, unsafe, [await client.ask(b"/good") for _ in range(5)], gateway

    found, unsafe, good, gateway = with_upstream(behave, scene, retries=0)
    for each in found:
        assert (each.status, each.code) == (502, "gateway.malformed")
    assert (unsafe.status, unsafe.code) == (504, "gateway.unknown")
    assert [(each.status, each.body) for each in good] == [(200, b'{"body":""}')] * 5
    assert gateway.proxy.instance("risk", 0).pool.in_flight == 0


def test_bad_chunks_cut_the_answer():
    async def behave(asked: Asked) -> None:
        await asked.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await passing(0.02)
        await asked.send(b"zz\r\nevil\r\n0\r\n\r\n")

    async def scene(gateway, upstream):
        return await gateway.ask(), gateway.count("answers_cut")

    answer, cut = with_upstream(behave, scene)
    assert (answer.status, answer.body, answer.whole) == (200, b"hello", False)
    assert cut == 1


def test_answer_broken_at_every_byte_is_never_taken_for_whole():
    whole = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world"

    async def behave(asked: Asked) -> None:
        size = int(asked.start.split(b" ")[1].rpartition(b"/")[2])
        await asked.send(whole[:size])
        if size % 2:
            asked.reset()
        else:
            asked.close()

    async def scene(gateway, upstream):
        for size in range(len(whole)):
            answer = await gateway.ask(b"/%d" % size)
            if answer.status == 502:
                assert answer.code == "gateway.broken", size
            else:
                assert not answer.whole, size
            unsafe = await gateway.ask(b"/%d" % size, b"POST", b"{}")
            assert (unsafe.status, unsafe.whole) != (200, True)
            assert not unsafe.whole or (unsafe.status, unsafe.code) == (504, "gateway.unknown"), size
        return gateway.proxy.instance("risk", 0).pool.in_flight

    assert with_upstream(behave, scene, retries=0) == 0


def test_answer_that_drips_is_put_together():
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

    async def behave(asked: Asked) -> None:
        for at in range(len(whole)):
            await asked.send(whole[at : at + 1])
            await passing()

    async def scene(gateway, upstream):
        client = await gateway.connect()
        return [await client.ask() for _ in range(3)], upstream.connections

    answers, connections = with_upstream(behave, scene)
    assert [answer.body for answer in answers] == [b"hello"] * 3
    assert connections == 1


def test_time_goes_on_after_a_turn_that_failed():
    async def behave(asked: Asked) -> None:
        await forever()

    async def scene(gateway, upstream):
        told: list[str] = []
        proxy, renew = gateway.proxy, gateway.proxy._renew_watches

        def fail_once() -> None:
            proxy._renew_watches = renew
            raise ArithmeticError("this turn fails")

        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(str(context["exception"])))
        proxy._renew_watches, proxy._watches_ns = fail_once, 0
        return await gateway.ask(), told

    answer, told = with_upstream(behave, scene, timeout_seconds=0.1)
    assert (answer.status, answer.code) == (504, "gateway.timeout")
    assert told == ["this turn fails"]


def test_answer_that_never_comes_is_late():
    async def behave(asked: Asked) -> None:
        await forever()

    async def scene(gateway, upstream):
        return await gateway.ask(), await gateway.ask(method=b"POST", body=b"{}")

    safe, unsafe = with_upstream(behave, scene, timeout_seconds=0.1)
    assert (safe.status, safe.code) == (504, "gateway.timeout")
    assert (unsafe.status, unsafe.code) == (504, "gateway.unknown")


def test_answer_without_end_is_cut_when_it_is_late():
    async def behave(asked: Asked) -> None:
        await asked.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while True:
            await asked.send(b"x")
            await passing(0.01)

    async def scene(gateway, upstream):
        return await gateway.ask()

    answer = with_upstream(behave, scene, timeout_seconds=0.1)
    assert answer.status == 200
    assert not answer.whole


def test_answers_of_1xx_are_passed_over():
    async def behave(asked: Asked) -> None:
        await asked.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n")
        await asked.answer(b"hello")

    async def scene(gateway, upstream):
        client = await gateway.connect()
        return [(await client.ask()).body for _ in range(2)]

    assert with_upstream(behave, scene) == [b"hello"] * 2


def test_connection_that_speaks_unasked_is_closed():
    async def behave(asked: Asked) -> None:
        await asked.answer(b"first")
        await passing(0.02)
        await asked.answer(b"unasked")

    async def scene(gateway, upstream):
        client = await gateway.connect()
        found = []
        for _ in range(3):
            found.append((await client.ask()).body)
            await passing(0.05)
        return found, upstream.connections

    assert with_upstream(behave, scene) == ([b"first"] * 3, 3)


def test_connection_is_closed_when_the_engine_says_so():
    async def behave(asked: Asked) -> None:
        await asked.answer(b"x", 200, b"connection: close\r\n")

    async def scene(gateway, upstream):
        client = await gateway.connect()
        for _ in range(3):
            assert (await client.ask()).status == 200
        return upstream.connections

    assert with_upstream(behave, scene) == 3


def test_statuses_of_the_engine_go_through_as_they_are():
    async def behave(asked: Asked) -> None:
        await asked.answer(b"x", int(asked.start.split(b" ")[1].rpartition(b"/")[2]))

    async def scene(gateway, upstream):
        return [(await gateway.ask(b"/%d" % status)).status for status in (200, 404, 422, 500, 503)]

    assert with_upstream(behave, scene) == [200, 404, 422, 500, 503]


def test_unknown_engine_and_strange_paths_are_refused():
    async def scene(gateway, upstream):
        client = await gateway.connect()
        client.writer.write(b"GET /api/v1/engines/nobody/x HTTP/1.1\r\nhost: localhost\r\n\r\n")
        unknown = await client.answer()
        client.writer.write(b"GET /api/v1/engines/risk HTTP/1.1\r\nhost: localhost\r\n\r\n")
        bare = await client.answer()
        steps = await client.ask(b"/../trading/orders")
        hidden = await client.ask(b"/%2e%2e/trading/orders")
        return unknown, bare, steps, hidden, upstream.asked

    unknown, bare, steps, hidden, asked = with_upstream(right, scene)
    assert (unknown.status, unknown.code) == (404, "gateway.engine")
    assert bare.status == 404
    assert (steps.status, hidden.status) == (400, 400)
    assert asked == []


def test_priority_may_be_lowered_and_not_raised():
    operations = (Operation("GET", "/high", GetRisk, GetRisk, ""),)

    async def scene(gateway, upstream):
        for asked in (b"low", b"critical", b"nonsense"):
            await gateway.ask(b"/high", fields=[(b"nautilus-priority", asked)])
        return [asked.field(b"nautilus-priority") for asked in upstream.asked]

    # Whoever needs to show nothing may do everything; with a token, raising takes scope admin.
    assert with_upstream(right, scene, operations=operations) == [[b"low"], [b"critical"]]
    assert with_upstream(right, scene, operations=operations, token="a" * 32) == [[b"low"], [b"normal"]]


def test_slow_client_slows_the_engine_down():
    sent = 0

    async def behave(asked: Asked) -> None:
        nonlocal sent
        await asked.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (64 << 20))
        for _ in range(64):
            await asked.send(b"x" * (1 << 20))
            sent += 1

    async def scene(gateway, upstream):
        client = await gateway.connect()
        client.writer.get_extra_info("socket")
        client.reader._limit = 1 << 16  # the reader of the test takes no more than this by itself
        client.send()
        await client.reader.readuntil(b"\r\n\r\n")
        while True:
            before = sent
            await passing(0.2)
            if before == sent:
                break
        stopped_at = sent
        size = 0
        while piece := await client.reader.read(min(1 << 20, (64 << 20) - size)):
            size += len(piece)
        return stopped_at, size

    stopped_at, size = with_upstream(behave, scene, timeout_seconds=60)
    assert stopped_at < 48
    assert size == 64 << 20


def test_slow_engine_slows_the_client_down():
    async def behave(asked: Asked) -> None:
        await asked.answer()

    async def scene():
        held = asyncio.Event()

        async def serve(reader, writer):
            head = await reader.readuntil(b"\r\n\r\n")
            size = 0
            if not head.startswith(b"GET /livez"):
                await held.wait()
                size = 64 << 20
            while size > 0:
                piece = await reader.read(1 << 20)
                assert piece
                size -= len(piece)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 16)
        port = server.sockets[0].getsockname()[1]
        async with GatewayInLoop(port, body_bytes=1 << 30, timeout_seconds=60) as gateway:
            client = await gateway.connect()
            fields = [(b"content-length", b"%d" % (64 << 20)), (b"content-type", b"application/json")]
            client.send(method=b"POST", fields=fields)
            written = 0

            async def write():
                nonlocal written
                for _ in range(64):
                    client.writer.write(b"x" * (1 << 20))
                    await client.writer.drain()
                    written += 1

            task = asyncio.create_task(write())
            while True:
                before = written
                await passing(0.2)
                if before == written:
                    break
            stopped_at = written
            held.set()
            await task
            answer = await client.answer()
            server.close()
            return stopped_at, answer.status

    stopped_at, status = run(scene)
    assert stopped_at < 48
    assert status == 200


def test_client_that_leaves_frees_the_connection():
    async def behave(asked: Asked) -> None:
        await forever()

    async def scene(gateway, upstream):
        clients = [await gateway.connect() for _ in range(4)]
        for client in clients:
            client.send()
        await until(lambda: len(upstream.asked) == 4)
        for client in clients:
            client.close()
        pool = gateway.proxy.instance("risk", 0).pool
        await until(lambda: not pool.in_flight)
        return len(pool.connections)

    assert with_upstream(behave, scene) == 0


def test_too_many_are_shed_lowest_first():
    released = asyncio.Event()

    async def scene():
        released.clear()

        async def behave(asked: Asked) -> None:
            await released.wait()
            await asked.answer()

        async with (
            HostileUpstream(behave) as upstream,
            GatewayInLoop(upstream.port, pool=PoolSettings(1, 5.0, 0.5, 4), timeout_seconds=20) as gateway,
        ):
            busy = asyncio.create_task(gateway.ask())
            await until(lambda: upstream.asked)
            low = [asyncio.create_task(gateway.ask(fields=[(b"nautilus-priority", b"low")])) for _ in range(4)]
            pool = gateway.proxy.instance("risk", 0).pool
            await until(lambda: pool.waiting == 4)
            high = [asyncio.create_task(gateway.ask(fields=[(b"nautilus-priority", b"high")])) for _ in range(3)]
            await until(lambda: sum(task.done() for task in low) == 3)
            released.set()
            return await busy, await asyncio.gather(*low), await asyncio.gather(*high)

    busy, low, high = run(scene)
    assert busy.status == 200
    assert sorted(answer.status for answer in low) == [200, 503, 503, 503]
    assert [answer.status for answer in high] == [200] * 3
    shed = next(answer for answer in low if answer.status == 503)
    assert shed.code == "gateway.full"
    assert shed.fields[b"retry-after"] == b"1"
