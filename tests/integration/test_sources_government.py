"""EDGAR and Data.gov over real sockets: recorded answers at their own paths, their refusals, and changed schemas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from nautilus.adapters.sources import open_source
from nautilus.adapters.sources.base import Fetched
from nautilus.adapters.sources.config import DataGovConfig, EdgarConfig, SourceConfig
from nautilus.adapters.sources.errors import (
    MalformedError,
    NotFoundError,
    RateLimitedError,
    UnauthorisedError,
    UnavailableError,
    UnconfiguredError,
    UnsupportedError,
)
from nautilus.adapters.sources.times import from_ns, local_ns, zone
from nautilus.model.datasets import DataKind, EventFact, FundamentalFact, GetData, ListingFact
from tests.kit.recorded_government import (
    AGENT,
    DATAGOV_KEY,
    EXCEEDED,
    UNDECLARED,
    datagov,
    edgar,
    page,
    submissions,
)
from tests.kit.recorded_http import Fault, RecordedServer, Request


def asked(name: str, config: SourceConfig, *questions: GetData) -> list[Fetched]:
    async def run() -> list[Fetched]:
        source = open_source(name, config)
        try:
            return [await source.fetch(question) for question in questions]
        finally:
            await source.close()

    return asyncio.run(run())


def ask_edgar(server: RecordedServer, *questions: GetData, **more: Any) -> list[Fetched]:
    settings = {"user_agent": AGENT, "backoff_seconds": 0.0, "files_url": server.url} | more
    return asked("edgar", EdgarConfig(base_url=server.url, **settings), *questions)


def ask_datagov(server: RecordedServer, *questions: GetData, **more: Any) -> list[Fetched]:
    settings = {"key": DATAGOV_KEY, "ckan_url": "", "backoff_seconds": 0.0} | more
    return asked("datagov", DataGovConfig(base_url=f"{server.url}/v4", **settings), *questions)


def test_filings_of_a_ticker_are_told_at_the_times_of_new_york() -> None:
    with RecordedServer(edgar()) as server:
        begin_ns = local_ns("2014-01-01")
        [answer] = ask_edgar(server, GetData(DataKind.EVENT, "tsla", begin_ns=begin_ns))
        assert server.paths == ["/files/company_tickers.json", "/submissions/CIK0001318605.json"]
        assert all(request.headers["user-agent"] == AGENT for request in server.requests)
    recent = submissions()["filings"]["recent"]
    kept = [text for text in recent["acceptanceDateTime"] if text >= "2014"]
    assert len(answer.facts) == len(kept) > 800
    newest = answer.facts[-1]
    assert isinstance(newest, EventFact)
    assert (newest.key, newest.category) == ("0001790565-22-000015", "4")
    assert newest.time_ns == local_ns("2022-11-30T21:42:36Z")  # 16:42 in New York
    assert newest.url == f"{server.url}/Archives/edgar/data/1318605/000179056522000015/xslF345X03/edgardoc.xml"
    assert newest.provenance.url == f"{server.url}/submissions/CIK0001318605.json"


def test_a_listing_from_memory_says_where_and_when_the_list_came_from() -> None:
    question = GetData(DataKind.LISTING, "tesla")
    with RecordedServer(edgar()) as server, RecordedServer(edgar()) as files:
        first, second = ask_edgar(server, question, question, files_url=files.url)
        assert files.paths == ["/files/company_tickers.json"]
        assert files.requests[0].headers["connection"] == "close"
        assert not server.requests
    assert second.provenance == first.provenance == second.facts[0].provenance
    assert second.provenance.url == f"{files.url}/files/company_tickers.json"
    assert second.provenance.fetched_ns > 0
    assert (second.calls, second.facts) == (0, first.facts)


def test_recorded_times_of_acceptance_keep_the_hours_and_filing_dates_of_edgar() -> None:
    """What is written with a Z is New York's: EDGAR takes filings from 6 to 22, and dates those after 17:30 ahead."""
    with RecordedServer(edgar()) as server:
        [answer] = ask_edgar(server, GetData(DataKind.EVENT, "CIK0001318605"), most_pages=5)
    recent = submissions()["filings"]["recent"]
    filed = dict(zip(recent["accessionNumber"], recent["filingDate"], strict=True))
    fitting = ahead = 0
    reports = [
        fact for fact in answer.facts if fact.key in filed and fact.category[:4] in ("10-K", "10-Q", "8-K", "8-K/")
    ]
    for fact in reports:
        assert isinstance(fact, EventFact)
        moment = from_ns(fact.time_ns, zone("America/New_York"))
        late = (moment.hour, moment.minute) >= (17, 30)
        fitting += (filed[fact.key] > moment.date().isoformat()) == late
        ahead += late
    # One was handed in a minute before half past and taken in after it; read as UTC, 16 do not fit.
    assert (fitting, len(reports)) == (202, 203)
    assert ahead > 10


def test_older_filings_lie_in_files_that_only_their_range_asks_for() -> None:
    with RecordedServer(edgar()) as server:
        everything, old, form = ask_edgar(
            server,
            GetData(DataKind.EVENT, "1318605"),
            GetData(DataKind.EVENT, "1318605", begin_ns=local_ns("2005-01-01"), end_ns=local_ns("2006-01-01")),
            GetData(DataKind.EVENT, "1318605:10-K", limit=2),
        )
        assert server.most_connections == 1
    assert (len(everything.facts), everything.calls) == (1003, 2)
    assert [fact.key for fact in old.facts] == ["0001193125-05-000002"]
    assert (len(form.facts), form.calls) == (2, 1)
    assert {fact.category for fact in form.facts} == {"10-K"}


def test_what_has_not_changed_is_not_sent_again() -> None:
    with RecordedServer(edgar()) as server:
        question = GetData(DataKind.EVENT, "1318605", begin_ns=local_ns("2020-01-01"))
        first, second = ask_edgar(server, question, question)
        assert "if-none-match" in server.requests[1].headers
    assert (first.not_modified, second.not_modified) == (False, True)
    assert [fact.key for fact in second.facts] == [fact.key for fact in first.facts]


def test_figures_have_their_periods_units_forms_and_dates() -> None:
    with RecordedServer(edgar()) as server:
        concept, everything, frame, other_unit = ask_edgar(
            server,
            GetData(DataKind.FUNDAMENTAL, "TSLA:Revenues"),
            GetData(DataKind.FUNDAMENTAL, "1318605"),
            GetData(DataKind.FUNDAMENTAL, "frame:us-gaap/AccountsPayableCurrent/USD/CY2019Q1I"),
            GetData(DataKind.FUNDAMENTAL, "TSLA:us-gaap/Revenues@EUR"),
        )
    quarter, year = sorted(concept.facts, key=lambda fact: fact.end_ns)
    assert isinstance(quarter, FundamentalFact)
    assert (quarter.symbol, quarter.concept, quarter.value) == ("TSLA", "us-gaap/Revenues", 10_389_000_000.0)
    assert (quarter.begin_ns, quarter.end_ns) == (local_ns("2021-01-01"), local_ns("2021-04-01"))
    assert (year.form, year.unit, year.filed_ns) == ("10-K", "USD", local_ns("2022-02-07"))
    assert {fact.concept for fact in everything.facts} == {"us-gaap/Revenues", "us-gaap/Assets"}
    assets = next(fact for fact in everything.facts if fact.concept == "us-gaap/Assets")
    assert assets.begin_ns == assets.end_ns == local_ns("2021-12-31")
    assert [(fact.symbol, fact.value) for fact in frame.facts] == [
        ("CIK0000001750", 218_600_000.0), ("CIK0000001800", 3_029_000_000.0),
    ]  # fmt: skip
    assert other_unit.facts == ()


def test_companies_are_listed_by_words_the_exact_ticker_first() -> None:
    with RecordedServer(edgar()) as server:
        tesla, berkshire = ask_edgar(server, GetData(DataKind.LISTING, "tesla"), GetData(DataKind.LISTING, "BRK-B"))
        assert server.paths == ["/files/company_tickers.json"]
    assert [fact.key for fact in tesla.facts][:1] == ["TSLA"]
    first = berkshire.facts[0]
    assert isinstance(first, ListingFact)
    assert (first.key, first.category) == ("BRK-B", "CIK0001067983")


def test_nobody_is_asked_before_it_is_said_who_asks() -> None:
    with RecordedServer(edgar()) as server:
        with pytest.raises(UnconfiguredError, match="does not say who asks"):
            ask_edgar(server, GetData(DataKind.EVENT, "TSLA"), user_agent="nautilus/0.1")
        assert server.requests == []
        source = open_source("edgar")
        assert source.state().state == "unconfigured"


def test_refusals_of_the_sec_are_told_apart() -> None:
    question = GetData(DataKind.EVENT, "1318605", begin_ns=local_ns("2020-01-01"))
    with RecordedServer(edgar()) as server:
        server.faults.extend([Fault(status=403, body=EXCEEDED), Fault(status=403, body=UNDECLARED)])
        with pytest.raises(RateLimitedError) as caught:
            ask_edgar(server, question)
        assert caught.value.retry_seconds == 600
        with pytest.raises(UnauthorisedError, match="user agent is not accepted"):
            ask_edgar(server, question)
        with pytest.raises(NotFoundError, match="no company NOSUCHTICKER"):
            ask_edgar(server, GetData(DataKind.EVENT, "NOSUCHTICKER"))
        with pytest.raises(NotFoundError, match="404"):
            ask_edgar(server, GetData(DataKind.EVENT, "CIK0000000007"))
        with pytest.raises(UnsupportedError, match="no question of this form"):
            ask_edgar(server, GetData(DataKind.FUNDAMENTAL, "frame:us-gaap/Assets"))


def test_failure_of_the_sec_is_tried_again_and_a_cut_answer_too() -> None:
    question = GetData(DataKind.EVENT, "1318605", begin_ns=local_ns("2020-01-01"))
    with RecordedServer(edgar()) as server:
        server.faults.extend([Fault(status=503, body=b""), Fault(close="body"), None])
        [answer] = ask_edgar(server, question)
        assert len(server.requests) == 3
    assert answer.facts


Change = Callable[[str, Any], Any]


def without(body: Any, *path: str) -> Any:
    inner = body
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return body


def shorter(body: Any) -> Any:
    body["filings"]["recent"]["form"].pop()
    return body


def odd_time(body: Any) -> Any:
    body["filings"]["recent"]["acceptanceDateTime"][3] = "yesterday"
    return body


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda body: without(body, "filings", "recent", "accessionNumber"), "$.filings.recent"),
        (lambda body: without(body, "name"), "$"),
        (shorter, "$.filings.recent.form"),
        (odd_time, "$.filings.recent.acceptanceDateTime[3]"),
    ],
)
def test_changed_schema_of_filings_names_the_field(change: Callable[[Any], Any], path: str) -> None:
    with RecordedServer(edgar(lambda _, body: change(body))) as server, pytest.raises(MalformedError) as caught:
        ask_edgar(server, GetData(DataKind.EVENT, "1318605"))
    assert caught.value.path.startswith(path)
    assert caught.value.code == "source.malformed"


def test_changed_schema_of_figures_names_the_field() -> None:
    def change(path: str, body: Any) -> Any:
        body["units"]["USD"][1]["end"] = "31.12.2021"
        return body

    with RecordedServer(edgar(change)) as server, pytest.raises(MalformedError) as caught:
        ask_edgar(server, GetData(DataKind.FUNDAMENTAL, "1318605:Revenues"))
    assert caught.value.path == "$.units.USD[1].end"


# Data.gov


def test_catalog_is_read_page_by_page_with_its_cursor_and_key() -> None:
    with RecordedServer(datagov) as server:
        [answer] = ask_datagov(server, GetData(DataKind.LISTING, "climate org:nasa"))
        assert [request.query.get("after", "") for request in server.requests] == [
            "",
            "WzY5LjM0NDY5NiwwLCJiYmRhZGNmYi00NDM1LTQzZWUtYjhlMy0yMzZiZjBlZDEwODIiXQ==",
            "WzEwMC4wNjEzNiwwLCJiMWEzOTY3YzJhMTExZjE2NzgxN2IwMTI0YzUyYjBhYyJd",
        ]
        assert all(request.query["org_slug"] == "nasa" for request in server.requests)
        assert all(DATAGOV_KEY not in request.target for request in server.requests)
    assert (len(answer.facts), answer.calls) == (3, 3)
    aws, _, survey = answer.facts
    assert isinstance(aws, ListingFact)
    assert (aws.category, aws.links) == ("AWS NEX", ("https://aws.amazon.com/nasa/nex/",))
    assert isinstance(survey, ListingFact)
    assert survey.key.startswith("national-household-education-surveys-program-2012")
    assert survey.links[:2] == ("https://nces.ed.gov/2012PFIascii.zip", "https://nces.ed.gov/data")
    assert (survey.category, survey.frequency) == ("Department of Education", "irregular")
    assert (survey.begin_ns, survey.end_ns) == (local_ns("2012-01-01"), local_ns("2013-01-01"))
    assert survey.updated_ns == local_ns("2023-06-22T20:25:39.652070")
    assert survey.provenance.url.startswith(f"{server.url}/v4/search?q=climate&per_page=100&org_slug=nasa&after=")


def test_part_of_the_catalog_is_never_given_as_the_whole() -> None:
    with RecordedServer(datagov) as server:
        with pytest.raises(MalformedError, match="more than 2 pages"):
            ask_datagov(server, GetData(DataKind.LISTING, "climate org:nasa"), most_pages=2)
        [answer] = ask_datagov(server, GetData(DataKind.LISTING, "climate org:nasa"), most_pages=3)
    assert len(answer.facts) == 3


def test_limit_of_a_question_is_the_size_of_the_page() -> None:
    with RecordedServer(datagov) as server:
        [answer] = ask_datagov(server, GetData(DataKind.LISTING, "climate", limit=2))
        assert [request.query["per_page"] for request in server.requests] == ["2"]
    assert len(answer.facts) == 2


def test_refusals_in_front_of_the_catalog_are_told_apart() -> None:
    question = GetData(DataKind.LISTING, "climate")
    with RecordedServer(datagov) as server:
        with pytest.raises(UnauthorisedError, match="API_KEY_INVALID"):
            ask_datagov(server, question, key="another")
        server.faults.append(Fault(status=429, body=page(11)))
        with pytest.raises(RateLimitedError, match="OVER_RATE_LIMIT") as caught:
            ask_datagov(server, question)
        assert caught.value.retry_seconds == 3600
        server.faults.append(Fault(status=429, body=page(11), headers={"Retry-After": "7"}))
        with pytest.raises(RateLimitedError) as caught:
            ask_datagov(server, question)
        assert caught.value.retry_seconds == 7
        with pytest.raises(UnconfiguredError):
            ask_datagov(server, question, key="")
        with pytest.raises(UnsupportedError, match="filters by nothing"):
            ask_datagov(server, GetData(DataKind.LISTING, "climate org:"))


def test_hour_without_requests_left_is_waited_for() -> None:
    with RecordedServer(datagov) as server:
        server.faults.append(Fault(headers={"X-RateLimit-Remaining": "0"}))
        with pytest.raises(RateLimitedError):
            ask_datagov(server, GetData(DataKind.LISTING, "climate", limit=2), GetData(DataKind.LISTING, "water"))
        assert len(server.requests) == 1


def test_old_catalog_is_asked_only_where_the_new_one_is_not_to_be_had() -> None:
    question = GetData(DataKind.LISTING, "climate")
    with RecordedServer(datagov) as server:
        ckan_url = f"{server.url}/api/3"
        [fresh] = ask_datagov(server, question, ckan_url=ckan_url)
        assert set(server.paths) == {"/v4/search"}
        server.faults.append(Fault(status=404, body=page(8)))
        [old] = ask_datagov(server, question, ckan_url=ckan_url)
        assert server.paths[-2:] == ["/api/3/action/package_search"] * 2
        server.every = Fault(status=503, body=b"")
        with pytest.raises(UnavailableError, match=r"v4/search"):
            ask_datagov(server, question, ckan_url=ckan_url)
        with pytest.raises(UnavailableError):
            ask_datagov(server, question)
    assert len(fresh.facts) == 3
    assert [fact.key for fact in old.facts] == ["set-0", "set-1", "set-2"]
    assert old.facts[1].links == ("https://example.gov/1.csv",)
    assert old.facts[1].updated_ns == local_ns("2024-05-01T10:00:00")
    assert old.facts[0].provenance.url.startswith(f"{server.url}/api/3/action/package_search?")


def test_changed_schema_of_the_catalog_names_the_field() -> None:
    def broken(request: Request) -> Any:
        answer = datagov(request)
        return answer._replace(body=answer.body.replace(b'"title"', b'"name"'))

    with RecordedServer(broken) as server, pytest.raises(MalformedError) as caught:
        ask_datagov(server, GetData(DataKind.LISTING, "climate"))
    assert caught.value.path == "$.results[0].title"
