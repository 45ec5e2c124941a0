"""An order within its account's slack is not checked in base money again: it gives what checking each one gives."""

from __future__ import annotations

import numpy as np
import pytest

from nautilus.core import CommandKind, EventKind, Kernel, LimitKind, Reason
from tests.kit import builders
from tests.kit.builders import BUY, GTC, IOC, SELL, batch, cancel, new, replace

TIGHT = {
    LimitKind.DAILY_LOSS: 2_000,
    LimitKind.LEVERAGE: 2_500,
    LimitKind.CONCENTRATION: 1_800,
    LimitKind.CREDIT: 30_000,
    LimitKind.CREDIT_TOTAL: 75_000,
    LimitKind.OPEN_VALUE: 25_000,
    LimitKind.GROSS_EXPOSURE: 28_000,
    LimitKind.NET_EXPOSURE: 22_000,
}
TOLD = ["kind", "side", "reason", "flags", "order_id", "price_ticks", "quantity", "leaves_quantity", "match_id", "fee"]
FAR = builders.limit(LimitKind.ORDER_QUANTITY, 10**6, account_id=9)  # of an account that sends nothing


def kernel(limits: dict[LimitKind, int]) -> Kernel:
    instruments = batch(
        builders.instrument(1, currency=0),
        builders.instrument(2, currency=0, multiplier=3),
        builders.instrument(3, currency=0, negative=True),
        builders.instrument(4, currency=7),
    )
    opened = Kernel(
        instruments=instruments, accounts=(1, 2, 3, 9), capacity=512, closed_capacity=1 << 12, huge_pages=False
    )
    cash = [builders.command(CommandKind.ADJUST, group_id=1, account_id=n, quantity=120_000) for n in (1, 2, 3)]
    rate = builders.command(CommandKind.RATE, group_id=0, offset=7, price_ticks=1_500_000_000)
    marks = [builders.mark(100, 1), builders.mark(40, 2), builders.mark(-5, 3), builders.mark(60, 4)]
    set_up = [builders.limit(kind, value) for kind, value in limits.items()]
    opened.process(batch(*cash, rate, *marks, builders.session(date=1), *set_up))
    return opened


def drawn(seed: int, count: int = 700) -> list[np.ndarray]:
    """Orders of three accounts that rest, trade, change and go; marks, cash and limits move now and then."""
    rng = np.random.default_rng(seed)
    middle = {1: 100, 2: 40, 3: -5, 4: 60}
    rows = []
    for number in range(1, count + 1):
        account, instrument = int(rng.integers(1, 4)), int(rng.choice([1, 1, 1, 2, 2, 3, 4]))
        at, chance = {"account_id": account, "now_ns": 1_000 * number}, rng.random()
        price, old = middle[instrument] + int(rng.integers(-6, 7)), int(rng.integers(max(1, number - 60), number + 1))
        if chance < 0.55:
            tif = rng.choice([GTC, GTC, GTC, IOC])
            side, quantity = rng.choice([BUY, SELL]), int(rng.integers(1, 40))
            rows.append(new(number, side, price, quantity, instrument_id=instrument, time_in_force=tif, **at))
        elif chance < 0.8:
            rows.append(cancel(old, **at))
        elif chance < 0.93:
            rows.append(replace(old, price, int(rng.integers(1, 50)), **at))
        elif chance < 0.97:
            middle[instrument] += int(rng.integers(-2, 3))
            rows.append(builders.mark(middle[instrument], instrument, now_ns=1_000 * number))
        elif chance < 0.99:
            rows.append(builders.command(CommandKind.ADJUST, group_id=1, quantity=int(rng.integers(-900, 900)), **at))
        else:
            kind = rng.choice([LimitKind.GROSS_EXPOSURE, LimitKind.OPEN_VALUE])
            rows.append(builders.limit(kind, int(rng.integers(15_000, 30_000)), account_id=account))
    return rows


@pytest.mark.parametrize("kind", [None, *TIGHT])
def test_checking_every_order_gives_the_same_events(kind: LimitKind | None) -> None:
    reasons = set()
    for seed in range(8):
        rows = drawn(seed)
        limits = TIGHT if kind is None else {kind: TIGHT[kind]}
        once, anew = kernel(limits), kernel(limits)
        told = once.process(batch(*rows))
        # A limit that is set, whatever it says, ends all slack: each order is then checked in full.
        every = anew.process(batch(*(part for row in rows for part in (FAR, row))))
        every = every[~((every["kind"] == EventKind.APPLIED) & (every["account_id"] == 9))]
        assert all(told[name].tolist() == every[name].tolist() for name in TOLD)
        assert once.account(1) == anew.account(1)
        reasons |= set(told["reason"][told["kind"] == EventKind.REJECTED].tolist())
        assert (told["kind"] == EventKind.ACCEPTED).sum() > 10
    wanted = {None: Reason.EXPOSURE, **{each: Reason[each.name] for each in TIGHT if each.name in Reason.__members__}}
    assert wanted.get(kind, Reason.CREDIT if kind == LimitKind.CREDIT_TOTAL else Reason.EXPOSURE) in reasons


def test_the_last_lot_within_a_limit_passes_and_the_next_is_refused() -> None:
    for kind, lots in ((LimitKind.GROSS_EXPOSURE, 50), (LimitKind.NET_EXPOSURE, 50), (LimitKind.OPEN_VALUE, 50)):
        opened = kernel({kind: 5_000})
        told = opened.process(batch(*(new(number, BUY, 100, 1) for number in range(1, lots + 3))))
        assert told["kind"].tolist() == [EventKind.ACCEPTED] * lots + [EventKind.REJECTED] * 2
        # What is cancelled is there again, lot for lot.
        told = opened.process(batch(cancel(1), cancel(2), *(new(100 + n, BUY, 100, 1) for n in range(3))))
        assert told["kind"].tolist()[2:] == [EventKind.ACCEPTED] * 2 + [EventKind.REJECTED]


def test_a_pair_without_a_mark_or_a_rate_ends_the_slack() -> None:
    opened = kernel({LimitKind.GROSS_EXPOSURE: 50_000})
    opened.process(batch(builders.instrument(5, currency=0), builders.instrument(6, currency=8), builders.mark(10, 6)))
    first = opened.process(batch(new(1, BUY, 100, 1), new(2, BUY, 100, 1)))
    assert first["kind"].tolist() == [EventKind.ACCEPTED] * 2
    unknown = opened.process(batch(new(3, BUY, 100, 1, instrument_id=5), new(4, BUY, 10, 1, instrument_id=6)))
    assert unknown["reason"].tolist() == [Reason.REFERENCE] * 2
    by_hand = [
        builders.command(CommandKind.ADJUST, group_id=2, account_id=1, instrument_id=5, quantity=1, price_ticks=7)
    ]
    after = opened.process(batch(*by_hand, new(5, BUY, 100, 1), builders.mark(7, 5), new(6, BUY, 100, 1)))
    assert after[np.isin(after["order_id"], (5, 6))]["reason"].tolist() == [Reason.REFERENCE, Reason.NONE]
