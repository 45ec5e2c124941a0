"""Answers that the gateway keeps: in the memory of each worker, in a region that workers share, and perhaps in Redis.

::

    ask ──▶ memory ──▶ shared ──▶ is anybody asking already? ── yes ──▶ wait (JOINED)
             HIT or STALE at once      │ no, here or in another worker
                                       ▼
                                 Redis, where there is one ──▶ MISS: the one who asked gets a `Fill` and asks the engine

Who waits is called back as soon as the answer is kept, or it is clear that there will be none. A stale answer is given
at once, and one of those who get it, in all workers, is told to ask for a new one beside that.

What an engine's answers are worth ends early when it is forgotten (`forget`): by a state-changing request through the
gateway, or by the bus. An answer that was under way meanwhile is not kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from nautilus.core.cache_lane import CacheBase, key_of
from nautilus.core.counters import Counters
from nautilus.core.response_cache import BUSY, OTHERS, OUTDATED, Answers
from nautilus.gateway.asking import DEFAULTS, Asked, Outcome, Question, Remote, Settings, Verdict, Waiter
from nautilus.gateway.fill import TEMPORARY, Fill
from nautilus.gateway.kept import Kept, times_of
from nautilus.policy.caching import SECOND_NS, Lifetime

MEET_SECONDS = 0.002
"""Between looks for an answer that another worker asks for."""
BARREN_NS = 10 * SECOND_NS
"""So long after an answer that said itself that it may not be kept, none of the same operation is looked at."""
_BARREN = frozenset(("no_store", "no_lifetime", "private", "authorised", "cookie", "vary"))
NOT_KEPT_NS = 2 * SECOND_NS
"""So long after an answer that may not be kept, nobody waits for another one's."""
MOST_NOT_KEPT = 4096
RENEW_AGE = 0.75
"""An answer that is asked for is written anew once so much of the shared ring was written since."""


class _Join:
    """Those who wait for one answer."""

    __slots__ = ("fill", "waiters")

    def __init__(self, fill: Fill | None) -> None:
        self.fill = fill
        self.waiters: list[tuple[Waiter, Question]] = []


class Cache(CacheBase):
    """Of one worker; all of it in the thread of its loop.

    Parameters
    ----------
    answers
        The level that workers share.
    later
        ``(seconds, callback)``: calls back.
    clock
        `monotonic_ns`.
    """

    def __init__(
        self,
        answers: Answers,
        counters: Counters,
        later: Callable[[float, Callable[[], object]], object],
        clock: Callable[[], int],
        settings: Settings = DEFAULTS,
        remote: Remote | None = None,
    ) -> None:
        self._answers = answers
        self._later = later
        self._clock = clock
        self._settings = settings
        self._remote = remote
        self._memory: OrderedDict[bytes, Kept] = OrderedDict()
        self._bytes = 0
        self._joins: dict[bytes, _Join] = {}
        self._not_kept: OrderedDict[bytes, int] = OrderedDict()
        self._barren: dict[tuple[str, str], int] = {}
        self._engines: dict[str, int] = {}
        self._told: dict[int, int] = {}
        """How often an engine's answers were forgotten when the level elsewhere was last told so."""
        self._counters = counters
        self._increment = counters.increment
        names = (
            *("hits", "stale", "misses", "joined", "passed", "forgotten", "stored", "failed", "stale_on_error"),
            *("unchanged", "memory_hits", "shared_hits", "remote_hits", "memory_evicted", "shared_busy"),
        )
        self.counts: dict[str, int] = {name: counters.counter(f"cache.{name}") for name in names}
        self._hits, self._memory_hits = self.counts["hits"], self.counts["memory_hits"]
        self._memory_bytes = counters.gauge("cache.memory_bytes")
        self._memory_entries = counters.gauge("cache.memory_answers")
        self._waiting = counters.gauge("cache.waiting")
        self._reasons: dict[str, int] = {}

    # What requests ask.

    def ask(self, question: Question, now_ns: int, waiter: Waiter) -> Asked:
        """What to do with a request; the waiter is called, once, where that is JOINED."""
        counts, increment = self.counts, self._increment
        wish = question.wish
        if not wish.keep:
            increment(counts["passed"])
            return Asked(Verdict.PASSED)
        key = question.key
        kept = self._find(question, now_ns) if wish.look else None
        if kept is not None and (wish.max_age_ns < 0 or now_ns - kept.stored_ns <= wish.max_age_ns):
            if kept.fresh(now_ns):
                increment(counts["hits"])
                return Asked(Verdict.HIT, kept)
            if now_ns < kept.stale_ns:
                increment(counts["stale"])
                return Asked(Verdict.STALE, kept, self._begin_beside(question, now_ns))
        if wish.only_kept:
            increment(counts["passed"])
            return Asked(Verdict.REFUSED)
        if not wish.look:
            increment(counts["misses"])
            return Asked(Verdict.MISS, None, Fill(self, question, self._engine(question.engine)))
        join = self._joins.get(key)
        if join is not None:
            return self._wait(join, question, waiter)
        until_ns = self._not_kept.get(key)
        if until_ns is not None:
            if now_ns < until_ns:
                increment(counts["misses"])
                return Asked(Verdict.MISS, None, Fill(self, question, self._engine(question.engine)))
            del self._not_kept[key]
        if self._answers.claim(key, now_ns, self._settings.claim_ns) == OTHERS:
            join = self._joins[key] = _Join(None)
            self._later(MEET_SECONDS, lambda: self._meet(key, now_ns + self._settings.claim_ns))
            return self._wait(join, question, waiter)
        fill = Fill(self, question, self._engine(question.engine))
        join = self._joins[key] = _Join(fill)
        if self._remote is not None:
            if self._told.get(fill.engine, 0) != fill.number:  # by the bus, or by another worker, which may have failed
                self._told[fill.engine] = fill.number
                self._remote.forget(question.engine, b"")
            # Whoever asked first waits too, until Redis has said what it has.
            self._remote.get(key, question.path, question.engine, lambda found: self._on_remote(fill, found))
            return self._wait(join, question, waiter)
        increment(counts["misses"])
        return Asked(Verdict.MISS, None, fill)

    def forget(self, engine: str, prefix: bytes = b"") -> None:
        """Answers of an engine whose path begins so do not count any more, in any worker."""
        self._increment(self.counts["forgotten"])
        number = self._engine(engine)
        self._answers.forget(number, prefix)
        if self._remote is not None:
            self._told[number] = self._answers.number(number)
            self._remote.forget(engine, prefix)

    def told_unchanged(self) -> None:
        """A client had the answer already."""
        self._increment(self.counts["unchanged"])

    def stale_for(self, question: Question, now_ns: int) -> Kept | None:
        """What may be given instead of an error."""
        kept = self._find(question, now_ns)
        if kept is None or now_ns >= max(kept.error_ns, kept.fresh_ns):
            return None
        self._increment(self.counts["stale_on_error"])
        return kept

    @property
    def waiting(self) -> int:
        """Requests that wait for the answer of another one."""
        return sum(len(join.waiters) for join in self._joins.values())

    def renew_gauges(self) -> None:
        """Say how full it is."""
        self._counters.set(self._memory_bytes, self._bytes)
        self._counters.set(self._memory_entries, len(self._memory))
        self._counters.set(self._waiting, self.waiting)

    # Levels.

    def _find(self, question: Question, now_ns: int) -> Kept | None:
        kept: Kept | None = self._remembered(question.key, question.fields, now_ns)
        if kept is not None and kept.fresh(now_ns):
            return kept
        # Another worker may have a newer one.
        return self._shared(question, now_ns) or kept

    def _shared(self, question: Question, now_ns: int) -> Kept | None:
        found = self._answers.get(question.key)
        if found is None or not self._answers.valid(found.engine, found.number, question.path):
            return None
        try:
            kept = Kept.decode(found.value, question.path, found.engine, found.number, found[3:7])
        except msgspec.DecodeError:
            return None
        if kept.over(now_ns) or not kept.suits(question.fields):
            return None
        if kept.fresh(now_ns):
            self._increment(self.counts["shared_hits"])
        if found.age > RENEW_AGE:
            self._share(question.key, kept)
        self._remember(question.key, kept)
        return kept

    def _remember(self, key: bytes, kept: Kept) -> None:
        """Into memory; what was not asked for for longest gives way."""
        memory, most = self._memory, self._settings.memory_bytes
        before = memory.pop(key, None)
        if before is not None:
            self._bytes -= before.size
        if kept.size > most:
            return
        memory[key] = kept
        self._bytes += kept.size
        while self._bytes > most:
            _, oldest = memory.popitem(last=False)
            self._bytes -= oldest.size
            self._increment(self.counts["memory_evicted"])

    def _drop(self, key: bytes) -> None:
        self._bytes -= self._memory.pop(key).size

    def _share(self, key: bytes, kept: Kept) -> bool:
        status = self._answers.put(key, len(kept.path), kept.encode(), kept.engine, kept.number, *times_of(kept))
        if status == BUSY:
            self._increment(self.counts["shared_busy"])
        return status != OUTDATED

    def _engine(self, name: str) -> int:
        number = self._engines.get(name)
        if number is None:
            number = self._engines[name] = self._answers.engine(name)
        return number

    # Those who wait.

    def _wait(self, join: _Join, question: Question, waiter: Waiter) -> Asked:
        self._increment(self.counts["joined"])
        join.waiters.append((waiter, question))
        return Asked(Verdict.JOINED)

    def _begin_beside(self, question: Question, now_ns: int) -> Fill | None:
        """A fill for the one, of all workers, who is to ask for a new answer while the old one serves."""
        key = question.key
        if key in self._joins or self._answers.claim(key, now_ns, self._settings.claim_ns) == OTHERS:
            return None
        fill = Fill(self, question, self._engine(question.engine))
        self._joins[key] = _Join(fill)
        return fill

    def _on_remote(self, fill: Fill, found: Kept | None) -> None:
        if fill.over:
            return
        now_ns = self._clock()
        if found is not None and found.fresh(now_ns) and found.suits(fill.question.fields):
            self._increment(self.counts["remote_hits"])
            found.engine, found.number = fill.engine, fill.number
            if self._share(fill.question.key, found):
                self._remember(fill.question.key, found)
                fill.over = True
                self._settle(fill.question.key, fill, Outcome(found))
                return
        join = self._joins.get(fill.question.key)
        if join is None or join.fill is not fill or not join.waiters:
            fill.left()
            return
        self._increment(self.counts["misses"])
        join.waiters.pop(0)[0](Outcome(fill=fill))

    def _meet(self, key: bytes, until_ns: int) -> None:
        """Look whether the other worker has the answer; where it has given up, the first who waits here asks."""
        join = self._joins.get(key)
        if join is None or join.fill is not None:
            return
        now_ns = self._clock()
        question = join.waiters[0][1]
        kept = self._shared(question, now_ns)
        if kept is not None and kept.fresh(now_ns):
            self._settle(key, None, Outcome(kept))
        elif now_ns >= until_ns or not self._answers.claimed(key, now_ns, self._settings.claim_ns):
            if now_ns < until_ns and self._answers.claim(key, now_ns, self._settings.claim_ns) == OTHERS:
                self._later(MEET_SECONDS, lambda: self._meet(key, until_ns))
                return
            fill = join.fill = Fill(self, question, self._engine(question.engine))
            self._increment(self.counts["misses"])
            join.waiters.pop(0)[0](Outcome(fill=fill))
        else:
            self._later(MEET_SECONDS, lambda: self._meet(key, until_ns))

    def _settle(self, key: bytes, fill: Fill | None, outcome: Outcome) -> None:
        """Call all who wait for an answer."""
        join = self._joins.get(key)
        if join is None or join.fill is not fill:
            return
        del self._joins[key]
        self._answers.leave(key)
        for waiter, question in join.waiters:
            suits = outcome.kept is None or outcome.kept.suits(question.fields)
            waiter(outcome if suits else Outcome())

    # What fills tell.

    def keep(self, fill: Fill, kept: Kept, lifetime: Lifetime) -> bool:
        """Keep an answer that has come; whether it counts."""
        now_ns = self._clock()
        kept.stored_ns = now_ns
        kept.fresh_ns = now_ns + lifetime.fresh_ns
        kept.stale_ns = kept.fresh_ns + lifetime.stale_ns if lifetime.stale_ns else 0
        kept.error_ns = kept.fresh_ns + lifetime.error_ns if lifetime.error_ns else 0
        if not self._share(fill.question.key, kept):
            self.not_kept("outdated")
            return False
        self._remember(fill.question.key, kept)
        self._increment(self.counts["stored"])
        if self._remote is not None:
            self._remote.put(fill.question.key, fill.question.engine, kept)
        return True

    def not_kept(self, reason: str) -> None:
        """Count why an answer was not kept."""
        number = self._reasons.get(reason)
        if number is None:
            number = self._reasons[reason] = self._counters.counter(f"cache.not_kept_{reason}")
        self._increment(number)

    def is_barren(self, place: tuple[str, str], now_ns: int) -> bool:
        """Whether answers of an operation are not kept, as they said a while ago."""
        until_ns = self._barren.get(place)
        if until_ns is None:
            return False
        if now_ns < until_ns:
            return True
        del self._barren[place]
        return False

    def remember_not_kept(self, question: Question, reason: str) -> None:
        """For a while nobody is to wait for an answer of this key: each is for one request alone."""
        key = question.key
        self._not_kept[key] = self._clock() + NOT_KEPT_NS
        if reason in _BARREN:
            self._barren[question.place] = self._clock() + BARREN_NS
        if len(self._not_kept) > MOST_NOT_KEPT:
            self._not_kept.popitem(last=False)

    @property
    def settings(self) -> Settings:
        """Those given."""
        return self._settings

    def number_of(self, engine: int) -> int:
        """How often an engine's answers were forgotten."""
        return self._answers.number(engine)

    def hand_on(self, fill: Fill) -> None:
        """The first of those who wait asks now."""
        key = fill.question.key
        join = self._joins.get(key)
        if join is None or join.fill is not fill:
            return
        if not join.waiters:
            self._settle(key, fill, Outcome())
            return
        waiter, question = join.waiters.pop(0)
        join.fill = Fill(self, question, fill.engine)
        self._increment(self.counts["misses"])
        waiter(Outcome(fill=join.fill))

    def settle(self, fill: Fill, outcome: Outcome) -> None:
        """A fill has come to its end."""
        if outcome.error is not None:
            self._increment(self.counts["failed"])
        self._settle(fill.question.key, fill, outcome)


__all__ = [
    "TEMPORARY",
    "Asked",
    "Cache",
    "Fill",
    "Outcome",
    "Question",
    "Remote",
    "Settings",
    "Verdict",
    "key_of",
]
