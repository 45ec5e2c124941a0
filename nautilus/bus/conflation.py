"""What a reader does that takes records more slowly than they come: its own bounded queue, and a policy for it.

============= =================================================================================================
queue         none of this: records wait in the transport, and are handed out in order
conflate      of a kind whose last record is its state the newest of each stream, of a book the newest of each level;
              those in between are counted as conflated. Kinds in which each record counts are left whole.
drop-oldest   at most `capacity` records wait; the oldest beyond that are lost, told as a gap and not asked for again
disconnect    at most `capacity` records wait; beyond that the reader leaves the star, and says so
============= =================================================================================================
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal, NamedTuple

import numpy as np

from nautilus.bus.recovery import SNAPSHOT, StreamState
from nautilus.bus.snapshots import BY_KIND_FOLD, CLEAR, SET, Fold
from nautilus.model.records import Records, joined

Policy = Literal["queue", "conflate", "drop-oldest", "disconnect"]
POLICIES: Final = ("queue", "conflate", "drop-oldest", "disconnect")


class Waiting(NamedTuple):
    """Records of a stream that wait for the reader."""

    state: StreamState
    first: int
    records: Records
    flags: int = 0


class ReaderQueue:
    """Records that wait for one reader, in order."""

    def __init__(self) -> None:
        self.size = 0
        self._waiting: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, item: Waiting) -> None:
        """Add at the end."""
        self._waiting.append(item)
        self.size += len(item.records)

    def pop(self) -> Waiting:
        """Take the oldest."""
        item = self._waiting.popleft()
        self.size -= len(item.records)
        return item

    def conflate(self) -> list[tuple[StreamState, int]]:
        """Keep the newest; how many records of which stream are gone."""
        by_stream: dict[int, list[Waiting]] = {}
        for item in self._waiting:
            by_stream.setdefault(id(item.state), []).append(item)
        gone: list[tuple[StreamState, int]] = []
        self._waiting = deque()
        self.size = 0
        for items in by_stream.values():
            state = items[0].state
            before = sum(len(item.records) for item in items if not item.flags & SNAPSHOT)
            kept = self._newest(items, BY_KIND_FOLD.get(state.stream >> 32, Fold.EVENTS))
            after = sum(len(item.records) for item in kept if not item.flags & SNAPSHOT)
            if after < before:
                gone.append((state, before - after))
            for item in kept:
                self.push(item)
        return gone

    @staticmethod
    def _newest(items: list[Waiting], fold: Fold) -> list[Waiting]:
        if fold == Fold.EVENTS or (len(items) == 1 and len(items[0].records) == 1):
            return items
        # An image stands for all before it.
        images = [place for place, item in enumerate(items) if item.flags & SNAPSHOT]
        kept = [items[images[-1]]] if images else []
        later = items[images[-1] + 1 :] if images else items
        if later:
            last = later[-1]
            records = joined([item.records for item in later], last.records.dtype)
            newest = records[-1:] if fold == Fold.LAST else newest_levels(records)
            kept.append(Waiting(last.state, later[0].first, newest, last.flags))
        return kept


def newest_levels(deltas: Records) -> Records:
    """The last delta of each level, in order, where these are nothing but levels; otherwise all of them."""
    actions = deltas["action"]
    if not np.isin(actions, (SET, CLEAR)).all():
        return deltas
    # A CLEAR makes what came before it on its side (0: on both) void.
    keep = np.ones(len(deltas), bool)
    for place in np.flatnonzero(actions == CLEAR).tolist():
        side = int(deltas["side"][place])
        keep[:place] &= (deltas["side"][:place] != side) if side else False
    seen: set[tuple[int, int, int]] = set()
    sides, prices = deltas["side"].tolist(), deltas["price_ticks"].tolist()
    for place in range(len(deltas) - 1, -1, -1):
        if keep[place]:
            key = (int(actions[place]), sides[place], prices[place])
            keep[place] = key not in seen
            seen.add(key)
    return deltas[keep]
