"""Alpha Vantage, Yahoo, DBnomics and Trading Economics over a real socket: recorded answers at their own paths."""

from __future__ import annotations

import asyncio
import functools
import json
from typing import Any

import pytest

from nautilus.adapters.sources import Fetched, open_source
from nautilus.adapters.sources.config import (
    AlphaVantageConfig,
    DbnomicsConfig,
    FredConfig,
    SourceConfig,
    TradingEconomicsConfig,
    YahooConfig,
)
from nautilus.adapters.sources.errors import (
    MalformedError,
    NotFoundError,
    RateLimitedError,
    SourceError,
    UnauthorisedError,
    UnconfiguredError,
    UnsupportedError,
)
from nautilus.adapters.sources.times import local_ns, zone
from nautilus.model.datasets import (
    BarFact,
    DataKind,
    EconomicFact,
    EventFact,
    Fact,
    FundamentalFact,
    GetData,
    ListingFact,
    QuoteFact,
)
from tests.kit.recorded_http import Answer, Answers, Fault, RecordedServer, Request
from tests.kit.recorded_providers import (
    ALPHA_VANTAGE_KEY,
    CRUMB,
    DAY_USED,
    THROTTLED,
    TRADING_ECONOMICS_KEY,
    alpha_vantage_answers,
    dbnomics_answers,
    trading_economics_answers,
    yahoo_answers,
    yahoo_questions,
)

FREE: dict[str, Any] = {"per_second": 0, "per_minute": 0, "per_hour": 0, "backoff_seconds": 0.01}
BARS = DataKind.BAR


def alpha_vantage(server: RecordedServer, **more: Any) -> SourceConfig:
    return AlphaVantageConfig(**{"base_url": server.url, "key": ALPHA_VANTAGE_KEY, **FREE, **more})


def yahoo(server: RecordedServer, **more: Any) -> SourceConfig:
    return YahooConfig(**{"base_url": server.url, "cookie_url": server.url, **FREE, **more})


def ask(name: str, config: SourceConfig, *questions: GetData) -> list[Fetched | SourceError]:
    async def run() -> list[Fetched | SourceError]:
        source = open_source(name, config)
        found: list[Fetched | SourceError] = []
        try:
            for question in questions:
                try:
                    found.append(await source.fetch(question))
                except SourceError as error:
                    found.append(error)
            return found
        finally:
            await source.close()

    return asyncio.run(run())


def facts_of(answer: Fetched | SourceError) -> tuple[Fact, ...]:
    if isinstance(answer, SourceError):
        raise answer
    return answer.facts


def one(name: str, config: SourceConfig, question: GetData) -> tuple[Fact, ...]:
    return facts_of(ask(name, config, question)[0])


def serving(answers: Answers) -> RecordedServer:
    return RecordedServer(answers)


def test_alpha_vantage_tells_quotes_bars_symbols_and_indicators() -> None:
    with serving(alpha_vantage_answers) as server:
        quote, bars, symbols, averages = map(
            facts_of,
            ask(
                "alpha_vantage",
                alpha_vantage(server),
                GetData(DataKind.QUOTE, "MSFT"),
                GetData(BARS, "MSFT", interval="1m"),
                GetData(DataKind.LISTING, "BA"),
                GetData(DataKind.ECONOMIC, "SMA:MSFT:15min:10:close"),
            ),
        )
        assert isinstance(quote[0], QuoteFact)
        assert (quote[0].last, quote[0].volume) == (112.13, 29_062_853.0)
        assert quote[0].time_ns == local_ns("2018-10-05T04:00:00")  # midnight in New York
        assert len(bars) == 100
        assert isinstance(bars[-1], BarFact)
        assert bars[-1].begin_ns == local_ns("2017-12-18T14:56:00", zone("US/Eastern"))
        assert (bars[-1].open, bars[-1].close, bars[-1].volume) == (86.49, 86.5, 10494.0)
        assert bars[-1].end_ns - bars[-1].begin_ns == 60_000_000_000
        assert isinstance(symbols[0], ListingFact)
        assert (symbols[0].key, symbols[0].currency) == ("BA", "USD")
        last = averages[-1]
        assert isinstance(last, EconomicFact)
        assert (last.value, last.begin_ns) == (85.244, local_ns("2017-12-20T19:00:00"))
        assert all(ALPHA_VANTAGE_KEY not in fact.provenance.url for fact in (*quote, *bars, *symbols, *averages))
        assert server.most_connections == 1


def test_alpha_vantage_says_in_an_answer_of_200_what_it_refuses() -> None:
    with serving(alpha_vantage_answers) as server:
        absent, wrong, empty = ask(
            "alpha_vantage",
            alpha_vantage(server),
            GetData(BARS, "NOSUCH", interval="1d"),
            GetData(DataKind.LISTING, "XYZ"),
            GetData(DataKind.QUOTE, "NOSUCH"),
        )
        assert isinstance(absent, NotFoundError)
        assert isinstance(wrong, NotFoundError)
        assert isinstance(empty, NotFoundError)
        [refused] = ask("alpha_vantage", alpha_vantage(server, key="not-it"), GetData(DataKind.QUOTE, "MSFT"))
        assert isinstance(refused, UnauthorisedError)
        [unset] = ask("alpha_vantage", alpha_vantage(server, key=""), GetData(DataKind.QUOTE, "MSFT"))
        assert isinstance(unset, UnconfiguredError)
        assert len(server.requests) == 4  # nothing was asked without a key


@pytest.mark.parametrize(("name", "text"), [("Note", THROTTLED), ("Information", DAY_USED)])
def test_alpha_vantage_says_that_a_limit_is_used_up(name: str, text: str) -> None:
    body = f'{{"{name}": "{text}"}}'.encode()
    with serving(alpha_vantage_answers) as server:
        server.faults.append(Fault(body=body))
        first, second = ask(
            "alpha_vantage", alpha_vantage(server), GetData(DataKind.QUOTE, "MSFT"), GetData(DataKind.QUOTE, "MSFT")
        )
        assert isinstance(first, RateLimitedError)
        assert isinstance(second, RateLimitedError)
        assert len(server.requests) == 1  # the second one waits for the limit, here
        assert ALPHA_VANTAGE_KEY not in str(first)
        if name == "Note":
            assert first.retry_seconds == 60.0
        else:
            assert 0 < first.retry_seconds <= 86_400


def test_yahoo_gets_in_with_a_cookie_and_a_crumb() -> None:
    with serving(yahoo_answers) as server:
        pounds, several = map(
            facts_of,
            ask("yahoo", yahoo(server), GetData(DataKind.QUOTE, "OCDO.L"), GetData(DataKind.QUOTE, "AAPL,BABA")),
        )
        assert isinstance(pounds[0], QuoteFact)
        assert (pounds[0].currency, pounds[0].last, pounds[0].bid, pounds[0].ask) == ("GBP", 3.088, 3.085, 3.088)
        assert pounds[0].venue == "LSE"
        assert {fact.symbol for fact in several if isinstance(fact, QuoteFact)} == {"AAPL", "BABA"}
        assert server.paths == ["/", "/v1/test/getcrumb", "/v7/finance/quote", "/v7/finance/quote"]
        assert CRUMB not in pounds[0].provenance.url
        assert server.most_connections == 1


def test_yahoo_is_asked_for_a_new_crumb_once_when_it_refuses_the_old_one() -> None:
    refused = b'{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}'
    with serving(yahoo_answers) as server:
        server.faults.extend([None, None, None, Fault(status=401, body=refused)])
        first, second = ask("yahoo", yahoo(server), GetData(DataKind.QUOTE, "AAPL"), GetData(DataKind.QUOTE, "BABA"))
        assert facts_of(first)
        assert facts_of(second)
        assert server.paths.count("/v1/test/getcrumb") == 2


def test_yahoo_tells_bars_with_dividends_and_splits() -> None:
    begin_ns, end_ns = 1_598_832_000_000_000_000, 1_604_707_200_000_000_000
    with serving(yahoo_answers) as server:
        bars, events = map(
            facts_of,
            ask(
                "yahoo",
                yahoo(server),
                GetData(BARS, "AAPL", interval="1d", begin_ns=begin_ns, end_ns=end_ns),
                GetData(DataKind.EVENT, "AAPL", begin_ns=begin_ns, end_ns=end_ns),
            ),
        )
        first = bars[0]
        assert isinstance(first, BarFact)
        assert first.begin_ns == local_ns("2020-08-31", zone("America/New_York"))
        assert first.end_ns == local_ns("2020-09-01", zone("America/New_York"))
        assert (first.open, first.close) == (127.58, 129.04)
        assert first.adjusted_close is not None
        assert first.adjusted_close < first.close
        assert first.currency == "USD"
        assert [
            (fact.category, fact.actual, fact.time_ns // 10**9) for fact in events if isinstance(fact, EventFact)
        ] == [("split", "4:1", 1_598_880_600), ("dividend", "0.205 USD", 1_604_673_000)]


def test_every_recording_of_yahoo_is_read_or_refused_by_name() -> None:
    read, refused = 0, []
    questions = []
    for path, query in yahoo_questions():
        last = path.rpartition("/")[2]
        if path.endswith("/finance/quote") and "fields" not in query:
            questions.append(GetData(DataKind.QUOTE, query["symbols"]))
        elif "/options/" in path:
            questions.append(GetData(DataKind.QUOTE, f"options:{last}"))
        elif "/chart/" in path:
            span = {"begin_ns": int(query["period1"]) * 10**9, "end_ns": int(query["period2"]) * 10**9}
            questions.append(GetData(BARS, last, interval=query["interval"], **span))
        elif path.endswith("/search"):
            questions.append(GetData(DataKind.LISTING, query["q"]))
    with serving(yahoo_answers) as server:
        for question, answer in zip(questions, ask("yahoo", yahoo(server), *questions), strict=True):
            if isinstance(answer, NotFoundError):
                refused.append(question.symbol)
            else:
                facts_of(answer)
                read += 1
    assert read + len(refused) == len(questions) > 50
    # Symbols that Yahoo itself no longer had, and one without options.
    assert sorted(refused) == sorted(
        ["ADH", "BRKS", "AAPL220121C00025000", "SIX", "SIMP", "APS.AX", "SI", "options:BTC-USD"]
    )


def chart_of(interval: str, rows: list[tuple[str, list[float]]]) -> bytes:
    """A chart of New York: rows of a local time and of open, high, low, close, volume."""
    columns = zip(*(values for _, values in rows), strict=True)
    names = ("open", "high", "low", "close", "volume")
    result = {
        "meta": {
            "symbol": "AAPL",
            "currency": "USD",
            "exchangeTimezoneName": "America/New_York",
            "dataGranularity": interval,
        },
        "timestamp": [local_ns(time, zone("America/New_York")) // 10**9 for time, _ in rows],
        "indicators": {"quote": [dict(zip(names, map(list, columns), strict=True))]},
    }
    return json.dumps({"chart": {"result": [result], "error": None}}).encode()


@pytest.mark.parametrize(
    ("interval", "first", "live", "volume", "end"),
    [
        ("1w", "2025-03-17", "2025-03-20T11:02:03", 12.0, "2025-03-24"),
        ("1mo", "2025-03-01", "2025-03-31T11:02:03", 12.0, "2025-04-01"),
        ("1d", "2025-03-20T09:30", "2025-03-20T11:02:03", 5.0, "2025-03-21"),
    ],
)
def test_yahoo_tells_the_day_that_is_traded_within_its_bar(
    interval: str, first: str, live: str, volume: float, end: str
) -> None:
    before = {"1w": "2025-03-10", "1mo": "2025-02-01", "1d": "2025-03-19T09:30"}[interval]
    rows = [(before, [1, 2, 1, 2, 3]), (first, [10, 12, 9, 11, 7]), (live, [11.5, 13, 8, 12.5, 5])]
    with serving(yahoo_answers) as server:
        server.faults.append(Fault(body=chart_of(interval, rows), status=200))
        _, bar = one("yahoo", yahoo(server), GetData(BARS, "AAPL", interval=interval))
    assert isinstance(bar, BarFact)
    new_york = zone("America/New_York")
    assert (bar.begin_ns, bar.end_ns) == (local_ns(first[:10], new_york), local_ns(end, new_york))
    whole = (11.5, 13.0, 8.0) if interval == "1d" else (10.0, 13.0, 8.0)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (*whole, 12.5, volume)


def test_yahoo_refuses_a_stranger_and_an_absent_symbol() -> None:
    with serving(yahoo_answers) as server:
        [stranger] = ask("yahoo", yahoo(server, user_agent="python"), GetData(BARS, "AAPL"))
        assert isinstance(stranger, RateLimitedError)
        [absent] = ask("yahoo", yahoo(server), GetData(BARS, "NOSUCH"))
        assert isinstance(absent, NotFoundError)
        assert "delisted" in str(absent)


def test_dbnomics_tells_a_mask_of_series_page_by_page() -> None:
    with serving(dbnomics_answers) as server:
        config = DbnomicsConfig(base_url=f"{server.url}/v22", page=16, **FREE)
        facts, single, listed = map(
            facts_of,
            ask(
                "dbnomics",
                config,
                GetData(DataKind.ECONOMIC, "BIS/cbpol/M.."[:-1]),
                GetData(DataKind.ECONOMIC, "BIS/cbpol/M.AR"),
                GetData(DataKind.LISTING, "BIS/cbpol"),
            ),
        )
        assert len({fact.series for fact in facts if isinstance(fact, EconomicFact)}) == 38
        assert len(facts) == 34_390
        assert sum(fact.value is None for fact in facts if isinstance(fact, EconomicFact)) == 17_940
        assert [request.query["offset"] for request in server.requests[:3]] == ["0", "16", "32"]
        last = single[-1]
        assert isinstance(last, EconomicFact)
        assert (last.value, last.frequency) == (38.0, "monthly")
        assert (last.begin_ns, last.end_ns) == (local_ns("2021-05-01"), local_ns("2021-06-01"))
        assert len(listed) == 38
        [absent] = ask("dbnomics", config, GetData(DataKind.ECONOMIC, "BIS/nosuch/M.AR"))
        assert isinstance(absent, NotFoundError)


def test_trading_economics_tells_history_indicators_and_calendar() -> None:
    with serving(trading_economics_answers) as server:
        config = TradingEconomicsConfig(base_url=server.url, key=TRADING_ECONOMICS_KEY, **FREE)
        history, listed, events = map(
            facts_of,
            ask(
                "trading_economics",
                config,
                GetData(DataKind.ECONOMIC, "Mexico/Banks Balance Sheet"),
                GetData(DataKind.LISTING, "mexico"),
                GetData(DataKind.EVENT, "china,japan"),
            ),
        )
        last = history[-1]
        assert isinstance(last, EconomicFact)
        assert (last.value, last.unit) == (9_566_298_000_000.0, "MXN")
        assert (last.begin_ns, last.end_ns) == (local_ns("2022-04-01"), local_ns("2022-05-01"))
        assert {fact.name for fact in listed if isinstance(fact, ListingFact)} == {
            "Mexico Central Bank Balance Sheet",
            "Mexico Banks Balance Sheet",
            "Deposit Interest Rate in Mexico",
        }
        assert len(events) == 36
        assert isinstance(events[-1], EventFact)
        assert (events[-1].actual, events[-1].country) == ("2.7%", "Japan")
        assert all(TRADING_ECONOMICS_KEY not in request.target for request in server.requests)
        [refused] = ask(
            "trading_economics",
            TradingEconomicsConfig(base_url=server.url, key="no:no", **FREE),
            GetData(DataKind.LISTING, "mexico"),
        )
        assert isinstance(refused, UnauthorisedError)


@pytest.mark.parametrize(("begin", "end", "found"), [("2022-04-01", "2022-04-15", 1), ("2022-03-02", "2022-04-01", 0)])
def test_a_period_that_begins_in_the_range_is_told_though_it_ends_behind_it(begin: str, end: str, found: int) -> None:
    with serving(trading_economics_answers) as server:
        config = TradingEconomicsConfig(base_url=server.url, key=TRADING_ECONOMICS_KEY, **FREE)
        facts = one(
            "trading_economics",
            config,
            GetData(DataKind.ECONOMIC, "mexico/banks balance sheet", begin_ns=local_ns(begin), end_ns=local_ns(end)),
        )
    assert [getattr(fact, "begin_ns", 0) for fact in facts] == [local_ns("2022-04-01")] * found


def test_dbnomics_searches_page_by_page_as_far_as_asked_for() -> None:
    def answer(request: Request) -> Answer:
        offset, limit = int(request.query["offset"]), int(request.query["limit"])
        docs = [{"provider_code": "X", "code": f"d{place}"} for place in range(offset, min(offset + limit, 250))]
        return Answer(json.dumps({"results": {"docs": docs, "num_found": 250, "offset": offset}}).encode())

    with serving(answer) as server:
        config = DbnomicsConfig(base_url=server.url, most_pages=3, **FREE)
        every, some, few = map(
            facts_of,
            ask("dbnomics", config, *(GetData(DataKind.LISTING, "x", limit=limit) for limit in (0, 150, 7))),
        )
        assert (len(every), len(some), len(few)) == (250, 150, 7)
        assert len({getattr(fact, "key", "") for fact in every}) == 250
        assert [request.query["limit"] for request in server.requests] == ["100"] * 3 + ["100", "50", "7"]
        [cut] = ask(
            "dbnomics", DbnomicsConfig(base_url=server.url, most_pages=2, **FREE), GetData(DataKind.LISTING, "x")
        )
        assert isinstance(cut, MalformedError)
        assert "more than 2 pages" in str(cut)


def test_trading_economics_goes_on_by_dates_where_the_rows_of_a_request_are_full() -> None:
    with serving(functools.partial(trading_economics_answers, calendar_rows=10)) as server:
        config = TradingEconomicsConfig(base_url=server.url, key=TRADING_ECONOMICS_KEY, calendar_rows=10, **FREE)
        events = one(
            "trading_economics",
            config,
            GetData(DataKind.EVENT, "china,japan", begin_ns=local_ns("2016-01-01"), end_ns=local_ns("2018-01-01")),
        )
        assert len(events) == len({fact.key for fact in events if isinstance(fact, EventFact)}) == 36
        assert len(server.requests) > 3


CHART = GetData(BARS, "AAPL", interval="1d", begin_ns=1_598_832_000 * 10**9, end_ns=1_604_707_200 * 10**9)


@pytest.mark.parametrize(
    ("name", "question", "old", "new", "path"),
    [
        ("yahoo", CHART, b'"currency": "USD"', b'"money": "USD"', "$.chart.result[0].meta.currency"),
        ("yahoo", CHART, b'"timestamp": [', b'"timestamp": ["x", ', "$.chart.result[0].timestamp[0]"),
        (
            "yahoo",
            CHART,
            b'"timestamp": [',
            b'"timestamp": [99999999999, ',
            "$.chart.result[0].indicators.quote[0].open",
        ),
        ("yahoo", CHART, b'"timestamp": [1598880600', b'"timestamp": [99999999999', "$.chart.result[0].timestamp[0]"),
        (
            "dbnomics",
            GetData(DataKind.ECONOMIC, "BIS/cbpol/M.AR"),
            b'"1946-01"',
            b'"1086"',
            "$.series.docs[0].period[0]",
        ),
        ("yahoo", CHART, b'"timestamp": [', b'"timestamp": [1, ', "$.chart.result[0].indicators.quote[0].open"),
        ("alpha_vantage", GetData(BARS, "MSFT", interval="1m"), b"Time Zone", b"Zone", '$["Meta Data"]["Time Zone"]'),
        ("alpha_vantage", GetData(DataKind.QUOTE, "MSFT"), b"05. price", b"05. cost", '$["Global Quote"].05. price'),
        ("alpha_vantage", GetData(DataKind.QUOTE, "MSFT"), b'"112.1300"', b'"lots"', '$["Global Quote"]["05. price"]'),
        (
            "dbnomics",
            GetData(DataKind.ECONOMIC, "BIS/cbpol/M.AR"),
            b'"1946-01"',
            b'"46-01"',
            "$.series.docs[0].period[0]",
        ),
        ("trading_economics", GetData(DataKind.LISTING, "mexico"), b"|Unit|", b"|Measure|", "$[0].Unit"),
        ("trading_economics", GetData(DataKind.LISTING, "mexico"), b"|Money|", b"|Mo|ney|", "$[0]"),
    ],
)
def test_a_schema_that_changed_is_told_by_its_field(
    name: str, question: GetData, old: bytes, new: bytes, path: str
) -> None:
    answers: dict[str, Answers] = {
        "yahoo": yahoo_answers,
        "alpha_vantage": alpha_vantage_answers,
        "dbnomics": dbnomics_answers,
        "trading_economics": trading_economics_answers,
    }
    with serving(answers[name]) as server:
        configs: dict[str, SourceConfig] = {
            "yahoo": yahoo(server),
            "alpha_vantage": alpha_vantage(server),
            "dbnomics": DbnomicsConfig(base_url=f"{server.url}/v22", **FREE),
            "trading_economics": TradingEconomicsConfig(base_url=server.url, key=TRADING_ECONOMICS_KEY, **FREE),
        }
        server.every = Fault(change=lambda body: body.replace(old, new, 1))
        [error] = ask(name, configs[name], question)
        assert isinstance(error, MalformedError), error
        assert error.path == path


# Answers of which there is no recording, in the form that the provider documents.

GDP_BODY = b"""{"name": "Real Gross Domestic Product", "interval": "quarterly", "unit": "billions of dollars",
 "data": [{"date": "2020-04-01", "value": "4698.5"}, {"date": "2020-01-01", "value": "."}]}"""
WEEKS_BODY = b"""{"Meta Data": {"1. Information": "Weekly Adjusted", "2. Symbol": "IBM", "4. Time Zone": "US/Eastern"},
 "Weekly Adjusted Time Series": {"2024-03-15": {"1. open": "193.01", "2. high": "199.18", "3. low": "190.70",
 "4. close": "191.07", "5. adjusted close": "185.11", "6. volume": "28182950", "7. dividend amount": "0.0000"}}}"""
COMPANY_BODY = b"""{"Symbol": "IBM", "Name": "International Business Machines", "CIK": "51143", "Currency": "USD",
 "LatestQuarter": "2023-12-31", "MarketCapitalization": "175221702000", "PERatio": "23.53", "PEGRatio": "None"}"""
DAYS_BODY = b"""{"count": 2, "release_dates": [{"release_id": 53, "date": "2024-10-30"},
 {"release_id": 53, "date": "2024-09-26"}]}"""
SETS_BODY = b"""{"results": {"docs": [{"code": "cbpol", "name": "Policy rates", "provider_code": "BIS",
 "indexed_at": "2021-06-25T01:24:17.455Z", "nb_series": 76}], "num_found": 1, "offset": 0, "limit": 100}}"""


def test_other_answers_of_alpha_vantage_are_read_as_documented() -> None:
    with serving(alpha_vantage_answers) as server:
        server.faults.extend([Fault(body=GDP_BODY), Fault(body=WEEKS_BODY), Fault(body=COMPANY_BODY)])
        economy, weeks, company, strange = ask(
            "alpha_vantage",
            alpha_vantage(server),
            GetData(DataKind.ECONOMIC, "REAL_GDP@quarterly"),
            GetData(BARS, "IBM", interval="1w"),
            GetData(DataKind.FUNDAMENTAL, "IBM"),
            GetData(DataKind.ECONOMIC, "SMA:MSFT"),
        )
        first, last = facts_of(economy)
        assert isinstance(first, EconomicFact)
        assert isinstance(last, EconomicFact)
        assert (first.value, last.value, last.unit) == (None, 4_698_500_000_000.0, "dollars")
        assert last.end_ns == local_ns("2020-07-01")
        [week] = facts_of(weeks)
        assert isinstance(week, BarFact)
        eastern = zone("US/Eastern")
        assert (week.begin_ns, week.end_ns) == (local_ns("2024-03-11", eastern), local_ns("2024-03-16", eastern))
        assert (week.close, week.adjusted_close, week.volume) == (191.07, 185.11, 28_182_950.0)
        figures = {fact.concept: fact for fact in facts_of(company) if isinstance(fact, FundamentalFact)}
        assert set(figures) == {"MarketCapitalization", "PERatio", "PEGRatio"}
        assert figures["MarketCapitalization"].value == 175_221_702_000.0
        assert (figures["MarketCapitalization"].unit, figures["PERatio"].unit) == ("USD", "pure")
        assert (figures["PEGRatio"].value, figures["PERatio"].end_ns) == (None, local_ns("2023-12-31"))
        assert isinstance(strange, UnsupportedError)
        assert [request.query["function"] for request in server.requests] == [
            "REAL_GDP",
            "TIME_SERIES_WEEKLY_ADJUSTED",
            "OVERVIEW",
        ]


def test_other_answers_of_fred_and_dbnomics_are_read_as_documented() -> None:
    with serving(dbnomics_answers) as server:
        server.faults.append(Fault(status=200, body=SETS_BODY))
        [found] = one(
            "dbnomics", DbnomicsConfig(base_url=f"{server.url}/v22", **FREE), GetData(DataKind.LISTING, "rates")
        )
        assert isinstance(found, ListingFact)
        assert (found.key, found.description, server.paths) == ("BIS/cbpol", "76 series", ["/v22/search"])
        server.faults.append(Fault(status=200, body=DAYS_BODY))
        days = one("fred", FredConfig(base_url=server.url, key="k" * 32), GetData(DataKind.EVENT, "release:53"))
        assert [fact.time_ns for fact in days if isinstance(fact, EventFact)] == [
            local_ns("2024-09-26"),
            local_ns("2024-10-30"),
        ]


def test_a_kind_that_a_provider_has_not_is_refused_without_asking() -> None:
    with serving(yahoo_answers) as server:
        kind, interval = ask(
            "yahoo", yahoo(server), GetData(DataKind.ECONOMIC, "GDP"), GetData(BARS, "AAPL", interval="7m")
        )
        assert isinstance(kind, UnsupportedError)
        assert isinstance(interval, UnsupportedError)
        assert server.requests == []
