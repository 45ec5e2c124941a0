"""The kernel and its naive twin side by side: every batch goes to both, and whatever they show must be equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xxhash

from nautilus.core import EVENT, Kernel
from nautilus.core.types import EventKind, Reason
from tests.kit.twin import TwinKernel

AnyKernel = Kernel | TwinKernel

# A test that states the contract itself runs on both, so that neither can drift together with the other.
both = pytest.mark.parametrize("build", [Kernel, TwinKernel], ids=["kernel", "twin"])


def shown(event: np.void) -> dict[str, Any]:
    """The non-zero fields of one event, with its kind and reason by name."""
    fields = {name: value for name, value in zip(EVENT.names or (), event.tolist(), strict=True) if value}
    fields["kind"] = EventKind(fields["kind"]).name
    if "reason" in fields:
        fields["reason"] = Reason(fields["reason"]).name
    return fields


def told(events: np.ndarray) -> list[dict[str, Any]]:
    """Events without the numbers and stamps that every event carries."""
    running = ("sequence", "command_sequence", "now_ns")
    return [{name: value for name, value in shown(event).items() if name not in running} for event in events]


def reasons(events: np.ndarray) -> list[str]:
    """Each event as `KIND` or `KIND REASON`."""
    return [f"{event['kind']} {event.get('reason', '')}".strip() for event in map(shown, events)]


def same_events(kernel_events: np.ndarray, twin_events: np.ndarray) -> None:
    """Byte for byte; the first difference is named."""
    if kernel_events.tobytes() == twin_events.tobytes():
        return
    for number, (ours, naive) in enumerate(zip(kernel_events, twin_events, strict=False)):
        assert shown(ours) == shown(naive), f"event {number} of the batch (kernel, then twin)"
    assert [shown(event) for event in kernel_events] == [shown(event) for event in twin_events]


def held(kernel: AnyKernel, account_id: int) -> list[tuple[int, ...]]:
    """(instrument, quantity, cost, realised, unrealised) of every position that holds or has earned something."""
    names = ["instrument_id", "quantity", "cost", "realised", "unrealised"]
    rows = [tuple(int(value) for value in row) for row in kernel.positions(account_id)[names].tolist()]
    return [row for row in rows if any(row[1:])]


def levels(kernel: AnyKernel, instrument_id: int, count: int = 1 << 20) -> list[list[tuple[int, int, int]]]:
    """Both sides as lists of (price, quantity, orders), best first."""
    return [
        [tuple(map(int, row)) for row in side[["price_ticks", "quantity", "orders"]].tolist()]
        for side in kernel.depth(instrument_id, count)
    ]


def canonical(kernel: AnyKernel) -> bytes:
    """The part of a snapshot that the state hash is over; what follows it are the running hashes."""
    snapshot, state_hash = kernel.snapshot(), kernel.state_hash()
    for end in range(len(snapshot), 0, -8):
        if xxhash.xxh64_intdigest(snapshot[:end]) == state_hash:
            return snapshot[:end]
    raise AssertionError("no prefix of the snapshot has the state hash")


def beyond_counters(kernel: AnyKernel) -> bytes:
    """The canonical state without the last command and event sequence and the clock."""
    state = canonical(kernel)
    return state[:8] + state[4 * 8 :]


class Pair:
    """A kernel and a twin with the same configuration."""

    def __init__(self, **configuration: Any) -> None:
        self.kernel = Kernel(**configuration, huge_pages=False)
        configuration.pop("journal", None)
        self.twin = TwinKernel(**configuration)
        self.compare()

    def process(self, commands: np.ndarray) -> np.ndarray:
        """Events of the commands, equal from both."""
        events = self.kernel.process(commands)
        same_events(events, self.twin.process(commands))
        return events

    def compare(self) -> None:
        """State, hashes, timers, books and positions are equal."""
        kernel, twin = self.kernel, self.twin
        assert kernel.last_sequence == twin.last_sequence
        assert kernel.last_event_sequence == twin.last_event_sequence
        assert kernel.next_timer_ns == twin.next_timer_ns
        canonical = twin.snapshot()
        if kernel.state_hash() != twin.state_hash():
            ours = np.frombuffer(kernel.snapshot()[: len(canonical)], "<i8").tolist()
            naive = np.frombuffer(canonical, "<i8").tolist()
            assert ours == naive, "canonical state (kernel, then twin)"
        assert kernel.state_hash() == twin.state_hash()
        assert kernel.event_hash() == twin.event_hash()
        assert kernel.journal_hash() == twin.journal_hash()
        for instrument_id in twin.instruments:
            assert levels(kernel, instrument_id, 5) == levels(twin, instrument_id, 5)
        for account_id, account in twin.accounts.items():
            assert held(kernel, account_id) == held(twin, account_id)
            if not account.exempt:  # the open orders of an exempt account need not be counted
                naive = twin.positions(account_id)
                assert [row[: len(naive.dtype)] for row in kernel.positions(account_id).tolist()] == naive.tolist()
