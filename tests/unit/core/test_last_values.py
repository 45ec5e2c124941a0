"""The table of last values against a dict, full, in its next life, damaged."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.bus.base import HEADER, MAGIC, topic_bytes
from nautilus.core.last_values import MOST_BYTES, LastValues, LastValueWriter
from tests.kit.full_disk import largest_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "values"


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2, 3, 1 << 32, (1 << 64) - 1, *range(64, 90)]), st.binary(max_size=128),
                  st.integers(0, 9), st.integers(-5, 5)),
        max_size=80,
    )
)  # fmt: skip
def test_a_table_holds_what_a_dict_would(tmp_path_factory, puts):
    path = tmp_path_factory.mktemp("twin") / "values"
    writer, twin, refused, stale = LastValueWriter(path, 16, 3), {}, 0, 0
    values = LastValues(path)
    out = np.zeros(128, np.uint8)
    for stream, record, sequence, at_ns in puts:
        there = writer.put(stream, record, sequence, at_ns)
        if stream not in twin and len(twin) == 16:
            assert not there
            refused += 1
        elif stream in twin and twin[stream][1] >= sequence:
            assert there
            stale += 1
        else:
            assert there
            twin[stream] = (record, sequence, 3, at_ns)
        view = values.bind(stream, out)
        assert values.read(stream) == twin.get(stream)
        if stream in twin:
            assert view.read() == twin[stream][1]
            assert out.tobytes() == twin[stream][0].ljust(128, b"\0")
            assert (view.sequence, view.epoch, view.at_ns) == twin[stream][1:]
    assert {stream: values.read(stream) for stream in values.streams()} == twin
    assert len(writer) == len(values) == len(twin)
    assert (writer.refused, values.refused, writer.stale) == (refused, refused, stale)
    assert values.capacity == writer.capacity == 16


def test_a_view_is_made_before_its_stream_and_outlives_tables(path: Path) -> None:
    first = LastValueWriter(path, 8, 1)
    values, out = LastValues(path), np.ones(2, np.uint64)
    view = values.bind(5, out)
    assert (view.read(), view.sequence, view.current, out.tolist()) == (0, 0, False, [1, 1])
    first.put(5, np.arange(7, 10, dtype=np.uint64), 4, 11)
    assert (view.read(), out.tolist(), view.current, view.stream) == (4, [7, 8], True, 5)
    second = LastValueWriter(path, 64, 2)
    assert (view.read(), view.epoch, view.current) == (4, 1, False)
    assert values.epoch == 2
    assert values.attached == 2
    second.put(5, b"new", 1, 12)
    assert (view.read(), view.epoch, view.current) == (1, 2, True)
    assert out.tobytes() == b"new".ljust(16, b"\0")
    second.close()
    assert (view.read(), values.alive) == (1, False)  # what was last stays
    LastValueWriter(path, 64, 3, keep=False)
    assert LastValues(path).read(5) is None


def test_the_last_record_of_a_frame_is_taken(path: Path) -> None:
    writer = LastValueWriter(path, 8, 9)
    values = LastValues(path)

    def frame(first: int, count: int, wide: int, body: bytes) -> bytes:
        return HEADER.pack(topic_bytes(1, 2), MAGIC, 1, 1, wide, count, 9, 1 << 32 | 2, first, 77) + body

    assert writer.put_frame(frame(5, 2, 16, bytes(16) + b"last record here"))
    assert values.read(1 << 32 | 2) == (b"last record here", 6, 9, 77)
    for junk in (b"", frame(9, 0, 16, b""), frame(9, 1, 16, bytes(15)), frame(9, 1, 136, bytes(136)), bytes(63)):
        assert writer.put_frame(junk)
    assert len(values) == 1
    assert writer.put_frame(frame(5, 1, 16, bytes(16)))
    assert writer.stale == 1


def test_impossible_tables_and_values_are_refused(path: Path) -> None:
    for capacity in (0, 3, 1 << 25):
        with pytest.raises(ValueError, match="expected a power of two"):
            LastValueWriter(path, capacity, 1)
    with largest_file(100_000), pytest.raises(OSError, match="File too large") as error:
        LastValueWriter(path, 1 << 12, 1)
    assert error.value.errno == errno.EFBIG
    writer = LastValueWriter(path, 2, 1)
    with pytest.raises(ValueError, match=f"129 bytes, expected at most {MOST_BYTES}"):
        writer.put(1, bytes(129), 1, 1)
    with pytest.raises(TypeError):
        writer.put(1, "text", 1, 1)  # type: ignore[arg-type]
    values = LastValues(path)
    with pytest.raises(ValueError, match="expected a writable contiguous array"):
        values.bind(1, np.frombuffer(bytes(8), np.uint8))
    writer.close()
    writer.close()
    for use in (lambda: writer.put(1, b"", 1, 1), lambda: len(writer), lambda: writer.put_frame(bytes(64))):
        with pytest.raises(ValueError, match="the table is closed"):
            use()


def test_what_is_no_table_is_refused(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LastValues(path)
    LastValueWriter(path, 8, 1).close()
    sound = path.read_bytes()
    for bad in (b"", sound[:200], sound[:-1], sound[:-384], bytes(len(sound)), sound + bytes(384)):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="damaged, or no table"):
            LastValues(path)
