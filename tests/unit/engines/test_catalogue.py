"""The catalogue tells the truth about engines and topics."""

import subprocess
import sys

import pytest

from nautilus.engines import CATALOGUE
from nautilus.engines.base import Engine, NoFeatureStore
from nautilus.engines.strategy import QuotingConfig
from nautilus.model import signals
from nautilus.model.alerts import RiskAlert
from nautilus.model.errors import ConfigError, ModelError
from nautilus.model.topics import (
    BREAKERS,
    ECONOMICS,
    FLOWS,
    FUNDAMENTALS,
    HISTORICAL_BARS,
    INSTANCES,
    QUARANTINES,
    QUOTE_FACTS,
    TOPICS,
)
from nautilus.store.no_feature_sets import NoFeatureSets
from tests.kit.context import RecordingContext, btcusdt

TO_COME = (FLOWS, BREAKERS, INSTANCES, HISTORICAL_BARS, FUNDAMENTALS, ECONOMICS, QUOTE_FACTS, QUARANTINES)
"""People and the recorder read these (`nautilus tap`, `--record`); the engines that take them are to come."""


class Kept:
    """Answers that nobody asks for."""

    def invalidate(self, engine, prefix=""):
        pass


class Books:
    """A core with empty books."""

    def process(self, commands):
        return commands[:0]

    def depth(self, instrument_id, levels):
        return (), ()


@pytest.fixture(params=sorted(CATALOGUE))
def engine(request):
    return CATALOGUE[request.param].build(
        core=Books(),
        instruments=[btcusdt()],
        strategies=(),
        caches=Kept(),
        feature_sets=NoFeatureSets(),
        feature_store=NoFeatureStore(),
    )


def test_every_entry_builds_the_engine_of_its_name(engine):
    assert isinstance(engine, Engine)
    assert CATALOGUE[engine.name].load() is type(engine)


def test_settings_of_another_engine_are_refused():
    with pytest.raises(ConfigError, match="settings QuotingConfig"):
        CATALOGUE["risk"].build(QuotingConfig(), instruments=[])


def test_every_topic_has_its_publisher_and_a_subscriber():
    # What engines of analysis will say has its words already; these engines are still to come.
    to_come = [topic for topic in TOPICS if any(kind.__module__ == signals.__name__ for kind in topic.messages)]
    for topic in to_come:
        publishers = [name for name, entry in CATALOGUE.items() if topic in entry.publishes]
        assert publishers in ([], [topic.publisher]), topic.name
    for topic in TOPICS:
        if topic in to_come:
            continue
        publishers = [name for name, entry in CATALOGUE.items() if topic in entry.publishes]
        assert publishers == [topic.publisher]
        if topic in TO_COME:
            continue
        assert [name for name, entry in CATALOGUE.items() if topic in entry.subscribes], topic.name


def test_a_subscriber_has_the_handler_of_each_topic(engine):
    for topic in CATALOGUE[engine.name].subscribes:
        assert callable(getattr(engine, topic.handler))


def test_ports_and_senders_are_not_shared():
    assert len({entry.port for entry in CATALOGUE.values()}) == len(CATALOGUE)
    senders = [entry.load().source_id for entry in CATALOGUE.values() if entry.load().source_id]
    assert len(set(senders)) == len(senders)


def test_an_engine_refuses_what_it_does_not_take(engine):
    alert = RiskAlert(1, 1, 1, 1, "loss", 1, 1)
    with pytest.raises(ModelError, match=engine.name):
        engine.on_request(alert, RecordingContext())
    with pytest.raises(ModelError, match=engine.name):
        engine.on_command(alert, RecordingContext())


def test_an_engine_without_history_has_a_state_that_restores(engine):
    engine.restore(engine.state())


def test_reading_the_catalogue_imports_no_engine():
    code = "import sys, nautilus.engines; sys.exit(any(m.startswith('nautilus.engines.') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
