"""What the processes of a test platform run: the line to the supervisor and nothing else, and behaviour on demand."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from nautilus.model.errors import ConfigError
from nautilus.runtime import control as control_module
from nautilus.runtime import kernelcalls
from nautilus.runtime.control import Control
from nautilus.runtime.http.sockets import PortError
from nautilus.runtime.plan import Plan


class Behaviour(msgspec.Struct, frozen=True):
    """What one process does beyond the usual.

    Parameters
    ----------
    fails
        It says so, while this file exists; "always".
    crashes
        It ends at once with this code.
    taken
        The ports that its engines had before are somebody else's, while this file exists.
    breaks
        It fails when the market opens, unless this file is there already.
    silent
        It is never ready.
    deaf
        It ignores SIGTERM.
    worker
        It starts a process that would run for long.
    orphan_wait_seconds
        How long it waits for others to stop, where the supervisor is gone; 0: as long as usual.
    """

    fails: str = ""
    crashes: int = 0
    taken: str = ""
    breaks: str = ""
    silent: bool = False
    deaf: bool = False
    worker: bool = False
    orphan_wait_seconds: float = 0.0


def note(plan: Plan, *words: object) -> None:
    """Append a line to the notes of the platform: in one write, so that the order of lines is that of time."""
    descriptor = os.open(Path(plan.data) / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
    os.close(descriptor)


def run(plan: Plan, name: str, connection: socket.socket) -> int:
    """Say ready, note orders, stop when told."""
    behaviour = msgspec.convert(plan.sections.get("behaviour", {}).get(name, {}), Behaviour)
    if behaviour.crashes:
        os._exit(behaviour.crashes)
    if behaviour.orphan_wait_seconds:
        control_module.ORPHAN_WAIT_SECONDS = behaviour.orphan_wait_seconds
    control = Control(plan, name, connection)
    if behaviour.fails and (behaviour.fails == "always" or os.path.exists(behaviour.fails)):
        control.failed(ConfigError(f"{name} has no port", where="port 1", expected="a free one"))
        control.close()
        return 1
    if behaviour.taken and plan.chosen and os.path.exists(behaviour.taken):
        control.failed(PortError("port 1 is taken"))
        control.close()
        return 1
    if behaviour.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if behaviour.worker:
        worker = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        note(plan, name, "worker", worker.pid)
    note(plan, name, "descriptors", msgspec.json.encode(kernelcalls.descriptors()).decode())
    note(plan, name, "ports", *(plan.port(engine) for engine in plan.process(name).engines))
    note(plan, name, "threads", len(kernelcalls.threads()))
    if not behaviour.silent:
        control.ready(dict.fromkeys(plan.process(name).engines, 1))
    while not control.stop_requested:
        select.select([control], [], [])
        for order in control.poll():
            note(plan, name, order)
            if order == "open" and behaviour.breaks and not os.path.exists(behaviour.breaks):
                Path(behaviour.breaks).touch()
                control.failed(ConfigError(f"{name} broke"))
                control.close()
                return 1
    note(plan, name, "stopped")
    control.close()
    return 0


if __name__ == "__main__":
    # Without a supervisor: the file of the plan, the name, the descriptor of the line.
    sys.exit(run(Plan.decode(Path(sys.argv[1]).read_bytes()), sys.argv[2], socket.socket(fileno=int(sys.argv[3]))))
