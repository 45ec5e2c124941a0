"""VPIN: the volume-synchronised probability of informed trading."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nautilus.engines.base import Engine
from nautilus.model.instrument import Instrument


class VpinConfig(msgspec.Struct, frozen=True):
    """Settings."""


class VpinEngine(Engine):
    """The volume-synchronised probability of informed trading."""

    name = "vpin"

    def __init__(self, config: VpinConfig, instruments: Iterable[Instrument]) -> None:
        self._config = config
        self._instruments = {instrument.instrument_id: instrument for instrument in instruments}
