"""Factor: the cross-sectional model of returns."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nautilus.engines.base import Engine
from nautilus.model.instrument import Instrument


class FactorConfig(msgspec.Struct, frozen=True):
    """Settings."""


class FactorEngine(Engine):
    """The cross-sectional model of returns."""

    name = "factor"

    def __init__(self, config: FactorConfig, instruments: Iterable[Instrument]) -> None:
        self._config = config
        self._instruments = {instrument.instrument_id: instrument for instrument in instruments}
