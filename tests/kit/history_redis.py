"""What is in a Redis of a history, and what went through it: nothing that could enter a market, and no other bus's.

Whoever looks into a stream sees what lies there at that time. So all commands are listened to as well (MONITOR), and
the append-only file is read at the end where there is one.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nautilus.bus.redis_carrier import names_of
from tests.kit.history import Violation
from tests.kit.redis_server import RedisServer


class Listener:
    """Keeps every command that a server is given, as MONITOR tells it, over all lives of the server; to be closed."""

    def __init__(self, server: RedisServer) -> None:
        self.seen = bytearray()
        self._path = str(server.path)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no longer."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(0.005):
            with socket.socket(socket.AF_UNIX) as line, suppress(OSError):
                line.settimeout(0.1)
                line.connect(self._path)
                line.sendall(b"MONITOR\r\n")
                self._listen(line)

    def _listen(self, line: socket.socket) -> None:
        while not self._closing.is_set():
            try:
                data = line.recv(1 << 16)
            except TimeoutError:
                continue
            if not data:
                return
            self.seen += data


def kept_on_disk(server: RedisServer) -> bytes:
    """All that its append-only files hold."""
    return b"".join(path.read_bytes() for path in sorted(server.directory.glob("appendonlydir/*")))


def kept_in_streams(server: RedisServer, processes: Iterable[str]) -> bytes:
    """All that lies in the streams of processes."""
    found = []
    for process in processes:
        for stream in names_of(process).streams:
            entries = server.call("XRANGE", stream, "-", "+")
            assert isinstance(entries, list), entries
            found += [b" ".join(fields) for _, fields in entries]
    return b"\n".join(found)


def judge_content(where: str, content: bytes, barred: bytes) -> list[Violation]:
    """What must not be there, and is."""
    return [Violation("barred", where, f"{content.count(barred)} times {barred!r}")] if barred in content else []


def judge_keys(where: str, server: RedisServer, processes: Iterable[str]) -> list[Violation]:
    """Keys that are not of these processes: two buses meet in one server."""
    keys = server.call("KEYS", "*")
    assert isinstance(keys, list), keys
    names = [names_of(process) for process in processes]
    own = {key.encode() for each in names for key in (*each.streams, each.present)}
    return [Violation("foreign", where, repr(key)) for key in keys if key not in own]


def place_of(directory: Path, bus: str) -> Path:
    """Where the server of a bus lives."""
    return directory / f"redis-{bus}"
