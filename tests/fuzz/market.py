"""Arbitrary bytes as records of market data into the kernels that check and sum them up, each beside its naive twin."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from nautilus.core.bars import BarBuilder
from nautilus.core.book_set import BookSet
from nautilus.core.flow import FlowBuilder
from nautilus.core.normalise import Normaliser
from nautilus.core.ticks import BAR, FLOW, GAP_FLAG, QUARANTINE, TICK, BarKind, TickKind
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.model.marketdata import (
    bar_records,
    bars,
    book_delta_records,
    book_deltas,
    flow_records,
    flows,
    quote_records,
    quotes,
    trade_records,
    trades,
)
from tests.fuzz.reader import Reader
from tests.kit.derived import bars_agree, flows_agree
from tests.kit.naive_book_set import NaiveBookSet, WrongError
from tests.kit.normalising import INSTRUMENTS, agrees, made

IDS = (1, 1, 1, 2, 70_000, 70_001, 65_535, 4_294_967_295)
MOST = 1 << 40
MOST_NS = 1 << 62
LARGEST = (1 << 63) - 1
STEP_NS = (0, 1, 2, 5, 30, 1_000, 1_000_000_000)


def _near(reader: Reader, middle: int, spread: int) -> int:
    """A number near another one, now and then any."""
    what = reader.number(1)
    return reader.wide() if what >= 0xF0 else middle + what % (2 * spread + 1) - spread


def _records(dtype: np.dtype[np.void], rows: list[dict[str, int]]) -> np.ndarray:
    out = np.zeros(len(rows), dtype)
    for at, row in enumerate(rows):
        for name, value in row.items():
            bits = 8 * dtype[name].itemsize
            value &= (1 << bits) - 1
            out[name][at] = value - (1 << bits) if dtype[name].kind == "i" and value >> bits - 1 else value
    return out


def _raw(reader: Reader, dtype: np.dtype[np.void]) -> np.ndarray:
    data = reader.take(reader.left)
    return np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype).copy()


def _ticks(reader: Reader) -> np.ndarray:
    rows: list[dict[str, int]] = []
    now_ns, sequence = 1_000_000_000, 0
    while reader.left and len(rows) < 64:
        now_ns += reader.choose(STEP_NS)
        sequence += reader.choose((0, 1, 1, 1, 2, -1))
        instrument = reader.choose((1, 1, 1, 2, 70_000, 3))
        price, lots = {1: (100_0000, 100), 2: (10_15, 700)}.get(instrument, (100, 500))
        kind = reader.choose((1, 2, 2, 3, 3, 4, 0, 5))
        flags = reader.choose((0, 1, 2, 3, 1, 64))
        unlike = reader.number(1)
        rows.append(
            {
                "venue_ns": _near(reader, now_ns, 5) if unlike & 1 else now_ns,
                "receive_ns": _near(reader, now_ns, 9) if unlike & 2 else now_ns + 5,
                "sequence": _near(reader, sequence, 3) if unlike & 4 else max(0, sequence),
                "price": _near(reader, price, 12),
                "quantity": _near(reader, lots, 100),
                "price_2": _near(reader, price + 2, 12),
                "quantity_2": _near(reader, lots, 100) if kind == TickKind.QUOTE else flags,
                "instrument_id": instrument,
                "kind": kind,
                "side": reader.choose((0, 1, 2, 1, 2, 3)),
                "price_decimals": reader.number(1) if unlike & 8 else {1: 4, 2: 2}.get(instrument, 0),
                "quantity_decimals": reader.number(1) if unlike & 16 else {1: 2, 2: 2}.get(instrument, 8),
            }
        )
    return _records(TICK, rows)


def normalise(data: bytes) -> None:
    """Ticks: each passes or is refused with a reason, as its twin says, in any two parts; into little room too."""
    reader = Reader(data)
    mode, cut = reader.number(1), reader.number(1)
    rules: dict[str, Any] = {
        "future_ns": reader.choose((0, 1_000_000_000)),
        "past_ns": reader.choose((0, 0, 25)),
        "late_ns": reader.choose((0, 2, 100)),
        "jump_bps": reader.choose((1_000, 1, 0)),
        "jump_ticks": reader.choose((10, 0)),
        "agreeing": reader.choose((3, 1, 2)),
        "consecutive": reader.choose(((TickKind.TRADE,), (), (TickKind.QUOTE, TickKind.CLEAR))),
        "locked": bool(mode & 2),
        "source_id": 9,
    }
    ticks = _raw(reader, TICK) if mode & 1 else _ticks(reader)
    given, taken, changed, refused = agrees(ticks, cut % (len(ticks) + 1), rules)
    if mode & 1:
        assert set(refused["instrument_id"].tolist()) | INSTRUMENTS.keys() >= set(ticks["instrument_id"].tolist())
    for records in (given, taken):
        assert not len(records) or 0 < records["now_ns"].min() <= records["now_ns"].max() <= MOST_NS
    assert not len(taken) or 0 < taken["quantity"].min() <= taken["quantity"].max() <= MOST
    both = given[(given["bid_quantity"] > 0) & (given["ask_quantity"] > 0)]
    assert (both["bid_ticks"] < both["ask_ticks"] + bool(mode & 2)).all()
    other = made(**rules)
    room = [np.zeros(count, dtype) for count, dtype in ((1, QUOTE), (2, TRADE), (3, BOOK_DELTA), (1, QUARANTINE))]
    at, found = 0, [0, 0, 0, 0]
    while at < len(ticks):
        used, *counts = other.process_into(ticks[at:], *room)
        assert used > 0
        at += used
        found = [total + count for total, count in zip(found, counts, strict=True)]
    assert found == [len(given), len(taken), len(changed), len(refused)]
    text = reader.take(40).decode("latin-1")
    with contextlib.suppress(ValueError):
        Normaliser().add(1, price_increment=text, lot_size=text)


def _delta_rows(reader: Reader, most: int) -> list[dict[str, int]]:
    rows: list[dict[str, int]] = []
    now_ns, update = 1_000, 1
    while reader.left and len(rows) < most:
        now_ns += reader.choose((0, 1, 3, 50, -2))
        update += reader.choose((0, 0, 1, 1, 1, 2, -1))
        image = reader.number(1) & 0xE0 == 0xE0
        base = {"now_ns": now_ns, "venue_ns": now_ns - 3, "update_id": max(0, update), "instrument_id": 1}
        if image:  # the begin of one; whether it is whole is up to what follows
            rows.extend({**base, "side": side, "action": 7, "flags": 2} for side in (1, 2))
            continue
        unlike = reader.number(1)
        rows.append(
            base
            | {
                "instrument_id": reader.choose(IDS),
                "price_ticks": max(-LARGEST, reader.wide()) if unlike & 0xF0 == 0xF0 else 95 + unlike % 11,
                "quantity": reader.wide() if reader.number(1) >= 0xF8 else reader.number(1) % 5,
                "side": reader.choose((1, 2, 1, 2, 1, 2, 0, 3)),
                "action": reader.choose((1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 0, 8)),
                "flags": reader.choose((1, 1, 1, 0, 3, 2, GAP_FLAG | 1, 5)),
            }
        )
    return rows


def _as_rows(records: np.ndarray) -> list[dict[str, int]]:
    return [dict(zip(records.dtype.names or (), row, strict=True)) for row in records.tolist()]


def book_set(data: bytes) -> None:
    """Records into many books: each is the twin's, whatever is refused; images make the same books anew."""
    reader = Reader(data)
    mode = reader.number(1)
    rules: dict[str, Any] = {"snapshots": bool(mode & 1), "numbered": bool(mode & 2), "consecutive": bool(mode & 4)}
    books, twin = BookSet(levels=16 if mode & 0x38 == 0x38 else 1 << 14, **rules), NaiveBookSet(**rules)
    while reader.left:
        if mode & 0xC0 == 0xC0:
            deltas = _raw(reader, BOOK_DELTA)
            deltas["now_ns"] = deltas["now_ns"] & 0xFFFFFF | 1
            deltas["price_ticks"] = np.maximum(deltas["price_ticks"], -LARGEST)
        else:
            deltas = _records(BOOK_DELTA, _delta_rows(reader, 1 + reader.number(1) % 40))
        tell, told = bool(reader.number(1) & 1), len(twin.quotes)
        wrong = said = ""
        try:
            twin.apply(_as_rows(deltas), tell=tell)
        except WrongError as error:
            wrong = str(error)
        try:
            if tell:
                found = books.apply_best(deltas)
                assert wrong or found.tolist() == twin.quotes[told:]
            else:
                books.apply(deltas)
        except ValueError as error:
            said = str(error)
        except MemoryError:
            return
        assert said.startswith(wrong)
        assert bool(said) == bool(wrong)
        if reader.number(1) >= 0xF0:
            books.mark_blind(7, 5)
            twin.mark_blind(7, 5)
    _same_books(books, twin)


def _same_books(books: BookSet, twin: NaiveBookSet) -> None:
    assert books.instruments == list(twin.books)
    assert books.blind() == {name: book.since_ns for name, book in twin.books.items() if book.since_ns is not None}
    assert books.crossed() == [name for name, book in twin.books.items() if book.crossed]
    assert (books.gaps, books.old, books.crossings) == (
        sum(book.gaps for book in twin.books.values()),
        sum(book.old for book in twin.books.values()),
        twin.crossings,
    )
    for name, book in twin.books.items():
        assert books.best(name) == book.best()
        assert books.state(name) == book.state()
        assert books.counts(name) == (len(book.sides[0]), len(book.sides[1]))
        assert [side.tolist() for side in books.depth(name, 1_000)] == book.levels()
        copy = BookSet(levels=1 << 12)
        copy.apply(books.snapshot(name))
        assert [side.tolist() for side in copy.depth(name, 1_000)] == book.levels()


def places(data: bytes) -> None:
    """Ids of instruments, whatever they are, have their place, once, in the order in which they came."""
    reader = Reader(data)
    books, kept = BookSet(levels=16), dict[int, int]()
    quotes_ = np.zeros(1, QUOTE)
    while reader.left:
        number = reader.choose((reader.number(1), reader.number(2), reader.number(4), (1 << 32) - 1 - reader.number(1)))
        assert (number in books) == (number in kept)
        if reader.number(1) & 3:
            kept.setdefault(number, len(kept))
            quotes_["instrument_id"], quotes_["bid_ticks"] = number, kept[number]
            books.take_quotes(quotes_)
    assert books.instruments == list(kept)
    for number, place in kept.items():
        quote = books.quote(number)
        assert quote is None if number == 0 else quote is not None and quote["bid_ticks"].tolist() == [place]


def _trade_rows(reader: Reader, wild: bool) -> list[dict[str, int]]:
    rows: list[dict[str, int]] = []
    now_ns = 0
    while reader.left and len(rows) < 80:
        now_ns = max(0, now_ns + reader.choose((0, 1, 1, 2, 7, 30, -4)))
        unlike = reader.number(1)
        rows.append(
            {
                "now_ns": now_ns + 1,
                "venue_ns": now_ns,
                "price_ticks": _near(reader, 0, 3) if wild else unlike % 7 - 3,
                "quantity": (MOST if unlike >= 0xF0 else reader.number(1) % 10) if not wild else _near(reader, 5, 5),
                "instrument_id": reader.choose((1, 70_000)),
                "side": reader.choose((0, 1, 2, 1, 2, 0, 1, 3 if wild else 2)),
                "flags": reader.choose((1, 5, 33, 8)),
            }
        )
    return rows


def bar_builder(data: bytes) -> None:
    """Trades: the bars are the twin's and hold every trade; what is out of range is named."""
    reader = Reader(data)
    mode = reader.number(1)
    rules: dict[str, Any] = {
        "kind": reader.choose(tuple(BarKind)),
        "size": 1 + reader.number(1) % 12,
        "weight": reader.choose(("trades", "lots", "value")),
        "alpha": reader.choose((0.1, 0.5, 1.0)),
        "venue_clock": bool(mode & 1),
        "empty": bool(mode & 2),
    }
    cut, clock = reader.number(1), reader.number(1)
    wild = mode & 0x0C == 0x0C
    records = _raw(reader, TRADE) if mode & 0x30 == 0x30 else _records(TRADE, _trade_rows(reader, wild))
    stamps = np.where((records["venue_ns"] != 0) & rules["venue_clock"], records["venue_ns"], records["now_ns"])
    bad = (np.abs(records["price_ticks"].astype(object)) > MOST) | (records["side"] > 2)
    bad |= (records["quantity"] < 0) | (records["quantity"] > MOST) | (stamps < 0) | (stamps >= MOST_NS)
    if bad.any():
        builder, said = BarBuilder(**rules), ""
        try:
            builder.process(records)
        except ValueError as error:
            said = str(error)
        assert said.startswith(f"trades[{int(np.argmax(bad))}]")
        builder.flush()
        return
    if len(records) and mode & 0x30 != 0x30:
        bars_agree(records, cut, clock, **rules)
    else:
        builder = BarBuilder(**rules)
        out = np.concatenate([builder.process(records), builder.flush()])
        assert int(out["trades"].sum()) == len(records)


def flow_builder(data: bytes) -> None:
    """Quotes and changes of books: the order flow is the twin's."""
    reader = Reader(data)
    mode = reader.number(1)
    every = {"interval_ns": 1 + reader.number(1) % 20} if mode & 1 else {"updates": 1 + reader.number(1) % 6}
    if mode & 2:
        levels = 1 + reader.number(1) % 10
        rows = [row for row in _delta_rows(reader, 200) if row.get("side") and row.get("price_ticks", 0) < MOST]
        for row in rows:
            row["action"] = 7 if row["action"] == 7 else 1
            row["quantity"] = abs(row.get("quantity", 0)) % (MOST + 1)
            row["side"] = 1 + row["side"] % 2
        flows_agree(_records(BOOK_DELTA, rows), levels=levels, **every)
        return
    if mode & 0x0C == 0x0C:
        with contextlib.suppress(ValueError):
            builder = FlowBuilder(**every)
            builder.process(_raw(reader, QUOTE))
            builder.flush()
        return
    rows = []
    now_ns = 0
    while reader.left and len(rows) < 100:
        now_ns = max(0, now_ns + reader.choose((0, 1, 2, 9, -3)))
        rows.append(
            {
                "now_ns": now_ns,
                "bid_ticks": _near(reader, 98, 2),
                "bid_quantity": reader.choose((0, 1, 2, 5, MOST)),
                "ask_ticks": _near(reader, 102, 2),
                "ask_quantity": reader.choose((0, 1, 2, 5, MOST)),
                "instrument_id": reader.choose((1, 70_000)),
                "flags": reader.choose((1, 5, 33, 9)),
            }
        )
    flows_agree(_records(QUOTE, rows), cut=reader.number(1), **every)


def records(data: bytes) -> None:
    """Records as structs and back; a record that has no struct is refused."""
    reader = Reader(data)
    which = reader.number(1) % 6
    if which < 2:
        given = _raw(reader, BAR)
        given["reserved"] = given["padding"] = 0
        if which & 1:
            given["kind"] = 1 + given["kind"] % max(BarKind)
        read, write = bars, bar_records
    elif which == 2:
        given = _raw(reader, FLOW)
        given["reserved"] = given["padding"] = 0
        read, write = flows, flow_records  # type: ignore[assignment]
    elif which == 3:
        given = _raw(reader, QUOTE)
        read, write = quotes, quote_records  # type: ignore[assignment]
    elif which == 4:
        given = _raw(reader, TRADE)
        given["reserved"], given["side"] = 0, given["side"] % 3
        read, write = trades, trade_records  # type: ignore[assignment]
    else:
        given = _raw(reader, BOOK_DELTA)
        given["side"], given["action"] = given["side"] % 3, 1 + given["action"] % 7
        read, write = book_deltas, book_delta_records  # type: ignore[assignment]
    again = write(read(given))
    assert again.dtype == given.dtype
    if which < 2:  # a NaN has many faces
        same = given["notional"] == given["notional"]
        assert again[same].tobytes() == given[same].tobytes()
    else:
        assert again.tobytes() == given.tobytes()
