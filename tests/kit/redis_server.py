"""A real redis-server for tests: on a socket of its own, killed and started again, with what it kept or without."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nautilus.bus.redis_binary import find_redis
from nautilus.core.clock import now_ns

PATIENCE_NS = 60_000_000_000


class RedisServer:
    """One redis-server in a directory; `appendonly` is ``no``, ``everysec`` or ``always``."""

    def __init__(self, directory: Path, appendonly: str = "no") -> None:
        self.directory = directory
        self.appendonly = appendonly
        self.path = directory / "redis.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"unix://{self.path}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        fsync = "everysec" if self.appendonly == "no" else self.appendonly
        self.process = subprocess.Popen(
            [
                find_redis(),
                *("--port", "0", "--unixsocket", self.path, "--unixsocketperm", "600", "--dir", self.directory),
                *("--save", "", "--appendonly", "no" if self.appendonly == "no" else "yes", "--appendfsync", fsync),
                *("--logfile", self.directory / "redis.log"),
            ],
            stdin=subprocess.DEVNULL,
        )
        end_ns = now_ns() + PATIENCE_NS
        while not self.answers():
            assert self.process.poll() is None, (self.directory / "redis.log").read_text()
            assert now_ns() < end_ns, "redis-server does not answer"

    def answers(self) -> bool:
        """Whether it takes commands (and is not loading what it kept)."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(1)
            try:
                line.connect(str(self.path))
                line.sendall(b"PING\r\n")
                return line.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def call(self, *arguments: bytes | str | int) -> object:
        """Send one command on a connection of its own; the reply."""
        import hiredis

        reader = hiredis.Reader()
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(60)
            line.connect(str(self.path))
            line.sendall(hiredis.pack_command(arguments))
            while (reply := reader.gets()) is False:
                reader.feed(line.recv(65536))
        return reply

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it with SIGKILL, and wait for its end."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(60)
            self.process = None


@contextmanager
def running_redis(directory: Path, appendonly: str = "no") -> Iterator[RedisServer]:
    """A server that runs until the end of the block."""
    server = RedisServer(directory, appendonly)
    try:
        server.start()
        yield server
    finally:
        server.kill()
