"""Books by best prices, levels or orders, and an order's place in its queue, through the hub and its command line."""

from __future__ import annotations

from enum import Enum
from importlib import import_module
from typing import Any

import pytest

from nautilus.cli.main import main
from nautilus.core import Kernel
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.model.errors import ModelError
from nautilus.model.message import Message
from nautilus.model.queries import Book, GetBook, GetQueuePlace
from tests.kit.builders import BUY, SELL, batch, new
from tests.kit.context import RecordingContext, btcusdt


@pytest.fixture
def hub() -> MarketDataEngine:
    kernel = Kernel(instruments=[btcusdt()], accounts=[1, 2], huge_pages=False)
    made = MarketDataEngine(MarketDataConfig(derive=True), [btcusdt()])
    orders = (
        new(1, BUY, 600_000, 4), new(2, BUY, 600_000, 10, account_id=2, display_quantity=3), new(3, BUY, 599_990, 1),
        new(4, SELL, 600_010, 5), new(5, SELL, 600_020, 6, order_type=3, trigger_ticks=0),
    )  # fmt: skip
    made.on_events(kernel.process(batch(*orders)), RecordingContext())
    return made


def test_a_book_is_told_by_best_prices_by_levels_or_by_orders(hub: MarketDataEngine) -> None:
    def ask(level: int, levels: int = 10) -> Book:
        answer = hub.on_request(GetBook("BTCUSDT", levels, level), RecordingContext())
        assert isinstance(answer, Book)
        return answer

    assert [len(ask(1).bids), len(ask(1).asks), ask(1).orders] == [1, 1, ()]
    assert [(level.price, level.quantity, level.orders) for level in ask(2).bids] == [
        ("60000.0", "0.007", 2), ("59999.0", "0.001", 1),
    ]  # fmt: skip
    assert ask(2).orders == ()
    orders = [(order.order_id, order.account_id, order.side.name, order.quantity) for order in ask(3).orders]
    assert orders == [(1, 1, "BUY", "0.004"), (2, 2, "BUY", "0.003"), (3, 1, "BUY", "0.001"), (4, 1, "SELL", "0.005")]
    assert [order.order_id for order in ask(3, 1).orders] == [1, 2, 4]


def test_the_place_of_an_order_in_its_queue_is_told(hub: MarketDataEngine) -> None:
    place: Any = hub.on_request(GetQueuePlace(2, 2), RecordingContext())
    assert (place.orders_ahead, place.quantity_ahead, place.quantity, place.price) == (1, "0.004", "0.003", "60000.0")
    assert (place.displayed, place.side.name, place.symbol) == (True, "BUY", "BTCUSDT")
    with pytest.raises(ModelError, match="order 9 of account 1 is not open") as refusal:
        hub.on_request(GetQueuePlace(1, 9), RecordingContext())
    assert refusal.value.code == "model.unknown_order"


def test_a_recorded_book_has_no_orders() -> None:
    recorded = MarketDataEngine(MarketDataConfig(), [btcusdt()])
    with pytest.raises(ModelError, match="level 3"):
        recorded.on_request(GetBook("BTCUSDT", 10, 3), RecordingContext())


def fields(value: Any) -> Any:
    """As an HTTP answer has it: fields by name, enumerations by theirs."""
    if isinstance(value, Message):
        return {name: fields(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [fields(each) for each in value]
    return value.name if isinstance(value, Enum) else value


def test_orders_of_a_book_and_a_place_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hub: MarketDataEngine
) -> None:
    class Client:
        def ask(self, engine: str, request: Message, **options: Any) -> dict[str, Any]:
            shown: dict[str, Any] = fields(hub.on_request(request, RecordingContext()))
            return shown

    for module in (import_module("nautilus.cli.book"), import_module("nautilus.cli.order")):
        monkeypatch.setattr(module, "running", lambda name: name)
        monkeypatch.setattr(module, "client_of", lambda instance, **options: Client())
    assert main(["book", "BTCUSDT", "--level", "3", "--levels", "1"]) == 0
    words = capsys.readouterr().out.split()
    assert words[words.index("buy") :][:5] == ["buy", "60000.0", "0.004", "1", "1"]
    assert main(["order", "queue", "2", "--account", "2"]) == 0
    assert capsys.readouterr().out == "buy 0.003 at 60000.0 of BTCUSDT: 1 order with 0.004 ahead\n"
