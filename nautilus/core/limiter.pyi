"""Python face of the concurrency limits."""

from os import PathLike
from typing import NamedTuple

from nautilus.core.named_table import NamedTable

SAMPLED: int
FAILED: int
DROPPED: int
LEFT_OUT: int
SHED: int
GONE: int

class LimiterSettings(NamedTuple):
    """How a limit learns. The source says what each is."""

    least: int = ...
    most: int = ...
    first: int = ...
    window_ns: int = ...
    least_samples: int = ...
    base_every_ns: int = ...
    target_ns: int = ...
    shares: tuple[int, int, int, int] = ...
    fixed: int = ...

class LimiterMetrics(NamedTuple):
    """What a limit is and has counted; `admitted` and `shed` by priority."""

    limit: float
    under_way: int
    base_us: int
    last_us: int
    windows: int
    admitted: tuple[int, ...]
    shed: tuple[int, ...]

class Limiters(NamedTable):
    """Any process, any thread. A table of concurrency limits, shared through a file where `path` names one."""

    def __init__(self, capacity: int = 32, path: str | PathLike[str] | None = None) -> None: ...
    def limiter(self, name: str, settings: LimiterSettings | None = None) -> Limiter:
        """The limit of that name, made where there is none; `settings` then and now are of all its users."""

class Limiter:
    """Any process, any thread. One concurrency limit of a table; made by `Limiters.limiter`."""

    @property
    def owner(self) -> Limiters: ...
    @property
    def name(self) -> str: ...
    def acquire(self, priority: int, now_ns: int) -> int:
        """Ask to make a call of a priority, 0 (critical) to 3 (low): a ticket, or `SHED`."""
    def release(self, ticket: int, now_ns: int, how: int = ...) -> int:
        """Say that the call of a ticket has ended: 0, or `GONE` where it was given back before."""
    @property
    def limit(self) -> float:
        """How many calls may be under way at once, now."""
    @property
    def settings(self) -> LimiterSettings:
        """Its settings, as all its users have them now."""
    def set_settings(self, settings: LimiterSettings) -> None:
        """Give it other settings, at once and for all its users. ValueError for one out of range."""
    def metrics(self) -> LimiterMetrics:
        """What it is and has counted."""
    def held(self) -> int:
        """Tickets that are out, by their slots."""
