"""Writers and readers of the ring and of the table of last values in processes of their own, to be killed.

Every frame says its number in each of its words, so that a torn one is seen; so does every value.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from nautilus.core.broadcast import Writer
from nautilus.core.broadcast_reader import Reader
from nautilus.core.last_values import LastValues, LastValueWriter
from nautilus.core.wake import Waiting

SPREAD = 0x9E3779B97F4A7C15
LENGTHS = (0, 8, 56, 64, 72, 128, 1000, 4096)
STREAMS = 50
PR_SET_PDEATHSIG = 1
MOST_SECONDS = 200


def frame_of(number: int) -> bytes:
    """The frame of a number, in one of several lengths."""
    length = LENGTHS[number % len(LENGTHS)] or 16
    words = np.full(length // 8, number, np.uint64) + np.arange(length // 8, dtype=np.uint64) * np.uint64(SPREAD)
    return words.tobytes()


def number_of(frame: bytes) -> int:
    """The number of a frame; AssertionError where it is torn."""
    number = int.from_bytes(frame[:8], "little")
    assert frame == frame_of(number), f"torn: {len(frame)} bytes that begin with {number}"
    return number


def value_of(number: int) -> bytes:
    """A value of 8 to 128 bytes."""
    return number.to_bytes(8, "little") * (1 + number % 16)


class Child:
    """A process that does one thing, forked from this one, and what it found.

    Parameters
    ----------
    work
        Called in the child with a function that says it is ready; what it returns is `result`.
    """

    def __init__(self, work: Callable[[Callable[[], object]], Any]) -> None:
        self._out, into = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(self._out)
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it ends with the test, however that ends
                os.write(into, json.dumps(work(lambda: os.write(into, b"\n"))).encode())
                code = 0
            except BaseException:
                os.write(into, traceback.format_exc().encode())
            finally:
                os._exit(code)
        os.close(into)
        self._ended = False

    def ready(self) -> None:
        """Wait until it says so; AssertionError with its traceback where it failed before."""
        if (said := os.read(self._out, 1)) != b"\n":
            while part := os.read(self._out, 65536):
                said += part
            raise AssertionError(said.decode())

    def result(self) -> Any:
        """What its work returned; AssertionError with its traceback where it failed."""
        text = b""
        while part := os.read(self._out, 65536):
            text += part
        code = self.end()
        assert code == 0, text.decode()
        return json.loads(text)

    def kill(self) -> None:
        """End it at once, wherever it is."""
        if not self._ended:
            os.kill(self.pid, signal.SIGKILL)
            self.end()

    def end(self) -> int:
        """Wait for its end; its exit code."""
        self._ended = True
        os.close(self._out)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def write(path: Path, capacity: int, epoch: int, count: int = 1 << 62, first: int = 0) -> Child:
    """Writes frames, single and in batches."""

    def work(ready: Callable[[], object]) -> int:
        writer = Writer(path, capacity, epoch)
        ready()
        number = first
        while number < first + count:
            for _ in range(number % 7):
                writer.put(frame_of(number))
                number += 1
            writer.write(frame_of(number))
            number += 1
        return number

    child = Child(work)
    child.ready()
    return child


def read(path: Path, policy: str, until: int) -> Child:
    """Judges every frame until that of a number: first, frames, missed, lapped, damaged."""

    def work(ready: Callable[[], object]) -> list[int]:
        reader, waiting = Reader(path, oldest=True), Waiting(policy, spin_ns=20_000)
        first = expected = reader.frames
        ready()
        seen = 0
        end = monotonic() + MOST_SECONDS
        while expected < until:
            assert monotonic() < end, f"no frame {expected}"
            for frame in reader.drain(256) if reader.wait(waiting, 200_000_000) else ():
                number = number_of(frame)
                assert number >= expected, f"{number} after {expected}"
                expected = number + 1
                seen += 1
        assert reader.frames == expected
        return [first, seen, reader.missed_frames, reader.lapped, reader.damaged]

    child = Child(work)
    child.ready()
    return child


def keep_values(path: Path, epoch: int) -> Child:
    """Sets values of some streams without end."""

    def work(ready: Callable[[], object]) -> None:
        values = LastValueWriter(path, 64, epoch)
        ready()
        number = 0
        while True:
            number += 1
            values.put(number % STREAMS, value_of(number), number, number)

    child = Child(work)
    child.ready()
    return child


def read_values(path: Path, reads: int) -> Child:
    """Judges values of all streams; how many it saw one of."""

    def work(ready: Callable[[], object]) -> int:
        values, out, last = LastValues(path), np.zeros(128, np.uint8), [0] * STREAMS
        views = [values.bind(stream, out) for stream in range(STREAMS)]
        ready()
        for turn in range(reads):
            stream = turn % STREAMS
            if turn & 64:
                found = values.read(stream)
                assert found is not None
                number, record = found.sequence, found.record
            else:
                number = views[stream].read()
                record = out.tobytes()[: 8 * (1 + number % 16)]
            assert record == value_of(number), f"torn: {record!r} is said to be {number}"
            assert number >= last[stream]
            assert number % STREAMS == stream
            last[stream] = number
        return sum(map(bool, last))

    child = Child(work)
    child.ready()
    return child
