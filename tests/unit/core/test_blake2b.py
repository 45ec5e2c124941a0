"""BLAKE2b against hashlib."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.blake2b import blake2b_32


@given(st.binary(max_size=700), st.binary(max_size=64))
def test_it_is_hashlibs(data, key):
    assert blake2b_32(data, key) == hashlib.blake2b(data, key=key, digest_size=32).digest()


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 255, 256, 257, 384, 100_000])
def test_whole_blocks_and_their_neighbours(size):
    data = bytes(range(251)) * (size // 251 + 1)
    for key in (b"", b"k", b"k" * 64):
        assert blake2b_32(data[:size], key) == hashlib.blake2b(data[:size], key=key, digest_size=32).digest()


def test_the_vector_of_the_rfc_without_a_key():
    assert blake2b_32(b"abc").hex() == hashlib.blake2b(b"abc", digest_size=32).hexdigest()
    assert blake2b_32(b"abc").hex() == "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"


def test_a_longer_key_is_refused():
    with pytest.raises(ValueError, match="65"):
        blake2b_32(b"", b"k" * 65)
