"""What all processes of the gateway share, in files of the instance's shared memory, and each part as it is used."""

from __future__ import annotations

from typing import NamedTuple

from nautilus.core.breaker import Breakers
from nautilus.core.route import Routes
from nautilus.gateway.config import GatewayConfig
from nautilus.gateway.endpoints import other_instances
from nautilus.gateway.settings import SharedSettings
from nautilus.policy.breaker import DEFAULT, BreakerConfig, BreakerRegistry, config_of
from nautilus.policy.routing import Router
from nautilus.runtime.plan import Plan

BREAKERS = "gateway.breakers"
ROUTES = "gateway.routes"
OWN = "gateway"
"""The engine that is the gateway itself."""
NS = 1_000_000_000


class SharedParts(NamedTuple):
    """Of one process.

    Attributes
    ----------
    names : the engines behind the gateway.
    breakers : one for each of them.
    router : over the table of routes.
    settings : what changes at run time.
    """

    names: tuple[str, ...]
    breakers: BreakerRegistry
    router: Router
    settings: SharedSettings


def shared_parts(plan: Plan) -> SharedParts:
    """The parts of the gateway of an instance, made where they are not there yet."""
    config = plan.config(OWN, GatewayConfig)
    names = tuple(sorted(engine for spec in plan.processes for engine in spec.engines if engine != OWN))
    registry = BreakerRegistry(
        Breakers(path=f"{plan.shared}/{BREAKERS}"), {name: breaker_config(name, config) for name in names}
    )
    for name in names:
        breaker = registry.breaker(name)
        if not config.circuit_breakers:
            breaker.disable()
    routing = config.routing
    settings = SharedSettings(plan.shared, config, plan.origins.get(OWN))
    router = Router(routes_of(plan), routing, default_strategy=settings.strategy, enabled=settings.enabled)
    for name in names:
        router.add_instance(name, name, routing.region)
    for name, others in other_instances(config).items():
        for address in others if name in names else ():
            router.add_instance(name, address.name, address.region)
    return SharedParts(names, registry, router, settings)


def routes_of(plan: Plan) -> Routes:
    """The table of routes, as this process uses it."""
    routing = plan.config(OWN, GatewayConfig).routing
    half_life_ns = round(routing.half_life_seconds * NS)
    return Routes(path=f"{plan.shared}/{ROUTES}", region=routing.region, half_life_ns=half_life_ns)


def breaker_config(engine: str, config: GatewayConfig) -> BreakerConfig:
    """Settings of the breaker before an engine: those of the platform's table, and what the section has of it."""
    given: dict[str, float] = {}
    thresholds = {"strategy": config.strategy_failure_threshold, "risk": config.risk_failure_threshold}
    if engine in thresholds:
        given["failures"] = thresholds[engine]
    if config_of(engine) is DEFAULT:
        given["call_seconds"] = config.engine_timeout_ms / 1000
    return config_of(engine, given)
