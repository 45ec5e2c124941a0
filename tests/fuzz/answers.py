"""Arbitrary bytes as answers of an upstream: what is read is what a naive reader reads, however the bytes come."""

from __future__ import annotations

from nautilus.core.http_chunks import ERRORS, TOO_LARGE, ChunkReader
from nautilus.core.proxy_head import CHUNKED, HEAD_BYTES, AnswerHead, client_head, read_answer, upstream_head
from tests.fuzz.reader import Reader
from tests.kit.naive_proxy_head import naive_dechunk, naive_read_answer, naive_upstream_head

NAMES = (
    b"host",
    b"connection",
    b"x-a",
    b"te",
    b"upgrade",
    b"content-length",
    b"nautilus-x",
    b"x-forwarded-for",
    b"via",
)
REPEATED = (1, 1, 1, 1, 1, 1, 1, 40)
"""Times that a body is said: only what is long goes beyond what its extensions and trailers may take."""
MOST_OVERHEAD = 65_536


def answer(data: bytes) -> None:
    """A head, and the body behind it; a head that is refused whole is refused in pieces too, or waited for."""
    reader = Reader(data)
    head_only, cut = bool(reader.number(1) & 1), reader.number(2)
    stream = reader.take(reader.left)
    found = read_answer(stream, head_only)
    part = read_answer(stream[: cut % (len(stream) + 1)], head_only)
    if not isinstance(found, AnswerHead):
        assert not isinstance(part, AnswerHead)
        assert found is None or part is None or type(part) is int
        if found is None:
            assert len(stream) < HEAD_BYTES
            assert part is None
        return
    expected = naive_read_answer(stream, head_only)
    assert expected is not None
    assert expected == (found.status, found.body, found.length, found.size, found.keep_alive, found.lines)
    assert part is None or isinstance(part, AnswerHead)
    again = read_answer(client_head(found, b"via: x\r\n", 1, 2, True), head_only)
    if found.body != CHUNKED:  # its framing is said anew by whoever sends it on
        assert isinstance(again, AnswerHead)
        assert (again.status, again.body, again.length) == (found.status, found.body, found.length)
        assert not again.keep_alive
        return
    body = stream[found.size :]
    whole, pieces = ChunkReader(), ChunkReader()
    taken = whole.feed(body)
    at = cut % (len(body) + 1)
    parts = [pieces.feed(body[:at])]
    if isinstance(parts[0], bytes) and not pieces.done:
        parts.append(pieces.feed(body[at:]))
    if isinstance(taken, bytes) and whole.done:
        assert naive_dechunk(body) == (taken, body[len(body) - whole.rest :])
        assert b"".join(each for each in parts if isinstance(each, bytes)) == taken
        assert pieces.done


def chunks(data: bytes) -> None:
    """A body in chunks, as of a request: read as the naive reader reads it, and alike in whatever pieces it comes."""
    reader = Reader(data)
    sizes = [1 + reader.number(1) for _ in range(4)]
    times = reader.choose(REPEATED)
    sizes = [size * times for size in sizes]  # as many pieces, however often
    body = reader.take(reader.left) * times
    whole = ChunkReader()
    taken = whole.feed(body)
    expected = naive_dechunk(body)
    if isinstance(taken, int):
        assert taken in ERRORS
        assert expected is None or (taken == TOO_LARGE and len(body) > MOST_OVERHEAD)
    else:
        assert whole.done == (expected is not None)
        assert expected is None or expected == (taken, body[len(body) - whole.rest :])
    pieces = ChunkReader()
    parts: list[bytes] = []
    at = turn = 0
    while at < len(body) and not pieces.done:
        part = pieces.feed(body[at : at + sizes[turn % 4]])
        if isinstance(part, int):
            assert part == taken
            return
        parts.append(part)
        at, turn = at + sizes[turn % 4], turn + 1
    assert (b"".join(parts), pieces.done) == (taken, whole.done)
    assert not pieces.done or max(len(body) - at, 0) + pieces.rest == whole.rest


def request(data: bytes) -> None:
    """Fields of a client into a head for an upstream."""
    reader = Reader(data)
    fields = []
    while reader.left and len(fields) < 32:
        name = NAMES[reader.number(1) % len(NAMES)]
        fields.append((name, bytes(each for each in reader.take(reader.number(1) % 32) if each not in b"\r\n\0")))
    length = reader.number(1) - 2
    start, add, drop = b"GET / HTTP/1.1\r\n", b"host: a\r\n", (b"x-a",)
    assert upstream_head(start, fields, add, length, drop) == naive_upstream_head(start, fields, add, length, drop)


def examples() -> list[bytes]:
    """Right answers, and nearly right ones."""
    heads = [
        b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nx: y\r\n\r\nrest",
        b"HTTP/1.0 204 \r\nConnection: keep-alive, x-a\r\nx-a: 1\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81\x01a",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\n",
    ]
    return [bytes([number & 1, 0, at]) + head for number, head in enumerate(heads) for at in (0, 20, 60)]


def bodies() -> list[bytes]:
    """Chunks, with extensions and trailers, whole and nearly right; five bytes before say in what pieces, how often."""
    sound = b"5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nx: y\r\n\r\n"
    found = [
        sound,
        sound + b"GET / HTTP/1.1\r\n",
        b"0\r\n\r\n",
        b"000000000000001\r\nx\r\n0\r\n\r\n",
        b"1000000000000000\r\n",
        b"5 \r\nhello\r\n",
        b"5\nhello\n0\n\n",
        b"1;" + b"x" * 2_000,
        b"1;" + b"y" * 40 + b"\r\nz\r\n",
    ]
    return [begin + body for body in found for begin in (b"\0\0\0\0\0", b"\3\0\7\1\7", b"\xff\xff\xff\xff\0")]
