"""Features of bars against TA-Lib, of quotes and trades against closed forms; warm-up, versions, what is refused."""

import csv
import math

import numpy as np
import pytest

from nautilus.maths import microstructure as ms
from nautilus.maths.errors import Undefined
from nautilus.maths.indicators import (
    BAR,
    BAR_FEATURES,
    SOURCES,
    Definition,
    checked_rows,
    compiled,
    through_splits,
    untold_steps,
    whole,
)
from tests.kit.data import recording
from tests.kit.feature_pins import current, pinned

# TA-Lib's outputs where nothing is known yet, or of a kind of its own.
FIRST_ROW = {"wad", "supertrend_10_direction", "ht_trendmode"}
# Of prices that stand still TA-Lib's phase is a matter of rounding; here there is none.
NO_PHASE = {"ht_dcphase", "ht_sine", "ht_leadsine", "ht_trendmode"}


def google():
    with recording("ohlcv_daily/GOOG.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name.capitalize()]) for row in rows]) for name in BAR}


def random_bars(count=3_000, seed=9):
    rng = np.random.default_rng(seed)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, count)))
    opened = close * np.exp(rng.normal(0.0, 0.004, count))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0.0, 0.004, count)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0.0, 0.004, count)))
    return dict(zip(BAR, (opened, high, low, close, rng.integers(1, 100_000, count).astype(float)), strict=True))


def constant_bars(count=200):
    return {name: np.full(count, 1_000.0 if name == "volume" else 12.3) for name in BAR}


@pytest.mark.parametrize("data", [google, random_bars, constant_bars])
def test_features_that_follow_talib_are_talibs(data):
    pytest.importorskip("talib")
    from tests.kit.talib_reference import reference

    columns = data()
    made = compiled("bar", BAR_FEATURES)
    table = whole(made, columns)
    known = reference(*columns.values())
    for name, outputs in known.items():
        begin, end = made.spans[name]
        for at, expected in zip(range(begin, end), outputs, strict=True):
            label = made.outputs[at]
            there = ~np.isnan(expected)
            if data is constant_bars and label in NO_PHASE:
                assert not table.valid[at].any(), label
            elif label not in FIRST_ROW:
                assert (table.valid[at] == there).all(), label
            both = table.valid[at] & there
            # Of what crosses zero, in parts of its usual size.
            usual = float(np.median(np.abs(expected[both]))) if both.any() else 1.0
            np.testing.assert_allclose(
                table.values[at][both], expected[both], rtol=1e-9, atol=1e-9 * max(usual, 1e-3), err_msg=label
            )


def test_the_last_row_of_google_is_that_of_the_reference():
    made = compiled("bar", BAR_FEATURES)
    table = whole(made, google())
    assert table.values.shape[1] == 2_148
    last = dict(zip(table.outputs, table.values[:, -1].tolist(), strict=True))
    exact = {"sma_20": 786.958, "ema_20": 784.961687335808, "rsi_14": 67.497982802348}
    exact |= {"atr_14": 12.227593259902, "adx_14": 41.232489135768}
    loose = {"macd": 15.154184, "macd_signal": 15.817943, "macd_histogram": -0.663759, "bbands_20_upper": 812.840600}
    loose |= {"bbands_20_middle": 786.958, "bbands_20_lower": 761.075400, "stoch_k": 74.927114, "stoch_d": 52.335875}
    loose |= {"cci_14": 90.529922, "mfi_14": 59.514960, "obv": 622_611_400.0}
    assert {name: last[name] for name in exact} == pytest.approx(exact, rel=1e-12)
    assert {name: last[name] for name in loose} == pytest.approx(loose, rel=1e-6)


def test_there_are_ninety_indicators_and_none_twice():
    technical = [each for each in BAR_FEATURES if each.family != "microstructure"]
    assert len(technical) >= 90
    assert len({each.name.rstrip("_0123456789") for each in technical}) >= 90


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_no_feature_sees_what_comes_later(source):
    rows = rows_of(source, 160)
    made = compiled(source, SOURCES[source])
    table = whole(made, rows)
    for end in range(1, 161, 7):
        early = whole(made, {name: row[:end] for name, row in rows.items()})
        assert (early.valid == table.valid[:, :end]).all()
        assert (early.values == table.values[:, :end]).all()


def rows_of(source, count):
    rng = np.random.default_rng(12)
    if source == "bar":
        return {name: row[:count] for name, row in random_bars(count).items()}
    middle = 100.0 + np.cumsum(rng.integers(-2, 3, count)) * 0.01
    wide = rng.integers(1, 4, count) * 0.01
    if source == "quote":
        sizes = rng.integers(1, 900, (2, count)).astype(float)
        return {"bid": middle - wide, "bid_size": sizes[0], "ask": middle + wide, "ask_size": sizes[1]}
    sides = rng.choice([-1.0, 0.0, 1.0], count)
    price = middle + rng.choice([-1.0, 0.0, 1.0], count) * wide
    size = rng.integers(1, 300, count).astype(float)
    return {"price": price, "size": size, "sign": sides, "bid": middle - wide, "ask": middle + wide}


def test_measures_of_quotes_are_the_closed_forms():
    rows = rows_of("quote", 200)
    made = compiled("quote", SOURCES["quote"])
    table = whole(made, rows)
    found = dict(zip(table.outputs, table.values, strict=True))
    sides = (rows["bid"], rows["bid_size"], rows["ask"], rows["ask_size"])
    ofi = ms.order_flow_imbalance(*sides)
    near = {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(found["ofi"][1:], ofi, **near)
    np.testing.assert_allclose(found["ofi_50"][50:], [ofi[at - 50 : at].sum() for at in range(50, 200)], **near)
    np.testing.assert_allclose(found["micro_price"], ms.weighted_mid(*sides), **near)
    np.testing.assert_allclose(found["queue_imbalance"], ms.queue_imbalance(sides[1], sides[3]), **near)
    middle = 0.5 * (sides[0] + sides[2])
    returns = ms.log_returns(middle)
    expected = [ms.realised_variance(returns[at - 50 : at]) for at in range(50, 200)]
    np.testing.assert_allclose(found["mid_rv_50"][50:], expected, rtol=1e-10, atol=0.0)


def test_measures_of_trades_are_the_closed_forms():
    rows = rows_of("trade", 200)
    table = whole(compiled("trade", SOURCES["trade"]), rows)
    found = dict(zip(table.outputs, table.values, strict=True))
    valid = dict(zip(table.outputs, table.valid, strict=True))
    price, size = rows["price"], rows["size"]
    assert (found["tick_sign"] == ms.tick_rule(price)).all()
    assert (found["quote_sign"] == ms.quote_rule(price, rows["bid"], rows["ask"])).all()
    assert (found["lee_ready"] == ms.lee_ready(price, rows["bid"], rows["ask"])).all()
    sign = np.where(rows["sign"] != 0.0, rows["sign"], found["lee_ready"])
    assert (found["aggressor"] == sign).all()
    returns, changes, signed = ms.log_returns(price), np.diff(price), sign * size
    for at in range(60, 200):
        part, near = slice(at - 50, at), {"rel": 1e-10}
        mine = {name: float(row[at]) for name, row in found.items()}
        assert mine["rv_50"] == pytest.approx(ms.realised_variance(returns[part]), **near)
        assert mine["rvol_50"] == pytest.approx(ms.realised_volatility(returns[part]), **near)
        assert mine["bpv_50"] == pytest.approx(ms.bipower_variation(returns[part]), **near)
        assert mine["rq_50"] == pytest.approx(ms.realised_quarticity(returns[part]), **near)
        assert mine["jump_50"] == pytest.approx(ms.jump_variation(returns[part]), rel=1e-9, abs=1e-18)
        last = slice(at - 49, at + 1)
        assert mine["kyle_lambda_50"] == pytest.approx(ms.kyle_lambda(changes[part], signed[last]), **near)
        money = (price * size)[last]
        assert mine["amihud_50"] == pytest.approx(ms.amihud_illiquidity(returns[part], money), **near)
        try:
            spread = ms.roll_spread(price[last])
        except Undefined:
            assert not valid["roll_50"][at]
        else:
            assert mine["roll_50"] == pytest.approx(spread, **near)
        assert mine["flow_50"] == pytest.approx(signed[last].sum())
        assert mine["flow_imbalance_50"] == pytest.approx(signed[last].sum() / size[last].sum())


def test_each_version_of_a_definition_is_pinned():
    """Changed a formula or a parameter? Raise its version, then `python -m tests.kit.feature_pins` adds a line."""
    known = pinned()
    for (name, version), digest in current().items():
        assert known.get((name, version)) == digest, name


def test_a_changed_formula_or_parameter_changes_the_hash():
    first = Definition("x", "f", "bar", ("x",), {"n": 3}, lambda g: (g.sma(g.input("close"), 3),), "", "")
    longer = first._replace(build=lambda g: (g.sma(g.input("close"), 4),))
    named = first._replace(parameters={"n": 4})
    other = first._replace(build=lambda g: (g.sma(g.input("open"), 3),))
    digests = {compiled("bar", [each]).digests["x"] for each in (first, longer, named, other)}
    assert len(digests) == 4
    beside = compiled("bar", [*BAR_FEATURES[:20], first]).digests["x"]
    assert beside == compiled("bar", [first]).digests["x"]


def test_constant_prices_and_no_volume_give_numbers_or_say_that_there_is_none():
    still = constant_bars()
    still["volume"] = np.zeros(200)
    table = whole(compiled("bar", BAR_FEATURES), still)
    assert np.isfinite(table.values).all()
    undefined = {name for name, row in zip(table.outputs, table.valid, strict=True) if not row[-1]}
    assert undefined == NO_PHASE | {
        "vwma_30",
        "vwap",
        "rvol_20",
        "bbands_20_percent",
        "bar_amihud_20",
        "bar_roll_20",
    }
    last = dict(zip(table.outputs, table.values[:, -1].tolist(), strict=True))
    assert last["stddev_20"] == last["beta_5"] == last["bar_rv_20"] == last["linearreg_slope_14"] == 0.0


def test_negative_prices_have_ranges_but_no_logarithms():
    bars = {name: row if name == "volume" else row - 60.0 for name, row in random_bars(300).items()}
    table = whole(compiled("bar", BAR_FEATURES), bars)
    assert np.isfinite(table.values).all()
    valid = dict(zip(table.outputs, table.valid, strict=True))
    closes = bars["close"]
    assert (valid["log_return"][1:] == ((closes[1:] > 0.0) & (closes[:-1] > 0.0))).all()
    assert valid["atr_14"][14:].all()


def with_bad(column, value):
    bars = random_bars(5)
    bars[column][2] = value
    return bars


@pytest.mark.parametrize(
    ("code", "source", "rows", "times"),
    [
        ("not_finite", "bar", with_bad("close", math.nan), None),
        ("not_finite", "bar", with_bad("volume", math.inf), None),
        ("out_of_range", "bar", with_bad("volume", -1.0), None),
        ("out_of_range", "bar", with_bad("high", 0.0), None),
        ("mismatch", "bar", {"close": [1.0]}, None),
        ("mismatch", "bar", random_bars(5) | {"open": [1.0]}, None),
        ("empty", "bar", {name: [] for name in BAR}, None),
        ("unsorted", "bar", random_bars(5), [1, 2, 4, 3, 5]),
        ("duplicate_time", "bar", random_bars(5), [1, 2, 2, 3, 5]),
        ("mismatch", "bar", random_bars(5), [1, 2]),
        ("out_of_range", "quote", {"bid": [2.0], "bid_size": [1.0], "ask": [1.0], "ask_size": [1.0]}, None),
    ],
)
def test_rows_that_are_none_are_refused_with_their_code(code, source, rows, times):
    with pytest.raises(Undefined) as caught:
        checked_rows(source, rows, None if times is None else np.array(times, np.int64))
    assert caught.value.code == code


def split_bars(bars, times, at, ratio):
    """What was traded: before the split prices are higher and volumes smaller."""
    factors = {name: 1.0 / ratio if name == "volume" else ratio for name in BAR}
    return {name: np.where(times < at, row * factors[name], row) for name, row in bars.items()}


def test_a_split_leaves_returns_as_they_were_and_levels_in_the_shares_of_their_row():
    bars, times = random_bars(200), np.arange(200, dtype=np.int64)
    traded = split_bars(bars, times, 120, 4.0)
    made = compiled("bar", BAR_FEATURES)
    told, without, raw = through_splits(made, traded, times, [(120, 4.0)]), whole(made, bars), whole(made, traded)
    # Up to the split what was traded, from it on as if there had never been another number of shares.
    assert (told.values[:, :120] == raw.values[:, :120]).all()
    np.testing.assert_allclose(told.values[:, 120:], without.values[:, 120:], rtol=1e-9, atol=1e-9)
    assert (told.valid == without.valid).all()
    assert raw.values[made.outputs.index("log_return"), 120] < -1.0
    assert [untold_steps("bar", traded, times, given) for given in ([], [(120, 4.0)], [(120, 2.0)])] == [1, 0, 1]


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_no_row_knows_of_a_split_to_come(source):
    rows, times = rows_of(source, 160), np.arange(160, dtype=np.int64)
    made, splits = compiled(source, SOURCES[source]), [(150, 0.25), (60, 3.0), (130, 2.0), (131, 5.0), (900, 7.0)]
    table = through_splits(made, rows, times, splits)
    for end in (1, 59, 60, 61, 130, 131, 140, 160):
        early = through_splits(made, {name: row[:end] for name, row in rows.items()}, times[:end], splits)
        known = [each for each in splits if each[0] < end]
        least = through_splits(made, {name: row[:end] for name, row in rows.items()}, times[:end], known)
        for found in (early, least):
            assert (found.valid == table.valid[:, :end]).all()
            assert (found.values == table.values[:, :end]).all()
    if source != "bar":
        anew = whole(made, {name: row[60:130] for name, row in rows.items()})
        assert (table.values[:, 60:130] == anew.values).all()


@pytest.mark.parametrize(
    ("code", "splits"),
    [
        ("out_of_range", [(120, 0.0)]),
        ("out_of_range", [(120, -2.0)]),
        ("out_of_range", [(120, math.nan)]),
        ("out_of_range", [(120, 1e9)]),
        ("out_of_range", [(at, 2e-9) for at in range(1, 10)]),
        ("out_of_range", [(at, 2.0) for at in range(1_001)]),
        ("duplicate_time", [(120, 2.0), (120, 2.0)]),
    ],
)
def test_splits_that_are_none_are_refused(code, splits):
    with pytest.raises(Undefined) as caught:
        through_splits(compiled("bar", BAR_FEATURES[:1]), random_bars(5), np.arange(5, dtype=np.int64), splits)
    assert caught.value.code == code
