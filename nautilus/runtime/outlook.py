"""What others see of a host: whether it is ready, and if not, why; what is wrong with it; how its bus is.

The host's thread renews it, any thread reads it: each answer is a new object, never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nautilus.bus import PeerState, Pressure
from nautilus.model.enums import EngineState, Priority
from nautilus.model.topics import EXECUTION_REPORTS
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.messages import CORE
from nautilus.runtime.paths import PathsView, degraded, shown
from nautilus.runtime.states import READY, SEEN
from nautilus.runtime.urgent import urgent_view

if TYPE_CHECKING:
    from nautilus.runtime.live import LiveHost

SILENCE_NS = 500_000_000
"""Market data is missing after so long without a sign of life."""
ABSENCE_NS = 200_000_000
"""A peer is missed after so long; connections that come back at once disturb nobody."""


class Outlook:
    """Of one host.

    Attributes
    ----------
    reasons : why the process is not ready.
    warnings : what went wrong with it lately although it serves.
    bus : plain facts about the bus.
    more : further plain facts, by engine.
    when_ready : called once, when the process is ready for the first time.
    looks : called whenever the above is renewed.
    also : what else may be wrong, asked at each renewal.
    """

    def __init__(self, host: LiveHost) -> None:
        self.reasons: tuple[str, ...] = ("not started",)
        self.warnings: tuple[str, ...] = ()
        self.bus: dict[str, Any] = {}
        self.more: dict[str, dict[str, Any]] = {}
        self.when_ready: Callable[[], object] | None = None
        self.looks: list[Callable[[], object]] = []
        self.also: list[Callable[[], Iterable[str]]] = []
        self._host = host
        self._paths = PathsView(host.counters)
        self._ready = host.counters.gauge(READY)
        self._seen = host.counters.gauge(SEEN)

    def renew(self) -> None:
        """Look at everything again."""
        host = self._host
        peers = host.mesh.peers()
        for context in host.contexts.values():
            host.calls.recover(context)
        blockers = self._blockers()
        closed = (host.messages.risk_path.unready,)
        self.reasons = (*blockers, *filter(None, (*(part.refuses for part in host.parts), *closed)))
        errors = (f"{each.where}: {each.error} ({each.count})" for each in host.calls.errors.recent())
        star = {} if host.star_paths is None else {host.star_paths.failover.peer: host.star_paths.failover}
        self.warnings = (
            *errors,
            *degraded(host.mesh.paths),
            *degraded(star),
            *_filling(host.mesh.pressures()),
            *(warning for look in self.also for warning in look()),
        )
        pressures: dict[str, dict[str, Any]] = {}
        for (name, priority), found in host.mesh.pressures().items():
            pressures.setdefault(name, {})[Priority(priority).name.lower()] = {
                "pending": found.pending,
                "limit": found.limit,
                "oldest_ms": found.oldest_ns // 1_000_000,
                "high": found.high,
            }
        self.bus = {
            "peers": {name: _peer(peer, pressures.get(name, {})) for name, peer in sorted(peers.items())},
            "paths": {name: shown(paths) for name, paths in sorted(host.mesh.paths.items())},
            "star": {name: shown(paths) for name, paths in star.items()},
            "urgent": urgent_view(host.mesh),
            "security": host.security.counts(),
        }
        if host.hub is not None:
            self.bus["hub"] = host.hub.health()
        self._paths.write(host.mesh.paths, star)
        for look in self.looks:
            look()
        host.counters.set(self._ready, not self.reasons)
        host.counters.set(self._seen, wall_ns())
        # What only refuses has started all the same: whoever asks is told why.
        if not blockers and self.when_ready is not None:
            self.when_ready()
            self.when_ready = None

    def _blockers(self) -> list[str]:
        host = self._host
        found = []
        for context in host.contexts.values():
            if context.state == EngineState.STARTING:
                found.append(f"{context.name} is on its way to the present")
            elif context.recovery is not None and not context.recovery.live:
                found.append(f"{context.name} fetches reports")
        if host.workplaces.warming:
            found.append("what answers are computed with is being loaded")
        if host.stopping:
            found.append("the process is about to end")
        subscriber = host.subscriber
        if subscriber is not None:
            silence_ns = (host.clock.now_ns() - subscriber.last_heartbeat_ns) / host.plan.clock.speed
            if not subscriber.synchronised or silence_ns > SILENCE_NS:
                found.append("no market data")
        peers, now_ns = host.mesh.peers(), wall_ns()
        found += [
            f"{name} is not reachable"
            for name in self._needed()
            if name in peers and not peers[name].up and now_ns - peers[name].since_ns > ABSENCE_NS
        ]
        return found + [f"{type(part).__name__} is not ready" for part in host.parts if not part.ready]

    def _needed(self) -> set[str]:
        """Processes without which engines here do nothing sensible."""
        host = self._host
        needed = set()
        for context in host.contexts.values():
            if context.engine.source_id:
                needed.add(CORE)
            if EXECUTION_REPORTS in context.engine.subscribes:
                needed.add(host.plan.process_of("trading"))
        return needed - {host.process}


def _filling(pressures: Mapping[tuple[str, int], Pressure]) -> Iterator[str]:
    for (peer, priority), found in pressures.items():
        if found.high:
            queue = f"the queue of messages for {peer} ({Priority(priority).name})"
            yield f"{queue} is filling up: {found.pending:,} of {found.limit:,}"


def _peer(peer: PeerState, pressure: dict[str, Any]) -> dict[str, Any]:
    return {
        "up": peer.up,
        "standing": peer.standing.lower(),
        "cause": peer.cause,
        "since_ns": peer.standing_ns,
        "pending": peer.pending,
        "pressure": pressure,
    }
