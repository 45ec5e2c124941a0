"""The event log: what was appended is read, by place; what is not sound is not."""

from pathlib import Path

import numpy as np
import pytest

from nautilus.core.crc32c import crc32c
from nautilus.core.eventlog import DELIVERY, HEADER_BYTES, MAGIC, EventLog, EventLogError, EventLogWriter
from nautilus.core.types import LAYOUT_VERSION
from tests.kit import preload

SMALL = HEADER_BYTES + 100 * DELIVERY.itemsize


def records(first: int, count: int) -> np.ndarray:
    made = np.zeros(count, DELIVERY)
    made["event"]["sequence"] = np.arange(first, first + count)
    made["event"]["quantity"] = made["event"]["sequence"] * 7
    made["kind"] = 1
    return made


def sequences(found: np.ndarray) -> list[int]:
    return found["event"]["sequence"].tolist()


def test_what_was_appended_is_read_from_any_place_over_all_files(tmp_path: Path) -> None:
    log = EventLogWriter(tmp_path / "log", file_bytes=SMALL)
    log.append(records(1, 130))
    log.append(records(131, 220))
    reader = EventLog(tmp_path / "log")
    for first in (1, 99, 100, 101, 200, 201, 350):
        assert sequences(reader.read(first)) == list(range(first, 351))
    assert sequences(reader.read(95, 10)) == list(range(95, 105))
    assert len(reader.read(351)) == 0
    assert log.last_sequence == 350


def test_a_reader_that_waits_at_the_end_sees_what_comes(tmp_path: Path) -> None:
    log, reader = EventLogWriter(tmp_path, file_bytes=SMALL), EventLog(tmp_path)
    assert len(reader.read(1)) == 0
    for first in range(1, 400, 37):
        log.append(records(first, 37))
        assert sequences(reader.read(first)) == list(range(first, first + 37))


def test_a_writer_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    for first in (1, 60, 119, 178):
        log = EventLogWriter(tmp_path, file_bytes=SMALL)
        assert log.last_sequence == first - 1
        log.append(records(first, 59))
        log.close()
    assert sequences(EventLog(tmp_path).read(1)) == list(range(1, 237))


def test_events_out_of_order_are_refused(tmp_path: Path) -> None:
    log = EventLogWriter(tmp_path, file_bytes=SMALL)
    log.append(records(1, 5))
    with pytest.raises(EventLogError, match="expected event 6, found 7"):
        log.append(records(7, 1))
    log.append(records(6, 1))
    assert log.last_sequence == 6


@pytest.mark.parametrize("offset", [0, 8, 64, 127, 128, 131, 135])
def test_a_flipped_bit_is_said_by_the_reader_and_cut_by_the_writer(tmp_path: Path, offset: int) -> None:
    log = EventLogWriter(tmp_path, file_bytes=SMALL)
    log.append(records(1, 50))
    log.close()
    file = next(tmp_path.glob("*.events"))
    content = bytearray(file.read_bytes())
    content[HEADER_BYTES + 40 * DELIVERY.itemsize + offset] ^= 4
    file.write_bytes(content)
    assert sequences(EventLog(tmp_path).read(1)) == list(range(1, 41))
    with pytest.raises(EventLogError, match="a hole: expected event 41"):
        EventLog(tmp_path).read(41)
    again = EventLogWriter(tmp_path, file_bytes=SMALL)
    assert again.last_sequence == 40
    # What lay behind it has valid checksums, and is not to come to light behind what is written now.
    again.append(records(41, 1))
    assert sequences(EventLog(tmp_path).read(1)) == list(range(1, 42))
    assert len(EventLog(tmp_path).read(42)) == 0
    again.append(records(42, 20))
    assert sequences(EventLog(tmp_path).read(1)) == list(range(1, 62))


@pytest.mark.parametrize(("first", "last"), [(3, 3), (40, 139), (90, 110), (2, 100), (150, 349)])
def test_a_hole_is_never_taken_for_the_end(tmp_path: Path, first: int, last: int) -> None:
    log = EventLogWriter(tmp_path, file_bytes=SMALL)
    log.append(records(1, 350))
    for file in tmp_path.glob("*.events"):
        content = bytearray(file.read_bytes())
        begin = int(file.stem, 16)
        for sequence in range(max(first, begin), min(last, begin + 99) + 1):
            place = HEADER_BYTES + (sequence - begin) * DELIVERY.itemsize
            content[place : place + DELIVERY.itemsize] = bytes(DELIVERY.itemsize)
        file.write_bytes(content)
    reader = EventLog(tmp_path)
    assert sequences(reader.read(1)) == list(range(1, first))
    for limit in (1, 4096):
        with pytest.raises(EventLogError, match=f"a hole: expected event {first}"):
            reader.read(first, limit)
    assert sequences(reader.read(last + 1)) == list(range(last + 1, 351))
    for _ in range(2):
        assert len(reader.read(351)) == 0


def test_a_hole_in_a_large_file_is_seen_whatever_its_size(tmp_path: Path) -> None:
    log = EventLogWriter(tmp_path, file_bytes=8 << 20)
    log.append(records(1, 60_000))
    reader = EventLog(tmp_path)
    assert len(reader.read(60_001)) == 0
    with (tmp_path / "0000000000000001.events").open("r+b") as file:
        file.seek(HEADER_BYTES + 1_000 * DELIVERY.itemsize)
        file.write(bytes(58_990 * DELIVERY.itemsize))
    with pytest.raises(EventLogError, match="a hole: expected event 1001"):
        reader.read(1001)
    assert EventLogWriter(tmp_path).last_sequence == 1000


def test_truncated_events_are_forgotten_and_written_anew(tmp_path: Path) -> None:
    log = EventLogWriter(tmp_path, file_bytes=SMALL)
    log.append(records(1, 350))
    log.truncate(150)
    assert sequences(EventLog(tmp_path).read(140)) == list(range(140, 151))
    log.append(records(151, 100))
    assert sequences(EventLog(tmp_path).read(1)) == list(range(1, 251))


def header(layout_plus: int = 0) -> bytearray:
    """Of a file of another layout, say."""
    raw = bytearray(40)
    raw[:8] = MAGIC
    raw[8:16] = np.array([LAYOUT_VERSION + layout_plus, DELIVERY.itemsize], "<u4").tobytes()
    raw[16:32] = np.array([1, 100], "<i8").tobytes()
    return raw + np.uint32(crc32c(bytes(raw))).tobytes()


@pytest.mark.parametrize(("damage", "said"), [("zeros", "another file"), ("flip", "damaged"), ("cut", "another file")])
@pytest.mark.parametrize("which", [0, 1, 3])
def test_a_file_without_a_sound_header_is_set_aside_with_those_behind_it(
    tmp_path: Path, which: int, damage: str, said: str
) -> None:
    log = EventLogWriter(tmp_path, file_bytes=SMALL)
    log.append(records(1, 350))
    log.close()
    file = sorted(tmp_path.glob("*.events"))[which]
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[20] ^= 1
    else:
        content[:HEADER_BYTES] = bytes(HEADER_BYTES if damage == "zeros" else 0)
    file.write_bytes(content[:100] if damage == "cut" else content)
    again = EventLogWriter(tmp_path, file_bytes=SMALL)
    assert again.last_sequence == which * 100
    assert said in again.notes[0]
    assert len(list(tmp_path.glob("*.events.damaged"))) == 4 - which
    again.append(records(again.last_sequence + 1, 350 - which * 100))
    assert sequences(EventLog(tmp_path).read(1)) == list(range(1, 351))


def test_a_file_that_is_missing_in_the_middle_ends_the_log_there(tmp_path: Path) -> None:
    log = EventLogWriter(tmp_path, file_bytes=SMALL)
    log.append(records(1, 350))
    log.close()
    sorted(tmp_path.glob("*.events"))[1].unlink()
    with pytest.raises(EventLogError, match="a hole: expected event 101"):
        EventLog(tmp_path).read(101)
    again = EventLogWriter(tmp_path, file_bytes=SMALL)
    assert again.last_sequence == 100
    assert "expected first event 101, found 201" in again.notes[0]


def test_a_log_of_another_layout_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "0000000000000001.events").write_bytes(bytes(header(1)) + bytes(SMALL))
    with pytest.raises(EventLogError, match="expected layout"):
        EventLogWriter(tmp_path)
    assert [file.name for file in tmp_path.glob("0*")] == ["0000000000000001.events"]
    (tmp_path / "0000000000000001.events").write_bytes(bytes(header()) + bytes(SMALL))
    assert EventLogWriter(tmp_path).notes == []


@pytest.mark.parametrize("policy", ["memory", "disk"])
def test_with_policy_disk_a_file_is_on_disk_before_it_has_its_name(tmp_path: Path, policy: str) -> None:
    script = f"""
    from nautilus.core.eventlog import EventLogWriter
    from tests.unit.core.test_event_log import SMALL, records
    log = EventLogWriter({str(tmp_path / "log")!r}, file_bytes=SMALL, policy={policy!r})
    log.append(records(1, 150))
    """
    calls = [f"{call} {Path(place).name}" for call, place in preload.traced(tmp_path, script)]
    synced = ["fdatasync spare.0", "rename 0000000000000001.events", "fsync log"]
    synced += ["fdatasync spare.0", "rename 0000000000000065.events", "fsync log"]
    assert calls == (synced if policy == "disk" else [call for call in synced if "rename" in call])


def test_what_lies_before_the_log_is_said(tmp_path: Path) -> None:
    log = EventLogWriter(tmp_path, file_bytes=SMALL)
    log.append(records(1, 150))
    (tmp_path / "0000000000000001.events").unlink()
    with pytest.raises(EventLogError, match="expected event 5"):
        EventLog(tmp_path).read(5)
    log.close()
    assert EventLogWriter(tmp_path).last_sequence == 150  # an old part that was removed is nothing to mend


def test_every_flipped_byte_of_a_log_is_found_and_what_lies_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "events"
    writer = EventLogWriter(path, file_bytes=HEADER_BYTES + 16 * DELIVERY.itemsize)
    records = np.zeros(9, DELIVERY)
    records["event"]["sequence"] = np.arange(1, 10)
    records["event"]["quantity"] = 77
    writer.append(records)
    writer.close()
    file = next(path.glob("*.events"))
    data = file.read_bytes()
    whole = EventLog(path).read(1).tobytes()
    for at in (*range(44), *range(HEADER_BYTES, HEADER_BYTES + 9 * DELIVERY.itemsize)):
        file.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        kept = max(0, at - HEADER_BYTES) // DELIVERY.itemsize
        try:
            found = EventLog(path).read(1).tobytes()
        except EventLogError:
            assert kept == 0
            continue
        assert found == whole[: kept * DELIVERY.itemsize]
        again = EventLogWriter(path, file_bytes=HEADER_BYTES + 16 * DELIVERY.itemsize)
        assert again.last_sequence == kept
        again.close()
        for left in path.iterdir():
            left.unlink()
    file.write_bytes(data)
    assert EventLog(path).read(1).tobytes() == whole
