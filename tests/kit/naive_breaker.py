"""A circuit breaker as simple as it can be said: the twin of `nautilus.core.breaker` for one caller at a time."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from nautilus.core.breaker import (
    BULKHEAD_FULL,
    CANCELLED,
    FAILURE,
    FORCED_OPEN,
    GONE,
    HALF_OPEN_FULL,
    IGNORED,
    OPEN,
    OVERLOADED,
    SUCCESS,
    TIMEOUT,
    BreakerSettings,
)


class Ticket(NamedTuple):
    """What `NaiveBreaker.acquire` gives: `kind` is slot, probe or free; `number` that of the period."""

    kind: str
    number: int
    start_ns: int
    serial: int


class NaiveBreaker:
    """One caller at a time."""

    def __init__(self, settings: BreakerSettings) -> None:
        self.settings = settings
        self.state = "closed"
        self.until = 0
        self.number = 0
        self.causes: list[str] = []
        self.strikes = 0
        self.consecutive = 0
        self.last: deque[tuple[bool, bool]] = deque(maxlen=settings.window_calls)
        self.timed: list[tuple[int, bool, bool]] = []
        self.slots: set[Ticket] = set()
        self.probes: dict[Ticket, str] = {}  # of any half-open period: held or good
        self.outcomes = [0] * 6
        self.calls = self.slow = self.late = 0
        self.rejected = [0] * 5
        self._serial = 0

    def _turn(self, state: str, cause: str) -> None:
        if state == "open" and self.state == "half-open":
            self.strikes += 1
        elif state == "closed":
            self.strikes = 0
        self.state = state
        self.number += 1
        self.causes.append(cause)
        self.consecutive = 0
        self.last.clear()
        self.timed.clear()
        if state == "half-open":
            self.probes.clear()

    def _open(self, cause: str, now_ns: int) -> None:
        wait = float(self.settings.recovery_ns)
        factor = self.settings.backoff_permille / 1000.0
        most = float(self.settings.most_recovery_ns)
        for _ in range(self.strikes + (self.state == "half-open")):
            if factor > 1.0 and wait < most:
                wait = min(wait * factor, most)
        self.until = (now_ns + int(wait) + (1 << 18) - 1) >> 18
        self._turn("open", cause)

    def _refuse(self, reason: int) -> int:
        self.rejected[reason] += 1
        return -reason

    def _ticket(self, kind: str, now_ns: int) -> Ticket:
        self._serial += 1
        return Ticket(kind, self.number, now_ns, self._serial)

    def acquire(self, now_ns: int) -> Ticket | int:
        """A ticket, or minus the reason."""
        if self.state == "open" and now_ns >> 18 >= self.until:
            self._turn("half-open", "recovery time")
        if self.state == "open":
            return self._refuse(OPEN)
        if self.state == "forced-open":
            return self._refuse(FORCED_OPEN)
        if self.state == "disabled":
            return self._ticket("free", now_ns)
        if self.state == "half-open":
            return self._probe(now_ns)
        if not self.settings.bulkhead:
            return self._ticket("free", now_ns)
        if len(self.slots) >= self.settings.bulkhead:
            return self._refuse(BULKHEAD_FULL)
        ticket = self._ticket("slot", now_ns)
        self.slots.add(ticket)
        return ticket

    def _probe(self, now_ns: int) -> Ticket | int:
        probes = {ticket: how for ticket, how in self.probes.items() if ticket.number == self.number}
        if len(probes) < max(self.settings.probes, self.settings.successes, 1):
            ticket = self._ticket("probe", now_ns)
            self.probes[ticket] = "held"
            return ticket
        probe_ns = self.settings.probe_ns
        lost = [
            ticket
            for ticket, how in probes.items()
            if how == "held" and probe_ns and ((now_ns >> 10) - (ticket.start_ns >> 10)) << 10 > probe_ns + (1 << 10)
        ]
        if not lost:
            return self._refuse(HALF_OPEN_FULL)
        # Which of several it is does not show but in which ticket is gone.
        self.probes.pop(self.place_last(lost))
        self.outcomes[TIMEOUT] += 1
        self.calls += 1
        self._open("probe timed out", now_ns)
        return self.acquire(now_ns)

    def place_last(self, lost: list[Ticket]) -> Ticket:
        """The one in the last place; set by the driver, who knows the places."""
        raise NotImplementedError

    def release(self, ticket: Ticket, now_ns: int, outcome: int) -> int:
        """0, or GONE."""
        settings = self.settings
        passed_ns = ((now_ns >> 4) - (ticket.start_ns >> 4)) << 4
        slow = settings.slow_ns > 0 and settings.slow_permille > 0 and passed_ns >= settings.slow_ns
        counts = outcome != IGNORED and (outcome != CANCELLED or slow or bool(settings.cancelled_fails))
        if ticket.kind == "probe" and self.probes.get(ticket) != "held":
            return GONE
        if ticket.kind == "slot":
            if ticket not in self.slots:
                return GONE
            self.slots.discard(ticket)
        good = outcome == SUCCESS and not slow
        if ticket.kind == "probe":
            if good:
                self.probes[ticket] = "good"
            else:
                del self.probes[ticket]
        self.outcomes[outcome] += 1
        if slow and outcome != IGNORED:
            self.slow += 1
        if not counts:
            return 0
        self.calls += 1
        if ticket.kind == "probe":
            self._judge_probe(ticket, now_ns, outcome, good)
        elif self.state == "closed" and ticket.number % 128 == self.number % 128:
            self._judge(now_ns, outcome, slow)
        elif self.state != "disabled":
            self.late += 1
        return 0

    def _judge_probe(self, ticket: Ticket, now_ns: int, outcome: int, good: bool) -> None:
        if self.state != "half-open" or ticket.number != self.number:
            self.late += 1
        elif not good:
            cause = {TIMEOUT: "probe timed out", SUCCESS: "probe was slow", CANCELLED: "probe was slow"}
            self._open(cause.get(outcome, "probe failed"), now_ns)
        else:
            done = [how for found, how in self.probes.items() if found.number == self.number and how == "good"]
            if len(done) >= max(self.settings.successes, 1):
                self._turn("closed", "probes succeeded")

    def _judge(self, now_ns: int, outcome: int, slow: bool) -> None:
        settings = self.settings
        failed = outcome in (FAILURE, TIMEOUT, OVERLOADED) or (outcome == CANCELLED and bool(settings.cancelled_fails))
        if outcome == SUCCESS:
            self.consecutive = 0
        elif failed and outcome != OVERLOADED:
            self.consecutive += 1
        self.last.append((failed, slow))
        tick = now_ns // (settings.window_ns // 16) if settings.window_ns else 0
        self.timed.append((tick, failed, slow))
        cause = ""
        if settings.failures and failed and outcome != OVERLOADED and self.consecutive >= settings.failures:
            cause = "consecutive failures"
        if not cause and settings.window_calls:
            cause = self._over(list(self.last), min(settings.least_calls, settings.window_calls))
        if not cause and settings.window_ns and (failed or slow):
            recent = [(bad, late) for at, bad, late in self.timed if tick - at < 16]
            cause = self._over(recent, settings.least_calls)
        if cause:
            self._open(cause, now_ns)

    def _over(self, calls: list[tuple[bool, bool]], least: int) -> str:
        if not calls or len(calls) < least:
            return ""
        for place, permille, cause in (
            (0, self.settings.failure_permille, "failure rate"),
            (1, self.settings.slow_permille, "slow-call rate"),
        ):
            if permille and sum(call[place] for call in calls) * 1000 >= permille * len(calls):
                return cause
        return ""

    def force(self, state: str) -> None:
        """By hand."""
        self._turn(state, {"forced-open": "forced", "disabled": "switched off", "closed": "reset"}[state])
