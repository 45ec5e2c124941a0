"""One process as its supervisor sees it: its line, its state, when it is to be started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import Any

import msgspec

from nautilus.model.errors import InternalError
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns, wall_ns
from nautilus.runtime.plan import ProcessSpec
from nautilus.runtime.states import ProcessCondition, ProcessState

FIRST_DELAY_NS = 100_000_000
LONGEST_DELAY_NS = 5 * NANOSECONDS
SETTLED_NS = 3 * NANOSECONDS
"""A process that lived so long starts with a clean record."""


class Backoff:
    """How long to wait before a start: not at all at first, then 100 ms, doubling to 5 s."""

    def __init__(self) -> None:
        self._delay_ns = 0

    def next_ns(self, alive_ns: int) -> int:
        """The wait before the next start, of what lived so long."""
        if alive_ns >= SETTLED_NS:
            self._delay_ns = 0
        delay_ns = self._delay_ns
        self._delay_ns = min(max(2 * delay_ns, FIRST_DELAY_NS), LONGEST_DELAY_NS)
        return delay_ns


class Child:
    """A process of the plan.

    Attributes
    ----------
    line : the socket to it, None while there is none.
    due_ns : when it is to be started, on the monotonic clock; None where it runs, or waits for its turn.
    began_ns : when it was last started, on the same clock.
    starts : how often it was started.
    terminated : whether it was asked to stop.
    killed : whether it did not stop when it was asked to, and was killed.
    patient : whether it may take as long as it likes to be ready, as it waits for a process that somebody else starts.
    chosen : the ports that its engines had first, to have again.
    """

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.condition: ProcessCondition = "waiting"
        self.pid = 0
        self.line: socket.socket | None = None
        self.due_ns: int | None = None
        self.began_ns = 0
        self.starts = 0
        self.terminated = False
        self.killed = False
        self.patient = False
        self.chosen: dict[str, int] = {}
        self.ended = ""
        self.error: dict[str, str] | None = None
        self._ports: dict[str, int] = {}
        self._started_ns = 0
        self._received = b""
        self._backoff = Backoff()

    @property
    def name(self) -> str:
        """As in the plan."""
        return self.spec.name

    @property
    def runs(self) -> bool:
        """Whether there is a process, or one is being forked."""
        return self.line is not None or self.pid != 0

    def begin(self, line: socket.socket) -> None:
        """The process is being forked; this is the line to it."""
        line.setblocking(False)
        self.line = line
        self.due_ns = None
        self.began_ns = monotonic_ns()
        self.starts += 1
        self.terminated = False
        self.condition = "starting"
        self._started_ns = wall_ns()
        self._received = b""
        self._ports = {}

    def take_ready(self, ports: dict[str, int]) -> None:
        """It has started."""
        self.condition = "ready"
        self.error = None
        self._ports = ports
        self.chosen = self.chosen or ports

    def received(self) -> tuple[list[dict[str, Any]], bool]:
        """What it has said, and whether its side of the line has closed."""
        closed = False
        while self.line is not None and not closed:
            try:
                chunk = self.line.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                chunk = b""
            closed = not chunk
            self._received += chunk
        *lines, self._received = self._received.split(b"\n")
        return [msgspec.json.decode(line) for line in lines], closed

    def order(self, what: str) -> None:
        """Tell it to do something; where nobody reads, its end is on its way."""
        if self.line is not None:
            with contextlib.suppress(OSError):
                self.line.sendall(msgspec.json.encode({"do": what}) + b"\n")

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, where there is a process: it is known not to be reaped yet."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def end(self, how: str, *, again: bool) -> None:
        """It has ended; it is due again, after a while, where it is to be."""
        if self.line is not None:
            self.line.close()
            self.line = None
        now_ns = monotonic_ns()
        self.pid = 0
        self.ended = how
        self.condition = "restarting" if again else "stopped"
        self.due_ns = now_ns + self._backoff.next_ns(now_ns - self.began_ns) if again else None

    def state(self) -> ProcessState:
        """For those who look."""
        return ProcessState(
            name=self.name,
            engines=self.spec.engines,
            state=self.condition,
            pid=self.pid,
            restarts=max(self.starts - 1, 0),
            started_ns=self._started_ns,
            ports=self._ports,
            ended=self.ended,
            error=self.error,
        )


class ProcessEndedError(InternalError):
    """A process ends again and again before the platform is up."""

    code = "internal.process"


def ending(status: int) -> str:
    """How a process ended, by its wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
