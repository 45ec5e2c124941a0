"""A field that a provider renames, or that becomes another type, is one clear error with its path: never a worse fact.

Needed is what a fact is wrong without: its name, its times, its value, what says in which unit or currency that is, and
what says whether there is another page. Volumes, adjusted closes, names and descriptions may be missing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="the extra `sources` is not installed")

from nautilus.adapters.sources import SOURCES, Fetched, SourceConfig, SourceError, open_source
from nautilus.adapters.sources.errors import MalformedError, NotFoundError
from nautilus.model.datasets import DataKind, GetData
from tests.kit.recorded_fred import FRED_KEY, fred_answers
from tests.kit.recorded_government import AGENT, DATAGOV_KEY, datagov, edgar
from tests.kit.recorded_http import Answer, Answers, Fault, RecordedServer, Request
from tests.kit.recorded_providers import (
    ALPHA_VANTAGE_KEY,
    TRADING_ECONOMICS_KEY,
    alpha_vantage_answers,
    dbnomics_answers,
    trading_economics_answers,
    yahoo_answers,
)

CHART = {"begin_ns": 1_598_832_000 * 10**9, "end_ns": 1_604_707_200 * 10**9}
DOCUMENTED = {
    "OVERVIEW": b'{"Symbol": "IBM", "Currency": "USD", "LatestQuarter": "2023-12-31", "PERatio": "23.53"}',
    "REAL_GDP": b'{"name": "GDP", "interval": "quarterly", "unit": "billions of dollars",'
    b' "data": [{"date": "2020-04-01", "value": "4698.5"}]}',
}


def alpha_vantage(request: Request) -> Answer:
    """As recorded, and what is documented of the rest."""
    told = DOCUMENTED.get(request.query.get("function", ""))
    return alpha_vantage_answers(request) if told is None else Answer(told)


def fred(request: Request) -> Answer:
    """As recorded; the category of the recording has no children."""
    if request.path == "/fred/category/children":
        return Answer(b'{"categories": [{"id": 16, "name": "Exports", "parent_id": 13}]}')
    return fred_answers(request)


def config_of(name: str, url: str) -> SourceConfig:
    """For a server that stands for all hosts of the provider."""
    more: dict[str, dict[str, Any]] = {
        "yahoo": {"cookie_url": url},
        "fred": {"base_url": f"{url}/fred", "key": FRED_KEY},
        "alpha_vantage": {"key": ALPHA_VANTAGE_KEY},
        "dbnomics": {"base_url": f"{url}/v22"},
        "trading_economics": {"key": TRADING_ECONOMICS_KEY},
        "edgar": {"files_url": url, "user_agent": AGENT},
        "datagov": {"base_url": f"{url}/v4", "key": DATAGOV_KEY, "ckan_url": ""},
    }
    free = {"per_second": 0, "per_minute": 0, "per_hour": 0, "per_day": 0, "backoff_seconds": 0.0}
    return SOURCES[name][1](**{"base_url": url, **free, **more[name]})


ANSWERS: dict[str, Answers] = {
    "yahoo": yahoo_answers,
    "fred": fred,
    "alpha_vantage": alpha_vantage,
    "dbnomics": dbnomics_answers,
    "trading_economics": trading_economics_answers,
    "edgar": edgar(),
    "datagov": datagov,
}
NEEDED: tuple[tuple[str, GetData, str], ...] = (
    (
        "yahoo",
        GetData(DataKind.QUOTE, "AAPL"),
        "quoteResponse result symbol quoteType currency regularMarketPrice regularMarketTime",
    ),
    (
        "yahoo",
        GetData(DataKind.QUOTE, "options:BABA"),
        "optionChain options calls puts contractSymbol strike expiration currency lastPrice lastTradeDate",
    ),
    ("yahoo", GetData(DataKind.LISTING, "AAPL"), "quotes symbol"),
    (
        "yahoo",
        GetData(DataKind.BAR, "AAPL", interval="1d", **CHART),
        "chart meta symbol currency exchangeTimezoneName timestamp indicators open high low close volume",
    ),
    ("yahoo", GetData(DataKind.EVENT, "AAPL", **CHART), "date amount numerator denominator"),
    ("fred", GetData(DataKind.ECONOMIC, "GDP"), "seriess frequency units count observations date value realtime_start"),
    ("fred", GetData(DataKind.LISTING, "series:GDP"), "id title observation_start observation_end last_updated"),
    ("fred", GetData(DataKind.LISTING, "category:125"), "count seriess"),
    ("fred", GetData(DataKind.LISTING, "children:125"), "categories id name parent_id"),
    ("fred", GetData(DataKind.EVENT, "GDP"), "releases vintage_dates count"),
    (
        "alpha_vantage",
        GetData(DataKind.QUOTE, "MSFT"),
        "Global_Quote 01._symbol 05._price 06._volume 07._latest_trading_day",
    ),
    (
        "alpha_vantage",
        GetData(DataKind.BAR, "MSFT", interval="1m"),
        "Meta_Data 6._Time_Zone 1._open 2._high 3._low 4._close",
    ),
    ("alpha_vantage", GetData(DataKind.LISTING, "BA"), "bestMatches 1._symbol 2._name 3._type 4._region 8._currency"),
    ("alpha_vantage", GetData(DataKind.FUNDAMENTAL, "IBM"), "Currency LatestQuarter"),
    ("alpha_vantage", GetData(DataKind.ECONOMIC, "REAL_GDP"), "interval unit data date value"),
    (
        "dbnomics",
        GetData(DataKind.ECONOMIC, "BIS/cbpol/M.AR"),
        "series docs num_found provider_code dataset_code series_code dimensions @frequency period value",
    ),
    ("edgar", GetData(DataKind.LISTING, "tesla"), "cik_str ticker title"),
    (
        "edgar",
        GetData(DataKind.EVENT, "1318605"),
        "filings recent files accessionNumber acceptanceDateTime form items primaryDocument reportDate",
    ),
    (
        "edgar",
        GetData(DataKind.FUNDAMENTAL, "1318605:Revenues"),
        "taxonomy tag units start end val accn form filed",
    ),
    ("edgar", GetData(DataKind.FUNDAMENTAL, "1318605"), "facts units start end val"),
    (
        "edgar",
        GetData(DataKind.FUNDAMENTAL, "frame:us-gaap/AccountsPayableCurrent/USD/CY2019Q1I"),
        "taxonomy tag uom data cik end val",
    ),
    ("datagov", GetData(DataKind.LISTING, "climate", limit=2), "results title"),
)
CASES = [(name, asked, field.replace("_", " ") if name == "alpha_vantage" else field) for name, asked, fields in NEEDED
         for field in fields.split()]  # fmt: skip
COLUMNS = (
    (GetData(DataKind.LISTING, "mexico"), "Country|Category|Title|LatestValueDate|LatestValue|Unit|Frequency"),
    (GetData(DataKind.ECONOMIC, "mexico/Banks Balance Sheet"), "DateTime|Value|Category|Country|Frequency"),
    (GetData(DataKind.EVENT, "china"), "CalendarId|Date|Country|Category|Event|Actual|Previous|Forecast"),
)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, RecordedServer]]:
    found = {name: RecordedServer(answers).__enter__() for name, answers in ANSWERS.items()}
    yield found
    for server in found.values():
        server.close()


def ask(name: str, server: RecordedServer, question: GetData, change: Callable[[bytes], bytes] | None) -> object:
    """What a source of its own says, each answer changed."""

    async def run() -> Fetched | SourceError:
        source = open_source(name, config_of(name, server.url))
        try:
            return await source.fetch(question)
        except SourceError as error:
            return error
        finally:
            await source.close()

    server.every = None if change is None else Fault(change=change)
    return asyncio.run(run())


def altered(value: Any, change: Callable[[str, Any], tuple[str, Any]]) -> Any:
    """With every field of every object changed."""
    if isinstance(value, list):
        return [altered(each, change) for each in value]
    if not isinstance(value, dict):
        return value
    return dict(change(name, altered(each, change)) for name, each in value.items())


def changed(change: Callable[[str, Any], tuple[str, Any]]) -> Callable[[bytes], bytes]:
    def of(body: bytes) -> bytes:
        try:
            return json.dumps(altered(json.loads(body), change)).encode()
        except ValueError:  # a cookie, a crumb
            return body

    return of


@pytest.mark.parametrize(("name", "question"), [case[:2] for case in NEEDED])
def test_what_is_asked_here_is_answered_where_nothing_changed(servers, name: str, question: GetData) -> None:
    found = ask(name, servers[name], question, None)
    assert isinstance(found, Fetched), found
    assert found.facts


@pytest.mark.parametrize(("name", "question", "field"), CASES)
def test_a_needed_field_that_is_renamed_is_told_by_its_path(servers, name: str, question: GetData, field: str) -> None:
    error = ask(name, servers[name], question, changed(lambda key, value: (key[::-1] if key == field else key, value)))
    assert isinstance(error, MalformedError), error
    assert error.code == "source.malformed"
    assert _bare(field) in error.path
    assert error.path in str(error)


@pytest.mark.parametrize(("name", "question", "field"), CASES)
def test_a_needed_field_of_another_type_is_told_by_its_path(servers, name: str, question: GetData, field: str) -> None:
    def other(key: str, value: Any) -> tuple[str, Any]:
        return key, value if key != field else 7 if isinstance(value, dict) else {"odd": {}}

    error = ask(name, servers[name], question, changed(other))
    assert isinstance(error, MalformedError), error
    assert error.path in str(error)


def _bare(field: str) -> str:
    """Without the number before it and what comes from which zone: places are told by the name alone."""
    return field.split(". ")[-1]


@pytest.mark.parametrize(
    ("question", "column"), [(question, name) for question, names in COLUMNS for name in names.split("|")]
)
def test_a_column_that_is_renamed_is_told_by_its_name(servers, question: GetData, column: str) -> None:
    name = "trading_economics"

    def renamed(body: bytes) -> bytes:
        head, end, rest = body.decode().partition("\n")
        mark = "|" if "|" in head else ","
        return (mark.join("Odd" if each == column else each for each in head.split(mark)) + end + rest).encode()

    assert isinstance(ask(name, servers[name], question, None), Fetched)
    error = ask(name, servers[name], question, renamed)
    assert isinstance(error, MalformedError), error
    assert error.path == f"$[0].{column}"


@pytest.mark.parametrize(
    ("gone", "path"),
    [
        (("regularMarketPrice", "bid", "ask", "regularMarketTime"), "$.quoteResponse.result[0].regularMarketTime"),
        (("regularMarketPrice", "bid", "ask"), "$.quoteResponse.result[0].regularMarketPrice"),
    ],
)
def test_a_quote_that_says_nothing_is_none(servers, gone: tuple[str, ...], path: str) -> None:
    hidden = changed(lambda key, value: (f"new{key}" if key in gone else key, value))
    error = ask("yahoo", servers["yahoo"], GetData(DataKind.QUOTE, "AAPL"), hidden)
    assert isinstance(error, MalformedError), error
    assert error.path == path


def test_a_symbol_that_yahoo_has_no_more_is_not_found(servers) -> None:
    """Its name and a time are told of ADH, and neither currency nor price."""
    assert isinstance(ask("yahoo", servers["yahoo"], GetData(DataKind.QUOTE, "ADH"), None), NotFoundError)


@pytest.mark.parametrize(
    ("count", "cursor", "refused"), [(100, {}, True), (99, {}, False), (100, {"after": None}, False)]
)
def test_a_full_page_of_the_catalog_says_whether_there_is_another(count: int, cursor: Any, refused: bool) -> None:
    body = {"results": [{"title": f"Set {number}"} for number in range(count)], **cursor}
    with RecordedServer(lambda _: Answer(json.dumps(body).encode())) as server:
        found = ask("datagov", server, GetData(DataKind.LISTING, "climate"), None)
    if refused:
        assert isinstance(found, MalformedError)
        assert found.path == "$.after"
    else:
        assert isinstance(found, Fetched)
        assert len(found.facts) == count


def test_a_period_without_its_beginning_is_no_instant() -> None:
    def of_a_quarter(request: Request) -> Answer:
        return edgar()(request._replace(path=f"{request.path.removesuffix('.json')}I.json"))

    with RecordedServer(of_a_quarter) as server:
        asked = GetData(DataKind.FUNDAMENTAL, "frame:us-gaap/AccountsPayableCurrent/USD/CY2019Q1")
        error = ask("edgar", server, asked, None)
    assert isinstance(error, MalformedError), error
    assert error.path == "$.data[0].start"
