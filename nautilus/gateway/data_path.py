"""Makes the data path of a worker: the proxy, with all that stands before and behind each engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nautilus.core.http_access import RulesAccessBase
from nautilus.core.limiter import Limiters, LimiterSettings
from nautilus.core.route import LEAST_CONNECTIONS, ROUND_ROBIN
from nautilus.gateway.choosing import Chooser
from nautilus.gateway.endpoints import Address, other_instances, specs_of
from nautilus.gateway.failover import Instance
from nautilus.gateway.gate import Gate
from nautilus.gateway.proxy import Budgets, Engine, Proxy
from nautilus.gateway.refresh import Refresher
from nautilus.gateway.spin import Spin
from nautilus.policy.retry import RetryBudget
from nautilus.runtime.auditing import Recorder
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.http.access import AccessRules
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.fan_out import AudienceSettings

if TYPE_CHECKING:
    from nautilus.gateway.parts import SharedParts
    from nautilus.gateway.worker import WorkerContext

LIMITERS = "gateway.limiters"
RETRY_SHARE, RETRIES = 0.1, 50.0
"""A request in ten may be sent again; at first, and after a time without trouble, as many as may be under way."""
HEDGE_SHARE, HEDGES = 0.05, 10.0
TARGET_NS = 20_000_000
"""An answer within this time is no sign that there is too much to do."""
_BALANCE = {"peak_ewma": 0, "least_connections": LEAST_CONNECTIONS, "round_robin": ROUND_ROBIN}


class RulesAccess(RulesAccessBase):
    """The access rules, as the proxy asks them."""

    def __init__(self, rules: AccessRules) -> None:
        super().__init__(rules)
        self.verify_body = rules.verify_body


def make_proxy(context: WorkerContext, parts: SharedParts, rules: AccessRules, audit: Recorder | None = None) -> Proxy:
    """The proxy of a worker.

    Parameters
    ----------
    context
        What the worker has.
    parts
        What all workers share.
    rules
        Who may ask.
    audit
        Records what changes something.
    """
    plan, config = context.plan, context.config
    host = plan.plain_host
    specs = specs_of(
        {name: context.ports.get(name, 0) or plan.port(name) for name in parts.names},
        host=host,
        more=other_instances(config),
        rules=config.headers,
        pool_size=config.pool_size,
        keepalive_seconds=config.keepalive_seconds,
        timeout_seconds=config.engine_timeout_ms / 1000,
    )
    proxy = Proxy(
        specs,
        RulesAccess(rules),
        context.counters,
        token=None if plan.demo else Path(plan.directory, "token").read_text(encoding="ascii").strip(),
        budgets={
            name: Budgets(RetryBudget(RETRY_SHARE, RETRIES, RETRIES), RetryBudget(HEDGE_SHARE, HEDGES, HEDGES))
            for name in parts.names
        },
        body_bytes=plan.config("http", HttpConfig).body_kib << 10,
        listeners=AudienceSettings(
            most=config.websockets,
            unsent_bytes=config.websocket_unsent_kib << 10,
            ping_seconds=config.websocket_ping_seconds,
        ),
    )
    proxy.spin = Spin(config.spin_us) if config.spin_us else None
    proxy.latency = context.latency
    proxy.audit = None if audit is None else audit.passed_on
    proxy.own = context.histogram("own")
    proxy.door = context.door
    if proxy.door is not None:
        proxy.door.refresh = Refresher(proxy)
    limiters = Limiters(path=f"{plan.shared}/{LIMITERS}")
    for engine in proxy.engines.values():
        _protect(engine, context, parts, limiters)

    def moved() -> None:
        for name, port in context.ports.items():
            engine = proxy.engines.get(name.encode())
            if engine is not None and port and engine.group.instances[0].address.port != port:
                engine.group.move(0, Address(name, host, port, config.routing.region))

    context.on_ports.append(moved)
    return proxy


def limit_for(size: int) -> LimiterSettings:
    """Of an engine with so many connections in its pool."""
    # The pool holds back what is more than its connections take; below its size even what is low is never shed, as far
    # as a limit goes.
    least = min(2 * size, LimiterSettings().most)
    return LimiterSettings(least=least, first=least, target_ns=TARGET_NS)


def _protect(engine: Engine, context: WorkerContext, parts: SharedParts, limiters: Limiters) -> None:
    """Put breaker and limit before an engine, and the table of routes into its choice."""
    name, group = engine.name, engine.group
    size = group.instances[0].pool.settings.size
    limiter = limiters.limiter(name, limit_for(size))
    gate = engine.gate = Gate(name, parts.breakers.breaker(name), limiter, context.counters)
    balance = _BALANCE[context.config.routing.balance]
    group.chooser = Chooser(parts.router.routes, name, group.instances, balance)

    def changed(instance: Instance, usable: bool) -> None:
        if usable:
            gate.returned(monotonic_ns())
        else:
            context.broken(name, instance.address.name, "silent" if instance.silent else "refused")

    group.on_health = changed
