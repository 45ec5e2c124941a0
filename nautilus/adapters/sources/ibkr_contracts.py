"""Contracts of Interactive Brokers as texts, sizes of bars, and the pace at which history may be asked for."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from nautilus.adapters.sources.errors import UnsupportedError

if TYPE_CHECKING:
    from ib_async import Contract

SECOND_NS = 1_000_000_000
DAY_SECONDS = 86_400
EXPECTED = "AAPL, AAPL@NASDAQ, EUR.USD, conid:265598 or SYMBOL:TYPE:EXCHANGE:CURRENCY[:EXPIRY[:STRIKE:RIGHT]]"


class BarSize(NamedTuple):
    """A size of bars: as the venue writes it, in seconds, and how many days one request may span."""

    words: str
    seconds: int
    most_days: int


# The longest span for which one request of a size is answered in good time, as documented.
BAR_SIZES = {
    "1s": BarSize("1 secs", 1, 0),  # half an hour
    "5s": BarSize("5 secs", 5, 0),
    "30s": BarSize("30 secs", 30, 1),
    "1m": BarSize("1 min", 60, 1),
    "5m": BarSize("5 mins", 300, 7),
    "15m": BarSize("15 mins", 900, 14),
    "30m": BarSize("30 mins", 1800, 30),
    "1h": BarSize("1 hour", 3600, 30),
    "1d": BarSize("1 day", DAY_SECONDS, 365),
}
SHORT_SECONDS = 1800


def contract_of(symbol: str) -> Contract:
    """The contract that a question's symbol names.

    Raises
    ------
    UnsupportedError
        It is of no known form.
    """
    from ib_async import Contract

    name, colon, rest = symbol.partition(":")
    if name == "conid" and rest.isdecimal():
        return Contract(conId=int(rest))
    parts = symbol.split(":")
    if len(parts) in (4, 5, 7):
        contract = Contract(secType=parts[1], symbol=parts[0], exchange=parts[2], currency=parts[3])
        if len(parts) > 4:
            contract.lastTradeDateOrContractMonth = parts[4]
        if len(parts) == 7:
            try:
                contract.strike = float(parts[5])
            except ValueError:
                raise _unknown(symbol) from None
            contract.right = parts[6]
        return contract
    base, dot, quote = symbol.partition(".")
    if dot and len(base) == len(quote) == 3 and (base + quote).isupper():
        return Contract(secType="CASH", symbol=base, currency=quote, exchange="IDEALPRO")
    name, at, venue = symbol.partition("@")
    if colon or not name or (at and not venue):
        raise _unknown(symbol)
    return Contract(secType="STK", symbol=name, exchange="SMART", currency="USD", primaryExchange=venue)


def _unknown(symbol: str) -> UnsupportedError:
    return UnsupportedError(f"{symbol} names no contract", where="ibkr", expected=EXPECTED, source="ibkr")


def key_of(contract: Contract) -> str:
    """The text by which a contract can be asked for again."""
    parts = [contract.symbol, contract.secType, contract.exchange or contract.primaryExchange, contract.currency]
    if contract.lastTradeDateOrContractMonth:
        parts.append(contract.lastTradeDateOrContractMonth)
        if contract.strike:
            parts += [f"{contract.strike:g}", contract.right]
    return ":".join(parts)


def length_words(seconds: int) -> str:
    """A length of time as the venue writes it: seconds up to a day, days up to a year, else years."""
    if seconds <= DAY_SECONDS:
        return f"{max(30, seconds)} S"
    days = -(-seconds // DAY_SECONDS)
    return f"{days} D" if days <= 365 else f"{-(-days // 365)} Y"


class Pacing:
    """When history may be asked for: 60 requests in ten minutes, no equal one within 15 seconds, and fewer than six
    of one contract within two seconds; asking for bid and ask counts twice. Time is handed in.

    Source: Interactive Brokers, "Historical data limitations", pacing violations.
    """

    MOST = 60
    WINDOW_NS = 600 * SECOND_NS
    EQUAL_NS = 15 * SECOND_NS
    BURST = 5
    BURST_NS = 2 * SECOND_NS

    def __init__(self) -> None:
        self._sent: deque[int] = deque()
        self._equal: dict[object, int] = {}
        self._contracts: dict[object, deque[int]] = {}

    def wait_ns(self, now_ns: int, contract: object, request: object, *, weight: int = 1) -> int:
        """How long until such a request may leave; 0: now."""
        self._forget(now_ns)
        waits = [0]
        over = len(self._sent) + weight - self.MOST
        if over > 0:
            waits.append(self._sent[over - 1] + self.WINDOW_NS - now_ns)
        last = self._equal.get((contract, request))
        if last is not None:
            waits.append(last + self.EQUAL_NS - now_ns)
        recent = self._contracts.get(contract, ())
        over = len(recent) + weight - self.BURST
        if over > 0:
            waits.append(recent[over - 1] + self.BURST_NS - now_ns)
        return max(waits)

    def note(self, now_ns: int, contract: object, request: object, *, weight: int = 1) -> None:
        """A request leaves now."""
        self._forget(now_ns)
        self._sent.extend([now_ns] * weight)
        self._equal[contract, request] = now_ns
        self._contracts.setdefault(contract, deque()).extend([now_ns] * weight)

    @property
    def used(self) -> int:
        """Requests that count in the ten minutes, as of the last call."""
        return len(self._sent)

    def _forget(self, now_ns: int) -> None:
        while self._sent and now_ns - self._sent[0] >= self.WINDOW_NS:
            self._sent.popleft()
        self._equal = {key: at for key, at in self._equal.items() if now_ns - at < self.EQUAL_NS}
        for recent in self._contracts.values():
            while recent and now_ns - recent[0] >= self.BURST_NS:
                recent.popleft()
        self._contracts = {key: recent for key, recent in self._contracts.items() if recent}
