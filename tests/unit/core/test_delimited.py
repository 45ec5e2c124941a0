"""The decoder of delimited text against Python's own csv, decimal and datetime, field by field."""

import random

import numpy as np
import pytest

from nautilus.core.delimited import (
    DECIMAL,
    FLOAT,
    MISSING,
    REASONS,
    SKIP,
    TEXT,
    TIME,
    WHOLE,
    DelimitedDecoder,
    DelimitedProfiler,
)
from tests.kit import naive_delimited as naive


def decode(text, kinds, **options):
    return DelimitedDecoder(options.pop("delimiter", ","), kinds, **options).decode(text.encode())


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("places", [0, 2, 4, 9, 18])
def test_decimals_are_those_of_the_naive_twin(places, rounded):
    chance = random.Random(places)
    texts = [
        "0",
        "-0",
        "+1",
        ".5",
        "5.",
        "-.25",
        "1e3",
        "1.5E-2",
        "12345678901234567890",
        "1.2.3",
        "abc",
        "1e",
        "--1",
        "0x1",
    ]
    # At the end of what fits 64 bits.
    for point in (0, 1, 9, 17, 18, 19, 30):
        for digits in ("9223372036854775807", "9223372036854775808", "92233720368547758075", "12345678901234567895"):
            padded = digits.rjust(point + 1, "0")
            for text in (padded[: len(padded) - point] + "." + padded[len(padded) - point :], f"{digits}e-{point}"):
                texts += [text, f"-{text}", f"{text}4", f"{text}e3"]
    for _ in range(3000):
        digits, point = chance.randrange(10 ** chance.randint(1, 12)), chance.randint(0, 11)
        texts.append(f"{chance.choice(['', '-', '+'])}{digits / 10**point:.{point}f}")
    for text in texts:
        batch = decode(f"{text}\n", [DECIMAL], decimals=[places], rounded=[rounded])
        found = int(batch.values[0][0]) if len(batch) else None
        assert found == naive.decimal_of(text, places, rounded), text
        assert (batch.refused == 0) == (found is not None)


def test_floats_are_the_nearest_as_python_reads_them():
    chance = random.Random(5)
    texts = [repr(chance.uniform(-1e6, 1e6)) for _ in range(2000)]
    texts += [repr(chance.random() * 10.0 ** chance.randint(-30, 30)) for _ in range(2000)]
    texts += ["0.1", "1e22", "1e23", "123456789012345678", "0.30000000000000004", "5e-324"]
    batch = decode("\n".join(texts) + "\n", [FLOAT])
    assert batch.floats(0).tolist() == [float(text) for text in texts]
    long = ["0" * 70 + "1.5", "1" * 80, "0." + "3" * 90 + "e-7", "1e-400"]
    batch = decode("\n".join([*long, "1e999", "-" + "9" * 400, "1" * 30 + "x"]), [FLOAT])
    assert batch.floats(0).tolist() == [float(text) for text in long]
    assert [REASONS[reason] for reason in batch.faults["reason"]] == ["does not fit 64 bits"] * 2 + ["is no number"]


TIMES = """2014-01-02;20140102;2014/01/02;2014-01-02 09:30;20140102 09:30;2014-01-02T09:30:01Z;2014-01-02 09:30:01.5
2014-01-02 09:30:01.123456789;2014-01-02T09:30:01.123+01:00;2014-01-02 09:30:01-0530;2014-01-02 09:30:01 UTC
1969-12-31 23:59:59.5;2000-02-29;1900-02-29;2014-02-30;2014-13-01;2014-1-2;09:30;2014-01-02 24:00;2014-01-02 09:60
2014-01/02;2014-01-02 09:30:01.;2014-01-02x;2014-01-02 09:30+01:;2014-01-02 09:30:60;2262-01-01;1699-12-31""".replace(
    "\n", ";"
).split(";")


@pytest.mark.parametrize("text", TIMES)
def test_times_are_those_of_the_naive_twin(text):
    batch = decode(f"{text}\n", [TIME])
    assert (int(batch.values[0][0]) if len(batch) else None) == naive.time_of(text)


def test_random_days_are_those_of_the_calendar():
    chance = random.Random(3)
    texts = [f"{chance.randint(1800, 2200)}-{chance.randint(1, 12):02}-{chance.randint(1, 31):02}" for _ in range(3000)]
    batch = decode("\n".join(texts) + "\n", [TIME])
    assert batch.values[0].tolist() == [each for each in map(naive.time_of, texts) if each is not None]


def test_fields_are_split_as_csv_splits_them():
    text = 'a,"b,c","say ""x""",1\r\n\r\n# a comment, with commas\n d , e ,"", 2 \n'
    batch = decode(text, [TEXT, TEXT, TEXT, WHOLE])
    expected = naive.rows(text.replace("\r", ""))
    assert [batch.texts(i) for i in range(3)] == [[row[i] for row in expected] for i in range(3)]
    assert batch.values[3].tolist() == [1, 2]
    assert batch.lines.tolist() == [1, 4]


def test_two_quotes_are_one_in_a_quoted_field_alone():
    batch = decode('a""b,"a""b"\n"a""b",a""b\n', [TEXT, TEXT])
    assert [batch.texts(i) for i in range(2)] == [['a""b', 'a"b'], ['a"b', 'a""b']]


@pytest.mark.parametrize(
    ("line", "column", "why"),
    [
        ("1,2", 2, "another number of fields"),
        ("1,2,3,4", 3, "another number of fields"),
        ("x,2,3", 0, "is no number"),
        ("1,2.123,3", 1, "is finer than the others of its column"),
        ("1,2,", 2, "is empty"),
        ("99999999999999999999,2,3", 0, "does not fit 64 bits"),
        ('1,2,"3', 2, "has a quote that does not end"),
    ],
)
def test_a_line_that_does_not_fit_is_named_and_the_others_are_kept(line, column, why):
    batch = decode(f"1,2.25,3\n{line}\n4,5,6\n", [WHOLE, DECIMAL, WHOLE], decimals=[0, 2, 0])
    assert batch.refused == 1
    fault = batch.faults[0]
    assert (int(fault["line"]), int(fault["column"]), REASONS[int(fault["reason"])]) == (2, column, why)
    assert batch.values.tolist() == [[1, 4], [225, 500], [3, 6]]


def test_optional_fields_are_missing_and_skipped_ones_are_not_looked_at():
    batch = decode("x,,NaN,null\ny,1,2.5,2014-01-02\n", [SKIP, WHOLE, FLOAT, TIME], optional=[False, True, True, True])
    assert batch.values[1].tolist() == [MISSING, 1]
    assert np.isnan(batch.floats(2)).tolist() == [True, False]
    assert batch.values[3].tolist()[0] == MISSING


def test_lines_are_counted_across_blocks():
    decoder = DelimitedDecoder("|", [WHOLE, WHOLE], lines=1)
    decoder.decode(b"1|2\n3|4\n")
    batch = decoder.decode(b"5|6\nx|8\n")
    assert batch.lines.tolist() == [4]
    assert batch.faults["line"].tolist() == [5]
    assert (decoder.lines, decoder.rows) == (5, 4)


def test_the_profile_tells_what_columns_hold():
    profiler = DelimitedProfiler(",", 4)
    profiler.add(b"20140102,1.25,a,2014-01-02 09:30\n20140103,,b,2014-01-03 09:30Z\n1,2\n20140104,1e-3,3,x\n")
    columns = profiler.columns
    assert (profiler.rows, profiler.odd) == (4, 1)
    assert columns["days"].tolist() == [3, 0, 0, 0]
    assert columns["missing"].tolist() == [0, 1, 0, 0]
    assert columns["decimals"].tolist() == [0, 3, 0, 0]
    assert columns["text"].tolist() == [0, 0, 2, 1]
    assert (columns["time"].tolist(), columns["zoned"].tolist()) == ([0, 0, 0, 2], [0, 0, 0, 1])
    assert columns["largest"][1] == 1.25


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "é"])
def test_a_delimiter_that_is_none_is_refused(delimiter):
    with pytest.raises(ValueError, match="one ASCII character"):
        DelimitedDecoder(delimiter, [WHOLE])
    with pytest.raises(ValueError, match="columns"):
        DelimitedDecoder(",", [])
