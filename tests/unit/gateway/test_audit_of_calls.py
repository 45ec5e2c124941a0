"""What the gateway writes down of calls that it passes on: hash of the body, status, also where a client has gone."""

import asyncio
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from nautilus.core.counters import Counters
from nautilus.runtime.auditing import Recorder
from nautilus.runtime.clock import wall_ns
from nautilus.store.audit import AuditLog, Record, read
from tests.kit.gateway import TOKEN, GatewayInLoop
from tests.kit.hostile_upstream import Asked, HostileUpstream, forever, until

SHOWN = [(b"authorization", b"Bearer " + TOKEN.encode())]


def written(tmp_path: Path, behave: Any, scene: Any) -> list[Record]:
    """The calls that are in the log after a scene at a gateway."""

    async def whole() -> None:
        log = AuditLog(tmp_path / "audit", tmp_path / "anchors", "gateway", wall_ns())
        async with (
            HostileUpstream(behave) as upstream,
            GatewayInLoop(upstream.port, token=TOKEN) as gateway,
        ):
            gateway.proxy.audit = Recorder(log, Counters()).passed_on
            await scene(gateway, upstream)
        log.close(wall_ns())

    asyncio.run(asyncio.wait_for(whole(), 60))
    return [record for record in read(tmp_path / "audit", "gateway") if record.kind == "call"]


async def right(asked: Asked) -> None:
    await asked.answer(b"{}", 201)


@pytest.mark.parametrize("size", [0, 10, 65_536, 65_537, 900_000])
def test_the_hash_of_a_body_is_written_down_whether_it_is_read_whole_or_streamed(tmp_path: Path, size: int) -> None:
    body = b"x" * size

    async def scene(gateway, upstream):
        assert (await gateway.ask(b"/orders", b"POST", body, SHOWN)).status == 201

    (call,) = written(tmp_path, right, scene)
    assert (call.principal, call.method, call.target) == ("instance", "POST", b"/api/v1/engines/risk/orders")
    assert (call.status, call.digest) == (201, blake2b(body, digest_size=32).digest() if body else b"")


def test_a_body_in_chunks_has_the_hash_of_all_of_it(tmp_path: Path) -> None:
    async def scene(gateway, upstream):
        client = await gateway.connect()
        fields = [*SHOWN, (b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
        client.send(b"/orders", b"POST", fields=fields)
        client.writer.write(b"3\r\n{ab\r\n2\r\nc}\r\n0\r\n\r\n")
        assert (await client.answer()).status == 201

    (call,) = written(tmp_path, right, scene)
    assert call.digest == blake2b(b"{abc}", digest_size=32).digest()


@pytest.mark.parametrize("body", [None, b'{"quantity":1}'])
def test_a_call_whose_client_has_gone_is_written_down(tmp_path: Path, body: bytes | None) -> None:
    async def silent(asked: Asked) -> None:
        await forever()

    async def scene(gateway, upstream):
        client = await gateway.connect()
        client.send(b"/orders/1", b"DELETE" if body is None else b"POST", body, SHOWN)
        await until(lambda: upstream.asked)
        client.close()
        await until(lambda: not gateway.proxy.instance("risk", 0).pool.busy)

    (call,) = written(tmp_path, silent, scene)
    assert call.status == 499
    assert call.digest == (blake2b(body, digest_size=32).digest() if body else b"")


def test_a_call_that_was_never_sent_is_not_written_down(tmp_path: Path) -> None:
    async def scene(gateway, upstream):
        client = await gateway.connect()
        fields = [*SHOWN, (b"content-type", b"application/json"), (b"content-length", b"100")]
        client.send(b"/orders", b"POST", fields=fields)
        client.writer.write(b'{"quantity"')
        await until(lambda: gateway.count("requests"))
        client.close()
        await until(lambda: not gateway.listening.connections)
        assert not upstream.asked

    assert written(tmp_path, right, scene) == []


def test_a_call_that_is_under_way_as_the_gateway_ends_may_have_been_carried_out(tmp_path: Path) -> None:
    async def silent(asked: Asked) -> None:
        await forever()

    answers = []

    async def scene(gateway, upstream):
        clients = [await gateway.connect() for _ in range(2)]
        clients[0].send(b"/orders", b"POST", b"{}", SHOWN)
        clients[1].send(b"/risk/state", b"GET", None, SHOWN)
        await until(lambda: len(upstream.asked) == 2)
        await gateway.listening.close(0.0)
        answers.extend([await client.answer() for client in clients])

    (call,) = written(tmp_path, silent, scene)
    assert [(answer.status, answer.code) for answer in answers] == [(504, "gateway.unknown"), (503, "http.stopping")]
    assert b"retry-after" not in answers[0].fields
    assert call.status == 504
