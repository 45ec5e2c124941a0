"""Work of more than a millisecond, in a worker process beside the host: started with the first job, one at a time."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nautilus
from nautilus.model.errors import InternalError, ModelError
from nautilus.runtime.control import error_from
from nautilus.runtime.worker import LENGTH, name_of, pack, unpack

STOP_SECONDS = 1.0
Done = Callable[[Any], None]


def _error_of(said: dict[str, str]) -> Exception:
    return error_from(said) if said["code"] else ModelError(said["what"], where="a job")


class Jobs:
    """Runs pure functions in a worker process; answers come on the host's thread.

    Parameters
    ----------
    watch, forget
        Have a callback called when a socket is readable, and no longer.
    rest
        Has a callback called later: a worker that has nothing to do until then ends, and with it what it has loaded;
        None: it stays.
    """

    def __init__(
        self,
        watch: Callable[[int, Callable[[], None]], None],
        forget: Callable[[int], None],
        rest: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._watch = watch
        self._forget = forget
        self._rest = rest
        self._runs = 0
        self._waiting: deque[tuple[bytes, Done]] = deque()
        self._running: Done | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._hello = False
        self._received = bytearray()

    def run(self, job: Callable[..., Any], arguments: tuple[Any, ...], done: Done) -> None:
        """Run it; `done` is called with its result, or with the exception that came instead.

        Raises
        ------
        ModelError
            The job or its arguments cannot go to another process.
        """
        self._waiting.append((pack((name_of(job), arguments)), done))
        self._runs += 1
        if self._worker is None:
            self._start()
        self._next()

    def close(self) -> None:
        """End the worker. What it had not done is not answered."""
        self._waiting.clear()
        self._running = None
        self._end()

    def _start(self) -> None:
        ours, its = socket.socketpair()
        package = str(Path(nautilus.__file__).parent.parent)
        paths = [package, *(path for path in sys.path if path and path != package)]
        with its:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "nautilus.runtime.worker", str(its.fileno())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
        ours.setblocking(False)
        self._connection = ours
        self._hello = False
        self._received.clear()
        self._watch(ours.fileno(), self._on_readable)

    def _end(self, *, at_once: bool = False) -> None:
        if self._connection is not None:
            self._forget(self._connection.fileno())
            self._connection.close()
            self._connection = None
        if self._worker is not None:
            if at_once:
                # By itself it takes a second and more with what it has loaded: the engine would stand still as long.
                self._worker.kill()
            # It ends by itself when the socket closes, unless a job keeps it.
            try:
                self._worker.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._worker.kill()
                self._worker.wait()
            self._worker = None

    def _next(self) -> None:
        # A worker that waits for a job takes one of any length at once, so this does not hold up the host.
        if self._hello and self._running is None and self._waiting and self._connection is not None:
            content, self._running = self._waiting.popleft()
            self._connection.setblocking(True)
            with contextlib.suppress(OSError):  # it is gone: reading says so
                self._connection.sendall(LENGTH.pack(len(content)) + content)
            self._connection.setblocking(False)

    def _on_readable(self) -> None:
        assert self._connection is not None
        try:
            chunk = self._connection.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._lost()
            return
        self._received += chunk
        while len(self._received) >= LENGTH.size:
            length = LENGTH.unpack_from(self._received)[0]
            if len(self._received) < LENGTH.size + length:
                return
            content = bytes(self._received[LENGTH.size : LENGTH.size + length])
            del self._received[: LENGTH.size + length]
            if not length:
                self._hello = True
            else:
                self._answer(content)
            self._next()
            if self._rest is not None and self._running is None:
                self._rest(partial(self._end_idle, self._runs))

    def _end_idle(self, runs: int) -> None:
        if runs == self._runs and self._running is None:
            self._end(at_once=True)

    def _answer(self, content: bytes) -> None:
        done, self._running = self._running, None
        if done is not None:
            good, result = unpack(content)
            done(result if good else _error_of(result))

    def _lost(self) -> None:
        """The worker died: whatever it had is answered, the next job starts another one."""
        self._end(at_once=True)
        lost = [self._running] if self._running is not None else []
        self._running = None
        if not self._hello:  # it cannot even start
            lost += [done for _, done in self._waiting]
            self._waiting.clear()
        for done in lost:
            done(InternalError("the worker process died", where="a job"))
        if self._waiting and self._worker is None:
            self._start()
