"""Python face of the circuit breakers."""

from collections.abc import Callable, Sequence
from os import PathLike
from types import TracebackType
from typing import NamedTuple, ParamSpec, Protocol, TypeVar

from nautilus.core.named_table import NamedTable

P = ParamSpec("P")
R = TypeVar("R")

SUCCESS: int
FAILURE: int
TIMEOUT: int
CANCELLED: int
IGNORED: int
OVERLOADED: int
OUTCOMES: tuple[str, ...]
OPEN: int
HALF_OPEN_FULL: int
BULKHEAD_FULL: int
FORCED_OPEN: int
REASONS: tuple[str, ...]
STATES: tuple[str, ...]
CAUSES: tuple[str, ...]
NAME_BYTES: int
GONE: int

class BreakerSettings(NamedTuple):
    """When a breaker opens and closes; 0 switches a control off. The source says what each is."""

    failures: int = ...
    failure_permille: int = ...
    slow_permille: int = ...
    slow_ns: int = ...
    least_calls: int = ...
    window_calls: int = ...
    window_ns: int = ...
    recovery_ns: int = ...
    backoff_permille: int = ...
    most_recovery_ns: int = ...
    successes: int = ...
    probes: int = ...
    probe_ns: int = ...
    bulkhead: int = ...
    cancelled_fails: int = ...

class Change(NamedTuple):
    """One transition. `number` counts the changes of a breaker; `cause` is one of `CAUSES`, states are of `STATES`."""

    number: int
    before: str
    after: str
    cause: str
    at_ns: int

class BreakerMetrics(NamedTuple):
    """What a breaker has counted; see `Breaker.metrics`."""

    state: str
    cause: str
    changes: int
    calls: int
    successes: int
    failures: int
    timeouts: int
    cancelled: int
    ignored: int
    overloaded: int
    slow: int
    late: int
    rejected_open: int
    rejected_half_open: int
    rejected_bulkhead: int
    rejected_forced: int
    consecutive_failures: int
    in_flight: int
    average_ns: float
    wait_ns: int

class BreakerRejected(Exception):  # noqa: N818
    """A call was not made: `reason` is one of `REASONS`, and another try makes sense after `wait_ns`."""

    name: str
    reason: str
    wait_ns: int
    def __init__(self, name: str, reason: str, wait_ns: int) -> None: ...

class Permit(Protocol):
    """One call through a breaker, as a context."""

    def __enter__(self) -> Permit: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool: ...
    async def __aenter__(self) -> Permit: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool: ...

class Breakers(NamedTable):
    """Any process, any thread. A table of circuit breakers, shared through a file where `path` names one."""

    def __init__(self, capacity: int = 256, path: str | PathLike[str] | None = None) -> None: ...
    def breaker(self, name: str, settings: Sequence[int] | None = None) -> Breaker:
        """The breaker of that name, made where there is none; `settings` then and now are of all its users."""

class Breaker:
    """Any process, any thread. One circuit breaker of a table; made by `Breakers.breaker`."""

    @property
    def owner(self) -> Breakers: ...
    @property
    def name(self) -> str: ...
    def acquire(self, now_ns: int) -> int:
        """Ask to make a call: 0 or more, a ticket for `release`; below, minus the reason why not."""
    def release(self, ticket: int, now_ns: int, outcome: int) -> int:
        """Say how the call of a ticket ended: 0, or `GONE` where the ticket was given back before."""
    def state(self, now_ns: int) -> str:
        """Its state, of `STATES`; half-open too where the recovery time is over and no caller has come since."""
    def wait_ns(self, now_ns: int) -> int:
        """Until another try makes sense; 0 while closed or half-open."""
    def metrics(self, now_ns: int) -> BreakerMetrics:
        """What it has counted. `calls` have an outcome that says something; `late` ended in another period."""
    @property
    def settings(self) -> BreakerSettings:
        """Its settings, as all its users have them now."""
    def set_settings(self, settings: Sequence[int]) -> None:
        """Give it other settings, at once and for all its users. ValueError for one out of range."""
    def force_open(self, now_ns: int = 0) -> None:
        """Let no call through until `reset` or `disable`. now_ns: of the change; 0: the clock is read."""
    def disable(self, now_ns: int = 0) -> None:
        """Let every call through until `reset` or `force_open`; outcomes are counted only."""
    def reset(self, now_ns: int = 0) -> None:
        """Close it, with nothing counted in its windows."""
    @property
    def last_change(self) -> int:
        """Number of its last change; 0: there was none. The numbers begin anew after 131,071."""
    def changes(self, after: int = 0) -> list[Change]:
        """Changes after the one of that number, oldest first: the last 16 at most."""
    def permit(self, clock: Callable[[], int] | None = None, ignored: tuple[type[BaseException], ...] = ()) -> Permit:
        """A context manager, plain or async, for one call; BreakerRejected where none may be made."""
    def wrap(
        self,
        function: Callable[P, R],
        clock: Callable[[], int] | None = None,
        ignored: tuple[type[BaseException], ...] = (),
    ) -> Callable[P, R]:
        """The function, or coroutine function, with this breaker around each call."""
    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """As a decorator: `wrap` with the machine's clock."""
