"""A head that came before is answered without an exchange; what is said and counted is what the ordinary way has."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from nautilus.core.hit_lane import HEAD_BYTES, HEADS
from nautilus.core.response_cache import Answers
from nautilus.core.throttle import Throttle
from nautilus.gateway.cache import Cache
from nautilus.gateway.cache_door import Door
from nautilus.gateway.headers import HeaderRules
from nautilus.policy.keys import Derived, new_key
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.http.access import AccessRules
from nautilus.runtime.http.port import Port
from tests.kit.access import INSTANCE_SECRET, NOW_NS, SECRETS, TOKEN, HeldKeys
from tests.kit.certificates import make_authority, make_certificate
from tests.kit.gateway import PATH, Client, GatewayInLoop
from tests.kit.hostile_upstream import Asked, HostileUpstream

CHANGING = re.compile(
    rb"dur=[0-9.]+|b'date': b'[^']*'|b'age': b'[0-9]+'|\"trace_id\":\"[0-9a-f]*\"|t=[0-9]+|b'retry-after': b'[0-9]+'"
)
COUNTED = ("cache.", "engine.gateway.", "gateway.engine.risk.requests", "gateway.engine.risk.status", "http.refused")
OFTEN = 5
Scene = Callable[["Gateway"], Awaitable[Any]]


def get(path: bytes, *lines: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    head = b"%b %b%b HTTP/%b\r\nhost: localhost\r\n" % (method, PATH, path, version)
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def shown(name: str) -> bytes:
    return f"authorization: Bearer nk_{name}0_{SECRETS[name]}".encode()


def keys_of(*names: str) -> HeldKeys:
    """`slow` may ask seven times, and then for a long time not."""
    derived = Derived.of(INSTANCE_SECRET)
    limits: Any = {"slow": {"rate": 0.001, "burst": 7}}
    made = [
        new_key(name, ("read",), NOW_NS, derived, id=f"{name}0", secret=SECRETS[name], **limits.get(name, {}))
        for name in names
    ]
    return HeldKeys(made, derived, Throttle(nonces=256))


async def behave(asked: Asked) -> None:
    target = asked.start.split(b" ")[1]
    if target.startswith(b"/vary"):
        await asked.answer(target, 200, b"Cache-Control: max-age=60\r\nVary: accept\r\n")
    elif target.startswith(b"/changing"):
        await asked.answer(b"%d" % id(asked), 200, b"Cache-Control: max-age=60\r\n")
    else:
        await asked.answer(b"" if target == b"/empty" else target, 200, b"Cache-Control: max-age=60\r\n")


class Gateway(GatewayInLoop):
    """Keeps answers; `exchanges` counts what did not go by the lane, `starts` what engines saw."""

    def __init__(self, port: int, *, lane: bool) -> None:
        self.keys = keys_of("reader", "slow")
        rules = HeaderRules(add_answer={"x-desk": "7"})
        limits: Any = {"rules": rules, "retries": 0, "hedges": 0, "timeout_seconds": 60}
        super().__init__(port, access=AccessRules(TOKEN, keys=self.keys), **limits)
        if not lane:
            self.listening.lane = None
        self.exchanges = 0
        self.listening.app = self._pass
        cache = Cache(Answers(kib=1024), self.counters, asyncio.get_running_loop().call_later, monotonic_ns)
        self.door = self.proxy.door = Door(cache, self.counters, {}, monotonic_ns)

    def _pass(self, exchange: Any) -> None:
        self.exchanges += 1
        self.proxy(exchange)

    async def often(self, request: bytes, times: int = OFTEN) -> Client:
        """Ask the same on one connection, so often that the lane knows it."""
        client = await self.connect()
        for _ in range(times):
            client.writer.write(request)
            await client.answer()
        return client


def with_gateway(scene: Scene, *, lane: bool = True) -> Any:
    async def whole() -> Any:
        async with HostileUpstream(behave) as upstream, Gateway(upstream.port, lane=lane) as gateway:
            return await scene(gateway), [each.start for each in upstream.asked]

    return asyncio.run(asyncio.wait_for(whole(), 60))


REQUESTS = [
    get(b"/x"),
    get(b"/empty"),
    get(b"/x?a=1", b"accept: a/b", b"user-agent: some"),
    get(b"/vary", b"accept: a/b"),
    get(b"/vary", b"accept: c/d"),
    get(b"/x", shown("reader")),
    get(b"/x", shown("slow")),
    get(b"/x", b"authorization: Bearer wrong"),
    get(b"/x", b"origin: http://elsewhere"),
    get(b"/x").replace(b"host: localhost", b"host: elsewhere"),
    get(b"/x", b"connection: close"),
    get(b"/x", version=b"1.0"),
    get(b"/x", b"connection: keep-alive", version=b"1.0"),
    get(b"/x", b"content-length: 0"),
    get(b"/x", b"content-length: 2") + b"{}",
    get(b"/x", b"transfer-encoding: chunked") + b"0\r\n\r\n",
    get(b"/x", b"nautilus-priority: low"),
    get(b"/x", b"nautilus-priority: none"),
    get(b"/x", b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    get(b"/x", b"cache-control: no-cache"),
    get(b"/x", b'if-none-match: "no"'),
    get(b"/x", method=b"HEAD"),
    b"\r\n" + get(b"/x"),
    get(b"/x") + get(b"/x"),
    get(b"/x", b"x-long: " + b"k" * HEAD_BYTES),
]


def all_told(*, lane: bool) -> Any:
    async def scene(gateway: Gateway) -> Any:
        found = []
        for request in REQUESTS:
            answers = []
            client = await gateway.connect()
            for _ in range(OFTEN + 4):
                if answers and not answers[-1].whole:
                    break  # it has ended
                client.writer.write(request)
                method = request.split(b" ")[0].strip()
                answers.extend([await client.answer(method) for _ in range(request.count(b" HTTP/1."))])
            found.append([CHANGING.sub(b"", repr(answer).encode()) for answer in answers])
        counts = {name: value for name, value in gateway.counters.snapshot().items() if name.startswith(COUNTED)}
        return found, counts, gateway.door.usage.most(100), gateway.exchanges, len(gateway.proxy.lane)

    return with_gateway(scene, lane=lane)


def test_the_lane_says_and_counts_what_the_ordinary_way_does() -> None:
    (fast, starts), (slow, starts_slowly) = all_told(lane=True), all_told(lane=False)
    for request, one, other in zip(REQUESTS, fast[0], slow[0], strict=True):
        assert one == other, request
    assert fast[:3] == slow[:3]
    assert starts == starts_slowly
    assert slow[3] - fast[3] > 5 * (OFTEN + 4 - 3)
    assert fast[4] > 5


def test_a_known_head_makes_no_exchange() -> None:
    async def scene(gateway: Gateway) -> Any:
        await gateway.often(get(b"/x"), 3)  # the engine's, one that is seen, one that is known
        before = gateway.exchanges
        await gateway.often(get(b"/x"), 10)
        return before, gateway.exchanges

    (before, after), starts = with_gateway(scene)
    assert (before, after, len(starts)) == (3, 4, 1)  # the first on a connection goes the ordinary way


def test_a_refused_key_is_refused_in_the_lane() -> None:
    async def scene(gateway: Gateway) -> Any:
        await gateway.often(get(b"/x"), 1)
        client = await gateway.often(get(b"/x", shown("slow")), 7)
        before = gateway.exchanges
        client.writer.write(get(b"/x", shown("slow")))
        refused = await client.answer()
        client.writer.write(get(b"/x", shown("reader")))
        next_one = await client.answer()
        return refused, before, gateway.exchanges, next_one

    (refused, before, after, next_one), _ = with_gateway(scene)
    assert (refused.status, refused.code) == (429, "access.rate")
    assert after - before == 1  # that of the next one
    assert next_one.status == 200


def test_what_the_plain_port_lets_in_is_not_let_in_over_tls(tmp_path) -> None:
    authority = make_authority(tmp_path)
    theirs = ssl.create_default_context(cafile=str(authority.certificate))
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(*make_certificate(authority, "gateway", "127.0.0.1"))

    async def scene(gateway: Gateway) -> Any:
        port = Port(gateway.proxy, gateway.counters, tls=ours, leases=gateway.leases)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        address = listener.getsockname()
        await port.listen(listener)
        client = Client(*await asyncio.open_connection(*address, ssl=theirs))
        answers = []
        for _ in range(2):
            client.writer.write(get(b"/x"))
            answers.append(await client.answer())
            await gateway.often(get(b"/x"))  # without a key, as this machine may
        client.close()
        await port.close(0.1)
        return [(answer.status, answer.code) for answer in answers], len(gateway.proxy.lane)

    assert with_gateway(scene)[0] == ([(401, "http.token")] * 2, 1)


def test_a_key_that_is_taken_back_is_refused() -> None:
    async def scene(gateway: Gateway) -> Any:
        await gateway.often(get(b"/x"), 1)
        client = await gateway.often(get(b"/x", shown("reader")))
        assert len(gateway.proxy.lane) == 1
        gateway.keys.put(*keys_of("slow").keys)
        client.writer.write(get(b"/x", shown("reader")))
        return await client.answer(), len(gateway.proxy.lane)

    (answer, known), _ = with_gateway(scene)
    assert (answer.status, answer.code, known) == (401, "access.key", 0)


def test_a_request_that_the_lane_fails_at_is_answered() -> None:
    async def scene(gateway: Gateway) -> Any:
        await gateway.often(get(b"/x"), 1)  # what is asked for with a key is not kept for others
        client = await gateway.often(get(b"/x", shown("reader")))
        ring, failed = gateway.keys.ring, []

        def once(now_ns: int) -> Any:
            if failed:
                return ring(now_ns)
            failed.append(now_ns)
            raise RuntimeError("a fault that nobody has foreseen")

        gateway.keys.ring = once  # type: ignore[method-assign]
        before = gateway.exchanges
        client.writer.write(get(b"/x", shown("reader")))
        answer = await asyncio.wait_for(client.answer(), 5)
        return answer.status, gateway.exchanges - before, len(failed)

    assert with_gateway(scene)[0] == (200, 1, 1)


def test_what_is_forgotten_is_asked_of_the_engine() -> None:
    async def scene(gateway: Gateway) -> Any:
        client = await gateway.often(get(b"/changing"))
        gateway.door.changed("risk")
        client.writer.write(get(b"/changing"))
        return await client.answer()

    answer, starts = with_gateway(scene)
    assert answer.status == 200
    assert len(starts) == 2


def test_a_port_that_ends_says_so() -> None:
    async def scene(gateway: Gateway) -> Any:
        client = await gateway.often(get(b"/x"))
        gateway.listening.draining = True
        client.writer.write(get(b"/x"))
        return await client.answer()

    answer, _ = with_gateway(scene)
    assert answer.fields[b"connection"] == b"close"


def test_nothing_is_answered_by_the_lane_while_its_application_stops() -> None:
    class Stops:
        stopping = False

    async def scene(gateway: Gateway) -> Any:
        gateway.proxy.lane.app = Stops()
        client = await gateway.often(get(b"/x"))
        before = gateway.exchanges
        gateway.proxy.lane.app.stopping = True
        client.writer.write(get(b"/x"))
        await client.answer()
        return gateway.exchanges - before

    assert with_gateway(scene)[0] == 1


def test_heads_of_which_each_is_another_one_are_not_known() -> None:
    async def scene(gateway: Gateway) -> Any:
        client = await gateway.often(get(b"/x"))
        for number in range(200):
            client.writer.write(get(b"/x", b"x-id: %d" % number))
            await client.answer()
        few = len(gateway.proxy.lane)
        for number in range(HEADS + 10):
            for _ in range(2):
                client.writer.write(get(b"/x", b"x-id: again-%d" % number))
                await client.answer()
        return few, len(gateway.proxy.lane)

    (few, most), starts = with_gateway(scene)
    assert few == 1
    assert 0 < most <= HEADS
    assert len(starts) == 1


def test_a_connection_that_is_answered_by_the_lane_counts_as_used() -> None:
    async def scene(gateway: Gateway) -> Any:
        one = await gateway.often(get(b"/x"))
        await gateway.often(get(b"/x"))
        oldest = gateway.listening.connections.idle()[0]
        one.writer.write(get(b"/x"))
        await one.answer()
        return oldest is gateway.listening.connections.idle()[-1]

    assert with_gateway(scene)[0]
