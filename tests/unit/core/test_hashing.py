"""XXH64 against the published implementation, with and without vector instructions."""

from __future__ import annotations

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.hashing import xxh64


@given(words=st.lists(st.integers(0, 2**64 - 1), max_size=70))
def test_both_ways_give_the_published_value(words: list[int]) -> None:
    data = b"".join(word.to_bytes(8, "little") for word in words)
    expected = xxhash.xxh64_intdigest(data)
    assert xxh64(data) == expected
    assert xxh64(data, vectors=False) == expected


def test_a_length_that_is_no_whole_number_of_words_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8 bytes, found 9"):
        xxh64(bytes(9))
