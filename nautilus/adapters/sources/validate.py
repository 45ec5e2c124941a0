"""Answers into typed records: what does not fit is refused with the name of its field."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import msgspec

from nautilus.adapters.sources.errors import MalformedError

if TYPE_CHECKING:
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
    url = reply.provenance.url
    try:
        return msgspec.json.decode(reply.body, type=kind, strict=False)
    except msgspec.ValidationError as error:
        what, path = field_of(str(error))
        raise session.fault(MalformedError, f"{path}: {what}", url, expected="what it documents", path=path) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise session.fault(
            MalformedError, f"no JSON ({error}): {session.quoted(reply.body) or 'nothing'}", url, expected="JSON"
        ) from None


def field_of(text: str) -> tuple[str, str]:
    """What is wrong and where, of a text of msgspec. Of a missing field the place is its own."""
    found = _PLACE.match(text)
    what, place = (found[1], found[2] or "$") if found else (text, "$")
    missing = _MISSING.search(what)
    return what, f"{place}.{missing[1]}" if missing else place


__all__ = ["decode", "field_of"]
