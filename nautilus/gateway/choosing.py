"""Which instance of an engine a request goes to: the table of routes decides, and learns from how it went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nautilus.core.proxy_lane import ChooserBase
from nautilus.core.route import GATEWAY, ROUTE_GATEWAY, Routes

if TYPE_CHECKING:
    from nautilus.gateway.failover import Instance

CLASSES = ("read", "write")


class Chooser(ChooserBase):
    """Of one engine.

    Parameters
    ----------
    routes
        Shared by the workers.
    balance
        Flags of `Routes.decide`: how instances are balanced.
    """

    __slots__ = ()

    def __init__(self, routes: Routes, engine: str, instances: Sequence[Instance], balance: int = 0) -> None:
        self._routes = routes
        self._flags = balance | GATEWAY
        for instance in instances:
            routes.instance(engine, instance.address.name, instance.address.region)
        self._groups = [routes.group(engine, each) for each in CLASSES]
        self._by_target = {}
        self._targets = {}
        for write in (False, True):
            for instance in instances:
                target = routes.target(engine, CLASSES[write], instance.address.name, ROUTE_GATEWAY)
                self._by_target[target] = instance
                self._targets[instance, write] = target

    def drop(self, target: int) -> None:
        """It was given up, which says nothing about the instance."""
        self._routes.end(target)
