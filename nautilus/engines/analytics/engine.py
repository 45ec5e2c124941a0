"""Analytics: how portfolios do, and why."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nautilus.engines.base import Engine
from nautilus.model.instrument import Instrument


class AnalyticsConfig(msgspec.Struct, frozen=True):
    """Settings."""


class AnalyticsEngine(Engine):
    """How portfolios do, and why."""

    name = "analytics"

    def __init__(self, config: AnalyticsConfig, instruments: Iterable[Instrument]) -> None:
        self._config = config
        self._instruments = {instrument.instrument_id: instrument for instrument in instruments}
