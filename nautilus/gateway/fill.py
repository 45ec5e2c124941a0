"""Takes one answer of an engine for the cache, whole or as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nautilus.gateway.asking import Outcome, Question
from nautilus.gateway.kept import Kept
from nautilus.policy.caching import Fields, Lifetime, lifetime_of, values_of, vary_of

if TYPE_CHECKING:
    from nautilus.gateway.cache import Cache

TEMPORARY = frozenset((500, 502, 503, 504))
"""An answer that is kept may be given instead of these (RFC 5861)."""


class Fill:
    """Takes one answer of an engine for the cache, beside the client who asked for it.

    Call `whole`; or `begin`, `data` and `end`; or `failed`. Without effect once it is over.

    Attributes
    ----------
    question : of the one who asks.
    engine, number : of the shared level; from before the engine was asked.
    over : it has come to its end.
    """

    __slots__ = ("_cache", "_fields", "_lifetime", "_lines", "_parts", "_size", "_status", "engine", "number", "over",
                 "question")  # fmt: skip

    def __init__(self, cache: Cache, question: Question, engine: int) -> None:
        self._cache = cache
        self.question = question
        self.engine = engine
        self.number = cache.number_of(engine)
        self.over = False
        self._parts: list[bytes] = []
        self._size = 0
        self._status = 0
        self._lines = b""
        self._fields: Fields = ()
        self._lifetime: Lifetime | None = None

    def begin(self, status: int, lines: bytes, fields: Fields) -> bool:
        """The head of the answer; False: it is not to be kept, what follows need not be told.

        Parameters
        ----------
        lines
            Status line and fields for clients, each with its line end, without the empty line.
        fields
            The same, names in lower case.
        """
        if self.over:
            return False
        question, settings = self.question, self._cache.settings
        found = lifetime_of(
            status, fields, settings.rules, seconds=question.seconds, authorised=question.wish.authorised
        )
        if isinstance(found, str):
            self._refuse(found)
            return False
        self._status, self._lines, self._fields, self._lifetime = status, lines, fields, found
        return True

    def data(self, data: bytes) -> None:
        """Some of the body."""
        if self.over:
            return
        self._size += len(data)
        if self._size > self._cache.settings.largest_bytes:
            self._refuse("size")
            return
        self._parts.append(data)

    def end(self) -> Kept | None:
        """The body is complete. The answer as it is kept now; None: it is not."""
        if self.over:
            return None
        assert self._lifetime is not None
        question = self.question
        lines = self._lines
        body = b"".join(self._parts)
        if b"content-length" not in (name for name, _ in self._fields) and self._status != 204:
            lines += b"content-length: %d\r\n" % len(body)
        kept = Kept.of(
            self._status, lines, body, self._fields, engine=self.engine, number=self.number, path=question.path
        )
        names = vary_of(self._fields) or ()
        kept.vary = tuple(zip(names, values_of(names, question.fields), strict=True))
        self.over = True
        if self._cache.keep(self, kept, self._lifetime):
            self._cache.settle(self, Outcome(kept))
            return kept
        # It was forgotten on its way: whoever asked before that may have it, and those who wait have.
        self._cache.settle(self, Outcome(kept))
        return None

    def whole(self, status: int, lines: bytes, fields: Fields, body: bytes) -> Kept | None:
        """The whole answer at once; see `end`. One that is no answer for now is not kept, but told to all who wait."""
        if status in TEMPORARY:
            self.share(status, lines, fields, body)
            return None
        if not self.begin(status, lines, fields):
            return None
        self.data(body)
        return self.end()

    def failed(self, error: object) -> None:
        """There is no answer; those who wait get the error."""
        if not self.over:
            self.over = True
            self._cache.settle(self, Outcome(error=error))

    def share(self, status: int, lines: bytes, fields: Fields, body: bytes) -> None:
        """An answer that is not kept, though those who wait get it too: that the engine cannot answer now."""
        if not self.over:
            question = self.question
            self.settle_with(
                Kept.of(status, lines, body, fields, engine=self.engine, number=self.number, path=question.path)
            )

    def settle_with(self, kept: Kept) -> None:
        """There is no answer, but an old one that may be given: those who wait get that."""
        if not self.over:
            self.over = True
            self._cache.settle(self, Outcome(kept))

    def left(self) -> None:
        """The one who asked has gone, and the answer with it: of those who wait the first one is to ask."""
        if not self.over:
            self.over = True
            self._cache.hand_on(self)

    def _refuse(self, reason: str) -> None:
        self.over = True
        self._parts.clear()
        self._cache.not_kept(reason)
        if reason != "status":
            self._cache.remember_not_kept(self.question, reason)
        self._cache.settle(self, Outcome())
