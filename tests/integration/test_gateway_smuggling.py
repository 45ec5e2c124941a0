"""Front and back agree on every request: none is smuggled past the gateway in another one's body or head.

The upstream says back what it has read. So each answer tells what the engine was asked for the request that the gateway
had read, and whatever the engine was asked besides would show.
"""

import asyncio
import contextlib
import itertools

import pytest

from nautilus.runtime.clock import wall_ns
from tests.kit.access import rules, signed
from tests.kit.gateway import PATH, Answer, GatewayInLoop
from tests.kit.hostile_upstream import Asked, HostileUpstream

PATIENCE_SECONDS = 0.3
INNER = b"GET " + PATH + b"/smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n"
LENGTHS = (
    b"content-length: %d",
    b"content-length: %d, %d",
    b"content-length: +%d",
    b"content-length : %d",
    b"content-length:\t%d",
    b"content-length: 0%d",
    b"content-length: %d\r\ncontent-length: 0",
    b"content-length: 0\r\ncontent-length: %d",
    b"x: y\r\n content-length: %d",
    b"content-length: 0x%d",
    b"content-length: -%d",
    b"content_length: %d",
    b"content-length: %d\r",
    b"content-length:%d\n",
    b"connection: content-length\r\ncontent-length: %d",
)
CODINGS = (
    b"transfer-encoding: chunked",
    b"transfer-encoding : chunked",
    b"transfer-encoding: identity",
    b"transfer-encoding: chunked, identity",
    b"transfer-encoding: xchunked",
    b"transfer-encoding:\x0bchunked",
    b"transfer-encoding: chunked\r\ntransfer-encoding: identity",
    b'transfer-encoding: "chunked"',
    b"x: y\r\n transfer-encoding: chunked",
    b"transfer-encoding: cow\r\ntransfer-encoding: chunked",
    b"Transfer-Encoding: CHUNKED",
    b"connection: transfer-encoding\r\ntransfer-encoding: chunked",
    b"transfer-encoding:\nchunked",
    b"x: \ntransfer-encoding: chunked",
)
CHUNKS = (
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"5;a=\n\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5\nhello\n0\n\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhelloX0\r\n\r\n",
    b"00000000000000000005\r\nhello\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    b"0\r\nx: y\r\n\r\n",
    b"0\r\n\nx\r\n",
    b"5\r\nhello\r\n0\r\n",
)


def streams() -> list[bytes]:
    """What a client may send, in one piece."""
    start = b"POST " + PATH + b"/outer HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    found = []
    for length in LENGTHS:
        count = length.count(b"%d")
        for size in (0, 5, len(INNER)):
            head = start + length % ((size,) * count) + b"\r\n\r\n"
            found += [head + INNER, head + b"hello" + INNER]
    for coding, chunks in itertools.product(CODINGS, CHUNKS):
        found.append(start + coding + b"\r\n\r\n" + chunks + INNER)
    for length, coding in itertools.product(LENGTHS[:4], CODINGS):
        for size in (0, 4, len(INNER)):
            fields = [length % ((size,) * length.count(b"%d")), coding]
            for order in (fields, fields[::-1]):
                found.append(start + b"\r\n".join(order) + b"\r\n\r\n0\r\n\r\n" + INNER)
    for target in (b"/a\rb", b"/a HTTP/1.1\r\nx: y", b"/a\x00", b"/a b", b"/\xff", b"/%0d%0aGET%20/smuggled", b"/a#b"):
        found.append(b"GET " + PATH + target + b" HTTP/1.1\r\nhost: localhost\r\n\r\n" + INNER)
    for line in (
        b"host: localhost",
        b"x: a\r\n\r\n",
        b"x:\x00",
        b"x y: z",
        b": z",
        b"\x00: z",
        b"x: a\rGET /smuggled",
        b"upgrade: h2c",
    ):
        found.append(b"GET " + PATH + b"/outer HTTP/1.1\r\nhost: localhost\r\n" + line + b"\r\n\r\n" + INNER)
    return found


async def says_back(asked: Asked) -> None:
    await asked.answer(asked.start + b"|" + asked.body)


async def ask(gateway: GatewayInLoop, stream: bytes) -> list[Answer]:
    """All answers to a stream, up to the end of the connection."""
    client = await gateway.connect()
    client.writer.write(stream)
    client.writer.write(b"GET " + PATH + b"/last HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    found = []
    # Where the gateway waits for more of a body there is no answer, and none is owed.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (answer := await client.answer()).status:
                found.append(answer)
                if answer.fields.get(b"connection") == b"close":
                    break
    client.close()
    return found


@pytest.mark.parametrize("part", range(4))
def test_front_and_back_agree_on_every_request(part):
    async def scene() -> int:
        passed = 0
        async with HostileUpstream(says_back) as upstream, GatewayInLoop(upstream.port) as gateway:
            for stream in streams()[part::4]:
                before = len(upstream.asked)
                answers = await ask(gateway, stream)
                told = [answer.body for answer in answers if answer.status == 200]
                seen = [asked.start + b"|" + asked.body for asked in upstream.asked[before:]]
                # Every request that the back was asked is one that the front has answered, in order, and no other.
                assert told == seen[: len(told)], stream
                assert len(seen) - len(told) <= 1, stream  # its client may have been cut off behind what is malformed
                for asked in upstream.asked[before:]:
                    framings = len(asked.field(b"content-length")) + len(asked.field(b"transfer-encoding"))
                    assert framings <= 1, stream
                    assert b"\n" not in asked.start
                passed += len(told)
        return passed

    assert asyncio.run(asyncio.wait_for(scene(), 300)) > 0


@pytest.mark.parametrize("body", [b"0\r\n\r\n" + INNER, b"hello", b""])
def test_signed_body_in_chunks_is_one_request_for_the_back(body):
    """It is read whole before it is sent: what frames it then is the gateway's, not what it came with."""

    async def scene() -> tuple[Answer, list[Asked]]:
        async with (
            HostileUpstream(says_back) as upstream,
            GatewayInLoop(upstream.port, access=rules(), retries=0, hedges=0) as gateway,
        ):
            client = await gateway.connect()
            fields = signed(target=PATH + b"/x", body=body, stamp_ns=wall_ns(), host="localhost", content_length=None)
            client.send(method=b"POST", fields=[*fields[1:], (b"transfer-encoding", b"chunked")])
            client.writer.write((b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n")
            return await client.answer(), upstream.asked

    answer, asked = asyncio.run(asyncio.wait_for(scene(), 60))
    assert (answer.status, answer.body) == (200, b"POST /x HTTP/1.1|" + body)
    assert [each.body for each in asked] == [body]
    assert asked[0].field(b"content-length") == [b"%d" % len(body)]
    assert asked[0].field(b"transfer-encoding") == []
