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

from nautilus.bus.book_image import CLEAR, SET
from nautilus.bus.recovery import SNAPSHOT, StreamState
from nautilus.bus.snapshots import BY_KIND_FOLD, Fold
from nautilus.model.records import Records, joined

Policy = Literal["queue", "conflate", "drop-oldest", "disconnect"]
POLICIES: Final = ("queue", "conflate", "drop-oldest", "disconnect")
NO_RECORDS: Final[Records] = np.empty(0, np.dtype("V1"))


class Waiting(NamedTuple):
    """Records of a stream that wait for the reader; or word that as many as `lost` from `first` on will not come."""

    state: StreamState
    first: int
    records: Records
    flags: int = 0
    lost: int = 0

    @property
    def counted(self) -> int:
        """Records that count for themselves: those of an image do not."""
        return 0 if self.flags & SNAPSHOT else len(self.records)


class ReaderQueue:
    """What waits for one reader, in order: records, images, and gaps to be told.

    Attributes
    ----------
    size : records in it, without images.
    """

    def __init__(self) -> None:
        self.size = 0
        self._waiting: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, item: Waiting) -> None:
        """Add at the end."""
        self._waiting.append(item)
        self.size += item.counted

    def pop(self) -> Waiting:
        """Take the oldest."""
        item = self._waiting.popleft()
        self.size -= item.counted
        return item

    def drop_oldest(self, capacity: int) -> list[tuple[StreamState, int, bool]]:
        """Drop what is more than `capacity` records, but the last frame; (state, records, is it another gap) of each.

        Where they were, a gap waits to be told. Images stay: each stands for all that came before it.
        """
        dropped: list[tuple[StreamState, int, bool]] = []
        kept: list[Waiting] = []
        gaps: dict[int, int] = {}
        waiting = self._waiting
        while waiting and self.size > capacity:
            item = waiting[0]
            count = item.counted
            if count == self.size:
                break
            waiting.popleft()
            self.size -= count
            if not count:
                kept.append(item)
                continue
            place = gaps.get(id(item.state), -1)
            more = place >= 0 and kept[place].first + kept[place].lost == item.first
            if more:
                kept[place] = kept[place]._replace(lost=kept[place].lost + count)
            else:
                gaps[id(item.state)] = len(kept)
                kept.append(Waiting(item.state, item.first, NO_RECORDS, lost=count))
            dropped.append((item.state, count, not more))
        waiting.extendleft(reversed(kept))
        return dropped

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
            before = sum(item.counted for item in items)
            kept = self._newest(items, BY_KIND_FOLD.get(state.stream >> 32, Fold.EVENTS))
            after = sum(item.counted for item in kept)
            if after < before:
                gone.append((state, before - after))
            for item in kept:
                self.push(item)
        return gone

    @staticmethod
    def _newest(items: list[Waiting], fold: Fold) -> list[Waiting]:
        if fold == Fold.EVENTS or (len(items) == 1 and len(items[0].records) == 1):
            return items
        # An image stands for all before it; a gap is told in its place.
        image = max((place for place, item in enumerate(items) if item.flags & SNAPSHOT), default=-1)
        later = [item for item in items[image + 1 :] if not item.lost]
        kept: list[Waiting] = []
        for place, item in enumerate(items):
            if item.lost or place == image:
                kept.append(item)
            elif later and item is later[-1]:
                records = joined([each.records for each in later], item.records.dtype)
                newest = records[-1:] if fold == Fold.LAST else newest_levels(records)
                first = item.first + len(item.records) - 1 if fold == Fold.LAST else later[0].first
                kept.append(Waiting(item.state, first, newest, item.flags))
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
