"""What providers tell of a touch as QUOTE records: in ticks and lots of an instrument, never better than told."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from math import isnan
from typing import Final

import numpy as np

from nautilus.core.types import MAX_PRICE_TICKS, MAX_QUANTITY_LOTS, QUOTE
from nautilus.model.instrument import EXACT, Instrument
from nautilus.model.marketdata import FactFlag
from nautilus.model.records import Records

PROVIDERS: Final = (*("ibkr", "alpha_vantage", "fred", "edgar", "datagov", "trading_economics", "dbnomics", "yahoo"),)
"""Their places from 1 on are `source_id` of QUOTE; 0: the market itself. Only ever appended."""
_IDS: Final = {name.encode(): number for number, name in enumerate(PROVIDERS, 1)}


def touch_records(facts: Records, instruments: Mapping[int, Instrument]) -> Records:
    """QUOTE records of those QUOTE_FACT records that tell a bid or an ask of one of these instruments.

    A bid is rounded down to a tick, an ask up. A side whose quantity the provider does not tell has one lot, as
    somebody stands there; one that it does not tell at all has none. `update_id` is when it was fetched, `venue_ns`
    what the provider says, `source_id` who it is (`PROVIDERS`). What is made up, of another currency, of a provider
    without a number, or beyond what a tick or lot may be is no quote.
    """
    rows = []
    for fact in facts:
        instrument = instruments.get(int(fact["instrument_id"]))
        number = _IDS.get(bytes(fact["source"]), 0)
        currency = bytes(fact["currency"]).decode(errors="replace")
        if instrument is None or not number or int(fact["flags"]) & FactFlag.SYNTHETIC:
            continue
        if currency not in ("", instrument.quote_currency):
            continue
        bid = _side(instrument, float(fact["bid"]), float(fact["bid_quantity"]), up=False)
        ask = _side(instrument, float(fact["ask"]), float(fact["ask_quantity"]), up=True)
        if bid is None or ask is None or not (bid[1] or ask[1]):
            continue
        stamps = int(fact["now_ns"]), int(fact["time_ns"]), int(fact["fetched_ns"])
        rows.append((*stamps, *bid, *ask, instrument.instrument_id, 0, number))
    return np.array(rows, QUOTE)


def _side(instrument: Instrument, price: float, quantity: float, *, up: bool) -> tuple[int, int] | None:
    """Price in ticks and lots; (0, 0): not told; None: beyond what there is."""
    if isnan(price):
        return 0, 0
    ticks = EXACT.divide(Decimal(repr(price)), instrument.price_increment)
    lots = Decimal(1) if isnan(quantity) else EXACT.divide(Decimal(repr(quantity)), Decimal(instrument.lot_size))
    if not (abs(ticks) <= MAX_PRICE_TICKS and 0 <= lots <= MAX_QUANTITY_LOTS):
        return None
    whole = int(ticks.to_integral_value(ROUND_CEILING if up else ROUND_FLOOR))
    return instrument.round_ticks(whole, up=up), max(int(lots), 1) if lots else 0


__all__ = ["PROVIDERS", "touch_records"]
