"""Where both ends of the star stand, stream by stream, in shared tables: so that `lost` is counted from both ends.

The publisher's last sequence of a stream, minus what a subscriber was handed or never subscribed to, is what that
subscriber lacks, whatever either of them believes to have happened.

Names in a table: ``hub.epoch`` and ``hub.<stream>.last`` of the publisher; ``epoch``, ``left`` (1: closed in order),
``<stream>.joined``, ``<stream>.arrived`` and ``<stream>.known`` (last sequence heard of) of the subscriber. Streams are
hexadecimal. A process has at most one of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nautilus.core.counters import Counters

CAPACITY = 1024
"""Gauges in a table: some three hundred streams. Streams beyond that are not counted from both ends."""


class PositionTable:
    """The writing side: gauges of one process. Without a table it does nothing.

    `hub`: of the publisher. What an earlier life left in the table is not this one's, and is set to 0.
    """

    __slots__ = ("_indexes", "_table")

    def __init__(self, table: Counters | None, *, hub: bool) -> None:
        self._table = table
        self._indexes: dict[str, int] = {}
        for name in table.snapshot() if table is not None else ():
            if name.startswith("hub.") == hub:
                self.put(name, 0)

    def put(self, name: str, value: int) -> None:
        """Set a gauge; one that has no room is left out."""
        if self._table is None:
            return
        index = self._indexes.get(name)
        if index is None:
            try:
                index = self._table.gauge(name)
            except ValueError:
                index = -1
            self._indexes[name] = index
        if index >= 0:
            self._table.set(index, value)


class Lacking(NamedTuple):
    """Records that subscribers lack.

    Attributes
    ----------
    missed : passed over: later ones of the stream have arrived, or the hub's heartbeat has.
    behind : sent, and not heard of yet: on their way, or lost with all that followed them.
    """

    missed: int
    behind: int


def lacking_between(tables: Iterable[Mapping[str, int]]) -> Lacking:
    """What the hub has sent and subscribers lack, from the tables of all processes.

    Once the star is idle, both together are what is lost. A subscriber of another epoch than the hub's is beginning
    anew and lacks nothing yet; one that has left answers for what it had heard of.
    """
    found = list(tables)
    hub = next((table for table in found if table.get("hub.epoch")), None)
    missed = behind = 0
    for table in found:
        if hub is None or table.get("epoch") != hub["hub.epoch"]:
            continue
        for name, joined in table.items():
            stream, _, what = name.partition(".")
            if what == "joined" and joined:
                known = table.get(f"{stream}.known", 0)
                missed += max(0, known - (joined - 1) - table.get(f"{stream}.arrived", 0))
                if not table.get("left"):
                    behind += max(0, hub.get(f"hub.{stream}.last", 0) - known)
    return Lacking(missed, behind)


def lost_between(tables: Iterable[Mapping[str, int]]) -> int:
    """Records that are lost, of a star that is idle: nothing is on its way."""
    return sum(lacking_between(tables))


__all__ = ["CAPACITY", "Lacking", "PositionTable", "lacking_between", "lost_between"]
