"""Problems of the management API, as answers and as OpenAPI tells of them.

::

    status  code                        when
    404     gateway.unknown_engine      no engine of that name
    404     gateway.unknown_breaker     no breaker of that name
    503     gateway.not_checked         the engine cannot be looked at now
    503     gateway.busy                another change is being made

and those of `nautilus.runtime.http.problems`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from nautilus.runtime.config import nearest
from nautilus.runtime.http.access import CHANGING_METHODS
from nautilus.runtime.http.asgi import trace_of
from nautilus.runtime.http.body import decode_body
from nautilus.runtime.http.problems import PROBLEM_TYPE, HttpError, as_http_error, problem_of

PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "type": "object",
    "description": "RFC 9457 problem details; `code` is stable.",
    "required": ["type", "title", "status", "detail", "code", "trace_id"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:nautilus:problem:gateway.unknown_engine"]},
        "title": {"type": "string", "examples": ["Not Found"]},
        "status": {"type": "integer", "examples": [404]},
        "detail": {"type": "string", "examples": ["no engine 'risc'"]},
        "code": {"type": "string", "examples": ["gateway.unknown_engine"]},
        "trace_id": {"type": "string", "examples": ["4bf92f3577b34da6a3ce929d0e0e4736"]},
        "where": {"type": "string", "examples": ["engine"]},
        "expected": {"type": "string", "examples": ["one of risk, trading; did you mean 'risk'?"]},
    },
}
_TOLD = {
    400: "The body is no JSON",
    401: "No key, or a wrong one",
    403: "The key may not do this; or another machine's name, or a page of another site",
    404: "Nothing of that name",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "The content type is not application/json",
    422: "A field is missing, unknown, of another type or out of bounds",
    429: "Too many requests of this key",
    500: "An unforeseen error; the log has it",
    503: "Not now; again in a second",
    504: "No answer in time",
}
READING = (401, 403, 429, 500, 503)
CHANGING = (400, 401, 403, 408, 413, 415, 422, 429, 500, 503)
LARGEST_BODY = 1 << 16
_LOGGER = logging.getLogger("nautilus.gateway")
Run = Callable[[Request], Coroutine[Any, Any, Response]]


def responses(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Problems by status, for the OpenAPI of a route."""
    content = {PROBLEM_TYPE: {"schema": PROBLEM_SCHEMA}}
    return {code: {"description": _TOLD[code], "content": content} for code in sorted(codes)}


def unknown(kind: str, name: str, known: Iterable[str]) -> HttpError:
    """404: nothing of that name, and which there are."""
    names = sorted(known)
    shown = name if len(name) <= 64 else name[:64] + "..."
    expected = f"one of {', '.join(names)}{nearest(name, names)}"
    return HttpError(404, f"gateway.unknown_{kind}", f"no {kind} {shown!r}", where=kind, expected=expected)


class ProblemRoute(APIRoute):
    """A route whose errors are problems in any application, and whose bodies are strict JSON: no NaN, no key twice."""

    def get_route_handler(self) -> Run:
        """As FastAPI asks for it."""
        run = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                if request.method in CHANGING_METHODS:
                    await _read(request)
                return await run(request)
            except Exception as error:
                return _answer(error, request)

        return handle


async def _read(request: Request) -> None:
    """The body into the request, looked at before FastAPI does; an application around this may have done so too."""
    kinds = request.headers.getlist("content-type")
    if len(kinds) != 1 or kinds[0].partition(";")[0].strip().lower() != "application/json":
        found = f"content type {', '.join(kinds)[:100] or 'is missing'}"
        raise HttpError(415, "http.content_type", found, where="Content-Type", expected="application/json")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST_BODY:
            raise HttpError(413, "http.body_size", "the body is too large", expected=f"at most {LARGEST_BODY} bytes")
        chunks.append(chunk)
    request._body = b"".join(chunks)  # where Starlette looks first, too
    decode_body(request._body)


def _answer(error: Exception, request: Request) -> Response:
    told = _as_http_error(error)
    trace = trace_of(request.scope)
    if told.status == 500:
        _LOGGER.error("%s %s failed, trace %s", request.method, request.url.path, trace, exc_info=error)
    headers = {name.decode(): value.decode() for name, value in told.headers}
    return Response(problem_of(told, trace), told.status, headers, PROBLEM_TYPE)


def _as_http_error(error: Exception) -> HttpError:
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return HttpError(422, "http.fields", str(first["msg"])[:200], where=where[:200])
    if isinstance(error, HTTPException):
        return HttpError(error.status_code, "http.error", str(error.detail)[:200])
    return as_http_error(error)
