"""The reader of request heads once more, as regular expressions; and what an independent parser makes of a head."""

from __future__ import annotations

import re
from typing import Any

import httptools

from nautilus.core.http_head import (
    CHUNKED,
    CODING,
    EXPECTS,
    HEAD_BYTES,
    INCOMPLETE,
    KEEP_ALIVE,
    MALFORMED,
    METHODS,
    MOST_HEADERS,
    OLD,
    TOO_LARGE,
    UPGRADE,
    VERSION,
)

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LINE = re.compile(rb"([A-Z]{1,16}) ([!-\"$-~]+) HTTP/([0-9])\.([0-9])|.*", re.DOTALL)
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*", re.DOTALL)


def naive_head(data: bytes) -> Any:
    """What `parse_head` is to give."""
    skipped = 0
    if data.startswith(b"\r"):
        if len(data) == 1:
            return INCOMPLETE
        if not data.startswith(b"\r\n"):
            return MALFORMED
        skipped, data = 2, data[2:]
    if not data:
        return INCOMPLETE
    seen = data[:HEAD_BYTES]
    end = seen.find(b"\n\r\n")
    if end < 0:
        if not seen[:1].isupper() or re.search(rb"(?<!\r)\n", seen):
            return MALFORMED
        return TOO_LARGE if len(data) >= HEAD_BYTES else INCOMPLETE
    lines = data[: end + 1].split(b"\n")[:-1]
    if not lines[0].endswith(b"\r"):
        return MALFORMED
    match = _LINE.fullmatch(lines[0][:-1])
    if match is None or not match[1]:
        return MALFORMED
    name, target, *version = match.groups()
    if name not in METHODS or not (target.startswith(b"/") or (target == b"*" and name == b"OPTIONS")):
        return MALFORMED
    if version in ([b"0", b"9"], [b"2", b"0"]):
        return VERSION
    if version not in ([b"1", b"1"], [b"1", b"0"]):
        return MALFORMED
    old = version == [b"1", b"0"]
    headers = []
    for line in lines[1:]:
        field = _FIELD.fullmatch(line.removesuffix(b"\r"))
        if field is None:
            return MALFORMED
        if len(headers) == MOST_HEADERS:
            return TOO_LARGE
        if not line.endswith(b"\r"):
            return MALFORMED
        headers.append((field[1].lower(), field[2]))
        length_so_far = [value for key, value in headers if key == b"content-length"]
        if len(length_so_far) > 1 or not all(re.fullmatch(rb"[0-9]{1,15}", value) for value in length_so_far):
            return MALFORMED
    return _framed(METHODS[name], target, headers, old, skipped + end + 3)


def _framed(method: str, target: bytes, headers: list[tuple[bytes, bytes]], old: bool, end: int) -> Any:
    def values(name: bytes) -> list[bytes]:
        return [value for key, value in headers if key == name]

    lengths, codings = values(b"content-length"), values(b"transfer-encoding")
    flags = OLD if old else KEEP_ALIVE
    if codings:
        if len(codings) > 1 or lengths or old:
            return MALFORMED
        if codings[0].lower() != b"chunked":
            return CODING
        flags |= CHUNKED
    said = {word.strip(b" \t").lower() for value in values(b"connection") for word in value.split(b",")}
    if old and b"keep-alive" in said and b"close" not in said:
        flags |= KEEP_ALIVE
    if not old and b"close" in said:
        flags &= ~KEEP_ALIVE
    if not old and any(value.lower() == b"100-continue" for value in values(b"expect")):
        flags |= EXPECTS
    if b"upgrade" in said and values(b"upgrade"):
        flags |= UPGRADE
    return method, target, headers, flags, int(lengths[0]) if lengths else 0, end


class Independent:
    """What llhttp reads of the same bytes: the first request, and whether it is whole."""

    def __init__(self, data: bytes) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.whole = self.head = self.failed = False
        self._ended = False
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            self.failed = not self.whole
        self.method = self._parser.get_method().decode()

    def on_url(self, url: bytes) -> None:
        if not self.head:
            self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head:
            self.headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.head = True

    def on_body(self, body: bytes) -> None:
        if not self.whole:
            self.body += body

    def on_message_complete(self) -> None:
        self.whole = True
