"""Lean's files: zip archives, or the plain CSV in them, of ticks, bars and option quotes.

::

    14400614,139400,500,P,20002020,0                  trade: ms of the day, price, size, exchange, condition, suspicious
    14400554,138400,700,0,0,P,1,0                     quote: ms, bid, size, ask, size, exchange, condition, suspicious
    14400000,1674100,1674100,1672500,1672700,3197     bar of a minute or second: ms, open, high, low, close, volume
    19980102 00:00,136300,162500,135000,162500,6315000 bar of a day or hour: begin, open, high, low, close, volume

Prices are 1/10,000. Times are of the exchange (New York, unless told otherwise). The day, the symbol and what rows are
come from the name of the file inside, as Lean has it; rows are checked against it.
Source: QuantConnect/Lean, Data/equity/readme.md and Data/option/readme.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from nautilus.adapters.formats.archives import MemberReader, members
from nautilus.adapters.formats.batch import BatchRecording, Numbers, bad_bars, bar_records, quote_records, trade_records
from nautilus.adapters.formats.blocks import BlockReader
from nautilus.adapters.formats.recording import Block, FormatError, InstrumentHint, UpdateKind
from nautilus.adapters.formats.validation import DAY_NS, RowCheck
from nautilus.adapters.formats.zones import NEW_YORK, to_utc
from nautilus.core.delimited import DECIMAL, REASONS, SKIP, TIME, WHOLE, DelimitedBatch, DelimitedDecoder

MILLISECOND_NS = 1_000_000
TICKS = re.compile(r"(?P<day>\d{8})_(?P<symbol>[a-z0-9.\-]+)_(?P<part>trade|quote)_tick\.csv", re.IGNORECASE)
BARS = re.compile(
    r"(?P<day>\d{8})_(?P<symbol>[a-z0-9.\-]+)_(?P<size>minute|second)_(?P<part>trade)\.csv", re.IGNORECASE
)
DAILY = re.compile(r"(?P<symbol>[a-z0-9.\-]+)(?:_(?P<part>trade))?\.csv", re.IGNORECASE)
SIZES = {"minute": 60_000_000_000, "second": 1_000_000_000}
FIRST = {
    "trade": re.compile(rb"\d+,\d+(\.0+)?,\d+(\.0+)?,[^,]*,[^,]*,[01]\r?"),
    "quote": re.compile(rb"\d+,\d+(\.0+)?,\d+(\.0+)?,\d+(\.0+)?,\d+(\.0+)?,[^,]*,[^,]*,[01]\r?"),
    "intraday": re.compile(rb"\d{1,8}(,\d+(\.0+)?){5}\r?"),
    "daily": re.compile(rb"\d{8} \d\d:\d\d(,\d+(\.0+)?){5}\r?"),
}
KINDS = {
    "trade": (WHOLE, DECIMAL, DECIMAL, SKIP, SKIP, WHOLE),
    "quote": (WHOLE, DECIMAL, DECIMAL, DECIMAL, DECIMAL, SKIP, SKIP, WHOLE),
    "intraday": (WHOLE, DECIMAL, DECIMAL, DECIMAL, DECIMAL, DECIMAL),
    "daily": (TIME, DECIMAL, DECIMAL, DECIMAL, DECIMAL, DECIMAL),
}
FIELDS = {
    "trade": ("time", "price", "size", "exchange", "condition", "suspicious"),
    "quote": ("time", "bid", "bid size", "ask", "ask size", "exchange", "condition", "suspicious"),
    "intraday": ("time", "open", "high", "low", "close", "volume"),
    "daily": ("time", "open", "high", "low", "close", "volume"),
}


class LeanName(NamedTuple):
    """What the name of a file tells, and what its first line shows."""

    rows: str
    symbol: str
    day: date | None
    size_ns: int


def lean_name(name: str, first: bytes) -> LeanName | None:
    """What a file of Lean holds; None where name or first line are not Lean's."""
    base = PurePosixPath(name).name
    for pattern in (TICKS, BARS, DAILY):
        found = pattern.fullmatch(base)
        if found is None:
            continue
        groups = found.groupdict()
        rows = groups["part"].lower() if pattern is TICKS else "intraday" if pattern is BARS else "daily"
        if not FIRST[rows].fullmatch(first):
            continue
        day = None
        if groups.get("day"):
            try:
                day = date(int(groups["day"][:4]), int(groups["day"][4:6]), int(groups["day"][6:]))
            except ValueError:
                continue
        size = SIZES[groups["size"].lower()] if pattern is BARS else DAY_NS
        return LeanName(rows, groups["symbol"].upper(), day, size)
    return None


class LeanRecording(BatchRecording):
    """Ticks or bars of one symbol.

    Parameters
    ----------
    path
        The archive, or a plain file.
    member
        The file in the archive; "": the path itself is it.
    zone
        Of the times.

    Raises
    ------
    FormatError
        While reading: a line is not as its kind of file has it.
    """

    format = "lean"
    rows_tell_times = True

    def __init__(
        self,
        path: Path,
        name: LeanName,
        member: str = "",
        *,
        symbol: str = "",
        zone: str = "",
        instrument_id: int = 1,
    ) -> None:
        symbol = symbol or name.symbol
        hint = InstrumentHint(
            symbol=symbol,
            venue="US" if not zone else "LEAN",
            product="equity",
            base_currency=symbol,
            quote_currency="USD",
            price_increment="0.0001",
            lot_size="1",
            tick_table=(("0", "0.0001"), ("1", "0.01")),
        )
        super().__init__(path, (hint,), instrument_id)
        self.holds_bars = name.rows in ("intraday", "daily")
        self.zone = zone or NEW_YORK
        self.name = name
        self.member = member
        self._reader = MemberReader(path, member) if member else BlockReader(path)
        self.report.settings |= {"rows": name.rows, "zone": self.zone, "prices": "1/10000"}
        self.skipped = {"suspicious": 0}
        first = next(iter(MemberReader(path, member, 1 << 12) if member else BlockReader(path, 1 << 12)), b"")
        batch = self._decoder().decode(first.split(b"\n", 1)[0])
        if len(batch):
            self.start_ns = int(self._times(batch)[0])

    @property
    def progress(self) -> float:
        """Part of the stored bytes that was read, 0 to 1."""
        return self._reader.progress

    def _decoder(self) -> DelimitedDecoder:
        return DelimitedDecoder(",", KINDS[self.name.rows])

    def _times(self, batch: DelimitedBatch) -> Numbers:
        local = batch.values[0]
        if self.name.day is not None:
            midnight = (self.name.day.toordinal() - date(1970, 1, 1).toordinal()) * DAY_NS
            local = midnight + local * MILLISECOND_NS
        return to_utc(local, self.zone)

    def _read(self) -> Iterator[Block]:
        decoder = self._decoder()
        check = RowCheck(self.report, self.name.size_ns if self.name.rows in ("intraday", "daily") else 0)
        for text in self._reader:
            batch = decoder.decode(text)
            self.report.rows = decoder.rows
            if len(batch):
                yield self._block(batch, check)
            if batch.refused:
                raise self._fault(batch)

    def _block(self, batch: DelimitedBatch, check: RowCheck) -> Block:
        values, rows = batch.values, self.name.rows
        times, lines = self._times(batch), batch.lines
        if rows in ("trade", "quote"):
            good = values[-1] == 0
            self.skipped["suspicious"] += int(np.count_nonzero(~good))
            values, times, lines = values[:, good], times[good], lines[good]
            now_ns = self._received(times, self.instrument_id)
            if rows == "trade":
                records = trade_records(now_ns, times, lines, values[1], values[2], 0, self.instrument_id)
                check.add(times, lines, values[1])
                return Block(UpdateKind.TRADE, records)
            bid, ask = (values[1], values[2]), (values[3], values[4])
            check.add(times, lines)
            return Block(UpdateKind.QUOTE, quote_records(now_ns, times, lines, bid, ask, self.instrument_id))
        # A day is as long as its clocks have it.
        end_ns = to_utc(values[0] + DAY_NS, self.zone) if rows == "daily" else times + self.name.size_ns
        records = bar_records(times, end_ns, values[1:5], values[5], self.instrument_id)
        check.add(times, lines, values[4], records)
        self.report.outliers += int(np.count_nonzero(bad_bars(records)))
        return Block(UpdateKind.BAR, records)

    def _fault(self, batch: DelimitedBatch) -> FormatError:
        return fault_of(batch, FIELDS[self.name.rows], f"{self.path}:{self.member}" if self.member else str(self.path))


def fault_of(batch: DelimitedBatch, names: Any, where: str) -> FormatError:
    """The error of the first line that was refused."""
    line, column, reason, at, length = batch.faults[0].tolist()
    shown = (
        batch.block[at : at + min(length, 40)].decode("utf-8", "replace").encode("ascii", "backslashreplace").decode()
    )
    field = names[column] if column < len(names) else f"field {column + 1}"
    what = f"{field} '{shown}' {REASONS[reason]}"
    return FormatError(what, where=f"{where}:{line}", expected=f"{len(names)} fields: {', '.join(names)}")


def lean_archive(path: Path) -> tuple[str, LeanName] | None:
    """The one file of ticks or bars in an archive of Lean; None where it holds something else."""
    names = members(path)
    if len(names) != 1:
        return None
    first = next(iter(MemberReader(path, names[0], 1 << 12)), b"").split(b"\n", 1)[0]
    found = lean_name(names[0], first)
    return None if found is None else (names[0], found)
