"""Yahoo Finance, by the addresses that its own pages use; it documents none of them.

What a question's symbol may be:

- QUOTE: ``AAPL``, or several, ``AAPL,BABA``; ``options:BABA``, the contracts of the next expiry; of another one:
  ``options:BABA@2025-03-07``.
- BAR: ``AAPL`` with an interval of 1m, 5m, 15m, 30m, 1h, 1d, 1w or 1mo.
- EVENT: ``AAPL``, dividends and splits.
- LISTING: words to search for.

Prices in pence come out in pounds (GBp, GBX; ZAc, ILA alike). A bid or ask of 0 means that there is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import tzinfo
from urllib.parse import quote as quoted

import msgspec

from nautilus.adapters.sources.base import Source
from nautilus.adapters.sources.config import YahooConfig
from nautilus.adapters.sources.errors import (
    MalformedError,
    NotFoundError,
    SourceError,
    UnauthorisedError,
    UnsupportedError,
)
from nautilus.adapters.sources.session import Asking, Reply
from nautilus.adapters.sources.times import local_ns, seconds_ns, zone
from nautilus.adapters.sources.units import currency_of, scaled
from nautilus.adapters.sources.validate import decode, missing
from nautilus.adapters.sources.yahoo_bodies import (
    Chart,
    ChartBody,
    Columns,
    Meta,
    OptionBody,
    Problem,
    Quote,
    QuoteBody,
    SearchBody,
)
from nautilus.adapters.sources.yahoo_checks import is_dead, lack_of_contracts, lack_of_quotes, lack_of_symbols
from nautilus.adapters.sources.yahoo_prices import INTERVALS, joined, rounded, span_of
from nautilus.model.datasets import BarFact, DataKind, EventFact, Fact, GetData, ListingFact, Provenance, QuoteFact

SECOND_NS = 1_000_000_000
NAMED = {"1w": "1wk"}
REACH_DAYS = {"1m": 7, "5m": 59, "15m": 59, "30m": 59, "1h": 729}
"""How far back it tells bars of an interval."""
_CRUMB = re.compile(r"crumb|cookie", re.IGNORECASE)


class YahooSource(Source):
    """Quotes, bars, dividends and splits, option chains and a search."""

    name = "yahoo"
    kinds = (DataKind.QUOTE, DataKind.BAR, DataKind.EVENT, DataKind.LISTING)

    config: YahooConfig
    _crumb = ""
    _crumb_until_ns = 0

    async def _ask(self, question: GetData, asking: Asking) -> Iterable[Fact]:
        match question.kind:
            case DataKind.QUOTE if question.symbol.startswith("options:"):
                return await self._options(question.symbol.removeprefix("options:"), asking)
            case DataKind.QUOTE:
                return await self._quotes(question.symbol, asking)
            case DataKind.BAR:
                chart, provenance = await self._chart(question, asking)
                return joined(self._bars(question.interval or "1d", chart, provenance))
            case DataKind.EVENT:
                chart, provenance = await self._chart(question, asking)
                return self._events(chart, provenance)
            case _:
                return await self._search(question, asking)

    def judge(self, reply: Reply) -> SourceError | None:
        """Errors lie in ``{"chart": {"error": {"code": "Not Found", "description": ...}}}``, under several names."""
        if reply.status in (429,) or reply.status >= 500 or b'"error"' not in reply.body:
            return None
        try:
            parts = msgspec.json.decode(reply.body, type=dict[str, msgspec.Raw])
            problem = None
            for part in parts.values():
                if b'"error"' in bytes(part):
                    problem = msgspec.json.decode(part, type=dict[str, msgspec.Raw]).get("error")
                    break
            told = msgspec.json.decode(problem, type=Problem | None) if problem is not None else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if told is None:
            return None
        kind: type[SourceError] | None = None
        if told.code == "Not Found":
            kind = NotFoundError
        elif told.code == "Unauthorized" or _CRUMB.search(told.description):
            kind = UnauthorisedError
        elif reply.status == 200:
            kind = MalformedError
        if kind is None:
            return None
        return self.session.fault(
            kind, f"{told.code}: {told.description}", reply.provenance.url, expected="a result", status=reply.status
        )

    # The crumb: a token that belongs to a cookie, for quotes and options.

    async def _with_crumb(self, asking: Asking, path: str, query: Mapping[str, str]) -> Reply:
        fresh = self._crumb == "" or self.session.now_ns() >= self._crumb_until_ns
        if fresh:
            await self._new_crumb(asking)
        try:
            return await asking.get(path, query, secret_query={"crumb": self._crumb})
        except UnauthorisedError:
            self._crumb = ""
            if fresh:
                raise
        await self._new_crumb(asking)
        return await asking.get(path, query, secret_query={"crumb": self._crumb})

    async def _new_crumb(self, asking: Asking) -> None:
        # The page of the cookie is a 404 that sets it.
        # It is on a host of its own, whose connection is not kept.
        await asking.get("/", base=self.config.cookie_url, headers={"Connection": "close"}, any_status=True, main=False)
        reply = await asking.get("/v1/test/getcrumb", main=False)
        crumb = reply.body.decode()
        if not crumb or len(crumb) > 64 or "<" in crumb or " " in crumb:
            raise self.session.fault(
                UnauthorisedError, "it gave no crumb", reply.provenance.url, expected="a crumb to its cookie"
            )
        self.session.hide(crumb)
        self._crumb = crumb
        self._crumb_until_ns = self.session.now_ns() + int(self.config.crumb_seconds * SECOND_NS)

    async def _quotes(self, symbols: str, asking: Asking) -> list[Fact]:
        reply = await self._with_crumb(asking, "/v7/finance/quote", {"symbols": symbols})
        found = decode(self.session, reply, QuoteBody).quote_response.result
        self._refuse(lack_of_quotes(found), reply.provenance)
        facts: list[Fact] = [
            self._quote(item, place, reply.provenance) for place, item in enumerate(found) if not is_dead(item)
        ]
        if not facts:
            raise self.session.fault(NotFoundError, f"no quote of {symbols}", reply.provenance.url, expected="one")
        return facts

    def _refuse(self, path: str, provenance: Provenance) -> None:
        if path:
            raise missing(self.session, provenance.url, path)

    def _quote(self, item: Quote, place: int, provenance: Provenance) -> QuoteFact:
        power, currency = currency_of(item.currency)

        def price(value: float | None) -> float | None:
            return scaled(rounded(value, item.price_hint), power) if value else None

        return QuoteFact(
            symbol=item.symbol,
            time_ns=self._time(
                item.regular_market_time, provenance, f"$.quoteResponse.result[{place}].regularMarketTime"
            ),
            last=price(item.regular_market_price),
            bid=price(item.bid),
            ask=price(item.ask),
            bid_quantity=item.bid_size or None if item.bid else None,
            ask_quantity=item.ask_size or None if item.ask else None,
            volume=item.regular_market_volume,
            currency=currency,
            venue=item.full_exchange_name or item.exchange,
            provenance=provenance,
        )

    async def _options(self, symbol: str, asking: Asking) -> list[Fact]:
        underlying, _, day = symbol.partition("@")
        query = {"formatted": "false", "lang": "en-US", "region": "US"}
        if day:
            try:
                query["date"] = str(local_ns(day) // SECOND_NS)
            except ValueError as error:
                raise UnsupportedError(
                    str(error), where=f"options:{symbol}", expected="options:SYMBOL@2025-03-07", source=self.name
                ) from None
        reply = await self._with_crumb(asking, f"/v7/finance/options/{quoted(underlying, safe='')}", query)
        result = decode(self.session, reply, OptionBody).option_chain.result
        if not result or not (result[0].options and (result[0].options[0].calls or result[0].options[0].puts)):
            raise self.session.fault(NotFoundError, f"no options of {symbol}", reply.provenance.url, expected="some")
        chain = result[0]
        venue = chain.quote.full_exchange_name if chain.quote else ""
        contracts = [
            (f"$.optionChain.result[0].options[{at}].{side}[{place}]", contract)
            for at, expiry in enumerate(chain.options)
            for side, row in (("calls", expiry.calls), ("puts", expiry.puts))
            for place, contract in enumerate(row)
        ]
        self._refuse(lack_of_contracts(contracts), reply.provenance)
        facts: list[Fact] = []
        for path, contract in contracts:
            power, currency = currency_of(contract.currency)
            facts.append(
                QuoteFact(
                    symbol=contract.contract_symbol,
                    time_ns=self._time(contract.last_trade_date, reply.provenance, f"{path}.lastTradeDate"),
                    last=scaled(contract.last_price, power) if contract.last_price else None,
                    bid=scaled(contract.bid, power) if contract.bid else None,
                    ask=scaled(contract.ask, power) if contract.ask else None,
                    bid_quantity=None,
                    ask_quantity=None,
                    volume=contract.volume,
                    currency=currency,
                    venue=venue,
                    provenance=reply.provenance,
                )
            )
        return facts

    async def _chart(self, question: GetData, asking: Asking) -> tuple[Chart, Provenance]:
        interval = question.interval or "1d"
        if interval not in INTERVALS:
            raise UnsupportedError(
                f"interval {interval!r}", where=question.symbol, expected=", ".join(INTERVALS), source=self.name
            )
        now_ns = self.session.now_ns()
        begin_ns = question.begin_ns
        if not begin_ns and interval in REACH_DAYS:
            begin_ns = now_ns - REACH_DAYS[interval] * 86_400 * SECOND_NS
        query = {
            "useYfid": "true",
            "interval": NAMED.get(interval, interval),
            "includePrePost": "false" if INTERVALS[interval] else "true",
            "events": "div|split|earn",
            "lang": "en-US",
            "period1": str(begin_ns // SECOND_NS),
            "period2": str((question.end_ns or now_ns) // SECOND_NS),
        }
        reply = await asking.get(f"/v8/finance/chart/{quoted(question.symbol, safe='=')}", query)
        result = decode(self.session, reply, ChartBody).chart.result
        if not result:
            raise self.session.fault(NotFoundError, f"no {question.symbol}", reply.provenance.url, expected="a chart")
        return result[0], reply.provenance

    def _bars(self, interval: str, chart: Chart, provenance: Provenance) -> Iterator[BarFact]:
        meta, columns = chart.meta, chart.indicators.quote[0] if chart.indicators.quote else Columns()
        adjusted = chart.indicators.adjclose[0].adjclose if chart.indicators.adjclose else []
        power, currency = currency_of(meta.currency)
        where = self._zone(meta, provenance)
        times = chart.timestamp or []
        if chart.timestamp is None and columns.open:
            self._refuse("$.chart.result[0].timestamp", provenance)
        count = len(times)
        for name in ("open", "high", "low", "close", "volume"):
            length = len(getattr(columns, name))
            if length != count:
                path = f"$.chart.result[0].indicators.quote[0].{name}"
                raise self.session.fault(
                    MalformedError,
                    f"{path}: {length} values to {count} times",
                    provenance.url,
                    expected="as many",
                    path=path,
                )
        for place, seconds in enumerate(times):
            values = [getattr(columns, name)[place] for name in ("open", "high", "low", "close")]
            if any(value is None for value in values):
                continue  # nobody traded, or the bar is just being made
            prices = [scaled(rounded(value, meta.price_hint), power) for value in values]
            self._time(seconds, provenance, f"$.chart.result[0].timestamp[{place}]")
            begin_ns, end_ns = span_of(seconds, interval, where)
            close = adjusted[place] if place < len(adjusted) else None
            yield BarFact(
                symbol=meta.symbol,
                interval=interval,
                begin_ns=begin_ns,
                end_ns=end_ns,
                open=prices[0],
                high=prices[1],
                low=prices[2],
                close=prices[3],
                volume=columns.volume[place],
                adjusted_close=None if close is None else scaled(close, power),
                currency=currency,
                provenance=provenance,
            )

    def _events(self, chart: Chart, provenance: Provenance) -> Iterator[EventFact]:
        power, currency = currency_of(chart.meta.currency)
        told = [
            (item.date, "dividend", f"{scaled(item.amount, power):.10g} {currency}")
            for item in chart.events.dividends.values()
        ]
        told += [
            (item.date, "split", item.split_ratio or f"{item.numerator:g}:{item.denominator:g}")
            for item in chart.events.splits.values()
        ]
        for seconds, category, what in told:
            yield EventFact(
                key=chart.meta.symbol,
                time_ns=self._time(seconds, provenance, f"$.chart.result[0].events.{category}s.{seconds}"),
                category=category,
                country="",
                name=f"{chart.meta.symbol} {category}",
                actual=what,
                previous="",
                forecast="",
                url=f"https://finance.yahoo.com/quote/{quoted(chart.meta.symbol, safe='')}",
                provenance=provenance,
            )

    def _time(self, seconds: int, provenance: Provenance, path: str) -> int:
        try:
            return seconds_ns(seconds)
        except ValueError as error:
            raise self.session.fault(
                MalformedError, f"{path}: {error}", provenance.url, expected="seconds", path=path
            ) from None

    def _zone(self, meta: Meta, provenance: Provenance) -> tzinfo:
        try:
            return zone(meta.exchange_timezone_name)
        except ValueError as error:
            path = "$.chart.result[0].meta.exchangeTimezoneName"
            raise self.session.fault(
                MalformedError, f"{path}: {error}", provenance.url, expected="an IANA name", path=path
            ) from None

    async def _search(self, question: GetData, asking: Asking) -> list[Fact]:
        query = {
            "lang": "en-US",
            "region": "US",
            "quotesCount": str(question.limit or 6),
            "newsCount": "4",
            "enableFuzzyQuery": "false",
            "quotesQueryId": "tss_match_phrase_query",
            "multiQuoteQueryId": "multi_quote_single_token_query",
            "newsQueryId": "news_cie_vespa",
            "enableCb": "true",
            "enableNavLinks": "true",
            "enableEnhancedTrivialQuery": "true",
            "q": question.symbol,
        }
        reply = await asking.get("/v1/finance/search", query)
        found = decode(self.session, reply, SearchBody).quotes
        self._refuse(lack_of_symbols(found), reply.provenance)
        return [
            ListingFact(
                key=item.symbol,
                name=item.longname or item.shortname,
                category=item.quoteType,
                description=" / ".join(filter(None, (item.exchDisp, item.sector, item.industry))),
                currency="",
                unit="",
                frequency="",
                begin_ns=0,
                end_ns=0,
                updated_ns=0,
                links=(f"https://finance.yahoo.com/quote/{quoted(item.symbol, safe='')}",),
                provenance=reply.provenance,
            )
            for item in found
            if item.symbol
        ]
