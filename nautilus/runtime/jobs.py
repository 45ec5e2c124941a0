"""Work of more than a millisecond, in worker processes beside the host: started with the first job, one job each."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import nautilus
from nautilus.model.errors import InternalError
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
from nautilus.runtime.control import error_from
from nautilus.runtime.protection import MOST_WAITING, FullError
from nautilus.runtime.worker import LENGTH, MOST_BYTES, name_of, pack, unpack

STOP_SECONDS = 1.0
SEND_SECONDS = 2.0
"""A worker that waits for a job takes one of any length at once; one that does not is stopped, or hangs."""
LIMIT_NS = 600 * NANOSECONDS
"""A job, or the start of a worker, that takes longer hangs: nobody waits for it any more, and others wait behind it."""
Done = Callable[[Any], None]
Watch = Callable[[int, Callable[[], None]], None]
Forget = Callable[[int], None]
Later = Callable[[int, Callable[[], object]], object]


def _error_of(said: dict[str, str]) -> Exception:
    """One that has no code of its own is the job's fault, not of who asked."""
    return error_from(said) if said["code"] else InternalError(said["what"], where="a job")


def _unstarted(error: OSError) -> InternalError:
    return InternalError(f"no worker process: {error}", where="a job")


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
    since_ns : when its job, or itself, was started, by `monotonic_ns`.
    why : it is ended for this reason, of which its job is told.
    """

    __slots__ = (
        "_connection",
        "_forget",
        "_lost",
        "_received",
        "_turned",
        "begun",
        "prepared",
        "process",
        "running",
        "since_ns",
        "why",
    )

    def __init__(
        self, watch: Watch, forget: Forget, turned: Callable[[Worker], None], lost: Callable[[Worker], None]
    ) -> None:
        self.why = "the worker process died"
        self.since_ns = monotonic_ns()
        ours, its = socket.socketpair()
        package = str(Path(nautilus.__file__).parent.parent)
        paths = [package, *(path for path in sys.path if path and path != package)]
        try:
            with its:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "nautilus.runtime.worker", str(its.fileno())],
                    pass_fds=[its.fileno()],
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                )
        except OSError:
            ours.close()
            raise
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
        """Run a job."""
        self.running = done
        self.since_ns = monotonic_ns()
        self._connection.settimeout(SEND_SECONDS)
        try:
            self._connection.sendall(LENGTH.pack(len(content)) + content)
        except TimeoutError:
            self.kill("the worker process takes no jobs")
        except OSError:
            pass  # it is gone: reading says so
        self._connection.setblocking(False)

    def kill(self, why: str) -> None:
        """End it for a reason: what is left of its socket says that it is gone, and then its job is told."""
        self.why = why
        self.process.kill()

    def hang_up(self, *, at_once: bool) -> None:
        """Say that nothing comes any more; once, before `end`."""
        self._forget(self._connection.fileno())
        self._connection.close()
        # By itself it takes a second and more with what it has loaded: the engine would stand still as long. A job that
        # runs may be writing something, and has a moment.
        if at_once or self.running is None:
            self.process.kill()

    def end(self, until_ns: int) -> None:
        """Wait for its end, at most until then: it ends when the socket closes, unless a job keeps it."""
        try:
            self.process.wait(max(0, until_ns - monotonic_ns()) / NANOSECONDS)
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
            if length > MOST_BYTES:
                self.why = "the worker process said what none says"
                self._lost(self)
                return
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
    later
        Has a callback called after so many nanoseconds: a job, or the start of a worker, is given up after `LIMIT_NS`.
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
        later: Later = lambda wait_ns, callback: None,
        most: int = 1,
        refused: Callable[[], object] = lambda: None,
    ) -> None:
        self._watch = watch
        self._forget = forget
        self._rest = rest
        self._later = later
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
        InternalError
            No worker can be started.
        """
        content = pack((name_of(job), arguments))
        if len(self._waiting) >= MOST_WAITING:
            self._refused()
            raise FullError(f"{len(self._waiting)} jobs wait", where="a job", expected="less at once")
        self._waiting.append((content, done))
        self._runs += 1
        try:
            self._reinforce()
        except OSError as error:
            if not self._workers:
                self._waiting.pop()
                raise _unstarted(error) from None
        self._next()

    def prepare(self, job: Callable[..., Any], arguments: tuple[Any, ...], done: Done) -> None:
        """Have every worker run it before all else, those of later too; `done` is called once the first ones have."""
        self._first = pack((name_of(job), arguments))
        self._prepared = done
        while len(self._workers) < self._most:
            try:
                self._unready.add(self._start())
            except OSError as error:
                self._trouble = _unstarted(error)
                break
        if not self._unready:
            self._prepared = None
            done(self._trouble)

    def close(self) -> None:
        """End the workers. What they had not done is not answered."""
        self._waiting.clear()
        self._unready.clear()
        self._end(self._workers, at_once=False)
        self._workers.clear()

    def _start(self) -> Worker:
        worker = Worker(self._watch, self._forget, self._on_turn, self._on_lost)
        self._workers.append(worker)
        self._later(LIMIT_NS, partial(self._give_up, worker, LIMIT_NS))
        return worker

    @staticmethod
    def _end(workers: Iterable[Worker], *, at_once: bool) -> None:
        """All of them within the time of one."""
        leaving = list(workers)
        for worker in leaving:
            worker.hang_up(at_once=at_once)
        until_ns = monotonic_ns() + int(STOP_SECONDS * NANOSECONDS)
        for worker in leaving:
            worker.end(until_ns)

    def _give_up(self, worker: Worker, limit_ns: int) -> None:
        """End a worker that has been at one thing for too long; look again when what it does now has had its time."""
        if worker not in self._workers:
            return
        left_ns = limit_ns
        if worker.running is not None or not worker.begun:
            left_ns = worker.since_ns + limit_ns - monotonic_ns()
            if left_ns <= 0:
                worker.why = f"it took longer than {limit_ns // NANOSECONDS} s"
                self._on_lost(worker)
                return
        self._later(left_ns, partial(self._give_up, worker, limit_ns))

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
            self._end(self._workers, at_once=True)
            self._workers.clear()

    def _on_lost(self, worker: Worker) -> None:
        """A worker died: what it had is answered, and another one takes its place when there is something to do."""
        self._end([worker], at_once=True)
        self._workers.remove(worker)
        lost = [] if worker.running is None else [worker.running]
        if not worker.begun and worker in self._unready:
            lost.append(partial(self._on_prepared, worker))
        if not worker.begun and not self._workers:  # none can even start
            lost += self._drop_waiting()
        for done in lost:
            done(InternalError(worker.why, where="a job"))
        try:
            self._reinforce()
        except OSError as error:
            if not self._workers:
                for done in self._drop_waiting():
                    done(_unstarted(error))
        self._next()

    def _drop_waiting(self) -> list[Done]:
        dropped = [done for _, done in self._waiting]
        self._waiting.clear()
        return dropped


__all__ = ["Done", "Jobs", "Worker"]
