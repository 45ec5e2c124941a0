"""The enhanced-vpin engine: several scales together, depth and order flow, how sure it is, and its warning."""

import msgspec
import numpy as np
import pytest

from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.engines.enhanced_vpin import EnhancedVpinConfig, EnhancedVpinEngine, ScaleConfig
from nautilus.model.codec import from_msgpack, to_msgpack
from nautilus.model.errors import ConfigError, ModelError, UnknownInstrumentError
from nautilus.model.queries import GetPositions
from nautilus.model.topics import BOOK_DELTAS, QUOTES
from nautilus.model.vpin import GetEnhancedBuckets, GetEnhancedVpin, GetEnhancedVpins
from tests.kit.context import RecordingContext, btcusdt

DAY_NS = 86_400_000_000_000
SECOND = 1_000_000_000
SMALL = {
    "scales": (ScaleConfig(10, 4), ScaleConfig(5, 3)),
    "day_lots": 100,
    "history": 50,
    "least_history": 5,
    "dwell_buckets": 2,
    "days": 0,
}


def engine(**changes):
    instruments = [btcusdt(), btcusdt(instrument_id=2, symbol="ETHUSDT")]
    return EnhancedVpinEngine(EnhancedVpinConfig(**{**SMALL, **changes}), instruments)


def trades(*rows, instrument=1, begin=0, step=SECOND):
    """(lots, side) each, a second apart."""
    made = np.zeros(len(rows), TRADE)
    made["now_ns"] = begin + step * np.arange(len(rows))
    made["price_ticks"] = 100
    made["quantity"], made["side"] = np.array(rows).T
    made["instrument_id"] = instrument
    return made


def quotes(*rows, instrument=1):
    """(bid lots, ask lots) each, at 99 and 101."""
    return np.array([(0, 0, 0, 99, bid, 101, ask, instrument, 1, 0) for bid, ask in rows], QUOTE)


def mixed(count, seed=1):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.integers(1, 12, count), rng.integers(1, 3, count)]).tolist()


def test_scales_have_their_own_buckets_and_together_a_mean():
    made, ctx = engine(), RecordingContext()
    made.on_trade(trades(*mixed(60)), ctx)
    found = made.on_request(GetEnhancedVpin("BTCUSDT"), ctx)
    first, second = found.scales
    assert (first.bucket_lots, second.bucket_lots, first.window, second.window) == (10, 20, 4, 3)
    assert found.toxicity == pytest.approx((first.value + second.value) / 2)
    assert found.percentile == pytest.approx((first.percentile + second.percentile) / 2)
    assert found.agreement == pytest.approx(1 - abs(first.percentile - second.percentile))
    assert (found.filled, found.told_share) == (1.0, 1.0)
    assert found.confidence == pytest.approx(found.agreement)
    assert (first.depth_lots, first.blended, first.value) == (None, False, first.vpin)
    assert from_msgpack(to_msgpack(found)) == found


def test_what_has_no_value_says_why_and_is_not_sure():
    made, ctx = engine(), RecordingContext()
    empty = made.on_request(GetEnhancedVpin("1"), ctx)
    assert (empty.toxicity, empty.confidence) == (None, 0.0)
    assert empty.undefined == {"toxicity": "empty", "percentile": "empty", "agreement": "too_few"}
    made.on_trade(trades((0, 1)), ctx)
    assert made.on_request(GetEnhancedVpin("1"), ctx).undefined["toxicity"] == "zero_volume"
    made.on_trade(trades(*[(10, 1)] * 4, begin=SECOND), ctx)
    half = made.on_request(GetEnhancedVpin("1"), ctx)
    assert half.toxicity == 1.0
    assert half.undefined == {"agreement": "too_few"}
    assert half.confidence == 0.0, "one of two scales alone"
    assert half.filled == pytest.approx((1 + 2 / 3) / 2)


def test_sides_that_are_estimated_count_half():
    told, untold = engine(), engine()
    rows = np.array(mixed(60))
    told.on_trade(trades(*rows.tolist()), RecordingContext())
    rows[:, 1] = 0
    untold.on_trade(trades(*rows.tolist()), RecordingContext())
    sure, unsure = (made.on_request(GetEnhancedVpin("1"), RecordingContext()) for made in (told, untold))
    assert unsure.told_share == 0.0
    assert unsure.confidence == pytest.approx(unsure.agreement / 2)
    assert sure.confidence == pytest.approx(sure.agreement)


def test_depth_and_order_flow_change_the_value():
    plain, weighted, blended = (
        engine(depth_weighted=False, flow_weight=0.0),
        engine(depth_weighted=True, flow_weight=0.0),
        engine(depth_weighted=False, flow_weight=0.5),
    )
    for made in (plain, weighted, blended):
        ctx = RecordingContext()
        for begin, depth in ((0, (50, 50)), (60 * SECOND, (2, 3)), (120 * SECOND, (30, 2))):
            made.on_quote(quotes(depth, (depth[0] + 1, depth[1])), ctx)
            made.on_trade(trades(*mixed(7, begin), begin=begin), ctx)
    found = [made.on_request(GetEnhancedVpin("1"), RecordingContext()).scales[0] for made in (plain, weighted, blended)]
    assert len({scale.vpin for scale in found}) == 1
    assert len({scale.value for scale in found}) == 3
    assert [scale.blended for scale in found] == [False, False, True]
    assert found[1].depth_lots == 33.0


def test_of_books_it_is_the_flow_of_their_levels():
    made, ctx = engine(flow_source="book", flow_levels=2, flow_weight=1.0), RecordingContext()
    assert BOOK_DELTAS in made.subscribes
    assert QUOTES not in made.subscribes
    rows = [(at, 0, 0, 0, 99 - at % 2, 5 + at, 1, 1, 1, 1) for at in range(4)]
    made.on_book(np.array(rows, BOOK_DELTA), ctx)
    made.on_quote(quotes((1, 1), (9, 9)), ctx)
    made.on_trade(trades(*[(10, 1)] * 4), ctx)
    found = made.on_request(GetEnhancedBuckets("1"), ctx)
    assert [(each.flow_lots, each.gross_flow_lots) for each in found.buckets] == [(10, 10), (0, 0), (0, 0), (0, 0)]
    assert found.buckets[-1].depth_lots == 7 + 8
    assert found.buckets[-1].value == 1.0


def test_buckets_follow_the_volume_of_the_days():
    made, ctx = engine(days=2), RecordingContext()
    made.on_trade(trades(*[(10, 1), (10, 2)] * 20), ctx)
    made.on_trade(trades((10, 1), begin=DAY_NS), ctx)
    found = made.on_request(GetEnhancedVpin("1"), ctx)
    assert [scale.next_lots for scale in found.scales] == [40, 80]


def test_it_warns_once_where_all_scales_say_so_and_ends_the_warning():
    made, ctx = engine(enter=0.9, leave=0.6), RecordingContext()
    made.on_trade(trades(*[(10, 1), (5, 1), (5, 2), (7, 1), (3, 2)] * 12), ctx)
    ctx.published.clear()
    made.on_trade(trades(*[(10, 1)] * 14, begin=100 * SECOND), ctx)
    assert [each.active for each in ctx.published] == [True]
    assert ctx.published[0].confidence >= 0.3
    assert made.on_request(GetEnhancedVpin("1"), ctx).toxic
    assert made.on_request(GetEnhancedVpins(), ctx).lines[0].toxic
    made.on_trade(trades(*[(5, 1), (5, 2)] * 20, begin=200 * SECOND), ctx)
    assert [each.active for each in ctx.published] == [True, False]


def test_it_does_not_warn_where_it_is_not_sure():
    made, ctx = engine(least_confidence=0.9), RecordingContext()
    rows = [(10, 0), (5, 0), (5, 0)] * 12
    made.on_trade(trades(*rows), ctx)
    made.on_trade(trades(*[(10, 0)] * 14, begin=100 * SECOND), ctx)
    assert ctx.published == []


def test_the_list_has_pages_and_buckets_have_scales():
    made, ctx = engine(), RecordingContext()
    made.on_trade(trades(*mixed(30)), ctx)
    made.on_trade(trades(*mixed(30), instrument=2), ctx)
    first = made.on_request(GetEnhancedVpins(limit=1), ctx)
    second = made.on_request(GetEnhancedVpins(after=first.following), ctx)
    assert [[line.symbol for line in page.lines] for page in (first, second)] == [["BTCUSDT"], ["ETHUSDT"]]
    assert second.following == 0
    found = made.on_request(GetEnhancedBuckets("ETHUSDT", scale=1, limit=2), ctx)
    assert [each.volume_lots for each in found.buckets] == [20, 20]
    with pytest.raises(ModelError, match="scale"):
        made.on_request(GetEnhancedBuckets("ETHUSDT", scale=2), ctx)
    with pytest.raises(UnknownInstrumentError):
        made.on_request(GetEnhancedVpin("NONE"), ctx)
    with pytest.raises(ModelError):
        made.on_request(GetPositions(), ctx)


def test_bars_close_by_the_clock_where_no_trade_closes_them():
    made, ctx = engine(classification="student", bars_seconds=5.0), RecordingContext(now_ns=SECOND)
    made.on_trade(trades(*[(30, 1)] * 4), ctx)
    assert ctx.timers == [(6 * SECOND, "bars")]
    ctx.now_ns = 6 * SECOND
    made.on_timer("bars", ctx)
    assert made.on_request(GetEnhancedVpin("1"), ctx).toxicity == 0.0


def test_a_restart_in_the_middle_and_any_cut_change_nothing():
    records, told = trades(*mixed(500, 7), step=SECOND), []
    for size in (1, 17, 500):
        made, ctx = engine(), RecordingContext()
        for begin in range(0, 500, size):
            if begin == 17 * 14:
                fresh = engine()
                for name, (_, part) in made.bulk().items():
                    fresh.restore_bulk(name, part())
                fresh.restore(msgspec.json.decode(msgspec.json.encode(made.state())))
                fresh.restore_bulk("scale9-0", {})
                made = fresh
            made.on_trade(records[begin : begin + size], ctx)
        told.append((ctx.published, made.on_request(GetEnhancedVpin("1"), RecordingContext())))
    assert told[0] == told[1] == told[2]
    assert told[0][0]


def test_after_other_settings_no_warning_is_in_force_and_a_scale_that_began_anew_has_said_nothing():
    made, ctx = engine(), RecordingContext()
    made.on_trade(trades(*[(5, 1), (5, 2)] * 60, *[(10, 1)] * 8), ctx)
    assert made.on_request(GetEnhancedVpin("1"), ctx).toxic
    state = msgspec.json.decode(msgspec.json.encode(made.state()))
    for scales, toxic in (
        (SMALL["scales"], True),
        ((ScaleConfig(10, 4), ScaleConfig(5, 4)), True),
        ((ScaleConfig(10, 5), ScaleConfig(5, 4)), False),
    ):
        fresh = engine(scales=scales)
        for name, (_, part) in made.bulk().items():
            fresh.restore_bulk(name, part())
        fresh.restore(state)
        assert fresh.on_request(GetEnhancedVpin("1"), ctx).toxic == toxic
        said = dict(fresh.state()["said"]).get(1, [[None]] * 2)
        assert [each[0] is not None for each in said] == [
            old == new for old, new in zip(SMALL["scales"], scales, strict=True)
        ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"scales": ()},
        {"scales": (ScaleConfig(10, 0),)},
        {"scales": (ScaleConfig(200, 5),)},
        {"classification": "tick"},
        {"flow_source": "trade"},
        {"flow_levels": 11},
        {"flow_weight": 1.5},
        {"leave": 0.95},
        {"least_confidence": 2.0},
        {"least_history": 51},
        {"bars_seconds": 0.0},
        {"days": 33},
        {"days_lots": {"X": 1}},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        EnhancedVpinConfig(**{**SMALL, **wrong})
