"""Declared operations: HTTP requests to messages, and replies back. Handlers never see HTTP.

A request's fields come from the path, the query and the JSON body by name; of the first two the text is converted to
the field's type. What is unknown, missing, given twice or of another type is refused; whole numbers are written the
same way everywhere, without point and exponent.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec

from nautilus.core.breaker import CANCELLED, FAILURE, IGNORED, SUCCESS
from nautilus.core.histogram import Histogram
from nautilus.engines.base import Operation
from nautilus.model.document import Document
from nautilus.model.message import Message
from nautilus.policy.keys import Principal
from nautilus.policy.shedding import asked_for, index_of
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
from nautilus.runtime.http.access import AccessRules
from nautilus.runtime.http.exchange import PAGE_POLICY, Exchange, Response, stopping
from nautilus.runtime.http.fields import FieldReader
from nautilus.runtime.http.forms import form_of
from nautilus.runtime.http.problems import HttpError, as_http_error
from nautilus.runtime.http.request import Done, Request
from nautilus.runtime.http.returns import Returns
from nautilus.runtime.protection import LateError, RefusedError, ShedError, outcome_of
from nautilus.runtime.wire import Encoded

Told = Callable[["Message | Exception"], None]
"""Takes the reply, or why there is none."""


class Question(Protocol):
    """A request on its way to a handler.

    Attributes
    ----------
    begun_ns : when its turn came; 0: not yet.
    """

    @property
    def begun_ns(self) -> int:
        """On the machine's clock."""
        ...

    def withdraw(self) -> bool:
        """Take it back, where others have had their turn meanwhile and it has not; then `told` is never called."""
        ...


Ask = Callable[[str, Message, int, Told, int], "Question | None"]
"""Hands a request to an engine's handler: (engine, message, trace id or 0, told, priority). Called in the HTTP thread;
`told` may be called in any other, once. None: it cannot be taken back."""

Glance = Callable[[Message], "Encoded | None"]
"""An answer that is known at once, in the thread of HTTP; None: the engine is to be asked."""
FALLBACK = ((b"nautilus-fallback", b"last"), (b"warning", b'110 - "Response is Stale"'))
"""Headers of an answer that is an earlier one."""
PATH_FIELD = re.compile(r"\{(\w+)\}")
PRIORITY = b"nautilus-priority"
WAITED_SHARE = 0.5
"""Of its time: who waits longer for a turn, and is not answered in time, is late because of the load."""
_ENCODER = msgspec.json.Encoder()


class Guard(Protocol):
    """What stands in front of an operation: breaker, limits, time (`nautilus.runtime.protection`).

    Attributes
    ----------
    budget_seconds : until the answer has to be there, a little under the operation's own budget; 0: as the port waits.
    """

    budget_seconds: float

    def seconds_for(self, message: Message, /) -> float:
        """The same for one request, which may have less or more."""
        ...

    def enter(self, now_ns: int, priority: int, /) -> int:
        """A ticket. Raises HttpError or RefusedError where it is not let in."""
        ...

    def leave(self, ticket: int, now_ns: int, outcome: int, /) -> None:
        """It came to that (`nautilus.core.breaker`)."""
        ...

    def remember(self, message: Message, reply: Message, /) -> None:
        """An answer that one to the same question may fall back to."""
        ...

    def fallback(self, message: Message, error: Exception, /) -> Message | None:
        """What is answered instead of an error; None: the error is told."""
        ...


class _Pending:
    """A request that an engine has and has not answered."""

    __slots__ = ("_done", "_handler", "lane", "message", "question", "started_ns", "ticket")

    def __init__(
        self, handler: OperationHandler, lane: _Lane, done: Done, message: Message, started_ns: int, ticket: int
    ) -> None:
        self._handler = handler
        self.lane = lane
        self.message = message
        self._done: Done | None = done
        self.started_ns = started_ns
        self.ticket = ticket
        self.question: Question | None = None

    def settle(self, result: Message | Exception) -> None:
        """Answer, once."""
        done, self._done = self._done, None
        if done is not None:
            self._handler.settle(self, result, done)


class _Lane:
    """Requests that have the same time, in the order in which they came: the first is the first to be late."""

    __slots__ = ("_late", "_timer", "open", "seconds")

    def __init__(self, seconds: float, late: Callable[[_Pending], None]) -> None:
        self.seconds = seconds
        self.open: dict[_Pending, None] = {}
        self._late = late
        self._timer: asyncio.TimerHandle | None = None

    def add(self, pending: _Pending) -> None:
        """It begins."""
        self.open[pending] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.seconds, self.expire)

    def expire(self) -> None:
        """Give up those whose time has passed, and look again when the next one's has."""
        now_ns = monotonic_ns()
        most_ns = int(self.seconds * NANOSECONDS)
        late = []
        for pending in self.open:
            if now_ns - pending.started_ns < most_ns:
                break
            late.append(pending)
        self._timer = None
        for pending in late:
            self._late(pending)
        if self.open and self._timer is None:
            left_ns = most_ns - (now_ns - next(iter(self.open)).started_ns)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(left_ns, 1_000_000) / NANOSECONDS, self.expire)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()


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
    guard
        Stands in front of it; None: nothing does.
    returns
        The way back to the thread that asks.
    failed
        Called where the answer is an error of status 500 or more.
    check
        Raises HttpError where who asks may not do what takes a scope, see `Operation.scopes`; None: it counts nothing.
    glance
        Knows some answers without the engine; None: nobody does.
    """

    def __init__(
        self,
        engine: str,
        operation: Operation,
        ask: Ask,
        answer_seconds: float = 10.0,
        latency: Histogram | None = None,
        *,
        guard: Guard | None = None,
        returns: Returns | None = None,
        failed: Callable[[], object] = lambda: None,
        check: Callable[[Principal, str], None] | None = None,
        glance: Glance | None = None,
    ) -> None:
        self._engine = engine
        self._ask = ask
        self._most_seconds = answer_seconds
        self._latency = Histogram() if latency is None else latency  # an empty one is false
        self._guard = guard
        own_seconds = answer_seconds
        if guard is not None and guard.budget_seconds:
            own_seconds = min(answer_seconds, guard.budget_seconds)
        self._returns = returns or Returns()
        self._failed = failed
        self._check = check or AccessRules().check_scope
        self._scopes = operation.scopes
        self._glance = glance
        self._budget_of = None if guard is None or operation.budget_of is None else guard.seconds_for
        self._lane = _Lane(own_seconds, self._expire)
        self._lanes = {own_seconds: self._lane}
        self._read = FieldReader(operation.request).read
        leave = form_of(operation.reply).leave
        assert leave is not None
        self._leave = leave
        self._priority = index_of(operation.priority)
        self._exempt = operation.exempt

    def begin(self, request: Request, done: Done) -> None:
        """Have the engine asked; `done` is called once, in this thread. Raises HttpError where it cannot be."""
        message = self._read(request)
        for field, value, scope in self._scopes:
            if getattr(message, field) == value:
                self._check(request.exchange.principal, scope)
        # Not when the head was there: how long its sender took for the body says nothing of the engine.
        started_ns = monotonic_ns()
        if self._glance is not None:
            kept = self._glance(message)
            if kept is not None:
                now_ns = monotonic_ns()
                self._latency.record(now_ns - started_ns)
                if self._guard is not None:
                    self._guard.leave(0, now_ns, SUCCESS)
                done(Response(kept.body, headers=kept.headers))
                return
        ticket = 0
        priority = self._priority_of(request.exchange)
        guard = self._guard
        if guard is not None:
            try:
                ticket = guard.enter(started_ns, priority)
            except (HttpError, RefusedError) as error:
                instead = guard.fallback(message, error)
                if instead is None:
                    raise
                done(self._response(instead, FALLBACK))
                return
        self._returns.bind()
        lane = self._lane if self._budget_of is None else self._lane_for(self._budget_of(message))
        pending = _Pending(self, lane, done, message, started_ns, ticket)
        lane.add(pending)
        try:
            told = partial(self._returns.put, pending)
            pending.question = self._ask(self._engine, message, request.given_trace, told, priority)
        except Exception as error:
            pending.settle(error)

    def _priority_of(self, exchange: Exchange) -> int:
        """Its own, or the one that is asked for; a word that is no priority asks for nothing."""
        for name, value in exchange.headers:
            if name == PRIORITY:
                may_rise = "admin" in exchange.principal.scopes
                with contextlib.suppress(KeyError):
                    return asked_for(self._priority, value.decode("latin-1"), may_rise=may_rise)
        return self._priority

    def settle(self, pending: _Pending, result: Message | Exception, done: Done) -> None:
        """What came of a request."""
        del pending.lane.open[pending]
        outcome = SUCCESS
        if isinstance(result, BaseException):
            answer, outcome = self._of_error(pending, result)
        else:
            try:
                if type(result) is Encoded:
                    answer = Response(result.body, headers=result.headers)
                else:
                    answer = self._response(result)
                if self._guard is not None:
                    self._guard.remember(pending.message, result)
            except Exception as error:
                answer, outcome = error, FAILURE
        if isinstance(answer, Exception) and as_http_error(answer).status >= 500:
            self._failed()
        now_ns = monotonic_ns()
        self._latency.record(now_ns - pending.started_ns)
        if self._guard is not None:
            self._guard.leave(pending.ticket, now_ns, outcome)
        done(answer)

    def _of_error(self, pending: _Pending, error: Exception | BaseException) -> tuple[Response | Exception, int]:
        """The answer in place of a reply, and what that means to the guard."""
        if not isinstance(error, Exception):
            return stopping(), CANCELLED  # the host gave it back
        told = as_http_error(error)
        if told.status < 500:
            return error, IGNORED  # its sender's mistake says nothing of the engine
        instead = None if self._guard is None else self._guard.fallback(pending.message, error)
        if instead is None:
            return error, outcome_of(error)
        return self._response(instead, FALLBACK), outcome_of(error)

    def _response(self, reply: Message, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Response:
        if type(reply) is Document:
            policy = (b"content-security-policy", PAGE_POLICY.encode())
            return Response(reply.text.encode(), content_type=reply.content_type, headers=(*headers, policy))
        return Response(_ENCODER.encode(self._leave(reply)), headers=headers)

    def give_up(self) -> None:
        """Wait no longer: nobody knows what becomes of what an engine has."""
        for lane in self._lanes.values():
            for pending in list(lane.open):
                pending.settle(self._unknown("no answer before the end of the process"))
            lane.close()

    def _lane_for(self, seconds: float) -> _Lane:
        """Of requests that have so long."""
        seconds = min(seconds, self._most_seconds)
        lane = self._lanes.get(seconds)
        if lane is None:
            lane = self._lanes[seconds] = _Lane(seconds, self._expire)
        return lane

    def _expire(self, pending: _Pending) -> None:
        if not self._shed(pending):
            pending.settle(self._unknown(f"no answer within {pending.lane.seconds:g} s"))

    def _shed(self, pending: _Pending) -> bool:
        """Whether its time has passed because of others that were served before it: no fault of the operation."""
        question = pending.question
        if question is None or self._exempt:
            return False
        if question.withdraw():
            error: RefusedError | LateError = ShedError("its turn did not come in time", where=self._engine)
        elif question.begun_ns - pending.started_ns > pending.lane.seconds * NANOSECONDS * WAITED_SHARE:
            error = LateError("its turn came too late; whether it was carried out is not known", where=self._engine)
        else:
            return False
        pending.settle(error)
        return True

    def _unknown(self, what: str) -> HttpError:
        return HttpError(504, "http.timeout", f"{what}; whether it was carried out is not known", where=self._engine)
