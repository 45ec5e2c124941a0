"""A platform of real processes for tests: its supervisor is a process too, `python -m` this module."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from nautilus.engines import QUANTITATIVE
from nautilus.model.errors import NautilusError
from nautilus.runtime import kernelcalls
from nautilus.runtime.clock import monotonic_ns, pause
from nautilus.runtime.config import Configuration
from nautilus.runtime.detach import Detached, detach
from nautilus.runtime.instance import Instance, NotRunningError
from nautilus.runtime.plan import Plan, make_plan
from nautilus.runtime.platform import CoreConfig, LoggingConfig, PlatformConfig
from nautilus.runtime.states import PlatformState, ProcessState
from nautilus.runtime.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[2]


class Orders(msgspec.Struct, frozen=True):
    """What the supervisor of a test is to do.

    Parameters
    ----------
    instance, entry
        As elsewhere.
    shared
        Whether the template imports what engines share; else only what it needs itself, which is quicker.
    platform
        Keys of the section ``platform``.
    behaviour
        Of processes, see `tests.kit.process_entry`.
    without
        Processes that are not started.
    detached, for_seconds
        As of the command line.
    """

    instance: str
    entry: str = "tests.kit.process_entry:run"
    shared: bool = False
    platform: dict[str, Any] = {}
    behaviour: dict[str, dict[str, Any]] = {}
    without: tuple[str, ...] = ()
    detached: bool = False
    for_seconds: float | None = None


def eventually(condition: Callable[[], Any], *, seconds: float = 240.0) -> Any:
    """The condition's value, once it is true; AssertionError when it is not in time."""
    end_ns = monotonic_ns() + int(seconds * 1e9)
    while not (value := condition()):
        assert monotonic_ns() < end_ns, f"not within {seconds} s: {condition}"
        pause(0.005)
    return value


def condition_of(pid: int) -> str:
    """The letter that /proc gives the state of a process; "" where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


class SupervisedPlatform:
    """Directories of its own, a supervisor, and everything gone at the end."""

    def __init__(self) -> None:
        kernelcalls.adopt_orphans()  # what a killed supervisor leaves becomes a child of this process
        self._strangers = set(kernelcalls.children())
        self.instance = f"t{uuid.uuid4().hex[:10]}"
        self.base = Path(tempfile.mkdtemp(prefix="nau-"))
        self.environment = {"XDG_RUNTIME_DIR": str(self.base), "XDG_DATA_HOME": str(self.base / "share")}
        self.data = self.base / "share" / "nautilus" / self.instance
        self.shared = Path("/dev/shm") / f"nautilus-{os.geteuid()}" / self.instance
        self.supervisor: subprocess.Popen[bytes] | None = None

    def begin(self, **orders: Any) -> subprocess.Popen[bytes]:
        """Start a supervisor; do not wait for anything."""
        orders["platform"] = {"start_seconds": 240.0, "stop_seconds": 60.0, **orders.get("platform", {})}
        given = msgspec.json.encode(Orders(self.instance, **orders)).decode()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.supervised", given],
            env={**os.environ, **self.environment},
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        if self.supervisor is None or self.supervisor.poll() is not None:
            self.supervisor = process
        return process

    def up(self, **orders: Any) -> PlatformState:
        """Start a supervisor and wait until the platform is up."""
        process = self.begin(**orders)

        def look() -> PlatformState | None:
            state = self.running()
            if state is None:
                self._died(process)
            return state

        found: PlatformState = eventually(look)
        return found

    def find(self) -> Instance:
        """The instance, as another process finds it."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            return Instance.find(self.instance)
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    def state(self) -> PlatformState:
        """What the supervisor has written last."""
        return self.find().state()

    def running(self) -> PlatformState | None:
        """The state, where everything is up."""
        try:
            state = self.state()
        except NotRunningError:
            return None
        ready = state.state == "running" and all(process.state == "ready" for process in state.processes)
        return state if ready else None

    def process(self, name: str) -> ProcessState:
        """One process."""
        return next(process for process in self.state().processes if process.name == name)

    def notes(self, *words: str) -> list[list[str]]:
        """What the processes have noted, in order: the lines with these words in them."""
        try:
            lines = (self.data / "notes").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [line.split(" ") for line in lines if all(word in line.split(" ") for word in words)]

    def result(self, *, seconds: float = 240.0) -> tuple[int, dict[str, Any]]:
        """Exit code of the supervisor and what it printed."""
        assert self.supervisor is not None
        output, _ = self.supervisor.communicate(timeout=seconds)
        return self.supervisor.returncode, msgspec.json.decode(output or b"{}")

    def stop(self) -> int:
        """Ask the supervisor to stop; its exit code."""
        assert self.supervisor is not None
        self.supervisor.send_signal(signal.SIGTERM)
        return self.result()[0]

    def left(self) -> list[int]:
        """Processes that outlived what started them."""
        found = []
        for pid in set(kernelcalls.children()) - self._strangers:
            if self.supervisor is not None and pid == self.supervisor.pid and self.supervisor.poll() is None:
                continue
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    found.append(pid)
        return found

    def close(self) -> None:
        """End everything that is left, however the test has gone."""
        try:
            self.find().pid  # noqa: B018
            with contextlib.suppress(NotRunningError):
                os.kill(self.find().pid, signal.SIGTERM)
        except NotRunningError:
            pass
        if self.supervisor is not None:
            self.supervisor.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.supervisor.communicate(timeout=60)
            self.supervisor.kill()
            self.supervisor.communicate()
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(AssertionError):
            eventually(lambda: not self.left())
        shutil.rmtree(self.base, ignore_errors=True)
        shutil.rmtree(self.shared, ignore_errors=True)

    def _died(self, process: subprocess.Popen[bytes]) -> None:
        assert process.poll() in (None, 0), f"the supervisor ended: {self.result()}"


def _supervise(orders: Orders, detached: Detached | None = None) -> int:
    sections = {
        "platform": PlatformConfig(**{"without": QUANTITATIVE, **orders.platform}),
        "core": CoreConfig(),
        "logging": LoggingConfig(),
    }
    configuration = Configuration(sections, (), (), "default")
    instance = Instance.create(orders.instance)
    try:
        plan: Plan = make_plan(configuration, instance)
        plan = msgspec.structs.replace(plan, sections={**plan.sections, "behaviour": orders.behaviour})
        supervisor = Supervisor(
            instance, plan, entry=orders.entry, shared=None if orders.shared else (), without=orders.without
        )
        try:
            if supervisor.start():
                if detached is not None:
                    detached.ready()
                supervisor.run(lambda: supervisor.finished, for_seconds=orders.for_seconds)
        finally:
            code = supervisor.stop()
        return code
    finally:
        instance.close()


def main(arguments: list[str]) -> int:
    """Do what one JSON object says; print the error, if any, as another."""
    orders = msgspec.json.decode(arguments[0], type=Orders)
    try:
        if orders.detached:
            detach(lambda detached: _supervise(orders, detached))
            return 0
        return _supervise(orders)
    except NautilusError as error:
        print(msgspec.json.encode(error.as_dict()).decode(), flush=True)
        return 4


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
