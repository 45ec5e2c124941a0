"""Requests and answers on a connection in memory: bodies whole and streamed, their limits, both ways."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from nautilus.runtime.http.body import DRAINED_BYTES
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.exchange import Exchange, Response
from nautilus.runtime.http.problems import HttpError
from tests.kit.http_wire import Wire, passes, port_of

POST = b"POST /x?y=1 HTTP/1.1\r\nHost: a\r\n"


def read(pieces, config=None, head=b"Transfer-Encoding: chunked\r\n", *, leaves=False):
    """What a body in pieces is read as; status and code of the refusal where it is refused, None where it was left."""
    config = config or HttpConfig()
    bodies = []

    def app(exchange):
        def done(body):
            bodies.append(body)
            exchange.respond(Response(b"{}"))

        exchange.read(config.body_kib << 10, done)

    async def run():
        wire = Wire(port_of(app, config))
        wire.say(POST + head + b"\r\n")
        for piece in pieces:
            wire.say(piece)
        if leaves:
            wire.leave()
        if not leaves:
            await wire.answered.wait()
        await passes()
        return wire

    wire = asyncio.run(run())
    if bodies:
        assert wire.sent.startswith(b"HTTP/1.1 200 OK\r\n")
        return bodies[0]
    return refusal_of(wire.sent)


def refusal_of(answer):
    if not answer:
        return None
    code = answer.partition(b'"code":"')[2].partition(b'"')[0].decode()
    return int(answer[9:12]), code, b"connection: close" in answer


def chunked(*pieces):
    return [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"]


def test_whole_body_is_read_whatever_its_pieces():
    assert read(chunked(b"abc", b"def")) == b"abcdef"
    assert read([b"".join(chunked(b"abc", b"def"))]) == b"abcdef"
    assert read([bytes([byte]) for byte in b"".join(chunked(b"abc", b"d" * 300))]) == b"abc" + b"d" * 300
    assert read(chunked()) == b""
    assert read([], head=b"") == b""
    assert read([b"ab", b"c"], head=b"Content-Length: 3\r\n") == b"abc"


def test_body_is_allowed_up_to_its_limit_and_not_a_byte_more():
    config = HttpConfig(body_kib=1)
    assert read(chunked(b"x" * 1024), config) == b"x" * 1024
    assert read(chunked(b"x" * 1024, b"x"), config) == (413, "http.body_size", False)
    assert read([b"x" * 1024], config, b"Content-Length: 1024\r\n") == b"x" * 1024
    assert read([b"x" * 1025], config, b"Content-Length: 1025\r\n") == (413, "http.body_size", False)


def test_huge_body_is_not_read_to_its_end():
    assert read([], head=b"Content-Length: %d\r\n" % (DRAINED_BYTES + 1)) == (413, "http.body_size", True)


def test_sender_who_asks_first_is_told_at_once():
    head = b"Content-Length: %d\r\nExpect: 100-continue\r\n" % (2 << 20)
    assert read([], head=head) == (413, "http.body_size", True)


def test_body_that_never_comes_is_not_waited_for_forever():
    assert read([b"3\r\na"], HttpConfig(body_seconds=0.01)) == (408, "http.slow", True)
    assert read([b"a"], HttpConfig(body_seconds=0.01), b"Content-Length: 3\r\n") == (408, "http.slow", True)


def test_sender_who_leaves_is_told_nothing():
    assert read([b"3\r\na"], leaves=True) is None


@pytest.mark.parametrize(
    "piece",
    [b"x\r\n", b"3\nabc\r\n", b"3\r\nabcd\r\n", b"-1\r\n", b"3 \r\n", b"0\r\n x: y\r\n\r\n", b"3;" + b"x" * 70_000],
)
def test_malformed_chunks_are_refused_and_the_connection_ends(piece):
    assert read([piece]) == (400, "http.malformed", True)


def test_body_is_streamed_with_pauses():
    seen, ends, exchanges = [], [], []

    def app(exchange):
        exchanges.append(exchange)
        exchange.stream(seen.append, lambda: ends.append(True))

    async def run():
        wire = Wire(port_of(app))
        wire.say(POST + b"Content-Length: 10\r\n\r\nab")
        assert seen == [b"ab"]
        exchanges[0].pause()
        wire.say(b"cdef")
        await passes()
        assert (seen, ends, wire.reading) == ([b"ab"], [], False)
        exchanges[0].resume()
        await passes()
        wire.say(b"ghijPOST")
        assert (b"".join(seen), ends) == (b"abcdefghij", [True])
        exchanges[0].respond(Response(b"1"))
        assert wire.sent.endswith(b"\r\n\r\n1")

    asyncio.run(run())


def test_body_that_nobody_wants_yet_waits_and_then_its_sender_does():
    exchanges = []

    async def run():
        wire = Wire(port_of(exchanges.append))
        wire.say(POST + b"Content-Length: 1000000\r\n\r\n")
        for _ in range(10):
            wire.say(b"x" * 10_000)
        assert not wire.reading
        found = []
        exchanges[0].read(1 << 20, found.append)
        while not found:
            wire.say(b"x" * 100_000)
            await passes()
        assert found == [b"x" * 1_000_000]

    asyncio.run(run())


def streamed(*calls, head=b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
    """What an answer in parts looks like, and whether the connection was cut."""

    def app(exchange):
        for name, *arguments in calls:
            getattr(exchange, name)(*arguments)

    async def run():
        wire = Wire(port_of(app))
        wire.say(head)
        await passes()
        return wire

    wire = asyncio.run(run())
    return bytes(wire.sent), wire.aborted, wire.is_closing()


def test_answer_in_parts_is_sent_in_chunks_or_by_its_length():
    sent, aborted, closing = streamed(("start", 200, [(b"x", b"y")]), ("write", b"abc"), ("write", b""), ("end",))
    assert sent.endswith(b"x: y\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert (aborted, closing) == (False, False)
    sent, aborted, closing = streamed(("start", 200, [(b"content-length", b"3")]), ("write", b"abc"), ("end",))
    assert sent.endswith(b"content-length: 3\r\n\r\nabc")
    assert (aborted, closing) == (False, False)
    old = b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
    sent, _, closing = streamed(("start", 200, []), ("write", b"abc"), ("end",), head=old)
    assert sent.endswith(b"connection: close\r\n\r\nabc")
    assert closing


def test_answer_whose_length_is_wrong_is_never_taken_for_whole():
    sent, aborted, _ = streamed(("start", 200, [(b"content-length", b"5")]), ("write", b"abc"), ("end",))
    assert aborted
    sent, aborted, _ = streamed(("start", 200, [(b"content-length", b"2")]), ("write", b"abc"), ("end",))
    assert sent.endswith(b"\r\n\r\nab")
    assert not aborted


def test_answer_to_head_has_no_body():
    head = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
    sent, _, _ = streamed(("start", 200, [(b"content-length", b"3")]), ("write", b"abc"), ("end",), head=head)
    assert sent.endswith(b"content-length: 3\r\n\r\n")
    sent, _, _ = streamed(("respond", Response(b"abc")), head=head)
    assert sent.endswith(b"content-length: 3\r\n\r\n")


def test_header_of_more_than_one_line_is_never_sent():
    for value in (b"a\r\nset-cookie: b", b"a\nb", b"a\0"):
        sent, _, closing = streamed(("start", 200, [(b"x", value)]))
        assert (sent[9:12], closing, b"set-cookie" in sent) == (b"500", True, False)
        sent, _, _ = streamed(("respond", Response(b"", headers=((b"x", value),))))
        assert sent[9:12] == b"500"


def test_whole_head_of_another_is_sent_as_it_is():
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"

    def app(exchange):
        exchange.start_raw(head, keep_alive=exchange.may_keep_alive())
        exchange.write(b"ok")
        exchange.end()

    async def run():
        wire = Wire(port_of(app))
        wire.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        assert bytes(wire.sent) == (head + b"ok") * 2
        wire = Wire(port_of(app))
        # To who reads to the end, unless he is told otherwise, it ends.
        wire.say(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        assert bytes(wire.sent) == head + b"ok"
        assert wire.is_closing()

    asyncio.run(run())


def test_who_answers_hears_of_a_slow_client_and_of_one_that_left():
    heard, exchanges = [], []

    def app(exchange):
        exchange.on_writable = heard.append
        exchange.on_abort = lambda: heard.append("gone")
        exchanges.append(exchange)
        exchange.start(200, [])

    async def run():
        wire = Wire(port_of(app))
        wire.full = True
        wire.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wire.take()
        wire.leave()
        exchanges[0].write(b"late")
        exchanges[0].end()
        exchanges[0].abort()
        return wire

    asyncio.run(run())
    assert heard == [False, True, "gone"]


def test_client_that_does_not_read_gets_no_further_answer():
    asked = []

    def app(exchange):
        asked.append(exchange.target)
        exchange.respond(Response(b"x" * 1000))

    async def run():
        wire = Wire(port_of(app))
        wire.full = True
        for _ in range(100):
            wire.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
        assert (len(asked), wire.reading) == (1, False)
        wire.take()
        await passes()
        assert (len(asked), wire.reading) == (10_000, True)

    asyncio.run(run())


def test_upgrade_hands_the_transport_over_with_what_has_come():
    class Other(asyncio.Protocol):
        def __init__(self):
            self.heard = b""

        def data_received(self, data):
            self.heard += data

    other = Other()

    async def run():
        port = port_of(lambda exchange: exchange.upgrade(b"HTTP/1.1 101 X\r\n\r\n", other))
        wire = Wire(port)
        wire.say(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc")
        wire.say(b"def")
        assert (bytes(wire.sent), other.heard) == (b"HTTP/1.1 101 X\r\n\r\n", b"abcdef")
        assert len(port.connections) == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    "target", [b"/%", b"/%0", b"/%zz", b"/a%00", b"/..", b"/a/../b", b"/a/%2e%2E/b", b"/./", b"/%ff"]
)
def test_path_that_can_be_read_in_two_ways_is_refused(target):
    with pytest.raises(HttpError) as caught:
        _ = Exchange(None, "GET", target, []).path_text
    assert (caught.value.status, caught.value.code) == (400, "http.path")


def test_path_is_decoded_once():
    for target, text in ((b"/a%2Fb?%zz", "/a/b"), (b"/%2525", "/%25"), (b"/%c3%a4..b/.c", "/\xe4..b/.c"), (b"*", "*")):
        assert Exchange(None, "GET", target, []).path_text == text


def test_application_that_raises_is_answered_for():
    def app(exchange):
        if exchange.path == b"/late":
            exchange.start(200, [])
        raise ZeroDivisionError("a secret")

    async def run(target):
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))
        wire = Wire(port_of(app))
        with contextlib.suppress(ZeroDivisionError):
            wire.say(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
        return wire

    told = []
    wire = asyncio.run(run(b"/"))
    assert (wire.sent[9:12], b"secret" in wire.sent) == (b"500", False)
    wire = asyncio.run(run(b"/late"))
    assert (wire.sent[9:12], wire.aborted, len(told)) == (b"200", True, 2)
