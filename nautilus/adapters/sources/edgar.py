"""EDGAR of the U.S. Securities and Exchange Commission: https://www.sec.gov/search-filings/edgar-application-programming-interfaces.

What a question's symbol may be; a company is a ticker (``TSLA``) or a number (``CIK0001318605``, ``1318605``):

- EVENT: ``TSLA``, its filings; ``TSLA:10-K``, those of a form. Older ones lie in files of their own, of which only
  those are fetched that the range touches.
- FUNDAMENTAL: ``TSLA``, every figure that it reported; ``TSLA:Assets`` or ``TSLA:ifrs-full/Assets``, one concept, with
  ``@USD`` behind it in one unit; ``frame:us-gaap/Assets/USD/CY2019Q1I``, one figure of every company.
- LISTING: words of a name or a ticker.

A time of acceptance is written with a Z and is New York's all the same: what EDGAR takes in after half past five there
has the next day as its filing date, and of 203 recorded reports 202 say so (read as UTC: 187).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Any

import msgspec

from nautilus.adapters.sources.base import Fetched, Source
from nautilus.adapters.sources.config import EdgarConfig
from nautilus.adapters.sources.errors import (
    MalformedError,
    NotFoundError,
    RateLimitedError,
    SourceError,
    UnauthorisedError,
    UnconfiguredError,
    UnsupportedError,
)
from nautilus.adapters.sources.periods import day_ns
from nautilus.adapters.sources.session import Asking, Reply
from nautilus.adapters.sources.times import DAY_NS, local_ns, zone
from nautilus.adapters.sources.validate import decode, missing
from nautilus.model.datasets import DataKind, EventFact, Fact, FundamentalFact, GetData, ListingFact, Provenance

BLOCKED_SECONDS = 600.0
"""So long the SEC refuses an address that asked too often; who asks before is refused for longer."""
NEW_YORK = "America/New_York"
EXPECTED_AGENT = "a user agent with an address of mail, as 'Sample Company admin@sample.com'"
_NUMBER = re.compile(r"(?:CIK)?0*(\d{1,10})", re.IGNORECASE)
_PART = re.compile(r"[A-Za-z0-9_-]+")
_UNIT = re.compile(r"[A-Za-z0-9_-]+(?:-per-[A-Za-z0-9_-]+)?")


class Ticker(msgspec.Struct, frozen=True):
    """A row of company_tickers.json."""

    cik_str: int
    ticker: str
    title: str


class Filings(msgspec.Struct, frozen=True):
    """Filings as columns of one length."""

    accessionNumber: list[str]  # noqa: N815
    filingDate: list[str]  # noqa: N815
    reportDate: list[str]  # noqa: N815
    acceptanceDateTime: list[str]  # noqa: N815
    form: list[str]
    items: list[str]
    primaryDocument: list[str]  # noqa: N815
    primaryDocDescription: list[str]  # noqa: N815


class FilingFile(msgspec.Struct, frozen=True):
    """A file of older filings."""

    name: str
    filingFrom: str  # noqa: N815
    filingTo: str  # noqa: N815


class FilingPages(msgspec.Struct, frozen=True):
    recent: Filings
    files: list[FilingFile]


class Submissions(msgspec.Struct, frozen=True):
    """What a company filed."""

    cik: str
    name: str
    filings: FilingPages


class Figure(msgspec.Struct, frozen=True):
    """One figure of a filing; an instant has no `start`. `frame` is the calendar period that it stands for, if any."""

    end: str
    val: float | None
    accn: str
    form: str
    filed: str
    start: str = ""
    frame: str = ""


class Units(msgspec.Struct, frozen=True):
    units: dict[str, list[Figure]]


class Concept(msgspec.Struct, frozen=True):
    taxonomy: str
    tag: str
    units: dict[str, list[Figure]]


class Facts(msgspec.Struct, frozen=True):
    facts: dict[str, dict[str, Units]]


class FramePoint(msgspec.Struct, frozen=True):
    accn: str
    cik: int
    entityName: str  # noqa: N815
    end: str
    val: float | None
    start: str = ""


class Frame(msgspec.Struct, frozen=True):
    taxonomy: str
    tag: str
    uom: str
    data: list[FramePoint]


class EdgarSource(Source):
    """Filings, reported figures and companies."""

    name = "edgar"
    kinds = (DataKind.EVENT, DataKind.FUNDAMENTAL, DataKind.LISTING)
    config: EdgarConfig

    _tickers: dict[str, Ticker] | None = None
    _rows: list[Ticker]
    _tickers_ns = 0
    _tickers_from = Provenance("edgar", "", 0)

    @property
    def configured(self) -> bool:
        """Whether it says who asks: the SEC refuses everybody else."""
        return "@" in self.config.user_agent

    async def fetch(self, question: GetData) -> Fetched:
        """See `Source.fetch`."""
        if question.kind in self.kinds and not self.configured:
            what = f"user_agent {self.config.user_agent!r} does not say who asks"
            raise UnconfiguredError(what, where="source_edgar", expected=EXPECTED_AGENT, source=self.name)
        return await super().fetch(question)

    def judge(self, reply: Reply) -> SourceError | None:
        """The SEC says both that an agent is not named and that it asked too often with 403 and a page of HTML."""
        if reply.status != 403:
            return None
        url = reply.provenance.url
        if b"Undeclared Automated Tool" in reply.body or b"declare your traffic" in reply.body:
            return self.session.fault(
                UnauthorisedError, "the user agent is not accepted", url, expected=EXPECTED_AGENT, status=403
            )
        if b"Request Rate Threshold Exceeded" in reply.body:
            return self.session.fault(
                RateLimitedError,
                "more than 10 requests a second",
                url,
                expected="fewer",
                status=403,
                retry_seconds=BLOCKED_SECONDS,
            )
        return None

    async def _ask(self, question: GetData, asking: Asking) -> Iterable[Fact]:
        match question.kind:
            case DataKind.EVENT:
                return await self._filings(question, asking)
            case DataKind.FUNDAMENTAL:
                return await self._figures(question, asking)
            case _:
                return await self._companies(question, asking)

    # Companies.

    async def _known(self, asking: Asking) -> dict[str, Ticker]:
        """Tickers with their companies; asked for again after a day, with a condition."""
        now_ns = self.session.now_ns()
        if self._tickers is None or now_ns - self._tickers_ns > self.config.tickers_seconds * 1e9:
            # It is on a host of its own, whose connection is not kept.
            reply = await asking.get(
                "/files/company_tickers.json", base=self.config.files_url, headers={"Connection": "close"}
            )
            self._rows = list(decode(self.session, reply, dict[str, Ticker]).values())
            self._tickers = {row.ticker.upper(): row for row in self._rows}
            self._tickers_ns, self._tickers_from = now_ns, reply.provenance
        elif not asking.calls:
            asking.provenance = self._tickers_from  # of what is answered from memory, until more is asked
        return self._tickers

    async def _cik(self, company: str, asking: Asking) -> int:
        number = _NUMBER.fullmatch(company)
        if number is not None:
            return int(number[1])
        known = await self._known(asking)
        row = known.get(company.upper()) or known.get(company.upper().replace(".", "-"))
        if row is None:
            url = self._tickers_from.url
            raise self.session.fault(NotFoundError, f"no company {company}", url, expected="a ticker or CIK number")
        return row.cik_str

    async def _companies(self, question: GetData, asking: Asking) -> list[Fact]:
        words = question.symbol.upper().split()
        await self._known(asking)
        found = [row for row in self._rows if all(word in f"{row.ticker} {row.title}".upper() for word in words)]
        exact = [row for row in found if row.ticker.upper() == question.symbol.upper()]
        return [
            ListingFact(
                key=row.ticker,
                name=row.title,
                category=f"CIK{row.cik_str:010d}",
                description="",
                currency="",
                unit="",
                frequency="",
                begin_ns=0,
                end_ns=0,
                updated_ns=self._tickers_ns,
                links=(f"{self.config.files_url}/cgi-bin/browse-edgar?action=getcompany&CIK={row.cik_str:010d}",),
                provenance=self._tickers_from,
            )
            for row in (*exact, *(row for row in found if row not in exact))
        ]

    # Filings.

    async def _filings(self, question: GetData, asking: Asking) -> list[Fact]:
        company, _, form = question.symbol.partition(":")
        cik = await self._cik(company, asking)
        reply = await asking.get(f"/submissions/CIK{cik:010d}.json")
        told = decode(self.session, reply, Submissions)
        facts = self._events(told.filings.recent, reply, "$.filings.recent", cik, told.name, form)
        for file in self._touched(told.filings.files, question, reply):
            if question.limit and not question.end_ns and len(facts) >= question.limit:
                break  # the files go back in time
            if asking.calls > self.config.most_pages:
                what = f"more than {self.config.most_pages} pages"
                raise self.session.fault(
                    MalformedError, what, reply.provenance.url, expected="a narrower range, or more of most_pages"
                )
            page = await asking.get(f"/submissions/{file.name}")
            facts += self._events(decode(self.session, page, Filings), page, "$", cik, told.name, form)
        return list(facts)

    def _touched(self, files: list[FilingFile], question: GetData, reply: Reply) -> list[FilingFile]:
        touched = []
        for place, file in enumerate(files):
            path = f"$.filings.files[{place}]"
            # Acceptance may be the evening before the filing date.
            begin_ns = self._day(file.filingFrom, reply, f"{path}.filingFrom") - 4 * DAY_NS
            end_ns = self._day(file.filingTo, reply, f"{path}.filingTo") + 2 * DAY_NS
            if (not question.begin_ns or end_ns > question.begin_ns) and (
                not question.end_ns or begin_ns < question.end_ns
            ):
                if not re.fullmatch(r"[\w.-]+", file.name):
                    raise self._malformed(reply, f"{path}.name", file.name, "a file's name")
                touched.append(file)
        return touched

    def _events(self, rows: Filings, reply: Reply, path: str, cik: int, name: str, form: str) -> list[EventFact]:
        columns = [getattr(rows, field) for field in Filings.__struct_fields__]
        for field, column in zip(Filings.__struct_fields__, columns, strict=True):
            if len(column) != len(rows.accessionNumber):
                what = f"{len(column)} values beside {len(rows.accessionNumber)} accession numbers"
                raise self._malformed(reply, f"{path}.{field}", what, "columns of one length")
        facts = []
        for place, row in enumerate(zip(*columns, strict=True)):
            accession, _filed, reported, accepted, kind, items, document, description = row
            if form and kind != form:
                continue
            try:
                time_ns = local_ns(accepted.removesuffix("Z"), zone(NEW_YORK))
            except ValueError:
                where = f"{path}.acceptanceDateTime[{place}]"
                raise self._malformed(reply, where, accepted, "a date and time") from None
            directory = f"{self.config.files_url}/Archives/edgar/data/{cik}/{accession.replace('-', '')}"
            facts.append(
                EventFact(
                    key=accession,
                    time_ns=time_ns,
                    category=kind,
                    country="US",
                    name=f"{name}: {description or kind}" + (f" ({items})" if items else ""),
                    actual=reported,
                    previous="",
                    forecast="",
                    url=f"{directory}/{document}" if document else directory,
                    provenance=reply.provenance,
                )
            )
        return facts

    # Figures.

    async def _figures(self, question: GetData, asking: Asking) -> list[Fact]:
        company, _, rest = question.symbol.partition(":")
        if company == "frame" and rest:
            return await self._frame(rest, asking)
        concept, _, unit = rest.partition("@")
        cik = await self._cik(company, asking)
        if not concept:
            reply = await asking.get(f"/api/xbrl/companyfacts/CIK{cik:010d}.json")
            told = decode(self.session, reply, Facts)
            named = [
                (f"{taxonomy}/{tag}", f"$.facts.{taxonomy}.{tag}.units", units.units)
                for taxonomy, tags in told.facts.items()
                for tag, units in tags.items()
            ]
        else:
            taxonomy, _, tag = concept.rpartition("/")
            taxonomy = taxonomy or "us-gaap"
            if not (_PART.fullmatch(taxonomy) and _PART.fullmatch(tag)):
                raise self._unsupported(question.symbol, "a concept such as us-gaap/Assets")
            reply = await asking.get(f"/api/xbrl/companyconcept/CIK{cik:010d}/{taxonomy}/{tag}.json")
            one = decode(self.session, reply, Concept)
            named = [(f"{one.taxonomy}/{one.tag}", "$.units", one.units)]
        return [
            self._figure(company, name, figure, unit_named, reply, f"{path}.{unit_named}[{place}]")
            for name, path, units in named
            for unit_named, figures in units.items()
            if unit in ("", unit_named)
            for place, figure in enumerate(figures)
        ]

    def _figure(self, symbol: str, concept: str, figure: Figure, unit: str, reply: Reply, path: str) -> FundamentalFact:
        begin_ns, end_ns = self._period(figure.start, figure.end, figure.frame, reply, path)
        return FundamentalFact(
            symbol=symbol,
            concept=concept,
            value=figure.val,
            unit=unit,
            begin_ns=begin_ns,
            end_ns=end_ns,
            filed_ns=self._day(figure.filed, reply, f"{path}.filed"),
            form=figure.form,
            provenance=reply.provenance,
        )

    async def _frame(self, frame: str, asking: Asking) -> list[Fact]:
        parts = frame.split("/")
        fits = (
            len(parts) == 4 and all(map(_PART.fullmatch, (parts[0], parts[1], parts[3]))) and _UNIT.fullmatch(parts[2])
        )
        if not fits:
            raise self._unsupported(f"frame:{frame}", "frame:TAXONOMY/CONCEPT/UNIT/CY2019Q1I")
        reply = await asking.get(f"/api/xbrl/frames/{frame}.json")
        told = decode(self.session, reply, Frame)
        facts: list[Fact] = []
        for place, point in enumerate(told.data):
            begin_ns, end_ns = self._period(point.start, point.end, parts[3], reply, f"$.data[{place}]")
            facts.append(
                FundamentalFact(
                    symbol=f"CIK{point.cik:010d}",
                    concept=f"{told.taxonomy}/{told.tag}",
                    value=point.val,
                    unit=told.uom,
                    begin_ns=begin_ns,
                    end_ns=end_ns,
                    filed_ns=0,
                    form="",
                    provenance=reply.provenance,
                )
            )
        return facts

    def _period(self, start: str, end: str, frame: str, reply: Reply, path: str) -> tuple[int, int]:
        """A period with its last day; an instant, whose frame is ``CY2019Q1I``, is the day itself."""
        end_ns = self._day(end, reply, f"{path}.end")
        if not start and frame and not frame.endswith("I"):
            raise missing(self.session, reply.provenance.url, f"{path}.start")
        if not start:
            return end_ns, end_ns
        return self._day(start, reply, f"{path}.start"), end_ns + DAY_NS

    def _day(self, text: str, reply: Reply, path: str) -> int:
        try:
            return day_ns(date.fromisoformat(text))
        except ValueError:
            raise self._malformed(reply, path, text, "a date") from None

    def _malformed(self, reply: Reply, path: str, found: Any, expected: str) -> SourceError:
        return self.session.fault(
            MalformedError, f"{path}: {found}", reply.provenance.url, expected=expected, path=path
        )

    def _unsupported(self, symbol: str, expected: str) -> SourceError:
        return UnsupportedError(f"no question of this form: {symbol}", where="edgar", expected=expected, source="edgar")
