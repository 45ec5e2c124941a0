"""The nest: a child of the lead that forks workers, as the fork template forks processes of the platform.

The lead itself cannot: it has threads and sockets of ZeroMQ. The nest is forked before it gets them, so a worker is
there within milliseconds and shares the pages of all that is imported::

    lead ──(a line)──▶ nest ── fork ──▶ worker, in a session of its own
      ▲                 │
      └── born, ended ──┘

It ends with the lead; workers do not. Where it ends before, the lead ends too, and the supervisor starts both anew.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable

import msgspec

from nautilus.model.errors import InternalError
from nautilus.runtime.child import ending
from nautilus.runtime.kernelcalls import name_process, signal_at_parent_end
from nautilus.runtime.template import fork_hazards

_BYTES = 65536
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGINT)


class NestError(InternalError):
    """There is no nest, or none any more."""

    code = "internal.nest"


class Born(msgspec.Struct, frozen=True, tag=True):
    """A worker runs."""

    name: str
    pid: int


class Ended(msgspec.Struct, frozen=True, tag=True):
    """A worker has ended."""

    pid: int
    how: str


_decoder = msgspec.json.Decoder(Born | Ended)


class Nest:
    """The lead's side.

    Parameters
    ----------
    run
        What a worker does with its line; its result is the exit code.
    """

    def __init__(self, run: Callable[[socket.socket], int]) -> None:
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lead = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become_nest(other, lead, run)
        other.close()
        own.setblocking(False)
        self._line = own

    def fileno(self) -> int:
        """Readable when there is something to `receive`."""
        return self._line.fileno()

    def hatch(self, name: str, line: socket.socket) -> None:
        """Have a worker forked that gets this socket. NestError where nobody can."""
        try:
            socket.send_fds(self._line, [name.encode()], [line.fileno()])
        except OSError as error:
            raise NestError(f"no worker can be forked: {error.strerror}", where=name) from None

    def receive(self) -> list[Born | Ended]:
        """What became of workers. NestError where the nest has ended."""
        found: list[Born | Ended] = []
        while True:
            try:
                content = self._line.recv(_BYTES)
            except BlockingIOError:
                return found
            except OSError:
                content = b""
            if not content:
                raise NestError("the nest of the gateway's workers has ended", expected="one as long as the lead runs")
            found.append(_decoder.decode(content))

    def close(self) -> None:
        """Have it end, and wait until it has; its workers are not touched."""
        self._line.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _become_nest(line: socket.socket, lead: int, run: Callable[[socket.socket], int]) -> None:
    """Never returns: what the lead had open is not to be closed a second time."""
    code = 70
    try:
        signal_at_parent_end(signal.SIGKILL)
        if os.getppid() == lead:
            code = _nest(line, run)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _nest(line: socket.socket, run: Callable[[socket.socket], int]) -> int:
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    _close_all_but(line.fileno())
    name_process("nau-gateway-n")
    awake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, _noted)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    hazards = fork_hazards({line.fileno()})
    if hazards:
        raise NestError(f"the nest cannot fork: {', '.join(hazards)}")
    while True:
        ready = select.select([line.fileno(), awake], [], [])[0]
        if awake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(awake, 4096)
            _reap(line)
        if line.fileno() in ready:
            try:
                content, passed, _, _ = socket.recv_fds(line, _BYTES, 1)
            except ConnectionResetError:  # the lead had not read all that was said
                return 0
            if not content:
                return 0
            pid = os.fork()
            if pid == 0:
                _become_worker(content.decode(), passed[0], run)
            os.close(passed[0])
            line.send(msgspec.json.encode(Born(content.decode(), pid)))


def _reap(line: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            line.send(msgspec.json.encode(Ended(pid, ending(status))))


def _become_worker(name: str, passed: int, run: Callable[[socket.socket], int]) -> None:
    """Never returns."""
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        for number in (*_SIGNALS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        _close_all_but(passed)
        name_process(f"nau-{name}")
        code = run(socket.socket(fileno=passed))
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _close_all_but(number: int) -> None:
    os.closerange(3, number)
    os.closerange(number + 1, 1 << 16)


def _noted(number: int, frame: object) -> None:
    """The wake-up pipe has the number already."""
