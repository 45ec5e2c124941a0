"""Idle connections that change hands between two ports: what is on the way meanwhile is answered by the other one."""

from __future__ import annotations

import asyncio
import os
import resource
import socket

import uvloop

from nautilus.core.counters import Counters
from nautilus.gateway.lines import Line
from nautilus.gateway.serving import Serving
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.exchange import Exchange, Response
from nautilus.runtime.http.port import Port

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def answering(name: bytes, waiting: list[Exchange] | None = None):
    """An application that tells its name, or keeps its requests."""
    if waiting is not None:
        return waiting.append
    return lambda exchange: exchange.respond(Response(name))


def run(scene) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())


async def made(app) -> tuple[Port, int]:
    port = Port(app, Counters(64), HttpConfig())
    listener = socket.create_server(("127.0.0.1", 0))
    await port.listen(listener)
    return port, listener.getsockname()[1]


async def ask(reader, writer, *, answers: int = 1) -> list[bytes]:
    writer.write(REQUEST)
    return [await answer(reader) for _ in range(answers)]


async def answer(reader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))


def test_idle_connection_goes_on_at_the_other_port():
    async def scene():
        old, number = await made(answering(b"old"))
        new, _ = await made(answering(b"new"))
        clients = [await asyncio.open_connection("127.0.0.1", number) for _ in range(50)]
        for client in clients[:40]:
            assert await ask(*client) == [b"old"]
        silent = clients[40:]  # they have asked nothing yet
        while len(old.connections) < 50:
            await asyncio.wait([asyncio.ensure_future(_turn())])
        handed = old.give_up_idle()
        assert len(handed) == 50
        for _, writer in clients:
            writer.write(REQUEST)  # on the way while nobody has the connection
        for each in handed:
            new.adopt(each)
        assert [await answer(reader) for reader, _ in clients] == [b"new"] * 50
        assert await ask(*silent[0]) == [b"new"]
        assert (len(old.connections), len(new.connections)) == (0, 50)
        for _, writer in clients:
            writer.close()
        await old.close(1.0)
        await new.close(1.0)

    run(scene)


def test_worker_with_few_files_left_gives_all_of_its_connections_away():
    """Each has two descriptors for a moment: not all of them at once."""

    async def scene():
        old, number = await made(answering(b"old"))
        clients = [socket.create_connection(("127.0.0.1", number)) for _ in range(200)]
        while len(old.connections) < len(clients):
            await asyncio.wait([asyncio.ensure_future(_turn())])
        line, other = Line.pair()
        taker = Line(other)
        serving = Serving.__new__(Serving)
        serving.port = old
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_file() + 160, limits[1]))
        taken = 0
        try:
            while taken < len(clients):
                serving._give_away(line)
                await asyncio.wait([asyncio.ensure_future(_turn())])
                for _, descriptors in taker.receive():
                    taken += len(descriptors)
                    for each in descriptors:
                        os.close(each)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for each in clients:
            each.close()
        line.close()
        taker.close()
        await old.close(1.0)

    run(scene)


def test_connection_that_cannot_be_given_away_goes_on():
    async def scene():
        old, number = await made(answering(b"old"))
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        assert await ask(reader, writer) == [b"old"]
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_file(), limits[1]))
        try:
            assert old.give_up_idle() == []
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert await ask(reader, writer) == [b"old"]
        writer.close()
        await old.close(1.0)

    run(scene)


def next_file() -> int:
    """The number that the next descriptor gets."""
    found = os.dup(0)
    os.close(found)
    return found


def test_busy_connection_stays_until_it_is_answered():
    async def scene():
        waiting: list[Exchange] = []
        old, number = await made(answering(b"", waiting))
        new, _ = await made(answering(b"new"))
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(REQUEST)
        while not waiting:
            await asyncio.wait([asyncio.ensure_future(_turn())])
        assert old.give_up_idle() == []
        waiting[0].respond(Response(b"old"))
        assert await answer(reader) == b"old"
        (handed,) = old.give_up_idle()
        new.adopt(handed)
        assert await ask(reader, writer) == [b"new"]
        writer.close()
        await old.close(1.0)
        await new.close(1.0)

    run(scene)


async def _turn() -> None:
    """The loop goes round."""
