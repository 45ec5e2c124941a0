"""A core and a standby as real processes in directories of a test, and a client that counts what was acknowledged."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from nautilus.core.counters import Counters
from nautilus.core.eventlog import DELIVERY, LAST, REFUSED, EventLog
from nautilus.core.port import ALL, Port, PortError
from nautilus.core.types import EventKind, Side, TimeInForce
from nautilus.runtime.clock import monotonic_ns, pause
from tests.kit import builders
from tests.kit.core import OPENING
from tests.kit.replica_process import counters_of

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 240.0


def eventually(true: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
    """The value, once it is true."""
    end_ns = monotonic_ns() + int(seconds * 1e9)
    while not (value := true()):
        assert monotonic_ns() < end_ns, f"no sign of {what} within {seconds:g} s"
        pause(0.002)
    return value


class Machine:
    """One of two: a directory with data and shared memory, and processes by their roles."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("data", "shared"):
            (directory / name).mkdir(parents=True, mode=0o700)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def journal(self) -> Path:
        return self.data / "journal"

    def begin(self, role: str, **settings: Any) -> subprocess.Popen[bytes]:
        """Start a process; do not wait for it."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.replica_process", role, str(self.directory), json.dumps(settings)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.processes[role] = process
        return process

    def start(self, role: str, **settings: Any) -> subprocess.Popen[bytes]:
        """Start a process and wait until it is ready."""
        process = self.begin(role, **settings)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", f"{role} did not start"
        return process

    def kill(self, role: str) -> None:
        """kill -9."""
        process = self.processes.pop(role)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()

    def stop(self, role: str) -> int:
        """In order; the exit code."""
        process = self.processes.pop(role)
        process.communicate(timeout=SECONDS)
        return process.returncode

    def count(self, role: str, name: str) -> int:
        """A counter of a process; 0 where there is none yet."""
        with suppress(OSError, ValueError):
            return Counters.read(counters_of(self.directory, role)).get(name, 0)
        return 0

    def events(self) -> np.ndarray:
        """Everything in the event log."""
        parts, log, first = [], EventLog(self.data / "events"), 1
        while len(found := log.read(first, 65_536)):
            parts.append(np.ascontiguousarray(found["event"]))
            first += len(found)
        return np.concatenate(parts) if parts else np.zeros(0, DELIVERY["event"])

    def promote(self) -> dict[str, Any]:
        """Tell the standby to become the core; what it answers."""
        context = zmq.Context()
        dealer = context.socket(zmq.DEALER)
        try:
            dealer.connect(f"ipc://{self.directory}/orders")
            dealer.send(json.dumps({"do": "promote"}).encode())
            assert dealer.poll(int(SECONDS * 1000)), "no answer to a promotion"
            answer: dict[str, Any] = json.loads(dealer.recv())
            return answer
        finally:
            dealer.close(0)
            context.term()

    def close(self) -> None:
        for role in list(self.processes):
            self.kill(role)


@contextmanager
def two_machines(directory: Path) -> Iterator[tuple[Machine, Machine, str]]:
    """Core's and standby's, and an address at which the first may listen."""
    first, second = Machine(directory / "a"), Machine(directory / "b")
    try:
        yield first, second, f"ipc://{directory}/stream"
    finally:
        first.close()
        second.close()


class Client:
    """Sends orders that trade with each other, and keeps every event that it was shown."""

    def __init__(self, machine: Machine, first_order: int = 1) -> None:
        self.port: Port = eventually(lambda: _attached(machine), "a core")
        eventually(lambda: self.port.joined is not None, "the core's answer")
        self.shown: list[np.ndarray] = []
        self.refused: list[np.ndarray] = []
        self.answered = self.sent = self.declined = 0
        self._order = first_order
        self._buffer = np.zeros(4096, DELIVERY)

    def open(self) -> None:
        """Instruments and accounts."""
        assert self.port.send(OPENING) == len(OPENING)
        self.sent += len(OPENING)

    def orders(self, count: int) -> int:
        """Send so many orders, as far as there is room; how many."""
        rows = []
        for number in range(self._order, self._order + count):
            side = Side.BUY if number % 2 else Side.SELL
            rows.append(builders.new(number, side, 1 + number % 3, 100 + number % 2, account_id=1 + number % 5,
                                     time_in_force=TimeInForce.GTC))  # fmt: skip
        taken = self.port.send(np.concatenate(rows))
        self._order += taken
        self.sent += taken
        return taken

    def poll(self, wait_ns: int = 0) -> int:
        """Take what was shown; how many commands were answered with it."""
        count = self.port.receive(self._buffer, wait_ns)
        assert not self.port.cut, "the client was too slow"
        records = self._buffer[:count].copy()
        done = int(((records["flags"] & LAST) != 0).sum())
        self.answered += done
        refused = (records["flags"] & REFUSED) != 0
        self.declined += int(refused.sum())
        if count:
            self.refused.append(records[refused]["event"].copy())
            shown = records[~refused]
            self.shown.append(np.ascontiguousarray(shown["event"][shown["event"]["sequence"] > 0]))
        return done

    @property
    def taken(self) -> int:
        """Commands that came into the journal, once everything was answered: one that is busy refuses some."""
        return self.sent - self.declined

    def settle(self) -> None:
        """Until everything was answered."""
        eventually(lambda: self.poll(1_000_000) >= 0 and self.answered >= self.sent, "answers to everything sent")

    def events(self) -> np.ndarray:
        return np.concatenate(self.shown) if self.shown else np.zeros(0, DELIVERY["event"])

    def close(self) -> None:
        self.port.close()


def _attached(machine: Machine) -> Port | None:
    try:
        return Port(machine.directory / "shared", "client0", ALL)
    except (PortError, OSError):
        return None


def no_fill_twice(events: np.ndarray) -> None:
    """Each match is there once, sequences are contiguous."""
    fills = events["match_id"][events["kind"] == EventKind.FILLED]
    assert len(np.unique(fills)) == len(fills)
    assert (np.diff(events["sequence"]) == 1).all()


def is_prefix(shown: np.ndarray, logged: np.ndarray) -> bool:
    """Whether all events that were shown are in a log, byte for byte."""
    if not len(shown):
        return True
    first = int(shown["sequence"][0]) - int(logged["sequence"][0])
    part = logged[first : first + len(shown)]
    return len(part) == len(shown) and part.tobytes() == shown.tobytes()
