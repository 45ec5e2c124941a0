"""What shields an engine: a breaker for each operation, one limit for all of them, time-outs, tracking, fallbacks.

::

    request ─▶ limit: is there room for its priority? ─▶ breaker: does the operation work? ─▶ handler
                   │ no: 503 limit.shed                      │ no: 503 breaker.open            │ no answer within its
                   └──────────────── fallback, where the operation declares one ◀──────────────┘ budget: 504, unknown

One `Guard` for each operation stands before it, whether the request comes over HTTP or from another engine. What a
sender gets wrong (`ModelError`) is no failure of the engine. What is declared exempt - cancels, the kill switch - is
counted and never refused; market data and reports are no requests, so nothing here sees them.

A handler is a plain function, so a time-out cannot stop it: its caller is told in time that nobody knows what became of
the request, and the answer that comes later is dropped.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from nautilus.core.breaker import CANCELLED, FAILURE, IGNORED, OVERLOADED, STATES, SUCCESS, TIMEOUT, Breaker, Breakers
from nautilus.core.breaker import OUTCOMES as OUTCOME_NAMES
from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.core.limiter import DROPPED, LEFT_OUT, SAMPLED, Limiter, Limiters, LimiterSettings
from nautilus.engines.base import Operation, fallback_of
from nautilus.model.commands import CancelOrder, KillSwitch, MassCancel
from nautilus.model.errors import BusError, ConfigError, ModelError
from nautilus.model.message import Message
from nautilus.policy.breaker import BreakerConfig, config_of, slow_alone
from nautilus.policy.shedding import SHARES_PERMILLE, index_of, time_out_ns
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.metrics import BreakerView, Meters
from nautilus.runtime.protection_config import ProtectionConfig, Thresholds

if TYPE_CHECKING:
    from nautilus.runtime.plan import Plan

_LOGGER = logging.getLogger("nautilus.runtime")

REST = "other"
"""Stands for requests that no operation declares; they come from other engines alone."""
NEVER_REFUSED: tuple[type[Message], ...] = (CancelOrder, MassCancel, KillSwitch)
MOST_WAITING = 10_000
"""Requests that find so many before them, or jobs before theirs, are refused, whatever a limit would let in."""
LAST_ANSWERS = 256
"""Kept of an operation whose fallback is the last answer."""
LAST_NS = 60 * NANOSECONDS
"""An older one is of no use."""
HIGHEST_NS = 60 * NANOSECONDS
CALM_SHARE = 0.5
"""Latencies below this part of the shortest time-out are no reason to shed."""
CALM_NS = 50_000_000
Answer = Callable[["Message | Exception"], None]
_WORST = ("closed", "disabled", "half-open", "open", "forced-open")
_HOW = {
    SUCCESS: SAMPLED,
    TIMEOUT: DROPPED,
    OVERLOADED: DROPPED,
    FAILURE: LEFT_OUT,
    CANCELLED: LEFT_OUT,
    IGNORED: SAMPLED,
}


class RefusedError(BusError):
    """The request has not been handed to the engine: it may be sent again.

    Attributes
    ----------
    retry_after_seconds : when another try makes sense.
    """

    retry_after_seconds: int = 1


class BreakerOpenError(RefusedError):
    """The operation has failed too often lately."""

    code = "breaker.open"


class ShedError(RefusedError):
    """There is too much to do for a request of this priority."""

    code = "limit.shed"


class FullError(ShedError):
    """More wait already than may."""

    code = "limit.queue"


class LateError(BusError):
    """It came to its turn too late to be answered in time: what took so long is the load, not the operation."""

    code = "limit.late"


class Guard:
    """Stands before one operation. A ticket is to be given back once, by `leave`.

    Parameters
    ----------
    engine, name
        Of the operation: ``GET /positions``.
    operation
        As the engine declares it; None: it stands for all that is not declared.
    breaker, limiter
        Of this operation; of the whole engine.
    latency
        Takes nanoseconds from request to answer.
    time_out_seconds
        Until an answer has to be there, where the operation has no budget.
    stretch
        Of budgets.
    """

    __slots__ = (
        "_breaker",
        "_budget_of",
        "_counters",
        "_counts",
        "_engine",
        "_fallbacks",
        "_last",
        "_limiter",
        "_refused",
        "_shed",
        "_stretch",
        "_time_out_ns",
        "_waits",
        "budget_seconds",
        "exempt",
        "fallback_name",
        "latency",
        "name",
        "priority",
        "seen",
    )

    def __init__(
        self,
        engine: str,
        name: str,
        operation: Operation | None,
        breaker: Breaker,
        limiter: Limiter,
        latency: Histogram,
        counters: Counters,
        time_out_seconds: float,
        stretch: float = 1.0,
    ) -> None:
        budget_ms = operation.budget_ms if operation else 0.0
        self.name = name
        self.exempt = operation is not None and operation.exempt
        self._waits = operation is not None and operation.waits
        self.budget_seconds = time_out_ns(budget_ms, stretch) / NANOSECONDS if budget_ms else time_out_seconds
        """Within which the answer has to be there: a little under the budget; `seconds_for` has that of one request."""
        self.priority = index_of(operation.priority if operation else "normal")
        """Its own, 0 (critical) to 3 (low)."""
        self.fallback_name = fallback_of(operation) if operation else "error"
        self.latency = latency
        self.seen = breaker.last_change
        self._engine = engine
        self._breaker = breaker
        self._limiter = limiter
        self._time_out_ns = round(self.budget_seconds * NANOSECONDS)
        self._budget_of = operation.budget_of if operation else None
        self._stretch = stretch
        self._last: OrderedDict[Message, tuple[Message, int]] | None = (
            OrderedDict() if self.fallback_name == "last" else None
        )
        head = f"operation.{engine}.{name}."
        self._counters = counters
        self._counts = [counters.counter(head + each) for each in OUTCOME_NAMES]
        self._refused = counters.counter(f"{head}refused")
        self._shed = counters.counter(f"{head}shed")
        self._fallbacks = counters.counter(f"{head}fallbacks")

    @property
    def breaker(self) -> Breaker:
        """Its breaker."""
        return self._breaker

    def seconds_for(self, message: Message) -> float:
        """Within which the answer to a request has to be there; `budget_seconds`, where all have the same."""
        if self._budget_of is None:
            return self.budget_seconds
        return time_out_ns(self._budget_of(message), self._stretch) / NANOSECONDS

    def enter(self, now_ns: int, priority: int = -1, *, exempt: bool = False) -> int:
        """Ask to hand a request to the engine; a ticket.

        Parameters
        ----------
        priority
            Of this request; below 0: the operation's own.
        exempt
            It is one that is never refused.

        Raises
        ------
        RefusedError
            It may not be; `fallback` may know an answer.
        """
        if self._waits:
            return 0
        exempt = exempt or self.exempt
        if exempt:
            priority = 0
        elif priority < 0:
            priority = self.priority
        place = self._limiter.acquire(priority, now_ns)
        if place < 0 and not exempt:
            self._counters.increment(self._shed)
            raise ShedError(f"too much to do for {self.name}", where=self._engine, expected="less at once")
        ticket = self._breaker.acquire(now_ns)
        if ticket < 0 and not exempt and not (priority == 0 and slow_alone(self._breaker, now_ns)):
            if place >= 0:
                self._limiter.release(place, now_ns, LEFT_OUT)
            self._counters.increment(self._refused)
            raise self._open(now_ns)
        # Both in one number; what was not given is 0 in it.
        return (max(ticket, -1) + 1) << 64 | (max(place, -1) + 1)

    def leave(self, ticket: int, now_ns: int, outcome: int) -> None:
        """Give a ticket back: `SUCCESS`, `FAILURE`, `TIMEOUT`, `CANCELLED`, `IGNORED` or `OVERLOADED`."""
        self._counters.increment(self._counts[outcome])
        held, place = (ticket >> 64) - 1, (ticket & 0xFFFFFFFFFFFFFFFF) - 1
        if held >= 0:
            # What the load did says nothing of the operation: those who go first would find its breaker open.
            self._breaker.release(held, now_ns, IGNORED if outcome == OVERLOADED else outcome)
        if place >= 0:
            self._limiter.release(place, now_ns, _HOW[outcome])

    def answering(self, ticket: int, answer: Answer, message: Message | None = None) -> Answer:
        """`answer` for a request of another engine: it gives the ticket back as well."""
        began_ns = monotonic_ns()
        most_ns = self._time_out_ns
        if message is not None and self._budget_of is not None:
            most_ns = round(self.seconds_for(message) * NANOSECONDS)

        def answered(result: Message | Exception) -> None:
            now_ns = monotonic_ns()
            outcome = outcome_of(result)
            # Its sender has its own deadline; that it was late shows here.
            late = outcome == SUCCESS and now_ns - began_ns > most_ns
            self.latency.record(now_ns - began_ns)
            self.leave(ticket, now_ns, TIMEOUT if late else outcome)
            answer(result)

        return answered

    def remember(self, message: Message, reply: Message) -> None:
        """An answer that a later one may fall back to."""
        last = self._last
        if last is None:
            return
        try:
            last[message] = reply, monotonic_ns()
            last.move_to_end(message)
        except TypeError:  # a question with a list in it
            return
        if len(last) > LAST_ANSWERS:
            last.popitem(last=False)

    def fallback(self, message: Message, error: Exception) -> Message | None:
        """What stands in for an answer, as the engine declares it; None: the error does."""
        if self._last is None or isinstance(error, ModelError):
            return None
        try:
            found = self._last.get(message)
        except TypeError:
            return None
        if found is None or monotonic_ns() - found[1] > LAST_NS:
            return None
        self._counters.increment(self._fallbacks)
        return found[0]

    def _open(self, now_ns: int) -> RefusedError:
        wait_ns = self._breaker.wait_ns(now_ns)
        error = BreakerOpenError(
            f"{self.name} has failed too often", where=self._engine, expected=f"another try in {wait_ns / 1e9:.1f} s"
        )
        error.retry_after_seconds = max(1, -(-(wait_ns - 1_000_000) // NANOSECONDS))
        return error


def outcome_of(result: object) -> int:
    """What the end of a request says of the engine."""
    if not isinstance(result, BaseException):
        return SUCCESS
    if isinstance(result, TimeoutError):
        return TIMEOUT
    if not isinstance(result, Exception):
        return CANCELLED
    if isinstance(result, LateError):
        return OVERLOADED
    if getattr(result, "code", "") in ("bus.unanswered", "bus.unknown", "http.timeout"):
        return TIMEOUT
    # What an engine refuses by itself, with its reason, it has not failed at: it says so as long as the reason holds.
    if isinstance(result, ModelError | ConfigError | BusError) or getattr(result, "status", 500) < 500:
        return IGNORED
    return FAILURE


class EngineProtection:
    """The guards of one engine.

    Parameters
    ----------
    engine, operations
        As it declares them.
    breakers, limiters
        Tables of its process.
    latency
        A histogram for an operation's name.
    """

    integrated = True

    def __init__(
        self,
        engine: str,
        operations: Sequence[Operation],
        config: ProtectionConfig,
        counters: Counters,
        breakers: Breakers,
        limiters: Limiters,
        latency: Callable[[str], Histogram],
        answer_seconds: float = 10.0,
        thresholds: Thresholds | None = None,
    ) -> None:
        self.engine = engine
        breaker_config: BreakerConfig = config_of(
            engine, (thresholds or Thresholds()).of(engine) | config.breaker.get(engine, {})
        )
        wait_seconds = min(breaker_config.call_seconds * config.stretch or answer_seconds, answer_seconds)
        budgets = [each.budget_ms for each in operations if each.budget_ms]
        calm_ns = min([CALM_NS, *(round(time_out_ns(each, config.stretch) * CALM_SHARE) for each in budgets)])
        self.limiter = limiters.limiter(
            engine,
            LimiterSettings(least=8, first=64, target_ns=calm_ns, shares=tuple(SHARES_PERMILLE.values())),  # type: ignore[arg-type]
        )
        self.declared = tuple(f"{each.method} {each.path}" for each in operations)
        self.guards: dict[str, Guard] = {}
        self._of_type: dict[type[Message], Guard] = {}
        self._counters = counters
        self._changes: dict[tuple[str, str, str], int] = {}
        self._worst = counters.gauge(f"engine.{engine}.breaker")
        for operation in (*operations, None):
            name = f"{operation.method} {operation.path}" if operation else REST
            breaker = breakers.breaker(f"{engine} {name}", breaker_config.settings())
            if breaker.state(monotonic_ns()) in ("open", "half-open"):
                breaker.reset()  # of an earlier life: this one has not failed yet
            guard = self.guards[name] = Guard(
                engine,
                name,
                operation,
                breaker,
                self.limiter,
                latency(name),
                counters,
                wait_seconds,
                config.stretch,
            )
            if operation is not None:
                self._of_type.setdefault(operation.request, guard)
        self.look()

    def guard_of(self, kind: type[Message]) -> Guard:
        """That of requests of a type."""
        return self._of_type.get(kind) or self.guards[REST]

    def enter(self, message: Message, answer: Answer) -> Answer | None:
        """Let in a request of another engine: what is to be called with its answer; None: it was answered, refused."""
        guard = self.guard_of(type(message))
        try:
            ticket = guard.enter(monotonic_ns(), exempt=isinstance(message, NEVER_REFUSED))
        except RefusedError as error:
            answer(error)
            return None
        return guard.answering(ticket, answer, message)

    def breaker(self) -> BreakerView:
        """The worst state of its breakers, and failures in a row of all of them."""
        now_ns = monotonic_ns()
        found = {guard.name: guard.breaker.metrics(now_ns) for guard in self.guards.values()}
        worst = max((each.state for each in found.values()), key=_WORST.index)
        return BreakerView(
            worst,
            sum(each.consecutive_failures for each in found.values()),
            {name: each.state for name, each in found.items()},
        )

    def look(self) -> None:
        """Log what has changed since the last look, count it by cause, and show the worst state to other processes."""
        now_ns = monotonic_ns()
        worst = 0
        for guard in self.guards.values():
            breaker = guard.breaker
            worst = max(worst, _WORST.index(breaker.state(now_ns)))
            for change in breaker.changes(guard.seen):
                guard.seen = change.number
                key = guard.name, change.after, change.cause
                self._changes[key] = self._changes.get(key, 0) + 1
                level = logging.WARNING if change.after in ("open", "forced-open") else logging.INFO
                fields = {"engine": self.engine, "operation": guard.name, "cause": change.cause, "state": change.after}
                _LOGGER.log(
                    level,
                    "breaker of %s, %s: %s (%s)",
                    self.engine,
                    guard.name,
                    change.after,
                    change.cause,
                    extra={"fields": fields},
                )
        self._counters.set(self._worst, STATES.index(_WORST[worst]))

    def meters(self) -> Meters:
        """For the metrics."""
        found = self.limiter.metrics()
        return Meters(
            states=self.breaker().operations,
            changes=dict(self._changes),
            limit=found.limit,
            under_way=found.under_way,
            shed=dict(zip(SHARES_PERMILLE, found.shed, strict=True)),
        )


def protect(
    plan: Plan, process: str, engines: Iterable[tuple[str, Sequence[Operation]]], counters: Counters
) -> Mapping[str, EngineProtection]:
    """The protection of each engine of a process; none where it is off, or cannot be had (the log says why)."""
    config = plan.config("protection", ProtectionConfig)
    if not config.enabled:
        _LOGGER.info("engines run plain, as protection.enabled says")
        return {}
    try:
        known = list(engines)
        count = sum(len(operations) + 1 for _, operations in known)
        breakers = Breakers(max(count, 1), f"{plan.shared}/breakers.{process}")
        limiters = Limiters(max(len(known), 1), f"{plan.shared}/limits.{process}")
        answer_seconds = plan.config("http", HttpConfig).answer_seconds
        thresholds = plan.config("gateway", Thresholds)

        def latency(engine: str) -> Callable[[str], Histogram]:
            return lambda name: Histogram(HIGHEST_NS, f"{plan.shared}/latency.{process}.{engine}.{_file_name(name)}")

        return {
            engine: EngineProtection(
                engine, operations, config, counters, breakers, limiters, latency(engine), answer_seconds, thresholds
            )
            for engine, operations in known
        }
    except Exception as error:
        _LOGGER.error("engines run plain, as their protection could not be loaded: %s", error, exc_info=error)
        return {}


def _file_name(operation: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", operation).strip("_")


__all__ = [
    "MOST_WAITING",
    "NEVER_REFUSED",
    "BreakerOpenError",
    "EngineProtection",
    "FullError",
    "Guard",
    "LateError",
    "RefusedError",
    "ShedError",
    "outcome_of",
    "protect",
]
