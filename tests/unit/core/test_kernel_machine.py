"""Hypothesis drives the kernel and its twin through every kind of command and compares all they show after each."""

from __future__ import annotations

import os
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from nautilus.core import COMMAND, CommandKind, Kernel, LimitKind, OrderFlag, OrderType, SessionPhase, Side, TimeInForce
from tests.kit import builders, flow
from tests.kit.audit import Audit
from tests.kit.pair import Pair

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "0"))

any_account = st.sampled_from([1, 2, 3, 4, 5])
any_instrument = st.sampled_from([1, 1, 2, 3])
any_order = st.integers(1, 12)
any_side = st.sampled_from([1, 2])
any_strategy = st.integers(0, 2)
scope_account = st.sampled_from([0, 1, 2, 3, 4, 9])
scope_instrument = st.sampled_from([0, 1, 2, 3, 9])
prices = {
    1: st.integers(98, 103) | st.sampled_from([0, -1, 1, 1 << 40, (1 << 40) + 1]),
    2: st.sampled_from([90, 98, 100, 105, 120, 130, 99, 101]),
    3: st.integers(-3, 3) | st.sampled_from([-(1 << 40), 1 << 40, -(1 << 40) - 1]),
}
quantities = {
    1: st.integers(1, 6) | st.sampled_from([0, -1, 1 << 40, (1 << 40) + 1]),
    2: st.sampled_from([10, 15, 20, 5, 12]),
    3: st.integers(1, 6) | st.sampled_from([1 << 40, (1 << 40) - 1]),
}
resting_flags = st.sampled_from([0, 0, 0, OrderFlag.POST_ONLY])
resting_tif = st.sampled_from([TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD])
limit_kinds = st.sampled_from([1, 2, 3, 4, 5, 5, 0])
sources = st.sampled_from([(0, 0), (0, 0), (1, 1), (1, 2), (1, 7), (2, 5), (0, 3), (3, 0)])


class KernelAndTwin(RuleBasedStateMachine):
    """Small spaces of everything: ids, prices, times and capacities meet their ends."""

    @initialize(capacity=st.sampled_from([4, 8]), closed_capacity=st.sampled_from([2, 4]))
    def open(self, capacity: int, closed_capacity: int) -> None:
        self.pair = Pair(accounts=(), capacity=capacity, closed_capacity=closed_capacity)
        self.audit = Audit()
        self.now_ns = 0
        first = builders.batch(flow.instruments(), flow.accounts())
        for index in range(len(first)):
            self._process(first[index : index + 1])

    def _process(self, command: np.ndarray) -> None:
        command["now_ns"] = self.now_ns
        self.audit.read(command[0], self.pair.process(command))

    @rule(
        data=st.data(),
        order_id=any_order,
        account_id=any_account,
        instrument_id=any_instrument,
        side=any_side,
        strategy_id=any_strategy,
        time_in_force=resting_tif,
        flags=resting_flags,
        life_ns=st.integers(0, 6),
        source=sources,
    )
    def enter_a_resting_order(
        self, data: Any, instrument_id: int, time_in_force: int, life_ns: int, **rest: Any
    ) -> None:
        source_id, source_sequence = rest.pop("source")
        price = data.draw(prices[instrument_id])
        quantity = data.draw(quantities[instrument_id])
        expire = self.now_ns + life_ns if time_in_force == TimeInForce.GTD else 0
        self._process(
            builders.new(
                rest.pop("order_id"),
                rest.pop("side"),
                price,
                quantity,
                instrument_id=instrument_id,
                time_in_force=time_in_force,
                expire_ns=expire,
                source_id=source_id,
                source_sequence=source_sequence,
                **rest,
            )
        )

    @rule(
        data=st.data(),
        order_id=any_order,
        account_id=any_account,
        instrument_id=any_instrument,
        side=any_side,
        time_in_force=st.sampled_from([TimeInForce.IOC, TimeInForce.FOK]),
        market=st.booleans(),
        strategy_id=any_strategy,
    )
    def enter_an_order_that_never_rests(self, data: Any, instrument_id: int, market: bool, **rest: Any) -> None:
        price = 0 if market else data.draw(prices[instrument_id])
        quantity = data.draw(quantities[instrument_id])
        kind = OrderType.MARKET if market else OrderType.LIMIT
        order_id, side = rest.pop("order_id"), rest.pop("side")
        self._process(
            builders.new(order_id, side, price, quantity, instrument_id=instrument_id, order_type=kind, **rest)
        )

    @rule(
        data=st.data(),
        order_id=any_order,
        account_id=st.sampled_from([3, 4, 4, 4, 1]),
        instrument_id=any_instrument,
        side=any_side,
        booked=st.booleans(),
    )
    def play_a_recorded_trade(self, data: Any, instrument_id: int, booked: bool, **rest: Any) -> None:
        flags = OrderFlag.TAPE | (OrderFlag.TAPE_BOOKED if booked else 0)
        price, quantity = data.draw(prices[instrument_id]), data.draw(quantities[instrument_id])
        order_id, side = rest.pop("order_id"), rest.pop("side")
        self._process(
            builders.new(
                order_id,
                side,
                price,
                quantity,
                instrument_id=instrument_id,
                time_in_force=builders.IOC,
                flags=flags,
                **rest,
            )
        )

    @rule(
        values=st.fixed_dictionaries(
            {
                "side": st.integers(0, 3),
                "order_type": st.integers(0, 11),
                "time_in_force": st.integers(0, 8),
                "flags": st.sampled_from([0, 1, 2, 16, 32, 48, 64, 1 << 15]),
                "trigger_ticks": st.sampled_from([0, 0, 0, 1]),
                "group_id": st.sampled_from([0, 0, 0, 1]),
                "expire_ns": st.integers(-1, 30),
                "instrument_id": st.sampled_from([0, 1, 2, 3, 9]),
                "account_id": st.sampled_from([0, 1, 2, 3, 4, 5, 9]),
                "order_id": st.integers(0, 12),
                "price_ticks": st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(98, 102),
                "quantity": st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 5),
                "deadline_ns": st.sampled_from([0, 0, 0, 1, 1 << 62, -1]),
            }
        )
    )
    def enter_anything(self, values: dict[str, int]) -> None:
        self._process(builders.command(CommandKind.NEW, **values))

    @rule(order_id=any_order, account_id=st.sampled_from([1, 2, 3, 4, 5, 9]), deadline_ns=st.sampled_from([0, 0, 0, 1]))
    def cancel(self, **values: int) -> None:
        self._process(builders.cancel(values.pop("order_id"), values.pop("account_id"), **values))

    def _aim(self, data: Any) -> tuple[int, int, int]:
        """Account, order id and instrument of an open order, or of one that may not exist."""
        orders = sorted((key, order.instrument_id) for key, order in self.pair.twin.orders.items())
        if orders and data.draw(st.integers(0, 4)):
            (account_id, order_id), instrument_id = data.draw(st.sampled_from(orders))
            return account_id, order_id, instrument_id
        return data.draw(any_account), data.draw(any_order), 1

    @rule(data=st.data(), extra=st.sampled_from([{}, {}, {}, {}, {"flags": 1}, {"expire_ns": 5}, {"offset": 1}]))
    def replace(self, data: Any, extra: dict[str, int]) -> None:
        account_id, order_id, instrument_id = self._aim(data)
        price, quantity = data.draw(prices[instrument_id]), data.draw(quantities[instrument_id])
        self._process(builders.replace(order_id, price, quantity, account_id, **extra))

    @rule(data=st.data())
    def cancel_an_open_order(self, data: Any) -> None:
        account_id, order_id, _ = self._aim(data)
        self._process(builders.cancel(order_id, account_id))

    @rule(step_ns=st.integers(-2, 5))
    def let_time_pass(self, step_ns: int) -> None:
        self.now_ns = max(0, self.now_ns + step_ns)
        self._process(builders.time(self.now_ns))

    @rule(
        instrument_id=st.sampled_from([1, 2, 3, 9]), price=st.integers(-3, 3) | st.integers(98, 103) | st.just(1 << 41)
    )
    def mark(self, instrument_id: int, price: int) -> None:
        self._process(builders.mark(price, instrument_id))

    @rule(
        kind=limit_kinds,
        value=st.sampled_from([-1, -1, 0, 3, 10, 200, 100_000, -2, 1_000_001]),
        account_id=scope_account,
        instrument_id=scope_instrument,
        window_ns=st.sampled_from([0, 3, 10]),
    )
    def limit(self, kind: int, value: int, window_ns: int, **scope: int) -> None:
        if kind == LimitKind.MESSAGE_RATE:
            scope["instrument_id"] = scope["instrument_id"] % 9 // 3
        else:
            window_ns = 0
        self._process(builders.limit(kind, value, window_ns=window_ns, **scope))

    @rule(
        instrument_id=scope_instrument,
        phase=st.sampled_from([1, 1, 1, 2, 3, 4, 7, 0, 8]),
        life_ns=st.sampled_from([None, None, 0, 2, 6]),
    )
    def session(self, instrument_id: int, phase: int, life_ns: int | None) -> None:
        close = 0 if life_ns is None else self.now_ns + life_ns
        self._process(builders.session(instrument_id, phase, close_ns=close, date=20_240_808))

    @rule(account_id=scope_account, instrument_id=scope_instrument, resume=st.integers(0, 2))
    def kill_or_resume(self, account_id: int, instrument_id: int, resume: int) -> None:
        self._process((builders.resume if resume else builders.kill)(account_id, instrument_id))

    @rule()
    def resume_everything(self) -> None:
        for account_id in range(6):
            for instrument_id in range(4):
                self._process(builders.resume(account_id, instrument_id))
        self._process(builders.session())

    @rule(account_id=scope_account, instrument_id=scope_instrument, side=st.integers(0, 3), strategy_id=any_strategy)
    def mass_cancel(self, **values: int) -> None:
        self._process(builders.mass_cancel(**values))

    @rule(account_id=st.integers(0, 6), flags=st.integers(0, 4))
    def account(self, account_id: int, flags: int) -> None:
        self._process(builders.account(account_id, flags))

    @rule(
        values=st.fixed_dictionaries(
            {
                "instrument_id": st.integers(0, 5),
                "quantity": st.sampled_from([0, 1, 1 << 20, (1 << 20) + 1, 7]),
                "price_ticks": st.sampled_from([0, 1, 150, 200, -1]),
                "display_quantity": st.sampled_from([0, 1, -1]),
                "min_quantity": st.sampled_from([0, 2, (1 << 40) + 1]),
                "offset": st.sampled_from([0, 1, -1]),
                "flags": st.integers(0, 4),
            }
        )
    )
    def instrument(self, values: dict[str, int]) -> None:
        self._process(builders.command(CommandKind.INSTRUMENT, **values))

    @rule(kind=st.integers(15, 255) | st.just(0))
    def send_a_kind_that_is_not_carried_out(self, kind: int) -> None:
        self._process(builders.command(kind, order_id=1, account_id=1, instrument_id=1))

    @rule(raw=st.binary(min_size=128, max_size=128), kind=st.integers(0, 20))
    def send_noise(self, raw: bytes, kind: int) -> None:
        command = np.frombuffer(raw, COMMAND).copy()
        command["kind"] = kind
        self._process(command)

    @rule()
    def move_to_a_restored_kernel(self) -> None:
        restored = Kernel(accounts=(), capacity=2, closed_capacity=2, huge_pages=False)
        restored.restore(self.pair.kernel.snapshot())
        self.pair.kernel = restored

    @invariant()
    def kernel_and_twin_show_the_same(self) -> None:
        if hasattr(self, "pair"):
            self.pair.compare()
            self.audit.compare_with(self.pair)


def test_kernel_and_twin_agree_after_every_command() -> None:
    run_state_machine_as_test(
        KernelAndTwin,
        settings=settings(
            max_examples=10 * SEEDS or 30,
            stateful_step_count=60,
            deadline=None,
            database=None,
            derandomize=not SEEDS,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("phase", [SessionPhase.HALTED, SessionPhase.PRE_OPEN])
def test_orders_that_collect_may_cross_until_trading_goes_on(phase: SessionPhase) -> None:
    machine = KernelAndTwin()
    machine.open(capacity=8, closed_capacity=4)
    for command in (  # of exempt accounts, whose orders collect in a halt, too
        builders.session(1, phase),
        builders.new(9, Side.SELL, 100, 3, account_id=flow.BOOK),
        builders.new(6, Side.BUY, 102, 2, account_id=flow.TAPE),
        builders.session(),
    ):
        machine._process(command)
        machine.kernel_and_twin_show_the_same()
    assert [order.leaves for order in machine.pair.twin.orders.values()] == [1]
