"""XXH64 and XXH3 against the published implementation, with and without vector instructions, at once and streamed."""

from __future__ import annotations

import random

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.hashing import VECTORS, Xxh3, xxh3, xxh64

DATA = random.Random(3).randbytes(16_384)
PIECES = (8, 16, 32, 40, 64, 72, 128, 136, 240, 248, 256, 264, 1024, 4096)
every_way = pytest.mark.parametrize("vectors", VECTORS)


def words(count: int) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=8 * count).map(lambda data: data[: len(data) // 8 * 8])


@given(data=words(70))
def test_xxh64_is_the_published_value(data: bytes) -> None:
    assert xxh64(data) == xxhash.xxh64_intdigest(data)


@every_way
def test_xxh3_is_the_published_value_of_every_length(vectors: str) -> None:
    for length in range(0, 4097, 8):
        assert xxh3(DATA[:length], vectors=vectors) == xxhash.xxh3_64_intdigest(DATA[:length]), length


@every_way
@given(data=words(200))
def test_xxh3_is_the_published_value_of_any_bytes(vectors: str, data: bytes) -> None:
    assert xxh3(data, vectors=vectors) == xxhash.xxh3_64_intdigest(data)


@every_way
@pytest.mark.parametrize("seed", range(30))
def test_a_stream_has_the_published_value_after_every_piece(vectors: str, seed: int) -> None:
    chance = random.Random(seed)
    stream, published = Xxh3(vectors=vectors), xxhash.xxh3_64()
    at = 0
    while at < len(DATA):
        assert stream.value() == published.intdigest(), at
        piece = DATA[at : at + (chance.choice(PIECES) if seed % 3 else 8 * chance.randrange(40))]
        stream.update(piece)
        published.update(piece)
        at += len(piece)
    assert stream.value() == published.intdigest() == xxh3(DATA)


@every_way
def test_pieces_that_lie_anywhere_in_memory(vectors: str) -> None:
    expected = xxhash.xxh3_64_intdigest(DATA[:8192])
    for offset in range(64):
        moved = bytearray(offset + 8192)
        moved[offset:] = DATA[:8192]
        assert xxh3(memoryview(moved)[offset:], vectors=vectors) == expected


def test_the_quickest_way_is_the_last_one() -> None:
    assert VECTORS[0] == "plain"
    assert xxh3(DATA) == xxh3(DATA, vectors=VECTORS[-1])


@pytest.mark.parametrize("call", [xxh64, xxh3, Xxh3().update])
def test_a_length_that_is_no_whole_number_of_words_is_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match="multiple of 8 bytes, found 9"):
        call(bytes(9))


def test_instructions_that_are_unknown_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one of plain"):
        xxh3(b"", vectors="mmx")  # type: ignore[arg-type]
