"""An engine's port: access rules first, then probes and operations.

::

    port -> EngineApp: rules, stopping?, body -> own routes -> handler
                                              -> FastAPI: included routers
                       OPTIONS, strange methods, unknown paths -> which methods the path has

Own routes need no task and none of FastAPI's layers.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse
from starlette.routing import Match

from nautilus.core.histogram import Histogram
from nautilus.engines.base import Operation, Stream
from nautilus.model.errors import NautilusError
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.errorlog import ErrorLog
from nautilus.runtime.http.access import CHANGING_METHODS, READ_METHODS, AccessRules, Admitted
from nautilus.runtime.http.asgi import AsgiExchange, Scope, trace_of
from nautilus.runtime.http.body import NO_BODY, decode_body
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.document import describe, page_of
from nautilus.runtime.http.events import EventStream
from nautilus.runtime.http.exchange import PAGE_POLICY, Exchange, Response, json_response, stopping
from nautilus.runtime.http.fan_out import Audience, AudienceSettings
from nautilus.runtime.http.leases import Leases
from nautilus.runtime.http.operations import Ask, Glance, OperationHandler
from nautilus.runtime.http.probes import Probes
from nautilus.runtime.http.problems import HttpError
from nautilus.runtime.http.request import Beginner, Border, Endpoint, Handler, Request, Route
from nautilus.runtime.http.returns import Returns
from nautilus.runtime.http.sessions import PATH as SESSION_PATH
from nautilus.runtime.metrics import EngineView

if TYPE_CHECKING:
    from nautilus.runtime.auditing import Recorder

_METHODS = (*READ_METHODS, *CHANGING_METHODS)
BETWEEN_PROCESSES = "/bus/"
"""What is said there is no call that anybody made, also where it comes before this process takes it."""


class EngineApp:
    """The application of one engine's port.

    Parameters
    ----------
    view
        What the probes show.
    operations
        As the engine declares them.
    ask
        Hands requests to the engine's handler.
    rules
        Who may ask.
    config
        Limits.
    errors
        Where unforeseen errors are counted and logged.
    routes
        More handlers of the process's own.
    audit
        Records what changes something; None: nothing does.
    streams
        As the engine declares them: `self.streams` has them by topic, and whoever publishes puts events there.
    glance
        See `OperationHandler`; of operations whose answers wait for somebody outside.
    """

    def __init__(
        self,
        view: EngineView,
        operations: Sequence[Operation],
        ask: Ask,
        rules: AccessRules,
        *,
        config: HttpConfig | None = None,
        errors: ErrorLog | None = None,
        routes: Iterable[Route] = (),
        audit: Recorder | None = None,
        streams: Sequence[Stream] = (),
        glance: Glance | None = None,
    ) -> None:
        config = config or HttpConfig()
        self._glance = glance
        self.stopping = False
        """Set: everything but probes is answered with 503."""
        self._rules = rules
        self._audit = audit
        self.leases = Leases(rules, view.counters, audit)
        """WebSockets of any port that end with a key or a session."""
        self._limit_bytes = config.body_kib << 10
        self._counters = view.counters
        self._requests = view.counters.counter("http.requests")
        self._refused = view.counters.counter("http.refused")
        self._failures = view.counters.counter("http.errors")
        self._border = Border(errors or ErrorLog(), self._count, view.name)
        self.api = FastAPI(
            title=f"nautilus {view.name}", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
        )
        """Routers with more operations may be included here before the first request."""
        self._document: dict[str, Any] | None = None
        self._view = view
        self._operations = tuple(operations)
        self._fixed: dict[tuple[str, str], Endpoint] = {}
        self._patterns: list[tuple[str, re.Pattern[str], Endpoint]] = []
        self._endpoints: list[Endpoint] = []
        self._returns = Returns()
        self._tasks: set[asyncio.Future[None]] = set()
        probes = Probes(view).routes()
        self._probes = {route.path for route in probes}
        for route in probes:
            self.add(route)
        self.add(Route("GET", "/openapi.json", self._openapi))
        self.add(Route("GET", "/docs", self._docs))
        for operation in operations:
            self._add_operation(operation, ask, config)
        self._declared = tuple(streams)
        self._audience: Audience | None = None
        self.streams: dict[str, EventStream] = {}
        if streams:
            self._audience = Audience(view.counters, "http.listeners", AudienceSettings(most=config.connections))
            for stream in streams:
                found = self.streams[stream.topic.name] = EventStream(stream, self._audience)
                self._serve("GET", stream.path, found, stream.scope)
        for route in routes:
            self.add(route)
        self.api.add_exception_handler(HTTPException, self._on_http_exception)
        self.api.add_exception_handler(RequestValidationError, self._on_invalid)
        for kind in (HttpError, NautilusError, Exception):
            self.api.add_exception_handler(kind, self._on_error)

    def add(self, route: Route) -> None:
        """Serve one more route."""
        self._serve(route.method, route.path, route.handler, route.scope)

    def _serve(self, method: str, path: str, handler: Handler | Beginner, scope: str = "") -> None:
        endpoint = Endpoint(handler, self._border, f"{method} {path}", scope or None)
        self._endpoints.append(endpoint)
        for each in ("GET", "HEAD") if method == "GET" else (method,):
            if "{" in path:
                self._patterns.append((each, _pattern(path), endpoint))
            else:
                self._fixed[each, path] = endpoint

    def __call__(self, exchange: Exchange) -> None:
        """Answer a request."""
        self._counters.increment(self._requests)
        method = exchange.method
        try:
            path = exchange.path_text
            admitted = self._rules.admit(
                method,
                exchange.target,
                exchange.headers,
                wall_ns(),
                scope=self.needed(method, path),
                certificate=exchange.peer_certificate,
                tls=exchange.tls,
            )
            exchange.principal = admitted.principal
            self._refuse_late(path)
            if method in READ_METHODS:
                self._go(exchange, path, b"", NO_BODY)
            elif method in CHANGING_METHODS:
                exchange.read(self._limit_bytes, lambda body: self._on_body(exchange, path, admitted, body))
            else:
                exchange.respond(self._options(method, path))
        except HttpError as error:
            exchange.problem(error)

    def needed(self, method: str, path: str) -> str | None:
        """The scope that a request needs; None: that of its method."""
        endpoint = self._fixed.get((method, path))
        if endpoint is not None:
            return endpoint.scope
        for known, pattern, endpoint in self._patterns:  # in the order in which `_go` looks
            if known == method and pattern.fullmatch(path):
                return endpoint.scope
        return None

    def give_up(self) -> None:
        """The server ends and waits no longer for what is under way."""
        for endpoint in self._endpoints:
            endpoint.give_up()
        for task in list(self._tasks):
            task.cancel()
        self.leases.close()
        if self._audience is not None:
            self._audience.close()

    def _on_body(self, exchange: Exchange, path: str, admitted: Admitted, body: bytes) -> None:
        try:
            self._rules.verify_body(admitted, body)
            if self._audit is not None and not path.startswith(BETWEEN_PROCESSES):
                exchange.on_answer = self._audit.answered(exchange, admitted, body)
            self._refuse_late(path)
            self._go(exchange, path, body, decode_body(body))
        except HttpError as error:
            exchange.problem(error)

    def _go(self, exchange: Exchange, path: str, body: bytes, value: Any) -> None:
        method = exchange.method
        endpoint = self._fixed.get((method, path))
        if endpoint is not None:
            endpoint(Request(exchange, value))
            return
        for pattern_method, pattern, endpoint in self._patterns:
            if pattern_method == method and (match := pattern.fullmatch(path)):
                endpoint(Request(exchange, value, match.groupdict()))
                return
        self._through_api(exchange, path, body)

    def _refuse_late(self, path: str) -> None:
        if self.stopping and path not in self._probes:
            raise stopping()

    def _options(self, method: str, path: str) -> Response:
        """The answer to OPTIONS, or to a method that no path has."""
        allowed = self._allowed(path)
        if method != "OPTIONS":
            raise _not_allowed(method, path, allowed)
        return Response(b"", 204, headers=((b"allow", allowed.encode()),))

    def _allowed(self, path: str) -> str:
        """The methods of a path; HttpError where there is no such path."""
        own = {method for method, known in self._fixed if known == path}
        own |= {method for method, pattern, _ in self._patterns if pattern.fullmatch(path)}
        found = [method for method in _METHODS if method in own or self._api_has(method, path)]
        if not found:
            raise _not_found(path)
        return ", ".join([*found, "OPTIONS"])

    def _api_has(self, method: str, path: str) -> bool:
        scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
        return any(route.matches({**scope})[0] is Match.FULL for route in self.api.router.routes)

    def _through_api(self, exchange: Exchange, path: str, body: bytes) -> None:
        """An included router's request; who asks for a path that nobody has is told so here."""
        if not self._api_has(exchange.method, path):
            raise _not_allowed(exchange.method, path, self._allowed(path))
        run: AsgiExchange

        def failed(error: Exception) -> None:
            # Starlette raises again what `_on_error` has answered; what came in the middle of an answer it did not see.
            exchange.respond(self._border.answer(error, exchange.trace_id, _place(run.scope)))

        run = AsgiExchange(self.api, exchange, body, failed)
        self._tasks.add(run.task)
        run.task.add_done_callback(self._tasks.discard)

    def _add_operation(self, operation: Operation, ask: Ask, config: HttpConfig) -> None:
        name = f"{operation.method} {operation.path}"
        latency = self._view.histograms.setdefault(name, Histogram())
        failures = self._counters.counter(f"operation.{self._view.name}.{name}.errors")
        handler = OperationHandler(
            self._view.name,
            operation,
            ask,
            config.answer_seconds,
            latency,
            guard=self._view.protection.guards.get(name),
            returns=self._returns,
            failed=lambda: self._counters.increment(failures),
            check=self._rules.check_scope,
            glance=self._glance if operation.waits else None,
        )
        self._serve(operation.method, operation.path, handler, operation.scope)

    def _count(self, status: int) -> None:
        self._counters.increment(self._failures if status >= 500 else self._refused)

    @property
    def has_sessions(self) -> bool:
        """Whether a session may be begun here."""
        return ("POST", SESSION_PATH) in self._fixed

    def document(self) -> dict[str, Any]:
        """The OpenAPI document: declared operations, and those of included routers."""
        if self._document is None:
            document = describe(self._view.name, self._operations, sessions=self.has_sessions, streams=self._declared)
            included = get_openapi(title="", version="", routes=self.api.routes)
            document["paths"].update(included.get("paths", {}))
            document["components"]["schemas"].update(included.get("components", {}).get("schemas", {}))
            self._document = document
        return self._document

    def _openapi(self, request: Request) -> Response:
        return json_response(self.document())

    def _docs(self, request: Request) -> Response:
        page = page_of(self.document()).encode()
        policy = (b"content-security-policy", PAGE_POLICY.encode())
        return Response(page, content_type="text/html; charset=utf-8", headers=(policy,))

    async def _on_http_exception(self, request: StarletteRequest, error: Exception) -> StarletteResponse:
        assert isinstance(error, HTTPException)
        headers = tuple((k.lower().encode(), v.encode()) for k, v in (error.headers or {}).items())
        if error.status_code == 404:
            told = _not_found(request.scope["path"])
        elif error.status_code == 405:
            told = _not_allowed(request.method, request.scope["path"], self._allowed(request.scope["path"]))
        else:
            told = HttpError(error.status_code, "http.error", str(error.detail), headers=headers)
        return self._as_starlette(told, request.scope)

    async def _on_invalid(self, request: StarletteRequest, error: Exception) -> StarletteResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return self._as_starlette(HttpError(422, "http.fields", str(first["msg"]), where=where), request.scope)

    async def _on_error(self, request: StarletteRequest, error: Exception) -> StarletteResponse:
        return self._as_starlette(error, request.scope)

    def _as_starlette(self, error: Exception, scope: Scope) -> StarletteResponse:
        response = self._border.answer(error, trace_of(scope), _place(scope))
        headers = {name.decode(): value.decode() for name, value in response.headers}
        headers |= {"cache-control": "no-store", "x-content-type-options": "nosniff"}
        return StarletteResponse(response.body, response.status, headers, response.content_type)


def _not_found(path: str) -> HttpError:
    return HttpError(404, "http.not_found", f"no path {path[:200]!r}", expected="one of /docs")


def _not_allowed(method: str, path: str, allowed: str) -> HttpError:
    what = f"{method} {path[:200]}"
    return HttpError(405, "http.method", what, expected=allowed, headers=((b"allow", allowed.encode()),))


def _pattern(path: str) -> re.Pattern[str]:
    """A path whose parts in braces stand for anything without a slash."""
    parts = re.split(r"\{(\w+)\}", path)
    return re.compile("".join(f"(?P<{part}>[^/]+)" if at % 2 else re.escape(part) for at, part in enumerate(parts)))


def _place(scope: Scope) -> str:
    """The route of a request to an included router, under which the log names an error."""
    return f"{scope['method']} {getattr(scope.get('route'), 'path', '?')}"
