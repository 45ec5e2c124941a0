"""What of a journal may go, what stays, and that what goes in another way is missed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import numpy as np
import pytest

from nautilus.core import Kernel
from nautilus.core.journal import Journal, JournalReader, verify
from nautilus.core.journal_base import Base, read_base, segment_heads, write_base
from nautilus.core.segment import JournalError
from nautilus.trading.compaction import Rules, compact
from tests.kit import builders
from tests.kit import journal as kit
from tests.kit.core import OPENING

DROP = Rules("drop", keep_snapshots=2, keep_segments=0)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Many small segments and four snapshots, ended cleanly."""
    path = tmp_path / "journal"
    kernel = Kernel(accounts=(), capacity=4096, closed_capacity=4096, huge_pages=False)
    kernel.attach(Journal(path, segment_bytes=8192, capacity=4096, closed_capacity=4096))
    kernel.process(OPENING)
    for part in range(4):
        orders = [builders.new(1 + part * 100 + number, 1, 2, 50 + number % 9) for number in range(100)]
        for first in range(0, 100, 25):
            kernel.process(np.concatenate(orders[first : first + 25]))
        kernel.checkpoint()
    kernel.close()
    return path


def snapshots(path: Path) -> list[int]:
    return sorted(int(file.name[:16], 16) for file in path.glob("*.snapshot"))


def replayed(path: Path) -> int:
    return Kernel.replay(path).state_hash()


def test_segments_before_the_oldest_snapshot_that_is_kept_go(journal: Path) -> None:
    before, heads, kept = replayed(journal), segment_heads(journal), snapshots(journal)[-2:]
    done = compact(journal, DROP, logged=kept[0])
    left = segment_heads(journal)
    assert snapshots(journal) == kept
    assert [head.name for head in heads] == [*done.segments, *(head.name for head in left)]
    assert left[0].first_sequence <= kept[0] + 1 < left[1].first_sequence
    report = verify(journal)
    assert (report.valid, report.first_sequence) == (True, left[0].first_sequence)
    assert replayed(journal) == before
    # The older of the two is there for the case that the newer one is damaged.
    (journal / f"{kept[1]:016x}.snapshot").write_bytes(b"")
    assert replayed(journal) == before
    with Journal(journal, segment_bytes=8192) as again:
        assert again.last_sequence == report.last_sequence
    assert not compact(journal, DROP, logged=kept[0]).segments


def test_what_goes_is_in_the_archive(journal: Path, tmp_path: Path) -> None:
    files = {file.name: file.read_bytes() for file in journal.iterdir()}
    done = compact(journal, Rules("archive", 1, 0), logged=1 << 40)
    archive = tmp_path / "archive"
    assert {file.name for file in archive.iterdir()} == {*done.segments, *done.snapshots}
    assert all((archive / name).read_bytes() == files[name] for name in done.segments)


@pytest.mark.parametrize(
    ("rules", "logged", "needed", "why"),
    [
        (Rules("never"), 1 << 40, {}, "off"),
        (DROP._replace(keep_snapshots=5), 1 << 40, {}, "4 of 5 snapshots"),
        (DROP, 10, {}, "event log"),
        (DROP._replace(keep_segments=1000), 1 << 40, {}, "keep_segments"),
        (DROP, 1 << 40, {"the standby": 1}, "the standby"),
    ],
)
def test_nothing_goes_that_somebody_needs(
    journal: Path, rules: Rules, logged: int, needed: dict[str, int], why: str
) -> None:
    before = segment_heads(journal)
    done = compact(journal, rules, logged=logged, needed=needed)
    assert done.segments == ()
    assert why in done.kept
    assert segment_heads(journal) == before


def test_nothing_goes_while_somebody_opens_the_journal(journal: Path) -> None:
    directory = os.open(journal, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    assert "being opened" in compact(journal, DROP, logged=1 << 40).kept
    os.close(directory)
    assert compact(journal, DROP, logged=1 << 40).segments


def test_a_segment_that_is_lost_after_a_compaction_is_missed(journal: Path) -> None:
    compact(journal, DROP, logged=1 << 40)
    left = segment_heads(journal)
    (journal / left[0].name).unlink()
    report = verify(journal)
    assert report.damage is not None
    assert report.damage.what == "missing segment"
    with pytest.raises(JournalError, match="missing segment"):
        Journal(journal)


def test_a_compaction_that_was_interrupted_leaves_a_sound_journal(journal: Path) -> None:
    heads = segment_heads(journal)
    base = heads[4]
    write_base(journal, Base(base.first_sequence, 1, base.chain, base.digest, base.epoch))
    assert verify(journal).valid
    for head in heads[:2]:
        (journal / head.name).unlink()
        assert verify(journal).valid
    for head in heads[2:5]:
        (journal / head.name).unlink()
    assert not verify(journal).valid


def test_every_flipped_byte_of_the_base_is_found(journal: Path) -> None:
    compact(journal, DROP, logged=1 << 40)
    place = journal / "base"
    data = place.read_bytes()
    for at in range(len(data)):
        place.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        with pytest.raises(JournalError, match="damaged"):
            read_base(journal)
    for length in range(len(data)):
        place.write_bytes(data[:length])
        with pytest.raises(JournalError, match="damaged"):
            read_base(journal)


def test_a_first_segment_of_another_journal_is_found_after_a_compaction(journal: Path, tmp_path: Path) -> None:
    compact(journal, DROP, logged=1 << 40)
    head = segment_heads(journal)[0]
    data = bytearray((journal / head.name).read_bytes())
    data[64] ^= 1
    kit.sign_header(data)
    (journal / head.name).write_bytes(data)
    report = verify(journal)
    assert report.damage is not None
    assert report.damage.what == "chain"
    assert not len([item for item in JournalReader(journal, strict=False) if isinstance(item, np.ndarray)])
