"""Who is on the bus, where, and in which life: the table that a hub keeps. Pure: no socket, no clock.

A process registers its endpoints with its epoch and a lease, which it renews; without that it is gone when the lease
ends. Each change has a number, so that whoever watches knows when one is missing. An earlier life than one that was
there is refused, also when that has left: a process that was stopped and replaced never takes its place back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

LEASE_NS: Final = 1_000_000_000
BEAT_NS: Final = 100_000_000
"""Between signs of life, in both directions."""
MOST_ENTRIES: Final = 4_096
MOST_CHANGES: Final = 1_024
"""Changes that are kept for those who lack one; who lacks more gets the whole table."""
Number = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Text = Annotated[str, Meta(max_length=128)]
Endpoint = Annotated[str, Meta(max_length=256)]


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One process on the bus.

    Parameters
    ----------
    process, host
        Its name on the mesh; where it runs, for people.
    endpoints
        {"n", "u": lanes of the mesh; "star", "replay", "registry": of a hub} -> endpoint.
    epoch
        Of its life.
    public
        Its public key; "": it has none.
    """

    process: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    host: Text
    endpoints: Annotated[dict[Text, Endpoint], Meta(max_length=16)]
    epoch: Number
    public: Text = ""


class Change(msgspec.Struct, frozen=True, array_like=True):
    """One change of the table; without an entry the process is gone, and `reason` says why."""

    number: Number
    process: Text
    entry: Entry | None = None
    reason: Text = ""


class Verdict(IntEnum):
    """What became of a registration or its renewal."""

    OK = 0
    UNKNOWN = 1
    """There is no such lease: register again."""
    FENCED = 2
    """A later life of this process was here."""
    FULL = 3
    """The table has no room."""
    FORBIDDEN = 4
    """The key of the connection is that of another process."""


class Table:
    """The processes of one hub.

    Attributes
    ----------
    number : of the last change.
    """

    def __init__(self, lease_ns: int = LEASE_NS) -> None:
        self.number = 0
        self._lease_ns = lease_ns
        self._entries: dict[str, Entry] = {}
        self._until: dict[str, int] = {}
        self._fences: dict[str, int] = {}
        self._changes: deque[Change] = deque(maxlen=MOST_CHANGES)

    def __len__(self) -> int:
        return len(self._entries)

    def register(self, entry: Entry, now_ns: int) -> Verdict:
        """Take a process in, or what has changed of it."""
        fence = self._fences.get(entry.process, 0)
        if entry.epoch < fence:
            return Verdict.FENCED
        if entry.process not in self._fences and len(self._fences) >= MOST_ENTRIES:
            return Verdict.FULL
        self._fences[entry.process] = entry.epoch
        self._until[entry.process] = now_ns + self._lease_ns
        if self._entries.get(entry.process) != entry:
            self._entries[entry.process] = entry
            self._note(Change(self.number + 1, entry.process, entry))
        return Verdict.OK

    def renew(self, process: str, epoch: int, now_ns: int) -> Verdict:
        """Prolong a lease."""
        if epoch < self._fences.get(process, 0):
            return Verdict.FENCED
        entry = self._entries.get(process)
        if entry is None or entry.epoch != epoch:
            return Verdict.UNKNOWN
        self._until[process] = now_ns + self._lease_ns
        return Verdict.OK

    def leave(self, process: str, epoch: int) -> Verdict:
        """A process goes; what an earlier life of it says counts no more."""
        if epoch < self._fences.get(process, 0):
            return Verdict.FENCED
        entry = self._entries.get(process)
        if entry is None or entry.epoch != epoch:
            return Verdict.UNKNOWN
        self._remove(process, "left")
        return Verdict.OK

    def expire(self, now_ns: int) -> int:
        """Take out whose lease has ended; returns when the next one does, 0: none will.

        A lease that ends later than one that begins now is of before the clock was set back: it begins now.
        """
        longest_ns = now_ns + self._lease_ns
        for process in [process for process, until_ns in self._until.items() if until_ns > longest_ns]:
            self._until[process] = longest_ns
        for process in [process for process, until_ns in self._until.items() if until_ns <= now_ns]:
            self._remove(process, "silent")
        return min(self._until.values(), default=0)

    def lookup(self, process: str) -> Entry | None:
        """A process that is there."""
        return self._entries.get(process)

    def entries(self) -> tuple[Entry, ...]:
        """All that are there."""
        return tuple(self._entries.values())

    def changes_since(self, number: int) -> tuple[Change, ...] | None:
        """Every change after that number; None: not all of them are known any more."""
        if number > self.number or (
            number < self.number and (not self._changes or self._changes[0].number > number + 1)
        ):
            return None
        return tuple(change for change in self._changes if change.number > number)

    def _remove(self, process: str, reason: str) -> None:
        del self._entries[process]
        del self._until[process]
        self._note(Change(self.number + 1, process, None, reason))

    def _note(self, change: Change) -> None:
        self.number = change.number
        self._changes.append(change)


class View:
    """What a process knows of the table of one hub, from its changes.

    Attributes
    ----------
    number : of the last change taken in; -1: none yet.
    """

    def __init__(self) -> None:
        self.number = -1
        self._entries: dict[str, Entry] = {}

    def take(self, changes: Iterable[Change]) -> list[Change] | None:
        """Take in changes in order; what is new of them. None: one is missing, and the whole table is needed."""
        found = []
        for change in changes:
            if change.number <= self.number:
                continue
            if self.number < 0 or change.number != self.number + 1:
                return None
            self.number = change.number
            if change.entry is None:
                self._entries.pop(change.process, None)
            else:
                self._entries[change.process] = change.entry
            found.append(change)
        return found

    def replace(self, entries: Iterable[Entry], number: int) -> list[Change]:
        """Take in the whole table; what that changes."""
        found = []
        wanted = {entry.process: entry for entry in entries}
        for process in [process for process in self._entries if process not in wanted]:
            del self._entries[process]
            found.append(Change(number, process, None, "gone"))
        for process, entry in wanted.items():
            if self._entries.get(process) != entry:
                self._entries[process] = entry
                found.append(Change(number, process, entry))
        self.number = number
        return found

    def lookup(self, process: str) -> Entry | None:
        """A process that is there."""
        return self._entries.get(process)

    def entries(self) -> tuple[Entry, ...]:
        """All that are there."""
        return tuple(self._entries.values())
