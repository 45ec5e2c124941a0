"""What the workers of a gateway share: files in the instance's shared memory, which outlive lead and workers.

The lead makes them, workers attach, and the next lead goes on with them as they are: a breaker that was open stays
open, an answer that was kept serves on. They end with the instance.
"""

from __future__ import annotations

from nautilus.core.counters import Counters
from nautilus.core.response_cache import Answers
from nautilus.engines import CATALOGUE
from nautilus.gateway.config import GatewayConfig
from nautilus.runtime.plan import Plan

FORGOTTEN_BY_BUS = "cache.forgotten_by_bus"


def answers_at(plan: Plan) -> str:
    """Of the answers that are kept."""
    return f"{plan.shared}/gateway.answers"


def open_answers(plan: Plan, config: GatewayConfig) -> Answers:
    """The answers that workers share: made where there are none, else as they are."""
    answers = Answers(answers_at(plan), kib=config.cache_shared_mib << 10, epoch=plan.epoch)
    for name in CATALOGUE:
        answers.engine(name)
    return answers


class SharedCaches:
    """Makes all workers forget answers, as `nautilus.engines.base.Caches`."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._names = tuple(CATALOGUE)
        self._counters: Counters | None = None
        self._forgotten = 0

    def count_in(self, counters: Counters) -> None:
        """Count what is forgotten from now on."""
        self._forgotten = counters.counter(FORGOTTEN_BY_BUS)
        self._counters = counters

    def invalidate(self, engine: str, prefix: str = "", /) -> None:
        """Forget those of an engine ("": of every one) whose path begins so."""
        if self._counters is not None:
            self._counters.increment(self._forgotten)
        for name in (engine,) if engine else self._names:
            self._answers.forget(self._answers.engine(name), prefix.encode())
