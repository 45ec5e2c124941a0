"""Vectors, cross-sections and histories of features: the star's records in, answers with their times and versions."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.bars import BarBuilder
from nautilus.core.ticks import GAP_FLAG, BarKind
from nautilus.engines.base import Work
from nautilus.engines.features import FeaturesConfig, FeaturesEngine
from nautilus.maths.errors import Undefined
from nautilus.maths.indicators import BAR as BAR_INPUTS
from nautilus.maths.indicators import every, whole
from nautilus.model.codec import from_json, to_json
from nautilus.model.enums import RecordFlag, Side
from nautilus.model.errors import ConfigError, ModelError, UnknownFeatureError, UnknownInstrumentError
from nautilus.model.features import (
    BuildFeatureSet,
    ComputeFeatures,
    FeatureHistory,
    FeatureSource,
    GetCrossSection,
    GetFeatureRegistry,
    GetFeatures,
    GetFeatureStatus,
    Split,
)
from nautilus.store.no_feature_sets import NoFeatureSets
from tests.kit.context import SECOND, RecordingContext, btcusdt
from tests.kit.feature_rows import BASE, MINUTE, bar_rows, quote_rows, trade_rows


def engine(count=1, **config):
    instruments = [btcusdt(instrument_id=1 + k, symbol="BTCUSDT" if k == 0 else f"COIN{k}") for k in range(count)]
    return FeaturesEngine(FeaturesConfig(**config), instruments, NoFeatureSets())


def ask(features, message):
    reply = features.on_request(message, RecordingContext())
    return reply.job(*reply.arguments) if isinstance(reply, Work) else reply


def test_a_vector_of_bars_is_the_last_row_of_the_batch():
    features, ctx = engine(), RecordingContext()
    rows = trade_rows(2_000)
    for part in np.array_split(rows, 61):
        features.on_trade(part, ctx)
    bars = BarBuilder(BarKind.TIME, MINUTE, venue_clock=False).process(rows)
    columns = {name: bars[f"{name}_ticks"] / 10.0 for name in ("open", "high", "low", "close")}
    columns["volume"] = bars["volume"] / 1000.0
    table = whole(every("bar"), columns)
    vector = ask(features, GetFeatures("BTCUSDT"))
    for name, row, there in zip(table.outputs, table.values[:, -1], table.valid[:, -1], strict=True):
        assert vector.values[name] == (row if there else None), name
    [basis] = [each for each in vector.basis if each.method.startswith("features of bars")]
    assert (basis.window, basis.end_ns, basis.source) == (len(bars), bars["end_ns"][-1], "star")
    assert basis.missing == 1  # the first bar began before its first trade was seen


def test_values_are_in_the_units_of_the_instrument():
    features, ctx = engine(), RecordingContext()
    features.on_quote(quote_rows(1), ctx)
    quote = quote_rows(1)[0]
    vector = ask(features, GetFeatures("BTCUSDT", names=("mid", "spread", "queue_imbalance")))
    assert vector.values["mid"] == pytest.approx((int(quote["bid_ticks"]) + int(quote["ask_ticks"])) * 0.05)
    assert vector.values["spread"] == pytest.approx((int(quote["ask_ticks"]) - int(quote["bid_ticks"])) * 0.1)
    assert list(vector.values) == ["mid", "spread", "queue_imbalance"]
    assert vector.versions == {"mid": 1, "spread": 1, "queue_imbalance": 1}


def test_a_vector_names_the_time_of_its_newest_input():
    features, ctx = engine(), RecordingContext()
    features.on_quote(quote_rows(5), ctx)
    trades = trade_rows(3)
    features.on_trade(trades, ctx)
    vector = ask(features, GetFeatures("BTCUSDT", names=("mid", "tick_sign")))
    newest = int(quote_rows(5)["now_ns"][-1])
    assert (vector.time_ns, vector.known_ns) == (newest, newest)
    alone = ask(features, GetFeatures("BTCUSDT", names=("tick_sign",)))
    assert (alone.time_ns, alone.known_ns) == (int(trades["venue_ns"][-1]), int(trades["now_ns"][-1]))


@given(st.lists(st.integers(1, 400), min_size=1, max_size=12))
def test_what_comes_later_changes_no_vector(cuts):
    whole_run, ctx = engine(bars="tick:5"), RecordingContext()
    trades, quotes = trade_rows(300), quote_rows(300)
    ends = sorted({min(cut, 300) for cut in cuts})
    seen, begin = {}, 0
    for end in ends:
        whole_run.on_quote(quotes[begin:end], ctx)
        whole_run.on_trade(trades[begin:end], ctx)
        seen[end] = ask(whole_run, GetFeatures("BTCUSDT"))
        begin = end
    early, begin = engine(bars="tick:5"), 0
    for end in ends[:-1]:
        early.on_quote(quotes[begin:end], ctx)
        early.on_trade(trades[begin:end], ctx)
        begin = end
        assert ask(early, GetFeatures("BTCUSDT")) == seen[end]


def test_a_trade_is_held_against_the_touch_that_stood():
    features, ctx = engine(), RecordingContext()
    quote = quote_rows(1)
    quote["bid_ticks"], quote["ask_ticks"] = 600_000, 600_010
    features.on_quote(quote, ctx)
    trade = trade_rows(1)
    trade["price_ticks"], trade["side"] = 600_010, 0
    features.on_trade(trade, ctx)
    names = ("quote_sign", "lee_ready", "aggressor")
    assert ask(features, GetFeatures("BTCUSDT", names=names)).values == dict.fromkeys(names, 1.0)
    trade["side"], trade["now_ns"] = Side.SELL, trade["now_ns"] + 1
    features.on_trade(trade, ctx)
    assert ask(features, GetFeatures("BTCUSDT", names=("aggressor",))).values == {"aggressor": -1.0}


def test_a_touch_with_one_side_stands_before_no_trade():
    features, ctx = engine(), RecordingContext()
    quotes = quote_rows(2)
    quotes["ask_quantity"][1] = 0
    features.on_quote(quotes, ctx)
    features.on_trade(trade_rows(1), ctx)
    assert ask(features, GetFeatures("BTCUSDT", names=("quote_sign",))).values == {"quote_sign": 0.0}
    assert features.quotes.status().one_sided == 1
    assert features.quotes.status().taken == 1


def test_records_that_are_late_stale_crossed_or_of_others_are_counted_and_change_nothing():
    features, ctx = engine(), RecordingContext()
    features.on_quote(quote_rows(5), ctx)
    before = ask(features, GetFeatures("BTCUSDT"))
    late, stale, crossed, other = quote_rows(4)[:, None]
    late["now_ns"] = BASE - 5 * SECOND
    for each in (stale, crossed, other):
        each["now_ns"] = BASE + MINUTE
    stale["flags"] = RecordFlag.STALE
    crossed["bid_ticks"] = crossed["ask_ticks"] + 1
    other["instrument_id"] = 99
    for each in (late, stale, crossed, other):
        features.on_quote(each, ctx)
    counts = features.quotes.status()
    assert [getattr(counts, name) for name in ("taken", "late", "stale", "crossed", "unknown")] == [5, 1, 1, 1, 1]
    assert ask(features, GetFeatures("BTCUSDT")) == before


def test_the_status_says_what_was_taken_and_what_was_not():
    features, ctx = engine(2, bars="tick:5"), RecordingContext()
    features.on_trade(trade_rows(50), ctx)
    features.on_quote(quote_rows(3, instrument=99), ctx)
    status = ask(features, GetFeatureStatus())
    assert (status.listed, status.bars, status.bars_from) == (2, "tick:5", "trades")
    found = {str(each.source): (each.instruments, each.taken, each.unknown) for each in status.sources}
    assert found == {"bar": (1, 10, 0), "quote": (0, 0, 3), "trade": (1, 50, 3)}


def test_bars_of_the_hub_are_taken_once_and_in_order():
    features, ctx = engine(bars_from="hub"), RecordingContext()
    bars = bar_rows([100, 101, 102])
    features.on_bar(bars, ctx)
    features.on_bar(bars[1:], ctx)
    other = bar_rows([100], begin_ns=BASE + 9 * MINUTE)
    other["size"] = SECOND
    features.on_bar(other, ctx)
    counts = features.bars.status()
    assert [getattr(counts, name) for name in ("taken", "late", "foreign")] == [3, 2, 1]
    vector = ask(features, GetFeatures("BTCUSDT", names=("avgprice",)))
    assert vector.values["avgprice"] == pytest.approx(10.225)
    features.on_trade(trade_rows(500), ctx)
    assert features.bars.status().taken == 3


def test_gaps_and_made_up_records_are_told():
    features, ctx = engine(bars_from="hub"), RecordingContext()
    bars = bar_rows([100, 101, 102])
    bars["flags"] = [GAP_FLAG, RecordFlag.SYNTHETIC, 0]
    features.on_bar(bars, ctx)
    [basis] = ask(features, GetFeatures("BTCUSDT", names=("avgprice",))).basis
    assert (basis.missing, basis.synthetic, basis.window) == (1, True, 3)


def test_what_has_no_value_is_none_and_says_why():
    features, ctx = engine(bars_from="hub"), RecordingContext()
    vector = ask(features, GetFeatures("BTCUSDT"))
    assert set(vector.values.values()) == {None}
    assert set(vector.undefined.values()) == {"too_few"}
    assert vector.time_ns == 0
    bars = bar_rows([100] * 60)
    bars["volume"] = 0
    features.on_bar(bars, ctx)
    vector = ask(
        features, GetFeatures("BTCUSDT", names=("vwap", "rvol_20", "bar_roll_20", "rsi_14", "percentrank_100"))
    )
    assert vector.values["rsi_14"] == 0.0
    expected = {"vwap": "zero_volume", "rvol_20": "zero_volume", "bar_roll_20": "out_of_range"}
    assert vector.undefined == expected | {"percentrank_100": "too_few"}


def test_a_cross_section_ranks_those_that_have_a_value():
    features, ctx = engine(4, bars_from="hub"), RecordingContext()
    for number, last in ((1, 130), (2, 110), (3, 120)):
        features.on_bar(bar_rows([100] * 10 + [last], number), ctx)
    features.on_bar(bar_rows([100], 4), ctx)
    section = ask(features, GetCrossSection("mom_10"))
    assert section.symbols == ("COIN1", "COIN2", "BTCUSDT")
    assert section.values == pytest.approx((1.0, 2.0, 3.0))
    assert section.ranks == (1.0, 2.0, 3.0)
    assert section.percentiles == (0.0, 0.5, 1.0)
    assert section.scores == pytest.approx((-math.sqrt(1.5), 0.0, math.sqrt(1.5)))
    assert (section.basis.missing, section.basis.window) == (1, 3)
    some = ask(features, GetCrossSection("mom_10", symbols=("COIN2",)))
    assert (some.symbols, some.percentiles, some.undefined) == (
        ("COIN2",),
        (),
        {"percentiles": "too_few", "scores": "too_few"},
    )


def test_a_cross_section_leaves_out_who_is_too_old():
    features, ctx = engine(2, bars_from="hub"), RecordingContext()
    features.on_bar(bar_rows([100], 1), ctx)
    features.on_bar(bar_rows([100, 101, 102], 2), ctx)
    assert ask(features, GetCrossSection("avgprice")).symbols == ("BTCUSDT", "COIN1")
    recent = ask(features, GetCrossSection("avgprice", max_age_ns=MINUTE))
    assert (recent.symbols, recent.basis.missing) == (("COIN1",), 1)
    with pytest.raises(Undefined) as caught:
        ask(features, GetCrossSection("percentrank_100"))
    assert caught.value.code == "empty"


def test_unknown_names_and_symbols_are_refused():
    features = engine(2)
    with pytest.raises(UnknownInstrumentError):
        ask(features, GetFeatures("NOPE"))
    with pytest.raises(UnknownFeatureError):
        ask(features, GetFeatures("BTCUSDT", names=("nope_14",)))
    with pytest.raises(UnknownFeatureError, match="stoch_k"):
        ask(features, GetCrossSection("stoch"))
    with pytest.raises(UnknownFeatureError):
        ask(features, ComputeFeatures(FeatureHistory(), FeatureSource.QUOTE, ("rsi_14",)))
    twice = [btcusdt(), btcusdt(instrument_id=2, venue="OTHER")]
    doubled = FeaturesEngine(FeaturesConfig(), twice, NoFeatureSets())
    with pytest.raises(ModelError, match="several venues"):
        ask(doubled, GetFeatures("BTCUSDT"))
    assert ask(doubled, GetFeatures("BTCUSDT", "OTHER")).instrument_id == 2


def test_a_source_or_family_that_there_is_not_is_refused_with_those_there_are():
    features = engine()
    for question, expected in (
        (GetFeatureRegistry(source="candle"), "one of bar, quote, trade"),
        (GetFeatureRegistry(family="luck"), "average, band, cycle, direction, microstructure, momentum"),
        (GetFeatureRegistry("trade", "momentum"), "family 'momentum' of a trade.*one of microstructure"),
    ):
        with pytest.raises(UnknownFeatureError, match=expected) as caught:
            ask(features, question)
        assert caught.value.code == "model.unknown_feature"
    assert {each.family for each in ask(features, GetFeatureRegistry("BAR", "Momentum")).features} == {"momentum"}


def test_the_registry_says_all_that_a_number_depends_on():
    registry = ask(engine(), GetFeatureRegistry())
    by_name = {each.name: each for each in registry.features}
    assert len(registry.features) > 130
    macd = by_name["macd"]
    assert (macd.version, macd.source, macd.outputs) == (1, "bar", ("macd", "macd_signal", "macd_histogram"))
    assert macd.parameters == {"fast": 12.0, "slow": 26.0, "signal": 9.0}
    assert (macd.warm_up, macd.inputs, len(macd.digest)) == (
        (33, 33, 33),
        ("open", "high", "low", "close", "volume"),
        64,
    )
    assert {each.source for each in ask(engine(), GetFeatureRegistry(source="quote")).features} == {"quote"}


def closes(count):
    return tuple((100.0 + 10.0 * np.sin(np.arange(count) / 5.0)).tolist())


def history(count, **more):
    row = closes(count)
    fields = {"open": row, "high": row, "low": row, "close": row, "volume": (5.0,) * count}
    return FeatureHistory("X", tuple(range(1, count + 1)), **(fields | more))


@pytest.mark.parametrize("count", [60, 400])
def test_a_batch_gives_what_a_stream_gives(count):
    answer = ask(engine(), ComputeFeatures(history(count), names=("macd", "rsi_14")))
    table = whole(every("bar"), {name: getattr(history(count), name) for name in BAR_INPUTS})
    assert [column.name for column in answer.columns] == ["rsi_14", "macd", "macd_signal", "macd_histogram"]
    for column in answer.columns:
        place = table.outputs.index(column.name)
        expected = [
            value if there else None
            for value, there in zip(table.values[place].tolist(), table.valid[place].tolist(), strict=True)
        ]
        assert list(column.values) == expected
        assert column.values[: column.warm_up] == (None,) * column.warm_up
    assert (answer.basis.begin_ns, answer.basis.end_ns, answer.basis.window) == (1, count, count)
    assert from_json(to_json(answer)) == answer


def test_a_batch_may_answer_with_its_last_rows_alone():
    answer = ask(engine(), ComputeFeatures(history(80), names=("ema_20",), last=3))
    assert answer.times_ns == (78, 79, 80)
    assert len(answer.columns[0].values) == 3
    assert None not in answer.columns[0].values
    short = ask(engine(), ComputeFeatures(history(10), names=("ema_20",)))
    assert short.undefined == {"ema_20": "too_few"}


def test_a_split_is_seen_unless_it_is_told():
    row = tuple(400.0 if at < 30 else 100.0 for at in range(60))
    made = history(60, open=row, high=row, low=row, close=row)
    untold = ask(engine(), ComputeFeatures(made, names=("log_return",)))
    assert untold.columns[0].values[30] == pytest.approx(-math.log(4.0))
    assert "split that nobody told of: 1" in untold.basis.method
    told = history(60, open=row, high=row, low=row, close=row, splits=(Split(31, 4.0),))
    answer = ask(engine(), ComputeFeatures(told, names=("log_return",)))
    assert answer.columns[0].values[30] == 0.0
    assert "that nobody told of" not in answer.basis.method
    assert "through splits in the shares of each row" in answer.basis.method


@pytest.mark.parametrize(
    ("code", "given"),
    [
        ("mismatch", FeatureHistory()),
        ("mismatch", history(5, close=(1.0,))),
        ("not_finite", history(3, close=(100.0, math.nan, 100.0))),
        ("out_of_range", history(3, volume=(1.0, -1.0, 1.0))),
        ("out_of_range", history(3, high=(1.0, 1.0, 1.0))),
        ("mismatch", FeatureHistory("X", splits=(Split(1, 2.0),), **dict.fromkeys(BAR_INPUTS, (1.0, 1.0)))),
    ],
)
def test_histories_that_are_none_are_refused(code, given):
    with pytest.raises(Undefined) as caught:
        ask(engine(), ComputeFeatures(given))
    assert caught.value.code == code


@pytest.mark.parametrize(("code", "times"), [("unsorted", (1, 3, 2)), ("duplicate_time", (1, 2, 2))])
def test_times_that_do_not_increase_are_refused(code, times):
    rows = dict.fromkeys(("open", "high", "low", "close", "volume"), (1.0, 1.0, 1.0))
    with pytest.raises(Undefined) as caught:
        ask(engine(), ComputeFeatures(FeatureHistory("X", times, **rows)))
    assert caught.value.code == code


def test_no_set_is_written_where_there_is_no_directory():
    with pytest.raises(ConfigError):
        ask(engine(), BuildFeatureSet("a", (history(5),)))


def test_a_restart_goes_on_with_the_same_numbers():
    first, ctx = engine(), RecordingContext()
    trades, quotes = trade_rows(900), quote_rows(900)
    first.on_quote(quotes[:500], ctx)
    first.on_trade(trades[:500], ctx)
    second = engine()
    for name, (_, give) in first.bulk().items():
        second.restore_bulk(name, give())
    assert ask(second, GetFeatures("BTCUSDT")) == ask(first, GetFeatures("BTCUSDT"))
    for each in (first, second):
        each.on_quote(quotes[500:], ctx)
        each.trades.feed.trades(trades[500:])
    assert ask(second, GetFeatures("BTCUSDT")) == ask(first, GetFeatures("BTCUSDT"))


def test_state_of_another_instrument_or_definition_is_left():
    first, ctx = engine(), RecordingContext()
    first.on_quote(quote_rows(50), ctx)
    [(name, (rows, give))] = first.bulk().items()
    assert (name, rows) == ("quote 1", 50)
    finer = FeaturesEngine(FeaturesConfig(), [btcusdt(tick_table=(("0", "0.01"),))], NoFeatureSets())
    finer.restore_bulk(name, give())
    finer.restore_bulk("quote 77", give())
    finer.restore_bulk("quote 1", give() | {"digest": "another"})
    assert ask(finer, GetFeatures("BTCUSDT", names=("mid",))).values == {"mid": None}


@pytest.mark.parametrize("bars", ["", "time:1", "time:0s", "tick:5m", "tick", "hour:1h", "volume:-3"])
def test_bars_that_are_none_are_refused(bars):
    with pytest.raises(ConfigError):
        FeaturesConfig(bars=bars)


def test_an_answer_is_one_of_json():
    features, ctx = engine(), RecordingContext()
    features.on_trade(trade_rows(700), ctx)
    vector = ask(features, GetFeatures("BTCUSDT"))
    assert from_json(to_json(vector)) == vector
    assert "NaN" not in json.dumps(to_json(vector).decode())


def test_the_page_has_the_table_of_the_registry():
    """Run `python docs/write_features.py` after a change."""
    place = Path(__file__).resolve().parents[3] / "docs" / "write_features.py"
    spec = importlib.util.spec_from_file_location("write_features", place)
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    assert writer.PAGE.read_text(encoding="utf-8") == writer.page()
