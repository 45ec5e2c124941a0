"""Interactive Brokers, over the socket of TWS or IB Gateway: https://interactivebrokers.github.io/tws-api/.

A question's symbol names a contract: ``AAPL`` (a US stock), ``AAPL@NASDAQ``, ``EUR.USD``, ``conid:265598``, or
``SYMBOL:TYPE:EXCHANGE:CURRENCY[:EXPIRY[:STRIKE:RIGHT]]`` such as ``ES:FUT:CME:USD:202612``.

- QUOTE: a snapshot. Live, frozen or delayed as `market_data_type` says; what is not subscribed is refused.
- BAR: ``1s`` to ``1d``, in as many requests as the range takes, at the pace that is allowed.
- LISTING: words: matching symbols; ``contract:...`` with a contract behind it: what it is.
- FUNDAMENTAL: the snapshot report of ratios, where the account has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import msgspec

from nautilus.adapters.sources.base import Source
from nautilus.adapters.sources.config import IbkrConfig
from nautilus.adapters.sources.errors import (
    MalformedError,
    NotFoundError,
    RateLimitedError,
    SourceError,
    SourceTimeoutError,
    UnsupportedError,
)
from nautilus.adapters.sources.ibkr_contracts import (
    BAR_SIZES,
    DAY_SECONDS,
    SHORT_SECONDS,
    BarSize,
    contract_of,
    key_of,
    length_words,
)
from nautilus.adapters.sources.ibkr_link import TwsLink
from nautilus.adapters.sources.ibkr_pacing import SharedPacing
from nautilus.adapters.sources.session import Asking, Session
from nautilus.adapters.sources.times import from_ns, held, local_ns, to_ns, zone
from nautilus.model.datasets import (
    BarFact,
    DataKind,
    Fact,
    FundamentalFact,
    GetData,
    ListingFact,
    Provenance,
    ProviderState,
    QuoteFact,
)

if TYPE_CHECKING:
    from ib_async import BarData, Contract, ContractDetails

SECOND_NS = 1_000_000_000
KNOWN = 512  # contracts that are remembered
UNASKED_BARS = 300  # of a question without a range or limit
REPORT = "ReportSnapshot"


class IbkrSource(Source):
    """Quotes, bars, contracts and ratios of one account's TWS or IB Gateway."""

    name = "ibkr"
    kinds = (DataKind.QUOTE, DataKind.BAR, DataKind.LISTING, DataKind.FUNDAMENTAL)
    config: IbkrConfig

    def __init__(self, config: IbkrConfig, session: Session) -> None:
        super().__init__(config, session)
        self.link = TwsLink(config)
        self.pacing = SharedPacing(session.limits.directory, f"{config.host}:{config.port}")
        self._known: dict[str, tuple[ContractDetails, Provenance]] = {}

    async def _ask(self, question: GetData, asking: Asking) -> Iterable[Fact]:
        match question.kind:
            case DataKind.QUOTE:
                return await self._quote(question, asking)
            case DataKind.BAR:
                return await self._bars(question, asking)
            case DataKind.LISTING:
                return await self._listing(question, asking)
            case _:
                return await self._ratios(question, asking)

    def state(self) -> ProviderState:
        """See `Source.state`; the connection is that to TWS."""
        state = super().state()
        failing = state.state == "ready" and not self.link.upstream
        return msgspec.structs.replace(
            state, connections=int(self.link.connected), state="failing" if failing else state.state
        )

    async def close(self) -> None:
        """End the connection."""
        await self.link.close()
        self.pacing.close()
        await super().close()

    # Requests.

    async def _sent(self, what: str, request: Any, asking: Asking) -> tuple[Any, Provenance]:
        """One request within the limits, with its provenance."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self.config.wait_seconds
        while wait_ns := self.session.limits.take(self.session.now_ns()):
            await self._wait(wait_ns, give_up, self.session.limits.reason or "a limit is used up", what)
        begun = loop.time()
        self.session.counts.calls += 1
        try:
            answer = await self.link.ask(what, request, self.config.answer_seconds)
        except NotFoundError:
            asking.provenance = self._told_now(what)  # that there is nothing is an answer, too
            raise
        except RateLimitedError as error:
            if error.retry_seconds > 0:
                self.session.limits.block(self.session.now_ns() + int(error.retry_seconds * SECOND_NS))
            raise
        self.session.failing = False
        self.session.counts.latencies_ms.append((loop.time() - begun) * 1e3)
        # The last one: what comes first tells what a contract is.
        asking.provenance = provenance = self._told_now(what)
        asking.calls += 1
        asking.not_modified = False
        return answer, provenance

    def _told_now(self, what: str) -> Provenance:
        return Provenance(self.name, f"{self.link.where}/{what}", self.session.now_ns())

    async def _wait(self, wait_ns: int, give_up: float, reason: str, what: str) -> None:
        seconds = wait_ns / SECOND_NS
        if asyncio.get_running_loop().time() + seconds > give_up:
            raise RateLimitedError(
                f"{reason}: {seconds:.1f} s until the next request",
                where=f"{self.link.where}/{what}",
                expected=f"a wait of {self.config.wait_seconds:g} s at most",
                source=self.name,
                retry_seconds=seconds,
            )
        await asyncio.sleep(seconds)

    async def _details(self, symbol: str, asking: Asking) -> tuple[ContractDetails, Contract]:
        """The one contract that a symbol names."""
        known = self._known.get(symbol)
        if known is None:
            found, provenance = await self._all_details(symbol, asking)
            if len(found) != 1:
                contracts = [each.contract for each in found[:5] if each.contract is not None]
                several = ", ".join(f"conid:{each.conId} ({key_of(each)})" for each in contracts)
                raise UnsupportedError(
                    f"{symbol} names {len(found)} contracts: {several}",
                    where=provenance.url,
                    expected="one of them",
                    source=self.name,
                )
            known = self._known[symbol] = found[0], provenance
            while len(self._known) > KNOWN:
                del self._known[next(iter(self._known))]
        details, told = known
        if not asking.calls:
            asking.provenance = told  # of what is answered from memory, until more is asked
        assert details.contract is not None
        return details, details.contract

    async def _all_details(self, symbol: str, asking: Asking) -> tuple[list[ContractDetails], Provenance]:
        contract = contract_of(symbol)
        found, provenance = await self._sent(
            f"reqContractDetails?symbol={symbol}", lambda ib: ib.reqContractDetailsAsync(contract), asking
        )
        if not found:
            raise NotFoundError(f"no contract {symbol}", where=provenance.url, expected="one", source=self.name)
        return found, provenance

    # Quotes.

    async def _quote(self, question: GetData, asking: Asking) -> list[Fact]:
        _, contract = await self._details(question.symbol, asking)

        async def snapshot(ib: Any) -> Any:
            # A ticker keeps what it was told before; this one is to be new.
            ib.wrapper.tickers.pop(hash(contract), None)
            return (await ib.reqTickersAsync(contract))[0]

        ticker, provenance = await self._sent(f"reqMktData?symbol={question.symbol}&snapshot=1", snapshot, asking)
        last, bid, ask = (_price(value) for value in (ticker.last, ticker.bid, ticker.ask))
        if last is bid is ask is None and _price(ticker.close) is None:
            raise NotFoundError("a snapshot without a price", where=provenance.url, expected="one", source=self.name)
        told = ticker.lastTimestamp
        return [
            QuoteFact(
                symbol=question.symbol,
                time_ns=to_ns(told) if isinstance(told, datetime) else 0,
                last=last,  # not the close of yesterday, which has no time
                bid=bid,
                ask=ask,
                bid_quantity=_quantity(ticker.bidSize) if bid is not None else None,
                ask_quantity=_quantity(ticker.askSize) if ask is not None else None,
                volume=_quantity(ticker.volume),
                currency=contract.currency,
                venue=contract.primaryExchange or contract.exchange,
                provenance=provenance,
            )
        ]

    # Bars.

    async def _bars(self, question: GetData, asking: Asking) -> list[Fact]:
        size = BAR_SIZES.get(question.interval)
        if size is None:
            raise UnsupportedError(
                f"no bars of {question.interval or 'no interval'}",
                where=f"ibkr {question.symbol}",
                expected=f"one of {', '.join(BAR_SIZES)}",
                source=self.name,
            )
        details, contract = await self._details(question.symbol, asking)
        found: dict[int, BarFact] = {}
        end_ns = question.end_ns or self.session.now_ns()
        begin_ns = question.begin_ns or end_ns - (question.limit or UNASKED_BARS) * size.seconds * SECOND_NS
        open_end = not question.end_ns
        for _ in range(self.config.most_pages):
            span_seconds = min(-(-(end_ns - begin_ns) // SECOND_NS), size.most_days * DAY_SECONDS or SHORT_SECONDS)
            if span_seconds <= 0:
                break
            page = await self._page(question, details, contract, size, 0 if open_end else end_ns, span_seconds, asking)
            found |= {bar.begin_ns: bar for bar in page}
            open_end = False
            end_ns = min([bar.begin_ns for bar in page] + [end_ns - span_seconds * SECOND_NS])
            if not question.begin_ns and (not question.limit or len(found) >= question.limit):
                break
        else:
            raise MalformedError(
                f"more than {self.config.most_pages} requests for one range",
                where=f"ibkr {question.symbol}",
                expected="a shorter range, or more of most_pages",
                source=self.name,
            )
        return list(found.values())

    async def _page(
        self,
        question: GetData,
        details: ContractDetails,
        contract: Contract,
        size: BarSize,
        end_ns: int,
        span_seconds: int,
        asking: Asking,
    ) -> list[BarFact]:
        shown = "MIDPOINT" if contract.secType == "CASH" else "TRADES"
        # A bar of a day is there with its whole day.
        length = length_words(max(span_seconds, DAY_SECONDS + 1) if size.seconds == DAY_SECONDS else span_seconds)
        end = from_ns(end_ns) if end_ns else ""
        what = f"reqHistoricalData?symbol={question.symbol}&size={size.words.replace(' ', '+')}"
        request = (end_ns, length, size.words, shown, self.config.regular_hours)
        give_up = asyncio.get_running_loop().time() + self.config.wait_seconds
        while wait_ns := self.pacing.take(self.session.now_ns(), contract.conId, request):
            await self._wait(wait_ns, give_up, "history is asked for too often", what)
        try:
            bars, provenance = await self._sent(
                what,
                lambda ib: ib.reqHistoricalDataAsync(
                    contract, end, length, size.words, shown, self.config.regular_hours, formatDate=2, timeout=0
                ),
                asking,
            )
        except NotFoundError as error:
            if error.status != 162:
                raise
            return []  # nothing was traded in that time
        try:
            where = zone(details.timeZoneId or "UTC")
        except ValueError:
            where = UTC  # type: ignore[assignment]
        return [self._bar(question, contract, size, bar, place, where, provenance) for place, bar in enumerate(bars)]

    def _bar(
        self,
        question: GetData,
        contract: Contract,
        size: BarSize,
        bar: BarData,
        place: int,
        where: Any,
        provenance: Provenance,
    ) -> BarFact:
        try:
            begin_ns, end_ns = _span(bar.date, size, where)
        except ValueError:
            raise self._malformed(f"$.bars[{place}].date", bar.date, "a date or a time", provenance) from None
        if not bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high:
            prices = (bar.open, bar.high, bar.low, bar.close)
            raise self._malformed(f"$.bars[{place}]", prices, "low <= open, close <= high", provenance)
        return BarFact(
            symbol=question.symbol,
            interval=question.interval,
            begin_ns=begin_ns,
            end_ns=end_ns,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=_quantity(bar.volume),
            adjusted_close=None,
            currency=contract.currency,
            provenance=provenance,
        )

    # Contracts.

    async def _listing(self, question: GetData, asking: Asking) -> list[Fact]:
        what, _, rest = question.symbol.partition(":")
        if what == "contract" and rest:
            found, provenance = await self._all_details(rest, asking)
            return [self._detailed(details, provenance) for details in found]
        samples, provenance = await self._sent(
            f"reqMatchingSymbols?pattern={question.symbol}",
            lambda ib: ib.reqMatchingSymbolsAsync(question.symbol),
            asking,
        )
        if samples is None:
            raise SourceTimeoutError("no answer", where=provenance.url, expected="symbols", source=self.name)
        return [
            self._listed(sample.contract, sample.contract.description, ", ".join(sample.derivativeSecTypes), provenance)
            for sample in samples
        ]

    def _detailed(self, details: ContractDetails, provenance: Provenance) -> ListingFact:
        assert details.contract is not None
        said = (
            details.industry,
            details.category,
            details.subcategory,
            f"tick {details.minTick:g}",
            details.liquidHours,
        )
        return self._listed(details.contract, details.longName, "; ".join(filter(None, said)), provenance)

    def _listed(self, contract: Contract, name: str, description: str, provenance: Provenance) -> ListingFact:
        return ListingFact(
            key=f"conid:{contract.conId}" if contract.conId else key_of(contract),
            name=name or contract.symbol,
            category=key_of(contract),
            description=description,
            currency=contract.currency,
            unit="",
            frequency="",
            begin_ns=0,
            end_ns=0,
            updated_ns=0,
            links=(),
            provenance=provenance,
        )

    # Ratios.

    async def _ratios(self, question: GetData, asking: Asking) -> list[Fact]:
        _, contract = await self._details(question.symbol, asking)
        text, provenance = await self._sent(
            f"reqFundamentalData?symbol={question.symbol}&report={REPORT}",
            lambda ib: ib.reqFundamentalDataAsync(contract, REPORT),
            asking,
        )
        try:
            ratios = ElementTree.fromstring(text).find("Ratios")
        except ElementTree.ParseError as error:
            raise self._malformed("$", error, "a report in XML", provenance) from None
        if ratios is None:
            raise self._malformed("$.Ratios", "missing", "ratios", provenance)
        day = ratios.get("LatestAvailableDate", "")
        try:
            time_ns = local_ns(day)
        except ValueError:
            raise self._malformed("$.Ratios.LatestAvailableDate", day or "missing", "a date", provenance) from None
        unit = ratios.get("ReportingCurrency")
        if unit is None:
            raise self._malformed("$.Ratios.ReportingCurrency", "missing", "a currency", provenance)
        facts: list[Fact] = []
        for place, ratio in enumerate(ratios.iter("Ratio")):
            name, kind = ratio.get("FieldName"), ratio.get("Type")
            for attribute, told in (("FieldName", name), ("Type", kind)):
                if told is None:
                    where = f"$.Ratios.Ratio[{place}].{attribute}"
                    raise self._malformed(where, "missing", "an attribute", provenance)
            if kind != "N":
                continue
            try:
                value = float(ratio.text or "")
            except ValueError:
                raise self._malformed(f"$.Ratios.{name}", ratio.text, "a number", provenance) from None
            facts.append(
                FundamentalFact(
                    symbol=question.symbol,
                    concept=f"{REPORT}/{name}",
                    value=None if value <= -99_999 else value,
                    unit=unit,
                    begin_ns=time_ns,
                    end_ns=time_ns,
                    filed_ns=time_ns,
                    form=REPORT,
                    provenance=provenance,
                )
            )
        return facts

    def _malformed(self, path: str, found: object, expected: str, provenance: Provenance) -> SourceError:
        return MalformedError(f"{path}: {found}", where=provenance.url, expected=expected, source=self.name, path=path)


def _span(began: object, size: BarSize, where: Any) -> tuple[int, int]:
    """Beginning and end of a bar. ValueError for what is no time that 64 bits hold."""
    if isinstance(began, datetime):
        begin_ns = to_ns(began if began.tzinfo else began.replace(tzinfo=where))
        return begin_ns, held(begin_ns + size.seconds * SECOND_NS)
    if isinstance(began, date):
        begin_ns = local_ns(began.isoformat(), where)
        return begin_ns, local_ns((began + timedelta(days=1)).isoformat(), where)
    raise ValueError("no time")


def _price(value: float) -> float | None:
    """A price; -1 and NaN stand for none."""
    return value if value == value and value != -1.0 else None


def _quantity(value: float) -> float | None:
    return value if value == value and value >= 0 else None
