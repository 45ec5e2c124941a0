"""A data provider over real sockets: a line of JSON for a line of JSON; it counts connections and calls."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from contextlib import suppress
from typing import Any


class DataServer:
    """Listens on a free port, in threads of the test's process, until `close`.

    Attributes
    ----------
    accepted : connections so far.
    calls : questions so far, by (source, kind, symbol).
    value : of every fact.
    missing : symbols that it does not have.
    limited : (while it is not 0) it says to everybody to come again in so many seconds.
    """

    def __init__(self, rows: int = 3) -> None:
        self.accepted = 0
        self.calls: Counter[tuple[str, str, str]] = Counter()
        self.value = 1.0
        self.rows = rows
        self.missing: set[str] = set()
        self.limited = 0.0
        self.go = threading.Event()
        self.go.set()
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.accepted += 1
                self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as lines:
            for line in lines:
                asked: dict[str, Any] = json.loads(line)
                with self._lock:
                    self.calls[asked["source"], asked["kind"], asked["symbol"]] += 1
                self.go.wait(60)
                connection.sendall(json.dumps(self._answer(asked)).encode() + b"\n")

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.limited:
            return {"error": "limited", "retry": self.limited}
        if asked["symbol"] in self.missing:
            return {"error": "not_found"}
        return {"value": self.value, "rows": self.rows}

    def cut(self) -> None:
        """Close every connection, and take no more: the provider is down."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # the thread that accepts holds it, too
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop."""
        self.go.set()
        self.cut()
