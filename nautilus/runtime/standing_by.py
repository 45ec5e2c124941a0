"""The hub's process where another one stands by for it: which of the two is the hub, and what the other one does.

::

    start ─▶ is there a hub that lives? ── no ─▶ the hub: its engine, its part of the market, its places on the mesh
                     │ yes                            │ it is told of a higher epoch
                     ▼                                ▼
                 stands by ── it is dead, or ──▶   ends, and is started again: stands by
                              a person says so

Whoever is the hub has the name of the hub's process on the mesh, and its counters, state and ring; each of the two
processes has places of its own for star, replays and registry. So a reader dials both, and everybody else finds the hub
where it was. One that is replaced ends at once, without a word to anybody: its sockets are those of its successor.
"""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from zmq.backend import zmq_poll

from nautilus.bus import make_context
from nautilus.bus.security import Security
from nautilus.bus.sockets import BusContext
from nautilus.bus.standby_hub import FencedError, Hub, HubState
from nautilus.core.counters import Counters
from nautilus.runtime.clock import PlatformClock, wall_ns
from nautilus.runtime.control import Control
from nautilus.runtime.guard import security_of
from nautilus.runtime.star import open_hub
from nautilus.runtime.states import READY, SEEN

if TYPE_CHECKING:
    from nautilus.runtime.plan import Plan

_LOGGER = logging.getLogger("nautilus.runtime")
LOOK_NS = 100_000_000
POLLIN = 1


class StandingBy:
    """One of the two processes, until it is the hub.

    Attributes
    ----------
    role : the name that the hub has on the mesh.
    hub, security, context, counters : for the host of the hub's engine.
    took_over : it stood by before it became the hub.
    """

    def __init__(self, plan: Plan, name: str, control: Control) -> None:
        self.role, spare = plan.hubs
        self.took_over = False
        self.security: Security
        self.context: BusContext
        self._plan = plan
        self._name = name
        self._control = control
        self._spare = spare
        self._counters: Counters | None = None
        self._looked_ns = 0
        with ExitStack() as undo:
            # Counters of the hub are those of whoever is it: they are opened when that is decided.
            self.security = security_of(plan, self.role, None)
            self.context = make_context(self.security)
            undo.callback(self.context.destroy, 0)
            self.hub: Hub = open_hub(
                plan,
                name,
                self.context,
                PlatformClock(plan.clock).now_ns,
                wall_ns(),
                self.counters,
                standby=name == spare,
                on_state=self._on_state,
            )
            undo.pop_all()

    def counters(self) -> Counters:
        """Of the hub's process."""
        if self._counters is None:
            self._counters = Counters(path=self._plan.counters_of(self.role))
            self.security.count_in(self._counters)
        return self._counters

    def wait(self) -> bool:
        """Stand by until this is the hub; False: it is to stop before."""
        hub, control = self.hub, self._control
        if self._is_hub():
            return True
        self.took_over = True
        own = Counters(path=self._plan.counters_of(self._spare))
        ready, seen = own.gauge(READY), own.gauge(SEEN)
        control.ready({})
        try:
            while not self._is_hub() and not control.stop_requested:
                items: list[Any] = [*hub.sockets(), control.fileno()]
                now_ns = wall_ns()
                # No longer than a look takes to be due: what is later is of before the clock was set back.
                zmq_poll([(item, POLLIN) for item in items], min(max(hub.due_ns - now_ns, 0), LOOK_NS) // 1_000_000)
                control.poll()
                now_ns = wall_ns()
                hub.poll(now_ns)
                if now_ns - self._looked_ns > LOOK_NS:
                    self._looked_ns = now_ns
                    self.context.refresh()
                    own.set(ready, 1)
                    own.set(seen, now_ns)
        except BaseException:
            self.close()
            raise
        if self._is_hub():
            return True
        self.close()
        return False

    def _is_hub(self) -> bool:
        return self.hub.state is HubState.ACTIVE

    def close(self) -> None:
        """Give it up before anything was made of it."""
        self.hub.close(for_good=True)
        self.context.destroy(0)

    def _on_state(self, state: HubState, cause: str) -> None:
        if state is HubState.FENCED:
            self._control.failed(
                FencedError(
                    f"{self._name} is the hub no more: {cause}", where="hub", expected="to stand by from now on"
                )
            )
            os._exit(1)  # nothing of it is closed: the names of its sockets are those of its successor
