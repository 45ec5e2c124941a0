"""An instrument at one venue, and the one place where decimals become integers.

Inside the platform a price is a count of the instrument's price increment (the finest step of its tick table), a
quantity is a count of lots, money is a count of ``10^-currency_decimals`` of the quote currency. All three
conversions are exact: what does not fit is refused, never rounded.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal, InvalidOperation
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nautilus.core.types import (
    COMMAND,
    MAX_MULTIPLIER,
    MAX_PRICE_TICKS,
    MAX_QUANTITY_LOTS,
    CommandKind,
    InstrumentFlag,
)
from nautilus.model.errors import ModelError
from nautilus.model.ids import MAX_ID_16, MAX_ID_32, check_id, currency_id
from nautilus.model.message import Message

Number = Decimal | str | int | float
MAX_BANDS = 16
PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?")
"""A price or quantity as people write it: what else `Decimal` takes (exponents, blanks, "1_0") is a slip."""
MOST_DIGITS = 100
# Wide enough for every product of a price, a quantity and a multiplier that the core accepts.
EXACT = Context(prec=120)


class Instrument(Message, frozen=True, dict=True):
    """One instrument at one venue.

    Parameters
    ----------
    tick_table
        ``((from_price, tick), ...)`` as decimal strings, ascending, the first from 0: from that price on (of the
        absolute price) prices are multiples of the tick. Ticks are multiples of the finest tick; a bound is a
        multiple of the ticks on both sides of it.
    lot_size, min_quantity
        Decimal strings; the smallest step of quantities and the smallest order.
    contract_multiplier
        Quote currency per unit of price and quantity.
    currency_decimals
        Money is counted in ``10^-currency_decimals`` of the quote currency.
    negative_prices
        Prices below zero are allowed.
    routed
        Orders go to the external venue `venue_id`; else they are matched here, whose market data it may be.

    Raises
    ------
    ModelError
        A field is malformed, or one tick times one lot is no whole number of money units from 1 to 2^20.
    """

    instrument_id: int
    symbol: str
    venue: str
    base_currency: str
    quote_currency: str
    tick_table: tuple[tuple[str, str], ...]
    lot_size: str
    min_quantity: str = ""
    venue_id: int = 1
    product: str = "spot"
    product_id: int = 1
    contract_multiplier: str = "1"
    currency_decimals: int = 8
    negative_prices: bool = False
    routed: bool = False

    def __post_init__(self) -> None:
        check_id(self.instrument_id, "instrument_id", MAX_ID_32, self.symbol)
        check_id(self.venue_id, "venue_id", MAX_ID_16, self.symbol)
        check_id(self.product_id, "product_id", MAX_ID_16, self.symbol)
        currency_id(self.quote_currency)
        if not self.symbol or not self.venue:
            raise ModelError(f"symbol {self.symbol!r} at venue {self.venue!r}", expected="both named")
        if not 0 <= self.currency_decimals <= 18:
            raise self._error(f"currency_decimals {self.currency_decimals}", "0 to 18")
        if self._minimum_lots < 1:
            raise self._error(f"min_quantity {self.min_quantity}", "greater than zero")
        _ = self.bands, self.multiplier  # checked now, once, rather than at first use

    # Derived, computed once.

    @cached_property
    def price_increment(self) -> Decimal:
        """The finest tick of the tick table; what one unit of `price_ticks` is worth."""
        return min(tick for _, tick in self._decimal_table)

    @cached_property
    def bands(self) -> tuple[tuple[int, int], ...]:
        """``((first price, step), ...)``, both in increments; the first entry is ``(0, base step)``."""
        table = self._decimal_table
        if not 1 <= len(table) <= MAX_BANDS + 1:
            raise self._error(f"tick_table of {len(table)} bands", f"1 to {MAX_BANDS + 1}")
        if table[0][0] != 0:
            raise self._error(f"tick_table begins at {table[0][0]}", "the first band from price 0")
        bands: list[tuple[int, int]] = []
        for first, tick in table:
            start = _exact_count(first, self.price_increment)
            step = _exact_count(tick, self.price_increment)
            if start is None or step is None:
                raise self._error(
                    f"band ({first}, {tick}) of tick_table", f"multiples of the finest tick {self.price_increment}"
                )
            if bands and start <= bands[-1][0]:
                raise self._error(f"band from {first} of tick_table", "bands in ascending order of price")
            if start % step or (bands and start % bands[-1][1]):
                raise self._error(f"band from {first} of tick_table", "a multiple of the ticks on both sides of it")
            if max(start, step) > MAX_PRICE_TICKS:
                raise self._error(f"band ({first}, {tick}) of tick_table", f"at most {MAX_PRICE_TICKS} increments")
            bands.append((start, step))
        return tuple(bands)

    @cached_property
    def multiplier(self) -> int:
        """Money units per tick and lot: increment x lot x contract multiplier x 10^currency_decimals."""
        product = EXACT.multiply(EXACT.multiply(self.price_increment, self._lot), self._contract_multiplier)
        units = EXACT.scaleb(product, self.currency_decimals)
        if units != units.to_integral_value() or not 1 <= units <= MAX_MULTIPLIER:
            raise self._error(
                f"one tick times one lot is {units.normalize():f} units of 10^-{self.currency_decimals} "
                f"{self.quote_currency}",
                f"a whole number from 1 to {MAX_MULTIPLIER}; change currency_decimals, the tick or the lot",
            )
        return int(units)

    @cached_property
    def currency_id(self) -> int:
        """The quote currency's number in the core."""
        return currency_id(self.quote_currency)

    # Conversions.

    def ticks(self, price: Number) -> int:
        """Price to increments; refuses NaN, infinite, off tick, too large, or not positive where it must be."""
        value = self._number(price, "price")
        count = _exact_count(value, self.price_increment)
        if count is None:
            raise self._error(f"price {price} is off tick", f"a multiple of {self.tick_at(value)}")
        self._check_range(count, price)
        step = self.step_at(count)
        if count % step:
            raise self._error(f"price {price} is off tick", f"a multiple of {self.tick_at(value)}")
        return count

    def increments(self, distance: Number, least: int, most: int) -> int:
        """A difference of prices in increments, from `least` to `most`; no tick table holds for it."""
        value = self._number(distance, "distance")
        count = _exact_count(value, self.price_increment)
        if count is None or not least <= count <= most:
            raise self._error(
                f"distance {distance}",
                f"a multiple of {self.price_increment}, {self.price(least):f} to {self.price(most):f}",
            )
        return count

    def price(self, ticks: int) -> Decimal:
        """Increments to price, exact."""
        return EXACT.multiply(Decimal(ticks), self.price_increment)

    def lots(self, quantity: Number) -> int:
        """Quantity to lots; refuses NaN, infinite, zero, negative, off lot, below the minimum, too large."""
        value = self._number(quantity, "quantity")
        if value <= 0:
            raise self._error(f"quantity {quantity}", "greater than zero")
        count = _exact_count(value, self._lot)
        if count is None:
            raise self._error(f"quantity {quantity} is off lot", f"a multiple of {self.lot_size}")
        if count > MAX_QUANTITY_LOTS:
            raise self._error(f"quantity {quantity} is too large", f"at most {self.quantity(MAX_QUANTITY_LOTS):f}")
        if count < self._minimum_lots:
            raise self._error(f"quantity {quantity} is below the minimum", f"at least {self.min_quantity}")
        return count

    def quantity(self, lots: int) -> Decimal:
        """Lots to quantity, exact; of either sign, so that positions convert too."""
        return EXACT.multiply(Decimal(lots), self._lot)

    def money(self, units: int) -> Decimal:
        """Money units of the core to quote currency, exact."""
        return EXACT.scaleb(Decimal(units), -self.currency_decimals)

    def step_at(self, ticks: int) -> int:
        """The step, in increments, that holds at a price given in increments."""
        size = abs(ticks)
        step = self.bands[0][1]
        for start, band_step in self.bands:
            if start > size:
                break
            step = band_step
        return step

    def tick_at(self, price: Decimal) -> Decimal:
        """The tick that holds at a price."""
        return EXACT.multiply(
            self.price_increment,
            self.step_at(int(EXACT.divide_int(min(abs(price), self.price(MAX_PRICE_TICKS)), self.price_increment))),
        )

    def round_ticks(self, ticks: float, *, up: bool) -> int:
        """The nearest valid price in increments at or below (`up`: at or above) a price in increments."""
        try:
            whole = int(ticks // 1)
        except (OverflowError, ValueError):
            raise self._error(f"price of {ticks} ticks", "a finite number") from None
        if up and whole < ticks:
            whole += 1
        step = self.step_at(whole)
        return -(-whole // step) * step if up else whole // step * step

    def to_commands(self) -> npt.NDArray[np.void]:
        """The INSTRUMENT command and one BAND command for each further band, as a COMMAND array."""
        rows = np.zeros(len(self.bands), COMMAND)
        rows["kind"] = CommandKind.INSTRUMENT
        rows["instrument_id"] = self.instrument_id
        rows["price_ticks"] = [self.bands[0][1], *(start for start, _ in self.bands[1:])]
        rows["quantity"] = [self.multiplier, *(step for _, step in self.bands[1:])]
        rows["flags"] = InstrumentFlag.BAND
        rows["flags"][0] = InstrumentFlag.NEGATIVE if self.negative_prices else 0
        rows["display_quantity"][0] = 1
        rows["min_quantity"][0] = self._minimum_lots
        rows["offset"][0] = self.currency_id
        rows["venue_reference"][0] = self.venue_id if self.routed else 0
        rows["group_id"][0] = self.product_id
        return rows

    # Private.

    @cached_property
    def _lot(self) -> Decimal:
        return self._positive(self.lot_size, "lot_size")

    @cached_property
    def _contract_multiplier(self) -> Decimal:
        return self._positive(self.contract_multiplier, "contract_multiplier")

    @cached_property
    def _minimum_lots(self) -> int:
        if not self.min_quantity:
            return 1
        count = _exact_count(self._positive(self.min_quantity, "min_quantity"), self._lot)
        if count is None or count > MAX_QUANTITY_LOTS:
            raise self._error(f"min_quantity {self.min_quantity}", f"a multiple of the lot {self.lot_size}")
        return count

    @cached_property
    def _decimal_table(self) -> tuple[tuple[Decimal, Decimal], ...]:
        if not self.tick_table:
            raise self._error("tick_table is empty", "at least one band (from_price, tick)")
        return tuple(
            (self._decimal(first, "tick_table price"), self._positive(tick, "tick_table tick"))
            for first, tick in self.tick_table
        )

    def _check_range(self, count: int, price: Number) -> None:
        if abs(count) > MAX_PRICE_TICKS:
            raise self._error(f"price {price} is too large", f"at most {self.price(MAX_PRICE_TICKS):f}")
        if count <= 0 and not self.negative_prices:
            raise self._error(f"price {price}", "greater than zero")

    def _positive(self, number: Number, name: str) -> Decimal:
        value = self._decimal(number, name)
        if value <= 0:
            raise self._error(f"{name} {number}", "greater than zero")
        return value

    def _number(self, number: Number, name: str) -> Decimal:
        """A price or quantity; as text it is written plainly."""
        if isinstance(number, str) and (len(number) > MOST_DIGITS or PLAIN.fullmatch(number) is None):
            shown = number if len(number) <= MOST_DIGITS else f"{number[:MOST_DIGITS]}..."
            raise self._error(f"{name} {shown!r}", "a decimal number such as 12.5")
        return self._decimal(number, name)

    def _decimal(self, number: Any, name: str) -> Decimal:
        if isinstance(number, bool) or not isinstance(number, Decimal | str | int | float):
            raise self._error(f"{name} {number!r}", "a decimal number")
        try:
            # A float stands for the shortest decimal that prints as it, which is what its writer meant.
            value = Decimal(repr(number)) if isinstance(number, float) else Decimal(number)
        except InvalidOperation:
            raise self._error(f"{name} {number!r}", "a decimal number") from None
        if not value.is_finite():
            raise self._error(f"{name} {number}", "a finite number")
        if abs(value.adjusted()) > 40:
            raise self._error(f"{name} {number} is out of range", "between 1e-40 and 1e40 in size")
        return value

    def _error(self, what: str, expected: str) -> ModelError:
        return ModelError(what, where=f"{self.symbol} at {self.venue}", expected=expected)


def _exact_count(value: Decimal, unit: Decimal) -> int | None:
    """`value` / `unit` where that is a whole number."""
    whole, rest = EXACT.divmod(value, unit)
    return None if rest else int(whole)
