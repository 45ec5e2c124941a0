"""The JSON body of a request: what it is told beyond its limits; decoded, no key of it given twice."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from nautilus.runtime.errorlog import shortened
from nautilus.runtime.http.problems import HttpError

Headers = Iterable[tuple[bytes, bytes]]

NO_BODY = msgspec.UNSET
"""Stands for a body that is not there; `null` is one that is."""
DRAINED_BYTES = 8 << 20
"""So much of what nobody wants is read and thrown away, so that its sender gets to read the answer."""
_CLOSING = ((b"connection", b"close"),)


def too_large(limit: int, *, closing: bool) -> HttpError:
    """What a body of more than so many bytes is answered."""
    return HttpError(
        413,
        "http.body_size",
        "the body is too large",
        where="body",
        expected=f"at most {limit} bytes",
        headers=_CLOSING if closing else (),
    )


def too_slow(body_seconds: float) -> HttpError:
    """What a body is answered that does not come in time."""
    return HttpError(408, "http.slow", f"no whole body within {body_seconds:g} s", where="body", headers=_CLOSING)


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
