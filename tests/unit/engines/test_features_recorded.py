"""Features of real recordings, against closed forms over the whole of them."""

import contextlib

import numpy as np
import pytest

from nautilus.adapters.formats import open_recording
from nautilus.core.types import QUOTE, TRADE
from nautilus.engines.features import FeaturesConfig, FeaturesEngine
from nautilus.maths import microstructure as ms
from nautilus.maths.errors import Undefined
from nautilus.maths.micro_price import fit_micro_price
from nautilus.model.features import GetFeatures
from nautilus.model.topics import QUOTES, TRADES, topic_of
from nautilus.store.no_feature_sets import NoFeatureSets
from tests.kit.context import SECOND, RecordingContext
from tests.kit.data import BTCUSDT_SPOT, LOBSTER, recording

NEAR = {"rel": 1e-10}


def recorded(name, seconds):
    """The instrument, its quotes with two sides, its trades, and an engine that had them in their order."""
    log = open_recording(recording(name))
    instrument = log.hint.instrument()
    engine, ctx = FeaturesEngine(FeaturesConfig(bars="tick:20"), [instrument], NoFeatureSets()), RecordingContext()
    kept = {QUOTES: [np.zeros(0, QUOTE)], TRADES: [np.zeros(0, TRADE)]}
    touch, before = (0.0, 0.0), []
    for each in log.updates(until_ns=log.start_ns + seconds * SECOND):
        records = each.records.copy()
        records["instrument_id"] = instrument.instrument_id
        topic = topic_of(records)
        if topic is QUOTES:
            engine.on_quote(records, ctx)
            touch = (float(records["bid_ticks"][-1]), float(records["ask_ticks"][-1]))
        elif topic is TRADES:
            engine.on_trade(records, ctx)
            before += [touch] * len(records)
        if topic in kept:
            kept[topic].append(records)
    quotes, trades = np.concatenate(kept[QUOTES]), np.concatenate(kept[TRADES])
    two_sided = (quotes["bid_quantity"] > 0) & (quotes["ask_quantity"] > 0)
    return instrument, quotes[two_sided], trades, np.array(before), engine


def sides_of(instrument, quotes):
    tick, lot = float(instrument.price_increment), float(instrument.quantity(1))
    return (
        quotes["bid_ticks"] * tick,
        quotes["bid_quantity"] * lot,
        quotes["ask_ticks"] * tick,
        quotes["ask_quantity"] * lot,
    )


@pytest.mark.parametrize("name", [BTCUSDT_SPOT, LOBSTER])
def test_microstructure_of_a_recording_is_that_of_the_closed_forms(name):
    instrument, quotes, trades, before, engine = recorded(name, 60)
    vector = engine.on_request(GetFeatures(instrument.symbol), RecordingContext())
    values, sides = vector.values, sides_of(instrument, quotes)
    assert len(quotes) > 100
    assert engine.quotes.status().taken == len(quotes)
    ofi = ms.order_flow_imbalance(*sides)
    size = float(np.abs(ofi[-50:]).max())
    assert values["ofi"] == pytest.approx(ofi[-1], rel=1e-10, abs=1e-12 * size)
    assert values["ofi_50"] == pytest.approx(ofi[-50:].sum(), rel=1e-10, abs=1e-12 * size)
    assert values["micro_price"] == pytest.approx(ms.weighted_mid(*sides)[-1], **NEAR)
    assert values["queue_imbalance"] == pytest.approx(ms.queue_imbalance(sides[1], sides[3])[-1], **NEAR)
    if len(trades) < 60:
        return
    price = trades["price_ticks"] * float(instrument.price_increment)
    lots = trades["quantity"] * float(instrument.quantity(1))
    returns = ms.log_returns(price)[-50:]
    assert values["rv_50"] == pytest.approx(ms.realised_variance(returns), **NEAR)
    assert values["bpv_50"] == pytest.approx(ms.bipower_variation(returns), **NEAR)
    assert values["rq_50"] == pytest.approx(ms.realised_quarticity(returns), **NEAR)
    assert values["amihud_50"] == pytest.approx(ms.amihud_illiquidity(returns, (price * lots)[-50:]), **NEAR)
    assert values["tick_sign"] == ms.tick_rule(price)[-1]
    known = (before > 0.0).all(axis=1)
    rule = ms.quote_rule(trades["price_ticks"][known], before[known, 0], before[known, 1])
    assert values["quote_sign"] == rule[-1]
    sign = np.select([trades["side"] == 1, trades["side"] == 2], [1.0, -1.0])
    if (sign[-50:] != 0.0).all():
        expected = ms.kyle_lambda(np.diff(price)[-50:], (sign * lots)[-50:])
        assert values["kyle_lambda_50"] == pytest.approx(expected, rel=1e-9)
    with contextlib.suppress(Undefined):
        assert values["roll_50"] == pytest.approx(ms.roll_spread(price[-50:]), **NEAR)
    assert (values["roll_50"] is None) == (vector.undefined.get("roll_50") == "out_of_range")


def test_the_micro_price_of_a_recording_leads_its_middle():
    instrument, quotes, *_ = recorded(BTCUSDT_SPOT, 120)
    bids, bid_sizes, asks, ask_sizes = sides_of(instrument, quotes)
    half = len(quotes) // 2
    fitted = fit_micro_price(
        *(side[:half] for side in (bids, bid_sizes, asks, ask_sizes)), float(instrument.price_increment), spreads=1
    )
    assert (np.diff(fitted.adjustments[:, 0]) > 0.0).mean() > 0.6
    prices, valid = fitted.prices(*(side[half:] for side in (bids, bid_sizes, asks, ask_sizes)))
    middle = 0.5 * (bids + asks)[half:]
    ahead, there = middle[50:], valid[:-50]
    mine = np.mean((ahead - prices[:-50])[there] ** 2)
    assert mine < np.mean((ahead - middle[:-50])[there] ** 2)
