"""Interactive Brokers over a real socket with a peer that speaks the protocol of TWS."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from nautilus.adapters.sources import open_source
from nautilus.adapters.sources.config import IbkrConfig
from nautilus.adapters.sources.errors import (
    MalformedError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    SourceTimeoutError,
    UnauthorisedError,
    UnavailableError,
    UnsupportedError,
)
from nautilus.adapters.sources.ibkr import IbkrSource
from nautilus.adapters.sources.ibkr_contracts import SECOND_NS, Pacing, contract_of, key_of, length_words
from nautilus.adapters.sources.ibkr_link import error_of
from nautilus.adapters.sources.ibkr_pacing import SharedPacing
from nautilus.adapters.sources.times import local_ns, zone
from nautilus.model.datasets import BarFact, DataKind, FundamentalFact, GetData, ListingFact, QuoteFact
from tests.kit.data import recording
from tests.kit.tws_peer import CONTRACT, HISTORY, MARKET_DATA, MARKET_DATA_TYPE, START, Traded, TwsPeer

REPORT = """<?xml version="1.0" encoding="UTF-8"?><ReportSnapshot><Ratios PriceCurrency="USD" ReportingCurrency="USD"
LatestAvailableDate="2021-12-31"><Group ID="Price and Volume"><Ratio FieldName="NPRICE" Type="N">163.20000</Ratio>
<Ratio FieldName="PDATE" Type="D">2022-03-01T00:00:00</Ratio><Ratio FieldName="NODATA" Type="N">-99999.99</Ratio>
</Group></Ratios></ReportSnapshot>"""


@cache
def recorded_bars() -> list[dict[str, Any]]:
    with gzip.open(recording("ibkr/bars.json.gz"), "rt") as file:
        return [json.loads(line) for line in file]


@cache
def recorded_ticks() -> list[dict[str, Any]]:
    with gzip.open(recording("ibkr/bid_ask_ticks.json.gz"), "rt") as file:
        return [json.loads(line) for line in file]


def bars_of(fields: list[str]) -> list[list[object]]:
    """The recorded bars; their times are New York's, and go out in seconds, as was asked for."""
    names = ("open", "high", "low", "close", "volume", "average", "barCount")
    rows = []
    for bar in recorded_bars():
        time_ns = local_ns(bar["date"], zone("US/Eastern"))
        end = fields[15]
        if (
            not end
            or time_ns < int(datetime.strptime(end, "%Y%m%d %H:%M:%S %Z").replace(tzinfo=UTC).timestamp()) * 10**9
        ):
            rows.append([time_ns // SECOND_NS, *(bar[name] for name in names)])
    return rows


def apple(**more: Any) -> Traded:
    return Traded(265598, "AAPL", name="APPLE INC", report=REPORT, **more)


def run(peer: TwsPeer, do: Callable[[IbkrSource], Awaitable[Any]], **settings: Any) -> Any:
    async def whole() -> Any:
        async with peer:
            given = {"backoff_seconds": 0.01, "wait_seconds": 0.0, "answer_seconds": 20.0} | settings
            source = open_source("ibkr", IbkrConfig(port=peer.port, **given))
            assert isinstance(source, IbkrSource)
            try:
                return await do(source)
            finally:
                await source.close()

    return asyncio.run(whole())


def ask(peer: TwsPeer, *questions: GetData, **settings: Any) -> list[Any]:
    async def all_of(source: IbkrSource) -> list[Any]:
        return [await source.fetch(question) for question in questions]

    return run(peer, all_of, **settings)


def test_snapshot_is_told_with_quantities_time_and_provenance() -> None:
    tick = recorded_ticks()[2]
    ticks = [(1, tick["priceBid"], tick["sizeBid"]), (2, tick["priceAsk"], tick["sizeAsk"]), (4, 6.5, 1.0), (8, 0, 77)]
    peer = TwsPeer(apple(ticks=ticks, last_seconds=1646184631))
    question = GetData(DataKind.QUOTE, "AAPL")
    first, second = ask(peer, question, question)
    [quote] = first.facts
    assert isinstance(quote, QuoteFact)
    assert (quote.bid, quote.ask, quote.last) == (5.95, 7.2, 6.5)
    assert (quote.bid_quantity, quote.ask_quantity, quote.volume) == (50.0, 50.0, 77.0)
    assert (quote.currency, quote.venue, quote.time_ns) == ("USD", "NASDAQ", 1646184631 * SECOND_NS)
    assert quote.provenance.source == "ibkr"
    assert quote.provenance.url == f"tws://127.0.0.1:{peer.port}/reqMktData?symbol=AAPL&snapshot=1"
    assert (first.calls, second.calls) == (2, 1)  # what AAPL is, is known from then on
    assert (first.provenance, second.provenance) == (quote.provenance, second.facts[0].provenance)
    assert peer.kinds() == [MARKET_DATA_TYPE, CONTRACT, MARKET_DATA, MARKET_DATA]
    assert (peer.connections, peer.versions) == (1, "v157..178")


def test_side_that_is_empty_is_told_as_none_and_so_is_a_last_price_of_yesterday() -> None:
    peer = TwsPeer(apple(ticks=[(1, 5.95, 50), (2, -1.0, 0), (9, 6.0, 0)]))
    [answer] = ask(peer, GetData(DataKind.QUOTE, "AAPL"))
    quote = answer.facts[0]
    assert (quote.bid, quote.ask, quote.ask_quantity, quote.last) == (5.95, None, None, None)
    with pytest.raises(NotFoundError, match="without a price"):
        ask(TwsPeer(apple()), GetData(DataKind.QUOTE, "AAPL"))


def test_recorded_bars_come_back_in_order_with_their_zone() -> None:
    peer = TwsPeer(apple(bars=bars_of))
    begin_ns, end_ns = local_ns("2021-01-05T14:00:00Z"), local_ns("2021-01-05T17:00:00Z")
    [answer] = ask(peer, GetData(DataKind.BAR, "AAPL", interval="1m", begin_ns=begin_ns, end_ns=end_ns))
    expected = [bar for bar in recorded_bars() if begin_ns <= local_ns(bar["date"], zone("US/Eastern")) < end_ns]
    assert len(answer.facts) == len(expected) > 20
    for fact, bar in zip(answer.facts, expected, strict=True):
        assert isinstance(fact, BarFact)
        assert fact.begin_ns == local_ns(bar["date"], zone("US/Eastern"))
        assert fact.end_ns == fact.begin_ns + 60 * SECOND_NS
        assert (fact.open, fact.high, fact.low, fact.close) == (bar["open"], bar["high"], bar["low"], bar["close"])
        assert fact.volume == bar["volume"]
    [asked] = [each for each in peer.asked if each.kind == HISTORY]
    assert asked.fields[14:21] == ["0", "20210105 17:00:00 UTC", "1 min", "10800 S", "1", "TRADES", "2"]


def test_an_answer_without_facts_says_where_and_when_it_came_from_too() -> None:
    peer = TwsPeer(apple(bars=bars_of))
    far_ns = local_ns("2200-01-01")  # nothing is asked for a range that has not begun
    question = GetData(DataKind.BAR, "AAPL", interval="1m", begin_ns=far_ns)
    first, second = ask(peer, question, question)
    assert (first.facts, second.facts, second.calls) == ((), (), 0)
    assert first.provenance == second.provenance
    assert first.provenance.url.endswith("/reqContractDetails?symbol=AAPL")
    assert first.provenance.fetched_ns > 0


def test_long_range_takes_several_requests_at_the_allowed_pace() -> None:
    peer = TwsPeer(apple())
    begin_ns = local_ns("2022-01-01")
    question = GetData(DataKind.BAR, "AAPL", interval="1m", begin_ns=begin_ns, end_ns=local_ns("2022-01-04"))
    first = ask(peer, question)
    assert first[0].facts == ()
    ends = [asked.fields[15] for asked in peer.asked if asked.kind == HISTORY]
    assert ends == ["20220104 00:00:00 UTC", "20220103 00:00:00 UTC", "20220102 00:00:00 UTC"]
    with pytest.raises(RateLimitedError, match="history is asked for too often") as caught:
        ask(TwsPeer(apple()), question, question)
    assert 0 < caught.value.retry_seconds <= 15
    with pytest.raises(MalformedError, match="more than 2 requests"):
        ask(TwsPeer(apple()), question, most_pages=2)


def test_day_bars_begin_and_end_with_the_days_of_the_exchange() -> None:
    rows = [["20220311", 1, 2, 0.5, 1.5, 10, 1, 3], ["20220313", 1, 2, 0.5, 1.5, -1, 1, 3]]
    peer = TwsPeer(apple(bars=lambda fields: rows))
    question = GetData(
        DataKind.BAR, "AAPL", interval="1d", begin_ns=local_ns("2022-03-11"), end_ns=local_ns("2022-03-15")
    )
    [answer] = ask(peer, question)
    friday, sunday = answer.facts
    assert friday.begin_ns == local_ns("2022-03-11T05:00:00Z")
    assert sunday.end_ns - sunday.begin_ns == 23 * 3600 * SECOND_NS  # clocks went forward
    assert sunday.volume is None
    rows[0][2] = 0.9
    with pytest.raises(MalformedError, match=r"\$.bars\[0\]") as caught:
        ask(TwsPeer(apple(bars=lambda fields: rows)), question)
    assert caught.value.path == "$.bars[0]"


def test_contracts_are_found_by_words_and_told_apart_by_number() -> None:
    peer = TwsPeer(apple(), Traded(38708077, "AAPL", venue="EBS", currency="CHF", name="APPLE INC"))
    listed, detailed = ask(peer, GetData(DataKind.LISTING, "apple"), GetData(DataKind.LISTING, "contract:conid:265598"))
    assert [fact.key for fact in listed.facts] == ["conid:265598", "conid:38708077"]
    fact = detailed.facts[0]
    assert isinstance(fact, ListingFact)
    assert (fact.name, fact.category, fact.currency) == ("APPLE INC", "AAPL:STK:SMART:USD", "USD")
    assert "tick 0.01" in fact.description
    with pytest.raises(UnsupportedError, match=r"AAPL names 2 contracts: conid:265598 \(AAPL:STK:SMART:USD\)"):
        ask(TwsPeer(*peer.contracts), GetData(DataKind.QUOTE, "AAPL"))
    with pytest.raises(NotFoundError, match="200: No security definition"):
        ask(TwsPeer(), GetData(DataKind.QUOTE, "NOSUCH"))


def test_ratios_of_a_report_are_figures_of_its_day() -> None:
    [answer] = ask(TwsPeer(apple()), GetData(DataKind.FUNDAMENTAL, "AAPL"))
    price, missing = answer.facts
    assert isinstance(price, FundamentalFact)
    assert (price.concept, price.value, price.unit) == ("ReportSnapshot/NPRICE", 163.2, "USD")
    assert price.begin_ns == price.end_ns == local_ns("2021-12-31")
    assert missing.value is None
    changed = Traded(265598, "AAPL", report=REPORT.replace("163.20000", "n/a"))
    with pytest.raises(MalformedError) as caught:
        ask(TwsPeer(changed), GetData(DataKind.FUNDAMENTAL, "AAPL"))
    assert caught.value.path == "$.Ratios.NPRICE"
    for name, path in (
        ("ReportingCurrency", "$.Ratios.ReportingCurrency"),
        ("LatestAvailableDate", "$.Ratios.LatestAvailableDate"),
        ("Ratios", "$.Ratios"),
        ("FieldName", "$.Ratios.Ratio[0].FieldName"),
        ("Type", "$.Ratios.Ratio[0].Type"),
    ):
        changed = Traded(265598, "AAPL", report=REPORT.replace(name, "Odd"))
        with pytest.raises(MalformedError) as caught:
            ask(TwsPeer(changed), GetData(DataKind.FUNDAMENTAL, "AAPL"))
        assert caught.value.path == path


@pytest.mark.parametrize(
    ("kind", "step", "error", "code"),
    [
        (MARKET_DATA, (354, "Requested market data is not subscribed."), UnauthorisedError, "source.unauthorised"),
        (MARKET_DATA, (10197, "No market data during competing live session"), UnavailableError, "source.unavailable"),
        (MARKET_DATA, (10167, "Displaying delayed market data"), UnauthorisedError, "source.unauthorised"),
        (MARKET_DATA, (101, "Max number of tickers has been reached"), RateLimitedError, "source.rate_limited"),
        (CONTRACT, (321, "Error validating request"), RefusedError, "source.refused"),
        (MARKET_DATA, "hang", SourceTimeoutError, "source.timeout"),
    ],
)
def test_each_refusal_of_the_venue_has_its_code(kind: str, step: object, error: type[Exception], code: str) -> None:
    peer = TwsPeer(apple())
    peer.script[kind] = deque([step])
    with pytest.raises(error) as caught:
        ask(peer, GetData(DataKind.QUOTE, "AAPL"), answer_seconds=0.3 if step == "hang" else 20.0)
    assert caught.value.code == code
    if isinstance(step, tuple):
        assert caught.value.status == step[0]


def test_codes_of_history_mean_what_their_texts_say() -> None:
    service = "Historical Market Data Service error message:"
    assert isinstance(error_of(162, f"{service}HMDS query returned no data", ""), NotFoundError)
    assert isinstance(error_of(162, f"{service}No market data permissions for NYSE STK", ""), UnauthorisedError)
    pacing = error_of(162, f"{service}Historical data request pacing violation", "")
    assert isinstance(pacing, RateLimitedError)
    assert pacing.retry_seconds == 600
    question = GetData(
        DataKind.BAR, "AAPL", interval="5m", begin_ns=local_ns("2022-01-01"), end_ns=local_ns("2022-01-02")
    )
    peer = TwsPeer(apple())
    peer.script[HISTORY] = deque([(162, f"{service}HMDS query returned no data: AAPL@SMART Trades")])
    assert ask(peer, question)[0].facts == ()

    async def violate(source: IbkrSource) -> str:
        with pytest.raises(RateLimitedError):
            await source.fetch(question)
        with pytest.raises(RateLimitedError):
            await source.fetch(GetData(DataKind.LISTING, "apple"))
        return source.state().state

    peer = TwsPeer(apple())
    peer.script[HISTORY] = deque([(162, f"{service}Historical data request pacing violation")])
    assert run(peer, violate) == "limited"
    assert peer.kinds().count(HISTORY) == 1


def test_connection_that_ends_in_a_message_is_opened_again_and_asked_once_more() -> None:
    peer = TwsPeer(apple(bars=lambda fields: [["20220301", 1, 2, 0.5, 1.5, 10, 1, 3]]))
    peer.script[HISTORY] = deque(["cut"])
    question = GetData(
        DataKind.BAR, "AAPL", interval="1d", begin_ns=local_ns("2022-03-01"), end_ns=local_ns("2022-03-02")
    )

    async def through(source: IbkrSource) -> tuple[Any, ...]:
        answer = await source.fetch(question)
        return answer.facts, source.link.connects, source.link.lost, source.state().connections

    facts, connects, lost, connections = run(peer, through)
    assert len(facts) == 1
    assert (connects, lost, connections, peer.connections) == (2, 1, 1, 2)


def test_servers_away_from_tws_are_told_and_their_return_too() -> None:
    peer = TwsPeer(apple())

    async def away(source: IbkrSource) -> list[str]:
        question = GetData(DataKind.LISTING, "apple")
        await source.fetch(question)
        states = [source.state().state]
        peer.notice(1100, "Connectivity between IBKR and Trader Workstation has been lost.")
        peer.notice(2103, "Market data farm connection is broken:usfarm")
        while source.link.upstream or not source.link.farms_down:
            await asyncio.wait({asyncio.ensure_future(asyncio.to_thread(int))})
        with pytest.raises(UnavailableError, match="1100"):
            await source.fetch(question)
        states.append(source.state().state)
        peer.notice(2104, "Market data farm connection is OK:usfarm")
        peer.notice(1102, "Connectivity has been restored - data maintained.")
        while not source.link.upstream or source.link.farms_down:
            await asyncio.wait({asyncio.ensure_future(asyncio.to_thread(int))})
        await source.fetch(question)
        return [*states, source.state().state]

    assert run(peer, away) == ["ready", "failing", "ready"]
    assert peer.connections == 1


def test_nobody_there_is_unavailable_and_not_asked_again_at_once() -> None:
    peer = TwsPeer(apple())

    async def gone(source: IbkrSource) -> Any:
        question = GetData(DataKind.LISTING, "apple")
        peer._server.close()
        await peer._server.wait_closed()
        with pytest.raises(UnavailableError, match="cannot connect"):
            await source.fetch(question)
        with pytest.raises(UnavailableError, match="not connected; it is tried again later") as caught:
            await source.fetch(question)
        return caught.value.retry_seconds, source.link.failed

    retry_seconds, failed = run(peer, gone, backoff_seconds=30.0)
    assert retry_seconds > 0
    assert failed == 1


def test_peer_that_does_not_shake_hands_or_knows_the_client_already_is_unavailable() -> None:
    peer = TwsPeer(apple())
    peer.silent = True
    with pytest.raises(UnavailableError, match="no answer to the handshake"):
        ask(peer, GetData(DataKind.LISTING, "apple"), connect_seconds=0.2)
    peer = TwsPeer(apple())
    peer.clients.add(17)
    with pytest.raises(UnavailableError, match="cannot connect"):
        ask(peer, GetData(DataKind.LISTING, "apple"), connect_seconds=0.5)
    assert START not in peer.kinds()


def test_loop_is_left_as_it_was() -> None:
    """`ib_async` can patch the loop so that it nests; it is not to."""
    before = asyncio.run, asyncio.AbstractEventLoop.run_until_complete
    ask(TwsPeer(apple()), GetData(DataKind.LISTING, "apple"))
    assert (asyncio.run, asyncio.AbstractEventLoop.run_until_complete) == before
    loop = asyncio.new_event_loop()
    assert not hasattr(loop, "_nest_patched")
    loop.close()


def test_pace_of_history_keeps_every_one_of_its_rules() -> None:
    pacing = Pacing()
    assert pacing.wait_ns(0, 1, "a") == 0
    pacing.note(0, 1, "a")
    assert pacing.wait_ns(SECOND_NS, 1, "a") == 14 * SECOND_NS
    assert pacing.wait_ns(SECOND_NS, 1, "b") == 0
    for request in "bcde":
        pacing.note(SECOND_NS, 1, request)
    assert pacing.wait_ns(SECOND_NS, 1, "f") == SECOND_NS  # five within two seconds
    assert pacing.wait_ns(SECOND_NS, 2, "f") == 0
    for number in range(55):
        pacing.note(20 * SECOND_NS, number + 10, "x")
    assert pacing.used == 60
    assert pacing.wait_ns(20 * SECOND_NS, 99, "x") == 580 * SECOND_NS
    assert pacing.wait_ns(600 * SECOND_NS, 99, "x") == 0
    assert pacing.wait_ns(600 * SECOND_NS, 99, "x", weight=2) == SECOND_NS


def test_pace_of_history_is_that_of_all_processes_and_of_the_next_start(tmp_path: Path) -> None:
    begun = 1_700_000_000 * SECOND_NS
    one, two = (SharedPacing(tmp_path, "127.0.0.1:4002") for _ in range(2))
    other = SharedPacing(tmp_path, "127.0.0.1:7496")
    assert [one.take(begun, 1, "a"), two.take(begun + SECOND_NS, 1, "a")] == [0, 14 * SECOND_NS]
    assert other.take(begun, 1, "a") == 0
    for number in range(59):
        assert (one, two)[number % 2].take(begun + number, 10 + number, "x") == 0
    for pacing in (one, two, other):
        pacing.close()
    again = SharedPacing(tmp_path, "127.0.0.1:4002")
    assert again.take(begun + 20 * SECOND_NS, 99, "x") == 580 * SECOND_NS
    assert again.take(begun - 3600 * SECOND_NS, 99, "x") == 600 * SECOND_NS  # a clock that is set back
    assert again.take(begun + 600 * SECOND_NS, 99, "x") == 0
    again.close()


@pytest.mark.parametrize(
    ("symbol", "key"),
    [
        ("AAPL", "AAPL:STK:SMART:USD"),
        ("EUR.USD", "EUR:CASH:IDEALPRO:USD"),
        ("ES:FUT:CME:USD:202612", "ES:FUT:CME:USD:202612"),
        ("SPY:OPT:SMART:USD:20261218:500:C", "SPY:OPT:SMART:USD:20261218:500:C"),
        ("BRK.B", "BRK.B:STK:SMART:USD"),
    ],
)
def test_symbols_name_contracts_of_every_kind(symbol: str, key: str) -> None:
    assert key_of(contract_of(symbol)) == key


@pytest.mark.parametrize("symbol", ["@NASDAQ", "AAPL@", "a:b", "SPY:OPT:SMART:USD:20261218:x:C"])
def test_symbols_of_no_form_are_refused(symbol: str) -> None:
    with pytest.raises(UnsupportedError, match="names no contract"):
        contract_of(symbol)


def test_lengths_of_time_are_written_as_the_venue_does() -> None:
    assert [length_words(seconds) for seconds in (1, 60, 86_400, 86_401, 365 * 86_400, 366 * 86_400)] == [
        "30 S", "60 S", "86400 S", "2 D", "365 D", "2 Y",
    ]  # fmt: skip
