"""A journal damaged at any byte, cut at any length or put together wrongly: found, and cut to its valid prefix."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from nautilus.core.journal import (
    HashRecord,
    Journal,
    JournalError,
    JournalReader,
    JournalReport,
    latest_snapshot,
    repair,
    verify,
    write_snapshot,
)
from tests.kit import journal as kit
from tests.kit.effort import stride

SMALL = 8192


class Sample(NamedTuple):
    """A sound journal and what is in it."""

    path: Path
    written: np.ndarray
    files: list[Path]
    data: list[bytes]
    records: list[list[kit.Record]]
    probed: range  # segments that the exhaustive tests go through

    def prefix(self, segment: int, offset: int) -> int:
        """Commands in records that end at or before a place."""
        count = sum(record.kind == 1 for records in self.records[:segment] for record in records)
        return count + sum(record.kind == 1 and record.end <= offset for record in self.records[segment])


def make(path: Path, *, crashed: bool) -> Sample:
    """Three segments, short and long commands, hash records; ended cleanly or left as by a crash."""
    written = kit.commands(1, 105, wide=2)
    journal = Journal(path if not crashed else path.with_name("live"), segment_bytes=SMALL)
    for first in range(0, 105, 20):
        journal.append(written[first : first + 20])
        journal.append_hash(first, 0xABCD + first, 0x1234)
    if crashed:
        kit.copy(path.with_name("live"), path)
        for spare in path.glob("spare.*"):
            spare.unlink()
    journal.close()
    files = kit.segments(path)
    data = [file.read_bytes() for file in files]
    # Only the last segment of a crashed journal differs in kind from those of a closed one.
    probed = range(2 if crashed else 0, 3)
    return Sample(path, written, files, data, [kit.segment_records(part) for part in data], probed)


@pytest.fixture(scope="module", params=["clean", "crashed"])
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    made = make(tmp_path_factory.mktemp(request.param) / "journal", crashed=request.param == "crashed")
    assert len(made.files) == 3
    assert verify(made.path).valid
    return made


@pytest.fixture
def clean(tmp_path: Path) -> Sample:
    return make(tmp_path / "journal", crashed=False)


def delivered(path: Path) -> bytes:
    """Every command that a reader hands out, as bytes."""
    reader = JournalReader(path, strict=False, batch=64)
    return b"".join(item.tobytes() for item in reader if not isinstance(item, HashRecord))


def check_prefix(sample: Sample, path: Path, commands: int) -> JournalReport:
    report = verify(path)
    assert not report.valid
    assert not report.clean
    assert report.damage is not None
    assert report.last_sequence == commands
    assert delivered(path) == sample.written[:commands].tobytes()
    return report


def check_recovery(sample: Sample, path: Path, commands: int) -> None:
    """Repair leaves the prefix and a sound journal, which can be written on."""
    repair(path)
    if kit.segments(path):
        report = verify(path)
        assert (report.valid, report.damage, report.last_sequence) == (True, None, commands)
    else:
        assert commands == 0  # not even a header was left
    with Journal(path, segment_bytes=SMALL) as journal:
        assert journal.last_sequence == commands
        journal.append(kit.commands(commands + 1, 5))
    assert verify(path).clean
    assert delivered(path) == sample.written[:commands].tobytes() + kit.commands(commands + 1, 5).tobytes()


def test_every_flipped_byte_is_found_and_the_prefix_before_it_kept(sample: Sample) -> None:
    for index in sample.probed:
        file, data = sample.files[index], sample.data[index]
        end = sample.records[index][-1].end
        fd = os.open(file, os.O_RDWR)
        for at in range(0, len(data), stride(7)):
            os.pwrite(fd, bytes([data[at] ^ (1 << at % 8)]), at)
            if at < kit.HEADER_BYTES:
                expected = len(sample.written)
            else:
                record = next((record for record in sample.records[index] if record.offset <= at < record.end), None)
                expected = sample.prefix(index, record.offset if record else end)
            report = check_prefix(sample, sample.path, expected)
            assert report.damage.segment == file.name
            if at < kit.HEADER_BYTES:
                assert (report.damage.what, report.dropped_bytes) == ("header copy", 0)
            else:
                assert report.damage.offset <= at
            os.pwrite(fd, data[at : at + 1], at)
        os.close(fd)
    assert verify(sample.path).valid


def test_every_cut_is_found_and_the_whole_records_before_it_kept(sample: Sample) -> None:
    for index in sample.probed:
        file, data = sample.files[index], sample.data[index]
        for length in reversed(range(0, len(data), stride(7))):
            os.truncate(file, length)
            report = check_prefix(sample, sample.path, sample.prefix(index, length))
            assert report.damage.segment == file.name
        file.write_bytes(data)
    assert verify(sample.path).valid


def test_a_flipped_journal_is_restored_to_its_prefix(sample: Sample, tmp_path: Path) -> None:
    for index, data in enumerate(sample.data):
        for at in range(0, len(data), 331):
            path = kit.copy(sample.path, tmp_path / "damaged")
            changed = bytearray(data)
            changed[at] ^= 0x55
            (path / sample.files[index].name).write_bytes(changed)
            check_recovery(sample, path, verify(path).last_sequence)


def test_a_cut_journal_is_restored_to_its_prefix(sample: Sample, tmp_path: Path) -> None:
    for index, data in enumerate(sample.data):
        for length in (0, 5, 127, 128, 2100, 4095, 4096, 4100, *range(4200, len(data), 397)):
            path = kit.copy(sample.path, tmp_path / "damaged")
            os.truncate(path / sample.files[index].name, length)
            check_recovery(sample, path, sample.prefix(index, length))


def test_what_is_cut_is_kept_beside_the_journal(clean: Sample) -> None:
    record = clean.records[1][10]
    changed = bytearray(clean.data[1])
    changed[record.offset + 20] ^= 1
    clean.files[1].write_bytes(changed)
    report = repair(clean.path)
    assert report.damage.what == "checksum"
    assert report.dropped_bytes == len(changed) - record.offset + len(clean.data[2])
    assert Path(f"{clean.files[1]}.damaged").read_bytes() == changed[record.offset :]
    assert Path(f"{clean.files[2]}.damaged").read_bytes() == clean.data[2]
    assert clean.files[1].stat().st_size == record.offset + 40
    # A second accident at the same place keeps the first one's bytes.
    again = bytearray(clean.files[1].read_bytes())
    again[-1] ^= 1
    clean.files[1].write_bytes(again)
    repair(clean.path)
    assert Path(f"{clean.files[1]}.damaged.2").read_bytes() == again[record.offset :]
    assert Path(f"{clean.files[1]}.damaged").read_bytes() == changed[record.offset :]


def test_opening_for_writing_restores_and_says_so(clean: Sample) -> None:
    changed = bytearray(clean.data[2])
    changed[5000] ^= 1
    clean.files[2].write_bytes(changed)
    found = verify(clean.path)
    with Journal(clean.path, segment_bytes=SMALL) as journal:
        assert journal.recovery == found
        assert journal.recovery.damage.what == "checksum"
        assert journal.last_sequence == found.last_sequence < len(clean.written)


def test_the_last_record_half_written_is_called_torn(tmp_path: Path) -> None:
    crashed = make(tmp_path / "journal", crashed=True)
    last = crashed.records[2][-2]
    changed = bytearray(crashed.data[2])
    changed[last.offset + 30 :] = bytes(len(changed) - last.offset - 30)
    crashed.files[2].write_bytes(changed)
    report = verify(crashed.path)
    assert (report.damage.what, report.damage.offset) == ("torn", last.offset)
    assert 20 < report.dropped_bytes <= 30


def test_a_strict_reader_delivers_the_prefix_and_then_raises(clean: Sample) -> None:
    record = clean.records[0][5]
    changed = bytearray(clean.data[0])
    changed[record.offset + 9] ^= 1
    clean.files[0].write_bytes(changed)
    reader = JournalReader(clean.path)
    assert next(reader).tobytes() == clean.written[:5].tobytes()
    for _ in range(2):
        with pytest.raises(JournalError, match=f"{clean.files[0].name} at byte {record.offset}: checksum") as failure:
            next(reader)
        assert failure.value.code == "checksum"


@pytest.mark.parametrize("action", ["removed", "repeated", "exchanged"])
def test_whole_valid_records_in_the_wrong_place_are_found(clean: Sample, action: str) -> None:
    first, second = (record for record in clean.records[0][2:5:2])
    data = clean.data[0]
    one, two = data[first.offset : first.end], data[second.offset : second.end]
    assert len(one) == len(two)
    changed = {
        "removed": data[: first.offset] + data[first.end :],
        "repeated": data[: first.end] + one + data[first.end :],
        "exchanged": data[: first.offset] + two + data[first.end : second.offset] + one + data[second.end :],
    }[action]
    clean.files[0].write_bytes(changed)
    report = check_prefix(clean, clean.path, 3 if action == "repeated" else 2)
    assert report.damage.what == "checksum"


def test_a_record_with_the_wrong_sequence_is_not_delivered_even_with_a_right_checksum(clean: Sample) -> None:
    data = bytearray(clean.data[0])
    chain = struct.unpack_from("<I", data, 124)[0]
    struct.pack_into("<q", data, clean.records[0][3].offset + 8, 77)
    for record in clean.records[0]:
        chain = kit.crc32c(bytes(data[record.offset + 4 : record.end]), chain)
        struct.pack_into("<I", data, record.offset, chain)
    clean.files[0].write_bytes(data)
    report = check_prefix(clean, clean.path, 3)
    assert report.damage[2:] == ("sequence", "4", "77")


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_missing_segment_is_named(clean: Sample, index: int) -> None:
    clean.files[index].unlink()
    report = check_prefix(clean, clean.path, clean.prefix(index, 0))
    assert report.damage.what == "missing segment"
    if index > 0:
        assert clean.files[index].name in report.damage.expected
        check_recovery(clean, clean.path, clean.prefix(index, 0))
    else:
        # Nothing could be kept, and it may only have been moved away: left to a person.
        for call in (repair, Journal):
            with pytest.raises(JournalError) as refusal:
                call(clean.path)
            assert refusal.value.code == "missing segment"
        assert kit.segments(clean.path) == clean.files[1:]


def test_a_segment_of_another_journal_is_found(clean: Sample, tmp_path: Path) -> None:
    other = kit.commands(1, 105, wide=2)
    other["price_ticks"] += 1
    with Journal(tmp_path / "other", segment_bytes=SMALL) as journal:
        for first in range(0, 105, 20):
            journal.append(other[first : first + 20])
            journal.append_hash(first, 0, 0)
    shutil.copy(tmp_path / "other" / clean.files[1].name, clean.files[1])
    report = check_prefix(clean, clean.path, clean.prefix(1, 0))
    assert report.damage.what == "chain"
    check_recovery(clean, clean.path, clean.prefix(1, 0))


def test_a_segment_under_a_wrong_name_is_found(clean: Sample) -> None:
    clean.files[2].rename(clean.path / "0000000000000fff.journal")
    report = check_prefix(clean, clean.path, clean.prefix(2, 0))
    assert report.damage.what == "name"


def test_a_segment_with_both_headers_damaged_is_dropped_with_all_that_follow(clean: Sample) -> None:
    changed = bytearray(clean.data[1])
    changed[20] ^= 1
    changed[kit.COPY_AT + 20] ^= 1
    clean.files[1].write_bytes(changed)
    report = check_prefix(clean, clean.path, clean.prefix(1, 0))
    assert report.damage.what == "header"
    assert report.dropped_bytes == len(clean.data[1]) + len(clean.data[2])
    check_recovery(clean, clean.path, clean.prefix(1, 0))


def test_a_lower_epoch_in_a_later_segment_is_found(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    for first, epoch in ((1, 5), (11, 6)):
        with Journal(path, epoch=epoch) as journal:
            journal.append(kit.commands(first, 10))
    last = kit.segments(path)[1]
    data = bytearray(last.read_bytes())
    struct.pack_into("<Q", data, 32, 4)
    kit.sign_header(data)
    last.write_bytes(data)
    report = verify(path)
    assert (report.damage.what, report.last_sequence) == ("epoch", 10)


def test_snapshots_of_commands_that_were_cut_off_are_set_aside(clean: Sample) -> None:
    for sequence in (1, 50, 51, 105):
        write_snapshot(clean.path, sequence, b"state %d" % sequence)
    assert repair(clean.path).valid
    assert latest_snapshot(clean.path).sequence == 105
    record = [record for record in clean.records[1] if record.kind == 1][50 - clean.prefix(1, 0)]
    os.truncate(clean.files[1], record.offset + 10)
    with Journal(clean.path, segment_bytes=SMALL) as journal:
        assert journal.last_sequence == 50
        # Another command gets number 51: the snapshot of the lost one must not stand for it.
        journal.append(kit.commands(51, 60))
    assert latest_snapshot(clean.path).payload == b"state 50"
    assert (clean.path / f"{105:016x}.snapshot.damaged").exists()


def test_several_damages_are_all_put_right(clean: Sample) -> None:
    first, second, third = (bytearray(data) for data in clean.data)
    first[kit.COPY_AT + 3] ^= 1
    second += b"stray"
    third[clean.records[2][4].offset + 11] ^= 1
    for file, data in zip(clean.files, (first, second, third), strict=True):
        file.write_bytes(data)
    expected = clean.prefix(2, clean.records[2][4].offset)
    assert check_prefix(clean, clean.path, expected).damage.what == "checksum"
    check_recovery(clean, clean.path, expected)
    assert clean.files[0].read_bytes() == clean.data[0]
    assert clean.files[1].read_bytes() == clean.data[1]
    assert Path(f"{clean.files[1]}.damaged").read_bytes() == b"stray"


def test_a_roll_that_did_not_complete_is_no_damage(tmp_path: Path) -> None:
    live, path = tmp_path / "live", tmp_path / "journal"
    journal = Journal(live, segment_bytes=SMALL)
    written = kit.commands(1, 60)
    for command in range(60):
        journal.append(written[command : command + 1])
        if journal.counters()["rolls"]:
            break
    kit.copy(live, path)
    journal.close()
    first, second = kit.segments(path)
    # As if the process had ended after the next segment got its name, before commands and seal were written.
    data = bytearray(first.read_bytes())
    kept = kit.segment_records(bytes(data))[:-3]
    data[kept[-1].end :] = bytes(len(data) - kept[-1].end)
    first.write_bytes(data + bytes(SMALL - len(data)))
    second.write_bytes(second.read_bytes()[: kit.HEADER_BYTES] + bytes(SMALL - kit.HEADER_BYTES))
    report = verify(path)
    assert (report.valid, report.clean, report.last_sequence) == (True, False, len(kept))
    with Journal(path, segment_bytes=SMALL) as journal:
        journal.append(kit.commands(len(kept) + 1, 3))
    assert verify(path).clean
    assert delivered(path) == kit.commands(1, len(kept) + 3).tobytes()
    assert not list(path.glob("*.damaged"))


def test_nothing_is_delivered_from_random_bytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(7)
    for size in (0, 1, 127, 128, 4096, 8192, 20_000):
        path = tmp_path / f"noise{size}"
        path.mkdir()
        (path / "0000000000000001.journal").write_bytes(noise.bytes(size))
        assert not verify(path).valid
        assert delivered(path) == b""
