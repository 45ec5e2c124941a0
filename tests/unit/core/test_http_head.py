"""Heads of requests, against a naive twin and an independent parser; what smuggling is made of is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.http_head import (
    CHUNKED,
    CODING,
    EXPECTS,
    HEAD_BYTES,
    INCOMPLETE,
    KEEP_ALIVE,
    MALFORMED,
    MOST_HEADERS,
    OLD,
    TOO_LARGE,
    UPGRADE,
    VERSION,
    parse_head,
)
from tests.kit.effort import share
from tests.kit.naive_http_head import Independent, naive_head

GET = b"GET / HTTP/1.1\r\n"
POST = b"POST /orders HTTP/1.1\r\nHost: a\r\n"


def flags_of(lines, version=b"1.1"):
    return parse_head(b"GET / HTTP/" + version + b"\r\n" + lines + b"\r\n")[3]


def test_head_is_taken_apart():
    head = b"POST /a%20b?c=d HTTP/1.1\r\nHost: x:8000\r\nX-Odd:\t spaced \t\r\nEmpty:\r\nCONTENT-LENGTH: 12\r\n\r\n"
    assert parse_head(b"ab" + head + b"body", 2) == (
        "POST",
        b"/a%20b?c=d",
        [(b"host", b"x:8000"), (b"x-odd", b"spaced"), (b"empty", b""), (b"content-length", b"12")],
        KEEP_ALIVE,
        12,
        2 + len(head),
    )
    assert parse_head(b"\r\n" + GET + b"\r\n")[-1] == len(GET) + 4
    assert parse_head(b"OPTIONS * HTTP/1.1\r\n\r\n")[1] == b"*"


def test_flags_say_how_the_connection_goes_on():
    assert flags_of(b"") == KEEP_ALIVE
    assert flags_of(b"Connection: close\r\n") == 0
    assert flags_of(b"Connection: x , Close\r\n") == 0
    assert flags_of(b"", b"1.0") == OLD
    assert flags_of(b"Connection: Keep-Alive\r\n", b"1.0") == OLD | KEEP_ALIVE
    assert flags_of(b"Connection: keep-alive\r\nConnection: close\r\n", b"1.0") == OLD
    assert flags_of(b"Transfer-Encoding: Chunked\r\n") == KEEP_ALIVE | CHUNKED
    assert flags_of(b"Expect: 100-Continue\r\n") == KEEP_ALIVE | EXPECTS
    assert flags_of(b"Expect: 100-continue\r\n", b"1.0") == OLD
    assert flags_of(b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n") == KEEP_ALIVE | UPGRADE
    assert flags_of(b"Upgrade: websocket\r\n") == KEEP_ALIVE


SMUGGLED = [
    POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n",
    POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n",
    POST + b"Content-Length: 3, 3\r\n\r\n",
    POST + b"Content-Length: +3\r\n\r\n",
    POST + b"Content-Length: -3\r\n\r\n",
    POST + b"Content-Length: 0x3\r\n\r\n",
    POST + b"Content-Length: 3 4\r\n\r\n",
    POST + b"Content-Length: \r\n\r\n",
    POST + b"Content-Length: 9999999999999999\r\n\r\n",
    POST + b"Content-Length : 3\r\n\r\n",
    POST + b"Content-Length\r\n\r\n",
    POST + b"Content-Length\0: 3\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
    POST + b"Transfer-Encoding : chunked\r\n\r\n",
    POST + b"\x0bTransfer-Encoding: chunked\r\n\r\n",
    POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\0\r\n\r\n",
    POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n",
    POST + b"X: y\r\n folded\r\n\r\n",
    POST + b" X: y\r\n\r\n",
    POST + b"X: y\rContent-Length: 3\r\n\r\n",
    POST + b"X: y\nContent-Length: 3\r\n\r\n",
    POST + b"X: y\r\n\rContent-Length: 3\r\n\r\n",
    POST + b": y\r\n\r\n",
    POST + b"X\xff: y\r\n\r\n",
    POST + b"X: \x7f\r\n\r\n",
    b"POST /orders HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    b"GET  / HTTP/1.1\r\n\r\n",
    b"GET /  HTTP/1.1\r\n\r\n",
    b"GET\t/ HTTP/1.1\r\n\r\n",
    b" GET / HTTP/1.1\r\n\r\n",
    b"\n\nGET / HTTP/1.1\r\n\r\n",
    b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    b"get / HTTP/1.1\r\n\r\n",
    b"G@T / HTTP/1.1\r\n\r\n",
    b"GETGETGETGETGETGETGETGET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1 \r\n\r\n",
    b"GET / http/1.1\r\n\r\n",
    b"GET / HTTP/1.10\r\n\r\n",
    b"GET / HTTP/11\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET /a b HTTP/1.1\r\n\r\n",
    b"GET /#a HTTP/1.1\r\n\r\n",
    b"GET /\xc3\xa4 HTTP/1.1\r\n\r\n",
    b"GET http://a/ HTTP/1.1\r\n\r\n",
    b"GET * HTTP/1.1\r\n\r\n",
    b"CONNECT a:80 HTTP/1.1\r\n\r\n",
    b"CONNECT / HTTP/3.0\r\n\r\n",
]


@pytest.mark.parametrize("data", SMUGGLED)
def test_what_two_readers_might_read_differently_is_refused(data):
    assert parse_head(data) == MALFORMED
    assert naive_head(data) == MALFORMED


def test_other_versions_codings_and_sizes_have_their_own_answers():
    assert parse_head(b"GET / HTTP/2.0\r\n\r\n") == VERSION
    assert parse_head(b"GET / HTTP/0.9\r\n\r\n") == VERSION
    assert parse_head(POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n") == CODING
    assert parse_head(POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n") == CODING
    assert isinstance(parse_head(GET + b"a: b\r\n" * MOST_HEADERS + b"\r\n"), tuple)
    assert parse_head(GET + b"a: b\r\n" * (MOST_HEADERS + 1) + b"\r\n") == TOO_LARGE
    long = GET + b"a: " + b"x" * (HEAD_BYTES - len(GET) - 7)
    assert isinstance(parse_head(long + b"\r\n\r\n"), tuple)
    assert parse_head(long + b"x\r\n\r\n") == TOO_LARGE
    assert parse_head(long + b"x" * HEAD_BYTES) == TOO_LARGE


def test_head_that_is_not_whole_is_waited_for_unless_it_is_none():
    whole = POST + b"Content-Length: 3\r\n\r\n"
    for end in range(len(whole)):
        assert parse_head(whole[:end]) == INCOMPLETE
    for data in (b"\x16\x03\x01", b"{", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\n\n", b"\n", b"\rX"):
        assert parse_head(data) == MALFORMED


LINES = st.sampled_from(
    [
        b"Host: a",
        b"Content-Length: 3",
        b"content-length:0",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Connection: close",
        b"Connection: keep-alive , upgrade",
        b"Upgrade: x",
        b"Expect: 100-continue",
        b"X-\xc3: y",
        b"X: \xc3\xa4 \t",
        b" folded",
        b"No colon",
        b"A : b",
        b":",
        b"A:",
        b"",
    ]
)
STARTS = st.sampled_from(
    [b"GET / HTTP/1.1", b"POST /a?b HTTP/1.1", b"GET / HTTP/1.0", b"GET / HTTP/2.0", b"GET x HTTP/1.1", b"GET /", b""]
)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n", b""])


@st.composite
def heads(draw):
    lines = [draw(STARTS), *draw(st.lists(LINES, max_size=6)), b""]
    data = b"".join(line + draw(ENDS) for line in lines)
    return draw(st.sampled_from([b"", b"", b"", b"\r\n", b"\r"])) + data + draw(st.binary(max_size=5))


@settings(max_examples=share(3000))
@given(heads())
def test_any_head_is_read_as_the_naive_twin_reads_it(data):
    assert parse_head(data) == naive_head(data)


@settings(max_examples=share(2000))
@given(
    st.one_of(heads(), st.binary(max_size=200)), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=3)
)
def test_damaged_heads_are_read_as_the_naive_twin_reads_them(data, damages):
    changed = bytearray(data)
    for place, value in damages:
        if changed:
            changed[place % len(changed)] = value
    assert parse_head(bytes(changed)) == naive_head(bytes(changed))


@settings(max_examples=share(3000))
@given(heads(), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=2))
def test_whatever_is_taken_an_independent_parser_reads_in_the_same_way(data, damages):
    changed = bytearray(data)
    for place, value in damages:
        if changed:
            changed[place % len(changed)] = value
    found = parse_head(bytes(changed))
    if isinstance(found, int):
        return
    method, target, headers, flags, length, end = found
    body = b"3\r\nabc\r\n0\r\n\r\n" if flags & CHUNKED else b"x" * length
    other = Independent(bytes(changed[:end]) + body)
    assert not other.failed
    assert (other.method, other.target, other.headers) == (method, target, headers)
    if not flags & UPGRADE:
        assert other.whole
        assert other.body == (b"abc" if flags & CHUNKED else body)
