"""Parquet files: bars, trades and quotes as records by their columns' names, everything else as a table."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nautilus.adapters.formats.batch import BatchRecording, Numbers, bad_bars, bar_records, quote_records, trade_records
from nautilus.adapters.formats.delimited import BUYS, LARGEST_STEPS, MOST_DECIMALS, SELLS, bar_size, name_of
from nautilus.adapters.formats.inference import ROLES, TIME_NAMES, UNITS, normal
from nautilus.adapters.formats.recording import Block, FormatError, InstrumentHint, Recording, UpdateKind
from nautilus.adapters.formats.table import TIME, Table, arrow
from nautilus.adapters.formats.validation import RowCheck
from nautilus.adapters.formats.zones import to_utc
from nautilus.core.types import Side

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET_MAGIC = b"PAR1"
EXPECTED = "a whole Parquet file"
BATCH_ROWS = 1 << 16
NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}


class ParquetSource:
    """A file with the roles of its columns."""

    def __init__(self, path: Path) -> None:
        arrow(path)
        self.path = path
        self.done = 0
        parquet = importlib.import_module("pyarrow.parquet")
        try:
            self.file = parquet.ParquetFile(path)
        except OSError as error:
            raise FormatError(_words(error), where=str(path), expected=EXPECTED) from error
        except arrow(path).ArrowException as error:
            raise FormatError(_words(error), where=str(path), expected=EXPECTED) from error
        self.schema = self.file.schema_arrow
        self.count = int(self.file.metadata.num_rows)
        if not self.count:
            raise FormatError("has no rows", where=str(path), expected="rows")
        names = [normal(name) for name in self.schema.names]
        self.roles: dict[str, int] = {}
        for role, known in ROLES.items():
            for word in known:
                if word in names:
                    self.roles.setdefault(role, names.index(word))
                    break
        self.time = self._time(names)
        found = self.roles.keys()
        self.rows = "table"
        if self.time >= 0:
            if {"open", "high", "low", "close"} <= found:
                self.rows = "bar"
            elif {"bid", "ask"} <= found:
                self.rows = "quote"
            elif {"price", "size"} <= found:
                self.rows = "trade"

    def _time(self, names: list[str]) -> int:
        types = arrow(self.path).types
        for i, name in enumerate(names):
            kind = self.schema.types[i]
            if types.is_timestamp(kind) or types.is_date(kind) or (types.is_integer(kind) and name in TIME_NAMES):
                return i
        return -1

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in file order."""
        self.done = 0
        try:
            for batch in self.file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                self.done += len(batch)
                yield batch
        except (OSError, arrow(self.path).ArrowException) as error:
            raise FormatError(_words(error), where=f"{self.path}:{self.done + 1}", expected=EXPECTED) from error

    def times(self, array: Any, zone: str) -> Numbers:
        """A column of times as nanoseconds UTC; of no zone of its own, that of `zone`."""
        pa = arrow(self.path)
        kind = array.type
        if pa.types.is_integer(kind):
            values: Numbers = array.to_numpy(zero_copy_only=False).astype(np.int64)
            largest = float(values.max(initial=0))
            for _, least, most, unit_ns in UNITS:
                if least <= largest < most:
                    return values * unit_ns
            raise FormatError(f"time {values[0]}", where=f"{self.path}:1", expected="nanoseconds, or s, ms, us")
        if pa.types.is_date(kind):
            values = array.cast(pa.timestamp("s")).cast(pa.int64()).to_numpy(zero_copy_only=False) * 10**9
            return to_utc(values, zone or "UTC")
        values = array.cast(pa.int64()).to_numpy(zero_copy_only=False) * NANOSECONDS[kind.unit]
        return values if kind.tz else to_utc(values, zone or "UTC")


def _words(error: Exception) -> str:
    return f"is damaged: {' '.join(str(error).split())[:200]}"


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
        self._scales: dict[int, int] = {}
        price_places, size_places = self._places(self._prices), self._places(self._sizes)
        self._scales = dict.fromkeys(self._prices, price_places) | dict.fromkeys(self._sizes, size_places)
        self._named = not symbol and "symbol" in roles
        symbols = [symbol] if symbol else self._symbols() or [name_of(source.path)]
        steps = f"{10**-price_places:.{price_places}f}", f"{10**-size_places:.{size_places}f}"
        hints = tuple(
            InstrumentHint(
                each, venue or "FILE", "unknown", each, "XXX", steps[0], steps[1], (("0", steps[0]),), inferred=True
            )
            for each in symbols
        )
        super().__init__(source.path, hints, instrument_id)
        self.holds_bars = source.rows == "bar"
        self._ids = {each: instrument_id + i for i, each in enumerate(symbols)}
        first = next(iter(source.batches()))
        times = source.times(first.column(source.time), zone)
        self.start_ns = int(times[0])
        self._bar_ns = bar_size(times) if source.rows == "bar" else 0
        self._checks = RowCheck(self.report, self._bar_ns)
        self.report.columns = {field.name: str(field.type) for field in source.schema}
        self.report.settings = {"rows": source.rows, "time": source.schema.names[source.time], "zone": zone or "UTC"}

    @property
    def progress(self) -> float:
        """Part of the rows that was read, 0 to 1."""
        return self._source.done / self._source.count

    def _places(self, columns: list[int]) -> int:
        """Decimals with which all numbers of columns are exact, 9 at most."""
        places = 0
        names = [self._source.schema.names[i] for i in columns]
        if not names:
            return 0
        for batch in self._source.batches(names):
            for column in batch.columns:
                values = _floats(column)
                values = values[np.isfinite(values)]
                while (
                    places < MOST_DECIMALS and float(np.abs(values).max(initial=0)) * 10 ** (places + 1) < LARGEST_STEPS
                ):
                    scaled = values * 10**places
                    if np.all(np.abs(scaled - np.rint(scaled)) <= 1e-9 * np.maximum(1.0, np.abs(scaled))):
                        break
                    places += 1
        return places

    def _symbols(self) -> list[str]:
        place = self._source.roles.get("symbol")
        if place is None:
            return []
        found: dict[str, None] = {}
        for batch in self._source.batches([self._source.schema.names[place]]):
            found |= dict.fromkeys(str(each) for each in batch.column(0).unique().to_pylist() if each is not None)
        return list(found)

    def _steps(self, batch: pa.RecordBatch, column: int) -> Numbers:
        values = _floats(batch.column(column))
        bad = ~np.isfinite(values)
        if bad.any():
            self.report.missing += int(np.count_nonzero(bad))
            values = np.where(bad, 0.0, values)
        steps: Numbers = np.rint(values * 10 ** self._scales[column]).astype(np.int64)
        return steps

    def _read(self) -> Iterator[Block]:
        source = self._source
        done = 0
        for batch in source.batches():
            times = source.times(batch.column(source.time), self._zone)
            lines = np.arange(done + 1, done + len(batch) + 1)
            done += len(batch)
            self.report.rows = done
            instrument: Any = self.instrument_id
            if self._named:
                names = batch.column(source.roles["symbol"]).to_pylist()
                instrument = np.array([self._ids.get(str(name), 0) for name in names], np.uint32)
            prices = [self._steps(batch, i) for i in self._prices]
            sizes = [self._steps(batch, i) for i in self._sizes]
            yield self._block(batch, times, lines, prices, sizes, instrument)

    def _block(
        self,
        batch: pa.RecordBatch,
        times: Numbers,
        lines: Numbers,
        prices: list[Numbers],
        sizes: list[Numbers],
        instrument: Any,
    ) -> Block:
        roles = self._source.roles
        nothing = np.zeros(len(times), np.int64)
        if self._source.rows == "bar":
            volume = sizes[0] if sizes else nothing
            records = bar_records(times, times + self._bar_ns, prices, volume, instrument)
            self.report.outliers += int(np.count_nonzero(bad_bars(records)))
            self._checks.add(times, lines, prices[3], records)
            return Block(UpdateKind.BAR, records)
        now_ns = self._rising(times)
        if self._source.rows == "trade":
            ids: Any = lines
            kind = None if "id" not in roles else self._source.schema.types[roles["id"]]
            if kind is not None and arrow().types.is_integer(kind):
                ids = batch.column(roles["id"]).fill_null(0).to_numpy(zero_copy_only=False)
            records = trade_records(now_ns, times, ids, prices[0], sizes[0], self._sides(batch), instrument)
            self._checks.add(times, lines, prices[0], records)
            return Block(UpdateKind.TRADE, records)
        sized = iter(sizes)
        bid = prices[0], next(sized) if "bid_size" in roles else nothing
        ask = prices[1], next(sized) if "ask_size" in roles else nothing
        records = quote_records(now_ns, times, lines, bid, ask, instrument)
        self._checks.add(times, lines, prices[0], records)
        return Block(UpdateKind.QUOTE, records)

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
            self.report.missing += sum(column.null_count for column in batch.columns)
            if self._source.time < 0:
                yield batch
                continue
            times = self._source.times(batch.column(self._source.time), self._zone)
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


def _floats(column: Any) -> Any:
    return column.cast(arrow().float64()).to_numpy(zero_copy_only=False)
