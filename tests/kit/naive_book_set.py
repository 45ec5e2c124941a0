"""Naive twin of `nautilus.core.book_set.BookSet`: a dictionary of prices a side, one record at a time."""

from __future__ import annotations

from nautilus.core.book_set import BookState
from nautilus.core.ticks import GAP_FLAG
from nautilus.model.enums import BookAction, RecordFlag

LAST, SNAPSHOT, STALE = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT), int(RecordFlag.STALE)
LIMIT = 1 << 63
Delta = dict[str, int]
Best = tuple[int, int, int, int]


class WrongError(Exception):
    """A record is none of a book; `what` is the word that its message has."""

    def __init__(self, at: int, what: str) -> None:
        super().__init__(f"deltas[{at}]: {what}")


class NaiveBook:
    """One instrument."""

    def __init__(self) -> None:
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.update_id = self.now_ns = self.venue_ns = 0
        self.since_ns: int | None = None
        self.blind_ns = self.updates = self.gaps = self.snapshots = self.old = 0
        self.filling = self.crossed = self.begun = False
        self.cleared: set[int] = set()
        self.shown: tuple[Best, bool] = ((0, 0, 0, 0), False)

    def best(self) -> Best:
        bids, asks = self.sides
        bid, ask = max(bids, default=0), min(asks, default=0)
        return bid, bids.get(bid, 0), ask, asks.get(ask, 0)

    def levels(self) -> list[list[tuple[int, int]]]:
        """Both sides, best first."""
        return [sorted(self.sides[0].items(), reverse=True), sorted(self.sides[1].items())]

    def state(self) -> BookState:
        return BookState(
            self.update_id, self.now_ns, self.venue_ns, self.since_ns or 0, self.blind_ns, self.updates, self.gaps,
            self.snapshots, self.old, self.crossed,
        )  # fmt: skip


class NaiveBookSet:
    """Same rules, for stamps above 0; `quotes` are those of `apply_best`, as tuples in the order of QUOTE's fields."""

    def __init__(self, *, snapshots: bool = True, numbered: bool = True, consecutive: bool = False) -> None:
        self.snapshots, self.numbered, self.consecutive = snapshots, numbered, consecutive
        self.books: dict[int, NaiveBook] = {}
        self.quotes: list[tuple[int, ...]] = []
        self.crossings = 0

    def apply(self, deltas: list[Delta], *, tell: bool = False) -> None:
        for at, delta in enumerate(deltas):
            self._one(at, delta, tell)

    def mark_blind(self, instrument_id: int, since_ns: int) -> None:
        book = self.books.setdefault(instrument_id, NaiveBook())
        book.gaps += 1
        if book.since_ns is None:
            book.since_ns = since_ns
            book.now_ns = max(book.now_ns, since_ns)
        book.begun = True

    def _one(self, at: int, delta: Delta, tell: bool) -> None:
        action, side, flags = delta["action"], delta["side"], delta["flags"]
        if side > 2 or (side == 0 and action != BookAction.CLEAR):
            raise WrongError(at, "side")
        if action not in tuple(BookAction):
            raise WrongError(at, "action")
        if delta["quantity"] < 0:
            raise WrongError(at, "quantity")
        book = self.books.setdefault(delta["instrument_id"], NaiveBook())
        if not book.begun and self.snapshots:
            book.since_ns = delta["now_ns"]
        if flags & SNAPSHOT:
            book.filling = True
        else:
            if self.numbered and 0 < delta["update_id"] < book.update_id:
                book.old += 1
                return
            hole = self.consecutive and book.update_id and delta["update_id"] > book.update_id + 1
            if book.filling or flags & GAP_FLAG or hole:
                book.filling = False
                book.gaps += 1
                if book.since_ns is None:
                    book.since_ns = book.now_ns or delta["now_ns"]
            if action != BookAction.CLEAR:
                book.cleared.clear()
        self._change(at, book, delta)
        book.begun = True
        book.update_id, book.now_ns, book.venue_ns = (delta[name] for name in ("update_id", "now_ns", "venue_ns"))
        if flags & LAST:
            self._end(book, delta, tell)

    def _change(self, at: int, book: NaiveBook, delta: Delta) -> None:
        action, price, quantity = delta["action"], delta["price_ticks"], delta["quantity"]
        if action == BookAction.CLEAR:
            for which in (1, 2):
                if delta["side"] in (0, which):
                    book.sides[which - 1].clear()
                    book.cleared.add(which)
            return
        if action == BookAction.EXECUTE_HIDDEN:
            return
        levels = book.sides[delta["side"] - 1]
        if action == BookAction.ADD:
            quantity += levels.get(price, 0)
            if quantity >= LIMIT:
                raise WrongError(at, "quantity")
        elif action != BookAction.SET:
            quantity = max(0, levels.get(price, 0) - quantity)
        levels[price] = quantity
        if not quantity:
            del levels[price]

    def _end(self, book: NaiveBook, delta: Delta, tell: bool) -> None:
        book.updates += 1
        if delta["flags"] & SNAPSHOT:
            book.filling = False
            if delta["flags"] & GAP_FLAG:
                book.gaps += 1
                book.since_ns = delta["now_ns"] if book.since_ns is None else book.since_ns
            elif book.cleared == {1, 2}:
                book.snapshots += 1
                if book.since_ns is not None:
                    book.blind_ns += delta["now_ns"] - book.since_ns
                    book.since_ns = None
        book.cleared.clear()
        best, blind = book.best(), book.since_ns is not None
        crossed = bool(best[1] and best[3] and best[0] >= best[2])
        self.crossings += crossed and not book.crossed
        book.crossed = crossed
        if tell and (best, blind) != book.shown:
            book.shown = best, blind
            head = delta["now_ns"], delta["venue_ns"], delta["update_id"]
            self.quotes.append((*head, *best, delta["instrument_id"], LAST | STALE * blind, 0))
