"""One request and its answer, free of ASGI; `Endpoint` is the border where a handler's errors become problems."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cached_property
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from nautilus.runtime.errorlog import ErrorLog
from nautilus.runtime.http.body import NO_BODY
from nautilus.runtime.http.problems import PROBLEM_TYPE, HttpError, as_http_error, problem_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON_TYPE = "application/json"
BODY_KEY = "nautilus.body"
TRACE_KEY = "nautilus.trace_id"
# As W3C Trace Context has it: no version ff, and what is all zero is no id.
_TRACE_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Request:
    """What was asked. Made of an ASGI scope whose body the access rules have read."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.body: Any = scope.get(BODY_KEY, NO_BODY)
        """The JSON body, decoded; `NO_BODY` where there is none."""
        self.path_values: dict[str, str] = scope.get("path_params") or {}

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        """Names and values of the query, in order."""
        text = self._scope["query_string"]
        try:
            return parse_qsl(text.decode(), keep_blank_values=True, max_num_fields=1000) if text else []
        except ValueError as error:
            raise HttpError(400, "http.query", str(error), where="query", expected="at most 1000 fields") from None

    def header(self, name: bytes) -> str:
        """Value of a header (lower-case name), joined by commas where it comes twice; empty where it does not."""
        return ", ".join(value.decode("latin-1") for key, value in self._scope["headers"] if key == name)

    @property
    def trace_id(self) -> str:
        """Names the request in answers and in the log: that of its `traceparent`, or a new one."""
        return trace_id(self._scope)

    @property
    def given_trace(self) -> int:
        """The trace id of its `traceparent`; 0: it has none."""
        for name, value in self._scope["headers"]:
            if name == b"traceparent":
                match = _TRACE_PARENT.fullmatch(value)
                return int(match[1], 16) if match else 0
        return 0


class Response(NamedTuple):
    """What is answered."""

    body: bytes
    status: int = 200
    content_type: str = JSON_TYPE
    headers: tuple[tuple[bytes, bytes], ...] = ()


Handler = Callable[[Request], Awaitable[Response]]


class Route(NamedTuple):
    """A handler at a path; parts in braces become `Request.path_values`."""

    method: str
    path: str
    handler: Handler


def trace_id(scope: Scope) -> str:
    """See `Request.trace_id`."""
    known = scope.get(TRACE_KEY)
    if known is None:
        match = None
        for name, value in scope["headers"]:
            if name == b"traceparent":
                match = _TRACE_PARENT.fullmatch(value)
        known = scope[TRACE_KEY] = match[1].decode() if match else new_trace_id()
    return str(known)


def new_trace_id() -> str:
    """Names a request that brings no name along."""
    return os.urandom(16).hex()


def json_response(value: Any, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(msgspec.json.encode(value), status)


def problem_response(error: HttpError, trace: str) -> Response:
    """A problem as an answer."""
    return Response(problem_of(error, trace), error.status, PROBLEM_TYPE, error.headers)


def headers_of(response: Response) -> list[tuple[bytes, bytes]]:
    """All headers of an answer, but for those that the server adds."""
    if response.status == HTTPStatus.NO_CONTENT:
        return list(response.headers)
    return [
        (b"content-type", response.content_type.encode()),
        (b"content-length", str(len(response.body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *response.headers,
    ]


async def send_response(send: Send, response: Response) -> None:
    """Give the answer to the server."""
    await send({"type": "http.response.start", "status": response.status, "headers": headers_of(response)})
    await send({"type": "http.response.body", "body": response.body})


class Border:
    """Turns what goes wrong on the port of an engine into answers: counts it, logs what is the platform's own fault."""

    def __init__(self, errors: ErrorLog, failed: Callable[[int], None] = lambda status: None, engine: str = "") -> None:
        self._errors = errors
        self._failed = failed
        self._engine = engine

    def answer(self, error: Exception, scope: Scope, place: str) -> Response:
        """The answer to a request that failed so; `place`: its route, under which the log names it."""
        told = as_http_error(error)
        trace = trace_id(scope)
        if told.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self._errors.add(place, error, engine=self._engine, trace_id=trace)
        self._failed(told.status)
        return problem_response(told, trace)


class Endpoint:
    """A handler as an ASGI application."""

    def __init__(self, handler: Handler, border: Border, place: str) -> None:
        self._handler = handler
        self._border = border
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._handler(Request(scope))
        except Exception as error:
            response = self._border.answer(error, scope, self._place)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Not this task was cancelled, but what it waited for: the host is stopping.
            response = self._border.answer(stopping(), scope, self._place)
        await send_response(send, response)


def stopping() -> HttpError:
    """What a request is told that comes too late."""
    return HttpError(
        503,
        "http.stopping",
        "the process is about to end",
        headers=((b"connection", b"close"), (b"retry-after", b"1")),
    )


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body which was read already, and then what the old one gives."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
