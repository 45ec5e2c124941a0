"""An engine's port: access rules first, then probes and operations.

::

    server -> EngineApp: rules, stopping?, body -> own routes -> handler
                                                -> FastAPI: included routers; unknown paths and methods
                         OPTIONS, strange methods -> which methods the path has

FastAPI knows the own routes too, so that one place decides between 404 and 405; but a request to one of them is found
before it, which saves probes and orders its layers.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse
from starlette.routing import Match
from starlette.routing import Route as StarletteRoute

from nautilus.core.histogram import Histogram
from nautilus.engines.base import Operation
from nautilus.model.errors import NautilusError
from nautilus.runtime.errorlog import ErrorLog
from nautilus.runtime.http.access import CHANGING_METHODS, READ_METHODS, AccessRules
from nautilus.runtime.http.body import BodyReader
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.document import PAGE_POLICY, describe, page_of
from nautilus.runtime.http.exchange import (
    BODY_KEY,
    App,
    Border,
    Endpoint,
    Receive,
    Request,
    Response,
    Route,
    Scope,
    Send,
    json_response,
    problem_response,
    replay,
    send_response,
    stopping,
    trace_id,
)
from nautilus.runtime.http.operations import Ask, OperationHandler
from nautilus.runtime.http.probes import Probes
from nautilus.runtime.http.problems import HttpError, as_http_error
from nautilus.runtime.metrics import EngineView

_TOLD = "nautilus.told"
_METHODS = (*READ_METHODS, *CHANGING_METHODS)


class EngineApp:
    """The ASGI application of one engine's port.

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
    ) -> None:
        config = config or HttpConfig()
        self.stopping = False
        """Set: everything but probes is answered with 503."""
        self._rules = rules
        self._read_body = BodyReader(config).read
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
        self._fixed: dict[tuple[str, str], App] = {}
        self._patterns: list[tuple[str, re.Pattern[str], App]] = []
        probes = Probes(view).routes()
        self._probes = {route.path for route in probes}
        for route in probes:
            self.add(route)
        self.add(Route("GET", "/openapi.json", self._openapi))
        self.add(Route("GET", "/docs", self._docs))
        for operation in operations:
            self._add_operation(operation, ask, config)
        for route in routes:
            self.add(route)
        self.api.add_exception_handler(HTTPException, self._on_http_exception)
        self.api.add_exception_handler(RequestValidationError, self._on_invalid)
        for kind in (HttpError, NautilusError, Exception):
            self.api.add_exception_handler(kind, self._on_error)

    def add(self, route: Route) -> None:
        """Serve one more route."""
        endpoint = Endpoint(route.handler, self._border, f"{route.method} {route.path}")
        self.api.router.routes.append(
            StarletteRoute(route.path, endpoint, methods=[route.method], include_in_schema=False)
        )
        for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
            if "{" in route.path:
                self._patterns.append((method, _pattern(route.path), endpoint))
            else:
                self._fixed[method, route.path] = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self._counters.increment(self._requests)
        method = scope["method"]
        try:
            self._rules.check(method, scope["headers"])
            self._refuse_late(scope)
            if method in CHANGING_METHODS:
                body, scope[BODY_KEY] = await self._read_body(scope["headers"], receive)
                self._refuse_late(scope)
                receive = replay(body, receive)
            elif method not in READ_METHODS:
                await send_response(send, self._options(scope))
                return
            await (self._own_route(method, scope) or self._through_api)(scope, receive, send)
        except HttpError as error:
            self._count(error.status)
            await send_response(send, problem_response(error, trace_id(scope)))
        except asyncio.CancelledError:
            # The server ends and waits no longer. Nothing was handed to an engine: that would have been told.
            self._count(503)
            with contextlib.suppress(RuntimeError):  # an answer has begun
                await send_response(send, problem_response(stopping(), trace_id(scope)))
                return
            raise

    def _refuse_late(self, scope: Scope) -> None:
        if self.stopping and scope["path"] not in self._probes:
            raise stopping()

    def _options(self, scope: Scope) -> Response:
        """The answer to OPTIONS, or to a method that no path has."""
        allowed = self._allowed(scope)
        if scope["method"] != "OPTIONS":
            raise _not_allowed(scope, allowed)
        return Response(b"", 204, headers=((b"allow", allowed.encode()),))

    def _allowed(self, scope: Scope) -> str:
        """The methods of a path; HttpError where there is no such path."""
        routes = self.api.router.routes
        found = [
            method
            for method in _METHODS
            if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
        ]
        if not found:
            raise _not_found(scope)
        return ", ".join([*found, "OPTIONS"])

    def _own_route(self, method: str, scope: Scope) -> App | None:
        path = scope["path"]
        app = self._fixed.get((method, path))
        if app is not None:
            return app
        for pattern_method, pattern, endpoint in self._patterns:
            if pattern_method == method and (match := pattern.fullmatch(path)):
                scope["path_params"] = match.groupdict()
                return endpoint
        return None

    async def _through_api(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.api(scope, receive, send)
        except Exception as error:
            # Starlette raises again what `_on_error` has answered; what came in the middle of an answer it did not see.
            if not scope.get(_TOLD):
                self._border.answer(error, scope, _place(scope))

    def _add_operation(self, operation: Operation, ask: Ask, config: HttpConfig) -> None:
        name = f"{operation.method} {operation.path}"
        latency = self._view.histograms.setdefault(name, Histogram())
        answer = OperationHandler(self._view.name, operation, ask, config.answer_seconds, latency)
        failures = self._counters.counter(f"operation.{self._view.name}.{name}.errors")

        async def handler(request: Request) -> Response:
            try:
                return await answer(request)
            except Exception as error:
                if as_http_error(error).status >= 500:
                    self._counters.increment(failures)
                raise

        self.add(Route(operation.method, operation.path, handler))

    def _count(self, status: int) -> None:
        self._counters.increment(self._failures if status >= 500 else self._refused)

    def document(self) -> dict[str, Any]:
        """The OpenAPI document: declared operations, and those of included routers."""
        if self._document is None:
            document = describe(self._view.name, self._operations)
            included = get_openapi(title="", version="", routes=self.api.routes)
            document["paths"].update(included.get("paths", {}))
            document["components"]["schemas"].update(included.get("components", {}).get("schemas", {}))
            self._document = document
        return self._document

    async def _openapi(self, request: Request) -> Response:
        return json_response(self.document())

    async def _docs(self, request: Request) -> Response:
        page = page_of(self.document()).encode()
        policy = (b"content-security-policy", PAGE_POLICY.encode())
        return Response(page, content_type="text/html; charset=utf-8", headers=(policy,))

    async def _on_http_exception(self, request: StarletteRequest, error: Exception) -> StarletteResponse:
        assert isinstance(error, HTTPException)
        headers = tuple((k.lower().encode(), v.encode()) for k, v in (error.headers or {}).items())
        if error.status_code == 404:
            told = _not_found(request.scope)
        elif error.status_code == 405:
            told = _not_allowed(request.scope, self._allowed(request.scope))
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
        response = self._border.answer(error, scope, _place(scope))
        scope[_TOLD] = True
        headers = {name.decode(): value.decode() for name, value in response.headers}
        return StarletteResponse(response.body, response.status, headers, response.content_type)


def _not_found(scope: Scope) -> HttpError:
    return HttpError(404, "http.not_found", f"no path {scope['path'][:200]!r}", expected="one of /docs")


def _not_allowed(scope: Scope, allowed: str) -> HttpError:
    what = f"{scope['method']} {scope['path'][:200]}"
    return HttpError(405, "http.method", what, expected=allowed, headers=((b"allow", allowed.encode()),))


def _pattern(path: str) -> re.Pattern[str]:
    """A path whose parts in braces stand for anything without a slash."""
    parts = re.split(r"\{(\w+)\}", path)
    return re.compile("".join(f"(?P<{part}>[^/]+)" if at % 2 else re.escape(part) for at, part in enumerate(parts)))


def _place(scope: Scope) -> str:
    """The route of a request to an included router, under which the log names an error."""
    return f"{scope['method']} {getattr(scope.get('route'), 'path', '?')}"
