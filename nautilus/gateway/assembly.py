"""Puts the application of a worker together, of what the worker has and what all workers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nautilus.gateway.app import GatewayApp
from nautilus.gateway.data_path import make_proxy
from nautilus.gateway.meters import WorkerMeters
from nautilus.gateway.monitored import MonitoredHealth
from nautilus.gateway.parts import shared_parts
from nautilus.gateway.services import Services
from nautilus.gateway.views import SharedBreakers, SharedRouting
from nautilus.runtime.auditing import Recorder
from nautilus.runtime.http.access import AccessRules
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.frames import frames_route
from nautilus.runtime.metrics import EngineView

if TYPE_CHECKING:
    from nautilus.gateway.worker import WorkerContext


def assemble(context: WorkerContext, view: EngineView, rules: AccessRules, audit: Recorder | None = None) -> GatewayApp:
    """The application at a worker's port.

    Parameters
    ----------
    context
        What the worker has.
    view
        What its probes show.
    rules
        Who may ask.
    audit
        Records what changes something.
    """
    plan = context.plan
    parts = shared_parts(plan)
    services = Services(
        names=parts.names,
        breakers=SharedBreakers(parts.breakers, parts.names),
        routing=SharedRouting(parts.router, parts.settings),
        health=MonitoredHealth(plan, parts.names, context.look),
        meters=WorkerMeters(plan, parts),
        settings=parts.settings,
    )
    proxy = make_proxy(context, parts, rules, audit)
    app = GatewayApp(view, services, rules, proxy, config=plan.config("http", HttpConfig), audit=audit)
    # The lead has a name on the mesh, and no port but this one.
    app.add(frames_route(plan.directory, [spec.name for spec in plan.processes]))
    return app
