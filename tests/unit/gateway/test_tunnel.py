"""WebSockets through the gateway: the switch, bytes both ways, back-pressure, and either end going."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.gateway.tunnel import Frames
from nautilus.runtime.http import leases
from nautilus.runtime.http.websocket import RESTARTS, close_frame
from tests.kit.access import SECRETS, held_keys, rules
from tests.kit.gateway import Client, GatewayInLoop
from tests.kit.hostile_upstream import Asked, HostileUpstream, forever, until

UPGRADE = [
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"sec-websocket-version", b"13"),
]
SWITCHED = b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: x\r\n\r\n"


def run(scene: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(scene(), 60))


async def echo(asked: Asked) -> None:
    await asked.send(SWITCHED + b"hello")
    while data := await asked.reader.read(65536):
        await asked.send(data)
    asked.close()


def with_tunnel(behave: Callable[[Asked], Awaitable[None]], scene: Callable[..., Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        async with HostileUpstream(behave) as upstream, GatewayInLoop(upstream.port) as gateway:
            client = await gateway.connect()
            client.send(b"/stream", fields=UPGRADE)
            answer = await client.answer()
            return await scene(gateway, upstream, client, answer)

    return run(whole)


def test_switch_is_passed_on_and_bytes_go_both_ways():
    async def scene(gateway, upstream, client: Client, answer):
        greeting = await client.reader.readexactly(5)
        client.writer.write(b"\x81\x85abcdefghi")
        return answer, upstream.asked[0], greeting, await client.reader.readexactly(11), gateway

    answer, asked, greeting, echoed, gateway = with_tunnel(echo, scene)
    assert answer.status == 101
    assert answer.fields[b"upgrade"] == b"websocket"
    assert answer.fields[b"connection"] == b"upgrade"
    assert answer.fields[b"sec-websocket-accept"] == b"x"
    assert asked.field(b"upgrade") == [b"websocket"]
    assert asked.field(b"connection") == [b"upgrade"]
    assert asked.field(b"sec-websocket-key") == [b"dGhlIHNhbXBsZSBub25jZQ=="]
    assert (greeting, echoed) == (b"hello", b"\x81\x85abcdefghi")
    pool = gateway.proxy.instance("risk", 0).pool
    assert (len(pool.connections), pool.in_flight) == (0, 0)


def test_refusal_of_the_switch_is_an_answer_as_any():
    async def behave(asked: Asked) -> None:
        await asked.answer(b"no", 403)

    async def scene(gateway, upstream, client: Client, answer):
        return answer, await client.ask(b"/other")

    answer, other = with_tunnel(behave, scene)
    assert (answer.status, answer.body) == (403, b"no")
    assert other.status == 403


def test_end_of_one_direction_is_passed_on_and_the_other_goes_on():
    async def behave(asked: Asked) -> None:
        await asked.send(SWITCHED)
        received = await asked.reader.read(-1)
        await asked.send(b"got %d" % len(received))
        asked.close()

    async def scene(gateway, upstream, client: Client, answer):
        client.writer.write(b"x" * 100_000)
        client.writer.write_eof()
        return await client.reader.read(-1)

    assert with_tunnel(behave, scene) == b"got 100000"


def test_client_that_leaves_ends_the_engines_side():
    ended = asyncio.Event()

    async def behave(asked: Asked) -> None:
        await asked.send(SWITCHED)
        await asked.reader.read(-1)
        ended.set()

    async def scene(gateway, upstream, client: Client, answer):
        client.writer.transport.abort()
        await ended.wait()
        return True

    assert with_tunnel(behave, scene)


def test_engine_that_breaks_ends_the_clients_side():
    async def behave(asked: Asked) -> None:
        await asked.send(SWITCHED)
        await asked.reader.readexactly(1)
        asked.reset()

    async def scene(gateway, upstream, client: Client, answer):
        client.writer.write(b"x")
        try:
            return await client.reader.read(-1)
        except ConnectionError:
            return b""

    assert with_tunnel(behave, scene) == b""


def test_slow_reader_of_a_tunnel_slows_the_writer_down():
    written = 0

    async def behave(asked: Asked) -> None:
        nonlocal written
        await asked.send(SWITCHED)
        for _ in range(64):
            await asked.send(b"x" * (1 << 20))
            written += 1
        asked.close()

    async def scene(gateway, upstream, client: Client, answer):
        client.reader._limit = 1 << 16
        looks: list[int] = []
        await until(lambda: looks.append(written) or (len(looks) > 100 and looks[-100] == looks[-1]))
        stopped_at, size = written, 0
        while data := await client.reader.read(1 << 20):
            size += len(data)
        return stopped_at, size

    stopped_at, size = with_tunnel(behave, scene)
    assert stopped_at < 48
    assert size == 64 << 20


def test_switch_is_never_sent_twice():
    async def behave(asked: Asked) -> None:
        asked.reset()

    async def scene(gateway, upstream, client: Client, answer):
        return answer, len(upstream.asked)

    answer, sent = with_tunnel(behave, scene)
    assert (answer.status, sent) == (502, 1)


def frame_of(size: int, *, masked: bool = False) -> bytes:
    """A frame of so many bytes."""
    mask = 128 if masked else 0
    if size < 126:
        head = bytes([0x82, mask | size])
    elif size < 1 << 16:
        head = bytes([0x82, mask | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x82, mask | 127]) + size.to_bytes(8, "big")
    return head + (b"mask" if masked else b"") + b"\x88" * size


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 125, 126, 127, 300, 70_000]), st.booleans()), max_size=5),
    st.lists(st.integers(1, 400), min_size=1, max_size=30),
)
def test_a_stream_is_whole_between_two_frames_and_nowhere_else(sizes, pieces):
    frames = [frame_of(size, masked=masked) for size, masked in sizes]
    stream, ends, end = b"".join(frames), {0}, 0
    for each in frames:
        end += len(each)
        ends.add(end)
    tracked, at = Frames(), 0
    assert tracked.whole
    while at < len(stream):
        piece = stream[at : at + pieces[at % len(pieces)]]
        tracked.take(piece)
        at += len(piece)
        assert tracked.whole == (at in ends)


@pytest.mark.parametrize(("more", "told"), [(b"", True), (frame_of(300), True), (frame_of(300)[:100], False)])
def test_a_client_is_told_that_the_service_restarts_where_a_frame_may_stand(more, told):
    async def behave(asked: Asked) -> None:
        await asked.send(SWITCHED + more)
        await forever()

    async def scene(gateway, upstream, client, answer):
        got = await client.reader.readexactly(len(more))
        gateway.proxy.give_up()
        rest = await client.reader.read()
        await until(lambda: not gateway.proxy.tunnels)
        return got == more, rest

    assert with_tunnel(behave, scene) == (True, close_frame(RESTARTS) if told else b"")


def test_a_revoked_key_ends_a_websocket_that_is_passed_through(monkeypatch):
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0.01)
    keys = held_keys()
    shown = f"Bearer nk_trader0_{SECRETS['trader']}".encode()

    async def behave(asked: Asked) -> None:
        await asked.send(SWITCHED)
        await asked.reader.read(-1)
        ended.set()

    async def whole() -> Any:
        async with HostileUpstream(behave) as upstream, GatewayInLoop(upstream.port, access=rules(keys)) as gateway:
            client = await gateway.connect()
            client.send(b"/stream", fields=[*UPGRADE, (b"authorization", shown)])
            answer = await client.answer()
            keys.put()
            rest = await client.reader.read()
            await ended.wait()
            return answer.status, rest, gateway.counters.snapshot()["access.websockets_ended"]

    ended = asyncio.Event()
    assert run(whole) == (101, close_frame(1008, "access.revoked"), 1)
