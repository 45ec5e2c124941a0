"""Ranks and standard scores of cross-sections, against definitions in plain Python and scipy."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths.errors import Undefined
from nautilus.maths.ranks import percentile_ranks, ranks, standard_scores

ROWS = st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=1, max_size=30)


def split(rows):
    values, valid = zip(*rows, strict=True)
    return values, valid, [value for value, there in rows if there]


@given(ROWS)
def test_ranks_count_those_below_and_share_among_equals(rows):
    values, valid, present = split(rows)
    if not present:
        with pytest.raises(Undefined):
            ranks(values, valid)
        return
    expected = [
        sum(other < value for other in present) + (1 + present.count(value)) / 2 if there else 0.0
        for value, there in rows
    ]
    assert ranks(values, valid).tolist() == expected
    if len(present) > 1:
        scaled = [
            (rank - 1) / (len(present) - 1) if there else 0.0 for rank, there in zip(expected, valid, strict=True)
        ]
        assert percentile_ranks(values, valid).tolist() == pytest.approx(scaled)


def test_ranks_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(2).integers(0, 50, 500).astype(float)
    assert ranks(values).tolist() == stats.rankdata(values).tolist()


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40))
def test_scores_have_mean_0_and_deviation_1(values):
    spread = statistics.pstdev(values)
    if spread < 1e-3:
        return
    mean = statistics.fmean(values)
    assert standard_scores(values).tolist() == pytest.approx([(x - mean) / spread for x in values], rel=1e-9, abs=1e-9)


def test_scores_are_cut_where_asked():
    scores = standard_scores([0.0] * 99 + [1e6], limit=3.0)
    assert scores.max() == 3.0


@pytest.mark.parametrize(
    ("code", "call", "arguments"),
    [
        ("empty", ranks, ([],)),
        ("empty", ranks, ([1.0], [False])),
        ("not_finite", ranks, ([1.0, math.nan],)),
        ("mismatch", ranks, ([1.0, 2.0], [True])),
        ("mismatch", ranks, ([[1.0]],)),
        ("too_few", percentile_ranks, ([1.0],)),
        ("too_few", standard_scores, ([1.0],)),
        ("constant", standard_scores, ([2.0, 2.0, 2.0],)),
    ],
)
def test_what_is_not_defined_is_said_with_its_code(code, call, arguments):
    with pytest.raises(Undefined) as caught:
        call(*arguments)
    assert caught.value.code == code


def test_a_value_that_is_not_there_may_be_anything():
    assert ranks([3.0, math.nan, 1.0], [True, False, True]).tolist() == [2.0, 0.0, 1.0]
