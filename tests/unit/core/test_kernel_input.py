"""What the kernel's Python face takes, and how it refuses the rest: one clear message, nothing taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nautilus.core
from nautilus.core import COMMAND, EVENT, Kernel, KernelError
from tests.kit import builders
from tests.kit.builders import BUY, batch, new


def opened(**options: Any) -> Kernel:
    return Kernel(instruments=builders.instrument(1), capacity=8, closed_capacity=8, huge_pages=False, **options)


def unaligned(count: int) -> np.ndarray:
    """COMMAND records that begin one byte off."""
    return np.zeros(count * COMMAND.itemsize + 1, np.uint8)[1:].view(COMMAND)


def swapped() -> np.ndarray:
    return np.zeros(2, COMMAND.newbyteorder(">"))


WRONG = {
    "a list": ([1, 2], TypeError),
    "None": (None, TypeError),
    "bytes": (bytes(128), TypeError),
    "events": (np.zeros(2, EVENT), TypeError),
    "plain integers": (np.zeros(16, np.int64), TypeError),
    "other byte order": (swapped(), TypeError),
    "fields in another order": (np.zeros(1, [(name, COMMAND[name]) for name in reversed(COMMAND.names)]), TypeError),
    "every second record": (np.zeros(4, COMMAND)[::2], ValueError),
    "backwards": (np.zeros(4, COMMAND)[::-1], ValueError),
    "two dimensions": (np.zeros((2, 2), COMMAND), ValueError),
    "one scalar record": (np.zeros((), COMMAND), ValueError),
    "one byte off": (unaligned(2), ValueError),
}


@pytest.mark.parametrize(("commands", "error"), WRONG.values(), ids=WRONG.keys())
def test_array_of_another_kind_is_refused_whole(commands: Any, error: type[Exception]) -> None:
    kernel = opened()
    before = kernel.state_hash(), kernel.journal_hash()
    with pytest.raises(error, match=r"commands: expected .+") as refusal:
        kernel.process(commands)
    assert "\n" not in str(refusal.value)
    with pytest.raises(error, match=r"commands: expected .+"):
        kernel.process_into(commands, np.zeros(4, EVENT))
    assert (kernel.state_hash(), kernel.journal_hash()) == before


def test_output_of_another_kind_is_refused_before_anything_is_taken() -> None:
    kernel = opened()
    before = kernel.state_hash()
    readonly = np.zeros(4, EVENT)
    readonly.flags.writeable = False
    for out in (np.zeros(4, COMMAND), np.zeros(8, EVENT)[::2], readonly, None):
        with pytest.raises((TypeError, ValueError), match="out: expected"):
            kernel.process_into(new(1, BUY, 5, 1), out)
    assert kernel.state_hash() == before


def test_read_only_input_is_taken() -> None:
    commands = new(1, BUY, 5, 1)
    commands.flags.writeable = False
    assert len(opened().process(commands)) == 1


def test_equal_dtype_that_is_another_object_is_taken() -> None:
    other = np.dtype([(name, COMMAND[name]) for name in COMMAND.names], align=True)
    assert other is not COMMAND
    commands = np.zeros(1, other)
    commands[0] = tuple(new(1, BUY, 5, 1)[0].tolist())
    assert opened().process(commands)["order_id"].tolist() == [1]


def test_input_array_is_not_changed() -> None:
    commands = batch(new(1, BUY, 5, 1), new(2, BUY, 5, 1, now_ns=9))
    copy = commands.copy()
    opened().process(commands)
    assert commands.tobytes() == copy.tobytes()


@pytest.mark.parametrize("capacity", [0, -1, 1 << 31, 1 << 40])
def test_capacity_out_of_range_is_named(capacity: int) -> None:
    with pytest.raises(KernelError, match=rf"^capacity: expected 1 to .*found {capacity}"):
        Kernel(capacity=capacity)


@pytest.mark.parametrize("closed_capacity", [0, -2, 3, 1 << 31])
def test_closed_capacity_that_is_no_power_of_two_is_named(closed_capacity: int) -> None:
    with pytest.raises(KernelError, match=rf"closed_capacity: expected a power of two.*found {closed_capacity}"):
        Kernel(closed_capacity=closed_capacity)


def test_set_up_command_that_is_refused_is_named() -> None:
    with pytest.raises(KernelError, match="instrument 0"):
        Kernel(instruments=builders.instrument(0), capacity=8, closed_capacity=8, huge_pages=False)
    with pytest.raises(KernelError, match="account 0"):
        Kernel(accounts=[1, 0], capacity=8, closed_capacity=8, huge_pages=False)
    with pytest.raises(KernelError, match="account 77"):
        opened(limits=builders.limit(1, 5, account_id=77))


def test_set_up_takes_arrays_sequences_and_objects_with_commands() -> None:
    class Listed:
        def to_commands(self) -> np.ndarray:
            return builders.instrument(2)

    one = Kernel(instruments=[builders.instrument(1), Listed()], accounts=[1], capacity=8, huge_pages=False)
    two = Kernel(
        instruments=batch(builders.instrument(1), builders.instrument(2)),
        accounts=builders.account(1),
        capacity=8,
        huge_pages=False,
    )
    assert one.state_hash() == two.state_hash()
    assert one.journal_hash() == two.journal_hash()


def test_set_up_commands_are_the_first_of_the_sequence() -> None:
    kernel = opened(accounts=[1, 2])
    assert (kernel.last_sequence, kernel.last_event_sequence) == (3, 3)
    assert kernel.process(builders.cancel(1))["sequence"].tolist() == [4]


def test_default_kernel_opens_sixteen_accounts_and_no_instrument() -> None:
    kernel = Kernel(huge_pages=False)
    assert (kernel.capacity, kernel.closed_capacity, kernel.open_orders) == (1 << 20, 1 << 20, 0)
    assert len(kernel.positions(16)) == 0
    with pytest.raises(KernelError):
        kernel.positions(17)


def test_exported_names_of_the_core_are_pinned() -> None:
    records = {"COMMAND", "EVENT", "QUOTE", "TRADE", "BOOK_DELTA", "BOOK_ORDER", "DEPTH", "OPEN_ORDER", "POSITION"}
    bounds = {"MAX_MULTIPLIER", "MAX_POSITION_LOTS", "MAX_PRICE_TICKS", "MAX_QUANTITY_LOTS"}
    versions = {"LAYOUT_VERSION", "RULES_VERSION"}
    enumerations = {"AccountFlag", "BookAction", "CommandKind", "EventKind", "InstrumentFlag", "LimitKind", "OrderFlag"}
    enumerations |= {"OrderState", "OrderType", "Reason", "RecordFlag", "SessionPhase", "Side", "TimeInForce"}
    enumerations |= {"AdjustKind", "EventFlag", "RateKind", "SelfMatch", "Standing"}
    exported = records | bounds | versions | enumerations | {"Kernel", "KernelError"}
    assert set(nautilus.core.__all__) == exported
    assert all(hasattr(nautilus.core, name) for name in exported)
