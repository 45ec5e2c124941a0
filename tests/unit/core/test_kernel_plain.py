"""Plain orders have a path of their own through the kernel: it gives what the general one gives."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from nautilus.core import CommandKind, EventKind, Kernel, LimitKind, Reason
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
OTHERS = (
    (LimitKind.DAILY_LOSS, 60, 0),
    (LimitKind.LEVERAGE, 900, 0),
    (LimitKind.CONCENTRATION, 700, 0),
    (LimitKind.CREDIT, 9_000, 0),
    (LimitKind.CREDIT_TOTAL, 30_000, 0),
    (LimitKind.OPEN_ORDERS, 30, 0),
    (LimitKind.OPEN_VALUE, 12_000, 0),
    (LimitKind.GROSS_EXPOSURE, 9_000, 0),
    (LimitKind.NET_EXPOSURE, 7_000, 0),
    (LimitKind.PRICE_BAND, 600, 3_000),
    (LimitKind.REPEATED, 9, 5_000),
    (LimitKind.DUPLICATE, 1, 200),
    (LimitKind.STALE_PRICE, 30_000, 0),
)
REASONS = {
    LimitKind.DAILY_LOSS: Reason.DAILY_LOSS,
    LimitKind.LEVERAGE: Reason.LEVERAGE,
    LimitKind.CONCENTRATION: Reason.CONCENTRATION,
    LimitKind.CREDIT: Reason.CREDIT,
    LimitKind.CREDIT_TOTAL: Reason.CREDIT,
    LimitKind.OPEN_ORDERS: Reason.OPEN_ORDERS,
    LimitKind.OPEN_VALUE: Reason.OPEN_VALUE,
    LimitKind.GROSS_EXPOSURE: Reason.EXPOSURE,
    LimitKind.NET_EXPOSURE: Reason.EXPOSURE,
    LimitKind.PRICE_BAND: Reason.PRICE_BAND,
    LimitKind.REPEATED: Reason.REPEATED,
    LimitKind.DUPLICATE: Reason.REPEATED_ORDER,
    LimitKind.STALE_PRICE: Reason.STALE_PRICE,
}
CASH = 100_000  # of each account, in base money


def kernel(limits: tuple[tuple[LimitKind, int, int], ...] = LIMITS, *, general: bool = False) -> Kernel:
    """general: with a risk cache, which sends every order the general way."""
    opened = Kernel(
        instruments=batch(
            builders.instrument(1, currency=0), builders.instrument(2, price_step=5, lot_step=3, currency=0)
        ),
        risk_cache=64 if general else 0,
        **SETUP,
    )
    cash = [builders.command(CommandKind.ADJUST, group_id=1, account_id=n, quantity=CASH) for n in (1, 2, 3)]
    set_up = [builders.limit(kind, value, window_ns=window) for kind, value, window in limits]
    opened.process(batch(builders.mark(100, 1), builders.mark(100, 2), *cash, builders.session(date=1), *set_up))
    return opened


@functools.cache
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
            price, quantity = int(rng.integers(90, 112)), int(rng.integers(1, 95))
            if rng.random() < 0.2:
                price, quantity = 100, 9  # like some before
            rows.append(
                new(
                    old if rng.random() < 0.1 else number,
                    rng.choice([BUY, SELL]),
                    price,
                    quantity,
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
    commands = batch(*rows)
    commands.flags.writeable = False
    return commands


@pytest.mark.parametrize("others", [(), OTHERS, *((other,) for other in OTHERS)], ids=str)
def test_the_general_way_gives_the_same_events(others: tuple[tuple[LimitKind, int, int], ...]) -> None:
    kinds, reasons = set(), set()
    for seed in range(6):
        commands = drawn(seed)
        plain = kernel(LIMITS + others)
        events = plain.process(commands)
        general = kernel(LIMITS + others, general=True)
        assert general.process(commands).tobytes() == events.tobytes()
        assert general.state_hash() == plain.state_hash()
        kinds |= set(events["kind"].tolist())
        reasons |= set(events["reason"][events["kind"] == EventKind.REJECTED].tolist())
    assert {EventKind.ACCEPTED, EventKind.REJECTED, EventKind.FILLED, EventKind.CANCELLED} <= kinds
    if len(others) <= 1:
        assert {EventKind.REPLACED, EventKind.EXPIRED} <= kinds
    if not others:
        expected = {"COLLAR", "RATE", "ORDER_QUANTITY", "ORDER_NOTIONAL", "POSITION", "TICK", "LOT", "DUPLICATE_ORDER"}
        assert {Reason[name] for name in expected} <= reasons
    elif len(others) == 1:
        assert REASONS[others[0][0]] in reasons, sorted(Reason(reason).name for reason in reasons)


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 31, 64, 100])
def test_batches_of_any_size_give_the_same_events(size: int) -> None:
    commands = drawn(9, 800)
    whole = kernel().process(commands)
    parts = kernel()
    events = [parts.process(commands[at : at + size]) for at in range(0, len(commands), size)]
    assert np.concatenate(events).tobytes() == whole.tobytes()


def test_an_id_below_the_largest_is_looked_up_and_one_above_is_new() -> None:
    first = kernel()
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
