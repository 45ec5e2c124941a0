"""One answer of a provider: its text, its dates, and how long it says to wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from nautilus.adapters.sources.errors import SourceError
from nautilus.model.datasets import Provenance

SECOND_NS = 1_000_000_000
MOST_RETRY_SECONDS = 31_536_000.0
"""No wait of more than a year is told, whatever a provider says."""


class Reply(NamedTuple):
    """One answer of a provider.

    Attributes
    ----------
    status : 200 where it said that nothing has changed, too.
    headers : by their names in small letters.
    body : unpacked; a text is UTF-8, whatever the provider sent.
    provenance : with its URL without keys.
    not_modified : the body is the one remembered.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    provenance: Provenance
    not_modified: bool = False

    @property
    def etag(self) -> str:
        """Its version, as the provider names it; "": it does not."""
        return self.headers.get("etag", "")


Judge = Callable[[Reply], SourceError | None]


def as_utf8(body: bytes, kind: str) -> bytes:
    """A body of a content type as UTF-8, whatever its charset; what is no text stays as it is.

    ValueError for a charset that does not exist, and for bytes that are not of it.
    """
    kind = kind.lower()
    _, named, charset = kind.partition("charset=")
    charset = charset.split(";")[0].strip().strip('"') if named else "utf-8"
    try:
        text = body.decode(charset)
    except LookupError:
        raise ValueError(f"charset {charset}") from None
    except UnicodeDecodeError as error:
        if not named and not kind.startswith("text/") and "json" not in kind:
            return body
        raise ValueError(f"byte {error.start} is not {charset}") from None
    return text.removeprefix("\ufeff").encode() if charset != "utf-8" or text[:1] == "\ufeff" else body


def retry_seconds_of(headers: Mapping[str, str], now_ns: int) -> float:
    """Of `Retry-After`: seconds, or a date by the provider's own clock, as its `Date` tells it; -1: it does not say."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MOST_RETRY_SECONDS)
    until_ns = http_date_ns(text)
    if not until_ns:
        return -1.0
    wait_seconds = (until_ns - (http_date_ns(headers.get("date", "")) or now_ns)) / SECOND_NS
    return min(max(0.0, wait_seconds), MOST_RETRY_SECONDS)


def http_date_ns(text: str) -> int:
    """An HTTP date; 0 for a text that is none."""
    try:
        return int(parsedate_to_datetime(text).timestamp()) * SECOND_NS
    except (TypeError, ValueError, IndexError):
        return 0


__all__ = ["SECOND_NS", "Judge", "Reply", "as_utf8", "http_date_ns", "retry_seconds_of"]
