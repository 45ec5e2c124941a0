"""CRC32C against published values, and the processor's instruction against tables and bit by bit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.crc32c import crc32c, hardware
from tests.kit import journal as kit


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        # RFC 3720, appendix B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
    ],
)
@pytest.mark.parametrize("tables", [False, True])
def test_published_values_are_met(data: bytes, value: int, tables: bool) -> None:
    assert crc32c(data, tables=tables) == value


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1))
def test_instruction_tables_and_bit_by_bit_agree(data: bytes, seed: int) -> None:
    assert crc32c(data, seed) == crc32c(data, seed, tables=True) == kit.crc32c(data, seed)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_a_seed_continues_an_earlier_value(first: bytes, second: bytes) -> None:
    assert crc32c(second, crc32c(first)) == crc32c(first + second)


def test_hardware_is_told() -> None:
    assert hardware() in (True, False)
