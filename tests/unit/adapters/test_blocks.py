"""Text in blocks of whole lines: cut, damaged, joined and plain files."""

import gzip
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nautilus.adapters.formats import FormatError
from nautilus.adapters.formats import blocks as blocks_module
from nautilus.adapters.formats.blocks import BlockReader

TEXT = b"".join(b"line %d of the text\n" % i for i in range(5000))


def read(path, block_bytes=1000):
    """The text that a reader gave, whether each block but the last was whole lines, and its error."""
    reader = BlockReader(path, block_bytes)
    blocks = []
    error = None
    try:
        blocks.extend(reader)
    except FormatError as caught:
        error = caught
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    assert reader.lines <= b"".join(blocks).count(b"\n")
    return b"".join(blocks), error, reader


@pytest.mark.parametrize("block_bytes", [1, 50, 1000, 1 << 20])
@pytest.mark.parametrize("end", [b"", b"last line without end"])
def test_plain_and_compressed_files_give_their_text(tmp_path, block_bytes, end):
    for content in (TEXT + end, gzip.compress(TEXT + end)):
        path = tmp_path / "any.name"
        path.write_bytes(content)
        text, error, reader = read(path, block_bytes)
        assert (text, error) == (TEXT + end, None)
        assert reader.progress == 1.0


def test_gzip_members_in_a_row_and_zero_padding_are_one_text(tmp_path):
    path = tmp_path / "joined.gz"
    path.write_bytes(gzip.compress(TEXT) + gzip.compress(b"") + gzip.compress(b"more\n") + b"\0" * 40_000)
    assert read(path)[:2] == (TEXT + b"more\n", None)


@pytest.mark.parametrize("content", [b"", gzip.compress(b"")])
def test_empty_file_gives_nothing(tmp_path, content):
    path = tmp_path / "empty"
    path.write_bytes(content)
    assert read(path)[:2] == (b"", None)


def test_gzip_cut_anywhere_gives_all_whole_lines_before_the_cut_and_then_an_error(tmp_path):
    whole = gzip.compress(TEXT)
    path = tmp_path / "cut.gz"
    for length in [*range(2, 40), *range(40, len(whole) - 8, 997), *range(len(whole) - 9, len(whole))]:
        path.write_bytes(whole[:length])
        text, error, _ = read(path)
        try:
            known = zlib.decompressobj(31).decompress(whole[:length])
        except zlib.error:
            known = b""
        assert text == known[: known.rfind(b"\n") + 1]
        assert error is not None
        assert "the file is cut" in error.what
        line = text.count(b"\n") + 1
        assert error.where == f"{path}:{line}"
        assert error.expected == "a whole gzip file"


def test_flipped_byte_in_gzip_gives_an_error_or_the_very_text(tmp_path):
    whole = gzip.compress(TEXT)
    path = tmp_path / "flipped.gz"
    for place in range(2, len(whole), 211):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        text, error, _ = read(path)
        if error is None:
            assert text == TEXT
        else:
            assert "damaged" in error.what or "cut" in error.what


def test_bytes_after_the_last_member_are_an_error_after_the_text(tmp_path):
    path = tmp_path / "trailing.gz"
    path.write_bytes(gzip.compress(TEXT) + b"garbage")
    text, error, _ = read(path)
    assert text == TEXT
    assert "damaged" in error.what


def test_missing_file_and_directory_say_why(tmp_path):
    for path, reason in ((tmp_path / "nowhere", "No such file"), (tmp_path, "Is a directory")):
        _, error, _ = read(path)
        assert reason in str(error)
        assert error.code == "venue.format"


def test_endless_line_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks_module, "LONGEST_LINE", 1 << 20)
    path = tmp_path / "endless.gz"
    path.write_bytes(gzip.compress(b"a\n" + b"x" * (3 << 20)))
    text, error, _ = read(path, 1 << 16)
    assert text == b"a\n"
    assert "longer than" in error.what


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(1, 64), st.booleans())
def test_any_bytes_come_back_whole(tmp_path, lines, block_bytes, packed):
    text = b"\n".join(lines)
    if text[:2] == b"\x1f\x8b":
        return
    path = tmp_path / "any"
    path.write_bytes(gzip.compress(text) if packed else text)
    assert read(path, block_bytes)[:2] == (text, None)
