"""A market's commands on their way to the core: in order, each once, and again where the core was too busy."""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np

from nautilus.core.counters import Counters
from nautilus.core.types import COMMAND, EVENT, Reason
from nautilus.model.records import Records, joined
from nautilus.trading.client import CoreAbsentError, CoreBatch, CoreBusyError

AT_ONCE = 1_024
"""Commands handed over in one call; the first snapshot of a recorded book has thousands."""
_AGAIN = (int(Reason.BUSY), int(Reason.NOT_READY))
_NOTHING = np.zeros(0, EVENT)


class Core(Protocol):
    """The trading core as a market uses it: `nautilus.trading.client.CoreClient`."""

    restarts: int
    """Times that the core was found to be another one."""

    @property
    def current(self) -> bool:
        """Every event that was ready has been given out."""
        ...

    def submit(self, commands: Records) -> int:
        """Send commands; the number of the last one. CoreBusyError, CoreAbsentError: nothing was sent."""
        ...

    def poll(self, wait_ns: int = 0) -> CoreBatch | None:
        """What the core has said since."""
        ...

    def arm(self) -> bool:
        """Before a poll on `fileno`: False where there is something to do already."""
        ...

    def disarm(self) -> None:
        """After a poll on `fileno`."""
        ...

    def fileno(self) -> int:
        """Descriptor to poll; -1: none."""
        ...

    def check(self) -> None:
        """Notice a core that died without a word."""
        ...

    def close(self) -> None:
        """Let others have the line."""
        ...


class MarketLine:
    """Sends what it is given, in order, as far as the core has room, and knows when all of it was answered.

    What the core refuses because it is too busy or not ready is sent again, after the rest was answered: a market's
    participants do not go away for it. Other refusals are final.

    Attributes
    ----------
    commands, refused, repeated : commands sent (each counted once); of them refused for good; sent again.
    """

    def __init__(self, core: Core, counters: Counters) -> None:
        self.commands = 0
        self.refused = 0
        self.repeated = 0
        self._core = core
        self._count = counters.add
        self._counters = tuple(counters.counter(f"market.{name}") for name in ("commands", "refused", "repeated"))
        self._waiting: deque[Records] = deque()
        self._sent: deque[tuple[int, Records]] = deque()  # number of the last row, and the rows
        self._again: list[Records] = []
        self._last = 0

    @property
    def idle(self) -> bool:
        """The core has answered for everything."""
        return not (self._waiting or self._sent or self._again)

    @property
    def paused(self) -> bool:
        """Nothing is under way, but something has to be sent again, or could not be sent yet."""
        return not self._sent and bool(self._waiting or self._again)

    def send(self, commands: Records) -> None:
        """Send commands behind all others."""
        self.commands += len(commands)
        self._count(self._counters[0], len(commands))
        for begin in range(0, len(commands), AT_ONCE):
            self._waiting.append(commands[begin : begin + AT_ONCE])
        self.push()

    def repeat(self) -> None:
        """Hand over again what the core was too busy for, before everything that came later."""
        if self._again and not self._sent:
            self.repeated += len(self._again)
            self._count(self._counters[2], len(self._again))
            self._waiting.appendleft(joined(self._again, COMMAND))
            self._again = []
        self.push()

    def push(self) -> None:
        """Hand over what waits, as far as there is room."""
        while self._waiting and not self._again:
            try:
                number = self._core.submit(self._waiting[0])
            except CoreAbsentError:
                return
            except CoreBusyError:
                if self._sent or len(self._waiting[0]) == 1:
                    return
                # More than its ring has room for at all.
                rows = self._waiting.popleft()
                self._waiting.extendleft((rows[len(rows) // 2 :], rows[: len(rows) // 2]))
                continue
            self._sent.append((number, self._waiting.popleft()))

    def take(self, batch: CoreBatch) -> Records:
        """Take note of answers; the refusals that are final, as EVENT records without a sequence."""
        final = _NOTHING
        if len(batch.refusals):
            final = self._refused(batch.refusals)
        sent = self._sent
        while sent and sent[0][0] <= batch.completed:
            sent.popleft()
        return final

    def _refused(self, refusals: Records) -> Records:
        passing = np.isin(refusals["reason"], _AGAIN)
        for number in refusals["source_sequence"][passing].tolist():
            for last, rows in self._sent:
                if last - len(rows) < number <= last:
                    place = number - last + len(rows) - 1
                    self._again.append(rows[place : place + 1])
                    break
        final = refusals[~passing]
        self.refused += len(final)
        self._count(self._counters[1], len(final))
        return final
