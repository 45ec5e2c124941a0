"""The core comes back: the journal decides, the event log is made to agree, and what was mended is said."""

from pathlib import Path

import numpy as np
import pytest

from nautilus.core.eventlog import DELIVERY, HEADER_BYTES, EventLog, EventLogWriter
from nautilus.core.types import Side
from nautilus.trading.recovery import Recovered, recover
from tests.kit import builders
from tests.kit.core import OPENING, attach, carry_out, running

ORDERS = builders.batch(*(builders.new(number, Side.BUY, 2, 50 + number % 9) for number in range(1, 200)))


def trade(directory: Path, *batches: np.ndarray) -> int:
    """Carry commands out in a core; its state hash at the end."""
    with running(directory) as (core, _):
        port = attach(core)
        for commands in batches:
            carry_out(port, commands)
        with core.held() as kernel:
            return int(kernel.state_hash())


def reopen(directory: Path) -> Recovered:
    found = recover(str(directory / "data"), policy="memory", open_orders=1 << 14, segment_bytes=1 << 20)
    found.journal.close()
    found.log.close()
    return found


def log_of(directory: Path) -> EventLog:
    return EventLog(directory / "data" / "events")


def events_of(directory: Path) -> bytes:
    """Every event in the log, as bytes."""
    return np.ascontiguousarray(log_of(directory).read(1, 10_000)["event"]).tobytes()


def test_a_new_core_has_nothing(tmp_path: Path) -> None:
    found = reopen(tmp_path)
    assert (found.commands, found.replayed, found.logged, found.notes) == (0, 0, 0, ())


def test_a_clean_stop_leaves_a_snapshot_and_nothing_to_replay(tmp_path: Path) -> None:
    state_hash = trade(tmp_path, OPENING, ORDERS)
    found = reopen(tmp_path)
    assert found.hash == state_hash
    assert (found.commands, found.replayed, found.logged, found.notes) == (len(OPENING) + len(ORDERS), 0, 0, ())


def test_events_that_the_log_lacks_are_made_from_the_journal(tmp_path: Path) -> None:
    state_hash = trade(tmp_path, OPENING, ORDERS)
    before = log_of(tmp_path).read(1, 10_000)
    for snapshot in (tmp_path / "data" / "journal").glob("*.snapshot"):
        snapshot.unlink()
    log = EventLogWriter(tmp_path / "data" / "events", file_bytes=1 << 20)
    log.truncate(57)
    log.close()
    found = reopen(tmp_path)
    after = log_of(tmp_path).read(1, 10_000)
    assert found.hash == state_hash
    assert found.logged == len(before) - 57
    assert np.ascontiguousarray(after["event"]).tobytes() == np.ascontiguousarray(before["event"]).tobytes()
    assert after["kind"].tolist() == before["kind"].tolist()
    assert after["flags"].tolist() == before["flags"].tolist()


def test_a_log_that_ends_before_the_snapshot_is_written_anew(tmp_path: Path) -> None:
    state_hash = trade(tmp_path, OPENING, ORDERS)
    before = log_of(tmp_path).read(1, 10_000)
    for file in (tmp_path / "data" / "events").glob("*.events"):
        file.unlink()
    found = reopen(tmp_path)
    assert found.hash == state_hash
    assert found.logged == len(before)
    assert "before the snapshot" in found.notes[0]
    assert len(log_of(tmp_path).read(1, 10_000)) == len(before)


def test_events_of_commands_that_the_journal_lost_are_cut(tmp_path: Path) -> None:
    trade(tmp_path, OPENING, ORDERS[:50])
    kept = len(log_of(tmp_path).read(1, 10_000))
    log = EventLogWriter(tmp_path / "data" / "events", file_bytes=1 << 20)
    extra = np.zeros(3, DELIVERY)
    extra["event"]["sequence"] = np.arange(kept + 1, kept + 4)
    log.append(extra)
    log.close()
    found = reopen(tmp_path)
    assert "journal lost; cut" in found.notes[0]
    assert len(log_of(tmp_path).read(1, 10_000)) == kept


def test_an_event_that_differs_from_the_journals_is_written_anew(tmp_path: Path) -> None:
    trade(tmp_path, OPENING, ORDERS)
    for snapshot in (tmp_path / "data" / "journal").glob("*.snapshot"):
        snapshot.unlink()
    before = log_of(tmp_path).read(1, 10_000)
    changed = before.copy()
    changed["event"]["quantity"][100] += 1
    log = EventLogWriter(tmp_path / "data" / "events", file_bytes=1 << 20)
    log.truncate(0)
    log.append(changed)
    log.close()
    found = reopen(tmp_path)
    assert any("differ from the journal's" in note for note in found.notes)
    assert events_of(tmp_path) == np.ascontiguousarray(before["event"]).tobytes()


def test_a_torn_journal_is_cut_and_said(tmp_path: Path) -> None:
    trade(tmp_path, OPENING, ORDERS)
    journal = tmp_path / "data" / "journal"
    segment = sorted(journal.glob("*.journal"))[0]
    content = bytearray(segment.read_bytes())
    content[-200] ^= 1
    segment.write_bytes(content)
    found = reopen(tmp_path)
    assert found.commands < len(OPENING) + len(ORDERS)
    assert any(note.startswith("journal:") for note in found.notes)
    assert found.log.last_sequence == found.kernel.last_event_sequence
    # It trades on from there.
    with running(tmp_path) as (core, again):
        assert again.hash == found.hash
        carry_out(attach(core), builders.new(5000, Side.BUY, 1, 50))


def test_a_log_whose_header_is_gone_is_written_anew(tmp_path: Path) -> None:
    state_hash = trade(tmp_path, OPENING, ORDERS)
    before = events_of(tmp_path)
    with next((tmp_path / "data" / "events").glob("*.events")).open("r+b") as file:
        file.write(bytes(HEADER_BYTES))
    found = reopen(tmp_path)
    assert found.hash == state_hash
    assert "set aside" in found.notes[0]
    assert events_of(tmp_path) == before


def test_a_hole_before_the_snapshot_is_mended_from_the_journal(tmp_path: Path) -> None:
    many = np.concatenate([builders.cancel(5, account_id=1)] * 1000)
    trade(tmp_path, OPENING, *[many] * 6)
    before = events_of(tmp_path)
    with next((tmp_path / "data" / "events").glob("*.events")).open("r+b") as file:
        file.seek(4 * 4096)
        file.write(bytes(4096))
    found = reopen(tmp_path)
    assert "before the snapshot" in found.notes[0]
    assert events_of(tmp_path) == before


def test_a_hole_in_a_file_before_the_last_is_mended_from_the_journal(tmp_path: Path) -> None:
    many = np.concatenate([builders.cancel(5, account_id=1)] * 1000)
    trade(tmp_path, OPENING, *[many] * 9)
    for snapshot in (tmp_path / "data" / "journal").glob("*.snapshot"):
        snapshot.unlink()
    before = events_of(tmp_path)
    first, _ = sorted((tmp_path / "data" / "events").glob("*.events"))
    with first.open("r+b") as file:
        file.seek(4 * 4096)
        file.write(bytes(4096))
    found = reopen(tmp_path)
    assert "differ from the journal's" in found.notes[0]
    assert events_of(tmp_path) == before


def test_no_event_lies_behind_the_end_after_both_have_lost_some(tmp_path: Path) -> None:
    trade(tmp_path, OPENING, ORDERS)
    for snapshot in (tmp_path / "data" / "journal").glob("*.snapshot"):
        snapshot.unlink()
    file = next((tmp_path / "data" / "events").glob("*.events"))
    with file.open("r+b") as opened:
        opened.seek(HEADER_BYTES + 100 * DELIVERY.itemsize)
        opened.write(bytes(DELIVERY.itemsize))
    segment = sorted((tmp_path / "data" / "journal").glob("*.journal"))[0]
    content = bytearray(segment.read_bytes())
    content[4096 + 150 * 72] ^= 1  # its end lies between the place that is lost and the old end of the log
    segment.write_bytes(content)
    found = reopen(tmp_path)
    last = found.log.last_sequence
    assert last == found.kernel.last_event_sequence
    assert 101 < last < len(OPENING) + len(ORDERS)
    assert len(log_of(tmp_path).read(last + 1)) == 0
    with running(tmp_path) as (core, _):
        carry_out(attach(core), builders.new(5000, Side.BUY, 1, 50))
    assert log_of(tmp_path).read(last + 1)["event"]["order_id"].tolist() == [5000]


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_damaged_log_is_mended_from_the_journal(tmp_path: Path, place: float) -> None:
    trade(tmp_path, OPENING, ORDERS)
    for snapshot in (tmp_path / "data" / "journal").glob("*.snapshot"):
        snapshot.unlink()
    before = log_of(tmp_path).read(1, 10_000)
    file = next((tmp_path / "data" / "events").glob("*.events"))
    content = bytearray(file.read_bytes())
    content[HEADER_BYTES + int(len(before) * place) * DELIVERY.itemsize + 30] ^= 8
    file.write_bytes(content)
    reopen(tmp_path)
    assert events_of(tmp_path) == np.ascontiguousarray(before["event"]).tobytes()
