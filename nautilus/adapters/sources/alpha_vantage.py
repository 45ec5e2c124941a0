"""Alpha Vantage: https://www.alphavantage.co/documentation/.

What a question's symbol may be:

- QUOTE: ``MSFT``. LISTING: words to search for. FUNDAMENTAL: ``MSFT``, the overview of a company.
- BAR: ``MSFT`` with an interval of 1m, 5m, 15m, 30m, 1h, 1d, 1w or 1mo. Of less than a day it tells the latest 30
  days, or a month that is asked for: a range that begins before is asked month by month.
- ECONOMIC: ``REAL_GDP``, ``CPI`` and its other indicators of an economy; ``SMA:MSFT:15min:10:close``, a technical
  indicator: its name, the symbol, the interval, the periods, the price.

It answers 200 to everything. ``Note`` and ``Information`` in a body are refusals, mostly of too many requests, and
``Error Message`` says that the call is wrong, which of a symbol means that there is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta, tzinfo
from typing import TypeVar

import msgspec

from nautilus.adapters.sources.alpha_vantage_bodies import Bar, IndicatorBody, Quote, QuoteBody, SearchBody
from nautilus.adapters.sources.alpha_vantage_units import unit_of
from nautilus.adapters.sources.base import Source, within
from nautilus.adapters.sources.errors import (
    MalformedError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    SourceError,
    UnauthorisedError,
    UnsupportedError,
)
from nautilus.adapters.sources.periods import period_from
from nautilus.adapters.sources.session import SECOND_NS, Asking, Reply
from nautilus.adapters.sources.times import DAY_NS, from_ns, local_ns, number, to_ns, zone
from nautilus.adapters.sources.units import scale_of, scaled
from nautilus.adapters.sources.validate import decode, decode_part, missing
from nautilus.model.datasets import (
    BarFact,
    DataKind,
    EconomicFact,
    Fact,
    FundamentalFact,
    GetData,
    ListingFact,
    QuoteFact,
)

T = TypeVar("T")
INTRADAY = {"1m": "1min", "5m": "5min", "15m": "15min", "30m": "30min", "1h": "60min"}
MINUTES = {"1min": 1, "5min": 5, "15min": 15, "30min": 30, "60min": 60}
CALENDAR = {"1d": "TIME_SERIES_DAILY", "1w": "TIME_SERIES_WEEKLY_ADJUSTED", "1mo": "TIME_SERIES_MONTHLY_ADJUSTED"}
COMPACT = 100
"""Bars of a short answer; all of them are twenty times as much."""
RECENT_NS = 29 * DAY_NS
"""So far back reaches an answer to which no month is asked, and a day less: of 30 days."""
FIRST_MONTH = (2000, 1)
"""Of the bars of minutes that it has."""
NEW_YORK = "US/Eastern"
_BY_KEY = re.compile(r"apikey is invalid|apikey is missing|invalid or missing|demo\W+API key", re.IGNORECASE)
_BY_RATE = re.compile(r"rate limit|call frequency|requests? per|calls per|sparingly", re.IGNORECASE)
_SHORTLY = re.compile(r"per second|per minute", re.IGNORECASE)
_PAID = re.compile(r"premium", re.IGNORECASE)


class AlphaVantageSource(Source):
    """Quotes, bars, a search, companies, indicators of economies and of prices."""

    name = "alpha_vantage"
    kinds = (DataKind.QUOTE, DataKind.BAR, DataKind.LISTING, DataKind.FUNDAMENTAL, DataKind.ECONOMIC)
    needs_key = True

    async def _ask(self, question: GetData, asking: Asking) -> Iterable[Fact]:
        match question.kind:
            case DataKind.QUOTE:
                return await self._quote(question, asking)
            case DataKind.BAR:
                return await self._bars(question, asking)
            case DataKind.LISTING:
                return await self._search(question, asking)
            case DataKind.FUNDAMENTAL:
                return await self._overview(question, asking)
            case _ if ":" in question.symbol:
                return await self._technical(question, asking)
            case _:
                return await self._economy(question, asking)

    def judge(self, reply: Reply) -> SourceError | None:
        """What lies in a body of status 200 and is no answer."""
        if reply.status != 200 or not any(
            word in reply.body[:4096] for word in (b'"Note"', b'"Information"', b'"Error Message"')
        ):
            return None
        try:
            told = msgspec.json.decode(reply.body, type=dict[str, msgspec.Raw])
            texts = {
                name: str(msgspec.json.decode(told[name]))
                for name in ("Error Message", "Note", "Information")
                if name in told
            }
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if not texts:
            return None
        name, text = next(iter(texts.items()))
        kind: type[SourceError] = NotFoundError if name == "Error Message" else RefusedError
        retry_seconds = -1.0
        if _BY_KEY.search(text):
            kind = UnauthorisedError
        elif name != "Error Message" and _BY_RATE.search(text):
            kind, retry_seconds = RateLimitedError, self.config.unsaid_seconds
            if not _SHORTLY.search(text):  # the day's
                now_ns = self.session.now_ns()
                retry_seconds = (self.session.limits.day_ends_ns(now_ns) - now_ns) / SECOND_NS
        elif name != "Error Message" and _PAID.search(text):
            kind = UnsupportedError
        return self.session.fault(
            kind, f"{name}: {text}", reply.provenance.url, expected="data", status=200, retry_seconds=retry_seconds
        )

    async def _get(self, asking: Asking, function: str, **query: str) -> Reply:
        return await asking.get("/query", {"function": function, **query}, secret_query={"apikey": self.config.key})

    async def _quote(self, question: GetData, asking: Asking) -> list[Fact]:
        reply = await self._get(asking, "GLOBAL_QUOTE", symbol=question.symbol)
        body = decode(self.session, reply, QuoteBody)
        if not body.quote:  # what it says of a symbol that it has not
            raise self.session.fault(NotFoundError, f"no {question.symbol}", reply.provenance.url, expected="a quote")
        quote = self._convert(body.quote, Quote, reply, '$["Global Quote"]')
        path = '$["Global Quote"]'
        return [
            QuoteFact(
                symbol=quote.symbol,
                time_ns=self._time(quote.day, zone("US/Eastern"), reply, f'{path}["07. latest trading day"]'),
                last=self._number(quote.price, reply, f'{path}["05. price"]'),
                bid=None,
                ask=None,
                bid_quantity=None,
                ask_quantity=None,
                volume=self._number(quote.volume, reply, f'{path}["06. volume"]'),
                currency="",
                venue="",
                provenance=reply.provenance,
            )
        ]

    async def _search(self, question: GetData, asking: Asking) -> list[Fact]:
        reply = await self._get(asking, "SYMBOL_SEARCH", keywords=question.symbol)
        return [
            ListingFact(
                key=item.symbol,
                name=item.name,
                category=item.kind,
                description=item.region,
                currency=item.currency,
                unit="",
                frequency="",
                begin_ns=0,
                end_ns=0,
                updated_ns=0,
                links=(),
                provenance=reply.provenance,
            )
            for item in decode(self.session, reply, SearchBody).matches
        ]

    async def _bars(self, question: GetData, asking: Asking) -> list[Fact]:
        interval = question.interval or "1d"
        query = {"symbol": question.symbol}
        if interval in INTRADAY:
            function = "TIME_SERIES_INTRADAY"
            query["interval"] = INTRADAY[interval]
        elif interval in CALENDAR:
            function = CALENDAR[interval]
        else:
            raise UnsupportedError(
                f"interval {interval!r}",
                where=question.symbol,
                expected=", ".join((*INTRADAY, *CALENDAR)),
                source=self.name,
            )
        if interval in INTRADAY or interval == "1d":
            short = 0 < question.limit <= COMPACT and not question.begin_ns and not question.end_ns
            query["outputsize"] = "compact" if short else "full"
        months = self._months(question) if interval in INTRADAY else []
        if not months:
            reply = await self._get(asking, function, **query)
            return self._bars_of(question.symbol, interval, reply)
        facts: list[Fact] = []
        # The latest month first: where there is none of a symbol, nothing more is spent on it.
        for month in reversed(months):
            try:
                reply = await self._get(asking, function, **query, month=month)
                facts += self._bars_of(question.symbol, interval, reply)
            except NotFoundError:  # it was not traded before, either
                if not facts:
                    raise
                break
            if question.limit and len(within(facts, question)) >= question.limit:
                break
        return facts

    def _months(self, question: GetData) -> list[str]:
        """Months that a range of minutes has to be asked by; none: what it tells without one has all of it."""
        now_ns = self.session.now_ns()
        end_ns = min(question.end_ns or now_ns, now_ns)
        if (question.begin_ns or end_ns) >= now_ns - RECENT_NS:
            return []
        first, last = (
            (day.year, day.month) for day in (from_ns(at, zone(NEW_YORK)) for at in (question.begin_ns, end_ns - 1))
        )
        if not question.begin_ns:
            first = last
        year, month = max(first, FIRST_MONTH)
        found: list[str] = []
        while (year, month) <= last:
            found.append(f"{year}-{month:02}")
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        if not 0 < len(found) <= self.config.most_pages or not question.begin_ns:
            raise UnsupportedError(
                f"bars of minutes of {len(found)} months" if question.begin_ns else "bars of minutes without a begin",
                where=question.symbol,
                expected=f"a range of {self.config.most_pages} months at most, from January 2000 on",
                source=self.name,
            )
        return found

    def _bars_of(self, symbol: str, interval: str, reply: Reply) -> list[Fact]:
        rows, path, where = self._series(reply, dict[str, Bar], "Time Series")
        facts: list[Fact] = []
        for text, row in rows.items():
            place = f'{path}["{text}"]'
            begin_ns, end_ns = self._span(text, interval, where, reply, place)
            volume = row.adjusted_volume if row.volume is None else row.volume
            prices = [
                self._price(value, reply, f"{place}.{name}")
                for name, value in (("open", row.open), ("high", row.high), ("low", row.low), ("close", row.close))
            ]
            facts.append(
                BarFact(
                    symbol=symbol,
                    interval=interval,
                    begin_ns=begin_ns,
                    end_ns=end_ns,
                    open=prices[0],
                    high=prices[1],
                    low=prices[2],
                    close=prices[3],
                    volume=self._number(volume, reply, f"{place}.volume"),
                    adjusted_close=self._number(row.adjusted, reply, f"{place}.adjusted close"),
                    currency="",
                    provenance=reply.provenance,
                )
            )
        return facts

    async def _technical(self, question: GetData, asking: Asking) -> list[Fact]:
        parts = question.symbol.split(":")
        if len(parts) != 5:
            raise UnsupportedError(
                f"indicator {question.symbol!r}",
                where=question.symbol,
                expected="NAME:SYMBOL:INTERVAL:PERIODS:PRICE, such as SMA:MSFT:15min:10:close",
                source=self.name,
            )
        function, symbol, interval, periods, price = parts
        reply = await self._get(
            asking, function, symbol=symbol, interval=interval, time_period=periods, series_type=price
        )
        rows, path, where = self._series(reply, dict[str, dict[str, str]], "Technical Analysis")
        facts: list[Fact] = []
        length_ns = MINUTES.get(interval, 0) * 60 * SECOND_NS
        for text, row in rows.items():
            time_ns = self._time(text, where, reply, f'{path}["{text}"]')
            facts += [
                EconomicFact(
                    series=question.symbol if len(row) == 1 else f"{question.symbol}:{name}",
                    begin_ns=time_ns,
                    end_ns=time_ns + length_ns,
                    value=self._number(value, reply, f'{path}["{text}"].{name}'),
                    unit="",
                    frequency=interval,
                    vintage_ns=0,
                    provenance=reply.provenance,
                )
                for name, value in row.items()
            ]
        return facts

    async def _economy(self, question: GetData, asking: Asking) -> list[Fact]:
        function, _, interval = question.symbol.partition("@")
        reply = await self._get(asking, function, **({"interval": interval} if interval else {}))
        body = decode(self.session, reply, IndicatorBody)
        power, unit = scale_of(body.unit)
        facts: list[Fact] = []
        for place, point in enumerate(body.data):
            path = f"$.data[{place}]"
            try:
                begin_ns, end_ns = period_from(date.fromisoformat(point.date), body.interval)
            except ValueError as error:
                raise self.session.fault(
                    MalformedError,
                    f"{path}.date: {error}",
                    reply.provenance.url,
                    expected="a date",
                    path=f"{path}.date",
                ) from None
            value = self._number(point.value, reply, f"{path}.value")
            facts.append(
                EconomicFact(
                    series=question.symbol,
                    begin_ns=begin_ns,
                    end_ns=end_ns,
                    value=None if value is None else scaled(value, power),
                    unit=unit,
                    frequency=body.interval,
                    vintage_ns=0,
                    provenance=reply.provenance,
                )
            )
        return facts

    async def _overview(self, question: GetData, asking: Asking) -> list[Fact]:
        reply = await self._get(asking, "OVERVIEW", symbol=question.symbol)
        body = decode(self.session, reply, dict[str, str])
        if not body:
            raise self.session.fault(NotFoundError, f"no {question.symbol}", reply.provenance.url, expected="a company")
        for name in ("LatestQuarter", "Currency"):  # the time and the unit of all figures
            if name not in body:
                raise missing(self.session, reply.provenance.url, f"$.{name}")
        quarter = body["LatestQuarter"]
        end_ns = self._time(quarter, zone("UTC"), reply, "$.LatestQuarter") if quarter[:1].isdigit() else 0
        facts: list[Fact] = []
        for concept, text in body.items():
            if concept in ("Symbol", "CIK"):
                continue
            try:
                value = number(text)
            except ValueError:
                continue  # words: its name, its address
            facts.append(
                FundamentalFact(
                    symbol=question.symbol,
                    concept=concept,
                    value=value,
                    unit=unit_of(concept, body["Currency"]),
                    begin_ns=end_ns,
                    end_ns=end_ns,
                    filed_ns=0,
                    form="",
                    provenance=reply.provenance,
                )
            )
        return facts

    # Pieces of an answer.

    def _series(self, reply: Reply, kind: type[T], word: str) -> tuple[T, str, tzinfo]:
        """The table of a body, whose name tells what it is, its path, and the time zone of its times."""
        url = reply.provenance.url
        parts = decode(self.session, reply, dict[str, msgspec.Raw])
        name = next((name for name in parts if word in name), None)
        meta = decode_part(self.session, url, parts.get("Meta Data", b"{}"), dict[str, str | int], '$["Meta Data"]')
        told = next((str(value) for name, value in meta.items() if "Time Zone" in name), None)
        if name is None or told is None:
            path = f'$["{word}"]' if name is None else '$["Meta Data"]["Time Zone"]'
            raise self.session.fault(MalformedError, f"{path} is missing", url, expected=path, path=path)
        try:
            where = zone(told)
        except ValueError as error:
            path = '$["Meta Data"]["Time Zone"]'
            raise self.session.fault(MalformedError, f"{path}: {error}", url, expected="a zone", path=path) from None
        path = f'$["{name}"]'
        return decode_part(self.session, url, parts[name], kind, path), path, where

    def _convert(self, value: object, kind: type[T], reply: Reply, path: str) -> T:
        return decode_part(self.session, reply.provenance.url, msgspec.json.encode(value), kind, path)

    def _number(self, text: str | None, reply: Reply, path: str) -> float | None:
        try:
            return number(text)
        except ValueError:
            raise self.session.fault(
                MalformedError, f"{path}: {text!r}", reply.provenance.url, expected="a number", path=path
            ) from None

    def _price(self, text: str, reply: Reply, path: str) -> float:
        value = self._number(text, reply, path)
        if value is None:
            raise self.session.fault(
                MalformedError, f"{path}: {text!r}", reply.provenance.url, expected="a price", path=path
            )
        return value

    def _time(self, text: str, where: tzinfo, reply: Reply, path: str) -> int:
        try:
            return local_ns(text, where)
        except ValueError:
            raise self.session.fault(
                MalformedError, f"{path}: {text!r}", reply.provenance.url, expected="a time", path=path
            ) from None

    def _span(self, text: str, interval: str, where: tzinfo, reply: Reply, path: str) -> tuple[int, int]:
        """Beginning and end: a bar of minutes is named by its beginning, a longer one by its last day."""
        begin_ns = self._time(text, where, reply, path)
        if interval in INTRADAY:
            return begin_ns, begin_ns + MINUTES[INTRADAY[interval]] * 60 * SECOND_NS
        day = date.fromisoformat(text[:10])
        after = day + timedelta(days=1)
        first = day if interval == "1d" else day - timedelta(days=day.weekday())
        if interval == "1mo":
            first = day.replace(day=1)
        return _midnight_ns(first, where), _midnight_ns(after, where)


def _midnight_ns(day: date, where: tzinfo) -> int:
    return to_ns(datetime(day.year, day.month, day.day, tzinfo=where))
