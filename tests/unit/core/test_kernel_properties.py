"""What must hold of the compiled kernel whatever is sent, checked on it alone over every order type and phase.

`NAUTILUS_SEEDS=N` (`make soak`) takes N seeds.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from nautilus.core import Kernel
from nautilus.core.journal import Journal
from nautilus.core.journal_reader import verify
from nautilus.core.types import COMMAND, CommandKind, EventKind, LimitKind, OrderFlag, OrderType, SessionPhase
from tests.fuzz.commands import shaped
from tests.fuzz.reader import Reader
from tests.kit import builders, stream
from tests.kit import journal as kit
from tests.kit.conservation import Conservation, phases_after

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "2"))
SIZES = {"capacity": 4096, "closed_capacity": 1024}
MULTIPLIERS = {1: 1, 2: 1, 3: 10}
LIMITS = {
    LimitKind.ORDER_QUANTITY: 25,
    LimitKind.ORDER_NOTIONAL: 900_000,
    LimitKind.POSITION: 60,
    LimitKind.OPEN_ORDERS: 12,
    LimitKind.GROSS_EXPOSURE: 1_500_000,
    LimitKind.NET_EXPOSURE: 1_000_000,
}

TRADING = (
    CommandKind.NEW,
    CommandKind.CANCEL,
    CommandKind.REPLACE,
    CommandKind.MASS_CANCEL,
    CommandKind.TIME,
    CommandKind.SESSION,
)
BOOKED = (CommandKind.ADJUST, CommandKind.INSTRUMENT, CommandKind.ACCOUNT)  # they book without an order
TAPE = OrderFlag.TAPE | OrderFlag.TAPE_BOOKED


def opened(journal: Journal | None = None) -> Kernel:
    return Kernel(accounts=(), journal=journal, huge_pages=False, **SIZES)


def hashes(kernel: Kernel) -> tuple[int, ...]:
    return kernel.state_hash(), kernel.event_hash(), kernel.journal_hash()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_quantity_and_money_are_conserved(seed: int) -> None:
    kernel, ledger = opened(), Conservation(MULTIPLIERS)
    ledger.read(kernel.process(stream.opening()))
    flow = stream.Stream(seed, 6_000)
    for number in range(3):
        for part in np.array_split(flow.block(number), 200):
            ledger.read(kernel.process(np.ascontiguousarray(part)))
            ledger.compare(kernel, stream.ACCOUNTS)
    assert ledger.fills > 1_000


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_displayed_book_is_crossed_in_continuous_trading(seed: int) -> None:
    kernel, ledger = opened(), Conservation(MULTIPLIERS)
    kernel.process(stream.opening())
    phases = dict.fromkeys(stream.INSTRUMENTS, int(SessionPhase.CONTINUOUS))
    looked_at = 0
    for command in np.array_split(stream.Stream(100 + seed, 12_000).block(0), 12_000):
        for row in np.split(command, len(command)):
            phases_after(phases, row[0], kernel.process(np.ascontiguousarray(row)))
            ledger.not_crossed(kernel, phases)
            looked_at += sum(phase == SessionPhase.CONTINUOUS for phase in phases.values())
    assert looked_at > 12_000


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_order_of_a_stream_passes_a_limit(seed: int) -> None:
    kernel = opened()
    kernel.process(stream.opening())
    kernel.process(builders.batch(*(builders.limit(kind, value) for kind, value in LIMITS.items())))
    flow = stream.Stream(200 + seed, 8_000, administration=False).block(0)
    flow = flow[flow["kind"] != CommandKind.MARK]  # marks move what is used of an exposure
    refused: Counter[int] = Counter()
    for part in np.array_split(flow, 2_000):
        events = kernel.process(np.ascontiguousarray(part))
        within(kernel, events)
        refused.update(events["reason"][events["kind"] == EventKind.REJECTED].tolist())
    assert len([reason for reason, count in refused.items() if count > 20]) >= 5, refused


def within(kernel: Kernel, events: np.ndarray) -> None:
    """Nothing that the kernel accepted or holds is beyond LIMITS."""
    accepted = events[events["kind"] == EventKind.ACCEPTED]
    assert (accepted["quantity"] <= LIMITS[LimitKind.ORDER_QUANTITY]).all()
    for order in accepted[(accepted["flags"] >> 16 & 0xFF) == OrderType.LIMIT]:
        value = order["price_ticks"] * order["quantity"] * MULTIPLIERS[int(order["instrument_id"])]
        assert value <= LIMITS[LimitKind.ORDER_NOTIONAL]
    for account_id in stream.ACCOUNTS:
        state = kernel.account(account_id)
        assert state.open_orders <= LIMITS[LimitKind.OPEN_ORDERS]
        assert state.gross <= LIMITS[LimitKind.GROSS_EXPOSURE]
        assert max(state.bought, state.sold) <= LIMITS[LimitKind.NET_EXPOSURE]
        for row in kernel.positions(account_id):
            assert row["quantity"] + row["open_buy"] <= LIMITS[LimitKind.POSITION], (account_id, row)
            assert row["open_sell"] - row["quantity"] <= LIMITS[LimitKind.POSITION], (account_id, row)


@given(st.binary(min_size=200, max_size=2_500))
def test_no_order_sequence_that_hypothesis_draws_passes_a_limit(data: bytes) -> None:
    kernel = Kernel(accounts=(), capacity=64, closed_capacity=16, huge_pages=False)
    kernel.process(stream.opening())
    kernel.process(builders.batch(*(builders.limit(kind, value) for kind, value in LIMITS.items())))
    commands = shaped(Reader(data), 120)
    commands = commands[np.isin(commands["kind"], TRADING)]
    for row in np.split(commands, len(commands)) if len(commands) else ():
        within(kernel, kernel.process(np.ascontiguousarray(row)))


@given(st.binary(min_size=100, max_size=2_500))
def test_quantity_is_conserved_in_what_hypothesis_draws(data: bytes) -> None:
    kernel, ledger = Kernel(accounts=(), capacity=64, closed_capacity=16, huge_pages=False), Conservation(MULTIPLIERS)
    ledger.read(kernel.process(stream.opening()))
    commands = shaped(Reader(data), 120)
    tape = (commands["kind"] == CommandKind.NEW) & (commands["flags"] & TAPE != 0)
    ledger.read(kernel.process(commands[~np.isin(commands["kind"], BOOKED) & ~tape]))
    ledger.compare(kernel, stream.ACCOUNTS)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_replaying_a_journal_gives_the_same_bytes_and_hashes(tmp_path: Path, seed: int) -> None:
    flow = np.concatenate([stream.opening(), *(stream.Stream(300 + seed, 5_000).block(number) for number in range(2))])
    first = tmp_path / "first"
    kernel = opened(Journal(first, segment_bytes=1 << 18, **SIZES))
    events = [kernel.process(np.ascontiguousarray(part)) for part in np.array_split(flow, 40)]
    expected = hashes(kernel)
    kernel.close()
    assert verify(first).clean
    again: list[np.ndarray] = []
    replayed = Kernel.replay(first, on_events=lambda found: again.append(found.copy()), snapshots=False)
    assert hashes(replayed) == expected
    assert np.concatenate(again).tobytes() == np.concatenate(events).tobytes()
    second = opened(Journal(tmp_path / "second", segment_bytes=1 << 18, **SIZES))
    for part in np.array_split(flow, 40):
        second.process(np.ascontiguousarray(part))
    assert hashes(second) == expected
    second.close()
    assert [path.name for path in kit.segments(first)] == [path.name for path in kit.segments(tmp_path / "second")]
    for one, other in zip(kit.segments(first), kit.segments(tmp_path / "second"), strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert COMMAND.itemsize * len(flow) > 3 << 18, "over several segments"
