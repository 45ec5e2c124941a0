"""How an instance of an engine is: healthy, degraded or unhealthy, with hysteresis; and which instances stand out.

What is seen of an instance is one of four: GOOD; POOR: it answers, and is slow, loaded, failing requests or says itself
that it is degraded; BAD: no answer in time, an error, or it says that it is unhealthy; DOWN: nobody listens. How many
of them running lead from which state to which, `HealthSettings` says (in brackets its defaults)::

    HEALTHY ───── POOR (2), BAD (1) ────▶ DEGRADED ───── BAD (2), DOWN (1) ────▶ UNHEALTHY
       ▲◀─────────────── GOOD (3) ───────────┘ ▲◀─────────── POOR (2) ─────────────┘ ▲ │
       │────────────────────────── BAD (2), DOWN (1) ────────────────────────────────┘ │
       └◀────────────────────────────── GOOD (2) ──────────────────────────────────────┘

One BAD check alone never makes an instance unhealthy, and one GOOD check never makes it healthy again, unless another
process answers than before: what the old one did is not held against the new one.

Ejection is another matter: an instance that answers its checks and yet fails requests more than its siblings is taken
out for a while, longer each time, never more than a share of them. Pure: time is an argument, nothing is polled here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from nautilus.core import route
from nautilus.policy.forecast import median

__all__ = ["Check", "Ejections", "HealthSettings", "HealthState", "InstanceHealth", "Observation", "Seen", "Traffic"]

NANOS_PER_MS: Final = 1_000_000
NANOS_PER_SECOND: Final = 1_000_000_000


class HealthState(IntEnum):
    """Of an instance; the words of `nautilus.core.route`."""

    UNKNOWN = route.UNKNOWN
    HEALTHY = route.HEALTHY
    DEGRADED = route.DEGRADED
    UNHEALTHY = route.UNHEALTHY
    EJECTED = route.EJECTED


class Seen(IntEnum):
    """What one look at an instance showed."""

    GOOD = 0
    POOR = 1
    BAD = 2
    DOWN = 3


class HealthSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When an instance counts as what.

    Parameters
    ----------
    bad_checks, poor_checks
        Running, until it is unhealthy, degraded.
    good_checks, clear_checks
        Running, until an unhealthy one is taken up again, and until a degraded one is healthy.
    slow_ms
        A check that takes longer is POOR.
    load_percent
        A load above is POOR.
    poor_success_percent
        A success rate of requests below is POOR.
    eject_failures
        Failed requests running that take an instance out.
    eject_apart_percent
        How far the success rate of an instance lies below the median of its siblings when it is taken out.
    eject_slow_factor
        So many times the median p95 latency of its siblings takes it out.
    eject_least_requests
        In a period, before rate and latency are compared.
    eject_share_percent
        Of the instances of an engine, that may be out at once; with two or more of them, one always may.
    eject_seconds, eject_most_seconds
        Out for so long the first time, twice as long each time it comes again, at most.
    eject_forget_seconds
        Without ejection, after which one of the earlier ones is forgotten.
    """

    bad_checks: Annotated[int, Meta(ge=1, le=100)] = 2
    poor_checks: Annotated[int, Meta(ge=1, le=100)] = 2
    good_checks: Annotated[int, Meta(ge=1, le=100)] = 2
    clear_checks: Annotated[int, Meta(ge=1, le=100)] = 3
    slow_ms: Annotated[float, Meta(gt=0)] = 250.0
    load_percent: Annotated[float, Meta(gt=0)] = 90.0
    poor_success_percent: Annotated[float, Meta(ge=0, le=100)] = 95.0
    eject_failures: Annotated[int, Meta(ge=1)] = 5
    eject_apart_percent: Annotated[float, Meta(gt=0, le=100)] = 20.0
    eject_slow_factor: Annotated[float, Meta(gt=1)] = 5.0
    eject_least_requests: Annotated[int, Meta(ge=1)] = 20
    eject_share_percent: Annotated[float, Meta(ge=0, le=100)] = 34.0
    eject_seconds: Annotated[float, Meta(gt=0)] = 5.0
    eject_most_seconds: Annotated[float, Meta(gt=0)] = 300.0
    eject_forget_seconds: Annotated[float, Meta(gt=0)] = 60.0


class Check(msgspec.Struct, frozen=True):
    """One look at an instance, as it came out.

    Parameters
    ----------
    at_ns
        When it ended.
    latency_ns
        How long it took.
    seen
        What is clear from the answer alone; slow and loaded ones are told apart here.
    cause
        Why it is not GOOD, in a few words; "": it is.
    load_percent
        Load of the instance; -1: it is not known.
    uptime_seconds
        As the instance says; -1: it does not.
    instance
        Which life of it answered: another text, another process. "": it does not say.
    """

    at_ns: int
    latency_ns: int
    seen: Seen
    cause: str = ""
    load_percent: float = -1.0
    uptime_seconds: float = -1.0
    instance: str = ""


class Traffic(msgspec.Struct, frozen=True):
    """Requests to an instance in a period.

    Parameters
    ----------
    requests, failures
        That ended, and those of them that failed.
    running_failures
        Since the last that did not.
    p95_ns
        Of those that ended.
    """

    requests: int = 0
    failures: int = 0
    running_failures: int = 0
    p95_ns: int = 0


class Observation(msgspec.Struct, frozen=True):
    """What a look at an instance changed."""

    before: HealthState
    after: HealthState
    cause: str
    restarted: bool

    @property
    def changed(self) -> bool:
        """Whether it is another state."""
        return self.before != self.after


# {state: ((what is seen, how many running, next state) ...)}: the first that is met applies. A name stands for a
# setting. DOWN counts as BAD too.
_TABLE: Final[Mapping[HealthState, tuple[tuple[Seen, str, HealthState], ...]]] = {
    HealthState.UNKNOWN: (
        (Seen.DOWN, "one", HealthState.UNHEALTHY),
        (Seen.BAD, "one", HealthState.UNHEALTHY),
        (Seen.POOR, "one", HealthState.DEGRADED),
        (Seen.GOOD, "one", HealthState.HEALTHY),
    ),
    HealthState.HEALTHY: (
        (Seen.DOWN, "one", HealthState.UNHEALTHY),
        (Seen.BAD, "bad_checks", HealthState.UNHEALTHY),
        (Seen.BAD, "one", HealthState.DEGRADED),
        (Seen.POOR, "poor_checks", HealthState.DEGRADED),
    ),
    HealthState.DEGRADED: (
        (Seen.DOWN, "one", HealthState.UNHEALTHY),
        (Seen.BAD, "bad_checks", HealthState.UNHEALTHY),
        (Seen.GOOD, "clear_checks", HealthState.HEALTHY),
    ),
    HealthState.UNHEALTHY: (
        (Seen.GOOD, "good_checks", HealthState.HEALTHY),
        (Seen.POOR, "poor_checks", HealthState.DEGRADED),
    ),
}

_RECENT: Final = 64
"""Checks of which the success rate is."""


class InstanceHealth:
    """State of one instance. What is seen goes in in the order of time; a time before the last counts as the last."""

    __slots__ = (
        "_instance",
        "_recent",
        "_running",
        "_seen",
        "_settings",
        "_success_percent",
        "cause",
        "checks",
        "consecutive_failures",
        "failed_checks",
        "last_ns",
        "load_percent",
        "response_ns",
        "restarts",
        "since_ns",
        "state",
        "uptime_seconds",
    )

    def __init__(self, settings: HealthSettings | None = None) -> None:
        self._settings = settings or HealthSettings()
        self._running = 0
        self._seen = Seen.GOOD
        self._recent = 0
        self._instance = ""
        self._success_percent = 100.0
        self.state = HealthState.UNKNOWN
        self.since_ns = 0
        self.cause = "not looked at yet"
        self.checks = self.failed_checks = self.consecutive_failures = self.restarts = 0
        self.last_ns = 0
        self.response_ns = 0
        """Of the last check that was answered."""
        self.load_percent = -1.0
        self.uptime_seconds = 0.0

    @property
    def success_percent(self) -> float:
        """Of the last 64 checks, those that were answered well; 100 where there were none."""
        count = min(self.checks, _RECENT)
        return 100.0 * self._recent.bit_count() / count if count else 100.0

    def on_traffic(self, requests: int, failures: int) -> None:
        """How requests of the last period went; judged with the next check."""
        self._success_percent = 100.0 * (requests - failures) / requests if requests else 100.0

    def on_check(self, check: Check) -> Observation:
        """Take in one look; what it changed."""
        now_ns = max(check.at_ns, self.last_ns)
        restarted = self._is_restart(check)
        before = self.state
        seen, cause = self._judge(check)
        answered = seen < Seen.BAD
        self.checks += 1
        self._recent = (self._recent << 1 | answered) & ((1 << _RECENT) - 1)
        self.last_ns = now_ns
        if answered:
            self.consecutive_failures = 0
            self.response_ns = check.latency_ns
            self.load_percent = check.load_percent
        else:
            self.failed_checks += 1
            self.consecutive_failures += 1
        if check.uptime_seconds >= 0:
            self.uptime_seconds = check.uptime_seconds
        if restarted:
            self.restarts += 1
            self._running = 0
            if before == HealthState.UNHEALTHY:
                self._enter(HealthState.UNKNOWN, now_ns, "restarted")
        self._count(seen)
        after = self._next(seen)
        if after != self.state:
            self._enter(after, now_ns, cause)
        elif cause:
            self.cause = cause
        elif self.state == HealthState.HEALTHY:
            self.cause = ""
        return Observation(before, self.state, self.cause, restarted)

    def on_down(self, now_ns: int, cause: str) -> Observation:
        """Nobody listens there, as whoever sent a request has found."""
        return self.on_check(Check(now_ns, 0, Seen.DOWN, cause))

    def _judge(self, check: Check) -> tuple[Seen, str]:
        settings = self._settings
        if check.seen != Seen.GOOD:
            return check.seen, check.cause
        if check.latency_ns > settings.slow_ms * NANOS_PER_MS:
            return Seen.POOR, f"answered in {check.latency_ns / NANOS_PER_MS:.0f} ms, at most {settings.slow_ms:g}"
        if check.load_percent > settings.load_percent:
            return Seen.POOR, f"load {check.load_percent:.0f} %, at most {settings.load_percent:g}"
        if self._success_percent < settings.poor_success_percent:
            least = settings.poor_success_percent
            return Seen.POOR, f"{self._success_percent:.1f} % of requests succeed, at least {least:g}"
        return Seen.GOOD, ""

    def _is_restart(self, check: Check) -> bool:
        # How long it is up is no sign: an answer that was long under way looks like one of a younger process.
        if not check.instance:
            return False
        before, self._instance = self._instance, check.instance
        return before not in ("", check.instance)

    def _count(self, seen: Seen) -> None:
        # DOWN and BAD are one run; a clock that jumps changes nothing here, as runs are counted.
        kind = Seen.BAD if seen == Seen.DOWN else seen
        self._running = self._running + 1 if kind == self._seen else 1
        self._seen = kind

    def _next(self, seen: Seen) -> HealthState:
        for wanted, limit, state in _TABLE[self.state]:
            same = seen == wanted or (wanted == Seen.BAD and seen == Seen.DOWN)
            if same and self._running >= (1 if limit == "one" else getattr(self._settings, limit)):
                return state
        return self.state

    def _enter(self, state: HealthState, now_ns: int, cause: str) -> None:
        self.state = state
        self.since_ns = now_ns
        self.cause = cause


class _Ejected:
    """What is known of one instance's ejections."""

    __slots__ = ("cause", "times", "touched_ns", "until_ns")

    def __init__(self) -> None:
        self.times = 0
        self.until_ns = 0
        self.touched_ns = 0
        self.cause = ""


class Ejections:
    """Which instances of one engine are taken out because they stand out among their siblings.

    An engine with one instance is never without it. Once a period `judge` compares; in between `failed` takes one out
    that fails request after request.
    """

    def __init__(self, settings: HealthSettings | None = None) -> None:
        self._settings = settings or HealthSettings()
        self._known: dict[str, _Ejected] = {}
        self._now_ns = 0
        self.refused = 0
        """Ejections that were due and did not happen, as too many were out already."""

    def set_instances(self, names: Iterable[str]) -> None:
        """There are these instances now; others are forgotten."""
        wanted = list(names)
        self._known = {name: self._known.get(name) or _Ejected() for name in wanted}

    def out(self, now_ns: int) -> dict[str, str]:
        """{instance: cause} of those that are out at this time."""
        self._advance(now_ns)
        return {name: each.cause for name, each in self._known.items() if each.until_ns > self._now_ns}

    def until_ns(self, name: str) -> int:
        """When an instance comes back; 0: it never was out."""
        return self._known[name].until_ns

    def times(self, name: str) -> int:
        """Its ejections that are not forgotten yet."""
        return self._known[name].times

    def failed(self, name: str, running_failures: int, now_ns: int) -> bool:
        """Take an instance out if it failed so many requests running; whether it was."""
        self._advance(now_ns)
        if running_failures < self._settings.eject_failures:
            return False
        return self._eject(name, f"{running_failures} requests running failed")

    def judge(self, traffic: Mapping[str, Traffic], now_ns: int) -> dict[str, str]:
        """Compare the instances by their last period; {instance: cause} of those taken out by that."""
        self._advance(now_ns)
        settings = self._settings
        found: dict[str, str] = {}
        enough = {
            name: each
            for name, each in traffic.items()
            if name in self._known and each.requests >= settings.eject_least_requests
        }
        for name, each in sorted(enough.items(), key=lambda item: _success_percent(item[1])):
            others = [other for key, other in enough.items() if key != name]
            if not others:
                break
            rate, usual = _success_percent(each), median([_success_percent(other) for other in others])
            slow = settings.eject_slow_factor * median([other.p95_ns for other in others])
            if usual - rate >= settings.eject_apart_percent:
                cause = f"{rate:.0f} % of requests succeed, {usual:.0f} % at its siblings"
            elif slow and each.p95_ns > slow:
                cause = f"p95 {each.p95_ns / NANOS_PER_MS:.1f} ms, over {settings.eject_slow_factor:g} x its siblings'"
            else:
                continue
            if self._eject(name, cause):
                found[name] = cause
        return found

    def _eject(self, name: str, cause: str) -> bool:
        each = self._known.get(name)
        if each is None or each.until_ns > self._now_ns:
            return False
        count = len(self._known)
        most = max(1, int(count * self._settings.eject_share_percent / 100)) if count > 1 else 0
        if sum(other.until_ns > self._now_ns for other in self._known.values()) >= most:
            self.refused += 1
            return False
        # As long without ejection as to forget one: one less.
        if each.times:
            calm_ns = max(0, self._now_ns - each.touched_ns)
            each.times = max(0, each.times - int(calm_ns // (self._settings.eject_forget_seconds * NANOS_PER_SECOND)))
        each.times += 1
        longest_ns = self._settings.eject_most_seconds * NANOS_PER_SECOND
        out_ns = min(self._settings.eject_seconds * NANOS_PER_SECOND * 2.0 ** min(each.times - 1, 32), longest_ns)
        each.until_ns = self._now_ns + int(out_ns)
        each.touched_ns = each.until_ns
        each.cause = cause
        return True

    def _advance(self, now_ns: int) -> None:
        # A clock that is set back would keep instances out for as long: they keep what they had left.
        if now_ns < self._now_ns:
            for each in self._known.values():
                left_ns = max(0, each.until_ns - self._now_ns)
                each.until_ns = now_ns + left_ns if left_ns else 0
                each.touched_ns = min(each.touched_ns, now_ns)
        self._now_ns = now_ns


def _success_percent(traffic: Traffic) -> float:
    return 100.0 * (traffic.requests - traffic.failures) / traffic.requests if traffic.requests else 100.0
