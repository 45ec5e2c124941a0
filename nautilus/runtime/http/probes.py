"""The probes of every engine's port: /livez /readyz /health /metrics /hybrid/performance."""

from __future__ import annotations

from typing import Any

from nautilus.core.histogram import Histogram
from nautilus.runtime.http.exchange import Request, Response, Route, json_response
from nautilus.runtime.http.scrape import MetricsPage
from nautilus.runtime.metrics import EngineView

OVERALL = "handle"
_ALIVE = Response(b'{"status":"alive"}')


class Probes:
    """Answers the probes of an engine from its view."""

    def __init__(self, view: EngineView) -> None:
        self._view = view
        self._page = MetricsPage(view)

    def routes(self) -> tuple[Route, ...]:
        """The five routes."""
        return (
            Route("GET", "/livez", self.alive),
            Route("GET", "/readyz", self.ready),
            Route("GET", "/health", self.health),
            Route("GET", "/metrics", self.metrics),
            Route("GET", "/hybrid/performance", self.performance),
        )

    async def alive(self, request: Request) -> Response:
        """The process answers."""
        return _ALIVE

    async def ready(self, request: Request) -> Response:
        """Whether requests are taken; 503 with the reasons where they are not."""
        reasons = self._view.blockers()
        status = "not_ready" if reasons else "ready"
        return json_response({"status": status, "reasons": reasons}, 503 if reasons else 200)

    async def health(self, request: Request) -> Response:
        """The whole picture; 503 where the engine is unhealthy."""
        view = self._view
        status = view.status()
        breaker = view.protection.breaker()
        value = {
            "status": status,
            "engine": view.name,
            "process": view.process,
            "state": view.state.name.lower(),
            "uptime_seconds": round(view.uptime_seconds, 3),
            "reasons": [*view.blockers(), *view.warnings()],
            "circuit_breaker": {"state": breaker.state, "failure_count": breaker.failure_count},
            "performance": performance_of(view),
            "hybrid_integration": view.protection.integrated,
            "bus": view.bus(),
        }
        return json_response(value, 503 if status == "unhealthy" else 200)

    async def metrics(self, request: Request) -> Response:
        """OpenMetrics, or the text format of Prometheus."""
        body, content_type = self._page.render(request.header(b"accept"))
        return Response(body, content_type=content_type)

    async def performance(self, request: Request) -> Response:
        """Latency of every operation in microseconds."""
        view = self._view
        return json_response({"engine": view.name, "unit": "us", **performance_of(view)})


def performance_of(view: EngineView) -> dict[str, Any]:
    """Operations and the engine as a whole, in microseconds."""
    counts = view.counters.snapshot()
    head = f"operation.{view.name}."
    own = f"engine.{view.name}."
    operations = {
        name: {**_latency(histogram), "errors": counts.get(f"{head}{name}.errors", 0)}
        for name, histogram in list(view.histograms.items())
    }
    overall = view.histograms.get(OVERALL)
    return {
        "operations": operations,
        "overall": {
            "requests": counts.get(f"{own}requests", 0),
            "errors": counts.get(f"{own}errors", 0),
            **(_latency(overall) if overall is not None else _latency(Histogram(2))),
        },
    }


def _latency(histogram: Histogram) -> dict[str, float]:
    found = histogram.summary()
    return {
        "count": found["count"],
        "mean_us": round(found["mean"] / 1e3, 3),
        "min_us": found["min"] / 1e3,
        "p50_us": found["p50"] / 1e3,
        "p90_us": found["p90"] / 1e3,
        "p99_us": found["p99"] / 1e3,
        "p99_9_us": found["p99.9"] / 1e3,
        "max_us": found["max"] / 1e3,
    }
