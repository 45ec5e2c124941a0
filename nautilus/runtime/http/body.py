"""The JSON body of a request: read within its limits, decoded, no key of it given twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import msgspec

from nautilus.runtime.errorlog import shortened
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.problems import HttpError

Headers = Iterable[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

NO_BODY = msgspec.UNSET
"""Stands for a body that is not there; `null` is one that is."""
DRAINED_BYTES = 8 << 20
"""So much of what nobody wants is read and thrown away, so that its sender gets to read the answer."""
_CLOSING = ((b"connection", b"close"),)


class BodyReader:
    """Reads bodies of requests that change something."""

    def __init__(self, config: HttpConfig | None = None) -> None:
        config = config or HttpConfig()
        self._limit_bytes = config.body_kib << 10
        self._body_seconds = config.body_seconds

    async def read(self, headers: Headers, receive: Receive) -> tuple[bytes, Any]:
        """The body, as it is and decoded; `NO_BODY` where there is none. Raises HttpError."""
        declared, expects, chunked = _body_headers(headers)
        if not declared and not chunked:
            return b"", NO_BODY
        if declared > self._limit_bytes and (expects or declared > DRAINED_BYTES):
            raise self._too_large(closing=True)
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await self._read(receive)
        except TimeoutError:
            raise HttpError(
                408, "http.slow", f"no whole body within {self._body_seconds:g} s", where="body", headers=_CLOSING
            ) from None
        return body, decode_body(body)

    async def _read(self, receive: Receive) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise HttpError(400, "http.body", "the sender left before the body was whole", where="body")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size <= self._limit_bytes:
                chunks.append(chunk)
            elif size > DRAINED_BYTES:
                raise self._too_large(closing=True)
            if not message.get("more_body", False):
                break
        if size > self._limit_bytes:
            raise self._too_large(closing=False)
        return b"".join(chunks)

    def _too_large(self, *, closing: bool) -> HttpError:
        return HttpError(
            413,
            "http.body_size",
            "the body is too large",
            where="body",
            expected=f"at most {self._limit_bytes} bytes",
            headers=_CLOSING if closing else (),
        )


def decode_body(body: bytes) -> Any:
    """The value of a body; `NO_BODY` for an empty one. Raises HttpError where it is no JSON or gives a key twice."""
    if not body:
        return NO_BODY
    try:
        value = msgspec.json.decode(body)
        # Each key has a colon: an object with no more colons than keys has each of them once. Others are looked at
        # closely, which takes ten times as long.
        if body.count(b":") > (len(value) if type(value) is dict else 0):
            json.loads(body, object_pairs_hook=_unique, parse_int=len, parse_float=len)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise HttpError(400, "http.body", f"body is no JSON: {error}", where="body", expected="JSON") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> None:
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise HttpError(
                422, "http.fields", f"field {shortened(repr(name))} is given twice", where=shortened(name, 100),
                expected="it once",
            )  # fmt: skip
        names.add(name)


def _body_headers(headers: Headers) -> tuple[int, bool, bool]:
    """Declared length (0: none), whether the sender waits to be told to go on, and whether it sends in chunks."""
    declared, expects, chunked = 0, False, False
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            declared = int(value)
        elif name == b"expect":
            expects = True
        elif name == b"transfer-encoding":
            chunked = True
    return declared, expects, chunked
