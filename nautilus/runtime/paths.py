"""The paths of a process's bus beside ZeroMQ, made from the plan, and what is shown of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nautilus.bus.failover import Failover, PathMeters
from nautilus.bus.routing import CLIENTS
from nautilus.core.counters import Counters
from nautilus.runtime.bus_settings import BusConfig
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.plan import ON_BUS, Plan
from nautilus.runtime.states import PlatformState

if TYPE_CHECKING:
    from nautilus.bus.carriers import Carrier
    from nautilus.bus.http_star import HttpStar
    from nautilus.bus.redis_star import StarMirror, StarReader
    from nautilus.bus.star_paths import StarPaths
    from nautilus.bus.subscriber import Subscriber
    from nautilus.runtime.buslog import BusLog


def carriers_of(plan: Plan, process: str, clock: Callable[[], int], counters: Counters | None) -> list[Carrier]:
    """What carries messages of a process where ZeroMQ does not, the first to be taken first; for its `Mesh`."""
    found: list[Carrier] = []
    address = plan.redis("mesh")
    if address:
        from nautilus.bus.redis_carrier import RedisCarrier

        redis = RedisCarrier(address, process, clock, life=str(plan.epoch), counters=counters)
        redis.watch(spec.name for spec in plan.processes if spec.kind in ON_BUS and spec.name != process)
        found.append(redis)
    if plan.config("bus", BusConfig).http:
        from nautilus.bus.http_carrier import HttpCarrier

        found.append(HttpCarrier(plan.directory, process, partial(ports_of, plan), token_of(plan), clock, counters))
    return found


def token_of(plan: Plan) -> str | None:
    """What the ports of the instance want to be shown; None: nothing, or there is none to show."""
    if plan.demo:
        return None
    try:
        return Path(plan.directory, "token").read_text().strip()
    except OSError:
        return None


def ports_of(plan: Plan, process: str) -> list[int]:
    """Ports at which frames for a process may be left: its own, or, where it has none, those of the trading engine."""
    try:
        state = msgspec.json.decode(Path(plan.directory, "state.json").read_bytes(), type=PlatformState)
    except (OSError, msgspec.DecodeError):
        return []
    ports = {each.name: list(each.ports.values()) for each in state.processes}
    return ports.get(process) or ports.get(plan.process_of("trading"), [])


def mirror_of(plan: Plan, process: str, counters: Counters) -> StarMirror | None:
    """What copies the hub's frames to where readers find them without ZeroMQ, at work; None: there is no such place."""
    address = plan.redis("star")
    if not address:
        return None
    from nautilus.bus.redis_star import StarMirror

    mirror = StarMirror(address, process, wall_ns, life=str(plan.epoch), counters=counters)
    mirror.start()
    return mirror


def star_paths_of(
    plan: Plan, process: str, context: Any, subscriber: Subscriber, counters: Counters, log: BusLog
) -> StarPaths | None:
    """The paths by which a reader of the star is fed; None: it has ZeroMQ, and no choice."""
    settings, address = plan.config("bus", BusConfig), plan.redis("star")
    if not address and not settings.http:
        return None
    from nautilus.bus.star_paths import StarPaths

    hub = plan.process_of("marketdata")
    redis: StarReader | None = None
    http: HttpStar | None = None
    if address:
        from nautilus.bus.redis_star import StarReader

        redis = StarReader(address, hub, process, wall_ns, life=str(plan.epoch), counters=counters)
    if settings.http:
        from nautilus.bus.http_star import HttpStar

        http = HttpStar(lambda: ports_of(plan, hub), token_of(plan), wall_ns, counters=counters)
    ring = settings.transport == "ring" and not plan.joined
    return StarPaths(
        context, plan.stars, subscriber, hub, wall_ns, redis=redis, http=http, ring=ring, on_path=log.on_star_path
    )


class PathsView:
    """Shows where the paths stand: in the shared counters, and for `/health`."""

    def __init__(self, counters: Counters) -> None:
        self._meters = PathMeters(counters)

    def write(self, *every: Mapping[str, Failover]) -> None:
        """Bring the counters up to date."""
        for paths in every:
            for peer, failover in paths.items():
                if not peer.startswith(CLIENTS):  # they come and go, and no name goes from the counters again
                    self._meters.write(failover)


def shown(failover: Failover) -> dict[str, Any]:
    """How the paths to one peer are, for `/health`."""
    return {
        "path": failover.path,
        "cause": failover.cause,
        "since_ns": failover.since_ns,
        "paths": {each.path: "healthy" if each.healthy else each.cause or "not healthy" for each in failover.health()},
    }


def degraded(paths: Mapping[str, Failover]) -> list[str]:
    """A line for each peer that the best path does not reach, for `/health`."""
    return [
        f"{failover.bus} with {peer} goes by {failover.path}: {failover.cause}"
        for peer, failover in sorted(paths.items())
        if failover.degraded
    ]
