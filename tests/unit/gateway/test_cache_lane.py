"""A fresh answer that memory has is given on a way of its own: the ordinary one says and counts the same."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from nautilus.core.cache_lane import DoorBase
from nautilus.core.histogram import Histogram
from nautilus.core.response_cache import MOST_KEY, Answers
from nautilus.gateway.cache import Cache, key_of
from nautilus.gateway.cache_door import FRESH, Door
from nautilus.gateway.headers import HeaderRules
from nautilus.policy.caching import TELLING
from nautilus.runtime.clock import monotonic_ns
from tests.kit.gateway import PATH, GatewayInLoop
from tests.kit.hostile_upstream import Asked, HostileUpstream

TRACE = b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
TIMES = re.compile(rb"(?m)^(server-timing|age|date): [^\r]*")
LAST = b"GET " + PATH + b"/last HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
COUNTED = ("cache.", "engine.gateway.", "gateway.engine.risk.requests", "gateway.engine.risk.status")


def get(path: bytes, *lines: bytes, method: bytes = b"GET", version: bytes = b"1.1", body: bytes = b"") -> bytes:
    head = b"%b %b%b HTTP/%b\r\nhost: localhost\r\n" % (method, PATH, path, version)
    return head + TRACE + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


KEPT = [get(path) for path in (b"/x", b"/x?a=1", b"/empty")]
SAYING = [
    [b"connection: close"],
    [b'if-none-match: "no"'],
    [b"if-none-match: *"],
    [b"if-modified-since: Sat, 28 Nov 2026 00:00:00 GMT"],
    [b"cache-control: only-if-cached"],
    [b"cache-control: no-cache"],
    [],
    [b"pragma: no-cache"],
    [b"cache-control: no-store"],
    [b"range: bytes=0-0"],
    [b"authorization: Bearer some-token"],
    [b"nautilus-priority: low"],
    [b"nautilus-priority: none"],
    [b"origin: http://elsewhere"],
]
BODIES = [
    ([b"content-length: 2"], b"{}"),
    ([b"transfer-encoding: chunked"], b"2\r\n{}\r\n0\r\n\r\n"),
    ([b"expect: 100-continue", b"content-length: 2"], b"{}"),
    ([b"content-length: 9999999"], b""),
]
REQUESTS = [
    *(3 * KEPT),
    get(b"/x?a=2"),
    b"".join(map(get, (b"/x", b"/x?a=1", b"/y", b"/x"))),
    get(b"/x", method=b"HEAD"),
    *(get(b"/x", *lines, version=b"1.0") for lines in ([], [b"connection: keep-alive"])),
    *(get(b"/x", *lines, body=body) for lines, body in BODIES),
    *(get(b"/vary", b"accept: " + kind) for kind in (b"a/b", b"a/b", b"c/d", b"a/b")),
    *(get(b"/x", *lines) for lines in SAYING),
    get(b"/nothing", b"cache-control: only-if-cached"),
    get(b"/x").replace(b"host: localhost", b"host: elsewhere"),
    *map(get, (b"/%78", b"/" + b"k" * MOST_KEY, b"/bus/x")),
    get(b"/x", method=b"DELETE"),
    *(2 * KEPT),
    get(b"/refused"),  # from now on nothing of this operation is looked at
    *KEPT,
]


async def behave(asked: Asked) -> None:
    method, target, _ = asked.start.split(b" ")
    if method == b"HEAD":
        await asked.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
    elif target.startswith(b"/refused"):
        await asked.answer(target, 200, b"Cache-Control: no-store\r\n")
    elif target.startswith(b"/vary"):
        await asked.answer(target, 200, b"Cache-Control: max-age=60\r\nVary: accept\r\n")
    else:
        await asked.answer(b"" if target == b"/empty" else target, 200, b"Cache-Control: max-age=60\r\n")


def answers_of(*, lane: bool) -> Any:
    """All bytes that came back, what was counted, and how often the ordinary way was asked."""

    async def scene() -> Any:
        loop = asyncio.get_running_loop()
        rules = HeaderRules(add_answer={"x-desk": "7"})
        # A busy machine makes none be asked twice.
        limits: Any = {"rules": rules, "retries": 0, "hedges": 0, "timeout_seconds": 60}
        async with HostileUpstream(behave) as upstream, GatewayInLoop(upstream.port, **limits) as gateway:
            cache = Cache(Answers(kib=1024), gateway.counters, loop.call_later, monotonic_ns)
            door: Any = Door(cache, gateway.counters, {}, monotonic_ns)
            if not lane:  # every request has this one, so each is taken to say something about caches
                DoorBase.__init__(door, TELLING | {b"host"}, FRESH)
            entered, enter = [], door.enter
            door.enter = lambda *given: (entered.append(given[0].target), enter(*given))
            gateway.proxy.door = door
            gateway.proxy.latency, gateway.proxy.own = Histogram(), Histogram()
            found = []
            for request in REQUESTS:
                client = await gateway.connect()
                client.writer.write(request + LAST)
                found.append(TIMES.sub(rb"\1: ", await client.reader.read()))
                client.close()
            counts = {name: value for name, value in gateway.counters.snapshot().items() if name.startswith(COUNTED)}
            usage = door.usage.most(100)
            recorded = len(gateway.proxy.latency), len(gateway.proxy.own)
            starts = [each.start for each in upstream.asked]
            return found, counts, usage, recorded, starts, len(entered)

    return asyncio.run(asyncio.wait_for(scene(), 60))


def test_the_lane_says_and_counts_what_the_ordinary_way_does():
    *fast, entered = answers_of(lane=True)
    *slow, entered_slowly = answers_of(lane=False)
    for request, one, other in zip(REQUESTS, fast[0], slow[0], strict=True):
        assert one == other, request
    assert fast == slow
    assert fast[3][0] == len(fast[4])  # a hit takes no time of an engine
    assert b"cache-status: nautilus; hit\r\n" in fast[0][3]
    assert entered_slowly - entered > len(REQUESTS)  # most were hits: they, and the last of each connection


def test_a_key_has_a_bound():
    assert key_of("risk", b"read", b"/x?y") == b"risk\nread\n/x?y"
    longest = b"k" * (MOST_KEY - len(b"risk\n\n"))
    assert key_of("risk", b"", longest) == b"risk\n\n" + longest
    assert key_of("risk", b"", longest + b"k") is None
