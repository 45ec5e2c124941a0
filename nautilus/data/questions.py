"""What can be asked of stored data, wherever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nautilus.data.times import Time

if TYPE_CHECKING:
    import pyarrow as pa

Names = str | Sequence[str] | None


class Questions(ABC):
    """Stored data. Every answer is an Arrow table; times are UTC, the end is not included.

    Tables of ticks have `time`, decimals (`price`, `quantity`, `bid`, `ask` ...) and, beside them, the whole numbers
    that are stored (`price_ticks`, `quantity_lots` ...): docs/catalog.md.
    """

    @abstractmethod
    def instruments(self) -> pa.Table:
        """Every instrument, with its price increment and lot size."""

    @abstractmethod
    def ranges(self) -> pa.Table:
        """What there is: rows, bytes and times of each kind and instrument."""

    @abstractmethod
    def query(
        self,
        kind: str,
        instruments: Names = None,
        begin: Time = None,
        end: Time = None,
        *,
        columns: Sequence[str] = (),
        limit: int = 0,
        order: str = "time",
    ) -> pa.Table:
        """Rows of one kind.

        Parameters
        ----------
        kind
            ``quote``, ``trade``, ``book``, ``auction``, ``bar``, ``flow``, ``tick``, ``quarantine``, ``quote_fact``,
            ``bar_fact``, ``fundamental``, ``economic``, ``listing``, ``event``.
        instruments
            Keys (``BTCUSDT@binance``) or symbols; None: all.
        columns
            Of the answer; (): all.
        limit
            Rows, at most; 0: all.
        order
            ``time``, ``-time`` or ``none``.
        """

    @abstractmethod
    def sql(self, text: str) -> pa.Table:
        """Answer one SELECT over the kinds and `instruments`."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is open."""

    def ticks(
        self, instruments: Names, begin: Time = None, end: Time = None, kind: str = "trade", *, limit: int = 0
    ) -> pa.Table:
        """Trades, or with `kind` quotes or book changes."""
        return self.query(kind, instruments, begin, end, limit=limit)

    def bars(self, instruments: Names, begin: Time = None, end: Time = None, *, limit: int = 0) -> pa.Table:
        """Bars that were made here; those of providers are of the kind ``bar_fact``."""
        return self.query("bar", instruments, begin, end, limit=limit)

    def __enter__(self) -> Questions:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
