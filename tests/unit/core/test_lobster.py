"""The decoder of LOBSTER files."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.lobster import decode_messages, decode_rows

GOOD = b"34200.004241176,1,16113575,18,5853300,1\n"
ROW = b"5859400,200,5853300,18,5859800,150,5853000,10\n"


def test_message_becomes_integers():
    messages, fault = decode_messages(GOOD + b"34201,7,0,0,-1,-1\r\n34202.5,6,-1,100,5850000,1")
    assert fault is None
    names = ["time_ns", "kind", "order_id", "quantity", "price", "direction"]
    assert messages[names].tolist() == [
        (34200_004241176, 1, 16113575, 18, 5853300, 1),
        (34201_000000000, 7, 0, 0, -1, -1),
        (34202_500000000, 6, -1, 100, 5850000, 1),
    ]


def test_decimals_finer_than_a_nanosecond_are_cut_off():
    messages, fault = decode_messages(b"34200.0042411769999,1,1,1,1,1\n")
    assert fault is None
    assert messages["time_ns"].tolist() == [34200_004241176]


@pytest.mark.parametrize(
    ("line", "what", "expected"),
    [
        (b"x,1,1,1,1,1", "time in message", "seconds after midnight"),
        (b"-1,1,1,1,1,1", "time in message", "seconds after midnight"),
        (b"172800,1,1,1,1,1", "time in message", "seconds after midnight"),
        (b"1,8,1,1,1,1", "type in message '1,8,1,1,1,1'", "1 to 7"),
        (b"1,0,1,1,1,1", "type in message", "1 to 7"),
        (b"1,1,a,1,1,1", "order id in message", "a whole number"),
        (b"1,1,-1,1,1,1", "order id in message", "a whole number"),
        (b"1,1,1,0,1,1", "size in message", "1 or more"),
        (b"1,1,1,1.5,1,1", "size in message", "1 or more"),
        (b"1,1,1,1,-1,1", "price in message", "a price above 0"),
        (b"1,1,1,99999999999999999999,1,1", "size in message", "1 or more"),
        (b"1,1,1,1,1,-", "direction in message", "1 or -1"),
        (b"1,1,1,1,1,0", "direction in message", "1 or -1"),
        (b"1,1,1,1,1", "message '1,1,1,1,1'", "six columns"),
        (b"1,1,1,1,1,1,1", "message '1,1,1,1,1,1,1'", "six columns"),
        (b"", "time in message ''", "seconds"),
        (b"\x00\xff", "time in message '\x00\\ufffd'", "seconds"),
    ],
)
def test_faulty_message_is_named_and_those_before_it_are_kept(line, what, expected):
    messages, fault = decode_messages(GOOD + GOOD + line + b"\n" + GOOD)
    assert len(messages) == 2
    assert fault.line == 3
    assert what in fault.what
    assert expected in fault.expected


def test_row_becomes_integers_and_empty_levels_are_kept():
    empty = b"5859400,200,5853300,18,9999999999,0,-9999999999,0"
    rows, fault = decode_rows(ROW + empty, 2)
    assert fault is None
    assert rows.tolist() == [
        [5859400, 200, 5853300, 18, 5859800, 150, 5853000, 10],
        [5859400, 200, 5853300, 18, 9999999999, 0, -9999999999, 0],
    ]


@pytest.mark.parametrize(
    ("line", "what", "expected"),
    [
        (b"1,2,3", "row '1,2,3'", "8 whole numbers"),
        (b"9,1,8,1,10,1,7,1,1", "row", "8 whole numbers"),
        (b"9,1,8,x,10,1,7,1", "bid size of level 1", "a whole number"),
        (b"9,1,8,1,10,-1,7,1", "ask size of level 2", "zero or more"),
        (b"9,1,8,1,9,1,7,1", "ask price of level 2 is out of order", "asks that ascend"),
        (b"9,1,8,1,10,1,8,1", "bid price of level 2 is out of order", "bids that descend"),
        (b"9,0,8,1,10,1,7,1", "ask price of level 2 is out of order", "asks that ascend"),
    ],
)
def test_faulty_row_is_named_and_those_before_it_are_kept(line, what, expected):
    rows, fault = decode_rows(ROW + line + b"\n" + ROW, 2)
    assert len(rows) == 1
    assert fault.line == 2
    assert what in fault.what
    assert expected in fault.expected


def test_rows_need_at_least_one_level():
    with pytest.raises(ValueError, match="levels is 0"):
        decode_rows(ROW, 0)


MESSAGES = st.lists(
    st.tuples(
        st.integers(0, 172799),
        st.integers(0, 999_999_999),
        st.integers(1, 5),
        st.integers(0, 2**60),
        st.integers(1, 2**40),
        st.integers(1, 2**40),
        st.sampled_from([1, -1]),
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(MESSAGES)
def test_messages_equal_what_python_reads(rows):
    text = "".join(f"{s}.{ns:09d},{kind},{i},{q},{p},{d}\n" for s, ns, kind, i, q, p, d in rows)
    messages, fault = decode_messages(text.encode())
    assert fault is None
    names = ["time_ns", "kind", "order_id", "quantity", "price", "direction"]
    assert messages[names].tolist() == [(s * 10**9 + ns, kind, i, q, p, d) for s, ns, kind, i, q, p, d in rows]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(1, 3), st.integers(0, 120))
def test_random_or_damaged_bytes_are_read_without_harm(noise, levels, cut):
    for block in (noise, GOOD * 3 + noise, (GOOD * 3)[:cut] + noise + GOOD):
        messages, fault = decode_messages(block)
        assert len(messages) + (fault is not None) <= block.count(b"\n") + 1
    for block in (noise, ROW + noise, (ROW * 3)[:cut] + noise + ROW):
        rows, fault = decode_rows(block, levels)
        assert len(rows) + (fault is not None) <= block.count(b"\n") + 1
