"""Settings of the protection inside every engine: the section `protection`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from nautilus.model.errors import ConfigError
from nautilus.policy.breaker import config_of


class Thresholds(msgspec.Struct, frozen=True):
    """Of the section `gateway`: failures in a row that open breakers, the gateway's and those inside the engine."""

    strategy_failure_threshold: int | None = None
    risk_failure_threshold: int | None = None

    def of(self, engine: str) -> dict[str, Any]:
        """Settings of the engine's breakers; none where the section says nothing of it."""
        failures = getattr(self, f"{engine}_failure_threshold", None)
        return {} if failures is None else {"failures": failures}


class ProtectionConfig(msgspec.Struct, frozen=True):
    """Breaker, tracking, limits and time-outs of every engine.

    Parameters
    ----------
    enabled
        Without it engines run plain, and `/health` says ``hybrid_integration: false``.
    stretch
        All time-outs times so much: for a machine that is too slow, or too busy, for them.
    breaker
        {engine: {setting: value}}: settings of its breakers that are not the usual ones (`nautilus.policy.breaker`).
    """

    enabled: bool = True
    stretch: Annotated[float, Meta(ge=0.1, le=1000)] = 1.0
    breaker: dict[str, dict[str, Any]] = {}

    def __post_init__(self) -> None:
        for engine, given in self.breaker.items():
            try:
                config_of(engine, given)
            except msgspec.ValidationError as error:
                raise ConfigError(f"breaker.{engine}: {error}", where="protection") from None
