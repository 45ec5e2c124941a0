"""The gateway's parts as the management API shows them: breakers, router and settings that all workers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from nautilus.gateway.problems import unknown
from nautilus.gateway.schemas import (
    BreakerMetrics,
    BreakerState,
    BreakerStatus,
    Deciding,
    LatencySummary,
    OutcomeReport,
    RouteAnswer,
    RouteQuestion,
    RoutingMetrics,
)
from nautilus.gateway.settings import SharedSettings
from nautilus.policy.breaker import BreakerRegistry
from nautilus.policy.routing import Router, RouteRequest, UnknownEngineError
from nautilus.runtime.clock import monotonic_ns

NANOS_PER_MS = 1e6


class SharedBreakers:
    """One breaker for each engine.

    Parameters
    ----------
    registry
        Of the table that all workers share.
    names
        Of the engines.
    clock
        Of the breakers, in nanoseconds.
    """

    def __init__(
        self, registry: BreakerRegistry, names: Iterable[str], clock: Callable[[], int] = monotonic_ns
    ) -> None:
        self._registry = registry
        self._names = tuple(names)
        self._clock = clock
        for name in self._names:
            registry.breaker(name)

    def statuses(self) -> dict[str, BreakerStatus]:
        """All of them, by engine."""
        found = self._registry.statuses(self._clock())
        return {
            name: BreakerStatus(
                name=name,
                state=cast(BreakerState, each.state),
                cause=each.cause,
                retry_after_seconds=each.retry_after_seconds,
                metrics=BreakerMetrics(
                    total_requests=each.total_requests,
                    success_rate=each.success_rate,
                    consecutive_failures=each.consecutive_failures,
                    average_response_time_ms=each.average_response_time_ms,
                    rejected_requests=each.rejected,
                ),
            )
            for name, each in ((name, found[name]) for name in self._names)
        }

    def reset(self, name: str) -> None:
        """Close one and forget what it has seen."""
        self._registry.reset([name], self._clock())


class SharedRouting:
    """The router, with the settings of this moment.

    Parameters
    ----------
    router
        Of this worker, over the table that all share.
    settings
        Whether it is on, and the default strategy.
    clock
        Of the table, in nanoseconds.
    """

    def __init__(self, router: Router, settings: SharedSettings, clock: Callable[[], int] = monotonic_ns) -> None:
        self._router = router
        self._settings = settings
        self._clock = clock

    def metrics(self) -> RoutingMetrics:
        """Of all workers."""
        found = self._router.metrics()
        return RoutingMetrics(
            enabled=self._settings.enabled,
            total_decisions=found.total_decisions,
            strategy_distribution=found.strategy_distribution,
            strategy_performance={
                name: LatencySummary(
                    total_requests=each.total_requests,
                    success_rate=each.success_rate,
                    avg_latency_ms=each.avg_latency_ms,
                    p95_latency_ms=each.p95_latency_ms,
                    p99_latency_ms=each.p99_latency_ms,
                )
                for name, each in found.strategy_performance.items()
            },
        )

    def decide(self, question: RouteQuestion) -> RouteAnswer:
        """The way that a request is to take."""
        self.renew()
        asked = RouteRequest(question.engine, question.endpoint, question.method, question.priority, question.client)
        decision = self._known(question.engine, lambda: self._router.decide(asked, self._clock()))
        return RouteAnswer(
            engine=question.engine,
            strategy=cast(Deciding, str(decision.strategy)),
            use_direct_access=decision.use_direct_access,
            expected_latency_ms=decision.expected_latency_ms,
            confidence=decision.confidence,
            reasoning=decision.reasoning,
        )

    def record(self, report: OutcomeReport) -> None:
        """Learn from a request that has ended."""
        self.renew()
        self._known(
            report.engine,
            lambda: self._router.record_outcome(
                report.engine,
                report.strategy,
                round(report.actual_latency_ms * NANOS_PER_MS),
                report.success,
                self._clock(),
                client=report.client,
                use_direct_access=report.use_direct_access,
            ),
        )

    def renew(self) -> None:
        """Take over the settings of this moment."""
        self._router.configure(enabled=self._settings.enabled, default_strategy=self._settings.strategy)

    def _known(self, engine: str, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except UnknownEngineError:
            raise unknown("engine", engine, self._router.engines) from None


__all__ = ["SharedBreakers", "SharedRouting"]
