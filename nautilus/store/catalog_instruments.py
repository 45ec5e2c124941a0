"""Instruments as a catalog knows them: a key, exact steps of price and quantity, and a name that is safe in a path."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from nautilus.store.catalog_errors import CatalogError, QueryError
from nautilus.store.catalog_names import LONGEST_TEXT, safe_name
from nautilus.store.catalog_steps import _step, common_step

PLAIN_PRODUCTS = ("", "spot", "equity", "unknown")
"""Products that a key does not name."""


class StoredInstrument(msgspec.Struct, frozen=True, omit_defaults=True):
    """An instrument of a catalog.

    Parameters
    ----------
    key
        ``SYMBOL@VENUE``, ``SYMBOL.PRODUCT@VENUE`` where that is neither spot nor an equity; of facts
        ``SYMBOL@source``; of a user's table its name.
    instrument_id
        Its number in this catalog, which records that are read carry; 0: it has none yet.
    price_increment, lot_size
        Decimal strings: one tick and one lot of what is read. "": it has none (facts, tables).
    negative_prices
        It may have such ones: its recordings or its market said so.
    """

    key: str
    symbol: str
    venue: str = ""
    price_increment: str = ""
    lot_size: str = ""
    base_currency: str = ""
    quote_currency: str = ""
    product: str = ""
    tick_table: tuple[tuple[str, str], ...] = ()
    instrument_id: int = 0
    negative_prices: bool = False

    def price(self, ticks: int) -> Decimal:
        """Ticks as a price, exact."""
        return ticks * Decimal(self.price_increment)

    def quantity(self, lots: int) -> Decimal:
        """Lots as a quantity, exact."""
        return lots * Decimal(self.lot_size)


def describe(instrument: Any) -> StoredInstrument:
    """What a catalog keeps of an instrument.

    Parameters
    ----------
    instrument
        An `Instrument` of the model, the `hint` of a recording, or whatever else has `symbol`, `venue`,
        `price_increment` and `lot_size`.

    Raises
    ------
    CatalogError
        A name is empty or too long, a step is no positive decimal of at most 18 places.
    """
    if isinstance(instrument, StoredInstrument):
        _check_key(instrument.key)
        return instrument
    try:
        symbol, venue = str(instrument.symbol), str(instrument.venue)
        increment, lot = _step(instrument.price_increment, symbol), _step(instrument.lot_size, symbol)
    except AttributeError as error:
        raise CatalogError(
            f"{type(instrument).__name__} is no instrument: {error}",
            expected="symbol, venue, price_increment, lot_size",
        ) from None
    product = str(getattr(instrument, "product", ""))
    # A venue gives its spot market and its perpetual the same symbol.
    plain = product in PLAIN_PRODUCTS or symbol.endswith(f".{product}")
    name = symbol if plain else f"{symbol}.{product}"
    key = f"{name}@{venue}" if venue else name
    _check_key(key)
    return StoredInstrument(
        key,
        symbol,
        venue,
        increment,
        lot,
        str(getattr(instrument, "base_currency", "")),
        str(getattr(instrument, "quote_currency", "")),
        product,
        tuple((str(price), str(tick)) for price, tick in getattr(instrument, "tick_table", ())),
        negative_prices=bool(getattr(instrument, "negative_prices", False)),
    )


def named(symbol: str, venue: str = "") -> StoredInstrument:
    """What has a name only: the symbol of a provider's facts, a table."""
    key = f"{symbol}@{venue}" if venue else symbol
    _check_key(key)
    return StoredInstrument(key, symbol, venue)


def refined(known: StoredInstrument, given: StoredInstrument) -> StoredInstrument:
    """The known instrument with steps so fine that what was stored and what comes are whole numbers of them."""
    if given.negative_prices and not known.negative_prices:
        known = msgspec.structs.replace(known, negative_prices=True)
    if (known.price_increment, known.lot_size) == (given.price_increment, given.lot_size):
        return known
    return msgspec.structs.replace(
        known,
        price_increment=common_step((known.price_increment, given.price_increment)),
        lot_size=common_step((known.lot_size, given.lot_size)),
    )


def _check_key(key: str) -> None:
    if not key or len(key) > LONGEST_TEXT or "\0" in key:
        raise CatalogError(f"instrument {key[:LONGEST_TEXT]!r}", expected=f"1 to {LONGEST_TEXT} characters")
    safe_name(key)


def pick(known: Iterable[StoredInstrument], wanted: str) -> list[StoredInstrument]:
    """Instruments whose key, name before the venue, or symbol is `wanted`: a symbol may be of several."""
    everything = list(known)
    exact = [each for each in everything if each.key == wanted]
    found = exact or [each for each in everything if wanted in (each.symbol, each.key.rpartition("@")[0])]
    if not found:
        raise QueryError(f"instrument {wanted!r} is not in the catalog", expected="one of `instruments()`")
    return found
