"""Answers kept so that a provider can say that nothing has changed, and pages of what is to be asked again; bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nautilus.adapters.sources.session import Reply


ABOUT_THE_BODY = ("cache-control", "content-type", "etag", "last-modified")
"""Headers that belong to a body; others, such as how many requests are left, were of their moment."""

PAGE_NS = 300 * 1_000_000_000
"""So long a page of a question that could not be answered in its time is good for the next try."""


class Kept(NamedTuple):
    """One answer, with the headers of its body."""

    headers: Mapping[str, str]
    body: bytes

    def conditions(self) -> dict[str, str]:
        """Headers that ask for it only where it has changed."""
        found = {}
        if "etag" in self.headers:
            found["If-None-Match"] = self.headers["etag"]
        if "last-modified" in self.headers:
            found["If-Modified-Since"] = self.headers["last-modified"]
        return found


class Remembered:
    """Answers by their URL without keys.

    Parameters
    ----------
    most
        Answers.
    most_bytes
        Of all bodies together.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, url: str) -> Kept | None:
        """The answer of a URL, if there is one."""
        kept = self._kept.get(url)
        if kept is not None:
            self._kept.move_to_end(url)
        return kept

    def keep(self, url: str, reply: Reply) -> None:
        """Keep an answer that has a version or a date, in place of an earlier one; others cannot be asked for again."""
        self.drop(url)
        if not {"etag", "last-modified"} & reply.headers.keys() or len(reply.body) > self._most_bytes or not self._most:
            return
        if "no-store" in reply.headers.get("cache-control", ""):
            return
        self._kept[url] = Kept(
            {name: told for name, told in reply.headers.items() if name in ABOUT_THE_BODY}, reply.body
        )
        self.bytes += len(reply.body)
        while len(self._kept) > self._most or self.bytes > self._most_bytes:
            self.drop(next(iter(self._kept)))

    def drop(self, url: str) -> None:
        """Forget an answer."""
        kept = self._kept.pop(url, None)
        if kept is not None:
            self.bytes -= len(kept.body)


class Pages:
    """Pages of questions whose time, or whose limit, ended before the last one: the next try goes on from there.

    Parameters
    ----------
    most_bytes
        Of all bodies together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, Reply] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, url: str, now_ns: int) -> Reply | None:
        """The page of a URL, if there is one that is young enough."""
        reply = self._kept.get(url)
        if reply is None or 0 <= now_ns - reply.provenance.fetched_ns <= PAGE_NS:
            return reply
        self.drop(url)
        return None

    def keep(self, replies: Iterable[Reply]) -> None:
        """Keep pages that were right, the oldest ones as long as there is room."""
        for reply in replies:
            self.drop(reply.provenance.url)
            self._kept[reply.provenance.url] = reply
            self.bytes += len(reply.body)
        while self.bytes > self._most_bytes:
            self.drop(next(iter(self._kept)))

    def drop(self, url: str) -> None:
        """Forget a page."""
        reply = self._kept.pop(url, None)
        if reply is not None:
            self.bytes -= len(reply.body)


__all__ = ["Kept", "Pages", "Remembered"]
