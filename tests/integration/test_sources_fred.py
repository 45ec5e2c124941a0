"""FRED over a real socket: recorded answers at its own paths."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Iterator

import pytest

from nautilus.adapters.sources import Fetched, open_source
from nautilus.adapters.sources.config import FredConfig
from nautilus.adapters.sources.errors import NotFoundError, UnauthorisedError
from nautilus.adapters.sources.times import local_ns
from nautilus.model.datasets import DataKind, EconomicFact, EventFact, GetData, ListingFact
from tests.kit.recorded_fred import FRED_KEY, fred_answers
from tests.kit.recorded_http import Answer, RecordedServer, Request


@pytest.fixture
def server() -> Iterator[RecordedServer]:
    with RecordedServer(fred_answers) as serving:
        yield serving


def ask(server: RecordedServer, *questions: GetData, key: str = FRED_KEY) -> list[Fetched]:
    async def run() -> list[Fetched]:
        source = open_source("fred", FredConfig(base_url=f"{server.url}/fred", key=key))
        try:
            return [await source.fetch(question) for question in questions]
        finally:
            await source.close()

    return asyncio.run(run())


def test_a_series_is_told_in_its_unit_with_its_provenance(server: RecordedServer) -> None:
    [answer] = ask(server, GetData(DataKind.ECONOMIC, "GDP"))
    facts = [fact for fact in answer.facts if isinstance(fact, EconomicFact)]
    assert len(facts) == len(answer.facts) == 315
    assert facts[0].value is None
    assert facts[-1].begin_ns == local_ns("2024-07-01")
    assert facts[-1].end_ns == local_ns("2024-10-01")
    assert facts[-1].value == 29_349_924_000_000.0
    assert (facts[-1].unit, facts[-1].frequency) == ("Dollars", "Quarterly")
    assert facts[-1].vintage_ns == 0  # none was asked for
    assert facts[-1].provenance.source == "fred"
    assert facts[-1].provenance.url == f"{server.url}/fred/series/observations?file_type=json&series_id=GDP"
    assert all(request.query["api_key"] == FRED_KEY for request in server.requests)
    assert server.paths == ["/fred/series", "/fred/series/observations"]
    assert server.most_connections == 1


def test_what_was_told_first_is_a_vintage_of_its_own(server: RecordedServer) -> None:
    [answer] = ask(server, GetData(DataKind.ECONOMIC, "GDP@initial"))
    first = answer.facts[0]
    assert isinstance(first, EconomicFact)
    assert len(answer.facts) == 132
    assert (first.value, first.vintage_ns) == (5_736_600_000_000.0, local_ns("1992-01-29"))


def test_a_category_and_the_days_of_a_series_are_listed(server: RecordedServer) -> None:
    listing, days = ask(server, GetData(DataKind.LISTING, "category:125"), GetData(DataKind.EVENT, "GDP"))
    assert len(listing.facts) == 47
    assert isinstance(listing.facts[0], ListingFact)
    assert listing.facts[0].unit == "Millions of Dollars"
    assert len(days.facts) == 393
    assert isinstance(days.facts[0], EventFact)
    assert (days.facts[0].name, days.facts[0].time_ns) == ("Gross Domestic Product", local_ns("1991-12-04"))


def test_a_key_that_is_refused_is_named_and_never_shown(server: RecordedServer) -> None:
    with pytest.raises(UnauthorisedError, match="api_key is not registered") as refused:
        ask(server, GetData(DataKind.ECONOMIC, "GDP"), key="wrong-key-of-mine")
    assert "wrong-key-of-mine" not in str(refused.value)


def test_a_series_that_is_not_there_is_not_found(server: RecordedServer) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        ask(server, GetData(DataKind.ECONOMIC, "NOSUCH"))


def test_pages_are_asked_for_until_there_are_no_more() -> None:
    with RecordedServer(functools.partial(fred_answers, most=100)) as server:
        series, days = ask(server, GetData(DataKind.ECONOMIC, "GDP"), GetData(DataKind.EVENT, "GDP"))
        assert len({fact.begin_ns for fact in series.facts if isinstance(fact, EconomicFact)}) == 315
        assert len({fact.time_ns for fact in days.facts if isinstance(fact, EventFact)}) == 393
        asked = [request.query.get("offset", "0") for request in server.requests if "observations" in request.path]
        assert asked == ["0", "100", "200", "300"]


def test_a_range_and_the_latest_are_asked_for_as_such(server: RecordedServer) -> None:
    begin_ns, end_ns = local_ns("2020-01-01"), local_ns("2021-01-01")
    year, latest, page = ask(
        server,
        GetData(DataKind.ECONOMIC, "GDP", begin_ns=begin_ns, end_ns=end_ns),
        GetData(DataKind.ECONOMIC, "GDP", limit=2),
        GetData(DataKind.LISTING, "category:125", limit=3),
    )
    assert next(fact.begin_ns for fact in year.facts if isinstance(fact, EconomicFact)) == begin_ns
    assert len(year.facts) == 4
    assert [fact.begin_ns for fact in latest.facts if isinstance(fact, EconomicFact)] == [
        local_ns("2024-04-01"),
        local_ns("2024-07-01"),
    ]
    assert len(page.facts) == 3
    assert server.paths.count("/fred/series") == 1  # what a series is was known
    asked = server.requests[1].query
    assert (asked["observation_start"], asked["observation_end"]) == ("2020-01-01", "2020-12-31")


def test_a_week_that_begins_in_the_range_is_told_though_it_ends_behind_it() -> None:
    series = {"id": "WEEK", "title": "", "observation_start": "2020-01-03", "observation_end": "2020-01-31",
              "frequency": "Weekly, Ending Friday", "units": "Percent", "last_updated": "2020-02-01"}  # fmt: skip
    days = ("2019-12-27", "2020-01-03", "2020-01-10", "2020-01-17")

    def answer(request: Request) -> Answer:
        if request.path.endswith("/series"):
            return Answer(json.dumps({"seriess": [series]}).encode())
        found = [
            {"realtime_start": "2020-02-01", "date": day, "value": "1"}
            for day in days
            if request.query["observation_start"] <= day <= request.query["observation_end"]
        ][::-1][: int(request.query.get("limit", 9))]
        return Answer(json.dumps({"count": len(found), "observations": found}).encode())

    with RecordedServer(answer) as server:
        for limit in (0, 2):
            span = {"begin_ns": local_ns("2019-12-28"), "end_ns": local_ns("2020-01-08"), "limit": limit}
            [week] = ask(server, GetData(DataKind.ECONOMIC, "WEEK", **span))
            begins = [fact.begin_ns for fact in week.facts if isinstance(fact, EconomicFact)]
            assert begins == [local_ns("2019-12-28"), local_ns("2020-01-04")]


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("GDP@all", {"realtime_start": "1776-07-04", "realtime_end": "9999-12-31"}),
        ("GDP@2020-01-31", {"realtime_start": "2020-01-31", "realtime_end": "2020-01-31"}),
    ],
)
def test_a_vintage_is_asked_for_by_its_days(server: RecordedServer, symbol: str, expected: dict[str, str]) -> None:
    with pytest.raises(NotFoundError):  # which was not recorded
        ask(server, GetData(DataKind.ECONOMIC, symbol))
    assert expected.items() <= server.requests[-1].query.items()
