"""Last quotes and trades for a client: out of the table, from the hub, and marked stale where there is neither."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nautilus.bus import Publisher, make_context
from nautilus.bus.asking import ReplayClient, ReplayError
from nautilus.bus.backlog import FrameBuffer
from nautilus.bus.base import HEARTBEAT_STREAM, layout_of, replay_endpoint, stream_id
from nautilus.bus.market_values import STALE_NS, MarketValues
from nautilus.bus.replayer import Replayer
from nautilus.core.clock import now_ns
from nautilus.core.last_values import LastValueWriter
from nautilus.core.types import QUOTE, TRADE
from nautilus.model.errors import BusError
from nautilus.model.topics import QUOTES, TRADES

SYMBOLS = {"ONE": 1, "TWO": 2}


def quote(instrument: int, bid: int) -> Any:
    records = np.zeros(1, QUOTE)
    records["instrument_id"], records["bid_ticks"], records["ask_ticks"] = instrument, bid, bid + 1
    records["now_ns"] = 5 + bid
    return records


class Hub:
    """A publisher and its replayer in a thread of their own, until it is stopped."""

    def __init__(self, directory: Path) -> None:
        self.endpoint = f"ipc://{directory}/star"
        self._orders: list[Callable[[], object]] = []
        self._stop = threading.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._up.wait(60)

    def _run(self) -> None:
        context, buffer = make_context(), FrameBuffer()
        self.publisher = Publisher(context, self.endpoint, epoch=7, clock=now_ns, buffer=buffer)
        replayer = Replayer(context, replay_endpoint(self.endpoint), epoch=7, clock=now_ns, frames=buffer)
        self._up.set()
        while not self._stop.is_set():
            while self._orders:
                self._orders.pop(0)()
            self.publisher.poll(now_ns())
            replayer.poll()
            replayer.socket.poll(1)
        replayer.close()
        self.publisher.close()
        context.destroy(0)

    def publish(self, records: Any) -> None:
        done = threading.Event()
        self._orders.append(lambda: (self.publisher.publish(records), done.set()))
        assert done.wait(60)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


@pytest.fixture
def hub(tmp_path: Path, stack: ExitStack) -> Hub:
    made = Hub(tmp_path)
    stack.callback(made.stop)
    return made


def values(stack: ExitStack, endpoint: str, table: Path | None = None, seconds: float = 60.0) -> MarketValues:
    context = make_context()
    stack.callback(context.destroy, 0)
    made = MarketValues(
        SYMBOLS,
        str(table) if table is not None else None,
        lambda: ReplayClient(context, replay_endpoint(endpoint), timeout_seconds=seconds),
    )
    stack.callback(made.close)
    return made


def test_a_value_in_the_table_of_a_hub_that_beats_is_a_hit(tmp_path: Path, stack: ExitStack) -> None:
    table = LastValueWriter(tmp_path / "last", 64, 7)
    stack.callback(table.close)
    found = values(stack, f"ipc://{tmp_path}/star", tmp_path / "last", 0.05)
    assert not found.fresh
    stream = stream_id(layout_of(QUOTES).kind, 1)
    table.put(stream, quote(1, 100), 1, 5)
    for number in range(1, 51):
        table.put(HEARTBEAT_STREAM, bytes(8), number, now_ns())
        table.put(stream, quote(1, 100 + number), number + 1, 5 + number)
        if found.fresh:  # looked at within STALE_NS
            value = found.get("ONE", "QUOTE")
            assert (value.value.bid_ticks, value.stale, value.at_ns) == (100 + number, False, 105 + number)
    assert found.hits > 0
    assert found.misses == 0


def test_a_table_that_nobody_writes_any_more_is_not_believed(tmp_path: Path, stack: ExitStack) -> None:
    table = LastValueWriter(tmp_path / "last", 64, 7)
    stack.callback(table.close)
    table.put(stream_id(layout_of(QUOTES).kind, 1), quote(1, 100), 1, 5)
    table.put(HEARTBEAT_STREAM, bytes(8), 1, now_ns() - STALE_NS - 1)
    found = values(stack, f"ipc://{tmp_path}/star", tmp_path / "last", 0.05)
    assert not found.fresh
    with pytest.raises(BusError, match="no QUOTE of 'ONE'"):
        found.get("ONE", "QUOTE")
    assert (found.hits, found.misses) == (0, 1)


def test_without_a_table_the_hub_is_asked_and_what_it_said_last_is_marked_when_it_is_gone(
    hub: Hub, stack: ExitStack
) -> None:
    found = values(stack, hub.endpoint)
    hub.publish(quote(1, 100))
    hub.publish(quote(1, 101))
    value = found.get("ONE", "QUOTE")
    assert (value.value.bid_ticks, value.stale) == (101, False)
    with pytest.raises(BusError, match="no TRADE of 'ONE'; expected one that was published"):
        found.get("ONE", "TRADE")
    trade = np.zeros(1, TRADE)
    trade["instrument_id"], trade["price_ticks"] = 1, 55
    hub.publish(trade)
    assert found.get("ONE", "TRADE").value.price_ticks == 55
    hub.stop()
    found._replayer._timeout_ms = 50  # type: ignore[union-attr]
    stale = found.get("ONE", "QUOTE")
    assert (stale.value, stale.stale) == (value.value, True)
    with pytest.raises(BusError, match="no QUOTE of 'TWO'"):
        found.get("TWO", "QUOTE")


def test_a_value_of_an_earlier_life_of_the_hub_is_marked(tmp_path: Path, stack: ExitStack) -> None:
    """The next life keeps it in its table and beats: that says nothing of this value."""
    stream = stream_id(layout_of(QUOTES).kind, 1)
    before = LastValueWriter(tmp_path / "last", 64, 7)
    before.put(stream, quote(1, 100), 9, 5)
    before.close()
    table = LastValueWriter(tmp_path / "last", 64, 8)
    stack.callback(table.close)
    found = values(stack, f"ipc://{tmp_path}/star", tmp_path / "last", 0.05)
    for number in range(1, 51):
        table.put(HEARTBEAT_STREAM, bytes(8), number, now_ns())
        value = found.get("ONE", "QUOTE") if found.fresh else None
        if value is not None and found.hits:  # looked at within STALE_NS
            break
    assert value is not None
    assert (value.value.bid_ticks, value.stale) == (100, True)
    for number in range(51, 101):
        table.put(HEARTBEAT_STREAM, bytes(8), number, now_ns())
        table.put(stream, quote(1, 100 + number), number, 5)
        if found.fresh and not (value := found.get("ONE", "QUOTE")).stale:
            break
    assert (value.value.bid_ticks, value.stale) == (100 + number, False)


def test_what_a_later_life_of_the_hub_does_not_know_is_marked(tmp_path: Path, stack: ExitStack) -> None:
    first = Hub(tmp_path)
    found = values(stack, first.endpoint)
    first.publish(quote(1, 100))
    assert not found.get("ONE", "QUOTE").stale
    first.stop()
    second = Hub(tmp_path)
    stack.callback(second.stop)
    value = found.get("ONE", "QUOTE")
    assert (value.value.bid_ticks, value.stale) == (100, True)
    second.publish(quote(1, 101))
    value = found.get("ONE", "QUOTE")
    assert (value.value.bid_ticks, value.stale) == (101, False)


def test_a_late_answer_about_one_instrument_is_none_about_another(hub: Hub, stack: ExitStack) -> None:
    found = values(stack, hub.endpoint)
    hub.publish(quote(2, 200))
    assert found.get("TWO", "QUOTE").value.bid_ticks == 200
    held, go = threading.Event(), threading.Event()
    hub._orders.append(lambda: (held.set(), go.wait(60)))
    assert held.wait(60)
    found._replayer._timeout_ms = 50  # type: ignore[union-attr]
    assert found.get("TWO", "QUOTE").stale
    go.set()
    found._replayer._timeout_ms = 60_000  # type: ignore[union-attr]
    with pytest.raises(BusError, match="no QUOTE of 'ONE'"):
        found.get("ONE", "QUOTE")


def test_an_instrument_that_is_none_is_named(tmp_path: Path, stack: ExitStack) -> None:
    with pytest.raises(BusError, match="no QUOTE of 'THREE'; expected ONE, TWO"):
        values(stack, f"ipc://{tmp_path}/star").get("THREE", "QUOTE")


def test_records_are_asked_for_once_more_frame_by_frame(hub: Hub, stack: ExitStack) -> None:
    for bid in range(1, 31):
        hub.publish(quote(1, bid))
    context = make_context()
    stack.callback(context.destroy, 0)
    client = stack.enter_context(ReplayClient(context, replay_endpoint(hub.endpoint), timeout_seconds=60))
    stream = stream_id(layout_of(QUOTES).kind, 1)
    found = list(client.replay(7, stream, 5, 12))
    assert [(part.sequence, int(part.records["bid_ticks"][0])) for part in found] == [(n, n) for n in range(5, 13)]
    assert {part.topic for part in found} == {QUOTES}
    assert [part.topic for part in client.images([stream_id(layout_of(TRADES).kind, 1)])] == []
    with pytest.raises(ReplayError, match="gone"):
        list(client.replay(6, stream, 1, 2))
