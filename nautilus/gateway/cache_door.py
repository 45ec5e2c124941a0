"""Where requests to engines pass the cache: what is asked of it, and what clients and engines are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from nautilus.core.cache_lane import DoorBase
from nautilus.core.counters import Counters
from nautilus.gateway.cache import Cache, Fill, Outcome, Question, Verdict, key_of
from nautilus.gateway.kept import Kept
from nautilus.gateway.usage import Usage
from nautilus.policy.caching import TELLING, Fields, wish_of
from nautilus.runtime.http.problems import HttpError

if TYPE_CHECKING:
    from nautilus.runtime.http.exchange import Exchange

LIFETIMES = {"factor": 1.0, "features": 1.0}
"""Seconds for which answers of engines are kept that nobody says anything else of: these are asked through the gateway
for that (category background)."""
READS = frozenset(("GET", "HEAD", "OPTIONS"))
FRESH, OLD, WAITED, ANYHOW = b"hit", b"hit; detail=stale", b"hit; detail=joined", b"hit; detail=error"
STORED = b"fwd=miss; stored"
"""What Cache-Status says (RFC 9211)."""
_CONDITIONS = frozenset((b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since"))
NOT_KEPT = 504


def unconditional(fields: Fields) -> list[tuple[bytes, bytes]]:
    """The fields of a request without conditions: the whole answer is wanted, for others too."""
    return [field for field in fields if field[0] not in _CONDITIONS]


class Refresher(Protocol):
    """Asks an engine for the sake of the cache alone."""

    def __call__(self, question: Question, fill: Fill) -> None:
        """Feed the fill with the engine's answer; nobody waits for it."""
        ...


class Door(DoorBase):
    """Of one worker.

    Parameters
    ----------
    seconds
        As the section ``gateway`` has `cache_seconds`.
    """

    def __init__(
        self, cache: Cache, counters: Counters, seconds: Mapping[str, float], clock: Callable[[], int]
    ) -> None:
        super().__init__(TELLING, FRESH)
        self.cache = cache
        self.usage = Usage()
        self.refresh: Refresher | None = None
        """Set by whoever can: without it stale answers are renewed by the next request that waits for them."""
        self._seconds = {**LIFETIMES, **seconds}
        self._lifetimes: dict[tuple[str, str], float] = {}
        self._clock = clock
        self._counters = counters
        self._requests = counters.counter("cache.requests")

    def seconds_of(self, engine: str, operation: str) -> float:
        """How long answers of an operation ("GET /risk/state") are kept that do not say so; 0: not at all."""
        found = self._lifetimes.get((engine, operation))
        if found is None:
            named = self._seconds.get(f"{engine} {operation}")
            found = self._seconds.get(engine, 0.0) if named is None else named
            self._lifetimes[engine, operation] = found
        return found

    def enter(
        self,
        exchange: Exchange,
        engine: str,
        operation: str,
        path: bytes,
        answer_lines: bytes,
        forward: Callable[[Fill | None], None],
    ) -> None:
        """Answer a request with what is kept; else `forward`, now or later, once: with what takes the answer, or None.

        Most that memory has does not come here: `gives` is asked first.

        Parameters
        ----------
        operation
            "GET /risk/state".
        path
            Behind the engine, with the query, as sent.
        answer_lines
            What the gateway adds to every answer of the engine.
        """
        method = exchange.method
        if method not in READS:
            # What changes something may make any answer of the engine another one: before it is sent, and after.
            self.cache.forget(engine)
            forward(None)
            return
        key = key_of(engine, self._scope_of(exchange.principal.scopes), path)
        wish = wish_of(exchange.headers)
        if exchange.tls and exchange.peer_certificate:
            wish = wish._replace(authorised=True)
        if key is None or method != "GET":
            forward(None)
            return
        now_ns = exchange.started_ns
        place = (engine, operation)
        if self.cache.is_barren(place, now_ns):
            forward(None)
            return
        self._counters.increment(self._requests)
        question = Question(engine, key, path, exchange.headers, wish, self.seconds_of(engine, operation), place)

        def settled(outcome: Outcome) -> None:
            if outcome.kept is not None:
                self.give(exchange, outcome.kept, question, WAITED, answer_lines)
            elif outcome.error is None:
                forward(outcome.fill)
            else:
                self._tell(exchange, outcome.error, question, answer_lines)

        asked = self.cache.ask(question, now_ns, settled)
        verdict, kept = asked.verdict, asked.kept
        if verdict is not Verdict.PASSED:
            self.usage.note(key, operation)
        if kept is not None:
            self.give(exchange, kept, question, FRESH if verdict is Verdict.HIT else OLD, answer_lines)
            if asked.fill is not None:
                if self.refresh is not None:
                    self.refresh(question, asked.fill)
                else:
                    asked.fill.left()
        elif verdict is Verdict.MISS or verdict is Verdict.PASSED:
            forward(asked.fill)
        elif verdict is Verdict.REFUSED:
            exchange.problem(HttpError(NOT_KEPT, "gateway.not_kept", "no answer is kept", where="Cache-Control"))

    def changed(self, engine: str) -> None:
        """A request that changes something has been carried out, or nobody knows: what was asked meanwhile is old."""
        self.cache.forget(engine)

    def anyhow(self, exchange: Exchange, fill: Fill, answer_lines: bytes) -> bool:
        """Give what is kept instead of an error, where that may be; False: there is nothing."""
        kept = self.cache.stale_for(fill.question, self._clock())
        if kept is None:
            return False
        fill.settle_with(kept)
        self.give(exchange, kept, fill.question, ANYHOW, answer_lines)
        return True

    def give(self, exchange: Exchange, kept: Kept, question: Question, how: bytes, answer_lines: bytes) -> None:
        """Answer with what is kept."""
        unchanged = kept.is_unchanged(question.wish)
        if unchanged:
            self.cache.told_unchanged()
        now_ns = exchange.started_ns
        if exchange.http2:
            status = 304 if unchanged else kept.status
            fields = kept.fields(now_ns, how, answer_lines, unchanged=unchanged)
            exchange.start(status, fields)
            if kept.body and not unchanged:
                exchange.write(kept.body)
        elif not unchanged:
            self._give_whole(exchange, kept, how, answer_lines)
            return
        else:
            keep = exchange.may_keep_alive()
            exchange.start_raw(kept.answer(now_ns, how, answer_lines, unchanged=True, close=not keep), keep_alive=keep)
        exchange.end()

    def _tell(self, exchange: Exchange, error: object, question: Question, answer_lines: bytes) -> None:
        kept = self.cache.stale_for(question, self._clock())
        if kept is not None:
            self.give(exchange, kept, question, ANYHOW, answer_lines)
        else:
            assert isinstance(error, HttpError)
            exchange.problem(error)
