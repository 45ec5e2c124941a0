"""What will be asked for next, by what was asked for before: Markov chains of first and second order. Pure.

For each asker the last two things that it wanted are known. What followed the pair, or the last one alone where the
pair is new, is counted, with the time in between; a thing that followed often enough is asked for ahead. A thing is a
pair of symbol and kind. Counts fade, so that a habit that ends is forgotten::

    wanted:  A  B  C  A  B  C  A  B        after (A, B): C 2 of 2; after A: B 3 of 3
                                           → C, with probability 1, in as long as it took before

Nothing is asked ahead that would be stale before it is wanted, nor more than the budget lets (`PrefetchBudget`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)

SECOND_NS: Final = 1_000_000_000
MOST_FOLLOWERS: Final = 8
"""Of one context; the rarest makes room."""
MOST_COUNT: Final = 64.0
"""At this many observations of a context all its counts are halved."""
LONGEST_GAP_NS: Final = 3_600 * SECOND_NS
"""What comes later than that does not follow."""


class Guess(NamedTuple, Generic[K]):
    """What is expected: with which probability, and how soon."""

    key: K
    probability: float
    gap_ns: int


class _Follower:
    __slots__ = ("count", "gap_ns")

    def __init__(self) -> None:
        self.count = 0.0
        self.gap_ns = 0.0


class _Context(Generic[K]):
    """What followed something."""

    __slots__ = ("followers", "total")

    def __init__(self) -> None:
        self.total = 0.0
        self.followers: dict[K, _Follower] = {}

    def add(self, key: K, gap_ns: int) -> None:
        found = self.followers.get(key)
        if found is None:
            if len(self.followers) >= MOST_FOLLOWERS:
                rarest = min(self.followers, key=lambda each: self.followers[each].count)
                self.total -= self.followers.pop(rarest).count
            found = self.followers[key] = _Follower()
        found.count += 1.0
        self.total += 1.0
        found.gap_ns += (gap_ns - found.gap_ns) / min(found.count, 8.0)
        if self.total >= MOST_COUNT:
            for each in self.followers.values():
                each.count /= 2
            self.total = sum(each.count for each in self.followers.values())


class _Asker(Generic[K]):
    __slots__ = ("before", "last", "last_ns")

    def __init__(self) -> None:
        self.before: K | None = None
        self.last: K | None = None
        self.last_ns = 0


class Markov(Generic[K]):
    """Watches what is wanted, and says what will be.

    Parameters
    ----------
    least
        A context has to have been seen so often.
    most_contexts, most_askers
        Are known; those of longest ago are forgotten.
    """

    def __init__(self, *, least: float = 2.0, most_contexts: int = 20_000, most_askers: int = 256) -> None:
        self._least = least
        self._most_contexts = most_contexts
        self._most_askers = most_askers
        self._contexts: OrderedDict[tuple[K | None, K], _Context[K]] = OrderedDict()
        self._askers: OrderedDict[str, _Asker[K]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._contexts)

    def observe(self, asker: str, key: K, now_ns: int) -> None:
        """Somebody wants something."""
        found = self._askers.get(asker)
        if found is None:
            found = self._askers[asker] = _Asker()
            if len(self._askers) > self._most_askers:
                self._askers.popitem(last=False)
        else:
            self._askers.move_to_end(asker)
        last, gap_ns = found.last, now_ns - found.last_ns
        if last is not None and 0 <= gap_ns < LONGEST_GAP_NS:
            self._context(None, last).add(key, gap_ns)
            if found.before is not None:
                self._context(found.before, last).add(key, gap_ns)
            found.before = last
        else:
            found.before = None
        found.last, found.last_ns = key, now_ns

    def guesses(self, asker: str, confidence: float) -> list[Guess[K]]:
        """What this asker will want next with at least this probability, the likeliest first."""
        found = self._askers.get(asker)
        if found is None or found.last is None:
            return []
        for before in (found.before, None):
            context = self._contexts.get((before, found.last))
            if context is None or context.total < self._least:
                continue
            guesses = [
                Guess(key, each.count / context.total, round(each.gap_ns))
                for key, each in context.followers.items()
                if each.count >= confidence * context.total
            ]
            return sorted(guesses, key=lambda guess: -guess.probability)
        return []

    def _context(self, before: K | None, last: K) -> _Context[K]:
        at = before, last
        found = self._contexts.get(at)
        if found is None:
            found = self._contexts[at] = _Context()
            if len(self._contexts) > self._most_contexts:
                self._contexts.popitem(last=False)
        else:
            self._contexts.move_to_end(at)
        return found


class PrefetchBudget:
    """How much may be asked ahead: so many a minute, and never of what a provider lets us ask below a reserve.

    Parameters
    ----------
    per_minute
        Questions; as many may come at once.
    reserve
        Share of a provider's quota that is left alone, 0 to 1.
    """

    def __init__(self, per_minute: float, reserve: float) -> None:
        self._per_ns = per_minute / (60 * SECOND_NS)
        self._most = per_minute
        self._reserve = reserve
        self._left = per_minute
        self._at_ns: int | None = None

    def take(self, now_ns: int, left: int = -1, limit: int = -1) -> bool:
        """Whether one more may be asked; it is then counted.

        Parameters
        ----------
        left, limit
            What the provider lets us ask today, still and in all; -1: it says nothing.
        """
        if limit >= 0 and left - 1 < self._reserve * limit:
            return False
        if self._at_ns is not None:
            self._left = min(self._most, self._left + max(now_ns - self._at_ns, 0) * self._per_ns)
        self._at_ns = now_ns if self._at_ns is None else max(now_ns, self._at_ns)
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


__all__ = ["Guess", "Markov", "PrefetchBudget"]
