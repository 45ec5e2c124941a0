"""One answer that is kept: as it came, as it is shared, and as it is given to a client."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from nautilus.core.cache_lane import KeptBase
from nautilus.policy.caching import SECOND_NS, Fields, Wish, field_of, matches, values_of

NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\n"
_UNCHANGED = frozenset((b"cache-control", b"content-location", b"date", b"expires", b"vary", b"etag"))
"""Fields of a 304 (RFC 9110 15.4.5)."""
OVERHEAD = 512
"""Bytes that an answer takes beside its own."""
_encode = msgspec.msgpack.Encoder().encode


class _Shared(msgspec.Struct, frozen=True, array_like=True):
    """As it lies in the shared level, where its times, its engine and its path are beside it."""

    status: int
    lines: bytes
    body: bytes
    etag: bytes
    validator: bytes
    vary: tuple[tuple[bytes, bytes], ...]


_decoder = msgspec.msgpack.Decoder(_Shared)


class Kept(KeptBase):
    """An answer. Times are those of `monotonic_ns`.

    Attributes
    ----------
    status, lines, body
        `lines`: status line and fields, each with its line end, without the empty line.
    etag
        By which clients may ask whether they have it: that of the engine, or one of the body.
    validator
        That of the engine alone, by which the gateway may ask.
    engine, number, path
        Whose it is: number of the engine in the shared level, and how often its answers had been forgotten.
    vary
        Fields by which it varies, and what the request had in them.
    stored_ns, fresh_ns, stale_ns, error_ns
        When it came; until when it is fresh, and serves while a new one is asked for, or cannot be had.
    """

    __slots__ = ()

    def __init__(
        self,
        status: int,
        lines: bytes,
        body: bytes,
        *,
        etag: bytes,
        validator: bytes,
        engine: int,
        number: int,
        path: bytes,
        vary: tuple[tuple[bytes, bytes], ...] = (),
        stored_ns: int = 0,
        fresh_ns: int = 0,
        stale_ns: int = 0,
        error_ns: int = 0,
    ) -> None:
        self.status = status
        self.lines = lines
        self.body = body
        self.etag = etag
        self.validator = validator
        self.engine = engine
        self.number = number
        self.path = path
        self.vary = vary
        self.stored_ns = stored_ns
        self.fresh_ns = fresh_ns
        self.stale_ns = stale_ns
        self.error_ns = error_ns
        self.size = len(lines) + len(body) + len(path) + OVERHEAD
        self.unchanged = b""
        """What a 304 says; made when it is first asked for."""

    @classmethod
    def of(
        cls, status: int, lines: bytes, body: bytes, fields: Fields, *, engine: int, number: int, path: bytes
    ) -> Kept:
        """An answer as it came; it has no times yet."""
        validator = field_of(fields, b"etag")
        etag = validator
        if not etag and body and status == 200:
            etag = b'"%b"' % blake2b(body, digest_size=12).hexdigest().encode()
            lines += b"etag: " + etag + b"\r\n"
        return cls(status, lines, body, etag=etag, validator=validator, engine=engine, number=number, path=path)

    def encode(self) -> bytes:
        """For the shared level."""
        return _encode(_Shared(self.status, self.lines, self.body, self.etag, self.validator, self.vary))

    @classmethod
    def decode(cls, content: bytes, path: bytes, engine: int, number: int, times: tuple[int, int, int, int]) -> Kept:
        """What `encode` made. msgspec.DecodeError where it is something else."""
        found = _decoder.decode(content)
        return cls(
            found.status,
            found.lines,
            found.body,
            etag=found.etag,
            validator=found.validator,
            engine=engine,
            number=number,
            path=path,
            vary=found.vary,
            stored_ns=times[0],
            fresh_ns=times[1],
            stale_ns=times[2],
            error_ns=times[3],
        )

    def suits(self, fields: Fields) -> bool:
        """Whether a request has the same in the fields by which it varies."""
        vary = self.vary
        return not vary or tuple(value for _, value in vary) == values_of([name for name, _ in vary], fields)

    def is_unchanged(self, wish: Wish) -> bool:
        """Whether the client has it already."""
        return bool(wish.none_match) and self.status == 200 and matches(wish.none_match, self.etag)

    def answer(self, now_ns: int, how: bytes, add: bytes = b"", *, unchanged: bool, close: bool = False) -> bytes:
        """The head for a client of HTTP/1.1, with more lines; a body follows unless `unchanged`.

        `how` is told in Cache-Status.
        """
        return self.head(self._unchanged() if unchanged else self.lines, now_ns, how, add, close)

    def fields(self, now_ns: int, how: bytes, add: bytes = b"", *, unchanged: bool) -> list[tuple[bytes, bytes]]:
        """The same, field by field, with `length` of the body: for HTTP/2."""
        lines = self._unchanged() if unchanged else self.lines
        found = _fields_in(lines + add)
        found.append((b"age", b"%d" % (max(now_ns - self.stored_ns, 0) // SECOND_NS)))
        found.append((b"cache-status", b"nautilus; " + how))
        return found

    def _unchanged(self) -> bytes:
        if not self.unchanged:
            kept = [name + b": " + value + b"\r\n" for name, value in _fields_in(self.lines) if name in _UNCHANGED]
            self.unchanged = NOT_MODIFIED + b"".join(kept)
        return self.unchanged


def _fields_in(lines: bytes) -> list[tuple[bytes, bytes]]:
    found = []
    for line in lines.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            found.append((name.strip().lower(), value.strip()))
    return found


def head_of(status: int, fields: Fields, reason: bytes = b"") -> bytes:
    """Status line and fields as `Kept.lines` has them."""
    start = b"HTTP/1.1 %d %b\r\n" % (status, reason)
    return start + b"".join(name + b": " + value + b"\r\n" for name, value in fields)


def times_of(kept: Kept) -> tuple[Any, ...]:
    """For the shared level."""
    return kept.stored_ns, kept.fresh_ns, kept.stale_ns, kept.error_ns
