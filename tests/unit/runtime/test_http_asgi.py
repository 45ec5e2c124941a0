"""An ASGI application behind a real socket whose client leaves: what became of the request is told all the same."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvloop

from nautilus.core.counters import Counters
from nautilus.runtime.http.asgi import AsgiExchange
from nautilus.runtime.http.port import Port


async def answer(send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def fail(send):
    raise ZeroDivisionError


async def say_nothing(send):
    pass


@pytest.mark.parametrize(("end", "status"), [(answer, 200), (fail, 500), (say_nothing, 500)])
def test_status_is_told_once_also_where_the_client_has_gone(end, status):
    told = []

    async def run():
        asked, gone = asyncio.Event(), asyncio.Event()
        runs = []

        async def application(scope, receive, send):
            asked.set()
            await gone.wait()
            await end(send)

        def app(exchange):
            def begin(body):
                exchange.on_answer = told.append
                runs.append(AsgiExchange(application, exchange, body))
                leave = exchange.on_abort
                exchange.on_abort = lambda: (leave(), gone.set())

            exchange.read(100, begin)

        port = Port(app, Counters())
        listener = socket.create_server(("127.0.0.1", 0))
        await port.listen(listener)
        _, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
        await asked.wait()
        writer.close()
        await runs[0].task
        await port.close(0)

    uvloop.run(asyncio.wait_for(run(), 60))
    assert told == [status]
