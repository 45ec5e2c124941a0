"""Streams through the gateway: one for all that listen, who is dropped and why, what is told of gaps."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from nautilus.core.breaker import FAILURE, Breakers
from nautilus.core.route import Routes
from nautilus.engines.base import Stream
from nautilus.gateway.choosing import Chooser
from nautilus.gateway.gate import Gate
from nautilus.model.topics import RISK_ALERTS
from nautilus.policy.breaker import config_of
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.http import leases
from nautilus.runtime.http.fan_out import AudienceSettings
from nautilus.runtime.http.websocket import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame_of
from tests.kit.access import SECRETS, held_keys, rules
from tests.kit.gateway import GatewayInLoop
from tests.kit.hostile_upstream import Asked, HostileUpstream, forever, until
from tests.kit.web_sockets import UPGRADE, Listening, Sources, read_masked, switched

STREAM = Stream("/streams/alerts", RISK_ALERTS, "alerts")
QUIET = AudienceSettings(slice_size=2, pause_seconds=0.0)


def run(scene: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(scene(), 60))


def with_stream(
    scene: Callable[..., Awaitable[Any]],
    behave: Callable[[Asked], Awaitable[None]] | None = None,
    listeners: AudienceSettings = QUIET,
    **settings: Any,
) -> Any:
    async def whole() -> Any:
        sources = Sources()
        async with (
            HostileUpstream(behave or sources) as upstream,
            GatewayInLoop(upstream.port, streams=[STREAM], listeners=listeners, **settings) as gateway,
        ):
            gateway.upstream = upstream  # type: ignore[attr-defined]
            return await scene(gateway, sources)

    return run(whole)


async def listen(gateway: GatewayInLoop, path: bytes = b"/streams/alerts", fields: Any = UPGRADE) -> Listening:
    client = await gateway.connect()
    client.send(path, fields=fields)
    answer = await client.answer()
    assert answer.status == 101, answer
    assert answer.fields[b"sec-websocket-accept"] == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    return Listening(client)


def count(gateway: GatewayInLoop, name: str) -> int:
    return gateway.counters.snapshot().get(f"gateway.{name}", 0)


def test_all_that_listen_share_one_connection_to_the_engine():
    async def scene(gateway, sources):
        found = await asyncio.gather(*(listen(gateway) for _ in range(7)))
        [asked] = sources.asked
        for text in (b'{"n":1}', b'{"n":2}'):
            await asked.send(frame_of(TEXT, text))
        await asked.send(frame_of(BINARY, b"\0" * 70_000))
        got = [[await each.frame() for _ in range(3)] for each in found]
        sent, opened = count(gateway, "listeners.sent"), count(gateway, "streams.opened")
        return got, gateway.upstream.connections, asked, sent, opened

    got, connections, asked, sent, opened = with_stream(scene)
    assert got == [[(TEXT, b'{"n":1}'), (TEXT, b'{"n":2}'), (BINARY, b"\0" * 70_000)]] * 7
    assert (connections, opened) == (1, 1)
    assert 7 <= sent <= 21
    assert asked.start == b"GET /streams/alerts HTTP/1.1"
    assert asked.field(b"nautilus-principal") == [b"gateway-streams"]
    assert asked.field(b"upgrade") == [b"websocket"]


def test_another_query_and_other_scopes_are_other_streams():
    async def scene(gateway, sources):
        token = (b"authorization", b"Bearer secret")
        for path, fields in (
            (b"/streams/alerts", UPGRADE),
            (b"/streams/alerts?a=1", UPGRADE),
            (b"/streams/alerts", [*UPGRADE, token]),
            (b"/streams/alerts", UPGRADE),
        ):
            await listen(gateway, path, fields)
        return [asked.start.split()[1] for asked in sources.asked]

    assert with_stream(scene, token="secret") == [b"/streams/alerts", b"/streams/alerts?a=1", b"/streams/alerts"]


def test_who_joins_later_gets_what_comes_from_then_on():
    async def scene(gateway, sources):
        first = await listen(gateway)
        await sources.asked[0].send(frame_of(TEXT, b"1"))
        assert await first.text() == 1
        second = await listen(gateway)
        await sources.asked[0].send(frame_of(TEXT, b"2"))
        return await first.text(), await second.text()

    assert with_stream(scene) == (2, 2)


def test_pieces_of_a_message_are_one_frame_and_control_frames_are_answered():
    async def scene(gateway, sources):
        client = await listen(gateway)
        [asked] = sources.asked
        whole = b"\x01\x03abc" + frame_of(PING, b"are you there") + b"\x00\x01d" + b"\x80\x02ef"
        for at in range(len(whole)):
            await asked.send(whole[at : at + 1])
        return await client.frame(), await read_masked(asked.reader)

    assert with_stream(scene) == ((TEXT, b"abcdef"), (PONG, b"are you there"))


def test_a_listener_may_ping_and_close():
    async def scene(gateway, sources):
        client = await listen(gateway)
        client.send(PING, b"x" * 125)
        pong = await client.frame()
        client.close(3000)
        code = await client.closed()
        ended = await client.ended()
        await until(lambda: not gateway.proxy.streams.audience)
        return pong, code, ended, len(gateway.listening.connections)

    assert with_stream(scene) == ((PONG, b"x" * 125), 3000, True, 0)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame_of(TEXT, b"hello", masked=True), 1003),
        (b"\x81\xff", 1003),
        (b"\x01\x80key.", 1003),
        (frame_of(PING, b"not masked"), 1002),
        (b"\xc9\x80key.", 1002),
        (b"\x09\x80key.", 1002),
        (b"\x89\xfe\x00\x7e", 1002),
        (b"\x8b\x80key.", 1002),
        (b"\x83\x80key.", 1002),
        (frame_of(CLOSE, b"\x03", masked=True), 1002),
        (close_frame(1005 + 1, masked=True), 1002),
        (frame_of(CLOSE, b"\x03\xe8\xff", masked=True), 1007),
    ],
    ids=["data", "half-data", "piece", "unmasked", "reserved-bit", "ping-in-pieces", "long-ping", "opcode-11",
         "opcode-3", "half-a-code", "code-1006", "reason-no-utf8"],
)  # fmt: skip
def test_who_breaks_the_rules_is_told_how_and_closed(sent, code):
    async def scene(gateway, sources):
        client = await listen(gateway)
        client.writer.write(sent)
        found = await client.closed()
        client.close(found)
        return found, await client.ended(), count(gateway, "listeners.broken")

    assert with_stream(scene) == (code, True, 1)


def test_who_does_not_read_is_dropped_and_nobody_misses_a_frame():
    frame = b"x" * 60_000

    async def scene(gateway, sources):
        good = await listen(gateway)
        slow = await listen(gateway)
        own = slow.writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.writer.transport.pause_reading()
        sent = 0
        while not count(gateway, "listeners.slow"):
            await sources.asked[0].send(frame_of(BINARY, frame + sent.to_bytes(4, "big")))
            assert (await good.frame())[1] == frame + sent.to_bytes(4, "big")
            sent += 1
        slow.writer.transport.resume_reading()
        got = 0
        while (found := await slow.frame())[0] == BINARY:
            assert found[1] == frame + got.to_bytes(4, "big")
            got += 1
        return sent, got, int.from_bytes(found[1][:2], "big"), len(gateway.proxy.streams.audience)

    sent, got, code, left = with_stream(scene, listeners=AudienceSettings(unsent_bytes=16384))
    assert code == 1008
    assert 0 < got <= sent
    assert left in (1, 2)


def test_who_answers_no_ping_is_dropped_and_others_are_not():
    async def scene(gateway, sources):
        good, silent = await listen(gateway), await listen(gateway)
        while not count(gateway, "listeners.silent"):
            if (await good.frame())[0] == PING:
                good.send(PONG)
        pings = []
        try:
            while True:
                pings.append(await silent.frame())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        await until(lambda: len(gateway.proxy.streams.audience) == 1)
        return set(pings)

    async def answering(asked: Asked) -> None:
        await asked.send(switched(asked))
        while True:
            await read_masked(asked.reader)
            await asked.send(frame_of(PONG, b""))

    assert with_stream(scene, answering, AudienceSettings(ping_seconds=0.1)) == {(PING, b"")}


@pytest.mark.parametrize("how", ["reset", "close", "masked", "not-utf8"])
def test_a_gap_is_told_and_the_stream_goes_on(how):
    async def scene(gateway, sources):
        clients = [await listen(gateway) for _ in range(3)]
        first = sources.asked[0]
        if how == "reset":
            first.reset()
        else:
            bad = {
                "close": close_frame(1012),
                "masked": frame_of(TEXT, b"1", masked=True),
                "not-utf8": frame_of(TEXT, b"\xff"),
            }[how]
            await first.send(bad)
            opcode, payload = await read_masked(first.reader)
            assert opcode == CLOSE
            assert int.from_bytes(payload[:2], "big") == {"close": 1012, "masked": 1002, "not-utf8": 1007}[how]
        told = [await client.text() for client in clients]
        late = await listen(gateway)
        await until(lambda: len(sources.asked) == 2)
        await sources.asked[1].send(frame_of(TEXT, b"5"))
        after = [[await client.text(), await client.text()] for client in clients]
        while (text := await late.text()) != 5:
            assert text["type"] in ("lost", "resumed")
        return told, after, gateway.upstream.connections

    told, after, connections = with_stream(scene)
    assert {each["type"] for each in told} == {"lost"}
    assert len({each["cause"] for each in told}) == 1
    assert [(resumed["type"], resumed["seconds"] >= 0, event) for resumed, event in after] == [("resumed", True, 5)] * 3
    assert connections == 2


def test_an_engine_that_was_away_is_waited_for():
    async def scene(gateway, sources):
        upstream = gateway.upstream
        client = await listen(gateway)
        await upstream.die()
        assert (await client.text())["type"] == "lost"
        late = asyncio.create_task(listen(gateway))
        await until(late.done)
        assert (await late.result().text())["type"] == "lost"
        await upstream.listen()
        return (await client.text())["type"], (await late.result().text())["type"], count(gateway, "streams.resumed")

    assert with_stream(scene) == ("resumed", "resumed", 1)


def test_a_silent_engine_is_given_up_and_asked_again():
    async def scene(gateway, sources):
        client = await listen(gateway)
        opcode = PING
        while opcode == PING:
            opcode, payload = await client.frame()
            client.send(PONG)
        return opcode, b"silent" in payload

    assert with_stream(scene, listeners=AudienceSettings(ping_seconds=0.1)) == (TEXT, True)


def test_refusal_of_the_engine_is_told_to_all_that_wait():
    async def behave(asked: Asked) -> None:
        await until(lambda: release)
        await asked.answer(b'{"code":"x"}', 409, b"Content-Type: application/problem+json\r\n")

    release: list[bool] = []

    async def scene(gateway, sources):
        clients = [await gateway.connect() for _ in range(3)]
        for client in clients:
            client.send(b"/streams/alerts", fields=UPGRADE)
        await until(lambda: gateway.proxy.streams._pending == 3)
        clients[0].close()
        await until(lambda: gateway.proxy.streams._pending == 2)
        release.append(True)
        answers = [await client.answer() for client in clients[1:]]
        return [(a.status, a.body) for a in answers], gateway.upstream.asked, gateway.proxy.streams.by_key

    answers, asked, open_streams = with_stream(scene, behave)
    assert answers == [(409, b'{"code":"x"}')] * 2
    assert len(asked) == 1
    assert not open_streams


@pytest.mark.parametrize("how", ["given up", "refused for load"])
def test_a_stream_that_is_not_had_says_not_that_its_engine_works(how):
    async def behave(asked: Asked) -> None:
        if how == "given up":
            await forever()
        await asked.answer(b'{"status":503,"code":"limit.shed"}', 503)

    async def scene(gateway, sources):
        engine, routes, now_ns = gateway.proxy.engines[b"risk"], Routes(), monotonic_ns()
        settings = config_of("risk", {"recovery_seconds": 1.0}).settings()
        breaker = Breakers(8).breaker("risk", settings)
        for _ in range(3):
            breaker.release(breaker.acquire(now_ns - 5_000_000_000), now_ns - 5_000_000_000, FAILURE)
        engine.gate = Gate("risk", breaker, None, gateway.counters)
        engine.group.chooser = Chooser(routes, "risk", engine.group.instances)
        before = breaker.state(now_ns)
        client = await gateway.connect()
        client.send(b"/streams/alerts", fields=UPGRADE)
        await until(lambda: gateway.upstream.asked)
        if how == "given up":
            gateway.proxy.streams.leave()
        answer = await client.answer()
        traffic = routes.traffic(routes.instance("risk", "risk-0"))
        return before, answer.status, breaker.metrics(monotonic_ns()), traffic

    before, status, metrics, traffic = with_stream(scene, behave)
    assert (before, status) == ("half-open", 503)
    assert (metrics.state, metrics.successes, metrics.failures, metrics.in_flight) == ("half-open", 0, 3, 0)
    assert (traffic[:2], traffic[4]) == ((0, 0), 0)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({b"upgrade": b"h2c"}, 426, "http.upgrade"),
        ({b"connection": b"keep-alive"}, 426, "http.upgrade"),
        ({b"sec-websocket-version": b"8"}, 426, "http.upgrade"),
        ({b"sec-websocket-key": b"short"}, 400, "http.websocket"),
        ({b"sec-websocket-key": b"!" * 24}, 400, "http.websocket"),
        ({b"origin": b"http://evil.example"}, 403, "http.origin"),
    ],
)
def test_what_is_no_websocket_that_can_be_had_is_refused(change, status, code):
    async def behave(asked: Asked) -> None:
        await asked.answer(b'{"code":"http.upgrade"}', 426)

    async def scene(gateway, sources):
        fields = [(name, change.get(name, value)) for name, value in UPGRADE]
        fields += [field for field in change.items() if field[0] == b"origin"]
        return await gateway.ask(b"/streams/alerts", fields=fields)

    answer = with_stream(scene, behave)
    assert (answer.status, answer.code) == (status, code)


def test_more_listeners_than_there_may_be_are_refused_and_counted():
    async def scene(gateway, sources):
        first = await listen(gateway)
        await listen(gateway)
        refused = await gateway.ask(b"/streams/alerts", fields=UPGRADE)
        passed = await gateway.ask(b"/other", fields=UPGRADE)
        first.close()
        await until(lambda: len(gateway.proxy.streams.audience) == 1)
        await listen(gateway)
        return refused, passed, count(gateway, "listeners.refused"), count(gateway, "websockets_refused")

    refused, passed, refusals, others = with_stream(scene, listeners=AudienceSettings(most=2))
    assert (refused.status, refused.code, refused.fields[b"retry-after"]) == (503, "http.listeners", b"1")
    assert (passed.status, passed.code) == (503, "gateway.websockets")
    assert (refusals, others) == (1, 1)


def test_more_connections_than_there_may_be_are_refused_and_counted():
    async def scene(gateway, sources):
        for _ in range(2):
            await listen(gateway)
        client = await gateway.connect()
        answer = await client.answer()
        return answer.status, answer.code, gateway.counters.snapshot()["http.connections_refused"]

    assert with_stream(scene, connections=2) == (503, "http.connections", 1)


def test_a_websocket_that_is_passed_through_counts_twice():
    async def behave(asked: Asked) -> None:
        await asked.send(switched(asked))
        await forever()

    async def scene(gateway, sources):
        gateway.proxy.files_left = lambda: 3 - len(gateway.listening.connections) - len(gateway.proxy.tunnels)
        await listen(gateway, b"/other")
        return await gateway.ask(b"/other", fields=UPGRADE), count(gateway, "websockets_refused")

    answer, refused = with_stream(scene, behave)
    assert (answer.status, answer.code, refused) == (503, "gateway.websockets", 1)


def test_who_listens_is_told_that_the_service_restarts_and_the_engine_that_nobody_listens():
    async def scene(gateway, sources):
        client = await listen(gateway)
        gateway.proxy.give_up()
        code = await client.closed()
        client.close(code)
        return code, await client.ended(), (await read_masked(sources.asked[0].reader))[0], gateway.proxy.streams.by_key

    code, ended, opcode, left = with_stream(scene)
    assert (code, ended, opcode) == (1012, True, CLOSE)
    assert not left


def test_a_stream_that_nobody_listens_to_is_let_go(monkeypatch):
    monkeypatch.setattr("nautilus.gateway.streams.LINGER_SECONDS", 0.0)

    async def scene(gateway, sources):
        client = await listen(gateway)
        client.close()
        opcode = PING
        while opcode != CLOSE:
            opcode, _ = await read_masked(sources.asked[0].reader)
        return gateway.proxy.streams.by_key

    assert not with_stream(scene, listeners=AudienceSettings(ping_seconds=0.1))


def test_a_stream_that_cannot_be_had_again_closes_its_listeners(monkeypatch):
    monkeypatch.setattr("nautilus.gateway.streams.LOST_SECONDS", 0.0)

    async def scene(gateway, sources):
        client = await listen(gateway)
        await gateway.upstream.die()
        assert (await client.text())["type"] == "lost"
        opcode = PING
        while opcode == PING:
            opcode, payload = await client.frame()
        return opcode, int.from_bytes(payload[:2], "big"), count(gateway, "streams.given_up")

    assert with_stream(scene, listeners=AudienceSettings(ping_seconds=0.1)) == (CLOSE, 1013, 1)


def test_a_revoked_key_ends_who_listens_by_it_and_nobody_else(monkeypatch):
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0.01)
    keys = held_keys()

    async def scene(gateway, sources):
        found = []
        for name in ("trader", "reader"):
            shown = f"Bearer nk_{name}0_{SECRETS[name]}".encode()
            found.append(await listen(gateway, fields=[*UPGRADE, (b"authorization", shown)]))
        keys.put(*(key for key in keys.keys if key.name != "trader"))
        closed = await found[0].frame()
        for asked in sources.asked:
            await asked.send(frame_of(TEXT, b"{}"))
        return closed, await found[1].frame()

    closed, other = with_stream(scene, access=rules(keys))
    assert closed == (CLOSE, (1008).to_bytes(2, "big") + b"access.revoked")
    assert other == (TEXT, b"{}")
