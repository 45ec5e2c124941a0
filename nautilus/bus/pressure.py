"""How full the streams to peers are: what a sender sees of back-pressure, before anything is cut.

A stream holds what its peer has not acknowledged. Above the high mark it is pressed until it is below the low one, so
that what hovers at a mark is told once. Nothing here is on the way of a message: streams are looked at every 10 ms
while anything waits; who wants to know at once asks for the pressure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from nautilus.bus.peers import gauge_of
from nautilus.bus.tally import Tally
from nautilus.core.counters import Counters
from nautilus.model.enums import Priority

FULL: Final = 0
"""What `try_post` gives instead of an id where the stream has no room."""
HIGH, LOW = 0.5, 0.25
"""Marks, as shares of the limit of a stream."""
COUNTED: Final = ("full", "pressed")

Key = tuple[str, int]


class Pressure(NamedTuple):
    """Of one stream.

    Attributes
    ----------
    pending, limit : messages that it holds, and may hold.
    oldest_ns : how long the oldest of them has been held, to within a look; 0: none is.
    high : it went above the high mark, and has not been below the low one since.
    """

    pending: int
    limit: int
    oldest_ns: int
    high: bool


class _Stream:
    """What is known of one stream."""

    __slots__ = ("base", "gauge", "high", "since_ns")

    def __init__(self, base: int, now_ns: int, gauge: int) -> None:
        self.base = base
        self.since_ns = now_ns
        self.high = False
        self.gauge = gauge


class PressureGauge:
    """Of all streams of a node.

    Parameters
    ----------
    limit
        Messages that a stream holds at most.
    changed
        Called with (peer, priority, high) when a stream goes over a mark.
    counters
        Table to keep ``peer.<name>.pending_<priority>`` in, gauges, once anything waits there.

    Attributes
    ----------
    full : messages that `try_post` refused.
    pressed : times that a stream went above the high mark.
    high : messages at which it does.
    """

    def __init__(self, limit: int, changed: Callable[[str, int, bool], None], counters: Counters | None = None) -> None:
        self.full = self.pressed = 0
        self.limit = limit
        self.high = max(1, int(limit * HIGH))
        self._low = int(limit * LOW)
        self._changed = changed
        self._counters = counters
        self._tally = Tally(counters, "mesh", self, COUNTED)
        self._streams: dict[Key, _Stream] = {}

    def look(self, streams: Mapping[Key, tuple[Any, Any]], now_ns: int) -> None:
        """See how full they are; each has `live`, messages held, and `base`, the number of the oldest."""
        for key, (stream, _) in tuple(streams.items()):  # the host may dial and hang up when it is told
            live = stream.live
            known = self._streams.get(key)
            if known is None:
                if not live:
                    continue
                gauge = gauge_of(self._counters, key[0], f"pending_{Priority(key[1]).name.lower()}")
                known = self._streams[key] = _Stream(stream.base, now_ns, gauge)
            if stream.base != known.base or not live:
                known.base, known.since_ns = stream.base, now_ns
            if known.gauge >= 0 and self._counters is not None:
                self._counters.set(known.gauge, live)
            if not known.high and live >= self.high:
                known.high = True
                self.pressed += 1
                self._changed(*key, True)
            elif known.high and live <= self._low:
                known.high = False
                self._changed(*key, False)
        self._tally.write()

    def of(self, key: Key, stream: Any, now_ns: int) -> Pressure:
        """Of one stream now."""
        known = self._streams.get(key)
        live = stream.live if stream is not None else 0
        oldest_ns = now_ns - known.since_ns if known is not None and live else 0
        high = live >= self.high or (known is not None and known.high and live > self._low)
        return Pressure(live, self.limit, max(oldest_ns, 0), high)

    def forget(self, peer: str) -> None:
        """A peer is gone for good."""
        for key in [key for key in self._streams if key[0] == peer]:
            known = self._streams.pop(key)
            if known.gauge >= 0 and self._counters is not None:
                self._counters.set(known.gauge, 0)


__all__ = ["FULL", "HIGH", "LOW", "Pressure", "PressureGauge"]
