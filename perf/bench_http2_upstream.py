"""What asking an engine's host over HTTP/2 would cost the gateway, beside the pool of HTTP/1.1 that it has.

::

    one loop (core 0) ══ HTTP/1.1, a connection for each request under way ══▶ host of an engine (core 1)
    one loop (core 0) ══ HTTP/2, all of them on one connection (h2)        ══▶ the same

By turns, with 1, 16 and 64 requests under way. Every answer is compared. CPU is that of the side that asks, and that of
the host; neither is the data path of the gateway, which is the same before both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import uvloop
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded

from nautilus.core.counters import Counters
from nautilus.core.proxy_head import AnswerHead
from nautilus.core.proxy_upstream import Call
from nautilus.gateway.pool import Pool, PoolSettings
from nautilus.runtime.clock import monotonic_ns
from perf.gateway_sides import BODY, cpu_seconds, side
from perf.harness import REPEATS, OtherLoad, Report, check, cores, pinned

SUMMARY = "asking an engine's host: one connection of HTTP/2 beside pooled HTTP/1.1"
UNDER_WAY = (1, 16, 64)
REQUESTS = 3_000
FIELDS = (
    ("authorization", "Bearer " + "t" * 43),
    ("nautilus-principal", "bench"),
    ("nautilus-priority", "normal"),
    ("forwarded", 'for=127.0.0.1;host="127.0.0.1";proto=http'),
    ("x-forwarded-for", "127.0.0.1"),
    ("via", "1.1 nautilus"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("accept", "*/*"),
)
"""As the gateway sends them."""


class Turn:
    """So many requests, so many of them under way; each `ask` tells `answered` when it is."""

    def __init__(self, ask: Callable[[Turn], None], under_way: int) -> None:
        self._ask = ask
        self._left = REQUESTS - under_way
        self._done = 0
        self.latency = np.zeros(REQUESTS, np.int64)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for _ in range(under_way):
            ask(self)

    def answered(self, status: int, body: bytes, began_ns: int) -> None:
        """One more is answered; the next one is asked."""
        if status != 200 or body != BODY:
            self.over.set_exception(AssertionError(f"{status} {body[:100]!r}"))
            return
        self.latency[self._done] = monotonic_ns() - began_ns
        self._done += 1
        if self._left:
            self._left -= 1
            self._ask(self)
        elif self._done == REQUESTS:
            self.over.set_result(None)


class Question(Call):
    """A request over HTTP/1.1."""

    def __init__(self, turn: Turn, payload: bytes) -> None:
        now_ns = monotonic_ns()
        self.payload = payload
        self.safe = True
        self.wait_until_ns = self.deadline_ns = now_ns + 60_000_000_000
        self.began_ns = now_ns
        self.turn = turn

    def on_whole(self, head: AnswerHead, body: bytes) -> None:
        self.turn.answered(head.status, body, self.began_ns)

    def on_failure(self, code: str, what: str, *, sent: bool) -> None:
        self.turn.over.set_exception(AssertionError(f"{code}: {what}"))


class Multiplexed(asyncio.Protocol):
    """One connection of HTTP/2 with prior knowledge."""

    def __init__(self, port: int) -> None:
        self._state = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._under_way: dict[int, list[Any]] = {}
        self._head = [(":method", "GET"), (":scheme", "http"), (":authority", f"127.0.0.1:{port}"), (":path", "/x"),
                      *FIELDS]  # fmt: skip
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._state.initiate_connection()
        self._flush()

    def ask(self, turn: Turn) -> None:
        """Begin a stream; what is begun while data is taken in goes out with the rest."""
        stream = self._state.get_next_available_stream_id()
        self._under_way[stream] = [turn, monotonic_ns(), 0, b""]
        self._state.send_headers(stream, self._head, end_stream=True)
        self._flush()

    def data_received(self, data: bytes) -> None:
        for event in self._state.receive_data(data):
            if isinstance(event, ResponseReceived):
                self._under_way[event.stream_id][2] = int(dict(event.headers)[b":status"])
            elif isinstance(event, DataReceived):
                self._under_way[event.stream_id][3] += event.data
                self._state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                turn, began_ns, status, body = self._under_way.pop(event.stream_id)
                turn.answered(status, body, began_ns)
        self._flush()

    def _flush(self) -> None:
        if data := self._state.data_to_send():
            self._transport.write(data)


def run(report: Report) -> None:
    """By turns: HTTP/1.1 and HTTP/2, for each number of requests under way."""
    own, other = cores()[0], cores()[-1]
    report.conditions["pinning"] = f"asking on core {own}, host on core {other}"
    with side(other, "backend") as (host, port), pinned(own), OtherLoad() as load:
        found = uvloop.run(_measure(host.pid, port))
        for name, (unit, values) in found.items():
            report.add(name, unit, values, load.cores, lower_is_better=True)
    report.checks.append("every answer was 200 with the body that the host gives")


async def _measure(host: int, port: int) -> dict[str, tuple[str, list[float]]]:
    found: dict[str, tuple[str, list[float]]] = {}
    payload = b"GET /x HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % port
    payload += b"".join(f"{name}: {value}\r\n".encode() for name, value in FIELDS) + b"\r\n"
    pool = Pool("bench", ("127.0.0.1", port), PoolSettings(max(UNDER_WAY), 3600.0), Counters())
    _, multiplexed = await asyncio.get_running_loop().create_connection(lambda: Multiplexed(port), "127.0.0.1", port)
    ways: dict[str, Callable[[Turn], None]] = {
        "HTTP/1.1, pooled": lambda turn: pool.request(Question(turn, payload), monotonic_ns()),
        "HTTP/2, one connection": multiplexed.ask,
    }
    for under_way in UNDER_WAY:
        for ask in ways.values():
            await Turn(ask, under_way).over
        for _ in range(REPEATS):
            for way, ask in ways.items():
                before, before_host = time.process_time(), cpu_seconds(host)
                turn = Turn(ask, under_way)
                await turn.over
                for what, unit, value in (
                    ("CPU of the asking side", "us", (time.process_time() - before) / REQUESTS * 1e6),
                    ("CPU of the host", "us", (cpu_seconds(host) - before_host) / REQUESTS * 1e6),
                    ("p50", "us", float(np.median(turn.latency)) / 1e3),
                ):
                    found.setdefault(f"{way}, {under_way} under way, {what}", (unit, []))[1].append(value)
    pool.close()
    check(pool.in_flight == 0, "a request is left")
    return found


__all__ = ["SUMMARY", "run"]
