"""A process's line to its supervisor, in a process without one: orders, signals, and the order of a stop."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nautilus.model.errors import BusError, ConfigError, InternalError, VenueError
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.control import describe_error, error_from
from nautilus.runtime.files import FileLock
from nautilus.runtime.instance import Instance
from nautilus.runtime.plan import Plan
from tests.kit.instances import own_place, plan_in
from tests.kit.supervised import ROOT, eventually


class Alone:
    """Processes of a plan without a supervisor."""

    def __init__(self, instance: Instance, **behaviour: Any) -> None:
        plan = plan_in(instance)
        self.plan: Plan = msgspec.structs.replace(plan, sections={**plan.sections, "behaviour": behaviour})
        self.file = Path(plan.directory) / "plan"
        self.file.write_bytes(self.plan.encode())
        self.lines: dict[str, socket.socket] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def begin(self, name: str) -> None:
        """Start a process and wait until it is ready."""
        own, other = socket.socketpair()
        with other:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "tests.kit.process_entry", str(self.file), name, str(other.fileno())],
                pass_fds=[other.fileno()],
                cwd=ROOT,
                stderr=subprocess.PIPE,
            )
        own.settimeout(120)
        self.lines[name] = own

    def heard(self, name: str) -> dict[str, Any]:
        """The next that it says; it says one thing at a time here."""
        return msgspec.json.decode(self.lines[name].recv(65536) or b"null")

    def notes(self) -> list[str]:
        """What all have noted, but for what they are."""
        with contextlib.suppress(FileNotFoundError):
            lines = (Path(self.plan.data) / "notes").read_text().splitlines()
            return [line for line in lines if line.split(" ")[1] in ("open", "stop", "stopped")]
        return []

    def close(self) -> None:
        """End all."""
        for process in self.processes.values():
            process.kill()
            process.communicate()
        for line in self.lines.values():
            line.close()


@pytest.fixture
def instance() -> Iterator[Instance]:
    with own_place() as place:
        made = Instance.create(place.name)
        yield made
        made.close()


@contextlib.contextmanager
def _alone(instance: Instance, **behaviour: Any) -> Iterator[Alone]:
    made = Alone(instance, **behaviour)
    try:
        yield made
    finally:
        made.close()


def test_a_process_says_ready_takes_orders_and_stops_when_told(instance: Instance) -> None:
    with _alone(instance) as alone:
        alone.begin("risk")
        assert alone.heard("risk") == {"event": "ready", "ports": {"risk": 1}}
        line = alone.lines["risk"]
        line.sendall(b'{"do":"op')
        line.sendall(b'en"}\n{"do":"stop"}\n')
        assert alone.processes["risk"].wait(120) == 0
        assert alone.notes() == ["risk open", "risk stop", "risk stopped"]
        assert alone.heard("risk") is None


def test_a_signal_wakes_a_process_that_waits_and_ctrl_c_is_not_for_it(instance: Instance) -> None:
    with _alone(instance) as alone:
        alone.begin("risk")
        alone.heard("risk")
        process = alone.processes["risk"]
        process.send_signal(signal.SIGINT)
        alone.lines["risk"].sendall(b'{"do":"open"}\n')
        eventually(lambda: alone.notes() == ["risk open"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
        assert alone.notes() == ["risk open", "risk stop", "risk stopped"]


@pytest.mark.parametrize("how", ["line", "signal"])
def test_without_a_supervisor_each_waits_for_those_that_stop_before_it(instance: Instance, how: str) -> None:
    names = ["core", "trading", "strategy"]
    with _alone(instance) as alone:
        for name in names:
            alone.begin(name)
        for name in names:
            alone.heard(name)
        for name in names:  # the one that stops last is told first
            if how == "line":
                alone.lines[name].close()
            else:
                alone.processes[name].send_signal(signal.SIGHUP)
        assert [process.wait(120) for process in alone.processes.values()] == [0, 0, 0]
        stopped = [note for note in alone.notes() if note.endswith("stopped")]
        assert stopped == ["strategy stopped", "trading stopped", "core stopped"]


def test_one_that_does_not_stop_keeps_the_others_only_for_a_while(instance: Instance) -> None:
    with _alone(instance, core={"orphan_wait_seconds": 0.3}) as alone:
        for name in ("core", "risk"):
            alone.begin(name)
            alone.heard(name)
        os.kill(alone.processes["risk"].pid, signal.SIGSTOP)
        began_ns = monotonic_ns()
        alone.lines["core"].close()
        assert alone.processes["core"].wait(120) == 0
        assert monotonic_ns() - began_ns >= 0.3e9


def test_a_signal_stops_an_orphan_that_waits_at_once(instance: Instance) -> None:
    with _alone(instance, core={"orphan_wait_seconds": 3600}) as alone:
        for name in ("core", "risk"):
            alone.begin(name)
            alone.heard(name)
        alone.lines["core"].close()
        alone.processes["core"].send_signal(signal.SIGTERM)
        assert alone.processes["core"].wait(60) == 0
        assert alone.processes["risk"].poll() is None


def test_a_failed_start_is_said_with_its_error(instance: Instance) -> None:
    with _alone(instance, risk={"fails": "always"}) as alone:
        alone.begin("risk")
        assert alone.heard("risk") == {
            "event": "failed",
            "error": {"code": "config", "what": "risk has no port", "where": "port 1", "expected": "a free one"},
        }
        assert alone.processes["risk"].wait(120) == 1


def test_a_process_that_runs_already_is_refused(instance: Instance) -> None:
    with _alone(instance) as alone:
        lock = FileLock.take(alone.plan.lock_of("risk"))
        assert lock is not None
        alone.begin("risk")
        _, error = alone.processes["risk"].communicate(timeout=120)
        assert b"process risk runs already" in error
        lock.release()


@pytest.mark.parametrize("kind", [ConfigError, BusError, VenueError, InternalError])
def test_an_error_arrives_as_what_it_was(kind: type[Any]) -> None:
    found = error_from(describe_error(kind("a", where="b", expected="c")))
    assert isinstance(found, kind)
    assert found.as_dict() == {"code": kind.code, "what": "a", "where": "b", "expected": "c"}


def test_an_error_keeps_the_code_of_its_package() -> None:
    found = error_from({"code": "venue.format", "what": "a", "where": "", "expected": ""})
    assert isinstance(found, VenueError)
    assert (found.code, VenueError.code) == ("venue.format", "venue")


def test_any_error_can_be_described() -> None:
    described = describe_error(OSError(98, "Address already in use", "port 8000"))
    assert described == {"code": "internal.os", "what": "Address already in use", "where": "port 8000", "expected": ""}
    assert describe_error(KeyError("x"))["what"] == "KeyError: 'x'"
    assert isinstance(error_from({"code": "strange"}), InternalError)
