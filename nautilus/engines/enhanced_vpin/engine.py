"""Enhanced VPIN: toxicity over several bucket sizes and windows, with depth."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nautilus.engines.base import Engine
from nautilus.model.instrument import Instrument


class EnhancedVpinConfig(msgspec.Struct, frozen=True):
    """Settings."""


class EnhancedVpinEngine(Engine):
    """Toxicity over several bucket sizes and windows, with depth."""

    name = "enhanced-vpin"

    def __init__(self, config: EnhancedVpinConfig, instruments: Iterable[Instrument]) -> None:
        self._config = config
        self._instruments = {instrument.instrument_id: instrument for instrument in instruments}
