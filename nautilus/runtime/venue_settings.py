"""Settings of external venues: a section for each."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from nautilus.model.errors import ConfigError, ModelError
from nautilus.model.ids import MAX_ID_32
from nautilus.model.instrument import Instrument

__all__ = ["VENUES", "VenueConfig", "VenueInstrument", "check_venues"]

VENUES = ("venue0", "venue1", "venue2")
"""Sections, and the processes of the sessions; as many as the core has slots for."""
Seconds = Annotated[float, Meta(gt=0, le=3600)]
Account = Annotated[int, Meta(ge=1, le=MAX_ID_32)]


class VenueInstrument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An instrument that trades there.

    Parameters
    ----------
    instrument_id, symbol
        Not those of another one.
    tick, lot
        The steps of prices and quantities, as decimals.
    base, quote
        Currencies.
    product
        As in `Instrument`.
    contract_multiplier, currency_decimals, minimum
        As in `Instrument`; `minimum` is the smallest order, "": a lot.
    """

    instrument_id: Annotated[int, Meta(ge=1, le=MAX_ID_32)]
    symbol: str
    tick: str
    lot: str
    quote: str = "USD"
    base: str = ""
    product: str = "spot"
    contract_multiplier: str = "1"
    currency_decimals: int = 8
    minimum: str = ""

    def at(self, venue: str, venue_id: int) -> Instrument:
        """The same as the platform has it."""
        return Instrument(
            instrument_id=self.instrument_id,
            symbol=self.symbol,
            venue=venue,
            base_currency=self.base,
            quote_currency=self.quote,
            tick_table=(("0", self.tick),),
            lot_size=self.lot,
            min_quantity=self.minimum,
            venue_id=venue_id,
            product=self.product,
            contract_multiplier=self.contract_multiplier,
            currency_decimals=self.currency_decimals,
            routed=True,
        )


class VenueConfig(msgspec.Struct, frozen=True):
    """An external venue and the process of its session.

    Parameters
    ----------
    adapter
        ``lines``: JSON lines over a socket of this machine; or a class of your own as ``package.module:Class``, made
        with a `VenuePlace`. "": no venue.
    venue_id
        1 to 255; names the venue to the core, for as long as the data last.
    name
        Of the venue, for people. "": that of the section.
    address
        Where the venue is, in the adapter's words: ``ipc://PATH`` or ``tcp://127.0.0.1:PORT``.
    instruments
        What trades there; orders for these go to this venue.
    accounts
        Those that may trade there. (): all that clients may have. No other one gets an order through.
    answer_seconds
        The venue owes an answer to a request for so long; then its order is unknown, and asked after.
    ask_seconds
        A question without an answer is asked again after this time.
    connect_seconds
        A session that is not open after so long is begun anew.
    silence_seconds
        A venue that says nothing for so long is lost.
    missing_seconds
        So is one of whose messages one is missing for so long.
    heartbeat_seconds
        The core closes the accounts where the session's process does not move for so long; stuck for as long, it ends
        itself and is started again.
    """

    adapter: str = ""
    venue_id: Annotated[int, Meta(ge=0, le=255)] = 0
    name: str = ""
    address: str = ""
    instruments: tuple[VenueInstrument, ...] = ()
    accounts: tuple[Account, ...] = ()
    answer_seconds: Seconds = 10.0
    ask_seconds: Seconds = 2.0
    connect_seconds: Seconds = 5.0
    silence_seconds: Seconds = 3.0
    missing_seconds: Seconds = 1.0
    heartbeat_seconds: Seconds = 2.0

    def __post_init__(self) -> None:
        if not self.adapter:
            return
        if self.venue_id == 0:
            raise ConfigError("venue_id 0", where="venue", expected="1 to 255, as 0 is the internal venue")
        if not self.instruments:
            raise ConfigError(
                "instruments ()", where="venue", expected="at least one with its id, symbol, tick and lot"
            )
        for instrument in self.instruments:
            try:
                instrument.at(self.name or "venue", self.venue_id)
            except ModelError as error:
                raise ConfigError(f"instruments: {error.what}", where="venue", expected=error.expected) from None

    def known(self, section: str) -> tuple[Instrument, ...]:
        """Its instruments as the platform has them; none where there is no venue."""
        if not self.adapter:
            return ()
        return tuple(instrument.at(self.name or section, self.venue_id) for instrument in self.instruments)


def check_venues(venues: dict[str, VenueConfig], taken: dict[int, str]) -> None:
    """Each venue and each instrument is there once.

    Parameters
    ----------
    venues
        By section.
    taken
        Instruments that trade elsewhere, with their symbols.

    Raises
    ------
    ConfigError
    """
    ids: dict[int, str] = {}
    instruments: dict[int, Any] = dict(taken)
    symbols = {symbol: symbol for symbol in taken.values()}
    for section, config in venues.items():
        if config.venue_id in ids:
            raise ConfigError(
                f"venue_id {config.venue_id} of {ids[config.venue_id]} too",
                where=section,
                expected="one for each venue",
            )
        ids[config.venue_id] = section
        for instrument in config.instruments:
            if instrument.instrument_id in instruments or instrument.symbol in symbols:
                raise ConfigError(
                    f"instrument {instrument.instrument_id} {instrument.symbol!r} trades elsewhere too",
                    where=f"{section}.instruments",
                    expected="an id and a symbol of its own",
                )
            instruments[instrument.instrument_id] = symbols[instrument.symbol] = instrument.symbol
