"""The multiplication of RFC 7748, beside its vectors and libzmq's own."""

from __future__ import annotations

import pytest
import zmq

from nautilus.bus.keys import key_bytes, new_keys
from nautilus.bus.x25519 import BASE_POINT, multiply

VECTORS = [
    (
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    ),
    (
        "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
    ),
]


@pytest.mark.parametrize(("scalar", "point", "product"), VECTORS)
def test_the_vectors_of_the_rfc(scalar: str, point: str, product: str) -> None:
    assert multiply(bytes.fromhex(scalar), bytes.fromhex(point)).hex() == product


def test_the_iterated_vector_of_the_rfc() -> None:
    scalar = point = BASE_POINT
    for _ in range(10):
        scalar, point = multiply(scalar, point), scalar
    first = multiply(BASE_POINT, BASE_POINT)
    assert first.hex() == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    assert scalar != first


def test_public_keys_are_those_of_libzmq_and_both_ends_have_one_secret() -> None:
    for _ in range(5):
        a, b = new_keys(), new_keys()
        assert multiply(key_bytes(a.secret)) == key_bytes(zmq.curve_public(a.secret.encode()).decode())
        assert multiply(key_bytes(a.secret), key_bytes(b.public)) == multiply(key_bytes(b.secret), key_bytes(a.public))


@pytest.mark.parametrize("point", [bytes(32), (1).to_bytes(32, "little"), b"short"])
def test_points_that_give_no_secret_are_refused(point: bytes) -> None:
    with pytest.raises(ValueError, match=r"small order|bytes"):
        multiply(key_bytes(new_keys().secret), point)
