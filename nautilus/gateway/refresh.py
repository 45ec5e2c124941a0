"""A request that the cache makes on its own: for an answer that has become old, or that will be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nautilus.core.breaker import SUCCESS
from nautilus.core.proxy_call import outcome_of
from nautilus.core.proxy_head import AnswerHead
from nautilus.gateway.cache import Fill, Question
from nautilus.gateway.cache_door import unconditional
from nautilus.gateway.endpoints import BASE
from nautilus.gateway.failover import Instance
from nautilus.gateway.own_call import OwnCall, outcome_of_failure
from nautilus.policy.shedding import PRIORITIES
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.http.problems import HttpError

if TYPE_CHECKING:
    from nautilus.gateway.proxy import Engine, Proxy


class Refresh(OwnCall):
    """Feeds a fill; nobody else waits for it."""

    __slots__ = ("fill",)

    def __init__(self, engine: Engine, fill: Fill) -> None:
        super().__init__(engine, "gateway-cache", PRIORITIES[-1], monotonic_ns())
        self.fill = fill

    def refused(self, error: HttpError) -> None:
        self.fill.failed(error)

    def aim(self, instance: Instance) -> None:
        question = self.fill.question
        self.heard = False
        target = BASE + self.engine.name.encode() + question.path
        self.payload = self.head_for(instance, target, unconditional(question.fields))

    def on_whole(self, head: AnswerHead, body: bytes) -> None:
        self.fill.whole(head.status, head.lines, head.fields(), body)
        self.leave(outcome_of(head.status, body))

    def on_head(self, head: AnswerHead) -> None:
        self.safe = False  # the fill has a part of this answer: another one must not follow it
        self.fill.begin(head.status, head.lines, head.fields())

    def on_data(self, data: bytes) -> None:
        self.fill.data(data)

    def on_end(self) -> None:
        self.fill.end()
        self.leave(SUCCESS)

    def on_failure(self, code: str, what: str, *, sent: bool) -> None:
        if self.sent_again(code, sent=sent):
            return
        self.fill.failed(HttpError(503, "gateway.unreachable", what, where=self.engine.name))
        self.leave(outcome_of_failure(code, sent=sent))


class Refresher:
    """Asks engines for the sake of the cache, as `nautilus.gateway.cache_door.Refresher`."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def __call__(self, question: Question, fill: Fill) -> None:
        """Feed the fill with the engine's answer."""
        engine = self._proxy.engines.get(question.engine.encode())
        if engine is None:
            fill.left()
            return
        Refresh(engine, fill).begin(self._proxy)
