"""Data.gov, the catalog of the U.S. Government's data sets: https://resources.data.gov/catalog-api/.

A LISTING's symbol is words to search for, with filters among them: ``climate org:nasa``, ``keyword:health``,
``sort:popularity``. Each data set is told with the addresses of its distributions. Where the catalog is not to be had,
the one that it replaced (CKAN, read-only) is asked for the same words, if its address is set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from urllib.parse import urlsplit

import msgspec

from nautilus.adapters.sources.base import Source
from nautilus.adapters.sources.config import DataGovConfig, SourceConfig
from nautilus.adapters.sources.errors import (
    NotFoundError,
    RateLimitedError,
    SourceError,
    SourceTimeoutError,
    UnauthorisedError,
    UnavailableError,
    UnsupportedError,
)
from nautilus.adapters.sources.periods import day_ns
from nautilus.adapters.sources.session import Asking, Reply, Session
from nautilus.adapters.sources.times import DAY_NS, local_ns
from nautilus.adapters.sources.validate import decode, missing, too_many_pages
from nautilus.model.datasets import DataKind, Fact, GetData, ListingFact, Provenance

PAGE = 100  # records asked for at once at most
HOUR_SECONDS = 3600.0
NEW_SHARE = 0.5
"""Of a question's time is the new catalog's, where the old one may be asked after it."""
FILTERS = {"org": "org_slug", "keyword": "keyword", "sort": "sort", "type": "org_type"}


class Distribution(msgspec.Struct, frozen=True):
    """A way to the data."""

    downloadURL: str | None = None  # noqa: N815
    accessURL: str | None = None  # noqa: N815


class Dcat(msgspec.Struct, frozen=True):
    """What the publisher says, as DCAT-US; every field may be missing."""

    accrualPeriodicity: str | None = None  # noqa: N815
    distribution: list[Distribution | str] | None = None
    modified: str | None = None
    temporal: str | None = None
    landingPage: str | None = None  # noqa: N815


class Organization(msgspec.Struct, frozen=True):
    name: str
    slug: str = ""


class DataSet(msgspec.Struct, frozen=True):
    """A record of the catalog."""

    title: str
    publisher: str | None = None
    description: str | None = None
    identifier: str | None = None
    slug: str | None = None
    organization: Organization | None = None
    last_harvested_date: str | None = None
    landingPage: str | None = None  # noqa: N815
    harvest_record: str | None = None
    dcat: Dcat | None = None


class Page(msgspec.Struct, frozen=True):
    results: list[DataSet]
    after: str | msgspec.UnsetType | None = msgspec.UNSET


class Failure(msgspec.Struct, frozen=True):
    code: str
    message: str


class FailureBody(msgspec.Struct, frozen=True):
    error: Failure


class CkanResource(msgspec.Struct, frozen=True):
    url: str | None = None


class CkanOrganization(msgspec.Struct, frozen=True):
    title: str | None = None


class CkanPackage(msgspec.Struct, frozen=True):
    """A record of the old catalog."""

    name: str
    title: str
    notes: str | None = None
    metadata_modified: str | None = None
    organization: CkanOrganization | None = None
    resources: list[CkanResource] = []


class CkanResult(msgspec.Struct, frozen=True):
    count: int
    results: list[CkanPackage]


class CkanPage(msgspec.Struct, frozen=True):
    result: CkanResult


class DataGovSource(Source):
    """What data sets there are."""

    name = "datagov"
    kinds = (DataKind.LISTING,)
    needs_key = True
    config: DataGovConfig

    def __init__(self, config: SourceConfig, session: Session) -> None:
        super().__init__(config, session)
        if self.config.ckan_url:
            # What the new catalog says of waiting is not the old one's.
            session.limits_of[self.config.ckan_url] = session.limits.of_host("ckan")

    remaining = -1
    """Requests that the last answer said are left of the hour; -1: it did not say."""

    def judge(self, reply: Reply) -> SourceError | None:
        """What api.data.gov says in front of the catalog: a key that is none, a limit used up."""
        if self.config.ckan_url and reply.provenance.url.startswith(self.config.ckan_url):
            return None
        left = reply.headers.get("x-ratelimit-remaining", "")
        if left.isdecimal():
            self.remaining = int(left)
            if not self.remaining and reply.status == 200:
                self.session.limits.block(self.session.now_ns() + int(self._renewed_seconds(reply) * 1e9))
        if reply.status not in (401, 403, 429):
            return None
        try:
            error = msgspec.json.decode(reply.body, type=FailureBody).error
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        url = reply.provenance.url
        what = f"{error.code}: {error.message}"
        if error.code == "OVER_RATE_LIMIT":
            wait = self._renewed_seconds(reply)
            return self.session.fault(
                RateLimitedError, what, url, expected="fewer requests", status=reply.status, retry_seconds=wait
            )
        return self.session.fault(UnauthorisedError, what, url, expected="a key of api.data.gov", status=reply.status)

    def _renewed_seconds(self, reply: Reply) -> float:
        """Until a used-up limit is renewed: an hour, unless the answer says otherwise."""
        told = self.session.retry_seconds(reply.headers)
        return told if told >= 0 else HOUR_SECONDS

    async def _ask(self, question: GetData, asking: Asking) -> Iterable[Fact]:
        words, filters = _parted(question.symbol)
        if not self.config.ckan_url or filters:
            return await self._search(words, filters, question.limit, asking)
        try:
            with asking.part(NEW_SHARE):
                return await self._search(words, filters, question.limit, asking)
        except (NotFoundError, RateLimitedError, UnavailableError, SourceTimeoutError) as error:
            try:
                return await self._search_ckan(words, question.limit, asking)
            except SourceError as second:
                raise error from second

    async def _search(self, words: str, filters: dict[str, str], limit: int, asking: Asking) -> list[Fact]:
        most = min(limit or PAGE, PAGE)
        query = {"q": words, "per_page": str(most), **filters}
        headers = {"X-Api-Key": self.config.key}
        facts: list[Fact] = []
        after: str | None = ""
        for _ in range(self.config.most_pages):
            reply = await asking.get("/search", query | ({"after": after} if after else {}), headers=headers)
            page = decode(self.session, reply, Page)
            facts += [_listed(record, reply.provenance) for record in page.results]
            if not page.results or (limit and len(facts) >= limit):
                return facts
            if page.after is msgspec.UNSET and len(page.results) >= most:
                # A full page that does not say whether there is another: the first would be taken for all of them.
                raise missing(self.session, reply.provenance.url, "$.after")
            after = page.after if isinstance(page.after, str) else None
            if not after:
                return facts
        raise too_many_pages(self.session, asking)

    async def _search_ckan(self, words: str, limit: int, asking: Asking) -> list[Fact]:
        facts: list[Fact] = []
        for _ in range(self.config.most_pages):
            query = {"q": words, "rows": str(min(limit or PAGE, PAGE)), "start": str(len(facts))}
            reply = await asking.get("/action/package_search", query, base=self.config.ckan_url)
            result = decode(self.session, reply, CkanPage).result
            facts += [_listed_ckan(package, reply.provenance) for package in result.results]
            if not result.results or len(facts) >= (min(limit, result.count) if limit else result.count):
                return facts
        raise too_many_pages(self.session, asking)


def _parted(symbol: str) -> tuple[str, dict[str, str]]:
    """Words and filters of a search. UnsupportedError for a filter without a value."""
    words, filters = [], {}
    for word in symbol.split():
        name, colon, value = word.partition(":")
        if colon and name in FILTERS:
            if not value:
                raise UnsupportedError(f"{word} filters by nothing", where="datagov", expected=f"{word}VALUE")
            filters[FILTERS[name]] = value
        else:
            words.append(word)
    return " ".join(words), filters


def _listed(record: DataSet, provenance: Provenance) -> ListingFact:
    dcat = record.dcat or Dcat()
    links: list[str | None] = [record.landingPage, dcat.landingPage]
    for entry in dcat.distribution or ():
        links += [entry] if isinstance(entry, str) else [entry.downloadURL, entry.accessURL]
    links.append(record.harvest_record)
    begin_ns, end_ns = _interval(dcat.temporal or "")
    return ListingFact(
        key=record.slug or record.identifier or record.title,
        name=record.title,
        category=record.organization.name if record.organization else record.publisher or "",
        description=record.description or "",
        currency="",
        unit="",
        frequency=dcat.accrualPeriodicity or "",
        begin_ns=begin_ns,
        end_ns=end_ns,
        updated_ns=_time(dcat.modified or "") or _time(record.last_harvested_date or ""),
        links=_addresses(links),
        provenance=provenance,
    )


def _listed_ckan(package: CkanPackage, provenance: Provenance) -> ListingFact:
    return ListingFact(
        key=package.name,
        name=package.title,
        category=(package.organization.title or "") if package.organization else "",
        description=package.notes or "",
        currency="",
        unit="",
        frequency="",
        begin_ns=0,
        end_ns=0,
        updated_ns=_time(package.metadata_modified or ""),
        links=_addresses([resource.url for resource in package.resources]),
        provenance=provenance,
    )


def _addresses(links: Sequence[str | None]) -> tuple[str, ...]:
    """Those that are addresses, each once. Publishers put all sorts of things there."""
    return tuple(dict.fromkeys(link for link in links if link and urlsplit(link).scheme in ("http", "https", "ftp")))


def _time(text: str) -> int:
    """A time of a publisher; 0 where it is none, as with "R/P1Y"."""
    try:
        return local_ns(text.replace("Z", "+00:00"))
    except ValueError:
        return 0


def _interval(text: str) -> tuple[int, int]:
    """An interval such as 2012/2012 or 2012-01-01/2012-12-31, its last day with it; (0, 0) where it is none."""
    begin, slash, end = text.partition("/")
    try:
        begin_ns = day_ns(_day(begin, first=True))
        end_ns = day_ns(_day(end or begin, first=False)) + DAY_NS
    except ValueError:
        return 0, 0
    return begin_ns, end_ns if slash else 0


def _day(text: str, *, first: bool) -> date:
    if len(text) == 4:
        text += "-01-01" if first else "-12-31"
    return date.fromisoformat(text[:10])
