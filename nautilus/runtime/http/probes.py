"""The probes of every engine's port: /livez /readyz /health /metrics /hybrid/performance."""

from __future__ import annotations

from typing import Any

from nautilus.core.histogram import Histogram
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
from nautilus.runtime.http.exchange import Response, json_response
from nautilus.runtime.http.request import Request, Route
from nautilus.runtime.http.scrape import MetricsPage
from nautilus.runtime.metrics import EngineView

OVERALL = "handle"
TRACKED = ("success", "failure", "timeout", "cancelled", "ignored", "refused", "shed", "fallbacks")
"""Counted of each operation, where the engine is protected."""
LOAD_NS = NANOSECONDS
_ALIVE = Response(b'{"status":"alive"}')


class Probes:
    """Answers the probes of an engine from its view."""

    def __init__(self, view: EngineView) -> None:
        self._view = view
        self._page = MetricsPage(view)
        self._load = _Load(view)

    def routes(self) -> tuple[Route, ...]:
        """The five routes."""
        return (
            Route("GET", "/livez", self.alive),
            Route("GET", "/readyz", self.ready),
            Route("GET", "/health", self.health),
            Route("GET", "/metrics", self.metrics),
            Route("GET", "/hybrid/performance", self.performance),
        )

    def alive(self, request: Request) -> Response:
        """The process answers."""
        return _ALIVE

    def ready(self, request: Request) -> Response:
        """Whether requests are taken; 503 with the reasons where they are not."""
        reasons = self._view.blockers()
        status = "not_ready" if reasons else "ready"
        return json_response({"status": status, "reasons": reasons}, 503 if reasons else 200)

    def health(self, request: Request) -> Response:
        """The whole picture; 503 where the engine is unhealthy."""
        view = self._view
        status = view.status()
        breaker = view.protection.breaker()
        value = {
            "status": status,
            "engine": view.name,
            "process": view.process,
            "instance": view.instance,
            "state": view.state.name.lower(),
            "uptime_seconds": round(view.uptime_seconds, 3),
            "load_percent": self._load.percent(),
            "reasons": [*view.blockers(), *view.warnings()],
            "circuit_breaker": {"state": breaker.state, "failure_count": breaker.failure_count},
            "performance": performance_of(view),
            "hybrid_integration": view.protection.integrated,
            "bus": view.bus(),
            **view.more(),
        }
        return json_response(value, 503 if status == "unhealthy" else 200)

    def metrics(self, request: Request) -> Response:
        """OpenMetrics, or the text format of Prometheus."""
        body, content_type = self._page.render(request.header(b"accept"))
        return Response(body, content_type=content_type)

    def performance(self, request: Request) -> Response:
        """Latency of every operation in microseconds."""
        view = self._view
        return json_response({"engine": view.name, "unit": "us", **performance_of(view)})


class _Load:
    """How much of its time an engine's handlers take."""

    def __init__(self, view: EngineView) -> None:
        self._view = view
        self._since_ns = monotonic_ns()
        self._busy_ns = self._busy()
        self._percent = 0.0

    def percent(self) -> float:
        """Since the last time that it was asked for, a second at least; 100: they had not a moment left."""
        now_ns = monotonic_ns()
        if now_ns - self._since_ns >= LOAD_NS:
            busy_ns = self._busy()
            self._percent = round(100.0 * min(max(busy_ns - self._busy_ns, 0.0) / (now_ns - self._since_ns), 1.0), 1)
            self._since_ns, self._busy_ns = now_ns, busy_ns
        return self._percent

    def _busy(self) -> float:
        found = self._view.histograms.get(OVERALL)
        return 0.0 if found is None else found.mean() * len(found)


def performance_of(view: EngineView) -> dict[str, Any]:
    """Operations and the engine as a whole, in microseconds."""
    counts, histograms = view.counted().snapshot(), view.measured()
    head = f"operation.{view.name}."
    states = view.protection.breaker().operations
    own = f"engine.{view.name}."
    operations = {
        name: {
            **_latency(histogram),
            "errors": counts.get(f"{head}{name}.errors", 0),
            **{each: counts[f"{head}{name}.{each}"] for each in TRACKED if f"{head}{name}.{each}" in counts},
            **({"breaker": states[name]} if name in states else {}),
        }
        for name, histogram in list(histograms.items())
    }
    overall = histograms.get(OVERALL)
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
