"""Kept answers on the data path: real sockets, an engine that counts how often it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from nautilus.core.breaker import Breaker, Breakers
from nautilus.core.counters import Counters
from nautilus.core.response_cache import Answers
from nautilus.core.route import Routes
from nautilus.engines.base import Operation
from nautilus.gateway.cache import Cache, Question, Settings
from nautilus.gateway.cache_door import FRESH, Door
from nautilus.gateway.choosing import Chooser
from nautilus.gateway.gate import Gate
from nautilus.gateway.kept import Kept, head_of
from nautilus.gateway.pool import PoolSettings
from nautilus.gateway.refresh import Refresher
from nautilus.model.queries import GetRisk
from nautilus.policy.breaker import config_of
from nautilus.policy.caching import PLAIN, CacheRules
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.http.exchange import Exchange
from tests.kit.gateway import GatewayInLoop
from tests.kit.hostile_upstream import Asked, HostileUpstream, passing, until

RULES = CacheRules(stale_seconds=60.0, error_seconds=60.0)
Scene = Callable[[GatewayInLoop, HostileUpstream], Awaitable[Any]]


def keep_answers(gateway: GatewayInLoop, *, largest_bytes: int = 256 << 10, **seconds: float) -> None:
    loop = asyncio.get_running_loop()
    settings = Settings(memory_bytes=64 << 20, largest_bytes=largest_bytes, rules=RULES)
    cache = Cache(Answers(kib=1024), gateway.counters, loop.call_later, monotonic_ns, settings)
    gateway.proxy.door = Door(cache, gateway.counters, seconds, monotonic_ns)
    gateway.proxy.door.refresh = Refresher(gateway.proxy)


def with_cache(behave: Callable[[Asked], Awaitable[None]], scene: Scene, **seconds: float) -> Any:
    """A gateway that keeps answers before an upstream that behaves so."""

    async def whole() -> Any:
        async with HostileUpstream(behave) as upstream, GatewayInLoop(upstream.port, timeout_seconds=60) as gateway:
            keep_answers(gateway, **seconds)
            return await scene(gateway, upstream)

    return asyncio.run(asyncio.wait_for(whole(), 60))


def counter(gateway: GatewayInLoop, name: str) -> int:
    return gateway.counters.snapshot().get(f"cache.{name}", 0)


def counting(control: bytes = b"", status: int = 200) -> Callable[[Asked], Awaitable[None]]:
    """Answers with how often it was asked."""
    asked_times = 0

    async def behave(asked: Asked) -> None:
        nonlocal asked_times
        asked_times += 1
        await asked.answer(b"%d" % asked_times, status, b"Cache-Control: " + control + b"\r\n" if control else b"")

    return behave


def test_an_answer_that_may_be_kept_is_given_again():
    async def scene(gateway, upstream):
        first, second = await gateway.ask(), await gateway.ask()
        other = await gateway.ask(b"/y")
        return first, second, other, len(upstream.asked)

    first, second, other, asked = with_cache(counting(b"max-age=60"), scene)
    assert (first.body, second.body, other.body, asked) == (b"1", b"1", b"2", 2)
    assert second.fields[b"cache-status"] == b"nautilus; hit"
    assert second.fields[b"age"] == b"0"
    assert second.fields[b"via"] == b"1.1 nautilus"
    assert second.fields[b"etag"]


def test_a_client_that_has_it_is_told_so():
    async def scene(gateway, upstream):
        await gateway.ask()
        kept = await gateway.ask()
        client = await gateway.connect()
        client.send(fields=[(b"if-none-match", kept.fields[b"etag"])])
        head = await client.reader.readuntil(b"\r\n\r\n")
        again = await client.ask()  # the connection goes on
        return head, again, len(upstream.asked)

    head, again, asked = with_cache(counting(b"max-age=60"), scene)
    assert head.startswith(b"HTTP/1.1 304 ")
    assert (again.status, again.body, asked) == (200, b"1", 1)


def test_a_thousand_at_once_are_one_for_the_engine():
    may = asyncio.Event()

    async def scene(gateway, upstream):
        tasks = [asyncio.create_task(gateway.ask())]
        await until(lambda: len(upstream.asked) == 1)
        tasks += [asyncio.create_task(gateway.ask()) for _ in range(999)]
        await until(lambda: counter(gateway, "joined") == 999)
        may.set()
        return await asyncio.gather(*tasks), len(upstream.asked)

    async def behave(asked: Asked) -> None:
        await may.wait()
        await asked.answer(b"once", 200, b"Cache-Control: max-age=60\r\n")

    answers, asked = with_cache(behave, scene)
    assert {(answer.status, answer.body) for answer in answers} == {(200, b"once")}
    assert asked == 1


def test_who_has_waited_for_an_answer_that_is_no_use_may_wait_for_a_connection_like_others():
    async def scene():
        first, others = asyncio.Event(), asyncio.Event()

        async def behave(asked: Asked) -> None:
            await (others if asked.number else first).wait()
            await asked.answer(b"%d" % asked.number, 200, b"Cache-Control: no-store\r\n")

        pool = PoolSettings(1, 5.0, 0.5, 64)
        async with (
            HostileUpstream(behave) as upstream,
            GatewayInLoop(upstream.port, pool=pool, timeout_seconds=60) as gateway,
        ):
            keep_answers(gateway)
            connections = gateway.proxy.instance("risk", 0).pool
            tasks = [asyncio.create_task(gateway.ask())]
            await until(lambda: upstream.asked)
            tasks += [asyncio.create_task(gateway.ask()) for _ in range(3)]
            await until(lambda: counter(gateway, "joined") == 3)
            [endpoint] = gateway.proxy.engines[b"risk"].known.values()
            over_ns = monotonic_ns() + endpoint.budget_ns
            await until(lambda: monotonic_ns() > over_ns)
            first.set()
            await until(lambda: len(upstream.asked) == 2)
            connections.sweep(monotonic_ns())
            waiting = connections.waiting
            others.set()
            return waiting, [(answer.status, answer.body) for answer in await asyncio.gather(*tasks)]

    waiting, answers = asyncio.run(asyncio.wait_for(scene(), 60))
    assert waiting == 2
    assert sorted(answers) == [(200, b"%d" % number) for number in range(4)]


def test_a_slow_reader_of_an_answer_holds_nobody_who_waits_for_it():
    size = 16 << 20  # more than the sockets take in

    async def behave(asked: Asked) -> None:
        await asked.send(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(16):
            await asked.send(b"x" * (size // 16))

    async def scene(gateway, upstream):
        keep_answers(gateway, largest_bytes=32 << 20)
        slow = await gateway.connect()
        slow.reader._limit = 1 << 16  # it takes no more than this by itself
        slow.send()
        await slow.reader.readuntil(b"\r\n\r\n")
        answer = await gateway.ask()
        return len(answer.body), answer.fields[b"cache-status"], len(upstream.asked)

    assert with_cache(behave, scene) == (size, b"nautilus; hit; detail=joined", 1)


def test_an_engine_whose_answers_are_not_kept_is_asked_each_time():
    async def scene(gateway, upstream):
        return [(await gateway.ask()).body for _ in range(4)], counter(gateway, "requests")

    bodies, looked = with_cache(counting(b"no-store"), scene)
    assert bodies == [b"1", b"2", b"3", b"4"]
    assert looked == 1  # then it is known that there is nothing to look for


def test_a_change_through_the_gateway_makes_its_answers_old():
    async def scene(gateway, upstream):
        before = await gateway.ask()
        await gateway.ask(method=b"POST", body=b"{}")
        return before.body, (await gateway.ask()).body

    before, after = with_cache(counting(b"max-age=60"), scene)
    assert (before, after) == (b"1", b"3")


def test_a_question_what_may_be_asked_changes_nothing_and_gets_no_kept_answer():
    async def scene(gateway, upstream):
        before = await gateway.ask()
        asked = await gateway.ask(method=b"OPTIONS")  # which everybody may send, without a key
        return before.body, asked.body, (await gateway.ask()).body, counter(gateway, "forgotten")

    assert with_cache(counting(b"max-age=60"), scene) == (b"1", b"2", b"1", 0)


def test_what_is_read_while_a_repeatable_change_is_under_way_is_old_after_it():
    change = Operation("PUT", "/x", GetRisk, GetRisk, "Set", idempotent=True)
    value = b"old"

    async def scene():
        go = asyncio.Event()

        async def behave(asked: Asked) -> None:
            nonlocal value
            if asked.start.startswith(b"PUT"):
                await go.wait()
                value = b"new"
            await asked.answer(value, 200, b"Cache-Control: max-age=60\r\n")

        async with HostileUpstream(behave) as upstream, GatewayInLoop(upstream.port, operations=[change]) as gateway:
            keep_answers(gateway)
            put = asyncio.create_task(gateway.ask(method=b"PUT", body=b"{}"))
            await until(lambda: upstream.asked)
            before = await gateway.ask()
            go.set()
            await put
            return before.body, (await gateway.ask()).body

    assert asyncio.run(asyncio.wait_for(scene(), 60)) == (b"old", b"new")


def test_what_is_asked_for_by_certificate_is_not_for_others(monkeypatch):
    monkeypatch.setattr(Exchange, "tls", True)
    monkeypatch.setattr(Exchange, "peer_certificate", "desk-7")

    async def scene(gateway, upstream):
        return [(await gateway.ask()).body for _ in range(2)]

    assert with_cache(counting(b"max-age=60"), scene) == [b"1", b"2"]
    assert with_cache(counting(b"max-age=60, public"), scene) == [b"1", b"1"]


def test_what_is_kept_has_the_fields_of_the_gateway_in_http2_too():
    class Stream:
        http2, started_ns, told = True, 0, ()

        def start(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
            self.told = status, dict(fields)

        def write(self, data: bytes) -> None:
            assert data == b"body"

        def end(self) -> None: ...

    stream, fields = Stream(), [(b"content-length", b"4")]
    kept = Kept.of(200, head_of(200, fields, b"OK"), b"body", fields, engine=0, number=0, path=b"/x")
    question = Question("risk", b"key", b"/x", (), PLAIN, 1.0, ("risk", "GET /x"))
    door = Door(Cache(Answers(kib=64), Counters(), lambda *_: None, monotonic_ns), Counters(), {}, monotonic_ns)
    door.give(stream, kept, question, FRESH, b"via: 1.1 nautilus\r\nx-desk: 7\r\n")  # type: ignore[arg-type]
    assert stream.told[0] == 200
    assert (stream.told[1][b"via"], stream.told[1][b"x-desk"]) == (b"1.1 nautilus", b"7")


def test_an_old_answer_is_given_at_once_while_one_request_asks_for_a_new_one():
    gate = asyncio.Event
    slow = False
    may = gate()

    async def behave(asked: Asked) -> None:
        if slow:
            await may.wait()
            await asked.answer(b"new", 200, b"Cache-Control: max-age=60\r\n")
        else:
            await asked.answer(b"old", 200, b"Cache-Control: max-age=0, stale-while-revalidate=60\r\n")

    async def scene(gateway, upstream):
        nonlocal slow
        await gateway.ask()
        slow = True
        while_asking = [await gateway.ask() for _ in range(5)]
        asked = len(upstream.asked)
        may.set()
        await until(lambda: counter(gateway, "stored") == 2)
        return while_asking, asked, await gateway.ask()

    while_asking, asked, after = with_cache(behave, scene)
    assert [answer.body for answer in while_asking] == [b"old"] * 5
    assert {answer.fields[b"cache-status"] for answer in while_asking} == {b"nautilus; hit; detail=stale"}
    assert asked == 2
    assert after.body == b"new"


OLD = b"Cache-Control: max-age=0, stale-while-revalidate=60\r\n"
PATHS = [b"/%d" % number for number in range(6)]


async def old_at_once(asked: Asked) -> None:
    await asked.answer(b"old", 200, OLD)


def with_protection(gateway: GatewayInLoop) -> tuple[Breaker, Routes]:
    """Keeps answers behind a breaker and a table of routes, as a worker has them."""
    keep_answers(gateway)
    engine, routes = gateway.proxy.engines[b"risk"], Routes()
    breaker = Breakers(8).breaker("risk", config_of("risk").settings())
    engine.gate = Gate("risk", breaker, None, gateway.counters)
    engine.group.chooser = Chooser(routes, "risk", engine.group.instances)
    return breaker, routes


def told(breaker: Breaker, routes: Routes) -> tuple[str, int, list[int]]:
    """State of the breaker, calls it waits for, and those in flight by the routes."""
    metrics = breaker.metrics(monotonic_ns())
    return metrics.state, metrics.in_flight, [routes.read(target)["in_flight"] for target in range(len(routes))]


def test_a_renewal_that_meets_a_reset_goes_to_the_other_instance():
    async def reset(asked: Asked) -> None:
        asked.reset()

    async def scene():
        async with (
            HostileUpstream(old_at_once) as bad,
            HostileUpstream(old_at_once) as good,
            GatewayInLoop(bad.port, good.port, timeout_seconds=60) as gateway,
        ):
            breaker, routes = with_protection(gateway)
            for path in PATHS:
                await gateway.ask(path)
            met, bad.behave = len(bad.asked), reset
            answers = [await gateway.ask(path) for path in PATHS]
            await until(lambda: counter(gateway, "stored") == 2 * len(PATHS))
            return answers, len(bad.asked) - met, told(breaker, routes)

    answers, met, said = asyncio.run(asyncio.wait_for(scene(), 60))
    assert {(answer.status, answer.body) for answer in answers} == {(200, b"old")}
    assert met > 0
    assert said == ("closed", 0, [0] * 4)


def test_a_renewal_whose_answer_has_begun_is_not_asked_for_again():
    async def half(asked: Asked) -> None:
        await asked.send(b"HTTP/1.1 200 OK\r\n%bcontent-length: 10\r\n\r\nhalf" % OLD)
        asked.close()

    async def scene(gateway, upstream):
        breaker, routes = with_protection(gateway)
        await gateway.ask()
        upstream.behave = half
        answer = await gateway.ask()
        await until(lambda: breaker.metrics(monotonic_ns()).failures == 1)
        return answer.body, len(upstream.asked), counter(gateway, "stored"), told(breaker, routes)

    assert with_cache(old_at_once, scene) == (b"old", 2, 1, ("closed", 0, [0, 0]))


def test_time_that_a_renewal_waits_for_the_return_of_an_engine_is_not_put_down_to_it():
    config = config_of("risk", {"slow_seconds": 0.05, "least_calls": 1, "slow_rate": 0.1})

    async def hangs(asked: Asked) -> None:
        await asyncio.Event().wait()

    async def scene():
        upstream = HostileUpstream(old_at_once)
        await upstream.listen()
        async with GatewayInLoop(upstream.port, timeout_seconds=60) as gateway:
            keep_answers(gateway)
            await gateway.ask()
            breaker = Breakers(8).breaker("risk", config.settings())
            gateway.proxy.engines[b"risk"].gate = Gate("risk", breaker, None, gateway.counters)
            upstream.behave = hangs
            await gateway.ask()
            await until(lambda: len(upstream.asked) == 2)
            await upstream.die()
            await passing(0.2)  # more than what would be slow
            upstream.behave = old_at_once
            await upstream.listen()
            await until(lambda: counter(gateway, "stored") == 2)
            await upstream.die()
            return breaker.metrics(monotonic_ns())

    metrics = asyncio.run(asyncio.wait_for(scene(), 60))
    assert (metrics.state, metrics.slow, metrics.successes, metrics.in_flight) == ("closed", 0, 1, 0)


def test_renewals_that_are_not_sent_say_nothing_of_the_engine():
    async def hangs(asked: Asked) -> None:
        await asyncio.Event().wait()

    async def scene():
        pool = PoolSettings(1, 5.0, 0.5, 1)
        async with (
            HostileUpstream(hangs) as upstream,
            GatewayInLoop(upstream.port, pool=pool, timeout_seconds=60) as gateway,
        ):
            breaker, routes = with_protection(gateway)
            client = [await gateway.connect() for _ in range(2)]
            for number, each in enumerate(client):
                each.send(method=b"POST", body=b"{}")
                await until(lambda number=number: gateway.proxy.instance("risk", 0).pool.waiting == number)
                await until(lambda: upstream.asked)
            errors: list[Any] = []
            for path in PATHS:
                question = Question("risk", path, path, (), PLAIN, 5.0, ("risk", "GET /x"))
                asked = gateway.proxy.door.cache.ask(question, monotonic_ns(), errors.append)
                gateway.proxy.door.cache.ask(question, monotonic_ns(), errors.append)  # waits for the same
                assert asked.fill is not None
                Refresher(gateway.proxy)(question, asked.fill)
            metrics = breaker.metrics(monotonic_ns())
            return [outcome.error.code for outcome in errors], metrics, told(breaker, routes), len(upstream.asked)

    errors, metrics, said, asked = asyncio.run(asyncio.wait_for(scene(), 60))
    assert errors == ["gateway.unreachable"] * len(PATHS)
    assert (metrics.failures, metrics.ignored) == (0, len(PATHS))
    assert said == ("closed", 2, [0, 2])  # of what changes something, which is under way or waits
    assert asked == 1


def test_a_renewal_that_is_refused_for_load_is_no_failure_of_the_instance():
    async def full(asked: Asked) -> None:
        await asked.answer(b'{"status":503,"code":"limit.shed"}', 503)

    async def scene(gateway, upstream):
        breaker, routes = with_protection(gateway)
        await gateway.ask()
        upstream.behave = full
        await gateway.ask()
        await until(lambda: breaker.metrics(monotonic_ns()).ignored)
        requests, failures, *_ = routes.traffic(routes.instance("risk", "risk-0"))
        return requests, failures, told(breaker, routes)

    assert with_cache(old_at_once, scene) == (1, 0, ("closed", 0, [0, 0]))


def test_what_is_kept_is_given_instead_of_an_error():
    fails = False

    async def behave(asked: Asked) -> None:
        if fails == "status":
            await asked.answer(b"broken", 503)
        elif fails:
            asked.reset()
        else:
            await asked.answer(
                b"kept", 200, b"Cache-Control: max-age=0, stale-if-error=60, stale-while-revalidate=1\r\n"
            )

    async def scene(gateway, upstream):
        nonlocal fails
        found = []
        await gateway.ask()
        # Old for everything but errors: whoever asks has to wait for the engine.
        for how in (True, "status"):
            fails = how
            found.append(await gateway.ask(fields=[(b"cache-control", b"max-age=0")]))
        return found, counter(gateway, "stale_on_error")

    found, counted = with_cache(behave, scene)
    assert [(answer.status, answer.body) for answer in found] == [(200, b"kept")] * 2
    assert {answer.fields[b"cache-status"] for answer in found} == {b"nautilus; hit; detail=error"}
    assert counted == 2


def test_who_waits_for_an_engine_that_cannot_answer_gets_its_answer_too():
    may = asyncio.Event()

    async def behave(asked: Asked) -> None:
        await may.wait()
        await asked.answer(b"away", 503)

    async def scene(gateway, upstream):
        tasks = [asyncio.create_task(gateway.ask())]
        await until(lambda: len(upstream.asked) == 1)
        tasks += [asyncio.create_task(gateway.ask()) for _ in range(49)]
        await until(lambda: counter(gateway, "joined") == 49)
        may.set()
        return await asyncio.gather(*tasks), len(upstream.asked)

    answers, asked = with_cache(behave, scene)
    assert {(answer.status, answer.body) for answer in answers} == {(503, b"away")}
    assert asked == 1


def test_where_the_one_who_asked_goes_away_the_next_one_asks():
    may = asyncio.Event()

    async def behave(asked: Asked) -> None:
        await may.wait()
        await asked.answer(b"1", 200, b"Cache-Control: max-age=60\r\n")

    async def scene(gateway, upstream):
        first = await gateway.connect()
        first.send()
        await until(lambda: len(upstream.asked) == 1)
        second = asyncio.create_task(gateway.ask())
        await until(lambda: counter(gateway, "joined") == 1)
        first.close()
        await until(lambda: len(upstream.asked) == 2)
        may.set()
        return await second

    answer = with_cache(behave, scene)
    assert (answer.status, answer.body) == (200, b"1")


def test_a_lifetime_of_the_configuration_counts_for_an_engine_that_keeps_silent():
    async def scene(gateway, upstream):
        return [(await gateway.ask()).body for _ in range(3)]

    assert with_cache(counting(b"no-store"), scene, risk=60.0) == [b"1"] * 3
    assert with_cache(counting(), scene, risk=60.0) == [b"1"] * 3
    assert with_cache(counting(b"private"), scene, risk=60.0) == [b"1", b"2", b"3"]


def test_a_large_answer_streams_through_and_is_not_kept():
    body = b"x" * 400_000

    async def behave(asked: Asked) -> None:
        await asked.answer(body, 200, b"Cache-Control: max-age=60\r\n")

    async def scene(gateway, upstream):
        found = [await gateway.ask() for _ in range(2)]
        return [(answer.whole, answer.body == body) for answer in found], counter(gateway, "not_kept_size")

    assert with_cache(behave, scene) == ([(True, True)] * 2, 2)
