"""What the health monitor has seen of the engines, as the management API shows it.

The monitor is in the lead: what it saw last is in a file, and a look that is asked for goes to it over the line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from nautilus.gateway.health import EngineReport, read_report
from nautilus.gateway.problems import unknown
from nautilus.gateway.schemas import EnginesStatus, EngineStatus, HealthState
from nautilus.runtime.http.problems import RETRY, HttpError
from nautilus.runtime.plan import Plan

VITAL = "trading"
"""Without this engine the system is unhealthy, however the others are."""
UNSEEN = EngineStatus(
    status="unknown",
    response_time_ms=0.0,
    success_rate=100.0,
    load_percent=0.0,
    consecutive_failures=0,
    uptime_seconds=0.0,
)


class MonitoredHealth:
    """How the engines are.

    Parameters
    ----------
    plan
        Of the instance.
    names
        Of the engines.
    look
        Has the monitor look at an engine now; TimeoutError where it does not answer.
    """

    def __init__(self, plan: Plan, names: Iterable[str], look: Callable[[str], Awaitable[EngineReport]]) -> None:
        self._shared = plan.shared
        self._names = tuple(names)
        self._look = look

    def engines(self) -> EnginesStatus:
        """As last seen."""
        report = read_report(self._shared)
        seen = {} if report is None else report.engines
        return summary_of({name: _shown(seen[name]) if name in seen else UNSEEN for name in self._names})

    async def check(self, name: str) -> EngineStatus:
        """Look at one engine now."""
        if name not in self._names:
            raise unknown("engine", name, self._names)
        try:
            return _shown(await self._look(name))
        except TimeoutError:
            told = "the health monitor does not answer"
            raise HttpError(503, "gateway.not_checked", told, where=name, headers=RETRY) from None


def summary_of(engines: Mapping[str, EngineStatus]) -> EnginesStatus:
    """All of them together."""
    states = [each.status for each in engines.values()]
    healthy, degraded = states.count("healthy"), states.count("degraded")
    seen = [each.response_time_ms for each in engines.values() if each.status != "unknown"]
    return EnginesStatus(
        overall_status=_overall(engines, healthy, degraded),
        total_engines=len(states),
        healthy_engines=healthy,
        degraded_engines=degraded,
        unhealthy_engines=len(states) - healthy - degraded,
        system_availability=100.0 * (healthy + degraded) / len(states) if states else 0.0,
        average_response_time_ms=sum(seen) / len(seen) if seen else 0.0,
        engines=dict(engines),
    )


def _shown(report: EngineReport) -> EngineStatus:
    return EngineStatus(
        status=report.status,
        response_time_ms=report.response_time_ms,
        success_rate=report.success_rate,
        load_percent=max((min(each.load_percent, 100.0) for each in report.instances), default=0.0),
        consecutive_failures=report.consecutive_failures,
        uptime_seconds=report.uptime_seconds,
    )


def _overall(engines: Mapping[str, EngineStatus], healthy: int, degraded: int) -> HealthState:
    vital = engines.get(VITAL)
    if not healthy + degraded or (vital is not None and vital.status not in ("healthy", "degraded")):
        return "unhealthy"
    return "healthy" if healthy == len(engines) else "degraded"


__all__ = ["MonitoredHealth", "summary_of"]
