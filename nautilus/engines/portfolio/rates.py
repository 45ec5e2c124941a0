"""Last rates between currencies, of quotes and of requests, and the ways through them into the reporting currency.

A missing rate is None, never 1. A rate is a pair of fractions, exact: an inverse is not rounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, NamedTuple

from nautilus.engines.portfolio.money import decimal_of
from nautilus.model.enums import RecordFlag
from nautilus.model.errors import ModelError
from nautilus.model.ids import currency_id
from nautilus.model.instrument import Instrument
from nautilus.model.marketdata import Quote
from nautilus.model.portfolio import RateLine

CASH_PRODUCTS = ("spot", "fx", "forex", "currency")
"""Products whose price is the rate of one currency in another."""
MOST_CURRENCIES = 1_000
SYNTHETIC = int(RecordFlag.SYNTHETIC)


class Pair(NamedTuple):
    """What one unit of a base currency is worth in another. A side is None where nobody quotes it."""

    bid: Fraction | None
    ask: Fraction | None
    source: str
    now_ns: int
    synthetic: bool


class Rate(NamedTuple):
    """A rate into the reporting currency."""

    bid: Fraction
    ask: Fraction
    way: tuple[str, ...]
    source: str
    now_ns: int
    synthetic: bool


_ONE = Fraction(1)


class RateTable:
    """Pairs, and rates into one currency.

    Parameters
    ----------
    currency
        The reporting currency.
    instruments
        Quotes of those whose price is a rate are taken.

    Attributes
    ----------
    version : counts changes.
    """

    def __init__(self, currency: str, instruments: Iterable[Instrument]) -> None:
        self.currency = currency
        self.version = 0
        self._pairs: dict[tuple[str, str], Pair] = {}
        self._rates: dict[str, Rate | None] = {}
        self.instruments = {
            each.instrument_id: each
            for each in instruments
            if each.product in CASH_PRODUCTS and each.base_currency and each.base_currency != each.quote_currency
        }

    def note(self, quote: Quote) -> None:
        """Take the quote of a rate."""
        instrument = self.instruments[quote.instrument_id]
        bid = Fraction(instrument.price(quote.bid_ticks)) if quote.bid_quantity and quote.bid_ticks > 0 else None
        ask = Fraction(instrument.price(quote.ask_ticks)) if quote.ask_quantity and quote.ask_ticks > 0 else None
        pair = Pair(bid, ask, instrument.symbol, quote.now_ns, bool(quote.flags & SYNTHETIC))
        self._put(instrument.base_currency, instrument.quote_currency, pair)

    def set(self, rates: dict[str, str], source: str, now_ns: int) -> None:
        """Take what units of currencies are worth in the reporting currency. ModelError: nothing is changed then."""
        found = {}
        for currency, text in rates.items():
            currency_id(currency)
            if currency == self.currency:
                raise ModelError(f"a rate of {currency}", where="rates", expected="one of another currency")
            value = decimal_of(text, f"rate of {currency}")
            if value <= 0:
                raise ModelError(f"rate {text} of {currency}", where="rates", expected="greater than zero")
            found[currency] = Fraction(value)
        if len({*self._pairs, *((each, self.currency) for each in found)}) > MOST_CURRENCIES:
            raise ModelError(f"{len(found)} more rates", where="rates", expected=f"at most {MOST_CURRENCIES} in all")
        for currency, rate in found.items():
            self._put(currency, self.currency, Pair(rate, rate, source, now_ns, synthetic=False))

    def rate(self, currency: str) -> Rate | None:
        """Into the reporting currency: direct, or through one other currency; None: there is none."""
        if currency not in self._rates:
            self._rates[currency] = self._find(currency)
        return self._rates[currency]

    def lines(self, currencies: Iterable[str]) -> tuple[tuple[RateLine, ...], tuple[str, ...]]:
        """Rates of these and of all currencies that pairs name, and which of these have none."""
        wanted = sorted({*currencies})
        named = sorted({*wanted, *(base for base, _ in self._pairs)} - {self.currency})
        lines = []
        for currency in named:
            rate = self.rate(currency)
            if rate is not None:
                bid, ask = float(rate.bid), float(rate.ask)
                lines.append(RateLine(currency, bid, ask, rate.way, rate.source, rate.now_ns))
        return tuple(lines), tuple(each for each in wanted if self.rate(each) is None)

    def state(self) -> list[list[Any]]:
        """Plain values."""
        return [
            [*key, _text(pair.bid), _text(pair.ask), pair.source, pair.now_ns, pair.synthetic]
            for key, pair in self._pairs.items()
        ]

    def restore(self, state: Iterable[Any]) -> None:
        """Take over what `state()` gave."""
        for base, quote, bid, ask, source, now_ns, *later in state:
            self._put(base, quote, Pair(_fraction(bid), _fraction(ask), source, now_ns, any(later)))

    def _put(self, base: str, quote: str, pair: Pair) -> None:
        known = self._pairs.get((base, quote))
        if known is not None and (known.bid, known.ask, known.synthetic) == (pair.bid, pair.ask, pair.synthetic):
            # Rates that were found through it are of their time of finding: how old they look matters less than
            # finding them again at every quote.
            return
        self._pairs[base, quote] = pair
        self._rates.clear()
        self.version += 1

    def _step(self, base: str, quote: str) -> Pair | None:
        """The later of a pair and the inverse of its opposite."""
        direct, opposite = self._pairs.get((base, quote)), self._pairs.get((quote, base))
        if opposite is None or (direct is not None and direct.now_ns >= opposite.now_ns):
            return direct
        bid = None if opposite.ask is None else _ONE / opposite.ask
        ask = None if opposite.bid is None else _ONE / opposite.bid
        return Pair(bid, ask, opposite.source, opposite.now_ns, opposite.synthetic)

    def _find(self, currency: str) -> Rate | None:
        if currency == self.currency:
            return Rate(_ONE, _ONE, (currency,), "", 0, synthetic=False)
        direct = self._step(currency, self.currency)
        if direct is not None and direct.bid is not None and direct.ask is not None:
            way = (currency, self.currency)
            return Rate(direct.bid, direct.ask, way, direct.source, direct.now_ns, direct.synthetic)
        others = sorted({each for pair in self._pairs for each in pair} - {currency, self.currency})
        for other in others:
            first, second = self._step(currency, other), self._step(other, self.currency)
            if first is None or second is None:
                continue
            if first.bid is None or first.ask is None or second.bid is None or second.ask is None:
                continue
            return Rate(
                first.bid * second.bid,
                first.ask * second.ask,
                (currency, other, self.currency),
                f"{first.source}, {second.source}",
                min(first.now_ns, second.now_ns),
                first.synthetic or second.synthetic,
            )
        return None


def _text(value: Fraction | None) -> str:
    return "" if value is None else str(value)


def _fraction(text: str) -> Fraction | None:
    return Fraction(text) if text else None
