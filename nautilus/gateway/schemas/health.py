"""How engines, breakers and the gateway itself are."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nautilus.gateway.schemas.words import (
    Answer,
    BreakerState,
    Count,
    EngineHealthState,
    HealthState,
    Milliseconds,
    Percent,
    StrategyName,
)


class BreakerMetrics(Answer):
    """What a breaker has seen."""

    total_requests: Count = Field(description="Calls that it let through, since it was made or reset.")
    success_rate: Percent = Field(description="Of the calls in its window; 100 where there was none.")
    consecutive_failures: Count = Field(description="Since the last success or change of state.")
    average_response_time_ms: Milliseconds = Field(description="Decayed mean.")
    rejected_requests: Count = Field(description="Calls that it did not let through.")


class BreakerStatus(Answer):
    """One circuit breaker."""

    name: str = Field(description="Name of the engine that it stands before.", examples=["risk"])
    state: BreakerState = Field(description="As all workers see it.")
    cause: str = Field(description="Of the last change; empty: there was none.", examples=["consecutive failures"])
    retry_after_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        description="Until it lets a trial through; 0: it lets calls through.", examples=[0.0]
    )
    metrics: BreakerMetrics


class BreakersReset(Answer):
    """What `reset-all` has reset."""

    reset: list[str] = Field(description="Names of the breakers, in order.")
    circuit_breakers: dict[str, BreakerStatus]


class EngineStatus(Answer):
    """One engine, all its instances together."""

    status: EngineHealthState = Field(description="`unknown`: it was not looked at yet.")
    response_time_ms: Milliseconds = Field(description="Of the last check.")
    success_rate: Percent = Field(description="Of its checks; 100 where there was none.")
    load_percent: Percent = Field(description="Of their time that its handlers took, since the check before.")
    consecutive_failures: Count = Field(description="Checks that failed since the last that did not.")
    uptime_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        description="Of its process, as it says itself.", examples=[3600.0]
    )


class EnginesStatus(Answer):
    """All engines."""

    overall_status: HealthState = Field(
        description="`degraded`: some are not healthy; `unhealthy`: none is, or the core is not."
    )
    total_engines: Count
    healthy_engines: Count
    degraded_engines: Count
    unhealthy_engines: Count = Field(description="Those that were not looked at yet among them.")
    system_availability: Percent = Field(description="Engines that take requests, of all.")
    average_response_time_ms: Milliseconds = Field(description="Of the last checks.")
    engines: dict[str, EngineStatus] = Field(description="By name.")


class GatewayStatus(Answer):
    """The gateway's own state."""

    status: HealthState
    version: str = Field(examples=["0.1.0"])
    workers: Count = Field(description="Processes that take requests.")
    uptime_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(description="Of the platform.")
    active_requests: Count = Field(description="Under way to engines.")
    reasons: list[str] = Field(description="Why it is not healthy.")


class RoutingStatus(Answer):
    """How requests are routed now."""

    enabled: bool
    default_strategy: StrategyName
    total_decisions: Count


class HybridHealth(Answer):
    """The whole picture."""

    system_status: HealthState = Field(description="The worst of engines and gateway.")
    engines: EnginesStatus
    gateway: GatewayStatus
    routing: RoutingStatus
    circuit_breakers: dict[str, BreakerStatus] = Field(description="By engine.")


class HybridStatus(Answer):
    """In a few figures."""

    system_status: HealthState
    hybrid_routing_enabled: bool
    default_strategy: StrategyName
    workers: Count
    uptime_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    total_engines: Count
    healthy_engines: Count
    open_breakers: list[str] = Field(description="Engines whose breaker lets nothing through, or only a trial.")
    total_decisions: Count
    revision: Count = Field(description="Of the configuration: raised by each change at run time.")
