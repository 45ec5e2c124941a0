"""The supervisor's side of the fork template: start it, hand it requests."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec

import nautilus
from nautilus.runtime.child import Backoff
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.template import REQUEST_BYTES, Request

# Numerical libraries start threads when they are imported, unless told not to.
ONE_THREAD = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)


class Launcher:
    """The template, which may end at any time and is then started again.

    Attributes
    ----------
    line : the socket to it, None while there is none.
    pid : 0 while there is none.
    ready : whether it takes requests.
    due_ns : when it is to be started again, on the monotonic clock; None while it is not.
    began_ns, starts : when it was last started, and how often.
    """

    def __init__(self, modules: tuple[str, ...], output: Path) -> None:
        self.line: socket.socket | None = None
        self.pid = 0
        self.ready = False
        self.due_ns: int | None = None
        self.began_ns = 0
        self.starts = 0
        self._backoff = Backoff()
        self._modules = modules
        self._output = output

    def start(self) -> None:
        """Start the template; it says when it is ready. OSError where the machine has no room for it."""
        self.due_ns = None
        self.began_ns = monotonic_ns()
        self.starts += 1
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        own.setblocking(False)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, REQUEST_BYTES)
        try:
            with other:
                self.pid = self._spawn(other)
        except BaseException:
            own.close()
            raise
        self.line = own

    def end(self, *, again: bool) -> None:
        """It has ended; it is due again, after a while, where it is to be."""
        self.close()
        self.pid = 0
        now_ns = monotonic_ns()
        self.due_ns = now_ns + self._backoff.next_ns(now_ns - self.began_ns) if again else None

    def received(self) -> tuple[list[dict[str, Any]], bool]:
        """What the template has said, and whether its side of the line has closed."""
        found: list[dict[str, Any]] = []
        while self.line is not None:
            try:
                content = self.line.recv(65536)
            except BlockingIOError:
                return found, False
            except OSError:
                break
            if not content:
                break
            message = msgspec.json.decode(content)
            self.ready = self.ready or message["event"] == "ready"
            found.append(message)
        return found, True

    def launch(self, plan: bytes, name: str, entry: str, output: Path, line: socket.socket) -> bool:
        """Have a process forked; False where there is no template to do it."""
        if self.line is None or not self.ready:
            return False
        request = msgspec.msgpack.encode(Request(plan, name, entry, str(output)))
        try:
            socket.send_fds(self.line, [request], [line.fileno()])
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go of the template, which then ends."""
        self.ready = False
        if self.line is not None:
            self.line.close()
            self.line = None

    def kill(self) -> None:
        """End it at once."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _spawn(self, line: socket.socket) -> int:
        package = str(Path(nautilus.__file__).parents[1])
        paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH", ""))))
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "nautilus.runtime.template", "3", str(os.getpid()), *self._modules],
            {**os.environ, **dict.fromkeys(ONE_THREAD, "1"), "PYTHONPATH": paths},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self._output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, line.fileno(), 3),
            ],
            setsid=True,
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE],
            setsigmask=[],
        )
