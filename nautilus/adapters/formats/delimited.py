"""Delimited text of any layout: bars, trades and quotes as records, everything else as a table.

The layout is inferred from the whole file (`inference`); a row that does not fit it is refused by line and field and
counted in the report, while all others are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nautilus.adapters.formats.batch import (
    UNSIZED,
    BatchRecording,
    Numbers,
    bad_bars,
    bar_records,
    mark_unsized,
    quote_records,
    trade_records,
)
from nautilus.adapters.formats.blocks import BlockReader
from nautilus.adapters.formats.inference import EXPECTED, Layout, text_blocks
from nautilus.adapters.formats.recording import Block, FormatError, InstrumentHint, Records, UpdateKind
from nautilus.adapters.formats.validation import DAY_NS, RowCheck, ValidationReport, without
from nautilus.adapters.formats.zones import to_utc
from nautilus.core.delimited import (
    DECIMAL,
    FLOAT,
    MISSING,
    REASONS,
    SKIP,
    TEXT,
    WHOLE,
    DelimitedBatch,
    DelimitedDecoder,
)
from nautilus.core.delimited import TIME as TIME_FIELD
from nautilus.core.types import Side

if TYPE_CHECKING:
    pass

MOST_DECIMALS = 9
LARGEST_STEPS = 1 << 40  # ticks of a price, at most
LARGEST_LOTS = 1 << 53  # lots of a bar's volume; floats are exact so far
MOST_SYMBOLS = 65_536
BUYS = frozenset({"b", "buy", "buyer", "bid", "1", "false"})
SELLS = frozenset({"s", "sell", "seller", "ask", "-1", "true"})
# What a file's name says beside the symbol: a date, an interval, a format.
TAIL = re.compile(
    r"[-_.]((19|20)\d\d[-_]?\d\d.*|\d+[smhd]|trades?|quotes?|bars?|ohlcv?|daily|minute|1min)$", re.IGNORECASE
)
WORDS = {WHOLE: "whole number", FLOAT: "number", TEXT: "text", TIME_FIELD: "time", DECIMAL: "decimal"}


def name_of(path: Path) -> str:
    """The instrument or series that a file's name tells: ``btc-perp-20211231-20220201_1m.csv`` is ``BTC-PERP``."""
    name = path.name
    for ending in (".gz", ".csv", ".txt", ".tsv", ".parquet", ".zip", ".data"):
        name = name.removesuffix(ending)
    while (shorter := TAIL.sub("", name)) != name and shorter:
        name = shorter
    return name.removeprefix("factor_").upper()


def steps_of(
    layout: Layout, columns: list[int], report: ValidationReport, what: str, steps: int = LARGEST_STEPS
) -> int:
    """Decimals in which columns are counted: all that they have, up to nine, unless those are more than `steps`."""
    most = max((int(layout.columns[i]["decimals"]) for i in columns), default=0)
    largest = max((float(layout.columns[i]["largest"]) for i in columns), default=0.0)
    kept = min(most, MOST_DECIMALS)
    while kept and largest * 10**kept > steps:
        kept -= 1
    if kept < most:
        report.note(f"{what} have up to {most} decimals; {kept} are kept, finer ones are rounded")
    return kept


class Rows:
    """Decodes the rows of a layout, and keeps the report of them."""

    def __init__(
        self,
        path: Path,
        layout: Layout,
        zone: str,
        decimals: dict[int, int],
        wanted: set[int] | None,
        report: ValidationReport,
    ) -> None:
        self.path = path
        self.layout = layout
        self.zone = zone or ("UTC" if layout.zoned or layout.unit not in ("text", "day") else "")
        self.report = report
        self.reader = BlockReader(path)
        types = [kind if wanted is None or i in wanted else SKIP for i, kind in enumerate(layout.types)]
        places = [0] * len(types)
        for i, count in decimals.items():
            types[i], places[i] = DECIMAL, count
        if layout.time >= 0 and layout.types[layout.time] == DECIMAL:
            places[layout.time] = 9
        required = decimals.keys() | {layout.time}
        self._decoder = DelimitedDecoder(
            layout.delimiter,
            types,
            decimals=places,
            optional=[i not in required for i in range(len(types))],
            rounded=[True] * len(types),
            lines=layout.head,
        )
        report.columns = {
            name: WORDS[kind] for name, kind in zip(layout.names, layout.types, strict=True) if kind in WORDS
        }
        report.settings |= {
            "delimiter": layout.delimiter,
            "head": "first line" if layout.head else "none",
            "rows": layout.rows,
        }
        if layout.time >= 0:
            report.settings |= {
                "time": layout.names[layout.time],
                "time_unit": layout.unit,
                "zone": self.zone or "UTC (none is named)",
            }

    def batches(self) -> Iterator[DelimitedBatch]:
        """The rows; what is refused goes into the report."""
        for text in text_blocks(self.path, self.layout.head, self.reader):
            batch = self._decoder.decode(text)
            self._refuse(batch)
            self.report.rows = self._decoder.rows
            self.report.rounded = self._decoder.roundings
            yield batch
        if self.report.refused * 2 > self.report.rows:
            first = self.report.refusals[0]
            raise FormatError(
                f"{self.report.refused} of {self.report.rows} rows do not fit, the first: {first.field} {first.reason}",
                where=f"{self.path}:{first.line}",
                expected=EXPECTED,
            )

    def times(self, batch: DelimitedBatch) -> Numbers:
        """Times of the rows, nanoseconds UTC."""
        values: Numbers = batch.values[self.layout.time]
        if self.layout.types[self.layout.time] == DECIMAL:
            return values  # seconds with nine decimals
        if self.layout.unit not in ("text", "day"):
            return to_utc(values * self.layout.unit_ns, "UTC")
        return to_utc(values, self.zone or "UTC") if not self.layout.zoned else values

    def _refuse(self, batch: DelimitedBatch) -> None:
        for line, column, reason, at, length in batch.faults.tolist():
            shown = batch.block[at : at + min(length, 40)].decode("utf-8", "replace")
            names = self.layout.names
            if column < len(names) and reason != 1:
                self.report.refuse(line, names[column], f"'{shown}' {REASONS[reason]}")
            else:
                self.report.refuse(line, f"field {column + 1}", f"{REASONS[1]} than {len(names)}")
        self.report.refused += batch.refused - len(batch.faults)


class DelimitedRecording(BatchRecording):
    """Bars, trades or quotes of delimited text.

    Parameters
    ----------
    path
        gzip or plain.
    layout
        As inferred; its rows are ``bar``, ``trade`` or ``quote``.
    symbol, venue
        Of the instrument, where the rows do not name it; left out, the symbol is told by the file's name.
    zone
        Of times that name none; left out: UTC.
    """

    format = "csv"
    rows_tell_times = True

    def __init__(
        self, path: Path, layout: Layout, *, symbol: str = "", venue: str = "", zone: str = "", instrument_id: int = 1
    ) -> None:
        report = ValidationReport(refusals=[], notes=[], columns={}, settings={})
        roles = layout.roles
        sized = ["volume"] if layout.rows == "bar" else ["size"] if layout.rows == "trade" else ["bid_size", "ask_size"]
        priced = {"bar": ["open", "high", "low", "close"], "trade": ["price"], "quote": ["bid", "ask"]}[layout.rows]
        self._prices = [roles[role] for role in priced]
        self._sizes = [roles[role] for role in sized if role in roles]
        price_places = steps_of(layout, self._prices, report, "prices")
        most = LARGEST_LOTS if layout.rows == "bar" else LARGEST_STEPS
        size_places = steps_of(layout, self._sizes, report, "quantities", most)
        decimals = dict.fromkeys(self._prices, price_places) | dict.fromkeys(self._sizes, size_places)
        extra = {roles[name] for name in ("side", "maker", "id", "symbol") if name in roles} - decimals.keys()
        for place in extra:
            if layout.types[place] != WHOLE or place == roles.get("symbol"):
                layout.types[place] = TEXT
        self._rows = Rows(path, layout, zone, decimals, {*decimals, layout.time, *extra}, report)
        self._layout = layout
        symbols = [symbol] if symbol else self._symbols() or [name_of(path)]
        steps = (f"{10**-price_places:.{price_places}f}", f"{10**-size_places:.{size_places}f}")
        hints = tuple(
            InstrumentHint(
                symbol=each,
                venue=venue or "FILE",
                product="unknown",
                base_currency=each,
                quote_currency="XXX",
                price_increment=steps[0],
                lot_size=steps[1],
                tick_table=(("0", steps[0]),),
                inferred=True,
                negative_prices=any(layout.columns[i]["smallest"] < 0 for i in self._prices),
            )
            for each in symbols
        )
        super().__init__(path, hints, instrument_id)
        self.holds_bars = layout.rows == "bar"
        self.report = report
        self._ids = {each: instrument_id + i for i, each in enumerate(symbols)}
        self._named = not symbol and "symbol" in roles
        self._checks = RowCheck(report)
        self._bar_ns = 0
        first = next(self._first_rows(), None)
        if first is not None and len(first):
            times = self._rows.times(first)
            self.start_ns = int(min(times[0], times[-1]))
            if layout.rows == "bar":
                self._bar_ns = bar_size(times)
                self._checks.bar_ns = self._bar_ns
                report.settings["bar_seconds"] = f"{self._bar_ns / 1e9:g}"

    @property
    def progress(self) -> float:
        """Part of the stored bytes that was read, 0 to 1."""
        return self._rows.reader.progress

    def _first_rows(self) -> Iterator[DelimitedBatch]:
        """Rows of the first blocks, read by a decoder of their own."""
        rows = self._rows
        wanted = Rows(
            self._rows.path, rows.layout, rows.zone, dict.fromkeys(self._prices, 9), {rows.layout.time}, _unused()
        )
        return (batch for batch in wanted.batches() if len(batch))

    def _symbols(self) -> list[str]:
        """The symbols that the rows name, in the order in which they come."""
        place = self._layout.roles.get("symbol")
        if place is None:
            return []
        found: dict[str, None] = {}
        rows = Rows(self._rows.path, self._layout, "", {}, {place}, _unused())
        for batch in rows.batches():
            found |= dict.fromkeys(batch.texts(place))
            if len(found) > MOST_SYMBOLS:
                raise FormatError("too many symbols", where=str(rows.path), expected=f"at most {MOST_SYMBOLS}")
        found.pop("", None)
        return list(found)

    def _read(self) -> Iterator[Block]:
        for batch in self._rows.batches():
            if len(batch):
                yield self._block(batch)

    def _block(self, batch: DelimitedBatch) -> Block:
        times, values, lines = self._rows.times(batch), batch.values, batch.lines
        instrument: Any = self.instrument_id
        keep: Any = slice(None)
        if self._named:
            instrument, keep = self._instruments(batch)
            times, lines = times[keep], lines[keep]
        if self._layout.rows == "bar":
            volume = values[self._sizes[0]][keep] if self._sizes else np.zeros(len(times), np.int64)
            if self._bar_ns == DAY_NS and self._layout.unit in ("text", "day") and not self._layout.zoned:
                local = values[self._layout.time][keep]
                end_ns = to_utc(local + DAY_NS, self._rows.zone or "UTC")
            else:
                end_ns = times + self._bar_ns
            records = bar_records(times, end_ns, [values[i][keep] for i in self._prices], volume, instrument)
            self._check(times, lines, records, records["close_ticks"])
            bad = bad_bars(records)
            self.report.outliers += int(np.count_nonzero(bad))
            if bad.any():
                self.report.note(f"line {int(lines[np.argmax(bad)])}: high or low does not hold open and close")
            return Block(UpdateKind.BAR, records)
        now_ns = self._received(times, instrument)
        if self._layout.rows == "trade":
            price, size = values[self._prices[0]][keep], values[self._sizes[0]][keep]
            numbers, sides = self._numbers(batch)[keep], self._sides(batch)[keep]
            records = trade_records(now_ns, times, numbers, price, size, sides, instrument)
            self._check(times, lines, records, price, "trade_id" if self._ids_column() is None else "")
            return Block(UpdateKind.TRADE, records)
        empty = np.zeros(len(times), np.int64)
        roles = self._layout.roles
        bid, ask = (
            (values[roles[side]][keep], values[roles[f"{side}_size"]][keep] if f"{side}_size" in roles else empty)
            for side in ("bid", "ask")
        )
        records = quote_records(now_ns, times, lines, bid, ask, instrument)
        if mark_unsized(records, ("bid_size" in roles, "ask_size" in roles)):
            self.report.note(UNSIZED)
        crossed = int(np.count_nonzero((bid[0] > 0) & (ask[0] > 0) & (bid[0] > ask[0])))
        if crossed:
            self.report.outliers += crossed
            self.report.note(f"{crossed} quotes have a bid above their ask")
        self._check(times, lines, records, bid[0], "update_id")
        return Block(UpdateKind.QUOTE, records)

    def _instruments(self, batch: DelimitedBatch) -> tuple[Any, Any]:
        """Instrument of each row that names one, and which rows those are; others are refused."""
        ids = np.array([self._ids.get(name, 0) for name in batch.texts(self._layout.roles["symbol"])], np.uint32)
        keep = ids > 0
        for line in batch.lines[~keep].tolist():
            self.report.refuse(line, self._layout.names[self._layout.roles["symbol"]], "'' is empty")
        return ids[keep], keep

    def _check(self, times: Numbers, lines: Numbers, records: Records, prices: Numbers, made_up: str = "") -> None:
        """`made_up`: the field whose numbers are those of lines, by which no row is like another."""
        records = without(records, made_up)
        if len(self.hints) == 1:
            self._checks.add(times, lines, prices, records)
            return
        ids = records["instrument_id"]
        for each in np.unique(ids).tolist():
            mine = ids == each
            self._checks.add(times[mine], lines[mine], prices[mine], records[mine], each)

    def _ids_column(self) -> int | None:
        place = self._layout.roles.get("id")
        return place if place is not None and self._layout.types[place] == WHOLE else None

    @property
    def _numbers_made_up(self) -> bool:
        return self._layout.rows != "trade" or self._ids_column() is None

    def _numbers(self, batch: DelimitedBatch) -> Any:
        place = self._ids_column()
        if place is None:
            return batch.lines
        return np.where(batch.values[place] == MISSING, batch.lines, batch.values[place])

    def _sides(self, batch: DelimitedBatch) -> Any:
        """Aggressor of each trade; 0 where nothing tells it."""
        roles = self._layout.roles
        for role, buys, sells in (("side", BUYS, SELLS), ("maker", {"false", "0"}, {"true", "1"})):
            if role in roles:
                if self._layout.types[roles[role]] == WHOLE:
                    words = [str(each) for each in batch.values[roles[role]].tolist()]
                else:
                    words = [each.lower() for each in batch.texts(roles[role])]
                sides = {word: int(Side.BUY) for word in buys} | {word: int(Side.SELL) for word in sells}
                return np.array([sides.get(word, 0) for word in words], np.uint8)
        return np.zeros(len(batch), np.uint8)


def bar_size(times: Numbers) -> int:
    """Usual distance of bars, nanoseconds; of one bar alone a day."""
    steps = np.abs(np.diff(times))
    steps = steps[steps > 0]
    if not len(steps):
        return DAY_NS
    sizes, counts = np.unique(steps, return_counts=True)
    return int(sizes[np.argmax(counts)])


def _unused() -> ValidationReport:
    return ValidationReport(refusals=[], notes=[], columns={}, settings={})
