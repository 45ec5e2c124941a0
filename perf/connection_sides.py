"""Processes of the bench of many connections: a broadcaster, clients that listen, clients that ask.

`python -m perf.connection_sides broadcaster|listeners|askers ...` reads commands from its input, a word a line, and
answers each with a line of JSON. Clients come from several addresses of this machine: from one of them there are no
more than 28,000 ports to one address.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import uvloop

from nautilus.core.counters import Counters
from nautilus.core.proxy_head import AnswerHead, read_answer
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.exchange import Exchange, Response
from nautilus.runtime.http.fan_out import Audience
from nautilus.runtime.http.port import Port
from nautilus.runtime.http.websocket import BINARY, accepted, frame_of
from perf.gateway_sides import BODY, end_process
from perf.harness import ROOT, CheckError, check

PER_ADDRESS = 10_000
AT_ONCE = 32
"""Connections that are being opened at the same time: each asks, and more at once than its limit takes are shed."""
OPEN_SECONDS, ANSWER_SECONDS = 60.0, 5.0
TICK_SECONDS = 0.001
"""Requests are sent so often, all that are due at once."""
PAYLOAD = 256
PONG = b"\x8a\x80\x00\x00\x00\x00"
RISK, STREAM = "/api/v1/engines/risk/x", "/api/v1/engines/websocket/stream"


class Broadcaster:
    """Answers requests, and sends every second one frame to all that listen to its stream."""

    def __init__(self) -> None:
        self._fan = Audience(Counters(), "broadcaster").fan_out()
        self._task: asyncio.Task[None] | None = None
        self.sent = 0
        self.port = 0

    async def begin(self) -> None:
        """Listen."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(4096)
        listener.setblocking(False)
        config = HttpConfig(connections=65536, idle_seconds=3600)
        self._listen = Port(self._answer, Counters(), config, most=19_000)
        await self._listen.listen(listener)
        self.port = listener.getsockname()[1]

    async def do(self, word: str) -> dict[str, Any]:
        """A command."""
        if word == "begin":
            self._task = asyncio.get_running_loop().create_task(self._broadcast())
        elif word == "end" and self._task is not None:
            self._task.cancel()
        return {"port": self.port, "sent": self.sent, "listening": len(self._fan)}

    def _answer(self, exchange: Exchange) -> None:
        if exchange.header(b"upgrade"):
            self._fan.join(exchange, accepted(exchange))
        else:
            exchange.respond(Response(BODY))

    async def _broadcast(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            stamp = time.monotonic_ns().to_bytes(8, "little")
            self._fan.send(frame_of(BINARY, stamp + bytes(PAYLOAD - 8)))
            self.sent += 1
            due += 1.0
            await asyncio.sleep(max(0.0, due - loop.time()))


class Client(asyncio.Protocol):
    """One connection of a client; what comes is its owner's."""

    __slots__ = ("data", "due_ns", "owner", "ready", "transport")

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.data = b""
        self.ready = False
        self.due_ns = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self.owner.lost += 1

    def data_received(self, data: bytes) -> None:
        self.owner.take(self, self.data + data if self.data else data)


class Clients:
    """Many connections to the gateway."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.clients: list[Client] = []
        self.lost = 0
        self.wrong = ""
        """The first answer that was another than it had to be."""

    async def open(self, count: int) -> None:
        """Open so many more."""
        loop = asyncio.get_running_loop()
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with gate:
                place = (f"127.0.{sys.argv[3]}.{2 + number // PER_ADDRESS}", 0)
                _, client = await loop.create_connection(lambda: Client(self), "127.0.0.1", self.port, local_addr=place)
                self.clients.append(client)
                await self.opened(client)

        first = len(self.clients)
        async with asyncio.timeout(OPEN_SECONDS):
            await asyncio.gather(*(one(first + number) for number in range(count)))

    async def opened(self, client: Client) -> None:
        """One is there."""

    def take(self, client: Client, data: bytes) -> None:
        """Something has come."""
        raise NotImplementedError


class Listeners(Clients):
    """WebSockets that take what is broadcast."""

    def __init__(self, port: int, key: str, path: str) -> None:
        super().__init__(port)
        self.frames = 0
        self.delays: list[int] = []
        self._waiters: dict[Client, asyncio.Future[None]] = {}
        self._request = (
            f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: Upgrade\r\n"
            f"upgrade: websocket\r\nauthorization: Bearer {key}\r\nsec-websocket-version: 13\r\n"
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()

    async def opened(self, client: Client) -> None:
        waiter = self._waiters[client] = asyncio.get_running_loop().create_future()
        assert client.transport is not None
        client.transport.write(self._request)
        await waiter

    def take(self, client: Client, data: bytes) -> None:
        if not client.ready:
            head = read_answer(data)
            if head is None:
                client.data = data
                return
            found = cast(AnswerHead, head)
            if found.status != 101:
                self._waiters.pop(client).set_exception(CheckError(f"answer {data[-400:]!r}"))
                return
            client.ready = True
            data = data[found.size :]
            self._waiters.pop(client).set_result(None)
        while len(data) >= 2:
            if data[0] == 0x89 and client.transport is not None:
                client.transport.write(PONG)
            size = 2 + data[1]
            if data[1] >= 126:  # none of these frames has more than 64 KiB
                if len(data) < 4:
                    break
                size = 4 + int.from_bytes(data[2:4], "big")
            if len(data) < size:
                break
            if data[0] != 0x82:  # of another kind, or of another source than this bench's
                data = data[size:]
                continue
            self.frames += 1
            if self.frames % 16 == 0:
                self.delays.append(time.monotonic_ns() - int.from_bytes(data[4:12], "little"))
            data = data[size:]
        client.data = data

    async def do(self, word: str) -> dict[str, Any]:
        """A command."""
        if word.isdigit():
            await self.open(int(word))
        delays = np.array(self.delays or [0])
        found: dict[str, Any] = {"open": len(self.clients), "lost": self.lost, "frames": self.frames}
        found |= {f"p{percent}": float(np.percentile(delays, percent)) / 1e6 for percent in (50, 99)}
        self.delays.clear()
        return found


class Ticker:
    """Ticks finer than the timers of the loop, which count milliseconds: a thread that sleeps, and wakes the loop."""

    def __init__(self, seconds: float) -> None:
        self.every_ns = round(seconds * 1e9)
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._asked = threading.Semaphore(0)
        self._until_ns = 0
        self._loop.add_reader(self._wake, self._woken)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    async def tick(self, begun_ns: int) -> None:
        """Wait for the next one, counted from `begun_ns`."""
        now_ns = time.monotonic_ns()
        self._until_ns = begun_ns + ((now_ns - begun_ns) // self.every_ns + 1) * self.every_ns
        self._waiter = self._loop.create_future()
        self._asked.release()
        await self._waiter

    def close(self) -> None:
        """Tick no more."""
        self._until_ns = 0
        self._asked.release()
        self._thread.join()
        self._loop.remove_reader(self._wake)
        os.close(self._wake)

    def _run(self) -> None:
        while self._asked.acquire() and (until_ns := self._until_ns):
            time.sleep(max(until_ns - time.monotonic_ns(), 0) / 1e9)
            os.eventfd_write(self._wake, 1)

    def _woken(self) -> None:
        os.eventfd_read(self._wake)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Askers(Clients):
    """Connections that are kept, and ask in turn at a rate: latency is from when a request was due."""

    def __init__(self, port: int, key: str, path: str) -> None:
        super().__init__(port)
        self._request = (
            f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\naccept: */*\r\n\r\n"
        ).encode()
        self._exact = path == RISK
        """Otherwise another engine answers than the bench's own."""
        self._latency: list[int] = []
        self._turn = 0
        self._waiters: dict[Client, asyncio.Future[None]] = {}

    async def opened(self, client: Client) -> None:
        """Ask once: a connection that has asked nothing is closed after a while, one that is kept is not."""
        waiter = self._waiters[client] = asyncio.get_running_loop().create_future()
        assert client.transport is not None
        client.due_ns = time.monotonic_ns()
        client.transport.write(self._request)
        await waiter

    async def do(self, word: str) -> dict[str, Any]:
        """A command: so many more connections, or `ask RATE SECONDS`."""
        if word.isdigit():
            await self.open(int(word))
            check(not self.wrong, self.wrong)
            return {"open": len(self.clients)}
        _, rate, seconds = word.split()
        ticker = Ticker(TICK_SECONDS)
        try:
            return await self._ask(ticker, float(rate), float(seconds))
        finally:
            ticker.close()

    async def _ask(self, ticker: Ticker, rate: float, seconds: float) -> dict[str, Any]:
        self._latency.clear()
        begun_ns, count, skipped = time.monotonic_ns(), 0, 0
        total = round(rate * seconds)
        while count < total:
            now_ns = time.monotonic_ns()
            due_ns = begun_ns + (now_ns - begun_ns) // ticker.every_ns * ticker.every_ns
            while count < total and begun_ns + round(count * 1e9 / rate) <= due_ns:
                count += 1
                self._turn += 7919  # spread over all of them
                client = self.clients[self._turn % len(self.clients)]
                if client.due_ns or client.transport is None:
                    skipped += 1
                    continue
                client.due_ns = due_ns
                client.transport.write(self._request)
            await ticker.tick(begun_ns)
        end = asyncio.get_running_loop().time() + ANSWER_SECONDS
        while any(client.due_ns for client in self.clients) and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)
        found = np.array(self._latency)
        return {
            "wrong": self.wrong,
            "asked": total - skipped,
            "answered": len(found),
            "lost": self.lost,
            "seconds": (time.monotonic_ns() - begun_ns) / 1e9,
            **{f"p{percent}": float(np.percentile(found, percent)) / 1e3 for percent in (50, 99)},
        }

    def take(self, client: Client, data: bytes) -> None:
        head = read_answer(data)
        if head is None or len(data) < cast(AnswerHead, head).size + cast(AnswerHead, head).length:
            client.data = data
            return
        found = cast(AnswerHead, head)
        if found.status != 200 or (self._exact and data[found.size :] != BODY):
            self.wrong = self.wrong or f"answer {data[-300:]!r}"
        client.data = b""
        self._latency.append(time.monotonic_ns() - client.due_ns)
        client.due_ns = 0
        waiter = self._waiters.pop(client, None)
        if waiter is not None:
            waiter.set_result(None)


class Side:
    """A process of this module, as the bench speaks with it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def send(self, word: str) -> None:
        """Give a command."""
        assert self.process.stdin is not None
        print(word, file=self.process.stdin, flush=True)

    def answer(self) -> dict[str, Any]:
        """What it says to the last one."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        check(bool(line), "a process of the bench has ended")
        found: dict[str, Any] = json.loads(line)
        check("failed" not in found, found.get("failed", ""))
        return found

    def do(self, word: str) -> dict[str, Any]:
        """Give a command and wait for the answer."""
        self.send(word)
        return self.answer()


@contextmanager
def connection_side(core: int, *words: str) -> Iterator[Side]:
    """Start one."""
    process = subprocess.Popen(
        ["taskset", "-c", str(core), sys.executable, "-m", "perf.connection_sides", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield Side(process)
    finally:
        end_process(process)


async def _serve(words: Sequence[str]) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kind = words[0]
    actor: Any
    if kind == "broadcaster":
        actor = Broadcaster()
        await actor.begin()
    else:
        actor = (Listeners if kind == "listeners" else Askers)(int(words[1]), words[3], words[4])
    if kind == "listeners":
        # What they take of the clients' core is not to be seen in the answers to the askers there. With a nice value
        # alone whoever wakes waits for the end of their slice, up to 3 ms, and several times a request.
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    gc.disable()
    loop = asyncio.get_running_loop()
    while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        try:
            answer = await actor.do(word)
        except (CheckError, OSError, TimeoutError) as error:
            answer = {"failed": f"{kind} {word}: {error!r}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1:]))
