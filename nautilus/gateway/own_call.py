"""A read of an engine that the gateway makes by itself, for the cache or for all who listen to a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nautilus.core.breaker import FAILURE, IGNORED, SUCCESS, TIMEOUT
from nautilus.core.proxy_head import NO_LENGTH, new_trace
from nautilus.core.proxy_lane import Aimed
from nautilus.policy.keys import INSTANCE, Principal
from nautilus.policy.shedding import PRIORITIES, index_of
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.http.problems import HttpError

if TYPE_CHECKING:
    from nautilus.gateway.failover import Instance
    from nautilus.gateway.proxy import Engine, Proxy


def outcome_of_failure(code: str, *, sent: bool) -> int:
    """What a call that came to nothing says of the engine: nothing where it was not sent."""
    if not sent:
        return IGNORED
    return TIMEOUT if code == "late" else FAILURE


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

    def on_again(self, now_ns: int) -> None:
        if self.engine.gate is not None:
            self.engine.gate.again(self, now_ns)

    def sent_again(self, code: str, *, sent: bool) -> bool:
        """Whether it goes to an instance once more, now or later, after it came to nothing."""
        if code not in ("broken", "connect"):
            return False
        now_ns, group = monotonic_ns(), self.engine.group
        group.outage(now_ns)
        return now_ns < self.deadline_ns and group.again(self, now_ns, sent=sent)

    def leave(self, outcome: int) -> None:
        """It has ended: what stands before the engine is told."""
        now_ns = monotonic_ns()
        took_ns = now_ns - self.sent_ns if self.sent_ns else 0
        if outcome <= TIMEOUT:
            self.engine.group.settle(self, took_ns, outcome == SUCCESS, now_ns)
        else:
            self.engine.group.drop(self)
        if self.engine.gate is not None:
            self.engine.gate.leave(self, now_ns, outcome)


__all__ = ["OwnCall", "outcome_of_failure"]
