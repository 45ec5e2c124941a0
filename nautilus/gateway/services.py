"""What the management API asks of the gateway: a small interface for each part, for any application."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nautilus.gateway.schemas import (
    BreakerStatus,
    EnginesStatus,
    EngineStatus,
    GatewayMetrics,
    GatewayStatus,
    HybridConfig,
    OutcomeReport,
    RouteAnswer,
    RouteQuestion,
    RoutingMetrics,
)
from nautilus.runtime.http.access import AccessRules


class Breakers(Protocol):
    """The circuit breakers before the engines."""

    def statuses(self) -> dict[str, BreakerStatus]:
        """All of them, by engine."""
        ...

    def reset(self, name: str) -> None:
        """Close one and forget what it has seen."""
        ...


class Routing(Protocol):
    """The router."""

    def metrics(self) -> RoutingMetrics:
        """Of all workers."""
        ...

    def decide(self, question: RouteQuestion) -> RouteAnswer:
        """The way that a request is to take; nothing is counted as under way."""
        ...

    def record(self, report: OutcomeReport) -> None:
        """Learn from a request that has ended."""
        ...


class Health(Protocol):
    """The health monitor."""

    def engines(self) -> EnginesStatus:
        """As last seen."""
        ...

    async def check(self, name: str) -> EngineStatus:
        """Look at one engine now."""
        ...


class Meters(Protocol):
    """The gateway's own figures."""

    def status(self) -> GatewayStatus:
        """How it is."""
        ...

    def metrics(self) -> GatewayMetrics:
        """Of all workers."""
        ...


class Settings(Protocol):
    """The configuration in force."""

    def current(self) -> HybridConfig:
        """All of it, with origins."""
        ...

    async def change(self, changes: Mapping[str, Any], by: str) -> HybridConfig:
        """Change settings of all workers, in the name of somebody; as they are after that."""
        ...


class Audit(Protocol):
    """What was changed, and by whom."""

    def record(self, by: str, action: str, subject: str, detail: Mapping[str, Any], outcome: str) -> None:
        """Write down one change, or the attempt."""
        ...


@dataclass(frozen=True)
class Services:
    """All that the management API shows and changes.

    Attributes
    ----------
    names : the engines.
    access : who may ask, where the application around the router has not found that out. None: only one that has lets
        anything be changed.
    audit : None: the application around the router writes changes down.
    """

    names: tuple[str, ...]
    breakers: Breakers
    routing: Routing
    health: Health
    meters: Meters
    settings: Settings
    access: AccessRules | None = None
    audit: Audit | None = None
