"""Programs of indicator steps against their twin; streams, batches and slots against one another."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.indicators import OPERATIONS, Bank, Program, batch
from nautilus.maths.indicators import BAR_FEATURES, QUOTE_FEATURES, TRADE_FEATURES, compiled
from nautilus.maths.indicators.graph import Graph
from tests.kit.naive_indicators import POINTS, WINDOWS, NaiveProgram

INPUTS = ("open", "high", "low", "close", "volume")


def cycle(g):
    """The Hilbert transform and what hangs on it, off a close that never stands still."""
    close = g.linear(g.input("close"), 1.0, g.node("sine", g.total(g.input("volume")))[0], 0.1)
    smooth = g.wma(close, 4)
    period, inphase, quadrature = g.node("hilbert", smooth, skip=4, reach=6, outputs=3)
    turn = g.node("phase", smooth, period, reach=50)[0]
    line = g.node("trend_line", close, period, reach=50)[0]
    mode = g.node("trend_mode", turn, period, line, smooth)[0]
    return (
        period,
        inphase,
        quadrature,
        line,
        *g.node("mesa", close, inphase, quadrature, a=0.5, b=0.05, outputs=2),
        mode,
    )


def every_operation() -> Program:
    """A node of each operation, with short windows."""
    g = Graph(INPUTS)
    o, h, l, c, v = (g.input(name) for name in INPUTS)  # noqa: E741
    before = c.ago(1)
    made = [
        *(g.node(name, c, o, a=2.0, b=-1.0, c=0.5)[0] for name in ("linear", "product", "ratio", "absolute")),
        *(g.node(name, c, v, a=2.0, b=-1.0, c=0.5)[0] for name in ("log", "gain", "least", "most", "sign", "chosen")),
        *(g.node(name, v, c, a=-1.0, c=0.5)[0] for name in ("angle", "root", "amount", "quotient")),
        g.node("range", h, l, before)[0],
        *g.node("direction", h, h.ago(1), l, l.ago(1), outputs=2),
        g.node("flow", h, l, c, v)[0],
        g.node("signed", c, before, v)[0],
        *g.node("split", c, before, v, outputs=2),
        g.node("where", o, c, v)[0],
        g.position(c, h, l),
        g.sum(c, 4, 0.5),
        g.exact(c.ago(2), 5, 0.5),
        g.total(v),
        g.ema(c, 3, 2),
        g.rma(v, 4),
        g.seeded(c, 0.4),
        g.node("wilder", v, n=4, warm=2)[0],
        g.wma(c, 5),
        *g.highest(h, 4),
        *g.lowest(l.ago(1), 3),
        g.variance(c, 4),
        g.deviation(c, 5, 2.0),
        *g.covariance(h, l, 4),
        *g.regression(c, 5),
        g.node("deviation", c, n=4, warm=3, reach=3)[0],
        g.node("adaptive", c, c.ago(3), g.sum(g.absolute(c, before), 3), reach=1)[0],
        g.node("parabolic", h, l, a=0.02, b=0.2, skip=1, reach=1)[0],
        *g.node("supertrend", h, l, c, g.rma(g.node("range", h, l, before)[0], 3), a=1.5, outputs=2, reach=1),
        g.node("index", c, v, m=1, a=100.0, reach=1)[0],
        g.node("index", c, v, m=-1, a=100.0, reach=1)[0],
        g.node("candle", o, c, g.linear(h, 0.5, l, 0.5))[0],
        g.node("rank", c, n=5, a=20.0, warm=5, reach=5)[0],
        g.node("percentile", c, n=5, m=3, warm=4, reach=5)[0],
        g.node("pressure", o, v, c, v, skip=1, reach=1)[0],
        g.node("tick", c, reach=1)[0],
        g.node("balance", c, v, reach=1)[0],
        g.node("trend", c, v, reach=1)[0],
        g.minus(g.sma(g.ema(c, 3), 2), c.ago(7)),
        *cycle(g),
    ]
    return g.program(made)


EVERY = every_operation()
BARS = st.lists(
    st.tuples(st.integers(1, 12), st.integers(0, 3), st.integers(0, 3), st.integers(1, 12), st.integers(0, 4)),
    min_size=1,
    max_size=40,
)


def columns(rows):
    """Open, high, low, close, volume of (open, above, below, close, volume)."""
    return [
        np.array(each, float)
        for each in zip(*((o, max(o, c) + up, min(o, c) - down, c, v) for o, up, down, c, v in rows), strict=True)
    ]


def walk(count, seed=5):
    rng = np.random.default_rng(seed)
    close = 100.0 + np.cumsum(rng.integers(-3, 4, count)) * 0.25
    opened = close + rng.integers(-2, 3, count) * 0.25
    high = np.maximum(opened, close) + rng.integers(0, 3, count) * 0.25
    low = np.minimum(opened, close) - rng.integers(0, 3, count) * 0.25
    return [opened, high, low, close, rng.integers(0, 500, count).astype(float)]


def twin_of(program):
    return NaiveProgram(
        program.inputs, program.nodes, list(zip(program.output_columns, program.starts.tolist(), strict=True))
    )


def agree(program, data):
    """The kernel's stream against the twin, row by row."""
    bank, twin = Bank(program, 1, 3), twin_of(program)
    for row in zip(*(each.tolist() for each in data), strict=True):
        bank.update(0, *row)
        expected = twin.update(*row)
        values, valid = bank.values(0)
        assert valid.tolist() == [value is not None for value in expected]
        # Smallest sizes of these inputs are of the order of one.
        near = [value or 0.0 for value in expected]
        assert values.tolist() == pytest.approx(near, rel=1e-9, abs=1e-9)


def test_each_operation_has_a_twin_and_is_tried():
    assert set(POINTS) | set(WINDOWS) | {"adaptive"} == set(OPERATIONS)
    assert {node[0] for node in EVERY.nodes} == set(OPERATIONS)


@given(BARS)
def test_each_operation_gives_what_its_twin_gives(rows):
    agree(EVERY, columns(rows))


@pytest.mark.parametrize("source", ["bar", "quote", "trade"])
def test_each_feature_gives_what_its_twin_gives(source):
    # Off any grid: covariances that are 0 but for rounding have no sign to agree on.
    data = [each * math.pi for each in walk(150)]
    data[3] = data[3] + np.random.default_rng(4).normal(0.0, 0.05, 150)
    data[1], data[2] = np.maximum(data[1], data[3]), np.minimum(data[2], data[3])
    if source == "quote":
        data = [data[2], data[4] + 1, data[1] + 0.25, np.roll(data[4], 3) + 1]
    if source == "trade":
        data = [data[3], data[4] + 1, np.sign(data[0] - data[3]), data[2], data[1]]
    features = {"bar": BAR_FEATURES, "quote": QUOTE_FEATURES, "trade": TRADE_FEATURES}[source]
    agree(compiled(source, features).program, data)


@given(BARS, st.integers(1, 9), st.lists(st.integers(1, 13), min_size=1, max_size=8))
def test_a_stream_and_a_batch_give_the_same_bits(rows, slack, cuts):
    data = columns(rows)
    values, valid = batch(EVERY, *data)
    bank = Bank(EVERY, 2, slack)
    parts, begin = [], 0
    while begin < len(rows):
        for cut in cuts:
            part = [each[begin : begin + cut] for each in data]
            if part[0].size == 1:
                bank.update(1, *(float(each[0]) for each in part))
                last, marks = bank.values(1)
                parts.append((last[:, None], marks[:, None]))
            elif part[0].size:
                parts.append(bank.run(1, *part))
            begin += cut
    assert np.concatenate([part[0] for part in parts], 1).tobytes() == values.tobytes()
    assert np.concatenate([part[1] for part in parts], 1).tobytes() == valid.tobytes()


def test_all_features_of_bars_stream_as_they_batch_bit_for_bit():
    data = walk(600)
    program = compiled("bar", BAR_FEATURES).program
    values, valid = batch(program, *data)
    bank = Bank(program, 1)
    for at, row in enumerate(zip(*(each.tolist() for each in data), strict=True)):
        bank.update(0, *row)
        now, marks = bank.values(0)
        assert now.tobytes() == values[:, at].tobytes()
        assert marks.tobytes() == valid[:, at].tobytes()


def test_slots_do_not_touch_one_another():
    data = walk(90), walk(90, 6), walk(90, 7)
    bank = Bank(EVERY, 3, 4)
    slots = np.tile(np.arange(3, dtype=np.int32), 90)
    rows = np.ascontiguousarray(np.stack([np.stack(each, 1) for each in data], 1).reshape(270, 5))
    bank.feed(slots, rows)
    table, marks = bank.table(np.arange(3, dtype=np.int32))
    for slot, each in enumerate(data):
        values, valid = batch(EVERY, *each)
        assert table[slot].tobytes() == values[:, -1].tobytes()
        assert marks[slot].tobytes() == valid[:, -1].tobytes()
        assert bank.rows_of(slot) == 90
    for output in range(EVERY.outputs):
        column, there = bank.column(np.arange(3, dtype=np.int32), output)
        assert column.tolist() == table[:, output].tolist()
        assert there.tolist() == marks[:, output].tolist()


def test_a_bank_goes_on_where_another_stood():
    data = walk(100)
    first = Bank(EVERY, 1, 7)
    first.run(0, *(each[:61] for each in data))
    second = Bank(EVERY, 5, 7)
    second.restore(4, *first.state(0))
    for bank, slot in ((first, 0), (second, 4)):
        bank.run(slot, *(each[61:] for each in data))
    assert first.state(0) == second.state(4)
    with pytest.raises(ValueError, match="bytes"):
        second.restore(0, 3, b"short")


def test_the_state_of_a_slot_is_its_own():
    data = walk(30)
    alone, beside = Bank(EVERY, 2, 4), Bank(EVERY, 2, 4)
    beside.run(0, *walk(200, 9))
    for bank in (alone, beside):
        for row in zip(*(each[:3].tolist() for each in data), strict=True):
            bank.update(1, *row)
    assert alone.state(1) == beside.state(1)
    for bank in (alone, beside):
        bank.run(1, *(each[3:5] for each in data))
    assert alone.state(1) == beside.state(1)


def test_values_do_not_depend_on_what_comes_later():
    data = walk(200)
    program = compiled("bar", BAR_FEATURES).program
    values, valid = batch(program, *data)
    for end in (1, 2, 15, 34, 101, 150, 199):
        early, marks = batch(program, *(each[:end] for each in data))
        assert early.tobytes() == np.ascontiguousarray(values[:, :end]).tobytes()
        assert marks.tobytes() == np.ascontiguousarray(valid[:, :end]).tobytes()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_refused_and_nothing_is_taken(bad):
    bank = Bank(EVERY, 1)
    with pytest.raises(ValueError, match="finite"):
        bank.update(0, 1.0, 1.0, bad, 1.0, 1.0)
    with pytest.raises(ValueError, match="finite"):
        bank.feed(np.zeros(2, np.int32), np.array([[1.0] * 5, [1.0, bad, 1.0, 1.0, 1.0]]))
    with pytest.raises(ValueError, match="finite"):
        bank.run(0, *[np.array([1.0, bad])] * 5)
    assert bank.rows_of(0) == 0


def test_shapes_and_slots_that_do_not_fit_are_refused():
    bank = Bank(EVERY, 2)
    for call in (
        lambda: bank.update(0, 1.0),
        lambda: bank.run(0, np.ones(3)),
        lambda: bank.run(0, *[np.ones(3)] * 4, np.ones(2)),
        lambda: bank.feed(np.zeros(2, np.int32), np.ones((3, 5))),
        lambda: Bank(EVERY, 0),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
    with pytest.raises(IndexError):
        bank.update(2, *[1.0] * 5)
    with pytest.raises(IndexError):
        bank.feed(np.array([0, -1], np.int32), np.ones((2, 5)))
    assert bank.rows_of(0) == 0


@pytest.mark.parametrize(
    "node",
    [
        ("unknown", ((0, 0),), (1,), 0, (0,), 1, 0, 0.0, 0.0, 0.0),
        ("linear", ((1, 0),), (1,), 0, (0,), 1, 0, 0.0, 0.0, 0.0),
        ("linear", ((0, 2),), (1,), 1, (0,), 1, 0, 0.0, 0.0, 0.0),
        ("linear", ((0, 0),), (2,), 0, (0,), 1, 0, 0.0, 0.0, 0.0),
        ("sum", ((0, 0),), (1,), 0, (0,), 0, 0, 0.0, 0.0, 0.0),
        ("linear", (), (1,), 0, (), 1, 0, 0.0, 0.0, 0.0),
        ("sum", ((0, 0),), (1,), 3, (2,), 4, 0, 0.0, 0.0, 0.0),
        ("covariance", ((0, 0), (0, 0)), (1, 2, 3), 3, (3, 2), 4, 0, 0.0, 0.0, 0.0),
        ("rank", ((0, 0),), (1,), 4, (3,), 4, 0, 0.0, 0.0, 0.0),
        ("percentile", ((0, 0),), (1,), 4, (4,), 4, 5, 0.0, 0.0, 0.0),
        ("percentile", ((0, 0),), (1,), 4, (4,), 4, 0, 0.0, 0.0, 0.0),
        ("trend_line", ((0, 0), (0, 0)), (1,), 0, (49, 0), 1, 0, 0.0, 0.0, 0.0),
        ("pressure", ((0, 0), (0, 0)), (1,), 1, (1, 0), 1, 0, 0.0, 0.0, 0.0),
        ("linear", ((0, 0),), (1,), 0, (-1,), 1, 0, 0.0, 0.0, 0.0),
    ],
)
def test_a_program_that_could_not_run_is_refused(node):
    with pytest.raises(ValueError, match="expected"):
        Program(1, [node], [(0, 0)])


def test_a_node_reads_no_column_before_it_is_written():
    first = ("absolute", ((0, 0), (0, 2)), (1,), 2, (0, 0), 1, 0, 0.0, 0.0, 0.0)
    late, early = (("total", ((1, 1),), (2,), start, (0,), 1, 0, 0.0, 0.0, 0.0) for start in (3, 2))
    assert Program(1, [first, late], [(2, 3)]).columns == 3
    with pytest.raises(ValueError, match="start 2, expected 3"):
        Program(1, [first, early], [])
    with pytest.raises(ValueError, match="written by then"):
        Program(1, [first, late], [(2, 2)])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308, -1e308, 1e18, -1.0, 0.0])
@pytest.mark.parametrize("rows", [0, 1, 63, 1 << 53])
def test_a_state_of_any_numbers_keeps_each_step_to_its_own_memory(value, rows):
    # Under a sanitizer a step that reads or writes beyond its slot ends the process; here it would change the others.
    data = walk(40)
    bank = Bank(EVERY, 3, 5)
    for slot in (0, 2):
        bank.run(slot, *data)
    before = bank.state(0), bank.state(2)
    bank.restore(1, rows, np.full(bank.slot_bytes // 8, value).tobytes())
    bank.run(1, *data)
    for row in zip(*(each.tolist() for each in data), strict=True):
        bank.update(1, *row)
    values, valid = bank.values(1)
    assert np.isfinite(values).all()
    assert not values[~valid].any()
    assert (bank.state(0), bank.state(2)) == before


@pytest.mark.parametrize("rows", [-1, (1 << 53) + 1, (1 << 63) - 1])
def test_rows_that_nobody_has_had_are_no_state(rows):
    bank = Bank(EVERY, 1)
    with pytest.raises(ValueError, match="rows"):
        bank.restore(0, rows, bank.state(0)[1])


def test_a_percentile_forgets_what_was_no_number():
    # The columns overflow to an infinity and a difference of two; with these gone from the window all is as before.
    g = Graph(("x",))
    x = g.input("x")
    huge = g.linear(x, 10.0)
    odd = g.minus(huge, huge)
    program = g.program([g.node("percentile", odd, n=4, m=2, warm=3, reach=4)[0]])
    values, valid = batch(program, np.array([1.0, 1.0, 1e308, 1.0, 1e308, 1.0, 1.0, 1.0, 1.0, 1.0]))
    assert not values.any()
    assert valid[0].tolist() == [row >= 3 for row in range(10)]
    assert batch(program, np.full(9, 1e308))[1].sum() == 0
