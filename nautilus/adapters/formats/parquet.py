"""Parquet files: bars, trades and quotes as records by their columns' names, everything else as a table."""

from __future__ import annotations

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
from nautilus.adapters.formats.delimited import BUYS, LARGEST_STEPS, MOST_DECIMALS, SELLS, bar_size, name_of
from nautilus.adapters.formats.parquet_source import EXPECTED, Mask, ParquetSource
from nautilus.adapters.formats.recording import Block, FormatError, InstrumentHint, Recording, UpdateKind
from nautilus.adapters.formats.table import TIME, Table, arrow
from nautilus.adapters.formats.validation import RowCheck, without
from nautilus.core.types import Side

if TYPE_CHECKING:
    import pyarrow as pa

LEAST_NOISE, MOST_NOISE = 1 << 13, 1 << 22
"""Ulps: a file may be a part of a longer sum, and no billionth of a number is noise."""
LARGEST_NOISE = 1e-3
"""Of a step."""


class ParquetRecording(BatchRecording):
    """Bars, trades or quotes of a Parquet file.

    Parameters
    ----------
    source
        The file, open.
    symbol, venue
        Left out, the symbol is that of the rows, or told by the file's name.
    zone
        Of times without one; left out: UTC.
    """

    format = "parquet"
    rows_tell_times = True

    def __init__(
        self, source: ParquetSource, *, symbol: str = "", venue: str = "", zone: str = "", instrument_id: int = 1
    ) -> None:
        roles = source.roles
        self._source = source
        self._zone = zone
        priced = {"bar": ("open", "high", "low", "close"), "trade": ("price",), "quote": ("bid", "ask")}[source.rows]
        sized = {"bar": ("volume",), "trade": ("size",), "quote": ("bid_size", "ask_size")}[source.rows]
        self._prices = [roles[role] for role in priced]
        self._sizes = [roles[role] for role in sized if role in roles]
        price_places, inexact_prices, least = self._places(self._prices)
        size_places, inexact_sizes, _ = self._places(self._sizes)
        self._scales = dict.fromkeys(self._prices, price_places) | dict.fromkeys(self._sizes, size_places)
        self._named = not symbol and "symbol" in roles
        symbols = [symbol] if symbol else self._symbols() or [name_of(source.path)]
        steps = f"{10**-price_places:.{price_places}f}", f"{10**-size_places:.{size_places}f}"
        hints = tuple(
            InstrumentHint(
                each,
                venue or "FILE",
                "unknown",
                each,
                "XXX",
                *steps,
                (("0", steps[0]),),
                inferred=True,
                negative_prices=least < 0,
            )
            for each in symbols
        )
        super().__init__(source.path, hints, instrument_id)
        for what, places, inexact in (
            ("prices", price_places, inexact_prices),
            ("quantities", size_places, inexact_sizes),
        ):
            if inexact:
                self.report.note(f"{what} have more than {places} decimals; {places} are kept, finer ones are rounded")
        self.holds_bars = source.rows == "bar"
        self._ids = {each: instrument_id + i for i, each in enumerate(symbols)}
        times = self._first_times()
        self.start_ns = int(min(times[0], times[-1])) if len(times) else 0
        self._bar_ns = bar_size(times) if source.rows == "bar" else 0
        self._checks = RowCheck(self.report, self._bar_ns)
        self.report.columns = {field.name: str(field.type) for field in source.schema}
        self.report.settings = {"rows": source.rows, "time": source.schema.names[source.time], "zone": zone or "UTC"}

    @property
    def progress(self) -> float:
        """Part of the rows that was read, 0 to 1."""
        return self._source.done / self._source.count

    def _places(self, columns: list[int]) -> tuple[int, bool, float]:
        """Decimals with which all numbers of columns are exact, 9 at most; whether some are not even so; the least.

        Exact but for the noise of sums: one ulp a row, and no thousandth of a step.
        """
        places, inexact, least = 0, False, 0.0
        noise = min(max(self._source.count, LEAST_NOISE), MOST_NOISE)
        names = [self._source.schema.names[i] for i in columns]
        if not names:
            return 0, False, least
        for batch in self._source.batches(names):
            for column in batch.columns:
                values = _floats(column)
                there = np.isfinite(values)
                values, odd = values[there], _inexact(column, values, places, noise)[there]
                least = min(least, float(values.min(initial=0)))
                while (
                    odd.any()
                    and places < MOST_DECIMALS
                    and float(np.abs(values).max(initial=0)) * 10 ** (places + 1) < LARGEST_STEPS
                ):
                    places += 1
                    odd = _inexact(column, values, places, noise)
                inexact |= bool(odd.any())
        return places, inexact, least

    def _symbols(self) -> list[str]:
        place = self._source.roles.get("symbol")
        if place is None:
            return []
        found: dict[str, None] = {}
        for batch in self._source.batches([self._source.schema.names[place]]):
            found |= dict.fromkeys(str(each) for each in batch.column(0).unique().to_pylist() if each)
        return list(found)

    def _first_times(self) -> Numbers:
        """Times of the first rows that have some."""
        source = self._source
        for batch in source.batches([source.schema.names[source.time]]):
            times, there = source.times(batch.column(0), self._zone)
            if there.any():
                return times[there]
        return np.zeros(0, np.int64)

    def _steps(self, batch: pa.RecordBatch, column: int) -> tuple[Numbers, Mask]:
        """Numbers in steps, and which rows have one."""
        values = _floats(batch.column(column))
        there: Mask = np.isfinite(values)
        values = np.where(there, values, 0.0)
        self.report.rounded += int(np.count_nonzero(_inexact(batch.column(column), values, self._scales[column])))
        steps: Numbers = np.rint(values * 10 ** self._scales[column]).astype(np.int64)
        return steps, there

    def _read(self) -> Iterator[Block]:
        source = self._source
        done = 0
        sized: dict[int, Mask] = {}
        for batch in source.batches():
            lines = np.arange(done + 1, done + len(batch) + 1)
            done += len(batch)
            self.report.rows = done
            times, there = source.times(batch.column(source.time), self._zone)
            wanted = {source.time: there}
            columns = {}
            for i in (*self._prices, *self._sizes):
                columns[i], wanted[i] = self._steps(batch, i)
            if source.rows != "trade":
                # A bar or a quote without a size is one all the same.
                sized = {i: wanted.pop(i) for i in self._sizes}
                self.report.missing += sum(int(np.count_nonzero(~there)) for there in sized.values())
            instrument: Any = None
            if self._named:
                place = source.roles["symbol"]
                names = batch.column(place).to_pylist()
                instrument = np.array([self._ids[str(name)] if name else 0 for name in names], np.uint32)
                wanted[place] = instrument > 0
            keep = np.logical_and.reduce(list(wanted.values()))
            if not keep.all():
                self._refuse(batch, lines, wanted, keep)
                batch = batch.filter(arrow(self.path).array(keep))
                times, lines = times[keep], lines[keep]
                columns = {i: values[keep] for i, values in columns.items()}
                sized = {i: told[keep] for i, told in sized.items()}
                instrument = None if instrument is None else instrument[keep]
            if len(times):
                yield self._block(
                    batch, times, lines, columns, sized, self.instrument_id if instrument is None else instrument
                )
        if self.report.refused * 2 > self.report.rows:
            first = self.report.refusals[0]
            raise FormatError(
                f"{self.report.refused} of {self.report.rows} rows do not fit, the first: {first.field} {first.reason}",
                where=f"{self.path}:{first.line}",
                expected=EXPECTED,
            )

    def _refuse(self, batch: pa.RecordBatch, lines: Numbers, wanted: dict[int, Mask], keep: Mask) -> None:
        for at in np.flatnonzero(~keep).tolist():
            field = next(i for i, there in wanted.items() if not there[at])
            value = batch.column(field)[at].as_py()
            reason = "is null" if value is None else f"'{value}' is {'no number' if value != '' else 'empty'}"
            self.report.refuse(int(lines[at]), self._source.schema.names[field], reason)

    def _block(
        self,
        batch: pa.RecordBatch,
        times: Numbers,
        lines: Numbers,
        columns: dict[int, Numbers],
        sized: dict[int, Mask],
        instrument: Any,
    ) -> Block:
        roles = self._source.roles
        nothing = np.zeros(len(times), np.int64)
        prices = [columns[i] for i in self._prices]
        if self._source.rows == "bar":
            volume = columns[self._sizes[0]] if self._sizes else nothing
            records = bar_records(times, times + self._bar_ns, prices, volume, instrument)
            self.report.outliers += int(np.count_nonzero(bad_bars(records)))
            self._checks.add(times, lines, prices[3], records)
            return Block(UpdateKind.BAR, records)
        now_ns = self._received(times, instrument)
        if self._source.rows == "trade":
            ids: Any = lines
            made_up = "trade_id"
            kind = None if "id" not in roles else self._source.schema.types[roles["id"]]
            if kind is not None and arrow().types.is_integer(kind):
                ids = batch.column(roles["id"]).fill_null(0).to_numpy(zero_copy_only=False)
                made_up = ""
            size = columns[self._sizes[0]]
            records = trade_records(now_ns, times, ids, prices[0], size, self._sides(batch), instrument)
            self._checks.add(times, lines, prices[0], without(records, made_up))
            return Block(UpdateKind.TRADE, records)
        bid, ask = (
            (price, columns[roles[name]] if name in roles else nothing)
            for price, name in zip(prices, ("bid_size", "ask_size"), strict=True)
        )
        records = quote_records(now_ns, times, lines, bid, ask, instrument)
        told = [sized[roles[name]] if name in roles else np.False_ for name in ("bid_size", "ask_size")]
        if mark_unsized(records, (told[0], told[1])):
            self.report.note(UNSIZED)
        self._checks.add(times, lines, prices[0], without(records, "update_id"))
        return Block(UpdateKind.QUOTE, records)

    @property
    def _numbers_made_up(self) -> bool:
        place = self._source.roles.get("id")
        numbered = place is not None and arrow().types.is_integer(self._source.schema.types[place])
        return self._source.rows != "trade" or not numbered

    def _sides(self, batch: pa.RecordBatch) -> Any:
        roles = self._source.roles
        buy, sell = int(Side.BUY), int(Side.SELL)
        for role, buys, sells in (("side", BUYS, SELLS), ("maker", {"false", "0"}, {"true", "1"})):
            if role in roles:
                words = [str(each).lower() for each in batch.column(roles[role]).to_pylist()]
                return np.array([buy if word in buys else sell if word in sells else 0 for word in words], np.uint8)
        return 0


class ParquetTable(Table):
    """Any rows of a Parquet file, with their own schema; times become `time_ns`."""

    format = "parquet"

    def __init__(self, source: ParquetSource, *, symbol: str = "", zone: str = "") -> None:
        super().__init__(source.path, symbol or name_of(source.path), "table", TIME if source.time >= 0 else "")
        self._source = source
        self._zone = zone
        self.report.columns = {field.name: str(field.type) for field in source.schema}
        self.report.settings = {"rows": "table"}

    @property
    def progress(self) -> float:
        """Part of the rows that was read, 0 to 1."""
        return self._source.done / self._source.count

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows; see `Table.batches`."""
        pa = arrow(self.path)
        for batch in self._source.batches():
            self.report.rows += len(batch)
            if self._source.time < 0:
                self.report.missing += sum(column.null_count for column in batch.columns)
                yield batch
                continue
            times, there = self._source.times(batch.column(self._source.time), self._zone)
            if not there.all():
                for at in np.flatnonzero(~there).tolist():
                    line = self.report.rows - len(batch) + at + 1
                    self.report.refuse(line, self._source.schema.names[self._source.time], "is null")
                batch, times = batch.filter(pa.array(there)), times[there]
            self.report.missing += sum(column.null_count for column in batch.columns)
            rest = [i for i in range(batch.num_columns) if i != self._source.time]
            yield pa.RecordBatch.from_arrays(
                [pa.array(times), *(batch.column(i) for i in rest)],
                names=[TIME, *(batch.schema.names[i] for i in rest)],
            )


def open_parquet(
    path: Path, *, kind: str = "", symbol: str = "", venue: str = "", zone: str = "", instrument_id: int = 1
) -> Recording | Table:
    """A Parquet file as a recording where its columns are those of bars, trades or quotes, else as a table."""
    source = ParquetSource(path)
    if kind and kind != source.rows and kind != "table":
        names = ", ".join(source.schema.names[:12])
        raise FormatError(f"its columns {names} are no {kind} rows", where=str(path), expected=f"those of a {kind}")
    if source.rows == "table" or kind == "table":
        return ParquetTable(source, symbol=symbol, zone=zone)
    return ParquetRecording(source, symbol=symbol, venue=venue, zone=zone, instrument_id=instrument_id)


def _inexact(column: Any, values: Any, places: int, noise: int = 0) -> Any:
    """Which numbers have more decimals than so many, as far as floats of the column's width tell.

    `noise` is in ulps of the widest floats: what sums may be off, where it is no thousandth of a step.
    """
    scaled = values * 10**places
    narrow = np.float32 if column.type == arrow().float32() else np.float64
    size = np.abs(scaled)
    with np.errstate(invalid="ignore"):
        most = 4 * np.spacing(size.astype(narrow)).astype(np.float64)
        if noise:
            most = np.maximum(most, np.minimum(noise * np.spacing(size), LARGEST_NOISE))
        return np.abs(scaled - np.rint(scaled)) > most


def _floats(column: Any) -> Any:
    return column.cast(arrow().float64()).to_numpy(zero_copy_only=False)
