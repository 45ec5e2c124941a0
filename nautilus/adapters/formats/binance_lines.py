"""What the lines of one Binance symbol do, whether they come from a log or from the venue's sockets.

The decoder's batch goes in, updates come out: quotes, trades, and the book changes that the venue's rules allow. Diffs
before a snapshot are held and applied right after it, at its receive stamp. A break in the chain of update ids is a
gap: a log goes on all the same, as it cannot be asked again; a live book (`resync`) is given up, holds its diffs and
waits for the next snapshot.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from nautilus.adapters.formats.checks import BookCheck
from nautilus.adapters.formats.recording import FormatError, InstrumentHint, Records, Update, UpdateKind
from nautilus.adapters.formats.sync import DiffSync, FuturesSync, SpotSync, Verdict
from nautilus.core.binance import (
    LINE_DIFF,
    LINE_QUOTE,
    LINE_SNAPSHOT,
    LINE_TRADE,
    MARK_PREVIOUS,
    BinanceBatch,
    BinanceDecoder,
)
from nautilus.core.depth import DepthBook
from nautilus.core.types import RecordFlag

HELD = 4096  # diffs held at most before a snapshot
NOTES = 10
BOOKED = int(RecordFlag.BOOKED)
QUOTE, TRADE, BOOK = UpdateKind.QUOTE, UpdateKind.TRADE, UpdateKind.BOOK
# A named tuple without the call of its Python constructor: this happens for every line.
update = partial(tuple.__new__, Update)


class HeldDiff(NamedTuple):
    """A diff that waits for the snapshot."""

    first_id: int
    last_id: int
    previous_id: int
    venue_ns: int
    line: int
    records: Records


class Judged(NamedTuple):
    """What became of a diff or snapshot, with the place of the line in its batch."""

    place: int
    verdict: Verdict
    lost: int
    update_id: int  # -1: not to be compared, as it is a snapshot
    records: Records


class BinanceLines:
    """The lines of one symbol, in the order in which they were received.

    Parameters
    ----------
    hint : the instrument; a spot product follows the spot market's rules.
    where : said in front of a line's number where something is wrong with it.
    check : takes the rebuilt book and the venue's tickers; None: its own.
    resync : after a gap give the book up until the next snapshot.
    check_every : offer books and tickers to the check once so many lines have passed.

    Attributes
    ----------
    counts, gaps, lost, notes, first_ns, last_ns : as of `Recording`.
    diffs_applied, diffs_dropped, booked_trades : what became of diffs, and trades that the book showed already.
    blind_since_ns : stamp after which the book cannot be trusted; 0 while it can.
    on_turn : told (now_ns, since_ns) where the book is lost or found: `blind_since_ns` says which of them it is.
    """

    def __init__(
        self,
        hint: InstrumentHint,
        instrument_id: int,
        where: str,
        *,
        check: BookCheck | None = None,
        resync: bool = False,
        check_every: int = 1,
    ) -> None:
        self.counts = {"quotes": 0, "trades": 0, "book_diffs": 0, "book_snapshots": 0, "book_levels": 0}
        self.notes: list[str] = []
        self.gaps = 0
        self.lost = 0
        self.first_ns = 0
        self.last_ns = 0
        self.check = BookCheck() if check is None else check
        self.book = DepthBook()
        self.sync: DiffSync = SpotSync() if hint.product == "spot" else FuturesSync()
        self.decoder = BinanceDecoder(hint.price_increment, hint.lot_size, hint.symbol, instrument_id)
        self.diffs_applied = 0
        self.diffs_dropped = 0
        self.booked_trades = 0
        self.blind_since_ns = 0
        self.on_turn: Callable[[int, int], None] | None = None
        self._where = where
        self._resync = resync
        self._check_every = check_every
        self._blind_ns = 0
        self._begun = False
        self._held: list[HeldDiff] = []
        self._held_dropped = 0
        self._book_now_ns = 0
        self._book_venue_ns = 0
        self._batch: BinanceBatch | None = None
        self._lines: Records = np.zeros(0, np.void)
        self._passed = 0  # lines of the batch after which another update was asked for
        self._settled = 0  # lines of the batch in the counters and checks
        self._judged: list[Judged] = []
        self._unchecked: list[tuple[Records, Records]] = []
        self._unchecked_lines = 0

    @property
    def waiting(self) -> int:
        """Diffs that wait for a snapshot, dropped ones too; 0: none is needed."""
        return len(self._held) + self._held_dropped if self.sync.waiting else 0

    @property
    def blind_ns(self) -> int:
        """How long the book could not be trusted, in all, up to the last line given."""
        ongoing = max(0, self.last_ns - self.blind_since_ns) if self.blind_since_ns else 0
        return self._blind_ns + ongoing

    def updates(self, batch: BinanceBatch, lines: Records) -> Iterator[Update]:
        """The updates of one batch. Counters and checks are settled for what was taken, also on an early close.

        Raises
        ------
        FormatError
            A diff of a futures market has no `pu`.
        """
        quotes, trades = batch.quotes, batch.trades
        trade_flags = trades["flags"]
        self._batch, self._lines = batch, lines
        self._settled = taken = 0
        if not self._begun and len(lines):
            self._begun = True
            self.blind_since_ns = self.blind_since_ns or int(lines["now_ns"][0])
        columns = (lines[name].tolist() for name in ("kind", "now_ns", "venue_ns", "first"))
        try:
            for kind, now_ns, venue_ns, first in zip(*columns, strict=True):
                self._passed = taken
                taken += 1
                if kind == LINE_QUOTE:
                    yield update((now_ns, QUOTE, quotes[first : first + 1]))
                elif kind == LINE_TRADE:
                    if 0 < venue_ns <= self._book_venue_ns:
                        trade_flags[first] |= BOOKED
                    yield update((now_ns, TRADE, trades[first : first + 1]))
                else:
                    since_ns = self.blind_since_ns
                    for records in self._book_line(batch, taken - 1):
                        yield update((now_ns, BOOK, records))
                    if self.on_turn is not None and bool(since_ns) != bool(self.blind_since_ns):
                        self.on_turn(now_ns, since_ns or self.blind_since_ns)
        finally:
            self._passed = taken
            self.settle()

    def lose(self, since_ns: int = 0) -> None:
        """Give the book up, as what the venue said went lost: the next snapshot starts it anew.

        `since_ns` is from when on; 0: from the last line that it took in.
        """
        self.sync.lose()
        self._held.clear()
        self._held_dropped = 0
        if not self.blind_since_ns:
            self.blind_since_ns = since_ns or self._book_now_ns or self.last_ns

    def forget_tickers(self) -> None:
        """Tickers went lost too: no book is compared across that."""
        self._offer(always=True)
        self.check.interrupt()

    def _book_line(self, batch: BinanceBatch, place: int) -> list[Records]:
        """What a diff or snapshot line does to the book: BOOK_DELTA arrays, in order."""
        line = self._lines[place].tolist()
        now_ns, venue_ns, first_id, last_id, previous_id, number, first, count, kind, marks = line
        records = batch.deltas[first : first + count]
        if kind == LINE_DIFF:
            if isinstance(self.sync, FuturesSync) and not marks & MARK_PREVIOUS:
                raise FormatError("field pu is missing", where=f"{self._where}:{number}", expected="pu, as before")
            return self._judge(place, HeldDiff(first_id, last_id, previous_id, venue_ns, number, records), now_ns)
        if self._resync and not self._fits(last_id):
            self.sync.stale_snapshots += 1
            self._note(number, f"snapshot {last_id} is older than the diffs that wait for it, passed over")
            return []
        if not self.sync.on_snapshot(last_id):
            self._note(number, f"snapshot {last_id} is older than the book {self.sync.last_id}, passed over")
            return []
        if self.blind_since_ns:
            self._blind_ns += now_ns - self.blind_since_ns
            self.blind_since_ns = 0
        self._book_venue_ns = max(self._book_venue_ns, venue_ns)
        self._book_now_ns = now_ns
        out = [records]
        self._judged.append(Judged(place, Verdict.APPLY, 0, -1, records))
        held, self._held = self._held, []
        for diff in held:
            diff.records["now_ns"] = now_ns
            out += self._judge(place, diff, now_ns)
        return out

    def _fits(self, last_update_id: int) -> bool:
        """Whether the diffs held follow a snapshot without a hole."""
        sync = copy(self.sync)
        if not sync.on_snapshot(last_update_id):
            return True  # for the real one to count
        verdicts = (sync.on_diff(diff.first_id, diff.last_id, diff.previous_id) for diff in self._held)
        return next((verdict for verdict in verdicts if verdict is not Verdict.DROP), None) is not Verdict.GAP

    def _judge(self, place: int, diff: HeldDiff, now_ns: int) -> list[Records]:
        before = self.sync.last_id
        lost = self.sync.lost
        verdict = self.sync.on_diff(diff.first_id, diff.last_id, diff.previous_id)
        if verdict is Verdict.HOLD:
            self._hold(diff)
            return []
        lost = self.sync.lost - lost
        self._judged.append(Judged(place, verdict, lost, diff.last_id, diff.records))
        if verdict is Verdict.DROP:
            return []
        if verdict is Verdict.GAP:
            self._note(diff.line, f"gap in the book's update ids after {before}: {lost} missing")
            self.blind_since_ns = self.blind_since_ns or self._book_now_ns
            if self._resync:
                self.sync.lose()
                self._hold(diff)
                return []
        self._book_now_ns = now_ns
        self._book_venue_ns = diff.venue_ns
        return [diff.records] if len(diff.records) else []

    def _hold(self, diff: HeldDiff) -> None:
        # A copy, so that the whole batch is not kept for it.
        self._held.append(diff._replace(records=diff.records.copy()))
        if len(self._held) > HELD:
            del self._held[0]
            self._held_dropped += 1

    def settle(self) -> None:
        """Count the lines passed, carry the recorded book on, and offer both it and the tickers to the check."""
        lines = self._lines[self._settled : self._passed]
        if self._batch is None or not len(lines):
            return
        kinds = lines["kind"]
        numbers = np.bincount(kinds, minlength=LINE_SNAPSHOT + 1).tolist()
        before = np.bincount(self._lines["kind"][: self._settled], minlength=LINE_SNAPSHOT + 1).tolist()
        quotes, trades = (slice(before[kind], before[kind] + numbers[kind]) for kind in (LINE_QUOTE, LINE_TRADE))
        self._settled = self._passed
        self.counts["quotes"] += numbers[LINE_QUOTE]
        self.counts["trades"] += numbers[LINE_TRADE]
        self.counts["book_diffs"] += numbers[LINE_DIFF]
        self.counts["book_snapshots"] += numbers[LINE_SNAPSHOT]
        if numbers[LINE_DIFF]:
            self.counts["book_levels"] += int(lines["count"][kinds == LINE_DIFF].sum())
        if numbers[LINE_TRADE]:
            self.booked_trades += int(np.count_nonzero(self._batch.trades["flags"][trades] & BOOKED))
        self.first_ns = self.first_ns or int(lines["now_ns"][0])
        self.last_ns = int(lines["now_ns"][-1])
        self._unchecked.append((self._settle_book(), self._batch.quotes[quotes]))
        self._unchecked_lines += len(lines)
        self._offer()

    def _offer(self, *, always: bool = False) -> None:
        if self._unchecked and (always or self._unchecked_lines >= self._check_every):
            books, quotes = zip(*self._unchecked, strict=True)
            self._unchecked.clear()
            self._unchecked_lines = 0
            if len(books) == 1:
                self.check.add(books[0], quotes[0])
            else:
                self.check.add(np.concatenate(books), np.concatenate(quotes))

    def _settle_book(self) -> Records:
        """Apply what the lines passed do to the book; QUOTE array of its best after each diff."""
        count = bisect_left(self._judged, self._passed, key=attrgetter("place"))
        judged, self._judged = self._judged[:count], self._judged[count:]
        applied = [each for each in judged if each.verdict is not Verdict.DROP]
        self.diffs_dropped += len(judged) - len(applied)
        self.gaps += sum(each.verdict is Verdict.GAP for each in applied)
        self.lost += sum(each.lost for each in applied)
        if self._resync:
            applied = [each for each in applied if each.verdict is not Verdict.GAP]
        ids = np.array([each.update_id for each in applied], np.int64)
        compared = ids >= 0
        self.diffs_applied += int(np.count_nonzero(compared))
        books: Records = self.book.apply_each([each.records for each in applied])[compared]
        books["update_id"] = ids[compared]
        return books

    def skipped(self) -> dict[str, int]:
        """What was passed over on purpose, by reason."""
        decoder = self.decoder
        return {
            "other_streams": decoder.streams_skipped,
            "other_symbols": decoder.symbols_skipped,
            "void_trades": decoder.void_trades,
            "stamps_raised": decoder.stamps_raised,
            "held_diffs": self._held_dropped,
            "stale_snapshots": self.sync.stale_snapshots,
        }

    def finish(self) -> None:
        """Offer what is left to the check."""
        self.settle()
        self._offer(always=True)

    def _note(self, line: int | str, text: str) -> None:
        if len(self.notes) < NOTES:
            self.notes.append(f"{self._where}:{line}: {text}" if line else f"{self._where}: {text}")
