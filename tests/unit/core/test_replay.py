"""The one pass over a journal: every event in order, whatever the batches; nothing written before it is known sound."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from nautilus.core import EVENT, EventKind, Kernel
from nautilus.core.eventlog import EventLog, EventLogWriter
from nautilus.core.journal import Journal, JournalError, verify
from nautilus.core.journal_base import segment_heads
from nautilus.core.types import Side
from nautilus.model.errors import InternalError
from nautilus.trading.compaction import Rules, compact
from nautilus.trading.recovery import Recovered, ReplayDiffersError, recover
from tests.kit import builders
from tests.kit.core import OPENING, attach, carry_out, running

SIZES = {"capacity": 8192, "closed_capacity": 1 << 14}
MANY = 3000
"""Open orders: three times the events that a batch of the replay has room for."""


def resting(count: int) -> np.ndarray:
    """New orders that rest, one lot each, ids from 1."""
    rows = np.repeat(builders.new(1, Side.BUY, 50, 1), count)
    rows["order_id"] = np.arange(1, count + 1)
    return rows


def reopen(directory: Path) -> Recovered:
    found = recover(str(directory / "data"), policy="memory", open_orders=1 << 14, segment_bytes=1 << 20)
    found.journal.close()
    found.log.close()
    return found


def trade(directory: Path, *batches: np.ndarray) -> int:
    """Carry commands out in a core; its state hash. No snapshot is left, so that all of it is replayed."""
    with running(directory, capacity=8192) as (core, _):  # room for all events of a mass cancel
        port = attach(core)
        for commands in batches:
            for first in range(0, len(commands), 512):
                carry_out(port, commands[first : first + 512])
        with core.held() as kernel:
            state_hash = int(kernel.state_hash())
    for snapshot in (directory / "data" / "journal").glob("*.snapshot"):
        snapshot.unlink()
    return state_hash


def files(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, but the lock, with its bytes."""
    found = (path for path in sorted(directory.rglob("*")) if path.is_file() and path.name != "lock")
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def records(directory: Path) -> np.ndarray:
    return EventLog(directory / "data" / "events").read(1, 1 << 20)


def replay_threads() -> list[str]:
    names = (Path(f"/proc/self/task/{task}/comm") for task in [path.name for path in Path("/proc/self/task").iterdir()])
    return [name for name in (path.read_text().strip() for path in names) if name == "core-replay"]


def test_a_command_with_more_events_than_a_batch_has_room_for_gives_all_of_them(tmp_path: Path) -> None:
    kernel = Kernel(accounts=(), journal=None, **SIZES)
    kernel.attach(Journal(tmp_path / "j", **SIZES))
    wanted = [
        kernel.process(part)
        for part in (OPENING, resting(MANY), builders.mass_cancel(), resting(7)[:0], builders.mass_cancel())
    ]
    hashes = kernel.state_hash(), kernel.event_hash(), kernel.journal_hash()
    kernel.close()
    found: list[np.ndarray] = []
    again = Kernel.replay(tmp_path / "j", on_events=found.append)
    assert np.concatenate(found).tobytes() == np.concatenate(wanted).tobytes()
    assert (np.concatenate(found)["kind"] == EventKind.CANCELLED).sum() == MANY
    assert (again.state_hash(), again.event_hash(), again.journal_hash()) == hashes
    events = again.process(builders.new(MANY + 1, Side.BUY, 50, 1))
    assert events["sequence"].tolist() == [sum(map(len, wanted)) + 1]


@pytest.mark.parametrize("kept", [0, MANY // 2])
def test_a_log_that_lacks_part_of_a_mass_cancel_gets_it_with_the_same_marks(tmp_path: Path, kept: int) -> None:
    state_hash = trade(tmp_path, OPENING, resting(MANY), builders.mass_cancel(), builders.new(9999, Side.BUY, 50, 1))
    before = records(tmp_path)
    found = reopen(tmp_path)
    end = len(OPENING) + MANY + kept
    found = recover_after_truncation(tmp_path, end)
    after = records(tmp_path)
    assert (found.hash, found.logged, found.notes) == (state_hash, len(before) - end, ())
    for field in ("event", "kind", "flags"):
        assert np.ascontiguousarray(after[field]).tobytes() == np.ascontiguousarray(before[field]).tobytes()


def recover_after_truncation(directory: Path, last: int) -> Recovered:
    """Recover where the log ends early; each clean stop leaves a snapshot, which is no part of this."""
    log = EventLogWriter(directory / "data" / "events", file_bytes=1 << 20)
    log.truncate(last)
    log.close()
    return reopen(directory)


def test_more_events_than_are_kept_are_made_once_more(tmp_path: Path) -> None:
    refused = np.repeat(builders.cancel(5, account_id=1), 70_000)
    kernel = Kernel(accounts=(), **SIZES)
    path = tmp_path / "data" / "journal"
    path.parent.mkdir()
    kernel.attach(Journal(path, segment_bytes=1 << 20, **SIZES))
    wanted = np.concatenate([kernel.process(OPENING), kernel.process(refused)])
    state_hash = kernel.state_hash()
    kernel.close()
    confirmed: list[int] = []
    found = recover(
        str(tmp_path / "data"), policy="memory", open_orders=1 << 14, segment_bytes=1 << 20, confirm=confirmed.append
    )
    found.journal.close()
    found.log.close()
    assert (found.hash, found.logged, found.notes) == (state_hash, len(wanted), ())
    assert np.ascontiguousarray(records(tmp_path)["event"]).tobytes() == wanted.tobytes()
    assert confirmed == sorted(confirmed)
    assert confirmed[-1] == found.commands == len(OPENING) + len(refused)


def test_a_journal_that_gives_other_events_is_named_and_left_as_it_was(tmp_path: Path) -> None:
    trade(tmp_path, OPENING, resting(50))
    path = tmp_path / "data" / "journal"
    with Journal(path, segment_bytes=1 << 20) as journal:
        rows = builders.new(1000, Side.BUY, 50, 1)
        rows["sequence"] = journal.last_sequence + 1
        journal.append(rows)
        journal.append_hash(1, 0x1234, 0x5678)
        last = journal.last_sequence
    before = files(tmp_path / "data")
    with pytest.raises(ReplayDiffersError, match=rf"commands 1 to {last} give event hash .*expected 0000000000001234"):
        reopen(tmp_path)
    assert files(tmp_path / "data") == before
    with pytest.raises(ValueError, match="expected 0000000000001234"):
        Kernel.open(path)
    assert files(tmp_path / "data") == before


def test_a_snapshot_behind_the_valid_prefix_is_passed_over(tmp_path: Path) -> None:
    state_hash = trade(tmp_path, OPENING, resting(200))
    path = tmp_path / "data" / "journal"
    with running(tmp_path):
        pass  # its clean stop leaves a snapshot of the last command
    (snapshot,) = path.glob("*.snapshot")
    segment = sorted(path.glob("*.journal"))[0]
    content = bytearray(segment.read_bytes())
    content[4096 + 72 * 100] ^= 1
    segment.write_bytes(content)
    valid = verify(path).last_sequence
    assert valid < int(snapshot.stem, 16)
    found = reopen(tmp_path)
    assert (found.commands, found.replayed) == (valid, valid)
    assert found.hash != state_hash
    assert found.log.last_sequence == found.kernel.last_event_sequence


def test_damage_before_the_snapshot_is_found_although_nothing_there_is_carried_out(tmp_path: Path) -> None:
    kernel = Kernel(accounts=(), **SIZES)
    kernel.attach(Journal(tmp_path / "j", **SIZES))
    kernel.process(OPENING)
    kernel.process(resting(100))
    kernel.checkpoint()
    kernel.process(builders.mass_cancel())
    kernel.close()
    assert Kernel.replay(tmp_path / "j").open_orders == 0
    (segment,) = (tmp_path / "j").glob("*.journal")
    content = bytearray(segment.read_bytes())
    content[4096 + 72 * 30] ^= 1
    segment.write_bytes(content)
    with pytest.raises(JournalError, match="checksum"):
        Kernel.replay(tmp_path / "j")
    partial = Kernel.replay(tmp_path / "j", strict=False)
    assert partial.last_sequence == verify(tmp_path / "j").last_sequence < len(OPENING) + 100


def test_a_journal_that_lost_its_first_segment_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    trade(tmp_path, OPENING, *[np.repeat(builders.cancel(5, account_id=1), 1000)] * 16)
    first, *_ = sorted((tmp_path / "data" / "journal").glob("*.journal"))
    first.unlink()
    before = files(tmp_path / "data")
    with pytest.raises(JournalError, match="missing segment"):
        reopen(tmp_path)
    assert files(tmp_path / "data") == before


def test_a_compacted_journal_without_a_snapshot_names_the_command_that_is_lacking(tmp_path: Path) -> None:
    trade(tmp_path, OPENING, *[np.repeat(builders.cancel(5, account_id=1), 1000)] * 16)
    with running(tmp_path):
        pass  # its clean stop leaves a snapshot
    path = tmp_path / "data" / "journal"
    compact(path, Rules("drop", keep_snapshots=1, keep_segments=0), logged=1 << 40)
    begins = segment_heads(path)[0].first_sequence
    assert begins > 1
    for snapshot in path.glob("*.snapshot"):
        snapshot.unlink()
    before = files(tmp_path / "data")
    with pytest.raises(InternalError, match=f"expected command 1, found {begins}"):
        reopen(tmp_path)
    assert files(tmp_path / "data") == before


def test_an_exception_of_the_reader_ends_the_pass_and_its_thread(tmp_path: Path) -> None:
    kernel = Kernel(accounts=(), **SIZES)
    kernel.attach(Journal(tmp_path / "j", **SIZES))
    kernel.process(OPENING)
    kernel.process(np.repeat(builders.cancel(5, account_id=1), 20_000))
    kernel.close()
    seen: list[int] = []

    def fail(events: np.ndarray) -> None:
        assert events.dtype == EVENT
        seen.append(len(events))
        if len(seen) == 5:
            raise LookupError("enough")

    before = threading.active_count()
    with pytest.raises(LookupError, match="enough"):
        Kernel.replay(tmp_path / "j", on_events=fail)
    assert len(seen) == 5
    assert replay_threads() == []
    assert threading.active_count() == before
