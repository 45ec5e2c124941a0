"""The lead of the gateway: hosts its engine on the bus, holds its listening sockets, and keeps its workers running."""

from __future__ import annotations

import contextlib
import sys
from functools import partial

from nautilus.gateway.config import GatewayConfig
from nautilus.gateway.lead import Lead
from nautilus.gateway.nest import Nest
from nautilus.gateway.parts import shared_parts
from nautilus.gateway.regions import SharedCaches, open_answers
from nautilus.gateway.worker import run_worker
from nautilus.runtime import logs
from nautilus.runtime.control import Control
from nautilus.runtime.live import LiveHost
from nautilus.runtime.loop import Rank
from nautilus.runtime.plan import Plan
from nautilus.runtime.platform import PlatformConfig
from nautilus.runtime.process import SWITCH_SECONDS, EngineBuilder
from nautilus.runtime.watchdog import Watchdog


def run_gateway(plan: Plan, name: str, control: Control) -> int:
    """Run the gateway until the supervisor says stop; the exit code."""
    nest = Nest(run_worker)  # before this process has a thread or a socket of ZeroMQ
    sys.setswitchinterval(SWITCH_SECONDS)
    builder = EngineBuilder(plan)
    caches = builder.services["caches"] = SharedCaches(open_answers(plan, plan.config("gateway", GatewayConfig)))
    limit_ms = plan.config("platform", PlatformConfig).handler_limit_ms
    with contextlib.ExitStack() as undo:
        undo.callback(nest.close)
        host = LiveHost(plan, name, builder.build, limit_ms=limit_ms)
        logs.trace_with(host.calls.tracing.current)
        undo.callback(host.close)
        caches.count_in(host.counters)
        lead = Lead(host, nest, shared_parts(plan).breakers)
        undo.callback(lead.close)
        host.parts.append(lead)
        host.when_stopping = lead.drain
        watchdog = Watchdog(limit_ms, host.calls.current, host.calls.describe, host.calls.began)
        watchdog.start()
        undo.callback(watchdog.stop)
        control.renews = True
        obey = partial(_obey, host, lead, control)
        host.add_source(control.fileno(), obey, rank=Rank.CONTROL)
        host.outlook.when_ready = lambda: control.ready({"gateway": lead.port})
        host.start()
        obey()  # what came before it was looked for
        host.run()
    return 0


def _obey(host: LiveHost, lead: Lead, control: Control) -> None:
    for order in control.poll():
        if order == "open":
            host.open()
        elif order == "stop":
            host.stop()
        elif order == "renew":
            lead.renew()
