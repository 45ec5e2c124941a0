"""What the management API takes and answers. Shares are percentages 0-100, times milliseconds unless a name says else.

What is asked is checked strictly: an unknown field, a number as text, NaN or a negative latency is refused. Answers may
have more fields in a later version.
"""

from __future__ import annotations

from nautilus.gateway.schemas.health import (
    BreakerMetrics,
    BreakersReset,
    BreakerStatus,
    EnginesStatus,
    EngineStatus,
    GatewayStatus,
    HybridHealth,
    HybridStatus,
    RoutingStatus,
)
from nautilus.gateway.schemas.routes import OutcomeRecorded, OutcomeReport, RouteAnswer, RouteQuestion
from nautilus.gateway.schemas.settings import ConfigChange, HybridConfig, SettingOfGateway
from nautilus.gateway.schemas.traffic import (
    CacheMetrics,
    EngineTraffic,
    GatewayMetrics,
    HybridMetrics,
    LatencySummary,
    PoolMetrics,
    RoutingMetrics,
)
from nautilus.gateway.schemas.words import BreakerState, Deciding, EngineHealthState, HealthState, Nothing, StrategyName

__all__ = [
    "BreakerMetrics",
    "BreakerState",
    "BreakerStatus",
    "BreakersReset",
    "CacheMetrics",
    "ConfigChange",
    "Deciding",
    "EngineHealthState",
    "EngineStatus",
    "EngineTraffic",
    "EnginesStatus",
    "GatewayMetrics",
    "GatewayStatus",
    "HealthState",
    "HybridConfig",
    "HybridHealth",
    "HybridMetrics",
    "HybridStatus",
    "LatencySummary",
    "Nothing",
    "OutcomeRecorded",
    "OutcomeReport",
    "PoolMetrics",
    "RouteAnswer",
    "RouteQuestion",
    "RoutingMetrics",
    "RoutingStatus",
    "SettingOfGateway",
    "StrategyName",
]
