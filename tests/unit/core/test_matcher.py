"""The market against a naive twin: every report, every level and every queue after every message."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.market import MESSAGE, REPORT, Matcher
from nautilus.core.types import CommandKind, EventKind, OrderType, Reason, Side, TimeInForce

DONE, COUNTER_DONE, OF_CANCEL, OF_REPLACE = 1, 2, 4, 8
IDS, INSTRUMENTS = 12, 2
WIDE, LOW = 255, (1 << 32) - 1  # kind of a report that tells upper halves of ids; the lower half


class NaiveMarket:
    """Lists of [id, side, price, open, owner] in order of time; every search is a scan."""

    def __init__(self) -> None:
        self.books: list[list[list[int]]] = [[] for _ in range(INSTRUMENTS)]

    def side(self, instrument: int, side: int) -> list[list[int]]:
        sign = -1 if side == Side.BUY else 1
        found = [order for order in self.books[instrument] if order[1] == side]
        return sorted(found, key=lambda order: sign * order[2])

    def levels(self, instrument: int, side: int) -> list[tuple[int, int]]:
        found: dict[int, int] = {}
        for order in self.side(instrument, side):
            found[order[2]] = found.get(order[2], 0) + order[3]
        return list(found.items())

    def find(self, order_id: int) -> tuple[int, list[int]] | None:
        return next(((i, o) for i, book in enumerate(self.books) for o in book if o[0] == order_id), None)

    def meets(self, instrument: int, side: int, worst: int | None) -> list[list[int]]:
        other = self.side(instrument, 3 - side)
        if worst is None:
            return other
        return [o for o in other if (o[2] <= worst if side == Side.BUY else o[2] >= worst)]

    def enter(self, reports, instrument, order_id, side, price, quantity, owner, worst, time):
        book, reason = self.books[instrument], Reason.UNFILLED
        meets = self.meets(instrument, side, worst)
        if time == TimeInForce.FOK:
            before = next((i for i, o in enumerate(meets) if owner and o[4] == owner), len(meets))
            if sum(o[3] for o in meets[:before]) < quantity:
                meets = []
        for resting in meets:
            if quantity == 0:
                break
            if owner and resting[4] == owner:
                reason = Reason.SELF_MATCH
                break
            met = min(quantity, resting[3])
            quantity -= met
            resting[3] -= met
            flags = (DONE if quantity == 0 else 0) | (COUNTER_DONE if resting[3] == 0 else 0)
            reports.append((EventKind.FILLED, side, 0, flags, order_id, resting[0], resting[2], met))
            if resting[3] == 0:
                book.remove(resting)
        if quantity and (time in (TimeInForce.IOC, TimeInForce.FOK) or reason != Reason.UNFILLED):
            reports.append((EventKind.CANCELLED, side, reason, DONE, order_id, 0, price, quantity))
        elif quantity:
            book.append([order_id, side, price, quantity, owner])

    def process(self, message: np.void) -> list[tuple[int, ...]]:
        reports: list[tuple[int, ...]] = []
        order_id, price, quantity = (int(message[name]) for name in ("order_id", "price", "quantity"))
        side, owner, instrument = (int(message[name]) for name in ("side", "owner", "instrument"))
        known = self.find(order_id)
        if message["kind"] == CommandKind.NEW:
            if known:
                return [(EventKind.REJECTED, side, Reason.DUPLICATE_ORDER, 0, order_id, 0, 0, 0)]
            market = message["order_type"] == OrderType.MARKET
            price = 0 if market else price
            time = int(message["time_in_force"])
            time = TimeInForce.IOC if market and time != TimeInForce.FOK else time
            reports.append((EventKind.ACCEPTED, side, 0, 0, order_id, 0, price, quantity))
            self.enter(reports, instrument, order_id, side, price, quantity, owner, None if market else price, time)
        elif known is None:
            of = OF_CANCEL if message["kind"] == CommandKind.CANCEL else OF_REPLACE
            reports.append((EventKind.REJECTED, 0, Reason.UNKNOWN_ORDER, of, order_id, 0, 0, 0))
        elif message["kind"] == CommandKind.CANCEL:
            instrument, order = known
            self.books[instrument].remove(order)
            reports.append((EventKind.CANCELLED, order[1], Reason.REQUESTED, DONE, order_id, 0, order[2], order[3]))
        else:
            instrument, order = known
            reports.append((EventKind.REPLACED, order[1], 0, 0, order_id, 0, price, quantity))
            if price == order[2] and quantity <= order[3]:
                order[3] = quantity
            else:
                self.books[instrument].remove(order)
                self.enter(reports, instrument, order_id, order[1], price, quantity, order[4], price, TimeInForce.GTC)
        return reports


# Prices near each other, on both sides of a page's border and of zero, far away, and at the bounds.
PRICES = st.one_of(
    st.integers(505, 520),
    st.integers(-8, 8),
    st.sampled_from((-(1 << 40), 1 << 40, 64 * 512, 64 * 512 - 1, 4096 * 512, -4096 * 512, 1 << 30, (1 << 30) + 4096)),
)
MESSAGES = st.tuples(
    st.integers(1, IDS - 1),
    PRICES,
    st.integers(1, 9),
    st.sampled_from((CommandKind.NEW, CommandKind.NEW, CommandKind.CANCEL, CommandKind.REPLACE)),
    st.sampled_from((Side.BUY, Side.SELL)),
    st.sampled_from((OrderType.LIMIT, OrderType.LIMIT, OrderType.LIMIT, OrderType.MARKET)),
    st.sampled_from((TimeInForce.GTC, TimeInForce.GTC, TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK)),
    st.just(0),
    st.integers(0, 2),
    st.integers(0, INSTRUMENTS - 1),
    st.integers(0, 2**32 - 1),
)


def rows(reports: np.ndarray) -> list[tuple[int, ...]]:
    names = ("kind", "side", "reason", "flags", "order", "counter", "price", "quantity")
    return [tuple(int(report[name]) for name in names) for report in reports]


@settings(max_examples=300, deadline=None)
@given(st.lists(MESSAGES, max_size=80), st.booleans())
def test_market_does_what_its_naive_twin_does(steps, prefetch):
    market, twin = Matcher(instruments=INSTRUMENTS, orders=16, pages=64, prefetch=prefetch), NaiveMarket()
    out = np.zeros(64, REPORT)
    for message in np.array(steps, MESSAGE) if steps else np.zeros(0, MESSAGE):
        done, written = market.process(message.reshape(1), out)
        assert done == 1
        assert rows(out[:written]) == twin.process(message)
        assert set(out[:written]["aux"]) == {message["tag"]}
        for instrument in range(INSTRUMENTS):
            for side in (Side.BUY, Side.SELL):
                levels = market.levels(instrument, side, 100)
                assert levels == twin.levels(instrument, side)
                assert market.best(instrument, side) == (levels[0][0] if levels else None)
                for price, _ in levels:
                    queue = [(o[0], o[3]) for o in twin.side(instrument, side) if o[2] == price]
                    assert market.queue(instrument, side, price) == queue
        assert market.open_orders == sum(map(len, twin.books))


@settings(max_examples=100, deadline=None)
@given(st.lists(MESSAGES, max_size=200), st.integers(1, 9))
def test_batch_gives_the_reports_of_single_messages_however_small_its_output(steps, room):
    messages = np.array(steps, MESSAGE) if steps else np.zeros(0, MESSAGE)
    single, batch = (Matcher(instruments=INSTRUMENTS, orders=16, pages=64) for _ in range(2))
    out, small = np.zeros(64, REPORT), np.zeros(room, REPORT)
    expected = [row for i in range(len(messages)) for row in rows(out[: single.process(messages[i : i + 1], out)[1]])]
    found, at, written = [], 0, room
    while at < len(messages) or written == room:
        done, written = batch.process(messages[at:], small)
        found += rows(small[:written])
        at += done
    assert found == expected


@pytest.mark.parametrize("seed", range(6))
def test_deep_and_sparse_books_do_what_their_twin_does(seed):
    """Hundreds of orders, prices from one tick to millions of pages apart, ids over 32 bits, pages that sleep and go."""
    rng, twin = np.random.default_rng(seed), NaiveMarket()
    market, out = (
        Matcher(instruments=INSTRUMENTS, orders=400, pages=600, prefetch=bool(seed & 1)),
        np.zeros(512, REPORT),
    )
    spread = (4, 100, 3000, 60_000, 10**7, 10**11)[seed]
    ids = [int(rng.integers(1, 1 << 20)) + (int(rng.integers(0, 3)) << 32) * int(seed > 3) for _ in range(350)]
    for step in range(4000):
        price, far = int(rng.integers(-spread, spread)), rng.random() < 0.1
        row = (
            ids[int(rng.integers(len(ids)))], price * 7 if far else price, int(rng.integers(1, 9)),
            int(rng.choice([CommandKind.NEW, CommandKind.NEW, CommandKind.CANCEL, CommandKind.REPLACE])),
            int(Side.BUY if (price < 0) != (rng.random() < 0.05) else Side.SELL), OrderType.LIMIT,
            int(rng.choice([TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK])), 0,
            int(rng.integers(0, 3)), int(rng.integers(INSTRUMENTS)), step,
        )  # fmt: skip
        message = np.array([row], MESSAGE)
        _done, written = market.process(message, out)
        found = [row for row in rows(out[:written]) if row[0] != WIDE]
        assert found == [(*row[:4], row[4] & LOW, row[5] & LOW, *row[6:]) for row in twin.process(message[0])]
        for side in (Side.BUY, Side.SELL) if step % 10 == 0 else ():
            for instrument in range(INSTRUMENTS):
                levels = twin.levels(instrument, side)
                assert market.levels(instrument, side, 1000) == levels
                assert market.best(instrument, side) == (levels[0][0] if levels else None)
    assert market.open_orders == sum(map(len, twin.books)) > 50


def test_process_refuses_arrays_of_other_records():
    with pytest.raises(ValueError, match="41 bytes of messages"):
        Matcher().process(np.zeros(41, "u1"), np.zeros(1, REPORT))


def resting(order_id: int, kind: CommandKind = CommandKind.NEW, price: int = 10) -> np.ndarray:
    message = np.zeros(1, MESSAGE)
    message["order_id"], message["kind"], message["price"], message["quantity"] = order_id, kind, price, 1
    message["side"], message["order_type"], message["time_in_force"] = Side.BUY, OrderType.LIMIT, TimeInForce.GTC
    return message


@pytest.mark.parametrize("seed", range(4))
def test_every_open_order_is_found_by_its_id_while_the_index_grows(seed):
    """Ids of 32 and of 64 bits, some equal in their lower half; what was cancelled is unknown."""
    rng, market, out = np.random.default_rng(seed), Matcher(), np.zeros(8, REPORT)
    opened, closed = [], []
    for step in range(20_000):
        if rng.random() < 0.6 or not opened:
            order_id = step + 1 + (int(rng.integers(1, 4)) << 32) * int(rng.random() < 0.2)
            _done, written = market.process(resting(order_id, price=int(rng.integers(1, 100_000))), out)
            assert out[written - 1]["kind"] == EventKind.ACCEPTED
            opened.append(order_id)
        else:
            at = int(rng.integers(len(opened)))
            opened[at], opened[-1] = opened[-1], opened[at]
            closed.append(opened.pop())
            _done, written = market.process(resting(closed[-1], CommandKind.CANCEL), out)
            assert out[written - 1]["kind"] == EventKind.CANCELLED
    assert market.open_orders == len(opened) > 2000
    for order_id in closed[-500:]:
        _done, written = market.process(resting(order_id, CommandKind.CANCEL), out)
        assert out[written - 1]["reason"] == Reason.UNKNOWN_ORDER
    for order_id in opened:
        _done, written = market.process(resting(order_id, CommandKind.CANCEL), out)
        assert out[written - 1]["kind"] == EventKind.CANCELLED
    assert market.open_orders == 0
    assert market.levels(0, Side.BUY) == []


def test_a_report_of_ids_over_32_bits_is_preceded_by_their_upper_halves():
    market, out = Matcher(), np.zeros(8, REPORT)
    market.process(resting(7 + (5 << 32)), out)
    sell = resting(9 + (3 << 32))
    sell["side"] = Side.SELL
    _done, written = market.process(sell, out)
    assert out[:written]["kind"].tolist() == [255, EventKind.ACCEPTED, 255, EventKind.FILLED]
    assert out[:written]["order"].tolist() == [3, 9, 3, 9]
    assert out[:written]["counter"].tolist() == [0, 0, 5, 7]


def test_full_pools_refuse_and_go_on():
    market, out = Matcher(orders=2, pages=2), np.zeros(8, REPORT)
    for order_id, price in ((1, 10), (2, 5000), (3, 10)):
        _done, written = market.process(resting(order_id, price=price), out)
    assert rows(out[:written]) == [(EventKind.REJECTED, Side.BUY, Reason.POOL_FULL, 0, 3, 0, 0, 0)]
    market.process(resting(1, CommandKind.CANCEL), out)
    for order_id, price in ((4, 90_000), (5, 10)):
        _done, written = market.process(resting(order_id, price=price), out)
    assert market.levels(0, Side.BUY) == [(90_000, 1), (5000, 1)]
