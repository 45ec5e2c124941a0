"""A read of an engine that the gateway makes by itself, for the cache or for all who listen to a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nautilus.core.breaker import SUCCESS
from nautilus.core.proxy_head import NO_LENGTH, new_trace
from nautilus.core.proxy_lane import Aimed
from nautilus.policy.keys import INSTANCE, Principal
from nautilus.policy.shedding import PRIORITIES, index_of
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.http.problems import HttpError

if TYPE_CHECKING:
    from nautilus.gateway.failover import Instance
    from nautilus.gateway.proxy import Engine, Proxy


class OwnCall(Aimed):
    """It stands behind the same breaker and limit as what clients ask, and may be sent again.

    Parameters
    ----------
    name
        Whom the engine is told to be asked by.
    priority
        Its name.
    """

    __slots__ = ("_principal",)

    def __init__(self, engine: Engine, name: str, priority: str, now_ns: int) -> None:
        self._principal = Principal(name, INSTANCE.scopes)
        self.engine = engine
        self.safe = True
        self.priority = index_of(priority)
        self.wait_until_ns = self.deadline_ns = self.watch_ns = now_ns + engine.timeout_ns
        self.sends = 1

    def begin(self, proxy: Proxy) -> None:
        """Send it, unless what stands before the engine refuses that."""
        now_ns = monotonic_ns()
        try:
            if self.engine.gate is not None:
                self.engine.gate.enter(self, now_ns)
        except HttpError as error:
            self.refused(error)
            return
        self.engine.group.dispatch(self, now_ns)
        proxy.hurry()

    def refused(self, error: HttpError) -> None:
        """It is not sent."""
        raise NotImplementedError

    def head_for(
        self, instance: Instance, target: bytes, fields: list[tuple[bytes, bytes]], *, upgrade: bool = False
    ) -> bytes:
        """What an instance is sent."""
        head: bytes = self.engine.heads.request(
            "GET",
            target,
            fields,
            authority=instance.authority,
            client="",
            host=instance.authority,
            tls=False,
            principal=self._principal,
            priority=PRIORITIES[self.priority],
            trace=new_trace(),
            length=NO_LENGTH,
            upgrade=upgrade,
        )
        return head

    def on_trouble(self) -> None:
        if self.engine.gate is not None:
            self.engine.gate.wait(self, monotonic_ns())

    def leave(self, outcome: int) -> None:
        """It has ended: what stands before the engine is told."""
        now_ns = monotonic_ns()
        took_ns = now_ns - self.sent_ns if self.sent_ns else 0
        self.engine.group.settle(self, took_ns, outcome == SUCCESS, now_ns)
        if self.engine.gate is not None:
            self.engine.gate.leave(self, now_ns, outcome)


__all__ = ["OwnCall"]
