"""A platform on one host and processes that join it from another: two network namespaces, else two addresses."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nautilus.bus.grants import grants_of
from nautilus.bus.keys import new_process
from nautilus.cli.bus import bus_status
from nautilus.runtime.clock import monotonic_ns, pause
from nautilus.runtime.instance import Instance
from nautilus.runtime.plan import LAYOUTS
from nautilus.runtime.status import read_facts
from perf.platform import private_place
from tests.kit.platform import PATIENT
from tests.kit.ports import held_port
from tests.kit.two_hosts import Host, two_hosts

ROOT = Path(__file__).resolve().parents[2]


class Loopback(Host):
    """A host that is but an address of this one."""

    def command(self, *words: str) -> list[str]:
        """The words as they are."""
        return list(words)


@contextmanager
def hosts() -> Iterator[tuple[Host, Host, int]]:
    """Two hosts and a port that is free on the first one: namespaces where they can be had, else addresses."""
    try:
        with two_hosts() as found:
            yield (*found, 17_000)
    except pytest.skip.Exception:
        with held_port() as port:
            yield Loopback("a", "127.0.0.1"), Loopback("b", "127.0.0.2"), port


class Joined:
    """A `nautilus engine run --join` at work."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        self.said: dict[str, Any] = json.loads(line)

    def leave(self) -> int:
        """As Ctrl-C does; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(120)

    def close(self) -> None:
        """End it, however it is."""
        if self.process.poll() is None:
            self.leave()
        for file in (self.process.stdout, self.process.stderr):
            assert file is not None
            file.close()


class Hosted:
    """The platform, and commands on either host."""

    def __init__(self, here: Host, there: Host, port: int, name: str, keys: Path) -> None:
        self.here, self.there = here, there
        self.hub = f"{here.address}:{port}"
        self.name = name
        self.keys = keys
        self.keys_there = keys.with_name("there")

    def run(self, *arguments: str) -> str:
        """Output of a command on the platform's host that must succeed."""
        words = self.here.command(sys.executable, "-m", "nautilus", *arguments)
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def bus(self) -> dict[str, Any]:
        """What `nautilus bus status --json` says."""
        return bus_status(read_facts(Instance.find(self.name)))

    def give_key(self, name: str) -> None:
        """Copy a pair, and the list, to the other host."""
        self.keys_there.mkdir(mode=0o700, exist_ok=True)
        for file in (f"{name}.key", "allowed.json"):
            shutil.copy(self.keys / file, self.keys_there / file)

    def join(self, name: str) -> Joined:
        """Start a process on the other host; it is ready."""
        words = ("engine", "run", name, "--join", self.hub, "--listen", self.there.address, "--json", "--timeout", "60")
        command = self.there.command(sys.executable, "-m", "nautilus", *words, "--keys", str(self.keys_there))
        return Joined(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))

    def instance(self, name: str) -> Instance:
        """That of a process on the other host."""
        return Instance.find(f"{self.name}-{name}")

    @staticmethod
    def until(condition: Callable[[], Any], what: str, seconds: float = 120.0) -> Any:
        """The condition's value, once it is true."""
        end_ns = monotonic_ns() + int(seconds * 1e9)
        while not (value := condition()):
            assert monotonic_ns() < end_ns, f"no sign of {what}"
            pause(0.05)
        return value


@contextmanager
def hosted(tmp_path: Path, *arguments: str, settings: tuple[str, ...] = ()) -> Iterator[Hosted]:
    """A platform with keys whose hub listens for other hosts."""
    keys = tmp_path / "keys"
    for spec in LAYOUTS["native"]:
        new_process(keys, spec.name, grants_of(spec.engines), 1)
    with hosts() as (here, there, port), private_place() as name:
        found = Hosted(here, there, port, name, keys)
        given = ("platform.ports=free", f"bus.listen={found.hub}", f"bus.keys={keys}", *PATIENT, *settings)
        sets = [word for setting in given for word in ("--set", setting)]
        found.run("up", "--detach", "--instance", name, *sets, *arguments)
        try:
            yield found
        finally:
            found.run("down", "--instance", name, "--timeout", "240")
