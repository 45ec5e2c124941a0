"""A wire between two sockets of this machine that can be cut and mended, and remembers what went through it."""

from __future__ import annotations

import os
import select
import socket
import threading
from contextlib import suppress
from pathlib import Path

CHUNK = 1 << 16


class Relay:
    """Listens at a path and passes everything on to another, in a thread of its own.

    Attributes
    ----------
    seen : what went from who dialled to who listens, where it is kept.
    """

    def __init__(self, path: Path, target: Path, *, keep: bool = False) -> None:
        self.seen = bytearray()
        self._path = path
        self._target = target
        self._keep = keep
        self._lock = threading.Lock()
        self._pairs: dict[socket.socket, tuple[socket.socket, bool]] = {}
        self._listener: socket.socket | None = None
        self._closing = False
        self._awake, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.mend()
        self._thread.start()

    def cut(self) -> None:
        """End all connections, and take no new ones."""
        with self._lock:
            if self._listener is not None:
                self._listener.close()
                self._listener = None
                self._path.unlink(missing_ok=True)
            for end in list(self._pairs):
                end.close()
            self._pairs.clear()
        os.write(self._wake, b"x")

    def mend(self) -> None:
        """Take connections again."""
        with self._lock:
            if self._listener is None:
                self._path.unlink(missing_ok=True)
                self._listener = socket.socket(socket.AF_UNIX)
                self._listener.bind(str(self._path))
                self._listener.listen(64)
        os.write(self._wake, b"x")

    def close(self) -> None:
        """Cut it for good."""
        self._closing = True
        self.cut()
        self._thread.join()
        os.close(self._awake)
        os.close(self._wake)

    def _run(self) -> None:
        while not self._closing:
            with self._lock:
                ends = [self._awake, *self._pairs, *([self._listener] if self._listener is not None else [])]
            try:
                ready = select.select(ends, [], [], 1)[0]
            except (OSError, ValueError):
                continue  # one was closed meanwhile
            for end in ready:
                if end == self._awake:
                    os.read(self._awake, 4096)
                    break  # what is watched has changed
                with self._lock:
                    self._serve(end)

    def _serve(self, end: socket.socket) -> None:
        if end is self._listener:
            dialled, _ = end.accept()
            other = socket.socket(socket.AF_UNIX)
            try:
                other.connect(str(self._target))
            except OSError:
                dialled.close()
                other.close()
                return
            for each in (dialled, other):
                each.settimeout(0.5)  # who does not read does not hold up the thread that would make him
            self._pairs[dialled], self._pairs[other] = (other, True), (dialled, False)
            return
        pair = self._pairs.get(end)
        if pair is None:
            return
        other, forth = pair
        data = b""
        with suppress(OSError):
            data = end.recv(CHUNK)
        if data:
            if forth and self._keep:
                self.seen += data
            with suppress(OSError):
                other.sendall(data)
                return
        for each in (end, other):
            self._pairs.pop(each, None)
            each.close()
