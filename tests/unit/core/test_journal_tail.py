"""A reader that follows a writer: every record once and in order, over rolls, restarts, recoveries and damage."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

import numpy as np
import pytest

from nautilus.core.journal import HashRecord, Journal, JournalError
from nautilus.core.journal_base import segment_heads
from nautilus.core.journal_tail import JournalTail
from tests.kit import journal as kit
from tests.kit.replicas import eventually

SMALL = 8192


def take(tail: JournalTail) -> tuple[bytes, list[HashRecord]]:
    """What is there now."""
    parts, marks = [], []
    while (item := tail.next()) is not None:
        if isinstance(item, HashRecord):
            marks.append(item)
        else:
            parts.append(item.tobytes())
    return b"".join(parts), marks


@pytest.mark.parametrize("seed", range(6))
def test_a_tail_has_what_the_writer_wrote_however_that_comes(tmp_path: Path, seed: int) -> None:
    chance, path = Random(seed), tmp_path / "journal"
    written = kit.commands(1, 2000, wide=3)
    tail, done, seen, marks, hashes = None, 0, b"", [], []
    journal = Journal(path, segment_bytes=SMALL)
    while done < len(written):
        count = chance.randrange(1, 90)
        journal.append(written[done : done + count])
        done = min(done + count, len(written))
        if chance.random() < 0.3:
            journal.append_hash(done, 1, 2)
            hashes.append(done)
        if chance.random() < 0.1:
            journal.close()
            journal = Journal(path, segment_bytes=SMALL)
        if tail is None and chance.random() < 0.5:
            tail = JournalTail(path, batch=chance.randrange(1, 50))
        if tail is not None and chance.random() < 0.7:
            part, found = take(tail)
            seen += part
            marks += found
            assert seen == written[:done].tobytes()
    assert tail is not None
    part, found = take(tail)
    assert seen + part == written.tobytes()
    assert [mark.command_sequence for mark in marks + found] == hashes
    journal.close()
    assert take(tail) == (b"", [])


def test_a_tail_begins_where_it_is_told(tmp_path: Path) -> None:
    path, written = tmp_path / "journal", kit.commands(1, 400)
    with Journal(path, segment_bytes=SMALL) as journal:
        journal.append(written)
        for start in (1, 2, 77, 400, 401):
            assert take(JournalTail(path, start))[0] == written[start - 1 :].tobytes()
        tail = JournalTail(path, 401)
        more = kit.commands(401, 3)
        journal.append(more)
        assert take(tail)[0] == more.tobytes()


def test_a_tail_that_comes_before_the_journal_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.mkdir()
    tail = JournalTail(path)
    assert tail.next() is None
    with Journal(path) as journal:
        assert tail.next() is None
        journal.append(kit.commands(1, 3))
        assert take(tail)[0] == kit.commands(1, 3).tobytes()
        assert (tail.last_sequence, tail.epoch) == (3, 1)


def test_a_segment_without_commands_is_passed_over_when_the_next_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path) as journal:
        journal.append(kit.commands(1, 2))
    tail = JournalTail(path)
    assert take(tail)[0] == kit.commands(1, 2).tobytes()
    for epoch in (None, 2, 5):
        Journal(path, epoch=epoch).close()
        assert tail.next() is None
    with Journal(path) as journal:
        journal.append(kit.commands(3, 2))
        assert take(tail)[0] == kit.commands(3, 2).tobytes()
        assert tail.epoch == 5


def test_a_tail_goes_on_behind_what_a_recovery_left(tmp_path: Path) -> None:
    live, path = tmp_path / "live", tmp_path / "journal"
    journal = Journal(live, segment_bytes=SMALL)
    journal.append(kit.commands(1, 30))
    kit.copy(live, path)
    segment = kit.segments(path)[-1]
    tail = JournalTail(path)
    assert take(tail)[0] == kit.commands(1, 30).tobytes()
    # A write that was under way when the writer died: half of a record.
    journal.append(kit.commands(31, 1))
    journal.close()
    record = kit.segment_records(kit.segments(live)[-1].read_bytes())[30]
    with open(segment, "r+b") as file:
        file.seek(record.offset)
        file.write(kit.segments(live)[-1].read_bytes()[record.offset : record.offset + 40])
    assert tail.next() is None
    with Journal(path, segment_bytes=SMALL) as again:
        assert again.recovery.damage.what == "torn"
        again.append(kit.commands(31, 20))
        assert take(tail)[0] == kit.commands(31, 20).tobytes()


def test_damage_that_stays_is_said_and_nothing_behind_it_is_delivered(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path) as journal:
        journal.append(kit.commands(1, 50))
    segment = kit.segments(path)[0]
    data = segment.read_bytes()
    for record in kit.segment_records(data)[3:50:23]:
        changed = bytearray(data)
        changed[record.offset + 20] ^= 4
        segment.write_bytes(changed)
        tail = JournalTail(path)
        found = take(tail)[0]
        assert found == kit.commands(1, len(found) // 128).tobytes()
        assert len(found) // 128 == (record.offset - 4096) // 72

        def said(tail: JournalTail = tail) -> str:
            try:
                return "" if tail.next() is None else "delivered"
            except JournalError as error:
                return error.code

        assert eventually(said, "the damage") == "damaged"
    segment.write_bytes(data)


def test_a_segment_that_does_not_continue_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, segment_bytes=SMALL) as journal:
        journal.append(kit.commands(1, 200))
    names = [head.name for head in segment_heads(path)]
    with Journal(tmp_path / "other", segment_bytes=SMALL) as other:
        changed = kit.commands(1, 200)
        changed["quantity"][0] += 1
        other.append(changed)
    shutil.copy(tmp_path / "other" / names[1], path / names[1])
    with pytest.raises(JournalError, match="chain"):
        take(JournalTail(path))
    os.unlink(path / names[1])
    tail = JournalTail(path)
    assert take(tail)[0] == np.ascontiguousarray(kit.commands(1, int(names[1][:16], 16) - 1)).tobytes()
    os.unlink(path / names[0])
    with pytest.raises(JournalError, match="missing segment"):
        JournalTail(path, 1)
