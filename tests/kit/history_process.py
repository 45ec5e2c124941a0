"""A process of a history: ``python -m tests.kit.history_process ROLE LOG SETTINGS``, and the side that starts it.

ROLE is one of `ROLES`, or "module:Class" of another `Role`; the setting `made` names a class that does more than
that of the role. Where the setting `keys` names a directory, TCP has the keys in it; `servers` says whose endpoints are
whose.

It obeys lines on its standard input and answers each with a line. All know "quiet" (begin nothing new), "end" (end in
order, once all is settled) and "jump NS" (its clock is set by so much, back too); a role may know more. When its
standard input is closed it ends at once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import zmq

from nautilus.bus.security import Security
from nautilus.bus.sockets import make_context
from nautilus.core.clock import adjust, now_ns
from tests.kit.history import Ended, Life, Log, read

ROOT = Path(__file__).resolve().parents[2]
ROLES = {
    "hub": "tests.kit.history_star_roles:Hub",
    "reader": "tests.kit.history_star_roles:Reader",
    "mesh": "tests.kit.history_mesh_roles:MeshNode",
}
TURN_MS = 2
"""Between turns in which nothing can be read; longer in the daily run, as a dozen processes share the machine."""
PATIENCE_NS = int(os.environ.get("NAUTILUS_PATIENCE", "240")) * 1_000_000_000
"""For what is to come about on a machine that does much else."""


class Clock:
    """The clock that the bus of one process is given: that of the machine, and what it was set by."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def __call__(self) -> int:
        return now_ns() + self.ahead_ns


class Role:
    """What one process does; `turn` is called whenever something can be read, and every few milliseconds."""

    def __init__(self, settings: Mapping[str, Any], log: Log, clock: Clock, epoch: int) -> None:
        self.settings = settings
        self.log = log
        self.clock = clock
        self.epoch = epoch
        self.quiet = False

    def make_context(self) -> zmq.Context[Any]:
        """For its sockets; with keys, where it was given some."""
        directory = self.settings.get("keys")
        if directory is None:
            return make_context()
        security = Security.load(self.settings["name"], directory)
        for endpoint, process in self.settings["servers"].items():
            security.expect(endpoint, process)
        return make_context(security)

    def sockets(self) -> Iterable[Any]:
        """To be polled for reading."""
        raise NotImplementedError

    def turn(self) -> None:
        """One round."""
        raise NotImplementedError

    def obey(self, word: str, argument: str) -> str:
        """An order beyond those that all know; what is answered to it."""
        raise NotImplementedError

    def settled(self) -> bool:
        """Whether nothing is open that should come to an end before this process does."""
        raise NotImplementedError

    def close(self) -> None:
        """Close everything."""
        raise NotImplementedError


def serve(role: str, path: Path, settings: Mapping[str, Any]) -> None:
    """Be a process of this role until told to end, or until standard input is closed."""
    log, clock = Log(path), Clock()
    before = max((life.life.epoch for life in read(path)), default=0)
    epoch = max(now_ns(), before + 1)
    log.note(Life(role, epoch, now_ns()))
    module, _, name = settings.get("made", ROLES.get(role, role)).partition(":")
    own: Role = getattr(import_module(module), name)(settings, log, clock, epoch)
    pending, ending, adjusted_ns = b"", False, 0
    try:
        while not (ending and own.settled()):
            if now_ns() >= adjusted_ns + 1_000_000_000:
                # As a host does: the clocks of processes that run for minutes would part by some milliseconds.
                adjusted_ns = now_ns()
                adjust()
            poller = zmq.Poller()
            for socket in (sys.stdin, *own.sockets()):
                poller.register(socket, zmq.POLLIN)
            if sys.stdin.fileno() in dict(poller.poll(TURN_MS)):
                read_now = os.read(sys.stdin.fileno(), 65_536)
                if not read_now:
                    return
                *orders, pending = (pending + read_now).split(b"\n")
                for order in orders:
                    word, _, argument = order.decode().partition(" ")
                    answer = "ok"
                    if word == "jump":
                        clock.ahead_ns += int(argument)
                    elif word == "end":
                        own.quiet = ending = True
                    elif word == "quiet":
                        own.quiet = True
                    if word not in ("jump", "end"):
                        answer = own.obey(word, argument)
                    print(answer, flush=True)
            own.turn()
        log.note(Ended(now_ns()))
    finally:
        own.close()


class Actor:
    """Starts such a process, stops and kills it, starts it again, and reads what it wrote."""

    def __init__(
        self,
        directory: Path,
        name: str,
        role: str,
        settings: Mapping[str, Any],
        command: Callable[..., list[str]] = lambda *words: list(words),
    ) -> None:
        self.name = name
        self.role = role
        self.path = directory / f"{name}.history"
        self.lives = 0
        self._settings = json.dumps({"name": name, **settings})
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; a second time: its next life."""
        assert self._process is None
        self.lives += 1
        self.path.touch()
        words = (sys.executable, "-m", "tests.kit.history_process", self.role, str(self.path), self._settings)
        self._process = subprocess.Popen(
            self._command(*words), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    @property
    def pid(self) -> int:
        """Of the present life."""
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> Any:
        """Readable when it answers, or dies."""
        assert self._process is not None
        return self._process.stdout

    @property
    def written(self) -> int:
        """Bytes of its log: they grow while it does something."""
        return self.path.stat().st_size

    def tell(self, order: str) -> None:
        """Give it an order without waiting."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(order.encode() + b"\n")

    def answer(self) -> str:
        """Its answer to the first order that has none yet."""
        poller = zmq.Poller()
        poller.register(self.output, zmq.POLLIN)
        assert poller.poll(PATIENCE_NS / 1e6), f"{self.name} does not answer"
        line = self.output.readline()
        assert line, f"{self.name} died"
        return str(line.decode().strip())

    def ask(self, order: str) -> str:
        """Give it an order and wait for the answer."""
        self.tell(order)
        return self.answer()

    def stop(self) -> None:
        """SIGSTOP: it stands still."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait for its end; nothing where there is none."""
        if self._process is not None:
            self._process.kill()
            self._leave()

    def wait(self) -> None:
        """Wait for its end in order."""
        assert self._process is not None
        code = self._process.wait(PATIENCE_NS / 1e9)
        self._leave()
        assert code == 0, f"{self.name} ended with {code}"

    def _leave(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.wait(60)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
