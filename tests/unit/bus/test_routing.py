"""Where messages go: generated from topics and places; and messages made of fields."""

import pytest

from nautilus.bus.base import TopicError
from nautilus.bus.routing import Processes, RoutingTable, is_on_star, message_of, topic_at, topics_like
from nautilus.engines import CATALOGUE
from nautilus.model.alerts import RiskAlert
from nautilus.model.commands import CancelOrder, KillSwitch
from nautilus.model.enums import Priority
from nautilus.model.errors import ModelError
from nautilus.model.queries import GetBook, GetCoreState, GetRisk, KillRequest
from nautilus.model.signals import SignalAction, TradingSignal
from nautilus.model.topics import EXECUTION_REPORTS, POSITIONS, QUOTES, RISK_ALERTS, RISK_WARNINGS, SIGNALS, TOPICS

PLACES = {"marketdata": "rim", "trading": "rim", "risk": "accounts", "portfolio": "accounts", "strategy": "strategy"}
SIGNAL = {"now_ns": 5, "strategy_id": 1, "instrument_id": 2, "action": "buy", "quantity": 10}


@pytest.fixture
def table():
    return RoutingTable(PLACES, {name: CATALOGUE[name].subscribes for name in PLACES})


def test_market_data_requests_go_to_the_hub_and_all_else_to_the_engine(table):
    assert table.hub == "rim"
    assert table.way("marketdata", GetBook) == ("rim", "marketdata", Priority.NORMAL)
    assert table.way("risk", GetRisk) == ("accounts", "risk", Priority.NORMAL)


def test_commands_to_the_core_go_to_its_process_and_what_stops_trading_goes_first(table):
    assert table.way("trading", CancelOrder) == ("core", "core", Priority.HIGH)
    assert table.way("trading", KillSwitch) == ("core", "core", Priority.URGENT)
    assert table.way("trading", KillRequest).priority == Priority.URGENT
    assert table.way("trading", GetCoreState)[:2] == ("core", "core")


def test_an_engine_that_has_no_process_is_named(table):
    with pytest.raises(ModelError, match=r"'vpin'.*expected one of marketdata, trading"):
        table.way("vpin", GetRisk)


def test_each_process_with_subscribers_is_named_once_and_the_own_one_not(table):
    assert table.takers(EXECUTION_REPORTS) == ("risk", "portfolio", "strategy")
    assert table.processes(EXECUTION_REPORTS) == ("accounts", "strategy")
    assert table.processes(EXECUTION_REPORTS, beside="accounts") == ("strategy",)


def test_every_topic_has_an_entry_and_its_takers_are_those_of_the_catalogue(table):
    for topic in TOPICS:
        assert set(table.takers(topic)) == {name for name in PLACES if topic in CATALOGUE[name].subscribes}


def test_a_channel_is_a_topic_and_perhaps_more():
    assert topic_at("strategy.signals") is SIGNALS
    assert topic_at("strategy.signals.buy") is SIGNALS
    assert topic_at("marketdata.real_time.quote.BTC.USD") is QUOTES
    for bad in ("strategy", "strategy.signal", "", "risk.alerts"):
        with pytest.raises(TopicError, match=r"expected one of marketdata\.real_time\.quote"):
            topic_at(bad)


def test_patterns_name_all_below():
    assert topics_like("*") == TOPICS
    assert topics_like("risk.*") == (RISK_ALERTS, RISK_WARNINGS)
    assert topics_like("portfolio.position.*") == (POSITIONS,)
    assert {topic.name.split(".")[0] for topic in topics_like("marketdata.*")} == {"marketdata"}
    with pytest.raises(TopicError):
        topics_like("nothing.*")


def test_the_star_carries_market_data_alone():
    assert {topic.name for topic in TOPICS if is_on_star(topic)} == {
        topic.name for topic in TOPICS if topic.name.startswith("marketdata.")
    }


def test_a_message_is_made_of_fields():
    made = message_of("strategy.signals.buy", SIGNAL)
    assert made == TradingSignal(5, 1, 2, SignalAction.BUY, 10, 1.0)
    assert message_of("strategy.signals", made) is made


@pytest.mark.parametrize(
    ("channel", "message", "complaint"),
    [
        ("strategy.signals", SIGNAL | {"amount": 1}, "field 'amount'.*expected now_ns"),
        ("strategy.signals", {"now_ns": 1}, "no field 'strategy_id'"),
        ("strategy.signals", SIGNAL | {"action": "hold"}, "hold"),
        ("strategy.signals", SIGNAL | {"quantity": "ten"}, "int"),
        ("strategy.signals", RiskAlert(1, 0, 0, 0, "loss", 1, 0), "RiskAlert.*expected TradingSignal"),
        ("trading.report", {"now_ns": 1}, "without a type"),
    ],
)
def test_what_makes_no_message_is_named(channel, message, complaint):
    with pytest.raises(ModelError, match=complaint):
        message_of(channel, message)


def test_records_are_not_published_by_name():
    with pytest.raises(TopicError, match="the hub alone"):
        message_of("marketdata.real_time.quote", {})


def test_processes_of_the_instance_and_clients_are_listened_to():
    known = Processes(("core", "risk"))
    assert "risk" in known
    assert "client.tap-7" in known
    assert "client" not in known
    assert 7 not in known
