"""The protection of an engine of the catalogue, in memory of its own."""

from __future__ import annotations

from nautilus.core.breaker import Breakers
from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.core.limiter import Limiters
from nautilus.engines import CATALOGUE
from nautilus.runtime.protection import EngineProtection
from nautilus.runtime.protection_config import ProtectionConfig, Thresholds


def protection_of(
    engine: str,
    counters: Counters | None = None,
    config: ProtectionConfig | None = None,
    thresholds: Thresholds | None = None,
) -> EngineProtection:
    """A new one, with the operations that the engine declares."""
    return EngineProtection(
        engine,
        CATALOGUE[engine].load().operations,
        config or ProtectionConfig(),
        Counters() if counters is None else counters,
        Breakers(32),
        Limiters(4),
        lambda name: Histogram(),
        thresholds=thresholds,
    )
