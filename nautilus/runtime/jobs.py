"""Work of more than a millisecond, in worker processes beside the host: started with the first job, one job each."""

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
from nautilus.runtime.protection import MOST_WAITING, FullError
from nautilus.runtime.worker import LENGTH, name_of, pack, unpack

STOP_SECONDS = 1.0
Done = Callable[[Any], None]
Watch = Callable[[int, Callable[[], None]], None]
Forget = Callable[[int], None]


def _error_of(said: dict[str, str]) -> Exception:
    return error_from(said) if said["code"] else ModelError(said["what"], where="a job")


class Worker:
    """One process, and the socket to it.

    Parameters
    ----------
    watch, forget
        Have a callback called when a socket is readable, and no longer.
    turned
        Called when it has begun, and after each job.
    lost
        Called when it has died.

    Attributes
    ----------
    process : itself.
    begun : it takes jobs.
    prepared : it was told to prepare itself.
    running : takes what comes of its job; None: it has none.
    """

    __slots__ = ("_connection", "_forget", "_lost", "_received", "_turned", "begun", "prepared", "process", "running")

    def __init__(
        self, watch: Watch, forget: Forget, turned: Callable[[Worker], None], lost: Callable[[Worker], None]
    ) -> None:
        ours, its = socket.socketpair()
        package = str(Path(nautilus.__file__).parent.parent)
        paths = [package, *(path for path in sys.path if path and path != package)]
        with its:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "nautilus.runtime.worker", str(its.fileno())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
        ours.setblocking(False)
        self._connection = ours
        self._forget, self._turned, self._lost = forget, turned, lost
        self._received = bytearray()
        self.begun = self.prepared = False
        self.running: Done | None = None
        watch(ours.fileno(), self._on_readable)

    @property
    def idle(self) -> bool:
        """It waits for a job."""
        return self.begun and self.running is None

    def take(self, content: bytes, done: Done) -> None:
        """Run a job. One that waits for a job takes any length at once, so this does not hold up the host."""
        self.running = done
        self._connection.setblocking(True)
        with contextlib.suppress(OSError):  # it is gone: reading says so
            self._connection.sendall(LENGTH.pack(len(content)) + content)
        self._connection.setblocking(False)

    def end(self, *, at_once: bool = False) -> None:
        """Have it end; once."""
        self._forget(self._connection.fileno())
        self._connection.close()
        if at_once:
            # By itself it takes a second and more with what it has loaded: the engine would stand still as long.
            self.process.kill()
        # It ends by itself when the socket closes, unless a job keeps it.
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _on_readable(self) -> None:
        try:
            chunk = self._connection.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._lost(self)
            return
        self._received += chunk
        while len(self._received) >= LENGTH.size:
            length = LENGTH.unpack_from(self._received)[0]
            if len(self._received) < LENGTH.size + length:
                return
            content = bytes(self._received[LENGTH.size : LENGTH.size + length])
            del self._received[: LENGTH.size + length]
            if length:
                self._answer(content)
            else:
                self.begun = True
            self._turned(self)

    def _answer(self, content: bytes) -> None:
        done, self.running = self.running, None
        if done is not None:
            good, result = unpack(content)
            done(result if good else _error_of(result))


class Jobs:
    """Runs pure functions in worker processes; answers come on the host's thread.

    Parameters
    ----------
    watch, forget
        Have a callback called when a socket is readable, and no longer.
    rest
        Has a callback called later: workers that have nothing to do until then end, and with them what they have
        loaded; None: they stay.
    most
        Workers at once. One more is started when a job finds all of them with one.
    refused
        Called for each job that is refused as too many wait.
    """

    def __init__(
        self,
        watch: Watch,
        forget: Forget,
        rest: Callable[[Callable[[], None]], object] | None = None,
        *,
        most: int = 1,
        refused: Callable[[], object] = lambda: None,
    ) -> None:
        self._watch = watch
        self._forget = forget
        self._rest = rest
        self._most = most
        self._refused = refused
        self._runs = 0
        self._waiting: deque[tuple[bytes, Done]] = deque()
        self._workers: list[Worker] = []
        self._first = b""
        self._unready: set[Worker] = set()
        self._prepared: Done | None = None
        self._trouble: Exception | None = None

    def run(self, job: Callable[..., Any], arguments: tuple[Any, ...], done: Done) -> None:
        """Run it; `done` is called with its result, or with the exception that came instead.

        Raises
        ------
        ModelError
            The job or its arguments cannot go to another process.
        FullError
            Too many wait.
        """
        content = pack((name_of(job), arguments))
        if len(self._waiting) >= MOST_WAITING:
            self._refused()
            raise FullError(f"{len(self._waiting)} jobs wait", where="a job", expected="less at once")
        self._waiting.append((content, done))
        self._runs += 1
        self._reinforce()
        self._next()

    def prepare(self, job: Callable[..., Any], arguments: tuple[Any, ...], done: Done) -> None:
        """Have every worker run it before all else, those of later too; `done` is called once the first ones have."""
        self._first = pack((name_of(job), arguments))
        self._prepared = done
        while len(self._workers) < self._most:
            self._unready.add(self._start())

    def close(self) -> None:
        """End the workers. What they had not done is not answered."""
        self._waiting.clear()
        self._unready.clear()
        self._end()

    def _start(self) -> Worker:
        worker = Worker(self._watch, self._forget, self._on_turn, self._on_lost)
        self._workers.append(worker)
        return worker

    def _end(self, *, at_once: bool = False) -> None:
        for worker in self._workers:
            worker.end(at_once=at_once)
        self._workers.clear()

    def _reinforce(self) -> None:
        """Start another worker where all that there are have something to do, up to as many as there may be."""
        ready = sum(worker.running is None for worker in self._workers)
        if len(self._waiting) > ready and len(self._workers) < self._most:
            self._start()

    def _next(self) -> None:
        for worker in self._workers:
            if not self._waiting:
                return
            if worker.idle:
                worker.take(*self._waiting.popleft())

    def _on_turn(self, worker: Worker) -> None:
        if self._first and not worker.prepared:
            worker.prepared = True
            worker.take(self._first, partial(self._on_prepared, worker))
        self._next()
        if self._rest is not None and not self._busy:
            self._rest(partial(self._end_idle, self._runs))

    def _on_prepared(self, worker: Worker, result: Any) -> None:
        self._unready.discard(worker)
        if isinstance(result, Exception):
            self._trouble = result
        prepared = self._prepared
        if not self._unready and prepared is not None:
            self._prepared = None
            prepared(self._trouble)

    @property
    def _busy(self) -> bool:
        return bool(self._waiting) or any(worker.running is not None for worker in self._workers)

    def _end_idle(self, runs: int) -> None:
        if runs == self._runs and not self._busy:
            self._end(at_once=True)

    def _on_lost(self, worker: Worker) -> None:
        """A worker died: what it had is answered, and another one takes its place when there is something to do."""
        worker.end(at_once=True)
        self._workers.remove(worker)
        lost = [] if worker.running is None else [worker.running]
        if not worker.begun and worker in self._unready:
            lost.append(partial(self._on_prepared, worker))
        if not worker.begun and not self._workers:  # none can even start
            lost += [done for _, done in self._waiting]
            self._waiting.clear()
        for done in lost:
            done(InternalError("the worker process died", where="a job"))
        self._reinforce()
        self._next()


__all__ = ["Done", "Jobs", "Worker"]
