"""Volume buckets and VPIN against their twin, and the cases of their definition."""

import contextlib
import math
import random
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.buckets import BUCKET, BucketFlag, Classification, layout
from nautilus.core.flow import FlowBuilder
from nautilus.core.ticks import FLOW, GAP_FLAG
from nautilus.core.types import QUOTE, TRADE, RecordFlag
from nautilus.core.vpin import VpinTable
from tests.kit.naive_vpin import NaiveVpin

DAY_NS = 86_400_000_000_000
SIDE, NORMAL, STUDENT = Classification


def trades(*rows, instrument=1):
    """(stamp, price, lots, side[, id[, flags]]) each."""
    full = [(*row, *(0, 0)[len(row) - 4 :]) for row in rows]
    return np.array(
        [(at, 0, id_, price, lots, instrument, side, 0, flags) for at, price, lots, side, id_, flags in full], TRADE
    )


def table(bucket_lots=10, instruments=(1,), **settings_):
    made = VpinTable(**settings_)
    for instrument in instruments:
        made.add(instrument, bucket_lots)
    return made


def plain(records):
    return [dict(zip(records.dtype.names, row, strict=True)) for row in records.tolist()]


def test_a_trade_is_split_where_the_border_falls_into_it():
    found = table(window=2).process(trades((1, 100, 7, 1), (2, 101, 16, 2), (3, 101, 5, 1)))
    assert found[["now_ns", "begin_ns", "number", "volume", "buy_volume", "parts"]].tolist() == [
        (2, 1, 1, 10, 7, 2),
        (2, 2, 2, 10, 0, 1),
    ]
    assert found["vpin"].tolist() == [0.0, (4 + 10) / 20]
    assert found["flags"].tolist() == [0, BucketFlag.FULL]


def test_the_percentile_is_a_share_of_the_kept_values():
    rows = [(at, 100, lots, side) for at, (lots, side) in enumerate([(10, 1), (5, 1), (5, 2), (8, 1), (2, 2), (10, 2)])]
    found = table(window=1, history=3).process(trades(*rows))
    assert found["vpin"].tolist() == [1.0, 0.0, 0.6, 1.0]
    assert found["percentile"].tolist() == [1.0, 1 / 2, 2 / 3, 1.0]
    assert table(window=1).process(trades(*rows))["ties"].tolist() == [0, 0, 0, 1]
    assert table(window=1, history=3).process(trades(*rows[1:]))["percentile"].tolist() == [1.0, 1.0, 1.0]


def test_the_pace_is_the_share_of_windows_that_took_longer():
    found = table(bucket_lots=1, window=2, history=10).process(trades(*[(at, 100, 1, 1) for at in (0, 10, 11, 31, 32)]))
    assert found["pace"].tolist()[1:] == [1.0, 1.0, 1 / 3, 3 / 4]


def test_without_a_side_the_tick_test_decides():
    found = table(bucket_lots=6).process(
        trades((1, 100, 1, 0), (2, 99, 1, 0), (3, 99, 1, 0), (4, 101, 1, 0), (5, 101, 1, 2), (6, 101, 1, 0))
    )
    assert found[["buy_volume", "told_volume"]].tolist() == [(2, 1)]


def test_of_a_bar_the_share_of_the_distribution_is_bought():
    rows = trades((0, 100, 101, 0), (10, 102, 101, 0), (20, 101, 101, 0), (30, 101, 101, 0))
    for kind, distribution in ((NORMAL, NormalDist().cdf), (STUDENT, lambda z: 0.5 + math.atan(z) / math.pi)):
        made = table(101, window=1, classification=kind, bar_ns=10, decay=0.5, degrees=1.0)
        found = np.concatenate([made.process(rows), made.advance(40)])
        sigmas = [2.0, math.sqrt(0.5 * 4 + 0.5 * 1), 1.0]
        shares = [0.5, *(distribution(z / s) for z, s in zip((2, -1, 0), sigmas, strict=True))]
        assert found["buy_volume"].tolist() == [math.floor(101 * share + 0.5) for share in shares]
        assert found["now_ns"].tolist() == [10, 20, 30, 40], "a bar of time ends with the first trade behind it"
        assert found["told_volume"].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("degrees", [0.25, 1.0, 3.0, 30.0, 1e5])
def test_students_distribution_agrees_with_scipy(degrees):
    stats = pytest.importorskip("scipy.stats")
    lots = 1 << 40
    for decay in (0.0, 0.3, 0.9, 0.9999):
        made = table(bucket_lots=lots, window=1, classification=STUDENT, bar_ns=1, decay=decay, degrees=degrees)
        found = made.process(trades((0, 100, lots, 0), (1, 101, lots, 0), (2, 90, lots, 0), (3, 0, 1, 0)))
        z = -11 / math.sqrt(decay + (1 - decay) * 121)
        assert found["buy_volume"].tolist()[1:] == pytest.approx(
            [lots * stats.t.cdf(value, degrees) for value in (1.0, z)], rel=1e-9, abs=1
        )


def test_what_is_no_new_trade_is_left_out_and_counted():
    made = table(bucket_lots=4)
    made.process(trades((5, 100, 1, 1, 7), (5, 100, 1, 1, 7), (5, 100, 1, 1, 8), (4, 100, 1, 1, 9), (6, 100, 0, 1, 10)))
    made.process(trades((6, 100, -1, 1), (6, 100, 1, 3), (-1, 100, 1, 1), (6, 1 << 41, 1, 1), (6, 100, 1 << 41, 1)))
    made.process(trades((6, 100, 9, 1), instrument=2))
    counts = made.counts(1)
    assert {name: counts[name] for name in ("taken", "late", "duplicates", "without_volume", "refused")} == {
        "taken": 2,
        "late": 1,
        "duplicates": 1,
        "without_volume": 1,
        "refused": 5,
    }
    assert made.unknown == 1
    assert made.open_bucket(1)["volume"].tolist() == [2]


def test_a_thin_book_weighs_more():
    made = table(bucket_lots=1, window=2, depth_weighted=True)
    made.quotes(np.array([(0, 0, 0, 99, 30, 101, 30, 1, 1, 0)], QUOTE))
    made.process(trades((1, 100, 1, 1)))
    made.resize(1, 2)
    made.quotes(np.array([(2, 0, 0, 99, 10, 101, 10, 1, 1, 0)], QUOTE))
    found = made.process(trades((3, 100, 1, 1), (3, 100, 1, 2)))
    heavy, light = 40 / 20, 40 / 60
    assert found["vpin"].tolist() == [1 / 3]
    assert found["value"].tolist() == [light * 1 / (light * 1 + heavy * 2)]


def test_the_flow_of_quotes_is_blended_in():
    rows = np.array([(0, 0, 0, 100, bid, 101, ask, 1, 1, 0) for bid, ask in ((5, 5), (9, 5), (9, 2), (7, 2))], QUOTE)
    made = table(bucket_lots=2, window=1, flow_weight=0.25)
    without = made.process(trades((1, 100, 1, 1), (1, 100, 1, 2)))
    made.quotes(rows)
    found = made.process(trades((2, 100, 1, 1), (2, 100, 1, 2)))
    assert found[["flow", "gross_flow", "vpin", "value"]].tolist() == [(5, 9, 0.0, 0.25 * (5 / 9))]
    assert [int(row["flags"][0]) for row in (without, found)] == [BucketFlag.FULL, BucketFlag.FULL | BucketFlag.FLOW]
    assert without["value"].tolist() == [0.0]
    by_flows = table(bucket_lots=2, window=1, flow_weight=0.25)
    by_flows.flows(FlowBuilder(updates=1).process(rows))
    again = by_flows.process(trades((2, 100, 1, 1), (2, 100, 1, 2)))
    assert (
        again[["flow", "gross_flow", "depth_sum", "value"]].tolist()
        == found[["flow", "gross_flow", "depth_sum", "value"]].tolist()
    )


def test_buckets_become_a_share_of_the_volume_of_the_days_before():
    made = table(bucket_lots=100, days=2, buckets_per_day=4)
    made.process(trades((0, 100, 80, 1), (DAY_NS, 100, 40, 1)))
    assert made.counts(1)["next_lots"] == 80 // 4
    assert made.buckets(1)["volume"].tolist() == [100, 20], "the open bucket keeps its size"
    made.process(trades((3 * DAY_NS, 100, 1, 1)))
    assert made.counts(1)["next_lots"] == (80 + 40) // 2 // 4


def test_a_trade_of_any_size_takes_a_bounded_time_and_counts_every_bucket():
    made = table(bucket_lots=1, window=2, history=3)
    found = made.process(trades((1, 100, 1 << 40, 1)))
    assert found["number"].tolist() == [1, (1 << 40) - 1, 1 << 40]
    assert made.counts(1)["completed"] == 1 << 40
    assert made.buckets(1)["number"].tolist() == [(1 << 40) - 1, 1 << 40]


def test_flags_of_trades_are_those_of_their_bucket():
    found = table(bucket_lots=2).process(
        trades((1, 1, 1, 1, 0, GAP_FLAG), (2, 1, 3, 1, 0, int(RecordFlag.SYNTHETIC)), (3, 1, 2, 1))
    )
    assert found["flags"].tolist() == [GAP_FLAG | int(RecordFlag.SYNTHETIC), int(RecordFlag.SYNTHETIC), 0]


def test_what_cannot_be_is_refused():
    for wrong in (
        {"window": 0},
        {"history": 65_537},
        {"classification": 4},
        {"bar_ns": 1},
        {"classification": NORMAL},
        {"classification": NORMAL, "bar_ns": 1, "bar_lots": 1},
        {"decay": 1.0},
        {"decay": math.nan},
        {"degrees": 0.0},
        {"flow_weight": 1.1},
        {"days": 33},
        {"buckets_per_day": 0},
    ):
        with pytest.raises(ValueError, match="VpinTable"):
            VpinTable(**wrong)
    made = table()
    for call, error in (
        (lambda: made.add(1, 10), ValueError),
        (lambda: made.add(2, 0), ValueError),
        (lambda: made.resize(1, 0), ValueError),
        (lambda: made.resize(2, 1), KeyError),
        (lambda: made.buckets(2), KeyError),
        (lambda: made.process(np.zeros(1, QUOTE)), TypeError),
        (lambda: made.quotes(np.zeros(1, TRADE)), TypeError),
        (lambda: made.flows(np.zeros(1, TRADE)), TypeError),
    ):
        with pytest.raises(error):
            call()
    made.flows(np.zeros(1, FLOW))
    assert [key in made for key in (2, 1, -1)] == [False, True, False]
    assert len(made) == 1


def test_the_record_is_laid_out_as_the_compiler_has_it():
    assert layout() == {"BUCKET": (BUCKET.itemsize, {name: BUCKET.fields[name][1] for name in BUCKET.names})}
    assert BUCKET.itemsize == 128


SETTINGS = st.fixed_dictionaries(
    {
        "window": st.integers(1, 5),
        "history": st.integers(1, 8),
        "depth_weighted": st.booleans(),
        "flow_weight": st.sampled_from([0.0, 0.3, 1.0]),
        "days": st.integers(0, 3),
        "buckets_per_day": st.integers(1, 9),
        "degrees": st.sampled_from([0.25, 3.0]),
        "decay": st.sampled_from([0.0, 0.8, 0.95]),
    },
).flatmap(
    lambda chosen: st.sampled_from([{}, {"bar_ns": 7}, {"bar_ns": DAY_NS}, {"bar_lots": 13}, {"bar_lots": 1}]).flatmap(
        lambda bars: st.sampled_from([NORMAL, STUDENT] if bars else [SIDE]).map(
            lambda kind: {**chosen, **bars, "classification": int(kind)}
        )
    )
)


def flow_of(seed, count):
    """Trades and quotes of two instruments, with all that may be wrong in them."""
    chance, at, rows, quotes = random.Random(seed), 0, [], []
    for number in range(count):
        at += chance.choice([0, 0, 1, 5, 20, -1, DAY_NS // 3])
        rows.append(
            (
                max(at, 0),
                0,
                chance.choice([0, 1, 2, 3, number + 10]),
                100 + chance.randint(-3, 3),
                chance.choice([0, 1, 2, 5, 9, 40, 300]),
                chance.choice([1, 1, 70_000, 5]),
                chance.randint(0, 2),
                0,
                chance.choice([0, 1, 4, 33]),
            )
        )
        quotes.append(
            (
                max(at, 0),
                0,
                0,
                100 + chance.randint(-1, 1),
                chance.randint(0, 9),
                101 + chance.randint(0, 1),
                chance.randint(0, 9),
                chance.choice([1, 70_000]),
                chance.choice([1, 1, 1, 8]),
                0,
            )
        )
    return np.array(rows, TRADE), np.array(quotes, QUOTE)


@settings(max_examples=40, deadline=None)
@given(chosen=SETTINGS, seed=st.integers(0, 1 << 30), step=st.integers(1, 30), size=st.integers(1, 12))
def test_it_is_its_twin_after_each_array_however_they_are_cut(chosen, seed, step, size):
    rows, quotes = flow_of(seed, 80)
    kernel = table(size, (1, 70_000), **chosen)
    twins = {key: NaiveVpin(key, size, **chosen) for key in (1, 70_000)}
    for begin in range(0, len(rows), step):
        seen = {key: len(twin.out) for key, twin in twins.items()}
        part = rows[begin : begin + step]
        found = kernel.process(part)
        for row in plain(part):
            if row["instrument_id"] in twins:
                twins[row["instrument_id"]].trade(row)
        kernel.quotes(quotes[begin : begin + step])
        for row in plain(quotes[begin : begin + step]):
            twins[row["instrument_id"]].take_quote(row)
        now_ns = int(part["now_ns"].max())
        late = kernel.advance(now_ns)
        for key, twin in twins.items():
            twin.advance(now_ns)
            mine = [*found[found["instrument_id"] == key].tolist(), *late[late["instrument_id"] == key].tolist()]
            assert mine == twin.rows(seen[key])
            counts = kernel.counts(key)
            assert {name: counts[name] for name in twin.counts} == twin.counts
            taken = sum(each["volume"] for each in twin.out) + int(kernel.open_bucket(key)["volume"][0])
            assert taken + counts["waiting"] == counts["volume"], "no lot is lost"
            assert kernel.open_bucket(key).tolist() == [tuple(twin.open_bucket().values())]
            assert kernel.buckets(key).tolist() == [row for row in twin.rows() if row[2] > len(twin.out) - twin.window]
            values, spans = kernel.values(key)
            kept = [each for each in twin.out if "span" in each][-twin.history :]
            assert values.tolist() == [each["value"] for each in kept]
            assert spans.tolist() == [each["span"] for each in kept]


@settings(max_examples=40, deadline=None)
@given(chosen=SETTINGS, seed=st.integers(0, 1 << 30), cut=st.integers(0, 60))
def test_a_restart_in_the_middle_changes_nothing(chosen, seed, cut):
    rows, quotes = flow_of(seed, 60)
    whole, first, second = (table(7, (1, 70_000), **chosen) for _ in range(3))
    for made in (whole, first):
        made.process(rows[:cut])
        made.quotes(quotes[:cut])
    assert all(second.load(first.save(key)) for key in first.ids())
    for made in (whole, second):
        made.quotes(quotes[cut:])
    assert second.process(rows[cut:]).tobytes() == whole.process(rows[cut:]).tobytes()
    assert [second.save(key) for key in second.ids()] == [whole.save(key) for key in whole.ids()]


def test_what_another_table_saved_is_not_loaded():
    made = table(window=3)
    made.process(trades(*[(at, 100, 7, 1) for at in range(20)]))
    saved = made.save(1)
    assert not VpinTable(window=4).load(saved)
    assert not table(window=3).load(b"")
    fresh = VpinTable(window=3)
    assert fresh.load(table(5, (1, 2), window=3).save(2)), "one without trades too"
    assert fresh.buckets(2).tolist() == fresh.last(2).tolist() == []
    assert fresh.load(saved)
    assert fresh.save(1) == saved
    assert fresh.last(1).tobytes() == made.last(1).tobytes()


def words(made, key=1):
    """What was saved, as words; where those of the instrument begin."""
    return np.frombuffer(made.save(key), "<i8").copy(), 13


def test_a_state_that_is_damaged_is_told_and_changes_nothing():
    settings_ = {"window": 2, "history": 3, "days": 2}
    made = table(**settings_)
    made.quotes(np.array([(0, 0, 0, 99, 30, 101, 30, 1, 1, 0), (0, 0, 0, 99, 20, 101, 30, 1, 1, 0)], QUOTE))
    made.process(trades(*[(at, 100, 7, 1) for at in range(9)], (DAY_NS, 100, 7, 1)))
    saved, begin = words(made)
    fresh = table(**settings_)
    before = fresh.save(1)
    with pytest.raises(ValueError, match="no instrument"):
        fresh.load(saved.tobytes()[:-1])
    with pytest.raises(ValueError, match="no instrument"):
        fresh.load(saved.tobytes()[: 8 * begin + 16])
    # What is not bounded: words of padding, the remembered ids, the place of the touch, pointers that are not read.
    free, told = 0, 0
    for place in range(begin, len(saved)):
        for value in (-1, 1 << 62, np.array(math.nan).view("<i8")):
            changed = saved.copy()
            changed[place] = value
            other = table(**settings_)
            try:
                other.load(changed.tobytes(), known=True)
                free += 1
            except ValueError:
                told += 1
                assert other.save(1) == table(**settings_).save(1)
    assert told > 3 * free
    assert fresh.save(1) == before
    assert fresh.load(saved.tobytes())


def test_order_flow_beyond_all_numbers_is_not_counted():
    made = table(bucket_lots=2, window=1, flow_weight=1.0, depth_weighted=True)
    flows = np.zeros(4, FLOW)
    flows["instrument_id"], flows["updates"] = 1, 1
    flows["imbalance"] = (1 << 62, 1 << 49, -(1 << 49), 1 << 49)
    flows["bid_depth"] = ((1 << 63) - 1, 1 << 40, 1 << 40, 1 << 40)
    flows["ask_depth"] = flows["bid_depth"]
    made.flows(flows)
    found = made.process(trades((1, 100, 1, 1), (2, 100, 1, 1)))
    assert found[["flow", "gross_flow", "depth_sum"]].tolist() == [(0, 1 << 50, 1 << 42)]


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 1200), value=st.integers(0, 255))
def test_a_spoilt_state_breaks_nothing(at, value):
    made = table(window=2, history=2, days=2)
    made.process(trades(*[(at, 100, 7, 1) for at in range(9)]))
    saved = bytearray(made.save(1))
    saved[at % len(saved)] = value
    fresh = VpinTable(window=2, history=2, days=2)
    with contextlib.suppress(ValueError):
        if fresh.load(bytes(saved)):
            key = fresh.ids()[0]
            found = fresh.process(trades(*[(at, 100, 7, 1) for at in range(50)], instrument=key))
            assert ((found["vpin"] >= 0) & (found["vpin"] <= 1)).all()
            assert len(fresh.values(key)[0]) == fresh.counts(key)["kept"]
            assert len(fresh.buckets(key)) <= 2
