"""What a cache is asked, and what it says: the words between `nautilus.gateway.cache` and those who use it."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nautilus.gateway.kept import Kept
from nautilus.policy.caching import SECOND_NS, CacheRules, Fields, Wish

if TYPE_CHECKING:
    from nautilus.gateway.fill import Fill


class Verdict(IntEnum):
    """What is to be done with a request.

    HIT: give `Asked.kept`. STALE: the same, and with a `fill` ask the engine beside that. MISS: ask the engine, feed
    `fill`. JOINED: wait to be called. PASSED: no business of the cache. REFUSED: nothing is kept, and nothing else will
    do (504).
    """

    HIT = 0
    STALE = 1
    MISS = 2
    JOINED = 3
    PASSED = 4
    REFUSED = 5


class Asked(NamedTuple):
    """See `Verdict`."""

    verdict: Verdict
    kept: Kept | None = None
    fill: Fill | None = None


class Outcome(NamedTuple):
    """What became of the answer that somebody waited for.

    Attributes
    ----------
    kept : it is there.
    fill : the one who waits is to ask the engine now, and feed this.
    error : what the one who asked got instead; None too: the answer is for nobody else, ask for one's own.
    """

    kept: Kept | None = None
    fill: Fill | None = None
    error: object | None = None


Waiter = Callable[[Outcome], object]


class Remote(Protocol):
    """A level that is asked over a socket: `nautilus.gateway.cache_redis`."""

    def get(self, key: bytes, path: bytes, engine: str, done: Callable[[Kept | None], object]) -> None:
        """Look an answer up; `done` is called once, None: there is none, or nobody can tell."""
        ...

    def put(self, key: bytes, engine: str, kept: Kept) -> None:
        """Keep an answer; nobody waits for that."""
        ...

    def forget(self, engine: str, prefix: bytes) -> None:
        """Nothing of what is kept there counts any more."""
        ...


class Settings(NamedTuple):
    """Of one cache: bytes of its memory, the largest answer, how long one worker waits for another one's answer."""

    memory_bytes: int = 16 << 20
    largest_bytes: int = 256 << 10
    claim_ns: int = 5 * SECOND_NS
    rules: CacheRules = CacheRules()


DEFAULTS = Settings()


class Question(NamedTuple):
    """One request, as the cache sees it.

    Attributes
    ----------
    engine : name.
    key : engine, scopes, path; see `key_of`.
    path : of the request, behind the engine; the key ends with it.
    fields : of the request.
    wish : what it says about caches.
    seconds : how long its answer may be kept, as the configuration has it.
    place : what is true of answers there is likely to be true of this one: engine and operation.
    """

    engine: str
    key: bytes
    path: bytes
    fields: Fields
    wish: Wish
    seconds: float
    place: tuple[str, str] = ("", "")
