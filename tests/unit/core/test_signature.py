"""The reader of signatures against a regular expression: what is read, and that nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.signature import read_signature
from tests.kit.access import naive_signature

FIELDS = {
    "key": "desk0",
    "algorithm": "blake2b",
    "timestamp": "1800000000000",
    "nonce": "nonce-0001",
    "digest": "0123456789abcdef" * 4,
    "signature": "fedcba9876543210" * 4,
}


def header(order=tuple(FIELDS), comma=", ", **changes) -> bytes:
    fields = {**FIELDS, **changes}
    return comma.join(f"{name}={fields[name]}" for name in order).encode()


def read(text: bytes, method=b"POST", target=b"/orders?a=1"):
    found = read_signature(text, method, target)
    assert found == naive_signature(text, method, target)
    return found


def test_what_a_signature_says():
    assert read(header()) == (
        "desk0",
        0,
        1_800_000_000_000,
        b"nonce-0001",
        bytes.fromhex(FIELDS["digest"]),
        bytes.fromhex(FIELDS["signature"]),
        b"POST\n/orders?a=1\n" + FIELDS["digest"].encode() + b"\n1800000000000\nnonce-0001",
    )


@given(st.permutations(tuple(FIELDS)), st.sampled_from([",", ", "]))
def test_fields_may_come_in_any_order(order, comma):
    assert read(header(order, comma)) == read(header())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"key",
        b"=",
        header()[:-1],
        header() + b"0",
        header() + b",",
        header() + b", key=desk0",
        header() + b", other=1",
        b" " + header(),
        header() + b" ",
        header(comma=",  "),
        header(comma=" ,"),
        header(comma=";"),
        header(key="DESK"),
        header(key="abc"),
        header(key="a" * 33),
        header(algorithm="md5"),
        header(algorithm="BLAKE2B"),
        header(algorithm="blake2b "),
        header(timestamp=""),
        header(timestamp="0"),
        header(timestamp="01800000000000"),
        header(timestamp="+1800000000000"),
        header(timestamp="1" * 16),
        header(timestamp="1_0"),
        header(nonce="short"),
        header(nonce="a" * 65),
        header(nonce="with space"),
        header(nonce="\xe4" * 8),
        header(digest=FIELDS["digest"].upper()),
        header(signature=FIELDS["signature"][:-2]),
        header(signature="g" * 64),
        header(order=tuple(FIELDS)[1:]),
        header(order=("key", *FIELDS)),
        header().replace(b"key=", b"Key="),
        header().replace(b"nonce-0001", b"nonce\x000001"),
    ],
)
def test_what_is_no_signature_is_none(text):
    assert read(text) is None


@pytest.mark.parametrize(("method", "target"), [(b"PO\nST", b"/"), (b"POST", b"/a\n/b"), (b"POST", b"\n")])
def test_a_line_end_in_what_is_signed_is_refused(method, target):
    assert read(header(), method, target) is None


pieces = st.one_of(
    st.sampled_from(
        [header(), b"key=", b"nonce=", b",", b", ", b"=", b"digest=" + b"0" * 64, b"blake2b", b"timestamp=1"]
    ),
    st.binary(max_size=8),
)


@given(st.lists(pieces, max_size=12), st.binary(max_size=12))
def test_any_bytes_are_read_as_the_twin_reads_them(parts, target):
    read(b"".join(parts), target=target)


@given(st.integers(0, len(header()) - 1), st.integers(0, 255))
def test_any_letter_may_be_another(at, letter):
    text = bytearray(header())
    text[at] = letter
    read(bytes(text))
