"""Where both ends of the star stand, stream by stream, in shared tables: so that `lost` is counted from both ends.

The publisher's last sequence of a stream, minus what a subscriber was handed or never subscribed to, is what it lacks.

Names in a table: ``hub.epoch`` and ``hub.<stream>.last`` of the publisher; ``epoch``, ``left`` (1: closed in order),
``<stream>.joined``, ``<stream>.arrived`` and ``<stream>.known`` (last sequence heard of) of the subscriber; of both how
many streams had no room (``hub.uncounted``, ``uncounted``). Streams are hexadecimal. A process has at most one of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from nautilus.core.counters import Counters

CAPACITY = 4096
"""Gauges in a table, 128 bytes each: 1,364 streams of a subscriber. Streams beyond that are counted as such."""
Rows = np.ndarray[Any, np.dtype[np.uint64]]
"""(stream, last sequence) of each stream, as heartbeats tell them."""
NO_ROWS: Rows = np.empty((0, 2), np.uint64)


def changed_rows(rows: Rows, before: Rows) -> list[list[int]]:
    """Those of the rows that are not what they were before; new ones come at the end."""
    common = min(len(rows), len(before))
    differ = (rows[:common] != before[:common]).any(axis=1)
    return [*rows[:common][differ].tolist(), *rows[common:].tolist()]


class Ended(NamedTuple):
    """Where a life of the publisher ended.

    Attributes
    ----------
    epoch : 0: nothing is known.
    lasts : {stream: last sequence that is known}.
    """

    epoch: int
    lasts: dict[int, int]


def ended_in(table: Mapping[str, int]) -> Ended:
    """Where the life ended that wrote a publisher's table last: as of its last heartbeat."""
    lasts = {}
    for name, value in table.items():
        part, _, rest = name.partition(".")
        stream, _, what = rest.partition(".")
        if part == "hub" and what == "last" and value:
            lasts[int(stream, 16)] = value
    return Ended(table.get("hub.epoch", 0), lasts)


class PositionTable:
    """The writing side: gauges of one process. Without a table it does nothing.

    `hub`: of the publisher. What an earlier life left in the table is not this one's, and is set to 0.
    """

    __slots__ = ("_names", "_own", "_streams", "_table", "_without")

    def __init__(self, table: Counters | None, *, hub: bool) -> None:
        self._table = table
        self._names = ("hub.{:x}.last",) if hub else ("{:x}.joined", "{:x}.arrived", "{:x}.known")
        # Without these the others say nothing, so there is room for them whatever comes.
        own = ("hub.epoch", "hub.uncounted") if hub else ("epoch", "uncounted", "left")
        self._own = {name: table.gauge(name) for name in own} if table is not None else {}
        self._streams: dict[int, tuple[int, ...]] = {}
        self._without: set[int] = set()
        if table is not None:
            for name in table.snapshot():
                if name.startswith("hub.") == hub:
                    table.set(table.gauge(name), 0)

    def put(self, name: str, value: int) -> None:
        """Set one of the gauges that are there once."""
        if self._table is not None:
            self._table.set(self._own[name], value)

    def put_stream(self, stream: int, *values: int) -> None:
        """Set the gauges of a stream; one that has no room is counted as such."""
        table = self._table
        if table is None:
            return
        indexes = self._streams.get(stream)
        if indexes is None:
            try:
                indexes = tuple([table.gauge(name.format(stream)) for name in self._names])
            except ValueError:
                indexes = ()
            self._streams[stream] = indexes
        if not indexes:
            self._leave_out(stream)
        for index, value in zip(indexes, values, strict=False):
            table.set(index, value)

    def clear(self) -> None:
        """Nothing is known of any stream."""
        if self._table is not None:
            for indexes in self._streams.values():
                if indexes:
                    self._table.set(indexes[0], 0)
            self._without.clear()
            self._count()

    def _leave_out(self, stream: int) -> None:
        if stream not in self._without:
            self._without.add(stream)
            self._count()

    def _count(self) -> None:
        self.put(next(name for name in self._own if name.endswith("uncounted")), len(self._without))


class Lacking(NamedTuple):
    """Records that subscribers lack.

    Attributes
    ----------
    missed : passed over: later ones of the stream have arrived, or the hub's heartbeat has.
    behind : sent, and not heard of yet: on their way, or lost with all that followed them.
    uncounted : streams, one for each process in whose table they had no room: nothing is known of them.
    """

    missed: int
    behind: int
    uncounted: int


def lacking_between(tables: Iterable[Mapping[str, int]]) -> Lacking:
    """What the hub has sent and subscribers lack, from the tables of all processes.

    Once the star is idle, both together are what is lost. A subscriber of another epoch than the hub's is beginning
    anew and lacks nothing yet; one that has left answers for what it had heard of.
    """
    found = list(tables)
    hub = next((table for table in found if table.get("hub.epoch")), None)
    if hub is None:
        return Lacking(0, 0, 0)
    missed = behind = 0
    uncounted = hub.get("hub.uncounted", 0)
    for table in found:
        if table.get("epoch") != hub["hub.epoch"]:
            continue
        uncounted += table.get("uncounted", 0)
        for name, joined in table.items():
            stream, _, what = name.partition(".")
            if what == "joined" and joined:
                known = table.get(f"{stream}.known", 0)
                missed += max(0, known - (joined - 1) - table.get(f"{stream}.arrived", 0))
                if not table.get("left"):
                    behind += max(0, hub.get(f"hub.{stream}.last", 0) - known)
    return Lacking(missed, behind, uncounted)


def lost_between(tables: Iterable[Mapping[str, int]]) -> int:
    """Records that are lost, of a star that is idle: nothing is on its way."""
    lacking = lacking_between(tables)
    return lacking.missed + lacking.behind


__all__ = [
    "CAPACITY",
    "NO_ROWS",
    "Ended",
    "Lacking",
    "PositionTable",
    "Rows",
    "changed_rows",
    "ended_in",
    "lacking_between",
    "lost_between",
]
