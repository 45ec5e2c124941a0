"""The journal as a writer and a reader see it: round trips, rolling, reopening, refusals."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nautilus.core.journal import (
    HashRecord,
    Journal,
    JournalError,
    JournalReader,
    encode,
    repair,
    verify,
    write_snapshot,
)
from nautilus.core.types import COMMAND, LAYOUT_VERSION, RULES_VERSION
from tests.kit import journal as kit

SMALL = 8192


def content(path: Path, **options: object) -> tuple[np.ndarray, list[HashRecord]]:
    """All commands in one array, and all hash records."""
    arrays, hashes = [np.zeros(0, dtype=COMMAND)], []
    for item in JournalReader(path, **options):
        if isinstance(item, HashRecord):
            hashes.append(item)
        else:
            arrays.append(item)
    return np.concatenate(arrays), hashes


def filled(path: Path, count: int = 150, **options: object) -> np.ndarray:
    written = kit.commands(1, count, wide=3)
    with Journal(path, segment_bytes=SMALL, **options) as journal:
        journal.append(written)
    return written


operations = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 60), st.integers(0, 3)),
        st.tuples(st.just("hash"), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
        st.tuples(st.just("reopen"), st.just(0), st.just(0)),
        st.tuples(st.just("crash"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(operations, st.sampled_from([SMALL, 12288, 65536]))
def test_what_is_read_is_what_a_list_would_hold(tmp_path: Path, steps: list, segment_bytes: int) -> None:
    path = tmp_path / "journal"
    shutil.rmtree(path, ignore_errors=True)
    kept: list[np.ndarray] = []
    hashes: list[HashRecord] = []
    in_segment = 0
    journal = Journal(path, segment_bytes=segment_bytes)
    for step, first, second in steps:
        if step == "append":
            batch = kit.commands(sum(map(len, kept)) + 1, first, wide=second)
            journal.append(batch)
            kept.append(batch)
            in_segment += first
        elif step == "hash" and in_segment:
            record = HashRecord(journal.last_sequence, first % 1000, first, second)
            journal.append_hash(record.event_sequence, record.event_hash, record.journal_hash)
            # The first one for a command counts; the kernel's second one would be the same.
            if not hashes or hashes[-1].command_sequence != record.command_sequence:
                hashes.append(record)
        elif step == "reopen":
            journal.close()
            assert verify(path).clean
            journal = Journal(path, segment_bytes=segment_bytes)
            in_segment = 0
        elif step == "crash":
            crashed = kit.copy(path, path.with_name("crashed"))
            journal.close()
            kit.copy(crashed, path)
            report = verify(path)
            assert report.valid
            assert not report.clean
            journal = Journal(path, segment_bytes=segment_bytes)
            in_segment = 0
        assert journal.last_sequence == journal.written_sequence == sum(map(len, kept))
    journal.close()
    expected = np.concatenate([np.zeros(0, dtype=COMMAND), *kept])
    commands, checkpoints = content(path, batch=17)
    assert commands.tobytes() == expected.tobytes()
    assert checkpoints == hashes
    report = verify(path)
    assert (report.valid, report.clean, report.last_sequence) == (True, True, len(expected))


def test_files_are_as_the_document_describes_them(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written = kit.commands(1, 2, wide=2)
    with Journal(path, segment_bytes=SMALL, capacity=1024, closed_capacity=512, epoch=7) as journal:
        journal.append(written)
        journal.append_hash(11, 2**64 - 1, 13)
    (segment,) = kit.segments(path)
    data = segment.read_bytes()
    assert segment.name == "0000000000000001.journal"
    assert struct.unpack_from("<8sIIqqQQQI", data) == (
        b"NAUTJNL1", LAYOUT_VERSION, RULES_VERSION, SMALL, 1, 7, 1024, 512, 0,
    )  # fmt: skip
    assert data[kit.COPY_AT : kit.COPY_AT + 128] == data[:128]
    assert struct.unpack_from("<I", data, 124)[0] == kit.crc32c(data[:124])
    narrow, wide, checkpoint, seal = kit.segment_records(data)
    assert (narrow.kind, narrow.body) == (1, written[0].tobytes()[:64])
    assert (wide.kind, wide.body) == (1, written[1].tobytes())
    assert (checkpoint.kind, struct.unpack("<qqQQ", checkpoint.body)) == (2, (2, 11, 2**64 - 1, 13))
    assert (seal.kind, struct.unpack("<qqQQ", seal.body)) == (3, (2, seal.offset, 2, 7))
    assert len(data) == seal.end


@pytest.mark.parametrize("wide", [0, 1, 3])
def test_records_are_the_same_with_and_without_the_instruction(tmp_path: Path, wide: int) -> None:
    written = kit.commands(1, 20, wide=wide)
    with Journal(tmp_path / "journal", segment_bytes=SMALL) as journal:
        journal.append(written)
    data = kit.segments(tmp_path / "journal")[0].read_bytes()
    chain = struct.unpack_from("<I", data, 124)[0]
    records = encode(written, chain)
    assert records == encode(written, chain, method="tables")
    assert data[kit.HEADER_BYTES :].startswith(records)
    assert encode(written[:0]) == b""


def test_a_full_segment_is_sealed_and_the_next_one_begins_with_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written = filled(path, 150)
    files = kit.segments(path)
    assert len(files) > 3
    sequence, chain = 1, 0
    for segment in files:
        data = segment.read_bytes()
        records = kit.segment_records(data)
        assert int(segment.stem, 16) == sequence
        assert struct.unpack_from("<I", data, 56)[0] == chain
        assert records[-1].kind == 3
        assert records[-1].end == len(data) <= SMALL
        chain = struct.unpack_from("<I", data, records[-1].offset)[0]
        sequence += sum(record.kind == 1 for record in records)
    assert sequence == len(written) + 1
    assert content(path)[0].tobytes() == written.tobytes()


def test_an_open_journal_is_preallocated_and_can_be_verified(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", segment_bytes=65536) as journal:
        journal.append(kit.commands(1, 10))
        (segment,) = kit.segments(tmp_path / "journal")
        assert segment.stat().st_size == 65536
        assert segment.stat().st_blocks * 512 >= 65536
        report = verify(tmp_path / "journal")
        assert (report.valid, report.clean, report.last_sequence) == (True, False, 10)


def test_a_batch_larger_than_the_staging_buffer_is_written_whole(tmp_path: Path) -> None:
    written = kit.commands(1, 40_000, wide=2)
    with Journal(tmp_path / "journal", segment_bytes=1 << 20) as journal:
        journal.append(written)
        assert journal.counters()["rolls"] >= 3
    assert content(tmp_path / "journal")[0].tobytes() == written.tobytes()


@pytest.mark.parametrize("start", [1, 2, 42, 43, 44, 100, 150, 151, 400])
def test_reading_can_begin_at_any_command(tmp_path: Path, start: int) -> None:
    written = filled(tmp_path / "journal", 150)
    commands, _ = content(tmp_path / "journal", start=start, batch=13)
    assert commands.tobytes() == written[start - 1 :].tobytes()


def test_segments_behind_a_snapshot_are_enough_for_reading_from_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written = filled(path, 150)
    first, second = kit.segments(path)[:2]
    first.unlink()
    start = int(second.stem, 16)
    assert content(path, start=start)[0].tobytes() == written[start - 1 :].tobytes()
    with pytest.raises(JournalError, match=f"expected one with command {start - 1}, found {second.name}") as refusal:
        JournalReader(path, start=start - 1)
    assert refusal.value.code == "missing segment"


def test_reopening_goes_on_in_a_new_segment(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    for first in (1, 11, 21):
        with Journal(path, segment_bytes=SMALL) as journal:
            assert journal.last_sequence == first - 1
            assert (journal.recovery is None) == (first == 1)
            journal.append(kit.commands(first, 10))
    assert [int(segment.stem, 16) for segment in kit.segments(path)] == [1, 11, 21]
    assert content(path)[0].tobytes() == kit.commands(1, 30).tobytes()


def test_opening_and_closing_without_commands_leaves_one_empty_segment(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    filled(path, 5)
    for _ in range(3):
        Journal(path, segment_bytes=SMALL).close()
    assert [int(segment.stem, 16) for segment in kit.segments(path)] == [1, 6]
    assert verify(path).clean


def test_a_new_journal_may_begin_behind_a_snapshot(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", first_sequence=501) as journal:
        journal.append(kit.commands(501, 3))
    report = verify(tmp_path / "journal")
    assert (report.valid, report.first_sequence, report.last_sequence) == (True, 501, 503)


def test_no_spare_segment_stays_behind(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, segment_bytes=SMALL)
    assert journal.room(100)
    assert list(path.glob("spare.*"))
    crashed = kit.copy(path, tmp_path / "crashed")
    journal.close()
    Journal(crashed, segment_bytes=SMALL).close()
    assert not list(path.glob("spare.*"))
    assert not list(crashed.glob("spare.*"))


def test_room_is_given_for_sixteen_segments_ahead_and_kept(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", segment_bytes=SMALL) as journal:
        most = max(n for n in range(1000) if journal.room(n))
        usable = (SMALL - 4096 - 80) // 136
        assert 16 * (usable - 1) <= most <= 17 * usable
        failures = journal.counters()["spare_failures"]
        journal.append(kit.commands(1, most, wide=1))
        assert journal.counters()["spare_failures"] == failures == 0
        assert journal.last_sequence == most


def test_a_second_writer_in_this_process_is_refused(tmp_path: Path) -> None:
    with (
        Journal(tmp_path / "journal"),
        pytest.raises(JournalError, match=r"expected no other writer, found .* in process \d+") as refusal,
    ):
        Journal(tmp_path / "journal")
    assert refusal.value.code == "locked"
    Journal(tmp_path / "journal").close()


def test_a_second_writer_in_another_process_is_refused_and_so_is_repair(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom nautilus.core.journal import Journal, JournalError, repair\n"
        "for call in (Journal, repair):\n"
        "    try:\n        call(sys.argv[1])\n"
        "    except JournalError as error:\n        print(error.code, error)\n"
    )
    with Journal(tmp_path / "journal") as journal:
        journal.append(kit.commands(1, 3))
        child = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "journal")], capture_output=True, text=True, check=True
        )
        assert child.stdout.count("locked") == 4
        assert child.stdout.count(f"process {os.getpid()}") == 2
        journal.append(kit.commands(4, 3))
    assert verify(tmp_path / "journal").clean


def test_a_sequence_that_does_not_continue_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        journal.append(kit.commands(1, 3))
        wrong = kit.commands(4, 4)
        wrong["sequence"][2] = 9
        with pytest.raises(JournalError, match=r"commands\[2\]: sequence: expected 6, found 9") as refusal:
            journal.append(wrong)
        assert refusal.value.code == "sequence"
        assert journal.last_sequence == 3
        journal.append(kit.commands(4, 1))
    assert verify(tmp_path / "journal").last_sequence == 4


def test_arrays_of_the_wrong_kind_are_refused(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        with pytest.raises(TypeError, match="expected a one-dimensional array of dtype COMMAND"):
            journal.append(np.zeros(3))
        with pytest.raises(TypeError, match="found list"):
            journal.append([1])
        with pytest.raises(ValueError, match="contiguous"):
            journal.append(kit.commands(1, 4)[::2])
        readonly = kit.commands(1, 4)
        readonly.flags.writeable = False
        journal.append(readonly)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "replica"}, "policy: expected 'memory' or 'disk', found 'replica'"),
        ({"segment_bytes": 4096}, "segment_bytes: expected a multiple of 4096 from 8192"),
        ({"segment_bytes": 10_000}, "found 10000"),
    ],
)
def test_bad_arguments_are_refused(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("^", r"\^")):
        Journal(tmp_path / "journal", **options)
    assert not (tmp_path / "journal").exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ({"capacity": 4}, "capacity", "capacity: expected 1024 as the journal has, found 4"),
        ({"closed_capacity": 4}, "capacity", "closed_capacity: expected 512 as the journal has, found 4"),
        ({"epoch": 4}, "epoch", "epoch: expected at least 5, found 4"),
        ({"first_sequence": 4}, "sequence", "first_sequence: expected 6 as the journal goes on, found 4"),
    ],
)
def test_a_journal_keeps_what_belongs_to_it(tmp_path: Path, options: dict, code: str, message: str) -> None:
    path = tmp_path / "journal"
    filled(path, 5, capacity=1024, closed_capacity=512, epoch=5)
    before = {file.name: file.read_bytes() for file in kit.segments(path)}
    with pytest.raises(JournalError, match=message) as refusal:
        Journal(path, **options)
    assert refusal.value.code == code
    assert {file.name: file.read_bytes() for file in kit.segments(path)} == before
    with Journal(path, epoch=6) as journal:
        assert (journal.capacity, journal.closed_capacity, journal.epoch) == (1024, 512, 6)
        assert JournalReader(path).capacity == 1024
        assert JournalReader(path).closed_capacity == 512
    assert verify(path).epoch == 6


def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.close()
    journal.close()
    assert journal.closed
    assert not journal.room(1)
    for call in (lambda: journal.append(kit.commands(1, 1)), journal.flush, lambda: journal.append_hash(1, 2, 3)):
        with pytest.raises(JournalError, match="closed: expected an open journal") as refusal:
            call()
        assert refusal.value.code == "closed"


def test_a_hash_record_needs_a_command_before_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        with pytest.raises(JournalError, match="expected a command in this segment"):
            journal.append_hash(1, 2, 3)
        journal.append(kit.commands(1, 1))
        journal.append_hash(1, 2, 3)
    assert verify(tmp_path / "journal").clean


def test_a_directory_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    for call in (verify, repair, JournalReader, lambda path: Journal(path / "deeper")):
        with pytest.raises(FileNotFoundError):
            call(tmp_path / "nowhere")


def test_a_directory_or_file_without_segments_is_not_a_journal(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no journal")
    for path in (tmp_path, tmp_path / "notes.txt"):
        report = verify(path)
        assert not report.valid
        assert report.damage.what == "not a journal"
        with pytest.raises(JournalError) as refusal:
            next(JournalReader(path))
        assert refusal.value.code == "not a journal"


def other_version(path: Path, offset: int) -> None:
    """Write another number into the header of the last segment, signed as if that version had written it."""
    segment = kit.segments(path)[-1]
    data = bytearray(segment.read_bytes())
    struct.pack_into("<I", data, offset, 99)
    chain = struct.unpack_from("<I", data, 124)[0]
    kit.sign_header(data)
    old, new = chain, struct.unpack_from("<I", data, 124)[0]
    for record in kit.segment_records(segment.read_bytes()):
        old = struct.unpack_from("<I", data, record.offset)[0]
        new = kit.crc32c(bytes(data[record.offset + 4 : record.end]), new)
        struct.pack_into("<I", data, record.offset, new)
    assert old != new
    segment.write_bytes(data)


def test_another_record_layout_is_named_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    filled(path, 5)
    other_version(path, 8)
    before = kit.segments(path)[0].read_bytes()
    report = verify(path)
    assert (report.valid, report.damage.what, report.damage.found) == (False, "layout", "99")
    for call in (Journal, repair, lambda path: next(JournalReader(path))):
        with pytest.raises(JournalError, match=f"expected record layout {LAYOUT_VERSION}, found 99") as refusal:
            call(path)
        assert refusal.value.code == "layout"
    assert kit.segments(path)[0].read_bytes() == before


def test_other_kernel_rules_open_only_at_a_snapshot_behind_a_clean_stop(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written = filled(path, 5)
    other_version(path, 12)
    report = verify(path)
    assert (report.valid, report.damage.what, report.records, report.last_sequence) == (False, "rules", 6, 5)
    with pytest.raises(JournalError, match=f"expected kernel rules {RULES_VERSION}, found 99") as refusal:
        JournalReader(path)
    assert refusal.value.code == "rules"
    assert content(path, any_rules=True)[0].tobytes() == written.tobytes()
    with pytest.raises(JournalError, match="a clean stop with a snapshot at its last command 5, found rules 99"):
        Journal(path)
    write_snapshot(path, 5, b"state")
    with Journal(path) as journal:
        journal.append(kit.commands(6, 2))
    assert verify(path).valid
    assert content(path, start=6)[0].tobytes() == kit.commands(6, 2).tobytes()


def test_zeros_that_go_ahead_of_small_flushes_to_the_disk_touch_no_record(tmp_path: Path) -> None:
    sizes = np.random.default_rng(7).choice([1, 1, 1, 3, 40, 700], 600)
    wanted = kit.commands(1, int(sizes.sum()), wide=5)
    for policy in ("memory", "disk"):
        with Journal(tmp_path / policy, policy=policy, segment_bytes=1 << 20) as journal:
            first = 0
            for size in sizes.tolist():
                journal.append(wanted[first : first + size])
                first += size
    assert content(tmp_path / "disk")[0].tobytes() == wanted.tobytes()
    written = [[file.read_bytes() for file in kit.segments(tmp_path / policy)] for policy in ("memory", "disk")]
    assert written[0] == written[1]
    assert len(written[0]) > 3
