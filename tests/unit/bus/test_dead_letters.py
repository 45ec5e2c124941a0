"""The log of dead letters on disk."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from nautilus.bus import DeadLetter, MessageKind
from nautilus.bus.dead_letters import (
    FIRST,
    HEAD,
    MOST_PAYLOAD,
    DeadLetterLog,
    LetterReader,
    StoredLetter,
    segments,
)
from nautilus.core.counters import Counters
from nautilus.core.crc32c import crc32c
from tests.kit.full_disk import largest_file


def letter(number: int, payload: bytes | None = None, **changes: object) -> DeadLetter:
    fields = {
        "reason": "deadline",
        "peer": "risk",
        "kind": MessageKind.COMMAND,
        "id": number,
        "priority": 2,
        "sender": "strategy",
        "to": "risk",
        "deadline_ns": 5,
        "trace_id": 0,
        "payload": b"payload %d" % number if payload is None else payload,
    }
    return DeadLetter(**{**fields, **changes})  # type: ignore[arg-type]


def clock() -> int:
    return 17


def make(directory: Path, **options: object) -> DeadLetterLog:
    return DeadLetterLog(directory, clock, **options)  # type: ignore[arg-type]


def read(directory: Path) -> list[StoredLetter]:
    return list(LetterReader(directory).read())


def test_what_is_written_is_read_with_every_field(tmp_path: Path) -> None:
    log = make(tmp_path)
    assert log.add([letter(7, trace_id=(1 << 127) | 5)]) == 0
    (found,) = read(tmp_path)
    assert found == StoredLetter(
        1, 17, "deadline", "risk", 1, 7, 2, "strategy", "risk", 5, f"{(1 << 127) | 5:032x}", b"payload 7"
    )
    log.close()


def test_a_later_life_goes_on_with_the_numbers(tmp_path: Path) -> None:
    for life in range(3):
        log = make(tmp_path)
        log.add([letter(life), letter(life)])
        log.close()
    assert [each.number for each in read(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert len(segments(tmp_path)) == 1


def test_the_log_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    log = make(tmp_path, segment_bytes=1_000, segments=3)
    for number in range(1, 201):
        log.add([letter(number)])
    found = read(tmp_path)
    assert [each.number for each in found] == list(range(found[0].number, 201))
    assert len(found) > 20
    assert sum(path.stat().st_size for path in segments(tmp_path)) <= 3_000
    assert log.dropped_segments > 0
    log.close()


def test_many_letters_at_once_are_spread_over_segments(tmp_path: Path) -> None:
    log = make(tmp_path, segment_bytes=1_000, segments=100)
    log.add([letter(number) for number in range(100)])
    assert [each.number for each in read(tmp_path)] == list(range(1, 101))
    assert all(path.stat().st_size <= 1_000 for path in segments(tmp_path))
    log.close()


@pytest.mark.parametrize("seed", range(8))
def test_a_torn_tail_is_cut_and_counted(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    log = make(tmp_path)
    log.add([letter(number) for number in range(10)])
    log.close()
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    cut = chance.randrange(len(FIRST) + 1, len(whole))
    torn = whole[:cut] + (b"" if chance.random() < 0.5 else chance.randbytes(chance.randrange(1, 50)))
    path.write_bytes(torn)
    before = [each.number for each in read(tmp_path)]
    counters = Counters()
    again = make(tmp_path, counters=counters)
    kept = path.stat().st_size
    assert (again.torn_bytes, counters.snapshot()["letters.torn_bytes"]) == (len(torn) - kept,) * 2
    assert torn[:kept] == path.read_bytes()
    again.add([letter(100)])
    again.close()
    numbers = [each.number for each in read(tmp_path)]
    assert numbers == [*before, (before or [0])[-1] + 1]


def test_a_segment_without_a_head_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "00000000000000000005.letters").write_bytes(FIRST[:5])
    log = make(tmp_path)
    assert log.torn_bytes == 5
    log.add([letter(1)])
    assert [each.number for each in read(tmp_path)] == [5], "numbers are not given twice"
    log.close()


def test_damage_in_the_middle_is_said_and_later_segments_are_read(tmp_path: Path) -> None:
    log = make(tmp_path, segment_bytes=400, segments=10)
    for number in range(20):
        log.add([letter(number)])
    log.close()
    first, second, *_ = segments(tmp_path)
    data = bytearray(first.read_bytes())
    data[len(FIRST) + HEAD.size + 3] ^= 1
    first.write_bytes(data)
    reader = LetterReader(tmp_path)
    numbers = [each.number for each in reader.read()]
    assert reader.damaged == 1
    assert numbers == list(range(int(second.name.partition(".")[0]), 21))
    assert list(reader.read()) == []
    assert reader.damaged == 1


def test_a_full_disk_loses_letters_counts_them_and_harms_no_other(tmp_path: Path) -> None:
    counters = Counters()
    log = make(tmp_path, counters=counters)
    log.add([letter(1)])
    with largest_file(400):
        assert log.add([letter(number) for number in range(2, 12)]) > 0
    log.add([letter(12)])
    numbers = [each.number for each in read(tmp_path)]
    assert (numbers[0], numbers[-1]) == (1, 12)
    assert numbers == sorted(numbers)
    assert (log.written, log.unwritten) == (len(numbers), 12 - len(numbers))
    assert counters.snapshot()["letters.unwritten"] == log.unwritten
    assert LetterReader(tmp_path).damaged == 0
    log.close()


def test_a_payload_that_is_too_large_is_left_out(tmp_path: Path) -> None:
    log = make(tmp_path)
    log.add([letter(1, bytes(MOST_PAYLOAD + 1)), letter(2, bytes(MOST_PAYLOAD))])
    first, second = read(tmp_path)
    assert (first.payload, first.left_out) == (b"", MOST_PAYLOAD + 1)
    assert (len(second.payload), second.left_out) == (MOST_PAYLOAD, 0)
    assert log.left_out == 1
    log.close()


def test_a_reader_follows_the_writer_over_segments(tmp_path: Path) -> None:
    log = make(tmp_path, segment_bytes=300, segments=100)
    reader = LetterReader(tmp_path)
    found: list[int] = []
    for number in range(1, 51):
        log.add([letter(number)])
        if number % 7 == 0:
            found += [each.number for each in reader.read()]
    found += [each.number for each in reader.read()]
    assert found == list(range(1, 51))
    log.close()


def test_segments_of_large_letters_are_named_by_their_first_and_none_is_begun_twice(tmp_path: Path) -> None:
    log = make(tmp_path, segment_bytes=1_000, segments=100)
    sizes = [600, 600, 600, 200, 600, 100, 100, 600, 600]
    assert log.add([letter(number, b"x" * size) for number, size in enumerate(sizes)]) == 0
    log.close()
    assert [each.id for each in read(tmp_path)] == list(range(len(sizes)))
    first = [int(path.stem) for path in segments(tmp_path)]
    for number, path in zip(first, segments(tmp_path), strict=True):
        alone = tmp_path / "alone"
        alone.mkdir(exist_ok=True)
        (alone / path.name).write_bytes(path.read_bytes())
        assert read(alone)[0].number == number
        (alone / path.name).unlink()


@pytest.mark.parametrize(("number", "next_number"), [(57, 58), (0, 1), ((1 << 64) - 1, 1)])
def test_letters_behind_one_whose_number_is_damaged_are_read(tmp_path: Path, number: int, next_number: int) -> None:
    log = make(tmp_path)
    log.add([letter(1), letter(2)])
    log.close()
    (segment,) = segments(tmp_path)
    first, second = read(tmp_path)
    content = FIRST
    for each in (msgspec.structs.replace(first, number=number), second):
        body = msgspec.msgpack.encode(each)
        content += HEAD.pack(len(body), crc32c(body)) + body
    segment.write_bytes(content)
    log = make(tmp_path)
    log.add([letter(9)])
    log.close()
    found = read(tmp_path)[-1]
    assert (found.id, found.number) == (9, next_number)
