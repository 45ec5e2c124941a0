"""No feature of the registry sees what comes later, whatever comes between: streams, batches and restarts agree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.ticks import GAP_FLAG
from nautilus.engines.features import FeaturesConfig, FeaturesEngine
from nautilus.engines.features.registry import Registry
from nautilus.maths.indicators import INPUTS, SOURCES, compiled, every, whole
from nautilus.model.enums import RecordFlag, Side
from nautilus.store.no_feature_sets import NoFeatureSets
from tests.kit.context import SECOND, RecordingContext, btcusdt
from tests.kit.feature_rows import bar_rows, quote_rows, trade_rows

ROWS = 170
STALE = int(RecordFlag.STALE)
SIGNS = {int(Side.BUY): 1.0, int(Side.SELL): -1.0}


def engine():
    return FeaturesEngine(FeaturesConfig(bars_from="hub"), [btcusdt()], NoFeatureSets())


def bars(seed):
    rng = np.random.default_rng(seed)
    rows = bar_rows((600_000 + np.cumsum(rng.integers(-90, 91, ROWS))).tolist())
    rows["open_ticks"] += rng.integers(-2, 4, ROWS)
    rows["volume"] = rng.integers(0, 900, ROWS)
    columns = [rows[f"{name}_ticks"] / 10.0 for name in INPUTS["bar"][:4]] + [rows["volume"] / 1000.0]
    return rows, columns


def quotes(seed):
    rows = quote_rows(ROWS, seed=seed)
    rows["update_id"] = np.arange(ROWS) + 1
    prices = [rows[f"{side}_ticks"] / 10.0 for side in ("bid", "ask")]
    sizes = [rows[f"{side}_quantity"] / 1000.0 for side in ("bid", "ask")]
    return rows, [prices[0], sizes[0], prices[1], sizes[1]]


def trades(seed):
    rows = trade_rows(ROWS, seed=seed)
    price = rows["price_ticks"] / 10.0
    sign = np.array([SIGNS.get(side, 0.0) for side in rows["side"].tolist()])
    # Without a quote before it the price of a trade is its own middle.
    return rows, [price, rows["quantity"] / 1000.0, sign, price, price]


MADE = {"bar": bars, "quote": quotes, "trade": trades}


def noise(row, kind, source):
    """A record that is none, to come after `row`."""
    bad = row.copy()
    if kind == "late":
        bad["now_ns"] -= 400 * SECOND
        if source == "bar":
            bad["end_ns"] -= 400 * SECOND
    elif kind == "stale":
        bad["now_ns"] += SECOND
        bad["flags"] |= STALE
        if source == "bar":
            bad["end_ns"] += SECOND
    elif kind == "other":
        bad["instrument_id"] = 77
    return bad


def test_the_registry_is_all_that_is_tried_here():
    registry = Registry()
    assert set(MADE) == set(SOURCES) == set(registry.programs)
    assert {each.name for each in registry.definitions} == {each.name for found in SOURCES.values() for each in found}
    for source, made in registry.programs.items():
        assert [name for name, each in registry.outputs.items() if each.source == source] == list(made.outputs)


@pytest.mark.parametrize("source", sorted(SOURCES))
@given(
    st.integers(0, 10**6),
    st.dictionaries(st.integers(0, ROWS - 1), st.sampled_from(["late", "stale", "again", "other", "gap"]), max_size=40),
    st.integers(0, ROWS),
)
@settings(max_examples=8)
def test_a_stream_with_all_that_goes_wrong_is_the_batch_of_what_was_right(source, seed, wrong, restart):
    rows, columns = MADE[source](seed)
    columns = dict(zip(INPUTS[source], (np.asarray(each, np.float64) for each in columns), strict=True))
    table = whole(every(source), columns)
    features, ctx = engine(), RecordingContext()
    for at in range(ROWS):
        if at == restart:
            fresh = engine()
            for name, (_, give) in features.bulk().items():
                fresh.restore_bulk(name, give())
            fresh.restore(features.state())
            features = fresh
        record, kind = rows[at : at + 1].copy(), wrong.get(at)
        if kind == "gap":
            record["flags"] |= GAP_FLAG
        records = record if kind in (None, "gap") else np.concatenate([record, noise(record, kind, source)])
        {"bar": features.on_bar, "quote": features.on_quote, "trade": features.on_trade}[source](records, ctx)
        values, valid = features.feeds[source].bank.values(0)
        assert values.tobytes() == np.ascontiguousarray(table.values[:, at]).tobytes(), (at, kind)
        assert valid.tobytes() == np.ascontiguousarray(table.valid[:, at]).tobytes(), (at, kind)
    assert features.feeds[source].feed.where(0)[3] == sum(kind == "gap" for kind in wrong.values())


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_each_feature_alone_at_each_row_is_that_of_all_of_them_and_of_the_whole(source):
    _, columns = MADE[source](5)
    columns = dict(zip(INPUTS[source], (np.asarray(each, np.float64) for each in columns), strict=True))
    table, made = whole(every(source), columns), every(source)
    for each in SOURCES[source]:
        begin, end = made.spans[each.name]
        alone = compiled(source, [each])
        for rows in (1, made.warm_up[begin] + 1, made.warm_up[begin] + 2, ROWS - 1):
            early = whole(alone, {name: row[:rows] for name, row in columns.items()})
            assert early.values.tobytes() == np.ascontiguousarray(table.values[begin:end, :rows]).tobytes(), each.name
            assert early.valid.tobytes() == np.ascontiguousarray(table.valid[begin:end, :rows]).tobytes(), each.name
