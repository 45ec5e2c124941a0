"""What a pool counts as under way, and what it still has of a call that is given up."""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Iterator

import pytest

from nautilus.core.counters import Counters
from nautilus.core.proxy_head import AnswerHead
from nautilus.core.proxy_upstream import Call, Upstream
from nautilus.gateway.pool import Pool, PoolSettings
from nautilus.runtime.clock import monotonic_ns


class Transport:
    """Takes everything, and sends nothing."""

    reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


class Asking(Call):
    def __init__(self, *, careful: bool = False) -> None:
        self.payload = b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n"
        self.safe, self.careful = True, careful
        self.wait_until_ns = self.deadline_ns = monotonic_ns() + 10**10


@pytest.fixture
def open_pools() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as ends:
        yield ends


def pool_with_one(ends: contextlib.ExitStack) -> tuple[Pool, Upstream, socket.socket]:
    """A pool of one connection, which is idle, and the engine's end of that."""
    pool = Pool("risk", ("127.0.0.1", 1), PoolSettings(1, 5.0, 0.2, 8), Counters())
    own, engines = (ends.enter_context(end) for end in socket.socketpair())
    own.setblocking(False)
    upstream = Upstream(pool, own)
    upstream.connection_made(Transport())
    pool.connections.add(upstream)
    pool.in_flight += 1
    pool.give_back(upstream)
    return pool, upstream, engines


def test_connection_found_dead_was_not_under_way(open_pools):
    async def scene():
        pool, _, engines = pool_with_one(open_pools)
        engines.close()
        pool.request(Asking(careful=True), monotonic_ns())
        return pool.in_flight, len(pool.connections), pool.waiting

    assert asyncio.run(scene()) == (0, 0, 1)


def test_connection_given_back_to_a_closed_pool_is_taken_off_once(open_pools):
    async def scene():
        pool, upstream, _ = pool_with_one(open_pools)
        pool.request(Asking(), monotonic_ns())
        pool.close()
        under_way = pool.in_flight
        pool.give_back(upstream)
        return under_way, pool.in_flight, len(pool.connections)

    assert asyncio.run(scene()) == (1, 0, 0)


class Told(Asking):
    """Knows what became of it."""

    failure = ""

    def on_failure(self, failure: str, what: str, *, sent: bool) -> None:
        self.failure = failure


def test_who_waits_is_told_where_this_process_has_no_descriptor_left(open_pools):
    async def scene():
        pool = Pool("risk", ("127.0.0.1", 1), PoolSettings(1, 5.0, 0.2, 8), Counters())
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            call = Told()
            pool.request(call, monotonic_ns())
            await asyncio.gather(*pool._connecting)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return call.failure, pool.waiting, pool.up

    assert asyncio.run(scene()) == ("full", 0, True)


class Slow(Asking):
    """Its client does not take what comes."""

    def on_head(self, head: AnswerHead) -> None:
        pass

    def on_data(self, data: bytes) -> None:
        assert self.upstream is not None
        self.upstream.pause()

    def on_end(self) -> None:
        pass


@pytest.mark.parametrize(
    "answer",
    [b"content-length: 2\r\n\r\n|ab", b"transfer-encoding: chunked\r\n\r\n|2\r\nab\r\n0\r\n\r\n"],
)
def test_connection_is_read_on_after_the_answer_of_a_slow_client(open_pools, answer):
    async def scene():
        pool, upstream, _ = pool_with_one(open_pools)
        pool.request(Slow(), monotonic_ns())
        for part in (b"HTTP/1.1 200 OK\r\n" + answer).split(b"|"):
            upstream.data_received(part)
        return pool.in_flight, pool.idle, upstream.transport.reading

    assert asyncio.run(scene()) == (0, 1, True)


def test_call_taken_from_one_pool_is_cancelled_in_the_next(open_pools):
    async def scene():
        pool, upstream, _ = pool_with_one(open_pools)
        other, _, _ = pool_with_one(open_pools)
        call = Asking()
        pool.request(call, monotonic_ns())
        other.request(Asking(), monotonic_ns())
        upstream.give_up()
        other.request(call, monotonic_ns())
        waiting = other.waiting
        other.cancel(call)
        return waiting, other.waiting

    assert asyncio.run(scene()) == (1, 0)
