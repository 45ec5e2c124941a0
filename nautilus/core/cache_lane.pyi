"""What a request costs whose answer a worker has in its memory; what all of it means is said where these are used."""

from typing import Any

from nautilus.core.counters import Counters
from nautilus.core.response_cache import Answers

MOST: int
"""Requests that are told apart; then all counts are halved, and what is left with nothing is forgotten."""

def key_of(engine: str, scopes: bytes, path: bytes) -> bytes | None:
    """The key of a request; None: it is too long to be kept. Who has other scopes may get another answer."""

class KeptBase:
    """The common part of `nautilus.gateway.kept.Kept`."""

    status: int
    lines: bytes
    body: bytes
    etag: bytes
    validator: bytes
    path: bytes
    unchanged: bytes
    engine: int
    number: int
    vary: tuple[tuple[bytes, bytes], ...]
    stored_ns: int
    fresh_ns: int
    stale_ns: int
    error_ns: int
    size: int

    def fresh(self, now_ns: int) -> bool:
        """Whether it may be given without asking anybody."""
    def over(self, now_ns: int) -> bool:
        """Whether it serves for nothing any more."""
    def head(self, lines: bytes, now_ns: int, how: bytes, add: bytes, close: bool) -> bytes:
        """Status line and fields, with those of a cache and an empty line."""

class CacheBase:
    """The common part of `nautilus.gateway.cache.Cache`: `counts` are indexes of counters by name."""

    counts: dict[str, int]
    _answers: Answers
    _counters: Counters
    _memory: Any
    _barren: dict[tuple[str, str], int]
    _hits: int
    _memory_hits: int

    def _remembered(self, key: bytes, fields: Any, now_ns: int) -> Any:
        """What memory has for a request, where it serves for anything; what is fresh counts as a hit of memory."""

class UsageBase:
    """The common part of `nautilus.gateway.usage.Usage`."""

    _counts: dict[tuple[bytes, str], int]

    def note(self, key: bytes, operation: str) -> None:
        """It was asked for once more."""

class DoorBase:
    """The common part of `nautilus.gateway.cache_door.Door`.

    Parameters
    ----------
    telling
        Fields of a request that say something about caches.
    how
        What is told of a fresh answer.
    """

    cache: Any
    usage: Any
    _counters: Counters
    _requests: int
    _scopes: dict[frozenset[str], bytes]

    def __init__(self, telling: frozenset[bytes], how: bytes) -> None: ...
    def gives(self, exchange: Any, engine: str, operation: str, path: bytes, answer_lines: bytes) -> bool:
        """Answer a request with what memory has, where that is fresh and nothing is said about caches; else False, and
        nothing has happened: see `enter`."""
    def _give_whole(self, exchange: Any, kept: Any, how: bytes, add: bytes) -> None: ...
    def _scope_of(self, scopes: frozenset[str]) -> bytes: ...
