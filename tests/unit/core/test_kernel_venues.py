"""Orders at external venues: the kernel and its twin side by side, and what the contract says on both.

`NAUTILUS_SEEDS=N` takes N seeds of the random flows (`make soak`).
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from nautilus.core import Kernel, OrderType
from nautilus.core.types import CommandKind
from tests.kit import builders, flow_setting, flow_venues
from tests.kit.pair import AnyKernel, Pair, both, canonical, reasons, told
from tests.kit.venue_checks import VENUE

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "4"))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_kernel_and_twin_agree_on_random_reports(seed: int) -> None:
    pair = Pair(
        instruments=flow_venues.instruments(), accounts=flow_setting.accounts(), capacity=64, closed_capacity=16
    )
    pair.process(np.concatenate([flow_setting.first_commands(), flow_venues.first_commands()]))
    flow = flow_venues.VenueFlow(seed)
    for number in range(350):
        command = flow.draw(pair.twin)
        if flow_venues.is_of_every_kernel(command[0], pair.twin):
            pair.process(command)
            pair.compare()
        if number % 50 == 0:
            snapshot = pair.kernel.snapshot()
            pair.kernel.restore(snapshot)
            assert pair.kernel.snapshot() == snapshot


def opened(build: type[AnyKernel]) -> AnyKernel:
    """One account, reconciled at the venue of instrument 1."""
    kernel = build(accounts=[1], instruments=builders.instrument(1, venue_reference=VENUE), capacity=8)
    kernel.process(report(CommandKind.VENUE_ACCEPTED, 0))
    return kernel


def report(kind: CommandKind, order_id: int, **fields: int) -> np.ndarray:
    """A report of instrument 1 and account 1."""
    return builders.command(kind, order_id=order_id, account_id=1, instrument_id=1, **fields)


def fill(order_id: int, execution: int, quantity: int, side: int = builders.BUY) -> np.ndarray:
    """VENUE_FILL at 100."""
    fields = {"price_ticks": 100, "quantity": quantity, "side": side, "venue_reference": execution}
    return report(CommandKind.VENUE_FILL, order_id, **fields)


def order(order_id: int, quantity: int = 5) -> np.ndarray:
    """A buy at 100."""
    return builders.command(
        CommandKind.NEW,
        order_id=order_id,
        account_id=1,
        instrument_id=1,
        side=1,
        order_type=1,
        time_in_force=1,
        price_ticks=100,
        quantity=quantity,
    )


def position(kernel: AnyKernel) -> list[int]:
    """Quantity, open buys and open sells."""
    rows = kernel.positions(1)
    return [int(rows[name][0]) for name in ("quantity", "open_buy", "open_sell")] if len(rows) else [0, 0, 0]


@both
def test_an_account_takes_no_order_before_it_is_reconciled(build: type[AnyKernel]) -> None:
    kernel = build(accounts=[1], instruments=builders.instrument(1, venue_reference=VENUE), capacity=8)
    assert reasons(kernel.process(order(1))) == ["REJECTED RECONCILE"]
    assert reasons(kernel.process(report(CommandKind.VENUE_ACCEPTED, 0))) == ["APPLIED"]
    assert reasons(kernel.process(order(1))) == ["ROUTED"]
    assert reasons(kernel.process(report(CommandKind.VENUE_UNKNOWN, 0))) == ["UNKNOWN", "APPLIED"]
    assert reasons(kernel.process(report(CommandKind.VENUE_ACCEPTED, 0))) == ["REJECTED RECONCILE"]
    assert reasons(kernel.process(report(CommandKind.VENUE_ACCEPTED, 1, venue_reference=7))) == ["ACCEPTED"]
    assert reasons(kernel.process(order(2))) == ["REJECTED RECONCILE"]
    assert reasons(kernel.process(report(CommandKind.VENUE_ACCEPTED, 0))) == ["APPLIED"]
    assert reasons(kernel.process(order(2))) == ["ROUTED"]


@both
def test_a_fill_after_the_cancel_is_booked_and_flagged(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(order(1))
    cancel = builders.command(CommandKind.CANCEL, account_id=1, order_id=1)
    assert reasons(kernel.process(cancel)) == ["ROUTED"]
    assert reasons(kernel.process(cancel)) == ["REJECTED BUSY"]
    assert reasons(kernel.process(report(CommandKind.VENUE_CANCELLED, 1))) == ["CANCELLED REQUESTED"]
    (late,) = told(kernel.process(fill(1, 77, 2)))
    assert (late["kind"], late["flags"], late["quantity"], late["venue_reference"]) == ("FILLED", 2, 2, 77)
    assert reasons(kernel.process(fill(1, 77, 2))) == ["DUPLICATE"]
    assert position(kernel) == [2, 0, 0]


@both
def test_a_fill_of_an_order_that_nobody_entered_is_booked(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    assert reasons(kernel.process(fill(99, 5, 3, builders.SELL))) == ["FILLED"]
    assert reasons(kernel.process(fill(98, 6, 3, 0))) == ["REJECTED MALFORMED"]
    assert reasons(kernel.process(fill(98, 6, 3, builders.SELL))) == ["FILLED"]  # the refused id was not remembered
    assert position(kernel) == [-6, 0, 0]


@both
def test_a_late_refusal_makes_the_order_unknown(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(order(1))
    kernel.process(report(CommandKind.VENUE_ACCEPTED, 1, venue_reference=7))
    refused = report(CommandKind.VENUE_REJECTED, 1, group_id=CommandKind.NEW)
    assert reasons(kernel.process(refused)) == ["UNKNOWN"]
    assert reasons(kernel.process(refused)) == ["DUPLICATE"]
    assert position(kernel) == [0, 5, 0]
    assert reasons(kernel.process(report(CommandKind.VENUE_CANCELLED, 1))) == ["CANCELLED VENUE"]
    assert position(kernel) == [0, 0, 0]


@both
def test_a_replacement_counts_as_open_at_once(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(order(1))
    change = builders.command(CommandKind.REPLACE, account_id=1, order_id=1, price_ticks=101, quantity=9)
    assert reasons(kernel.process(change)) == ["REJECTED BUSY"]  # the venue has not said that it has the order
    kernel.process(report(CommandKind.VENUE_ACCEPTED, 1, venue_reference=7))
    assert reasons(kernel.process(change)) == ["ROUTED"]
    assert position(kernel) == [0, 9, 0]
    assert reasons(kernel.process(report(CommandKind.VENUE_REJECTED, 1, group_id=CommandKind.REPLACE))) == [
        "REJECTED VENUE"
    ]
    assert position(kernel) == [0, 5, 0]


@both
def test_a_replacement_at_a_venue_has_no_trigger(build: type[AnyKernel]) -> None:
    """No report of the venue could say that it has the new one."""
    kernel = opened(build)
    stop = {"order_type": OrderType.STOP_LIMIT, "trigger_ticks": 98}
    kernel.process(builders.new(1, builders.BUY, 100, 5, **stop))
    kernel.process(report(CommandKind.VENUE_ACCEPTED, 1, venue_reference=7))
    assert reasons(kernel.process(builders.replace(1, 100, 6, trigger_ticks=97))) == ["REJECTED UNSUPPORTED"]
    assert reasons(kernel.process(builders.replace(1, 100, 6))) == ["ROUTED"]


def test_execution_ids_outlive_a_restore() -> None:
    kernel = opened(Kernel)
    kernel.process(fill(99, 5, 3))
    other = Kernel(accounts=(), capacity=8)
    other.restore(kernel.snapshot())
    assert canonical(other) == canonical(kernel)
    assert reasons(other.process(fill(99, 5, 3))) == ["DUPLICATE"]
    assert reasons(other.process(order(1))) == ["ROUTED"]


def test_the_oldest_execution_id_is_forgotten_after_a_million_others() -> None:
    kernel = opened(Kernel)
    ids = np.arange(1, (1 << 20) + 2, dtype=np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15)
    fills = np.repeat(fill(99, 1, 1), len(ids))
    fills["venue_reference"] = ids
    fills["side"][::2] = builders.SELL
    for part in np.array_split(fills, 64):
        kernel.process(np.ascontiguousarray(part))
    assert reasons(kernel.process(fills[1:2])) == ["DUPLICATE"]
    assert reasons(kernel.process(fills[:1])) == ["FILLED"]
    assert reasons(kernel.process(fills[1:2])) == ["FILLED"]  # forgotten for the one before
