"""Compare a book that was rebuilt from its changes with what the venue itself says about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

SHOWN = 10
KEPT = 1 << 16  # tickers kept at most for books that lag behind them
FIELDS = ("bid_ticks", "bid_quantity", "ask_ticks", "ask_quantity")


class BookCheck:
    """Rebuilt best bid and ask against the venue's own ticker, or rebuilt levels against the venue's own rows.

    The ticker to compare with is the one with the greatest update id not above that of the book, wherever in the
    stream it stands. So a book waits until a ticker with a greater id has been seen, or until the stream ends. Ticker
    ids ascend at the venues known; one that does not is counted in `unordered`, because a book that it concerns may
    have been decided already.

    Attributes
    ----------
    compared, equal : books decided, and those of them that were equal.
    undecided : books dropped because tickers were missed.
    pending : books still undecided, or without any ticker to compare with.
    differences : the first ten that differ, each a dict with `update_id`, `rebuilt` and `venue`.
    by_depth : for levels: {depth: number equal}.
    """

    def __init__(self) -> None:
        self.compared = 0
        self.equal = 0
        self.unordered = 0
        self.without_ticker = 0
        self.undecided = 0
        self.differences: list[dict[str, Any]] = []
        self.by_depth: dict[int, int] = {}
        self._books: list[npt.NDArray[np.void]] = []
        self._waiting = 0
        self._tickers: npt.NDArray[np.void] | None = None
        self._last_book = 0

    @property
    def pending(self) -> int:
        """Books that wait for a ticker which decides them."""
        return self._waiting

    def add(self, books: npt.NDArray[np.void], tickers: npt.NDArray[np.void]) -> None:
        """Take in what came next: QUOTE arrays of the rebuilt best, and of the venue's ticker, each in file order."""
        if len(books):
            self._books.append(books.copy())
            self._waiting += len(books)
            self._last_book = max(self._last_book, int(books["update_id"][-1]))
        if len(tickers):
            known = tickers.copy() if self._tickers is None else np.concatenate((self._tickers, tickers))
            ids = known["update_id"]
            back = int(np.count_nonzero(ids[1:] < ids[:-1]))
            if back:
                self.unordered += back
                known = known[np.argsort(ids, kind="stable")]
            self._tickers = known
        if self._tickers is None:
            return
        if self._waiting:
            self._decide(self._tickers, int(self._tickers["update_id"][-1]))
        # Books ascend too: no later one asks for a ticker before the one that the last book was compared with.
        first = int(np.searchsorted(self._tickers["update_id"], self._last_book, side="right")) - 1
        self._tickers = self._tickers[max(first, len(self._tickers) - KEPT, 0) :]

    def finish(self) -> None:
        """The stream has ended: the last ticker stands for all later books."""
        if self._waiting and self._tickers is not None:
            self._decide(self._tickers, None)

    def interrupt(self) -> None:
        """Tickers were missed: drop the books that wait for one, and compare none with a ticker from before."""
        self.undecided += self._waiting
        self._books.clear()
        self._waiting = 0
        self._tickers = None

    def add_levels(
        self, update_id: int, equal_by_depth: dict[int, bool], rebuilt: Sequence[Any], venue: Sequence[Any]
    ) -> None:
        """Take in one comparison of whole levels; equal where every depth is."""
        self.compared += 1
        for depth, equal in equal_by_depth.items():
            self.by_depth[depth] = self.by_depth.get(depth, 0) + equal
        if all(equal_by_depth.values()):
            self.equal += 1
        else:
            self._note(update_id, list(rebuilt), list(venue))

    def summary(self) -> dict[str, Any]:
        """`compared`, `equal`, `pending`, `unordered`, `without_ticker`, `differences`, and `by_depth` for levels."""
        facts: dict[str, Any] = {
            "compared": self.compared,
            "equal": self.equal,
            "pending": self.pending,
            "unordered": self.unordered,
            "without_ticker": self.without_ticker,
            "differences": list(self.differences),
        }
        if self.by_depth:
            facts["by_depth"] = {str(depth): count for depth, count in sorted(self.by_depth.items())}
        return facts

    def _decide(self, tickers: npt.NDArray[np.void], below: int | None) -> None:
        """Compare the waiting books with an update id under `below` (None: all) with their tickers."""
        books = self._books[0] if len(self._books) == 1 else np.concatenate(self._books)
        decided = np.ones(len(books), bool) if below is None else books["update_id"] < below
        rest = books[~decided]
        self._books = [rest] if len(rest) else []
        self._waiting = len(rest)
        books = books[decided]
        place = np.searchsorted(tickers["update_id"], books["update_id"], side="right") - 1
        found = place >= 0
        self.without_ticker += int(np.count_nonzero(~found))
        books, venue = books[found], tickers[place[found]]
        same = np.ones(len(books), bool)
        for field in FIELDS:
            same &= books[field] == venue[field]
        self.compared += len(books)
        self.equal += int(np.count_nonzero(same))
        for i in np.flatnonzero(~same)[: SHOWN - len(self.differences)]:
            self._note(int(books["update_id"][i]), books[list(FIELDS)][i].tolist(), venue[list(FIELDS)][i].tolist())

    def _note(self, update_id: int, rebuilt: object, venue: object) -> None:
        if len(self.differences) < SHOWN:
            self.differences.append({"update_id": update_id, "rebuilt": rebuilt, "venue": venue})
