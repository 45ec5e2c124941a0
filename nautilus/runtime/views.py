"""The HTTP side of a process: a port for each of its engines, with what the host knows of it."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from socket import socket

from nautilus.runtime.access_settings import AccessConfig, checked_context, rules_of
from nautilus.runtime.auditing import open_audit
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.http.app import EngineApp
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.frames import frames_route
from nautilus.runtime.http.request import Route
from nautilus.runtime.http.server import HttpServer
from nautilus.runtime.http.sessions import session_route
from nautilus.runtime.http.sockets import PortError, bind_pair
from nautilus.runtime.http.star_frames import star_route
from nautilus.runtime.live import LiveHost
from nautilus.runtime.live_context import LiveContext
from nautilus.runtime.messages import CORE
from nautilus.runtime.metrics import EngineView, SharedMeters
from nautilus.runtime.star import Star

_LOGGER = logging.getLogger("nautilus.runtime")


def serve_http(host: LiveHost, undo: ExitStack, *, yields: bool = False) -> dict[str, int]:
    """Listen on the port of each engine of a host, and answer there until `undo`; {engine: port}.

    yields: a port that cannot be had is left to who has it, and another one is used.

    Raises
    ------
    PortError
        A port cannot be had.
    """
    plan = host.plan
    config = plan.config("http", HttpConfig)
    rules = rules_of(plan, host.counters)
    audit = open_audit(plan, host.process, host.counters)
    if audit is not None:
        undo.callback(audit.close)
    tls = checked_context(plan)
    apps: dict[str, tuple[EngineApp, socket]] = {}
    secure: dict[str, socket] = {}
    own: dict[str, tuple[Route, ...]] = {}
    routes = [frames_route(plan.directory, [spec.name for spec in plan.processes])]
    if "marketdata" in host.contexts:
        routes.append(star_route(lambda: _star_of(host)))
        from nautilus.runtime.catalog_door import CatalogDoor  # other processes need nothing of it
        from nautilus.runtime.catalog_place import catalog_place

        catalog = CatalogDoor(catalog_place(plan), plan.sections.get("catalog", {}))
        undo.callback(catalog.close)
        own["marketdata"] = catalog.routes()
    if rules.keys is not None:
        routes.append(session_route(rules.keys, plan.config("access", AccessConfig).session_seconds))
    for context in host.contexts.values():
        try:
            listener, open_to = bind_pair(plan.plain_host, plan.bind, plan.port(context.name), context.name)
        except PortError as error:
            if not yields:
                raise
            _LOGGER.warning("another port is used: %s", error)
            listener, open_to = bind_pair(plan.plain_host, plan.bind, 0, context.name)
        undo.callback(listener.close)
        if open_to is not None:
            undo.callback(open_to.close)
            secure[context.name] = open_to
        view = view_of(host, context, whole_process=not apps)
        kind = type(context.engine)
        app = EngineApp(
            view, kind.operations, host.questions.put, rules, config=config, audit=audit, streams=kind.streams,
            routes=(*routes, *own.get(context.name, ())), glance=host.glances.get(context.name),
        )  # fmt: skip
        for topic, stream in app.streams.items():
            host.messages.listen(topic, stream.put)
        apps[context.name] = (app, listener)
    server = HttpServer(apps, host.counters, config, tls, secure)
    server.start()
    undo.callback(server.stop)
    host.when_stopping = server.drain
    return server.ports


def view_of(host: LiveHost, context: LiveContext, *, whole_process: bool) -> EngineView:
    """What an engine's port shows, kept up to date by its host."""
    histograms = {"handle": context.histogram}
    if context.engine.source_id:
        histograms["order_round_trip"] = host.messages.round_trips
    view = EngineView(
        context.name,
        host.process,
        host.counters,
        started_ns=monotonic_ns(),
        histograms=histograms,
        reasons=lambda: host.outlook.reasons,
        warnings=lambda: host.outlook.warnings,
        bus=lambda: host.outlook.bus,
        more=lambda: host.outlook.more.get(context.name, {}),
        shared=_without_port(host) if context.name == "trading" else (),
        process_metrics=whole_process,
    )
    protection = host.messages.guards.get(context.name)
    if protection is not None:
        view.protection = protection
        histograms |= {name: protection.guards[name].latency for name in protection.declared}

    def renew() -> None:
        view.state = context.state

    host.outlook.looks.append(renew)
    return view


def _star_of(host: LiveHost) -> Star | None:
    """What the hub of this process publishes with; None: it is not the hub now."""
    star = None if host.hub is None else host.hub.star
    return star if isinstance(star, Star) else None


def _without_port(host: LiveHost) -> tuple[SharedMeters, ...]:
    """The core, what belongs to its journal, sessions of venues."""
    names = (
        CORE,
        *(spec.name for spec in host.plan.processes if spec.kind in ("follower", "replica", "venue", "recorder")),
    )
    return tuple(SharedMeters(name, host.plan.shared) for name in names)
