"""What was said lately: after a crash it is said again, as it may not have reached everybody.

A message that is on its way when its sender is killed is lost, while the sender's saved state may know that it was
sent. What is said again is the same message, to the last field: who has it can tell.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from nautilus.engines.base import Context
from nautilus.model.alerts import RiskAlert
from nautilus.model.commands import KillSwitch
from nautilus.model.risk import LimitBreached

AGAIN_NS: Final = 10_000_000_000
"""So long before the last saved state."""
MOST: Final = 1_000
Event = RiskAlert | LimitBreached | KillSwitch
_KINDS: Final[dict[str, type[Event]]] = {kind.__name__: kind for kind in (RiskAlert, LimitBreached, KillSwitch)}


class Said:
    """Messages of the last seconds, in order."""

    def __init__(self) -> None:
        self._events: deque[tuple[int, Event]] = deque(maxlen=MOST)
        self._doubtful: list[Event] = []

    def say(self, event: Event, ctx: Context) -> None:
        """Say it, and remember."""
        self._send(event, ctx)
        self._events.append((ctx.now_ns, event))
        while self._events[0][0] < ctx.now_ns - AGAIN_NS:
            self._events.popleft()

    def again(self, ctx: Context) -> None:
        """Say again what the life before said last: it was cut short."""
        for event in self._doubtful:
            self._send(event, ctx)
        self._doubtful.clear()

    def delivered(self) -> None:
        """All of it will arrive: this life ends in order."""
        self._events.clear()

    def state(self) -> list[list[Any]]:
        """Plain values."""
        return [[ns, type(event).__name__, msgspec.to_builtins(event)] for ns, event in self._events]

    def restore(self, rows: Iterable[list[Any]]) -> None:
        """Take over what `state()` gave."""
        self._events.extend((ns, msgspec.convert(event, _KINDS[kind])) for ns, kind, event in rows)
        self._doubtful = [event for _, event in self._events]

    @staticmethod
    def _send(event: Event, ctx: Context) -> None:
        if isinstance(event, KillSwitch):
            ctx.send("trading", event)
        else:
            ctx.publish(event)


__all__ = ["Said"]
