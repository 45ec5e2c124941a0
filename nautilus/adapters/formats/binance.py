"""Raw Binance WebSocket logs: a receive stamp in nanoseconds and one JSON message a line, a snapshot among them.

::

    1723161255088176367 {"stream":"btcusdt@trade","data":{"e":"trade",...,"p":"61800.30","q":"0.006","m":false}}
    1723161255319702566 {"lastUpdateId":5123107852948,"bids":[["61800.20","2.909"],...],"asks":[...]}

Order is file order and time is the receive stamp; the venue's own times run ahead and back.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nautilus.adapters.formats.binance_lines import BinanceLines
from nautilus.adapters.formats.blocks import BlockReader
from nautilus.adapters.formats.head import describe, read_head
from nautilus.adapters.formats.recording import FormatError, Recording, Update


class BinanceRecording(Recording):
    """One symbol of a raw Binance log, futures (USD-M) or spot, told apart by its content.

    Diffs before the snapshot are held and applied right after it, at its receive stamp. A trade whose venue time is
    not after that of the last diff applied is flagged BOOKED: the book shows it already.

    Parameters
    ----------
    path
        gzip or plain.
    price_increment, lot_size
        Decimal strings; left out, they are inferred from the head of the file.
    symbol
        Left out: the first one met. Lines of other symbols are counted and passed over.

    Raises
    ------
    FormatError
        The head holds no quote, trade or diff that can be read.
    """

    format = "binance"

    def __init__(
        self,
        path: Path,
        *,
        price_increment: str = "",
        lot_size: str = "",
        symbol: str = "",
        instrument_id: int = 1,
    ) -> None:
        head = read_head(path, symbol)
        hint = describe(path, head, price_increment, lot_size)
        super().__init__(path, hint, instrument_id)
        self.start_ns = head.start_ns
        self._reader = BlockReader(path)
        self._lines = BinanceLines(hint, instrument_id, str(path), check=self.check)
        self.counts, self.notes = self._lines.counts, self._lines.notes
        self.book, self.sync = self._lines.book, self._lines.sync

    @property
    def progress(self) -> float:
        """Part of the stored bytes that was read, 0 to 1."""
        return self._reader.progress

    def updates(self, until_ns: int | None = None) -> Iterator[Update]:
        """Give quotes, trades and book changes in file order; see `Recording.updates`."""
        self._begin()
        stopped = False
        decoder = self._lines.decoder
        try:
            for block in self._reader:
                batch = decoder.decode(block)
                lines = batch.lines
                if until_ns is not None and len(lines) and lines["now_ns"][-1] > until_ns:
                    lines = lines[: int(np.searchsorted(lines["now_ns"], until_ns, side="right"))]
                    stopped = True
                yield from self._lines.updates(batch, lines)
                if stopped:
                    return
                if batch.fault is not None:
                    where = f"{self.path}:{batch.fault.line}"
                    raise FormatError(batch.fault.what, where=where, expected=batch.fault.expected)
        finally:
            self._settle()
        self.check.finish()
        if self._lines.waiting:
            self.notes.append(f"{self.path}: no snapshot: {self._lines.waiting} depth diffs were never applied")

    @property
    def diffs_applied(self) -> int:
        """Diffs that the book took in."""
        return self._lines.diffs_applied

    @property
    def diffs_dropped(self) -> int:
        """Diffs that the book had already."""
        return self._lines.diffs_dropped

    @property
    def booked_trades(self) -> int:
        """Trades that the book showed already."""
        return self._lines.booked_trades

    @property
    def blind_ns(self) -> int:
        """How long the book could not be trusted: before the first snapshot, and from a gap to the next one."""
        return self._lines.blind_ns

    def _settle(self) -> None:
        lines = self._lines
        lines.settle()
        self.skipped = lines.skipped()
        self.gaps, self.lost = lines.gaps, lines.lost
        self.first_ns, self.last_ns = lines.first_ns, lines.last_ns

    def summary(self) -> dict[str, Any]:
        """`Recording.summary`, what became of the diffs and trades, and how long the book was blind."""
        self._settle()
        return super().summary() | {
            "diffs_applied": self.diffs_applied,
            "diffs_dropped": self.diffs_dropped,
            "booked_trades": self.booked_trades,
            "blind_ns": self.blind_ns,
        }
