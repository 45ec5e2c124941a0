"""The wait for a standby: what comes meanwhile over the line to the supervisor is kept, and wakes the wait once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from nautilus.core.counters import Counters
from nautilus.trading.confirming import StoppedError, wait_for_standby
from nautilus.trading.settings import Settings
from nautilus.trading.shipper import CORE_GAUGE

SETTINGS = Settings("replica", 0, 1024, 1 << 14, 1)


class Line:
    """A line whose signals go through a pipe, as a process's do; the standby comes after some turns of the wait."""

    def __init__(self, standby: Counters, turns: int) -> None:
        self.stop_requested = False
        self.polls = 0
        self._standby = standby
        self._left = turns
        self._ends = os.pipe2(os.O_NONBLOCK)

    def signalled(self, *given: object) -> None:
        os.write(self._ends[1], b"k")

    def fileno(self) -> int:
        self._left -= 1
        if not self._left:
            self._standby.set(self._standby.gauge(CORE_GAUGE), 7)
        return self._ends[0]

    def poll(self) -> list[str]:
        self.polls += 1
        try:
            return ["kill"] if os.read(self._ends[0], 64) else []
        except BlockingIOError:
            return []

    def ready(self, ports: dict[str, int], /) -> None:
        pass

    def close(self) -> None:
        for end in self._ends:
            os.close(end)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(Counters(path=str(tmp_path / "counters")), 5)
    before = signal.signal(signal.SIGUSR2, made.signalled)
    yield made
    signal.signal(signal.SIGUSR2, before)
    made.close()


def test_a_kill_while_no_standby_is_there_is_kept_for_the_core_and_asked_for_once(tmp_path: Path, line: Line) -> None:
    line.signalled()
    wait_for_standby(SETTINGS, line, str(tmp_path / "counters"), 7)
    assert line.polls == 1
    assert line.poll() == ["kill"]
    assert line.poll() == []


def test_without_a_kill_the_core_is_told_of_none(tmp_path: Path, line: Line) -> None:
    wait_for_standby(SETTINGS, line, str(tmp_path / "counters"), 7)
    assert line.poll() == []


def test_a_core_that_is_to_stop_waits_no_longer(tmp_path: Path, line: Line) -> None:
    line.stop_requested = True
    with pytest.raises(StoppedError):
        wait_for_standby(SETTINGS, line, str(tmp_path / "counters"), 7)
