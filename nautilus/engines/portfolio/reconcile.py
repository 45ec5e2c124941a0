"""Comparisons of a portfolio with the core and with a venue's statement. They find differences; they change nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction

from nautilus.engines.portfolio.money import decimal_of, plain, text_of
from nautilus.engines.portfolio.names import Names
from nautilus.model.instrument import EXACT, Instrument
from nautilus.model.portfolio import Difference, DifferenceKind
from nautilus.model.position import Position
from nautilus.model.queries import CorePosition

_FIGURES = (
    (DifferenceKind.COST, "cost"),
    (DifferenceKind.REALISED, "realised"),
    (DifferenceKind.FEES, "fees"),
)


def with_core(
    ours: Iterable[Position], theirs: Iterable[CorePosition], names: Names, known: Mapping[int, Instrument]
) -> tuple[list[Difference], int]:
    """Differences to the core's positions, to the last money unit, and how many were compared."""
    here = {each.instrument_id: each for each in ours}
    there = {each.instrument_id: each for each in theirs}
    found = []
    for key in sorted({*here, *there}):
        ours_is, theirs_is = here.get(key), there.get(key)
        if key not in known:
            assert theirs_is is not None
            found.append(
                Difference(DifferenceKind.UNKNOWN_INSTRUMENT, str(key), "", str(theirs_is.quantity), instrument_id=key)
            )
            continue
        symbol, instrument = names.symbol(key), known[key]
        mine = ours_is or Position(0, key)
        lots = theirs_is.quantity if theirs_is is not None else 0
        if mine.quantity != lots:
            found.append(_quantity(symbol, key, instrument, mine.quantity, lots))
        for kind, name in _FIGURES:
            one, other = int(getattr(mine, name)), int(getattr(theirs_is, name, "0"))
            if one != other:
                texts = (plain(instrument.money(one)), plain(instrument.money(other)))
                found.append(Difference(kind, symbol, *texts, instrument_id=key))
    return found, len({*here, *there})


def with_statement(
    ours: Iterable[Position],
    balances: Mapping[str, int],
    quantities: Mapping[str, str],
    prices: Mapping[str, str],
    cash: Mapping[str, str],
    names: Names,
    known: Mapping[int, Instrument],
) -> tuple[list[Difference], int]:
    """Differences to a statement, and how many positions and balances were compared.

    Parameters
    ----------
    balances
        Cash here, in units of 10^-18, by currency.
    quantities, prices, cash
        As the statement has them: decimals as text. A price or balance agrees where ours, rounded to as many decimals,
        is the same.

    Raises
    ------
    ModelError
        A number is none, or two lines are of one instrument.
    """
    here = {each.instrument_id: each for each in ours}
    there: dict[int, Decimal] = {}
    found = []
    for text, quantity in quantities.items():
        value = decimal_of(quantity, f"quantity of {text}")
        if not names.knows(text):
            found.append(Difference(DifferenceKind.UNKNOWN_INSTRUMENT, text, "", quantity))
            continue
        key = names.find(text).instrument_id
        # Two names of one instrument, a former and a present one, are lines of one position.
        there[key] = EXACT.add(there.get(key, Decimal(0)), value)
    named = {}
    for text, price in prices.items():
        value = decimal_of(price, f"price of {text}")
        if names.knows(text):
            named[names.find(text).instrument_id] = value
        elif text not in quantities:
            found.append(Difference(DifferenceKind.UNKNOWN_INSTRUMENT, text, "", price))
    for key in sorted({*there, *(key for key, each in here.items() if each.quantity)}):
        mine, instrument, symbol = here.get(key, Position(0, key)), known[key], names.symbol(key)
        held, theirs = instrument.quantity(mine.quantity), there.get(key, Decimal(0))
        if held != theirs:
            kind = DifferenceKind.QUANTITY
            if not held:
                kind = DifferenceKind.MISSING_HERE
            elif not theirs:
                kind = DifferenceKind.MISSING_THERE
            found.append(Difference(kind, symbol, plain(held), plain(theirs), instrument_id=key))
        if mine.quantity and key in named:
            average = Fraction(-mine.cost, mine.quantity * instrument.multiplier) * Fraction(instrument.price_increment)
            if not _agrees(average, named[key]):
                shown = plain(_rounded(average, named[key], ROUND_HALF_EVEN))
                found.append(Difference(DifferenceKind.PRICE, symbol, shown, plain(named[key]), instrument_id=key))
    for currency in sorted({*cash, *(each for each, units in balances.items() if units)} if cash else ()):
        theirs_text = cash.get(currency, "0")
        value = decimal_of(theirs_text, f"cash of {currency}")
        units = balances.get(currency, 0)
        if not _agrees(Fraction(units, 10**18), value):
            found.append(Difference(DifferenceKind.CASH, currency, text_of(units), plain(value)))
    return found, len({*here, *there}) + len(cash)


def _quantity(symbol: str, key: int, instrument: Instrument, here: int, there: int) -> Difference:
    kind = DifferenceKind.QUANTITY
    if not here:
        kind = DifferenceKind.MISSING_HERE
    elif not there:
        kind = DifferenceKind.MISSING_THERE
    return Difference(
        kind, symbol, plain(instrument.quantity(here)), plain(instrument.quantity(there)), instrument_id=key
    )


def _agrees(ours: Fraction, theirs: Decimal) -> bool:
    """Whether ours, rounded as they may have rounded it, is theirs."""
    return theirs in (_rounded(ours, theirs, ROUND_HALF_EVEN), _rounded(ours, theirs, ROUND_HALF_UP))


def _rounded(ours: Fraction, like: Decimal, rounding: str) -> Decimal:
    """Ours with as many decimals as another number."""
    exponent = like.as_tuple().exponent
    decimals = max(0, -exponent) if isinstance(exponent, int) else 0
    scaled = ours * 10**decimals
    whole, rest = divmod(abs(scaled.numerator), scaled.denominator)
    twice = 2 * rest - scaled.denominator
    up = twice > 0 or (twice == 0 and (rounding == ROUND_HALF_UP or whole & 1 == 1))
    size = EXACT.scaleb(Decimal(whole + up), -decimals)
    return EXACT.minus(size) if scaled < 0 else size
