"""Naive twins of the gateway's cache: dicts and lists instead of a region, and who waits for whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

HEAD, ALIGN, PREFIXES = 72, 64, 16


@dataclass
class Record:
    """What `NaiveAnswers.put` was given, and where it lies."""

    place: int
    value: bytes
    engine: int
    number: int
    times: tuple[int, int, int, int]


@dataclass
class NaiveAnswers:
    """Twin of `nautilus.core.response_cache.Answers` with so few keys that no bucket of its index is ever full."""

    ring_bytes: int
    reserved: int = 0
    records: dict[bytes, Record] = field(default_factory=dict)
    forgotten: dict[int, list[bytes]] = field(default_factory=dict)

    def number(self, engine: int) -> int:
        return len(self.forgotten.get(engine, []))

    def valid(self, engine: int, number: int, path: bytes) -> bool:
        """Only the last sixteen beginnings are remembered: who is further behind is taken to be concerned."""
        since = self.forgotten.get(engine, [])[number:]
        return len(since) <= PREFIXES and not any(path.startswith(prefix) for prefix in since)

    def forget(self, engine: int, prefix: bytes) -> None:
        self.forgotten.setdefault(engine, []).append(prefix if len(prefix) <= 112 else b"")

    def put(
        self, key: bytes, path_bytes: int, value: bytes, engine: int, number: int, times: tuple[int, int, int, int]
    ) -> str:
        span = -(-(HEAD + len(key) + len(value)) // ALIGN) * ALIGN
        if span > self.ring_bytes // 4:
            return "too large"
        if not self.valid(engine, number, key[len(key) - path_bytes :]):
            return "outdated"
        left = self.ring_bytes - self.reserved % self.ring_bytes
        if span > left:
            self.reserved += left
        self.records[key] = Record(self.reserved, value, engine, number, times)
        self.reserved += span
        return "stored"

    def get(self, key: bytes) -> Record | None:
        record = self.records.get(key)
        if record is None or self.reserved - record.place > self.ring_bytes:
            return None
        return record


@dataclass
class NaiveJoin:
    """One fill that is under way, and the numbers of the requests that wait for it."""

    fill: int
    waiting: list[int] = field(default_factory=list)


@dataclass
class NaiveEntry:
    """An answer that is kept."""

    body: bytes
    fresh_ns: int
    stale_ns: int
    error_ns: int
    valid: bool = True


@dataclass
class NaiveCache:
    """Twin of `nautilus.gateway.cache.Cache` with one worker, room for everything, and one engine.

    A request is a number. `ask` says (verdict, body, number of a fill); what `end` and the like return are (number,
    what it got) of those that waited: a body, "alone", an error, or ("fill", number).
    """

    entries: dict[str, NaiveEntry] = field(default_factory=dict)
    joins: dict[str, NaiveJoin] = field(default_factory=dict)
    not_kept_ns: dict[str, int] = field(default_factory=dict)
    outdated: set[int] = field(default_factory=set)
    open: dict[int, str] = field(default_factory=dict)
    fills: int = 0

    def ask(self, key: str, request: int, now_ns: int, *, look: bool) -> tuple[str, bytes | None, int | None]:
        entry = self.entries.get(key)
        if look and entry is not None and entry.valid:
            if now_ns < entry.fresh_ns:
                return "hit", entry.body, None
            if now_ns < entry.stale_ns:
                return "stale", entry.body, None if key in self.joins else self._begin(key, joined=True)
        if not look:
            return "miss", None, self._begin(key, joined=False)
        if key in self.joins:
            self.joins[key].waiting.append(request)
            return "joined", None, None
        if now_ns < self.not_kept_ns.get(key, 0):
            return "miss", None, self._begin(key, joined=False)
        return "miss", None, self._begin(key, joined=True)

    def end(self, fill: int, body: bytes, now_ns: int, times: tuple[int, int, int]) -> list[tuple[int, Any]]:
        key = self.open.pop(fill)
        fresh, stale, error = times
        if fill not in self.outdated:
            fresh_ns = now_ns + fresh
            self.entries[key] = NaiveEntry(
                body, fresh_ns, fresh_ns + stale if stale else 0, fresh_ns + error if error else 0
            )
        return self._settle(fill, key, body)

    def refuse(self, fill: int, now_ns: int, *, marks: bool) -> list[tuple[int, Any]]:
        key = self.open.pop(fill)
        if marks:
            self.not_kept_ns[key] = now_ns + 2_000_000_000
        return self._settle(fill, key, "alone")

    def fail(self, fill: int, error: str) -> list[tuple[int, Any]]:
        return self._settle(fill, self.open.pop(fill), error)

    def left(self, fill: int) -> list[tuple[int, Any]]:
        key = self.open.pop(fill)
        join = self.joins.get(key)
        if join is None or join.fill != fill:
            return []
        if not join.waiting:
            del self.joins[key]
            return []
        first = join.waiting.pop(0)
        join.fill = self._open(key)
        return [(first, ("fill", join.fill))]

    def forget(self, prefix: str) -> None:
        for key, entry in self.entries.items():
            entry.valid = entry.valid and not key.startswith(prefix)
        self.outdated.update(fill for fill, key in self.open.items() if key.startswith(prefix))

    def stale_for(self, key: str, now_ns: int) -> bytes | None:
        entry = self.entries.get(key)
        if entry is None or not entry.valid or now_ns >= max(entry.fresh_ns, entry.error_ns):
            return None
        return entry.body

    def _begin(self, key: str, *, joined: bool) -> int:
        fill = self._open(key)
        if joined:
            self.joins[key] = NaiveJoin(fill)
        return fill

    def _open(self, key: str) -> int:
        self.fills += 1
        self.open[self.fills] = key
        return self.fills

    def _settle(self, fill: int, key: str, what: Any) -> list[tuple[int, Any]]:
        join = self.joins.get(key)
        if join is None or join.fill != fill:
            return []
        del self.joins[key]
        return [(request, what) for request in join.waiting]
