"""HMAC-SHA256 against hmac, and against the vectors of RFC 4231."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.sha256 import hmac_sha256


@given(st.binary(max_size=200), st.binary(max_size=400))
def test_it_is_hmacs(key, data):
    assert hmac_sha256(key, data) == hmac.digest(key, data, "sha256")


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 119, 120, 127, 128, 129, 100_000])
def test_whole_blocks_and_their_neighbours(size):
    data = bytes(range(251)) * (size // 251 + 1)
    for key in (b"", b"k", b"k" * 32, b"k" * 64, b"k" * 65, b"k" * 200):
        assert hmac_sha256(key, data[:size]) == hmac.digest(key, data[:size], "sha256")


@pytest.mark.parametrize(
    ("key", "data", "code"),
    [
        (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            b"\xaa" * 131,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ],
)
def test_the_vectors_of_the_rfc(key, data, code):
    assert hmac_sha256(key, data).hex() == code
