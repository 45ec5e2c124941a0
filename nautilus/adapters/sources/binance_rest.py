"""The part of Binance's REST API that a live feed needs: snapshots of books and what is traded.

Every request has a weight, and an address may spend so much a minute. What was spent is counted here and taken from
the venue's own count (`X-MBX-USED-WEIGHT-1M`) where that is higher, as others may share the address. 429 and 418 (a
ban) are obeyed: nothing is asked before `Retry-After` has passed.

Source: Binance, "General information on endpoints" and "Order book", for the spot market and for USD-M futures.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import aiohttp
import msgspec

from nautilus.adapters.formats.recording import InstrumentHint
from nautilus.adapters.sources.binance_config import BinanceConfig
from nautilus.adapters.sources.binance_weight import Weight
from nautilus.adapters.sources.errors import (
    MalformedError,
    NotFoundError,
    RateLimitedError,
    SourceError,
    UnavailableError,
)
from nautilus.core.clock import now_ns as clock_ns
from nautilus.core.quotas import Quotas

LIMITED = (418, 429)
DEFAULT_RETRY_SECONDS = 60.0
LARGEST_BYTES = 32 << 20
# (levels at most, weight) of a snapshot.
DEPTH_WEIGHTS = {
    "spot": ((100, 5), (500, 25), (1000, 50), (5000, 250)),
    "futures": ((50, 2), (100, 5), (500, 10), (1000, 20)),
}
INFO_WEIGHTS = {"spot": 20, "futures": 1}
TRADED = "TRADING"
UNKNOWN_SYMBOL = -1121
"""Code of the venue's refusal where a symbol, or one of those that were asked for together, is none."""
PRODUCTS = {"PERPETUAL": "perpetual", "TRADIFI_PERPETUAL": "perpetual"}


class Listing(NamedTuple):
    """What the venue says of symbols: the instruments of those that it lists, and why it does not trade some of all."""

    hints: dict[str, InstrumentHint]
    refused: dict[str, str]


class BinanceRest:
    """Requests to one venue, one at a time and within the weight that is granted.

    Parameters
    ----------
    session
        Belongs to the caller.
    quotas
        Where the weight is counted for all processes (`open_quotas`); None: in this one alone.
    clock
        Of the minutes of the weight, and of bans.

    Attributes
    ----------
    requests, refused, failed : sent; answered 429 or 418; failed otherwise.
    waited_seconds : time that requests waited for weight or for the end of a ban.
    """

    def __init__(
        self,
        config: BinanceConfig,
        session: aiohttp.ClientSession,
        quotas: Quotas | None = None,
        clock: Callable[[], int] = clock_ns,
    ) -> None:
        self.requests = 0
        self.refused = 0
        self.failed = 0
        self.waited_seconds = 0.0
        self.weight = Weight(config.rest_url, config.weight_limit, quotas, clock)
        self._config = config
        self._session = session
        self._turn = asyncio.Lock()

    @property
    def used_weight(self) -> int:
        """Spent in the current minute, of all processes, as far as known."""
        return self.weight.used

    async def depth(self, symbol: str) -> bytes:
        """The venue's snapshot of a book, as it came: `{"lastUpdateId":...,"bids":...,"asks":...}`.

        Raises
        ------
        SourceError
            The venue cannot be asked; NotFoundError: it has no such symbol, perhaps no longer.
        """
        levels = self._config.snapshot_levels
        weight = next(weight for most, weight in DEPTH_WEIGHTS[self._config.market] if levels <= most)
        return await self._get("depth", {"symbol": symbol, "limit": str(levels)}, weight, symbol)

    async def instruments(self, symbols: Sequence[str]) -> dict[str, InstrumentHint]:
        """Instruments by symbol, with the tick size of now and the lot size that records are counted in.

        Raises
        ------
        SourceError
            The venue cannot be asked, does not trade one of the symbols (each such is named), or the answer is not as
            documented (the field is named).
        """
        listing = await self.listing(symbols)
        if listing.refused:
            raise not_traded(listing.refused.values(), f"{self._config.rest_url}/exchangeInfo")
        return listing.hints

    async def listing(self, symbols: Sequence[str]) -> Listing:
        """The same where some of them may be missing; SourceError where the venue cannot be asked."""
        weight, where = INFO_WEIGHTS[self._config.market], f"{self._config.rest_url}/exchangeInfo"
        # The futures market takes no selection.
        spot = self._config.market == "spot"
        query = {"symbols": msgspec.json.encode(list(symbols)).decode()} if spot else {}
        try:
            body = await self._get("exchangeInfo", query, weight, ", ".join(symbols))
        except NotFoundError:
            if len(symbols) == 1:
                return Listing({}, {symbols[0]: f"{symbols[0]} is not listed"})
            # One symbol that the venue does not know spoils the question, and it does not say which: ask for all.
            body = await self._get("exchangeInfo", {}, weight)
        return read_listing(body, symbols, where=where, finer_decimals=self._config.finer_decimals)

    async def _get(self, name: str, query: dict[str, str], weight: int, symbol: str = "") -> bytes:
        url = f"{self._config.rest_url}/{name}"
        async with self._turn:
            while wait := self.weight.take(weight):
                self.waited_seconds += wait
                await asyncio.sleep(wait)
            self.requests += 1
            try:
                async with (
                    asyncio.timeout(self._config.timeout_seconds),
                    self._session.get(url, params=query) as answer,
                ):
                    used = answer.headers.get("X-MBX-USED-WEIGHT-1M", "")
                    if used.isdecimal():
                        self.weight.told(int(used))
                    body = await answer.content.read(LARGEST_BYTES + 1)
                    while len(body) <= LARGEST_BYTES and not answer.content.at_eof():
                        body += await answer.content.read(LARGEST_BYTES + 1 - len(body))
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self.failed += 1
                raise _fault(UnavailableError, f"no answer: {str(error) or type(error).__name__}", url) from error
            if answer.status == 200 and len(body) <= LARGEST_BYTES:
                return body
            if answer.status in LIMITED:
                self.refused += 1
                wait = _retry_seconds(answer.headers.get("Retry-After", ""))
                self.weight.block(wait)
                what = "banned" if answer.status == 418 else "too many requests"
                raise _fault(RateLimitedError, what, url, status=answer.status, retry_seconds=wait)
            self.failed += 1
            text = body[:200].decode("utf-8", "replace")
            if answer.status == 400 and _code(body) == UNKNOWN_SYMBOL:
                raise _fault(NotFoundError, f"{symbol} is not listed", url, "symbols of this market", status=400)
            raise _fault(UnavailableError, f"status {answer.status}: {text}", url, status=answer.status)


def read_listing(body: bytes, symbols: Sequence[str], *, where: str, finer_decimals: int = 0) -> Listing:
    """What an `exchangeInfo` answer says of symbols; MalformedError names a field that is missing."""
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise _fault(MalformedError, f"the answer is no JSON: {error}", where, "exchangeInfo") from error
    listed = answer.get("symbols") if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        raise _fault(MalformedError, "$.symbols is missing", where, "a list of symbols", path="$.symbols")
    found: dict[str, InstrumentHint] = {}
    refused = {symbol: f"{symbol} is not listed" for symbol in symbols}
    for place, row in enumerate(listed):
        symbol = row.get("symbol") if isinstance(row, dict) else None
        if symbol not in refused:
            continue
        status, path = row.get("status", TRADED), f"$.symbols[{place}]"
        if status == TRADED:
            found[symbol] = _instrument(row, where, path, finer_decimals)
            del refused[symbol]
        else:  # halted, or delisted: that often stays in the list, with whatever fields
            refused[symbol] = f"{symbol} is not traded now, its status is {status}"
            with contextlib.suppress(MalformedError):
                found[symbol] = _instrument(row, where, path, finer_decimals)
    return Listing(found, refused)


def not_traded(reasons: Iterable[str], where: str) -> SourceError:
    """The error where symbols are not traded, for these reasons."""
    return _fault(NotFoundError, "; ".join(reasons), where, "symbols of this market")


def _instrument(row: dict[str, Any], where: str, path: str, finer_decimals: int) -> InstrumentHint:
    filters = {entry.get("filterType"): entry for entry in row.get("filters", ()) if isinstance(entry, dict)}
    tick = _step(filters, "PRICE_FILTER", "tickSize", where, path)
    names: dict[str, str] = {}
    for field in ("baseAsset", "quoteAsset"):
        name = row.get(field)
        if not isinstance(name, str):
            place = f"{path}.{field}"
            raise _fault(MalformedError, f"{place} is {name!r}", where, "a currency", path=place)
        names[field] = name
    contract = row.get("contractType")
    return InstrumentHint(
        symbol=row["symbol"],
        venue="BINANCE",
        product="spot" if contract is None else PRODUCTS.get(contract, "future"),
        base_currency=names["baseAsset"],
        quote_currency=names["quoteAsset"],
        price_increment=tick,
        lot_size=_finer(_step(filters, "LOT_SIZE", "stepSize", where, path), finer_decimals),
        tick_table=(("0", tick),),
    )


def _step(filters: dict[Any, dict[str, Any]], kind: str, field: str, where: str, path: str) -> str:
    text = filters.get(kind, {}).get(field)
    whole, _, decimals = text.partition(".") if isinstance(text, str) else ("", "", "")
    if not (whole + decimals).isdecimal() or not int(whole + decimals):
        place = f"{path}.filters.{kind}.{field}"
        raise _fault(MalformedError, f"{place} is {text!r}", where, "a positive decimal, as text", path=place)
    decimals = decimals.rstrip("0")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{decimals}" if decimals else whole


def _finer(step: str, decimals: int) -> str:
    """A step with so many decimals more, of 8 at most."""
    exponent = Decimal(step).as_tuple().exponent
    assert isinstance(exponent, int)
    more = max(0, min(decimals, 8 + exponent))
    return f"{Decimal(step).scaleb(-more):f}"


def _code(body: bytes) -> int:
    """The venue's own number of a refusal; 0: there is none."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0
    code = answer.get("code") if isinstance(answer, dict) else 0
    return code if isinstance(code, int) else 0


def _retry_seconds(text: str) -> float:
    return float(text) if text.isdecimal() else DEFAULT_RETRY_SECONDS


def _fault(kind: type[SourceError], what: str, where: str, expected: str = "status 200", **more: Any) -> SourceError:
    return kind(what, where=where, expected=expected, source="binance", **more)
