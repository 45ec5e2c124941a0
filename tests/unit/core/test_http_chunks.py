"""Bodies in chunks, against a naive twin."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.http_chunks import ERRORS, ChunkReader
from tests.kit.effort import share
from tests.kit.naive_proxy_head import naive_dechunk


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(marks)]


@settings(max_examples=share(1000))
@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.sampled_from([b"", b";a=b", b"; x"]),
    st.sampled_from([b"", b"x: y\r\n", b"a: b\r\nc: d\r\n"]),
    st.binary(max_size=10),
    st.lists(st.integers(0, 1000), max_size=8),
)
def test_chunks_are_taken_apart_however_they_come(pieces, extension, trailers, behind, places):
    data = (
        b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"
    )
    reader, out, rest = ChunkReader(), b"", 0
    for piece in cut(data + behind, places):
        if reader.done:
            rest += len(piece)
            continue
        found = reader.feed(piece)
        assert isinstance(found, bytes)
        out += found
        rest += reader.rest
    assert reader.done
    assert (out, rest) == (b"".join(pieces), len(behind))
    assert naive_dechunk(data + behind) == (out, behind)


CHUNKY = st.sampled_from(
    [
        b"5\r\nhello\r\n",
        b"5",
        b"\r\n",
        b"0\r\n",
        b"0\r\n\r\n",
        b"hello",
        b";x\r\n",
        b" ",
        b"g\r\n",
        b"a: b\r\n",
        b"\n",
        b"\r",
        b"F\r\n",
    ]
)


@settings(max_examples=share(2000))
@given(st.lists(CHUNKY, max_size=8))
def test_malformed_chunks_are_refused_where_the_naive_twin_refuses_them(parts):
    data = b"".join(parts) + b"0\r\n\r\n"
    reader = ChunkReader()
    found = reader.feed(data)
    expected = naive_dechunk(data)
    if isinstance(found, bytes) and reader.done:
        assert expected == (found, data[len(data) - reader.rest :])
    else:
        assert expected is None


def test_chunks_cost_no_more_than_they_may():
    reader = ChunkReader()
    assert reader.feed(b"1;" + b"x" * 70_000) in ERRORS
    reader = ChunkReader()
    assert reader.feed(b"0\r\n" + b"a: b\r\n" * 20_000) in ERRORS
    reader = ChunkReader()
    assert reader.feed(b"1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n" * 10_000) in ERRORS
    reader = ChunkReader()
    assert isinstance(reader.feed(b"100000\r\n" + b"a" * (1 << 20) + b"\r\n" + b"1\r\na\r\n" * 100_000), bytes)
