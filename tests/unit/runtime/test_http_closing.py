"""Clients on real sockets that do not take their answers: they are counted on, and given up in the end."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
import uvloop

from nautilus.core.counters import Counters
from nautilus.runtime.http import port as port_module
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.exchange import Response
from nautilus.runtime.http.port import Port
from tests.kit.hostile_upstream import until

ANSWER = b"x" * (16 << 20)
"""More than the buffers of both sockets hold."""
MOST = 4


def established(number: int) -> int:
    """Connections of a listening port whose server's side is open."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(f":{number:04X}") and line[3] == "01" for line in lines)


@pytest.mark.parametrize("header", [b"Connection: close\r\n", b""])
def test_closing_connection_whose_client_does_not_read_counts_on_and_is_given_up(monkeypatch, header):
    async def run() -> None:
        loop = asyncio.get_running_loop()
        counters = Counters()
        config = HttpConfig(connections=MOST, idle_seconds=0.1)
        port = Port(lambda exchange: exchange.respond(Response(ANSWER)), counters, config)
        listener = socket.create_server(("127.0.0.1", 0))
        number = listener.getsockname()[1]
        await port.listen(listener)
        clients = []
        try:
            for _ in range(MOST):
                client = socket.socket()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.setblocking(False)
                clients.append(client)
                await loop.sock_connect(client, ("127.0.0.1", number))
                await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n")
            await until(lambda: established(number) == MOST)
            await until(lambda: len(port.connections) == MOST and not port.connections.idle())
            assert len(port.connections) == established(number) == MOST
            monkeypatch.setattr(port_module, "STALL_SECONDS", 0.0)
            await until(lambda: not established(number))
            assert len(port.connections) == 0
            assert counters.snapshot()["http.given_up_answers"] == MOST
        finally:
            for client in clients:
                client.close()
            await port.close(0)

    uvloop.run(asyncio.wait_for(run(), 60))


def test_more_clients_that_do_not_read_than_there_may_be_take_no_more_room():
    async def run() -> None:
        loop = asyncio.get_running_loop()
        port = Port(lambda exchange: exchange.respond(Response(ANSWER)), Counters(), HttpConfig(connections=MOST))
        listener = socket.create_server(("127.0.0.1", 0))
        number = listener.getsockname()[1]
        await port.listen(listener)
        clients = []
        try:
            for _ in range(3 * MOST):
                client = socket.socket()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.setblocking(False)
                clients.append(client)
                await loop.sock_connect(client, ("127.0.0.1", number))
                await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                await loop.sock_recv(client, 1)  # its answer has begun
            await until(lambda: established(number) == MOST)
            assert len(port.connections) == MOST
        finally:
            for client in clients:
                client.close()
            await port.close(0)

    uvloop.run(asyncio.wait_for(run(), 60))


class Speaker(asyncio.Protocol):
    """Says much, and closes."""

    def connection_made(self, transport) -> None:
        transport.write(ANSWER)
        transport.close()


def test_upgraded_connection_whose_client_does_not_read_is_given_up_once_it_closes(monkeypatch):
    async def run() -> None:
        loop = asyncio.get_running_loop()
        counters = Counters()
        head = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
        config = HttpConfig(idle_seconds=0.1)
        port = Port(lambda exchange: exchange.upgrade(head, Speaker()), counters, config)
        listener = socket.create_server(("127.0.0.1", 0))
        number = listener.getsockname()[1]
        await port.listen(listener)
        client = socket.socket()
        try:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", number))
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await loop.sock_recv(client, 1)
            await until(lambda: port._stalled)
            assert established(number) == len(port.connections) == 1
            monkeypatch.setattr(port_module, "STALL_SECONDS", 0.0)
            await until(lambda: not established(number) and not port._upgraded)
            assert len(port.connections) == 0
            assert counters.snapshot()["http.given_up_answers"] == 1
        finally:
            client.close()
            await port.close(0)

    uvloop.run(asyncio.wait_for(run(), 60))
