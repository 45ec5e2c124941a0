"""The management API of the gateway, as a router that any FastAPI application can include.

::

    from fastapi import FastAPI
    from nautilus.gateway.management import hybrid_router

    app = FastAPI()
    app.include_router(hybrid_router(services))      # /api/v1/hybrid/...

Who asks is found by the application around it, which says so in the ASGI scope (`PRINCIPAL_KEY`), or by
`Services.access`. Where neither does, everything may be read and nothing changed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path
from starlette.requests import Request

from nautilus.gateway.problems import CHANGING, READING, ProblemRoute, responses, unknown
from nautilus.gateway.schemas import (
    BreakersReset,
    BreakerStatus,
    ConfigChange,
    EnginesStatus,
    EngineStatus,
    GatewayMetrics,
    HealthState,
    HybridConfig,
    HybridHealth,
    HybridMetrics,
    HybridStatus,
    Nothing,
    OutcomeRecorded,
    OutcomeReport,
    RouteAnswer,
    RouteQuestion,
    RoutingMetrics,
    RoutingStatus,
)
from nautilus.gateway.services import Services
from nautilus.policy.keys import ADMIN, READ, TRADE, Principal
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.http.asgi import PRINCIPAL_KEY
from nautilus.runtime.http.problems import HttpError, as_http_error

BASE_PATH = "/api/v1/hybrid"
SCOPES: dict[tuple[str, str], str] = {("POST", "/route"): READ, ("POST", "/record-outcome"): TRADE}
"""What a request needs, by method and path, beside `read` of GET and `admin` of everything else."""
_WORST: tuple[HealthState, ...] = ("healthy", "degraded", "unhealthy")
_SHUT = ("open", "half-open", "forced-open")
NOTHING = Nothing()
Result = TypeVar("Result")
Act = TypeVar("Act", bound=Callable[..., Any])
Name = Annotated[str, Path(min_length=1, max_length=64, description="Name of an engine.", examples=["risk"])]


def scope_of(method: str, path: str) -> str:
    """What a request to a path of the management API needs."""
    known = SCOPES.get((method, path.removeprefix(BASE_PATH)))
    return known or (READ if method in ("GET", "HEAD") else ADMIN)


def hybrid_router(services: Services) -> APIRouter:
    """A router with every endpoint, under `/api/v1/hybrid`."""
    router = APIRouter(prefix=BASE_PATH, tags=["hybrid"], route_class=ProblemRoute)
    _add_views(router, _Views(services))
    _add_changes(router, services)
    return router


class _Admission:
    """The dependency of a route that finds out who asks, and whether he may: by the route, whatever the URL says."""

    def __init__(self, services: Services, needed: str) -> None:
        self._access = services.access
        self._needed = needed

    async def __call__(self, request: Request) -> Principal | None:
        needed = self._needed
        caller: Principal | None = request.scope.get(PRINCIPAL_KEY)
        if caller is not None and not caller.scopes:
            caller = None  # no access rules have looked at it
        if caller is None and self._access is not None:
            target = request.scope.get("raw_path") or request.url.path.encode()
            query = request.scope["query_string"]
            target = target + b"?" + query if query else target
            admitted = self._access.admit(request.method, target, request.scope["headers"], wall_ns(), scope=needed)
            self._access.verify_body(admitted, await request.body())
            caller = admitted.principal
        if caller is None:
            if needed == READ:
                return None
            raise HttpError(401, "http.token", "no token", where="Authorization", expected="a key with this scope")
        if needed not in caller.scopes:
            raise HttpError(
                403, "access.scope", f"{caller.name} may not do this", expected=f"a key with scope {needed}"
            )
        return caller


class _Views:
    """What GET answers."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def health(self) -> HybridHealth:
        services = self._services
        engines, gateway = services.health.engines(), services.meters.status()
        return HybridHealth(
            system_status=max(engines.overall_status, gateway.status, key=_WORST.index),
            engines=engines,
            gateway=gateway,
            routing=self._routing(),
            circuit_breakers=services.breakers.statuses(),
        )

    def status(self) -> HybridStatus:
        health, config = self.health(), self._services.settings.current()
        return HybridStatus(
            system_status=health.system_status,
            hybrid_routing_enabled=config.hybrid_routing_enabled,
            default_strategy=config.default_strategy,
            workers=health.gateway.workers,
            uptime_seconds=health.gateway.uptime_seconds,
            total_engines=health.engines.total_engines,
            healthy_engines=health.engines.healthy_engines,
            open_breakers=[name for name, each in health.circuit_breakers.items() if each.state in _SHUT],
            total_decisions=health.routing.total_decisions,
            revision=config.revision,
        )

    def metrics(self) -> HybridMetrics:
        services = self._services
        return HybridMetrics(
            routing=services.routing.metrics(),
            gateway=services.meters.metrics(),
            circuit_breakers=services.breakers.statuses(),
            engines=services.health.engines(),
        )

    def _routing(self) -> RoutingStatus:
        config = self._services.settings.current()
        return RoutingStatus(
            enabled=config.hybrid_routing_enabled,
            default_strategy=config.default_strategy,
            total_decisions=self._services.routing.metrics().total_decisions,
        )


def _add_views(router: APIRouter, views: _Views) -> None:
    services = views._services
    admission = Depends(_Admission(services, READ))
    shown: tuple[tuple[str, str, Callable[[], Any], Any], ...] = (
        (
            "/health",
            "Engines, gateway, routing and breakers, and the state of all together",
            views.health,
            HybridHealth,
        ),
        ("/status", "The system in a few figures", views.status, HybridStatus),
        ("/engines", "How every engine is", services.health.engines, EnginesStatus),
        ("/config", "Settings in force and where they come from", services.settings.current, HybridConfig),
        ("/metrics", "All metrics", views.metrics, HybridMetrics),
        ("/metrics/routing", "Decisions and recorded outcomes", services.routing.metrics, RoutingMetrics),
        (
            "/metrics/gateway",
            "The proxy path: requests, latency, cache, pools",
            services.meters.metrics,
            GatewayMetrics,
        ),
        ("/circuit-breakers", "Every breaker, by engine", services.breakers.statuses, dict[str, BreakerStatus]),
    )
    for path, summary, view, model in shown:
        router.add_api_route(
            path,
            _viewing(view),
            methods=["GET"],
            summary=summary,
            response_model=model,
            responses=responses(*READING),
            dependencies=[admission],
            **_named("GET", path),
        )
        # FastAPI answers HEAD where it is told so alone (RFC 9110, 9.1: whoever has GET has it).
        router.add_api_route(path, _viewing(view), methods=["HEAD"], dependencies=[admission], include_in_schema=False)


def _viewing(view: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    async def show() -> Any:
        return view()

    return show


def _named(method: str, path: str) -> dict[str, Any]:
    """Of an operation: its name in clients that are made from the document, and the scope that it needs."""
    words = [word.strip("{}").replace("-", "_") for word in path.split("/") if word]
    name = "_".join(["hybrid", *([] if method == "GET" else [method.lower()]), *words])
    extra: dict[str, Any] = {"x-nautilus-scope": scope_of(method, BASE_PATH + path)}
    if method != "GET":
        # Even where no field is needed: who sends no body sends no content type, and that is refused.
        extra["requestBody"] = {"required": True}
    return {"operation_id": name, "openapi_extra": extra}


def _add_changes(router: APIRouter, services: Services) -> None:
    changes = _Changes(services)
    readers, traders, admins = (Depends(_Admission(services, scope)) for scope in (READ, TRADE, ADMIN))

    def changing(method: str, path: str, summary: str, model: Any, *codes: int) -> Callable[[Act], Act]:
        return router.api_route(
            path,
            methods=[method],
            summary=summary,
            response_model=model,
            responses=responses(*CHANGING, *codes),
            **_named(method, path),
        )

    @changing("PUT", "/config", "Change the routing of all workers at once", HybridConfig)
    async def change_config(change: ConfigChange, caller: Any = admins) -> HybridConfig:
        """It takes effect before the answer, and lasts until the platform ends, also over a restart of a worker."""
        detail = change.changes()
        act = services.settings.change(detail, _name(caller))
        return await changes.audited(caller, "config.change", "gateway", detail, act)

    @changing("POST", "/route", "Ask which way a request is to take", RouteAnswer, 404)
    async def route(question: RouteQuestion, caller: Any = readers) -> RouteAnswer:
        """Nothing counts as under way; tell how it went with `POST /record-outcome`."""
        changes.know("engine", question.engine)
        return services.routing.decide(question)

    @changing("POST", "/record-outcome", "Tell how a request went, for the router to learn from", OutcomeRecorded, 404)
    async def record_outcome(report: OutcomeReport, caller: Any = traders) -> OutcomeRecorded:
        """It counts in every worker."""
        changes.know("engine", report.engine)
        services.routing.record(report)
        return OutcomeRecorded(recorded=True, engine=report.engine, strategy=report.strategy)

    @changing("POST", "/circuit-breakers/reset-all", "Close every breaker", BreakersReset)
    async def reset_all(nothing: Nothing = NOTHING, caller: Any = admins) -> BreakersReset:
        """What they have seen is forgotten, in every worker."""

        async def act() -> BreakersReset:
            names = sorted(services.breakers.statuses())
            for name in names:
                services.breakers.reset(name)
            return BreakersReset(reset=names, circuit_breakers=services.breakers.statuses())

        return await changes.audited(caller, "breaker.reset_all", "all", {}, act())

    @changing("POST", "/circuit-breakers/{name}/reset", "Close one breaker", BreakerStatus, 404)
    async def reset(name: Name, nothing: Nothing = NOTHING, caller: Any = admins) -> BreakerStatus:
        """What it has seen is forgotten, in every worker."""
        known = services.breakers.statuses()
        if name not in known:
            raise unknown("breaker", name, known)

        async def act() -> BreakerStatus:
            services.breakers.reset(name)
            return services.breakers.statuses()[name]

        return await changes.audited(caller, "breaker.reset", name, {}, act())

    @changing("POST", "/engines/{name}/check", "Look at one engine now", EngineStatus, 404)
    async def check(name: Name, nothing: Nothing = NOTHING, caller: Any = admins) -> EngineStatus:
        """The answer is what was found; it counts like a look of the health monitor's own."""
        changes.know("engine", name)
        return await changes.audited(caller, "engine.check", name, {}, services.health.check(name))


class _Changes:
    """What all changes have in common."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def know(self, kind: str, name: str) -> None:
        """404 where there is no engine of that name."""
        if name not in self._services.names:
            raise unknown(kind, name, self._services.names)

    async def audited(
        self, caller: Principal | None, action: str, subject: str, detail: Mapping[str, Any], act: Awaitable[Result]
    ) -> Result:
        """Carry out a change and write it down, also where it fails."""
        outcome = "done"
        try:
            return await act
        except Exception as error:
            outcome = as_http_error(error).code
            raise
        finally:
            if self._services.audit is not None:
                self._services.audit.record(_name(caller), action, subject, detail, outcome)


def _name(caller: Principal | None) -> str:
    return "anonymous" if caller is None else caller.name


__all__ = ["BASE_PATH", "PRINCIPAL_KEY", "hybrid_router", "scope_of"]
