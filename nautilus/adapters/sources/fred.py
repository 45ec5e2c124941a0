"""FRED, the data of the Federal Reserve Bank of St. Louis: https://fred.stlouisfed.org/docs/api/fred/.

What a question's symbol may be:

- ECONOMIC: ``GDP``, the latest of each observation; ``GDP@initial``, each as it was first told; ``GDP@all``, each as it
  was told at any time; ``GDP@2020-01-31``, all as they were known on that day.
- LISTING: words to search for; ``series:GDP``; ``category:125``, the series of it; ``children:125``, its categories.
- EVENT: ``GDP``, the days on which its values were told or revised; ``release:53``, the days of a release.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, timedelta
from typing import TypeVar
from urllib.parse import quote

import msgspec

from nautilus.adapters.sources.base import Source
from nautilus.adapters.sources.errors import MalformedError, NotFoundError, SourceError, UnauthorisedError
from nautilus.adapters.sources.fred_bodies import (
    CategoryPage,
    ErrorBody,
    ObservationPage,
    ReleaseDatePage,
    ReleasePage,
    Series,
    SeriesPage,
    VintagePage,
)
from nautilus.adapters.sources.periods import day_ns, longest_ns, period_from, period_until
from nautilus.adapters.sources.session import Asking, Reply
from nautilus.adapters.sources.times import DAY_NS, date_of, local_ns, number
from nautilus.adapters.sources.units import scale_of, scaled
from nautilus.adapters.sources.validate import decode, missing
from nautilus.model.datasets import DataKind, EconomicFact, EventFact, Fact, GetData, ListingFact, Provenance

T = TypeVar("T")
EARLIEST, LATEST = "1776-07-04", "9999-12-31"
"""What FRED takes for "ever"."""
KNOWN_SERIES = 512
KNOWN_NS = DAY_NS
"""After so long it is asked again what a series is: its unit changes, too."""
_KEY = re.compile(r"api_key", re.IGNORECASE)
_ABSENT = re.compile(r"does not exist|not found", re.IGNORECASE)


class FredSource(Source):
    """Series with their vintages, what series there are, and when they are told."""

    name = "fred"
    kinds = (DataKind.ECONOMIC, DataKind.LISTING, DataKind.EVENT)
    needs_key = True

    _series: OrderedDict[str, tuple[int, Series]]

    async def _ask(self, question: GetData, asking: Asking) -> Iterable[Fact]:
        if not hasattr(self, "_series"):
            self._series = OrderedDict()
        match question.kind:
            case DataKind.ECONOMIC:
                return await self._observations(question, asking)
            case DataKind.LISTING:
                return await self._listing(question, asking)
            case _:
                return await self._events(question, asking)

    def judge(self, reply: Reply) -> SourceError | None:
        """A body with `error_code` and `error_message` comes with every status but 200."""
        if reply.status < 400 or reply.status in (429,) or reply.status >= 500:
            return None
        try:
            body = msgspec.json.decode(reply.body, type=ErrorBody)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        kind: type[SourceError] | None = None
        if _KEY.search(body.error_message):
            kind = UnauthorisedError
        elif _ABSENT.search(body.error_message):
            kind = NotFoundError
        if kind is None:
            return None
        return self.session.fault(
            kind, body.error_message, reply.provenance.url, expected="status 200", status=reply.status
        )

    async def _page(
        self, asking: Asking, path: str, query: Mapping[str, str], kind: type[T]
    ) -> tuple[T, Provenance, Reply]:
        reply = await asking.get(
            path, {"file_type": "json", **query}, secret_query={"api_key": self.config.key} if self.config.key else {}
        )
        return decode(self.session, reply, kind), reply.provenance, reply

    async def _pages(
        self, asking: Asking, path: str, query: Mapping[str, str], kind: type[T], items: str, most: int = 0
    ) -> list[tuple[T, Provenance]]:
        """All pages, or as many as give `most` items."""
        found: list[tuple[T, Provenance]] = []
        offset = 0
        for _ in range(self.config.most_pages):
            more = {"offset": str(offset)} if offset else {}
            page, provenance, _ = await self._page(asking, path, {**query, **more}, kind)
            if page.count < 0:  # type: ignore[attr-defined]
                raise missing(self.session, provenance.url, "$.count")  # one page would be taken for all of them
            found.append((page, provenance))
            length = len(getattr(page, items))
            offset += length
            if not length or offset >= page.count or (most and offset >= most):  # type: ignore[attr-defined]
                return found
        raise self.session.fault(
            MalformedError,
            f"more than {self.config.most_pages} pages",
            found[-1][1].url,
            expected="a narrower question, or more of most_pages",
        )

    async def _info(self, series: str, asking: Asking) -> tuple[Series, Provenance | None]:
        known_ns, known = self._series.get(series, (0, None))
        now_ns = self.session.now_ns()
        if known is not None and now_ns - known_ns <= KNOWN_NS:
            self._series.move_to_end(series)
            return known, None
        page, provenance, _ = await self._page(asking, "/series", {"series_id": series}, SeriesPage)
        if not page.seriess:
            raise self.session.fault(NotFoundError, f"no series {series}", provenance.url, expected="a series")
        self._series[series] = now_ns, page.seriess[0]
        while len(self._series) > KNOWN_SERIES:
            self._series.popitem(last=False)
        return page.seriess[0], provenance

    async def _observations(self, question: GetData, asking: Asking) -> list[Fact]:
        name, _, vintage = question.symbol.partition("@")
        info, _ = await self._info(name, asking)
        query = {"series_id": name}
        match vintage:
            case "":
                pass
            case "initial":
                query |= {"output_type": "4", "realtime_start": EARLIEST}
            case "all":
                query |= {"realtime_start": EARLIEST, "realtime_end": LATEST}
            case _:
                query |= {"realtime_start": vintage, "realtime_end": vintage}
        if question.begin_ns:
            query["observation_start"] = date_of(question.begin_ns)
        if question.end_ns:
            # A week that is dated by its last day may begin in the range and end behind it.
            further_ns = longest_ns(info.frequency) if _by_last_day(info.frequency) else 0
            query["observation_end"] = date_of(question.end_ns - 1 + further_ns)
        if question.limit and not vintage:
            query |= {"sort_order": "desc", "limit": str(question.limit)}
        pages = await self._pages(
            asking, "/series/observations", query, ObservationPage, "observations", question.limit
        )
        power, unit = scale_of(info.units)
        facts: list[Fact] = []
        for page, provenance in pages:
            for index, item in enumerate(page.observations):
                try:
                    value = number(item.value)
                    begin_ns, end_ns = _period(date.fromisoformat(item.date), info.frequency)
                    told_ns = day_ns(date.fromisoformat(item.realtime_start))
                except ValueError as error:
                    path = f"$.observations[{index}]"
                    raise self.session.fault(
                        MalformedError, f"{path}: {error}", provenance.url, expected="dates and a number", path=path
                    ) from None
                facts.append(
                    EconomicFact(
                        series=name,
                        begin_ns=begin_ns,
                        end_ns=end_ns,
                        value=None if value is None else scaled(item.value, power),
                        unit=unit,
                        frequency=info.frequency,
                        # Where no vintage was asked for it is the day of asking, and says nothing of the value.
                        vintage_ns=told_ns if vintage else 0,
                        provenance=provenance,
                    )
                )
        return facts

    async def _listing(self, question: GetData, asking: Asking) -> list[Fact]:
        what, _, rest = question.symbol.partition(":")
        if what == "children" and rest:
            page, provenance, _ = await self._page(asking, "/category/children", {"category_id": rest}, CategoryPage)
            return [
                ListingFact(
                    key=f"category:{item.id}",
                    name=item.name,
                    category=f"category:{item.parent_id}",
                    description="",
                    currency="",
                    unit="",
                    frequency="",
                    begin_ns=0,
                    end_ns=0,
                    updated_ns=0,
                    links=(f"https://fred.stlouisfed.org/categories/{item.id}",),
                    provenance=provenance,
                )
                for item in page.categories
            ]
        if what == "series" and rest:
            self._series.pop(rest, None)
            info, first = await self._info(rest, asking)
            return [self._listed(info, first or asking.provenance, "")]
        if what == "category" and rest:
            path, query = "/category/series", {"category_id": rest}
        else:
            path, query = "/series/search", {"search_text": question.symbol}
            if question.limit:
                query["limit"] = str(question.limit)
        pages = await self._pages(asking, path, query, SeriesPage, "seriess", question.limit)
        return [
            self._listed(item, provenance, question.symbol if what == "category" else "")
            for page, provenance in pages
            for item in page.seriess
        ]

    def _listed(self, item: Series, provenance: Provenance, category: str) -> ListingFact:
        try:
            begin_ns = local_ns(item.observation_start)
            end_ns = local_ns(item.observation_end)
            updated_ns = local_ns(item.last_updated)
        except ValueError as error:
            raise self.session.fault(
                MalformedError, f"series {item.id}: {error}", provenance.url, expected="dates", path="$.seriess"
            ) from None
        return ListingFact(
            key=item.id,
            name=item.title,
            category=category or item.seasonal_adjustment,
            description=item.notes or "",
            currency="",
            unit=item.units,
            frequency=item.frequency,
            begin_ns=begin_ns,
            end_ns=end_ns,
            updated_ns=updated_ns,
            links=(f"https://fred.stlouisfed.org/series/{quote(item.id, safe='')}",),
            provenance=provenance,
        )

    async def _events(self, question: GetData, asking: Asking) -> list[Fact]:
        what, _, rest = question.symbol.partition(":")
        if what == "release" and rest:
            dated = await self._pages(
                asking, "/release/dates", {"release_id": rest}, ReleaseDatePage, "release_dates", 0
            )
            return [
                self._event(question.symbol, item.date, f"release {item.release_id}", "", provenance)
                for page, provenance in dated
                for item in page.release_dates
            ]
        releases, _, _ = await self._page(asking, "/series/release", {"series_id": question.symbol}, ReleasePage)
        name, link = (releases.releases[0].name, releases.releases[0].link) if releases.releases else ("", "")
        pages = await self._pages(
            asking, "/series/vintagedates", {"series_id": question.symbol}, VintagePage, "vintage_dates", 0
        )
        return [
            self._event(question.symbol, day, name, link, provenance)
            for page, provenance in pages
            for day in page.vintage_dates
        ]

    def _event(self, key: str, day: str, name: str, link: str, provenance: Provenance) -> EventFact:
        try:
            time_ns = local_ns(day, UTC)
        except ValueError as error:
            raise self.session.fault(MalformedError, str(error), provenance.url, expected="a date") from None
        return EventFact(
            key=key,
            time_ns=time_ns,
            category="release",
            country="US",
            name=name,
            actual="",
            previous="",
            forecast="",
            url=link,
            provenance=provenance,
        )


def _by_last_day(frequency: str) -> bool:
    return frequency.startswith(("Weekly", "Biweekly")) and "Ending" in frequency


def _period(day: date, frequency: str) -> tuple[int, int]:
    """FRED dates a week by its last day ("Weekly, Ending Friday"), or by the day it was looked at ("As of ...")."""
    if frequency.startswith(("Weekly", "Biweekly")):
        if _by_last_day(frequency):
            return period_until(day, frequency)
        return day_ns(day), day_ns(day + timedelta(days=1))
    return period_from(day, frequency)
