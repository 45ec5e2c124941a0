"""The line to the process that asks data providers: started with the first question, and again when it died.

The host's thread never waits for it: what is sent is short and fits the socket, or is refused. What it works with is as
long as there are instruments, and comes in a file of memory, as its input.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import nautilus
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns
from nautilus.runtime.data_frames import Begin, Frame, FrameError, Frames, FromChild, States, begin_bytes, packed

STOP_SECONDS = 1.0
FIRST_PAUSE_NS = NANOSECONDS // 5
LONGEST_PAUSE_NS = 30 * NANOSECONDS
SOUND_NS = 10 * NANOSECONDS
"""One that has lived so long is started again at once."""
READ_BYTES = 1 << 18
"""Taken at one time before other work is looked at."""
_LOGGER = logging.getLogger("nautilus.runtime")


class Watcher(Protocol):
    """The host, as this needs it."""

    def add_source(self, item: int, callback: Callable[[], object], /) -> None:
        """Have a callback called when a descriptor can be read."""
        ...

    def remove_source(self, item: int, /) -> None:
        """No longer."""
        ...


class DataLine:
    """To one process at a time.

    Parameters
    ----------
    watcher
        Calls back in the thread of the host.
    module
        What the process runs.
    begin
        What it is started with.
    most_bytes
        Of a frame.
    on_frame, on_lost
        Called with what it says; and when it is gone.

    Attributes
    ----------
    pid : of the process; 0: there is none.
    starts, deaths : how often it was started, and died by itself.
    """

    def __init__(
        self,
        watcher: Watcher,
        module: str,
        begin: Begin,
        most_bytes: int,
        on_frame: Callable[[FromChild], object],
        on_lost: Callable[[], object],
    ) -> None:
        self._watcher = watcher
        self._module = module
        self._begin = begin_bytes(begin)
        self._most_bytes = most_bytes
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._process: subprocess.Popen[bytes] | None = None
        self._ended: list[subprocess.Popen[bytes]] = []
        self._socket: socket.socket | None = None
        self._frames = Frames(most_bytes)
        self._began_ns = 0
        self._again_ns = 0
        self._pause_ns = 0
        self._spoke = False
        self.starts = self.deaths = 0

    @property
    def pid(self) -> int:
        """See the class."""
        return 0 if self._process is None else self._process.pid

    @property
    def wait_seconds(self) -> float:
        """Until it is started again; 0: it runs, or may be started."""
        if self._process is not None:
            return 0.0
        return max(self._again_ns - monotonic_ns(), 0) / NANOSECONDS

    def send(self, frame: Frame) -> bool:
        """Say something, and start the process where there is none; False: nobody hears it now."""
        if self._process is None and not self._start():
            return False
        return self._write(packed(frame))

    def start(self) -> bool:
        """Start it where there is none; False: it may not be yet."""
        return self._process is not None or self._start()

    def restart(self, why: str) -> None:
        """Have done with it, where there is one; the next question starts another."""
        if self._process is not None:
            self._lose(why)

    def stop(self) -> None:
        """End it."""
        process = self._process
        self._part()
        for each in (*self._ended, *((process,) if process is not None else ())):
            try:
                each.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()
        self._ended.clear()

    def _start(self) -> bool:
        now_ns = monotonic_ns()
        if now_ns < self._again_ns:
            return False
        self._ended = [each for each in self._ended if each.poll() is None]
        ours, its = socket.socketpair()
        package = str(Path(nautilus.__file__).parent.parent)
        paths = [package, *(path for path in sys.path if path and path != package)]
        with its:
            try:
                with open(os.memfd_create("begin"), "w+b", buffering=0) as begin:
                    begin.write(self._begin)
                    begin.seek(0)
                    self._process = subprocess.Popen(
                        [sys.executable, "-m", self._module, str(its.fileno())],
                        pass_fds=[its.fileno()],
                        stdin=begin,
                        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                    )
            except OSError as error:
                _LOGGER.error("the process of data providers cannot start: %s", error)
                ours.close()
                self._delay(now_ns)
                return False
        ours.setblocking(False)
        self._socket = ours
        self._frames = Frames(self._most_bytes)
        self._began_ns, self._spoke = now_ns, False
        self.starts += 1
        self._watcher.add_source(ours.fileno(), self._on_readable)
        return True

    def _write(self, content: bytes) -> bool:
        assert self._socket is not None
        try:
            sent = self._socket.send(content)
        except BlockingIOError:
            return False
        except OSError:
            return False  # it is gone: reading says so
        if sent != len(content):
            # Half a frame makes nonsense of all that follows: as good as gone.
            self._lose("it does not take what it is told")
            return False
        return True

    def _on_readable(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose("it ended")
            return
        try:
            for frame in self._frames.take(data):
                self._spoke = self._spoke or isinstance(frame, States)
                self._on_frame(frame)
        except FrameError as error:
            self._lose(str(error))

    def _lose(self, why: str) -> None:
        process, now_ns = self._process, monotonic_ns()
        self._part()
        if process is not None:
            with contextlib.suppress(OSError):
                process.kill()
            self._ended.append(process)
        self.deaths += 1
        if self._spoke and now_ns - self._began_ns > SOUND_NS:
            self._pause_ns = 0
        self._delay(now_ns, at_once=self._spoke)
        _LOGGER.error("the process of data providers is gone: %s", why)
        self._on_lost()

    def _delay(self, now_ns: int, *, at_once: bool = False) -> None:
        self._again_ns = now_ns + self._pause_ns if at_once else now_ns + max(self._pause_ns, FIRST_PAUSE_NS)
        self._pause_ns = min(max(2 * self._pause_ns, FIRST_PAUSE_NS), LONGEST_PAUSE_NS)

    def _part(self) -> None:
        if self._socket is not None:
            self._watcher.remove_source(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._process = None


__all__ = ["DataLine", "Watcher"]
