"""Raw Bybit order-book logs, as Bybit offers them for download: a zip archive with one JSON message a line.

::

    {"topic":"orderbook.500.XRPUSDT","type":"snapshot","ts":1733011200691,"data":{"s":"XRPUSDT","b":[["1.9531","6203"],...],"a":[...],"u":20254869,"seq":130020238981},"cts":1733011200589}

`u` rises by one from message to message; one that does not is a gap: the first record behind it has the flag of one
(`nautilus.core.ticks.GAP_FLAG`). A snapshot begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nautilus.adapters.formats.archives import MemberReader
from nautilus.adapters.formats.batch import BatchRecording
from nautilus.adapters.formats.blocks import BlockReader
from nautilus.adapters.formats.head import HEAD_BYTES, infer_step, split_symbol
from nautilus.adapters.formats.recording import Block, FormatError, InstrumentHint, UpdateKind
from nautilus.core.bybit import SNAPSHOT, BybitBatch, BybitDecoder
from nautilus.core.depth import DepthBook
from nautilus.core.ticks import GAP_FLAG

Mask = npt.NDArray[np.bool_]
NOTES = 10
MARKS = (b'"topic"', b'"orderbook.')


def is_bybit(first: bytes) -> bool:
    """Whether a line looks like one of an order-book log."""
    return first.lstrip().startswith(b"{") and all(mark in first[:400] for mark in MARKS)


class BybitRecording(BatchRecording):
    """One symbol of a log.

    Attributes
    ----------
    book : the book after what was read.
    crossed : messages after which the best bid was not below the best ask.

    Parameters
    ----------
    path
        zip, gzip or plain.
    member
        The file in the archive; "": the path itself is it.
    price_increment, lot_size
        Decimal strings; left out, they are inferred from the head of the file.
    symbol
        Left out: the first one met.

    Raises
    ------
    FormatError
        The head holds no order-book message that can be read.
    """

    format = "bybit"

    def __init__(
        self,
        path: Path,
        member: str = "",
        *,
        price_increment: str = "",
        lot_size: str = "",
        symbol: str = "",
        instrument_id: int = 1,
    ) -> None:
        self.member = member
        self._where = f"{path}:{member}" if member else str(path)
        probe = BybitDecoder(symbol=symbol)
        size = 0
        prices, quantities = [], []
        fault = None
        start_ns = 0
        for block in MemberReader(path, member) if member else BlockReader(path):
            batch = probe.decode(block)
            prices.append(batch.deltas["price_ticks"])
            quantities.append(batch.deltas["quantity"])
            if not start_ns and len(batch.lines):
                start_ns = int(batch.lines["now_ns"][0])
            size += len(block)
            fault = batch.fault
            if fault is not None or size >= HEAD_BYTES:
                break
        if not start_ns:
            if fault is not None:
                raise self._error(fault)
            raise FormatError(
                f"no order-book message{' of ' + symbol if symbol else ''} in its first lines",
                where=self._where,
                expected="a raw Bybit order-book log",
            )
        base, quote = split_symbol(probe.symbol)
        increment = price_increment or infer_step(np.concatenate(prices))
        lot = lot_size or infer_step(np.concatenate(quantities))
        hint = InstrumentHint(
            probe.symbol,
            "BYBIT",
            "perpetual" if quote in ("USDT", "USDC", "USD") else "spot",
            base,
            quote,
            increment,
            lot,
            (("0", increment),),
            inferred=not (price_increment and lot_size),
        )
        super().__init__(path, (hint,), instrument_id)
        self.start_ns = start_ns
        self.counts = {"book_snapshots": 0, "book_diffs": 0, "book_levels": 0}
        self.book = DepthBook()
        self.crossed = 0
        self._reader = MemberReader(path, member) if member else BlockReader(path)
        self._decoder = BybitDecoder(increment, lot, probe.symbol, instrument_id)
        self._last_id = 0
        self._broken = False  # a gap that no record tells of yet

    @property
    def progress(self) -> float:
        """Part of the stored bytes that was read, 0 to 1."""
        return self._reader.progress

    def _read(self) -> Iterator[Block]:
        for block in self._reader:
            batch = self._decoder.decode(block)
            self._follow(batch)
            if len(batch.deltas):
                deltas = batch.deltas
                deltas["now_ns"] = self._rising(deltas["now_ns"])
                yield Block(UpdateKind.BOOK, deltas)
            self.skipped |= {
                "other_topics": self._decoder.topics_skipped,
                "other_symbols": self._decoder.symbols_skipped,
            }
            if batch.fault is not None:
                raise self._error(batch.fault)

    def _follow(self, batch: BybitBatch) -> None:
        """Check the update ids, mark gaps, count, and carry the book on."""
        lines = batch.lines
        if not len(lines):
            return
        self.report.rows += len(lines)
        snapshots = lines["kind"] == SNAPSHOT
        self.counts["book_snapshots"] += int(np.count_nonzero(snapshots))
        self.counts["book_diffs"] += int(np.count_nonzero(~snapshots))
        ids = lines["update_id"].astype(np.int64)
        missing = np.diff(ids, prepend=self._last_id) - 1
        gaps = (missing != 0) & ~snapshots
        for at in np.flatnonzero(gaps).tolist():
            before = int(ids[at] - missing[at] - 1)
            if before or not self._last_id:
                self.gaps += 1
                self.report.gaps += 1
                self.lost += max(0, int(missing[at])) if before else 0
            if len(self.notes) < NOTES:
                text = f"no snapshot before update {ids[at]}" if not before else f"update {ids[at]} after {before}"
                self.notes.append(f"{self._where}:{int(lines['line'][at])}: {text}")
                self.report.note(self.notes[-1])
        self._last_id = int(ids[-1])
        self._mark(batch, gaps, snapshots)
        changes = [
            batch.deltas[first : first + count] for first, count in zip(lines["first"], lines["count"], strict=True)
        ]
        best = self.book.apply_each([change for change in changes if len(change)])
        both = (best["bid_quantity"] > 0) & (best["ask_quantity"] > 0)
        self.crossed += int(np.count_nonzero(both & (best["bid_ticks"] >= best["ask_ticks"])))

    def _mark(self, batch: BybitBatch, gaps: Mask, snapshots: Mask) -> None:
        """Flag the first record behind each gap; a message may have none, and a snapshot needs no flag."""
        if not (self._broken or gaps.any()):
            return
        places = zip(gaps, snapshots, batch.lines["first"], batch.lines["count"], strict=True)
        for gap, snapshot, first, count in places:
            self._broken = bool(not snapshot and (gap or self._broken))
            if self._broken and count:
                batch.deltas["flags"][first] |= GAP_FLAG
                self._broken = False

    def _error(self, fault: object) -> FormatError:
        line, what, expected = (getattr(fault, name) for name in ("line", "what", "expected"))
        return FormatError(what, where=f"{self._where}:{line}", expected=expected)
