"""`nautilus engine run`: the process of an engine in the foreground, in an instance that has left it out.

For a debugger, a profiler, a container of its own or another host: it takes its place on the bus as if the supervisor
had started it. This process stands in for the supervisor; the engine's is its child and has the terminal.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nautilus.cli.instance import instance_option, running, timeout_option
from nautilus.cli.output import json_option, print_json

if TYPE_CHECKING:
    from nautilus.runtime.instance import Instance
    from nautilus.runtime.plan import Plan, ProcessSpec

LOOK_SECONDS = 0.2
KINDS = ("engines", "venue", "gateway")
"""Of processes that can be left out and run by hand."""
PROGRAM = (
    "import sys, socket; from pathlib import Path; import msgspec; "
    "from nautilus.runtime.plan import Plan; from nautilus.runtime.process import run_process; "
    "plan = msgspec.json.decode(Path(sys.argv[1], 'plan.json').read_bytes(), type=Plan); "
    "sys.exit(run_process(plan, sys.argv[2], socket.socket(fileno=int(sys.argv[3]))))"
)


@click.command()
@click.argument("name")
@click.option(
    "--join", "hub", metavar="HOST:PORT", help="The instance whose hub listens there (bus.listen), on another host."
)
@click.option("--listen", "address", metavar="ADDRESS", help="Of this host, for --join.  [default: that towards it]")
@click.option(
    "--keys",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of the pair of NAME and the list, for --join.  [default: bus.keys]",
)
@instance_option
@timeout_option(10.0)
@json_option
def run(
    name: str,
    hub: str | None,
    address: str | None,
    keys: Path | None,
    instance_name: str | None,
    timeout_seconds: float,
    as_json: bool,
) -> int:
    """Run the process of an engine in the foreground until Ctrl-C or the end of the instance.

    NAME is an engine, a process or a venue such as venue0, of an instance that was started with
    `nautilus up --without NAME`. With --join that runs on another host; then this process has an instance of its own
    here, named after it and NAME.
    """
    if hub is not None:
        return _join(name, hub, address, keys, instance_name, timeout_seconds, as_json=as_json)
    if address is not None or keys is not None:
        raise click.UsageError("--listen and --keys belong to --join")
    from nautilus.model.errors import InternalError
    from nautilus.runtime.files import holder

    instance = running(instance_name)
    plan = instance.plan()
    spec = _spec(plan, name)
    pid = holder(plan.lock_of(spec.name))
    if pid:
        raise InternalError(
            f"process {spec.name} runs already (pid {pid})", expected=f"an instance `up --without {spec.name}`"
        )
    return Foreground(instance, plan, spec, as_json=as_json).run()


def _spec(plan: Plan, name: str) -> ProcessSpec:
    from nautilus.runtime.config import nearest

    for spec in plan.processes:
        if spec.kind in KINDS and name in (spec.name, *spec.engines):
            return spec
    known = dict.fromkeys(word for spec in plan.processes if spec.kind in KINDS for word in (spec.name, *spec.engines))
    raise click.UsageError(f"unknown engine {name!r}; expected one of {', '.join(known)}{nearest(name, known)}")


def _join(
    name: str,
    hub: str,
    address: str | None,
    keys: Path | None,
    instance_name: str | None,
    timeout_seconds: float,
    *,
    as_json: bool,
) -> int:
    from nautilus.bus.hosts import REGISTRY_PORT, tcp_place
    from nautilus.cli.keys import keys_place
    from nautilus.runtime.instance import Instance
    from nautilus.runtime.joining import address_towards, ask_for_plan, plan_here, spec_to_join

    tcp_place(hub, REGISTRY_PORT, where="--join")
    place = keys_place(keys, instance_name)
    own = address or address_towards(hub)
    plan = ask_for_plan(hub, name, place, timeout_seconds)
    spec = spec_to_join(plan, name)
    instance = Instance.create(instance_name or f"{plan.instance}-{spec.name}")
    try:
        here = plan_here(plan, instance, hub, own, place)
        instance.write_plan(here)
        return Foreground(instance, here, spec, as_json=as_json).run()
    finally:
        instance.close()


class Foreground:
    """Stands in for the supervisor of one process."""

    def __init__(self, instance: Instance, plan: Plan, spec: ProcessSpec, *, as_json: bool) -> None:
        self._instance = instance
        self._plan = plan
        self._spec = spec
        self._as_json = as_json
        self._opened = False
        self._stopping = False
        self._received = b""
        self._error: dict[str, str] | None = None

    def run(self) -> int:
        """Until the process has ended; its exit code."""
        from nautilus.runtime.control import error_from
        from nautilus.runtime.launcher import ONE_THREAD

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        own, other = socket.socketpair()
        with own, other:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, self._plan.directory, self._spec.name, str(other.fileno())],
                pass_fds=(other.fileno(),),
                env={**os.environ, **dict.fromkeys(ONE_THREAD, "1")},
            )
            other.close()
            own.setblocking(False)
            while process.poll() is None:
                try:
                    self._turn(own, process.pid)
                except KeyboardInterrupt:
                    self._stop(own)
        if self._error is not None:
            raise error_from(self._error)
        return process.returncode if process.returncode >= 0 else 128 - process.returncode

    def _turn(self, line: socket.socket, pid: int) -> None:
        import msgspec

        if select.select([line], [], [], LOOK_SECONDS)[0]:
            chunk = line.recv(65536)
            if not chunk:
                select.select([], [], [], LOOK_SECONDS)  # it is about to end
                return
            *lines, self._received = (self._received + chunk).split(b"\n")
            for message in map(msgspec.json.decode, lines):
                self._on_message(message, pid)
        self._follow(line)

    def _on_message(self, message: dict[str, Any], pid: int) -> None:
        if message["event"] == "ready":
            self._note(pid, message["ports"])
            if self._as_json:
                print_json({"process": self._spec.name, "pid": pid, "ports": message["ports"]})
                sys.stdout.flush()
            else:
                places = ", ".join(f"{name} http://{self._plan.bind}:{port}" for name, port in message["ports"].items())
                print(f"{self._spec.name} is ready (pid {pid}){': ' if places else ''}{places}", flush=True)
                if self._plan.joined:
                    print(f"joined the hub at {self._plan.joined} from {self._plan.host}", flush=True)
        elif message["event"] == "failed":
            self._error = message["error"]

    def _follow(self, line: socket.socket) -> None:
        """Pass on what the instance does: that the market is open, that all is to stop."""
        from nautilus.runtime.instance import NotRunningError

        if self._plan.joined:  # what its market does, it hears on the bus; its end is a person's affair
            if not self._opened:
                self._opened = True
                self._order(line, "open")
            return
        try:
            state = self._instance.state() if self._instance.is_live else None
        except NotRunningError:
            state = None
        if state is None or state.state in ("stopping", "stopped"):
            self._stop(line)
        elif state.opened and not self._opened:
            self._opened = True
            self._order(line, "open")

    def _stop(self, line: socket.socket) -> None:
        if not self._stopping:
            self._stopping = True
            self._order(line, "stop")

    def _order(self, line: socket.socket, what: str) -> None:
        with contextlib.suppress(OSError):  # where nobody reads, its end is on its way
            line.send(f'{{"do": "{what}"}}\n'.encode())

    def _note(self, pid: int, ports: dict[str, int]) -> None:
        """Say how the process is, as the supervisor would."""
        import msgspec

        from nautilus.runtime.clock import wall_ns
        from nautilus.runtime.files import write_atomically
        from nautilus.runtime.states import ProcessState
        from nautilus.runtime.status import apart_of

        state = ProcessState(
            self._spec.name, self._spec.engines, state="ready", pid=pid, started_ns=wall_ns(), ports=ports
        )
        if self._plan.joined:
            from nautilus.runtime.joining import note_state

            note_state(self._instance, state)
        else:
            write_atomically(apart_of(self._plan, self._spec.name), msgspec.json.encode(state))
