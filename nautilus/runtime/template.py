"""The fork template: a process that has imported everything and does nothing but fork, `python -m` this module.

A process of the platform is forked from here within milliseconds and shares the pages of what is imported. That is
sound only while this process has one thread, no socket but the line to the supervisor, no event loop and no ZeroMQ
context; it is checked before each fork.

::

    supervisor ──(plan, name, entry, a socket)──▶ template ── fork ──▶ passing process ── fork ──▶ process
        ▲                                                               ends at once                  │
        └──────────────────── becomes its parent, as it adopts orphans ───────────────────────────────┘

So the end of the template ends nobody, while the end of the supervisor sends SIGHUP to every process.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterable
from typing import Any

import msgspec

from nautilus.runtime.kernelcalls import descriptors, name_process, signal_at_parent_end, threads

SHARED = (
    "numpy",
    "zmq",
    "msgspec",
    "orjson",
    "structlog",
    "uvloop",
    "fastapi",
    "prometheus_client",
    "prometheus_client.openmetrics.exposition",
    "nautilus.core",
    "nautilus.model",
    "nautilus.runtime.logs",
    "nautilus.runtime.control",
    "nautilus.runtime.http.server",
    "nautilus.runtime.process",
    "nautilus.runtime.journal",
    "nautilus.trading.process",
    "nautilus.trading.rim",
    "nautilus.gateway.process",
)
HEAVY = ("numba", "llvmlite", "torch", "cupy", "onnxruntime")
"""Libraries with threads or devices of their own, which do not survive a fork."""
REQUEST_BYTES = 1 << 20
OUTPUT_BYTES = 1 << 20
"""The output of a process before is thrown away when it is longer."""


class Request(msgspec.Struct, frozen=True):
    """Fork a process; the socket that becomes its line to the supervisor comes along.

    Parameters
    ----------
    plan
        As `Plan.encode` gives it.
    name
        Of the process in the plan.
    entry
        ``module:function``, called with plan, name and socket; its result is the exit code.
    output
        File that takes its standard output and error.
    """

    plan: bytes
    name: str
    entry: str
    output: str


def main(arguments: list[str]) -> int:
    """Run the template: the descriptor of its line, the supervisor's pid, modules to import."""
    line = socket.socket(fileno=int(arguments[0]))
    supervisor = int(arguments[1])
    signal_at_parent_end(signal.SIGKILL)
    if os.getppid() != supervisor:
        return 0
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    name_process("nau-template")
    try:
        for module in arguments[2:]:
            importlib.import_module(module)
    except Exception as error:
        traceback.print_exc()
        _say(line, "failed", f"{type(error).__name__}: {error}")
        return 1
    # Collections in the processes would write to every object, and so copy every page.
    gc.collect()
    gc.freeze()
    _say(line, "ready")
    while True:
        content, passed, _, _ = socket.recv_fds(line, REQUEST_BYTES, 1)
        if not content:
            return 0
        hazards = fork_hazards({line.fileno(), *passed})
        if hazards:
            _say(line, "failed", f"the template cannot fork: {', '.join(hazards)}")
            return 1
        _fork(msgspec.msgpack.decode(content, type=Request), passed[0], line, supervisor)
        os.close(passed[0])


def fork_hazards(own: Iterable[int] = ()) -> list[str]:
    """What a fork of this process would break, apart from descriptors that are its own."""
    found = []
    running = threads()
    if len(running) != 1:
        found.append(f"{len(running)} threads ({', '.join(running)})")
    known = set(own)
    for number, target in descriptors().items():
        if number not in known and (target.startswith("socket:") or "eventpoll" in target or "eventfd" in target):
            found.append(f"descriptor {number} ({target})")
    found += [f"module {name}" for name in HEAVY if name in sys.modules]
    found += [f"metric {name}" for name in _metrics()]
    return found


def shared_modules() -> tuple[str, ...]:
    """What all processes share: to be imported by the template."""
    from nautilus.engines import CATALOGUE

    return (*SHARED, *(entry.module for entry in CATALOGUE.values()))


def _metrics() -> list[str]:
    """Metrics with values in this process, which every process would start from."""
    module = sys.modules.get("prometheus_client")
    collectors = getattr(getattr(module, "REGISTRY", None), "_collector_to_names", {})
    return [
        str(names[0] if names else collector)
        for collector, names in collectors.items()
        if type(collector).__module__ == "prometheus_client.metrics"
    ]


def _say(line: socket.socket, event: str, what: str = "") -> None:
    line.send(msgspec.json.encode({"event": event, "what": what}))


def _fork(request: Request, passed: int, line: socket.socket, supervisor: int) -> None:
    _flush()  # what is still in memory would be written twice
    passing = os.fork()
    if passing:
        os.waitpid(passing, 0)
        return
    # The passing process. The read end of the pipe closes for the process that stays when this one is gone.
    code = 70
    try:
        passing = os.getpid()
        ended, held = os.pipe()
        if os.fork():
            os._exit(0)
        os.close(held)
        line.close()
        os.read(ended, 1)
        os.close(ended)
        # Descriptors are closed an instant before children change their parent.
        while os.getppid() == passing:
            os.sched_yield()
        signal_at_parent_end(signal.SIGHUP)
        if os.getppid() != supervisor:
            os._exit(0)
        code = _run(request, passed)
    except BaseException as error:
        if isinstance(error, SystemExit) and isinstance(error.code, int):
            code = error.code
        else:
            traceback.print_exc()
    finally:
        _flush()
        # Nothing of the template is to be taken down here: no exit handlers, no finalisers.
        os._exit(code)


def _run(request: Request, passed: int) -> int:
    from nautilus.runtime.plan import Plan

    os.setsid()
    name_process(f"nau-{request.name}")
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(request.output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    if os.fstat(output).st_size > OUTPUT_BYTES:
        os.ftruncate(output, 0)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    for number in (nothing, output):
        os.close(number)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()
    os.set_inheritable(passed, False)
    connection = socket.socket(fileno=passed)
    connection.sendall(msgspec.json.encode({"event": "started", "pid": os.getpid()}) + b"\n")
    module, _, function = request.entry.partition(":")
    run: Any = getattr(importlib.import_module(module), function)
    return int(run(Plan.decode(request.plan), request.name, connection))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
