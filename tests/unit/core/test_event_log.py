"""The event log: what was appended is read, by place; what is not sound is not."""

from pathlib import Path

import numpy as np
import pytest

from nautilus.core.eventlog import DELIVERY, HEADER_BYTES, EventLog, EventLogError, EventLogWriter

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
def test_a_flipped_bit_ends_what_is_read_and_is_written_over(tmp_path: Path, offset: int) -> None:
    log = EventLogWriter(tmp_path, file_bytes=SMALL)
    log.append(records(1, 50))
    log.close()
    file = next(tmp_path.glob("*.events"))
    content = bytearray(file.read_bytes())
    content[HEADER_BYTES + 40 * DELIVERY.itemsize + offset] ^= 4
    file.write_bytes(content)
    assert sequences(EventLog(tmp_path).read(1)) == list(range(1, 41))
    again = EventLogWriter(tmp_path, file_bytes=SMALL)
    assert again.last_sequence == 40
    again.append(records(41, 20))
    assert sequences(EventLog(tmp_path).read(1)) == list(range(1, 61))


def test_truncated_events_are_forgotten_and_written_anew(tmp_path: Path) -> None:
    log = EventLogWriter(tmp_path, file_bytes=SMALL)
    log.append(records(1, 350))
    log.truncate(150)
    assert sequences(EventLog(tmp_path).read(140)) == list(range(140, 151))
    log.append(records(151, 100))
    assert sequences(EventLog(tmp_path).read(1)) == list(range(1, 251))


def test_another_file_and_a_damaged_header_are_named(tmp_path: Path) -> None:
    log = EventLogWriter(tmp_path, file_bytes=SMALL)
    log.append(records(1, 3))
    log.close()
    file = next(tmp_path.glob("*.events"))
    content = bytearray(file.read_bytes())
    content[20] ^= 1
    file.write_bytes(content)
    with pytest.raises(EventLogError, match="header is damaged"):
        EventLogWriter(tmp_path)
    file.write_bytes(b"something else" * 1000)
    with pytest.raises(EventLogError, match="another file"):
        EventLogWriter(tmp_path)


def test_what_lies_before_the_log_is_said(tmp_path: Path) -> None:
    log = EventLogWriter(tmp_path, file_bytes=SMALL)
    log.append(records(1, 150))
    (tmp_path / "0000000000000001.events").unlink()
    with pytest.raises(EventLogError, match="expected event 5"):
        EventLog(tmp_path).read(5)
