"""Times as people write them: read to the nanosecond, and never more than 64 bits."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.model.errors import ModelError
from nautilus.model.moments import LEAST_NS, MOST_NS, moment_ns

DAY_NS = 1_723_161_600_000_000_000


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", 0),
        ("2024-08-09", DAY_NS),
        ("20240809", DAY_NS),
        ("2024-08-09T00:00:00", DAY_NS),
        ("2024-08-09T00:00:00.123456789Z", DAY_NS + 123_456_789),
        ("20240809T000000.123456789Z", DAY_NS + 123_456_789),
        ("2024-08-09 00:00:00.1234567890", DAY_NS + 123_456_789),
        ("2024-08-09T02:00:00.5+02:00", DAY_NS + 500_000_000),
        ("2024-08-09T02:00:00.000000001+02:00", DAY_NS + 1),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1723161600000000001", DAY_NS + 1),
        (str(MOST_NS), MOST_NS),
        (str(LEAST_NS), LEAST_NS),
    ],
)
def test_a_time_is_read_to_the_nanosecond(text, found):
    assert moment_ns(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "2024-13-01",
        "2024-01-01T12.5",
        "2024-01-01.5",
        "2024-01-01T00:00:00.1234567891",
        "9" * 20,
        "9" * 400,
        str(MOST_NS + 1),
        str(LEAST_NS - 1),
        "9999-12-31",
        "0001-01-01",
        "١٢٣٤٥٦٧٨٩",
    ],
)
def test_what_is_none_or_does_not_fit_is_refused(text):
    with pytest.raises(ModelError, match="begin: time"):
        moment_ns(text, "begin")


@given(st.text(max_size=40) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.+Z-]{0,20}", fullmatch=True))
def test_anything_is_a_number_of_64_bits_or_refused(text):
    with contextlib.suppress(ModelError):
        assert LEAST_NS <= moment_ns(text) <= MOST_NS
