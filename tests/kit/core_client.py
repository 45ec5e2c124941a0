"""A trading core in this process, and clients of it that speak as `nautilus.trading.client.CoreClient` does.

The kernel is the real one; only the way to it differs: commands wait until a client polls, and every client gets every
event. The core can be told to be busy, to take no commands for a while, or to go away and come back.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable

import numpy as np

from nautilus.core import COMMAND, EVENT, Kernel
from nautilus.core.types import CommandKind, EventKind, Reason
from nautilus.model.records import Records
from nautilus.trading.client import CoreAbsentError, CoreBatch, CoreBusyError


class InProcessCore:
    """A kernel with its event log.

    Attributes
    ----------
    clock : where given, the time of every command; else commands keep their own.
    refuse : reasons for which the next new orders and replacements are refused before they are sequenced.
    room : commands of one client that may be under way.
    held : commands are taken, but not carried out.
    absent : the core's process is gone; what was not carried out is sent again when it is back.
    """

    def __init__(self, kernel: Kernel, clock: Callable[[], int] | None = None) -> None:
        self.kernel = kernel
        self.begun = kernel.last_event_sequence  # what made the kernel is in no log
        self.clients = 0
        self.clock = clock
        self.refuse: deque[Reason] = deque()
        self.room = 8_192
        self.held = False
        self.absent = False
        self.events: list[Records] = []
        self.kinds: list[np.ndarray] = []
        self.starts: list[int] = []  # sequence of the first event of each batch
        self._queue: deque[tuple[InProcessClient, Records]] = deque()

    @property
    def last_sequence(self) -> int:
        """Of the last event."""
        return self.kernel.last_event_sequence

    def process(self, commands: Records) -> Records:
        """Carry out commands of somebody else."""
        rows = commands.copy()
        if self.clock is not None:
            rows["now_ns"] = self.clock()
        return self._process(rows)

    def _process(self, rows: Records) -> Records:
        first = self.kernel.last_sequence + 1
        events = self.kernel.process(rows)
        if len(events):
            self.starts.append(int(events["sequence"][0]))
            self.events.append(events)
            self.kinds.append(rows["kind"][events["command_sequence"] - first])
        return events

    def client(self, source_id: int = 4, after: int = 0, most: int = 4_096) -> InProcessClient:
        """A line to this core; at most so many events come at once."""
        return InProcessClient(self, source_id, after, most)

    def take(self, client: InProcessClient, rows: Records) -> None:
        """Commands of a client arrive."""
        self._queue.append((client, rows))

    def run(self) -> None:
        """Carry out what has arrived."""
        while self._queue and not (self.held or self.absent):
            client, rows = self._queue.popleft()
            begin = 0
            for place, kind in enumerate(rows["kind"].tolist()):
                if self.refuse and kind in (CommandKind.NEW, CommandKind.REPLACE):
                    self._carry_out(client, rows[begin:place])
                    client.refusals.append(_refusal(rows[place], self.refuse.popleft()))
                    begin = place + 1
            self._carry_out(client, rows[begin:])
            client.answered.append((self.last_sequence, int(rows["source_sequence"][-1])))

    def wake(self) -> None:
        """Let timers fire that are due, each at its time, as the sequencer does."""
        while self.clock is not None and not self.absent and 0 < self.kernel.next_timer_ns <= self.clock():
            time = np.zeros(1, COMMAND)
            time["kind"], time["now_ns"] = CommandKind.TIME, self.kernel.next_timer_ns
            self._process(time)

    def _carry_out(self, client: InProcessClient, rows: Records) -> None:
        if len(rows):
            self.process(rows)


class InProcessClient:
    """One sender's line to an `InProcessCore`."""

    def __init__(self, core: InProcessCore, source_id: int, after: int, most: int) -> None:
        self.core = core
        self.source_id = source_id
        self.last_sequence = max(after, core.begun)
        self.restarts = 0
        core.clients += 1
        self.completed = self._numbers = core.clients * 1_000_000_000  # above those of any before
        self.refusals: list[Records] = []
        self.answered: deque[tuple[int, int]] = deque()  # after this event, all up to that command is answered
        self._most = most

    @property
    def current(self) -> bool:
        """Every event that was ready has been given out."""
        return not self.core.absent and self.last_sequence == self.core.last_sequence

    def submit(self, commands: Records, *, urgent: bool = False) -> int:
        """See `CoreClient.submit`; nothing overtakes here."""
        if self.core.absent:
            raise CoreAbsentError("no core")
        if self._numbers - self.completed + len(commands) > self.core.room:
            raise CoreBusyError("no room")
        rows = commands.copy()
        rows["source_id"] = self.source_id
        rows["source_sequence"] = np.arange(self._numbers + 1, self._numbers + 1 + len(rows))
        self._numbers += len(rows)
        self.core.take(self, rows)
        return self._numbers

    def poll(self, wait_ns: int = 0) -> CoreBatch | None:
        """See `CoreClient.poll`."""
        core = self.core
        if core.absent:
            return None
        core.run()
        core.wake()
        events = kinds = None
        if self.last_sequence < core.last_sequence:
            at = bisect_right(core.starts, self.last_sequence + 1) - 1
            skip = self.last_sequence + 1 - core.starts[at]
            events, kinds = (part[at][skip : skip + self._most] for part in (core.events, core.kinds))
            self.last_sequence = int(events["sequence"][-1])
        completed = self.completed
        while self.answered and self.answered[0][0] <= self.last_sequence:
            self.completed = self.answered.popleft()[1]
        refusals, self.refusals = self.refusals, []
        if events is None and completed == self.completed and not refusals:
            return None
        nothing = np.zeros(0, EVENT)
        return CoreBatch(
            events=nothing if events is None else events,
            kinds=np.zeros(0, np.uint8) if kinds is None else kinds,
            refusals=np.concatenate(refusals) if refusals else nothing,
            completed=self.completed,
            completed_urgent=0,
            whole=events is None or self._is_whole(),
        )

    def _is_whole(self) -> bool:
        """The next event, if there is one, is of another command."""
        core, last = self.core, self.last_sequence
        if last == core.last_sequence:
            return True
        at = bisect_right(core.starts, last + 1) - 1
        place = last + 1 - core.starts[at]
        before = core.events[at][place - 1] if place else core.events[at - 1][-1]
        return bool(core.events[at]["command_sequence"][place] != before["command_sequence"])

    @property
    def absent(self) -> bool:
        """No core is there."""
        return self.core.absent

    @property
    def joining(self) -> bool:
        """It is there at once."""
        return False

    @property
    def ahead(self) -> bool:
        """Nothing of this core's journal is ever lost."""
        return False

    def told(self, number: int, *, urgent: bool = False) -> int:
        """As it is numbered."""
        return number

    def arm(self) -> bool:
        """See `CoreClient.arm`."""
        return self.current

    def disarm(self) -> None:
        """See `CoreClient.disarm`."""

    def fileno(self) -> int:
        """No descriptor: whoever has the clock polls."""
        return -1

    def check(self) -> None:
        """See `CoreClient.check`."""

    def beat(self) -> None:
        """Nobody watches."""

    def close(self) -> None:
        """See `CoreClient.close`."""


def _refusal(row: np.void, reason: Reason) -> Records:
    event = np.zeros(1, EVENT)
    for name in ("order_id", "price_ticks", "quantity", "side", "instrument_id", "account_id", "source_id"):
        event[name] = row[name]
    event["source_sequence"] = row["source_sequence"]
    event["kind"], event["reason"] = EventKind.REJECTED, reason
    return event
