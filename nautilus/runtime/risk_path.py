"""No new orders from a process that risk does not reach: who cannot be told to stop does not begin.

Nor are any taken at the port of the trading engine, while that does not reach risk: nobody watches who enters them.
The controls of each order are in the core whatever happens here; what would be missing are the alerts of risk.
"""

from __future__ import annotations

from collections.abc import Iterable

from nautilus.bus.allowed import paths_of
from nautilus.bus.carriers import REDIS
from nautilus.bus.mesh import Mesh
from nautilus.engines.base import Engine
from nautilus.model.enums import Priority
from nautilus.model.errors import BusError
from nautilus.model.message import Message
from nautilus.model.queries import AmendRequest, OrderRequest
from nautilus.runtime.plan import Plan

RISK, TRADING = "risk", "trading"
_ENTERED = (OrderRequest, AmendRequest)


class RiskPathError(BusError):
    """A new order was not sent, as no path to risk is left."""

    code = "bus.risk_path"


class RiskPath:
    """Of a process whose mesh has other paths than ZeroMQ; without them connections are told of as ever, and no more.

    Parameters
    ----------
    engines
        Of the process: who of them sends orders is watched over.
    """

    def __init__(self, plan: Plan, process: str, mesh: Mesh, engines: Iterable[Engine]) -> None:
        self._mesh = mesh
        self._peer = next((spec.name for spec in plan.processes if RISK in spec.engines), "")
        here = list(engines) if self._peer not in ("", process) else []
        self._takes = any(engine.name == TRADING for engine in here)
        self._sends = any(engine.source_id for engine in here)
        self._watches = self._takes or self._sends

    def start(self) -> None:
        """Look at the path from now on."""
        if self._watches and self._mesh.has_fallbacks:
            self._mesh.dial(self._peer, Priority.URGENT)

    @property
    def closed(self) -> str:
        """Why nothing may enter a market from here; "": it may."""
        paths = self._mesh.paths.get(self._peer) if self._watches else None
        return "" if paths is None or paths.carries else f"no new orders: no path to {self._peer} ({paths.cause})"

    @property
    def unready(self) -> str:
        """Why engines here cannot do their work; "": they can. The trading engine does what is left: it cancels."""
        return self.closed if self._sends else ""

    def refuses_here(self, engine: str, message: Message) -> RiskPathError | None:
        """The refusal of an order that was entered at the port of an engine of this process."""
        return self.refuses(message) if self._takes and engine == TRADING and isinstance(message, _ENTERED) else None

    def refuses(self, message: Message) -> RiskPathError | None:
        """The refusal of a message that would enter a market now."""
        if not self._watches or paths_of(message) & REDIS:
            return None
        closed = self.closed
        return RiskPathError(closed, where=RISK, expected="to be sent again later") if closed else None
