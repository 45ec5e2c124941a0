"""Twelve engines and all eight providers by their own sources: seven over HTTP with recorded pages, ibkr as TWS."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec
import pytest

pytest.importorskip("aiohttp", reason="the extra `data` is not installed")
pytest.importorskip("ib_async", reason="the extra `data` is not installed")

from nautilus.adapters.sources import SOURCES, open_source
from nautilus.model.datasets import DataKind, GetData, GetProviders
from tests.kit.access_pattern import ENGINES
from tests.kit.access_replay import Time
from tests.kit.data_hub import MODULE, data_hub
from tests.kit.live_host import eventually
from tests.kit.recorded_fred import FRED_KEY, fred_answers
from tests.kit.recorded_government import AGENT, DATAGOV_KEY, datagov, edgar
from tests.kit.recorded_http import RecordedServer
from tests.kit.recorded_providers import (
    ALPHA_VANTAGE_KEY,
    TRADING_ECONOMICS_KEY,
    alpha_vantage_answers,
    dbnomics_answers,
    trading_economics_answers,
    yahoo_answers,
)
from tests.kit.tws_peer import Traded, TwsPeer

QUESTIONS = (
    GetData(DataKind.QUOTE, "AAPL", "ibkr"),
    GetData(DataKind.QUOTE, "MSFT", "alpha_vantage"),
    GetData(DataKind.QUOTE, "OCDO.L", "yahoo"),
    GetData(DataKind.ECONOMIC, "GDP", "fred"),
    GetData(DataKind.ECONOMIC, "BIS/cbpol/M.AR", "dbnomics"),
    GetData(DataKind.ECONOMIC, "Mexico/Banks Balance Sheet", "trading_economics"),
    GetData(DataKind.FUNDAMENTAL, "1318605", "edgar"),
    GetData(DataKind.LISTING, "climate", "datagov", limit=2),
    GetData(DataKind.BAR, "MSFT", "alpha_vantage", "1m"),
    GetData(DataKind.LISTING, "mexico", "trading_economics"),
    GetData(DataKind.LISTING, "tesla", "edgar"),
)
"""One of each provider first."""
ROUNDS = 3
STEP_NS = 2 * 10**9
"""Between the engines of a round: quotes go stale, and are served while they are renewed."""
FREE = {"per_second": 0, "per_minute": 0, "per_hour": 0, "per_day": 0, "backoff_seconds": 0.01}
PAGES = {
    "fred": ("/fred", fred_answers, {"key": FRED_KEY}),
    "alpha_vantage": ("", alpha_vantage_answers, {"key": ALPHA_VANTAGE_KEY}),
    "yahoo": ("", yahoo_answers, {}),
    "dbnomics": ("/v22", dbnomics_answers, {}),
    "trading_economics": ("", trading_economics_answers, {"key": TRADING_ECONOMICS_KEY}),
    "edgar": ("", edgar(), {"user_agent": AGENT}),
    "datagov": ("/v4", datagov, {"key": DATAGOV_KEY, "ckan_url": ""}),
}


class Providers:
    """All eight, each a server of its own that counts.

    Attributes
    ----------
    settings : of every source, by name.
    cookies, files : Yahoo's and EDGAR's other hosts, which are asked for a cookie, for tickers, and left at once.
    """

    def __init__(self, undo: ExitStack) -> None:
        self.settings: dict[str, dict[str, Any]] = {}
        self._servers: dict[str, RecordedServer] = {}
        for name, (path, answers, more) in PAGES.items():
            server = self._servers[name] = undo.enter_context(RecordedServer(answers))
            self.settings[name] = {"base_url": server.url + path, **FREE, **more}
        self.cookies = undo.enter_context(RecordedServer(yahoo_answers))
        self.settings["yahoo"]["cookie_url"] = self.cookies.url
        self.files = undo.enter_context(RecordedServer(edgar()))
        self.settings["edgar"]["files_url"] = self.files.url
        self._peer = TwsPeer(Traded(265598, "AAPL", name="APPLE INC", ticks=[(4, 163.2, 100)], last_seconds=1646184631))
        undo.enter_context(_in_a_thread(self._peer))
        self.settings["ibkr"] = {"port": self._peer.port, **FREE}

    def accepted(self) -> dict[str, int]:
        """Connections so far."""
        return {name: each.accepted for name, each in self._servers.items()} | {"ibkr": self._peer.connections}

    def requests(self) -> int:
        """Over HTTP, so far."""
        return sum(len(each.requests) for each in self._servers.values())


@contextmanager
def _in_a_thread(peer: TwsPeer) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(20)

    do(peer.__aenter__())
    try:
        yield
    finally:
        do(peer.__aexit__())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


@pytest.fixture
def providers() -> Iterator[Providers]:
    with ExitStack() as undo:
        yield Providers(undo)


def test_twelve_engines_share_eight_connections_and_wait_for_one_of_ten_questions_at_most(providers) -> None:
    time, sections = Time(), {f"source_{name}": each for name, each in providers.settings.items()}
    with data_hub(module=MODULE, clock=time, data={"prefetch": False}, **sections) as hub:
        host = hub.running.host
        hub.ask(GetProviders())

        def ask_all(engines: tuple[str, ...]) -> None:
            """All questions of these engines, together."""
            wanted = [(engine, question) for question in QUESTIONS for engine in engines]
            answers: list[object] = []
            done = threading.Event()

            def answered(result: object) -> None:
                answers.append(result)
                if len(answers) == len(wanted):
                    done.set()

            def serve() -> None:
                for engine, question in wanted:
                    host.messages.serve("marketdata", question, answered, asker=engine)

            hub.do(serve)
            assert done.wait(60)
            assert not [each for each in answers if isinstance(each, Exception)]
            eventually(lambda: hub.door.cache.under_way == 0)

        for turn in range(ROUNDS):
            ask_all(ENGINES[:2])  # two that begin at once join
            for engine in ENGINES[2:]:
                time.now_ns += STEP_NS
                ask_all((engine,))
            time.now_ns += STEP_NS * (turn + 1)
        counts, total = hub.door.meters.counts(), ROUNDS * len(ENGINES) * len(QUESTIONS)
        assert sum(counts[name] for name in ("hits", "stale", "misses", "joined")) == total
        assert hub.door.meters.hit_rate >= 0.9
        assert counts["stale"] > 0
        assert providers.requests() < total / 2
        assert providers.accepted() == dict.fromkeys(SOURCES, 1)
        for other in (providers.cookies, providers.files):
            assert eventually(lambda at=other: (at.accepted, at.connections) == (1, 0))
        states = hub.ask(GetProviders()).sources
        assert {each.name for each in states if each.state == "ready"} == set(SOURCES)


def test_without_the_hub_twelve_engines_make_ninety_six_connections(providers) -> None:
    async def engine(number: int) -> None:
        for question in QUESTIONS[: len(SOURCES)]:
            settings = providers.settings[question.source]
            if question.source == "ibkr":
                settings = settings | {"client_id": 17 + number}
            source = open_source(question.source, msgspec.convert(settings, SOURCES[question.source][1]))
            opened.append(source.close)
            assert (await source.fetch(question)).facts

    opened: list[Callable[[], Any]] = []

    async def run() -> None:
        try:
            await asyncio.gather(*(engine(number) for number in range(len(ENGINES))))
        finally:
            for close in opened:
                await close()

    asyncio.run(run())
    assert providers.accepted() == dict.fromkeys(SOURCES, len(ENGINES))
