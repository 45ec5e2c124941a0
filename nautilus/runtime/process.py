"""What a process of the platform does: builds its engines from the plan, runs them, and takes everything down again."""

from __future__ import annotations

import contextlib
import importlib
import logging
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nautilus.bus import Mesh, make_context
from nautilus.core.clock import now_ns, synchronise
from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.engines import CATALOGUE
from nautilus.engines.base import Engine, FeatureSets, FeatureStore, NoFeatureStore
from nautilus.engines.strategy import STRATEGIES
from nautilus.runtime import logs
from nautilus.runtime.auditing import record_kill
from nautilus.runtime.buslog import BusLog
from nautilus.runtime.catalog_place import catalog_place
from nautilus.runtime.clock import PlatformClock, next_epoch
from nautilus.runtime.config import resolve_sections
from nautilus.runtime.control import Control
from nautilus.runtime.data_door import DataDoor
from nautilus.runtime.guard import permissions_of, security_of
from nautilus.runtime.letters import Letters
from nautilus.runtime.live import LiveHost
from nautilus.runtime.loop import Rank
from nautilus.runtime.market import hub_config, instruments_of, market_part, setup_commands, slot_of
from nautilus.runtime.neighbours import Neighbours
from nautilus.runtime.paths import carriers_of
from nautilus.runtime.plan import Plan
from nautilus.runtime.platform import CoreConfig, LoggingConfig, PlatformConfig
from nautilus.runtime.sections import SECTIONS, section_name
from nautilus.runtime.strategies import load_strategies
from nautilus.runtime.tuning import handler_budget_ms
from nautilus.runtime.urgent import ask_machine, urgent_ring_of
from nautilus.runtime.venues import venue_warnings, venues_of, watched_venues
from nautilus.runtime.views import serve_http
from nautilus.runtime.watchdog import Watchdog
from nautilus.trading.process import SLOTS, event_log, run_core
from nautilus.trading.rim import RemoteCore, Rim
from nautilus.trading.settings import Settings

if TYPE_CHECKING:
    from nautilus.runtime.standing_by import StandingBy

SWITCH_SECONDS = 0.0005
EXIT_FAILED = 1
"""The process could not start, or broke."""

ELSEWHERE = {"gateway": "nautilus.gateway.process:run_gateway"}
"""Kinds of processes that packages above this one run, as text: ``module:function``."""

_LOGGER = logging.getLogger("nautilus.runtime")


def run_process(plan: Plan, name: str, connection: socket.socket) -> int:
    """Run a process of a plan until its supervisor says stop; the exit code.

    Parameters
    ----------
    plan, name
        What to run.
    connection
        The line to the supervisor.
    """
    synchronise()  # the template, of which this was forked, may have run on by itself for days
    log = logs.configure(name, plan.data, plan.config("logging", LoggingConfig))
    control = Control(plan, name, connection)
    try:
        kind = plan.process(name).kind
        if kind == "core":
            return _run_core(plan, name, control)
        if kind == "venue":
            from nautilus.runtime.venues import run_venue

            return run_venue(plan, name, control)
        if kind == "redis":
            from nautilus.runtime.redis_process import run_redis

            return run_redis(plan, name, control)
        if kind == "recorder":
            from nautilus.runtime.recorder_process import run_recorder

            return run_recorder(plan, name, control)
        if plan.standbys and name in plan.hubs:
            from nautilus.runtime.standing_by import StandingBy

            standing = StandingBy(plan, name, control)
            return _run_engines(plan, standing.role, control, standing) if standing.wait() else 0
        if kind in ELSEWHERE:
            module, _, function = ELSEWHERE[kind].partition(":")
            return int(getattr(importlib.import_module(module), function)(plan, name, control))
        if kind != "engines":
            from nautilus.runtime.journal import RUNS

            return RUNS[kind](plan, name, control)
        return _run_engines(plan, name, control)
    except Exception as error:
        _LOGGER.critical("process %s failed: %s", name, error, exc_info=error)
        control.failed(error)
        return EXIT_FAILED
    finally:
        _LOGGER.info("process has stopped")
        control.close()
        log.close()


def _run_core(plan: Plan, name: str, control: Control) -> int:
    settings = plan.config("core", CoreConfig)
    clock = PlatformClock(plan.clock)
    counters = Counters(path=plan.counters_of(name))
    epoch, bus_log = next_epoch(counters), BusLog()
    with contextlib.ExitStack() as undo:
        undo.callback(bus_log.flush, at_once=True)
        letters = Letters(name, plan.data, bus_log, counters)
        undo.callback(letters.close)
        security = security_of(plan, name, counters)
        context = make_context(security)
        undo.callback(context.destroy, 0)
        ring = urgent_ring_of(plan, name, epoch)
        if ring is not None:
            undo.callback(ring.close)
        neighbours = Neighbours(plan, name, security, context, epoch)
        undo.callback(neighbours.close)
        mesh = Mesh(
            context,
            name,
            epoch,
            neighbours.endpoint,
            now_ns,
            counters,
            peers=frozenset((*(spec.name for spec in plan.processes), *SLOTS)),
            permissions=permissions_of(plan, security),
            fallbacks=carriers_of(plan, name, now_ns, counters),
            urgent_ring=ring,
            on_path=bus_log.on_path,
            on_gap=bus_log.on_gap,
            on_standing=bus_log.on_standing,
            on_pressure=bus_log.on_pressure,
            on_dead_letters=letters.on_dead_letters,
        )
        undo.callback(mesh.close)
        ask_machine(plan, name)
        neighbours.join(mesh)

        def tend(wall_ns: int) -> None:
            neighbours.poll(wall_ns)
            context.refresh()
            security.write()

        return run_core(
            data=plan.data,
            shared=plan.shared,
            settings=Settings(**{field: getattr(settings, field) for field in Settings._fields}),
            mesh=mesh,
            control=control,
            counters=counters,
            latency=Histogram(path=f"{plan.shared}/latency.{name}.order"),
            clock=clock.now_ns,
            anchor=(plan.clock.wall_ns, plan.clock.platform_ns, plan.clock.speed),
            setup=setup_commands(plan),
            epoch=epoch,
            replica=plan.counters_of("replica"),
            venues=watched_venues(plan),
            tend=tend,
            on_kill=partial(record_kill, plan, name, counters),
            slots=(*SLOTS, *(slot_of(number) for number in range(1, 1 + plan.standbys))),
        )


def _run_engines(plan: Plan, name: str, control: Control, standing: StandingBy | None = None) -> int:
    # A scrape in the thread of HTTP must not keep the engines' thread waiting for the default 5 ms.
    sys.setswitchinterval(SWITCH_SECONDS)
    builder = EngineBuilder(plan)
    limit_ms = plan.config("platform", PlatformConfig).handler_limit_ms
    counters = None if standing is None else standing.counters()
    budget_ms = handler_budget_ms(plan, name, limit_ms)
    host = LiveHost(plan, name, builder.build, counters, limit_ms=budget_ms, standing=standing)
    logs.trace_with(host.calls.tracing.current)
    with contextlib.ExitStack() as undo:
        undo.callback(host.close)
        add_parts(host, builder, control)
        open_feature_store(host, builder, undo)
        ports = serve_http(host, undo, yields=standing is not None and standing.took_over)
        watchdog = Watchdog(limit_ms, host.calls.current, host.calls.describe, host.calls.began)
        watchdog.start()
        undo.callback(watchdog.stop)
        host.add_source(control.fileno(), partial(_obey, host, control), rank=Rank.CONTROL)
        host.outlook.when_ready = partial(control.ready, ports)
        host.start()
        if control.opened:
            host.open()  # it stood by when that was said
        _obey(host, control)  # what came before it was looked for
        host.run()
    return 0


def _obey(host: LiveHost, control: Control) -> None:
    for order in control.poll():
        if order == "open":
            host.open()
        elif order == "stop":
            host.stop()
        elif order == "kill":
            _LOGGER.warning("SIGUSR2 means something to the supervisor and to the core alone")


def open_feature_store(host: LiveHost, builder: EngineBuilder, undo: contextlib.ExitStack) -> None:
    """Keep figures of the analytics engine in Redis, where that is configured."""
    if "analytics" not in host.contexts:
        return
    config: Any = host.plan.config("analytics", CATALOGUE["analytics"].load_config())
    if not config.feature_store:
        return
    from nautilus.runtime.feature_store import RedisFeatureStore

    store = RedisFeatureStore(config.feature_store, config.feature_store_seconds, host.counters)
    undo.callback(store.close)
    builder.feature_store.target = store
    host.outlook.also.append(store.warnings)


def add_parts(host: LiveHost, builder: EngineBuilder, control: Control) -> None:
    """Put around the engines of a process what they need."""
    plan = host.plan
    if "trading" in host.contexts:
        core = builder.services["core"]
        core.note = host.calls.tracing.note_commands
        host.parts.append(Rim(host, host.contexts["trading"], core, plan.shared, event_log(plan.data)))
        if venues_of(plan):
            host.outlook.also.append(partial(venue_warnings, plan))
    if "marketdata" in host.contexts:
        host.parts.append(market_part(host, plan, lambda broken: control.finished()))
        instruments = instruments_of(plan)
        host.parts.append(
            DataDoor(
                host,
                {each.symbol: each.instrument_id for each in instruments},
                quoted=[each for each in instruments if each.routed],  # what else there is, the market plays
            )
        )


class LateFeatureStore:
    """Hands figures on once there is somewhere to keep them: engines are made before that."""

    def __init__(self) -> None:
        self.target: FeatureStore = NoFeatureStore()

    def put(self, name: str, values: Mapping[str, float | str], /) -> None:
        """See `FeatureStore`."""
        self.target.put(name, values)


class Uncached:
    """Where nobody keeps answers."""

    def invalidate(self, engine: str, prefix: str = "", /) -> None:
        """There is nothing to forget."""


def _feature_sets(plan: Plan) -> FeatureSets:
    from nautilus.store.feature_sets import ParquetFeatureSets

    return ParquetFeatureSets(str(Path(plan.data, "features")), catalog_place(plan))


class EngineBuilder:
    """Makes engines from the catalogue and the plan's settings."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.feature_store = LateFeatureStore()
        self.services: dict[str, Any] = {}
        """What constructors of engines ask for; made when the first one does."""
        self._makers: dict[str, Callable[[], Any]] = {
            "instruments": partial(instruments_of, plan),
            "strategies": self._strategies,
            "caches": Uncached,
            "feature_sets": partial(_feature_sets, plan),
            "feature_store": lambda: self.feature_store,
            "core": lambda: RemoteCore(plan.config("core", CoreConfig).answer_ms * 1_000_000),
        }

    def build(self, name: str) -> Engine:
        """A new engine."""
        entry = CATALOGUE[name]
        config: msgspec.Struct
        config = (
            hub_config(self._plan)
            if name == "marketdata"
            else self._plan.config(section_name(name), entry.load_config())
        )
        for need in entry.needs:
            if need not in self.services:
                self.services[need] = self._makers[need]()
        if "strategies" in entry.needs:
            self.services["strategies"] = self._strategies()  # they have a state of their own: never used twice
        return entry.build(config, **self.services)

    def _strategies(self) -> Any:
        kinds = resolve_sections({name: SECTIONS[name] for name in STRATEGIES if name in SECTIONS})
        sections = {name: self._plan.config(name, kind) for name, kind in kinds.items()}
        return load_strategies(self._plan.strategies, sections)


__all__ = ["EXIT_FAILED", "EngineBuilder", "add_parts", "run_process"]
