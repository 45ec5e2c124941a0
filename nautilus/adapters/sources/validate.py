"""Answers into typed records: what does not fit is refused with the name of its field."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import msgspec

from nautilus.adapters.sources.errors import MalformedError, SourceError

if TYPE_CHECKING:
    from nautilus.adapters.sources.asking import Asking
    from nautilus.adapters.sources.session import Reply, Session

T = TypeVar("T")
_PLACE = re.compile(r"^(.*?)(?: - at `(\$.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(.+?)`")


def decode(session: Session, reply: Reply, kind: type[T]) -> T:
    """The body as JSON of that kind.

    Raises
    ------
    MalformedError
        It is none: `path` is the field, such as ``$.chart.result[0].meta.currency``, or "" where it is no JSON at all.
    """
    return decode_part(session, reply.provenance.url, reply.body, kind)


def decode_part(session: Session, url: str, body: bytes | msgspec.Raw, kind: type[T], under: str = "$") -> T:
    """A part of a body, which lies at the path `under`; see `decode`."""
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except msgspec.ValidationError as error:
        raise _refusal(session, url, error, under) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shown = session.quoted(bytes(body)) or "nothing"
        raise session.fault(MalformedError, f"no JSON ({error}): {shown}", url, expected="JSON") from None


def convert(session: Session, url: str, value: object, kind: type[T], under: str = "$") -> T:
    """What was decoded from another format, into that kind; see `decode`."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _refusal(session, url, error, under) from None


def missing(session: Session, url: str, path: str) -> SourceError:
    """What a question ends with whose answer lacks a field that only some of its rows have to have."""
    return session.fault(MalformedError, f"{path}: missing", url, expected="what it documents", path=path)


def too_many_pages(session: Session, asking: Asking) -> SourceError:
    """What a question ends with that has more pages than are read: part of an answer is never given as the whole."""
    return session.fault(
        MalformedError,
        f"more than {session.config.most_pages} pages",
        asking.provenance.url,
        expected="a limit, a narrower question, or more of most_pages",
    )


def _refusal(session: Session, url: str, error: msgspec.ValidationError, under: str) -> SourceError:
    what, path = field_of(str(error))
    path = f"{under}{path[1:]}"
    return session.fault(MalformedError, f"{path}: {what}", url, expected="what it documents", path=path)


def field_of(text: str) -> tuple[str, str]:
    """What is wrong and where, of a text of msgspec. Of a missing field the place is its own."""
    found = _PLACE.match(text)
    what, place = (found[1], found[2] or "$") if found else (text, "$")
    missing = _MISSING.search(what)
    return what, f"{place}.{missing[1]}" if missing else place


__all__ = ["convert", "decode", "decode_part", "field_of", "missing", "too_many_pages"]
