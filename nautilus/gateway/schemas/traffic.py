"""What was counted and measured: requests, answers that are kept, connections, decisions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nautilus.gateway.schemas.health import BreakerStatus, EnginesStatus
from nautilus.gateway.schemas.words import Answer, Count, Milliseconds, Percent


class LatencySummary(Answer):
    """Requests and how long they took."""

    total_requests: Count
    success_rate: Percent = Field(description="0 where there was none.")
    avg_latency_ms: Milliseconds
    p95_latency_ms: Milliseconds
    p99_latency_ms: Milliseconds


class RoutingMetrics(Answer):
    """What the router has decided."""

    enabled: bool = Field(description="Whether hybrid routing is on.")
    total_decisions: Count = Field(description="Of all workers, since the start of the gateway.")
    strategy_distribution: dict[str, Count] = Field(
        description="Decisions by strategy.", examples=[{"hybrid_intelligent": 100, "gateway_only": 20}]
    )
    strategy_performance: dict[str, LatencySummary] = Field(description="Recorded outcomes by strategy.")


class CacheMetrics(Answer):
    """The cache in front of the engines."""

    hits: Count
    misses: Count
    hit_rate: Percent
    joined: Count = Field(description="Requests that waited for an equal one instead of being sent.")
    stale: Count = Field(description="Answers given while a fresh one was fetched.")
    invalidated: Count


class PoolMetrics(Answer):
    """Connections to one engine, of all workers since the start."""

    size: Count = Field(description="Most at once, of each worker to each instance.")
    keepalive_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False, examples=[15.0])] = Field(
        description="An unused one is closed after so long."
    )
    connects: Count = Field(description="Connections that were made.")
    refused: Count = Field(description="Connections that could not be had.")
    expired: Count = Field(description="Requests that waited for a connection until it was too late.")
    full: Count = Field(description="Requests that were refused as too many waited.")


class EngineTraffic(Answer):
    """Requests to one engine, of all workers since the start."""

    total_requests: Count
    failed_requests: Count = Field(description="Answered with a status of 500 or more, by the engine or in its place.")
    answers: dict[str, Count] = Field(description="The engine's, by status.", examples=[{"2xx": 100, "4xx": 2}])
    problems: dict[str, Count] = Field(
        description="Answered by the gateway in its place, by the last part of the code.", examples=[{"unreachable": 1}]
    )
    retried: Count
    hedged: Count


class GatewayMetrics(Answer):
    """The proxy path, all workers together."""

    workers: Count
    total_requests: Count
    successful_requests: Count = Field(description="Answered with a status below 500.")
    failed_requests: Count
    success_rate: Percent
    average_response_time_ms: Milliseconds
    p95_response_time_ms: Milliseconds
    p99_response_time_ms: Milliseconds
    active_requests: Count
    shed_requests: dict[str, Count] = Field(description="Refused under load, by priority.", examples=[{"low": 3}])
    cache: CacheMetrics
    engines: dict[str, EngineTraffic] = Field(description="Requests by engine.")
    pools: dict[str, PoolMetrics] = Field(description="Connections by engine.")
    counters: dict[str, int] = Field(description="Every counter of the workers, by name.")


class HybridMetrics(Answer):
    """All metrics at once."""

    routing: RoutingMetrics
    gateway: GatewayMetrics
    circuit_breakers: dict[str, BreakerStatus]
    engines: EnginesStatus
