"""Judges what hub and readers of the star wrote down.

Every record that a reader answers for is accounted for exactly once, in order: handed out, conflated, held in a
snapshot, or reported as lost. A cursor goes through each (reader's life, epoch, stream); what does not begin at it is a
violation:

======== ===============================================================================================================
phantom  a record that was never published
corrupt  a record whose content is another's
skipped  the cursor jumps: records are missing, and nobody was told
doubled  a record was accounted for before
order    an earlier epoch after a later one
silent   after a heartbeat the reader does not know of records that were published before that was sent
lost     at the end of a reader, a record that was published is not accounted for
reported as lost, where the scenario allows no loss
stale    a value was served unmarked although a newer record was published longer ago than `bound_ns`
backward the value served is older than one served before
======== ===============================================================================================================
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise

from tests.kit.history import (
    Beat,
    Conflated,
    Corrupt,
    Delivered,
    Epoch,
    Gap,
    Imaged,
    Joined,
    Known,
    Published,
    Publishing,
    Served,
    Unended,
    Violation,
)

STALE_NS = 70_000_000
"""A reader that has heard a heartbeat of the last three intervals may serve unmarked: it has heard of all that was
published before that. The rest is for clocks of processes, which differ a little."""


class Hub:
    """What one life of the hub published."""

    def __init__(self, epoch: Epoch) -> None:
        self.epoch = epoch.life.epoch
        self.ended = epoch.ended
        self.begun: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.beats: dict[int, dict[int, int]] = {}
        self.times: dict[int, tuple[list[int], list[int]]] = {}
        """{stream: (last sequences, times at which they were acknowledged)}."""
        for entry in epoch.entries:
            if isinstance(entry, Publishing):
                self.begun[entry.stream] = entry.last
            elif isinstance(entry, Published):
                self.last[entry.stream] = entry.last
                lasts, times = self.times.setdefault(entry.stream, ([], []))
                lasts.append(entry.last)
                times.append(entry.at_ns)
            elif isinstance(entry, Beat):
                self.beats[entry.number] = dict(self.last)

    def newer_at(self, stream: int, sequence: int) -> int:
        """When the first record behind this one was acknowledged; a time that never comes where none was."""
        lasts, times = self.times.get(stream, ([], []))
        place = bisect_right(lasts, sequence)
        return times[place] if place < len(times) else 1 << 62


class _Reader:
    """Goes through what one life of a reader wrote."""

    def __init__(self, epoch: Epoch, hubs: dict[int, Hub], *, bound_ns: int, lossless: bool, closes: bool) -> None:
        self.epoch = epoch
        self.hubs = hubs
        self.bound_ns = bound_ns
        self.lossless = lossless
        self.closes = closes
        self.cursors: dict[tuple[int, int], int] = {}
        self.newest: dict[int, int] = {}
        self.heard: dict[tuple[int, int], int] = {}
        self.served: dict[int, tuple[int, int]] = {}
        self.unended: set[int] = set()
        self.found: list[Violation] = []

    def tell(self, kind: str, what: object) -> None:
        where = f"{self.epoch.process} in its life {self.epoch.life.epoch}"
        self.found.append(Violation(kind, where, str(what)))

    def judge(self) -> list[Violation]:
        for entry in self.epoch.entries:
            if isinstance(entry, Joined):
                if (entry.epoch, entry.stream) in self.cursors:
                    self.tell("doubled", f"joined twice: {entry}")
                self.cursors[entry.epoch, entry.stream] = entry.first
            elif isinstance(entry, Delivered | Conflated | Gap):
                self.account(entry)
            elif isinstance(entry, Imaged):
                self.image(entry)
            elif isinstance(entry, Known):
                self.known(entry)
            elif isinstance(entry, Served):
                self.serve(entry)
            elif isinstance(entry, Unended):
                self.unended.add(entry.epoch)
            elif isinstance(entry, Corrupt):
                self.tell("corrupt", entry.what)
        if self.epoch.ended:
            self.end()
        return self.found

    def account(self, entry: Delivered | Conflated | Gap) -> None:
        hub = self.hubs.get(entry.epoch)
        if hub is None or entry.last > hub.begun.get(entry.stream, 0) or not 0 < entry.first <= entry.last:
            self.tell("phantom", entry)
            return
        self.enter(entry.epoch, entry.stream, entry)
        place = (entry.epoch, entry.stream)
        cursor = self.cursors.get(place)
        if cursor is None:
            self.tell("skipped", f"{entry} of a stream that was not joined")
        elif entry.first > cursor:
            self.tell("skipped", f"{cursor} to {entry.first - 1} before {entry}")
        elif entry.first < cursor:
            self.tell("doubled", f"{entry} when {cursor} was due")
        if isinstance(entry, Gap) and self.lossless:
            self.tell("reported", entry)
        self.cursors[place] = max(cursor or 0, entry.last + 1)

    def image(self, entry: Imaged) -> None:
        hub = self.hubs.get(entry.epoch)
        if hub is None or entry.last > hub.begun.get(entry.stream, 0):
            self.tell("phantom", entry)
            return
        self.enter(entry.epoch, entry.stream, entry)
        cursor = self.cursors.get((entry.epoch, entry.stream), 0)
        if entry.last + 1 < cursor:
            self.tell("doubled", f"{entry} is older than what {cursor} is due after")
        self.cursors[entry.epoch, entry.stream] = max(cursor, entry.last + 1)

    def enter(self, epoch: int, stream: int, entry: object) -> None:
        if epoch < self.newest.get(stream, 0):
            self.tell("order", f"{entry} after epoch {self.newest[stream]}")
        self.newest[stream] = max(epoch, self.newest.get(stream, 0))

    def known(self, entry: Known) -> None:
        hub = self.hubs.get(entry.epoch)
        if hub is None:
            self.tell("phantom", entry)
            return
        lasts = dict(entry.lasts)
        for stream, last in lasts.items():
            self.heard[entry.epoch, stream] = max(last, self.heard.get((entry.epoch, stream), 0))
        for stream, last in hub.beats.get(entry.beat, {}).items():
            if (entry.epoch, stream) in self.cursors and lasts.get(stream, 0) < last:
                self.tell("silent", f"heartbeat {entry.beat} came after {last} of {stream:x}: {entry}")

    def serve(self, entry: Served) -> None:
        place = (entry.epoch, entry.sequence)
        if place < self.served.get(entry.stream, (0, 0)):
            self.tell("backward", f"{entry} after {self.served[entry.stream]}")
        self.served[entry.stream] = max(place, self.served.get(entry.stream, (0, 0)))
        if entry.stale:
            return
        later = (hub for hub in self.hubs.values() if hub.epoch > entry.epoch and hub.last.get(entry.stream))
        newer_at_ns = min(
            [self.hubs[entry.epoch].newer_at(entry.stream, entry.sequence)]
            + [hub.newer_at(entry.stream, 0) for hub in later]
        )
        if newer_at_ns < entry.at_ns - self.bound_ns:
            self.tell("stale", f"{entry}, unmarked {(entry.at_ns - newer_at_ns) / 1e6:.1f} ms after a newer one")

    def end(self) -> None:
        epochs = sorted(self.hubs)
        entered = {epoch for epoch, _ in self.cursors}
        for (epoch, stream), cursor in self.cursors.items():
            hub = self.hubs[epoch]
            # What a hub sent after its last heartbeat, and was killed, a reader hears of from the next one alone.
            after = epochs[epochs.index(epoch) + 1 :][:1]
            told = hub.ended or not after or (self.closes and after[0] in entered and epoch not in self.unended)
            due = hub.last.get(stream, 0) if told else self.heard.get((epoch, stream), 0)
            if cursor <= due:
                self.tell("lost", f"{cursor} to {due} of {stream:x} in epoch {epoch}")


def judge_star(
    lives: Iterable[Epoch], *, bound_ns: int = STALE_NS, lossless: bool = False, closes: bool = False
) -> list[Violation]:
    """Everything that must not be in what hub and readers wrote down.

    Parameters
    ----------
    lives
        Of every process.
    bound_ns
        How long after a record was published an older one of its stream may be served without a mark.
    lossless
        Nothing may be reported as lost either: all that went missing had to be recovered.
    closes
        A hub knows to the last record what the life before it published, as it has the ring of that.
    """
    found = list(lives)
    hubs = {epoch.life.epoch: Hub(epoch) for epoch in found if epoch.life.role == "hub"}
    violations = [
        Violation("order", f"hub {later}", f"an epoch after {earlier}")
        for earlier, later in pairwise(epoch.life.epoch for epoch in found if epoch.life.role == "hub")
        if later <= earlier
    ]
    for epoch in found:
        if epoch.life.role == "reader":
            violations += _Reader(epoch, hubs, bound_ns=bound_ns, lossless=lossless, closes=closes).judge()
    return violations
