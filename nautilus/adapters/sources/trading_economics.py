"""Trading Economics: https://docs.tradingeconomics.com/.

What a question's symbol may be:

- ECONOMIC: ``mexico/banks balance sheet``, the history of an indicator of a country.
- LISTING: ``mexico``, the indicators of a country.
- EVENT: ``china,japan``, the calendar of countries; ``all``.

It is asked for CSV, which is a third of its JSON. Its times are UTC. The key goes in a header, never in a URL.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from datetime import date
from typing import TypeVar
from urllib.parse import quote

import msgspec

from nautilus.adapters.sources.base import Source
from nautilus.adapters.sources.config import TradingEconomicsConfig
from nautilus.adapters.sources.csv_rows import rows_of
from nautilus.adapters.sources.errors import (
    MalformedError,
    NotFoundError,
    SourceError,
    UnauthorisedError,
    UnsupportedError,
)
from nautilus.adapters.sources.periods import longest_ns, period_until
from nautilus.adapters.sources.session import Asking, Reply
from nautilus.adapters.sources.times import DAY_NS, date_of, local_ns, number
from nautilus.adapters.sources.trading_economics_bodies import Event, Indicator, Observation
from nautilus.adapters.sources.units import scale_of, scaled
from nautilus.adapters.sources.validate import too_many_pages
from nautilus.model.datasets import DataKind, EconomicFact, EventFact, Fact, GetData, ListingFact, Provenance

T = TypeVar("T", bound=msgspec.Struct)
SITE = "https://tradingeconomics.com"
KNOWN_COUNTRIES = 64
KNOWN_NS = DAY_NS
"""After so long the indicators of a country are asked for again: their units change, too."""


class TradingEconomicsSource(Source):
    """Indicators of countries with their history, and the calendar."""

    name = "trading_economics"
    kinds = (DataKind.ECONOMIC, DataKind.LISTING, DataKind.EVENT)
    needs_key = True

    config: TradingEconomicsConfig
    _units: OrderedDict[str, tuple[int, dict[str, tuple[str, str]]]]
    """By country: when it was asked, and by indicator its unit and its frequency."""

    async def _ask(self, question: GetData, asking: Asking) -> Iterable[Fact]:
        if not hasattr(self, "_units"):
            self._units = OrderedDict()
        match question.kind:
            case DataKind.ECONOMIC:
                return await self._history(question, asking)
            case DataKind.LISTING:
                rows, at = await self._country(question.symbol, asking)
                return [self._listed(item, at) for item in rows]
            case _:
                return await self._calendar(question, asking)

    def judge(self, reply: Reply) -> SourceError | None:
        """A key that it does not take is a 401 or a text that says so; 409 and 410 are of other refusals."""
        if reply.status == 200 and reply.body[:400].lower().startswith(
            (b'"invalid', b"invalid", b'{"message":"invalid')
        ):
            return self.session.fault(
                UnauthorisedError, self.session.quoted(reply.body), reply.provenance.url, expected="rows", status=200
            )
        return None

    async def _rows(self, asking: Asking, path: str, kind: type[T], **query: str) -> tuple[list[T], Provenance]:
        reply = await asking.get(path, {**query, "f": "csv"}, headers={"Authorization": self.config.key})
        return rows_of(self.session, reply, kind), reply.provenance

    async def _country(self, country: str, asking: Asking) -> tuple[list[Indicator], Provenance]:
        rows, at = await self._rows(asking, f"/country/{quote(country.lower(), safe=',')}", Indicator)
        if not rows:
            raise self.session.fault(NotFoundError, f"no country {country}", at.url, expected="a country")
        units = {row.category.lower(): (row.unit, row.frequency) for row in rows}
        self._units[country.lower()] = self.session.now_ns(), units
        self._units.move_to_end(country.lower())
        while len(self._units) > KNOWN_COUNTRIES:
            self._units.popitem(last=False)
        return rows, at

    async def _history(self, question: GetData, asking: Asking) -> list[Fact]:
        country, _, indicator = question.symbol.lower().partition("/")
        if not indicator:
            raise UnsupportedError(
                f"series {question.symbol!r}", where=self.name, expected="country/indicator", source=self.name
            )
        if country not in self._units or self.session.now_ns() - self._units[country][0] > KNOWN_NS:
            await self._country(country, asking)
        _, units = self._units[country]
        told_unit, frequency = units.get(indicator, ("", ""))
        power, unit = scale_of(told_unit)
        base = f"/historical/country/{quote(country, safe=',')}/indicator/{quote(indicator, safe=',')}"
        begin = date_of(question.begin_ns) if question.begin_ns else ""
        # It goes by the last day of a period: that of one which begins in the range may lie behind it.
        end = date_of(question.end_ns - 1 + longest_ns(frequency)) if question.end_ns else ""
        found: dict[str, tuple[Observation, Provenance]] = {}
        for _ in range(self.config.most_pages):
            path = base if not begin and not end else f"{base}/{begin or '1800-01-01'}" + (f"/{end}" if end else "")
            rows, at = await self._rows(asking, path, Observation)
            before = len(found)
            found.update((f"{row.country}/{row.category}/{row.date_time}", (row, at)) for row in rows)
            if len(rows) < self.config.historical_rows or len(found) == before:
                break
            begin = max(row.date_time for row in rows)[:10]
        else:
            raise too_many_pages(self.session, asking)
        if not found:
            raise self.session.fault(
                NotFoundError, f"no {question.symbol}", asking.provenance.url, expected="an indicator of a country"
            )
        return [self._observed(question.symbol, row, at, power, unit) for row, at in found.values()]

    def _observed(self, series: str, row: Observation, at: Provenance, power: int, unit: str) -> EconomicFact:
        try:
            # It dates a period by its last day.
            begin_ns, end_ns = period_until(date.fromisoformat(row.date_time[:10]), row.frequency)
            value = number(row.value)
            vintage_ns = local_ns(row.last_update) if row.last_update else 0
        except ValueError as error:
            raise self.session.fault(
                MalformedError, f"{row.date_time}: {error}", at.url, expected="dates and a number", path="$[].Value"
            ) from None
        return EconomicFact(
            series=series,
            begin_ns=begin_ns,
            end_ns=end_ns,
            value=None if value is None else scaled(value, power),
            unit=unit,
            frequency=row.frequency,
            vintage_ns=vintage_ns,
            provenance=at,
        )

    def _listed(self, item: Indicator, at: Provenance) -> ListingFact:
        try:
            end_ns = local_ns(item.latest_value_date)
        except ValueError as error:
            raise self.session.fault(
                MalformedError, str(error), at.url, expected="a date", path="$[].LatestValueDate"
            ) from None
        return ListingFact(
            key=f"{item.country}/{item.category}".lower(),
            name=item.title,
            category=item.category_group,
            description=item.source,
            currency="",
            unit=item.unit,
            frequency=item.frequency,
            begin_ns=0,
            end_ns=end_ns,
            updated_ns=0,
            links=(f"{SITE}{item.link}",) if item.link.startswith("/") else (),
            provenance=at,
        )

    async def _calendar(self, question: GetData, asking: Asking) -> list[Fact]:
        path = f"/calendar/country/{quote(question.symbol.lower(), safe=',')}"
        begin = date_of(question.begin_ns) if question.begin_ns else ""
        end = date_of(question.end_ns + DAY_NS - 1) if question.end_ns else ""
        if begin and not end:
            end = date_of(self.session.now_ns() + 366 * DAY_NS)
        found: dict[str, tuple[Event, Provenance]] = {}
        for _ in range(self.config.most_pages):
            rows, at = await self._rows(asking, f"{path}/{begin or '1900-01-01'}/{end}" if end else path, Event)
            before = len(found)
            found.update((row.calendar_id, (row, at)) for row in rows)
            if len(rows) < self.config.calendar_rows or len(found) == before or not end:
                return [self._told(row, at) for row, at in found.values()]
            begin = max(row.date for row in rows)[:10]
        raise too_many_pages(self.session, asking)

    def _told(self, row: Event, at: Provenance) -> EventFact:
        try:
            time_ns = local_ns(row.date)
        except ValueError as error:
            raise self.session.fault(MalformedError, str(error), at.url, expected="a time", path="$[].Date") from None
        return EventFact(
            key=row.calendar_id,
            time_ns=time_ns,
            category=row.category,
            country=row.country,
            name=f"{row.event} {row.reference}".strip(),
            actual=row.actual,
            previous=row.previous,
            forecast=row.forecast,
            url=f"{SITE}{row.link}" if row.link.startswith("/") else row.link,
            provenance=at,
        )
