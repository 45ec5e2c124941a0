"""Declared operations: HTTP requests to messages, and replies back. Handlers never see HTTP.

A request's fields come from the path, the query and the JSON body by name; of the first two the text is converted to
the field's type. What is unknown, missing, given twice or of another type is refused; whole numbers are written the
same way everywhere, without point and exponent.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, get_origin

import msgspec

from nautilus.core.histogram import Histogram
from nautilus.engines.base import Operation
from nautilus.model.message import Message
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.errorlog import shortened
from nautilus.runtime.http.body import NO_BODY
from nautilus.runtime.http.exchange import Request, Response
from nautilus.runtime.http.forms import Form, expected_of, form_of, is_whole, request_form, request_forms
from nautilus.runtime.http.problems import HttpError

Answer: TypeAlias = "Awaitable[Message] | concurrent.futures.Future[Message]"
Ask = Callable[..., Answer]
"""Hands a request to an engine's handler: (engine, message), and the trace id where the request brought one. Called in
the HTTP thread; the future may be completed in any other."""

PATH_FIELD = re.compile(r"\{(\w+)\}")
_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]*)`")
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,30}")
_ENCODER = msgspec.json.Encoder()


class OperationHandler:
    """Answers requests to one operation of an engine.

    Parameters
    ----------
    engine
        Its name.
    operation
        As the engine declares it.
    ask
        The way to its request handler.
    answer_seconds
        Until the answer has to be there.
    latency
        Takes nanoseconds from request to answer, or to the error in its place, of what was handed to the engine.
    """

    def __init__(
        self,
        engine: str,
        operation: Operation,
        ask: Ask,
        answer_seconds: float = 10.0,
        latency: Histogram | None = None,
    ) -> None:
        self._engine = engine
        self._ask = ask
        self._answer_seconds = answer_seconds
        self._latency = Histogram() if latency is None else latency  # an empty one is false
        self._form = request_form(operation.request)
        self._fields = request_forms(operation.request)
        leave = form_of(operation.reply).leave
        assert leave is not None
        self._leave = leave

    async def __call__(self, request: Request) -> Response:
        started_ns = monotonic_ns()
        message = self._message(request)
        try:
            trace = request.given_trace
            answer = self._ask(self._engine, message, trace) if trace else self._ask(self._engine, message)
            if isinstance(answer, concurrent.futures.Future):
                reply = await _followed(answer, self._answer_seconds)
            else:
                reply = await asyncio.wait_for(answer, self._answer_seconds)
            return Response(_ENCODER.encode(self._leave(reply)))
        except TimeoutError:
            raise self._unknown(f"no answer within {self._answer_seconds:g} s") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                raise  # the host gave it back
            raise self._unknown("no answer before the end of the process") from None
        finally:
            self._latency.record(monotonic_ns() - started_ns)

    def _unknown(self, what: str) -> HttpError:
        return HttpError(504, "http.timeout", f"{what}; whether it was carried out is not known", where=self._engine)

    def _message(self, request: Request) -> Any:
        values: dict[str, Any] = {}
        for name, text in request.path_values.items():
            values[name] = self._from_text(name, [text], "path")
        texts: dict[str, list[str]] = {}
        for name, text in request.query:
            texts.setdefault(name, []).append(text)
        for name, found in texts.items():
            self._once(name, values)
            values[name] = self._from_text(name, found, "query")
        body = request.body
        if body is not NO_BODY:
            if not isinstance(body, dict):
                raise HttpError(422, "http.fields", "the body is no object", where="body", expected="an object")
            for name in values:
                self._once(name, body)
            values.update(body)
        assert self._form.enter is not None
        try:
            return self._form.enter(msgspec.convert(values, self._form.type))
        except msgspec.ValidationError as error:
            raise self._refusal(str(error)) from None

    def _from_text(self, name: str, texts: list[str], where: str) -> Any:
        form = self._fields.get(name)
        if form is None:
            raise HttpError(
                422,
                "http.fields",
                f"unknown field {shortened(repr(name))}",
                where=where,
                expected=", ".join(self._fields),
            )
        many = get_origin(form.type) in (tuple, list, set, frozenset)
        if len(texts) > 1 and not many:
            raise HttpError(422, "http.fields", f"field {name!r} is given twice", where=where, expected="it once")
        if is_whole(form.type):
            return self._whole(name, form, texts if many else texts[0])
        try:
            # To plain values: what is decoded in the end is the whole message, from text and body together.
            return msgspec.to_builtins(msgspec.convert(texts if many else texts[0], form.type, strict=False))
        except msgspec.ValidationError as error:
            raise self._refusal(f"{error} - at `$.{name}`") from None

    @staticmethod
    def _whole(name: str, form: Form, given: str | list[str]) -> Any:
        """Whole numbers as JSON writes them: converting would take 1e3 and 1.0 for some too."""
        for text in given if isinstance(given, list) else [given]:
            if not _WHOLE.fullmatch(text):
                raise HttpError(
                    422,
                    "http.fields",
                    f"expected `int`, got {shortened(repr(text))}",
                    where=name,
                    expected=expected_of(form),
                )
        return [int(text) for text in given] if isinstance(given, list) else int(given)

    @staticmethod
    def _once(name: str, others: dict[str, Any]) -> None:
        if name in others:
            raise HttpError(422, "http.fields", f"field {name!r} is given twice", where=name, expected="it once")

    def _refusal(self, text: str) -> HttpError:
        place = _PLACE.search(text)
        where = place[1] if place else ""
        missing = _MISSING.search(text)
        if missing:
            where = f"{where}.{missing[1]}".lstrip(".")
        form = self._fields.get(re.split(r"[.\[]", where)[0])
        expected = expected_of(form) if form else ""
        if not expected and "unknown field" in text:
            expected = ", ".join(self._fields)
        what = shortened(_PLACE.sub("", text))
        return HttpError(422, "http.fields", what[:1].lower() + what[1:], where=where or "body", expected=expected)


def _followed(source: concurrent.futures.Future[Message], most_seconds: float) -> asyncio.Future[Message]:
    """A future of this loop that takes over what comes of one of another thread; TimeoutError if that takes too long.

    Unlike `asyncio.wrap_future` it leaves the other alone when nobody waits any more: its owner completes it still.
    """
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[Message] = loop.create_future()

    def expire() -> None:
        if not waiter.done():
            waiter.set_exception(TimeoutError())

    timer = loop.call_later(most_seconds, expire)

    def settle() -> None:
        timer.cancel()
        if waiter.done():
            return
        try:
            waiter.set_result(source.result(0))
        except concurrent.futures.CancelledError:
            waiter.cancel()
        except Exception as error:
            waiter.set_exception(error)

    def done(_: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be told
            loop.call_soon_threadsafe(settle)

    source.add_done_callback(done)
    return waiter
