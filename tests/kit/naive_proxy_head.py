"""What `nautilus.core.proxy_head` has to do, said with regular expressions and lists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

START = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)\r\n")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)[ \t]*\r\n")
HOP = ("te", "trailer", "keep-alive", "proxy-connection", "proxy-authenticate", "upgrade", "connection")
REQUEST_OUT = (
    "host", "authorization", "content-length", "expect", "forwarded", "keep-alive", "origin", "proxy-connection",
    "proxy-authorization", "te", "trailer", "transfer-encoding", "traceparent", "upgrade", "via", "connection",
)  # fmt: skip
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-][\t\x20-\x7e\x80-\xff]*\r\n")


class NaiveHead(NamedTuple):
    """As `AnswerHead`."""

    status: int
    body: int
    length: int
    size: int
    keep_alive: bool
    lines: bytes


def words(value: bytes) -> list[bytes]:
    """The members of a list, in lower case."""
    return [word.strip(b" \t").lower() for word in value.split(b",")]


def naive_read_answer(data: bytes, head_only: bool = False, drop: Sequence[bytes] = ()) -> NaiveHead | None:
    """The head of a whole answer; None where it is to be refused. What has not all come is not for this one."""
    start = START.match(data)
    if start is None:
        return None
    at, fields = start.end(), []
    while data[at : at + 2] != b"\r\n":
        field = FIELD.match(data, at)
        if field is None:
            return None
        fields.append((field[1].lower(), field[2], field[0]))
        at = field.end()
    at += 2
    status, old = int(start[2]), start[1] == b"0"
    lengths = [value for name, value, _ in fields if name == b"content-length"]
    codings = [value.lower() for name, value, _ in fields if name == b"transfer-encoding"]
    if len(lengths) > 1 or any(not re.fullmatch(rb"[0-9]{1,15}", value) for value in lengths):
        return None
    if codings and (codings != [b"chunked"] or old or lengths):
        return None
    options = [word for name, value, _ in fields if name == b"connection" for word in words(value)]
    keep = (not old or b"keep-alive" in options) and b"close" not in options
    length = int(lengths[0]) if lengths else 0
    if status < 200 or status == 204:
        if codings or length:
            return None
        body, length = 0, 0
    elif head_only or status == 304:
        body, length = 0, 0
    elif codings:
        body = 2
    elif lengths:
        body = 1
    else:
        return None
    kept = []
    for name, _, line in fields:
        if name == b"content-length":
            if status >= 200 and status != 204:
                kept.append(line)
        elif name.decode() not in HOP and name != b"transfer-encoding" and name not in options and name not in drop:
            kept.append(line)
    return NaiveHead(status, body, length, at, keep, b"HTTP/1.1" + start[0][8:] + b"".join(kept))


def naive_upstream_head(
    start: bytes, fields: Sequence[tuple[bytes, bytes]], add: bytes, length: int, drop: Sequence[bytes] = ()
) -> bytes:
    """The head of a request for an upstream."""
    options = [word for name, value in fields if name == b"connection" for word in words(value)]
    lines = [start]
    for name, value in fields:
        text = name.decode()
        if not name or text in REQUEST_OUT or name in options or name in drop:
            continue
        if (text.startswith("nautilus-") and len(name) > 9) or (text.startswith("x-forwarded-") and len(name) > 12):
            continue
        lines.append(name + b": " + value + b"\r\n")
    lines.append(add)
    if length >= 0:
        lines.append(b"content-length: %d\r\n" % length)
    elif length == -2:
        lines.append(b"transfer-encoding: chunked\r\n")
    return b"".join(lines) + b"\r\n"


def naive_dechunk(data: bytes) -> tuple[bytes, bytes] | None:
    """A body taken out of chunks that are all there, and what is behind them; None where they are malformed."""
    at, out = 0, b""
    while True:
        size = CHUNK.match(data, at)
        if size is None:
            return None
        at, count = size.end(), int(size[1], 16)
        if count == 0:
            break
        out += data[at : at + count]
        if data[at + count : at + count + 2] != b"\r\n":
            return None
        at += count + 2
    while data[at : at + 2] != b"\r\n":
        trailer = TRAILER.match(data, at)
        if trailer is None:
            return None
        at = trailer.end()
    return out, data[at + 2 :]
