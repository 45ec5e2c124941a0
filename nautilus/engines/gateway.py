"""Gateway: what the bus says makes it forget answers that it keeps; what befalls its breakers it tells the bus.

Requests are no business of this engine: processes of their own carry them (`nautilus.gateway`).
"""

from __future__ import annotations

import msgspec

from nautilus.engines.base import Caches, Context, Engine
from nautilus.model.alerts import RiskAlert
from nautilus.model.gateway import BreakerChanged, InstanceHealthChanged, InvalidateCache
from nautilus.model.message import Message
from nautilus.model.position import PositionChanged
from nautilus.model.risk import LimitBreached
from nautilus.model.topics import BREAKERS, INSTANCES, POSITIONS, RISK_ALERTS, RISK_WARNINGS

BY_POSITION = ("portfolio", "risk", "strategy", "trading")
"""Engines whose answers a fill may change."""
BY_ALERT = ("risk", "strategy")
"""Engines whose answers a risk alert may change."""


class GatewayEngineConfig(msgspec.Struct, frozen=True):
    """Nothing to set: the section ``gateway`` is that of its processes (`nautilus.gateway.config`)."""


class GatewayEngine(Engine):
    """Forgets kept answers as the bus says, and publishes what it is told of breakers and instances.

    A position changes with each fill, so `POSITIONS` stands for execution reports too: those would make the gateway
    wait for the trading engine before it is ready, and tell of orders whose answers are not kept.
    """

    name = "gateway"
    subscribes = (POSITIONS, RISK_ALERTS, RISK_WARNINGS)
    publishes = (BREAKERS, INSTANCES)

    def __init__(self, config: GatewayEngineConfig, caches: Caches) -> None:
        self._caches = caches

    def on_position(self, changed: PositionChanged, ctx: Context) -> None:
        """Forget what shows positions or orders."""
        for engine in BY_POSITION:
            self._caches.invalidate(engine)

    def on_alert(self, alert: RiskAlert, ctx: Context) -> None:
        """Forget what shows limits and who trades."""
        for engine in BY_ALERT:
            self._caches.invalidate(engine)

    def on_limit(self, change: LimitBreached, ctx: Context) -> None:
        """Forget how far limits are used."""
        self._caches.invalidate("risk")

    def on_command(self, command: Message, ctx: Context) -> None:
        """Forget answers; or tell the bus what was told here."""
        if isinstance(command, InvalidateCache):
            self._caches.invalidate(command.engine, command.prefix)
        elif isinstance(command, BreakerChanged | InstanceHealthChanged):
            ctx.publish(command)
        else:
            super().on_command(command, ctx)
