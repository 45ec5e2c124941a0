"""A process's way to the core over shared memory: commands in, every event once and in order out.

The client numbers its commands and keeps each until the core has answered for it. When the core is restarted it
attaches anew, sends what was not answered again (the core knows what it has taken), and reads the events that it missed
from the event log; so it does when it was too slow and was cut off.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from nautilus.core.clock import now_ns
from nautilus.core.eventlog import DELIVERY, LAST, REFUSED, EventLog
from nautilus.core.port import ALL, URGENT_SOURCE, Port, PortError
from nautilus.core.types import COMMAND, EVENT, CommandKind, EventKind
from nautilus.model.errors import BusError
from nautilus.model.records import Records, joined

MOST_FROM_LOG = 16_384
"""Events read from the log at once, so that the caller's other work goes on while it catches up."""
NO_EVENTS = np.empty(0, EVENT)
SILENCE_NS = 200_000_000
ABSENT, SILENT = "no trading core", "the core does not answer"
FIRST_STEP = 60_000_000_000
"""Numbers of commands begin at the time; where the clock went back they are raised by this, then by twice as much."""


class CoreBusyError(BusError):
    """The ring into the core is full; nothing of this call was sent."""

    code = "bus.core_busy"


class CoreAbsentError(BusError):
    """No core is there to take it; nothing of this call was sent."""

    code = "bus.core_absent"


def overtakes(kind: int) -> bool:
    """Goes past its sender's other commands, as a source of its own: a kill switch; a mass cancel keeps its place."""
    return kind == CommandKind.KILL


class CoreBatch(NamedTuple):
    """What the core said.

    Attributes
    ----------
    events : EVENT array; sequences go on from the batch before without a gap.
    kinds : CommandKind of the cause of each event, 0 where it is not known; uint8.
    refusals : EVENT array of own commands that were not taken (BUSY, JOURNAL_FULL, NOT_READY); sequence 0.
    completed : the last of this client's commands that the core has answered for.
    completed_urgent : the same of its urgent ones.
    whole : the last event is the last one of its command; else the rest of the command's come with the next batch.
    """

    events: Records
    kinds: np.ndarray
    refusals: Records
    completed: int
    completed_urgent: int
    whole: bool = True


class _Lane:
    """One numbered sequence of commands, and those of them that the core has not answered for.

    Another process may have had this source before, with higher numbers: its clock was ahead. The core would call all
    of ours repeats. So the first command goes alone, and where the core calls that one a repeat, the core is told
    higher numbers (by `shift`) from then on; who sent them keeps the numbers that `add` counted.
    """

    __slots__ = ("_step", "asking", "completed", "numbers", "pending", "proven", "shift", "source_id", "unsent")

    def __init__(self, source_id: int, first: int) -> None:
        self.source_id = source_id
        self.numbers = self.completed = first
        self.shift = 0
        self.proven = self.asking = False
        self._step = FIRST_STEP
        self.pending: deque[tuple[int, Records]] = deque()
        self.unsent: deque[Records] = deque()

    def add(self, commands: Records) -> None:
        rows = np.ascontiguousarray(commands).view(_ROW).copy().view(COMMAND)
        first = self.numbers + self.shift + 1
        rows["source_id"] = self.source_id
        rows["source_sequence"] = np.arange(first, first + len(rows), dtype=np.uint64)
        self.numbers += len(rows)
        self.pending.append((self.numbers, rows))
        self.unsent.append(rows)

    def send(self, port: Port) -> None:
        """Hand over what the ring has room for."""
        while self.unsent:
            rows = self.unsent[0]
            if not self.proven:
                if self.asking:
                    return
                rows = rows[:1]
            sent = port.send(rows)
            self.asking |= sent > 0
            if sent == len(self.unsent[0]):
                self.unsent.popleft()
            else:
                self.unsent[0] = self.unsent[0][sent:]
                if sent < len(rows):
                    return

    def send_again(self) -> None:
        """What was not answered is to be sent once more."""
        done = self.completed + self.shift
        self.asking = False
        self.unsent = deque(rows[rows["source_sequence"] > done] for _, rows in self.pending)

    def answered(self, numbers: np.ndarray, kinds: np.ndarray | None = None, flags: np.ndarray | None = None) -> None:
        """The core has answered for commands of these numbers; kinds and flags of their last events unless proven."""
        latest, shift = int(numbers.max()), self.shift
        if latest > self.numbers + shift:
            # A number of another process that had this source before is none of ours.
            latest = int(numbers[numbers <= self.numbers + shift].max(initial=0))
        if latest <= self.completed + shift:
            return
        if not self.proven:
            assert kinds is not None
            assert flags is not None
            place = np.flatnonzero(numbers == latest)[-1]
            self.asking = False
            if kinds[place] == EventKind.DUPLICATE:
                self._raise()
                return
            self.proven = not flags[place] & REFUSED
        self.completed = latest - shift
        while self.pending and self.pending[0][0] <= self.completed:
            self.pending.popleft()

    def _raise(self) -> None:
        for _, rows in self.pending:
            rows["source_sequence"] += np.uint64(self._step)
        self.shift += self._step
        self._step *= 2
        self.send_again()


class _Stillness:
    """How long something that should change has not, as far as was looked."""

    __slots__ = ("_changed_ns", "_state", "still_ns")

    def __init__(self) -> None:
        self._state: object = self
        self._changed_ns = self.still_ns = 0

    def look(self, state: object, at_ns: int) -> None:
        if state != self._state:
            self._state, self._changed_ns = state, at_ns
        self.still_ns = at_ns - self._changed_ns


class CoreClient:
    """One thread.

    Parameters
    ----------
    shared
        Shared memory of the instance.
    slot
        Slot of the core; one process at a time has it.
    source_id
        Names this sender to the core.
    log
        Directory of the event log.
    after
        Last event that the caller knows; those after it come.
    spin_ns
        Part of a wait that is spent awake.
    least_epoch
        A core of a lower epoch is refused: another one has taken its place.
    silence_ns
        A core that is not there, or shows no sign of life, is called so after this time.
    """

    def __init__(
        self,
        shared: str,
        slot: str,
        *,
        source_id: int,
        log: str,
        after: int = 0,
        spin_ns: int = 0,
        least_epoch: int = 0,
        silence_ns: int = SILENCE_NS,
    ) -> None:
        self.last_sequence = after
        self.restarts = 0
        """Times that the core was found to be another one."""
        self.cuts = 0
        self.source_id = source_id
        self.least_epoch = least_epoch
        self._outdated = 0  # epoch of a core that was refused for it
        self._shared = shared
        self._slot = slot
        self._log = EventLog(log)
        self._spin_ns = spin_ns
        self._silence_ns = silence_ns
        self._port: Port | None = None
        self._joining = False
        self.ahead = False
        """The caller knows events that the core does not: its state is of another journal."""
        self._target = 0  # the log has to be read up to here before the feed counts
        self._buffer = np.zeros(4096, DELIVERY)
        # Above whatever a process with this source had before, unless the clock went back: see `_Lane`.
        first = now_ns()
        self._normal = _Lane(source_id, first)
        self._urgent = _Lane(source_id | URGENT_SOURCE, first)
        self._absence, self._turns, self._answers = _Stillness(), _Stillness(), _Stillness()

    @property
    def completed(self) -> int:
        """The last of this client's commands that the core has answered for, urgent ones apart."""
        return self._normal.completed

    @property
    def absent(self) -> bool:
        """No core is there, as far as is known."""
        return self._port is None

    @property
    def joining(self) -> bool:
        """The core has not begun to say anything yet."""
        return self._joining

    @property
    def silent(self) -> bool:
        """When it was last looked at, the core had not moved for long, or had long not answered what it was sent."""
        return max(self._turns.still_ns, self._answers.still_ns) > self._silence_ns

    @property
    def current(self) -> bool:
        """Every event that was ready has been given out."""
        port = self._port
        return port is not None and not self._joining and self._target <= self.last_sequence and not port.waiting()

    @property
    def refuses(self) -> str:
        """Why the core takes no new orders; "": it takes them, or has not been away for long."""
        if self._outdated:
            return f"the core has epoch {self._outdated}; expected {self.least_epoch}, which another one has"
        if self._port is None:
            return ABSENT if self._absence.still_ns > self._silence_ns else ""
        return SILENT if self.silent else self._port.refuses

    def submit(self, commands: Records, *, urgent: bool = False) -> int:
        """Send COMMAND records; returns the number of the last one, which `CoreBatch.completed` reaches.

        Parameters
        ----------
        urgent
            For what `overtakes` this client's other commands; numbered apart (`CoreBatch.completed_urgent`).

        Raises
        ------
        CoreAbsentError, CoreBusyError
            Nothing was sent.
        """
        if self._port is None and not self._attach():
            raise CoreAbsentError(ABSENT, where=self._slot, expected="a running one")
        port = self._port
        assert port is not None
        lane = self._urgent if urgent else self._normal
        if lane.numbers - lane.completed + len(commands) > port.capacity:
            raise CoreBusyError(
                f"{lane.numbers - lane.completed} commands are on their way",
                where=self._slot,
                expected=f"at most {port.capacity} with this call",
            )
        lane.add(commands)
        if not self._joining:
            self._flush()
        return lane.numbers

    def told(self, number: int, *, urgent: bool = False) -> int:
        """Under which `source_sequence` the core knows a command now: its events have that."""
        return number + (self._urgent if urgent else self._normal).shift

    def poll(self, wait_ns: int = 0) -> CoreBatch | None:
        """What the core has said since, after waiting for at most so long; None for nothing."""
        if self._port is None and not self._attach():
            return None
        port = self._port
        assert port is not None
        if port.retired:
            self._leave()
            return None
        if self._joining:
            joined = port.joined
            if joined is None:
                if not port.alive:
                    self._leave()
                return None
            self._joining = False
            self._target = joined - 1
            self.ahead = self._target < self.last_sequence
            for lane in (self._urgent, self._normal):
                # What a core that is gone has taken, this one knows: it answers DUPLICATE.
                lane.send_again()
        self._flush()
        if self._target > self.last_sequence:
            batch = self._from_log(min(self._target - self.last_sequence, MOST_FROM_LOG))
            if batch is not None:
                return batch
            return None  # not to be read yet
        count = port.receive(self._buffer, wait_ns, self._spin_ns)
        if count:
            return self._from_feed(self._buffer[:count])
        if port.cut:
            self.cuts += 1
            port.join()
            self._joining = True
        elif wait_ns and not port.alive:
            self._leave()
        return None

    def arm(self) -> bool:
        """Before a poll on `fileno()`: False where there is something to do already."""
        port = self._port
        if port is None:
            return True
        return not self._joining and self._target <= self.last_sequence and port.arm()

    def disarm(self) -> None:
        """After a poll on `fileno()`."""
        if self._port is not None:
            self._port.disarm()

    def fileno(self) -> int:
        """Readable after `arm()` when something was delivered; another one after a restart of the core; -1: none."""
        return -1 if self._port is None else self._port.fileno()

    def check(self) -> None:
        """Notice that the core has died without a word, or hangs; costs a look into /proc, so ask now and then."""
        if self._port is not None and not self._port.alive:
            self._leave()
        port, at_ns = self._port, now_ns()
        asked = port is not None and (self._normal.pending or self._urgent.pending)
        # Whatever is as it should be now differs from what it was before.
        self._absence.look(None if port is None else at_ns, at_ns)
        self._turns.look(at_ns if port is None else port.turns, at_ns)
        answered = (self.last_sequence, self._normal.completed, self._urgent.completed)
        self._answers.look(answered if asked else at_ns, at_ns)

    def beat(self) -> None:
        """Say that this process lives and does its work, for who watches over its slot."""
        if self._port is not None:
            self._port.beat()

    def close(self) -> None:
        """Give the slot back."""
        if self._port is not None:
            self._port.close()
            self._port = None

    def _attach(self) -> bool:
        try:
            self._port = Port(self._shared, self._slot, ALL)
        except PortError as error:
            if error.code != "core.absent":
                raise BusError(str(error), where=self._slot) from None
            return False
        epoch = self._port.journal_epoch
        if epoch < self.least_epoch:
            self._outdated = epoch
            self.close()
            return False
        self._outdated, self.least_epoch = 0, epoch
        self._joining = True
        return True

    def _leave(self) -> None:
        self.close()
        self.restarts += 1
        self._joining = False
        self._target = 0

    def _flush(self) -> None:
        """Hand over what the rings have room for; the rest at the next poll."""
        port = self._port
        assert port is not None
        self._urgent.send(port)
        self._normal.send(port)

    def _from_log(self, count: int) -> CoreBatch | None:
        records = self._log.read(self.last_sequence + 1, count)
        return self._batch(records) if len(records) else None

    def _from_feed(self, records: Records) -> CoreBatch | None:
        new = records["event"]["sequence"] > self.last_sequence
        extra = None
        if not new.all():
            # Known already (from the log), or without a sequence: an answer to an own command.
            extra = _picked(records, ~new)
            records = _picked(records, new)
        if len(records):
            missing = int(records["event"]["sequence"][0]) - self.last_sequence - 1
            if missing:
                records = joined([*self._missing(missing), records], DELIVERY)
        return self._batch(records, extra)

    def _missing(self, count: int) -> list[Records]:
        """The next `count` records, from the log."""
        parts: list[Records] = []
        first = self.last_sequence + 1
        while count:
            part = self._log.read(first, count)
            if not len(part):
                raise BusError(
                    f"event {first} is not in the log", where=self._log.path, expected="every event that was shown"
                )
            parts.append(part)
            first += len(part)
            count -= len(part)
        return parts

    def _batch(self, records: Records, extra: Records | None = None) -> CoreBatch | None:
        refusals = NO_EVENTS
        events = _events(records)
        self._answered(events, records["flags"])
        if extra is not None:
            answers = _events(extra)
            self._answered(answers, extra["flags"])
            refused = (extra["flags"] & REFUSED) != 0
            refused &= (answers["source_id"] & (URGENT_SOURCE - 1)) == self.source_id
            refusals = self._as_counted(answers[refused])
        if len(events):
            self.last_sequence = int(events["sequence"][-1])
        elif extra is None:
            return None
        return CoreBatch(
            events,
            records["kind"].copy(),
            refusals,
            self._normal.completed,
            self._urgent.completed,
            not len(events) or bool(records["flags"][-1] & LAST),
        )

    def _answered(self, events: Records, flags: np.ndarray) -> None:
        for lane in (self._normal, self._urgent):
            if not lane.pending:
                continue
            mine = (flags & LAST) != 0
            mine &= events["source_id"] == lane.source_id
            if mine.any():
                numbers = events["source_sequence"][mine]
                if lane.proven:
                    lane.answered(numbers)
                else:
                    lane.answered(numbers, events["kind"][mine], flags[mine])
                if lane.unsent and self._port is not None and not self._joining:
                    lane.send(self._port)

    def _as_counted(self, refusals: Records) -> Records:
        """Refusals with the numbers that `submit` gave."""
        for lane in (self._normal, self._urgent):
            if lane.shift and len(refusals):
                refusals["source_sequence"][refusals["source_id"] == lane.source_id] -= np.uint64(lane.shift)
        return refusals


# A copy of structured records goes field by field; of their bytes it is one move.
_RAW = np.dtype((np.void, DELIVERY.itemsize))
_ROW = np.dtype((np.void, COMMAND.itemsize))


def _picked(records: Records, which: np.ndarray) -> Records:
    picked: Records = records.view(_RAW)[which].view(DELIVERY)
    return picked


def _events(records: Records) -> Records:
    """The EVENT records within DELIVERY records: a copy, as the next poll overwrites those."""
    if not len(records):
        return NO_EVENTS
    raw = records.view(np.uint8).reshape(len(records), DELIVERY.itemsize)
    events: Records = raw[:, : EVENT.itemsize].copy().view(EVENT).reshape(-1)
    return events
