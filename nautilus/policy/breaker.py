"""Circuit breakers: their settings for people, those of each engine, the table of their transitions, a registry.

The state machine itself is `nautilus.core.breaker`; the gateway, every engine and the client in TypeScript go by the
same table. Times in settings are seconds, rates are parts of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from nautilus.core.breaker import Breaker, Breakers, BreakerSettings, Change

_BY_HAND = {"forced": "forced-open", "switched off": "disabled", "reset": "closed"}
TRANSITIONS: dict[str, dict[str, str]] = {
    "closed": {"consecutive failures": "open", "failure rate": "open", "slow-call rate": "open", **_BY_HAND},
    "open": {"recovery time": "half-open", **_BY_HAND},
    "half-open": {
        "probes succeeded": "closed",
        "probe failed": "open",
        "probe timed out": "open",
        "probe was slow": "open",
        **_BY_HAND,
    },
    "forced-open": _BY_HAND,
    "disabled": _BY_HAND,
}
"""State -> cause -> next state: every transition that there is."""

SLOW = ("slow-call rate", "probe was slow")
"""Causes of an open breaker that are no failures."""
_NS = 1_000_000_000
MOST_PROBE_NS = 1000 * _NS
"""A probe that is held for longer is lost in any case."""
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Share = Annotated[float, Meta(ge=0, le=1)]


class BreakerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a breaker opens and closes. 0 switches a control off.

    Parameters
    ----------
    failures
        In a row that open it, for an outage.
    recovery_seconds
        From open to half-open.
    successes
        Of probes, that close it again.
    call_seconds
        A call that takes longer has failed.
    failure_rate, slow_rate
        Of the last `window_calls`, or of the calls of the last `window_seconds`, that open it, for a partial outage.
    slow_seconds
        A call that takes so long is slow; 0: four fifths of `call_seconds`.
    least_calls
        In a window, else its rates say nothing.
    probes
        At once while half-open; `successes` at least.
    backoff, most_recovery_seconds
        The recovery time grows by this factor each time that it opens again, up to that.
    bulkhead
        Calls at once.
    cancelled_fails
        Whether a call that its caller gave up counts as a failure; else it counts where it was slow, as a slow one.
    """

    failures: Annotated[int, Meta(ge=0, le=1_000_000)] = 5
    recovery_seconds: Seconds = 5.0
    successes: Annotated[int, Meta(ge=1, le=32)] = 2
    call_seconds: Seconds = 10.0
    failure_rate: Share = 0.5
    slow_rate: Share = 0.8
    slow_seconds: Seconds = 0.0
    least_calls: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    window_calls: Annotated[int, Meta(ge=0, le=128)] = 100
    window_seconds: Seconds = 30.0
    probes: Annotated[int, Meta(ge=0, le=32)] = 0
    backoff: Annotated[float, Meta(ge=1, le=100)] = 1.0
    most_recovery_seconds: Seconds = 300.0
    bulkhead: Annotated[int, Meta(ge=0, le=256)] = 256
    cancelled_fails: bool = False

    def settings(self) -> BreakerSettings:
        """The same for the core."""
        return BreakerSettings(
            failures=self.failures,
            failure_permille=round(self.failure_rate * 1000),
            slow_permille=round(self.slow_rate * 1000),
            slow_ns=round((self.slow_seconds or self.call_seconds * 0.8) * _NS),
            least_calls=self.least_calls,
            window_calls=self.window_calls,
            window_ns=round(self.window_seconds * _NS),
            recovery_ns=round(self.recovery_seconds * _NS),
            backoff_permille=round(self.backoff * 1000),
            most_recovery_ns=round(max(self.most_recovery_seconds, self.recovery_seconds) * _NS),
            successes=self.successes,
            probes=self.probes,
            probe_ns=min(round(self.call_seconds * _NS), MOST_PROBE_NS),
            bulkhead=self.bulkhead,
            cancelled_fails=int(self.cancelled_fails),
        )


DEFAULT = BreakerConfig()
ENGINES: dict[str, BreakerConfig] = {
    "trading": BreakerConfig(recovery_seconds=1.0, successes=1, call_seconds=5.0),
    "strategy": BreakerConfig(failures=3, recovery_seconds=10.0, successes=2, call_seconds=5.0),
    "risk": BreakerConfig(failures=3, recovery_seconds=15.0, successes=1, call_seconds=10.0),
    "analytics": BreakerConfig(call_seconds=15.0),
    "ml": BreakerConfig(call_seconds=30.0),
    "factor": BreakerConfig(call_seconds=30.0),
}
"""Of each engine that has settings of its own; all others have `DEFAULT`."""


def config_of(engine: str, given: Mapping[str, Any] | None = None) -> BreakerConfig:
    """Settings of an engine's breaker, with some of them given otherwise.

    Raises
    ------
    msgspec.ValidationError
        An unknown setting, or one out of range.
    """
    config = ENGINES.get(engine, DEFAULT)
    return msgspec.convert({**msgspec.structs.asdict(config), **given}, BreakerConfig) if given else config


class BreakerStatus(NamedTuple):
    """A breaker as people and the management API see it; the success rate is a percentage."""

    name: str
    state: str
    cause: str
    total_requests: int
    success_rate: float
    consecutive_failures: int
    average_response_time_ms: float
    rejected: int
    retry_after_seconds: float


def status_of(breaker: Breaker, now_ns: int) -> BreakerStatus:
    """What a breaker has counted, for people."""
    found = breaker.metrics(now_ns)
    return BreakerStatus(
        name=breaker.name,
        state=found.state,
        cause=found.cause,
        total_requests=found.calls,
        success_rate=100.0 * found.successes / found.calls if found.calls else 100.0,
        consecutive_failures=found.consecutive_failures,
        average_response_time_ms=found.average_ns / 1e6,
        rejected=found.rejected_open + found.rejected_half_open + found.rejected_bulkhead + found.rejected_forced,
        retry_after_seconds=found.wait_ns / 1e9,
    )


def slow_alone(breaker: Breaker, now_ns: int) -> bool:
    """Whether a breaker lets nothing through because of slow calls, and not because of any that failed.

    Late answers are of use to who sends critical requests; the load that makes them late is for the limit to shed.
    """
    if breaker.state(now_ns) not in ("open", "half-open"):
        return False
    opened = [change.cause for change in breaker.changes(max(breaker.last_change - 2, 0)) if change.after == "open"]
    return bool(opened) and opened[-1] in SLOW


class BreakerRegistry:
    """Breakers of one table by name, with their settings, and what changed since somebody last looked.

    Parameters
    ----------
    breakers
        The table.
    configs
        Settings by name; others have `DEFAULT`.
    """

    def __init__(self, breakers: Breakers, configs: Mapping[str, BreakerConfig] = ENGINES) -> None:
        self.table = breakers
        self._configs = dict(configs)
        self._breakers: dict[str, Breaker] = {}
        self._seen: dict[str, int] = {}

    def breaker(self, name: str, config: BreakerConfig | None = None) -> Breaker:
        """The breaker of that name; `config`: its settings from now on, where they are other ones."""
        found = self._breakers.get(name)
        if found is not None and config is None:
            return found
        if config is not None:
            self._configs[name] = config
        found = self._breakers[name] = self.table.breaker(name, self.config(name).settings())
        self._seen.setdefault(name, found.last_change)
        return found

    def config(self, name: str) -> BreakerConfig:
        """Settings of the breaker of that name."""
        return self._configs.get(name, DEFAULT)

    def statuses(self, now_ns: int) -> dict[str, BreakerStatus]:
        """All that were asked for, by name."""
        return {name: status_of(breaker, now_ns) for name, breaker in self._breakers.items()}

    def reset(self, names: Iterable[str] | None = None, now_ns: int = 0) -> list[str]:
        """Close these, or all; which they were. KeyError for one that there is not."""
        chosen = list(self._breakers) if names is None else list(names)
        for breaker in [self._breakers[name] for name in chosen]:
            breaker.reset(now_ns)
        return chosen

    def poll(self) -> list[tuple[str, Change]]:
        """What has changed since the last call, in whichever process, oldest first of each."""
        found: list[tuple[str, Change]] = []
        for name, breaker in self._breakers.items():
            changes = breaker.changes(self._seen[name])
            if changes:
                found += [(name, change) for change in changes]
                self._seen[name] = changes[-1].number
        return found


__all__ = [
    "DEFAULT",
    "ENGINES",
    "TRANSITIONS",
    "BreakerConfig",
    "BreakerRegistry",
    "BreakerStatus",
    "config_of",
    "slow_alone",
    "status_of",
]
