"""A client on the bus of a running instance."""

from __future__ import annotations

from typing import Any

from nautilus.bus.client import BusClient
from nautilus.bus.security import Security
from nautilus.core.clock import now_ns
from nautilus.runtime.clock import PlatformClock
from nautilus.runtime.guard import token_at
from nautilus.runtime.instance import Instance
from nautilus.runtime.live import mesh_endpoint
from nautilus.runtime.market import instruments_of
from nautilus.runtime.paths import carriers_of


def attach(instance: Instance | str, name: str, **options: Any) -> BusClient:
    """A client of an instance; to be closed when done.

    Parameters
    ----------
    instance
        Or its name.
    name
        Of the client, for logs.
    options
        Further arguments of `BusClient`.

    Raises
    ------
    NotRunningError
        No instance of that name runs.
    """
    found = Instance.find(instance) if isinstance(instance, str) else instance
    plan = found.plan()
    # Where a process listens on TCP too, it is to see that the client is of this instance's user.
    security = Security(name, token=token_at(plan.directory), plain_loopback=True)

    def endpoint(process: str, lane: str) -> str:
        place = mesh_endpoint(plan, process, lane)
        security.expect(place, process)
        return place

    options.setdefault("carriers", lambda process: carriers_of(plan, process, now_ns, None))
    return BusClient(
        name,
        plan.routing,
        endpoint,
        plan.stars,
        instruments={each.symbol: each.instrument_id for each in instruments_of(plan)},
        table=None if plan.joined else plan.last_values,
        clock=PlatformClock(plan.clock).now_ns,
        security=security,
        **options,
    )
