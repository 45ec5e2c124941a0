"""Risk arrays beside one that works them out one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.option_scan import scan
from tests.kit.naive_option_scan import scan_row

ROWS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.floats(1, 300),
        st.tuples(st.floats(1, 300), st.floats(0, 3), st.floats(-0.02, 0.1), st.floats(-0.02, 0.1), st.floats(0, 1.5)),
        st.booleans(),
        st.tuples(st.floats(0, 400), st.floats(0, 400), st.floats(0, 0.5)),
    ),
    min_size=1,
    max_size=6,
)
MOVES = [(0.0, 1.0), (0.0, -1.0), (0.5, 0.0), (-0.5, 1.0), (1.0, -1.0), (-1.0, 0.0), (2.0, 0.0), (-2.0, 0.0)]


def run(rows, moves=MOVES):
    column = lambda values, kind=np.float64: np.array(list(values), kind)  # noqa: E731
    out = np.empty((len(rows), len(moves)))
    scan(
        column((row[0] for row in rows), np.int8),
        column(row[1] for row in rows),
        *(column(row[2][place] for row in rows) for place in range(5)),
        column((row[3] for row in rows), np.int8),
        *(column(row[4][place] for row in rows) for place in range(3)),
        column(move[0] for move in moves),
        column(move[1] for move in moves),
        out,
    )
    return out


@given(ROWS)
def test_changes_of_value_are_those_worked_out_one_by_one(rows):
    wanted = np.array([scan_row(*row, MOVES) for row in rows])
    assert np.max(np.abs(run(rows) - wanted)) < 1e-9


def test_columns_of_different_lengths_are_refused():
    one, two = np.ones(1), np.ones(2)
    kind = np.zeros(1, np.int8)
    with pytest.raises(ValueError, match="lengths"):
        scan(kind, one, one, one, one, one, two, kind, one, one, one, one, one, np.empty((1, 1)))
    with pytest.raises(ValueError, match="lengths"):
        scan(kind, one, one, one, one, one, one, kind, one, one, one, one, two, np.empty((1, 1)))
