"""Collateral: margin that is required, and how far a call is."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nautilus.engines.base import Engine
from nautilus.model.instrument import Instrument


class CollateralConfig(msgspec.Struct, frozen=True):
    """Settings."""


class CollateralEngine(Engine):
    """Margin that is required, and how far a call is."""

    name = "collateral"

    def __init__(self, config: CollateralConfig, instruments: Iterable[Instrument]) -> None:
        self._config = config
        self._instruments = {instrument.instrument_id: instrument for instrument in instruments}
