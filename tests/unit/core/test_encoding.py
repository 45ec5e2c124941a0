"""Records of a journal: every way to encode them gives what the checksum bit by bit says, for any bytes."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.journal import encode
from nautilus.core.types import COMMAND
from tests.kit import journal as kit

LINE = st.binary(min_size=64, max_size=64)
BODIES = st.lists(st.tuples(LINE, LINE | st.just(bytes(64))), max_size=12)


def methods() -> list[str]:
    """Those that this processor has."""
    found = []
    for method in ("tables", "chained", "joined"):
        try:
            encode(np.zeros(0, COMMAND), method=method)
        except ValueError:
            continue
        found.append(method)
    return found


@pytest.mark.parametrize("method", methods())
@given(bodies=BODIES, chain=st.integers(0, 2**32 - 1))
def test_records_are_those_of_the_checksum_bit_by_bit(
    method: str, bodies: list[tuple[bytes, bytes]], chain: int
) -> None:
    commands = np.frombuffer(b"".join(first + second for first, second in bodies), COMMAND)
    expected, before = b"", chain
    for first, second in bodies:
        body = first + second if any(second) else first
        rest = struct.pack("<HH", 1, len(body)) + body
        before = kit.crc32c(rest, before)
        expected += struct.pack("<I", before) + rest
    assert encode(commands, chain, method=method) == expected


def test_the_way_taken_here_gives_the_same_and_an_unknown_one_is_refused() -> None:
    written = kit.commands(1, 1000, wide=3)
    assert len({encode(written, 7), *(encode(written, 7, method=method) for method in methods())}) == 1
    with pytest.raises(ValueError, match="method: expected one that this processor has, found 'slices'"):
        encode(written, method="slices")
