"""Processes that a bench forks, and the time that they share."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from time import sleep, time_ns
from typing import Any

from perf.harness import check

Say = Callable[[], object]
PR_SET_PDEATHSIG = 1


class Forked:
    """A process that does one thing; what that returned. It says when it is ready."""

    def __init__(self, work: Callable[[Say], Any], core: int | None = None) -> None:
        self._out, into = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                gc.disable()
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it ends with the bench, however that ends
                if core is not None:
                    os.sched_setaffinity(0, {core})
                os.write(into, json.dumps(work(lambda: os.write(into, b"\n"))).encode())
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(into)
        check(os.read(self._out, 1) == b"\n", "a process did not begin")

    def result(self) -> Any:
        """What it returned; CheckError where it failed."""
        text = b""
        while part := os.read(self._out, 65536):
            text += part
        os.close(self._out)
        check(os.waitpid(self.pid, 0)[1] == 0, "a process failed")
        return json.loads(text)

    def end(self) -> None:
        """End it, whatever it does."""
        os.close(self._out)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def each_millisecond(count: int) -> Iterator[int]:
    """The times, by the system's clock, of each millisecond from soon on, each when it has come."""
    begun_ns = time_ns() + 20_000_000
    for number in range(count):
        due_ns = begun_ns + number * 1_000_000
        while (left_ns := due_ns - time_ns()) > 0:
            if left_ns > 100_000:
                sleep((left_ns - 100_000) / 1e9)
        yield due_ns
