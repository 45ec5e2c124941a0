"""Book building from recorded order-by-order data, side by side with other order books on the same records.

::

    BOOK_DELTA array ──▶ OrderBooks.apply                 │ deltas made beforehand ──▶ peer's apply_delta, one by one
    ITCH bytes ──▶ ItchDecoder + books in one pass        │ ITCH bytes ──▶ itch-book's session

Peers are not among our requirements: one that is not installed is left out with a note.
"""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

from nautilus.core.itch import ItchDecoder
from nautilus.core.itch_book import ItchBookBuilder
from nautilus.core.order_book import OrderBooks
from nautilus.core.types import Side
from nautilus.model.errors import ConfigError
from perf.harness import REPEATS, OtherLoad, Report, check
from perf.order_flow import ADD, DELETE, itch_bytes, itch_orders, largest_recording, one_pass, renumbered

SUMMARY = "book building from recorded order flow: deltas and ITCH bytes, beside other order books"
# A published platform of a similar name: its Python package, not ours.
PEER = "_".join(("nautilus", "trader"))
PASSES = 25
BLOCK = 1 << 20
BUY = int(Side.BUY)


def run(report: Report) -> None:
    """Add figures of deltas and of ITCH bytes, each with its peer where it is installed."""
    path = largest_recording()
    if path is None:
        report.notes.append("no market-by-order recording below NAUTILUS_DATA: nothing measured")
        return
    try:
        deltas = one_pass(path)
    except ConfigError as error:
        report.notes.append(f"nothing measured: {error}")
        return
    report.notes.append(f"tape {path.name}: {len(deltas)} records a pass, {PASSES} passes; time of the thread")
    _deltas(report, deltas)
    _itch(report, deltas)


def _deltas(report: Report, deltas: Any) -> None:
    books = OrderBooks()

    def ours() -> float:
        begun = time.thread_time()
        for _ in range(PASSES):
            books.apply(deltas)
        return PASSES * len(deltas) / (time.thread_time() - begun) / 1e6

    theirs = _peer_book(report, deltas)
    _beside(report, "deltas", "M records/s", ours, theirs, "the peer's OrderBook", goal=30.0, ratio=5.0)
    check(books.order_count == 0, "every pass ends with an empty book")
    check(books.unknown == books.duplicates == books.excess == 0, "every record fits the book")
    report.checks.append(f"deltas: {len(deltas)} records a pass fit the book, which ends empty")


def _itch(report: Report, deltas: Any) -> None:
    orders = itch_orders(renumbered(deltas))
    data, count = itch_bytes(orders, PASSES)
    view = memoryview(data)

    def decode() -> float:
        decoder = ItchDecoder()
        at = 0
        begun = time.thread_time()
        while at < len(data):
            at += decoder.decode(view[at : at + (BLOCK >> 2)]).consumed
        elapsed = time.thread_time() - begun
        check(decoder.messages == count, "every message is decoded")
        return elapsed / count * 1e9

    report.measure("ITCH 5.0 decode", "ns/message", decode, goal=25.0, lower_is_better=True)
    books = OrderBooks(edge=10_000, step=100)

    def ours() -> float:
        builder, decoder = ItchBookBuilder(books), ItchDecoder()
        at = 0
        begun = time.thread_time()
        while at < len(data):
            used, _ = builder.apply_bytes(decoder, view[at : at + BLOCK])
            at += used
        elapsed = time.thread_time() - begun
        check(decoder.messages == count, "every message is applied")
        return count / elapsed / 1e6

    _beside(report, "ITCH bytes", "M messages/s", ours, _peer_itch(report, data, count), "itch-book", ratio=3.0)
    check(books.order_count == 0, "the session ends with empty books")
    check(books.unknown == books.duplicates == books.excess == 0, "every message fits the book")
    report.checks.append(f"ITCH: {count} messages fit the book, which ends empty")


def _beside(
    report: Report,
    name: str,
    unit: str,
    ours: Callable[[], float],
    theirs: Callable[[], float] | None,
    peer: str,
    *,
    ratio: float,
    goal: float | None = None,
) -> None:
    """Repeats in turns, so that what else happens on the machine befalls both; the ratio is that of each turn."""
    ours()  # memory is touched
    mine, other = [], []
    with OtherLoad() as load:
        for _ in range(REPEATS):
            mine.append(ours())
            if theirs is not None:
                other.append(theirs())
    report.add(f"books from {name}", unit, mine, load.cores, goal=goal)
    if other:
        report.add(f"{peer} from {name}", unit, other, load.cores)
        ratios = [a / b for a, b in zip(mine, other, strict=True)]
        report.add(f"ratio to {peer}", "times", ratios, load.cores, goal=ratio)
        report.notes.append(f"{name}: {statistics.median(ratios):.1f} times {peer}, pair by pair")


def _peer_book(report: Report, deltas: Any) -> Callable[[], float] | None:
    """Applies one pass of deltas, made beforehand, to the other platform's book of orders."""
    try:
        model = importlib.import_module(f"{PEER}.model")
        data, enums = (importlib.import_module(f"{PEER}.model.{name}") for name in ("data", "enums"))
    except ImportError:
        report.notes.append(f"{PEER.replace('_', '-')} is not installed: its OrderBook was left out")
        return None
    instrument = model.InstrumentId.from_str("TAPE.XCME")
    actions = {ADD: enums.BookAction.ADD, DELETE: enums.BookAction.DELETE}
    left: dict[int, int] = {}
    made = []
    columns = (deltas[name].tolist() for name in ("action", "side", "order_id", "price_ticks", "quantity"))
    for number, (action, side, order_id, price, quantity) in enumerate(zip(*columns, strict=True)):
        if action == ADD:
            left[order_id] = quantity
        elif action == DELETE:
            quantity = left.pop(order_id)
        else:
            # Its books know no reduction: an update to what is left.
            left[order_id] -= quantity
            quantity = left[order_id]
        order = data.BookOrder(
            enums.OrderSide.BUY if side == BUY else enums.OrderSide.SELL,
            model.Price(price, 0),
            model.Quantity(quantity, 0),
            order_id,
        )
        kind = actions.get(action, enums.BookAction.UPDATE)
        stamp = 1_700_000_000_000_000_000 + number
        made.append(data.OrderBookDelta(instrument, kind, order, 0, number, stamp, stamp))

    def once() -> float:
        book = importlib.import_module(f"{PEER}.model.book").OrderBook(instrument, enums.BookType.L3_MBO)
        apply = book.apply_delta
        begun = time.thread_time()
        for each in made:
            apply(each)
        elapsed = time.thread_time() - begun
        check(book.best_bid_price() is None and book.best_ask_price() is None, "the peer's book ends empty")
        return len(made) / elapsed / 1e6

    return once


def _peer_itch(report: Report, data: bytes, count: int) -> Callable[[], float] | None:
    """Feeds the bytes to itch-book without asking for tables: it keeps its books alone."""
    try:
        core = importlib.import_module("itch_book._core")
    except ImportError:
        report.notes.append("itch-book is not installed: left out")
        return None
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]

    def once() -> float:
        session = core.Session(tables=[], depth=0, symbols=[])
        begun = time.thread_time()
        for block in blocks:
            session.feed(block)
        elapsed = time.thread_time() - begun
        stats = session.stats()
        check(stats["messages"] == count and stats["live_orders"] == 0, "itch-book ends with empty books")
        check(stats["missing_ref"] == 0, "every message fits itch-book's books")
        return count / elapsed / 1e6

    return once
