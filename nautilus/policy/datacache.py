"""Answers of data providers that are kept by question: what is fresh, what may still serve, who waits. Pure.

::

              kept        fresh_ns        + stale_ns             + error_ns
    ───────────┼──────────────┼────────────────┼──────────────────────┼──────▶ time
               │    FRESH     │     STALE      │        ENDED         │  MISS
               │   serve it   │ serve it, ask  │ ask; serve it where  │  ask
               │              │ for a new one  │ there is no new one  │

A refusal is kept as well: that there is no such thing for `negative_ns`, anything else for as long as asking again
makes no sense. Equal questions that come while one is under way wait for its answer (`join`). Entries and bytes are
bounded; what was not asked for the longest time goes first. Time is an argument: nanoseconds of a clock that never goes
back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
W = TypeVar("W")


class Lifetime(NamedTuple):
    """How long an answer serves, from when it came.

    Attributes
    ----------
    fresh_ns : nobody is asked.
    stale_ns : then, while a new one is asked for.
    error_ns : then, where no new one can be had.
    negative_ns : how long it is kept that there is nothing.
    """

    fresh_ns: int
    stale_ns: int = 0
    error_ns: int = 0
    negative_ns: int = 0


class Standing(IntEnum):
    """What a look finds."""

    MISS = 0
    FRESH = 1
    STALE = 2
    ENDED = 3
    NEGATIVE = 4


class Entry(Generic[V]):
    """An answer, or a refusal.

    Attributes
    ----------
    value : None: there is only a refusal.
    kept_ns : when the value came.
    size : bytes that it counts for.
    refusal : why there is no newer value; None: there was no try, or it went well.
    until_ns : before then nobody is asked again.
    ahead : it was asked for before anybody wanted it, and nobody has since.
    """

    __slots__ = ("ahead", "kept_ns", "lifetime", "refusal", "size", "until_ns", "value")

    def __init__(self, value: V | None, kept_ns: int, size: int, lifetime: Lifetime) -> None:
        self.value = value
        self.kept_ns = kept_ns
        self.size = size
        self.lifetime = lifetime
        self.refusal: Exception | None = None
        self.until_ns = 0
        self.ahead = False

    def standing(self, now_ns: int) -> Standing:
        """At a time."""
        if self.value is not None:
            age_ns = now_ns - self.kept_ns
            lifetime = self.lifetime
            if age_ns < lifetime.fresh_ns:
                return Standing.FRESH
            if age_ns < lifetime.fresh_ns + lifetime.stale_ns:
                return Standing.STALE
            if age_ns < lifetime.fresh_ns + lifetime.stale_ns + lifetime.error_ns:
                return Standing.ENDED
        return Standing.NEGATIVE if self.refusal is not None and now_ns < self.until_ns else Standing.MISS


class DataCache(Generic[K, V, W]):
    """Keeps answers of type V by questions of type K, for who waits: W.

    Parameters
    ----------
    most_entries, most_bytes
        At most; an answer that is larger by itself is handed out and not kept.

    Attributes
    ----------
    size : bytes of all entries.
    evicted : entries that had to make room.
    unused : of those, and of those replaced, asked for ahead and never wanted.
    """

    OVERHEAD = 1024
    """Bytes that an entry takes beside its answer, its question included."""
    REFUSALS = 4
    """Of all entries a quarter at most are refusals: nobody makes room for them by asking for what is not there."""

    def __init__(self, most_entries: int, most_bytes: int) -> None:
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._entries: OrderedDict[K, Entry[V]] = OrderedDict()
        self._refusals: OrderedDict[K, None] = OrderedDict()
        self._most_refusals = max(most_entries // self.REFUSALS, 1)
        self._asked: dict[K, list[W]] = {}
        self.size = 0
        self.evicted = 0
        self.unused = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def under_way(self) -> int:
        """Questions that somebody is asked now."""
        return len(self._asked)

    def look(self, key: K, now_ns: int) -> tuple[Standing, Entry[V] | None]:
        """What is kept for a question, which is wanted now."""
        entry = self._entries.get(key)
        if entry is None:
            return Standing.MISS, None
        standing = entry.standing(now_ns)
        if standing is Standing.MISS:
            self._drop(key)
            return standing, None
        self._entries.move_to_end(key)
        return standing, entry

    def fresh(self, key: K, now_ns: int) -> Entry[V] | None:
        """What is kept and fresh; nothing is changed, so any thread may look while another one works with the cache."""
        entry = self._entries.get(key)
        return entry if entry is not None and entry.standing(now_ns) is Standing.FRESH else None

    def peek(self, key: K, now_ns: int) -> Standing:
        """The same, without that anybody wants it."""
        entry = self._entries.get(key)
        return Standing.MISS if entry is None else entry.standing(now_ns)

    def is_asked(self, key: K) -> bool:
        """Whether it is under way."""
        return key in self._asked

    def may_ask(self, key: K, now_ns: int) -> bool:
        """Whether asking makes sense now: nothing is under way, and the last refusal is no longer in force."""
        entry = self._entries.get(key)
        return key not in self._asked and (entry is None or entry.refusal is None or now_ns >= entry.until_ns)

    def join(self, key: K, waiter: W | None = None) -> bool:
        """Wait for the answer to a question; True: it is not under way yet, and the caller has to ask."""
        waiting = self._asked.get(key)
        first = waiting is None
        if waiting is None:
            waiting = self._asked[key] = []
        if waiter is not None:
            waiting.append(waiter)
        return first

    def keep(
        self, key: K, value: V, size: int, lifetime: Lifetime, now_ns: int, *, ahead: bool = False
    ) -> tuple[list[W], Entry[V]]:
        """The answer has come: who waits for it, and the entry that it is now. `ahead`: nobody wanted it yet."""
        waiting = self._asked.pop(key, [])
        entry = Entry(value, now_ns, size + self.OVERHEAD, lifetime)
        entry.ahead = ahead and not waiting
        self._put(key, entry)
        return waiting, entry

    def renew(self, key: K, now_ns: int) -> tuple[list[W], Entry[V] | None]:
        """What is kept is still so, as the provider says: who waits for it."""
        waiting, entry = self._asked.pop(key, []), self._entries.get(key)
        if entry is not None and entry.value is not None:
            entry.kept_ns, entry.refusal, entry.until_ns = now_ns, None, 0
            return waiting, entry
        return waiting, None

    def refuse(
        self, key: K, refusal: Exception, now_ns: int, lifetime: Lifetime, *, wait_ns: int = 0, negative: bool = False
    ) -> tuple[list[W], Entry[V] | None]:
        """There is no answer: who waits for it, and what may be served instead (`Entry.value`), if anything.

        Parameters
        ----------
        wait_ns
            So long asking again makes no sense.
        negative
            There is nothing to be had: what was kept is no longer served, and this is kept for `Lifetime.negative_ns`.
        """
        waiting = self._asked.pop(key, [])
        entry = self._entries.get(key)
        if negative or entry is None or entry.standing(now_ns) in (Standing.MISS, Standing.NEGATIVE):
            entry = Entry(None, now_ns, self.OVERHEAD, lifetime)
            wait_ns = lifetime.negative_ns if negative else wait_ns
            if wait_ns:
                self._put(key, entry)
            elif key in self._entries:
                self._drop(key)
        entry.refusal = refusal
        entry.until_ns = now_ns + wait_ns
        return waiting, entry if entry.value is not None else None

    def abandon(self) -> list[W]:
        """Nobody answers any more: everybody who waits."""
        waiting = [waiter for each in self._asked.values() for waiter in each]
        self._asked.clear()
        return waiting

    def _put(self, key: K, entry: Entry[V]) -> None:
        self._drop(key)
        if entry.size > self._most_bytes:
            return
        if entry.value is None:
            self._refusals[key] = None
            if len(self._refusals) > self._most_refusals:
                self._drop(next(iter(self._refusals)))
                self.evicted += 1
        self._entries[key] = entry
        self.size += entry.size
        while self.size > self._most_bytes or len(self._entries) > self._most_entries:
            self._drop(next(iter(self._entries)))
            self.evicted += 1

    def _drop(self, key: K) -> None:
        entry = self._entries.pop(key, None)
        self._refusals.pop(key, None)
        if entry is not None:
            self.size -= entry.size
            self.unused += entry.ahead


__all__ = ["DataCache", "Entry", "Lifetime", "Standing"]
