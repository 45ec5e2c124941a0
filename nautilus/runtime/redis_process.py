"""A Redis of the instance's own: one server for each bus, as a process of the plan.

It listens on a socket in the instance's directory and nowhere else, and keeps nothing beyond the instance: what lay in
it of another one would be of no use. Where it dies, this process ends with it, and the supervisor starts both again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
from functools import partial
from pathlib import Path

from nautilus.bus.redis_binary import find_redis
from nautilus.model.errors import ConfigError
from nautilus.runtime.bus_settings import BusConfig
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
from nautilus.runtime.control import Control
from nautilus.runtime.kernelcalls import signal_at_parent_end
from nautilus.runtime.plan import Plan

STOP_NS = 2 * NANOSECONDS
"""A server that does not stop within this time is killed."""
LOOK_SECONDS = 0.01

_LOGGER = logging.getLogger("nautilus.runtime")


class RedisEndedError(ConfigError):
    """The server ended by itself."""

    code = "config.redis"


def run_redis(plan: Plan, name: str, control: Control) -> int:
    """Run the server of a bus until told to stop; the exit code."""
    settings = plan.config("bus", BusConfig)
    place = Path(plan.directory, f"{name}.d")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700)
    path = plan.redis_socket(name)
    appends = settings.redis_append != "no"
    server = subprocess.Popen(
        [
            *(find_redis(settings.redis_binary), "--port", "0", "--unixsocket", path, "--unixsocketperm", "600"),
            *("--dir", place, "--save", "", "--appendonly", "yes" if appends else "no"),
            *("--appendfsync", settings.redis_append if appends else "no", "--maxmemory", f"{settings.redis_mib}mb"),
            *("--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "warning"),
        ],
        stdin=subprocess.DEVNULL,
        # It must not outlive this process, whatever that ends of.
        preexec_fn=partial(signal_at_parent_end, signal.SIGTERM),
    )
    with contextlib.ExitStack() as undo:
        undo.callback(_stop, server)
        ended = os.pidfd_open(server.pid)
        undo.callback(os.close, ended)
        ready = False
        while not control.stop_requested:
            wait_seconds = None if ready else LOOK_SECONDS
            found = select.select([control.fileno(), ended], [], [], wait_seconds)[0]
            if ended in found:
                code = server.wait()
                raise RedisEndedError(f"redis-server ended with {code}", where=path, expected="one that runs")
            if control.fileno() in found:
                control.poll()
            if not ready and answers(path):
                ready = True
                _LOGGER.info("redis-server answers: %s", server.args[0] if isinstance(server.args, list) else "")
                control.ready({})
    return 0


def answers(path: str) -> bool:
    """Whether the server behind a socket takes commands."""
    with socket.socket(socket.AF_UNIX) as line, contextlib.suppress(OSError):
        line.settimeout(1)
        line.connect(path)
        line.sendall(b"PING\r\n")
        return line.recv(16).startswith(b"+PONG")
    return False


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    end_ns = monotonic_ns() + STOP_NS
    try:
        server.wait(max(end_ns - monotonic_ns(), 0) / NANOSECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
