"""Features in a host: records of the hub in, questions over the mesh, long work in a job."""

import pytest

from nautilus.core import Kernel
from nautilus.engines.base import Engine
from nautilus.engines.features import FeaturesConfig, FeaturesEngine
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.engines.trading import TradingConfig, TradingEngine
from nautilus.model.errors import ModelError
from nautilus.model.features import ComputeFeatures, FeatureColumns, FeatureHistory, FeatureVector, GetFeatures
from nautilus.runtime.latency import LatencyModel
from nautilus.runtime.lockstep import LockStep
from nautilus.simulation.source import Step
from nautilus.store.no_feature_sets import NoFeatureSets
from tests.kit.context import SECOND, ScriptedMarket, btcusdt, quote_array

ROW = tuple(float(100 + at % 9) for at in range(400))
HISTORY = FeatureHistory("X", (), ROW, ROW, ROW, ROW, ROW)


class Asker(Engine):
    """Asks three things at a time, and keeps what it hears."""

    name = "strategy"

    def __init__(self):
        self.heard, self.refused = [], 0

    def on_start(self, ctx):
        ctx.at(5 * SECOND, "ask")

    def on_timer(self, key, ctx):
        for question in (GetFeatures("BTCUSDT"), ComputeFeatures(HISTORY, names=("macd",)), GetFeatures("NOPE")):
            ctx.request("features", question)

    def on_reply(self, number, reply, ctx):
        self.heard.append(reply)

    def on_unknown(self, number, message, ctx):
        self.refused += 1


def played():
    instrument, asker = btcusdt(), Asker()
    engine = FeaturesEngine(FeaturesConfig(), [instrument], NoFeatureSets())
    kernel = Kernel(instruments=[instrument], accounts=[1], huge_pages=False)
    hub = MarketDataEngine(MarketDataConfig(), [instrument])
    host = LockStep([hub, TradingEngine(TradingConfig(), kernel), engine, asker], LatencyModel())
    host.start(SECOND)
    stamps = [2 * SECOND + at * SECOND // 10 for at in range(60)]
    steps = [Step(now, None, (quote_array(now, 600_000 + at, 600_002 + at),)) for at, now in enumerate(stamps)]
    host.run(ScriptedMarket(steps, [instrument]))
    return asker, engine


def test_a_peer_gets_a_vector_of_what_had_come_by_then_and_a_history_from_a_job():
    asker, engine = played()
    [vector] = [reply for reply in asker.heard if isinstance(reply, FeatureVector)]
    [columns] = [reply for reply in asker.heard if isinstance(reply, FeatureColumns)]
    assert vector.time_ns <= 5 * SECOND
    assert vector.values["mid"] == pytest.approx(60_000.1 + 0.1 * (vector.basis[1].window - 1))
    assert engine.quotes.status().taken > vector.basis[1].window > 20
    assert len(columns.columns[0].values) == 400
    assert asker.refused == 1 or any(isinstance(reply, ModelError) for reply in asker.heard)


def test_the_same_market_gives_the_same_vectors():
    first, second = played()[0], played()[0]
    assert first.heard == second.heard
