"""What of HTTP answers may be kept by a cache that many share, and for how long: RFC 9111, with RFC 5861. Pure.

Fields are (name in lower case, value) in order, as they come in a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from email.utils import mktime_tz, parsedate_tz
from typing import Final, NamedTuple

Fields = Sequence[tuple[bytes, bytes]]

SECOND_NS: Final = 1_000_000_000
LONGEST_SECONDS: Final = 31_536_000
"""A year: who says more means that it never changes (RFC 9111 1.2.2 asks for at least 2^31 s to be understood)."""
KEPT: Final = frozenset((200, 203, 204, 300, 301, 308))
NEGATIVE: Final = frozenset((404, 410))
"""Statuses of what is not there: kept too, within a bound of their own."""
SELECTING: Final = frozenset((b"accept", b"accept-encoding", b"accept-language", b"origin"))
"""Fields of a request by which an answer that is kept may vary."""
_BETWEEN: Final = b" \t,"
_DIRECTIVE = re.compile(
    rb'([!#$%&\'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:=[ \t]*(?:"([^"]*)"|([^\s,;"]*)))?[ \t]*(?:,[ \t,]*|$)'
)


class CacheRules(NamedTuple):
    """What is not said by answers themselves.

    Attributes
    ----------
    stale_seconds : how long an answer is served on while somebody asks for a new one, where its lifetime is that of the
        configuration.
    error_seconds : how long any answer is served on while nobody gets a new one.
    negative_seconds : most that a 404 or 410 is kept.
    """

    stale_seconds: float = 0.0
    error_seconds: float = 0.0
    negative_seconds: float = 1.0


DEFAULTS: Final = CacheRules()


class Lifetime(NamedTuple):
    """How long an answer serves, from when it came: as fresh, then while a new one is asked for, or cannot be had."""

    fresh_ns: int
    stale_ns: int = 0
    error_ns: int = 0


class Wish(NamedTuple):
    """What a request says about caches.

    Attributes
    ----------
    look, keep : an answer that is kept will do; the answer may be kept.
    only_kept : no other answer will do.
    max_age_ns : no older one will do; -1: any.
    none_match : its If-None-Match; empty: it has none.
    authorised : it shows who asks.
    """

    look: bool = True
    keep: bool = True
    only_kept: bool = False
    max_age_ns: int = -1
    none_match: bytes = b""
    authorised: bool = False


PLAIN: Final = Wish()
_NAMING: Final = frozenset((b"authorization", b"nautilus-signature"))
TELLING: Final = frozenset((b"cache-control", b"pragma", b"if-none-match", b"range", b"if-range"))
"""Fields of a request without which any answer that is kept and fresh will do."""
_READ: Final = _NAMING | TELLING


def wish_of(fields: Fields) -> Wish:
    """What a GET or HEAD says about caches."""
    control: list[bytes] = []
    none_match, authorised, part, pragma = b"", False, False, False
    telling = False
    for name, value in fields:
        if name not in _READ:
            continue
        telling = True
        if name == b"cache-control":
            control.append(value)
        elif name == b"if-none-match":
            none_match = none_match + b"," + value if none_match else value
        elif name in _NAMING:
            authorised = True
        elif name == b"pragma":
            pragma = b"no-cache" in value.lower()
        else:
            part = True
    if not telling:
        return PLAIN
    said = directives(control) if control else {}
    refuses = b"no-cache" in said or (pragma and not control)
    max_age = seconds_of(said, b"max-age")
    return Wish(
        look=not (refuses or part or b"no-store" in said),
        keep=not (part or b"no-store" in said),
        only_kept=b"only-if-cached" in said,
        max_age_ns=-1 if max_age is None else max_age * SECOND_NS,
        none_match=none_match,
        authorised=authorised,
    )


def lifetime_of(
    status: int,
    fields: Fields,
    rules: CacheRules = DEFAULTS,
    *,
    seconds: float = 0.0,
    authorised: bool = False,
) -> Lifetime | str:
    """How long the answer to a GET may be kept, or why it may not: a word for a counter.

    Parameters
    ----------
    seconds
        As the configuration has it for this operation; 0: it says nothing. It counts where the answer itself does not
        say how long, and instead of its ``no-store``, as nginx has `proxy_ignore_headers` for: engines say that of
        everything that their configuration does not know better.
    authorised
        The request showed who asks.
    """
    if status not in KEPT and status not in NEGATIVE:
        return "status"
    control, age, dated = _read(fields)
    if isinstance(control, str):
        return control
    configured = seconds > 0
    if b"private" in control:
        return "private"
    if b"no-cache" in control or (b"no-store" in control and not configured):
        return "no_store"
    shared = seconds_of(control, b"s-maxage")
    given = shared if shared is not None else seconds_of(control, b"max-age")
    if given is None:
        given = dated
    # RFC 9111 3.5: what was asked for under a name is not for others, unless somebody says so.
    allowed = configured or shared is not None or b"public" in control or b"must-revalidate" in control
    if authorised and not allowed:
        return "authorised"
    ours = configured and (given is None or b"no-store" in control)
    fresh = seconds if ours else max((given or 0) - age, 0)
    bounds = fresh if status in KEPT else min(fresh, rules.negative_seconds)
    # What the answer does not allow itself is done with a lifetime of ours alone; s-maxage forbids it.
    while_asking = _extra(control, b"stale-while-revalidate", rules.stale_seconds if ours else 0.0)
    on_error = _extra(control, b"stale-if-error", rules.error_seconds if ours or (bounds and shared is None) else 0.0)
    if status in NEGATIVE:
        while_asking = on_error = 0.0
    if bounds <= 0 and while_asking <= 0:
        return "no_lifetime"
    return Lifetime(int(bounds * SECOND_NS), int(while_asking * SECOND_NS), int(on_error * SECOND_NS))


def directives(values: Iterable[bytes]) -> dict[bytes, bytes]:
    """Names (lower case) and arguments of Cache-Control; of one that comes twice the first counts.

    Where some of it cannot be read it may have been what forbids: then it is ``private`` and ``no-store`` as well.
    """
    found: dict[bytes, bytes] = {}
    for value in values:
        at, rest = 0, value.strip(_BETWEEN)
        while at < len(rest):
            match = _DIRECTIVE.match(rest, at)
            if match is None:
                found[b"private"] = found[b"no-store"] = b""
                break
            found.setdefault(match[1].lower(), match[2] if match[2] is not None else match[3] or b"")
            at = match.end()
    return found


def seconds_of(said: dict[bytes, bytes], name: bytes) -> int | None:
    """The whole seconds of a directive; None: it is not said. What is no number is 0: the answer is stale at once."""
    text = said.get(name)
    if text is None:
        return None
    return _number(text, 0)


def _number(text: bytes, otherwise: int) -> int:
    """Whole seconds, a year at most; `otherwise`: it is no number. However many digits there are."""
    if not text.isdigit():
        return otherwise
    text = text.lstrip(b"0") or b"0"
    return min(int(text), LONGEST_SECONDS) if len(text) <= len(str(LONGEST_SECONDS)) else LONGEST_SECONDS


def vary_of(fields: Fields) -> tuple[bytes, ...] | None:
    """Fields of the request by which an answer varies; None: by more than a cache looks at."""
    names: set[bytes] = set()
    for name, value in fields:
        if name == b"vary":
            names.update(part.strip().lower() for part in value.split(b","))
    names.discard(b"")
    return tuple(sorted(names)) if names <= SELECTING else None


def values_of(names: Iterable[bytes], fields: Fields) -> tuple[bytes, ...]:
    """What a request has in these fields, for comparison with another one."""
    return tuple(b",".join(value.strip() for name, value in fields if name == wanted) for wanted in names)


def matches(none_match: bytes, etag: bytes) -> bool:
    """Whether If-None-Match names an entity tag, by the weak comparison of RFC 9110 8.8.3.2."""
    if not etag:
        return False
    if none_match.strip() == b"*":
        return True
    plain = etag.removeprefix(b"W/")
    return any(part.strip().removeprefix(b"W/") == plain for part in none_match.split(b","))


def field_of(fields: Fields, name: bytes) -> bytes:
    """The first value of a field; empty where there is none."""
    for found, value in fields:
        if found == name:
            return value
    return b""


def _read(fields: Fields) -> tuple[dict[bytes, bytes] | str, int, int | None]:
    """Directives, or why there are to be none; age; seconds from Date to Expires, where it has both."""
    values: list[bytes] = []
    age, date, expires = 0, b"", b""
    for name, value in fields:
        if name == b"cache-control":
            values.append(value)
        elif name == b"set-cookie":
            return "cookie", 0, None
        elif name == b"age":
            age = _number(value, LONGEST_SECONDS)
        elif name == b"date":
            date = value
        elif name == b"expires":
            expires = value
    if vary_of(fields) is None:
        return "vary", 0, None
    dated = None
    if expires:
        end, begin = _moment(expires), _moment(date)
        dated = min(end - begin, LONGEST_SECONDS) if end is not None and begin is not None else 0
    return directives(values), age, dated


def _moment(date: bytes) -> int | None:
    """Seconds since the epoch; None: it is no date."""
    try:
        found = parsedate_tz(date.decode("latin-1"))
        return None if found is None else int(mktime_tz(found))
    except (ValueError, TypeError, IndexError, OverflowError):  # as the library answers to some that are none
        return None


def _extra(control: dict[bytes, bytes], name: bytes, default: float) -> float:
    if b"must-revalidate" in control or b"proxy-revalidate" in control:
        return 0.0
    said = seconds_of(control, name)
    return default if said is None else float(said)
