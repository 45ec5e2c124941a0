"""VPIN of arrays: the kernel to the bit, flowrisk where the definition is the same, and what has no value."""

import csv
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.buckets import BucketFlag, Classification
from nautilus.core.types import TRADE
from nautilus.core.vpin import VpinTable
from nautilus.maths.bulk import bought_shares, normal, student
from nautilus.maths.errors import Undefined
from nautilus.maths.vpin import vpin_of_trades
from nautilus.maths.vpin_bars import vpin_of_bars
from tests.kit.data import ROOT, recording

GOLDEN = json.loads((ROOT / "tests" / "golden" / "vpin_flowrisk.json").read_text())


def minute_bars(name):
    with recording(f"vpin_minute/{name}").open() as lines:
        rows = list(csv.DictReader(lines))
    return np.array([float(row["4. close"]) for row in rows]), np.array([float(row["5. volume"]) for row in rows])


def flowrisk_by_hand(prices, volumes, bucket_volume, window, decay, initial):
    """The same definition, bar by bar and bucket by bucket."""
    variance, buckets, out = None, [[0.0, 0.0]], []
    for before, now in itertools.pairwise(prices[:initial]):
        square = (now - before) ** 2
        variance = square if variance is None else decay * variance + (1 - decay) * square
    last = float(np.mean(prices[:initial]))
    for place, (price, volume) in enumerate(zip(prices, volumes, strict=True)):
        if place >= initial:
            variance = (1 - decay) * (price - last) ** 2 + decay * variance
        share = 0.5 * math.erfc(-(price - last) / math.sqrt(variance) / math.sqrt(2)) if variance else 0.0
        while volume > 0:
            piece = min(volume, bucket_volume - buckets[-1][0])
            buckets[-1][0] += piece
            buckets[-1][1] += 2 * math.floor(share * piece) - piece
            volume -= piece
            if buckets[-1][0] == bucket_volume:
                buckets.append([0.0, 0.0])
        last = price
        out.append(sum(abs(each[1]) for each in buckets[-window:]) / max(sum(e[0] for e in buckets[-window:]), 1e-300))
    return np.array([out[initial]] * initial + out[initial:])


@pytest.mark.parametrize("golden", GOLDEN["sets"], ids=lambda each: f"{each['file']}-{each['settings']['window']}")
def test_of_bars_it_is_what_flowrisk_gives(golden):
    prices, volumes = minute_bars(golden["file"])
    found = vpin_of_bars(prices, volumes, **golden["settings"])
    assert len(found) == golden["bars"]
    assert found[:: golden["every"]] == pytest.approx(golden["values"], rel=1e-9)
    assert [found.mean(), np.percentile(found, 95), found[-1]] == pytest.approx(
        [golden["mean"], golden["p95"], golden["last"]], rel=1e-9
    )
    assert found == pytest.approx(flowrisk_by_hand(prices, volumes, **golden["settings"]), rel=1e-12)


def test_of_aapl_it_is_the_worked_value():
    prices, volumes = minute_bars("AAPL_2018_11_22.csv")
    found = vpin_of_bars(prices, volumes)
    assert [round(float(each), 6) for each in (found.mean(), np.percentile(found, 95), found[-1])] == [
        0.415553,
        0.567660,
        0.526790,
    ]


@settings(max_examples=60, deadline=None)
@given(
    bars=st.lists(st.tuples(st.integers(90, 110), st.integers(0, 400)), min_size=4, max_size=60),
    bucket=st.integers(1, 300),
    window=st.integers(1, 6),
    initial=st.integers(2, 3),
)
def test_of_any_bars_it_is_the_definition_by_hand(bars, bucket, window, initial):
    prices, volumes = np.array(bars, float).T
    try:
        found = vpin_of_bars(prices, volumes, bucket_volume=float(bucket), window=window, initial=initial)
    except Undefined as none:
        found, code = None, none.code
    if found is None:
        assert code in ("constant", "zero_volume")
        return
    by_hand = flowrisk_by_hand(prices, volumes, float(bucket), window, 0.8, initial)
    assert np.isfinite(found).all()
    assert found == pytest.approx(by_hand, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("prices", "volumes", "code"),
    [
        ([], [], "empty"),
        ([1.0, 2.0], [1.0, 2.0], "too_few"),
        ([1.0, math.nan, 2.0, 3.0], [1.0] * 4, "not_finite"),
        ([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, math.inf], "not_finite"),
        ([1.0, -2.0, 3.0, 4.0], [1.0] * 4, "negative_price"),
        ([1.0, 2.0, 3.0, 4.0], [1.0, -1.0, 1.0, 1.0], "out_of_range"),
        ([1.0, 2.0, 3.0, 4.0], [1.0] * 5, "mismatch"),
        ([5.0] * 4, [1.0] * 4, "constant"),
        ([1.0, 2.0, 3.0, 4.0], [0.0] * 4, "zero_volume"),
    ],
)
def test_bars_without_a_vpin_are_stated(prices, volumes, code):
    with pytest.raises(Undefined) as found:
        vpin_of_bars(prices, volumes, initial=2)
    assert found.value.code == code


KINDS = st.sampled_from(
    [
        ({}, {}),
        ({"bar_ns": 7}, {"classification": Classification.NORMAL}),
        ({"bar_lots": 13}, {"classification": Classification.NORMAL}),
        ({"bar_ns": 3, "degrees": 0.25}, {"classification": Classification.STUDENT}),
        ({"bar_lots": 5, "degrees": 4.0}, {"classification": Classification.STUDENT}),
    ]
)
TRADES = st.tuples(
    st.sampled_from([0, 0, 1, 5]), st.integers(97, 103), st.sampled_from([0, 1, 2, 5, 9, 40]), st.integers(0, 2)
)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(TRADES, min_size=1, max_size=80),
    kind=KINDS,
    size=st.integers(1, 12),
    window=st.integers(1, 6),
    history=st.integers(1, 9),
)
def test_the_kernel_agrees_to_the_bit(rows, kind, size, window, history):
    bars, choice = kind
    steps, prices, lots, sides = np.array(rows).T
    now = np.cumsum(steps)
    records = np.zeros(len(rows), TRADE)
    records["now_ns"], records["price_ticks"], records["quantity"], records["side"] = now, prices, lots, sides
    records["instrument_id"] = 1
    # More buckets in one trade or bar than the history has may leave some out; `test_it_is_its_twin` has those.
    table = VpinTable(window=window, history=4_000, **choice, **bars)
    table.add(1, size)
    kernel = table.process(records)
    try:
        found = vpin_of_trades(now, prices, lots, sides, bucket_lots=size, window=window, history=4_000, **bars)
    except Undefined as none:
        found, code = None, none.code
    if found is None:
        assert code in ("too_few", "zero_volume")
        assert len(kernel) < window
        return
    for name in ("begin_ns", "now_ns", "volume", "buy_volume", "close_ticks"):
        assert kernel[name].tolist() == getattr(found, name).tolist(), name
    full = (kernel["flags"] & BucketFlag.FULL) > 0
    assert full.tolist() == [place >= window - 1 for place in range(len(kernel))]
    for name in ("vpin", "percentile", "pace"):
        assert kernel[name][full].tobytes() == getattr(found, name).tobytes(), name


def test_without_sides_the_tick_test_decides():
    found = vpin_of_trades([1, 2, 3, 4], [100, 99, 99, 101], [1, 1, 1, 1], bucket_lots=4, window=1)
    assert found.buy_volume.tolist() == [2]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"now_ns": [], "price_ticks": [], "lots": []}, "empty"),
        ({"lots": [0, 0, 0]}, "zero_volume"),
        ({"now_ns": [1, 3, 2]}, "unsorted"),
        ({"lots": [1, 1]}, "mismatch"),
        ({"lots": [1, -1, 1]}, "out_of_range"),
        ({"sides": [1, 2, 3]}, "out_of_range"),
        ({"bucket_lots": 0}, "out_of_range"),
        ({"bar_ns": 1, "bar_lots": 1}, "out_of_range"),
        ({"bar_ns": 1, "decay": 1.0}, "out_of_range"),
        ({"bucket_lots": 100}, "too_few"),
        ({"bar_ns": 100}, "too_few"),
        ({"bar_lots": 100}, "too_few"),
    ],
)
def test_trades_without_a_vpin_are_stated(changes, code):
    given_ = {"now_ns": [1, 2, 3], "price_ticks": [1, 2, 3], "lots": [5, 5, 5], "bucket_lots": 5, "window": 1}
    with pytest.raises(Undefined) as found:
        vpin_of_trades(**{**given_, **changes})
    assert found.value.code == code


def test_constant_prices_are_half_bought():
    assert bought_shares(np.zeros(5)).tolist() == [0.5] * 6
    found = vpin_of_trades([1, 2, 3], [5, 5, 5], [10, 10, 10], bucket_lots=10, window=1, bar_lots=10)
    assert found.vpin.tolist() == [0.0] * 3


def test_the_distributions_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    for z in (-30.0, -3.2, -0.5, 0.0, 1e-9, 0.7, 2.0, 12.0):
        assert normal(z) == pytest.approx(stats.norm.cdf(z), rel=1e-12)
        for degrees in (0.25, 1.0, 5.0, 1e4):
            assert student(z, degrees) == pytest.approx(stats.t.cdf(z, degrees), rel=1e-9)
