"""What handlers see of HTTP: a request, and a place where what they raise becomes an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cached_property
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

from nautilus.runtime.errorlog import ErrorLog
from nautilus.runtime.http.body import NO_BODY
from nautilus.runtime.http.exchange import Exchange, Response, problem_response, stopping
from nautilus.runtime.http.problems import HttpError, as_http_error


class Request:
    """What was asked, once the access rules have let it in and its body has been read."""

    def __init__(self, exchange: Exchange, body: Any = NO_BODY, path_values: dict[str, str] | None = None) -> None:
        self.exchange = exchange
        self.method = exchange.method
        self.body = body
        """The JSON body, decoded; `NO_BODY` where there is none."""
        self.path_values = path_values or {}

    @property
    def path(self) -> str:
        """Decoded."""
        return self.exchange.path_text

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        """Names and values of the query, in order."""
        text = self.exchange.query
        try:
            return parse_qsl(text.decode(), keep_blank_values=True, max_num_fields=1000) if text else []
        except ValueError as error:
            raise HttpError(400, "http.query", str(error), where="query", expected="at most 1000 fields") from None

    def header(self, name: bytes) -> str:
        """Value of a header (lower-case name), joined by commas where it comes twice; empty where it does not."""
        return self.exchange.header(name).decode("latin-1")

    @property
    def trace_id(self) -> str:
        """See `Exchange.trace_id`."""
        return self.exchange.trace_id

    @property
    def given_trace(self) -> int:
        """See `Exchange.given_trace`."""
        return self.exchange.given_trace


Result = Response | Exception
Done = Callable[[Result], None]
Handler = Callable[[Request], Response | Awaitable[Response]]
"""Answers a request: at once, or by something that is awaited, in a task of its own."""


class Beginner(Protocol):
    """A handler that needs no task."""

    def begin(self, request: Request, done: Done) -> None:
        """Answer by `done`, once, now or later, in the loop's thread. Raises where it cannot begin."""
        ...

    def give_up(self) -> None:
        """Answer what is open: the server ends."""
        ...


class Route(NamedTuple):
    """A handler at a path; parts in braces become `Request.path_values`.

    Parameters
    ----------
    scope
        What asking takes; "": that of the method.
    """

    method: str
    path: str
    handler: Handler
    scope: str = ""


class Border:
    """Turns what goes wrong on the port of an engine into answers: counts it, logs what is the platform's own fault."""

    def __init__(self, errors: ErrorLog, failed: Callable[[int], None] = lambda status: None, engine: str = "") -> None:
        self._errors = errors
        self._failed = failed
        self._engine = engine

    def answer(self, error: Exception, trace: str, place: str) -> Response:
        """The answer to a request that failed so; `place`: its route, under which the log names it."""
        told = as_http_error(error)
        if told.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self._errors.add(place, error, engine=self._engine, trace_id=trace)
        self._failed(told.status)
        return problem_response(told, trace)


class Endpoint:
    """A handler behind the border."""

    def __init__(self, handler: Handler | Beginner, border: Border, place: str, scope: str | None = None) -> None:
        self.scope = scope
        """That a request needs; None: that of its method."""
        self._handler: Any = handler
        self._begin: Callable[[Request, Done], None] | None = getattr(handler, "begin", None)
        self._border = border
        self._place = place
        self._tasks: set[asyncio.Future[Response]] = set()

    def __call__(self, request: Request) -> None:
        """Have the request answered."""
        exchange = request.exchange
        try:
            if self._begin is not None:
                self._begin(request, lambda result: self.settle(exchange, result))
                return
            found = self._handler(request)
        except Exception as error:
            self.settle(exchange, error)
            return
        if isinstance(found, Response):
            exchange.respond(found)
            return
        task = asyncio.ensure_future(found)
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._end(exchange, task))

    def settle(self, exchange: Exchange, result: Result) -> None:
        """Answer with what came of it."""
        if isinstance(result, Response):
            exchange.respond(result)
        else:
            exchange.respond(self._border.answer(result, exchange.trace_id, self._place))

    def give_up(self) -> None:
        """Wait no longer for what is awaited."""
        for task in list(self._tasks):
            task.cancel()
        let_go = getattr(self._handler, "give_up", None)
        if let_go is not None:
            let_go()

    def _end(self, exchange: Exchange, task: asyncio.Future[Response]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self.settle(exchange, stopping())
            return
        error = task.exception()
        if error is None:
            exchange.respond(task.result())
        elif isinstance(error, Exception):
            self.settle(exchange, error)
        else:
            raise error
