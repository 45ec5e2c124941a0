"""The engines of VPIN on a recorded market, in lock-step: what they say is what the trades on the star give by hand."""

import numpy as np

from nautilus.engines.enhanced_vpin import EnhancedVpinConfig, ScaleConfig
from nautilus.engines.vpin import VpinConfig
from nautilus.maths.vpin import vpin_of_trades
from nautilus.model.topics import ENHANCED_TOXICITY, MARKET_STRUCTURE, TOXICITY, TRADES
from nautilus.model.vpin import GetEnhancedVpin, GetVpin, GetVpinBuckets
from nautilus.runtime.replay import Run
from nautilus.runtime.settings import LockStepConfig
from nautilus.runtime.sources import open_source
from nautilus.simulation.config import RecordingConfig
from tests.kit.context import RecordingContext
from tests.kit.data import BTCUSDT_PERPETUAL, recording

SETTINGS = {
    "lockstep": LockStepConfig(engines=("vpin", "enhanced-vpin")),
    "vpin": VpinConfig(bucket_lots=2_000, window=10, least_history=10, bars_seconds=0.5),
    "enhanced_vpin": EnhancedVpinConfig(
        scales=(ScaleConfig(400, 10), ScaleConfig(100, 5)), day_lots=400_000, days=0, least_history=10
    ),
}


def test_what_the_engines_say_of_a_recording_is_what_its_trades_give():
    source = open_source(recording(BTCUSDT_PERPETUAL), RecordingConfig())
    trades, told = [], []
    this = Run(source, (), SETTINGS, None, None, None)
    this._host.tap(TRADES, lambda rows: trades.append(rows.copy()))
    for topic in (TOXICITY, MARKET_STRUCTURE, ENHANCED_TOXICITY):
        this._host.tap(topic, told.append)
    this.run(None, 120.0, None)
    engines = {name: context.engine for name, context in this._host._contexts.items()}
    rows = np.concatenate(trades)
    rows = rows[rows["quantity"] > 0]
    ctx = RecordingContext()
    symbol = source.instruments()[0].symbol
    found = engines["vpin"].on_request(GetVpin(symbol), ctx)
    assert found.late == found.duplicates == found.refused == 0
    assert found.trades == len(rows) > 1000
    fields = (rows["now_ns"], rows["price_ticks"], rows["quantity"], rows["side"])
    side = vpin_of_trades(*fields, bucket_lots=2_000, window=10)
    assert (found.vpin, found.percentile) == (side.vpin[-1], side.percentile[-1])
    assert found.measures[0].told_share == 1.0
    bulk = vpin_of_trades(*fields, bucket_lots=2_000, window=10, bar_ns=500_000_000)
    buckets = engines["vpin"].on_request(GetVpinBuckets(symbol, measure="bulk"), ctx).buckets
    shared = [each for each in buckets if 10 <= each.number < len(bulk.vpin) + 10]  # the clock closed the last bar
    assert len(shared) >= 5
    assert [each.vpin for each in shared] == [bulk.vpin[each.number - 10] for each in shared]
    both = engines["enhanced-vpin"].on_request(GetEnhancedVpin(symbol), ctx)
    assert [scale.bucket_lots for scale in both.scales] == [1_000, 4_000]
    assert both.scales[0].depth_lots > 0
    assert both.scales[0].blended
    assert 0.0 <= both.confidence <= 1.0
    assert told, "in two minutes something was one-sided or quick"
