"""Plain orders have a path of their own through the kernel: it gives what the general one gives."""

from __future__ import annotations

import numpy as np
import pytest

from nautilus.core import EventKind, Kernel, LimitKind, Reason
from tests.kit import builders
from tests.kit.builders import BUY, DAY, FOK, GTC, GTD, IOC, SELL, batch, cancel, new, replace

SETUP = {"accounts": range(1, 4), "capacity": 256, "closed_capacity": 64, "huge_pages": False}
LIMITS = (
    (LimitKind.ORDER_QUANTITY, 90, 0),
    (LimitKind.ORDER_NOTIONAL, 9_500, 0),
    (LimitKind.PRICE_COLLAR, 900, 0),
    (LimitKind.POSITION, 400, 0),
    (LimitKind.MESSAGE_RATE, 16, 1_000),
)


def kernel(probed: int) -> Kernel:
    """A limit that nothing reaches, of account `probed`: its orders then go the general way."""
    opened = Kernel(
        instruments=batch(builders.instrument(1), builders.instrument(2, price_step=5, lot_step=3)), **SETUP
    )
    limits = [builders.limit(kind, value, window_ns=window) for kind, value, window in LIMITS]
    probe = builders.limit(LimitKind.OPEN_ORDERS, 10**9, account_id=probed)
    opened.process(batch(builders.mark(100, 1), builders.mark(100, 2), *limits, probe))
    return opened


def drawn(seed: int, count: int = 2_000) -> np.ndarray:
    """Orders of two accounts in and out of the limits, many of them cancelled or replaced, some ids used again."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(1, count + 1):
        account, now = int(rng.integers(1, 3)), 1_000 + 20 * number
        old = int(rng.integers(max(1, number - 40), number + 1))
        chance = rng.random()
        if chance < 0.6:
            tif = rng.choice([GTC, GTC, DAY, GTD, IOC, FOK])
            rows.append(
                new(
                    old if rng.random() < 0.1 else number,
                    rng.choice([BUY, SELL]),
                    int(rng.integers(90, 112)),
                    int(rng.integers(1, 95)),
                    account_id=account,
                    instrument_id=int(rng.integers(1, 3)),
                    time_in_force=tif,
                    expire_ns=now + 700 if tif == GTD else 0,
                    now_ns=now,
                )
            )
        elif chance < 0.9:
            rows.append(cancel(old, account_id=account, now_ns=now))
        else:
            rows.append(replace(old, int(rng.integers(95, 106)), int(rng.integers(1, 90)), account, now_ns=now))
    return batch(*rows)


def test_the_general_way_gives_the_same_events() -> None:
    kinds, reasons = set(), set()
    for seed in range(6):
        commands = drawn(seed)
        plain = kernel(3).process(commands)  # account 3 sends nothing
        for probed in (1, 2):
            assert kernel(probed).process(commands).tobytes() == plain.tobytes()
        kinds |= set(plain["kind"].tolist())
        reasons |= set(plain["reason"][plain["kind"] == EventKind.REJECTED].tolist())
    expected = {"ACCEPTED", "REJECTED", "FILLED", "CANCELLED", "REPLACED", "EXPIRED"}
    assert {EventKind[name] for name in expected} <= kinds
    expected = {"COLLAR", "RATE", "ORDER_QUANTITY", "ORDER_NOTIONAL", "POSITION", "TICK", "LOT", "DUPLICATE_ORDER"}
    assert {Reason[name] for name in expected} <= reasons


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 31, 64, 100])
def test_batches_of_any_size_give_the_same_events(size: int) -> None:
    commands = drawn(9, 800)
    whole = kernel(3).process(commands)
    parts = kernel(3)
    events = [parts.process(commands[at : at + size]) for at in range(0, len(commands), size)]
    assert np.concatenate(events).tobytes() == whole.tobytes()


def test_an_id_below_the_largest_is_looked_up_and_one_above_is_new() -> None:
    first = kernel(3)
    sent = first.process(batch(new(50, BUY, 99, 1), new(40, BUY, 99, 1), cancel(40), new(60, BUY, 99, 1), cancel(60)))
    assert sent["kind"].tolist() == [EventKind.ACCEPTED] * 2 + [
        EventKind.CANCELLED,
        EventKind.ACCEPTED,
        EventKind.CANCELLED,
    ]
    restored = Kernel(**SETUP)
    restored.restore(first.snapshot())
    for each in (first, restored):
        again = each.process(batch(*(new(order_id, BUY, 99, 1) for order_id in (50, 40, 60, 45, 61))))
        assert again["reason"].tolist() == [Reason.DUPLICATE_ORDER] * 3 + [Reason.NONE] * 2
