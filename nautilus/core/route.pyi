"""Python face of the table of routes."""

from os import PathLike
from typing import Any

DIRECT: int
GATEWAY: int
IDEMPOTENT: int
PREFER_DIRECT: int
ROUND_ROBIN: int
LEAST_CONNECTIONS: int

ROUTE_DIRECT: int
ROUTE_GATEWAY: int

UNKNOWN: int
HEALTHY: int
DEGRADED: int
UNHEALTHY: int
EJECTED: int

NO_TARGET: int
REASONS: tuple[str, ...]
PICKS: tuple[str, ...]

TARGET_MASK: int
DIRECT_SHIFT: int
REASON_SHIFT: int
PICK_SHIFT: int
PANIC_SHIFT: int
SPILL_SHIFT: int
CONFIDENCE_SHIFT: int
LATENCY_SHIFT: int

class Routes:
    """Any thread of any process. The ways to the engines, how each does, and which to take."""

    def __init__(
        self,
        capacity: int = 512,
        path: str | PathLike[str] | None = None,
        *,
        region: str = "",
        half_life_ns: int = 10_000_000_000,
        seed: int = 0,
    ) -> None: ...
    def instance(self, engine: str, name: str, region: str = "") -> int:
        """Number of an instance of an engine, made where there is none; its region is that of the last call."""
    def group(self, engine: str, endpoint_class: str = "") -> int:
        """Number of a class of an engine's endpoints, which is made where there is none."""
    def target(self, engine: str, endpoint_class: str, instance: str, route: int) -> int:
        """Number of the way to an instance for a class of endpoints; all of it is made where missing."""
    def decide(self, group: int, now_ns: int, flags: int = 0) -> int:
        """The way to take now: one integer, as the class says; `NO_TARGET` where there is none."""
    def begin(self, target: int) -> None:
        """A request is under way to this target."""
    def end(self, target: int) -> None:
        """It is not any more."""
    def record(self, target: int, latency_ns: int, ok: bool, now_ns: int) -> None:
        """How a request to this target went: how long it took, whether it failed, and when that was known."""
    def set_health(self, instance: int, state: int, now_ns: int = 0) -> None:
        """Set the health of an instance; one that comes back at `now_ns` (0: at once) takes its share within 10 s."""
    def sweep(self) -> int:
        """Take back what dead processes had in flight; how many requests that were."""
    def forget(self, target: int) -> None:
        """Forget what was learned of a target: another process answers there now. Requests in flight stay."""
    def read(self, target: int) -> dict[str, Any]:
        """All that is known of a target, as plain values; times in nanoseconds, shares 0 to 1."""
    def traffic(self, instance: int) -> tuple[int, int, int, int, int]:
        """On all its ways: requests that ended, failures of them, failures running, p95 in nanoseconds, in flight."""
    def quantiles(self, target: int) -> tuple[int, int, int]:
        """(p50, p95, p99) in nanoseconds, at most 15 samples old; zeros where there were none."""
    def count(self, strategy: int) -> None:
        """A decision was made by this strategy, 0 to 7."""
    def tally(self, strategy: int, latency_ns: int, ok: bool) -> None:
        """How a request went that this strategy, 0 to 7, had decided."""
    def tallies(self, strategy: int) -> tuple[int, int, int, int, int, int]:
        """Decisions, requests, those that succeeded, and their latency in nanoseconds: mean, p95, p99."""
    def members(self, group: int) -> tuple[list[int], list[int]]:
        """Targets of a group: (those of the direct route, those of the gateway's)."""
    def health(self, instance: int) -> int:
        """Health of an instance, as `set_health` set it."""
    def __len__(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def region(self) -> str: ...
