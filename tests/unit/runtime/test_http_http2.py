"""HTTP/2 in memory: exchanges over streams, flow control both ways, and clients that ask for too much."""

from __future__ import annotations

import asyncio

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from nautilus.runtime.http import http2
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.exchange import Response
from tests.kit.http2_client import Http2Client
from tests.kit.http_wire import Wire, passes, port_of

LARGE = bytes(range(256)) * 2000


def echo(exchange):
    """Answers with what was asked."""
    exchange.read(1 << 20, lambda body: exchange.respond(Response(exchange.target + b" " + body, 200, "text/plain")))


def run(scene, app=echo, config=None, **options):
    """A scene with a client of a port; what it comes to."""

    async def play():
        return await scene(Http2Client(port_of(app, config), **options))

    return asyncio.run(play())


def test_request_is_answered_on_its_stream():
    async def scene(client):
        answer = client.ask(b"POST", b"/a?b", b"body", (b"content-length", b"4"))
        assert (answer.status, answer.body, answer.ended) == (200, b"/a?b body", True)
        assert answer.headers[b"content-type"] == b"text/plain"
        assert answer.headers[b"content-length"] == b"9"
        assert answer.headers[b"date"].endswith(b"GMT")
        answer = client.ask(b"HEAD", b"/x")
        assert (answer.status, answer.headers[b"content-length"], answer.body, answer.ended) == (200, b"3", b"", True)
        assert client.ask(b"POST", b"/", b"").body == b"/ "

    run(scene)


def test_exchange_shows_what_rules_and_proxies_look_at():
    seen = []

    def app(exchange):
        seen.append(exchange)
        exchange.respond(Response(b""))

    async def scene(client):
        client.ask(b"POST", b"/a?b", b"xy", (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"x", b"y"))
        client.ask(b"POST", b"/", b"xy", (b"content-length", b"2"))
        (first, second) = seen
        assert (first.method, first.path, first.query, first.http2, first.client) == (
            "POST", b"/a", b"b", True, "192.0.2.7",
        )  # fmt: skip
        chunked = (b"transfer-encoding", b"chunked")
        assert first.headers == [(b"host", b"localhost"), (b"x", b"y"), (b"cookie", b"a=1; b=2"), chunked]
        assert second.headers == [(b"host", b"localhost"), (b"content-length", b"2")]
        assert second.principal is not None

    run(scene, app)


def test_length_is_what_comes():
    """Passed on by the gateway, another would make the next request of its connection a part of this one."""
    seen = []

    def app(exchange):
        seen.append(exchange.headers)
        exchange.respond(Response(b""))

    async def scene(client):
        assert client.ask(b"GET", b"/", None, (b"content-length", b"5")).status == 400
        assert client.ask(b"POST", b"/", None, (b"content-length", b"5")).status == 400
        assert seen == []
        assert client.ask(b"GET", b"/", None, (b"content-length", b"0")).status == 200
        assert client.ask(b"POST", b"/", b"", (b"content-length", b"0")).status == 200
        host = (b"host", b"localhost")
        assert seen == [[host, (b"content-length", b"0")], [host, (b"transfer-encoding", b"chunked")]]

    run(scene, app)


def test_streams_are_answered_in_any_order():
    waiting = []

    async def scene(client):
        answers = [client.ask(path=b"/%d" % number) for number in range(20)]
        for exchange in reversed(waiting):
            exchange.respond(Response(exchange.target))
            client.receive()
        assert [answer.body for answer in answers] == [b"/%d" % number for number in range(20)]

    run(scene, waiting.append)


def test_large_answer_waits_for_its_client_and_tells_who_writes():
    told, exchanges = [], []

    def app(exchange):
        exchange.on_writable = told.append
        exchanges.append(exchange)
        exchange.start(200, [])

    async def scene(client):
        answer = client.ask()
        exchange = exchanges[0]
        exchange.write(LARGE)
        exchange.end()
        client.receive()
        assert told == [False]
        assert (len(answer.body), answer.ended) == (65535, False)
        while not answer.ended:
            client.h2.increment_flow_control_window(1 << 16)
            client.h2.increment_flow_control_window(1 << 16, 1)
            client.flush()
        assert answer.body == LARGE

    run(scene, app, takes=False)


def test_answer_in_parts_goes_on_as_its_client_takes_it():
    told = []

    def app(exchange):
        exchange.on_writable = told.append
        exchange.start(200, [(b"content-length", b"%d" % len(LARGE))])
        exchange.write(LARGE)

    async def scene(client):
        answer = client.ask()
        assert answer.body == LARGE
        assert told == [False, True]

    run(scene, app, settings={SettingCodes.INITIAL_WINDOW_SIZE: 10_000})


def test_body_is_streamed_with_pauses_and_its_sender_has_to_wait():
    seen, ends, exchanges = [], [], []

    def app(exchange):
        exchanges.append(exchange)
        if exchange.method == "POST":
            exchange.stream(seen.append, lambda: ends.append(True))
            exchange.pause()

    async def scene(client):
        answer = client.ask(b"POST", b"/", b"", end=False)
        number, sent = client.number_of(answer), 0
        while (room := min(client.h2.local_flow_control_window(number), 10_000)) > 0:
            client.h2.send_data(number, b"x" * room)
            sent += room
            client.flush()
        assert (sent, seen) == (65535, [])
        assert client.ask().status == 0  # another stream is not held up: it came to the application
        exchanges[0].resume()
        client.receive()
        assert (len(b"".join(seen)), client.h2.local_flow_control_window(number) > 30_000) == (65535, True)
        client.h2.end_stream(number)
        client.flush()
        assert ends == [True]
        exchanges[0].respond(Response(b"done"))
        client.receive()
        assert answer.body == b"done"

    run(scene, app)


def test_body_that_is_too_large_is_refused_and_thrown_away():
    async def scene(client):
        answer = client.ask(b"POST", b"/", b"x" * 2000, end=False)
        number = client.number_of(answer)
        assert (answer.status, answer.ended, answer.reset) == (413, True, None)
        for _ in range(200):
            client.h2.send_data(number, b"x" * 16_000)
            client.flush()
        client.h2.end_stream(number)
        client.flush()
        assert client.ask(b"POST", b"/", b"x").status == 200

    def app(exchange):
        exchange.read(1000, lambda body: exchange.respond(Response(body)))

    run(scene, app)


def test_body_that_never_comes_is_given_up():
    async def scene(client):
        answer = client.ask(b"POST", b"/", b"x", end=False)
        client.wire.answered.clear()
        while not answer.status:
            await client.wire.answered.wait()
            client.receive()
        assert answer.status == 408

    run(scene, config=HttpConfig(body_seconds=0.02))


def test_client_that_takes_its_stream_back_is_told_of():
    told, exchanges = [], []

    def app(exchange):
        exchange.on_abort = lambda: told.append(exchange.target)
        exchanges.append(exchange)

    async def scene(client):
        first, second = client.ask(path=b"/1"), client.ask(path=b"/2")
        client.h2.reset_stream(client.number_of(first))
        client.flush()
        assert told == [b"/1"]
        for exchange in exchanges:
            exchange.respond(Response(b"x"))
        client.receive()
        assert (first.status, second.status) == (0, 200)
        client.ask(path=b"/3")
        client.wire.leave()
        assert told == [b"/1", b"/3"]

    run(scene, app)


@pytest.mark.parametrize("times", [1, 60_000, 100_000])
def test_stream_that_was_taken_back_with_what_is_answered_is_watched_no_more(times):
    told = []

    def app(exchange):
        exchange.on_abort = lambda: told.append(exchange.target)
        exchange.start(200, [])
        exchange.stream(lambda piece: exchange.write(piece * times), exchange.end)

    async def scene(client):
        answer = client.ask(b"POST", b"/1", b"a", end=False)
        number = client.number_of(answer)
        client.h2.send_data(number, b"b")
        client.h2.reset_stream(number)
        # All comes at once: the stream is over, and forgotten for the next one, before the piece is answered.
        assert client.ask(b"POST", b"/2", b"c").status == 200
        assert told == [b"/1"]
        assert not client.wire.protocol.port._stalled

    run(scene, app)


def test_status_is_told_before_the_answer_goes_out_and_once():
    told = []

    def app(exchange):
        exchange.on_answer = told.append
        if exchange.path == b"/parts":
            exchange.start(201, [])
            exchange.end()
        else:
            exchange.respond(Response(b"", 404))
        exchange.respond(Response(b""))

    async def scene(client):
        client.ask(path=b"/parts")
        client.ask()
        assert told == [201, 404]

    run(scene, app)


def test_answer_that_breaks_is_never_taken_for_whole():
    def app(exchange):
        exchange.start(200, [(b"content-length", b"5")])
        exchange.write(b"abc")
        if exchange.path == b"/end":
            exchange.end()
        else:
            exchange.abort()

    async def scene(client):
        for path in (b"/end", b"/abort"):
            answer = client.ask(path=path)
            assert (answer.ended, answer.reset) == (False, ErrorCodes.INTERNAL_ERROR)

    run(scene, app)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        (b"BREW", b"/", ()),
        (b"GET", b"/a b", ()),
        (b"GET", b"/#a", ()),
        (b"GET", b"*", ()),
        (b"GET", b"http://a/", ()),
        (b"GET", b"/", ((b"host", b"other"),)),
        (b"POST", b"/", ((b"content-length", b"+0"),)),
    ],
)
def test_request_that_could_be_read_in_two_ways_is_refused(method, path, headers):
    async def scene(client):
        answer = client.ask(method, path, None, *headers)
        assert answer.status == 400 or client.goodbye == ErrorCodes.PROTOCOL_ERROR or answer.reset
        assert answer.status in (0, 400)

    run(scene)


@pytest.mark.parametrize(
    "frames", [b"\0\0\1\0\1\0\0\0\1x", b"\xff" * 20, b"\0\0\0\1\5\0\0\0\1", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_frames_that_are_none_end_the_connection(frames):
    async def scene(client):
        client.wire.say(frames)
        await passes()
        client.receive()
        assert client.goodbye not in (None, ErrorCodes.NO_ERROR)
        assert client.wire.ended

    run(scene)


def test_streams_that_are_taken_back_without_end_end_the_connection():
    waiting = []

    async def scene(client):
        for _ in range(2 * http2.MOST_RESETS):
            client.h2.reset_stream(client.number_of(client.ask()))
            client.flush()
            if client.goodbye is not None:
                break
        assert client.goodbye == ErrorCodes.ENHANCE_YOUR_CALM
        assert len(waiting) <= http2.MOST_RESETS + 1

    run(scene, waiting.append)


@pytest.mark.parametrize("kind", ["ping", "settings", "empty"])
def test_frames_that_bring_nothing_forward_end_the_connection(kind):
    async def scene(client):
        answer = client.ask(b"POST", b"/", b"x", end=False)
        for _ in range(2 * http2.MOST_IDLE_FRAMES):
            if kind == "ping":
                client.h2.ping(b"12345678")
            elif kind == "settings":
                client.h2.update_settings({SettingCodes.MAX_FRAME_SIZE: 16384})
            else:
                client.h2.send_data(client.number_of(answer), b"")
            client.flush()
            if client.goodbye is not None:
                break
        assert client.goodbye == ErrorCodes.ENHANCE_YOUR_CALM

    run(scene)


def test_more_streams_than_there_may_be_are_not_opened():
    waiting = []

    async def scene(client):
        client.h2.remote_settings = type(client.h2.remote_settings)(client=False)  # it looks at no limit
        client.h2.remote_settings.max_concurrent_streams = 1 << 20
        for _ in range(2 * http2.MOST_STREAMS):
            if client.goodbye is None:
                client.ask()
        assert client.goodbye is not None
        assert len(waiting) <= http2.MOST_STREAMS

    run(scene, waiting.append)


def test_header_list_without_end_is_refused():
    async def scene(client):
        headers = tuple((b"x-%d" % number, b"y" * 1000) for number in range(100))
        client.ask(b"GET", b"/", None, *headers)
        assert client.goodbye is not None

    run(scene)


def test_port_that_ends_says_goodbye_and_finishes_what_is_under_way():
    waiting = []

    async def scene(client):
        answer = client.ask()
        port = waiting[0]._connection.port
        ending = asyncio.ensure_future(port.close(5.0))
        await passes()
        late = client.ask()
        waiting[0].respond(Response(b"last"))
        await ending
        client.receive()
        assert (answer.status, answer.body, client.goodbye) == (200, b"last", ErrorCodes.NO_ERROR)
        assert late.reset == ErrorCodes.REFUSED_STREAM
        assert client.wire.ended

    run(scene, waiting.append)


def test_port_that_does_not_speak_it_says_so():
    async def play():
        wire = Wire(port_of(echo, HttpConfig(http2=False)))
        wire.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        return bytes(wire.sent)

    assert asyncio.run(play()).startswith(b"HTTP/1.1 400 ")
