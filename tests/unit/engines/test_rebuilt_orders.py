"""Whoever follows the events of explicit instruments has every open order as the kernel has it, after every command."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from nautilus.core import CommandKind, InstrumentFlag, Kernel, OrderType, SessionPhase, Standing
from nautilus.engines.trading import ReportExpander
from nautilus.engines.trading.open_orders import ClientOrder
from tests.kit import builders, flow_full, flow_setting
from tests.kit.builders import BUY, SELL, batch, new
from tests.kit.pair import AnyKernel, both, told
from tests.kit.twin import TwinKernel

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "3"))
COMMANDS = 700
EVERY_ACCOUNT = (1 << 31) - 1
TRAILING = (OrderType.TRAILING_STOP, OrderType.TRAILING_STOP_LIMIT)
EXPLICIT = int(InstrumentFlag.EXPLICIT)


def explicit(commands: np.ndarray) -> np.ndarray:
    """The same with every new instrument explicit."""
    fresh = (commands["kind"] == CommandKind.INSTRUMENT) & (commands["flags"] & InstrumentFlag.BAND == 0)
    commands["flags"][fresh] |= EXPLICIT
    return commands


def rebuilt(order: ClientOrder, phase: int) -> dict[str, int]:
    """What the events told, by the names of OPEN_ORDER."""
    parked = order.standing(phase) == Standing.PARKED
    waits = order.order_type in TRAILING
    return {
        "instrument_id": order.instrument_id,
        "side": order.side,
        "standing": order.standing(phase),
        "order_type": order.order_type,
        "time_in_force": order.time_in_force,
        "flags": int(order.flags),
        "strategy_id": order.strategy_id,
        "leaves_quantity": order.leaves,
        "display_quantity": order.display,
        "price_ticks": 0 if order.order_type == OrderType.TRAILING_STOP_LIMIT else order.price_ticks,
        "limit_distance": order.price_ticks if order.order_type == OrderType.TRAILING_STOP_LIMIT else 0,
        "trigger_ticks": 0 if waits and not parked else order.trigger_ticks,
    }


def held(row: np.void) -> dict[str, int]:
    """What the kernel has. Where a trailing trigger and a PEGGED order are now no event tells."""
    named = {name: int(row[name]) for name in rebuilt(ClientOrder(1, 1, 1, 1, 1, 0), 1)}
    if row["order_type"] in TRAILING and row["standing"] != Standing.PARKED:
        named["trigger_ticks"] = 0
    if row["order_type"] == OrderType.PEGGED:
        named |= {"price_ticks": named["limit_distance"], "limit_distance": 0, "standing": int(Standing.DARK)}
    return named


class Followed:
    """A kernel, and a listener that knows its events alone."""

    def __init__(self, kernel: AnyKernel) -> None:
        self.kernel = kernel
        self.listener = ReportExpander(EVERY_ACCOUNT)

    def process(self, command: np.ndarray) -> np.ndarray:
        events = self.kernel.process(command)
        self.listener.expand(events, np.full(len(events), command["kind"][0]))  # of timers too: only its own is read
        self.compare()
        return events

    def compare(self) -> None:
        kernel = self.kernel
        rows = kernel.orders() if isinstance(kernel, Kernel) else kernel.orders_of()
        ours = {
            key: rebuilt(order, self.listener.phases.get(order.instrument_id, self.listener.phases.get(0, 1)))
            for key, order in self.listener.orders.items()
            if not order.routed
        }
        theirs = {
            (int(row["account_id"]), int(row["order_id"])): held(row)
            for row in rows
            if row["standing"] != Standing.ROUTED
        }
        assert ours == theirs


@pytest.mark.parametrize("seed", range(SEEDS))
def test_orders_rebuilt_from_events_alone_are_the_kernels(seed: int) -> None:
    setting = batch(explicit(flow_setting.instruments()), flow_setting.accounts(), flow_setting.first_commands())
    twin = TwinKernel(accounts=(), capacity=64, closed_capacity=16)  # which the flow looks at
    followed = Followed(Kernel(accounts=(), capacity=64, closed_capacity=16, huge_pages=False))
    flow = flow_full.FullFlow(500 + seed)
    for at in range(len(setting)):
        twin.process(setting[at : at + 1])
        followed.process(setting[at : at + 1])
    restated = 0
    for number in range(COMMANDS):
        command = explicit(flow.draw(twin))
        twin.process(command)
        restated += sum(event.get("reason") == "RESTATED" for event in told(followed.process(command)))
        if number % 97 == 96:  # a listener of a later life
            later = ReportExpander(EVERY_ACCOUNT)
            later.restore(json.loads(json.dumps(followed.listener.state())))
            followed.listener = later
    assert restated


def opened(build: type[AnyKernel], flags: int = EXPLICIT) -> AnyKernel:
    kernel = build(instruments=batch(*(builders.instrument(key, flags=flags) for key in (1, 2))), accounts=range(1, 5))
    kernel.process(batch(new(1, SELL, 103, 5), new(2, BUY, 97, 5)))
    return kernel


def restated(events: np.ndarray) -> list[tuple[int, int, int, int]]:
    return [
        (event["order_id"], event["price_ticks"], event["quantity"], event["leaves_quantity"])
        for event in told(events)
        if event["kind"] == "REPLACED" and event["reason"] == "RESTATED"
    ]


@both
def test_market_to_limit_tells_the_price_at_which_it_rests(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    events = kernel.process(new(3, BUY, 0, 8, order_type=OrderType.MARKET_TO_LIMIT, account_id=2))
    assert [event["kind"] for event in told(events)] == ["ACCEPTED", "REPLACED", "FILLED"]
    assert restated(events) == [(3, 103, 8, 8)]
    assert kernel.book(1)[["order_id", "price_ticks", "quantity"]].tolist() == [(3, 103, 3), (2, 97, 5)]


@both
def test_triggered_trailing_stop_limit_tells_its_limit(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(builders.band(1, 50, 5))
    fields = {"order_type": OrderType.TRAILING_STOP_LIMIT, "offset": 4, "account_id": 2, "trigger_ticks": 100}
    kernel.process(new(3, SELL, 2, 6, **fields))
    kernel.process(batch(new(4, BUY, 100, 1, account_id=3), new(5, SELL, 100, 1, account_id=4)))
    events = kernel.process(builders.time(1))
    assert restated(events) == []
    found = {int(order_id): int(price) for order_id, price in kernel.book(1)[["order_id", "price_ticks"]].tolist()}
    assert found[3] == 100


@both
def test_replaced_trigger_is_told(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(new(3, SELL, 0, 6, order_type=OrderType.STOP, trigger_ticks=80))
    events = told(kernel.process(builders.replace(3, 0, 5, trigger_ticks=70)))
    assert [(event["kind"], event["fee"]) for event in events] == [("REPLACED", 70)]


@both
def test_each_phase_that_a_session_brings_is_told_for_its_instrument(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    events = told(kernel.process(builders.session(0, SessionPhase.HALTED)))
    assert [(event["kind"], event.get("instrument_id"), event.get("quantity")) for event in events] == [
        ("PHASE", 1, 2), ("PHASE", 2, 2), ("APPLIED", None, None),
    ]  # fmt: skip
    assert [event["kind"] for event in told(kernel.process(builders.session(1, SessionPhase.HALTED)))] == ["APPLIED"]


@both
def test_an_instrument_that_is_not_explicit_tells_none_of_it(build: type[AnyKernel]) -> None:
    kernel = opened(build, flags=0)
    events = kernel.process(new(3, BUY, 0, 8, order_type=OrderType.MARKET_TO_LIMIT, account_id=2))
    assert [event["kind"] for event in told(events)] == ["ACCEPTED", "FILLED"]
    kernel.process(new(4, SELL, 0, 6, order_type=OrderType.STOP, trigger_ticks=80))
    assert "fee" not in told(kernel.process(builders.replace(4, 0, 5, trigger_ticks=70)))[0]
    assert [event["kind"] for event in told(kernel.process(builders.session(0, SessionPhase.HALTED)))] == ["APPLIED"]
