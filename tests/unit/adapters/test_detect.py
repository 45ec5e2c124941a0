"""The format is told by content; what is none is refused with one clear message."""

import gzip

import pytest

from nautilus.adapters.formats import FormatError, open_recording

TRADE = b'7 {"stream":"a@trade","data":{"e":"trade","E":1,"T":1,"s":"AB","t":1,"p":"1","q":"1","m":true}}\n'


@pytest.mark.parametrize("content", [TRADE, gzip.compress(TRADE), b"\n\n" + TRADE])
@pytest.mark.parametrize("name", ["log.gz", "log.txt", "AAPL_2012-06-21_1_2_message_10.csv"])
def test_binance_log_is_known_whatever_its_name(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    recording = open_recording(path)
    assert recording.format == "binance"
    assert len(list(recording.updates())) == 1


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (gzip.compress(b""), "is empty"),
        (b"PK\x03\x04rest", "the zip archive is damaged (File is not a zip file)"),
        (b"BZh9rest", "is a bzip2 file"),
        (b"%PDF-1.4", "is a PDF file"),
        (b"\x00\x01\x02\x03", "is binary"),
        (b"\xff\xfe\xfd\n", "is UTF-16 text"),
        (gzip.compress(b"\x00\x01"), "is binary"),
        (b"hello world\n", "begins with 'hello world'"),
        (b"time,price\n1,2\n", "holds a table (table), no market"),
        (b"time,open,high,low,close\n2020-01-02,1,2,1,2\n", "holds bars, no market"),
        (b'{"e":"trade"}\n', "JSON that is no log of a venue's messages, such as the answer of a data provider"),
        (b"[1,2]\n", "JSON that is no log of a venue's messages, such as the answer of a data provider"),
        (b"interactions:\n- request:\n", "is YAML, such as recorded HTTP answers"),
        (b"a,b\n\xe9,1\n", "the byte 0xe9 is no UTF-8"),
        (b"1723161255 hello\n", "begins with '1723161255 hello'"),
    ],
)
def test_other_content_is_refused(tmp_path, content, what):
    path = tmp_path / "any.gz"
    path.write_bytes(content)
    with pytest.raises(FormatError) as caught:
        open_recording(path)
    assert caught.value.what == what
    assert str(path) in caught.value.where
    assert caught.value.expected


def test_numbers_without_a_name_that_tells_the_symbol_are_no_recording(tmp_path):
    path = tmp_path / "numbers.csv"
    path.write_text("1.5,2\n")
    with pytest.raises(FormatError, match="holds a table"):
        open_recording(path)


def test_gzip_cut_in_its_header_is_refused(tmp_path):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(TRADE)[:8])
    with pytest.raises(FormatError, match="the file is cut; expected a whole gzip file"):
        open_recording(path)


def test_missing_path_and_empty_directory_are_refused(tmp_path):
    with pytest.raises(FormatError, match=r"nothing\.gz: no such file; expected a recording"):
        open_recording(tmp_path / "nothing.gz")
    with pytest.raises(FormatError, match="no such file"):
        open_recording(tmp_path / "no" / "where.gz")
    with pytest.raises(FormatError, match="0 LOBSTER message and 0 orderbook files"):
        open_recording(tmp_path)
