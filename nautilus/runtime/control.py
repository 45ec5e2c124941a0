"""A process's side of the line to its supervisor: what it says, what it is told, and when it has to stop.

Both sides write JSON lines. The process says ``{"event": "ready", "ports": {engine: port}}``, ``{"event": "failed",
"error": {...}}``, ``{"event": "finished"}`` or ``{"event": "promoted"}``; the supervisor says ``{"do": "open"}`` or
``{"do": "stop"}``. SIGTERM means stop. When the line closes, or SIGHUP says so, the supervisor is gone: then a process
waits until all that stop before it have let go of their locks, 5 s of its own life at most, and stops. To a process
that `renews`, SIGHUP of anybody else while the supervisor lives means "renew". SIGUSR2 means "kill": to the core that
the kill switch of everything is to be set; the supervisor passes on to it what it gets itself.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from nautilus.model.errors import BusError, ConfigError, InternalError, ModelError, NautilusError, VenueError
from nautilus.runtime.files import FileLock, holder
from nautilus.runtime.plan import Plan

ORPHAN_WAIT_SECONDS = 5.0
"""Counted in looks: where the machine stands still, nobody lets go of a lock either."""
_LOOK_SECONDS = 0.02
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGUSR2)


class Control:
    """The line to the supervisor, for the main thread of a process. It holds the process's lock.

    Poll `fileno` for reading, along with whatever the process waits for, then call `poll`: it wakes for orders, for
    signals, and while the process waits for others to stop.

    Attributes
    ----------
    stop_requested : it is time to stop.
    opened : the market is open.
    orphaned : the supervisor is gone.
    renews : SIGHUP is an order, unless the supervisor's end sends it.
    """

    def __init__(self, plan: Plan, name: str, connection: socket.socket) -> None:
        lock = FileLock.take(plan.lock_of(name), wait_seconds=2.0)
        if lock is None:
            raise InternalError(f"process {name} runs already", where=str(plan.lock_of(name)))
        self.stop_requested = False
        self.opened = False
        self.orphaned = False
        self.renews = False
        self._parent = os.getppid()
        rank = plan.process(name).stop_rank
        self._before: list[Path] = [plan.lock_of(spec.name) for spec in plan.processes if spec.stop_rank < rank]
        self._lock = lock
        self._connection = connection
        self._received = b""
        self._looks_left = 0
        connection.setblocking(False)
        self._awake, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._awake, select.EPOLLIN)
        self._epoll.register(connection, select.EPOLLIN)
        for number in _SIGNALS:
            signal.signal(number, _noted)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's
        # The number of each signal is written into the pipe, from where `poll` reads it: no handler runs in between.
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)

    def fileno(self) -> int:
        """Readable when `poll` has something to do."""
        return self._epoll.fileno()

    def poll(self) -> list[str]:
        """New orders, in order: "open", "kill", "stop", and where it is one "renew". It never waits."""
        orders = []
        numbers = self._signals()
        for line in self._lines():
            order = str(msgspec.json.decode(line).get("do", ""))
            self.opened = self.opened or order == "open"
            orders.append(order)
        if signal.SIGUSR2 in numbers:
            orders.append("kill")
        if signal.SIGTERM in numbers:
            orders.append("stop")
        if signal.SIGHUP in numbers:
            if self.renews and not self.orphaned and os.getppid() == self._parent:
                orders.append("renew")
            else:
                self._orphan()
        self._looks_left -= numbers.count(signal.SIGALRM)
        if self.orphaned and not self.stop_requested and "stop" not in orders and self._is_my_turn():
            orders.append("stop")
        if "stop" in orders:
            self.stop_requested = True
            if self.orphaned:
                signal.setitimer(signal.ITIMER_REAL, 0)
        return orders

    def ready(self, ports: Mapping[str, int]) -> None:
        """Every engine has started; HTTP answers at these ports."""
        self._say({"event": "ready", "ports": dict(ports)})

    def failed(self, error: Exception) -> None:
        """The process could not start and is about to end."""
        self._say({"event": "failed", "error": describe_error(error)})

    def finished(self) -> None:
        """The market has come to its end."""
        self._say({"event": "finished"})

    def promoted(self) -> None:
        """This standby has become the core: that is to start now."""
        self._say({"event": "promoted"})

    def close(self) -> None:
        """Let go of the line and of the lock; the last thing that a process does."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self._epoll.close()
        self._connection.close()
        os.close(self._awake)
        os.close(self._wake)
        self._lock.release()

    def _signals(self) -> bytes:
        try:
            return os.read(self._awake, 4096)
        except BlockingIOError:
            return b""

    def _lines(self) -> list[bytes]:
        while not self.orphaned:
            try:
                chunk = self._connection.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                chunk = b""
            if not chunk:
                self._orphan()
            self._received += chunk
        *lines, self._received = self._received.split(b"\n")
        return lines

    def _orphan(self) -> None:
        if self.orphaned:
            return
        self.orphaned = True
        self._epoll.unregister(self._connection)
        self._looks_left = math.ceil(ORPHAN_WAIT_SECONDS / _LOOK_SECONDS)
        # Nobody tells when another lets go of its lock: look again now and then.
        signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS, _LOOK_SECONDS)

    def _is_my_turn(self) -> bool:
        self._before = [path for path in self._before if holder(path)]
        return not self._before or self._looks_left <= 0

    def _say(self, message: dict[str, Any]) -> None:
        # Without a supervisor nobody listens; the few short lines of a process always fit into the socket.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.sendall(msgspec.json.encode(message) + b"\n")


def describe_error(error: Exception) -> dict[str, str]:
    """An error as `NautilusError.as_dict` gives it, whatever it is."""
    if isinstance(error, NautilusError):
        return error.as_dict()
    if isinstance(error, OSError):
        text = error.strerror or str(error)
        return {"code": "internal.os", "what": text, "where": str(error.filename or ""), "expected": ""}
    return {"code": "internal.error", "what": f"{type(error).__name__}: {error}", "where": "", "expected": ""}


def error_from(description: Mapping[str, str]) -> NautilusError:
    """The error that another process described, with its code."""
    code = description.get("code", "internal")
    root = {"breaker": "bus", "limit": "bus", "source": "venue", "analysis": "model"}.get(
        code.split(".")[0], code.split(".")[0]
    )  # refusals to take it
    for kind in (ConfigError, BusError, VenueError, ModelError, InternalError):
        if root == kind.code:
            break
    known = type(kind.__name__, (kind,), {"code": code, "__module__": kind.__module__, "__doc__": kind.__doc__})
    error: NautilusError = known(
        description.get("what", ""), where=description.get("where", ""), expected=description.get("expected", "")
    )
    return error


def _noted(number: int, frame: object) -> None:
    """The wake-up pipe has the number already."""
