"""A supervisor without a terminal: `nautilus up --detach`, and `nautilus down` for any."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

from nautilus.model.errors import InternalError
from nautilus.runtime.control import describe_error, error_from
from nautilus.runtime.instance import Instance, NotRunningError, read_outcome
from nautilus.runtime.states import Outcome


class Detached:
    """What the work of a detached process says to the one that waits for it."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def redirect(self, output: Path) -> None:
        """Standard output and error go to a file from now on; before, they went nowhere."""
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for target in (1, 2):
            os.dup2(descriptor, target)
        os.close(descriptor)

    def ready(self) -> None:
        """It is up: the process that waits returns."""
        self._say({"event": "ready"})

    def failed(self, error: Exception) -> None:
        """It is not up and will not be: the process that waits raises this."""
        self._say({"event": "failed", "error": describe_error(error)})

    def _say(self, message: object) -> None:
        if self._pipe >= 0:
            os.write(self._pipe, msgspec.json.encode(message))
            os.close(self._pipe)
            self._pipe = -1


def detach(work: Callable[[Detached], int]) -> None:
    """Run `work` in a process of its own, in a session of its own; return once that is ready.

    To be called from a process with one thread. The work gets a `Detached` to say that it is ready, and returns its
    exit code.

    Raises
    ------
    NautilusError
        What made the work fail before it was ready.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    ended, said = os.pipe()
    passing = os.fork()
    if passing == 0:
        code = 1
        try:
            os.close(ended)
            os.setsid()
            code = _work(work, said) if os.fork() == 0 else 0
        finally:
            os._exit(code)
    os.close(said)
    os.waitpid(passing, 0)
    with open(ended, "rb") as pipe:
        content = pipe.read()
    if not content:
        raise InternalError("the detached supervisor ended before it was ready")
    message = msgspec.json.decode(content)
    if message["event"] == "failed":
        raise error_from(message["error"])


def down(name: str, *, timeout_seconds: float = 30.0) -> Outcome | None:
    """Ask the supervisor of an instance to stop, and wait until it has; None where it did not say how it went.

    Raises
    ------
    NotRunningError
        There is none.
    TimeoutError
        It still runs after that time.
    """
    instance = Instance.find(name)
    try:
        process = os.pidfd_open(instance.pid)
    except ProcessLookupError:
        raise NotRunningError(f"instance {name!r} has just stopped") from None
    outcome = -1
    try:
        with contextlib.suppress(NotRunningError):  # it is only starting
            outcome = instance.open_outcome()
        # Held by the same pid still: so the descriptor is the supervisor's, not that of a later process.
        if not instance.is_live:
            raise NotRunningError(f"instance {name!r} has just stopped")
        signal.pidfd_send_signal(process, signal.SIGTERM)
        if not select.select([process], [], [], timeout_seconds)[0]:
            raise TimeoutError(f"instance {name!r} (pid {instance.pid}) still runs after {timeout_seconds:g} s")
        found, outcome = outcome, -1
        return read_outcome(found) if found >= 0 else Outcome(0)
    finally:
        os.close(process)
        if outcome >= 0:
            os.close(outcome)


def _work(work: Callable[[Detached], int], pipe: int) -> int:
    nothing = os.open(os.devnull, os.O_RDWR)
    for target in (0, 1, 2):
        os.dup2(nothing, target)
    os.close(nothing)
    detached = Detached(pipe)
    try:
        return work(detached)
    except Exception as error:
        traceback.print_exc()
        detached.failed(error)
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
