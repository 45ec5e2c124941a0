"""Money of any currency as whole numbers of 10^-18, so that sums of instruments with other units are exact.

Nothing is booked from a conversion: rates are of reports alone. A conversion takes the side of the rate that is worse
for the trader and rounds down, so what is owned is never worth more, and what is owed never less, than it says.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction

from nautilus.model.errors import ModelError
from nautilus.model.instrument import EXACT, PLAIN, Instrument

SCALE = 18
UNIT = 10**SCALE
REPORT_DECIMALS = 8
"""Of the whole numbers in `PortfolioValued`."""
_REPORT_STEP: int = UNIT // 10**REPORT_DECIMALS
_MOST_DIGITS = 40


def scale_of(instrument: Instrument) -> int:
    """What one money unit of an instrument is, in units of 10^-18."""
    scale: int = 10 ** (SCALE - instrument.currency_decimals)
    return scale


def units_of(text: str, what: str, *, positive: bool = False) -> int:
    """A decimal as people write it, in units of 10^-18.

    Raises
    ------
    ModelError
        It is none, has more than 18 decimals, or with `positive` is not above 0.
    """
    value = decimal_of(text, what)
    if positive and value <= 0:
        raise ModelError(f"{what} {text}", where="portfolio", expected="greater than zero")
    units = EXACT.scaleb(value, SCALE)
    if units != units.to_integral_value(context=EXACT):
        raise ModelError(f"{what} {text}", where="portfolio", expected=f"at most {SCALE} decimals")
    return int(units)


def decimal_of(text: str, what: str) -> Decimal:
    """A decimal as people write it. ModelError: it is none."""
    if len(text) > _MOST_DIGITS or PLAIN.fullmatch(text) is None:
        shown = text if len(text) <= _MOST_DIGITS else f"{text[:_MOST_DIGITS]}..."
        raise ModelError(f"{what} {shown!r}", where="portfolio", expected="a decimal number such as 12.5")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ModelError(f"{what} {text!r}", where="portfolio", expected="a decimal number such as 12.5") from None


def text_of(units: int) -> str:
    """Units of 10^-18 as a decimal without exponent or trailing zeros."""
    return plain(EXACT.scaleb(Decimal(units), -SCALE))


def plain(value: Decimal) -> str:
    """A decimal without exponent or trailing zeros."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def number_of(units: int) -> float:
    """Units of 10^-18 as the nearest float."""
    return float(units / UNIT)


def report_units(units: int) -> int:
    """Units of 10^-18 in those of a report, rounded down."""
    whole: int = units // _REPORT_STEP
    return whole


def converted(units: int, bid: Fraction, ask: Fraction) -> int:
    """Units of one currency in another: what is owned at the bid, what is owed at the ask, rounded down."""
    rate = bid if units >= 0 else ask
    return units * rate.numerator // rate.denominator
