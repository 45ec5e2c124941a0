"""Features in a host: records of the hub in, questions over the mesh, long work in a job."""

import pytest

from nautilus.core import Kernel
from nautilus.engines.base import Engine
from nautilus.engines.features import FeaturesConfig, FeaturesEngine
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.engines.trading import TradingConfig, TradingEngine
from nautilus.model.commands import SplitPositions
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


def played(asker=None):
    instrument, asker = btcusdt(), asker or Asker()
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


class Splitter(Asker):
    """Asks the core for a split, and features before and after it."""

    source_id = 7

    def on_start(self, ctx):
        for second in (3, 4, 5):
            ctx.at(second * SECOND, str(second))

    def on_timer(self, key, ctx):
        if key == "4":
            ctx.request("trading", SplitPositions(1, 3, 2, source_id=7, source_sequence=1))
        else:
            ctx.request("features", GetFeatures("BTCUSDT", names=("mid",)))


def test_a_split_in_the_core_reaches_the_features():
    asker, engine = played(Splitter())
    before, after = (reply.basis[0] for reply in asker.heard if isinstance(reply, FeatureVector))
    assert "split" not in before.method
    assert "split of 1.5 for 1 at " in after.method
    assert before.begin_ns < 4 * SECOND <= after.begin_ns
    assert 0 < after.window < before.window
    assert len(engine.state()["splits"]) == 1


def test_the_same_market_gives_the_same_vectors():
    first, second = played()[0], played()[0]
    assert first.heard == second.heard
