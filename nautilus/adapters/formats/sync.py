"""Which depth diffs fit a snapshot, and where ids are missing: the venue's rules as state machines without I/O.

::

    WAITING --snapshot--> FIRST --diff that is not old--> FOLLOWING --diff--> FOLLOWING
       ^                    ^                                 |
       |                    +----- a newer snapshot ----------+
       +------------------- lose -----------------------------+

Before the snapshot diffs are held; the caller offers them again, in order, after it. A diff that breaks the chain is a
gap: it is counted and applied all the same, since a recording cannot be asked again; who can ask the venue says `lose`.

Sources: Binance, "How to manage a local order book correctly", for USD-M futures and for the spot market.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import IntEnum


class Verdict(IntEnum):
    """What becomes of a diff."""

    HOLD = 1  # no snapshot yet
    DROP = 2  # the book has it already
    APPLY = 3
    GAP = 4  # apply, but update ids before it are missing


class DiffSync(ABC):
    """The rules that both markets share.

    Attributes
    ----------
    applied, dropped, gaps, lost : diffs applied (gaps too), diffs dropped, breaks in the chain, ids missing in them.
    stale_snapshots : snapshots passed over because the book was newer.
    last_id : update id of the book; 0 before the snapshot.
    """

    def __init__(self) -> None:
        self.applied = 0
        self.dropped = 0
        self.gaps = 0
        self.lost = 0
        self.stale_snapshots = 0
        self.last_id = 0
        self.waiting = True
        self._first = False

    def on_snapshot(self, last_update_id: int) -> bool:
        """Take in a snapshot; False where the book is newer already and has to stay as it is."""
        if not self.waiting and last_update_id < self.last_id:
            self.stale_snapshots += 1
            return False
        self.waiting = False
        self._first = True
        self.last_id = last_update_id
        return True

    def lose(self) -> None:
        """Ids are missing that will not come: hold diffs until another snapshot, of whatever id."""
        self.waiting = True
        self._first = False

    def on_diff(self, first_id: int, last_id: int, previous_id: int) -> Verdict:
        """Judge the next diff: its `U`, `u` and `pu` (0 in the spot market)."""
        if self.waiting:
            return Verdict.HOLD
        if self._is_old(last_id):
            self.dropped += 1
            return Verdict.DROP
        missing = self._missing(first_id, previous_id)
        self._first = False
        self.last_id = last_id
        self.applied += 1
        if missing is None:
            return Verdict.APPLY
        self.gaps += 1
        self.lost += missing
        return Verdict.GAP

    @abstractmethod
    def _is_old(self, last_id: int) -> bool:
        """Whether the book has the diff already."""

    @abstractmethod
    def _missing(self, first_id: int, previous_id: int) -> int | None:
        """How many ids are missing before a diff; None where it fits."""


class FuturesSync(DiffSync):
    """Diffs with u < lastUpdateId are dropped; the first has U <= lastUpdateId <= u; then pu = previous u.

    A first diff whose pu is lastUpdateId fits too: nothing lies between.
    """

    def _is_old(self, last_id: int) -> bool:
        return last_id < self.last_id if self._first else last_id <= self.last_id

    def _missing(self, first_id: int, previous_id: int) -> int | None:
        if previous_id == self.last_id or (self._first and first_id <= self.last_id):
            return None
        return max(0, previous_id - self.last_id)


class SpotSync(DiffSync):
    """Diffs with u <= lastUpdateId are dropped; the first has U <= lastUpdateId + 1 <= u; then U = previous u + 1."""

    def _is_old(self, last_id: int) -> bool:
        return last_id <= self.last_id

    def _missing(self, first_id: int, previous_id: int) -> int | None:
        if first_id == self.last_id + 1 or (self._first and first_id <= self.last_id + 1):
            return None
        return max(0, first_id - self.last_id - 1)
