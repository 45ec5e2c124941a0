"""Which path a bus takes to a peer: one table, pure. Time is an argument; whoever watches the paths reports them.

::

    star   ring ─ zmq ─ redis ─ http ─ stale       the last one carries nothing: own last value, marked stale
    mesh          zmq ─ redis ─ http ─ local       the last one carries nothing: local policy

Each path but the last is healthy or not, since some time. The path taken is in one of three conditions, and each
condition has an order of offers that are accepted; the first one there is decides:

========= ============================================ =======================================================
condition the path taken                               offers that are accepted, in order
========= ============================================ =======================================================
HOLDS     is healthy, or is the last one               PROVEN
DOUBTED   has not been healthy for less than `down_ns` PROVEN
LOST      has not been healthy for `down_ns`           PROVEN, WORSE, UNPROVEN, LAST
========= ============================================ =======================================================

PROVEN is a better path that has been healthy for `up_ns`; WORSE a healthy one below; UNPROVEN a better one that has
only just become healthy; LAST the one that carries nothing. Of several the best is taken.

So a path that comes and goes is not taken up again before it has stood for `up_ns`, a path is not left for a worse one
before it has failed for `down_ns`, the last one is taken only where nothing else is healthy, and whatever the history,
the best healthy path is taken once it has been so for `up_ns`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

import msgspec

from nautilus.core.counters import Counters

RING, ZMQ, REDIS, HTTP, STALE, LOCAL = "ring", "zmq", "redis", "http", "stale", "local"
STAR: Final = (RING, ZMQ, REDIS, HTTP, STALE)
MESH: Final = (ZMQ, REDIS, HTTP, LOCAL)
"""Paths, the best first; the last one carries nothing."""
DOWN_NS: Final = 20_000_000
"""A connection that is back within this time was not gone."""
UP_NS: Final = 50_000_000
NEVER: Final = 1 << 62


class Condition(Enum):
    """Of the path that is taken."""

    HOLDS = 1
    DOUBTED = 2
    LOST = 3


class Offer(Enum):
    """Another path that could be taken."""

    PROVEN = 1
    WORSE = 2
    UNPROVEN = 3
    LAST = 4


TABLE: Final[dict[Condition, tuple[Offer, ...]]] = {
    Condition.HOLDS: (Offer.PROVEN,),
    Condition.DOUBTED: (Offer.PROVEN,),
    Condition.LOST: (Offer.PROVEN, Offer.WORSE, Offer.UNPROVEN, Offer.LAST),
}


class PathChange(msgspec.Struct, frozen=True):
    """A bus takes another path.

    Parameters
    ----------
    bus
        ``star`` or ``mesh``.
    peer
        Process at the other end.
    before, after
        Paths.
    cause
        Why: what befell the one before, or that the one after is back.
    at_ns
        When.
    """

    bus: str
    peer: str
    before: str
    after: str
    cause: str
    at_ns: int


class PathHealth(msgspec.Struct, frozen=True):
    """A path, and how it has been since when."""

    path: str
    healthy: bool
    cause: str
    since_ns: int


class Failover:
    """The path of one bus to one peer.

    Parameters
    ----------
    bus, peer
        As in `PathChange`.
    paths
        Those that there are, the best first; the last one carries nothing and is always there.
    now_ns
        The best path is taken to begin with, and counts as healthy from here on.
    down_ns, up_ns
        See the module.

    Attributes
    ----------
    path : the one that is taken.
    since_ns : since when.
    cause : why; "" at the beginning.
    downs, ups : steps to worse and to better paths.
    """

    def __init__(
        self, bus: str, peer: str, paths: Sequence[str], now_ns: int, *, down_ns: int = DOWN_NS, up_ns: int = UP_NS
    ) -> None:
        self.bus = bus
        self.peer = peer
        self.paths = tuple(paths)
        self.path = self.paths[0]
        self.since_ns = now_ns
        self.cause = ""
        self.downs = self.ups = 0
        self._down_ns = down_ns
        self._up_ns = up_ns
        last = len(self.paths) - 1
        self._health = [
            PathHealth(path, at in (0, last), "" if at in (0, last) else "not tried", now_ns)
            for at, path in enumerate(self.paths)
        ]
        self._taken = 0

    @property
    def degraded(self) -> bool:
        """Whether any but the best path is taken."""
        return self._taken > 0

    @property
    def carries(self) -> bool:
        """Whether the path that is taken carries anything."""
        return self._taken < len(self.paths) - 1

    def health(self) -> tuple[PathHealth, ...]:
        """Every path, the best first."""
        return tuple(self._health)

    def healthy(self, path: str) -> bool:
        """Whether a path was last reported so."""
        return any(each.healthy for each in self._health if each.path == path)

    def report(self, path: str, healthy: bool, now_ns: int, cause: str = "") -> None:
        """How a path is now; paths that are not among those of this bus, and the last one, need none."""
        for at, known in enumerate(self._health[:-1]):
            if known.path == path and known.healthy != healthy:
                self._health[at] = PathHealth(path, healthy, cause, now_ns)
            elif known.path == path and known.cause != cause and at != self._taken:
                # Of the one that is taken the first cause is kept: what befell it.
                self._health[at] = PathHealth(path, healthy, cause, known.since_ns)

    def condition(self, now_ns: int) -> Condition:
        """Of the path that is taken."""
        taken = self._health[self._taken]
        if taken.healthy:
            return Condition.HOLDS
        return Condition.LOST if now_ns - taken.since_ns >= self._down_ns else Condition.DOUBTED

    def step(self, now_ns: int) -> PathChange | None:
        """Take another path where the table says so."""
        for offer in TABLE[self.condition(now_ns)]:
            found = self._find(offer, now_ns)
            if found is not None:
                return self._take(found, now_ns)
        return None

    @property
    def due_ns(self) -> int:
        """When `step` may have something to do although nothing is reported."""
        due_ns = NEVER
        taken = self._health[self._taken]
        if not taken.healthy:
            due_ns = taken.since_ns + self._down_ns
        for better in self._health[: self._taken]:
            if better.healthy:
                due_ns = min(due_ns, better.since_ns + self._up_ns)
        return due_ns

    def _find(self, offer: Offer, now_ns: int) -> int | None:
        """The best path that is such an offer."""
        last = len(self._health) - 1
        if offer is Offer.LAST:
            return last if self._taken != last else None
        places = range(self._taken) if offer is not Offer.WORSE else range(self._taken + 1, last)
        for at in places:
            known = self._health[at]
            if known.healthy and (offer is not Offer.PROVEN or now_ns - known.since_ns >= self._up_ns):
                return at
        return None

    def _take(self, at: int, now_ns: int) -> PathChange:
        before, after = self._health[self._taken], self._health[at]
        if at > self._taken:
            self.downs += 1
            cause = before.cause or f"{before.path} is lost"
        else:
            self.ups += 1
            cause = after.cause or f"{after.path} is back"
            if not before.healthy and before.cause:
                cause = f"{cause}; {before.path}: {before.cause}"
        self._taken, self.path, self.cause, self.since_ns = at, after.path, cause, now_ns
        return PathChange(self.bus, self.peer, before.path, after.path, cause, now_ns)


class PathMeters:
    """Keeps where each `Failover` stands in a table of counters.

    ``<bus>_path.<peer>.taken`` has the place of its path (0: the best), ``<bus>_path.<peer>.<path>`` whether that is
    healthy; ``<bus>.path_downs`` and ``<bus>.path_ups`` count the steps.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._steps: dict[tuple[str, str], tuple[int, int]] = {}
        self._written: dict[tuple[str, str], tuple[Any, ...]] = {}

    def write(self, failover: Failover) -> None:
        """Bring the table up to date."""
        key = failover.bus, failover.peer
        now = failover.path, failover.downs, failover.ups, *failover.health()
        if self._written.get(key) == now:
            return
        self._written[key] = now
        counters, name = self._counters, f"{failover.bus}_path.{failover.peer}"
        counters.set(counters.gauge(f"{name}.taken"), failover.paths.index(failover.path))
        for known in failover.health()[:-1]:
            counters.set(counters.gauge(f"{name}.{known.path}"), known.healthy)
        downs, ups = self._steps.get(key, (0, 0))
        counters.add(counters.counter(f"{failover.bus}.path_downs"), failover.downs - downs)
        counters.add(counters.counter(f"{failover.bus}.path_ups"), failover.ups - ups)
        self._steps[key] = failover.downs, failover.ups


class PathState(msgspec.Struct, frozen=True):
    """Which path a bus takes to a peer, and which of its paths are healthy, as `PathMeters` has it."""

    path: str
    healthy: dict[str, bool]


def read_paths(values: Mapping[str, int]) -> dict[str, dict[str, PathState]]:
    """What `PathMeters` has written: {bus: {peer: state}}.

    Parameters
    ----------
    values
        Counters and gauges of a process, by name (`Counters.read`).
    """
    found: dict[str, dict[str, PathState]] = {}
    for bus, paths in (("star", STAR), ("mesh", MESH)):
        for name, taken in values.items():
            first, _, rest = name.partition(".")
            peer, _, last = rest.rpartition(".")
            if first == f"{bus}_path" and last == "taken":
                prefix = f"{first}.{peer}."
                healthy = {path: bool(values[prefix + path]) for path in paths if prefix + path in values}
                found.setdefault(bus, {})[peer] = PathState((*healthy, paths[-1])[taken], healthy)
    return found
