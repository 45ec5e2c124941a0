"""Heads as a proxy reads and makes them, against a naive twin."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.proxy_head import (
    CHUNKED,
    ERRORS,
    HEAD_BYTES,
    HEAD_FIELDS,
    IN_CHUNKS,
    LENGTH,
    NO_BODY,
    NO_LENGTH,
    AnswerHead,
    client_head,
    new_trace,
    read_answer,
    request_facts,
    upstream_head,
)
from tests.kit.effort import share
from tests.kit.naive_proxy_head import naive_read_answer, naive_upstream_head

ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: application/json\r\nConnection: Keep-Alive, X-Hop\r\n"
    b"x-hop: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\n{}"
)
FRAGMENTS = st.sampled_from(
    """HTTP/1.1 200 OK|HTTP/1.0 200 OK|HTTP/1.1 204 |HTTP/1.1 304 Not|HTTP/1.1 99 x|HTTP/1.1 101 s|HTTP/2 200
    Content-Length: 5|content-length: 0|Content-Length: 5, 5|Content-Length: +5|Content-Length : 5
    Transfer-Encoding: chunked|Transfer-Encoding: gzip|TRANSFER-ENCODING:\tChunked |Connection: close
    Connection: x-a, te|X-A: 1|x-b:|x-b:  v \t w |x\0: 1|x: \1|x: a~b: c|x: a^b|Upgrade: websocket|Keep-Alive: 1
    trailer: x|Proxy-Authenticate: x|: empty|x-\xff: 1|x: \xff|""".replace("\n    ", "|").split("|")
).map(lambda text: (text.replace("~", "\n").replace("^", "\r") + "\r\n").encode("latin-1")) | st.sampled_from(
    [b"\n", b"\r", b"hello", b" folded\r\n"]
)


def told(head: AnswerHead) -> tuple[object, ...]:
    return (head.status, head.body, head.length, head.size, head.keep_alive, head.lines)


def test_answer_keeps_what_is_for_the_client():
    head = read_answer(ANSWER)
    assert isinstance(head, AnswerHead)
    assert head.lines == b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    assert (head.status, head.body, head.length, head.keep_alive) == (200, LENGTH, 2, True)
    assert ANSWER[head.size :] == b"{}"
    assert head.fields()[1] == (b"content-type", b"application/json")
    assert head.field(b"server") == b"x"
    assert head.field(b"none") == b""


def test_answer_that_has_not_all_come_is_waited_for_at_every_byte():
    for size in range(len(ANSWER) - 2):
        assert read_answer(ANSWER[:size]) is None, size
    assert isinstance(read_answer(ANSWER[:-2]), AnswerHead)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n x\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 5\n\n",
        b"HTTP/1.1 200 OK\r\nA b: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        b"HTTP/3.1 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"<html>",
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_answer_that_is_not_exactly_right_is_refused(head):
    assert read_answer(head) in ERRORS


def test_head_without_end_is_refused():
    assert read_answer(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * (HEAD_FIELDS + 1)) in ERRORS
    assert read_answer(b"HTTP/1.1 200 OK\r\na: " + b"b" * HEAD_BYTES) in ERRORS
    assert read_answer(b"HTTP/1.1 200 " + b"b" * HEAD_BYTES) in ERRORS


def test_answer_to_head_has_no_body_but_its_length():
    head = read_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", True)
    assert isinstance(head, AnswerHead)
    assert (head.body, head.length) == (NO_BODY, 0)
    assert b"Content-Length: 5\r\n" in head.lines


def test_connection_cannot_strike_out_the_length():
    head = read_answer(b"HTTP/1.1 200 OK\r\nConnection: content-length, x\r\nX: 1\r\nContent-Length: 5\r\n\r\n")
    assert isinstance(head, AnswerHead)
    assert (head.body, head.length) == (LENGTH, 5)
    assert b"X: 1" not in head.lines


@settings(max_examples=share(2000))
@given(st.lists(FRAGMENTS, max_size=8), st.booleans(), st.sampled_from([(), (b"x-a", b"x-b")]))
def test_answers_are_read_as_the_naive_twin_reads_them(parts, head_only, drop):
    data = b"".join(parts) + b"\r\n\r\n"
    found = read_answer(data, head_only, drop)
    expected = naive_read_answer(data, head_only, drop)
    if expected is None:
        assert not isinstance(found, AnswerHead)
    else:
        assert isinstance(found, AnswerHead)
        assert told(found) == tuple(expected)


@settings(max_examples=share(500, 2))
@given(st.binary(max_size=200))
def test_nothing_that_is_read_is_other_than_what_the_twin_reads(data):
    found = read_answer(b"HTTP/1.1 200 OK\r\n" + data)
    if isinstance(found, AnswerHead):
        assert told(found) == tuple(naive_read_answer(b"HTTP/1.1 200 OK\r\n" + data))


def test_client_head_has_timing_and_says_whether_it_closes():
    head = read_answer(ANSWER)
    assert isinstance(head, AnswerHead)
    made = client_head(head, b"via: 1.1 x\r\n", 34, 1_200_045, True)
    assert made == head.lines + (
        b"via: 1.1 x\r\nserver-timing: gateway;dur=0.034, upstream;dur=1200.045\r\nconnection: close\r\n\r\n"
    )
    assert client_head(head, b"", -1, 0, False) == head.lines + b"\r\n"


NAMES = st.sampled_from(
    """host accept connection x-a x-b te upgrade expect via origin authorization content-length transfer-encoding
    forwarded x-forwarded-for x-forwarded- nautilus-principal nautilus- traceparent cookie keep-alive trailer
    proxy-authorization proxy-connection""".split()  # noqa: SIM905
).map(str.encode)
VALUES = st.sampled_from([b"", b"1", b"x-a", b"close, X-B", b"cookie,accept", b"host", b"keep-alive", b"\xff y"])


@settings(max_examples=share(1000))
@given(st.lists(st.tuples(NAMES, VALUES), max_size=10), st.sampled_from([-2, -1, 0, 7, 1 << 40]), st.booleans())
def test_heads_for_upstreams_are_made_as_the_naive_twin_makes_them(fields, length, more):
    drop = (b"x-a", b"cookie") if more else ()
    start, add = b"GET / HTTP/1.1\r\n", b"host: a:1\r\n"
    assert upstream_head(start, fields, add, length, drop) == naive_upstream_head(start, fields, add, length, drop)


def test_upgrade_is_said_again():
    made = upstream_head(
        b"GET / HTTP/1.1\r\n", [(b"upgrade", b"websocket"), (b"connection", b"Upgrade")], b"", NO_LENGTH, (), True
    )
    assert made == b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"


def test_facts_of_a_request():
    trace = new_trace()
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace)
    fields = [(b"host", b"a"), (b"content-length", b"7"), (b"traceparent", trace), (b"nautilus-priority", b"low")]
    assert request_facts(fields) == (7, trace, b"a", b"low", False)
    assert request_facts([*fields, (b"traceparent", trace)])[1] == b""
    assert request_facts([(b"traceparent", trace.upper())])[1] == b""
    assert request_facts([(b"traceparent", b"00-" + b"0" * 32 + trace[35:])])[1] == b""
    assert request_facts([(b"transfer-encoding", b"chunked"), (b"upgrade", b"WebSocket")]) == (
        IN_CHUNKS,
        b"",
        b"",
        b"",
        True,
    )
    assert request_facts([]) == (NO_LENGTH, b"", b"", b"", False)


def test_names_of_traces_differ():
    assert len({new_trace() for _ in range(100_000)}) == 100_000


def test_kinds_of_bodies_are_told_apart():
    assert len({NO_BODY, LENGTH, CHUNKED}) == 3
