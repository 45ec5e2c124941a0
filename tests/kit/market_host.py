"""A host for the market's driver alone: time goes from one callback to the next, or in steps."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from nautilus.engines.base import Engine
from nautilus.model.enums import EngineState
from tests.kit.context import SECOND, RecordingContext


class HubContext(RecordingContext):
    """The hub's context: keeps what it publishes."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.state = EngineState.RUNNING


class MarketHost:
    """Calls back at the times that were asked for; `every_ns`: time moves on in steps of this size."""

    def __init__(self, now_ns: int = SECOND, every_ns: int = 1) -> None:
        self.now_ns = now_ns
        self.every_ns = every_ns
        self.sources: dict[int, Callable[[], object]] = {}
        self._timers: list[tuple[int, int, Callable[[], object]]] = []
        self._order = 0

    def clock(self) -> int:
        return self.now_ns

    def call_at(self, ns: int, callback: Callable[[], object]) -> None:
        self._order += 1
        heappush(self._timers, (ns, self._order, callback))

    def add_source(self, item: int, callback: Callable[[], object], *, arm: Callable[[], bool] | None = None) -> None:
        self.sources[item] = callback

    def remove_source(self, item: int) -> None:
        del self.sources[item]

    def call(self, context: HubContext, handler: Callable[..., object], *arguments: object) -> bool:
        context.now_ns = self.now_ns
        handler(*arguments, context)
        return True

    def run(self, until_ns: int, stop: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until then, or until `stop` says so."""
        while self._timers and not stop():
            due_ns = max(self._timers[0][0], self.now_ns)
            due_ns += -due_ns % self.every_ns
            if due_ns > until_ns:
                break
            self.now_ns = due_ns
            for _ in range(len(self._timers)):
                if not self._timers or self._timers[0][0] > due_ns:
                    break
                heappop(self._timers)[2]()
        else:
            return
        self.now_ns = until_ns
