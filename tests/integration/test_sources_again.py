"""What is asked again, and when: after a limit, of another host, after a day, month by month. Over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nautilus.adapters.sources import Fetched, SourceLimits, open_source
from nautilus.adapters.sources.config import (
    AlphaVantageConfig,
    DataGovConfig,
    FredConfig,
    SourceConfig,
    TradingEconomicsConfig,
)
from nautilus.adapters.sources.errors import RateLimitedError, SourceError, UnsupportedError
from nautilus.adapters.sources.session import Session
from nautilus.adapters.sources.times import DAY_NS, from_ns, local_ns, zone
from nautilus.core.clock import now_ns
from nautilus.core.quotas import Quotas
from nautilus.model.datasets import BarFact, DataKind, GetData, ListingFact
from nautilus.model.errors import ConfigError
from nautilus.runtime.data_frames import Ask, Begin, Failed, Found, Frame
from nautilus.runtime.data_process import DataProcess, open_all
from tests.kit.recorded_fred import FRED_KEY, fred_answers
from tests.kit.recorded_government import DATAGOV_KEY, datagov
from tests.kit.recorded_http import Answer, Fault, RecordedServer, Request
from tests.kit.recorded_providers import (
    ALPHA_VANTAGE_KEY,
    TRADING_ECONOMICS_KEY,
    alpha_vantage_answers,
    trading_economics_answers,
)

FREE: dict[str, Any] = {"per_second": 0, "per_minute": 0, "per_hour": 0, "per_day": 0, "backoff_seconds": 0.01}
EASTERN = zone("US/Eastern")


class Days:
    """A clock that is moved by days."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def __call__(self) -> int:
        return now_ns() + self.ahead_ns

    def go_on(self, days: float) -> None:
        self.ahead_ns += round(days * DAY_NS)


def ask(
    name: str, config: SourceConfig, *questions: GetData, clock: Days | None = None, days: float = 0.0
) -> list[Fetched | SourceError]:
    """Answers of one source; between two questions the clock goes on."""

    async def run() -> list[Fetched | SourceError]:
        time = clock or Days()
        source = open_source(name, config, clock=time)
        found: list[Fetched | SourceError] = []
        try:
            for question in questions:
                try:
                    found.append(await source.fetch(question))
                except SourceError as error:
                    found.append(error)
                time.go_on(days)
            return found
        finally:
            await source.close()

    return asyncio.run(run())


def in_process(
    directory: Path, sections: dict[str, Any], run: Callable[[DataProcess], Any], ask_seconds: float = 8.0
) -> Any:
    """What the hub's process for data answers, in a loop of its own."""
    begin = Begin(sections, "", str(directory), False, {}, 1_000, ask_seconds)

    async def work() -> Any:
        process = DataProcess(begin, open_all(begin))
        try:
            return await run(process)
        finally:
            await process.close()

    return asyncio.run(work())


# The hub's time and the sources' own waits.


def test_a_limit_that_is_longer_than_the_hub_waits_is_told_at_once(tmp_path: Path) -> None:
    async def both(process: DataProcess) -> list[Frame]:
        question = GetData(DataKind.QUOTE, "MSFT", "alpha_vantage")
        return await asyncio.gather(*(process.answer(Ask(number, question)) for number in (1, 2)))

    with RecordedServer(alpha_vantage_answers) as server:
        own = {"base_url": server.url, "key": ALPHA_VANTAGE_KEY}
        first, second = in_process(tmp_path, {"source_alpha_vantage": own}, both)
        assert isinstance(first, Found)
        assert isinstance(second, Failed)
        assert second.code == "source.rate_limited"
        assert 8.0 < second.retry_seconds <= 12.0
        assert len(server.requests) == 1


def test_pages_that_came_in_time_are_not_asked_for_again(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        offset = int(request.query["offset"])
        series = {"provider_code": "X", "dataset_code": "y", "series_code": str(offset), "@frequency": "annual",
                  "dimensions": {}, "period": ["2020"], "value": [offset]}  # fmt: skip
        return Answer(json.dumps({"series": {"docs": [series], "num_found": 20, "offset": offset}}).encode())

    async def until_found(process: DataProcess) -> list[Frame]:
        question, told = GetData(DataKind.ECONOMIC, "X/y", "dbnomics"), list[Frame]()
        while not told or (isinstance(told[-1], Failed) and len(told) < 20):
            told.append(await process.answer(Ask(len(told), question)))
        return told

    with RecordedServer(answer) as server:
        own = {"base_url": server.url, "page": 1, "per_second": 10, "per_minute": 0}
        *failed, found = in_process(tmp_path, {"source_dbnomics": own}, until_found, ask_seconds=1.0)
        assert isinstance(found, Found)
        assert failed
        codes = [each.code for each in failed if isinstance(each, Failed)]
        assert "source.rate_limited" in codes
        assert all(each.retry_seconds > 0 for each in failed if each.code == "source.rate_limited")
        # One that was under way when the time was up came for nothing.
        assert 20 <= len(server.requests) <= 20 + codes.count("source.timeout")


# Data.gov.


@pytest.mark.parametrize(
    "fault", [Fault(slow=True), Fault(status=503, body=b"", headers={"Retry-After": "60"})], ids=["hangs", "waits"]
)
def test_old_catalog_answers_where_the_new_one_hangs_or_says_to_wait(fault: Fault) -> None:
    with RecordedServer(datagov) as server:
        server.faults.append(fault)
        own: dict[str, Any] = {
            "key": DATAGOV_KEY,
            "ckan_url": f"{server.url}/api/3",
            "backoff_seconds": 0.0,
            "answer_seconds": 4.0,
        }
        config = DataGovConfig(base_url=f"{server.url}/v4", **own)
        question = GetData(DataKind.LISTING, "climate")
        found = ask("datagov", config, question, question)
        old = [[fact.key for fact in each.facts if isinstance(fact, ListingFact)] for each in found]  # type: ignore[union-attr]
        assert old[0] == ["set-0", "set-1", "set-2"]
        assert server.paths[:3] == ["/v4/search"] + ["/api/3/action/package_search"] * 2
        # The one that said to wait is not asked before that.
        assert (old[1] == old[0], server.paths.count("/v4/search") == 1) == (not fault.slow, not fault.slow)


# What a series is, and when it was told.


def test_units_of_fred_are_asked_again_after_a_day() -> None:
    clock = Days()

    def answer(request: Request) -> Answer:
        found = fred_answers(request)
        if request.path.endswith("/series") and clock.ahead_ns >= 2 * DAY_NS:
            return found._replace(body=found.body.replace(b"Billions of Dollars", b"Millions of Dollars"), headers={})
        return found

    with RecordedServer(answer) as server:
        question = GetData(DataKind.ECONOMIC, "GDP")
        config = FredConfig(base_url=f"{server.url}/fred", key=FRED_KEY, **FREE)
        told = ask("fred", config, *[question] * 5, clock=clock, days=0.7)
        values = [each.facts[-1].value for each in told]  # type: ignore[union-attr]
        assert values == [29_349_924_000_000.0] * 4 + [29_349_924_000.0]
        assert server.paths.count("/fred/series") == 3  # at 0, 1.4 and 2.8 days


def test_units_of_trading_economics_are_asked_again_after_a_day() -> None:
    clock = Days()

    def answer(request: Request) -> Answer:
        found = trading_economics_answers(request)
        if request.path.startswith("/country/") and clock.ahead_ns:
            return found._replace(body=found.body.replace(b"MXN Million", b"MXN Billion"))
        return found

    with RecordedServer(answer) as server:
        question = GetData(DataKind.ECONOMIC, "mexico/banks balance sheet")
        config = TradingEconomicsConfig(base_url=server.url, key=TRADING_ECONOMICS_KEY, **FREE)
        told = ask("trading_economics", config, question, question, clock=clock, days=1.1)
        values = [each.facts[-1].value for each in told]  # type: ignore[union-attr]
        assert values == [9_566_298_000_000.0, 9_566_298_000_000_000.0]


def test_a_series_that_did_not_change_is_no_news_on_another_day(tmp_path: Path) -> None:
    days = iter(("2024-11-01", "2024-11-02"))

    def answer(request: Request) -> Answer:
        found = fred_answers(request)
        if request.path.endswith("/observations"):
            return Answer(
                found.body.replace(b'"realtime_start":"2024-10-30"', f'"realtime_start":"{next(days)}"'.encode())
            )
        return found

    async def twice(process: DataProcess) -> list[Frame]:
        question = GetData(DataKind.ECONOMIC, "GDP", "fred")
        return [await process.answer(Ask(number, question)) for number in (1, 2)]

    with RecordedServer(answer) as server:
        own = {"base_url": f"{server.url}/fred", "key": FRED_KEY}
        first, second = in_process(tmp_path, {"source_fred": own}, twice)
        assert first.rows
        assert second.rows == b""


# Minutes of long ago.


def minutes(request: Request) -> Answer:
    """Two bars of the month that is asked for; one without trades before November 2019."""
    month = request.query.get("month", "2020-03")
    if month < "2019-11":
        return Answer(b'{"Error Message": "Invalid API call."}')
    bar = {"1. open": "1", "2. high": "2", "3. low": "1", "4. close": "2", "5. volume": "9"}
    body = {
        "Meta Data": {"6. Time Zone": "US/Eastern"},
        "Time Series (5min)": {f"{month}-{day} 10:00:00": bar for day in ("02", "20")},
    }
    return Answer(json.dumps(body).encode())


def test_minutes_of_long_ago_are_asked_for_by_their_months() -> None:
    def bars(symbol: str, begin: str, end: str, limit: int = 0) -> GetData:
        span: dict[str, Any] = {"begin_ns": local_ns(begin, EASTERN) if begin else 0, "end_ns": local_ns(end, EASTERN)}
        return GetData(DataKind.BAR, symbol, interval="5m", limit=limit, **span)

    with RecordedServer(minutes) as server:
        config = AlphaVantageConfig(base_url=server.url, key=ALPHA_VANTAGE_KEY, **FREE)
        january, three, listed, latest, absent, open_end, long = ask(
            "alpha_vantage",
            config,
            bars("MSFT", "2020-01-01", "2020-02-01"),
            bars("MSFT", "2019-12-10", "2020-02-10"),
            bars("MSFT", "2019-01-01", "2020-01-01"),
            bars("MSFT", "2019-01-01", "2020-02-01", limit=2),
            bars("MSFT", "2018-01-01", "2018-12-01"),
            bars("MSFT", "", "2020-01-01"),
            bars("MSFT", "2001-01-01", "2020-01-01"),
        )
        days = [
            [from_ns(fact.begin_ns, EASTERN).date().isoformat() for fact in each.facts if isinstance(fact, BarFact)]
            for each in (january, three, listed, latest)
            if isinstance(each, Fetched)
        ]
        assert days == [
            ["2020-01-02", "2020-01-20"],
            ["2019-12-20", "2020-01-02", "2020-01-20", "2020-02-02"],
            ["2019-11-02", "2019-11-20", "2019-12-02", "2019-12-20"],
            ["2020-01-02", "2020-01-20"],
        ]
        asked = [request.query.get("month") for request in server.requests]
        assert asked == [
            "2020-01",
            *("2020-02", "2020-01", "2019-12"),
            *("2019-12", "2019-11", "2019-10"),
            "2020-01",
            "2018-11",
        ]
        assert all(request.query["outputsize"] == "full" for request in server.requests)
        assert [each.code for each in (absent, open_end, long) if isinstance(each, SourceError)] == [
            "source.not_found",
            "source.unsupported",
            "source.unsupported",
        ]
        assert isinstance(long, UnsupportedError)
        # Of now nothing has changed: the latest 30 days are one answer.
        now = datetime.now(UTC)
        ask(
            "alpha_vantage",
            config,
            GetData(DataKind.BAR, "MSFT", interval="5m", begin_ns=int(now.timestamp() - 86_400) * 10**9),
        )
        assert "month" not in server.requests[-1].query


# Limits.


def test_a_wait_that_nobody_means_is_cut() -> None:
    with RecordedServer(fred_answers) as server:
        config = FredConfig(base_url=f"{server.url}/fred", key=FRED_KEY, **FREE)
        for told in ("9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"):
            server.faults.append(Fault(status=429, headers={"Retry-After": told}))
            [refused] = ask("fred", config, GetData(DataKind.LISTING, "children:125"))
            assert isinstance(refused, RateLimitedError)
            assert refused.retry_seconds == 31_536_000.0


def test_a_key_without_a_place_is_an_error_of_the_settings() -> None:
    table = Quotas(2)
    for number in range(2):
        SourceLimits("fred", FredConfig(key=f"key {number}"), table)
    with pytest.raises(ConfigError, match="no room"):
        SourceLimits("fred", FredConfig(key="one more"), table)


def test_a_token_that_is_replaced_is_no_longer_looked_for() -> None:
    session = Session("yahoo", SourceConfig(key="the key"))
    for number in range(3):
        session.hide(f"crumb {number}")
    assert session.clean("the key, crumb 1, crumb 2") == "***, crumb 1, ***"
