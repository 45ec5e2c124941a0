"""Cash that no fill moved: deposits and withdrawals, dividends, cash in lieu. Each entry is booked once, by its id.

Amounts are whole numbers of 10^-18 of their currency. The core keeps no cash of the platform's currencies (its ids of
those that may have some end at 255), so this is their one book.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nautilus.model.errors import ModelError

MOST_ENTRIES = 50_000
BOOKED, INCOME = "booked", "income"


class CashBook:
    """Entries by account and currency."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, str, str], int] = {}  # account, currency, kind -> units
        self._income: dict[tuple[int, int, str], int] = {}  # account, instrument, currency -> units
        self._entries: dict[str, list[Any]] = {}  # id -> account, currency, units

    def book(
        self, entry_id: str, account_id: int, currency: str, units: int, *, instrument_id: int = 0, kind: str = BOOKED
    ) -> bool:
        """Book an entry; False: it was booked before.

        Raises
        ------
        ModelError
            The id was another entry's.
        """
        entry = [account_id, currency, str(units)]
        known = self._entries.get(entry_id)
        if known is not None:
            if known != entry:
                raise ModelError(
                    f"entry {entry_id!r} of account {account_id}",
                    where="cash",
                    expected="the same as before, or another id",
                )
            return False
        self._entries[entry_id] = entry
        key = (account_id, currency, kind)
        self._sums[key] = self._sums.get(key, 0) + units
        if instrument_id:
            place = (account_id, instrument_id, currency)
            self._income[place] = self._income.get(place, 0) + units
        return True

    def check_room(self, count: int = 1) -> None:
        """ModelError: so many entries more are too many. What follows from fills and splits is booked even then."""
        if len(self._entries) + count > MOST_ENTRIES:
            raise ModelError(
                f"{len(self._entries)} entries and {count} more", where="cash", expected=f"at most {MOST_ENTRIES}"
            )

    def knows(self, entry_id: str) -> bool:
        """Whether an entry was booked under this id."""
        return entry_id in self._entries

    def sum(self, account_id: int, currency: str, kind: str) -> int:
        """Of one kind."""
        return self._sums.get((account_id, currency, kind), 0)

    def total(self, account_id: int, currency: str) -> int:
        """Of all kinds."""
        return self.sum(account_id, currency, BOOKED) + self.sum(account_id, currency, INCOME)

    def income(self, account_id: int) -> Mapping[tuple[int, str], int]:
        """By instrument and currency."""
        return {
            (instrument, currency): units
            for (account, instrument, currency), units in self._income.items()
            if account == account_id
        }

    def accounts(self) -> set[int]:
        """That have entries."""
        return {account for account, _, _ in self._sums}

    def currencies(self, account_id: int) -> set[str]:
        """In which an account has entries."""
        return {currency for account, currency, _ in self._sums if account == account_id}

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "sums": [[*key, str(units)] for key, units in sorted(self._sums.items())],
            "income": [[*key, str(units)] for key, units in sorted(self._income.items())],
            "entries": [[entry_id, *entry] for entry_id, entry in self._entries.items()],
        }

    def restore(self, state: Mapping[str, Iterable[Any]]) -> None:
        """Take over what `state()` gave."""
        self._sums = {(account, currency, kind): int(units) for account, currency, kind, units in state["sums"]}
        self._income = {(account, place, currency): int(units) for account, place, currency, units in state["income"]}
        self._entries = {entry_id: entry for entry_id, *entry in state["entries"]}
