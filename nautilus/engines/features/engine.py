"""Features: indicators and microstructure of instruments, point in time."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nautilus.engines.base import Engine
from nautilus.model.instrument import Instrument


class FeaturesConfig(msgspec.Struct, frozen=True):
    """Settings."""


class FeaturesEngine(Engine):
    """Indicators and microstructure of instruments, point in time."""

    name = "features"

    def __init__(self, config: FeaturesConfig, instruments: Iterable[Instrument]) -> None:
        self._config = config
        self._instruments = {instrument.instrument_id: instrument for instrument in instruments}
