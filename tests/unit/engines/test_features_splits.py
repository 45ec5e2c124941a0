"""Features through a split: what the stream gives is what a batch gives, and what nobody told of is named."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.ticks import BAR
from nautilus.engines.features import FeaturesConfig, FeaturesEngine
from nautilus.maths.indicators import BAR as BAR_INPUTS
from nautilus.maths.indicators import KEPT_ROWS, every, through_splits, whole
from nautilus.model.errors import ModelError, UnknownInstrumentError
from nautilus.model.features import ApplySplit, GetCrossSection, GetFeatures, GetFeatureStatus
from nautilus.store.no_feature_sets import NoFeatureSets
from tests.kit.context import SECOND, RecordingContext, btcusdt
from tests.kit.feature_rows import BASE, MINUTE, bar_rows, quote_rows, trade_rows


def engine(**config):
    return FeaturesEngine(FeaturesConfig(**{"bars_from": "hub", **config}), [btcusdt()], NoFeatureSets())


def tell(features, time_ns, new, old):
    return features.on_request(ApplySplit("BTCUSDT", time_ns, new, old), RecordingContext(1 << 61))


def walk(count, splits=(), seed=3):
    """Bars of a minute, and the inputs that they are; prices and volumes jump at the splits."""
    rng = np.random.default_rng(seed)
    rows = bar_rows((600_000 + np.cumsum(rng.integers(-900, 901, count))).tolist())
    rows["open_ticks"] = rows["close_ticks"] + rng.integers(-2, 3, count)
    rows["volume"] = rng.integers(0, 5_000, count)
    for time_ns, new, old in splits:
        before = rows["end_ns"] <= time_ns
        for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks"):
            rows[name][before] = rows[name][before] * new // old
        rows["volume"][before] = rows["volume"][before] * old // new
    columns = {name: rows[f"{name}_ticks"] / 10.0 for name in BAR_INPUTS[:4]}
    return rows, columns | {"volume": rows["volume"] / 1000.0}


def restarted(features):
    """Another engine with the state of this one."""
    fresh = engine()
    for name, (_, give) in features.bulk().items():
        fresh.restore_bulk(name, give())
    fresh.restore(msgspec.json.decode(msgspec.json.encode(features.state())))
    return fresh


@given(
    st.lists(
        st.tuples(st.integers(1, 330), st.integers(1, 7), st.integers(1, 7)), max_size=3, unique_by=lambda s: s[0]
    ),
    st.integers(0, 335),
)
@settings(max_examples=12)
def test_a_stream_that_is_told_of_splits_gives_what_a_batch_gives_bit_for_bit(found, restart):
    count = 335
    splits = [(BASE + at * MINUTE + SECOND, new, old) for at, new, old in sorted(found)]
    rows, columns = walk(count, splits)
    table = through_splits(
        every("bar"), columns, rows["end_ns"].astype(np.int64), [(at, new / old) for at, new, old in splits]
    )
    features, ctx, waiting = engine(), RecordingContext(), list(splits)
    for at in range(count):
        # The bar that a split falls into is of prices from both sides: here it is traded behind it.
        rows["begin_ns"][at] = max(
            [rows["begin_ns"][at], *(each[0] for each in splits if each[0] < rows["end_ns"][at])]
        )
        while waiting and waiting[0][0] < rows["end_ns"][at]:
            tell(features, *waiting[0])
            tell(features, *waiting.pop(0))
        if at == restart:
            features = restarted(features)
        features.on_bar(rows[at : at + 1], ctx)
        values, valid = features.bars.bank.values(0)
        assert values.tobytes() == np.ascontiguousarray(table.values[:, at]).tobytes(), at
        assert valid.tobytes() == np.ascontiguousarray(table.valid[:, at]).tobytes(), at


@pytest.mark.parametrize("late", [1, 5, 200])
def test_a_split_that_is_told_late_gives_the_same_numbers_from_then_on(late):
    split = (BASE + 150 * MINUTE, 3, 1)
    rows, _ = walk(360, [split])
    on_time, told_late, ctx = engine(), engine(), RecordingContext()
    for features, at in ((on_time, 150), (told_late, 150 + late)):
        for part in (rows[:at], rows[at:]):
            features.on_bar(part, ctx)
            tell(features, *split)
    mine, other = (each.bars.bank.values(0) for each in (on_time, told_late))
    kept = KEPT_ROWS["bar"]
    if 150 + late <= kept:
        assert mine[0].tobytes() == other[0].tobytes()
    slot_rows = [each.bars.bank.rows_of(0) for each in (on_time, told_late)]
    assert slot_rows == [360, 360 if 150 + late <= kept else 360 - 150 - late + kept]
    assert "nobody" not in ask_vector(told_late).basis[0].method


def ask_vector(features, *names):
    return features.on_request(GetFeatures("BTCUSDT", names=names or ("avgprice",)), RecordingContext())


def test_a_bar_with_prices_from_both_sides_is_left_out_and_one_that_ended_before_is_put_into_new_shares():
    split_ns = BASE + 2 * MINUTE + 30 * SECOND
    features, ctx = engine(), RecordingContext()
    rows = bar_rows([4_000, 4_000, 4_000, 1_000])
    features.on_bar(rows[:1], ctx)
    tell(features, split_ns, 4, 1)
    features.on_bar(rows[1:3], ctx)
    assert ask_vector(features).values["avgprice"] == pytest.approx(400.025 / 4)
    features.on_bar(rows[3:], ctx)
    vector = ask_vector(features, "avgprice", "log_return")
    assert vector.values["log_return"] == 0.0
    assert (vector.basis[0].missing, vector.basis[0].window) == (1, 3)
    assert "split of 4 for 1" in vector.basis[0].method
    bars = features.on_request(GetFeatureStatus(), ctx).sources[0]
    assert (bars.taken, bars.mixed) == (3, 1)


def test_of_quotes_and_trades_the_features_begin_anew():
    features, ctx = engine(), RecordingContext()
    quotes, trades = quote_rows(200), trade_rows(200)
    features.on_quote(quotes[:120], ctx)
    features.on_trade(trades[:120], ctx)
    tell(features, int(quotes["now_ns"][119]) + 1, 2, 1)
    assert ask_vector(features, "mid", "tick_sign").undefined == {"mid": "too_few", "tick_sign": "too_few"}
    features.on_trade(trades[120:], ctx)
    assert ask_vector(features, "quote_sign").values == {"quote_sign": 0.0}, "the touch was of before"
    features.on_quote(quotes[120:], ctx)
    values, valid = features.quotes.bank.values(0)
    rows = [quotes["bid_ticks"] / 10, quotes["bid_quantity"] / 1000, quotes["ask_ticks"] / 10]
    rows = [*rows, quotes["ask_quantity"] / 1000]
    names = ("bid", "bid_size", "ask", "ask_size")
    table = whole(every("quote"), {name: row[120:] for name, row in zip(names, rows, strict=True)})
    assert values.tobytes() == np.ascontiguousarray(table.values[:, -1]).tobytes()
    assert valid.tobytes() == np.ascontiguousarray(table.valid[:, -1]).tobytes()
    assert ask_vector(features, "mid").basis[0].begin_ns == int(quotes["now_ns"][120])


def test_a_split_of_an_unknown_ratio_leaves_nothing_of_before():
    features, ctx = engine(), RecordingContext()
    rows = bar_rows([4_000] * 30 + [1_000] * 5)
    features.on_bar(rows[:29], ctx)
    tell(features, BASE + 30 * MINUTE, 4, 0)
    features.on_bar(rows[29:], ctx)
    vector = ask_vector(features, "avgprice", "sma_20")
    assert (vector.basis[0].window, vector.undefined) == (5, {"sma_20": "too_few"})
    assert "nobody said what it was" in vector.basis[0].method


def test_a_step_as_of_a_split_that_nobody_told_of_is_named():
    rows = bar_rows([4_000] * 10 + [2_000] * 10)
    features, ctx = engine(), RecordingContext()
    features.on_bar(rows, ctx)
    told = "split that nobody told of: 1"
    assert told in ask_vector(features).basis[0].method
    assert told in features.on_request(GetCrossSection("avgprice"), ctx).basis.method
    assert told in ask_vector(restarted(features)).basis[0].method
    tell(features, BASE + 10 * MINUTE, 2, 1)
    assert told not in ask_vector(features).basis[0].method
    quotes = quote_rows(2)
    quotes["bid_ticks"][1] //= 2
    features.on_quote(quotes, ctx)
    assert told in ask_vector(features, "mid").basis[0].method


def test_a_part_that_was_saved_before_a_split_is_put_into_new_shares():
    features, fresh, ctx = engine(), engine(), RecordingContext()
    features.on_bar(bar_rows([4_000] * 30), ctx)
    versions = {name: version for name, (version, _) in features.bulk().items()}
    parts = {name: give() for name, (_, give) in features.bulk().items()}
    tell(features, BASE + 30 * MINUTE, 4, 1)
    assert all(features.bulk()[name][0] != version for name, version in versions.items())
    for name, part in parts.items():
        fresh.restore_bulk(name, part)
    fresh.restore(features.state())
    assert ask_vector(fresh) == ask_vector(features)


def test_a_split_of_another_or_to_come_is_refused_and_changes_nothing():
    features, ctx = engine(), RecordingContext(BASE)
    features.on_bar(bar_rows([4_000] * 3), ctx)
    before = ask_vector(features)
    with pytest.raises(UnknownInstrumentError):
        features.on_request(ApplySplit("NOPE", BASE, 2, 1), ctx)
    with pytest.raises(ModelError, match="one that was"):
        features.on_request(ApplySplit("BTCUSDT", BASE + 1, 2, 1), ctx)
    assert ask_vector(features) == before
    assert features.state() == {"splits": []}
    features.restore({"splits": [[99, BASE, 2.0]]})
    assert ask_vector(features) == before


def test_rows_are_kept_for_a_split_in_any_room():
    for count in (1, 15, 16, 17, 255, 256, 257, 300, 700):
        features, ctx = engine(), RecordingContext()
        rows, columns = walk(count)
        assert rows.dtype == BAR
        features.on_bar(rows[: count // 2], ctx)
        features = restarted(features)
        features.on_bar(rows[count // 2 :], ctx)
        tell(features, int(rows["end_ns"][-1]) + 1, 5, 2)
        kept = {name: row[-KEPT_ROWS["bar"] :] for name, row in columns.items()}
        kept = {name: row * 2.5 if name == "volume" else row / 2.5 for name, row in kept.items()}
        table = whole(every("bar"), kept)
        values, _ = features.bars.bank.values(0)
        assert values.tobytes() == np.ascontiguousarray(table.values[:, -1]).tobytes()
