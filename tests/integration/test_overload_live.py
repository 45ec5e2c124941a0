"""A real platform of which one engine is slow and fails for some: floods of requests, of failures, of connections."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator

import pytest

from nautilus.runtime.http.config import HttpConfig
from tests.kit.effort import one_of
from tests.kit.hard_engine import BROKEN_ACCOUNTS
from tests.kit.supervised import SupervisedPlatform, eventually

ASKING = 128
"""Clients that ask at priority low, each again once it is answered: several times what an engine lets in."""
CRITICAL = 40
"""Requests of one client, one after the other."""
ACCOUNTS = itertools.count(1)
"""Each request is another one: none waits for the answer to an equal one, none is given an earlier one."""


@pytest.fixture(scope="module")
def platform() -> Iterator[SupervisedPlatform]:
    made = SupervisedPlatform()
    try:
        made.up(entry="tests.kit.hard_engine:run", shared=True, platform={"processes": "native", "ports": "free"})
        yield made
    finally:
        made.close()


class Clients:
    """At the port of a process."""

    def __init__(self, platform: SupervisedPlatform, process: str, path: str) -> None:
        instance = platform.find()
        ports = {name: port for each in instance.state().processes for name, port in each.ports.items()}
        self._port, self._path, self._token = ports[process], path, instance.token()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def ask(
        self, line: tuple[asyncio.StreamReader, asyncio.StreamWriter], priority: str, account: int = 0
    ) -> tuple[int, bytes]:
        """Status and head of the answer."""
        head = (
            f"GET {self._path.format(account or next(ACCOUNTS))} HTTP/1.1\r\nhost: localhost\r\n"
            f"authorization: Bearer {self._token}\r\nnautilus-priority: {priority}\r\n\r\n"
        )
        line[1].write(head.encode())
        answer = (await line[0].readuntil(b"\r\n\r\n")).lower()
        await line[0].readexactly(int(answer.split(b"content-length: ")[1].split(b"\r\n")[0]))
        return int(answer[9:12]), answer

    async def flood(self) -> tuple[Counter[int], Counter[int]]:
        """Statuses of critical requests, and of the low ones that are asked beside them."""
        critical, low, over = Counter[int](), Counter[int](), asyncio.Event()

        async def keep_asking() -> None:
            line = await self.connect()
            while not over.is_set():
                status, answer = await self.ask(line, "low")
                low[status] += 1
                assert (b"\r\nretry-after: " in answer) == (status == 503)
            line[1].close()

        asking = [asyncio.ensure_future(keep_asking()) for _ in range(ASKING)]
        line = await self.connect()
        while low[503] < ASKING:  # it is too much
            await self.ask(line, "low")
        for _ in range(CRITICAL):
            status, _ = await self.ask(line, "critical")
            critical[status] += 1
        over.set()
        await asyncio.gather(*asking)
        line[1].close()
        return critical, low


@pytest.mark.parametrize(
    ("process", "path"),
    one_of(("portfolio", "/positions/{}"), ("gateway", "/api/v1/engines/portfolio/positions/{}")),
)
def test_what_is_critical_is_answered_while_most_of_a_flood_is_refused(platform, process, path):
    critical, low = asyncio.run(asyncio.wait_for(Clients(platform, process, path).flood(), 240))
    assert critical == {200: CRITICAL}
    assert low.keys() <= {200, 503}
    assert low[503] > low[200] > 0


def test_a_storm_of_failures_stops_at_the_breaker_and_ends_with_its_cause(platform):
    """The other engines answer on, and this one does again once it can."""
    portfolio = Clients(platform, "gateway", "/api/v1/engines/portfolio/positions/{}")
    risk = Clients(platform, "gateway", "/api/v1/engines/risk/risk/state")
    ready = Clients(platform, "portfolio", "/readyz")

    async def storm() -> tuple[list[int], Counter[int], int]:
        lines = [await each.connect() for each in (portfolio, risk, ready)]
        failed = []
        while failed.count(503) < 20:
            status, answer = await portfolio.ask(lines[0], "normal", BROKEN_ACCOUNTS + next(ACCOUNTS))
            failed.append(status)
            assert (b"\r\nretry-after: " in answer) == (status == 503)
        others = Counter([(await risk.ask(lines[1], "normal"))[0] for _ in range(20)])
        alive, _ = await ready.ask(lines[2], "normal")
        for _, writer in lines:
            writer.close()
        return failed, others, alive

    failed, others, alive = asyncio.run(asyncio.wait_for(storm(), 120))
    assert set(failed) == {500, 503}
    assert failed[-1] == 503, "it is not asked for what it cannot do"
    assert others == {200: 20}
    assert alive == 200

    async def once() -> int:
        line = await portfolio.connect()
        status, _ = await portfolio.ask(line, "normal")
        line[1].close()
        return status

    assert eventually(lambda: asyncio.run(once()) == 200)


@pytest.mark.long
def test_who_opens_more_connections_than_an_engine_has_keeps_nobody_from_it(platform):
    """Those that nothing is on make room, the gateway's as well, which makes others."""
    engine = Clients(platform, "portfolio", "/livez")
    gateway = Clients(platform, "gateway", "/api/v1/engines/portfolio/positions/{}")

    async def exhaust() -> tuple[Counter[int], Counter[int]]:
        asked = await gateway.connect()
        direct, found, lines = Counter[int](), Counter[int](), []
        for number in range(2 * HttpConfig().connections):
            line = await engine.connect()
            lines.append(line)
            direct[(await engine.ask(line, "normal"))[0]] += 1
            if number % 50 == 0:
                found[(await gateway.ask(asked, "normal"))[0]] += 1
        for _, writer in [*lines, asked]:
            writer.close()
        return direct, found

    direct, found = asyncio.run(asyncio.wait_for(exhaust(), 240))
    assert direct == {200: 2 * HttpConfig().connections}
    assert found == {200: 21}
