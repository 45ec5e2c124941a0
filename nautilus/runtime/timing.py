"""The core with a stopwatch."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from nautilus.core import Kernel
from nautilus.model.records import Records
from nautilus.runtime.clock import monotonic_ns


class TimedCore:
    """A kernel, with the wall time of each call."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.depth = kernel.depth
        self._process = kernel.process
        self.durations_ns = array("q")
        self.commands = array("q")

    def process(self, commands: Records, /) -> Records:
        """As `Kernel.process`."""
        started = monotonic_ns()
        events = self._process(commands)
        self.durations_ns.append(monotonic_ns() - started)
        self.commands.append(len(commands))
        return events

    def command_times_ns(self) -> Any:
        """Time of each command: that of its call, shared out evenly."""
        commands = np.frombuffer(self.commands, np.int64) if self.commands else np.zeros(0, np.int64)
        durations = np.frombuffer(self.durations_ns, np.int64) if self.commands else np.zeros(0, np.int64)
        return np.repeat(durations / np.maximum(commands, 1), commands)
