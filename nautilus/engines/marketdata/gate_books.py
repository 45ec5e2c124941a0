"""Changes of books that are not fit to be trusted: records out of range, and what makes a book crossed.

::

    SOUND ── a record is refused ──▶ LOST ── a whole snapshot ──▶ SOUND
      └───── crossed behind LAST ──▶ CROSSED ── crossed no more ──▶ SOUND, with a snapshot

While a book is not SOUND all its records carry STALE. Who follows the star waits for a snapshot then: where the venue
sends none, as in a recording, one is made of the book as soon as it is crossed no more.

A book of single orders that is crossed is counted and kept, and passes: a call phase crosses such books.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final, Protocol

import numpy as np

from nautilus.core.book_set import BookSet
from nautilus.core.ticks import QUARANTINE, TickKind, TickReason
from nautilus.core.types import MAX_PRICE_TICKS, MAX_QUANTITY_LOTS
from nautilus.model.enums import BookAction, RecordFlag, Side
from nautilus.model.records import Records

SOUND, CROSSED, LOST = range(3)
LAST, SNAPSHOT, STALE = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT), int(RecordFlag.STALE)
NEVER_LOCKED: Final = frozenset({"spot", "perpetual"})
"""Products of venues without calls and without other venues' quotes: of others a locked book is only counted."""
_PUTS = int(BookAction.SET), int(BookAction.ADD)
_FORM = np.dtype([("head", "V52"), ("form", "<u2"), ("flags", "<u2")])
"""A BOOK_DELTA with its side and action as one number."""
_NONE, _LEVEL, _ORDER = range(3)
_FORMS = np.zeros(1 << 16, np.uint8)
for _action in BookAction:
    for _side in Side:
        _FORMS[_side | _action << 8] = _LEVEL if _action in (BookAction.SET, BookAction.CLEAR) else _ORDER
_FORMS[BookAction.CLEAR << 8] = _LEVEL


class Checked(Protocol):
    """What has to be known of an instrument to check its records; an `Instrument` has it."""

    @property
    def instrument_id(self) -> int: ...
    @property
    def price_increment(self) -> Decimal: ...
    @property
    def lot_size(self) -> str: ...
    @property
    def product(self) -> str: ...
    @property
    def negative_prices(self) -> bool: ...


class GateBooks:
    """The books that the hub's gate keeps, to tell which changes are fit.

    Parameters
    ----------
    instruments
        Known ones; changes of other books are refused.
    note
        Takes QUARANTINE records.
    locked
        Told of a book that is locked, where that is only counted.
    """

    def __init__(
        self, instruments: Iterable[Checked], note: Callable[[Records], object], locked: Callable[[], object]
    ) -> None:
        self._negative = {each.instrument_id: each.negative_prices for each in instruments}
        self._never_locked = {each.instrument_id for each in instruments if each.product in NEVER_LOCKED}
        self._note, self._locked = note, locked
        self._books = BookSet(snapshots=False, numbered=False)
        self._states: dict[int, int] = {}
        self._met: dict[
            int, int
        ] = {}  # books whose best bid is at or above their best ask, and the reason it counts as

    def passed(self, records: Records) -> Records:
        """The changes that may be published and act."""
        if not len(records):
            return records
        deltas = np.ascontiguousarray(records)
        forms = _FORMS[deltas.view(_FORM)["form"]]
        reasons = self._reasons(deltas, forms)
        change = self._change
        if forms.max() == _ORDER:
            if reasons is None and self._states.get(int(deltas["instrument_id"][0])) != LOST:
                return self._of_orders(deltas, None)
            change = self._of_orders
        ends = (np.flatnonzero(deltas["flags"] & LAST) + 1).tolist()
        if not ends or ends[-1] != len(deltas):
            ends.append(len(deltas))
        if len(ends) == 1:
            return change(deltas, reasons)
        parts, begin = [], 0
        for end in ends:
            parts.append(change(deltas[begin:end], None if reasons is None else reasons[begin:end]))
            begin = end
        if sum(map(len, parts)) == len(deltas) and all(np.shares_memory(each, deltas) for each in parts):
            return deltas
        return np.concatenate(parts)

    def _reasons(self, deltas: Records, forms: np.ndarray) -> np.ndarray | None:
        """Why each record is refused, 0: it is not; None: none is."""
        prices, lots = deltas["price_ticks"], deltas["quantity"]
        number = int(deltas["instrument_id"][0])
        known = number in self._negative
        if (
            known
            and forms.min() != _NONE
            and lots.min() >= 0
            and lots.max() <= MAX_QUANTITY_LOTS
            and prices.max() <= MAX_PRICE_TICKS
            and prices.min() > 0
        ):
            return None
        reasons = np.zeros(len(deltas), np.uint8)
        puts = np.isin(deltas["action"], _PUTS)
        least = -MAX_PRICE_TICKS if self._negative.get(number) else 1
        reasons[(prices > MAX_PRICE_TICKS) | (prices < np.where(puts, least, -MAX_PRICE_TICKS))] = TickReason.RANGE
        reasons[(lots < 0) | (lots > MAX_QUANTITY_LOTS)] = TickReason.QUANTITY
        reasons[forms == _NONE] = TickReason.SIDE
        reasons[deltas["action"] > max(BookAction)] = TickReason.KIND
        if not known:
            reasons[:] = TickReason.UNKNOWN_INSTRUMENT
        return reasons if reasons.any() else None

    def _kept(self, deltas: Records, reasons: np.ndarray) -> Records:
        """Without those that are refused, which are noted."""
        bad = reasons != 0
        self._note(_quarantined(deltas[bad], reasons[bad]))
        kept: Records = deltas[~bad]
        if len(kept) and deltas["flags"][-1] & LAST:
            kept["flags"][-1] |= LAST
        return kept

    def _change(self, deltas: Records, reasons: np.ndarray | None) -> Records:
        """One change of a book by levels."""
        number = int(deltas["instrument_id"][0])
        before = state = self._states.get(number, SOUND)
        if reasons is not None and reasons.any():
            if reasons[0] == TickReason.UNKNOWN_INSTRUMENT:
                return self._kept(deltas, reasons)
            whole, state = deltas, LOST
            deltas = self._kept(deltas, reasons)
            if not len(deltas):
                self._states[number] = LOST
                if before != SOUND:
                    return deltas  # whoever follows knows of it
                deltas = self._mark(whole)
        self._books.apply(deltas)
        last = int(deltas["flags"][-1])
        if last & LAST:
            reason = self._meets(number, deltas)
            image = bool(last & SNAPSHOT) and (reasons is None or not reasons.any())
            if reason and state == SOUND:
                state = CROSSED
            elif not reason and (state == CROSSED or (state == LOST and image)):
                state = SOUND
                if before == CROSSED and not image:
                    deltas = self._books.snapshot(number)
            self._states[number] = state
        elif state == LOST:
            self._states[number] = LOST
        if state != SOUND:
            deltas = deltas.copy()
            deltas["flags"] |= STALE
        return deltas

    def _of_orders(self, deltas: Records, reasons: np.ndarray | None) -> Records:
        """Changes that name single orders, of one book: one of them where it is not SOUND."""
        number = int(deltas["instrument_id"][0])
        before = state = self._states.get(number, SOUND)
        refused = reasons is not None and bool(reasons.any())
        if reasons is not None and refused:
            whole, deltas = deltas, self._kept(deltas, reasons)
            if number not in self._negative:
                return deltas
            self._states[number] = state = LOST
            if not len(deltas):
                if before == LOST:
                    return deltas  # whoever follows knows of it
                # It names no level: where a call crosses the book, one may have orders on either side.
                deltas = self._mark(whole, BookAction.EXECUTE_HIDDEN)
        self._books.apply(deltas)
        last = int(deltas["flags"][-1])
        if last & LAST:
            self._meets(number, deltas)
            if state == LOST and last & SNAPSHOT and not refused:
                self._states[number] = state = SOUND
        if state == LOST:
            deltas = deltas.copy()
            deltas["flags"] |= STALE
        return deltas

    def _meets(self, number: int, deltas: Records) -> int:
        """For what reason a book is not to be trusted behind a change, 0: it is; noted where that begins."""
        bid, bid_lots, ask, ask_lots = self._books.best(number)
        if not (bid_lots and ask_lots and bid >= ask):
            self._met.pop(number, None)
            return 0
        reason = TickReason.CROSSED if bid > ask else TickReason.LOCKED
        fresh = self._met.get(number) != reason
        self._met[number] = reason
        if reason == TickReason.LOCKED and number not in self._never_locked:
            if fresh:
                self._locked()
            return 0
        if fresh:
            row = _quarantined(deltas[-1:], np.array([reason], np.uint8))
            row["price"], row["quantity"], row["price_2"] = bid, bid_lots, ask
            row["reference"] = ask
            self._note(row)
        return int(reason)

    def _mark(self, refused: Records, action: BookAction = BookAction.SET) -> Records:
        """A change that changes nothing, in place of one that is refused as a whole."""
        number = int(refused["instrument_id"][0])
        bid, bid_lots, ask, ask_lots = self._books.best(number) if number in self._books else (0, 0, 0, 0)
        made: Records = refused[-1:].copy()
        made["action"], made["quantity"] = action, 0
        made["side"] = Side.SELL if bid_lots and not ask_lots else Side.BUY
        made["price_ticks"] = ask if ask_lots else bid if bid_lots else 1
        made["flags"] = (made["flags"] & ~np.uint16(SNAPSHOT)) | np.uint16(LAST)
        return made


def _quarantined(deltas: Records, reasons: np.ndarray) -> Records:
    """QUARANTINE records of changes of a book."""
    rows = np.zeros(len(deltas), QUARANTINE)
    rows["venue_ns"], rows["receive_ns"], rows["sequence"] = deltas["venue_ns"], deltas["now_ns"], deltas["update_id"]
    rows["price"], rows["quantity"], rows["side"] = deltas["price_ticks"], deltas["quantity"], deltas["side"]
    rows["quantity_2"], rows["instrument_id"] = deltas["flags"], deltas["instrument_id"]
    rows["kind"] = np.where(deltas["action"] == BookAction.CLEAR, TickKind.CLEAR, TickKind.LEVEL)
    rows["reason"] = reasons
    return rows


__all__ = ["Checked", "GateBooks"]
