"""The gateway's engine: what the bus says makes it forget, and what it is told it publishes."""

import pytest

from nautilus.engines.gateway import BY_ALERT, BY_POSITION, GatewayEngine, GatewayEngineConfig
from nautilus.model.alerts import RiskAlert
from nautilus.model.commands import CancelOrder
from nautilus.model.errors import ModelError
from nautilus.model.gateway import BreakerChanged, InstanceHealthChanged, InvalidateCache
from nautilus.model.position import Position, PositionChanged
from nautilus.model.risk import LimitBreached
from nautilus.model.topics import topic_of
from tests.kit.context import RecordingContext


class Kept:
    """Notes what is to be forgotten."""

    def __init__(self) -> None:
        self.forgot: list[tuple[str, str]] = []

    def invalidate(self, engine: str, prefix: str = "", /) -> None:
        self.forgot.append((engine, prefix))


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def engine(kept: Kept) -> GatewayEngine:
    return GatewayEngine(GatewayEngineConfig(), kept)


def test_a_position_and_an_alert_make_answers_of_those_they_concern_old(engine: GatewayEngine, kept: Kept) -> None:
    context = RecordingContext()
    engine.on_position(PositionChanged(1, 1, 1, Position(1, 1), 0, 0), context)
    assert kept.forgot == [(name, "") for name in BY_POSITION]
    kept.forgot.clear()
    engine.on_alert(RiskAlert(1, 1, 1, 1, "loss", 1, 1), context)
    assert kept.forgot == [(name, "") for name in BY_ALERT]
    kept.forgot.clear()
    engine.on_limit(LimitBreached(1, "firm", "gross", False, True, 2.0, 1.0), context)
    assert kept.forgot == [("risk", "")]


def test_a_command_names_what_to_forget(engine: GatewayEngine, kept: Kept) -> None:
    engine.on_command(InvalidateCache("features", "/vectors/BTC"), RecordingContext())
    engine.on_command(InvalidateCache(""), RecordingContext())
    assert kept.forgot == [("features", "/vectors/BTC"), ("", "")]


@pytest.mark.parametrize(
    "event",
    [
        BreakerChanged(5, "risk", "closed", "open", "consecutive failures"),
        InstanceHealthChanged(5, "risk", "127.0.0.1:8200", "healthy", "unhealthy", "refused"),
    ],
)
def test_what_befalls_breakers_and_instances_is_published(engine: GatewayEngine, event) -> None:
    context = RecordingContext()
    engine.on_command(event, context)
    assert context.published == [event]
    assert topic_of(event) in GatewayEngine.publishes
    assert topic_of(event).publisher == "gateway"


def test_other_commands_are_refused(engine: GatewayEngine) -> None:
    with pytest.raises(ModelError, match="command CancelOrder"):
        engine.on_command(CancelOrder(1, 1, 1), RecordingContext())
