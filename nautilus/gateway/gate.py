"""What stands before an engine: a limit on what is under way at once, shed by priority, and its circuit breaker.

Cancels and the kill switch pass by both, critical requests by a breaker that slow calls alone have opened. A safe
request to an engine that is away, or has just come back, passes by an open breaker: it waits for the engine's return,
and nothing is sent before that.
"""

from __future__ import annotations

from nautilus.core.breaker import CANCELLED, FAILURE, IGNORED, OUTCOMES, OVERLOADED, REASONS, SUCCESS, TIMEOUT, Breaker
from nautilus.core.counters import Counters
from nautilus.core.limiter import DROPPED, FAILED, LEFT_OUT, SAMPLED, Limiter
from nautilus.core.proxy_lane import Aimed, GateBase
from nautilus.policy.breaker import slow_alone
from nautilus.policy.shedding import PRIORITIES
from nautilus.runtime.http.problems import RETRY, HttpError

_HOW = {
    SUCCESS: SAMPLED,
    FAILURE: FAILED,
    TIMEOUT: DROPPED,
    OVERLOADED: DROPPED,
    CANCELLED: LEFT_OUT,
    IGNORED: LEFT_OUT,
}


class Gate(GateBase):
    """Of one engine.

    Parameters
    ----------
    name
        Of the engine.
    breaker, limiter
        None: there is none.
    """

    __slots__ = ("_counters", "_name", "_open", "_shed")

    def __init__(self, name: str, breaker: Breaker | None, limiter: Limiter | None, counters: Counters) -> None:
        super().__init__([_HOW.get(outcome, LEFT_OUT) for outcome in range(len(OUTCOMES))])
        self._name = name
        self.breaker = breaker
        self.limiter = limiter
        self._counters = counters
        self._shed = [counters.counter(f"gateway.shed.{priority}") for priority in PRIORITIES]
        self._open = counters.counter(f"gateway.engine.{name}.breaker_open")

    def wait(self, call: Aimed, now_ns: int) -> None:
        """It waits for an instance: what it takes says nothing about the engine, and it takes no room."""
        if call.limit_ticket >= 0 and self.limiter is not None:
            self.limiter.release(call.limit_ticket, now_ns, LEFT_OUT)
            call.limit_ticket = -1

    def returned(self, now_ns: int) -> None:
        """The engine takes connections again: what opened the breaker is over."""
        if self.breaker is not None and self.breaker.state(now_ns) == "open":
            self.breaker.reset(now_ns)

    def _is_slow(self, now_ns: int) -> bool:
        """It is slow calls alone that the breaker is open for: what is critical passes by it."""
        return self.breaker is not None and slow_alone(self.breaker, now_ns)

    def _is_full(self, priority: int) -> HttpError:
        self._counters.increment(self._shed[priority])
        return HttpError(
            503,
            "limit.shed",
            f"{self._name} has as much to do as it can; priority {PRIORITIES[priority]} waits",
            where=self._name,
            headers=RETRY,
        )

    def _is_open(self, reason: int, now_ns: int) -> HttpError:
        assert self.breaker is not None
        self._counters.increment(self._open)
        seconds = max(1, -(-self.breaker.wait_ns(now_ns) // 1_000_000_000))
        return HttpError(
            503,
            "breaker.open",
            f"the breaker before {self._name} lets nothing through: {REASONS[reason]}",
            where=self._name,
            headers=((b"retry-after", b"%d" % seconds),),
        )
