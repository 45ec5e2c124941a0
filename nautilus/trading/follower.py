"""The follower: a process of low priority that replays the journal as it is written, and leaves snapshots of it.

    journal's files --> JournalTail --> own kernel --> at a hash record: equal? --> snapshot --> compaction

A snapshot is taken at a hash record of the core only, after its hashes were found equal to the follower's own: so it
counts as soon as it is there. The core does not know of it; killed, it begins again at the last snapshot.
"""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nautilus.core.clock import now_ns
from nautilus.core.counters import Counters
from nautilus.core.eventlog import EventLog, EventLogError
from nautilus.core.journal_reader import HashRecord
from nautilus.core.journal_tail import JournalTail
from nautilus.core.kernel import Kernel
from nautilus.core.segment import JournalError
from nautilus.core.snapshot_file import latest_snapshot, write_snapshot
from nautilus.model.errors import InternalError
from nautilus.trading.compaction import Rules, compact
from nautilus.trading.recovery import ReplayDiffersError
from nautilus.trading.shipper import Supervised

_LOG = logging.getLogger("nautilus.trading")
NICE = 10
IDLE_MS, QUIET_MS = 20, 60
QUIET_LOOKS = 50
"""So many looks at which nothing had come, and it looks less often."""
TURN_ITEMS = 16
LOOK_NS = 100_000_000
CHECKED = 65_536
"""Events of the log that are looked at in one go."""


class Settings(NamedTuple):
    """What the follower does.

    Attributes
    ----------
    snapshot_commands : commands between two snapshots, at least; hash records are 65,536 commands apart.
    rules : what of the journal may go.
    """

    snapshot_commands: int
    rules: Rules


class Follower:
    """One thread.

    Parameters
    ----------
    data
        Directory with the journal and the event log.
    counters
        Of this process.
    written
        The last command that is known to be written, for the lag; None where nobody knows.
    needed
        First command that others still want of the journal.
    """

    def __init__(
        self,
        data: str,
        settings: Settings,
        counters: Counters,
        *,
        written: Callable[[], int | None] = lambda: None,
        needed: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._path, self._log = Path(data, "journal"), EventLog(Path(data, "events"))
        self._settings, self._counters = settings, counters
        self._written, self._needed = written, needed
        self.kernel: Kernel | None = None
        self._tail: JournalTail | None = None
        self._waiting: tuple[int, int, bytes] | None = None  # a snapshot whose events the log does not have yet
        self._last_snapshot = 0
        self._checked = 0
        self._logged_sequence = 0  # all events up to this command are in the log, on disk
        self._looked_ns = 0
        self._seen_sequence = self._quiet_looks = 0
        names = ("follower.sequence", "follower.lag", "follower.snapshot_sequence", "follower.verified_sequence")
        self._gauges = {name: counters.gauge(name) for name in names}
        names = ("follower.snapshots", "follower.segments_removed", "follower.snapshots_removed", "follower.restarts")
        self._counts = {name: counters.counter(name) for name in names}
        self._ready, self._seen = counters.gauge("process.ready"), counters.gauge("process.seen_ns")

    @property
    def last_sequence(self) -> int:
        """The last command that the kernel has carried out."""
        return self.kernel.last_sequence if self.kernel is not None else 0

    def run(self, control: Supervised) -> int:
        """Until told to stop; the exit code."""
        os.nice(NICE)
        self._mirror(now_ns())
        control.ready({})
        while not control.stop_requested:
            more = self.turn()
            if select.select([control.fileno()], [], [], self.wait_ms(more) / 1000)[0]:
                control.poll()
        return 0

    def wait_ms(self, more: bool) -> int:
        """Until the next look."""
        moved = more or self.last_sequence != self._seen_sequence
        self._seen_sequence = self.last_sequence
        self._quiet_looks = 0 if moved else self._quiet_looks + 1
        return 0 if more else IDLE_MS if self._quiet_looks < QUIET_LOOKS else QUIET_MS

    def turn(self) -> bool:
        """Follow for a while; whether there is more to do at once.

        Raises
        ------
        ReplayDiffersError
            The journal gives other events here than it gave the core.
        """
        did = 0
        try:
            while did < TURN_ITEMS and (self._tail is not None or self._begin()):
                assert self._tail is not None
                item = self._tail.next()
                if item is None:
                    break
                did += 1
                if isinstance(item, HashRecord):
                    self._compare(item)
                else:
                    self._carry_out(item)
        except JournalError as error:
            # A recovery has cut or rewritten what was being read: from the last snapshot on it is read again.
            _LOG.warning("the journal is followed anew: %s", error)
            self._counters.increment(self._counts["follower.restarts"])
            self.close()
        at_ns = now_ns()
        if at_ns - self._looked_ns > LOOK_NS:
            self._looked_ns = at_ns
            self._store()
            self._mirror(at_ns)
        return did == TURN_ITEMS

    def close(self) -> None:
        """Let go of the journal; the kernel goes too."""
        if self._tail is not None:
            self._tail.close()
        self._tail = self.kernel = self._waiting = None

    def _begin(self) -> bool:
        """From the latest snapshot, or the first command; False while there is no journal."""
        if not any(self._path.glob("*.journal")):
            return False
        found = latest_snapshot(self._path)
        tail = JournalTail(self._path, found.sequence + 1 if found.payload is not None else 1)
        first = tail.next()
        if first is None and not tail.capacity:
            tail.close()
            return False
        assert tail.hashes is not None
        self.kernel = Kernel(
            accounts=(),
            capacity=tail.capacity,
            closed_capacity=tail.closed_capacity,
            huge_pages=False,
            hashes=tail.hashes,
        )
        if found.payload is not None:
            self.kernel.restore(found.payload)
            if self.kernel.hashes != tail.hashes:
                raise InternalError(
                    f"snapshot of command {found.sequence} with {self.kernel.hashes} hashes",
                    where=str(self._path),
                    expected=f"{tail.hashes}, as the journal has",
                )
        self._last_snapshot = found.sequence
        self._counters.set(self._gauges["follower.snapshot_sequence"], found.sequence)
        self._tail = tail
        if isinstance(first, HashRecord):
            self._compare(first)
        elif first is not None:
            self._carry_out(first)
        return True

    def _carry_out(self, commands: np.ndarray) -> None:
        kernel = self.kernel
        assert kernel is not None
        kernel.process(commands)
        if kernel.last_sequence != int(commands["sequence"][-1]):
            raise ReplayDiffersError(
                f"the follower is at command {kernel.last_sequence}",
                where=str(self._path),
                expected=str(commands["sequence"][-1]),
            )

    def _compare(self, record: HashRecord) -> None:
        kernel = self.kernel
        assert kernel is not None
        if record.command_sequence != kernel.last_sequence:
            return
        if (record.event_hash, record.journal_hash) != (kernel.event_hash(), kernel.journal_hash()):
            raise ReplayDiffersError(
                f"the follower gives event hash {kernel.event_hash():016x} after command {record.command_sequence}",
                where=str(self._path),
                expected=f"{record.event_hash:016x}",
            )
        self._counters.set(self._gauges["follower.verified_sequence"], record.command_sequence)
        due = record.command_sequence - self._last_snapshot >= self._settings.snapshot_commands
        if due and self._waiting is None:
            self._waiting = (kernel.last_sequence, kernel.last_event_sequence, kernel.snapshot())

    def _store(self) -> None:
        """Write the snapshot that waits, once the log has its events on disk; then let go of what is not needed."""
        if self._waiting is None:
            return
        sequence, event_sequence, payload = self._waiting
        if not self._logged(event_sequence):
            return
        write_snapshot(self._path, sequence, payload)
        self._waiting, self._last_snapshot = None, sequence
        self._logged_sequence = sequence
        self._counters.increment(self._counts["follower.snapshots"])
        self._counters.set(self._gauges["follower.snapshot_sequence"], sequence)
        _LOG.info("snapshot of command %d written: %d bytes", sequence, len(payload))
        done = compact(self._path, self._settings.rules, logged=self._logged_sequence, needed=self._needed())
        self._counters.add(self._counts["follower.segments_removed"], len(done.segments))
        self._counters.add(self._counts["follower.snapshots_removed"], len(done.snapshots))
        if done.segments:
            what = "dropped" if self._settings.rules.policy == "drop" else "archived"
            _LOG.info("journal compacted: %s %s; the rest is kept for %s", what, ", ".join(done.segments), done.kept)

    def _logged(self, event_sequence: int) -> bool:
        """Whether the event log has, sound and on disk, every event up to one; none of it is looked at twice."""
        try:
            if not self._checked:
                self._checked = self._first_logged() - 1
            while self._checked < event_sequence:
                found = self._log.read(self._checked + 1, CHECKED)
                if not len(found):
                    return False
                self._checked += len(found)
            files = sorted(Path(self._log.path).glob("*.events"))
        except (EventLogError, OSError) as error:
            _LOG.warning("no snapshot: the event log cannot be read: %s", error)
            return False
        for place in (*files, Path(self._log.path)):
            descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return True

    def _first_logged(self) -> int:
        """First event of the log: 1, or what a standby's log begins with."""
        names = sorted(Path(self._log.path).glob("*.events"))
        if not names:
            raise EventLogError(f"{self._log.path}: expected a file of events, found none")
        return int(names[0].stem, 16)

    def _mirror(self, at_ns: int) -> None:
        counters, here = self._counters, self.last_sequence
        written = self._written()
        counters.set(self._gauges["follower.sequence"], here)
        counters.set(self._gauges["follower.lag"], max(0, (written or here) - here))
        counters.set(self._ready, 1)
        counters.set(self._seen, at_ns)


__all__ = ["Follower", "Settings"]
