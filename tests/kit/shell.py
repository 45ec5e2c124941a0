"""A shell for tests: commands of the live platform as a user has them, against instances of a place of their own."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from nautilus.cli.main import main
from nautilus.runtime.clock import monotonic_ns, pause
from tests.kit.instances import Place, own_place
from tests.kit.platform import NOT_TAKEN, PATIENT, TIMES

ROOT = Path(__file__).resolve().parents[2]
WAITING = ("order", "book", "kill-switch", "phase", "down")
"""Commands that wait for an answer: here as long as a machine may stand still."""
SETS = tuple(word for setting in ("platform.ports=free", *PATIENT) for word in ("--set", setting))


class Called(NamedTuple):
    """What a command that was carried out in this process gave."""

    returncode: int
    stdout: str
    stderr: str


def call(*arguments: object) -> Called:
    """A command in this process: what is looked at again and again, or is no matter of processes, costs no start."""
    with redirect_stdout(io.StringIO()) as output, redirect_stderr(io.StringIO()) as errors:
        code = main([str(argument) for argument in arguments])
    return Called(code, output.getvalue(), errors.getvalue())


class Shell:
    """Runs commands against instances of one place."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.name = place.name
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}

    def words(self, *arguments: object) -> list[str]:
        given = list(map(str, arguments))
        if given[0] in WAITING and "--timeout" not in given:
            given += ["--timeout", "120"]
        return [sys.executable, "-m", "nautilus", *given, "--instance", self.name]

    def run(self, *arguments: object, seconds: float = 240) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; what was not taken is sent again."""
        for _ in range(TIMES):
            result = subprocess.run(
                self.words(*arguments),
                capture_output=True, text=True, timeout=seconds, cwd=self.place.base, env=self.environment, check=False,
            )  # fmt: skip
            if NOT_TAKEN not in result.stderr:
                break
        return result

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Run a command beside the test."""
        return subprocess.Popen(
            self.words(*arguments),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.place.base, env=self.environment,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
        )  # fmt: skip

    def object(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        """The one object that a command prints with --json."""
        result = self.run(*arguments, "--json")
        assert result.returncode == code, result.stderr
        assert result.stdout.count("\n") == 1
        document = json.loads(result.stdout)
        assert isinstance(document, dict)
        return document

    def status(self) -> dict[str, Any]:
        """What `status` prints, whatever it says of the instance's health."""
        result = call("status", "--json", "--instance", self.name)
        assert result.returncode in (0, 1), result.stderr
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def states(self) -> dict[str, str]:
        """State of each engine."""
        return {engine["name"]: engine["state"] for engine in self.status()["engines"]}

    def refused(self, *arguments: object, code: int) -> str:
        """What a command that fails says: one line."""
        result = self.run(*arguments)
        assert result.returncode == code, (result.returncode, result.stderr)
        assert len(result.stderr.splitlines()) == 1
        assert result.stderr.startswith("nautilus: error: ")
        if " refused: " not in result.stderr:  # what the core says of an order has no code but its reasons
            assert re.search(r" \([a-z_]+(\.[a-z0-9_]+)*\)$", result.stderr.rstrip()), result.stderr
        return result.stderr

    def pid(self, engine: str) -> int:
        found = self.status()["engines"]
        return next(int(line["pid"]) for line in found if line["name"] == engine)


@contextmanager
def own_shell() -> Iterator[Shell]:
    """A place for instances of a test's own; whatever runs there at the end is stopped."""
    with own_place() as place:
        made = Shell(place)
        try:
            yield made
        finally:
            if any(place.base.glob("nautilus/*")):
                made.run("down")


def eventually(found: Callable[[], Any], seconds: float = 120.0) -> Any:
    """What it finds, as soon as it finds something."""
    end_ns = monotonic_ns() + int(seconds * 1e9)
    while not (value := found()):
        assert monotonic_ns() < end_ns, f"not within {seconds} s"
        pause(0.05)
    return value
