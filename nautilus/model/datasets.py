"""What data providers tell: questions, records with their provenance, and how a provider stands.

Numbers are floats, as providers send decimal text of no fixed step; a price of an instrument that trades here is in
ticks elsewhere. Times are nanoseconds UTC, 0 where the provider says nothing. Every record says where it is from.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from nautilus.model.message import Message
from nautilus.model.moments import LEAST_NS, MOST_NS, moment_ns

LONGEST_SYMBOL = 64
LONGEST_SOURCE = 32
LONGEST_INTERVAL = 8
Symbol = Annotated[str, Meta(min_length=1, max_length=LONGEST_SYMBOL)]
SourceName = Annotated[str, Meta(max_length=LONGEST_SOURCE)]
Interval = Annotated[str, Meta(max_length=LONGEST_INTERVAL)]
Moment = Annotated[int, Meta(ge=LEAST_NS, le=MOST_NS)]
MomentText = Annotated[str, Meta(max_length=64)]
Limit = Annotated[int, Meta(ge=0, le=MOST_NS)]


class DataKind(StrEnum):
    """What is asked for; each kind has records, a lifetime in the cache and a topic of its own."""

    QUOTE = "quote"
    BAR = "bar"
    FUNDAMENTAL = "fundamental"
    ECONOMIC = "economic"
    LISTING = "listing"  # what there is: symbols, series, data sets
    EVENT = "event"  # calendars, filings, releases


class Provenance(Message, frozen=True):
    """Where a record is from.

    Parameters
    ----------
    source
        Name of the provider, such as ``fred``.
    url
        What was asked, without keys.
    fetched_ns
        When its answer was here.
    synthetic
        Made up: `marketdata.allow_synthetic` is on and no provider had it.
    """

    source: str
    url: str
    fetched_ns: int
    synthetic: bool = False


class QuoteFact(Message, frozen=True):
    """Last price and touch of a symbol. What the provider does not tell is None."""

    symbol: str
    time_ns: int
    last: float | None
    bid: float | None
    ask: float | None
    bid_quantity: float | None
    ask_quantity: float | None
    volume: float | None
    currency: str
    venue: str
    provenance: Provenance


class BarFact(Message, frozen=True):
    """One bar. `begin_ns` is included, `end_ns` is not; `adjusted_close` is after splits and dividends."""

    symbol: str
    interval: str
    begin_ns: int
    end_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    adjusted_close: float | None
    currency: str
    provenance: Provenance


class FundamentalFact(Message, frozen=True):
    """One figure of a company: `concept` in the provider's taxonomy, for a period (an instant: both ends equal)."""

    symbol: str
    concept: str
    value: float | None
    unit: str
    begin_ns: int
    end_ns: int
    filed_ns: int
    form: str
    provenance: Provenance


class EconomicFact(Message, frozen=True):
    """One observation of a series, in the unit named, after multipliers ("Thousands" is taken into the value)."""

    series: str
    begin_ns: int
    end_ns: int
    value: float | None
    unit: str
    frequency: str
    vintage_ns: int
    provenance: Provenance


class ListingFact(Message, frozen=True):
    """Something that the provider has: a symbol, a series, a data set."""

    key: str
    name: str
    category: str
    description: str
    currency: str
    unit: str
    frequency: str
    begin_ns: int
    end_ns: int
    updated_ns: int
    links: tuple[str, ...]
    provenance: Provenance


class EventFact(Message, frozen=True):
    """Something that happens at a time: a release, a filing, a dividend, a split."""

    key: str
    time_ns: int
    category: str
    country: str
    name: str
    actual: str
    previous: str
    forecast: str
    url: str
    provenance: Provenance


Fact = QuoteFact | BarFact | FundamentalFact | EconomicFact | ListingFact | EventFact
FACTS: dict[DataKind, type[Fact]] = {
    DataKind.QUOTE: QuoteFact,
    DataKind.BAR: BarFact,
    DataKind.FUNDAMENTAL: FundamentalFact,
    DataKind.ECONOMIC: EconomicFact,
    DataKind.LISTING: ListingFact,
    DataKind.EVENT: EventFact,
}


class GetData(Message, frozen=True):
    """Ask the hub for what a provider has.

    Parameters
    ----------
    kind
        What.
    symbol
        Ticker, series or, for a listing, the words to search for.
    source
        Provider; "": the first that is configured for this kind.
    interval
        Of bars: ``1m``, ``5m``, ``1h``, ``1d``, ``1w``, ``1mo``.
    begin_ns, end_ns
        Range, end not included; 0: open.
    limit
        At most so many records, the latest; 0: all.
    """

    kind: DataKind
    symbol: Symbol
    source: SourceName = ""
    interval: Interval = ""
    begin_ns: Moment = 0
    end_ns: Moment = 0
    limit: Limit = 0


class DataAnswer(Message, frozen=True):
    """What the hub has for a question.

    Parameters
    ----------
    facts
        In order of time.
    provenance
        Of the answer as a whole; each fact has its own.
    age_seconds
        Since it was fetched.
    stale
        Older than its lifetime: a new one is being asked for, or cannot be had (`reason` says why).
    cached
        Nobody was asked for it.
    """

    kind: DataKind
    symbol: str
    source: str
    facts: tuple[Fact, ...]
    provenance: Provenance
    age_seconds: float = 0.0
    stale: bool = False
    cached: bool = False
    reason: str = ""


class GetProviders(Message, frozen=True):
    """How the providers stand."""


class ProviderState(Message, frozen=True):
    """One provider.

    Parameters
    ----------
    state
        ``ready``, ``limited`` (a limit is used up), ``failing``, ``unconfigured`` (its key is missing).
    calls, errors, not_modified, joined
        Requests sent, those that failed, those answered 304, and questions that shared a request.
    day_left
        Requests left of today's quota; -1: it has none.
    cost
        What the calls cost so far, in the provider's currency.
    connections
        Open now.
    """

    name: str
    state: str
    kinds: tuple[DataKind, ...]
    calls: int = 0
    errors: int = 0
    not_modified: int = 0
    joined: int = 0
    day_left: int = -1
    day_limit: int = -1
    cost: float = 0.0
    currency: str = "USD"
    connections: int = 0
    last_error: str = ""
    last_code: str = ""
    p50_ms: float = 0.0


class ProviderStates(Message, frozen=True):
    """Every provider, and how the hub's cache does.

    Parameters
    ----------
    hits, misses, stale, negative
        Questions answered from the cache, not, from it though stale, and with a refusal that was kept.
    prefetched, prefetch_used
        Requests made before anybody asked, and those that somebody then asked for.
    hit_rate, fresh_rate
        Share of questions for which nobody waited for a provider; of those that got what was fresh.
    """

    sources: tuple[ProviderState, ...]
    hits: int = 0
    misses: int = 0
    stale: int = 0
    negative: int = 0
    joined: int = 0
    prefetched: int = 0
    prefetch_used: int = 0
    hit_rate: float = 0.0
    fresh_rate: float = 0.0


class GetQuoteFact(Message, frozen=True):
    """`GetData` for a quote, as a person asks over HTTP. `source`: the provider; "": the first for this kind."""

    symbol: Symbol
    source: SourceName = ""

    def question(self) -> GetData:
        """What it stands for."""
        return GetData(DataKind.QUOTE, self.symbol, self.source)


class GetBarFacts(Message, frozen=True):
    """`GetData` for bars. `begin`, `end`: a date, with a time (UTC where it says nothing), or nanoseconds; "": open."""

    symbol: Symbol
    source: SourceName = ""
    interval: Interval = "1d"
    begin: MomentText = ""
    end: MomentText = ""
    limit: Limit = 0

    def question(self) -> GetData:
        """What it stands for. ModelError where a time cannot be read."""
        return GetData(
            DataKind.BAR,
            self.symbol,
            self.source,
            self.interval,
            moment_ns(self.begin, "begin"),
            moment_ns(self.end, "end"),
            self.limit,
        )


class _GetFacts(Message, frozen=True):
    symbol: Symbol
    source: SourceName = ""
    begin: MomentText = ""
    end: MomentText = ""
    limit: Limit = 0

    def _question(self, kind: DataKind) -> GetData:
        begin_ns, end_ns = moment_ns(self.begin, "begin"), moment_ns(self.end, "end")
        return GetData(kind, self.symbol, self.source, "", begin_ns, end_ns, self.limit)


class GetFundamentalFacts(_GetFacts, frozen=True):
    """`GetData` for figures of a company; times as in `GetBarFacts`."""

    def question(self) -> GetData:
        """What it stands for. ModelError where a time cannot be read."""
        return self._question(DataKind.FUNDAMENTAL)


class GetEconomicFacts(_GetFacts, frozen=True):
    """`GetData` for observations of a series; times as in `GetBarFacts`."""

    def question(self) -> GetData:
        """What it stands for. ModelError where a time cannot be read."""
        return self._question(DataKind.ECONOMIC)


class GetListingFacts(_GetFacts, frozen=True):
    """`GetData` for what there is: `symbol` are the words to search for."""

    def question(self) -> GetData:
        """What it stands for. ModelError where a time cannot be read."""
        return self._question(DataKind.LISTING)


class GetEventFacts(_GetFacts, frozen=True):
    """`GetData` for what happens; times as in `GetBarFacts`."""

    def question(self) -> GetData:
        """What it stands for. ModelError where a time cannot be read."""
        return self._question(DataKind.EVENT)


AnyGetFacts = GetQuoteFact | GetBarFacts | GetFundamentalFacts | GetEconomicFacts | GetListingFacts | GetEventFacts
