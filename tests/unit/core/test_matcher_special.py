"""Hidden, all-or-none and market orders and self-matches by client id: against the kernel, under ids of any size."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nautilus.core import Kernel, OrderFlag, OrderType, Standing, TimeInForce
from nautilus.core.market import MESSAGE, REPORT, Matcher
from nautilus.core.types import CommandKind, EventKind, Reason, Side
from tests.kit import builders
from tests.kit.builders import batch

GTC, DAY, IOC, FOK = TimeInForce.GTC, TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK
BUY, SELL, LIMIT, MARKET = Side.BUY, Side.SELL, OrderType.LIMIT, OrderType.MARKET
HIDDEN, ALL_OR_NONE = OrderFlag.HIDDEN, OrderFlag.ALL_OR_NONE
WIDE = 255  # kind of a report that tells the upper halves of the next one's ids
KINDS = {EventKind.ACCEPTED, EventKind.FILLED, EventKind.CANCELLED, EventKind.REPLACED, EventKind.REJECTED}
Row = tuple[int, ...]


def message(order_id: int, kind: int = CommandKind.NEW, price: int = 10, quantity: int = 1, **said: int) -> np.ndarray:
    """A GTC limit buy unless told otherwise."""
    row = np.zeros(1, MESSAGE)
    for name, value in {"side": BUY, "order_type": LIMIT, "time_in_force": GTC, **said}.items():
        row[name] = value
    row["order_id"], row["kind"], row["price"], row["quantity"] = order_id, kind, price, quantity
    return row


def reports(matcher: Matcher, *messages: np.ndarray) -> list[Row]:
    """(kind, side, reason, order id, counter id, price, quantity) with whole ids."""
    out = np.zeros(256, REPORT)
    done, written = matcher.process(np.concatenate(messages), out)
    assert done == len(messages)
    found, high, counter_high = [], 0, 0
    for row in out[:written]:
        kind, side, reason, _, order, counter, _, price, quantity = (int(value) for value in row.tolist())
        if kind == WIDE:
            high, counter_high = order << 32, counter << 32
            continue
        found.append((kind, side, reason, high | order, counter_high | counter, price, quantity))
        high = counter_high = 0
    return found


def steps(seed: int, count: int) -> list[np.ndarray]:
    """Two instruments, three owners; every NEW has an id of its own, others name an order that was seen lately."""
    rng = np.random.default_rng(seed)
    found, known = [], [1]
    flags = (0, 0, 0, 0, HIDDEN, ALL_OR_NONE, ALL_OR_NONE)
    for number in range(1, count + 1):
        instrument = int(rng.integers(2))
        price, quantity = int(rng.integers(95, 106)), int(rng.integers(1, 12))
        owner = int(rng.integers(1, 4))
        if rng.random() < 0.6:
            flag, time, kind = int(rng.choice(flags)), int(rng.choice((GTC, GTC, GTC, DAY, IOC, FOK))), LIMIT
            if flag == HIDDEN and time in (IOC, FOK):
                time = GTC
            if flag == ALL_OR_NONE and time == FOK:
                time = IOC
            if flag == 0 and rng.random() < 0.15:
                kind, time = MARKET, int(rng.choice((IOC, FOK)))
            said = {"order_type": kind, "time_in_force": time, "flags": flag, "owner": owner, "instrument": instrument}
            said["side"] = int(rng.integers(BUY, SELL + 1))
            found.append(message(number, price=0 if kind == MARKET else price, quantity=quantity, **said))
            known.append(number)
        else:
            kind = CommandKind.CANCEL if rng.random() < 0.4 else CommandKind.REPLACE
            found.append(message(known[-int(rng.integers(1, min(20, len(known)) + 1))], kind, price, quantity))
    return found


class ByKernel:
    """The same messages through a kernel: an account for each owner, its events as the rows of `reports`."""

    def __init__(self) -> None:
        self.kernel = Kernel(instruments=batch(builders.instrument(1), builders.instrument(2)), accounts=[1, 2, 3])
        self.account: dict[int, int] = {}
        self.filled: Counter[int] = Counter()
        self.sides: dict[int, int] = {}

    def process(self, said: np.ndarray) -> list[Row]:
        row = {name: int(said[name][0]) for name in MESSAGE.names}
        order_id = row["order_id"]
        if row["kind"] == CommandKind.NEW:
            self.account[order_id], self.sides[order_id] = row["owner"], row["side"]
            command = builders.new(
                order_id, row["side"], row["price"], row["quantity"], account_id=row["owner"],
                instrument_id=row["instrument"] + 1, order_type=row["order_type"],
                time_in_force=row["time_in_force"], flags=row["flags"],
            )  # fmt: skip
        elif row["kind"] == CommandKind.CANCEL:
            command = builders.cancel(order_id, self.account.get(order_id, 1))
        else:
            total = row["quantity"] + self.filled[order_id]
            command = builders.replace(order_id, row["price"], total, self.account.get(order_id, 1))
        found = []
        for event in self.kernel.process(command):
            kind, reason = int(event["kind"]), int(event["reason"])
            if kind not in KINDS:
                continue
            name, counter = int(event["order_id"]), int(event["counter_order_id"])
            quantity = int(event["leaves_quantity" if kind == EventKind.REPLACED else "quantity"])
            if kind == EventKind.FILLED:
                self.filled[name] += quantity
                self.filled[counter] += quantity
            if reason == Reason.CLOSED_ORDER:  # the matcher does not remember closed ids
                reason = int(Reason.UNKNOWN_ORDER)
            if kind == EventKind.REJECTED:
                found.append((kind, row["side"] if row["kind"] == CommandKind.NEW else 0, reason, name, 0, 0, 0))
                continue
            found.append((kind, int(event["side"]), reason, name, counter, int(event["price_ticks"]), quantity))
        return found


@pytest.mark.parametrize("seed", range(6))
def test_special_orders_do_in_the_matcher_what_they_do_in_the_kernel(seed: int) -> None:
    matcher, kernel = Matcher(instruments=2, orders=4096), ByKernel()
    seen: Counter[int] = Counter()
    for number, said in enumerate(steps(seed, 3000)):
        found = reports(matcher, said)
        assert found == kernel.process(said), number
        seen.update(row[0] for row in found)
        if number % 50:
            continue
        for instrument in range(2):
            for order in kernel.kernel.orders(instrument_id=instrument + 1):
                name, owner = int(order["order_id"]), int(order["account_id"])
                assert matcher.queue_position(name) == kernel.kernel.queue_position(owner, name)
    assert all(seen[kind] > 50 for kind in KINDS)


@pytest.mark.parametrize("seed", range(4))
def test_ids_of_64_bits_change_nothing_but_the_ids(seed: int) -> None:
    """Some share their lower half with others, some are narrow: reports, queues and positions name all of each."""
    rng = np.random.default_rng(seed)
    count = 3000
    upper = rng.choice([0, 1, 2, 3, 2**31, 2**32 - 1], count + 1).astype(np.uint64)
    lower = rng.permutation(np.arange(count + 1, dtype=np.uint64)) // np.uint64(3) + np.uint64(1)
    names = (upper << np.uint64(32) | lower).tolist()
    used: set[int] = set()
    for number, name in enumerate(names):  # no two orders have the same one
        while names[number] in used:
            names[number] = (name + (int(rng.integers(1, 2**31)) << 32)) & (2**64 - 1)
        used.add(names[number])
    narrow, wide = (Matcher(instruments=2, orders=4096) for _ in range(2))
    for step, said in enumerate(steps(seed + 100, count)):
        other = said.copy()
        other["order_id"] = names[int(said["order_id"][0])]
        plain = reports(narrow, said)
        assert reports(wide, other) == [(*r[:3], names[r[3]], names[r[4]] if r[4] else 0, *r[5:]) for r in plain]
        if step % 25:
            continue
        for instrument in range(2):
            for side in (BUY, SELL):
                for price, _ in narrow.levels(instrument, side):
                    queue = [(names[name], leaves) for name, leaves in narrow.queue(instrument, side, price)]
                    assert wide.queue(instrument, side, price) == queue
                    for name, _ in queue:
                        number = names.index(name)
                        assert wide.queue_position(name) == narrow.queue_position(number)
    assert wide.open_orders == narrow.open_orders > 20


def test_queue_position_counts_what_is_met_before_an_order() -> None:
    matcher = Matcher()
    reports(
        matcher, message(7 << 32, quantity=4), message(2, quantity=5), message(3, quantity=6, flags=HIDDEN),
        message(4, price=9), message(5, quantity=7, flags=HIDDEN),
    )  # fmt: skip
    assert matcher.queue_position(7 << 32) == (BUY, Standing.DISPLAYED, 10, 4, 0, 0)
    assert matcher.queue_position(2) == (BUY, Standing.DISPLAYED, 10, 5, 1, 4)
    assert matcher.queue_position(5) == (BUY, Standing.DARK, 10, 7, 3, 15)
    assert matcher.queue_position(4)[4:] == (0, 0)
    reports(matcher, message(7 << 32, CommandKind.CANCEL))
    assert matcher.queue_position(2)[4:] == (0, 0)
    for unknown in (7 << 32, 7, 0, 2**64 - 1):
        with pytest.raises(KeyError, match=f"order {unknown} is not open"):
            matcher.queue_position(unknown)


REFUSED = [
    *({"order_type": kind} for kind in range(3, 11)),
    {"order_type": 0},
    {"order_type": 200},
    {"time_in_force": TimeInForce.GTD},
    {"time_in_force": TimeInForce.AT_OPEN},
    {"time_in_force": TimeInForce.AT_CLOSE},
    {"time_in_force": 0},
    {"flags": OrderFlag.POST_ONLY},
    {"flags": OrderFlag.POST_ONLY | OrderFlag.SLIDE},
    {"flags": OrderFlag.REDUCE_ONLY},
    {"flags": OrderFlag.HIDDEN, "time_in_force": IOC},
    {"flags": OrderFlag.HIDDEN | OrderFlag.ALL_OR_NONE},
    {"flags": OrderFlag.ALL_OR_NONE, "time_in_force": FOK},
    {"flags": OrderFlag.ALL_OR_NONE, "order_type": MARKET, "time_in_force": IOC},
    {"flags": 1 << 15},
]


@pytest.mark.parametrize("order_id", [7, 7 + (5 << 32)])
@pytest.mark.parametrize("said", REFUSED)
def test_what_a_message_cannot_say_is_refused_under_any_id(said: dict[str, int], order_id: int) -> None:
    matcher = Matcher()
    assert reports(matcher, message(order_id, **said)) == [
        (EventKind.REJECTED, BUY, Reason.UNSUPPORTED, order_id, 0, 0, 0)
    ]
    assert matcher.open_orders == 0
