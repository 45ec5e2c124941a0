"""The gateway's cache: what a hit costs, and how many requests an engine sees of a thousand equal ones at once.

::

    hit, cache alone      one thread: key, memory, answer written to a connection that keeps nothing
    hit, over HTTP        a platform with one worker: processor time of the worker for a request that is kept
    1,000 at once         a platform with two workers: a thousand connections ask the same at the same moment
"""

from __future__ import annotations

import asyncio
from time import process_time_ns
from typing import Any

import msgspec

from nautilus.core.counters import Counters
from nautilus.core.response_cache import STORED, Answers
from nautilus.gateway.cache import Cache, Question, Settings, Verdict, key_of
from nautilus.gateway.cache_door import Door
from nautilus.gateway.kept import head_of
from nautilus.gateway.table import read_table
from nautilus.policy.caching import PLAIN
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.exchange import Exchange
from nautilus.runtime.http.port import Port
from nautilus.runtime.instance import Instance
from nautilus.runtime.status import cpu_seconds, read_facts
from perf.harness import Report, check
from perf.platform import platform

SUMMARY = "the gateway's cache: processor time of a hit, and one upstream call for 1,000 equal concurrent misses"
HITS = 20_000
HTTP_HITS = 20_000
AT_ONCE = 1_000
HIT_GOAL_US = 10.0
BODY = b'{"positions":[' + b",".join([b'{"account_id":1,"quantity":"12.5"}'] * 12) + b"]}"
SETTINGS = ("platform.processes=compact", 'gateway.cache_seconds={"portfolio": 3600.0}')
HEADERS = [(b"host", b"localhost"), (b"user-agent", b"bench"), (b"accept", b"application/json")]


def run(report: Report) -> None:
    """Alone, over HTTP, and a thousand at once."""
    report.conditions["answer"] = f"{len(BODY)} bytes of JSON"
    report.measure("hit, the cache alone", "us of processor", alone, goal=HIT_GOAL_US, lower_is_better=True)
    report.measure("shared level: find and copy", "us", shared_get)
    report.measure("shared level: store", "us", shared_put)
    with platform("--simulated", "--strategy", "quoting", settings=(*SETTINGS, "gateway.workers=1")) as instance:
        report.measure("hit over HTTP, whole worker", "us of processor", lambda: over_http(instance))
    # Nothing trades: what the bus says of a change between would rightly make the gateway ask once more.
    with platform(settings=(*SETTINGS, "gateway.workers=2")) as instance:
        seen: list[float] = []

        def once() -> float:
            found = float(asyncio.run(at_once(instance, f"/positions/{len(seen) + 1}")))
            seen.append(found)
            return found

        report.measure("upstream calls of 1,000 equal misses, two workers", "calls", once, goal=1, lower_is_better=True)
    report.checks.append("every request was answered with 200 and the same body")
    report.notes.append("Alone: key, look-up, check against what was forgotten, head and body written out.")


class _Nowhere:
    """A connection's transport that keeps nothing."""

    written = 0

    def write(self, data: bytes) -> None:
        self.written += len(data)

    def is_closing(self) -> bool:
        return False


class _Connection:
    """As much of a connection as an exchange needs to be answered."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self.transport = _Nowhere()

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def finish(self, exchange: Exchange) -> None:
        """It is complete."""


def alone() -> float:
    """Microseconds of processor time of one hit, in the cache and the answer."""
    counters = Counters()
    cache = Cache(Answers(kib=1024), counters, lambda seconds, callback: None, monotonic_ns, Settings())
    door = Door(cache, counters, {"portfolio": 3600.0}, monotonic_ns)
    key = key_of("portfolio", b"", b"/positions")
    assert key is not None
    question = Question("portfolio", key, b"/positions", HEADERS, PLAIN, 3600.0)
    asked = cache.ask(question, monotonic_ns(), lambda outcome: None)
    assert asked.fill is not None
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
    asked.fill.whole(200, head_of(200, fields, b"OK"), fields, BODY)
    check(cache.ask(question, monotonic_ns(), lambda outcome: None).verdict is Verdict.HIT, "the answer is not kept")
    connection: Any = _Connection(Port(lambda exchange: None, counters, HttpConfig()))
    target = b"/api/v1/engines/portfolio/positions"
    given = True
    exchanges = [Exchange(connection, "GET", target, HEADERS, started_ns=monotonic_ns()) for _ in range(HITS)]
    before_ns = process_time_ns()
    for exchange in exchanges:
        given &= door.gives(exchange, "portfolio", "GET /positions", b"/positions", b"via: 1.1 nautilus\r\n")
    took_ns = process_time_ns() - before_ns
    check(given, "a request was not answered from memory")
    check(connection.transport.written > HITS * len(BODY), "not every request was answered")
    return took_ns / HITS / 1e3


def shared_get() -> float:
    """Microseconds to find and copy an answer in the shared level."""
    answers = Answers(kib=1024)
    engine = answers.engine("portfolio")
    key = b"portfolio\n\n/positions"
    check(answers.put(key, 10, BODY, engine, 0, 1, 2) == STORED, "not stored")
    before_ns = process_time_ns()
    for _ in range(HITS):
        answers.get(key)
    return (process_time_ns() - before_ns) / HITS / 1e3


def shared_put() -> float:
    """Microseconds to store an answer in the shared level."""
    answers = Answers(kib=1024)
    engine = answers.engine("portfolio")
    keys = [b"portfolio\n\n/%d" % number for number in range(100)]
    before_ns = process_time_ns()
    for number in range(HITS):
        key = keys[number % 100]
        answers.put(key, len(key) - 11, BODY, engine, 0, 1, 2)
    took_ns = process_time_ns() - before_ns
    check(answers.counts["stored"] == HITS, "not all were stored")
    return took_ns / HITS / 1e3


def over_http(instance: Instance) -> float:
    """Microseconds of the worker's processor time for a request whose answer is kept, on eight connections."""
    table = read_table(instance.directory)
    [worker] = [line for line in table.workers if line.state == "ready"]
    asyncio.run(ask_often(table.port, "/positions", 64))
    begun = cpu_seconds(worker.pid)
    answered = asyncio.run(ask_often(table.port, "/positions", HTTP_HITS))
    ended = cpu_seconds(worker.pid)
    assert begun is not None
    assert ended is not None
    return (ended - begun) * 1e6 / answered


async def ask_often(port: int, path: str, count: int, connections: int = 8) -> int:
    """So many requests for what is kept; how many were answered."""
    request = f"GET /api/v1/engines/portfolio{path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()

    async def client() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count // connections):
            writer.write(request)
            await answer_of(reader)
        writer.close()
        return count // connections

    return sum(await asyncio.gather(*(client() for _ in range(connections))))


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    """The body of the next answer, which must be right."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    check(head.startswith(b"http/1.1 200 "), f"answered with {head[:40]!r}")
    return await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))


async def at_once(instance: Instance, path: str) -> int:
    """How often the engine was asked when a thousand connections ask the same at once."""
    port = read_table(instance.directory).port
    pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(AT_ONCE)]
    before = requests_of(instance)
    request = f"GET /api/v1/engines/portfolio{path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    for _, writer in pairs:
        writer.write(request)
    bodies = await asyncio.gather(*(answer_of(reader) for reader, _ in pairs))
    for body in bodies:
        check(isinstance(msgspec.json.decode(body), dict), "an answer is no object")
    check(len(set(bodies)) == 1, "answers differ")
    for _, writer in pairs:
        writer.close()
    return requests_of(instance) - before


def requests_of(instance: Instance) -> int:
    """Requests that the portfolio engine has handled."""
    facts = read_facts(instance)
    return facts.counters[facts.plan.process_of("portfolio")].get("engine.portfolio.requests", 0)


__all__ = ["SUMMARY", "run"]
