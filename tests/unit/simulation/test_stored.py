"""A stored range as a recording: its order, updates whole across arrays, a range that begins in the middle."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import groupby

import numpy as np
import pytest

from nautilus.adapters.formats import BookCheck, Update, open_recording
from nautilus.core.depth import DepthBook
from nautilus.core.order_book import OrderBooks
from nautilus.core.ticks import GAP_FLAG
from nautilus.core.types import BOOK_DELTA, BookAction, RecordFlag
from nautilus.simulation.playback import BOOK
from nautilus.simulation.stored import StoredRecording
from tests.kit.data import BTCUSDT_SPOT, LOBSTER, recording

SECOND = 1_000_000_000


class Stored:
    """Updates in the order of a store, in arrays of one kind cut at random."""

    def __init__(self, updates: list[Update], dice: random.Random) -> None:
        self._updates, self._dice = updates, dice

    def book(self, begin_ns: int, end_ns: int) -> Iterator[np.ndarray]:
        return self._runs([each for each in self._updates if each.kind == BOOK], begin_ns, end_ns)

    def all(self, begin_ns: int, end_ns: int) -> Iterator[np.ndarray]:
        return self._runs(self._updates, begin_ns, end_ns)

    def _runs(self, updates: list[Update], begin_ns: int, end_ns: int) -> Iterator[np.ndarray]:
        some = (each for each in updates if begin_ns <= each.now_ns < end_ns)
        for _, group in groupby(some, lambda each: each.kind):
            records, at = np.concatenate([each.records for each in group]), 0
            while at < len(records):
                size = self._dice.choice((1, 2, 7, 500, 4_000))
                yield records[at : at + size]
                at += size


def flagged(updates: list[Update], at: int) -> list[Update]:
    """The same, with the flag of a book that is not known on one book change."""
    records = updates[at].records.copy()
    records["flags"] |= np.uint16(RecordFlag.STALE)
    return [*updates[:at], updates[at]._replace(records=records), *updates[at + 1 :]]


def stored_from(name: str, seconds: float | None, **settings: object) -> tuple[list[Update], StoredRecording]:
    log = open_recording(recording(name))
    until = None if seconds is None else log.start_ns + int(seconds * SECOND)
    updates = list(log.updates(until_ns=until))
    store = Stored(updates, random.Random(7))
    return updates, StoredRecording(
        log.hint, store.all, store.book, order_by_order=log.order_by_order,
        range_ns=(updates[0].now_ns, updates[-1].now_ns), **settings
    )  # fmt: skip


@pytest.mark.parametrize(("name", "seconds"), [(BTCUSDT_SPOT, 30), (LOBSTER, None)])
def test_updates_are_byte_for_byte_what_the_file_gave_in_its_order(name: str, seconds: float) -> None:
    updates, stored = stored_from(name, seconds)
    given = [(now_ns, kind, records.tobytes()) for now_ns, kind, records in stored.updates()]
    assert given == [(each.now_ns, each.kind, each.records.tobytes()) for each in updates]
    assert stored.progress == 1.0


def test_the_book_is_checked_by_the_stored_quotes() -> None:
    _, stored = stored_from(BTCUSDT_SPOT, 60, check=BookCheck())
    for _ in stored.updates():
        pass
    checks = stored.summary()["book_checks"]
    assert checks["compared"] > 300
    assert checks["equal"] == checks["compared"]


def test_a_range_that_begins_in_the_middle_begins_with_the_book_of_then() -> None:
    updates, _ = stored_from(BTCUSDT_SPOT, 20)
    begin_ns = updates[0].now_ns + 10 * SECOND
    whole = DepthBook()
    for each in updates:
        if each.kind == BOOK:
            whole.apply(each.records)
    _, stored = stored_from(BTCUSDT_SPOT, 20, begin_ns=begin_ns)
    part = DepthBook()
    given = list(stored.updates())
    first_ns, first_kind, first = given[0]
    assert (first_ns, first_kind) == (begin_ns, BOOK)
    assert (first["flags"] & RecordFlag.SNAPSHOT).all()
    for _, kind, records in given:
        if kind == BOOK:
            part.apply(np.ascontiguousarray(records))
    assert [side.tolist() for side in part.depth(1000)] == [side.tolist() for side in whole.depth(1000)]
    assert all(now_ns >= begin_ns for now_ns, _, _ in given)


def test_a_range_that_begins_in_a_blind_time_says_so() -> None:
    updates, _ = stored_from(BTCUSDT_SPOT, 5)
    books = [at for at, each in enumerate(updates) if each.kind == BOOK]
    begin_ns = updates[books[20]].now_ns
    for blind in (False, True):
        store = Stored(flagged(updates, books[10]) if blind else updates, random.Random(7))
        log = open_recording(recording(BTCUSDT_SPOT))
        stored = StoredRecording(
            log.hint, store.all, store.book, begin_ns=begin_ns, range_ns=(updates[0].now_ns, updates[-1].now_ns)
        )
        _, _, first = next(iter(stored.updates()))
        assert (first["flags"] & int(RecordFlag.SNAPSHOT)).all()
        assert ((first["flags"] & int(RecordFlag.STALE)) != 0).all() == blind


def test_the_middle_of_an_order_by_order_range_keeps_queues() -> None:
    updates, _ = stored_from(LOBSTER, None)
    begin_ns = updates[len(updates) // 2].now_ns
    books, part = OrderBooks(huge=False), OrderBooks(huge=False)
    for each in updates:
        if each.kind == BOOK:
            books.apply(each.records)
    _, stored = stored_from(LOBSTER, None, begin_ns=begin_ns)
    for _, kind, records in stored.updates():
        if kind == BOOK:
            part.apply(np.ascontiguousarray(records))
    assert part.orders(1).tobytes() == books.orders(1).tobytes()


def test_a_change_without_its_last_record_is_given_at_the_end() -> None:
    rows = np.zeros(3, BOOK_DELTA)
    rows["now_ns"], rows["side"], rows["action"], rows["price_ticks"], rows["quantity"] = 5, 1, BookAction.SET, 10, 1
    rows["flags"][1] = RecordFlag.LAST
    log = open_recording(recording(LOBSTER))
    store = Stored([Update(5, BOOK, rows)], random.Random(1))
    given = list(StoredRecording(log.hint, store.all, store.book, instrument_id=9).updates())
    assert [len(records) for _, _, records in given] == [2, 1]
    assert {int(value) for _, _, records in given for value in records["instrument_id"]} == {9}


def change(now_ns: int, *rows: tuple[int, int, int, int], flags: int = 0) -> Update:
    """(side, action, price, quantity) each, as one change."""
    records = np.array(
        [(now_ns, 0, 0, 0, price, lots, 1, side, action, flags) for side, action, price, lots in rows], BOOK_DELTA
    )
    records["flags"][-1] |= RecordFlag.LAST
    return Update(now_ns, BOOK, records)


def image(now_ns: int, price: int, flags: int = 0) -> Update:
    rows = [(side, int(BookAction.CLEAR), 0, 0) for side in (1, 2)]
    return change(now_ns, *rows, (1, int(BookAction.SET), price, 1), flags=RecordFlag.SNAPSHOT | flags)


@pytest.mark.parametrize(
    ("snapshots", "first_looked_at"),
    [
        ({150: 0}, 140),
        ({150: RecordFlag.STALE, 100: 0}, 0),
        ({150: GAP_FLAG}, 0),
        ({}, 0),
        ({139: 0}, 0),
    ],
)
def test_the_book_of_a_begin_is_read_from_the_last_whole_snapshot_before_it(
    snapshots: dict[int, int], first_looked_at: int
) -> None:
    set_to = int(BookAction.SET)
    updates = [change(at * SECOND, (1, set_to, 1_000 + at, 1)) for at in range(1, 200)]
    updates += [image(at * SECOND, 500, flags) for at, flags in snapshots.items()]
    updates.sort(key=lambda each: each.now_ns)
    begin_ns, looked_at = 200 * SECOND, []
    store = Stored(updates, random.Random(3))

    def read_book(first_ns: int, end_ns: int) -> Iterator[np.ndarray]:
        looked_at.append(first_ns // SECOND)
        return store.book(first_ns, end_ns)

    log = open_recording(recording(LOBSTER))
    range_ns = updates[0].now_ns, updates[-1].now_ns + 1
    stored = StoredRecording(log.hint, store.all, read_book, begin_ns=begin_ns, range_ns=range_ns)
    [(_, _, records)] = list(stored.updates())
    last = max(snapshots, default=0)
    prices = records["price_ticks"][records["action"] == set_to].tolist()
    # A change at the stamp of a snapshot comes before it.
    assert prices == [*range(1_199, 1_000 + last, -1)] + [500] * bool(snapshots)
    assert bool(records["flags"][0] & RecordFlag.STALE) == bool(snapshots.get(last, 0))
    assert looked_at == [140] if first_looked_at else [140, 0]


def test_what_is_asked_to_be_told_of_the_end_is_told_once_played_or_dropped() -> None:
    log = open_recording(recording(LOBSTER))
    store = Stored([image(5, 500)], random.Random(3))
    told: list[str] = []
    whole = StoredRecording(log.hint, store.all, store.book, on_end=lambda: told.append("whole"))
    assert len(list(whole.updates())) == 1
    broken = StoredRecording(log.hint, store.all, store.book, on_end=lambda: told.append("broken"))
    updates = broken.updates()
    next(updates)
    assert told == ["whole"]
    updates.close()
    assert told == ["whole", "broken"]
