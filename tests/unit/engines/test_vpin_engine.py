"""The vpin engine: what it answers, when it warns, and that a restart changes nothing."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.types import TRADE
from nautilus.core.vpin import VpinTable
from nautilus.engines.vpin import VpinConfig, VpinEngine
from nautilus.maths.toxicity import Latch, Scale, Thresholds, combined, ranks, regime, regime_score
from nautilus.model.codec import from_msgpack, to_msgpack
from nautilus.model.errors import ConfigError, ModelError, UnknownInstrumentError
from nautilus.model.queries import GetPositions
from nautilus.model.signals import MarketStructureChanged, ToxicityWarning
from nautilus.model.vpin import GetVpin, GetVpinBuckets, GetVpins
from tests.kit.context import RecordingContext, btcusdt

SMALL = {"bucket_lots": 10, "window": 4, "history": 50, "least_history": 5, "dwell_buckets": 2}


def engine(**changes):
    instruments = [btcusdt(), btcusdt(instrument_id=2, symbol="ETHUSDT")]
    return VpinEngine(VpinConfig(**{**SMALL, **changes}), instruments)


def trades(*rows, instrument=1, begin=0, step=1_000_000_000):
    """(price, lots, side) each, a second apart."""
    made = np.zeros(len(rows), TRADE)
    made["now_ns"] = begin + step * np.arange(len(rows))
    made["price_ticks"], made["quantity"], made["side"] = np.array(rows).T
    made["instrument_id"] = instrument
    made["trade_id"] = np.arange(len(rows)) + 1 + begin
    return made


def balanced(buckets, begin=0, **fields):
    return trades(*[(100, 5, 1), (100, 5, 2)] * buckets, begin=begin, **fields)


def bought(buckets, begin, **fields):
    return trades(*[(100, 10, 1)] * buckets, begin=begin, **fields)


def test_before_the_window_is_full_it_says_why_there_is_no_vpin():
    made, ctx = engine(), RecordingContext()
    first = made.on_request(GetVpin("BTCUSDT"), ctx)
    assert (first.vpin, first.percentile, first.undefined) == (None, None, {"vpin": "empty", "percentile": "empty"})
    made.on_trade(trades((100, 0, 1)), ctx)
    assert made.on_request(GetVpin("BTCUSDT"), ctx).undefined["vpin"] == "zero_volume"
    made.on_trade(balanced(2, begin=10), ctx)
    found = made.on_request(GetVpin("BTCUSDT"), ctx)
    assert found.undefined["vpin"] == "too_few"
    assert (found.measures[0].filled, found.measures[0].completed, found.trades) == (2, 2, 4)
    assert found.without_volume == 1


def test_a_reading_has_both_measures_with_what_they_rest_on():
    made, ctx = engine(), RecordingContext()
    made.on_trade(np.concatenate([balanced(2), bought(2, 4_000_000_000)]), ctx)
    found = made.on_request(GetVpin("1"), ctx)
    assert (found.vpin, found.percentile, found.regime, found.toxic) == (0.5, 1.0, "normal", False)
    side, bulk = found.measures
    assert (side.measure, side.told_share, side.kept) == ("side", 1.0, 1)
    assert (bulk.measure, bulk.classification, bulk.waiting_lots, bulk.vpin) == ("bulk", "normal", 40, None)
    assert (side.basis.window, side.basis.begin_ns, side.basis.end_ns) == (4, 0, 5_000_000_000)
    assert "aggressor" in side.basis.method
    assert "bulk" in bulk.basis.method
    assert from_msgpack(to_msgpack(found)) == found


def test_bulk_bars_close_by_the_clock_where_no_trade_closes_them():
    made, ctx = engine(bars_seconds=10.0, warn_on="bulk"), RecordingContext(now_ns=3_000_000_000)
    made.on_trade(balanced(4), ctx)
    assert ctx.timers == [(11_000_000_000, "bars")]
    made.on_trade(balanced(4, begin=8_000_000_000), ctx)
    assert len(ctx.timers) == 1
    ctx.now_ns = 10_500_000_000
    made.on_trade(balanced(1, begin=15_500_000_000), ctx)
    ctx.now_ns = 11_000_000_000
    made.on_timer("bars", ctx)
    assert ctx.timers[1:] == [(21_000_000_000, "bars")], "trades came since"
    ctx.now_ns = 21_000_000_000
    made.on_timer("bars", ctx)
    assert len(ctx.timers) == 2
    found = made.on_request(GetVpin("BTCUSDT"), ctx)
    assert found.vpin == 0.0, "constant prices are half bought"
    assert found.measures[1].waiting_lots == 0


def test_flow_that_is_always_the_same_is_not_toxic():
    for rows in (balanced(60), bought(60, 0)):
        made, ctx = engine(), RecordingContext()
        made.on_trade(rows, ctx)
        assert made.on_request(GetVpin("BTCUSDT"), ctx).percentile == 1.0
        assert ctx.published == []


def test_one_sided_flow_is_toxic_against_a_mixed_history():
    made, ctx = engine(toxicity_enter=0.9, toxicity_leave=0.6), RecordingContext()
    rows = [(100, 10, 1), (100, 5, 1), (100, 5, 2), (100, 7, 1), (100, 3, 2)] * 6
    made.on_trade(trades(*rows), ctx)
    ctx.published.clear()
    made.on_trade(bought(8, 100_000_000_000), ctx)
    warnings = [each for each in ctx.published if isinstance(each, ToxicityWarning)]
    assert [each.active for each in warnings] == [True]
    assert warnings[0].percentile >= 0.9
    changes = [each for each in ctx.published if isinstance(each, MarketStructureChanged)]
    assert changes
    assert changes[-1].regime == made.on_request(GetVpin("BTCUSDT"), ctx).regime != "normal"
    ctx.published.clear()
    made.on_trade(trades(*[(100, 5, 1), (100, 5, 2)] * 8, begin=200_000_000_000), ctx)
    assert [each.active for each in ctx.published if isinstance(each, ToxicityWarning)] == [False]
    assert not made.on_request(GetVpin("BTCUSDT"), ctx).toxic


def test_nothing_warns_on_a_short_history():
    made, ctx = engine(least_history=50), RecordingContext()
    made.on_trade(bought(30, 0), ctx)
    assert ctx.published == []


def test_the_list_has_pages_of_instruments_that_have_traded():
    made, ctx = engine(), RecordingContext()
    assert made.on_request(GetVpins(), ctx).lines == ()
    made.on_trade(balanced(5), ctx)
    made.on_trade(balanced(5, instrument=2), ctx)
    made.on_trade(balanced(5, instrument=3), ctx)
    first = made.on_request(GetVpins(limit=1), ctx)
    assert ([each.symbol for each in first.lines], first.following) == (["BTCUSDT"], 1)
    second = made.on_request(GetVpins(after=first.following, limit=1), ctx)
    assert ([each.symbol for each in second.lines], second.following) == (["ETHUSDT"], 0)
    assert second.basis.missing == 10, "trades of an instrument that is not known"
    assert from_msgpack(to_msgpack(second)) == second


def test_buckets_are_those_of_the_window():
    made, ctx = engine(), RecordingContext()
    made.on_trade(balanced(6), ctx)
    found = made.on_request(GetVpinBuckets("BTCUSDT", limit=3), ctx)
    assert [each.number for each in found.buckets] == [4, 5, 6]
    assert [(each.volume_lots, each.buy_lots, each.vpin, each.depth_lots) for each in found.buckets][-1] == (
        10,
        5,
        0.0,
        None,
    )
    assert made.on_request(GetVpinBuckets("BTCUSDT"), ctx).buckets[-1].percentile == 1.0
    assert made.on_request(GetVpinBuckets("BTCUSDT", measure="bulk"), ctx).buckets == ()
    with pytest.raises(ModelError, match="measure"):
        made.on_request(GetVpinBuckets("BTCUSDT", measure="tick"), ctx)
    assert from_msgpack(to_msgpack(found)) == found


def test_an_unknown_instrument_is_an_error_with_a_code():
    made, ctx = engine(), RecordingContext()
    with pytest.raises(UnknownInstrumentError) as error:
        made.on_request(GetVpin("NONE"), ctx)
    assert error.value.code == "model.unknown_instrument"
    with pytest.raises(ModelError):
        made.on_request(GetPositions(), ctx)


def test_a_symbol_of_several_venues_is_refused_with_its_ids():
    made, ctx = (
        VpinEngine(VpinConfig(**SMALL), [btcusdt(), btcusdt(instrument_id=2, venue="OTHER")]),
        RecordingContext(),
    )
    made.on_trade(bought(5, 0, instrument=2), ctx)
    for message in (GetVpin("BTCUSDT"), GetVpinBuckets("BTCUSDT")):
        with pytest.raises(ModelError, match=r"1 \(BINANCE\), 2 \(OTHER\)"):
            made.on_request(message, ctx)
    assert made.on_request(GetVpin("2"), ctx).trades == 5
    for wrong in ("3", "-1", "\u00b2"):
        with pytest.raises(UnknownInstrumentError):
            made.on_request(GetVpin(wrong), ctx)


def test_a_restart_in_the_middle_changes_nothing():
    rng = np.random.default_rng(3)
    rows = np.column_stack([rng.integers(98, 103, 400), rng.integers(1, 15, 400), rng.integers(0, 3, 400)])
    whole, first, second = engine(bars_seconds=7.0), engine(bars_seconds=7.0), engine(bars_seconds=7.0)
    contexts = [RecordingContext() for _ in range(3)]
    records = trades(*rows.tolist())
    whole.on_trade(records, contexts[0])
    first.on_trade(records[:170], contexts[1])
    for name, (_, part) in first.bulk().items():
        second.restore_bulk(name, part())
    second.restore(msgspec.json.decode(msgspec.json.encode(first.state())))
    second.on_trade(records[160:], contexts[2])
    assert [*contexts[1].published, *contexts[2].published] == contexts[0].published
    assert contexts[0].published
    answers = [made.on_request(GetVpin("BTCUSDT"), RecordingContext()) for made in (whole, second)]
    assert answers[1].late == 10 - 1, "what was known is left out"
    assert answers[1].duplicates == 1
    assert answers[0].measures[0].vpin == answers[1].measures[0].vpin
    assert [
        table.save(1) == other.save(1)
        for table, other in zip(whole._tables.values(), second._tables.values(), strict=True)
    ] == [False] * 2


def test_many_instruments_are_saved_in_parts_and_come_back():
    names = [btcusdt(instrument_id=number, symbol=f"I{number}") for number in range(1, 200)]
    made, fresh = (VpinEngine(VpinConfig(**SMALL), names) for _ in range(2))
    for number in (1, 64, 65, 130, 199):
        made.on_trade(balanced(6, instrument=number), RecordingContext())
    parts = made.bulk()
    assert sorted(parts) == [*(f"bulk-{block}" for block in range(4)), *(f"side-{block}" for block in range(4))]
    for name, (_, part) in parts.items():
        fresh.restore_bulk(name, part())
    answers = [engine_.on_request(GetVpins(limit=1000), RecordingContext()) for engine_ in (made, fresh)]
    assert answers[0] == answers[1]
    assert [line.instrument_id for line in answers[1].lines] == [1, 64, 65, 130, 199]


def test_however_trades_are_cut_the_warnings_are_the_same():
    rng = np.random.default_rng(5)
    rows = np.column_stack([rng.integers(98, 103, 600), rng.integers(1, 25, 600), rng.integers(1, 3, 600)])
    records = trades(*rows.tolist())
    told = []
    for size in (1, 7, 600):
        made, ctx = engine(), RecordingContext()
        for begin in range(0, 600, size):
            made.on_trade(records[begin : begin + size], ctx)
        told.append(ctx.published)
    assert told[0] == told[1] == told[2] != []


def plain_warnings(buckets, config):
    """What has to be said, told bucket by bucket from all that went before: (number, kind, ...)."""
    said, state = [], dict.fromkeys(("toxic", "one_sided", "hurried"), (False, None))
    limits = {"toxic": (config.toxicity_enter, config.toxicity_leave)}
    limits |= dict.fromkeys(("one_sided", "hurried"), (config.structure_enter, config.structure_leave))
    values, spans = [], []
    for place in range(config.window - 1, len(buckets)):
        window = buckets[place - config.window + 1 : place + 1]
        total = sum(int(each["volume"]) for each in window)
        values.append(sum(abs(2 * int(each["buy_volume"]) - int(each["volume"])) for each in window) / total)
        spans.append(int(window[-1]["now_ns"]) - int(window[0]["begin_ns"]))
        recent, times = values[-config.history :], spans[-config.history :]
        if len(values) < config.least_history:
            continue
        rank = (1 + sum(each < values[-1] for each in recent)) / len(recent)
        pace = (1 + sum(each > spans[-1] for each in times)) / len(times)
        changed = set()
        for name, (on, since) in state.items():
            level, (enter, leave) = pace if name == "hurried" else rank, limits[name]
            if (since is None or place - since > config.dwell_buckets) and (level < leave if on else level >= enter):
                state[name] = not on, place
                changed.add(name)
        if "toxic" in changed:
            said.append((place + 1, state["toxic"][0], values[-1]))
        if changed & {"one_sided", "hurried"}:
            both = state["one_sided"][0], state["hurried"][0]
            names = {(False, False): "normal", (True, False): "one_sided", (False, True): "hurried"}
            said.append((names.get(both, "stressed"), rank, pace))
    return said


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dwell_buckets": 0, "least_history": 1},
        {"history": 8, "toxicity_enter": 0.7, "toxicity_leave": 0.5, "structure_enter": 0.7},
    ],
)
def test_warnings_are_those_of_a_plain_state_machine(changes, seed):
    rng = np.random.default_rng(seed)
    cut = 1 + 9 * seed
    # Stretches of one-sided and of mixed flow, of quick and of slow trades.
    bought = rng.random(160) < np.repeat(rng.random(8), 20)
    records = trades(*zip([100] * 160, rng.integers(1, 25, 160).tolist(), (2 - bought).tolist(), strict=True))
    records["now_ns"] = np.cumsum(np.repeat(rng.integers(1, 9, 8), 20) * rng.integers(1, 4, 160))
    made, ctx = engine(**changes), RecordingContext()
    for begin in range(0, len(records), cut):
        made.on_trade(records[begin : begin + cut], ctx)
    config = VpinConfig(**{**SMALL, **changes})
    buckets = VpinTable(window=config.window, history=config.history)
    buckets.add(1, config.bucket_lots)
    expected = plain_warnings(buckets.process(records), config)
    assert len(ctx.published) == len(expected) > 0
    for found, wanted in zip(ctx.published, expected, strict=True):
        if isinstance(found, ToxicityWarning):
            assert (found.bucket, found.active) == wanted[:2]
            assert found.vpin == pytest.approx(wanted[2], rel=1e-12)
        else:
            name, rank, pace = wanted
            scores = {"normal": 1 - max(rank, pace), "one_sided": rank, "hurried": pace, "stressed": min(rank, pace)}
            assert (found.regime, found.score) == (name, pytest.approx(scores[name], abs=1e-12))


def test_buckets_of_a_symbol_have_their_own_size():
    made, ctx = engine(buckets={"ETHUSDT": 3}), RecordingContext()
    sizes = [made.on_request(GetVpin(name), ctx).measures[0].bucket_lots for name in ("BTCUSDT", "ETHUSDT")]
    assert sizes == [10, 3]


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0},
        {"bucket_lots": 0},
        {"buckets": {"X": 0}},
        {"distribution": "cauchy"},
        {"warn_on": "tick"},
        {"toxicity_leave": 0.95},
        {"structure_enter": 1.5},
        {"dwell_buckets": -1},
        {"least_history": 0},
        {"bars_seconds": 0.0},
        {"decay": 1.0},
        {"history": 100_000},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        VpinConfig(**wrong)


def test_a_rank_is_the_quotient_of_its_counts():
    kept = np.arange(1, 2_000)
    for equal in (1, 2, 7):
        at_most = np.maximum(kept * 9 // 10, equal)
        found = ranks(at_most / kept, np.full(len(kept), equal - 1, np.uint16), kept)
        assert (found == (at_most - equal + 1) / kept).all()


def test_a_latch_has_two_thresholds_and_a_dwell():
    latch = Latch(Thresholds(0.9, 0.5, 2))
    told = [latch.step(each) for each in (0.8, 0.95, 0.1, 0.1, 0.1, 0.95, 0.95, 0.95)]
    assert told == [False, True, False, False, True, False, False, True]


@given(
    st.lists(st.floats(0, 1), max_size=60),
    st.floats(0.5, 1.0),
    st.floats(0.1, 0.5),
    st.integers(0, 5),
)
def test_a_latch_changes_only_over_its_thresholds_and_never_within_its_dwell(values, enter, leave, dwell):
    latch, last = Latch(Thresholds(enter, leave, dwell)), None
    for place, value in enumerate(values):
        was = latch.active
        if latch.step(value):
            assert latch.active != was
            assert value >= enter if latch.active else value < leave
            assert last is None or place - last > dwell
            last = place
        else:
            assert latch.active == was
            held = last is not None and place - last <= dwell
            assert held or (value >= leave if was else value < enter)


def test_regimes_are_named_with_how_clear_they_are():
    assert [regime(*pair) for pair in ((0, 0), (1, 0), (0, 1), (1, 1))] == [
        "normal",
        "one_sided",
        "hurried",
        "stressed",
    ]
    assert regime_score("stressed", 0.9, 0.8) == 0.8
    assert regime_score("one_sided", 0.9, 0.2) == 0.9
    assert regime_score("hurried", 0.1, 0.8) == 0.8
    assert regime_score("normal", 0.25, 0.5) == 0.5


def test_scales_together_are_as_sure_as_they_are_full_agree_and_know_sides():
    assert combined([]) == (None, None, 0.0, None, None, 0.0)
    one = Scale(0.4, 0.8, 1.0, 1.0)
    assert combined([one]) == (0.4, 0.8, 1.0, None, 1.0, 1.0)
    empty = Scale(None, None, 0.0, 0.0)
    assert combined([one, empty]) == (0.4, 0.8, 0.5, None, 1.0, 0.0)
    other = Scale(0.2, 0.6, 1.0, 0.0)
    found = combined([one, other])
    assert found.value == pytest.approx(0.3)
    assert found.agreement == pytest.approx(0.8)
    assert found.confidence == pytest.approx(0.8 * 1.5 / 2)


SHARE = st.floats(0.0, 1.0)


@given(st.lists(st.builds(Scale, st.none() | SHARE, SHARE, SHARE, SHARE), max_size=5))
def test_confidence_is_a_share_and_grows_with_each_of_its_parts(scales):
    scales = [each if each.value is not None else each._replace(percentile=None) for each in scales]
    found = combined(scales)
    assert 0.0 <= found.confidence <= 1.0
    assert found.confidence <= found.filled + 1e-12
    fuller = combined([each._replace(filled=1.0) for each in scales])
    surer = combined([each._replace(told=1.0) for each in scales])
    assert min(fuller.confidence, surer.confidence) >= found.confidence - 1e-12


def test_a_part_of_a_table_with_other_settings_begins_anew():
    made, other = engine(), engine(window=5)
    made.on_trade(balanced(6), RecordingContext())
    for name, (version, part) in made.bulk().items():
        assert version == 12
        other.restore_bulk(name, part())
    other.restore_bulk("unknown-0", {})
    assert other.on_request(GetVpin("BTCUSDT"), RecordingContext()).trades == 0


def test_a_warning_is_not_in_force_over_a_table_that_began_anew():
    made, ctx = engine(), RecordingContext()
    made.on_trade(balanced(40), ctx)
    made.on_trade(bought(8, 10**12), ctx)
    assert made.on_request(GetVpin("BTCUSDT"), ctx).toxic
    for same, changes in ((True, {}), (False, {"window": 5})):
        other = engine(**changes)
        for name, (_, part) in made.bulk().items():
            other.restore_bulk(name, part())
        other.restore(msgspec.json.decode(msgspec.json.encode(made.state())))
        assert other.on_request(GetVpin("BTCUSDT"), ctx).toxic == same
