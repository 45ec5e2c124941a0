"""The part of Binance's REST API that a live feed needs: snapshots of books and what is traded.

Every request has a weight, and an address may spend so much a minute. What was spent is counted here and taken from
the venue's own count (`X-MBX-USED-WEIGHT-1M`) where that is higher, as others may share the address. 429 and 418 (a
ban) are obeyed: nothing is asked before `Retry-After` has passed.

Source: Binance, "General information on endpoints" and "Order book", for the spot market and for USD-M futures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

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
PRODUCTS = {"PERPETUAL": "perpetual", "TRADIFI_PERPETUAL": "perpetual"}


class BinanceRest:
    """Requests to one venue, one at a time and within the weight that is granted.

    Parameters
    ----------
    session
        Belongs to the caller.
    quotas
        Where the weight is counted for all processes (`open_quotas`); None: in this one alone.

    Attributes
    ----------
    requests, refused, failed : sent; answered 429 or 418; failed otherwise.
    waited_seconds : time that requests waited for weight or for the end of a ban.
    """

    def __init__(self, config: BinanceConfig, session: aiohttp.ClientSession, quotas: Quotas | None = None) -> None:
        self.requests = 0
        self.refused = 0
        self.failed = 0
        self.waited_seconds = 0.0
        self.weight = Weight(config.rest_url, config.weight_limit, quotas)
        self._config = config
        self._session = session
        self._turn = asyncio.Lock()

    @property
    def used_weight(self) -> int:
        """Spent in the current minute, of all processes, as far as known."""
        return self.weight.used

    async def depth(self, symbol: str) -> bytes:
        """The venue's snapshot of a book, as it came: `{"lastUpdateId":...,"bids":...,"asks":...}`."""
        levels = self._config.snapshot_levels
        weight = next(weight for most, weight in DEPTH_WEIGHTS[self._config.market] if levels <= most)
        return await self._get("depth", {"symbol": symbol, "limit": str(levels)}, weight)

    async def instruments(self, symbols: Sequence[str]) -> dict[str, InstrumentHint]:
        """Instruments by symbol, with the tick size of now and the lot size that records are counted in.

        Raises
        ------
        SourceError
            The venue cannot be asked, trades no such symbol, or the answer is not as documented (the field is named).
        """
        spot = self._config.market == "spot"
        # The futures market takes no selection.
        query = {"symbols": msgspec.json.encode(list(symbols)).decode()} if spot else {}
        body = await self._get("exchangeInfo", query, INFO_WEIGHTS[self._config.market])
        where = f"{self._config.rest_url}/exchangeInfo"
        return read_instruments(body, symbols, where=where, finer_decimals=self._config.finer_decimals)

    async def _get(self, name: str, query: dict[str, str], weight: int) -> bytes:
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
            raise _fault(UnavailableError, f"status {answer.status}: {text}", url, status=answer.status)


def read_instruments(
    body: bytes, symbols: Sequence[str], *, where: str, finer_decimals: int = 0
) -> dict[str, InstrumentHint]:
    """The instruments asked for of an `exchangeInfo` answer; MalformedError names what is missing."""
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise _fault(MalformedError, f"the answer is no JSON: {error}", where, "exchangeInfo") from error
    listed = answer.get("symbols") if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        raise _fault(MalformedError, "$.symbols is missing", where, "a list of symbols", path="$.symbols")
    found: dict[str, InstrumentHint] = {}
    for place, row in enumerate(listed):
        if isinstance(row, dict) and row.get("symbol") in symbols:
            found[row["symbol"]] = _instrument(row, where, f"$.symbols[{place}]", finer_decimals)
    missing = [symbol for symbol in symbols if symbol not in found]
    if missing:
        raise _fault(NotFoundError, f"{', '.join(missing)} is not listed", where, "symbols of this market")
    return found


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


def _retry_seconds(text: str) -> float:
    return float(text) if text.isdecimal() else DEFAULT_RETRY_SECONDS


def _fault(kind: type[SourceError], what: str, where: str, expected: str = "status 200", **more: Any) -> SourceError:
    return kind(what, where=where, expected=expected, source="binance", **more)
